//! Warnings about the config and the catalog, on stderr and in JSON.

use std::path::PathBuf;

use crate::commands::list::copies::{in_words as copy_in_words, moved_in_words};
use crate::commands::output::count;
use crate::commands::plan::standing_warnings;
use crate::commands::units::warnings_of_units;
use crate::config::{Config, Source};
use crate::engine::{
    Clock, NOT_IN_KIT, StateDir, SystemClock, copies_not_in_kit, doubtful_archives, is_in_kit,
    known_copies, leftovers_of_all, moved_away, secrets_in_reach,
};
use crate::error::in_words as error_in_words;
use crate::model::Line;
use crate::owned;
use crate::plan::SendParentSnapshot;

/// The subject of warnings for which the engine has a check with a verdict of its own.
pub(super) const CHECKED: &str = "checked";

/// Returns all of them, one line each, by what they are about.
pub(super) fn all(config: &Config) -> Vec<(&'static str, Vec<String>)> {
    vec![
        ("setup", standing_warnings(config)),
        ("setup", warnings_of_units(config)),
        (
            "setup",
            owned::warning_of_this_program().into_iter().collect(),
        ),
        (CHECKED, warnings_of_secrets(config)),
        (CHECKED, warnings_of_kits(config)),
        ("copies", warnings_of_copies(config)),
        ("archives", warnings_of_archives(config)),
        ("archives", warnings_of_inexact(config)),
        ("leftovers", warnings_of_leftovers(config)),
        (CHECKED, warnings_of_hooks(config)),
    ]
}

/// Returns warnings about secrets that open the archives and are on this machine.
pub(in crate::commands) fn warnings_of_secrets(config: &Config) -> Vec<String> {
    let files = secrets_in_reach(config);
    let warn = |path: &PathBuf| {
        format!(
            "{} holds a secret key: keep it away from this machine, and delete it here",
            path.display()
        )
    };
    files.iter().map(warn).collect()
}

/// Returns warnings about sources whose ledgers no recovery kit is known to name. Ignores errors of the
/// catalog: other commands report them.
fn warnings_of_kits(config: &Config) -> Vec<String> {
    let Ok(catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return Vec::new();
    };
    let rows = config
        .archived()
        .filter_map(|(source, _)| catalog.source(&source.name).ok()?);
    rows.filter(|row| is_in_kit(row, &catalog).is_ok_and(|known| !known))
        .map(|row| format!("{}: {NOT_IN_KIT}", row.name))
        .collect()
}

/// Returns warnings about copies that were never made, are behind or damaged, or that no recovery kit names. Ignores
/// errors of the catalog: other commands report them.
fn warnings_of_copies(config: &Config) -> Vec<String> {
    let Ok(catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return Vec::new();
    };
    let now = SystemClock.now();
    let mut warnings = Vec::new();
    for (source, _) in config.archived() {
        let name = &source.name;
        for copy in known_copies(config, source, &catalog).unwrap_or_default() {
            let to = Line(&copy.name);
            let words = copy_in_words(&copy, now);
            let is_sound = copy.lacks.is_empty() && copy.damaged.is_empty();
            if copy.row.is_none() {
                warnings.push(format!(
                    "{name}: its copy in {to} was never made: run `coldchain copy {name} --to {to}`"
                ));
            } else if !is_sound {
                warnings.push(format!("{name}: its copy in {to} has {words}"));
            }
        }
        if let Ok(Some(moved)) = moved_away(config, source, &catalog) {
            warnings.push(format!("{name}: {}", moved_in_words(&moved)));
        }
        let row = catalog.source(name).ok().flatten();
        let unknown = row.and_then(|row| copies_not_in_kit(&row, &catalog).ok());
        for url in unknown.unwrap_or_default() {
            warnings.push(format!(
                "{name}: no recovery kit names its copy in {url}: run `coldchain key kit`"
            ));
        }
    }
    warnings
}

/// Returns warnings about archives whose streams can't be right. Only archives with existing snapshots can be
/// checked.
fn warnings_of_archives(config: &Config) -> Vec<String> {
    let Ok(catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    let archived = config.archived().map(|(source, _)| source);
    for source in archived.filter(|source| source.live.is_some()) {
        for (archive, why) in doubtful_archives(source, &catalog).unwrap_or_default() {
            let (name, date) = (&source.name, archive.date);
            let what = match why {
                SendParentSnapshot::Lossy(what) => format!("lacks {what}"),
                // This shows nothing about the archive.
                SendParentSnapshot::Incomparable(_) => continue,
                _ => "may hold wrong files: its snapshot does not descend from the one that it was sent against"
                    .to_owned(),
            };
            warnings.push(format!(
                "{name}: the archive of {date} {what}; make a full one with `coldchain backup --source {name} --full`"
            ));
        }
    }
    warnings
}

/// Returns warnings about archives that may differ from their snapshots, by source.
fn warnings_of_inexact(config: &Config) -> Vec<String> {
    let Ok(catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return Vec::new();
    };
    let of_source = |source: &Source| {
        let row = catalog.source(&source.name).ok()??;
        // Reading all of a long ledger takes far longer than this question.
        if !catalog.has_inexact(&row.ledger).ok()? {
            return None;
        }
        let links = catalog.lineage(&row.ledger).ok()?;
        let inexact = || links.iter().filter(|link| link.is_inexact);
        let newest = links.iter().map(|link| link.chain).max();
        let breaks_chain =
            !source.protocol.is_inexact() && inexact().any(|link| Some(link.chain) == newest);
        let next = if breaks_chain {
            "; the next archive is a full"
        } else {
            ""
        };
        let inexact: Vec<String> = inexact().map(|link| link.id.to_string()).collect();
        (!inexact.is_empty()).then(|| {
            format!(
                "{}: {} with compressed data: the kernel's sender loses bytes of it, so a restore may differ from \
                 what was archived{next}: {}",
                source.name,
                count(inexact.len() as u64, "archive"),
                inexact.join(", ")
            )
        })
    };
    let archived = config.archived().map(|(source, _)| source);
    archived.filter_map(of_source).collect()
}

/// Returns warnings about snapshots that were made and never named.
fn warnings_of_leftovers(config: &Config) -> Vec<String> {
    leftovers_of_all(config)
        .into_iter()
        .map(|(source, leftover)| {
            let next = if leftover.is_ours() {
                "; the next `coldchain backup` or `coldchain prune` removes it"
            } else {
                ""
            };
            format!(
                "{}: {}: {}{next}",
                source.name,
                leftover.path.display(),
                leftover.reason()
            )
        })
        .collect()
}

/// Returns warnings about hooks that can't be run.
fn warnings_of_hooks(config: &Config) -> Vec<String> {
    let commands = config.hooks.commands.iter();
    let judged = commands.filter_map(|(hook, command)| command.judge(*hook).err());
    judged
        .map(|error| {
            let hint = error
                .hint()
                .map_or(String::new(), |hint| format!("; {hint}"));
            format!("{}{hint}", error_in_words(&error))
        })
        .collect()
}
