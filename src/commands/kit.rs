//! How `init` begins a recovery kit, and which existing kit it accepts.

use std::path::Path;

use zeroize::Zeroizing;

use crate::engine::{StateDir, add_root_to_kit, kit_to_change, write_new};
use crate::error::{Error, KeyError};
use crate::kit::{Kit, add_root};
use crate::ledger::SigningKey;

/// Begins a kit with a new identity, and returns its recipient.
pub(super) fn begin(path: &Path) -> Result<String, Error> {
    let (secret, recipient) = crate::seal::generate_identity();
    let secret = Zeroizing::new(secret);
    let head = format!(
        "\
# coldchain recovery kit
#
# Anybody who has this file can read every archive that was made for the recipient
# below, and can change who may sign. Print it, keep it away from this machine,
# and delete it here.
#
# identity of {recipient}
"
    );
    // Reserve the full length: a growing text would leave copies of the secret in memory.
    let mut text = Zeroizing::new(String::with_capacity(head.len() + secret.len() + 1));
    text.push_str(&head);
    text.push_str(&secret);
    text.push('\n');
    write_new(path, &text)?;
    Ok(recipient)
}

/// The first lines of a kit without an identity: the recipients in the config have theirs elsewhere.
const WITHOUT_IDENTITY: &str = "\
# coldchain recovery kit
#
# The identities that open the archives are not in this file: the config names
# recipients whose secret keys you keep elsewhere. Put one here if you like:
# this is an age identity file. Anybody who has the root signing key below can
# change who may sign. Keep it away from this machine.
";

/// Reads the kit at a path; `None` if there is no file. Fails for a file that is no kit, because nothing may
/// be written to it.
pub(super) fn at(path: &Path) -> Result<Option<Kit>, Error> {
    match path.try_exists() {
        Ok(true) => kit_to_change(path).map(Some),
        Ok(false) => Ok(None),
        Err(source) => Err(Error::file("look for", path, source)),
    }
}

/// The origin of a root key that a machine begins to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RootOrigin {
    /// It is new.
    New,
    /// It was in the kit already.
    Kit,
}

/// Returns the root key for a machine that has none yet. If the kit has one, from an interrupted run or with
/// older ledgers, returns that: a second root key would make two kits of one file. Otherwise makes a new one,
/// and writes its secret to the kit before any machine trusts its public key.
pub(super) fn root_key(path: &Path) -> Result<(SigningKey, RootOrigin), Error> {
    let Some(kit) = at(path)? else {
        let root = SigningKey::generate()?;
        let text = Zeroizing::new(add_root(WITHOUT_IDENTITY, &root).expect("it has no root key"));
        write_new(path, &text)?;
        return Ok((root, RootOrigin::New));
    };
    match (kit.root_secret, kit.root) {
        (Some(root), _) => Ok((root, RootOrigin::Kit)),
        (None, Some(_)) => Err(KeyError::NoRootSecret(path.to_owned()).into()),
        (None, None) => {
            let root = SigningKey::generate()?;
            add_root_to_kit(path, &root)?;
            Ok((root, RootOrigin::New))
        }
    }
}

/// Refuses a kit with another root key than the one that this machine trusts.
pub(super) fn require_ours(path: &Path, kit: &Kit, state_dir: &StateDir) -> Result<(), Error> {
    let (Some(found), Ok(trusted), true) = (&kit.root, state_dir.root_key(), state_dir.has_keys())
    else {
        return Ok(());
    };
    if *found == trusted {
        return Ok(());
    }
    Err(KeyError::OtherRoot {
        path: path.to_owned(),
        found: found.to_string(),
        trusted: trusted.to_string(),
    }
    .into())
}
