//! Takes a read-only snapshot: the night's, or one at any time.
//!
//! A snapshot is made under a temporary name, recorded in the catalog, and then gets its name. So a crash at any
//! point leaves either a snapshot that the catalog knows, or a leftover. A run for the same name removes that
//! leftover if it is read-only and was taken of this source.

use std::path::{Path, PathBuf};

use crate::btrfs::{self, BtrfsError, Tools};
use crate::catalog::{Catalog, NewSnapshot, SnapshotRow};
use crate::config::{Live, Source};
use crate::engine::context::RunContext;
use crate::engine::pull::standing::require_whole;
use crate::engine::snapshots::left_out;
use crate::engine::snapshots::leftovers::{self, IN_THE_MAKING, UNNAMED, leftovers};
use crate::engine::snapshots::standing::{difference, exists, in_the_place, in_the_way, rows};
use crate::error::{Error, PullError, SnapshotError};
use crate::model::entry::Timestamp;
use crate::model::{SnapshotName, SubvolumeIdentity, Uuid};
use crate::progress::Event;

/// A snapshot that a run has taken, or found.
#[derive(Debug)]
pub(in crate::engine) struct Night {
    pub(in crate::engine) row: SnapshotRow,
    pub(in crate::engine) identity: SubvolumeIdentity,
    pub(in crate::engine) made: Made,
}

/// Who made the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Made {
    Now,
    Before,
    /// It existed before, and its origin is unknown: an earlier run whose catalog is lost, or another
    /// program.
    BySomebody,
}

/// Checks the source's subvolume and its snapshot directory before anything is done.
pub(in crate::engine) fn check_live(
    source: &Source,
    live: &Live,
) -> Result<SubvolumeIdentity, Error> {
    let identity = match btrfs::identity(&live.subvolume) {
        Err(BtrfsError::Missing { path }) if source.pull.is_some() => {
            let source_name = source.name.clone();
            return Err(PullError::NeverPulled { source_name, path }.into());
        }
        identity => identity?,
    };
    if let (true, Some(received)) = (identity.read_only, identity.received_uuid) {
        // A snapshot of it would carry the same received uuid, and so would every later one.
        return Err(SnapshotError::SnapshotReceived {
            path: live.subvolume.clone(),
            received,
        }
        .into());
    }
    let snapshots = std::fs::metadata(&live.snapshots).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Snapshots(SnapshotError::NoSnapshotsDir {
            source_name: source.name.clone(),
            path: live.snapshots.clone(),
        }),
        _ => Error::file("look at the snapshots directory", &live.snapshots, error),
    })?;
    if !snapshots.is_dir() {
        return Err(SnapshotError::NoSnapshotsDir {
            source_name: source.name.clone(),
            path: live.snapshots.clone(),
        }
        .into());
    }
    if btrfs::filesystem_id(&live.subvolume)? != btrfs::filesystem_id(&live.snapshots)? {
        return Err(SnapshotError::SnapshotsElsewhere {
            path: live.snapshots.clone(),
            subvolume: live.subvolume.clone(),
        }
        .into());
    }
    Ok(identity)
}

/// Makes the snapshot of that name, unless it exists. Removes leftovers of other names first. The caller holds the
/// lock of the source's snapshots.
pub(in crate::engine) fn take(
    source: &Source,
    live: &Live,
    name: SnapshotName,
    catalog: &mut Catalog,
    tools: &Tools,
    context: RunContext<'_>,
) -> Result<Night, Error> {
    let taking = Taking {
        source,
        live,
        name,
        path: live.snapshots.join(name.to_string()),
        unnamed: live.snapshots.join(format!("{UNNAMED}{name}")),
        origin: check_live(source, live)?,
        tools,
        context,
    };
    taking.run(catalog)
}

/// A snapshot to be made, unless it exists.
struct Taking<'a> {
    source: &'a Source,
    live: &'a Live,
    name: SnapshotName,
    /// Its final path.
    path: PathBuf,
    /// Its temporary path.
    unnamed: PathBuf,
    origin: SubvolumeIdentity,
    tools: &'a Tools,
    context: RunContext<'a>,
}

impl Taking<'_> {
    fn run(&self, catalog: &mut Catalog) -> Result<Night, Error> {
        let mut earlier = leftovers(self.source, catalog)?;
        earlier.retain(|leftover| leftover.name != self.name);
        leftovers::remove(self.source, earlier, catalog, self.tools, self.context)?;
        if let Some(row) = rows(self.source, catalog)?
            .into_iter()
            .find(|row| row.name == self.name)
        {
            if let Some(night) = known(&row, &self.path, &self.unnamed)? {
                return Ok(night);
            }
            catalog.forget_snapshot(row.id, self.now())?;
        }
        if exists(&self.path)? {
            return self.of_unknown_origin(catalog);
        }
        if exists(&self.unnamed)? {
            self.remove_unnamed()?;
        }
        let made = self.make(catalog);
        if let Err(error) = &made
            && !matches!(error, Error::Btrfs(BtrfsError::Exists { .. }))
        {
            // The first error counts. If this removal fails, the next run knows the snapshot by its uuid.
            let _ = self.unmake(catalog);
        }
        made
    }

    fn make(&self, catalog: &mut Catalog) -> Result<Night, Error> {
        require_whole(self.source, self.live, &self.origin, catalog)?;
        // If this run dies before the snapshot is recorded, the next one knows by this whose it is.
        let source = &self.source.name;
        catalog.tell(source, IN_THE_MAKING, &self.name.to_string())?;
        let create = || btrfs::snapshots::create(self.tools, &self.live.subvolume, &self.unnamed);
        if let Err(error) = create() {
            if !exists(&self.unnamed)? {
                return Err(error.into());
            }
            // The `btrfs` of a run that was killed has made it after this run looked.
            self.remove_unnamed()?;
            create()?;
        }
        let identity = btrfs::identity(&self.unnamed)?;
        if let Some(received) = identity.received_uuid {
            return Err(Error::Snapshots(SnapshotError::SnapshotReceived {
                path: self.live.subvolume.clone(),
                received,
            }));
        }
        let row = self.record(&identity, Some(self.origin.uuid), catalog)?;
        std::fs::rename(&self.unnamed, &self.path)
            .map_err(|error| Error::file("name the snapshot", &self.path, error))?;
        // If a power cut brought its temporary name back, a run for another name would not find it.
        btrfs::sync(&self.live.snapshots)?;
        catalog.untell(source, IN_THE_MAKING)?;
        Ok(Night {
            row,
            identity,
            made: Made::Now,
        })
    }

    /// Removes the new snapshot, if it still has its temporary name.
    fn unmake(&self, catalog: &mut Catalog) -> Result<(), Error> {
        if !exists(&self.unnamed)? {
            return Ok(());
        }
        let uuid = self.remove_unnamed()?;
        if let Some(row) = catalog.snapshot_of_uuid(&self.source.name, uuid)? {
            catalog.forget_snapshot(row.id, self.now())?;
        }
        Ok(())
    }

    /// Uses the subvolume that has the snapshot's name and is not in the catalog.
    fn of_unknown_origin(&self, catalog: &mut Catalog) -> Result<Night, Error> {
        let identity = of_unknown_origin(&self.path, self.live, &self.origin)?;
        let taken_of = match catalog.snapshot_that_is(identity.uuid)? {
            Some((other, row)) if other == self.source.name => {
                let what = format!("it is the snapshot of {} under another name", row.name);
                return Err(in_the_way(&self.path, what));
            }
            // The source had another name when it was made.
            Some((_, row)) => row.local_parent,
            None => None,
        };
        let row = self.record(&identity, taken_of, catalog)?;
        Ok(Night {
            row,
            identity,
            made: match taken_of {
                Some(_) => Made::Before,
                None => Made::BySomebody,
            },
        })
    }

    fn record(
        &self,
        identity: &SubvolumeIdentity,
        taken_of: Option<Uuid>,
        catalog: &mut Catalog,
    ) -> Result<SnapshotRow, Error> {
        Ok(catalog.add_snapshot(&NewSnapshot {
            source: &self.source.name,
            name: self.name,
            path: &self.path,
            identity,
            taken_of,
            made_at: self.now(),
        })?)
    }

    /// Deletes the snapshot with the temporary name, and returns its uuid.
    fn remove_unnamed(&self) -> Result<Uuid, Error> {
        let path = &self.unnamed;
        let left = btrfs::identity(path)?;
        if !left.read_only || left.parent_uuid != Some(self.origin.uuid) {
            let what = "it has the name of an unfinished snapshot, but is not one".to_owned();
            return Err(in_the_way(path, what));
        }
        btrfs::snapshots::delete(self.tools, path, left.uuid, self.origin.uuid)?;
        Ok(left.uuid)
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.context.clock.now())
    }
}

/// Tells that a snapshot was made, and what it lacks.
pub(in crate::engine) fn tell(
    source: &Source,
    live: &Live,
    night: &Night,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let name = &source.name;
    match night.made {
        Made::Now => context.observer.event(Event::Snapshot {
            source: name.clone(),
            name: night.row.name,
        }),
        Made::Before => {}
        // Once: what makes them makes one every night.
        Made::BySomebody => context.warn_once(
            name,
            "snapshots of unknown origin",
            "using an existing snapshot of unknown origin; coldchain will never delete it",
            catalog,
        )?,
    }
    // Nested subvolumes are named when they are not those that were named before.
    let nested = left_out::left_out(live)?;
    let message = left_out::left_out_in_words(&nested).unwrap_or_default();
    context.warn_once(name, "nested subvolumes", &message, catalog)
}

/// Returns the snapshot that the catalog knows, if it still exists. Fails if it was changed.
fn known(row: &SnapshotRow, path: &Path, unnamed: &Path) -> Result<Option<Night>, Error> {
    if !exists(path)? && exists(unnamed)? {
        let identity = btrfs::identity(unnamed)?;
        if difference(row, unnamed, &identity).is_none() {
            std::fs::rename(unnamed, path)
                .map_err(|error| Error::file("name the snapshot", path, error))?;
        }
    }
    if !exists(path)? {
        return Ok(None);
    }
    let identity = in_the_place(path)?;
    if let Some(difference) = difference(row, path, &identity) {
        return Err(in_the_way(path, difference));
    }
    Ok(Some(Night {
        row: row.clone(),
        identity,
        made: Made::Before,
    }))
}

/// Returns the subvolume that has the snapshot's name and is not in the catalog. It must be a read-only
/// snapshot of this source; then it is as good as a new one.
fn of_unknown_origin(
    path: &Path,
    live: &Live,
    origin: &SubvolumeIdentity,
) -> Result<SubvolumeIdentity, Error> {
    let found = in_the_place(path)?;
    let is_of_source = found.parent_uuid == Some(origin.uuid) && found.received_uuid.is_none();
    if found.read_only && is_of_source {
        return Ok(found);
    }
    let subvolume = live.subvolume.display();
    let what = format!("it is no read-only snapshot of {subvolume}");
    Err(in_the_way(path, what))
}
