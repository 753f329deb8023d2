//! What the command and the library ask of a restore, and get from it.

use crate::commands::identity::Passphrases;
use crate::engine::Restored;
use crate::model::{CopyKind, SnapshotName};
use crate::plan::Usd;

/// How a restore deals with who asked for it.
pub(crate) struct RestoreManner {
    /// Who answers when a passphrase is needed.
    pub(crate) passphrases: Passphrases,
    /// The most that a restore from the store may cost; `None` is no limit.
    pub(crate) max_cost: Option<Usd>,
}

/// What a restore has brought back.
pub(crate) struct BroughtBack {
    /// The date or the snapshot.
    pub(crate) name: SnapshotName,
    /// Where it was taken from.
    pub(crate) from: CopyKind,
    /// Where it is now.
    pub(crate) restored: Restored,
}
