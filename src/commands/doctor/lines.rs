//! The lines about this machine: what the engine checks, and each warning in the section that it belongs to.

use super::warnings;
use crate::config::Config;
use crate::engine::{LocalCheck, RunContext, local_checks};
use crate::store::Severity;

/// The section of the config.
pub(super) const CONFIG: &str = "config";

/// What warnings say that have a check of their own.
const CHECKED: [&str; 2] = ["there is one recipient:", "no recovery kit names"];

/// Returns all lines, those of a section together. `warnings` are those of [`warnings::all`].
pub(super) fn gather(
    config: &Config,
    context: RunContext<'_>,
    warnings: &[(&'static str, Vec<String>)],
) -> Vec<LocalCheck> {
    let mut checks = local_checks(config, context);
    let without_check = warnings
        .iter()
        .filter(|(subject, _)| *subject != warnings::CHECKED);
    for (subject, warnings) in without_check {
        for warning in warnings {
            if CHECKED.iter().any(|said| warning.contains(said)) {
                continue;
            }
            let check = line(config, subject, warning);
            let last = checks.iter().rposition(|it| it.section == check.section);
            checks.insert(last.map_or(checks.len(), |last| last + 1), check);
        }
    }
    checks
}

/// Returns the line of a warning. One about a source begins with its name.
fn line(config: &Config, subject: &str, warning: &str) -> LocalCheck {
    let of_source = warning.split_once(": ").filter(|(name, _)| {
        let mut sources = config.sources.iter();
        sources.any(|source| source.is_in_file() && source.name.as_str() == *name)
    });
    let (section, text) = match of_source {
        Some((name, text)) => (format!("source {name}"), text),
        None => (CONFIG.to_owned(), warning),
    };
    LocalCheck {
        section,
        subject: subject.to_owned(),
        verdict: Severity::Warning,
        text: text.to_owned(),
        mend: command_in(text),
    }
}

/// Returns what a text says to run.
fn command_in(text: &str) -> Option<String> {
    const RUN: &str = "run `";
    let (_, rest) = text.split_once(RUN)?;
    let (command, _) = rest.split_once('`')?;
    Some(format!("{RUN}{command}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_found_in_a_text() {
        let text = "its copy was never made: run `coldchain copy home --to b`";
        let command = command_in(text);
        assert_eq!(command.as_deref(), Some("run `coldchain copy home --to b`"));
        assert_eq!(command_in("run it again"), None);
    }
}
