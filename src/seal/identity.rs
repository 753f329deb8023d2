//! The secret keys that unseal an archive key.

use age::secrecy::ExposeSecret;

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
