//! Combines the results of several sources.

use super::run_report;
use crate::cli::Everywhere;
use crate::error::Error;
use crate::model::SourceName;
use crate::printing;

/// Returns the result of a command. For one source, this is its own error. For several, this is an error that
/// counts the failed ones, or the signal that stopped them.
pub(super) fn run_result<N: AsRef<SourceName>>(
    mut errors: Vec<(N, Error)>,
    of: usize,
    everywhere: &Everywhere,
    mut stopped: Result<(), Error>,
) -> Result<(), Error> {
    for (source, error) in &errors {
        run_report::source_failed(source.as_ref(), error);
    }
    if of <= 1 {
        return errors.pop().map_or(stopped, |(_, error)| Err(error));
    }
    // An interrupt can only come last, and is not an error of that source.
    if let Some((_, Error::Interrupted(_))) = errors.last() {
        stopped = errors.pop().map_or(stopped, |(_, error)| Err(error));
    }
    if errors.is_empty() {
        return stopped;
    }
    if !everywhere.json {
        for (source, error) in &errors {
            printing::failure(source.as_ref(), error);
        }
    }
    stopped?;
    Err(Error::SomeSources {
        failed: errors.len(),
        of,
    })
}
