//! What can be amiss with a ledger, and with what it names.

use std::ops::RangeInclusive;

use crate::model::ArchiveId;

/// What is amiss with a ledger, or with the archives that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// Entries between sound ones are damaged or lost.
    Lost(RangeInclusive<u64>),
    /// The object of a number does not verify, and a later entry says that it passes over it.
    Quarantined(u64, String),
    /// The object of a number does not verify, and no entry passes over it: it may be one that was
    /// damaged.
    Unread(u64, String),
    /// An entry is damaged or lost in the store, and the catalog that was here has a sound copy.
    Copied(u64, String),
    /// A signed entry does not follow the one before: it and all after it were not read.
    Forked(u64, String),
    /// A signed entry does not follow the one before, and the root key has voided it.
    Voided(u64, String),
    /// Numbers are too far beyond the others to be entries.
    TooFar(String),
    /// An entry archives what belongs to another ledger: this one has no such archive.
    Foreign(u64, ArchiveId),
    /// An entry is sound, and the catalog has no place for what it says: it was left out.
    NotTaken(u64, String),
    /// A kind or a format that this version does not know.
    Unknown(String),
    /// Entries that the ledger has had are not in the store.
    Behind {
        /// The numbers.
        missing: RangeInclusive<u64>,
        /// Who knows of them.
        witness: &'static str,
    },
    /// An entry is not the one that it was.
    Changed {
        /// Its number.
        seq: u64,
        /// Who knows of it.
        witness: &'static str,
    },
    /// An archive builds on one that no entry names any more.
    Orphaned(ArchiveId, ArchiveId),
    /// A listing lacks or has changed objects of an archive.
    Lacking {
        /// The archive.
        archive: ArchiveId,
        /// How many objects.
        objects: usize,
        /// The first, and what is wrong with it.
        first: String,
    },
    /// An identity was given, and it opens nothing there.
    Locked(String),
    /// An archive's private facts can't be read although its key could be opened.
    Private(ArchiveId, String),
}

impl Flaw {
    /// In words, after the source's name.
    pub fn in_words(&self) -> String {
        match self {
            Self::Lost(lost) => format!("{} damaged or lost", entries(lost)),
            Self::Quarantined(seq, why) => format!("entry {seq} is passed over: {why}"),
            Self::Unread(seq, why) => {
                format!("entry {seq} is damaged, or is not an entry of this ledger: {why}")
            }
            Self::Copied(seq, why) => {
                format!(
                    "entry {seq} is damaged or lost in the store; the old catalog's copy is used: {why}"
                )
            }
            Self::Forked(seq, why) => {
                format!(
                    "the ledger has forked, and is read up to entry {} only: {why}",
                    seq - 1
                )
            }
            Self::Voided(seq, why) => {
                format!("entry {seq} does not fit, and the root key has voided it: {why}")
            }
            Self::Foreign(seq, archive) => {
                format!(
                    "entry {seq} names {archive}, which belongs to another ledger: it is left out"
                )
            }
            Self::NotTaken(seq, why) => format!("the catalog cannot store entry {seq}: {why}"),
            Self::Unknown(what) | Self::TooFar(what) => what.clone(),
            Self::Behind { missing, witness } => {
                format!("{} missing according to {witness}", entries(missing))
            }
            Self::Changed { seq, witness } => {
                format!("entry {seq} is not the one that {witness} knows of")
            }
            Self::Orphaned(archive, parent) => {
                format!("{archive} builds on {parent}, which is not there")
            }
            Self::Lacking {
                archive,
                objects,
                first,
            } => format!(
                "{archive} lacks {objects} {}: {first}",
                if *objects == 1 { "object" } else { "objects" }
            ),
            Self::Locked(why) => {
                format!("the identity does not belong to any of its recipients ({why})")
            }
            Self::Private(archive, why) => {
                format!("the private facts of {archive} can't be read: {why}")
            }
        }
    }

    /// The word for it in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::Quarantined(..) => "quarantined",
            Self::Unread(..) => "unread",
            Self::Copied(..) => "copied",
            Self::Forked(..) => "forked",
            Self::Voided(..) => "voided",
            Self::TooFar(_) => "too-far",
            Self::Foreign(..) => "foreign",
            Self::NotTaken(..) => "not-taken",
            Self::Unknown(_) => "unknown",
            Self::Behind { .. } => "behind",
            Self::Changed { .. } => "changed",
            Self::Orphaned(..) => "orphaned",
            Self::Lacking { .. } => "lacking",
            Self::Locked(_) => "locked",
            Self::Private(..) => "private",
        }
    }

    /// Whether something is damaged, lost or not what it should be. What every reader passes over by
    /// the ledger's own rules is not.
    pub fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::Quarantined(..)
                | Self::Voided(..)
                | Self::TooFar(_)
                | Self::Unknown(_)
                | Self::Locked(_)
        )
    }
}

fn entries(numbers: &RangeInclusive<u64>) -> String {
    if numbers.start() == numbers.end() {
        format!("entry {} is", numbers.start())
    } else {
        format!("entries {} to {} are", numbers.start(), numbers.end())
    }
}
