//! Checks of the programs that the config needs.

use super::local_check::SectionChecks;
use crate::btrfs::{Tools, needs};
use crate::config::Config;
use crate::error::Error;
use crate::model::Protocol;
use crate::notify::sendmail;
use crate::process::find_program;
use crate::rsync::Rsync;
use crate::store::Severity;

const SUBJECT: &str = "btrfs-progs";

/// Looks at btrfs-progs, and returns the program if it can be used.
pub(super) fn btrfs(
    config: &Config,
    severity: Severity,
    checks: &mut SectionChecks,
) -> Option<Tools> {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(error) => {
            checks.error(SUBJECT, severity, &error.into());
            return None;
        }
    };
    let archived = config.sources.iter().filter(|it| it.store.is_some());
    let protocols = archived.map(|source| source.protocol);
    let newest = protocols.max_by_key(|protocol| needs(*protocol).0);
    let protocol = newest.unwrap_or(Protocol::V1);
    match tools.require_for(protocol) {
        Ok(()) => {
            let (needed, purpose) = needs(protocol);
            let text = format!(
                "{}, {}; {needed} or newer is needed for {purpose}",
                tools.version(),
                tools.program().display()
            );
            checks.fine(SUBJECT, text);
            Some(tools)
        }
        Err(error) => {
            checks.error(SUBJECT, severity, &error.into());
            None
        }
    }
}

/// Looks at the programs that only some configs need.
pub(super) fn others(config: &Config, checks: &mut SectionChecks) {
    let mut pulls = config.sources.iter().filter_map(|it| it.pull.as_ref());
    let uses_ssh = pulls.clone().any(|pull| pull.host().is_some())
        || config.mirrors.iter().any(|mirror| mirror.to.is_remote());
    if pulls.next().is_some() {
        match (Rsync::find(), find_program("rsync")) {
            (Ok(_), Some(path)) => checks.fine("rsync", path.display().to_string()),
            (Ok(_), None) => {}
            (Err(error), _) => checks.error("rsync", Severity::Failure, &Error::Pull(error.into())),
        }
    }
    if uses_ssh {
        match find_program("ssh") {
            Some(path) => checks.fine("ssh", path.display().to_string()),
            None => checks.failure(
                "ssh",
                "there is no program `ssh`, which a pull or a mirror on another machine needs",
                "install it, for example the package openssh-client",
            ),
        }
    }
    if config.notify.mail.is_some() {
        let program = sendmail(config.notify.sendmail.as_deref());
        if program.exists() {
            checks.fine("sendmail", program.display().to_string());
        } else {
            checks.warning(
                "sendmail",
                format!("{} is missing, so no mail can be sent", program.display()),
                "install a program that brings it, or set `sendmail` in [notify]",
            );
        }
    }
}
