//! The file that contains the secret keys. It may be encrypted with a passphrase, and may contain more than
//! keys, as a recovery kit does.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::ssh::UnsupportedKey;
use age::{DecryptError, Decryptor};
use zeroize::Zeroizing;

use super::armor;
use super::error::SealError;
use super::identity::Identities;

/// An ssh-rsa key of 4096 bits takes 3 KiB, and a recovery kit little more.
const LARGEST_FILE: usize = 1 << 20;

/// The most scrypt work, 2^22, as in the age program: 4 GiB of memory. The library's own limit depends on
/// this machine's speed, and a kit must also open on a slow one.
const LARGEST_WORK_FACTOR: u8 = 22;

/// How an identity file is stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// Not encrypted.
    Plain,
    /// Encrypted with a passphrase (`age -p`, binary or armored).
    Passphrase,
}

/// An identity file's content, decrypted once for all that is read from it. It is wiped from memory when this
/// is dropped, and no other copy of it is left. The keys that `age` reads from it wipe themselves.
pub struct IdentityFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    wrapping: Wrapping,
}

impl IdentityFile {
    /// Reads a file which is one of:
    ///
    /// - lines of `AGE-SECRET-KEY-1…`, with `#` comments and blank lines (such as a recovery kit);
    /// - that, encrypted with a passphrase (`age -p`, binary or armored);
    /// - an ssh private key (ed25519 or RSA), with or without a passphrase.
    ///
    /// `ask` is called with a prompt if a passphrase is needed. If it can't ask anyone, it returns `None`,
    /// and the error is [`SealError::PassphraseUnavailable`].
    pub fn open(path: &Path, ask: &dyn Fn(&str) -> Option<String>) -> Result<Self, SealError> {
        let file = File::open(path).map_err(|source| SealError::IdentityRead {
            path: path.to_owned(),
            source,
        })?;
        Self::read(file, path, ask)
    }

    /// Reads a file that is open already, like [`open`](Self::open); messages call it `path`.
    pub fn read(
        file: File,
        path: &Path,
        ask: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SealError> {
        let refuse = |source| SealError::IdentityRead {
            path: path.to_owned(),
            source,
        };
        // A buffer that grew would leave copies of the secrets behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST_FILE + 64));
        file.take(LARGEST_FILE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(refuse)?;
        if bytes.len() > LARGEST_FILE {
            return Err(refuse(io::ErrorKind::FileTooLarge.into()));
        }
        Self::of_bytes(bytes, path, ask)
    }

    /// Reads a file's content, like [`open`](Self::open).
    pub(super) fn of_bytes(
        bytes: Zeroizing<Vec<u8>>,
        path: &Path,
        ask: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SealError> {
        let unwrapping = Unwrapping { path, ask };
        let armored = str::from_utf8(&bytes).is_ok_and(armor::is_armored);
        let (bytes, wrapping) = if bytes.starts_with(b"age-encryption.org/") {
            (unwrapping.decrypt(&bytes)?, Wrapping::Passphrase)
        } else if armored {
            let sealed = str::from_utf8(&bytes).ok().and_then(armor::decode);
            let sealed =
                sealed.ok_or_else(|| unwrapping.unsupported("a damaged armored age file"))?;
            (unwrapping.decrypt(&sealed)?, Wrapping::Passphrase)
        } else {
            (bytes, Wrapping::Plain)
        };
        Ok(Self {
            path: path.to_owned(),
            bytes,
            wrapping,
        })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its decrypted content. It holds secrets: never print it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how the file is stored.
    pub fn wrapping(&self) -> Wrapping {
        self.wrapping
    }

    /// Returns its secret keys. `ask` is called if one of them has a passphrase of its own.
    pub fn identities(
        &self,
        ask: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Identities, SealError> {
        let unwrapping = Unwrapping {
            path: &self.path,
            ask,
        };
        let text = str::from_utf8(&self.bytes).map_err(|_| unwrapping.unsupported("not a text"))?;
        unwrapping.parse(text)
    }
}

/// Shows nothing of what is in it.
impl std::fmt::Debug for IdentityFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityFile({})", self.path.display())
    }
}

/// A file that is being read, and the function that asks for its passphrase.
struct Unwrapping<'a> {
    path: &'a Path,
    ask: &'a dyn Fn(&str) -> Option<String>,
}

impl Unwrapping<'_> {
    fn parse(&self, text: &str) -> Result<Identities, SealError> {
        // An ssh key is a block of its own and not a line among others.
        if text.trim_start().starts_with("-----BEGIN ") {
            return self.parse_ssh(text.trim_start());
        }
        let mut keys: Vec<Box<dyn age::Identity + Send + Sync>> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key: age::x25519::Identity = line.parse().map_err(|_| SealError::IdentityLine {
                path: self.path.to_owned(),
                line: index + 1,
                what: what_it_looks_like(line),
            })?;
            keys.push(Box::new(key));
        }
        if keys.is_empty() {
            return Err(SealError::IdentityMissing {
                path: self.path.to_owned(),
            });
        }
        Ok(Identities(keys))
    }

    fn parse_ssh(&self, text: &str) -> Result<Identities, SealError> {
        // The parser wants newlines as ssh-keygen writes them, also after the last line.
        let text = text.trim_end();
        let mut lines = Zeroizing::new(String::with_capacity(text.len() + 1));
        for part in text.split('\r') {
            lines.push_str(part);
        }
        lines.push('\n');
        let text = lines;
        let key = age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|_| {
            self.unsupported("a damaged ssh private key, or a PEM file of another kind")
        })?;
        let key = match key {
            age::ssh::Identity::Unencrypted(_) => key,
            age::ssh::Identity::Encrypted(locked) => locked
                .decrypt(self.passphrase()?)
                .map(age::ssh::Identity::from)
                .map_err(|source| SealError::Passphrase {
                    path: self.path.to_owned(),
                    source,
                })?,
            age::ssh::Identity::Unsupported(kind) => return Err(self.unsupported(&describe(&kind))),
        };
        Ok(Identities(vec![Box::new(key)]))
    }

    fn decrypt(&self, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let damaged = |source| SealError::IdentityDecrypt {
            path: self.path.to_owned(),
            source,
        };
        let decryptor = Decryptor::new_buffered(bytes).map_err(damaged)?;
        if !decryptor.is_scrypt() {
            return Err(self.unsupported("an age file that is not encrypted with a passphrase"));
        }
        let mut identity = age::scrypt::Identity::new(self.passphrase()?);
        identity.set_max_work_factor(LARGEST_WORK_FACTOR);
        let reader = decryptor
            .decrypt(std::iter::once(&identity as _))
            .map_err(|source| match source {
                DecryptError::DecryptionFailed | DecryptError::NoMatchingKeys => {
                    SealError::Passphrase {
                        path: self.path.to_owned(),
                        source,
                    }
                }
                // age's own message computes with the two factors and may overflow.
                DecryptError::ExcessiveWork { required, .. } => self.unsupported(&format!(
                    "encrypted with a scrypt work factor of {required}, more than {LARGEST_WORK_FACTOR}"
                )),
                source => damaged(source),
            })?;
        // The plain text is shorter than the encrypted one, so the buffer does not grow.
        let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len()));
        reader
            .take(LARGEST_FILE as u64)
            .read_to_end(&mut plain)
            .map_err(|source| damaged(DecryptError::Io(source)))?;
        Ok(plain)
    }

    fn passphrase(&self) -> Result<SecretString, SealError> {
        let prompt = format!("passphrase for {}", self.path.display());
        (self.ask)(&prompt).map(SecretString::from).ok_or_else(|| {
            SealError::PassphraseUnavailable {
                path: self.path.to_owned(),
            }
        })
    }

    fn unsupported(&self, what: &str) -> SealError {
        SealError::IdentityUnsupported {
            path: self.path.to_owned(),
            what: what.to_owned(),
        }
    }
}

fn what_it_looks_like(line: &str) -> &'static str {
    let upper = Zeroizing::new(line.to_ascii_uppercase());
    match () {
        () if upper.starts_with("AGE-SECRET-KEY-PQ-") => {
            "a post-quantum identity, which can't be used here"
        }
        () if upper.starts_with("AGE-SECRET-KEY-") => {
            "an age secret key with a wrong checksum or length: it may have a typing error"
        }
        () if upper.starts_with("AGE-PLUGIN-") => "a plugin's identity, which can't be used here",
        () if upper.starts_with("AGE1") || upper.starts_with("SSH-") => {
            "a public key: the secret one is needed"
        }
        () => "not an identity: an identity reads like AGE-SECRET-KEY-1…",
    }
}

fn describe(kind: &UnsupportedKey) -> String {
    match kind {
        UnsupportedKey::EncryptedPem => {
            "an ssh key in the old encrypted PEM form: `ssh-keygen -p` rewrites it".to_owned()
        }
        UnsupportedKey::EncryptedSsh(cipher) => {
            format!("an ssh key encrypted with {cipher}, which can't be used")
        }
        UnsupportedKey::Hardware(kind) => {
            format!("an ssh key of kind {kind}, which never leaves its device")
        }
        UnsupportedKey::Type(kind) => {
            format!("an ssh key of kind {kind}: only ssh-ed25519 and ssh-rsa can be used")
        }
    }
}

impl Identities {
    /// Reads an [identity file](IdentityFile), and asks for its passphrase if it has one.
    pub fn from_file(path: &Path, ask: &dyn Fn(&str) -> Option<String>) -> Result<Self, SealError> {
        IdentityFile::open(path, ask)?.identities(ask)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;

    use super::*;
    use crate::seal::generate_identity;
    use crate::seal::test_data::{
        SSH_ECDSA, SSH_ED25519, SSH_ED25519_LOCKED, SSH_PASSPHRASE, SSH_RSA,
    };

    fn read(text: &str) -> Result<Identities, SealError> {
        read_with(text.as_bytes(), None)
    }

    fn read_with(bytes: &[u8], passphrase: Option<&str>) -> Result<Identities, SealError> {
        let ask = |_: &str| passphrase.map(str::to_owned);
        let path = Path::new("/root/kit.txt");
        IdentityFile::of_bytes(bytes.to_owned().into(), path, &ask)?.identities(&ask)
    }

    fn locked_with(passphrase: &str, plain: &str) -> Vec<u8> {
        let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
        recipient.set_work_factor(2);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
        let mut locked = Vec::new();
        let mut writer = encryptor.wrap_output(&mut locked).unwrap();
        writer.write_all(plain.as_bytes()).unwrap();
        writer.finish().unwrap();
        locked
    }

    #[test]
    fn a_recovery_kit_is_an_identity_file() {
        let (secret, recipient) = generate_identity();
        let kit = format!(
            "# coldchain recovery kit\n#\n# recipient: {recipient}\r\n\n{secret}\r\n# signing key:\n#   RWQ\n"
        );
        assert_eq!(read(&kit).unwrap().keys().count(), 1);
        assert_eq!(read(&format!("{kit}{secret}")).unwrap().keys().count(), 2);
    }

    #[test]
    fn ssh_keys_are_read_whatever_their_line_ends() {
        for key in [SSH_ED25519, SSH_RSA] {
            assert!(read(key).is_ok());
            assert!(read(key.trim_end()).is_ok());
            assert!(read(&key.replace('\n', "\r\n")).is_ok());
        }
    }

    #[test]
    fn a_file_that_is_missing_or_has_nothing_in_it_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kit");
        assert!(matches!(
            Identities::from_file(&path, &|_| None),
            Err(SealError::IdentityRead { .. })
        ));
        std::fs::write(&path, "# only\n\n# comments\n").unwrap();
        assert!(matches!(
            Identities::from_file(&path, &|_| None),
            Err(SealError::IdentityMissing { .. })
        ));
        std::fs::write(&path, generate_identity().0).unwrap();
        assert!(Identities::from_file(&path, &|_| None).is_ok());
        assert!(Identities::from_file(directory.path(), &|_| None).is_err());
    }

    #[test]
    fn a_passphrase_is_asked_for_once_with_the_path() {
        let prompts = RefCell::new(Vec::new());
        let asked = |prompt: &str| {
            prompts.borrow_mut().push(prompt.to_owned());
            Some(SSH_PASSPHRASE.to_owned())
        };
        let path = Path::new("/root/id");
        let locked = Zeroizing::new(SSH_ED25519_LOCKED.into());
        let file = IdentityFile::of_bytes(locked, path, &asked).unwrap();
        file.identities(&asked).unwrap();
        assert_eq!(*prompts.borrow(), ["passphrase for /root/id"]);
    }

    #[test]
    fn an_encrypted_identity_file_opens_with_its_passphrase() {
        use base64::Engine;
        let locked = locked_with(
            "wild goose",
            &format!("# a comment\n{}\n", generate_identity().0),
        );
        let armored = format!(
            "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n",
            base64::prelude::BASE64_STANDARD.encode(&locked)
        );
        for bytes in [locked.as_slice(), armored.as_bytes()] {
            assert!(read_with(bytes, Some("wild goose")).is_ok());
            assert!(matches!(
                read_with(bytes, Some("tame goose")),
                Err(SealError::Passphrase { .. })
            ));
            assert!(matches!(
                read_with(bytes, None),
                Err(SealError::PassphraseUnavailable { .. })
            ));
        }
        for length in 30..locked.len() {
            assert!(read_with(&locked[..length], Some("wild goose")).is_err());
        }
    }

    #[test]
    fn a_locked_ssh_key_needs_the_right_passphrase() {
        let locked = SSH_ED25519_LOCKED.as_bytes();
        assert!(read_with(locked, Some(SSH_PASSPHRASE)).is_ok());
        for wrong in ["", "shut sesame"] {
            assert!(matches!(
                read_with(locked, Some(wrong)),
                Err(SealError::Passphrase { .. })
            ));
        }
        assert!(matches!(
            read_with(locked, None),
            Err(SealError::PassphraseUnavailable { .. })
        ));
    }

    #[test]
    fn a_file_that_holds_no_identity_is_told_by_what_it_looks_like() {
        let (secret, recipient) = generate_identity();
        for (text, what) in [
            (
                format!("# x\n{recipient}"),
                "line 2 of the identity file /root/kit.txt is a public key",
            ),
            (secret.replace("KEY-1", "KEY-1Q"), "typing error"),
            ("AGE-SECRET-KEY-PQ-1QQQQ".to_owned(), "post-quantum"),
            ("AGE-PLUGIN-YUBIKEY-1QQQQ".to_owned(), "plugin"),
            ("hunter2".to_owned(), "not an identity"),
            (SSH_ECDSA.to_owned(), "only ssh-ed25519 and ssh-rsa"),
            (SSH_RSA[..900].to_owned(), "damaged ssh private key"),
        ] {
            let error = read(&text).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains(what), "{told}");
            assert!(!told.contains(&secret[20..40]), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
