//! `coldchain doctor`: test every store, look at every mirror, and report what is wrong.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::list::copies::{in_words as copy_in_words, moved_in_words};
use super::load;
use super::output::{answer, answer_json, count};
use super::plan::standing_warnings;
use crate::cli::Everywhere;
use crate::config::{Config, Source};
use crate::engine::{
    Asking, Clock, MirrorReport, NOT_IN_KIT, RunContext, StateDir, StoreReport, SystemClock,
    copies_not_in_kit, doctor, doubtful_archives, examine_mirrors, is_in_kit, known_copies,
    leftovers_of_all, moved_away, require_known_archives, secrets_in_reach,
};
use crate::error::{Error, in_words as error_in_words};
use crate::model::Line;
use crate::plan::SendParentSnapshot;
use crate::printing::warn;
use crate::progress::{Observer, Quiet, Verbose};
use crate::store::{ErrorKind, Finding, Severity};

pub(super) fn run(everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let observer: Box<dyn Observer> = if everywhere.verbose {
        Box::new(Verbose)
    } else {
        Box::new(Quiet)
    };
    let context = RunContext::real(observer.as_ref());
    let stores = doctor(&config, &context);
    let mirrors = examine_mirrors(&config, context)?;
    let reports = sections(&stores, &mirrors);
    let warnings: Vec<String> = [
        standing_warnings(&config),
        warnings_of_secrets(&config),
        warnings_of_kits(&config),
        warnings_of_copies(&config),
        warnings_of_archives(&config),
        warnings_of_inexact(&config),
        warnings_of_leftovers(&config),
        warnings_of_hooks(&config),
    ]
    .concat();
    if everywhere.json {
        answer_json(&to_json(&stores, &mirrors, &warnings))?;
    } else {
        answer(&in_words(&reports))?;
        if !everywhere.quiet {
            warnings.iter().for_each(warn);
        }
    }
    let sources: Vec<&Source> = config.archived().map(|(source, _)| source).collect();
    match require_known_archives(&config, &sources, Asking::Everywhere) {
        // The findings already have this error.
        Err(Error::Store(_)) => {}
        known => known?,
    }
    match number(&reports, Severity::Failure) {
        0 => Ok(()),
        failures if is_without_end(&reports) => Err(Error::Untrustworthy(failures)),
        failures => Err(Error::Unfit(failures)),
    }
}

/// The findings about one store or mirror.
struct ReportSection<'a> {
    title: String,
    is_mirror: bool,
    findings: &'a [Finding],
}

fn sections<'a>(stores: &'a [StoreReport], mirrors: &'a [MirrorReport]) -> Vec<ReportSection<'a>> {
    let of_store = |report: &'a StoreReport| ReportSection {
        title: format!("{}: {}", report.name, Line(&report.url)),
        is_mirror: false,
        findings: &report.findings,
    };
    let of_mirror = |report: &'a MirrorReport| ReportSection {
        title: format!("{}: mirror {}", report.name, report.to),
        is_mirror: true,
        findings: &report.findings,
    };
    let stores = stores.iter().map(of_store);
    stores.chain(mirrors.iter().map(of_mirror)).collect()
}

/// Returns warnings about secrets that open the archives and are on this machine.
pub(super) fn warnings_of_secrets(config: &Config) -> Vec<String> {
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

/// Returns whether a store sent an endless answer.
fn is_without_end(reports: &[ReportSection<'_>]) -> bool {
    let mut findings = reports.iter().flat_map(|report| report.findings);
    findings.any(|finding| finding.failed.is_some_and(ErrorKind::is_without_end))
}

fn number(reports: &[ReportSection<'_>], verdict: Severity) -> usize {
    let findings = reports.iter().flat_map(|report| report.findings);
    findings
        .filter(|finding| finding.verdict == verdict)
        .count()
}

fn to_json(stores: &[StoreReport], mirrors: &[MirrorReport], warnings: &[String]) -> Value {
    let stores: Vec<Value> = stores
        .iter()
        .map(|report| {
            let findings = findings_json(&report.findings);
            json!({"name": report.name, "url": report.url, "findings": findings})
        })
        .collect();
    let mirrors: Vec<Value> = mirrors
        .iter()
        .map(|report| {
            let findings = findings_json(&report.findings);
            json!({"source": report.name, "to": report.to, "findings": findings})
        })
        .collect();
    json!({ "stores": stores, "mirrors": mirrors, "warnings": warnings })
}

fn findings_json(findings: &[Finding]) -> Vec<Value> {
    let word = |verdict| match verdict {
        Severity::Fine => "fine",
        Severity::Unknown => "unknown",
        Severity::Warning => "warning",
        Severity::Failure => "failure",
    };
    let one = |finding: &Finding| {
        json!({
            "subject": finding.subject, "verdict": word(finding.verdict), "text": finding.text,
        })
    };
    findings.iter().map(one).collect()
}

fn in_words(reports: &[ReportSection<'_>]) -> String {
    if reports.is_empty() {
        return "no store to test: no source has one\n".to_owned();
    }
    let mark = |verdict| match verdict {
        Severity::Fine => "ok",
        Severity::Unknown => "?",
        Severity::Warning => "warn",
        Severity::Failure => "FAIL",
    };
    let subjects = reports.iter().flat_map(|report| report.findings);
    let width = subjects.map(|finding| finding.subject.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for report in reports {
        let _ = writeln!(text, "{}", report.title);
        for finding in report.findings {
            let (mark, subject) = (mark(finding.verdict), finding.subject);
            let _ = writeln!(
                text,
                "  {mark:4}  {subject:width$}  {}",
                Line(&finding.text)
            );
        }
    }
    let number = |verdict| number(reports, verdict);
    let is_mirror = |report: &&ReportSection<'_>| report.is_mirror;
    let mirrors = reports.iter().filter(is_mirror).count() as u64;
    let stores = reports.len() as u64 - mirrors;
    let what = match (stores, mirrors) {
        (stores, 0) => count(stores, "store"),
        (0, mirrors) => count(mirrors, "mirror"),
        _ => format!("{}, {}", count(stores, "store"), count(mirrors, "mirror")),
    };
    let _ = writeln!(
        text,
        "{}: {} fine, {} unknown, {} warned of, {} failed",
        what,
        number(Severity::Fine),
        number(Severity::Unknown),
        number(Severity::Warning),
        number(Severity::Failure),
    );
    text
}
