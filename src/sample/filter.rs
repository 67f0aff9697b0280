//! Which names are wanted: patterns that include, patterns that exclude.

use std::{error, fmt};

use glob::Pattern;

/// Names that are wanted: those that some `include` pattern matches, or all if there is none, less
/// those that an `exclude` pattern matches.
///
/// In a pattern `?` is any character, `*` any number of them, slashes included, and `[a-c]` one of
/// a set. A pattern matches a whole name. A name that is not UTF-8 is matched with a replacement
/// character in place of what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Filter {
    /// A filter of these patterns.
    ///
    /// # Errors
    ///
    /// [`BadPattern`] with the first that cannot be understood.
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, BadPattern> {
        let compile = |patterns: &[S]| {
            let compile = |pattern: &S| {
                Pattern::new(pattern.as_ref()).map_err(|error| BadPattern {
                    pattern: pattern.as_ref().into(),
                    why: error.msg,
                })
            };
            patterns.iter().map(compile).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { include: compile(include)?, exclude: compile(exclude)? })
    }

    /// Whether `name` is wanted.
    #[must_use]
    pub fn admits(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name);
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// The patterns as they were given, those that include and those that exclude.
    pub fn patterns(&self) -> [impl Iterator<Item = &str>; 2] {
        [&self.include, &self.exclude].map(|patterns| patterns.iter().map(Pattern::as_str))
    }
}

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    pattern: Box<str>,
    why: &'static str,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pattern {:?}: {}", self.pattern, self.why)
    }
}

impl error::Error for BadPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_admitted_as_a_whole() {
        let filter = Filter::new(&["system.slice/*", "user"], &["*.scope"]).expect("sound");
        for (name, admitted) in [
            ("system.slice/a/b", true),
            ("system.slice/a.scope", false),
            ("xsystem.slice/a", false),
            ("user", true),
            ("users", false),
        ] {
            assert_eq!(filter.admits(name.as_bytes()), admitted, "{name}");
        }
        assert!(Filter::default().admits(b"a\xff"));
        let [include, exclude] = filter.patterns();
        assert_eq!((include.count(), exclude.collect::<Vec<_>>()), (2, vec!["*.scope"]));
    }

    #[test]
    fn bad_pattern_is_named() {
        let error = Filter::new(&["a[b"], &[]).expect_err("no end");
        assert!(error.to_string().contains("a[b"), "{error}");
    }
}
