//! Checks of the programs that the config needs.

use super::local_check::SectionChecks;
use crate::btrfs::{Tools, needs};
use crate::catalog::{Catalog, ImportedArchiveRow, ImportedState};
use crate::config::Config;
use crate::engine::import::known::{KnownImport, known_imports};
use crate::error::{Error, ImportError};
use crate::gpg::Gpg;
use crate::model::{Protocol, shell};
use crate::notify::sendmail;
use crate::process::{find_program, is_program};
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
        let shown = program.display();
        if is_program(program) {
            checks.fine("sendmail", shown.to_string());
        } else if program.exists() {
            checks.warning(
                "sendmail",
                format!("{shown} is no program that can be run, so no mail can be sent"),
                format!(
                    "run `chmod +x {}`, or set `sendmail` in [notify]",
                    shell::path(program)
                ),
            );
        } else {
            checks.warning(
                "sendmail",
                format!("{shown} is missing, so no mail can be sent"),
                "install a program that brings it, or set `sendmail` in [notify]",
            );
        }
    }
}

/// Looks at gpg, without which no imported archive can be restored. It does not look at keyrings: the user names one at the
/// restore.
pub(super) fn gpg(catalog: &Catalog, checks: &mut SectionChecks) {
    // Errors of the catalog are a check of the state directory.
    let imports = known_imports(catalog).unwrap_or_default();
    let is_there = |archive: &ImportedArchiveRow| archive.state != ImportedState::Deleted;
    let needs_it = |import: &&KnownImport| import.archives.iter().any(is_there);
    let Some(import) = imports.iter().find(needs_it) else {
        return;
    };
    match Gpg::find(None).and_then(|gpg| Ok((gpg.version()?, gpg))) {
        Ok((version, gpg)) => {
            let program = gpg.program().display();
            let name = &import.row.name;
            checks.fine(
                "gpg",
                format!("{version}, {program}; a restore of `{name}` needs it"),
            );
        }
        Err(error) => {
            let error = ImportError::NoGpg(Box::new(error)).into();
            checks.error("gpg", Severity::Warning, &error);
        }
    }
}
