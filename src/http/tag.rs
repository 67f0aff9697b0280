//! Which state of the data an answer shows, as the entity tag of its header.

use std::fmt::{self, Write as _};
use std::hash::Hasher as _;

use hyper::header::{self, HeaderMap, HeaderValue};

use super::headers::{Acceptable, Coding, EntityTag, entity_tags};
use crate::ring::{Ring, Words};

/// Longest entity tag, without its quotes.
const TAG_BYTES_MAX: usize = 160;

/// A state of the data: two answers of one kind, made from the same version, show the same.
///
/// It says nothing of what changes without a record: liveness, ages, the server's own counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    ring_id: [u64; 2],
    epoch: u64,
    head: u64,
    directory_changes: u64,
}

impl Version {
    /// What `ring` shows now.
    #[must_use]
    pub fn of<W: Words>(ring: &Ring<W>) -> Version {
        Version {
            ring_id: ring.header().ring_id,
            epoch: ring.epoch(),
            head: ring.head(),
            directory_changes: ring.directory_changes(),
        }
    }

    /// What rings show together, each with its name. Their order counts, as it does in an answer.
    #[must_use]
    pub fn of_all<'a>(rings: impl IntoIterator<Item = (&'a str, Version)>) -> Version {
        let mut all = Version { ring_id: [0, 1], epoch: 0, head: 0, directory_changes: 0 };
        for (name, Version { ring_id, epoch, head, directory_changes }) in rings {
            for half in &mut all.ring_id {
                // Two hashes, which begin differently, of everything up to here.
                let mut hasher = std::hash::DefaultHasher::new();
                hasher.write_u64(*half);
                hasher.write(name.as_bytes());
                for word in [name.len() as u64, ring_id[0], ring_id[1]] {
                    hasher.write_u64(word);
                }
                for word in [epoch, head, directory_changes] {
                    hasher.write_u64(word);
                }
                *half = hasher.finish();
            }
            all.epoch = all.epoch.wrapping_add(epoch);
            all.head = all.head.wrapping_add(head);
            all.directory_changes = all.directory_changes.wrapping_add(directory_changes);
        }
        all
    }
}

/// The strong entity tag of an answer, but for its coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) version: Version,
    /// The door and the format, in characters that an entity tag may have.
    pub(crate) what: &'static str,
    /// What the answer could show, by [`Sight::key`](crate::rights::Sight::key).
    pub(crate) rights: u64,
}

impl Tag {
    /// The header's value for an answer in `coding`. `None` where `what` is longer than anybody's.
    pub(crate) fn header(&self, coding: Coding) -> Option<HeaderValue> {
        let mut text = Text::new();
        write!(text, "\"{}\"", Shown(self, coding)).ok()?;
        HeaderValue::from_bytes(text.as_bytes()).ok()
    }

    /// In which coding a client has the answer already, if it says so and could read it again.
    ///
    /// All answers of one tag are the same but for their coding. So it does not matter in which one
    /// this answer would be sent: the client is told which of its own it may keep.
    pub(crate) fn held(
        &self,
        headers: &HeaderMap,
        acceptable: impl FnOnce() -> Acceptable,
    ) -> Option<Coding> {
        let listed = || {
            let lines = headers.get_all(header::IF_NONE_MATCH).iter();
            lines.filter_map(|line| line.to_str().ok()).flat_map(entity_tags)
        };
        listed().next()?;
        if listed().any(|tag| tag == EntityTag::Any) {
            return Some(Coding::Identity);
        }
        let held = |coding: Coding| {
            let mut text = Text::new();
            let written = write!(text, "{}", Shown(self, coding)).is_ok();
            let is_held =
                |tag| matches!(tag, EntityTag::Opaque(tag) if tag.as_bytes() == text.as_bytes());
            written && listed().any(is_held)
        };
        let acceptable = acceptable();
        Coding::ALL.iter().copied().find(|coding| acceptable.admits(*coding) && held(*coding))
    }
}

struct Shown<'a>(&'a Tag, Coding);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(Tag { version, what, rights }, coding) = self;
        let Version { ring_id: [high, low], epoch, head, directory_changes } = version;
        write!(f, "{high:016x}{low:016x}-{epoch}.{head}.{directory_changes}-")?;
        write!(f, "{what}-{rights:016x}-{}", coding.as_str())
    }
}

/// A short text on the stack.
struct Text {
    bytes: [u8; TAG_BYTES_MAX + 2],
    len: usize,
}

impl Text {
    fn new() -> Text {
        Text { bytes: [0; TAG_BYTES_MAX + 2], len: 0 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: Version = Version {
        ring_id: [u64::MAX, 0x1f],
        epoch: u64::MAX,
        head: u64::MAX,
        directory_changes: u64::MAX,
    };
    const TAG: Tag = Tag { version: VERSION, what: "latest", rights: u64::MAX };

    fn held(tag: &Tag, lines: &[&str], accepted: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).expect("a value");
            headers.append(header::IF_NONE_MATCH, line);
        }
        tag.held(&headers, || Acceptable::of([accepted]))
    }

    fn shown(tag: &Tag, coding: Coding) -> String {
        tag.header(coding).expect("room").to_str().expect("text").to_owned()
    }

    #[test]
    fn a_tag_says_ring_record_kind_rights_and_coding() {
        assert_eq!(
            shown(&TAG, Coding::Gzip),
            "\"ffffffffffffffff000000000000001f-18446744073709551615.18446744073709551615\
             .18446744073709551615-latest-ffffffffffffffff-gzip\""
        );
        const LONG: &str = match str::from_utf8(&[b'x'; TAG_BYTES_MAX]) {
            Ok(text) => text,
            Err(_) => "",
        };
        let long = Tag { what: LONG, ..TAG };
        assert_eq!(long.header(Coding::Identity), None);
    }

    #[test]
    fn a_client_has_what_it_lists() {
        let (plain, gzip) = (shown(&TAG, Coding::Identity), shown(&TAG, Coding::Gzip));
        let weak = format!("\"x\", W/{plain}");
        let both = format!("{plain}, {gzip}");
        for (lines, accepted, expected) in [
            (&[][..], "", None),
            (&["*"], "", Some(Coding::Identity)),
            (&[&*plain], "", Some(Coding::Identity)),
            (&[&*plain], "gzip", Some(Coding::Identity)),
            (&[&*weak], "", Some(Coding::Identity)),
            (&["\"x\"", &*plain], "", Some(Coding::Identity)),
            (&[&*gzip], "gzip", Some(Coding::Gzip)),
            (&[&*gzip], "", None),
            (&[&*both], "gzip", Some(Coding::Gzip)),
            (&[&*both], "gzip;q=0", Some(Coding::Identity)),
            (&[&*both], "*;q=0", None),
            (&[plain.trim_matches('"')], "", None),
            (&["nonsense", &*plain], "", Some(Coding::Identity)),
            (&["\u{e4}"], "", None),
        ] {
            assert_eq!(held(&TAG, lines, accepted), expected, "{lines:?} {accepted}");
        }
    }

    #[test]
    fn every_part_of_a_version_makes_another_tag() {
        let mut others = vec![Tag { what: "series", ..TAG }];
        let change = |of: &mut dyn FnMut(&mut Version)| {
            let mut version = VERSION;
            of(&mut version);
            Tag { version, ..TAG }
        };
        others.push(change(&mut |version| version.ring_id[0] = 0));
        others.push(change(&mut |version| version.ring_id[1] = 0));
        others.push(change(&mut |version| version.epoch = 0));
        others.push(change(&mut |version| version.head = 0));
        others.push(change(&mut |version| version.directory_changes = 0));
        for other in others {
            let line = shown(&other, Coding::Identity);
            assert_eq!(held(&other, &[&line], ""), Some(Coding::Identity));
            assert_eq!(held(&TAG, &[&line], ""), None);
        }
    }

    #[test]
    fn rings_together_are_told_apart_by_each_of_them() {
        let moved = Version { head: 7, ..VERSION };
        let back = Version { head: 5, ..VERSION };
        let all = |rings: &[(&str, Version)]| Version::of_all(rings.iter().copied());
        let first = all(&[("a", VERSION), ("b", moved)]);
        assert_eq!(first, all(&[("a", VERSION), ("b", moved)]));
        for other in [
            all(&[("b", moved), ("a", VERSION)]),
            all(&[("a", moved), ("b", VERSION)]),
            all(&[("a", VERSION), ("c", moved)]),
            all(&[("a", VERSION), ("b", back)]),
            all(&[("a", VERSION)]),
            all(&[]),
        ] {
            assert_ne!(first, other);
        }
        assert_ne!(all(&[("a", moved), ("b", back)]), all(&[("a", back), ("b", moved)]));
    }
}
