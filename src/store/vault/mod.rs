//! A legacy Glacier vault: segments are archives in it, and everything else is in another store.

mod client;
mod settings;

pub use client::{
    JobRequest, JobState, OutputRequest, OutputSink, StartedJob, VaultClient, VaultDescription,
    VaultJob, VaultJobKind, VaultLockState, VaultPolicies,
};
pub use settings::VaultSettings;
