//! What is taken over.

use crate::model::{MirrorLocation, SourceName};
use crate::plan::KeepSnapshots;

/// What is taken over from another tool's config, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// The sources, with unique names.
    pub sources: Vec<TakenSource>,
    /// What has no counterpart here, a sentence each.
    pub left: Vec<String>,
    /// What the user should look at, a sentence each.
    pub warnings: Vec<String>,
}

/// A source that another tool took snapshots of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenSource {
    /// Unique.
    pub name: SourceName,
    /// Its path, absolute.
    pub subvolume: String,
    /// A directory that no other source and no other tool uses, absolute.
    pub snapshots: String,
    /// Keeps no less than the other tool did.
    pub keep: KeepSnapshots,
    /// Comments above the block.
    pub remarks: Vec<String>,
    /// Comments above `keep`: what the other tool's config says.
    pub keep_remarks: Vec<String>,
    /// Who else gets its snapshots.
    pub mirrors: Vec<TakenMirror>,
}

/// A place that another tool sent snapshots to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMirror {
    /// Where it is.
    pub to: MirrorLocation,
    /// Keeps no less than the other tool did: a number or terms.
    pub keep: KeepSnapshots,
    /// Comments above `keep`.
    pub keep_remarks: Vec<String>,
    /// The key that ssh logs in with, absolute.
    pub identity_file: Option<String>,
    /// What starts coldchain there, if that takes more than its name.
    pub command: Option<[&'static str; 3]>,
}
