//! Makes contents for archives that have none, or that have lost them, from their segments, and attaches them.
//!
//! Nothing counts before the `attach` entry. A run that ends before it leaves objects that no entry names: `prune` removes
//! them as orphans, and the next run makes others.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use chrono::{DateTime, NaiveDate, Utc};

use super::wanting::{Wanting, in_order, wanting};
use crate::btrfs::Guard;
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::backup::put_verified::put;
use crate::engine::context::RunContext;
use crate::engine::context::session::Session;
use crate::engine::context::state_dir::StateDir;
use crate::engine::ledger::append::Writer;
use crate::engine::ledger::archive_keys::{SealedArchive, opens_nothing, sealed_archives};
use crate::engine::ledger::change::change_ledger;
use crate::engine::ledger::sync::LedgerState;
use crate::engine::restore::archive_stream::expected;
use crate::engine::restore::fetch::{AtOnce, WantedSegment, fetch_ahead};
use crate::engine::restore::thaw::{WantedSegments, require_window, thaw, thaw_state};
use crate::engine::verify::contents::private_facts;
use crate::error::{ContentsFault, Error, RestoreError, in_words};
use crate::model::entry::{ArchiveEntry, AttachEntry, Attachment, EntryKind, Role};
use crate::model::segment::FRAME_BYTES;
use crate::model::{ArchiveId, Blake3, ContentsRecord, SegmentRecord, keys};
use crate::plan::Awaited;
use crate::seal::{
    ArchiveKey, ContentsSealer, Identities, LayoutReader, SealError, SealedSegment, SelfCheck,
    open_segment,
};
use crate::store::{ErrorKind, NewObject, ObjectKind, ThawRequest};

/// How many raw bytes are opened at a time.
const STEP: usize = 1 << 20;

/// The archives of a source that are to get contents.
#[derive(Clone, Copy)]
pub struct ContentsRequest<'a> {
    /// The dates; empty for all.
    pub dates: &'a [NaiveDate],
    /// How to thaw cold segments; `None` to leave them cold.
    pub thaw: Option<ThawRequest>,
    /// How many segments are fetched at once.
    pub at_once: AtOnce,
    /// What opens the archives, and its name in an error.
    pub identities: (&'a Identities, &'a str),
}

/// What came of archives without contents.
#[derive(Debug, Default)]
pub struct ContentsMade {
    /// The archives that got contents, each with their bytes as stored.
    pub made: Vec<(ArchiveId, u64)>,
    /// Archives that the identities can't open.
    pub unopened: Vec<ArchiveId>,
    /// Archives whose segments are cold.
    pub cold: Vec<ArchiveId>,
    /// What they wait for.
    pub awaited: Option<Awaited>,
    /// Why the first archive got none, of those that are damaged.
    pub failed: Option<Error>,
}

/// Makes and attaches the contents of archives that have none, or whose contents home has lost. It holds the source's lock for one archive at a time.
pub fn make_contents(
    config: &Config,
    source: &Source,
    request: ContentsRequest<'_>,
    context: RunContext<'_>,
) -> Result<ContentsMade, Error> {
    let mut done = ContentsMade::default();
    let mut lost = Wanting::new();
    let mut wanted = with_ledger(config, source, context, |session, _, catalog| {
        let home = &session.source;
        lost = wanting(home, request.dates, catalog, context)?;
        let wanted = in_order(&home.row, lost.keys().copied(), catalog)?;
        readable(session, &wanted, request, catalog, &mut done)
    })?
    .unwrap_or_default();
    wanted.reverse();
    while let Some(id) = wanted.pop() {
        context.interrupt.check()?;
        let made = with_ledger(config, source, context, |session, state, catalog| {
            let maker = Maker {
                session,
                request,
                id,
                replaces: lost.get(&id).copied().flatten(),
            };
            maker.make(state, catalog)
        });
        match made.map(Option::flatten) {
            Ok(Some(MadeContents::Attached(bytes))) => done.made.push((id, bytes)),
            Ok(Some(MadeContents::Unopened)) => done.unopened.push(id),
            // Another run has attached some, or has retired it.
            Ok(None) => {}
            Err(error) if is_of_archive(&error) => {
                done.failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Does that with the ledger as it is now, where this machine may write.
fn with_ledger<T>(
    config: &Config,
    source: &Source,
    context: RunContext<'_>,
    act: impl FnOnce(&Session<'_>, &mut LedgerState, &mut Catalog) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let keys = StateDir::new(&config.state_dir).keys()?;
    change_ledger(config, source, keys, context, |session, state, catalog| {
        state.require_writable(&session.source)?;
        state.require_role(session, Role::Writer)?;
        act(session, state, catalog)
    })
}

/// Returns those of the archives that can be read now. Asks for thaws of the others, if the run was asked to.
fn readable(
    session: &Session<'_>,
    archives: &[ArchiveId],
    request: ContentsRequest<'_>,
    catalog: &mut Catalog,
    done: &mut ContentsMade,
) -> Result<Vec<ArchiveId>, Error> {
    let source = &session.source;
    let wanted = WantedSegments {
        source,
        class: session.config.store_of(source.config)?.storage_class(),
        archives,
        only: None,
        interrupt: session.context.interrupt,
    };
    let status = match request.thaw {
        Some(request) => {
            require_window(&wanted, catalog)?;
            thaw(&wanted, request, catalog)?
        }
        None => thaw_state(&wanted, catalog)?,
    };
    done.awaited = status.awaited(source.name());
    let (readable, cold) = archives
        .iter()
        .partition(|archive| status.is_readable(archive));
    done.cold = cold;
    Ok(readable)
}

/// Whether an error is of one archive, so that others can get contents all the same.
fn is_of_archive(error: &Error) -> bool {
    match error {
        Error::Contents(_) | Error::Restore(RestoreError::SegmentDamaged { .. }) => true,
        Error::Store(error) => error.kind == ErrorKind::Cold || error.is_of_one_object(),
        _ => false,
    }
}

/// What came of one archive.
enum MadeContents {
    /// It has contents now, of so many bytes.
    Attached(u64),
    /// The identities can't open it.
    Unopened,
}

/// Makes the contents of one archive.
struct Maker<'a> {
    session: &'a Session<'a>,
    request: ContentsRequest<'a>,
    id: ArchiveId,
    /// The number of the entry whose contents are lost; `None` if it has none.
    replaces: Option<u64>,
}

impl Maker<'_> {
    /// Makes and attaches them; `None` if the archive needs none any more.
    fn make(
        &self,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Option<MadeContents>, Error> {
        let source = &self.session.source;
        if !self.is_due(state, catalog)? {
            return Ok(None);
        }
        let sealed = sealed_archives(&source.row.ledger, &[self.id], catalog)?;
        let [archive] = sealed.as_slice() else {
            return Ok(None);
        };
        let (identities, name) = self.request.identities;
        let key = match archive.unlock(&source.row.directory, identities, name) {
            Ok(key) => key,
            Err(error) if opens_nothing(&error) => return Ok(Some(MadeContents::Unopened)),
            Err(error) => return Err(error),
        };
        let record = self.store(archive, &key, catalog)?;
        let bytes = record.sealed_bytes();
        let attach = EntryKind::Attach(AttachEntry {
            objects: vec![Attachment {
                archive: self.id,
                what: Attachment::CONTENTS.to_owned(),
                recipients: archive.entry.recipients,
                sealed: String::new(),
                contents: Some(record),
                replaces: self.replaces,
            }],
        });
        let writer = Writer::between(self.session);
        while writer.append(attach.clone(), state, catalog)?.is_none() {
            // Another run has taken the number, and may have changed what is to be done.
            state.require_writable(source)?;
            state.require_role(self.session, Role::Writer)?;
            if !self.is_due(state, catalog)? {
                return Ok(None);
            }
        }
        Ok(Some(MadeContents::Attached(bytes)))
    }

    /// Whether the archive is still visible, and has no other contents than it had.
    fn is_due(&self, state: &LedgerState, catalog: &Catalog) -> Result<bool, Error> {
        Ok(state.replay.is_visible(&self.id) && catalog.contents_entry(&self.id)? == self.replaces)
    }

    /// Reads the archive's segments, and stores its contents.
    fn store(
        &self,
        archive: &SealedArchive,
        key: &ArchiveKey,
        catalog: &Catalog,
    ) -> Result<ContentsRecord, Error> {
        let entry = &archive.entry;
        let facts = private_facts(entry, key).map_err(|what| self.unmade(what))?;
        let (out, objects) = channel();
        let sealer = ContentsSealer::new(key, move |object| {
            out.send(object).map_err(|_| SealError::Stopped)
        })?;
        let now = self.session.context.clock.now();
        let locked = entry.retain_until.map(|until| until.0);
        let mut recut = Recut {
            maker: self,
            entry,
            key,
            guard: Guard::new(expected(entry)),
            hasher: blake3::Hasher::new(),
            sealer,
            objects,
            check: SelfCheck::new(
                key,
                usize::try_from(FRAME_BYTES).expect("4 MiB fit in memory"),
            ),
            // No store accepts a lock that ends in the past.
            retain_until: locked.filter(|until| *until > now),
            table: Vec::new(),
            record: ContentsRecord {
                stream_bytes: 0,
                objects: Vec::new(),
            },
        };
        recut.guard.keep_contents();
        let rows = catalog.segments(&entry.id)?;
        let store = self.session.source.store.as_ref();
        thread::scope(|scope| {
            let wanted = WantedSegment::of(&self.session.source, entry, &rows);
            let fetched = fetch_ahead(scope, store, wanted, self.request.at_once);
            for (index, sealed) in (0..).zip(fetched.take(entry.segments.len())) {
                self.session.context.interrupt.check()?;
                recut.segment(index, &sealed?)?;
            }
            Ok::<_, Error>(())
        })?;
        recut.finish(facts.raw_blake3)
    }

    fn unmade(&self, what: String) -> Error {
        ContentsFault::Unmade {
            archive: self.id,
            what,
        }
        .into()
    }
}

/// Cuts the stream of an archive once more, while its segments are read.
struct Recut<'a> {
    maker: &'a Maker<'a>,
    entry: &'a ArchiveEntry,
    key: &'a ArchiveKey,
    guard: Guard,
    hasher: blake3::Hasher,
    sealer: ContentsSealer,
    /// The objects that the sealer has given.
    objects: Receiver<SealedSegment>,
    check: SelfCheck,
    retain_until: Option<DateTime<Utc>>,
    table: Vec<u8>,
    record: ContentsRecord,
}

impl Recut<'_> {
    /// Takes the next segment, whose bytes are those that were signed.
    fn segment(&mut self, index: u32, sealed: &[u8]) -> Result<(), Error> {
        let raw_bytes = self.entry.segments[index as usize].raw_bytes;
        let damaged = |what: String| {
            let directory = &self.maker.session.source.row.directory;
            let sha256 = &self.entry.segments[index as usize].sha256;
            Error::Restore(RestoreError::SegmentDamaged {
                archive: self.entry.id,
                index,
                key: keys::segment(directory, &self.entry.id, index, sha256),
                what: format!("it can't be opened: {what}"),
            })
        };
        let layout = LayoutReader::begin(sealed, self.key, raw_bytes);
        let mut layout = layout.map_err(|error| damaged(in_words(&error)))?;
        let opened = open_segment(sealed, self.key, raw_bytes);
        let mut opened = opened.map_err(|error| damaged(in_words(&error)))?;
        let mut buffer = vec![0; STEP];
        loop {
            let read = opened.read(&mut buffer);
            let read = read.map_err(|error| damaged(in_words(&error)))?;
            if read == 0 {
                break;
            }
            let raw = &buffer[..read];
            layout.update(raw);
            self.hasher.update(raw);
            let judged = self.guard.push(raw);
            judged.map_err(|error| self.refused(&error))?;
            let kept = self.guard.contents().expect("the guard keeps contents");
            self.record.stream_bytes += kept.len() as u64;
            self.sealer.write(kept)?;
            kept.clear();
        }
        let layout = layout.finish();
        let layout = layout.map_err(|error| damaged(in_words(&error)))?;
        layout.encode(&mut self.table);
        // Hostile segments may have a table without end.
        let most = self.maker.request.at_once.memory_limit / 2;
        if self.table.len() as u64 > most {
            let what = format!(
                "their table of segments takes more than {most} bytes of memory, half of `memory_limit`"
            );
            return Err(self.maker.unmade(what));
        }
        self.put_objects()
    }

    /// Seals and stores the end of the contents, if the stream is the one that was archived.
    fn finish(mut self, archived: Blake3) -> Result<ContentsRecord, Error> {
        let guard = std::mem::replace(&mut self.guard, Guard::new(expected(self.entry)));
        guard.finish().map_err(|error| self.refused(&error))?;
        if Blake3(*self.hasher.finalize().as_bytes()) != archived {
            let other = "its stream is not the one that was archived";
            return Err(self.maker.unmade(other.to_owned()));
        }
        self.sealer.write(&self.table)?;
        let Self {
            maker,
            entry,
            sealer,
            objects,
            check,
            retain_until,
            mut record,
            ..
        } = self;
        sealer.finish()?;
        for object in objects.try_iter() {
            let stored = put_object(maker, entry, (&object, &check), retain_until)?;
            record.objects.push(stored);
        }
        if !record.is_sound() {
            return Err(maker.unmade("they have too many objects for a ledger entry".to_owned()));
        }
        Ok(record)
    }

    fn put_objects(&mut self) -> Result<(), Error> {
        for object in self.objects.try_iter() {
            let with = (&object, &self.check);
            let stored = put_object(self.maker, self.entry, with, self.retain_until)?;
            self.record.objects.push(stored);
        }
        Ok(())
    }

    fn refused(&self, error: &dyn std::error::Error) -> Error {
        let what = format!("its send stream is refused: {}", in_words(error));
        self.maker.unmade(what)
    }
}

/// Stores an object of contents.
fn put_object(
    maker: &Maker<'_>,
    entry: &ArchiveEntry,
    (object, check): (&SealedSegment, &SelfCheck),
    retain_until: Option<DateTime<Utc>>,
) -> Result<SegmentRecord, Error> {
    check.check(object)?;
    let source = &maker.session.source;
    let key = keys::contents(
        &source.row.directory,
        &entry.id,
        object.index,
        &object.sha256,
    );
    let new = NewObject {
        retain_until,
        ..NewObject::new(
            &key,
            object.bytes.clone(),
            object.sha256,
            ObjectKind::Ledger,
        )
    };
    put(source.store.as_ref(), &new)?;
    Ok(SegmentRecord {
        raw_bytes: object.raw_bytes,
        sealed_bytes: object.bytes.len() as u64,
        sha256: object.sha256,
    })
}
