//! An attempt at an archive: its intent in the catalog, new or left by an earlier run, and the parts of it
//! that the store already has.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};

use crate::catalog::{Attempt, Catalog, NewAttempt, SegmentRow, SegmentState};
use crate::config::Config;
use crate::engine::backup::put_verified::{KeyStored, holds};
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::random::random_bytes;
use crate::engine::ledger::listing::{difference, listing};
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::segment::FRAME_BYTES;
use crate::model::{ArchiveId, ArchiveKind, Blake3, Protocol, StorageClass, keys};
use crate::seal::{ArchiveKey, Recipients, SegmentLayout};

/// An attempt that this run works on.
pub(in crate::engine) struct OpenAttempt {
    pub(in crate::engine) id: ArchiveId,
    pub(in crate::engine) slot: NaiveDate,
    /// The send parent and the full of its chain; `None` for a full.
    pub(in crate::engine) onto: Option<(ArchiveId, ArchiveId)>,
    pub(in crate::engine) key: ArchiveKey,
    /// The key sealed to the recipients: the bytes of `key.age`.
    pub(in crate::engine) sealed_key: Vec<u8>,
    pub(in crate::engine) segment_bytes: u64,
    /// The protocol that the sender is asked for; `None` if it is not known.
    pub(in crate::engine) protocol: Option<Protocol>,
    /// When the locks on its objects end, where the store locks objects.
    pub(in crate::engine) retain_until: Option<DateTime<Utc>>,
}

/// The properties of a new attempt.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Intent<'a> {
    pub(in crate::engine) date: NaiveDate,
    pub(in crate::engine) slot: NaiveDate,
    pub(in crate::engine) onto: Option<(ArchiveId, ArchiveId)>,
    pub(in crate::engine) recipients: &'a Recipients,
    /// The snapshot that is sent; `None` if the stream comes on stdin.
    pub(in crate::engine) snapshot: Option<i64>,
    /// The protocol that the sender is asked for; `None` if the stream comes on stdin.
    pub(in crate::engine) protocol: Option<Protocol>,
    pub(in crate::engine) retain_until: Option<DateTime<Utc>>,
    pub(in crate::engine) now: DateTime<Utc>,
}

impl OpenAttempt {
    /// Writes the intent of a new attempt to the catalog. From now on its snapshots are pinned.
    pub(in crate::engine) fn begin(
        config: &Config,
        source: &OpenSource<'_>,
        intent: Intent<'_>,
        catalog: &mut Catalog,
    ) -> Result<Self, Error> {
        let kind = match intent.onto {
            Some(_) => ArchiveKind::Incremental,
            None => ArchiveKind::Full,
        };
        let id = ArchiveId {
            date: intent.date,
            kind,
            nonce: u64::from_be_bytes(random_bytes()),
        };
        let key = ArchiveKey::generate();
        let sealed_key = key.seal_to(intent.recipients)?;
        catalog.begin_attempt(&NewAttempt {
            id,
            ledger: source.row.ledger,
            slot: intent.slot,
            chain: intent.onto.map_or(id, |(_, chain)| chain),
            send_parent: intent.onto.map(|(parent, _)| parent),
            segment_size: source.config.segment_bytes,
            frame_size: FRAME_BYTES,
            recipients: intent.recipients.fingerprint(&source.row.ledger),
            archive_key: &key.to_secret_string(),
            sealed_key: &sealed_key,
            snapshot: intent.snapshot,
            protocol: intent.protocol,
            begun_at: Timestamp(intent.now),
            storage_class: config.store_of(source.config)?.storage_class(),
            retain_until: intent.retain_until.map(Timestamp),
        })?;
        Ok(Self {
            id,
            slot: intent.slot,
            onto: intent.onto,
            key,
            sealed_key,
            segment_bytes: source.config.segment_bytes,
            protocol: intent.protocol,
            retain_until: intent.retain_until,
        })
    }

    /// Takes up an attempt that an earlier run left. Returns [`Unfit`] if its remaining segments can't be
    /// stored in the same way as the first ones. `protocol` and `retain_until` are those that a new attempt
    /// would have.
    pub(in crate::engine) fn take_up(
        attempt: &Attempt,
        protocol: Protocol,
        storage_class: Option<StorageClass>,
        retain_until: Option<DateTime<Utc>>,
    ) -> Result<Self, Unfit> {
        let (Some(secret), Some(sealed_key)) = (&attempt.archive_key, &attempt.sealed_key) else {
            return Err(Unfit::Key);
        };
        if attempt.frame_size != FRAME_BYTES {
            return Err(Unfit::Frames);
        }
        if attempt.storage_class != storage_class {
            return Err(Unfit::Class {
                was: attempt.storage_class,
                now: storage_class,
            });
        }
        if attempt.protocol.is_some_and(Protocol::is_inexact) && !protocol.is_inexact() {
            return Err(Unfit::CompressedData);
        }
        let locked = attempt.retain_until.map(|until| until.0);
        if locked != retain_until {
            return Err(Unfit::Locks);
        }
        Ok(Self {
            id: attempt.id,
            slot: attempt.slot,
            onto: attempt.send_parent.map(|parent| (parent, attempt.chain)),
            key: ArchiveKey::from_secret_string(secret).map_err(|_| Unfit::Key)?,
            sealed_key: sealed_key.clone(),
            segment_bytes: attempt.segment_size,
            protocol: attempt.protocol,
            retain_until: locked,
        })
    }
}

/// Why an attempt can't be continued in the way it was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Unfit {
    /// Its key is not in the catalog.
    Key,
    /// It was begun with another frame size.
    Frames,
    /// Its stored segments are in another storage class than the next ones would be.
    Class {
        was: Option<StorageClass>,
        now: Option<StorageClass>,
    },
    /// Its stored segments are locked until another day than the next ones would be.
    Locks,
    /// Its stream carries compressed data, and the config does not ask for that.
    CompressedData,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = |class: &Option<StorageClass>| {
            class.map_or_else(|| "no class".to_owned(), |class| class.to_string())
        };
        match self {
            Self::Key => f.write_str("its key is not in the catalog"),
            Self::Frames => f.write_str("it was begun with frames of another size"),
            Self::Class { was, now } => write!(
                f,
                "its first segments are in {}, but the next ones would go into {}",
                class(was),
                class(now)
            ),
            Self::Locks => f.write_str("its objects would now be locked until another day"),
            Self::CompressedData => f.write_str(
                "it was begun with compressed data, of which the kernel's sender loses bytes",
            ),
        }
    }
}

/// The parts of an attempt that are in the store.
#[derive(Debug, Default)]
pub(in crate::engine) struct StoredParts {
    segments: HashMap<u32, Raw>,
    key: bool,
}

/// Reads the layout of a segment as the catalog has it.
pub(in crate::engine) fn whole_layout(encoded: &[u8]) -> Option<SegmentLayout> {
    let (layout, rest) = SegmentLayout::decode(encoded)?;
    rest.is_empty().then_some(layout)
}

/// The raw bytes of a segment that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Raw {
    pub(in crate::engine) bytes: u64,
    /// The digest of the digests of its frames.
    pub(in crate::engine) blake3: Blake3,
}

impl StoredParts {
    /// Finds the parts that earlier runs and passes have stored. A row proves nothing: a segment is stored
    /// only if the listing has its object. An object can also be stored although its row does not say so,
    /// because the answer was lost or came after the run had ended.
    ///
    /// A segment whose layout is not known, because an older version has sealed it, is sealed and stored again: the table
    /// in the archive's contents names the frames of each.
    pub(in crate::engine) fn gather(
        source: &OpenSource<'_>,
        archive: &ArchiveId,
        catalog: &mut Catalog,
    ) -> Result<Self, Error> {
        let mut already = Self::default();
        let rows = catalog.segments(archive)?;
        if rows.is_empty() {
            return Ok(already);
        }
        let directory = &source.row.directory;
        let layouts = catalog.segment_layouts(archive)?;
        let listed = listing(source, archive)?;
        already.key = listed.contains_key(&keys::archive_key(directory, archive));
        for (row, object) in rows
            .iter()
            .zip(SegmentRow::objects(directory, archive, &rows))
        {
            let record = &row.record;
            let key = &object.key;
            let there = difference(&object, listed.get(key)).is_none()
                && (row.state == SegmentState::Stored
                    || holds(
                        source.store.as_ref(),
                        key,
                        record.sealed_bytes,
                        &record.sha256,
                    )?);
            match (row.state, there) {
                (SegmentState::Sealed, true) => {
                    let locator = source.store.locate(key).to_string();
                    catalog.segment_stored(archive, row.index, &locator)?;
                }
                (SegmentState::Stored, false) => catalog.segment_lost(archive, row.index)?,
                (SegmentState::Stored, true) | (SegmentState::Sealed, false) => {}
            }
            let layout = layouts.get(&row.index).and_then(|it| whole_layout(it));
            if let (true, Some(layout)) = (there, layout) {
                let raw = Raw {
                    bytes: record.raw_bytes,
                    blake3: layout.raw_blake3(),
                };
                already.segments.insert(row.index, raw);
            }
        }
        Ok(already)
    }

    /// Returns length and digest of the raw bytes of a segment, if it is stored.
    pub(in crate::engine) fn segment(&self, index: u32) -> Option<Raw> {
        self.segments.get(&index).copied()
    }

    /// Whether the archive's key is stored.
    pub(in crate::engine) fn key(&self) -> KeyStored {
        if self.key {
            KeyStored::Yes
        } else {
            KeyStored::No
        }
    }

    /// How many segments are stored, and their raw bytes.
    pub(in crate::engine) fn total(&self) -> (usize, u64) {
        let bytes = self.segments.values().map(|raw| raw.bytes).sum();
        (self.segments.len(), bytes)
    }
}
