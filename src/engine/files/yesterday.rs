//! The newest version of a file at or before a moment.

use chrono::{DateTime, Utc};

use super::entry::OpenTree;
use super::locate::LocatedFile;
use super::plain_copies::{PlainCopies, PlainCopy};
use crate::config::Config;
use crate::error::{Error, FilesError};

/// Returns the newest copy that has the file, of those that were taken at that moment or before.
pub fn newest_at<'c>(
    config: &Config,
    file: &LocatedFile<'_>,
    copies: &'c PlainCopies,
    moment: DateTime<Utc>,
) -> Result<&'c PlainCopy, Error> {
    let before = copies
        .copies
        .iter()
        .rev()
        .filter(|copy| copy.taken_at <= moment);
    if let Some(copy) = newest_with(file, before)? {
        return Ok(copy);
    }
    if let Some(nested) = file.nested_in() {
        let source_name = file.source.name.clone();
        return Err(FilesError::Nested {
            source_name,
            nested,
        }
        .into());
    }
    let moment = moment.with_timezone(&config.timezone);
    Err(FilesError::NoneSoOld {
        file: file.as_argument().into(),
        before: moment.format("%Y-%m-%d %H:%M").to_string(),
    }
    .into())
}

/// Returns the first of these copies that has the file.
pub(super) fn newest_with<'c>(
    file: &LocatedFile<'_>,
    copies: impl Iterator<Item = &'c PlainCopy>,
) -> Result<Option<&'c PlainCopy>, Error> {
    for copy in copies {
        if let Some(tree) = open(copy)?
            && tree.entry(&file.below)?.is_some()
        {
            return Ok(Some(copy));
        }
    }
    Ok(None)
}

/// Opens a copy; `None` if it was deleted since it was listed.
pub(super) fn open(copy: &PlainCopy) -> Result<Option<OpenTree>, Error> {
    match OpenTree::open(&copy.path) {
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        opened => opened.map(Some),
    }
}
