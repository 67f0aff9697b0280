//! Who somebody is: `user@realm`, or a token of theirs, `user@realm!token`.
//!
//! The form is that of Proxmox's systems, so that their clients can be told an id of ours.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// Most bytes of an id.
pub const ID_BYTES_MAX: usize = 128;

/// An id of a user or of a token.
///
/// # Examples
///
/// ```
/// use tachograph::rights::AuthId;
///
/// let token: AuthId = "alice@pbs!scraper".parse()?;
/// assert!(token.is_token());
/// assert_eq!(token.owner().as_str(), "alice@pbs");
/// assert!("alice".parse::<AuthId>().is_err());
/// # Ok::<(), tachograph::rights::IdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthId {
    text: Box<str>,
    /// Where the user's part ends.
    user_bytes: usize,
}

/// Whoever says nothing of who they are. Nobody can have a secret for it.
pub const ANONYMOUS: &str = "anonymous@local";

impl AuthId {
    /// The id of [`ANONYMOUS`].
    #[must_use]
    pub fn anonymous() -> Self {
        Self { text: ANONYMOUS.into(), user_bytes: ANONYMOUS.len() }
    }

    /// Whether it is that of whoever says nothing of who they are.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        &*self.text == ANONYMOUS
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is that of a token.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.user_bytes < self.text.len()
    }

    /// The user whose token it is, or the user.
    #[must_use]
    pub fn owner(&self) -> Self {
        Self { text: self.text[..self.user_bytes].into(), user_bytes: self.user_bytes }
    }
}

impl Borrow<str> for AuthId {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for AuthId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AuthId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// It has more than [`ID_BYTES_MAX`] bytes.
    TooLong,
    /// It has no realm.
    NoRealm,
    /// The user's name is empty or has a character that names do not have.
    User,
    /// The realm is none.
    Realm,
    /// The token's name is none.
    Token,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "an id has at most {ID_BYTES_MAX} bytes"),
            Self::NoRealm => f.write_str("an id is user@realm or user@realm!token"),
            Self::User => {
                f.write_str("a user's name has no spaces, control characters, `:`, `/` or `!`")
            }
            Self::Realm => f.write_str(
                "a realm has 2 to 32 letters, digits, dots, dashes and underscores, a letter first",
            ),
            Self::Token => f.write_str(
                "a token's name has letters, digits, dots, dashes and underscores, and begins with \
                 none of the dots and dashes",
            ),
        }
    }
}

impl std::error::Error for IdError {}

impl FromStr for AuthId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() > ID_BYTES_MAX {
            return Err(IdError::TooLong);
        }
        // Neither a realm nor a token has an at sign, and a user's name has no exclamation mark.
        let (user, token) = match text.split_once('!') {
            Some((user, token)) => (user, Some(token)),
            None => (text, None),
        };
        let (name, realm) = user.rsplit_once('@').ok_or(IdError::NoRealm)?;
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/');
        if name.is_empty() || name.contains(is_wrong) {
            return Err(IdError::User);
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins_with_letter =
            realm.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !begins_with_letter || !(2..=32).contains(&realm.len()) || !realm.bytes().all(is_part) {
            return Err(IdError::Realm);
        }
        if let Some(token) = token {
            let first = token.bytes().next().ok_or(IdError::Token)?;
            if matches!(first, b'.' | b'-') || !token.bytes().all(is_part) {
                return Err(IdError::Token);
            }
        }
        Ok(Self { text: text.into(), user_bytes: user.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_realm_and_may_have_a_token() {
        for (text, owner, is_token) in [
            ("root@pam", "root@pam", false),
            ("root@pam!t", "root@pam", true),
            ("john@example.com@ldap!_a.b-c", "john@example.com@ldap", true),
            ("jürgen@pbs", "jürgen@pbs", false),
        ] {
            let id: AuthId = text.parse().expect(text);
            assert_eq!((id.as_str(), id.is_token()), (text, is_token));
            assert_eq!(id.owner(), owner.parse().expect(owner));
            assert!(!id.owner().is_token());
        }
        assert!(ANONYMOUS.parse::<AuthId>().is_ok_and(|id| id == AuthId::anonymous()));
    }

    #[test]
    fn what_is_no_id_is_refused_with_its_reason() {
        let long = format!("{}@pbs", "a".repeat(ID_BYTES_MAX));
        for (text, error) in [
            ("", IdError::NoRealm),
            ("root", IdError::NoRealm),
            ("@pam", IdError::User),
            ("a b@pam", IdError::User),
            ("a\u{7f}@pam", IdError::User),
            ("a\n@pam", IdError::User),
            ("../a@pam", IdError::User),
            ("a:b@pam", IdError::User),
            ("a@", IdError::Realm),
            ("a@1x", IdError::Realm),
            ("a@p", IdError::Realm),
            ("a@p/m", IdError::Realm),
            ("a@pam!", IdError::Token),
            ("a@pam!-t", IdError::Token),
            ("a@pam!t!u", IdError::Token),
            ("a@pam!t:s", IdError::Token),
            ("a@pam!t\0", IdError::Token),
            (&*long, IdError::TooLong),
        ] {
            assert_eq!(text.parse::<AuthId>(), Err(error), "{text:?}");
        }
    }
}
