//! Secrets of tokens: what is kept of them, and how one that is presented is checked.
//!
//! A secret is 192 random bits, so nobody can try them all, and there is nothing that a slow hash
//! would make harder; what is kept is a salted SHA-256. A slow one is for passwords that people think
//! of, of which there are none here. It would cost each scrape a tenth of a second, and then a cache
//! of what was right before, which is where others have had their holes.

use std::fmt::{self, Write as _};
use std::io;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const SECRET_BYTES: usize = 24;
const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
/// How a digest begins that is made as it is made here.
const METHOD: &str = "sha256";

/// A secret, which is shown once and kept nowhere.
pub struct Secret(String);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers to give.
    pub fn new() -> io::Result<Self> {
        Ok(Self(hex(&random::<SECRET_BYTES>()?)))
    }

    /// The text that its owner is to present.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What is kept of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDigest {
    salt: [u8; SALT_BYTES],
    digest: [u8; DIGEST_BYTES],
}

impl SecretDigest {
    /// What is to be kept of a secret, with a salt of its own.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers to give.
    pub fn of(secret: &Secret) -> io::Result<Self> {
        let salt = random()?;
        Ok(Self { salt, digest: digest(&salt, secret.0.as_bytes()) })
    }

    /// What stands for the secret of an id that has none: no text is known that it belongs to.
    pub(super) const NOBODYS: Self = Self { salt: [0; SALT_BYTES], digest: [0; DIGEST_BYTES] };

    /// Whether `secret` is the one that it was made of. Takes the same time for all of one length.
    #[must_use]
    pub fn is_of(&self, secret: &[u8]) -> bool {
        digest(&self.salt, secret).ct_eq(&self.digest).into()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest")
    }
}

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{METHOD}:{}:{}", hex(&self.salt), hex(&self.digest))
    }
}

/// This is not what is kept of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDigest;

impl fmt::Display for NoDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "what is kept of a secret is {METHOD}:SALT:DIGEST, of 32 and 64 hexadecimal digits"
        )
    }
}

impl std::error::Error for NoDigest {}

impl FromStr for SecretDigest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let mut parts = text.split(':');
        let (method, salt, digest) = (parts.next(), parts.next(), parts.next());
        if method != Some(METHOD) || parts.next().is_some() {
            return Err(NoDigest);
        }
        let salt = salt.and_then(unhex).ok_or(NoDigest)?;
        Ok(Self { salt, digest: digest.and_then(unhex).ok_or(NoDigest)? })
    }
}

fn digest(salt: &[u8], secret: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new().chain_update(salt).chain_update(secret).finalize().into()
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let got = getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    // So few bytes are never given in part.
    if got == N { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_known_again_and_no_other_is() {
        let secret = Secret::new().expect("random numbers");
        let other = Secret::new().expect("random numbers");
        assert_eq!(secret.reveal().len(), 2 * SECRET_BYTES);
        assert_ne!(secret.reveal(), other.reveal());
        let kept = SecretDigest::of(&secret).expect("random numbers");
        let again = SecretDigest::of(&secret).expect("random numbers");
        assert_ne!(kept.to_string(), again.to_string(), "each has a salt of its own");
        for kept in [&kept, &again, &kept.to_string().parse().expect("a digest")] {
            assert!(kept.is_of(secret.reveal().as_bytes()));
            assert!(!kept.is_of(other.reveal().as_bytes()) && !kept.is_of(b""));
            assert!(!kept.is_of(&secret.reveal().as_bytes()[1..]));
        }
        assert!(!SecretDigest::NOBODYS.is_of(secret.reveal().as_bytes()));
    }

    #[test]
    fn digest_is_sha256_of_salt_and_secret() {
        // printf '%s' 'secret' with sixteen bytes of zero before it, by sha256sum.
        let text = format!("sha256:{}:{}", "00".repeat(16), SHA256_OF_ZEROS_AND_SECRET);
        let kept: SecretDigest = text.parse().expect("a digest");
        assert!(kept.is_of(b"secret") && !kept.is_of(b"Secret"));
        assert_eq!(kept.to_string(), text);
    }

    const SHA256_OF_ZEROS_AND_SECRET: &str =
        "36fcbdc4799378811fe3603f327fe626b629fdc63c0958cc7ee6fce2183752cb";

    #[test]
    fn what_is_no_digest_is_refused() {
        let sound = SecretDigest::NOBODYS.to_string();
        for text in [
            "",
            "sha256",
            "sha256::",
            &sound[1..],
            &sound[..sound.len() - 1],
            &sound.replace("sha256", "md5"),
            &format!("{sound}:00"),
            &sound.replace("00:", "0+:"),
        ] {
            assert_eq!(text.parse::<SecretDigest>(), Err(NoDigest), "{text}");
        }
    }

    #[test]
    fn secrets_do_not_stand_in_what_is_printed_for_developers() {
        let secret = Secret::new().expect("random numbers");
        let kept = SecretDigest::of(&secret).expect("random numbers");
        assert_eq!(format!("{secret:?} {kept:?}"), "Secret SecretDigest");
    }
}
