//! What a request says of who sends it.
//!
//! | header `Authorization` | whose form |
//! |---|---|
//! | `PBSAPIToken=ID:SECRET` or `PBSAPIToken ID:SECRET`, the secret percent-encoded if need be | Proxmox Backup Server |
//! | `PVEAPIToken=ID=SECRET` | Proxmox Virtual Environment |
//! | `Bearer ID:SECRET` | RFC 6750 |
//! | `Basic BASE64`, the token's id being the user's name | RFC 7617; what Prometheus and Grafana can be given |

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;

use super::id::{AuthId, ID_BYTES_MAX};

/// Most bytes of a header that is read: more than any id and any secret have, in any form.
pub const CREDENTIALS_BYTES_MAX: usize = 1024;

/// Who somebody says to be, and the secret that is to prove it.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub id: AuthId,
    /// What only they know.
    pub secret: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Nobody can be meant by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// It is longer than [`CREDENTIALS_BYTES_MAX`].
    TooLong,
    /// It is in none of the forms.
    Scheme,
    /// It is in one of the forms, and not well.
    Malformed,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the header is too long",
            Self::Scheme => "the header is in none of the forms that are known",
            Self::Malformed => "the header has no id and secret",
        })
    }
}

impl std::error::Error for CredentialsError {}

impl Credentials {
    /// What the value of a header `Authorization` says.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`]. What it was stands in no error.
    ///
    /// # Examples
    ///
    /// ```
    /// use tachograph::rights::Credentials;
    ///
    /// let found = Credentials::parse(b"PBSAPIToken=alice@pbs!scraper:5ecret")?;
    /// assert_eq!(found.id.as_str(), "alice@pbs!scraper");
    /// assert_eq!(found.secret, b"5ecret");
    /// # Ok::<(), tachograph::rights::CredentialsError>(())
    /// ```
    pub fn parse(value: &[u8]) -> Result<Self, CredentialsError> {
        if value.len() > CREDENTIALS_BYTES_MAX {
            return Err(CredentialsError::TooLong);
        }
        let value = value.trim_ascii();
        let end = value.iter().position(|byte| matches!(byte, b' ' | b'='));
        let (scheme, rest) = value.split_at(end.unwrap_or(value.len()));
        let is = |name: &str| scheme.eq_ignore_ascii_case(name.as_bytes());
        // The character behind the scheme, and what is behind that.
        let (mark, text) = rest.split_first().unwrap_or((&b' ', b""));
        let text = text.trim_ascii_start();
        let (id, secret) = match (mark, scheme) {
            (_, _) if is("PBSAPIToken") => {
                let (id, secret) = split(text, b':')?;
                (id, percent_decode(secret).into())
            }
            (b'=', _) if is("PVEAPIToken") => {
                let (id, secret) = split_pve(text)?;
                (id, Cow::Borrowed(secret))
            }
            (b' ', _) if is("Bearer") => {
                let (id, secret) = split(text, b':')?;
                (id, Cow::Borrowed(secret))
            }
            (b' ', _) if is("Basic") => {
                let decoded = STANDARD.decode(text).map_err(|_| CredentialsError::Malformed)?;
                let (id, secret) = split(&decoded, b':')?;
                return Self::of(id, secret.to_vec());
            }
            _ => return Err(CredentialsError::Scheme),
        };
        Self::of(id, secret.into_owned())
    }

    fn of(id: &[u8], secret: Vec<u8>) -> Result<Self, CredentialsError> {
        let id = std::str::from_utf8(id).ok().filter(|id| id.len() <= ID_BYTES_MAX);
        let id = id.and_then(|id| id.parse().ok()).ok_or(CredentialsError::Malformed)?;
        Ok(Self { id, secret })
    }
}

fn split(text: &[u8], mark: u8) -> Result<(&[u8], &[u8]), CredentialsError> {
    let at = text.iter().position(|byte| *byte == mark).ok_or(CredentialsError::Malformed)?;
    Ok((&text[..at], &text[at + 1..]))
}

/// A user's name may have the mark that stands before the secret, and a token's may not.
fn split_pve(text: &[u8]) -> Result<(&[u8], &[u8]), CredentialsError> {
    let (user, _) = split(text, b'!')?;
    let (token, secret) = split(&text[user.len() + 1..], b'=')?;
    Ok((&text[..user.len() + 1 + token.len()], secret))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(value: &str) -> Result<(String, String), CredentialsError> {
        let Credentials { id, secret } = Credentials::parse(value.as_bytes())?;
        Ok((id.to_string(), String::from_utf8(secret).expect("text")))
    }

    #[test]
    fn forms_of_all_clients_are_understood() {
        let basic = STANDARD.encode("a=b@pbs!t:se:cret");
        for (value, id, secret) in [
            ("PBSAPIToken=a@pbs!t:s", "a@pbs!t", "s"),
            ("PBSAPIToken a@pbs!t:s", "a@pbs!t", "s"),
            ("PBSAPIToken  a@pbs!t:100%25%3a", "a@pbs!t", "100%:"),
            ("PBSAPIToken=a@pbs!t:s:u", "a@pbs!t", "s:u"),
            ("PVEAPIToken=a@pam!t=s=u", "a@pam!t", "s=u"),
            ("PVEAPIToken=a=b@pam!t=s", "a=b@pam!t", "s"),
            ("Bearer a@pbs!t:s%25", "a@pbs!t", "s%25"),
            ("bearer a@pbs!t:", "a@pbs!t", ""),
            ("Bearer a@pbs:s", "a@pbs", "s"),
            (&format!("Basic {basic}"), "a=b@pbs!t", "se:cret"),
            (&format!("bAsIc   {basic} "), "a=b@pbs!t", "se:cret"),
        ] {
            assert_eq!(parsed(value), Ok((id.into(), secret.into())), "{value}");
        }
    }

    #[test]
    fn what_nobody_can_be_meant_by_is_refused() {
        let long = format!("Bearer a@pbs!t:{}", "s".repeat(CREDENTIALS_BYTES_MAX));
        for (value, error) in [
            ("", CredentialsError::Scheme),
            ("a@pbs!t:s", CredentialsError::Scheme),
            ("Digest a@pbs!t:s", CredentialsError::Scheme),
            ("Bearer=a@pbs!t:s", CredentialsError::Scheme),
            ("PVEAPIToken a@pbs!t=s", CredentialsError::Scheme),
            ("PBSAPITokena@pbs!t:s", CredentialsError::Scheme),
            ("PBSAPIToken", CredentialsError::Malformed),
            ("PBSAPIToken=", CredentialsError::Malformed),
            ("PBSAPIToken=a@pbs!t", CredentialsError::Malformed),
            ("PBSAPIToken=:s", CredentialsError::Malformed),
            ("PBSAPIToken=../../etc@pbs!t:s", CredentialsError::Malformed),
            ("PVEAPIToken=a@pam!t:s", CredentialsError::Malformed),
            ("PVEAPIToken=a@pam=s", CredentialsError::Malformed),
            ("Bearer a\u{1}@pbs!t:s", CredentialsError::Malformed),
            ("Basic !!!", CredentialsError::Malformed),
            ("Basic YQ==", CredentialsError::Malformed),
            (&*long, CredentialsError::TooLong),
        ] {
            assert_eq!(parsed(value), Err(error), "{value:.60}");
        }
        assert_eq!(Credentials::parse(b"Bearer \xff@pbs!t:s"), Err(CredentialsError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(value: Vec<u8>) {
            let _ = Credentials::parse(&value);
        }

        #[test]
        fn any_secret_arrives_as_it_is(secret: Vec<u8>) {
            let mut value = b"Bearer a@pbs!t:x".to_vec();
            value.extend_from_slice(&secret);
            value.push(b'x');
            let found = Credentials::parse(&value).expect("sound");
            prop_assert_eq!(&found.secret[1..found.secret.len() - 1], &secret);
            let value = format!("Basic {}", STANDARD.encode([b"a@pbs!t:", &*secret].concat()));
            prop_assume!(value.len() <= CREDENTIALS_BYTES_MAX);
            prop_assert_eq!(Credentials::parse(value.as_bytes()).expect("sound").secret, secret);
        }
    }
}
