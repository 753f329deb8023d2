//! The chain that files are extracted from: what its contents say.

use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use crate::btrfs::ContentsReader;
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::files::contents::places::ContentsPlaces;
use crate::engine::files::pieces::error::PiecesError;
use crate::engine::files::pieces::places::TreeFilePlaces;
use crate::engine::files::pieces::replay_pieces;
use crate::engine::files::pieces::tree::PiecesTree;
use crate::engine::files::replay::refusal::ReplayError;
use crate::engine::ledger::archive_keys::{SealedArchive, sealed_archives};
use crate::engine::restore::archive_stream::expected;
use crate::error::{ContentsFault, Error, ExtractError, RequestError, in_words};
use crate::interrupt::Interrupt;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, SegmentRecord};
use crate::plan::RestorePlan;
use crate::seal::{ArchiveKey, Identities, SegmentLayout};

/// Bytes of contents that are read at once.
const READ_BYTES: usize = 64 << 10;

const DAMAGED_TABLE: &str = "their table of segments is damaged";

/// A chain, up to the archive that is wanted.
#[derive(Debug)]
pub struct ReadChain {
    /// Its archives, the full first.
    pub archives: Vec<ChainArchive>,
    /// The files of the last one.
    pub tree: PiecesTree,
}

/// An archive, and how its stream is laid out in frames.
pub struct ChainArchive {
    /// Its entry in the signed ledger.
    pub entry: ArchiveEntry,
    /// What opens its segments.
    pub key: Arc<ArchiveKey>,
    /// The layout of each segment, as its contents have it.
    pub layouts: Vec<Arc<SegmentLayout>>,
    /// Where each segment begins in the stream.
    begins: Vec<u64>,
}

/// A frame of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FramePlace {
    /// The segment, by its index.
    pub segment: u32,
    /// The frame, by its place in the segment.
    pub frame: u32,
}

impl ReadChain {
    /// Reads the contents of the archives of a plan, from the first place that has them sound. The identities open the
    /// archive keys; `name` is theirs in an error.
    pub fn of_plan(
        config: &Config,
        source: &Source,
        plan: &RestorePlan,
        (identities, name): (&Identities, &str),
        catalog: &Catalog,
        context: RunContext<'_>,
    ) -> Result<Self, Error> {
        let limit = config.memory_limit / 4 * 3;
        let by = (identities, name);
        Self::of_plan_within(limit, (config, source), plan, by, catalog, context)
    }

    /// Does the same within so many bytes of memory for the names and pieces.
    pub fn of_plan_within(
        limit: u64,
        (config, source): (&Config, &Source),
        plan: &RestorePlan,
        (identities, name): (&Identities, &str),
        catalog: &Catalog,
        context: RunContext<'_>,
    ) -> Result<Self, Error> {
        let row = catalog
            .source(&source.name)?
            .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
        let chain = sealed_archives(&row.ledger, &plan.archives, catalog)?;
        let places = ContentsPlaces::of(config, source, catalog, context)?;
        Self::read(
            &row.directory,
            chain,
            (identities, name),
            &places,
            (limit, TreeFilePlaces::of(config), context.interrupt),
        )
    }

    /// Writes the names and pieces to disk, to make room in memory.
    pub fn move_to_disk(&mut self) -> Result<(), Error> {
        let Some(last) = self.archives.last() else {
            return Ok(());
        };
        let archive = last.id();
        let written = self.tree.move_to_disk();
        written.map_err(|error| not_taken(archive, error))
    }

    /// Reads the contents of a chain's archives, which are in order. `limit`: bytes of memory for the names and pieces; what is
    /// more goes to disk.
    fn read(
        directory: &str,
        chain: Vec<SealedArchive>,
        (identities, name): (&Identities, &str),
        places: &ContentsPlaces<'_>,
        (limit, tree_files, interrupt): (u64, TreeFilePlaces, &Interrupt),
    ) -> Result<Self, Error> {
        let keys = chain
            .iter()
            .map(|archive| archive.unlock(directory, identities, name))
            .collect::<Result<Vec<_>, _>>()?;
        // All must have contents before any of them is fetched.
        for archive in &chain {
            if archive.entry.contents.is_none() {
                let archive = archive.entry.id;
                return Err(ContentsFault::Missing { archive }.into());
            }
        }
        let (mut tree, mut archives) = (PiecesTree::new(limit, tree_files), Vec::new());
        for ((number, archive), key) in (0..).zip(chain).zip(keys) {
            interrupt.check()?;
            let entry = archive.entry;
            let layouts = places.read(directory, &entry, &key, |contents| {
                read_archive(&entry, number, contents, &mut tree)
            })?;
            archives.push(ChainArchive::new(entry, key, layouts));
        }
        Ok(Self { archives, tree })
    }
}

/// Replays the contents of an archive, and returns the layouts of its segments.
fn read_archive(
    entry: &ArchiveEntry,
    number: u32,
    contents: &mut dyn Read,
    tree: &mut PiecesTree,
) -> Result<Vec<SegmentLayout>, Error> {
    let archive = entry.id;
    let unusable = |what: String| Error::Contents(ContentsFault::Unusable { archive, what });
    let input = BufReader::with_capacity(READ_BYTES, contents);
    let mut reader =
        ContentsReader::open(input, expected(entry)).map_err(|error| unusable(in_words(&error)))?;
    let refused = |error| not_taken(archive, error);
    let replayed = replay_pieces(&mut reader, number, tree).map_err(|error| match error {
        ReplayError::Tree(error) => refused(error),
        error => unusable(in_words(&error)),
    })?;
    if replayed.stream_bytes != entry.raw_bytes {
        return Err(unusable(format!(
            "they are those of a stream of {} bytes, and {} were archived",
            replayed.stream_bytes, entry.raw_bytes
        )));
    }
    let mut rest = reader.into_rest();
    let mut layouts = Vec::with_capacity(entry.segments.len());
    for segment in &entry.segments {
        let layout = read_layout(entry, segment, &mut rest);
        let layout = layout.map_err(|error| unusable(in_words(&error)))?;
        let layout = layout.ok_or_else(|| unusable(DAMAGED_TABLE.to_owned()))?;
        tree.take_room(layout.memory()).map_err(refused)?;
        layouts.push(layout);
    }
    let behind = rest.read(&mut [0]);
    match behind.map_err(|error: io::Error| unusable(in_words(&error)))? {
        0 => Ok(layouts),
        _ => Err(unusable(DAMAGED_TABLE.to_owned())),
    }
}

/// The error that a tree does not take the contents of an archive.
fn not_taken(archive: ArchiveId, error: PiecesError) -> Error {
    match error {
        PiecesError::TooLarge { limit } => ExtractError::TooManyPieces { archive, limit }.into(),
        PiecesError::NoRoom { limit } => ExtractError::TooManySegments { archive, limit }.into(),
        PiecesError::File(error) => error.into(),
        error => {
            let what = in_words(&error);
            ContentsFault::Unusable { archive, what }.into()
        }
    }
}

/// Reads the layout of a segment: it has as many frames as the raw bytes fill, which fit into the sealed bytes. `None` if the
/// next one in the table is not such a layout.
fn read_layout(
    entry: &ArchiveEntry,
    segment: &SegmentRecord,
    table: &mut impl Read,
) -> io::Result<Option<SegmentLayout>> {
    if entry.frame_size == 0 {
        return Ok(None);
    }
    let frames = segment.raw_bytes.div_ceil(entry.frame_size);
    let layout = match SegmentLayout::read(table, |count| u64::from(count) == frames) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        layout => layout?,
    };
    Ok(layout.filter(|layout| {
        let compressed = layout.frames.iter();
        let compressed: u64 = compressed.map(|it| u64::from(it.compressed_bytes)).sum();
        compressed <= segment.sealed_bytes
    }))
}

impl ChainArchive {
    fn new(entry: ArchiveEntry, key: ArchiveKey, layouts: Vec<SegmentLayout>) -> Self {
        let mut begins = Vec::with_capacity(entry.segments.len());
        let mut at = 0;
        for segment in &entry.segments {
            begins.push(at);
            at += segment.raw_bytes;
        }
        Self {
            entry,
            key: Arc::new(key),
            layouts: layouts.into_iter().map(Arc::new).collect(),
            begins,
        }
    }

    /// Returns its id.
    pub fn id(&self) -> ArchiveId {
        self.entry.id
    }

    /// Returns the frame that has a byte of the stream, which must not be behind its end.
    pub fn frame_at(&self, at: u64) -> FramePlace {
        let segment = self.begins.partition_point(|begin| *begin <= at) - 1;
        let frame = (at - self.begins[segment]) / self.entry.frame_size;
        let narrow = |number| u32::try_from(number).expect("a segment has few frames");
        FramePlace {
            segment: narrow(segment as u64),
            frame: narrow(frame),
        }
    }

    /// Returns the frame that follows another one; `None` after the last.
    pub fn next_frame(&self, place: FramePlace) -> Option<FramePlace> {
        let end = self.raw_range(place).end;
        (end < self.entry.raw_bytes).then(|| self.frame_at(end))
    }

    /// Returns which bytes of the stream a frame has.
    pub fn raw_range(&self, place: FramePlace) -> Range<u64> {
        let (begin, size) = (self.begins[place.segment as usize], self.entry.frame_size);
        let segment_end = begin + self.entry.segments[place.segment as usize].raw_bytes;
        let from = begin + u64::from(place.frame) * size;
        from..(from + size).min(segment_end)
    }
}

/// Shows nothing of the key.
impl std::fmt::Debug for ChainArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainArchive")
            .field("id", &self.entry.id)
            .finish_non_exhaustive()
    }
}
