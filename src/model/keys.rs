//! Object keys, relative to the store's prefix, and the objects that an archive has.
//!
//! ```text
//! <source>/README-RESTORE.txt
//! <source>/ledger/00000001.entry
//! <source>/ledger/COPY
//! <source>/ledger/HOME-<place id>
//! <source>/archives/<archive id>/key.age
//! <source>/archives/<archive id>/000000-9c1e04b7a2d85f36.zst.age
//! <source>/archives/<archive id>/contents-000000-5d0f3a6611c7e294.zst.age
//! ```
//!
//! Another kind of object of an archive is added here: its key, [`ArchivePart`], [`archive_part`], and
//! [`ArchiveObject::list`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::digest::{Sha256, from_hex};
use super::entry::ArchiveEntry;
use super::ids::{ArchiveId, PlaceId};
use super::segment::SegmentRecord;

/// Returns the prefix of all objects of a source; it ends in `/`.
pub fn source_prefix(directory: &str) -> String {
    format!("{directory}/")
}

/// Returns the key of the file that explains a restore to a person who has only the store.
pub fn readme(directory: &str) -> String {
    format!("{directory}/README-RESTORE.txt")
}

/// Returns the prefix of a source's ledger entries; it ends in `/`.
pub fn ledger_prefix(directory: &str) -> String {
    format!("{directory}/ledger/")
}

/// Returns the key of a ledger entry; `seq` counts from 1.
pub fn ledger_entry(directory: &str, seq: u64) -> String {
    format!("{directory}/ledger/{seq:08}.entry")
}

/// Returns the number in a ledger entry's key; `None` if the key is no entry of this ledger.
pub fn ledger_seq(directory: &str, key: &str) -> Option<u64> {
    let digits = key
        .strip_prefix(&ledger_prefix(directory))?
        .strip_suffix(".entry")?;
    let seq = digits.parse().ok()?;
    // Numbers count from 1, so an object with number 0 is no entry.
    (seq > 0 && key == ledger_entry(directory, seq)).then_some(seq)
}

/// Returns the key of the marker that says that a place is a copy. See
/// [`CopyMarker`](super::copy_marker::CopyMarker).
pub fn copy_marker(directory: &str) -> String {
    format!("{directory}/ledger/COPY")
}

/// Returns the key of the marker that says that a place is home since the ledger names it in `moved`.
pub fn home_marker(directory: &str, place: &PlaceId) -> String {
    format!("{directory}/ledger/HOME-{place}")
}

/// Returns the id in the key of a marker of home; `None` if the key is no such marker of this ledger.
pub fn home_marker_id(directory: &str, key: &str) -> Option<PlaceId> {
    key.strip_prefix(&ledger_prefix(directory))?
        .strip_prefix("HOME-")?
        .parse()
        .ok()
}

/// Returns the prefix of the objects of all archives; it ends in `/`.
pub fn archives_prefix(directory: &str) -> String {
    format!("{directory}/archives/")
}

/// Returns the prefix of an archive's objects; it ends in `/`.
pub fn archive_prefix(directory: &str, archive: &ArchiveId) -> String {
    format!("{directory}/archives/{archive}/")
}

/// Returns the object key of the archive key that is sealed to the recipients.
pub fn archive_key(directory: &str, archive: &ArchiveId) -> String {
    format!("{}key.age", archive_prefix(directory, archive))
}

/// Returns the key of a segment. It contains the digest, so one key never gets different bytes.
pub fn segment(directory: &str, archive: &ArchiveId, index: u32, sha256: &Sha256) -> String {
    format!(
        "{}{index:06}-{}.zst.age",
        archive_prefix(directory, archive),
        sha256.prefix16()
    )
}

/// Returns the key of an object of an archive's contents.
pub fn contents(directory: &str, archive: &ArchiveId, index: u32, sha256: &Sha256) -> String {
    format!(
        "{}{CONTENTS}{index:06}-{}.zst.age",
        archive_prefix(directory, archive),
        sha256.prefix16()
    )
}

/// What the names of contents begin with.
const CONTENTS: &str = "contents-";

/// What an object of an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArchivePart {
    /// The archive key, sealed to the recipients: `key.age`.
    Key,
    /// The segment of that index.
    Segment(u32),
    /// The object of that index of the archive's contents.
    Contents(u32),
}

/// The length and the digest that the ledger signs of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedObject {
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
}

/// An object that belongs to an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveObject {
    /// The archive.
    pub archive: ArchiveId,
    /// What it holds.
    pub part: ArchivePart,
    /// Its key.
    pub key: String,
    /// What the ledger signs of it; `None` if that is not known.
    pub signed: Option<SignedObject>,
}

impl ArchiveObject {
    /// Lists all objects of an archive that has these segments and contents: first the segments, then the contents, then
    /// the archive key.
    pub fn list<'a>(
        directory: &'a str,
        archive: ArchiveId,
        segments: impl IntoIterator<Item = (u32, &'a SegmentRecord)>,
        contents_objects: impl IntoIterator<Item = (u32, &'a SegmentRecord)>,
        sealed_key: Option<SignedObject>,
    ) -> impl Iterator<Item = Self> {
        let object = move |part, key, record: &SegmentRecord| Self {
            archive,
            part,
            key,
            signed: Some(SignedObject {
                bytes: record.sealed_bytes,
                sha256: record.sha256,
            }),
        };
        let segments = segments.into_iter().map(move |(index, record)| {
            let key = segment(directory, &archive, index, &record.sha256);
            object(ArchivePart::Segment(index), key, record)
        });
        let contents_objects = contents_objects.into_iter().map(move |(index, record)| {
            let key = contents(directory, &archive, index, &record.sha256);
            object(ArchivePart::Contents(index), key, record)
        });
        segments.chain(contents_objects).chain([Self {
            archive,
            part: ArchivePart::Key,
            key: archive_key(directory, &archive),
            signed: sealed_key,
        }])
    }

    /// Lists the objects that an entry signs. An archive key that is no base64 has nothing signed.
    pub fn of_entry<'a>(directory: &'a str, entry: &'a ArchiveEntry) -> impl Iterator<Item = Self> {
        let sealed_key = BASE64.decode(&entry.key).ok().map(|sealed| SignedObject {
            bytes: sealed.len() as u64,
            sha256: Sha256::of(&sealed),
        });
        let segments = (0..).zip(&entry.segments);
        let contents = entry.contents.iter().flat_map(|contents| &contents.objects);
        Self::list(
            directory,
            entry.id,
            segments,
            (0..).zip(contents),
            sealed_key,
        )
    }

    /// The index of the segment that it holds.
    pub fn segment(&self) -> Option<u32> {
        match self.part {
            ArchivePart::Segment(index) => Some(index),
            ArchivePart::Contents(_) | ArchivePart::Key => None,
        }
    }

    /// The length that is signed; 0 if none is.
    pub fn bytes(&self) -> u64 {
        self.signed.map_or(0, |signed| signed.bytes)
    }
}

/// Returns the archive that a key in `archives/` belongs to, and the rest of the key after its prefix; `None`
/// if it lies below no archive's prefix.
pub fn archive_of<'k>(directory: &str, key: &'k str) -> Option<(ArchiveId, &'k str)> {
    let (id, name) = key
        .strip_prefix(&archives_prefix(directory))?
        .split_once('/')?;
    Some((id.parse().ok()?, name))
}

/// What an object of that name below an archive's prefix holds, of whatever attempt at the archive; `None`
/// if coldchain gives no such name.
pub fn archive_part(name: &str) -> Option<ArchivePart> {
    if name == "key.age" {
        return Some(ArchivePart::Key);
    }
    let stem = name.strip_suffix(".zst.age")?;
    let (stem, part): (_, fn(u32) -> ArchivePart) = match stem.strip_prefix(CONTENTS) {
        Some(stem) => (stem, ArchivePart::Contents),
        None => (stem, ArchivePart::Segment),
    };
    let (index, digest) = stem.split_once('-')?;
    let index: u32 = index.parse().ok()?;
    let digest = u64::from_be_bytes(from_hex(digest).ok()?);
    // As `segment` and `contents` write it, and in no other way.
    (stem == format!("{index:06}-{digest:016x}")).then_some(part(index))
}

/// Whether a key is that of an object of contents.
pub fn is_contents(key: &str) -> bool {
    let (_, name) = key.rsplit_once('/').unwrap_or_default();
    matches!(archive_part(name), Some(ArchivePart::Contents(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_told_by_the_one_name_that_it_can_have() {
        let archive = "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap();
        let key = segment("home", &archive, 1_234_567, &Sha256([0xab; 32]));
        let (found, name) = archive_of("home", &key).unwrap();
        let part = Some(ArchivePart::Segment(1_234_567));
        assert_eq!((found, archive_part(name)), (archive, part));
        let key = archive_key("home", &archive);
        let (found, name) = archive_of("home", &key).unwrap();
        let part = Some(ArchivePart::Key);
        assert_eq!((found, archive_part(name)), (archive, part));
        for name in [
            "key.age.bak",
            "key",
            "",
            "more/key.age",
            "0-9c1e04b7a2d85f36.zst.age",
            "0000000-9c1e04b7a2d85f36.zst.age",
            "+00000-9c1e04b7a2d85f36.zst.age",
            "000000-9C1E04B7A2D85F36.zst.age",
            "000000-9c1e04b7a2d85f3.zst.age",
            "000000-9c1e04b7a2d85f36.zst",
            "000000-9c1e04b7a2d85f36.zst.age.age",
            "000000.zst.age",
        ] {
            assert_eq!(archive_part(name), None, "{name}");
        }
    }

    #[test]
    fn the_objects_of_an_archive_are_its_segments_in_order_and_then_its_key() {
        let archive = "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap();
        let record = SegmentRecord {
            raw_bytes: 3,
            sealed_bytes: 2,
            sha256: Sha256([0xab; 32]),
        };
        let segments = [(0, &record), (4, &record)];
        let objects: Vec<_> =
            ArchiveObject::list("home", archive, segments, [(7, &record)], None).collect();
        for object in &objects {
            let (found, name) = archive_of("home", &object.key).unwrap();
            assert_eq!((found, archive_part(name)), (archive, Some(object.part)));
        }
        let listed = objects.iter();
        let listed: Vec<_> = listed.map(|it| (it.segment(), it.bytes())).collect();
        assert_eq!(listed, [(Some(0), 2), (Some(4), 2), (None, 2), (None, 0)]);
    }

    #[test]
    fn only_what_lies_below_an_archives_prefix_belongs_to_it() {
        for key in [
            "home/archives/2026-11-21-full-5f0c9a12d4e6b801",
            "home/archives/2026-11-21-FULL-5f0c9a12d4e6b801/key.age",
            "home/archives/notes/key.age",
            "home/ledger/00000001.entry",
            "work/archives/2026-11-21-full-5f0c9a12d4e6b801/key.age",
        ] {
            assert_eq!(archive_of("home", key), None, "{key}");
        }
    }

    #[test]
    fn keys_read_as_the_format_says() {
        let archive = "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap();
        let mut digest = Sha256([0; 32]);
        digest.0[..8].copy_from_slice(&0x9c1e_04b7_a2d8_5f36_u64.to_be_bytes());
        assert_eq!(
            segment("home", &archive, 0, &digest),
            "home/archives/2026-11-21-full-5f0c9a12d4e6b801/000000-9c1e04b7a2d85f36.zst.age"
        );
        assert_eq!(ledger_entry("home", 1), "home/ledger/00000001.entry");
    }

    #[test]
    fn a_marker_of_home_has_the_id_of_a_place_and_is_no_entry() {
        let place = PlaceId([0x5a; 16]);
        let key = home_marker("home", &place);
        assert_eq!(key, "home/ledger/HOME-5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
        assert_eq!(home_marker_id("home", &key), Some(place));
        assert_eq!(copy_marker("home"), "home/ledger/COPY");
        for marker in [key.as_str(), "home/ledger/COPY"] {
            assert_eq!(ledger_seq("home", marker), None, "{marker}");
        }
        for key in [
            "home/ledger/COPY",
            "home/ledger/00000001.entry",
            "home/ledger/HOME-",
            "home/ledger/HOME-5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A",
            "home/ledger/HOME-5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a.bak",
            "work/ledger/HOME-5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
        ] {
            assert_eq!(home_marker_id("home", key), None, "{key}");
        }
    }

    #[test]
    fn only_an_entry_of_this_ledger_has_a_number() {
        assert_eq!(ledger_seq("home", "home/ledger/00000041.entry"), Some(41));
        assert_eq!(
            ledger_seq("home", "home/ledger/123456789.entry"),
            Some(123_456_789)
        );
        for key in [
            "home/ledger/00000000.entry",
            "home/ledger/41.entry",
            "home/ledger/000000041.entry",
            "work/ledger/00000041.entry",
            "home/ledger/x",
        ] {
            assert_eq!(ledger_seq("home", key), None, "{key}");
        }
    }
}
