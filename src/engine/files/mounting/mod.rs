//! Shows archives as a filesystem: their names and attributes from the file index at once, their data as it is read.
//!
//! [`names`] answers from the index, [`data`] from the store, and [`tree`] puts both together for [`crate::fuse`].

mod data;
mod inodes;
mod names;
mod shared;
mod tree;
mod warnings;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use data::{MountedData, PlacesToRead, SourcePlaces};
use names::Names;
use tree::MountedTree;
use warnings::MountWarnings;

use crate::catalog::Catalog;
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::open_impatient_store;
use crate::engine::copy::places::ReadablePlace;
use crate::engine::files::index::up_to_date::bring_index_up_to_date;
use crate::error::{Error, in_words};
use crate::fuse::{FuseMount, FuseOptions, HowEnded};
use crate::model::{ArchiveId, SourceName};
use crate::progress::Observer;
use crate::seal::Identities;
use crate::store::Store;

/// How often it is looked whether there are other archives.
const REFRESH: Duration = Duration::from_secs(3);

/// How often it is looked whether the mount has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Threads that fetch ahead.
const AHEAD_WORKERS: usize = 3;

/// A mount that was asked for.
pub struct Mounting<'a> {
    /// The config.
    pub config: &'a Config,
    /// What is shown.
    pub sources: &'a [&'a Source],
    /// What opens the archives, and its name in an error; without it, there are only names.
    pub identities: Option<(&'a Identities, &'a str)>,
    /// The name of the store that is read, and no other one.
    pub place: Option<&'a str>,
    /// Where it is mounted.
    pub at: &'a Path,
    /// How it is mounted.
    pub options: FuseOptions,
    /// The user and the group that the directories above the archives belong to.
    pub owner: (u32, u32),
    /// What it takes from outside.
    pub context: RunContext<'a>,
}

/// What is shown of a source.
#[derive(Debug, Clone)]
pub struct ShownSource {
    /// The source.
    pub source: SourceName,
    /// How many archives are shown.
    pub archives: usize,
    /// Those that are not, because they are not indexed.
    pub missing: Vec<ArchiveId>,
}

impl Mounting<'_> {
    /// Mounts, calls `ready`, answers until the mount ends, and calls `ended`. It needs two catalogs: files are opened while it
    /// looks for new archives.
    ///
    /// After `ended`, it waits for what still reads from a store.
    pub fn run(
        &self,
        [catalog, to_load]: [Catalog; 2],
        ready: impl FnOnce(&[ShownSource]) -> Result<(), Error>,
        ended: impl FnOnce(HowEnded),
    ) -> Result<(), Error> {
        let config = self.config;
        let context = RunContext {
            stores: &impatient,
            ..self.context
        };
        let warnings = MountWarnings::new(context.observer);
        let names = Names::new(config, self.sources, &warnings);
        for (source, error) in names.refresh(&catalog) {
            warnings.say_once(&source, in_words(&error));
        }
        let mut copies = Vec::new();
        for source in self.sources {
            copies.push(ReadablePlace::all(config, source, &catalog)?);
        }
        let mut places = Vec::new();
        for (source, copies) in self.sources.iter().zip(&copies) {
            let which = match self.place {
                None => PlacesToRead::All,
                Some(name) => {
                    let place = ReadablePlace::named(config, source, name, &catalog)?;
                    let index = place.and_then(|place| {
                        let mut copies = copies.iter();
                        copies.position(|copy| copy.row.id == place.row.id)
                    });
                    index.map_or(PlacesToRead::Home, PlacesToRead::Copy)
                }
            };
            places.push(SourcePlaces::new(
                (config, source),
                copies,
                which,
                &catalog,
                context,
            )?);
        }
        let data = MountedData::new(config, &places, self.identities, context, to_load);
        let now = context
            .clock
            .now()
            .timestamp_nanos_opt()
            .unwrap_or_default();
        let owner = (self.owner.0, self.owner.1, now);
        let (tree, ahead) = MountedTree::new(&names, &data, &warnings, owner);
        let mounted = FuseMount::new(self.at, self.options)?;
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        thread::scope(|scope| {
            for _ in 0..AHEAD_WORKERS {
                let (ahead, stopped, tree) = (&ahead, stopped.clone(), &tree);
                scope.spawn(move || {
                    loop {
                        crossbeam_channel::select! {
                            recv(ahead) -> job => match job {
                                Ok(job) => tree.fetch_ahead(job),
                                Err(_) => return,
                            },
                            recv(stopped) -> _ => return,
                        }
                    }
                });
            }
            // Dropped at the end of this closure, however it ends.
            let _stop = stop;
            ready(&self.shown(&names))?;
            let mut watch = ArchiveWatch {
                mounting: self,
                names: &names,
                warnings: &warnings,
                catalog,
                context,
                tried: BTreeSet::new(),
            };
            // On a thread of its own: a store that does not answer must not keep the mount from ending.
            scope.spawn(move || {
                while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                    watch.refresh();
                }
            });
            let interrupt = context.interrupt;
            mounted.serve(&tree, &mut || interrupt.pause(LOOK).is_ok(), ended)?;
            Ok(())
        })
    }

    fn shown(&self, names: &Names<'_>) -> Vec<ShownSource> {
        let sources = self.sources.iter().enumerate();
        let shown = sources.map(|(number, source)| {
            let (archives, missing) = names.counts(number);
            ShownSource {
                source: source.name.clone(),
                archives,
                missing,
            }
        });
        shown.collect()
    }
}

/// Opens a store whose caller waits for nothing that does not come soon.
fn impatient<'o>(
    config: &StoreConfig,
    observer: &'o dyn Observer,
) -> Result<Box<dyn Store + 'o>, Error> {
    open_impatient_store(config, observer)
}

/// Looks for new archives while others answer.
struct ArchiveWatch<'w, 'a> {
    mounting: &'w Mounting<'a>,
    names: &'w Names<'w>,
    warnings: &'w MountWarnings<'w>,
    catalog: Catalog,
    context: RunContext<'w>,
    /// Archives that it has tried to index.
    tried: BTreeSet<ArchiveId>,
}

impl ArchiveWatch<'_, '_> {
    fn refresh(&mut self) {
        for (source, error) in self.names.refresh(&self.catalog) {
            self.warnings.say_once(&source, in_words(&error));
        }
        let Some(identities) = self.mounting.identities else {
            return;
        };
        for (number, source) in self.mounting.sources.iter().enumerate() {
            let (_, missing) = self.names.counts(number);
            let is_new = missing.iter().any(|archive| !self.tried.contains(archive));
            if !is_new {
                continue;
            }
            self.tried.extend(missing);
            let of = (self.mounting.config, *source);
            let indexed =
                bring_index_up_to_date(of.0, of.1, identities, &self.catalog, self.context);
            if let Err(error) = indexed {
                self.warnings.say_once(&source.name, in_words(&error));
            }
        }
    }
}
