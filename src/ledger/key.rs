//! Minisign keys, in files and strings that Debian's `minisign` reads.
//!
//! Of the files that `minisign` writes, only public keys can be read here: minisign 0.11 writes no checksum
//! into a secret key that has no password, and such a file is refused here as damaged.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::LedgerError;

/// A secret key. It is not encrypted (`minisign -W`), because a nightly run can't ask for a password.
pub struct SigningKey(minisign::SecretKey);

/// A public key, written `RW…`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(String);

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self, LedgerError> {
        minisign::KeyPair::generate_unencrypted_keypair()
            .map(|pair| Self(pair.sk))
            .map_err(|source| LedgerError::Key {
                what: "key pair",
                source,
            })
    }

    /// Reads a secret key file.
    pub fn from_file_text(text: &str) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::Key {
            what: "secret key",
            source,
        };
        let boxed = minisign::SecretKeyBox::from_string(text).map_err(failed)?;
        boxed
            .into_unencrypted_secret_key()
            .map(Self)
            .map_err(failed)
    }

    /// The secret key file's text.
    pub fn to_file_text(&self) -> String {
        let boxed = self
            .0
            .to_box(Some("coldchain secret key"))
            .expect("the comment is one line");
        boxed.into_string()
    }

    /// Its public key.
    pub fn public(&self) -> PublicKey {
        let key = minisign::PublicKey::from_secret_key(&self.0)
            .expect("a secret key holds its public key");
        PublicKey(key.to_base64())
    }

    pub(super) fn sign(
        &self,
        bytes: &[u8],
        untrusted: &str,
        trusted: &str,
        what: &'static str,
    ) -> Result<String, LedgerError> {
        minisign::sign(None, &self.0, bytes, Some(trusted), Some(untrusted))
            .map(minisign::SignatureBox::into_string)
            .map_err(|source| LedgerError::Sign { what, source })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {})", self.public())
    }
}

impl PublicKey {
    /// The public key file's text: a comment, and the key on a line of its own.
    pub fn to_file_text(&self) -> String {
        format!("untrusted comment: coldchain public key\n{self}\n")
    }

    /// Reads a public key file.
    pub fn from_file_text(text: &str) -> Result<Self, LedgerError> {
        text.lines().nth(1).unwrap_or_default().parse()
    }

    /// Returns the number by which signatures name the key. The maker of a key chooses it.
    fn number(&self) -> Option<[u8; 8]> {
        number_in(&self.0)
    }

    /// Whether a signature names this key's number.
    pub(super) fn is_named_by(&self, signature: &str) -> bool {
        let line = signature.lines().nth(1);
        line.and_then(number_in)
            .is_some_and(|named| self.number() == Some(named))
    }

    pub(super) fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        // This check comes first, because all of the bytes are hashed after it.
        if !self.is_named_by(signature) {
            return false;
        }
        let Ok(key) = minisign::PublicKey::from_base64(&self.0) else {
            return false;
        };
        let Ok(signature) = minisign::SignatureBox::from_string(signature) else {
            return false;
        };
        // Only prehashed signatures are accepted, so that a signature has one form.
        minisign::verify(
            &key,
            &signature,
            std::io::Cursor::new(bytes),
            true,
            false,
            false,
        )
        .is_ok()
    }
}

/// Reads the number after the algorithm's two bytes, in a public key or in a signature.
fn number_in(base64: &str) -> Option<[u8; 8]> {
    BASE64.decode(base64).ok()?.get(2..10)?.try_into().ok()
}

impl FromStr for PublicKey {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let text = text.trim();
        let key = minisign::PublicKey::from_base64(text).map_err(|source| LedgerError::Key {
            what: "public key",
            source,
        })?;
        Ok(Self(key.to_base64()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}
