//! Checks the contents of one archive: opens each segment and compares it with the facts sealed in its entry,
//! and passes the whole stream through the guard.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::btrfs::Guard;
use crate::engine::restore::archive_stream::expected;
use crate::error::in_words;
use crate::model::Blake3;
use crate::model::entry::{ArchiveEntry, PrivateFacts};
use crate::plan::Verdict;
use crate::seal::{ArchiveKey, open_segment};

/// How many raw bytes are opened at a time.
const STEP: usize = 1 << 20;

/// Whether and how an archive can be opened.
pub(super) enum Opens {
    /// Its key, and the private facts that only the key can open.
    Key(ArchiveKey, Box<PrivateFacts>),
    /// No identity was given, or none that fits.
    Nothing,
    /// Its key or its private facts in the entry can't be used, and why.
    Unusable(String),
}

impl Opens {
    /// Opens the private facts with an archive's key.
    pub(super) fn with(entry: &ArchiveEntry, key: ArchiveKey) -> Self {
        match private_facts(entry, &key) {
            Ok(facts) => Self::Key(key, Box::new(facts)),
            Err(what) => Self::Unusable(format!("its private facts can't be read: {what}")),
        }
    }
}

fn private_facts(entry: &ArchiveEntry, key: &ArchiveKey) -> Result<PrivateFacts, String> {
    let sealed = BASE64
        .decode(&entry.private)
        .map_err(|error| error.to_string())?;
    let plain = key
        .open_private(&sealed)
        .map_err(|error| in_words(&error))?;
    serde_json::from_slice(&plain).map_err(|error| error.to_string())
}

/// The stream of an archive, as far as it has been read.
struct Stream {
    guard: Guard,
    hasher: blake3::Hasher,
}

/// The check of an archive whose segments come in order.
pub(super) struct Contents<'a> {
    entry: &'a ArchiveEntry,
    opens: &'a Opens,
    /// `None` once a segment is missing, or the guard has refused the stream.
    stream: Option<Stream>,
    refused: Option<String>,
}

impl<'a> Contents<'a> {
    pub(super) fn begin(entry: &'a ArchiveEntry, opens: &'a Opens) -> Self {
        Self {
            entry,
            opens,
            stream: Some(Stream {
                guard: Guard::new(expected(entry)),
                hasher: blake3::Hasher::new(),
            }),
            refused: None,
        }
    }

    /// Checks the next segment. Its sealed bytes have already been found equal to the signed ones.
    pub(super) fn segment(&mut self, index: u32, sealed: &[u8]) -> Verdict {
        let Opens::Key(key, facts) = self.opens else {
            return Verdict::Hashed;
        };
        let raw_bytes = self.entry.segments[index as usize].raw_bytes;
        let blake3 = match self.read(sealed, key, raw_bytes) {
            Ok(blake3) => blake3,
            Err(error) => {
                return Verdict::Damaged(format!(
                    "its bytes are those that were signed, and it can't be opened: {error}"
                ));
            }
        };
        // An archive that was continued may lack the digests of some segments.
        let known = facts.segments_blake3.len() == self.entry.segments.len();
        if known && facts.segments_blake3[index as usize] != blake3 {
            return Verdict::Damaged("its content is not what was archived".to_owned());
        }
        Verdict::Sound
    }

    /// Notes that a segment is missing or was not fetched: the whole stream can't be checked.
    pub(super) fn lacks_a_segment(&mut self) {
        self.stream = None;
    }

    /// Returns what is wrong with the archive as a whole; `None` if nothing is.
    pub(super) fn end(self) -> Option<String> {
        let facts = match self.opens {
            Opens::Unusable(what) => return Some(what.clone()),
            Opens::Nothing => return None,
            Opens::Key(_, facts) => facts,
        };
        if self.refused.is_some() {
            return self.refused;
        }
        let stream = self.stream?;
        if let Err(error) = stream.guard.finish() {
            return Some(refusal(&error));
        }
        let blake3 = Blake3(*stream.hasher.finalize().as_bytes());
        (blake3 != facts.raw_blake3)
            .then(|| "its stream is not the one that was archived".to_owned())
    }

    /// Reads a segment to its end, through the guard.
    fn read(&mut self, sealed: &[u8], key: &ArchiveKey, raw_bytes: u64) -> Result<Blake3, String> {
        let mut opened = open_segment(sealed, key, raw_bytes).map_err(|error| in_words(&error))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; STEP];
        loop {
            let read = opened.read(&mut buffer).map_err(|error| in_words(&error))?;
            if read == 0 {
                return Ok(Blake3(*hasher.finalize().as_bytes()));
            }
            hasher.update(&buffer[..read]);
            self.pass(&buffer[..read]);
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        stream.hasher.update(bytes);
        if let Err(error) = stream.guard.push(bytes) {
            self.refused = Some(refusal(&error));
            self.stream = None;
        }
    }
}

fn refusal(error: &dyn std::error::Error) -> String {
    format!("its send stream is refused: {}", in_words(error))
}
