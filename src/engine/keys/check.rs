//! Proves that an identity opens the archives, without a thaw and without a restore.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::catalog::{Catalog, SourceRow};
use crate::engine::backup::facts::history;
use crate::engine::ledger::archive_keys::{SealedArchive, opens_nothing, sealed_archives};
use crate::error::{Error, in_words};
use crate::model::{ArchiveId, keys};
use crate::seal::{ArchiveKey, Identities, open_segment};
use crate::store::{Readability, Store};

/// How a send stream begins.
const MAGIC: &[u8] = b"btrfs-stream\0";

/// Bytes of a segment that are enough to open its first bytes: a zstd block has at most 128 KiB.
const BEGINNING: u64 = 512 << 10;

/// More than the size of any `key.age`: a thousand recipients take 200 KiB.
const LARGEST_KEY: u64 = 4 << 20;

/// What an identity can open of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainOpens {
    /// The chain.
    pub chain: ArchiveId,
    /// All its archives.
    pub archives: Vec<ArchiveId>,
    /// The archives whose keys the identity does not open.
    pub unopened: Vec<ArchiveId>,
    /// The newest archive.
    pub newest: ArchiveId,
    /// Whether `key.age` of the newest archive is the same as in its entry.
    pub key_object: Tried,
    /// Whether the first segment of the newest archive opens.
    pub segment: Tried,
}

/// The result of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It is good.
    Good,
    /// It was not tested, and why.
    Not(&'static str),
    /// It is bad, and why.
    Bad(String),
}

impl ChainOpens {
    /// Returns whether all keys open and no test failed.
    pub fn is_good(&self) -> bool {
        let bad = |tried: &Tried| matches!(tried, Tried::Bad(_));
        self.unopened.is_empty() && !bad(&self.key_object) && !bad(&self.segment)
    }
}

/// Tests an identity on each chain of a source, oldest first. Writes nothing.
pub fn check_identity(
    row: &SourceRow,
    store: &dyn Store,
    (identities, identity): (&Identities, &str),
    catalog: &Catalog,
) -> Result<Vec<ChainOpens>, Error> {
    let history = history(catalog.lineage(&row.ledger)?);
    let mut chains = Vec::new();
    for chain in history.chains() {
        let ids: Vec<ArchiveId> = chain.archives.iter().map(|archive| archive.id).collect();
        let sealed = sealed_archives(&row.ledger, &ids, catalog)?;
        let mut unopened = Vec::new();
        let mut newest = None;
        for archive in &sealed {
            match archive.unlock(&row.directory, identities, identity) {
                Ok(key) => newest = Some(key),
                Err(error) if opens_nothing(&error) => {
                    newest = None;
                    unopened.push(archive.entry.id);
                }
                Err(error) => return Err(error),
            }
        }
        let last = sealed.last().expect("a chain has an archive");
        let probe = TestedArchive {
            row,
            store,
            archive: last,
        };
        chains.push(ChainOpens {
            chain: chain.id,
            archives: ids,
            unopened,
            newest: last.entry.id,
            key_object: probe.key_object()?,
            segment: match &newest {
                Some(key) => probe.segment(key)?,
                None => Tried::Not("its key is not opened"),
            },
        });
    }
    Ok(chains)
}

/// The newest archive of a chain, which is tested.
struct TestedArchive<'a> {
    row: &'a SourceRow,
    store: &'a dyn Store,
    archive: &'a SealedArchive,
}

impl TestedArchive<'_> {
    fn key_object(&self) -> Result<Tried, Error> {
        let entry = &self.archive.entry;
        let key = keys::archive_key(&self.row.directory, &entry.id);
        let stored = match self.store.get(&self.store.locate(&key), LARGEST_KEY) {
            Ok(stored) => stored,
            Err(error) if error.is_not_found() => {
                return Ok(Tried::Bad("it is missing".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let same = BASE64.decode(&entry.key).is_ok_and(|key| key == stored);
        Ok(if same {
            Tried::Good
        } else {
            Tried::Bad("it is not the one in the ledger".to_owned())
        })
    }

    fn segment(&self, key: &ArchiveKey) -> Result<Tried, Error> {
        let entry = &self.archive.entry;
        let Some(record) = entry.segments.first() else {
            return Ok(Tried::Bad("the archive has none".to_owned()));
        };
        let object = keys::segment(&self.row.directory, &entry.id, 0, &record.sha256);
        let locator = self.store.locate(&object);
        match self.store.readability(&locator) {
            Ok(Readability::Always | Readability::Until(..)) => {}
            Ok(Readability::Cold(_) | Readability::Thawing(_)) => {
                return Ok(Tried::Not("it is cold"));
            }
            Err(error) if error.is_not_found() => {
                return Ok(Tried::Bad("it is missing".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        let length = record.sealed_bytes.min(BEGINNING);
        let sealed = match self.store.get_range(&locator, 0, length) {
            Ok(sealed) => sealed,
            Err(error) if error.is_not_found() => {
                return Ok(Tried::Bad("it is missing".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let mut magic = [0; MAGIC.len()];
        let read = open_segment(&sealed, key, record.raw_bytes)
            .map_err(|error| in_words(&error))
            .and_then(|mut opened| {
                opened
                    .read_exact(&mut magic)
                    .map_err(|error| in_words(&error))
            });
        Ok(match read {
            Ok(()) if magic == MAGIC => Tried::Good,
            Ok(()) => Tried::Bad("it holds no send stream".to_owned()),
            Err(what) => Tried::Bad(what),
        })
    }
}
