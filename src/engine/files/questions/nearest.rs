//! Where the nearest copy of an archive is: a snapshot, a mirror's copy, a place that can be read at once, or a cold one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::btrfs;
use crate::catalog::{ArchiveRow, Catalog};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::open_source::is_place;
use crate::engine::copy::known::known_copies;
use crate::engine::files::plain_copies::{PlainCopies, PlainCopy};
use crate::error::Error;
use crate::files_db::IndexedArchive;
use crate::model::{ArchiveId, StorageClass};

/// Where an archive's files are nearest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NearestCopy {
    /// A snapshot here.
    Snapshot(PathBuf),
    /// A copy of the snapshot at a mirror.
    Mirror(PathBuf),
    /// The archive alone, in a place that can be read at once.
    Readable {
        /// `home`, or the name of the copy's store.
        place: String,
        /// Its class, if it is known.
        class: Option<StorageClass>,
    },
    /// The archive alone, in a place where it and all that it is built on were thawed.
    Thawed {
        /// `home`, or the name of the copy's store.
        place: String,
        /// Its class.
        class: StorageClass,
        /// Until when it can be read, by the store's clock.
        until: DateTime<Utc>,
    },
    /// The archive alone, in a place where it has to be thawed.
    Cold {
        /// `home`, or the name of the copy's store.
        place: String,
        /// Its class.
        class: StorageClass,
    },
}

/// What is known of the copies of a source's archives. No store is asked.
pub struct Whereabouts<'a> {
    copies: &'a PlainCopies,
    rows: Vec<ArchiveRow>,
    /// From home on: the place, whether it is home, and the archives there with their classes.
    places: Vec<PlaceOfArchives>,
    /// Until when archives can be read that were thawed: in the place of this number in the catalog.
    thawed: BTreeMap<(Option<i64>, ArchiveId), DateTime<Utc>>,
    now: DateTime<Utc>,
}

struct PlaceOfArchives {
    name: String,
    /// Its number in the catalog; `None` for home.
    number: Option<i64>,
    /// `None` for home before a copy was made home: it has all.
    has: Option<Vec<(ArchiveId, Option<StorageClass>)>>,
    class: Option<StorageClass>,
}

impl<'a> Whereabouts<'a> {
    /// Gathers what the config and the catalog know.
    pub fn gather(
        config: &Config,
        source: &Source,
        catalog: &Catalog,
        copies: &'a PlainCopies,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut places = Vec::new();
        let mut rows = Vec::new();
        if let Some(row) = catalog.source(&source.name)? {
            rows = catalog.visible(&row.ledger)?;
            let known = known_copies(config, source, catalog)?;
            if !known.iter().any(|copy| is_place(&copy.store, &row.store)) {
                let class = config.store_of(source).ok();
                places.push(PlaceOfArchives {
                    name: "home".to_owned(),
                    number: None,
                    has: None,
                    class: class.and_then(StoreConfig::storage_class),
                });
            }
            for copy in known {
                let Some(row) = &copy.row else { continue };
                let store = config.stores.get(&copy.name);
                let there = catalog.placed(row.id)?.into_iter();
                let has = there
                    .filter(|placed| copy.has.contains(&placed.archive))
                    .filter(|placed| !copy.damaged.contains(&placed.archive))
                    .map(|placed| (placed.archive, placed.storage_class));
                places.push(PlaceOfArchives {
                    name: copy.name.clone(),
                    number: Some(row.id),
                    has: Some(has.collect()),
                    class: store.and_then(StoreConfig::storage_class),
                });
            }
        }
        let mut thawed = BTreeMap::new();
        for place in &places {
            for row in &rows {
                if let Some(until) = catalog.thawed_until(place.number, &row.id)? {
                    thawed.insert((place.number, row.id), until.0);
                }
            }
        }
        Ok(Self {
            copies,
            rows,
            places,
            thawed,
            now,
        })
    }

    /// Returns where an archive is nearest; `None` if no place is known that has it.
    pub fn of(&self, archive: &IndexedArchive) -> Option<NearestCopy> {
        let row = self.rows.iter().find(|row| row.id == archive.id);
        if let Some(copy) = self.plain_copy(archive, row) {
            let path = copy.path.clone();
            return Some(match copy.place {
                0 => NearestCopy::Snapshot(path),
                _ => NearestCopy::Mirror(path),
            });
        }
        let at_places = self.places.iter().filter_map(|place| {
            let class = match &place.has {
                None => row.and_then(|row| row.storage_class),
                Some(has) => has.iter().find(|(id, _)| *id == archive.id)?.1,
            };
            let cold = class.or(place.class).filter(|class| class.is_cold());
            let place_name = place.name.clone();
            Some(match cold {
                None => NearestCopy::Readable {
                    place: place_name,
                    class: class.or(place.class),
                },
                Some(class) => match self.chain_thawed_until(place.number, row) {
                    Some(until) => NearestCopy::Thawed {
                        place: place_name,
                        class,
                        until,
                    },
                    None => NearestCopy::Cold {
                        place: place_name,
                        class,
                    },
                },
            })
        });
        // The order of the places stays among those that are equal.
        at_places.min_by_key(|nearest| match nearest {
            NearestCopy::Snapshot(_) | NearestCopy::Mirror(_) | NearestCopy::Readable { .. } => 0,
            NearestCopy::Thawed { .. } => 1,
            NearestCopy::Cold { .. } => 2,
        })
    }

    /// Returns until when an archive and all that it is built on can be read in a place where they are cold; `None` if not
    /// all of them were thawed, or if that time has passed.
    fn chain_thawed_until(
        &self,
        place: Option<i64>,
        archive: Option<&ArchiveRow>,
    ) -> Option<DateTime<Utc>> {
        let mut archive = archive?;
        let mut until = DateTime::<Utc>::MAX_UTC;
        // A chain has no circle, unless the catalog is damaged.
        for _ in 0..self.rows.len() {
            until = until.min(*self.thawed.get(&(place, archive.id))?);
            let Some(parent) = archive.send_parent else {
                return (until > self.now).then_some(until);
            };
            archive = self.rows.iter().find(|row| row.id == parent)?;
        }
        None
    }

    /// Returns the plain copy of what was archived: the one of its date, unless that has another uuid.
    fn plain_copy(&self, archive: &IndexedArchive, row: Option<&ArchiveRow>) -> Option<&PlainCopy> {
        let stream = row.and_then(|row| row.stream_uuid);
        let is_it = |copy: &&PlainCopy| {
            let is_of_date = copy.name.is_date() && copy.name.date == archive.date;
            is_of_date
                && stream.is_none_or(|stream| {
                    let identity = btrfs::identity(&copy.path);
                    identity.is_ok_and(|it| it.received_uuid.unwrap_or(it.uuid) == stream)
                })
        };
        self.copies.copies.iter().find(is_it)
    }
}
