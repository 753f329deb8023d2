//! The data of mounted files: the contents of chains, each read at the first open of a file of its date, and the frames of their
//! archives. A bounded number of both is kept.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::names::ShownDate;
use super::shared::MadeOnce;
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{OpenSource, open_impatient_store};
use crate::engine::copy::places::ReadablePlace;
use crate::engine::files::extract::chain::{ChainArchive, FramePlace, ReadChain};
use crate::engine::files::extract::reading::FileReader;
use crate::engine::restore::other_places::OtherPlaces;
use crate::engine::restore::{Which, plan_details};
use crate::error::{Error, RequestError, RestoreError};
use crate::model::ArchiveId;
use crate::model::file_node::ObjectId;
use crate::seal::Identities;
use crate::store::{ErrorKind, StoreError};

/// How long a place is not asked again after it did not answer.
const SILENCE: Duration = Duration::from_secs(30);

/// The part of the memory limit that the contents of chains may take.
const CONTENTS: (u64, u64) = (3, 4);

/// The most dates whose contents are kept on disk, because they do not fit into memory.
const MOST_ON_DISK: u64 = 4;

/// The part of the memory limit that frames may take which are kept.
const PART_FOR_FRAMES: u64 = 8;

/// A usual frame.
const FRAME: u64 = 4 << 20;

/// Frames that are fetched ahead for a file that is read in order.
const AHEAD: usize = 4;

/// The places of a source.
pub(super) struct SourcePlaces<'a> {
    /// The one that is read, and then those that take its place if it does not answer.
    pub(super) places: Vec<MountPlace<'a>>,
}

/// A place from which a source is read.
pub(super) struct MountPlace<'a> {
    config: &'a Config,
    source: &'a Source,
    copy: Option<&'a ReadablePlace>,
    others: OtherPlaces<'a>,
    context: RunContext<'a>,
    open: OnceLock<OpenSource<'a>>,
    /// Until when it is not asked again, and why.
    silent: Mutex<Option<(Instant, StoreError)>>,
}

/// Which places of a source are read. What is damaged in one is taken from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlacesToRead {
    /// Each in its turn.
    All,
    /// Home alone.
    Home,
    /// This copy alone, by its index.
    Copy(usize),
}

impl<'a> SourcePlaces<'a> {
    /// `copies`: those of the source.
    pub(super) fn new(
        (config, source): (&'a Config, &'a Source),
        copies: &'a [ReadablePlace],
        which: PlacesToRead,
        catalog: &Catalog,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        let all = std::iter::once(None).chain(copies.iter().map(Some));
        let wanted: Vec<Option<&ReadablePlace>> = match which {
            PlacesToRead::All => all.collect(),
            PlacesToRead::Home => vec![None],
            PlacesToRead::Copy(index) => vec![Some(&copies[index])],
        };
        let places = wanted.into_iter().map(|copy| {
            Ok(MountPlace {
                config,
                source,
                copy,
                others: OtherPlaces::beside(
                    (config, source),
                    (copy, which == PlacesToRead::All),
                    catalog,
                    context.observer,
                )?,
                context,
                open: OnceLock::new(),
                silent: Mutex::new(None),
            })
        });
        let places = places.collect::<Result<_, Error>>()?;
        Ok(Self { places })
    }
}

impl<'a> MountPlace<'a> {
    fn open(&self, catalog: &Catalog) -> Result<&OpenSource<'a>, Error> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let source = self.copy.map_or(self.source, |copy| &copy.source);
        let row = catalog.source(&source.name)?;
        let mut row = row.ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
        if let Some(copy) = self.copy {
            row = copy.row_of(row);
        }
        let store = self.config.store_of(source)?;
        let store = open_impatient_store(store, self.context.observer)?;
        Ok(self.open.get_or_init(|| OpenSource {
            config: source,
            row,
            store,
        }))
    }

    /// Returns why it did not answer, if that was a short time ago.
    fn silence(&self) -> Option<Error> {
        let silent = lock(&self.silent);
        let silent = silent.as_ref().filter(|(until, _)| Instant::now() < *until);
        silent.map(|(_, why)| why.again().into())
    }

    fn note(&self, why: &StoreError) {
        *lock(&self.silent) = Some((Instant::now() + SILENCE, why.again()));
    }
}

/// What is kept of the data of a mount.
pub(super) struct MountedData<'m, 'a> {
    config: &'m Config,
    sources: &'m [SourcePlaces<'a>],
    identities: Option<(&'m Identities, &'m str)>,
    context: RunContext<'m>,
    /// For those that read contents or open places. One at a time reads contents: that bounds the memory.
    catalog: Mutex<Catalog>,
    dates: MadeOnce<ShownDate, Arc<LoadedDate<'m>>>,
    frames: MadeOnce<(ArchiveId, FramePlace), Arc<Vec<u8>>>,
}

/// A date whose contents were read.
pub(super) struct LoadedDate<'m> {
    shown: ShownDate,
    chain: Arc<ReadChain>,
    /// What reads each of the places, once it was needed.
    readers: Vec<OnceLock<PlaceReader<'m>>>,
}

type PlaceReader<'m> = FileReader<'m, Arc<ReadChain>>;

/// A frame, by the place of its archive in the chain.
pub(super) type ChainFrame = (u32, FramePlace);

impl<'m, 'a> MountedData<'m, 'a> {
    pub(super) fn new(
        config: &'m Config,
        sources: &'m [SourcePlaces<'a>],
        identities: Option<(&'m Identities, &'m str)>,
        context: RunContext<'m>,
        catalog: Catalog,
    ) -> Self {
        let frames = (config.memory_limit / PART_FOR_FRAMES).max(2 * FRAME);
        Self {
            config,
            sources,
            identities,
            context,
            catalog: Mutex::new(catalog),
            dates: MadeOnce::new(config.memory_limit / CONTENTS.1 * CONTENTS.0),
            frames: MadeOnce::new(frames),
        }
    }

    /// Returns whether there is an identity, without which no data can be read.
    pub(super) fn has_identity(&self) -> bool {
        self.identities.is_some()
    }

    /// Returns how many frames may be fetched ahead for one of so many files that are read.
    pub(super) fn ahead(&self, open_files: usize) -> usize {
        let kept = self.config.memory_limit / PART_FOR_FRAMES / FRAME;
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        (kept / 2 / open_files.max(1)).min(AHEAD)
    }

    /// Returns a date, whose contents are read if they are not known.
    pub(super) fn date(&self, shown: ShownDate) -> Result<Arc<LoadedDate<'m>>, Arc<Error>> {
        self.dates.get(shown, || self.load(shown))
    }

    fn load(&self, shown: ShownDate) -> Result<(Arc<LoadedDate<'m>>, u64), Error> {
        let identities = self.identities.ok_or(RestoreError::NoIdentity)?;
        let catalog = lock(&self.catalog);
        let places = &self.sources[shown.source].places;
        let source = places[0].source;
        let date = Some(shown.archive.date);
        let (plan, _) = plan_details(source, date, Which::Visible, &catalog)?;
        if plan.archives.last() != Some(&shown.archive) {
            return Err(RequestError::NoSuchArchive(shown.archive.to_string()).into());
        }
        let most = self.config.memory_limit / CONTENTS.1 * CONTENTS.0;
        self.dates.keep_within(most / 2);
        let limit = most.saturating_sub(self.dates.weight());
        let of = (self.config, source);
        let chain =
            ReadChain::of_plan_within(limit, of, &plan, identities, &catalog, self.context)?;
        let weight = if chain.tree.is_on_disk() {
            // It takes little memory, but the disk is not without end either.
            chain.tree.memory().max(most / MOST_ON_DISK)
        } else {
            chain.tree.memory()
        };
        let loaded = LoadedDate {
            shown,
            chain: Arc::new(chain),
            readers: places.iter().map(|_| OnceLock::new()).collect(),
        };
        Ok((Arc::new(loaded), weight))
    }

    /// Returns a range of a file, cut at its end.
    pub(super) fn read(
        &self,
        date: &LoadedDate<'m>,
        file: ObjectId,
        range: Range<u64>,
    ) -> Result<Vec<u8>, Arc<Error>> {
        date.chain.read_file(file, range, |archive, place| {
            self.frame(date, (archive, place))
        })
    }

    /// Returns a frame.
    pub(super) fn frame(
        &self,
        date: &LoadedDate<'m>,
        (archive, place): ChainFrame,
    ) -> Result<Arc<Vec<u8>>, Arc<Error>> {
        self.frames.get(date.key((archive, place)), || {
            let raw = self.fetch(date, (archive, place))?;
            let weight = raw.len() as u64;
            Ok((Arc::new(raw), weight))
        })
    }

    /// Returns whether a frame is there, or being fetched.
    pub(super) fn has_frame(&self, date: &LoadedDate<'m>, frame: ChainFrame) -> bool {
        self.frames.has(&date.key(frame))
    }

    /// Fetches a frame from the first place that has it and can read it now. The error is that of the first one.
    fn fetch(&self, date: &LoadedDate<'m>, frame: ChainFrame) -> Result<Vec<u8>, Error> {
        let mut first = None;
        for (number, place) in self.sources[date.shown.source].places.iter().enumerate() {
            if let Some(error) = place.silence() {
                first.get_or_insert(error);
                continue;
            }
            let fetched = match self.reader(date, number, place) {
                Ok(Some(reader)) => reader.fetch(frame.0, frame.1),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match fetched {
                Ok(raw) => return Ok(raw),
                Err(Error::Store(error)) if error.kind.is_out_of_reach() => {
                    place.note(&error);
                    first.get_or_insert(error.into());
                }
                Err(Error::Store(error)) if error.kind == ErrorKind::Cold => {
                    first.get_or_insert(error.into());
                }
                Err(error) => return Err(first.unwrap_or(error)),
            }
        }
        let missing = || RequestError::NoSuchArchive(date.shown.archive.to_string()).into();
        Err(first.unwrap_or_else(missing))
    }

    /// Returns what reads a place; `None` if that lacks an archive of the chain.
    fn reader<'d>(
        &self,
        date: &'d LoadedDate<'m>,
        number: usize,
        place: &'m MountPlace<'a>,
    ) -> Result<Option<&'d PlaceReader<'m>>, Error> {
        let known = &date.readers[number];
        if let Some(reader) = known.get() {
            return Ok(Some(reader));
        }
        let mut catalog = lock(&self.catalog);
        let source = place.open(&catalog)?;
        if let Some(copy) = place.copy {
            catalog.turn_to(Some(copy.row.id));
            let visible = catalog.visible(&copy.row.ledger);
            let has_all = visible.map(|visible| {
                let archives = date.chain.archives.iter();
                archives
                    .map(ChainArchive::id)
                    .all(|id| visible.iter().any(|archive| archive.id == id))
            });
            if !matches!(has_all, Ok(true)) {
                catalog.turn_to(None);
                return has_all.map(|_| None).map_err(Error::from);
            }
        }
        let chain = Arc::clone(&date.chain);
        let interrupt = self.context.interrupt;
        let reader = FileReader::new(chain, source, &place.others, (0, interrupt), &catalog);
        catalog.turn_to(None);
        drop(catalog);
        let reader = reader?;
        Ok(Some(known.get_or_init(|| reader)))
    }
}

impl LoadedDate<'_> {
    pub(super) fn chain(&self) -> &ReadChain {
        &self.chain
    }

    pub(super) fn shown(&self) -> ShownDate {
        self.shown
    }

    fn key(&self, (archive, place): ChainFrame) -> (ArchiveId, FramePlace) {
        (self.chain.archives[archive as usize].id(), place)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
