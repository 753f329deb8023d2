//! Puts one object back where it is damaged or missing.
//!
//! This is the one place where a key gets other bytes than before. So no report of damage is enough: it reads the
//! object as a whole, twice, and has the sound bytes in memory, compared with the signed digest, before it touches
//! anything. What it replaces it keeps aside first. Each step may be the last: what is left is the damaged object, or
//! none, and the next repair goes on from there.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::unreadable::in_short;
use crate::engine::backup::put_verified::put;
use crate::engine::context::open_source::OpenSource;
use crate::error::{Error, in_words};
use crate::model::Sha256;
use crate::model::aside::aside;
use crate::model::keys::SignedObject;
use crate::model::segment::LARGEST_SEGMENT_BYTES;
use crate::plan::memory::longest_sealed;
use crate::store::{Deleted, ErrorKind, NewObject, ObjectKind, StoreError};

/// Why an object is not repaired, in words.
pub(super) type Why = String;

/// An object that is to be put back.
pub(super) struct BadObject<'a> {
    /// Where it is bad.
    pub(super) at: &'a OpenSource<'a>,
    /// Its key.
    pub(super) key: &'a str,
    /// What the ledger signs of it.
    pub(super) signed: SignedObject,
    /// Its purpose, which decides on its class.
    pub(super) role: ObjectKind,
    /// Until when it is locked.
    pub(super) retain_until: Option<DateTime<Utc>>,
}

/// What is under the key.
pub(super) enum UnderKey {
    /// No object.
    Missing,
    /// The object that was signed.
    Sound,
    /// Other bytes, the same ones in two reads.
    Damaged(Bytes, Sha256),
}

/// What a repair did.
pub(super) struct Mended {
    /// The object's locator.
    pub(super) locator: String,
    /// The key under which the damaged bytes are kept; `None` if the object was missing.
    pub(super) aside: Option<String>,
}

impl BadObject<'_> {
    /// Reads what is under the key, as a whole and twice.
    pub(super) fn look(&self) -> Result<UnderKey, Why> {
        let store = self.at.store.as_ref();
        if self.role == ObjectKind::Segment && store.needs_index() {
            return Err(
                "the ledger names its archive in the vault, and what is put into a vault gets another id: restore from \
                 the other place, and run `coldchain backup --full` for a chain that is whole"
                    .to_owned(),
            );
        }
        let at = store.locate(self.key);
        let bytes = match store.stat(&at) {
            Ok(stat) => stat.bytes,
            Err(error) if error.is_not_found() => return Ok(UnderKey::Missing),
            Err(error) => return Err(unread(&error)),
        };
        let longest = longest_sealed(LARGEST_SEGMENT_BYTES);
        if bytes > longest {
            return Err(format!(
                "it has {bytes} bytes, and no object of an archive has more than {longest}: move it away by hand, and \
                 run the same command again"
            ));
        }
        let read = || store.get(&at, bytes).map_err(|error| unread(&error));
        let first = Sha256::of(&read()?);
        let again = read()?;
        let second = Sha256::of(&again);
        if first != second {
            return Err(
                "two reads of it gave different bytes, so the damage may be on the way to it: check the disk or the \
                 connection, and run the same command again"
                    .to_owned(),
            );
        }
        Ok(if second == self.signed.sha256 {
            UnderKey::Sound
        } else {
            UnderKey::Damaged(again.into(), second)
        })
    }

    /// Puts the sound bytes under the key. Damaged ones are kept aside, then deleted.
    pub(super) fn put_back(
        &self,
        sound: Vec<u8>,
        damaged: Option<(Bytes, Sha256)>,
    ) -> Result<Mended, Why> {
        let store = self.at.store.as_ref();
        // The last look before anything is touched.
        if sound.len() as u64 != self.signed.bytes || Sha256::of(&sound) != self.signed.sha256 {
            return Err("what was to be put back is not what the ledger signs".to_owned());
        }
        let aside = match damaged {
            None => None,
            Some(damaged) => Some(self.set_aside(damaged)?),
        };
        let new = NewObject {
            retain_until: self.retain_until,
            ..NewObject::new(self.key, sound, self.signed.sha256, self.role)
        };
        match put(store, &new) {
            Ok(locator) => Ok(Mended { locator, aside }),
            Err(error) if aside.is_some() => Err(format!(
                "the damaged object is deleted, and the sound one could not be put in its place: {}; run the same \
                 command again, which puts it back",
                in_words(&error)
            )),
            Err(error) => Err(format!("it could not be put back: {}", in_words(&error))),
        }
    }

    /// Keeps the damaged bytes under a key of their own, and then deletes the damaged object. Returns the key.
    fn set_aside(&self, (bytes, sha256): (Bytes, Sha256)) -> Result<String, Why> {
        let store = self.at.store.as_ref();
        let kept = aside(&self.at.row.directory, self.key, &sha256);
        put(store, &NewObject::new(&kept, bytes, sha256, self.role)).map_err(|error| {
            format!(
                "the damaged bytes could not be kept aside as {kept}, so the object stays: {}",
                in_words(&error)
            )
        })?;
        match store.delete(&store.locate(self.key)) {
            Ok(Deleted::Removed | Deleted::Absent) => Ok(kept),
            Ok(Deleted::Retained { until }) => Err(format!(
                "a lock keeps the damaged object until {until}, so it stays: restore from the other place with \
                 --place, or run the same command again after that"
            )),
            Err(error) if error.kind == ErrorKind::Denied => Err(format!(
                "the damaged object can't be deleted, so it stays: {}; let these credentials delete objects, and run \
                 the same command again",
                in_words(&error)
            )),
            Err(error) => Err(format!(
                "the damaged object could not be deleted: {}; run the same command again",
                in_words(&error)
            )),
        }
    }
}

/// Says why an object could not be read as a whole: it is not shown to be damaged then.
fn unread(error: &StoreError) -> Why {
    if error.kind == ErrorKind::Cold {
        "it is cold, so it can't be read and is not shown to be damaged: thaw it first with `coldchain thaw`".to_owned()
    } else {
        format!(
            "{}; it is replaced only after it was read as a whole: move it away by hand, and run the same command again",
            in_short(error)
        )
    }
}

/// Says why another place can't give an object.
pub(super) fn not_given(error: &Error, place: &str) -> Why {
    match error {
        Error::Restore(crate::error::RestoreError::SegmentDamaged { what, .. })
        | Error::Contents(crate::error::ContentsFault::Damaged { what, .. }) => {
            format!("`{place}` does not have it sound either: {what}")
        }
        Error::Store(error) if error.kind == ErrorKind::Cold => {
            format!(
                "it is cold in `{place}`: thaw it there first with `coldchain thaw --place {place}`"
            )
        }
        error => format!("it can't be read from `{place}`: {}", in_words(error)),
    }
}
