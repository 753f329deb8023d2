//! Looks for copies of what is to be restored: snapshots on this machine, and mirrors, the local ones first.

use std::path::{Path, PathBuf};

use crate::btrfs;
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::{Config, MirrorConfig, MirrorOf, Source};
use crate::engine::context::RunContext;
use crate::engine::mirror::end::{MirrorCopy, MirrorEnd, MirrorStanding, RecordedCopy};
use crate::engine::mirror::open::open_mirror;
use crate::engine::mirror::survey::{not_there, what_else};
use crate::engine::snapshots::standing;
use crate::error::{Error, MirrorError, in_words};
use crate::model::{CopyKind, MirrorLocation, Uuid};
use crate::plan::{CopyAsked, CopyOffer, CopySite, RestoreFrom, SiteOffers, copy_at};

/// What to look for, and where.
pub struct CopySearch<'a> {
    /// The config.
    pub config: &'a Config,
    /// The source.
    pub source: &'a Source,
    /// What is asked for.
    pub asked: CopyAsked,
    /// The only kind of copies to look at; `None` for all.
    pub only: Option<CopyKind>,
    /// The directory that is restored to, if it is known.
    pub to: Option<&'a Path>,
    /// What the rest of a run takes from outside.
    pub context: RunContext<'a>,
}

/// The places that were looked at, from the nearest on.
pub struct FoundCopies<'a> {
    /// What the plan knows of them.
    pub places: Vec<SiteOffers>,
    /// Where each of them has its copies from.
    origins: Vec<PlaceOrigin<'a>>,
}

enum PlaceOrigin<'a> {
    Snapshots(Vec<SnapshotRow>),
    Mirror(&'a MirrorConfig, Vec<MirrorCopy>),
}

/// A copy that was chosen.
pub struct NearCopy<'a> {
    /// The choice, with its reasons.
    pub chosen: RestoreFrom,
    /// Its path; `None` on another machine.
    pub path: Option<PathBuf>,
    /// What it is.
    pub(in crate::engine) origin: CopyOrigin<'a>,
}

/// What a chosen copy is.
pub(in crate::engine) enum CopyOrigin<'a> {
    /// A snapshot here.
    Snapshot(SnapshotRow),
    /// A mirror's copy.
    Mirror(&'a MirrorConfig, MirrorCopy),
}

impl NearCopy<'_> {
    /// Returns the mirror that has it; `None` for a snapshot here.
    pub fn mirror(&self) -> Option<&MirrorLocation> {
        match &self.origin {
            CopyOrigin::Snapshot(_) => None,
            CopyOrigin::Mirror(mirror, _) => Some(&mirror.to),
        }
    }
}

impl<'a> FoundCopies<'a> {
    /// Returns the chosen copy; `None` if the choice was made from other places.
    pub fn take(&self, chosen: RestoreFrom) -> Option<NearCopy<'a>> {
        let (name, stream) = (chosen.copy.name, chosen.copy.stream_uuid?);
        let (path, origin) = match self.origins.get(chosen.place)? {
            PlaceOrigin::Snapshots(rows) => {
                let is_it = |row: &&SnapshotRow| row.name == name && stream_of(row) == stream;
                let row = rows.iter().find(is_it)?.clone();
                (Some(row.path.clone()), CopyOrigin::Snapshot(row))
            }
            PlaceOrigin::Mirror(mirror, copies) => {
                let is_it = |it: &&MirrorCopy| it.name == name && it.stream_uuid == stream;
                let copy = copies.iter().find(is_it)?.clone();
                (copy_path(mirror, &copy), CopyOrigin::Mirror(mirror, copy))
            }
        };
        Some(NearCopy {
            chosen,
            path,
            origin,
        })
    }
}

/// Looks at the places from the nearest on. A mirror is not asked if a nearer place has the copy, unless the mirror is
/// on the filesystem that is restored to.
///
/// A mirror that can't be reached is no error, but one on which another run is at work is: the user would pay for a
/// thaw because of a coincidence.
pub fn look_for_copies<'a>(
    search: &CopySearch<'a>,
    catalog: &Catalog,
) -> Result<FoundCopies<'a>, Error> {
    let mut found = FoundCopies {
        places: Vec::new(),
        origins: Vec::new(),
    };
    let target = search.to.and_then(|to| btrfs::filesystem_id(to).ok());
    let wants = |kind| search.only.is_none_or(|only| only == kind);
    if wants(CopyKind::Snapshot) {
        let rows = standing::rows(search.source, catalog)?;
        if search.source.live.is_some() || !rows.is_empty() {
            found.places.push(SiteOffers {
                site: CopySite::Snapshots,
                copies: Ok(rows.iter().map(|row| of_row(row, target)).collect()),
            });
            found.origins.push(PlaceOrigin::Snapshots(rows));
        }
    }
    if !wants(CopyKind::Mirror) {
        return Ok(found);
    }
    for mirror in mirrors_of(search.config, search.source) {
        let at_hand: Vec<&CopyOffer> = found
            .places
            .iter()
            .filter_map(|place| copy_at(place, search.asked))
            .collect();
        let may_share = match &mirror.to {
            MirrorLocation::Directory(path) => {
                target.is_some() && btrfs::filesystem_id(path).ok() == target
            }
            MirrorLocation::Ssh(_) => false,
        };
        let is_needed =
            at_hand.is_empty() || (may_share && !at_hand.iter().any(|copy| copy.is_on_target));
        if !is_needed {
            continue;
        }
        let (copies, offers) = match at_mirror(search, mirror, target, catalog) {
            Ok((copies, offers)) => (copies, Ok(offers)),
            Err(error) => (Vec::new(), Err(why_not(error)?)),
        };
        found.places.push(SiteOffers {
            site: CopySite::Mirror(mirror.to.clone()),
            copies: offers,
        });
        found.origins.push(PlaceOrigin::Mirror(mirror, copies));
    }
    Ok(found)
}

/// Returns the mirrors that have a source's snapshots, those on this machine first: its own, and the mirrors of these.
pub(in crate::engine) fn mirrors_of<'a>(
    config: &'a Config,
    source: &'a Source,
) -> Vec<&'a MirrorConfig> {
    let mut own: Vec<&MirrorConfig> = config.mirrors_of(source).collect();
    let directories: Vec<PathBuf> = own
        .iter()
        .filter_map(|mirror| match &mirror.to {
            MirrorLocation::Directory(path) => Some(path.join(source.name.as_str())),
            MirrorLocation::Ssh(_) => None,
        })
        .collect();
    let is_of_these = |mirror: &&MirrorConfig| match &mirror.of {
        MirrorOf::Directory(of) => mirror.name == source.name && directories.contains(of),
        MirrorOf::Source => false,
    };
    own.extend(config.mirrors.iter().filter(is_of_these));
    own.sort_by_key(|mirror| mirror.to.is_remote());
    own
}

fn stream_of(row: &SnapshotRow) -> Uuid {
    row.local_received.unwrap_or(row.local_uuid)
}

/// Returns the path of a mirror's copy; `None` on another machine.
fn copy_path(mirror: &MirrorConfig, copy: &MirrorCopy) -> Option<PathBuf> {
    match &mirror.to {
        MirrorLocation::Directory(path) => {
            Some(path.join(mirror.name.as_str()).join(copy.name.to_string()))
        }
        MirrorLocation::Ssh(_) => None,
    }
}

fn of_row(row: &SnapshotRow, target: Option<Uuid>) -> CopyOffer {
    let unfit = match standing::check(row) {
        Ok(Ok(_)) => None,
        Ok(Err(why)) => Some(why),
        Err(error) => Some(in_words(&error)),
    };
    CopyOffer {
        name: row.name,
        stream_uuid: Some(stream_of(row)),
        is_on_target: target.is_some() && btrfs::filesystem_id(&row.path).ok() == target,
        unfit,
    }
}

/// Returns the copies of a mirror.
fn at_mirror(
    search: &CopySearch<'_>,
    mirror: &MirrorConfig,
    target: Option<Uuid>,
    catalog: &Catalog,
) -> Result<(Vec<MirrorCopy>, Vec<CopyOffer>), Error> {
    let mut end = open_mirror(search.config, mirror, None, search.context)?;
    let standing = known_standing(&mut *end, mirror, catalog)?;
    // On another machine, it is another filesystem.
    let is_on_target = !mirror.to.is_remote() && target == Some(standing.filesystem);
    let mut offers: Vec<CopyOffer> = standing
        .copies
        .iter()
        .map(|copy| CopyOffer {
            name: copy.name,
            stream_uuid: Some(copy.stream_uuid),
            is_on_target,
            unfit: (!copy.is_intact)
                .then(|| format!("its copy {} was changed since it was received", copy.name)),
        })
        .collect();
    offers.extend(standing.taken.iter().map(|name| CopyOffer {
        name: *name,
        stream_uuid: None,
        is_on_target: false,
        unfit: Some(format!(
            "{name} there is not a copy that was received whole"
        )),
    }));
    Ok((standing.copies, offers))
}

/// Looks at a mirror, which must be the one that was used before, if one was.
pub(in crate::engine) fn known_standing(
    end: &mut dyn MirrorEnd,
    mirror: &MirrorConfig,
    catalog: &Catalog,
) -> Result<MirrorStanding, Error> {
    let row = catalog.mirror(&mirror.name, &mirror.to)?;
    let recorded = match &row {
        Some(row) => catalog.mirrored(row.id)?,
        None => Vec::new(),
    };
    let recorded: Vec<RecordedCopy> = recorded
        .iter()
        .map(|copy| RecordedCopy {
            uuid: copy.there_uuid,
            ctransid: copy.there_ctransid,
        })
        .collect();
    let standing = end.standing(&recorded)?;
    match row.and_then(|row| what_else(&row, &standing)) {
        None => Ok(standing),
        Some(what) => Err(not_there(mirror, what)),
    }
}

/// Returns in words why a mirror gives no copy. Some errors end the whole run.
fn why_not(error: Error) -> Result<String, Error> {
    match error {
        Error::Busy(_) | Error::Interrupted(_) | Error::Catalog(_) => Err(error),
        Error::Mirror(MirrorError::NotThere { what, .. }) => Ok(format!("it is not there: {what}")),
        error => Ok(in_words(&error)),
    }
}
