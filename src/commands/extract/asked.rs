//! What is extracted, and how.

use std::path::Path;

use crate::cli::Thawing;
use crate::engine::Extraction;
use crate::plan::RestorePlan;
use crate::store::RateLimit;

/// How to extract, by the command line.
pub(in crate::commands) struct ExtractManner<'a> {
    /// The directory that gets the files; none if it is only planned.
    pub(in crate::commands) to: Option<&'a Path>,
    pub(in crate::commands) devices: bool,
    pub(in crate::commands) limit: Option<&'a RateLimit>,
    pub(in crate::commands) parallel: Option<u8>,
    pub(in crate::commands) thawing: &'a Thawing,
    pub(in crate::commands) place: Option<&'a str>,
    pub(in crate::commands) identity: Option<&'a Path>,
    pub(in crate::commands) yes: bool,
}

/// What is extracted, of which archive.
pub(in crate::commands) struct PlannedExtraction {
    pub(in crate::commands) plan: RestorePlan,
    pub(in crate::commands) extraction: Extraction,
}
