//! Checks of the config file and of what it names.

use std::os::unix::fs::MetadataExt as _;

use super::local_check::{LocalCheck, SectionChecks};
use super::outputs;
use crate::config::Config;
use crate::error::Error;
use crate::model::shell;
use crate::owned;
use crate::store::Severity;

pub(super) fn checks(config: &Config) -> Vec<LocalCheck> {
    let mut checks = SectionChecks::of("config");
    file(config, &mut checks);
    match owned::require_way(&config.path) {
        Ok(()) => checks.fine("directories", "only you and root can replace the file"),
        Err(untrusted) => checks.error("directories", Severity::Failure, &untrusted.into()),
    }
    for (hook, command) in &config.hooks.commands {
        let subject = format!("hook {hook}");
        match command.judge(*hook) {
            Ok(()) => checks.fine(&subject, command.program.display().to_string()),
            Err(error) => checks.error(&subject, Severity::Failure, &Error::Hook(error)),
        }
    }
    outputs::metrics(config, &mut checks);
    outputs::activity_log(config, &mut checks);
    checks.checks()
}

/// Its owner was judged when it was read, so only its readers are left to judge.
fn file(config: &Config, checks: &mut SectionChecks) {
    const SUBJECT: &str = "file";
    let path = &config.path;
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) => {
            return checks.error(
                SUBJECT,
                Severity::Warning,
                &Error::file("look at", path, error),
            );
        }
    };
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let text = format!("{}, owner {owner}, mode {mode:04o}", path.display());
    let notify = &config.notify;
    let has_secrets = !notify.pings.is_empty() || notify.webhook.is_some();
    if has_secrets && mode & 0o004 != 0 {
        checks.warning(
            SUBJECT,
            format!("{text}: all users can read the URLs in [notify], which are secrets"),
            format!("run `chmod o-r {}`", shell::path(path)),
        );
    } else {
        checks.fine(SUBJECT, text);
    }
}
