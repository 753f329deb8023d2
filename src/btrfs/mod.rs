//! The edge to btrfs: snapshots, `btrfs send` and `btrfs receive`, and the guard between.
//!
//! Facts that must be right byte for byte come from the kernel, or are parsed here. Operations are left to
//! the `btrfs` program, which operators audit and which gets the kernel's fixes.

mod advice;
mod attribute_limit;
mod confinement;
mod deduplicated;
mod deletion_error;
mod encoded;
mod error;
mod file_totals;
mod find_obstacle;
mod fitness;
mod held;
mod identity;
mod kernel_send;
mod lost_ends;
mod neighbours;
mod obstacle;
mod parallel;
mod quota;
mod receive;
mod scratch;
mod send;
pub mod snapshots;
mod space;
pub mod stream;
mod swap;
mod sys;
mod tools;
mod undeletable;
mod version;
mod visible;
mod walk;

pub use attribute_limit::AttributeLimit;
pub use confinement::Confinement;
pub use deduplicated::is_only_deduplicated;
pub use encoded::{UnpackError, is_known_compression, unpack};
pub use error::BtrfsError;
pub use file_totals::FileTotals;
pub use held::{HeldDirectory, MadeAs, ReadOnly, is_component};
pub use identity::{filesystem_id, find, identity, require_btrfs, sync};
pub use kernel_send::send_from_kernel;
pub use lost_ends::lost_ends;
pub use obstacle::Obstacle;
pub use quota::{QuotaSizes, quota_sizes};
pub use receive::Receiver;
pub use scratch::{Geometry, Scratch};
pub use send::{SendRequest, Sender, SentBy, estimate};
pub use space::{MetadataSpace, Space};
pub use stream::{
    Attribute, Command, CompressedData, ContentsCommand, ContentsError, ContentsReader,
    EditedStream, Expect, ExpectParent, Fifo, FileData, FileTime, Guard, GuardError, HandedDown,
    Holds, RECEIVED_NAME, ReceiveEdit, StreamHead, StreamSummary, Zeros, root_utimes,
};
pub use swap::active_swapfiles;
pub use tools::{Tools, kernel_release, needs, require_root};
pub use undeletable::Undeletable;
pub use version::Version;
pub use visible::{VisibleSubvolume, visible_subvolumes};
