//! The body of a ledger entry: what the store's signed list says.
//!
//! These are the fields of formats 1 and 2 (`docs/format.md`). A reader ignores fields that it does not know.
//! An entry whose kind it does not know in that format is [`EntryKind::Unknown`]: it counts in the chain of
//! hashes, and nowhere else.

use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::archive::ArchiveKind;
use super::digest::Sha256;
use super::ids::{ArchiveId, LedgerId, PlaceId, Uuid, has_form, number, parse_date};
use super::protocol::Protocol;
use super::segment::{ContentsRecord, SegmentRecord};
use super::vault::VaultPlace;

/// The format that most entries are written in.
pub const FORMAT: u32 = 1;

/// The format of a `rotate` with content that format 1 has no fields for: see [`RotateEntry`]. Each entry is
/// written in the lowest format that has the fields.
pub const ROTATE_FORMAT: u32 = 2;

/// The format of an `archive` whose segments are in a vault, and of every entry that names such an archive: see
/// [`ArchiveEntry::vault`].
pub const VAULT_FORMAT: u32 = 2;

/// The most bytes of a ledger's first entry, which is read before any signature is checked. A key takes some
/// 500 bytes.
pub const OPEN_BYTES: u64 = 1 << 20;

/// How far an entry's number may be beyond that of the entry before it, and so how many it can skip. Without
/// a limit, a number of many digits would make a gap that no memory can hold.
pub const FURTHEST: u64 = MOST_NUMBERS as u64;

/// The most numbers that a list in an entry has.
const MOST_NUMBERS: usize = 10_000;

/// The most keys that a list in an entry has: more than ever sign a ledger at the same time.
const MOST_KEYS: usize = 1000;

/// What every entry says, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryHead {
    /// [`FORMAT`], [`ROTATE_FORMAT`] or [`VAULT_FORMAT`].
    pub format: u32,
    /// The ledger that it belongs to.
    pub ledger: LedgerId,
    /// The source's directory in the store.
    pub source: String,
    /// Its number, from 1 without a gap.
    pub seq: u64,
    /// SHA-256 of the previous entry's body line; `None` in the first.
    pub prev: Option<Sha256>,
    /// When it was made, to the second, by the writer's clock.
    pub made_at: Timestamp,
    /// IANA name of the time zone in which the writer's dates are meant.
    pub timezone: String,
    /// Numbers just before this one whose objects do not verify, and which the writer therefore skipped.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "numbers"
    )]
    pub skips: Vec<u64>,
}

/// The whole body of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What every entry says.
    pub head: EntryHead,
    /// Its kind, with the kind's own fields.
    pub kind: EntryKind,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// The first entry: who may sign what.
    Open(OpenEntry),
    /// An archive was stored.
    Archive(Box<ArchiveEntry>),
    /// Archives or attempts are retired.
    Retire(RetireEntry),
    /// Retired archives are visible again.
    Revive(ReviveEntry),
    /// The objects of retired archives are being deleted.
    Delete(DeleteEntry),
    /// Other keys may sign from this entry on.
    Rotate(RotateEntry),
    /// Sealed objects are added to archives of earlier entries.
    Attach(AttachEntry),
    /// Another place is home.
    Moved(MovedEntry),
    /// A kind that this version does not know, by its name.
    Unknown(String),
}

impl EntryKind {
    /// Returns the kind's name in the body.
    pub fn name(&self) -> &str {
        match self {
            Self::Open(_) => "open",
            Self::Archive(_) => "archive",
            Self::Retire(_) => "retire",
            Self::Revive(_) => "revive",
            Self::Delete(_) => "delete",
            Self::Rotate(_) => "rotate",
            Self::Attach(_) => "attach",
            Self::Moved(_) => "moved",
            Self::Unknown(name) => name,
        }
    }
}

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs `retire`, `revive` and `delete`.
    Pruner,
    /// Signs `rotate` and, on a new machine, `moved`, and grants roles to the other keys. Its secret is in the recovery kit only.
    Root,
    /// Signs `open`, `archive`, `attach` and `moved`.
    Writer,
}

impl Role {
    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pruner => "pruner",
            Self::Root => "root",
            Self::Writer => "writer",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A public key and what it may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGrant {
    /// The key in minisign's one-line base64 form (`RW…`).
    pub key: String,
    /// What it may sign, sorted.
    pub roles: Vec<Role>,
    /// The root key's minisign signature (its four lines) over the grant's own statement, so that
    /// a new source can open a ledger without the root secret at hand. `None` on the root key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// Kind `open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEntry {
    /// The root key first, then the keys that it grants roles to.
    #[serde(deserialize_with = "keys")]
    pub keys: Vec<KeyGrant>,
}

/// Kind `archive`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveEntry {
    /// Its id.
    pub id: ArchiveId,
    /// Its date.
    pub date: NaiveDate,
    /// The scheduled date that it fills.
    pub slot: NaiveDate,
    /// Full or incremental.
    pub kind: ArchiveKind,
    /// The archive that it is incremental on.
    pub send_parent: Option<ArchiveId>,
    /// The full archive of its chain; its own id if it is a full.
    pub chain: ArchiveId,
    /// The uuid that the send stream carries.
    pub stream_uuid: Uuid,
    /// The ctransid that the send stream carries.
    pub stream_ctransid: u64,
    /// The stream uuid of the send parent.
    pub send_parent_uuid: Option<Uuid>,
    /// Bytes of the send stream.
    pub raw_bytes: u64,
    /// Bytes of all segments as stored.
    pub sealed_bytes: u64,
    /// Version of the send stream: 1 or 2.
    pub protocol: u32,
    /// Whether the stream carries data as it is compressed on disk; `None` in version 1, which can't, and
    /// in entries that are older than the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed_data: Option<bool>,
    /// Kernel release of the machine that sent; `None` when the stream came on stdin.
    pub kernel: Option<String>,
    /// Version of btrfs-progs that sent; `None` when the stream came on stdin.
    pub btrfs_progs: Option<String>,
    /// Raw bytes of every segment but the last.
    pub segment_size: u64,
    /// Raw bytes of every frame but a segment's last.
    pub frame_size: u64,
    /// The archive key sealed to the recipients: the bytes of `key.age` in base64.
    pub key: String,
    /// SHA-256 of the ledger id and the sorted recipients.
    pub recipients: Sha256,
    /// Until when the store refuses to delete it; `None` if it is not locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_until: Option<Timestamp>,
    /// The segments in order.
    pub segments: Vec<SegmentRecord>,
    /// Format 2: where the segments were put, if that is a vault. An entry of format 1 has no such field: if there is
    /// one, it is unknown like any other and has no effect, whatever it contains.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultPlace>,
    /// Its contents; `None` in an archive that was made without. They may be attached later. Versions of before ignore
    /// this field, so a value that is not [sound](ContentsRecord::is_sound) is ignored too: it is read apart from the
    /// others.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub contents: Option<ContentsRecord>,
    /// A [`PrivateFacts`] sealed to the archive key, in base64.
    pub private: String,
}

impl ArchiveEntry {
    /// The form of its stream.
    pub fn form(&self) -> Protocol {
        Protocol::of(self.protocol, self.compressed_data)
    }
}

/// Kind `retire`. From this entry on the archives are invisible, and their objects may be deleted once
/// `delete_after` has passed.
///
/// An id that was never archived can be retired too: then its attempt can't be committed any more, and its
/// objects can be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireEntry {
    /// What is retired: sorted, none twice, at least one.
    pub archives: Vec<ArchiveId>,
    /// Why, in plain words. It is not sealed: nothing private belongs here.
    pub reason: String,
}

/// Kind `revive`. It undoes a retire: from this entry on the archives are visible again. Its signer has seen
/// all their objects in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviveEntry {
    /// What is visible again: sorted, none twice, at least one.
    pub archives: Vec<ArchiveId>,
    /// Why, in plain words. It is not sealed: nothing private belongs here.
    pub reason: String,
}

/// Kind `delete`. It is in the ledger before the first object of a retired chain is deleted, and no `revive`
/// of the chain may follow. If one machine wants to delete the chain and another wants to revive it, only one
/// of them gets the ledger's next number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteEntry {
    /// What is being deleted, each chain as a whole: sorted, none twice, at least one.
    pub archives: Vec<ArchiveId>,
    /// Why, in plain words. It is not sealed: nothing private belongs here.
    pub reason: String,
}

/// Kind `rotate`, signed by the root key. From this entry on only these keys may sign. A key that is not
/// named any more signs nothing, whatever grant it has.
///
/// In format 2 it also undoes what the keys that it withdraws have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateEntry {
    /// The root key first. The others need no grant of their own, because the root key signs the entry.
    #[serde(deserialize_with = "keys")]
    pub keys: Vec<KeyGrant>,
    /// Numbers of earlier entries that have no effect any more, so that writers can continue after them. In
    /// format 1 these have a kind or format that the signer does not know; in format 2 they may also be part
    /// of a fork, or `attach`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "numbers"
    )]
    pub voids: Vec<u64>,
    /// Format 2: archives that this entry retires, as `retire` does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retires: Vec<ArchiveId>,
    /// Format 2: archives that this entry makes visible again, as `revive` does, also if a key that it
    /// withdraws has begun their deletion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revives: Vec<ArchiveId>,
}

impl RotateEntry {
    /// Whether it does anything besides naming keys.
    pub fn does_more(&self) -> bool {
        !(self.voids.is_empty() && self.retires.is_empty() && self.revives.is_empty())
    }
}

/// Reads a list of numbers, which is no longer than a gap can be.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    at_most::<_, _, MOST_NUMBERS>(deserializer)
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyGrant>, D::Error> {
    at_most::<_, _, MOST_KEYS>(deserializer)
}

/// Reads a list that takes more memory than its text, and therefore has a limit.
fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut few = Vec::new();
            while let Some(item) = items.next_element()? {
                if few.len() == MOST {
                    return Err(serde::de::Error::invalid_length(MOST + 1, &self));
                }
                few.push(item);
            }
            Ok(few)
        }
    }

    deserializer.deserialize_seq(Few::<T, MOST>(PhantomData))
}

/// Kind `attach`. It adds objects to archives of earlier entries, and changes nothing else of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachEntry {
    /// The objects, at least one.
    pub objects: Vec<Attachment>,
}

/// Something sealed that belongs to an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The archive.
    pub archive: ArchiveId,
    /// What it is: [`Attachment::KEY`], [`Attachment::CONTENTS`], or something that this version does not know, and
    /// ignores.
    pub what: String,
    /// SHA-256 of the ledger id and the sorted recipients that it is sealed to. Of contents, those of the archive.
    pub recipients: Sha256,
    /// Its bytes in base64; empty for contents, which have objects of their own.
    pub sealed: String,
    /// The contents, if it is that. A value that is not sound is ignored, as that of an archive is.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub contents: Option<ContentsRecord>,
    /// Of contents that take the place of others, which are lost: the number of the entry that names those.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
}

impl Attachment {
    /// The archive's key, sealed to further recipients.
    pub const KEY: &'static str = "key";
    /// The archive's contents, made after it.
    pub const CONTENTS: &'static str = "contents";
}

/// Kind `moved`. From this entry on the place with that id is home: only there is the ledger continued. The
/// place was a copy before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedEntry {
    /// The id of the new home.
    pub place: PlaceId,
}

/// Private facts of an archive. They are sealed to the archive key before they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateFacts {
    /// The machine's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The source's path, lossily if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<String>,
    /// The snapshot's path, lossily if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// BLAKE3 of the whole send stream.
    pub raw_blake3: super::Blake3,
    /// BLAKE3 of each segment's raw bytes, in order.
    pub segments_blake3: Vec<super::Blake3>,
}

/// A moment to the second, written in UTC as `2026-11-21T03:00:07Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub DateTime<Utc>);

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, chrono::ParseError> {
        if let Some(moment) = as_written(text) {
            return Ok(Self(moment.and_utc()));
        }
        let moment = DateTime::parse_from_rfc3339(text)?;
        Ok(Self(moment.with_timezone(&Utc)))
    }
}

/// Reads the one form of RFC 3339 in which coldchain writes moments.
fn as_written(text: &str) -> Option<NaiveDateTime> {
    if !has_form(text, "0000-00-00T00:00:00Z") {
        return None;
    }
    let date = parse_date(&text[..10]).ok()?;
    let [hour, minute, second] = [11, 14, 17].map(|at| number(&text[at..at + 2]));
    date.and_hms_opt(hour, minute, second)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_its_own_form_as_in_any_other() {
        for (text, written) in [
            ("2026-11-21T03:00:07Z", Some("2026-11-21T03:00:07Z")),
            ("2026-11-21T04:00:07+01:00", Some("2026-11-21T03:00:07Z")),
            ("2024-02-29T23:59:59Z", Some("2024-02-29T23:59:59Z")),
            ("2026-02-29T23:59:59Z", None),
            ("2026-11-21T24:00:00Z", None),
            ("2026-11-21T03:60:00Z", None),
            ("2026-11-21T03:00:07", None),
            ("2026-11-21", None),
        ] {
            let moment = text.parse::<Timestamp>().ok();
            assert_eq!(
                moment.map(|moment| moment.to_string()).as_deref(),
                written,
                "{text}"
            );
        }
    }
}
