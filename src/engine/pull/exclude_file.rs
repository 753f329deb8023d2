//! The file with patterns that the config names.

use std::io::Read as _;
use std::path::Path;

use crate::config::clears_the_list;
use crate::error::{Error, PullError};
use crate::owned::{self, OpenError};

/// The most bytes of such a file.
const LONGEST: u64 = 16 << 20;

/// Refuses a file that can't be read, that others can change, or whose patterns would no longer protect what coldchain
/// protects.
pub(super) fn require_fit(path: &Path) -> Result<(), Error> {
    let unfit = |what: String| {
        Error::from(PullError::ExcludeFile {
            path: path.to_owned(),
            what,
        })
    };
    let mut bytes = Vec::new();
    let read =
        owned::open(path).and_then(|file| Ok(file.take(LONGEST + 1).read_to_end(&mut bytes)?));
    match read {
        Ok(length) if length as u64 > LONGEST => return Err(unfit("it is too large".to_owned())),
        Ok(_) => {}
        Err(OpenError::Untrusted(untrusted)) => return Err(untrusted.into()),
        Err(OpenError::Io(error)) => return Err(unfit(error.to_string())),
    }
    let text = String::from_utf8_lossy(&bytes);
    for (number, line) in text.lines().enumerate() {
        if clears_the_list(line) {
            return Err(unfit(format!(
                "line {} clears the list of patterns, and with it those that protect subvolumes in the copy",
                number + 1
            )));
        }
    }
    Ok(())
}
