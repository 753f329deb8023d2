//! The secret keys that unseal an archive key.

use std::path::Path;

use age::secrecy::ExposeSecret;

use super::error::SealError;
use super::identity_file::IdentityFile;

/// One or more secret keys.
pub struct Identities(pub(super) Vec<Box<dyn age::Identity + Send + Sync>>);

/// Makes a new age X25519 key: the secret (`AGE-SECRET-KEY-1…`) and its recipient (`age1…`).
///
/// The secret is the one line that a recovery kit has outside its comments.
pub fn generate_identity() -> (String, String) {
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string().expose_secret().to_owned();
    (secret, identity.to_public().to_string())
}

impl Identities {
    /// Reads an [identity file](IdentityFile), asking for its passphrase where it has one.
    pub fn from_file(path: &Path, ask: &dyn Fn(&str) -> Option<String>) -> Result<Self, SealError> {
        IdentityFile::open(path, ask)?.identities(ask)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| &**key as &dyn age::Identity)
    }
}

/// Shows nothing of the keys.
impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}
