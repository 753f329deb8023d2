//! The job: everything that the steps of one attempt share.

use crate::engine::context::session::Session;
use crate::seal::Recipients;

/// Everything that the steps of one attempt share.
pub(in crate::engine) struct Job<'a> {
    pub(in crate::engine) session: &'a Session<'a>,
    pub(in crate::engine) recipients: &'a Recipients,
    /// The expected length of the stream, in raw bytes.
    pub(in crate::engine) expected: Option<u64>,
    pub(in crate::engine) origin: OriginFacts,
    /// Whether another archive can be made in its place, should its stream be one that can't be restored.
    pub(in crate::engine) can_fall_back: bool,
    /// Why the archive is made.
    pub(in crate::engine) reason: String,
}

/// Facts about the sending machine; `None` where they are unknown.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct OriginFacts {
    pub(in crate::engine) kernel: Option<String>,
    pub(in crate::engine) btrfs_progs: Option<String>,
    pub(in crate::engine) host: Option<String>,
    pub(in crate::engine) subvolume: Option<String>,
    pub(in crate::engine) snapshot: Option<String>,
}
