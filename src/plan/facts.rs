//! The input of a night's plan, and the actions that it can choose.

use std::fmt;

use chrono::NaiveDate;

use super::history::{ArchiveFacts, Condition, History, ListedAsOf, Verification};
use crate::model::{ArchiveId, ArchiveKind, Sha256, SourceName};

/// The state of the local snapshot of an archive that an incremental could build on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendParentSnapshot {
    /// It is here, and it is the one that was archived.
    Intact,
    /// It is gone here, but a local mirror has copies of it and of tonight's snapshot.
    AtMirror,
    /// It is not here.
    Gone,
    /// It is not the one that was archived; what differs, in words.
    Changed(String),
    /// It is the one that was archived, but tonight's snapshot does not descend from it.
    Unrelated,
    /// `btrfs send` would leave data out against it; what, in words.
    Lossy(String),
    /// The stream that was sent against it tonight could not be restored; why, in words.
    Unrestorable(String),
    /// It can't be compared with tonight's snapshot; why, in words.
    Incomparable(String),
    /// Another program makes the stream (`decide`): there is no snapshot to check, and the ledger alone
    /// decides.
    NotLocal,
}

/// What was requested for a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Whatever the schedule says.
    Scheduled,
    /// A full archive, due or not (`--full`).
    Full,
}

/// All that a night's plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The source.
    pub source: SourceName,
    /// The night's date.
    pub date: NaiveDate,
    /// What was requested.
    pub request: Request,
    /// The source's visible archives.
    pub history: History,
    /// The snapshot of the newest archive of [`History::send_parents`].
    pub send_parent: SendParentSnapshot,
    /// The newest other archive of [`History::send_parents`] whose snapshot an incremental can build on. It
    /// is looked for only if the snapshot of the newest archive can't be used.
    pub older_send_parent: Option<ArchiveId>,
    /// The fingerprint of the recipients that are configured now.
    pub recipients: Sha256,
    /// As of when the store's listings are. An inventory does not show tonight's archive tonight.
    pub listed_as_of: ListedAsOf,
}

/// What a night archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// The whole snapshot, as a new chain.
    Full,
    /// What changed since the send parent.
    Incremental {
        /// The archive to build on.
        send_parent: ArchiveId,
        /// The full of its chain.
        chain: ArchiveId,
    },
}

impl Action {
    /// Returns its name, for people and for JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Full => "full",
            Self::Incremental { .. } => "incremental",
        }
    }

    /// Returns the archive that this action makes on that date, as sound and verified; `None` if it makes
    /// none.
    pub fn outcome(&self, date: NaiveDate, recipients: Sha256, nonce: u64) -> Option<ArchiveFacts> {
        let id = |kind| ArchiveId { date, kind, nonce };
        let (id, send_parent, chain) = match *self {
            Self::None => return None,
            Self::Full => (id(ArchiveKind::Full), None, id(ArchiveKind::Full)),
            Self::Incremental { send_parent, chain } => {
                (id(ArchiveKind::Incremental), Some(send_parent), chain)
            }
        };
        Some(ArchiveFacts {
            id,
            send_parent,
            chain,
            recipients,
            condition: Condition::Sound,
            verification: Verification::Verified,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
