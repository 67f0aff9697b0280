//! `Accept-Encoding`: in which codings a client can read an answer.

use super::super::quality::{WHOLE, weighted};

/// How the bytes of an answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// The codings that this build can write, the one first that is taken when a client likes several
    /// of them best.
    pub const ALL: &'static [Coding] = &[
        #[cfg(feature = "zstd")]
        Coding::Zstd,
        Coding::Gzip,
        Coding::Identity,
    ];

    /// The name in a header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }

    fn named(name: &str) -> Option<Coding> {
        match name {
            _ if name.eq_ignore_ascii_case("identity") => Some(Coding::Identity),
            _ if name.eq_ignore_ascii_case("gzip") => Some(Coding::Gzip),
            // The name that it had before it was registered.
            _ if name.eq_ignore_ascii_case("x-gzip") => Some(Coding::Gzip),
            _ if name.eq_ignore_ascii_case("zstd") => Some(Coding::Zstd),
            _ => None,
        }
    }
}

/// How much a client likes each coding, in thousandths.
///
/// # Examples
///
/// ```
/// use tachograph::http::headers::{Acceptable, Coding};
///
/// assert_eq!(Acceptable::of(["gzip;q=0.5, deflate"]).best(), Coding::Gzip);
/// assert_eq!(Acceptable::of(["deflate, *;q=0"]).best(), Coding::Identity);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acceptable {
    identity: Option<u16>,
    gzip: Option<u16>,
    zstd: Option<u16>,
    others: Option<u16>,
}

impl Acceptable {
    /// What the header says, of which there may be several lines. Of two weights for one coding the
    /// first counts.
    #[must_use]
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Acceptable {
        let mut acceptable = Acceptable::default();
        for (item, weight) in lines.into_iter().flat_map(weighted) {
            let slot = match (item, Coding::named(item)) {
                ("*", _) => &mut acceptable.others,
                (_, Some(coding)) => acceptable.slot(coding),
                (_, None) => continue,
            };
            slot.get_or_insert(weight);
        }
        acceptable
    }

    fn slot(&mut self, coding: Coding) -> &mut Option<u16> {
        match coding {
            Coding::Identity => &mut self.identity,
            Coding::Gzip => &mut self.gzip,
            Coding::Zstd => &mut self.zstd,
        }
    }

    fn weight(&self, coding: Coding) -> u16 {
        match coding {
            // Not to be mentioned means for it that nothing is said against it.
            Coding::Identity => self.identity.or(self.others).unwrap_or(WHOLE),
            Coding::Gzip => self.gzip.or(self.others).unwrap_or(0),
            Coding::Zstd => self.zstd.or(self.others).unwrap_or(0),
        }
    }

    /// Whether the client can read an answer in this coding.
    #[must_use]
    pub fn admits(&self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    /// What an answer is best written in.
    ///
    /// A client that names a coding wants it rather than none, and that without a word for identity is
    /// no vote for identity: this is how every scraper and browser means `gzip;q=0.5`. Where a client admits
    /// nothing that there is, it gets identity all the same: a refusal would help nobody.
    #[must_use]
    pub fn best(&self) -> Coding {
        let identity = self.identity.unwrap_or(0);
        let mut best = (Coding::Identity, identity);
        for &coding in Coding::ALL.iter().rev().filter(|coding| **coding != Coding::Identity) {
            let weight = self.weight(coding);
            if weight > 0 && weight >= best.1 {
                best = (coding, weight);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(line: &str) -> Coding {
        Acceptable::of([line]).best()
    }

    /// What is best where zstd can be written, and where it cannot.
    fn zstd_or(other: Coding) -> Coding {
        if cfg!(feature = "zstd") { Coding::Zstd } else { other }
    }

    #[test]
    fn the_coding_that_is_liked_best_is_taken() {
        for (line, coding) in [
            ("", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("GZip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("gzip;q=0.5", Coding::Gzip),
            ("gzip;q=0", Coding::Identity),
            ("gzip;q=0.5, identity;q=0.6", Coding::Identity),
            ("gzip;q=0.6, identity;q=0.6", Coding::Gzip),
            ("deflate, br", Coding::Identity),
            ("gzip, deflate, br, zstd", zstd_or(Coding::Gzip)),
            ("zstd;q=0.1, gzip;q=0.2", Coding::Gzip),
            ("zstd", zstd_or(Coding::Identity)),
            ("*", zstd_or(Coding::Gzip)),
            ("*;q=0.1, gzip", Coding::Gzip),
            ("*, zstd;q=0", Coding::Gzip),
            ("*;q=0", Coding::Identity),
            ("identity;q=0", Coding::Identity),
            ("identity;q=0, gzip;q=0.001", Coding::Gzip),
            ("gzip;q=nonsense", Coding::Identity),
            ("gzip;q=1.5, x-gzip;q=0.2", Coding::Gzip),
            ("gzip;q=0, gzip", Coding::Identity),
            ("gzip;level=9", Coding::Identity),
            (",,;;q=,gzip", Coding::Gzip),
        ] {
            assert_eq!(best(line), coding, "{line}");
        }
        assert_eq!(Acceptable::of(["deflate", "gzip;q=0.3"]).best(), Coding::Gzip);
    }

    #[test]
    fn identity_is_admitted_unless_it_is_refused() {
        for (line, admitted) in [
            ("", true),
            ("gzip", true),
            ("identity;q=0", false),
            ("*;q=0", false),
            ("*;q=0, identity", true),
        ] {
            assert_eq!(Acceptable::of([line]).admits(Coding::Identity), admitted, "{line}");
        }
        assert!(!Acceptable::of(["deflate"]).admits(Coding::Gzip));
    }
}
