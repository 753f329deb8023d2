//! The identity of a subvolume, as btrfs reports it.

use super::ids::Uuid;

/// The identity of a subvolume, as `BTRFS_IOC_GET_SUBVOL_INFO` reports it.
///
/// `generation` is missing on purpose: a balance changes it, and so does taking a snapshot of the subvolume,
/// so it says nothing about content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubvolumeIdentity {
    /// The subvolume's id within its filesystem.
    pub subvolume_id: u64,
    /// Its own uuid.
    pub uuid: Uuid,
    /// The uuid of the subvolume that it is a snapshot of (btrfs's own `parent_uuid`).
    pub parent_uuid: Option<Uuid>,
    /// Set when `btrfs receive` made it: the uuid of the subvolume that was sent.
    pub received_uuid: Option<Uuid>,
    /// The transaction that last changed its content.
    pub ctransid: u64,
    /// The transaction that made it.
    pub otransid: u64,
    /// Whether it is read-only.
    pub read_only: bool,
}

impl SubvolumeIdentity {
    /// The uuid that a send stream of this subvolume carries: the received uuid where there is one.
    pub fn stream_uuid(&self) -> Uuid {
        self.received_uuid.unwrap_or(self.uuid)
    }
}
