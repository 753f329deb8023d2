//! What can be wrong with a ledger and the archives that it names.

use std::ops::RangeInclusive;

use crate::model::ArchiveId;

/// Something that is wrong with a ledger, or with the archives that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// Entries between sound ones are damaged or lost.
    Lost(RangeInclusive<u64>),
    /// The object under a number does not verify, and a later entry says that it passes over it.
    Quarantined(u64, String),
    /// The object under a number does not verify, and no entry passes over it: it may be a damaged entry.
    Unread(u64, String),
    /// An entry is damaged or lost in the store, and the old catalog has a sound copy.
    Copied(u64, String),
    /// A signed entry does not follow the one before. It and all later entries were not read.
    Forked(u64, String),
    /// A signed entry does not follow the one before, and the root key has voided it.
    Voided(u64, String),
    /// Numbers are too far beyond the others to be entries.
    TooFar(String),
    /// An entry names an archive that belongs to another ledger. It is not an archive of this one.
    Foreign(u64, ArchiveId),
    /// An entry is sound, but the catalog could not take it. It was left out.
    NotTaken(u64, String),
    /// An entry has a kind or a format that this version does not know.
    Unknown(String),
    /// Entries that the ledger once had are not in the store.
    Behind {
        /// The numbers of these entries.
        missing: RangeInclusive<u64>,
        /// The witness that knows them.
        witness: &'static str,
    },
    /// An entry was replaced by another.
    Changed {
        /// Its number.
        seq: u64,
        /// The witness that knows the first one.
        witness: &'static str,
    },
    /// The first archive builds on the second, and no entry names the second any more.
    Orphaned(ArchiveId, ArchiveId),
    /// Objects of an archive are missing or different in a listing.
    Lacking {
        /// The archive.
        archive: ArchiveId,
        /// How many objects it is about.
        objects: usize,
        /// The first object, and what is wrong with it.
        first: String,
    },
    /// Objects of the contents of an archive are missing or different in a listing. It can be restored without them.
    LackingContents {
        /// The archive.
        archive: ArchiveId,
        /// How many objects it is about.
        objects: usize,
        /// The first object, and what is wrong with it.
        first: String,
    },
    /// The given identity opens no archive of this ledger.
    Locked(String),
    /// An archive's private facts can't be read, although its key could be opened.
    Private(ArchiveId, String),
}

impl Flaw {
    /// Returns the text that follows the source's name in a report.
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
            Self::LackingContents {
                archive,
                objects,
                first,
            } => format!(
                "the contents of {archive} lack {objects} {}: {first}",
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

    /// Returns its name in JSON.
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
            Self::LackingContents { .. } => "lacking-contents",
            Self::Locked(_) => "locked",
            Self::Private(..) => "private",
        }
    }

    /// Returns whether something is damaged, lost or different. What every reader passes over by the rules of
    /// the ledger does not count.
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
