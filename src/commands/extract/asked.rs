//! What is extracted, and how.

use std::path::Path;

use rustix::fs::FileType;

use crate::cli::Thawing;
use crate::engine::Extraction;
use crate::error::{Error, RequestError};
use crate::model::file_node::ObjectId;
use crate::plan::RestorePlan;
use crate::store::RateLimit;

/// How to extract, by the command line.
pub(in crate::commands) struct ExtractManner<'a> {
    /// The directory that gets the files; none if it is only planned.
    pub(in crate::commands) to: Option<&'a Path>,
    /// Whether the public tools' way is printed instead.
    pub(in crate::commands) explains: bool,
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

impl PlannedExtraction {
    /// Returns the one regular file that is extracted. Fails, with the option that needs it so, if it is anything else.
    pub(super) fn one_file(&self, option: &str) -> Result<ObjectId, Error> {
        let extraction = &self.extraction;
        let entries = extraction.selection.entries.iter();
        let mut wanted = entries.filter(|entry| !entry.is_on_the_way);
        let only = match (wanted.next(), wanted.next()) {
            (Some(entry), None) => Some((entry, extraction.chain.tree.kind_of(entry.object)?)),
            _ => None,
        };
        match only {
            Some((entry, FileType::RegularFile)) => Ok(entry.object),
            _ => Err(RequestError::CommandLine(format!(
                "`{option}` is for one regular file; give a directory for anything else"
            ))
            .into()),
        }
    }
}
