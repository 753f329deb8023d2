//! Snapshots without an archive: at any time, and every night of a source that has no store.

use chrono::NaiveDate;

use crate::btrfs::{self, Tools};
use crate::catalog::Catalog;
use crate::config::{Config, Live, Source};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::snapshots::retention::{self, Retaining};
use crate::engine::snapshots::{links, take};
use crate::error::{Error, SnapshotError};
use crate::model::{SnapshotName, SourceName};
use crate::plan::Withheld;

/// What a run did to the snapshots of a source.
#[derive(Debug)]
pub struct Snapshotted {
    /// The snapshot that it made, or found.
    pub name: SnapshotName,
    /// Whether it made it.
    pub is_new: bool,
    /// How many expired snapshots it deleted; `None` if another run works on the source, and a later one deletes them.
    pub deleted: Option<usize>,
    /// The error of a step after the snapshot was made.
    pub later: Option<Box<Error>>,
}

impl Snapshotted {
    /// Returns the error of a step after the snapshot was made.
    pub fn failed_later(self, source: &SourceName) -> Option<Error> {
        let later = self.later?;
        Some(Error::Snapshots(SnapshotError::AfterSnapshot {
            source_name: source.clone(),
            name: self.name,
            source: later,
        }))
    }
}

/// Takes a snapshot of a source now, and deletes those that have expired. Needs no store, and does not wait for a run
/// that archives the source.
pub fn snapshot(
    config: &Config,
    source: &Source,
    context: RunContext<'_>,
) -> Result<Snapshotted, Error> {
    let run = Snapshotting::new(config, source, context)?;
    let mut catalog = run.catalog()?;
    let locked = run.state_dir.lock_snapshots(&source.name, &context)?;
    let name = SnapshotName::of_moment(&context.clock.now().with_timezone(&config.timezone));
    let path = run.live.snapshots.join(name.to_string());
    if path.symlink_metadata().is_ok() {
        return Err(Error::Snapshots(SnapshotError::SameMinute {
            source_name: source.name.clone(),
            name,
        }));
    }
    let night = take::take(source, run.live, name, &mut catalog, &run.tools, context)?;
    drop(locked);
    let retaining = Retaining::of_today(config, context);
    Ok(run.afterwards(&night, retaining, &mut catalog))
}

/// The night of a source without a store: takes the snapshot of the date, unless it exists, and deletes those that
/// have expired.
pub(in crate::engine) fn nightly(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    context: RunContext<'_>,
) -> Result<Snapshotted, Error> {
    let run = Snapshotting::new(config, source, context)?;
    let mut catalog = run.catalog()?;
    let locked = run.state_dir.lock_snapshots(&source.name, &context)?;
    let name = SnapshotName::of_date(date);
    let night = take::take(source, run.live, name, &mut catalog, &run.tools, context)?;
    drop(locked);
    let retaining = Retaining::of_date(date, config, context);
    Ok(run.afterwards(&night, retaining, &mut catalog))
}

/// Deletes the snapshots of a source that have expired, and returns how many. `confirmed` is the number that the user
/// has seen; without it, more than half are not deleted.
pub fn prune_snapshots(
    config: &Config,
    source: &Source,
    confirmed: Option<usize>,
    context: RunContext<'_>,
) -> Result<usize, Error> {
    let run = Snapshotting::new(config, source, context)?;
    let mut catalog = run.catalog()?;
    let _locked = run.state_dir.lock(&source.name, &context)?;
    let (rows, _) = retention::existing(source, &catalog)?;
    let retaining = Retaining {
        confirmed,
        ..Retaining::of_today(config, context)
    };
    let plan = retention::plan(source, &rows, retaining, &catalog)?;
    let source_name = source.name.clone();
    match plan.withheld {
        Some(Withheld::ClockBehind { newest }) => {
            return Err(Error::Snapshots(SnapshotError::ClockBehind {
                source_name,
                newest,
            }));
        }
        Some(Withheld::TooMany { expiring, of }) => {
            return Err(Error::Snapshots(SnapshotError::ManyExpire {
                source_name,
                expiring,
                of,
            }));
        }
        Some(Withheld::Silence { .. }) | None => {}
    }
    let deleted = retention::retain(source, retaining, &mut catalog, &run.tools, context)?;
    links::point_to_newest(source, config.timezone, &mut catalog, context)?;
    Ok(deleted)
}

/// Waits until the filesystem of a source has freed what deleted snapshots took.
pub fn wait_until_freed(source: &Source) -> Result<(), Error> {
    if let Some(live) = &source.live {
        btrfs::snapshots::wait_until_freed(&Tools::find()?, &live.snapshots)?;
    }
    Ok(())
}

/// A run that changes the snapshots of a source.
struct Snapshotting<'a> {
    config: &'a Config,
    source: &'a Source,
    live: &'a Live,
    tools: Tools,
    state_dir: StateDir,
    context: RunContext<'a>,
}

impl<'a> Snapshotting<'a> {
    fn new(config: &'a Config, source: &'a Source, context: RunContext<'a>) -> Result<Self, Error> {
        let live = source.live.as_ref().ok_or_else(|| {
            Error::Snapshots(SnapshotError::NothingToSnapshot {
                source_name: source.name.clone(),
            })
        })?;
        let tools = Tools::find()?;
        btrfs::require_root()?;
        Ok(Self {
            config,
            source,
            live,
            tools,
            state_dir: StateDir::new(&config.state_dir),
            context,
        })
    }

    /// Opens the catalog. If the source had another name in the config, it gets the snapshots of that name: they are
    /// in its directory, and no source of the config has the name any more.
    fn catalog(&self) -> Result<Catalog, Error> {
        let mut catalog = self.context.catalog(&self.state_dir)?;
        let is_known = |name: &SourceName| self.config.sources.iter().any(|it| it.name == *name);
        for name in catalog.sources_of_snapshots_alone()? {
            let rows = catalog.snapshots(&name)?;
            let are_here = rows
                .iter()
                .all(|row| row.path.parent() == Some(&self.live.snapshots));
            if !is_known(&name) && are_here {
                catalog.take_over_snapshots(&name, &self.source.name)?;
            }
        }
        Ok(catalog)
    }

    /// Warns of what the snapshot lacks, moves the links and deletes what has expired. The snapshot stays, whatever
    /// fails here.
    fn afterwards(
        &self,
        night: &take::Night,
        retaining: Retaining,
        catalog: &mut Catalog,
    ) -> Snapshotted {
        let (source, context) = (self.source, self.context);
        let later = take::tell(source, self.live, night, catalog, context)
            .and_then(|()| links::point_to_newest(source, self.config.timezone, catalog, context))
            .and_then(|()| self.delete(retaining, catalog));
        let (deleted, later) = match later {
            Ok(deleted) => (deleted, None),
            Err(error) => (None, Some(Box::new(error))),
        };
        Snapshotted {
            name: night.row.name,
            is_new: night.made == take::Made::Now,
            deleted,
            later,
        }
    }

    /// Deletes what has expired, unless another run works on the source: that one may be about to archive a snapshot
    /// that nothing pins yet.
    fn delete(&self, retaining: Retaining, catalog: &mut Catalog) -> Result<Option<usize>, Error> {
        let source = self.source;
        let _locked = match self.state_dir.try_lock(&source.name) {
            Err(Error::Busy(_)) => return Ok(None),
            locked => locked?,
        };
        let deleted = retention::retain(source, retaining, catalog, &self.tools, self.context)?;
        links::point_to_newest(source, self.config.timezone, catalog, self.context)?;
        Ok(Some(deleted))
    }
}
