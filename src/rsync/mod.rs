//! The edge to the system's rsync: what it is asked to do, what it counts, and how it ends.
//!
//! It runs as root on what another machine sends. The engine confines it; here its output is bounded, and its figures
//! are the last ones that it prints, because the other side may print lines of its own before.

mod ending;
mod error;
mod figures;
mod program;
mod request;
mod version;

pub use ending::RsyncEnding;
pub use error::RsyncError;
pub use figures::RsyncFigures;
pub use program::Rsync;
pub use request::RsyncRequest;
pub use version::RsyncVersion;
