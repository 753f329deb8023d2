//! An extraction: which frames of which archives it needs.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::ReadChain;
use super::frames::{FrameRequest, StoreReads, WantedFrames, plan_frames};
use super::needs::{Need, NeededOfArchive, by_archive, needs_of};
use super::wanted::{NAME_BYTES, Selection};
use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::restore::cost::ArchiveReads;
use crate::engine::restore::fetch::WantedSegment;
use crate::error::{Error, in_words};
use crate::model::digest::Sha256Hasher;
use crate::model::{ArchiveId, LedgerId, Sha256};

/// What is extracted, and the frames that have its data.
#[derive(Debug)]
pub struct Extraction {
    /// The chain.
    pub chain: ReadChain,
    /// The names and files.
    pub selection: Selection,
    /// What is needed of each archive of the chain.
    needed: Vec<NeededOfArchive>,
}

/// How much an extraction fetches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtractReads {
    /// Of each archive.
    pub archives: BTreeMap<ArchiveId, ArchiveReads>,
    /// Frames that are needed.
    pub frames: u64,
}

impl ExtractReads {
    /// Returns the segments of which frames are needed.
    pub fn segments(&self) -> BTreeSet<(ArchiveId, u32)> {
        let archives = self.archives.iter();
        let segments = archives
            .flat_map(|(archive, reads)| reads.segments.iter().map(|index| (*archive, *index)));
        segments.collect()
    }

    /// Returns the bytes that the store sends.
    pub fn sealed_bytes(&self) -> u64 {
        self.archives.values().map(|reads| reads.sealed_bytes).sum()
    }
}

impl Extraction {
    /// Finds the frames that a selection needs.
    pub fn plan(chain: ReadChain, selection: Selection) -> Result<Self, Error> {
        let needed = by_archive(&chain.tree, &selection.files, &chain.archives)?;
        Ok(Self {
            chain,
            selection,
            needed,
        })
    }

    /// Returns about how many bytes of memory it takes, with what is needed of one archive at a time.
    pub fn memory(&self) -> u64 {
        let files = self.needed.iter().map(|needed| needed.files.len());
        let needs = files.max().unwrap_or(0) * size_of::<Need>();
        let names = self.selection.entries.len() as u64 * NAME_BYTES;
        self.chain.tree.memory() + names + needs as u64
    }

    /// Returns what files need of an archive, which is given by its place in the chain.
    pub(super) fn needs(&self, archive: usize) -> Result<Vec<Need>, Error> {
        let number = u32::try_from(archive).expect("a chain is short");
        Ok(needs_of(
            &self.chain.tree,
            &self.needed[archive].files,
            number,
        )?)
    }

    /// Returns what is fetched, and how much that is from a store that reads ranges.
    pub(in crate::engine) fn wanted(
        &self,
        source: &OpenSource<'_>,
        catalog: &Catalog,
    ) -> Result<Vec<WantedFrames>, Error> {
        let mut wanted = Vec::new();
        for (archive, needed) in self.chain.archives.iter().zip(&self.needed) {
            let frames = &needed.frames;
            if frames.is_empty() {
                continue;
            }
            let rows = catalog.segments(&archive.id())?;
            let segments = WantedSegment::of(source, &archive.entry, &rows);
            for frames in frames.chunk_by(|one, next| one.segment == next.segment) {
                let at = frames[0].segment as usize;
                wanted.push(WantedFrames {
                    segment: segments[at].clone(),
                    layout: archive.layouts[at].clone(),
                    key: archive.key.clone(),
                    frame_size: u32::try_from(archive.entry.frame_size).unwrap_or(u32::MAX),
                    frames: frames.iter().map(|frame| frame.frame).collect(),
                });
            }
        }
        Ok(wanted)
    }

    /// Returns how much is fetched of frames that are wanted, within a limit of memory.
    pub(in crate::engine) fn reads(wanted: &[WantedFrames], memory_limit: u64) -> ExtractReads {
        let mut reads = ExtractReads::default();
        let how = StoreReads::ranges_within(memory_limit);
        for wanted in wanted {
            let segment = &wanted.segment;
            reads.frames += wanted.frames.len() as u64;
            let of = reads.archives.entry(segment.archive).or_default();
            of.segments.insert(segment.index);
            // A wrong layout is an error when its frames are read.
            let Ok(places) = wanted.segment_frames() else {
                continue;
            };
            let requests = plan_frames(&places, &wanted.frames, how);
            of.requests += requests.len() as u64;
            of.sealed_bytes += requests.iter().map(FrameRequest::sealed_bytes).sum::<u64>();
        }
        reads
    }

    /// Returns the archives that something is fetched of, the full first.
    pub fn archives(&self) -> Vec<ArchiveId> {
        let archives = self.chain.archives.iter().zip(&self.needed);
        let read = archives.filter(|(_, needed)| !needed.frames.is_empty());
        read.map(|(archive, _)| archive.id()).collect()
    }

    /// Returns the raw bytes of the frames that are needed of an archive.
    pub(super) fn raw_bytes(&self, archive: usize) -> u64 {
        let of = &self.chain.archives[archive];
        let frames = self.needed[archive].frames.iter();
        let ranges = frames.map(|frame| of.raw_range(*frame));
        ranges.map(|range| range.end - range.start).sum()
    }

    /// Returns a digest of all that says what is made: the same extraction has the same.
    pub fn digest(&self, ledger: &LedgerId) -> Sha256 {
        let mut hasher = Sha256Hasher::default();
        hasher.update(ledger.to_string().as_bytes());
        for archive in &self.chain.archives {
            hasher.update(archive.id().to_string().as_bytes());
        }
        for entry in &self.selection.entries {
            let parent = entry.parent.map_or(u64::MAX, u64::from);
            hasher.update(&parent.to_le_bytes());
            hasher.update(&(entry.name.len() as u64).to_le_bytes());
            hasher.update(&entry.name);
        }
        hasher.finish()
    }
}

/// Returns why a frame is lost, if others can still be read; else the error comes back.
pub(super) fn of_one_frame(error: Error) -> Result<String, Error> {
    use crate::error::RestoreError;
    match error {
        Error::Restore(
            RestoreError::FrameDamaged { .. }
            | RestoreError::SegmentDamaged { .. }
            | RestoreError::SegmentUnreadable { .. }
            | RestoreError::SegmentColdElsewhere { .. },
        ) => Ok(in_words(&error)),
        error => Err(error),
    }
}
