//! `If-None-Match`: which answers a client has.

use super::super::limits::ENTITY_TAGS_MAX;

/// One of what a line of the header lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityTag<'a> {
    /// `*`: whatever there is.
    Any,
    /// What stands between the quotes. Whether the tag is weak is not told: the comparison that
    /// belongs to this header does not ask.
    Opaque(&'a str),
}

/// The entity tags in one line of the header.
///
/// A list ends where it is malformed, and after [`ENTITY_TAGS_MAX`] tags.
///
/// # Examples
///
/// ```
/// use tachograph::http::headers::EntityTag::{Any, Opaque};
/// use tachograph::http::headers::entity_tags;
///
/// assert!(entity_tags("\"a\", W/\"b,c\"").eq([Opaque("a"), Opaque("b,c")]));
/// assert!(entity_tags("\"a\", b, \"c\"").eq([Opaque("a")]));
/// assert!(entity_tags("*").eq([Any]));
/// ```
pub fn entity_tags(line: &str) -> impl Iterator<Item = EntityTag<'_>> {
    let is_any = line.trim_matches([' ', '\t']) == "*";
    let mut left = if is_any { "" } else { line };
    let opaque = std::iter::from_fn(move || {
        left = left.trim_start_matches([' ', '\t', ',']);
        let opened = left.strip_prefix("W/").unwrap_or(left).strip_prefix('"')?;
        let (tag, rest) = opened.split_once('"')?;
        left = rest.trim_start_matches([' ', '\t']);
        let is_whole = left.is_empty() || left.starts_with(',');
        let is_sound = !tag.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        (is_whole && is_sound).then_some(EntityTag::Opaque(tag))
    });
    is_any.then_some(EntityTag::Any).into_iter().chain(opaque.take(ENTITY_TAGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::EntityTag::{Any, Opaque};
    use super::*;

    #[test]
    fn tags_are_read_up_to_a_mistake() {
        for (line, tags) in [
            ("", &[][..]),
            ("*", &[Any]),
            (" * ", &[Any]),
            ("\"*\"", &[Opaque("*")]),
            ("\"a\"", &[Opaque("a")]),
            ("W/\"a\"", &[Opaque("a")]),
            ("w/\"a\"", &[]),
            ("\"\"", &[Opaque("")]),
            (",, \"a\" ,\t\"b\",", &[Opaque("a"), Opaque("b")]),
            ("\"a\" \"b\"", &[]),
            ("\"a b\"", &[]),
            ("\"a", &[]),
            ("a", &[]),
            ("*, \"a\"", &[]),
            ("\"a\", *", &[Opaque("a")]),
            ("\"\u{e4}\"", &[Opaque("\u{e4}")]),
        ] {
            assert!(entity_tags(line).eq(tags.iter().copied()), "{line}");
        }
        let many = "\"a\",".repeat(ENTITY_TAGS_MAX + 1);
        assert_eq!(entity_tags(&many).count(), ENTITY_TAGS_MAX);
    }
}
