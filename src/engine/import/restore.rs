//! Restores a chain of imported archives: retrieve, decrypt, decompress, guard and receive.

use std::path::{Path, PathBuf};

use super::blob::Blob;
use super::foreign_vault::ForeignVault;
use super::known::{KnownImport, as_archive};
use super::receive::ImportTarget;
use super::retrieve::{Retrieving, lacking_bytes};
use super::spool::Spool;
use crate::btrfs::Tools;
use crate::catalog::{Catalog, ImportedArchiveRow, ImportedState};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, ImportError};
use crate::gpg::Gpg;
use crate::model::Tier;
use crate::model::entry::Timestamp;
use crate::progress::Event;

/// What a restore of imported archives works with.
pub struct ImportRestore<'a> {
    /// What was imported.
    pub import: &'a KnownImport,
    /// The archives from the full to the wanted one.
    pub chain: &'a [ImportedArchiveRow],
    /// The vault.
    pub vault: &'a dyn ForeignVault,
    /// Where the archives come together.
    pub spool: &'a Spool,
    /// The program that decrypts them.
    pub gpg: &'a Gpg,
    /// How fast they are retrieved.
    pub tier: Tier,
    /// The bytes of a part, of which each is retrieved by a job of its own.
    pub part_bytes: u64,
    /// The machine's state.
    pub state_dir: &'a StateDir,
    /// What the run takes from outside.
    pub context: RunContext<'a>,
}

/// What is still to be retrieved for a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportNeeds {
    /// Bytes that are not in the spool.
    pub bytes: u64,
    /// How many parts they are: each is a job.
    pub parts: u64,
}

/// Returns what of these archives is still to be retrieved.
pub fn import_needs(
    archives: &[ImportedArchiveRow],
    spool: &Spool,
    part_bytes: u64,
) -> Result<ImportNeeds, Error> {
    let (bytes, parts) = lacking_bytes(archives, spool, part_bytes)?;
    Ok(ImportNeeds { bytes, parts })
}

/// Finds gpg and a secret key, before anything is asked for that costs money.
pub fn ready_gpg(homedir: Option<&Path>) -> Result<Gpg, Error> {
    let not_usable = |error| Error::from(ImportError::NoGpg(Box::new(error)));
    let gpg = Gpg::find(homedir).map_err(not_usable)?;
    gpg.require_secret_key().map_err(not_usable)?;
    Ok(gpg)
}

impl<'a> ImportRestore<'a> {
    pub(super) fn retrieving(&self) -> Retrieving<'a> {
        Retrieving {
            name: &self.import.row.name,
            vault: self.vault,
            spool: self.spool,
            tier: self.tier,
            part_bytes: self.part_bytes,
            observer: self.context.observer,
            interrupt: self.context.interrupt,
        }
    }

    pub(super) fn blob<'r>(&'r self, row: &'r ImportedArchiveRow) -> Blob<'r> {
        Blob {
            name: &self.import.row.name,
            row,
            spooled: self.spool.archive(&as_archive(row).id()),
            part_bytes: self.part_bytes,
            gpg: self.gpg,
            observer: self.context.observer,
            interrupt: self.context.interrupt,
        }
    }
}

/// Restores the chain into `to`, and returns the directory with its subvolumes. While the vault is retrieving anything
/// of it, the error is [`ImportError::Retrieving`]: the next run goes on.
pub fn restore_import(
    restore: &ImportRestore<'_>,
    to: &Path,
    catalog: &mut Catalog,
) -> Result<PathBuf, Error> {
    let name = &restore.import.row.name;
    let _lock = restore.state_dir.lock_import(name, &restore.context)?;
    crate::btrfs::require_root()?;
    let tools = Tools::find()?;
    let mut target = ImportTarget::prepare(&tools, to, restore.import)?;
    for message in std::mem::take(&mut target.warnings) {
        restore.context.observer.event(Event::Warning {
            source: name.clone(),
            message,
        });
    }
    let received = receive_rest(restore, &mut target, catalog);
    target.clear_away();
    received?;
    target.stands_there()?;
    restore.spool.clear_away();
    Ok(target.directory().to_owned())
}

fn receive_rest(
    restore: &ImportRestore<'_>,
    target: &mut ImportTarget<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let name = &restore.import.row.name;
    let standing = target.standing(restore.chain)?;
    let (there, rest) = restore.chain.split_at(standing);
    // A run that died after a receive may not have done this.
    for row in there {
        if row.state != ImportedState::Proven {
            let at = Timestamp(restore.context.clock.now());
            catalog.imported_is(name, row.date, ImportedState::Proven, None, at)?;
        }
        restore.blob(row).spooled.remove()?;
    }
    let context = &restore.context;
    let _awake = (!rest.is_empty()).then(|| context.keep_awake(&format!("restoring {name}")));
    restore.retrieving().run(rest)?;
    for row in rest {
        let blob = restore.blob(row);
        let received = target.receive(&blob, catalog);
        blob.record(&received, catalog, restore.context.clock)?;
        received?;
        blob.spooled.remove()?;
        restore.context.observer.event(Event::Restored {
            source: name.clone(),
            archive: blob.id(),
        });
    }
    Ok(())
}
