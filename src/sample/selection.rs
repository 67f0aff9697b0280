//! Which sources run, and how often.

use std::{error, fmt};

use super::SOURCES;

/// Which sources run, and how often; by default each of them at every tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    divisors: [u32; SOURCES.len()],
}

impl Default for Selection {
    fn default() -> Self {
        Self { divisors: [1; SOURCES.len()] }
    }
}

impl Selection {
    /// Lets the source `name` run at each `divisor`-th tick, or never if that is 0.
    ///
    /// # Errors
    ///
    /// [`UnknownSource`] if none of [`SOURCES`] has this name.
    pub fn set(&mut self, name: &str, divisor: u32) -> Result<(), UnknownSource> {
        let mut sources = SOURCES.iter().zip(&mut self.divisors);
        let found = sources.find(|(source, _)| source.name == name);
        let (_, place) = found.ok_or_else(|| UnknownSource { name: name.into() })?;
        *place = divisor;
        Ok(())
    }

    /// Every source's name and divisor, in the order of [`SOURCES`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        SOURCES.iter().map(|source| source.name).zip(self.divisors)
    }
}

/// No source has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSource {
    name: Box<str>,
}

impl fmt::Display for UnknownSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no source {:?}; there are", self.name)?;
        for (index, source) in SOURCES.iter().enumerate() {
            write!(f, "{} {}", if index == 0 { "" } else { "," }, source.name)?;
        }
        Ok(())
    }
}

impl error::Error for UnknownSource {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_selected_by_name() {
        let mut selection = Selection::default();
        assert!(selection.iter().all(|(_, divisor)| divisor == 1));
        assert_eq!(selection.set("vmstat", 10), Ok(()));
        assert!(selection.iter().any(|source| source == ("vmstat", 10)));
        let error = selection.set("vmstats", 1).expect_err("no such source");
        assert!(error.to_string().starts_with("no source \"vmstats\"; there are stat, meminfo,"));
    }
}
