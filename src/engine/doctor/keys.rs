//! Checks of recipients, identities, signing keys and the recovery kit.

use std::io::ErrorKind;

use super::local_check::{LocalCheck, SectionChecks};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::engine::context::kit_file::{copies_not_in_kit, is_in_kit};
use crate::engine::context::state_dir::StateDir;
use crate::engine::keys::exposed_secrets::secrets_in_reach;
use crate::model::Line;
use crate::store::Severity;

pub(super) fn checks(
    config: &Config,
    state_dir: &StateDir,
    catalog: Option<&Catalog>,
) -> Vec<LocalCheck> {
    let mut checks = SectionChecks::of("keys");
    let is_archived = config.archived().next().is_some();
    match config.recipients.len() {
        _ if !is_archived => {}
        0 => checks.warning(
            "recipients",
            "there is none, so nothing can be archived",
            "run `coldchain init`, or set `recipients` in [encryption]",
        ),
        1 => checks.warning(
            "recipients",
            "there is one: if its identity is lost, so is every archive",
            "add a spare to `recipients` in [encryption], then run `coldchain key add-recipient`",
        ),
        number => checks.fine(
            "recipients",
            format!("{number}, each opens every new archive"),
        ),
    }
    let is_closed = std::fs::read_dir(state_dir.path())
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if is_closed {
        let text = format!(
            "only root and the owner of {} can tell",
            state_dir.path().display()
        );
        checks.unknown("identity", &text);
        checks.unknown("signing key", &text);
        return checks.checks();
    }
    let secrets = secrets_in_reach(config);
    for path in &secrets {
        checks.warning(
            "identity",
            format!("{} holds a secret key", path.display()),
            "keep it away from this machine, and delete it here",
        );
    }
    if secrets.is_empty() {
        let text = "none lies in the state directory, beside the config or in a source";
        checks.fine("identity", text);
    }
    signing(state_dir, is_archived, &mut checks);
    kit(config, catalog, &mut checks);
    checks.checks()
}

fn signing(state_dir: &StateDir, is_archived: bool, checks: &mut SectionChecks) {
    const SUBJECT: &str = "signing key";
    if state_dir.has_keys() {
        match state_dir.keys() {
            Ok(_) => checks.fine(
                SUBJECT,
                "it is there, with the root key that it is granted by",
            ),
            Err(error) => checks.error(SUBJECT, Severity::Failure, &error),
        }
    } else if is_archived {
        let mend = "run `coldchain init`";
        checks.warning(SUBJECT, "there is none, so no archive can be signed", mend);
    }
}

/// Looks whether a kit was made or brought up to date since each ledger and each copy came.
fn kit(config: &Config, catalog: Option<&Catalog>, checks: &mut SectionChecks) {
    const SUBJECT: &str = "kit";
    const MEND: &str = "run `coldchain key kit`";
    let Some(catalog) = catalog else { return };
    let rows = config
        .archived()
        .filter_map(|(source, _)| catalog.source(&source.name).ok()?);
    let (mut known, mut unnamed, mut copies) = (0_u64, Vec::new(), Vec::new());
    for row in rows {
        known += 1;
        if !is_in_kit(&row, catalog).unwrap_or(true) {
            unnamed.push(row.name.to_string());
        }
        for url in copies_not_in_kit(&row, catalog).unwrap_or_default() {
            copies.push(format!("{} in {}", row.name, Line(&url)));
        }
    }
    let is_whole = unnamed.is_empty() && copies.is_empty();
    for (what, lacking) in [("ledgers", unnamed), ("copies", copies)] {
        if !lacking.is_empty() {
            let text = format!(
                "no recovery kit names these {what}, so a restore on an empty machine would not find them: {}",
                first_of(&lacking)
            );
            checks.warning(SUBJECT, text, MEND);
        }
    }
    match known {
        _ if !is_whole => {}
        0 => checks.fine(
            SUBJECT,
            "nothing is archived yet that it would have to name",
        ),
        _ => checks.fine(SUBJECT, "one names every ledger and every copy"),
    }
}

/// Returns the first few names, and how many more there are.
fn first_of(names: &[String]) -> String {
    const NAMED: usize = 5;
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
