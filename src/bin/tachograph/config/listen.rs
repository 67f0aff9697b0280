//! Where to listen: addresses of the network, and sockets in the file system.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;
use serde::Deserialize;

const ADDRESS_DEFAULT: &str = "127.0.0.1:8017";
/// Who may connect to a socket of which nothing is said: its owner and its group.
const MODE_DEFAULT: u32 = 0o660;
/// Most places to listen at.
const PLACES_MAX: usize = 64;

/// One place, as it is written: `127.0.0.1:8017` or `unix:/run/tachograph/http.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let wrong = |_| {
            format!(
                "{text:?} is no address with a port and no socket; write 127.0.0.1:8017, [::1]:0 or \
                 unix:/run/tachograph/http.sock"
            )
        };
        text.parse().map(Self::Tcp).map_err(wrong)
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The mode of a socket, in octal digits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Mode(u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| digits && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| format!("{text:?} is no mode of a socket; write '0660'"))
    }
}

/// A socket in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnixKeys {
    path: PathBuf,
    mode: Option<Mode>,
    group: Option<String>,
}

/// A socket in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnixSettings {
    pub path: PathBuf,
    pub mode: u32,
    /// A name or a number. Whether there is such a group is seen where it is used.
    pub group: Option<String>,
}

/// All places to listen at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub addresses: Vec<SocketAddr>,
    pub sockets: Vec<UnixSettings>,
}

impl Places {
    /// Those of the flags if there are any, otherwise those of the file.
    pub(super) fn of(
        flags: &[Listen],
        listen: Option<Vec<Listen>>,
        unix: Vec<UnixKeys>,
    ) -> anyhow::Result<Self> {
        let mut places = Self::default();
        let listen = match (flags, listen) {
            ([], Some(listen)) => listen,
            ([], None) => vec![Listen::Tcp(ADDRESS_DEFAULT.parse()?)],
            (flags, _) => flags.to_vec(),
        };
        for place in listen {
            match place {
                Listen::Tcp(address) => places.addresses.push(address),
                Listen::Unix(path) => {
                    places.sockets.push(UnixSettings { path, mode: MODE_DEFAULT, group: None });
                }
            }
        }
        if flags.is_empty() {
            places.sockets.extend(unix.into_iter().map(|UnixKeys { path, mode, group }| {
                UnixSettings { path, mode: mode.map_or(MODE_DEFAULT, |mode| mode.0), group }
            }));
        }
        places.check()?;
        Ok(places)
    }

    fn check(&self) -> anyhow::Result<()> {
        let count = self.addresses.len() + self.sockets.len();
        if count > PLACES_MAX {
            bail!("there are {count} places to listen at; {PLACES_MAX} is the most");
        }
        for (index, UnixSettings { path, .. }) in self.sockets.iter().enumerate() {
            if !path.is_absolute() {
                bail!("the path {path:?} of a socket is not absolute");
            }
            if self.sockets[..index].iter().any(|other| other.path == *path) {
                bail!("there are two sockets {path:?}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_modes_are_understood_or_refused() {
        assert_eq!("[::1]:0".parse(), Ok(Listen::Tcp(([0, 0, 0, 0, 0, 0, 0, 1], 0).into())));
        assert_eq!("unix:/a b".parse(), Ok(Listen::Unix("/a b".into())));
        for text in ["", "127.0.0.1", "8017", "/run/http.sock", "localhost:8017"] {
            let error = text.parse::<Listen>().expect_err(text);
            assert!(error.contains("unix:/run"), "{error}");
        }
        let mode = |text: &str| Mode::try_from(text.to_owned()).ok().map(|mode| mode.0);
        assert_eq!((mode("0660"), mode("600"), mode("0")), (Some(0o660), Some(0o600), Some(0)));
        for text in ["", "0o660", "660 ", "888", "1777", "+660", "-1"] {
            assert_eq!(mode(text), None, "{text}");
        }
    }
}
