//! An archive's send stream on its way back, decoded segment by segment.

use std::iter;

use crate::btrfs::{CompressedData, Expect, ExpectParent};
use crate::engine::restore::decode::{Block, Decoded};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::SourceName;
use crate::model::entry::ArchiveEntry;
use crate::progress::{Event, Observer, PROGRESS_STEP};

/// Gives the raw blocks of an archive, whose segments are the next ones of `decoded`, and tells the observer
/// how far their reader has come. `reached` gets the number of each segment before the reader waits for it.
pub(in crate::engine) fn archive_blocks<'a>(
    source: &'a SourceName,
    entry: &'a ArchiveEntry,
    decoded: &'a mut Decoded<'_>,
    observer: &'a dyn Observer,
    interrupt: &'a Interrupt,
    mut reached: impl FnMut(u32) -> Result<(), Error> + 'a,
) -> impl Iterator<Item = Result<Block, Error>> {
    let (mut index, mut segment) = (0_u32, None);
    let (mut raw_bytes, mut told) = (0, 0);
    iter::from_fn(move || {
        // The reader asks for more when it is done with the blocks before.
        if raw_bytes - told >= PROGRESS_STEP {
            told = raw_bytes;
            observer.event(Event::Progress {
                source: source.clone(),
                raw_bytes,
            });
        }
        while let Some(record) = entry.segments.get(index as usize) {
            if segment.is_none() {
                if let Err(error) = interrupt.check().and_then(|()| reached(index)) {
                    return Some(Err(error));
                }
                segment = decoded.next();
            }
            let blocks = segment.as_ref().expect("one for each segment");
            if let Ok(block) = blocks.recv() {
                raw_bytes += block.as_ref().map_or(0, |block| block.len() as u64);
                return Some(block);
            }
            observer.event(Event::Segment {
                source: source.clone(),
                archive: entry.id,
                index,
                sealed_bytes: record.sealed_bytes,
            });
            index += 1;
            segment = None;
        }
        None
    })
}

/// Returns what the first command of an archive's stream must say.
pub(in crate::engine) fn expected(entry: &ArchiveEntry) -> Expect {
    Expect {
        uuid: Some(entry.stream_uuid),
        ctransid: Some(entry.stream_ctransid),
        send_parent: entry
            .send_parent_uuid
            .map_or(ExpectParent::None, ExpectParent::Uuid),
        // Backup refused compressed data, unless the config asked for it.
        compressed_data: CompressedData::Allowed,
    }
}
