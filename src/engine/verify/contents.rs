//! Checks the contents of one archive: opens each segment and compares it with the facts sealed in its entry,
//! and passes the whole stream through the guard.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::contents_digests::{ContentsDigests, ObjectParts};
use crate::btrfs::Guard;
use crate::engine::restore::archive_stream::expected;
use crate::error::in_words;
use crate::model::Blake3;
use crate::model::entry::{ArchiveEntry, PrivateFacts};
use crate::plan::Verdict;
use crate::seal::{ArchiveKey, LayoutReader, open_segment};

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

/// Opens the private facts of an archive; an error in words if they can't be read.
pub(in crate::engine) fn private_facts(
    entry: &ArchiveEntry,
    key: &ArchiveKey,
) -> Result<PrivateFacts, String> {
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
    /// What the stream and its segments yield so far; `None` if the archive has no contents, or once something of its
    /// stream is lacking.
    made: Option<ContentsDigests>,
    /// What the objects of contents must have, once all segments have come; none if the stream is not as long as their record
    /// says.
    expected: Option<Vec<ObjectParts>>,
}

impl<'a> Contents<'a> {
    pub(super) fn begin(entry: &'a ArchiveEntry, opens: &'a Opens) -> Self {
        let mut guard = Guard::new(expected(entry));
        let made = entry.contents.as_ref().map(|record| {
            guard.keep_contents();
            ContentsDigests::new(record.stream_bytes)
        });
        Self {
            entry,
            opens,
            stream: Some(Stream {
                guard,
                hasher: blake3::Hasher::new(),
            }),
            refused: None,
            made,
            expected: None,
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
        self.made = None;
    }

    /// Checks an object of the archive's contents, after all its segments. Its sealed bytes have already been found equal
    /// to the signed ones.
    pub(super) fn object(&mut self, index: u32, sealed: &[u8]) -> Verdict {
        let (Opens::Key(key, _), Some(record)) = (self.opens, &self.entry.contents) else {
            return Verdict::Hashed;
        };
        let at = index as usize;
        let before = record.objects[..at].iter().map(|object| object.raw_bytes);
        let of_stream = record.stream_bytes.saturating_sub(before.sum());
        let found = match parts_of(sealed, key, (record.objects[at].raw_bytes, of_stream)) {
            Ok(found) => found,
            Err(error) => {
                return Verdict::Damaged(format!(
                    "its bytes are those that were signed, and it can't be opened: {error}"
                ));
            }
        };
        if let Some(made) = self.made.take() {
            self.expected = Some(made.finish().unwrap_or_default());
        }
        let Some(expected) = &self.expected else {
            return Verdict::Sound;
        };
        let differs = match expected.get(at) {
            None if expected.is_empty() => "its list of commands is longer or shorter",
            None => "the segments yield fewer objects",
            Some(expected) if expected.stream != found.stream => "its list of commands differs",
            Some(expected) if expected.table != found.table => "its table of segments differs",
            Some(_) if at + 1 == record.objects.len() && expected.len() > at + 1 => {
                "its table of segments is shorter"
            }
            Some(_) => return Verdict::Sound,
        };
        Verdict::Damaged(format!(
            "it is not what the archive's segments yield: {differs}"
        ))
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
        let mut layout = match &self.made {
            Some(_) => {
                let begun = LayoutReader::begin(sealed, key, raw_bytes);
                Some(begun.map_err(|error| in_words(&error))?)
            }
            None => None,
        };
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; STEP];
        loop {
            let read = opened.read(&mut buffer).map_err(|error| in_words(&error))?;
            if read == 0 {
                if let (Some(layout), Some(made)) = (layout, &mut self.made) {
                    let layout = layout.finish().map_err(|error| in_words(&error))?;
                    let mut encoded = Vec::new();
                    layout.encode(&mut encoded);
                    made.table(&encoded);
                }
                return Ok(Blake3(*hasher.finalize().as_bytes()));
            }
            hasher.update(&buffer[..read]);
            if let Some(layout) = &mut layout {
                layout.update(&buffer[..read]);
            }
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
            self.made = None;
        } else if let (Some(made), Some(kept)) = (&mut self.made, stream.guard.contents()) {
            made.stream(kept);
            kept.clear();
        }
    }
}

/// Opens an object of contents with so many raw bytes, of which so many are of the stream, and returns the digests of its parts.
fn parts_of(
    sealed: &[u8],
    key: &ArchiveKey,
    (raw_bytes, mut of_stream): (u64, u64),
) -> Result<ObjectParts, String> {
    let mut opened = open_segment(sealed, key, raw_bytes).map_err(|error| in_words(&error))?;
    let (mut stream, mut table) = (blake3::Hasher::new(), blake3::Hasher::new());
    let mut buffer = vec![0; STEP];
    loop {
        let read = opened.read(&mut buffer).map_err(|error| in_words(&error))?;
        if read == 0 {
            return Ok(ObjectParts {
                stream: Blake3(*stream.finalize().as_bytes()),
                table: Blake3(*table.finalize().as_bytes()),
            });
        }
        let border = usize::try_from(of_stream).unwrap_or(usize::MAX).min(read);
        stream.update(&buffer[..border]);
        table.update(&buffer[border..read]);
        of_stream -= border as u64;
    }
}

fn refusal(error: &dyn std::error::Error) -> String {
    format!("its send stream is refused: {}", in_words(error))
}
