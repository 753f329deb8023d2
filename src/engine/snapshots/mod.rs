//! The night's read-only snapshot.
//!
//! A snapshot is made under a name of its own, recorded in the catalog, and then renamed to its
//! date, so that a crash at any point leaves either one that the catalog knows or a leftover that
//! the next run may take away: it is read-only, has that name, and was taken of this very source.

pub(super) mod adopt;
pub(super) mod leftovers;
pub(super) mod retention;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::btrfs::{self, BtrfsError, Tools};
use crate::catalog::{Catalog, NewSnapshot, SnapshotRow};
use crate::config::{Live, Source};
use crate::engine::context::World;
use crate::engine::snapshots::leftovers::{UNNAMED, leftovers};
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::{SubvolumeIdentity, Uuid};

/// The night's snapshot, as it stands now.
#[derive(Debug)]
pub(super) struct Night {
    pub(super) row: SnapshotRow,
    pub(super) identity: SubvolumeIdentity,
    pub(super) made: Made,
}

/// Who made the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Now,
    Before,
    /// It was there, and nothing tells who made it: an earlier run whose catalog is lost, or somebody else.
    BySomebody,
}

/// What a source must be before anything is done to it.
pub(super) fn check_live(source: &Source, live: &Live) -> Result<SubvolumeIdentity, Error> {
    let identity = btrfs::identity(&live.subvolume)?;
    if let (true, Some(received)) = (identity.read_only, identity.received_uuid) {
        // A snapshot of it would carry the same received uuid, and so would every later one.
        return Err(Error::SnapshotReceived {
            path: live.subvolume.clone(),
            received,
        });
    }
    let snapshots = std::fs::metadata(&live.snapshots).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoSnapshotsDir {
            source_name: source.name.clone(),
            path: live.snapshots.clone(),
        },
        _ => Error::file("look at the snapshots directory", &live.snapshots, error),
    })?;
    if !snapshots.is_dir() {
        return Err(Error::NoSnapshotsDir {
            source_name: source.name.clone(),
            path: live.snapshots.clone(),
        });
    }
    if btrfs::filesystem_id(&live.subvolume)? != btrfs::filesystem_id(&live.snapshots)? {
        return Err(Error::SnapshotsElsewhere {
            path: live.snapshots.clone(),
            subvolume: live.subvolume.clone(),
        });
    }
    Ok(identity)
}

/// Makes sure that the date's snapshot stands. Leftovers of earlier dates are removed first.
pub(super) fn take(
    source: &Source,
    live: &Live,
    date: NaiveDate,
    catalog: &mut Catalog,
    tools: &Tools,
    world: World<'_>,
) -> Result<Night, Error> {
    let taking = Taking {
        source,
        live,
        date,
        path: live.snapshots.join(date.to_string()),
        unnamed: live.snapshots.join(format!("{UNNAMED}{date}")),
        origin: check_live(source, live)?,
        tools,
        world,
    };
    taking.run(catalog)
}

/// A snapshot that is to be made, if it does not stand already.
struct Taking<'a> {
    source: &'a Source,
    live: &'a Live,
    date: NaiveDate,
    /// Where it is to stand.
    path: PathBuf,
    /// Where it is made.
    unnamed: PathBuf,
    origin: SubvolumeIdentity,
    tools: &'a Tools,
    world: World<'a>,
}

impl Taking<'_> {
    fn run(&self, catalog: &mut Catalog) -> Result<Night, Error> {
        let mut earlier = leftovers(self.source, catalog)?;
        earlier.retain(|leftover| leftover.date != self.date);
        leftovers::remove(self.source, earlier, catalog, self.tools, self.world)?;
        if let Some(row) = rows(self.source, catalog)?
            .into_iter()
            .find(|row| row.date == self.date)
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
            // The first error counts. What can't be removed now is known to the next run by its uuid.
            let _ = self.unmake(catalog);
        }
        made
    }

    fn make(&self, catalog: &mut Catalog) -> Result<Night, Error> {
        btrfs::snapshots::create(self.tools, &self.live.subvolume, &self.unnamed)?;
        let identity = btrfs::identity(&self.unnamed)?;
        if let Some(received) = identity.received_uuid {
            return Err(Error::SnapshotReceived {
                path: self.live.subvolume.clone(),
                received,
            });
        }
        let row = self.record(&identity, Some(self.origin.uuid), catalog)?;
        std::fs::rename(&self.unnamed, &self.path)
            .map_err(|error| Error::file("name the snapshot", &self.path, error))?;
        // Under its old name after a power cut, it would look gone on any other date.
        btrfs::sync(&self.live.snapshots)?;
        Ok(Night {
            row,
            identity,
            made: Made::Now,
        })
    }

    /// Removes what was made, if it has no name yet.
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

    /// Uses what has the snapshot's name without the catalog knowing of it.
    fn of_unknown_origin(&self, catalog: &mut Catalog) -> Result<Night, Error> {
        let identity = of_unknown_origin(&self.path, self.live, &self.origin)?;
        let taken_of = match catalog.snapshot_that_is(identity.uuid)? {
            Some((other, row)) if other == self.source.name => {
                let what = format!("it is the snapshot of {} under another name", row.date);
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
            date: self.date,
            path: &self.path,
            identity,
            taken_of,
            made_at: self.now(),
        })?)
    }

    /// Deletes the snapshot that has no name yet, and returns its uuid.
    fn remove_unnamed(&self) -> Result<Uuid, Error> {
        let path = &self.unnamed;
        let left = btrfs::identity(path)?;
        if !left.read_only || left.parent_uuid != Some(self.origin.uuid) {
            let what = "it has the name of a snapshot in the making, and is none".to_owned();
            return Err(in_the_way(path, what));
        }
        btrfs::snapshots::delete(self.tools, path, left.uuid, self.origin.uuid)?;
        Ok(left.uuid)
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.world.clock.now())
    }
}

/// The snapshots of a source that have not been deleted, oldest first, each with the path that it has now. The directory
/// may have moved, or its filesystem may be mounted elsewhere, since they were made.
pub(super) fn rows(source: &Source, catalog: &Catalog) -> Result<Vec<SnapshotRow>, Error> {
    let mut rows = catalog.snapshots(&source.name)?;
    for row in &mut rows {
        let is_it = |path: &Path| {
            path != row.path && btrfs::identity(path).is_ok_and(|it| it.uuid == row.local_uuid)
        };
        let live = source.live.as_ref();
        let moved = live.map(|live| live.snapshots.join(row.date.to_string()));
        let moved = moved.filter(|path| is_it(path));
        if let Some(path) = moved.filter(|_| !row.path.exists()) {
            row.path = path;
        }
    }
    Ok(rows)
}

/// The snapshot that the catalog knows, if it is still there; a changed one is an error.
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

/// The subvolume that has the snapshot's name without the catalog knowing of it, if it is a read-only
/// snapshot of this very source: it serves as well as one that is taken now.
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

fn in_the_place(path: &Path) -> Result<SubvolumeIdentity, Error> {
    if path.is_symlink() {
        return Err(in_the_way(path, "it is a symbolic link".to_owned()));
    }
    match btrfs::identity(path) {
        Err(BtrfsError::NotASubvolume { .. }) => {
            Err(in_the_way(path, "it is no subvolume".to_owned()))
        }
        found => Ok(found?),
    }
}

fn in_the_way(path: &Path, what: String) -> Error {
    Error::SnapshotInTheWay {
        path: path.to_owned(),
        what,
    }
}

pub(super) fn exists(path: &Path) -> Result<bool, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("look at", path, error)),
    }
}

/// The subvolumes below the source, which its snapshots leave out. Its own snapshots don't count, by whatever mount the
/// config reaches them.
pub(super) fn left_out(live: &Live) -> Result<Vec<PathBuf>, Error> {
    let mut nested = btrfs::snapshots::nested_subvolumes(&live.subvolume)?;
    let snapshots = inode(&live.snapshots);
    nested.retain(|path| {
        let below_source = path
            .ancestors()
            .take_while(|above| *above != live.subvolume);
        snapshots.is_none() || below_source.map(inode).all(|inode| inode != snapshots)
    });
    Ok(nested)
}

/// What a path leads to: each subvolume has a device number of its own, the same in every mount.
fn inode(path: &Path) -> Option<(u64, u64)> {
    let stat = std::fs::metadata(path).ok()?;
    Some((stat.dev(), stat.ino()))
}

/// How the content of what stands at `path` differs from that of the recorded snapshot; `None` if it does not.
/// Deduplication changes a snapshot, but not its content.
fn difference(row: &SnapshotRow, path: &Path, now: &SubvolumeIdentity) -> Option<String> {
    // What can't be looked at may have changed.
    let is_same = |now| {
        row.is_changed(now)
            && btrfs::is_only_deduplicated(path, row.local_ctransid + 1).unwrap_or(false)
    };
    row.difference(now).filter(|_| !is_same(now))
}

/// The snapshot to be sent, or to be sent against, with the ctransid that its stream will carry: deduplication may have
/// changed that since it was recorded.
pub(super) fn as_it_stands(row: &SnapshotRow) -> Result<SubvolumeIdentity, Error> {
    let identity = in_the_place(&row.path)?;
    match difference(row, &row.path, &identity) {
        None => Ok(identity),
        Some(difference) => Err(in_the_way(&row.path, difference)),
    }
}

/// The snapshot of an archive if it still has the content that was archived, or what became of it. It is returned with
/// the ctransid that it was recorded with.
pub(super) fn check(row: &SnapshotRow) -> Result<Result<SubvolumeIdentity, String>, Error> {
    if !exists(&row.path)? {
        return Ok(Err(format!("{} is gone", row.path.display())));
    }
    let identity = match btrfs::identity(&row.path) {
        Ok(identity) => identity,
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(match difference(row, &row.path, &identity) {
        None => Ok(SubvolumeIdentity {
            ctransid: row.local_ctransid,
            ..identity
        }),
        Some(difference) => Err(format!("{}: {difference}", row.path.display())),
    })
}

/// The nested subvolumes in a sentence; `None` if there are none.
pub(super) fn left_out_in_words(nested: &[PathBuf]) -> Option<String> {
    const NAMED: usize = 5;
    let names: Vec<_> = nested
        .iter()
        .take(NAMED)
        .map(|path| path.display().to_string())
        .collect();
    let more = nested.len().saturating_sub(NAMED);
    match (names.len(), more) {
        (0, _) => None,
        (_, 0) => Some(format!(
            "nested subvolumes are left out of its snapshots: {}",
            names.join(", ")
        )),
        (_, _) => Some(format!(
            "nested subvolumes are left out of its snapshots: {} and {more} more",
            names.join(", ")
        )),
    }
}

/// The standing warning about swapfiles in use, which keep snapshots from being made.
pub fn warning_of_swap(source: &Source) -> Option<String> {
    let live = source.live.as_ref()?;
    let files = btrfs::active_swapfiles(&live.subvolume);
    if files.is_empty() {
        return None;
    }
    let path = live.subvolume.clone();
    let error = BtrfsError::ActiveSwap { path, files };
    Some(format!("{error}: {}", error.hint().unwrap_or_default()))
}

/// The standing warning about a source's nested subvolumes, where they can be looked for.
pub fn warning_of_left_out(source: &Source) -> Option<String> {
    let live = source.live.as_ref()?;
    left_out_in_words(&left_out(live).ok()?)
}
