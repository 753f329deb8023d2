//! What an attempt at an archive is carried out with.

use crate::engine::context::session::Session;
use crate::seal::Recipients;

/// What an attempt is carried out with.
pub(in crate::engine) struct Job<'a> {
    pub(in crate::engine) session: &'a Session<'a>,
    pub(in crate::engine) recipients: &'a Recipients,
    /// Raw bytes that it will probably have.
    pub(in crate::engine) expected: Option<u64>,
    pub(in crate::engine) origin: OriginFacts,
    /// Why the archive is made.
    pub(in crate::engine) reason: String,
}

/// What is known of the machine that sends.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct OriginFacts {
    pub(in crate::engine) kernel: Option<String>,
    pub(in crate::engine) btrfs_progs: Option<String>,
    pub(in crate::engine) host: Option<String>,
    pub(in crate::engine) subvolume: Option<String>,
    pub(in crate::engine) snapshot: Option<String>,
}
