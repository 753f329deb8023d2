//! Pure types that every ring shares: names, ids, digests, archives, ledger entries.
//!
//! Nothing here does I/O or reads a clock. A type with a text form has `Display` and `FromStr`, and the two
//! are inverse.

pub mod archive;
pub mod aside;
mod btrsend_row;
mod bucket_object;
mod copy_kind;
pub mod copy_marker;
mod counting_contents;
pub mod date_word;
pub mod digest;
pub mod entry;
pub mod file_node;
pub mod ids;
pub mod keys;
mod mirror_location;
mod mirror_right;
pub mod protocol;
mod pull_location;
pub mod quoted;
pub mod segment;
pub mod shell;
pub mod signal;
pub mod size;
mod snapshot;
mod snapshot_name;
pub mod storage_class;
mod stream_label;
pub mod url_secrets;
pub mod vault;
pub mod verification;

pub use archive::{ArchiveKind, ArchiveState};
pub use btrsend_row::BtrsendRow;
pub use bucket_object::BucketObject;
pub use copy_kind::{CopyKind, UnknownCopyKind};
pub use copy_marker::{CopyMarker, NoCopyMarker};
pub use counting_contents::{NamedContents, counting_contents};
pub use digest::{Blake3, Sha256};
pub use ids::{ArchiveId, LedgerId, PlaceId, SourceName, Uuid};
pub use mirror_location::{MirrorLocation, NoMirrorLocation, SshLocation};
pub use mirror_right::{MirrorRight, NoMirrorRight};
pub use protocol::Protocol;
pub use pull_location::{NoPullLocation, PullHost, PullLocation, is_user};
pub use quoted::{Line, Quoted};
pub use segment::{ContentsRecord, SegmentRecord};
pub use signal::Signal;
pub use snapshot::SubvolumeIdentity;
pub use snapshot_name::SnapshotName;
pub use storage_class::{StorageClass, Tier, TierRefused, UnknownStorageClass, UnknownTier};
pub use stream_label::StreamLabel;
pub use vault::{TreeHash, TreeHasher, VaultArchiveId, VaultLocator, VaultPlace, VaultSegment};
pub use verification::{VerifyLevel, VerifyOutcome};
