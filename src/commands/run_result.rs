//! What the results of several sources come to.

use crate::cli::Everywhere;
use crate::config::Source;
use crate::error::Error;
use crate::printing;

/// One failed source ends with its own error; several with one that counts them, or with the signal
/// that stopped them.
pub(super) fn run_result(
    mut errors: Vec<(&Source, Error)>,
    of: usize,
    everywhere: &Everywhere,
    mut stopped: Result<(), Error>,
) -> Result<(), Error> {
    if of <= 1 {
        return errors.pop().map_or(stopped, |(_, error)| Err(error));
    }
    // It comes last, if at all, and is not that source's own fault.
    if let Some((_, Error::Interrupted(_))) = errors.last() {
        stopped = errors.pop().map_or(stopped, |(_, error)| Err(error));
    }
    if errors.is_empty() {
        return stopped;
    }
    if !everywhere.json {
        for (source, error) in &errors {
            printing::failure(&source.name, error);
        }
    }
    stopped?;
    Err(Error::SomeSources {
        failed: errors.len(),
        of,
    })
}
