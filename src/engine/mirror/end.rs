//! What a run needs of a mirror, wherever it is.

use serde::{Deserialize, Serialize};

use crate::engine::backup::stream_source::StreamSource;
use crate::error::Error;
use crate::model::{LedgerId, Protocol, SnapshotName, Uuid};

/// The directory of one source at a mirror, locked: no other run works on it meanwhile.
pub(in crate::engine) trait MirrorEnd {
    /// Looks at the directory. `recorded` is what is known of its copies from earlier runs.
    fn standing(&mut self, recorded: &[RecordedCopy]) -> Result<MirrorStanding, Error>;

    /// Makes the directory and gives it a mark, whose id it returns. It must not have one.
    fn make(&mut self) -> Result<LedgerId, Error>;

    /// Receives a snapshot and gives it its name. `blocks` is its stream, in pieces of any size; an error in it ends
    /// this, and nothing of the stream stays.
    fn receive(
        &mut self,
        wanted: &WantedCopy,
        blocks: &mut Blocks<'_>,
    ) -> Result<MirrorCopy, Error>;

    /// Deletes the copies that the mirror's own rule no longer keeps, but none of `spare`, which are stream uuids.
    fn prune(&mut self, spare: &[Uuid]) -> Result<PrunedCopies, Error>;

    /// Begins to send a copy.
    fn send(&mut self, copy: &CopyToSend) -> Result<Box<dyn StreamSource + '_>, Error>;
}

/// A stream, in pieces of any size.
pub(in crate::engine) type Blocks<'a> = dyn Iterator<Item = Result<Vec<u8>, Error>> + 'a;

/// A copy as an earlier run recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct RecordedCopy {
    /// Its own uuid.
    pub(in crate::engine) uuid: Uuid,
    /// Its ctransid after its filesystem was synced.
    pub(in crate::engine) ctransid: u64,
}

/// What there is at a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct MirrorStanding {
    /// The id in the directory's mark; `None` if there is no directory yet.
    pub(in crate::engine) mark: Option<LedgerId>,
    /// The uuid of its filesystem.
    pub(in crate::engine) filesystem: Uuid,
    /// Free bytes there.
    pub(in crate::engine) free_bytes: u64,
    /// Which copies it keeps by its own rule, as the config writes it; `None` if it deletes none.
    pub(in crate::engine) keep: Option<String>,
    /// The copies, oldest first.
    pub(in crate::engine) copies: Vec<MirrorCopy>,
    /// Names that something else has.
    pub(in crate::engine) taken: Vec<SnapshotName>,
}

/// A copy of a snapshot at a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct MirrorCopy {
    /// Its name.
    pub(in crate::engine) name: SnapshotName,
    /// Its own uuid.
    pub(in crate::engine) uuid: Uuid,
    /// The uuid in its stream: its received uuid.
    pub(in crate::engine) stream_uuid: Uuid,
    /// Its ctransid, which changes when its content does.
    pub(in crate::engine) ctransid: u64,
    /// The transaction that made it.
    pub(in crate::engine) otransid: u64,
    /// Whether it still has the content that was received.
    pub(in crate::engine) is_intact: bool,
}

/// A snapshot for a mirror to receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct WantedCopy {
    /// The name that it gets.
    pub(in crate::engine) name: SnapshotName,
    /// The uuid that its stream must have.
    pub(in crate::engine) stream_uuid: Uuid,
    /// The ctransid that its stream must have.
    pub(in crate::engine) ctransid: u64,
    /// The copy that it is sent against; `None` for a full stream.
    pub(in crate::engine) parent: Option<CopyParent>,
}

/// The copy that a stream is sent against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct CopyParent {
    /// Its own uuid at the mirror.
    pub(in crate::engine) uuid: Uuid,
    /// The uuid that the stream must name.
    pub(in crate::engine) stream_uuid: Uuid,
    /// The ctransid that the stream must name: that of the sender's own snapshot.
    pub(in crate::engine) ctransid: u64,
}

/// What a mirror has deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct PrunedCopies {
    /// The copies, by name, each with the reason.
    pub(in crate::engine) deleted: Vec<(SnapshotName, String)>,
    /// Why copies that have expired were not deleted, or could not be.
    pub(in crate::engine) warnings: Vec<String>,
}

/// A copy to send from a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct CopyToSend {
    /// Its own uuid.
    pub(in crate::engine) uuid: Uuid,
    /// The copy that it is sent against, by its own uuid; `None` for a full stream.
    pub(in crate::engine) parent: Option<Uuid>,
    /// The form of the stream.
    pub(in crate::engine) protocol: Protocol,
}
