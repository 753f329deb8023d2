//! The recovery kit's file.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, SourceRow};
use crate::config::Config;
use crate::engine::context::host_name::host_name;
use crate::engine::context::private_file::replace;
use crate::error::{Error, KeyError};
use crate::kit::{Kit, KitFault, KitSource, MachineConfig, add_root, as_kit, update};
use crate::ledger::{Head, SigningKey};
use crate::model::{LedgerId, SourceName};
use crate::owned::{self, OpenError};
use crate::seal::{IdentityFile, SealError, Wrapping};

/// Reads an identity file, such as a kit. Refuses a file that another user can change. Calls `ask` for its
/// passphrase.
pub fn open_identity_file(
    path: &Path,
    ask: &dyn Fn(&str) -> Option<String>,
) -> Result<IdentityFile, Error> {
    match owned::open(path) {
        Ok(file) => Ok(IdentityFile::read(file, path, ask)?),
        Err(OpenError::Untrusted(untrusted)) => Err(Error::Untrusted(untrusted)),
        Err(OpenError::Io(source)) => Err(SealError::IdentityRead {
            path: path.to_owned(),
            source,
        }
        .into()),
    }
}

/// Reads the kit out of an identity file. Any other identity file gives an empty kit, which is no error.
pub fn read_kit(file: &IdentityFile) -> Result<Kit, Error> {
    Kit::parse(file.bytes()).map_err(|fault| refused(file.path(), fault))
}

/// Reads a kit that is about to be changed. Refuses an encrypted kit, and a file that is no kit.
pub fn kit_to_change(path: &Path) -> Result<Kit, Error> {
    as_kit(&text_of(path)?).map_err(|fault| refused(path, fault))
}

/// Adds the root key to a kit that has none yet.
pub fn add_root_to_kit(path: &Path, root: &SigningKey) -> Result<(), Error> {
    change(path, |text, _| add_root(text, root)).map(drop)
}

/// Returns the sources that an identity file names, without asking for a passphrase. Returns none if it needs
/// one.
pub fn witnessed_by(path: &Path) -> Result<Vec<KitSource>, Error> {
    match open_identity_file(path, &|_| None) {
        Ok(file) => Ok(read_kit(&file)?.sources),
        Err(Error::Seal(SealError::PassphraseUnavailable { .. })) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns the heads of a ledger that the sources of a kit name.
pub(in crate::engine) fn heads_of<'k>(
    kit: &'k [KitSource],
    ledger: &'k LedgerId,
) -> impl Iterator<Item = Head> + 'k {
    kit.iter()
        .filter(|source| source.ledger == *ledger)
        .filter_map(|source| source.head)
}

/// Returns the number of an entry that the kit names and that the catalog lacks, or has with another hash.
pub fn kit_knows_more(
    kit: &[KitSource],
    ledger: &LedgerId,
    catalog: &Catalog,
) -> Result<Option<u64>, Error> {
    for head in heads_of(kit, ledger) {
        if catalog.entry_hash(ledger, head.seq)? != Some(head.hash) {
            return Ok(Some(head.seq));
        }
    }
    Ok(None)
}

/// Updates a kit, as a whole or not at all. Returns whether anything in it changed.
pub fn update_kit(
    path: &Path,
    sources: &[KitSource],
    config: Option<&MachineConfig>,
) -> Result<KitChange, Error> {
    change(path, |text, name| update(text, sources, config, name))
}

/// Returns this machine's config in the form for a kit; `None` if the file is missing or is no text.
pub fn config_for_kit(config: &Config) -> Option<MachineConfig> {
    let mut text = String::new();
    let mut file = owned::open(&config.path).ok()?;
    file.read_to_string(&mut text).ok()?;
    Some(MachineConfig::of(&host_name(), &text))
}

/// Replaces a kit with the text that `make` makes of its text and file name.
fn change(
    path: &Path,
    make: impl FnOnce(&str, &str) -> Result<String, KitFault>,
) -> Result<KitChange, Error> {
    let old = text_of(path)?;
    // A link stays a link: the file behind it is replaced.
    let path: PathBuf = path
        .canonicalize()
        .map_err(|error| Error::file("find", path, error))?;
    let new = make(&old, &file_name(&path)).map_err(|fault| refused(&path, fault))?;
    if new == old {
        return Ok(KitChange::None);
    }
    replace(&path, &new)?;
    Ok(KitChange::Updated)
}

fn text_of(path: &Path) -> Result<String, Error> {
    // A file that needs a passphrase is not changed.
    let file = match open_identity_file(path, &|_| None) {
        Err(Error::Seal(error)) if !error.is_missing_file() => {
            return Err(refused(path, KitFault::NoText));
        }
        opened => opened?,
    };
    match (file.wrapping(), String::from_utf8(file.bytes().to_vec())) {
        (Wrapping::Plain, Ok(text)) => Ok(text),
        _ => Err(refused(path, KitFault::NoText)),
    }
}

/// Whether a kit was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KitChange {
    /// It was up to date.
    None,
    /// It was replaced.
    Updated,
}

/// The subject under which the catalog notes the ledger that a kit names.
const IN_KIT: &str = "recovery kit";

/// Notes that a recovery kit names a source's ledger, as far as coldchain knows.
pub fn note_in_kit(row: &SourceRow, catalog: &mut Catalog) -> Result<(), Error> {
    catalog.tell(&row.name, IN_KIT, &row.ledger.to_string())?;
    Ok(())
}

/// The subject under which the catalog notes the copies that a kit names.
const COPIES_IN_KIT: &str = "copies in the recovery kit";

/// Notes that a recovery kit names the copies of a source that the catalog knows.
pub fn note_copies_in_kit(row: &SourceRow, catalog: &mut Catalog) -> Result<(), Error> {
    let places = catalog.places(&row.ledger)?;
    if places.is_empty() {
        return Ok(catalog.untell(&row.name, COPIES_IN_KIT)?);
    }
    let marks: Vec<String> = places.iter().map(|place| place.mark.to_string()).collect();
    catalog.tell(&row.name, COPIES_IN_KIT, &marks.join(" "))?;
    Ok(())
}

/// Returns the URLs of the copies of a source that no recovery kit is known to name.
pub fn copies_not_in_kit(row: &SourceRow, catalog: &Catalog) -> Result<Vec<String>, Error> {
    let told = catalog.told(&row.name, COPIES_IN_KIT)?.unwrap_or_default();
    let places = catalog.places(&row.ledger)?.into_iter();
    let unknown = places.filter(|place| {
        let mut named = told.split(' ');
        place.store != row.store && named.all(|mark| mark != place.mark.to_string())
    });
    Ok(unknown.map(|place| place.store).collect())
}

/// Notes that no recovery kit is known to name a source's ledger where it is now.
pub(in crate::engine) fn forget_in_kit(
    source: &SourceName,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    Ok(catalog.untell(source, IN_KIT)?)
}

/// Returns whether a recovery kit is known to name a source's ledger. Without that, an empty machine does not
/// read that ledger.
pub fn is_in_kit(row: &SourceRow, catalog: &Catalog) -> Result<bool, Error> {
    let told = catalog.told(&row.name, IN_KIT)?;
    Ok(told.is_some_and(|ledger| ledger == row.ledger.to_string()))
}

/// The warning about a source that no recovery kit was told of.
pub const NOT_IN_KIT: &str = "no recovery kit names its ledger, so a restore on an empty machine would not find it: run `coldchain key kit`";

/// Returns the last part of a path: what commands call the file from its own directory.
pub fn file_name(path: &Path) -> String {
    path.file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned()
}

fn refused(path: &Path, source: KitFault) -> Error {
    Error::Key(KeyError::Kit {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn source() -> KitSource {
        KitSource {
            name: "home".parse().unwrap(),
            store: "file:///mnt/shelf".to_owned(),
            directory: "home".to_owned(),
            ledger: LedgerId([1; 16]),
            copies: Vec::new(),
            head: None,
        }
    }

    fn kit_of(path: &Path) -> Kit {
        read_kit(&IdentityFile::open(path, &|_| None).unwrap()).unwrap()
    }

    #[test]
    fn a_kit_behind_a_link_is_replaced_and_the_link_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (kit, link) = (directory.path().join("kit"), directory.path().join("link"));
        std::fs::write(&kit, "# mine\n").unwrap();
        symlink("kit", &link).unwrap();
        let root = SigningKey::generate().unwrap();
        add_root_to_kit(&link, &root).unwrap();
        assert_eq!(kit_of(&kit).root, Some(root.public()));

        assert_eq!(
            update_kit(&link, &[source()], None).unwrap(),
            KitChange::Updated
        );
        assert!(link.is_symlink());
        assert_eq!(kit_of(&kit).sources, [source()]);
        assert_eq!(kit.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        assert_eq!(
            update_kit(&kit, &[source()], None).unwrap(),
            KitChange::None
        );
    }

    #[test]
    fn what_is_encrypted_or_no_kit_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let armored = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCg==\n\
                       -----END AGE ENCRYPTED FILE-----\n";
        let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n";
        for bytes in [
            b"age-encryption.org/v1\n\xff".as_slice(),
            armored.as_bytes(),
            ssh.as_bytes(),
            b"# root public key: none\n[store.disk]\n",
            b"# an identity\nAGE-SECRET-KEY-1QQQ\n",
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = update_kit(&path, &[source()], None).unwrap_err();
            assert!(
                matches!(error, Error::Key(KeyError::Kit { .. })),
                "{error:?}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }
}
