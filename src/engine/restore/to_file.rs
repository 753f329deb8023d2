//! Writes one archive's send stream as it was archived, checked as in a restore, for a user who receives it
//! in another way.

use std::io::{self, Write};
use std::thread;

use crate::catalog::Catalog;
use crate::engine::context::clock::Clock;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::archive_keys::sealed_archives;
use crate::engine::receive::guarded_stream::GuardedStream;
use crate::engine::restore::archive_stream::{archive_blocks, expected};
use crate::engine::restore::decode::decode_ahead;
use crate::engine::restore::fetch::{AtOnce, WantedSegment};
use crate::engine::restore::keep_readable::ReadableKeeper;
use crate::engine::restore::other_places::OtherPlaces;
use crate::engine::restore::thaw::{WantedSegments, require_window, thaw_beside};
use crate::error::{Error, RequestError, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::{ArchiveId, StorageClass};
use crate::progress::{Event, Observer};
use crate::seal::Identities;
use crate::store::ThawRequest;

/// A request to write out an archive's stream.
pub struct StreamingOut<'a> {
    /// The source.
    pub source: &'a OpenSource<'a>,
    /// The archive.
    pub archive: ArchiveId,
    /// The identities that open its key.
    pub identities: &'a Identities,
    /// The name of the identities in an error.
    pub identity_name: &'a str,
    /// The class that the store puts segments into now; `None` if it has no classes.
    pub class: Option<StorageClass>,
    /// How many segments are fetched at once.
    pub at_once: AtOnce,
    /// How to thaw cold segments.
    pub thaw: ThawRequest,
    /// Receives the events.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
    /// Tells when a thawed segment is about to go cold.
    pub clock: &'a dyn Clock,
    /// The other places of the source, for segments that are damaged or missing in this one.
    pub others: &'a OtherPlaces<'a>,
}

/// Writes an archive's stream to `output`, and returns its length in bytes. Writes only checked commands. The
/// stream is known to be complete only when this returns `Ok`.
pub fn stream_out(
    streaming: &StreamingOut<'_>,
    output: &mut dyn Write,
    catalog: &mut Catalog,
) -> Result<u64, Error> {
    let row = &streaming.source.row;
    let archives = [streaming.archive];
    let sealed = sealed_archives(&row.ledger, &archives, catalog)?;
    let [sealed] = sealed.as_slice() else {
        return Err(Error::Request(RequestError::NoSuchArchive(
            streaming.archive.to_string(),
        )));
    };
    let key = sealed.unlock(
        &row.directory,
        streaming.identities,
        streaming.identity_name,
    )?;
    let wanted = WantedSegments {
        source: streaming.source,
        class: streaming.class,
        archives: &archives,
        only: None,
        interrupt: streaming.interrupt,
    };
    require_window(&wanted, catalog)?;
    let status = thaw_beside(&wanted, streaming.thaw, streaming.others, catalog)?;
    if let Some(awaited) = status.awaited(streaming.source.name()) {
        return Err(Error::Restore(RestoreError::Thawing(Box::new(awaited))));
    }
    let (clock, observer) = (streaming.clock, streaming.observer);
    let mut keeper = ReadableKeeper::new(wanted, streaming.thaw, status, clock, observer);
    let entry = &sealed.entry;
    let rows = catalog.segments(&entry.id)?;
    let wanted = WantedSegment::of(streaming.source, entry, &rows).into_iter();
    let wanted = wanted.map(|wanted| (wanted, &key)).collect();
    streaming.observer.event(Event::Begun {
        source: streaming.source.name().clone(),
        archive: entry.id,
        expected: Some(entry.raw_bytes),
    });
    let summary = thread::scope(|scope| {
        let store = streaming.source.store.as_ref();
        let mut decoded = decode_ahead(scope, (store, streaming.others), wanted, streaming.at_once);
        let blocks = archive_blocks(
            streaming.source.name(),
            entry,
            &mut decoded,
            streaming.observer,
            streaming.interrupt,
            |index| {
                let keeper = keeper.as_mut();
                keeper.map_or(Ok(()), |keeper| keeper.reached((entry.id, index), catalog))
            },
        );
        let mut stream =
            GuardedStream::new(entry.id.into(), expected(entry), blocks, Vec::new(), None)?;
        while let Some(commands) = stream.next()? {
            output.write_all(commands).map_err(failed)?;
        }
        stream.finish()
    })?;
    output.flush().map_err(failed)?;
    catalog.thaw_fetched(&entry.id)?;
    Ok(summary.bytes)
}

fn failed(source: io::Error) -> Error {
    Error::file("write", "the stream", source)
}
