//! The key of one archive: segments and private facts are sealed to it alone.
//!
//! Its secret is sealed to the recipients as the line `AGE-SECRET-KEY-1…`, which is an age identity
//! file: `age -d -i KIT key.age > k; age -d -i k SEGMENT` works with age alone.

use std::fmt;
use std::io::{Read, Write};

use age::secrecy::ExposeSecret;
use age::{DecryptError, Decryptor, Encryptor};
use zeroize::Zeroizing;

use super::error::SealError;
use super::identity::Identities;
use super::recipients::Recipients;

const KEY: &str = "the archive key";
const PRIVATE: &str = "the private facts";

/// The most bytes of an archive key that are read. Its line has 75 bytes.
const LONGEST_KEY: u64 = 4096;

/// The key of one archive, new for every attempt: an age X25519 identity, which is wiped from memory when
/// it is dropped.
#[derive(Clone)]
pub struct ArchiveKey(age::x25519::Identity);

impl ArchiveKey {
    /// A new key from the system's random numbers.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Returns the key in a binary age file that each of the recipients can open.
    pub fn seal_to(&self, recipients: &Recipients) -> Result<Vec<u8>, SealError> {
        let secret = self.0.to_string();
        let secret = secret.expose_secret();
        let mut line = Zeroizing::new(String::with_capacity(secret.len() + 1));
        line.push_str(secret);
        line.push('\n');
        encrypt(KEY, recipients.keys(), line.as_bytes())
    }

    /// Whether the bytes begin like the output of [`seal_to`](Self::seal_to). This does not show who can open
    /// them.
    pub fn is_sealed_form(sealed: &[u8]) -> bool {
        Decryptor::new_buffered(sealed).is_ok_and(|decryptor| !decryptor.is_scrypt())
    }

    /// Opens what [`seal_to`](Self::seal_to) made; [`SealError::NoIdentityMatches`] if it is
    /// sealed to none of the identities.
    pub fn unseal(sealed: &[u8], identities: &Identities) -> Result<Self, SealError> {
        let plain = Zeroizing::new(decrypt(KEY, identities.keys(), sealed, LONGEST_KEY)?);
        let text = str::from_utf8(&plain).map_err(|_| SealError::ArchiveKeyText)?;
        Self::from_secret_string(text)
    }

    /// Seals a few bytes to this key.
    pub fn seal_private(&self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let recipient = self.recipient();
        encrypt(PRIVATE, std::iter::once(&recipient as _), plain)
    }

    /// Opens what [`seal_private`](Self::seal_private) made.
    pub fn open_private(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        match decrypt(PRIVATE, std::iter::once(self.identity()), sealed, u64::MAX) {
            // The error "none of the identities" would wrongly point at the user's identities.
            Err(SealError::NoIdentityMatches) => Err(SealError::Unseal {
                what: PRIVATE,
                source: DecryptError::NoMatchingKeys,
            }),
            other => other,
        }
    }

    /// Returns the secret as text, for the catalog's record of an unfinished attempt. Never print it.
    pub fn to_secret_string(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    /// Reads what [`to_secret_string`](Self::to_secret_string) wrote.
    pub fn from_secret_string(text: &str) -> Result<Self, SealError> {
        text.trim_end()
            .parse()
            .map(Self)
            .map_err(|_| SealError::ArchiveKeyText)
    }

    pub(super) fn recipient(&self) -> age::x25519::Recipient {
        self.0.to_public()
    }

    pub(super) fn identity(&self) -> &dyn age::Identity {
        &self.0
    }
}

/// Shows nothing of the key.
impl fmt::Debug for ArchiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArchiveKey(..)")
    }
}

fn encrypt<'a>(
    what: &'static str,
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut sealed = Vec::with_capacity(plain.len() + 1024);
    let encryptor = Encryptor::with_recipients(recipients).map_err(|source| SealError::Seal {
        what,
        source: Box::new(source),
    })?;
    encryptor
        .wrap_output(&mut sealed)
        .and_then(|mut writer| {
            writer.write_all(plain)?;
            writer.finish().map(drop)
        })
        .map_err(|source| SealError::Write { what, source })?;
    Ok(sealed)
}

fn decrypt<'a>(
    what: &'static str,
    identities: impl Iterator<Item = &'a dyn age::Identity>,
    sealed: &[u8],
    longest: u64,
) -> Result<Vec<u8>, SealError> {
    let reader = Decryptor::new_buffered(sealed)
        .and_then(|decryptor| decryptor.decrypt(identities))
        .map_err(|source| match source {
            DecryptError::NoMatchingKeys => SealError::NoIdentityMatches,
            source => SealError::Unseal { what, source },
        })?;
    // The plain text is shorter than the sealed one: a buffer that grew would leave copies of a key behind.
    let mut plain = Vec::with_capacity(sealed.len());
    reader
        .take(longest)
        .read_to_end(&mut plain)
        .map_err(|source| SealError::Decrypt { what, source })?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::test_data::{SSH_ED25519, SSH_ED25519_PUB, SSH_RSA, SSH_RSA_PUB};
    use crate::seal::{IdentityFile, generate_identity};

    fn identities(text: &str) -> Identities {
        let file =
            IdentityFile::of_bytes(text.as_bytes().to_vec().into(), "kit".as_ref(), &|_| None)
                .unwrap();
        file.identities(&|_| None).unwrap()
    }

    fn recipients(texts: &[&str]) -> Recipients {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Recipients::parse(&texts).unwrap()
    }

    #[test]
    fn each_recipient_alone_unseals_the_key() {
        let (secret, public) = generate_identity();
        let key = ArchiveKey::generate();
        let sealed = key
            .seal_to(&recipients(&[&public, SSH_ED25519_PUB, SSH_RSA_PUB]))
            .unwrap();
        for identity in [secret.as_str(), SSH_ED25519, SSH_RSA] {
            let opened = ArchiveKey::unseal(&sealed, &identities(identity)).unwrap();
            assert_eq!(opened.to_secret_string(), key.to_secret_string());
        }
    }

    #[test]
    fn an_identity_of_nobody_does_not_match() {
        let (_, public) = generate_identity();
        let (stranger, _) = generate_identity();
        let sealed = ArchiveKey::generate()
            .seal_to(&recipients(&[&public, SSH_RSA_PUB]))
            .unwrap();
        for identity in [stranger.as_str(), SSH_ED25519] {
            assert!(matches!(
                ArchiveKey::unseal(&sealed, &identities(identity)),
                Err(SealError::NoIdentityMatches)
            ));
        }
    }

    #[test]
    fn a_sealed_key_that_is_cut_short_or_changed_is_refused() {
        let (secret, public) = generate_identity();
        let identities = identities(&secret);
        let sealed = ArchiveKey::generate()
            .seal_to(&recipients(&[&public]))
            .unwrap();
        for length in 0..sealed.len() {
            assert!(
                ArchiveKey::unseal(&sealed[..length], &identities).is_err(),
                "{length}"
            );
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ArchiveKey::unseal(&changed, &identities).is_err(), "{at}");
        }
    }

    #[test]
    fn private_facts_open_with_their_own_key_only() {
        let key = ArchiveKey::generate();
        let sealed = key.seal_private(b"/home on laptop").unwrap();
        assert_eq!(key.open_private(&sealed).unwrap(), b"/home on laptop");
        assert!(matches!(
            ArchiveKey::generate().open_private(&sealed),
            Err(SealError::Unseal { .. })
        ));
        assert!(key.open_private(&sealed[..sealed.len() - 1]).is_err());
    }

    #[test]
    fn the_secret_reads_back_and_is_not_shown() {
        let key = ArchiveKey::generate();
        let text = key.to_secret_string();
        let again = ArchiveKey::from_secret_string(&text).unwrap();
        assert_eq!(again.to_secret_string(), text);
        assert_eq!(format!("{key:?}"), "ArchiveKey(..)");
        assert!(ArchiveKey::from_secret_string(&text[..60]).is_err());
    }
}
