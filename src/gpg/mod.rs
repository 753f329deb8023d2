//! The edge to GnuPG, and to gzip within it: how an older tool's archives become a send stream again.
//!
//! gpg prints text before it knows whether the message is whole, and some of its failures are no more than a word on its
//! status descriptor. So what it prints counts only after its end, and only if its status names one message that was
//! decrypted and whose integrity was checked.

mod decrypting;
mod error;
mod gunzip;
mod program;
mod status;

pub use decrypting::Decrypting;
pub use error::{GpgError, GzipError};
pub use gunzip::Gunzip;
pub use program::Gpg;
pub use status::GpgFailure;
