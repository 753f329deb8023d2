//! What changed between two versions of a text.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use super::entry::OpenTree;
use crate::error::Error;

/// The longest text that is compared line by line, in bytes.
const LONGEST: u64 = 4 << 20;

/// After this time the difference is no longer looked for in detail.
const AT_MOST: Duration = Duration::from_secs(2);

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// What changed in the content of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentDifference {
    /// The changed lines, as a unified diff.
    Text(String),
    /// One of the versions is no text.
    Binary,
    /// One of the versions is too long for a comparison by lines.
    TooLong,
}

/// Compares two versions of a regular file line by line.
pub(super) fn content_difference(
    below: &Path,
    old: &OpenTree,
    new: &OpenTree,
) -> Result<ContentDifference, Error> {
    let (Some(one), Some(other)) = (content(below, old)?, content(below, new)?) else {
        return Ok(ContentDifference::TooLong);
    };
    let (Some(one), Some(other)) = (text(one), text(other)) else {
        return Ok(ContentDifference::Binary);
    };
    let header = |tree: &OpenTree| tree.join(below).display().to_string();
    let diff = TextDiff::configure()
        .timeout(AT_MOST)
        .diff_lines(&one, &other);
    let unified = diff
        .unified_diff()
        .context_radius(CONTEXT)
        .header(
            &header(old).escape_debug().to_string(),
            &header(new).escape_debug().to_string(),
        )
        .to_string();
    Ok(ContentDifference::Text(unified))
}

fn content(below: &Path, tree: &OpenTree) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    let read = tree.read(below)?.take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::file("read", tree.join(below), error))?;
    Ok((bytes.len() as u64 <= LONGEST).then_some(bytes))
}

fn text(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}
