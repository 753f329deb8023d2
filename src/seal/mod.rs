//! Raw bytes into sealed segments and back: frames, zstd, age. No other module uses zstd or age.
//!
//! ```text
//! frames ─▶ workers (zstd, in parallel) ─▶ assembler (age, SHA-256) ─▶ SealedSegment ─▶ self check
//! bytes  ◀─ SegmentReader (age, zstd, exact length)                 ◀─ sealed segment
//! ```
//!
//! Each archive has its own [`ArchiveKey`]. Segments and private facts are sealed to it alone, and
//! its secret is sealed to the configured [`Recipients`]; one of their [`Identities`] unseals it.
//!
//! A [`Sealer`] that is dropped without [`Sealer::finish`] is an abort, never an end: its channel
//! closes without [`Sealed::Finished`].

mod abort;
mod advice;
mod archive_key;
mod armor;
mod assembler;
mod auto_level;
mod compression;
mod contents_sealer;
mod error;
mod frames;
mod identity;
mod identity_file;
mod layout;
mod layout_reader;
mod opener;
mod options;
mod pool;
mod recipients;
mod sealed;
mod sealed_budget;
mod sealer;
mod seek_table;
mod segment_frames;
mod segment_writer;
mod self_check;
#[cfg(test)]
mod test_data;
#[cfg(test)]
mod tests;

pub use archive_key::ArchiveKey;
pub use auto_level::AutoLevel;
pub use contents_sealer::ContentsSealer;
pub use error::{RecipientFault, SealError};
pub use identity::{Identities, generate_identity};
pub use identity_file::{IdentityFile, Wrapping};
pub use layout::{FrameLayout, SegmentLayout, digest_of_frames};
pub use layout_reader::LayoutReader;
pub use opener::{SegmentReader, open_owned_segment, open_segment};
pub use options::SealOptions;
pub use recipients::Recipients;
pub use sealed::{Sealed, SealedSegment, SealedTotals};
pub use sealed_budget::Held;
pub use sealer::Sealer;
pub use segment_frames::{SegmentFrameReader, SegmentFrames, SegmentLengths};
pub use self_check::SelfCheck;
