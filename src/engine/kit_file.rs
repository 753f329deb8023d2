//! The recovery kit's file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::catalog::{Catalog, SourceRow};
use crate::engine::private_file::replace;
use crate::error::Error;
use crate::kit::{Kit, KitFault, KitSource, update};
use crate::ledger::Head;
use crate::model::LedgerId;

/// A kit has some kilobytes.
const LARGEST: u64 = 1 << 20;

/// Reads what a kit says. Any other identity file says nothing, which is no error.
pub fn read_kit(path: &Path) -> Result<Kit, Error> {
    Kit::parse(&read(path)?).map_err(|fault| refused(path, fault))
}

/// The sources that an identity file names: none where it is encrypted, or is no kit.
pub fn witnessed_by(path: &Path) -> Result<Vec<KitSource>, Error> {
    match read_kit(path) {
        Ok(kit) => Ok(kit.sources),
        Err(Error::Kit {
            source: KitFault::NoText,
            ..
        }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// How far a ledger went, as a kit's sources witness it.
pub(super) fn heads_of<'k>(
    kit: &'k [KitSource],
    ledger: &'k LedgerId,
) -> impl Iterator<Item = Head> + 'k {
    kit.iter()
        .filter(|source| source.ledger == *ledger)
        .filter_map(|source| source.head)
}

/// The entry that a kit knows of a ledger and the catalog does not have, or has otherwise.
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

/// Brings a kit up to date, as a whole or not at all. Returns whether anything in it changed.
pub fn update_kit(path: &Path, sources: &[KitSource]) -> Result<KitChange, Error> {
    let failed = |error| Error::file("find", path, error);
    // A link stays one: it is the file behind it that is replaced.
    let path = &path.canonicalize().map_err(failed)?;
    let old = String::from_utf8(read(path)?).map_err(|_| refused(path, KitFault::NoText))?;
    let new = update(&old, sources, &file_name(path)).map_err(|fault| refused(path, fault))?;
    if new == old {
        return Ok(KitChange::None);
    }
    replace(path, &new)?;
    Ok(KitChange::Updated)
}

/// Whether a kit was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KitChange {
    /// It said it all.
    None,
    /// It was replaced.
    Updated,
}

/// What is told of a source when a recovery kit is told of its ledger.
const IN_KIT: &str = "recovery kit";

/// Notes that a recovery kit names a source's ledger, as far as coldchain can know.
pub fn note_in_kit(row: &SourceRow, catalog: &mut Catalog) -> Result<(), Error> {
    catalog.tell(&row.name, IN_KIT, &row.ledger.to_string())?;
    Ok(())
}

/// Whether a recovery kit was told of a source's ledger. Without it, an empty machine does not read that ledger.
pub fn is_in_kit(row: &SourceRow, catalog: &Catalog) -> Result<bool, Error> {
    let told = catalog.told(&row.name, IN_KIT)?;
    Ok(told.is_some_and(|ledger| ledger == row.ledger.to_string()))
}

/// The warning about a source that no recovery kit was told of.
pub const NOT_IN_KIT: &str =
    "no recovery kit was told of its ledger, and none would find it again: run `coldchain key kit`";

/// What commands call that file, from its own directory.
pub fn file_name(path: &Path) -> String {
    path.file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned()
}

fn refused(path: &Path, source: KitFault) -> Error {
    Error::Kit {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::NotRead {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
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
            head: None,
        }
    }

    #[test]
    fn a_kit_behind_a_link_is_replaced_and_the_link_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (kit, link) = (directory.path().join("kit"), directory.path().join("link"));
        std::fs::write(&kit, "# mine\n").unwrap();
        symlink("kit", &link).unwrap();
        // What a run that died left beside it is in nobody's way.
        std::fs::write(directory.path().join("kit.new"), "# half").unwrap();

        assert_eq!(update_kit(&link, &[source()]).unwrap(), KitChange::Updated);
        assert!(link.is_symlink());
        assert_eq!(read_kit(&kit).unwrap().sources, [source()]);
        assert_eq!(kit.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        assert_eq!(update_kit(&kit, &[source()]).unwrap(), KitChange::None);
    }

    #[test]
    fn an_encrypted_kit_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let kit = directory.path().join("kit");
        std::fs::write(&kit, b"age-encryption.org/v1\n\xff").unwrap();
        let error = update_kit(&kit, &[source()]).unwrap_err();
        assert!(matches!(
            error,
            Error::Kit {
                source: KitFault::NoText,
                ..
            }
        ));
        assert_eq!(std::fs::read(&kit).unwrap(), b"age-encryption.org/v1\n\xff");
    }
}
