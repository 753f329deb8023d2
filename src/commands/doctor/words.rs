//! The report as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::Doctor;
use crate::commands::output::count;
use crate::engine::{LocalCheck, MirrorReport, StoreReport};
use crate::model::Line;
use crate::store::{ErrorKind, Finding, Severity};

/// The findings about one store or mirror.
pub(super) struct ReportSection<'a> {
    title: String,
    is_mirror: bool,
    findings: &'a [Finding],
}

pub(super) fn sections<'a>(
    stores: &'a [StoreReport],
    mirrors: &'a [MirrorReport],
) -> Vec<ReportSection<'a>> {
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

fn mark(verdict: Severity) -> &'static str {
    match verdict {
        Severity::Fine => "ok",
        Severity::Unknown => "?",
        Severity::Warning => "warn",
        Severity::Failure => "FAIL",
    }
}

fn word(verdict: Severity) -> &'static str {
    match verdict {
        Severity::Fine => "fine",
        Severity::Unknown => "unknown",
        Severity::Warning => "warning",
        Severity::Failure => "failure",
    }
}

/// Returns the lines about this machine. If `quiet`, only those of what is wrong.
pub(super) fn of_checks(checks: &[LocalCheck], quiet: bool) -> String {
    let is_shown = |check: &&LocalCheck| !quiet || check.verdict >= Severity::Warning;
    let shown = || checks.iter().filter(is_shown);
    let width = shown().map(|check| check.subject.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    let mut section = "";
    for check in shown() {
        if check.section != section {
            section = &check.section;
            let _ = writeln!(text, "{section}");
        }
        let (mark, subject, found) = (mark(check.verdict), &check.subject, Line(&check.text));
        let _ = write!(text, "  {mark:4}  {subject:width$}  {found}");
        // A text may say it itself.
        let mend = check.mend.as_ref().filter(|it| !check.text.contains(*it));
        let _ = match mend {
            Some(mend) => writeln!(text, "; {}", Line(mend)),
            None => writeln!(text),
        };
    }
    if !quiet {
        let number = |verdict| checks.iter().filter(|it| it.verdict == verdict).count();
        let _ = writeln!(text, "{}", totals("here", number));
    }
    text
}

/// Returns how many were found, by verdict.
fn totals(of: &str, number: impl Fn(Severity) -> usize) -> String {
    format!(
        "{of}: {} fine, {} unknown, {} warned of, {} failed",
        number(Severity::Fine),
        number(Severity::Unknown),
        number(Severity::Warning),
        number(Severity::Failure),
    )
}

/// Returns whether a store sent an endless answer.
pub(super) fn is_without_end(reports: &[ReportSection<'_>]) -> bool {
    let mut findings = reports.iter().flat_map(|report| report.findings);
    findings.any(|finding| finding.failed.is_some_and(ErrorKind::is_without_end))
}

pub(super) fn number(reports: &[ReportSection<'_>], verdict: Severity) -> usize {
    let findings = reports.iter().flat_map(|report| report.findings);
    findings
        .filter(|finding| finding.verdict == verdict)
        .count()
}

pub(super) fn to_json(
    checks: &[LocalCheck],
    (stores, mirrors): (&[StoreReport], &[MirrorReport]),
    warnings: &[String],
    fixed: Option<&[String]>,
) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "section": check.section, "subject": check.subject, "verdict": word(check.verdict),
                "text": check.text, "mend": check.mend,
            })
        })
        .collect();
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
    let mut document =
        json!({"checks": checks, "stores": stores, "mirrors": mirrors, "warnings": warnings});
    if let Some(fixed) = fixed {
        document["fixed"] = json!(fixed);
    }
    document
}

fn findings_json(findings: &[Finding]) -> Vec<Value> {
    let one = |finding: &Finding| {
        json!({
            "subject": finding.subject, "verdict": word(finding.verdict), "text": finding.text,
        })
    };
    findings.iter().map(one).collect()
}

/// Returns the lines about stores and mirrors.
pub(super) fn of_stores(args: &Doctor, reports: &[ReportSection<'_>], quiet: bool) -> String {
    if reports.is_empty() {
        return match args.offline {
            true if quiet => String::new(),
            true => "offline: no store was asked, and no mirror on another machine\n".to_owned(),
            false => "no store to test: no source has one\n".to_owned(),
        };
    }
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
    let _ = writeln!(text, "{}", totals(&what, number));
    text
}
