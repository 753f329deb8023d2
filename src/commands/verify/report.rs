//! Reports the results of a check, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::wanted::Wanted;
use crate::commands::output::count;
use crate::engine::{RepairedObject, Repairs, Verified, VerifyReport};
use crate::error::in_words;
use crate::model::size::Bytes;
use crate::model::{Line, VerifyLevel};
use crate::plan::{Damage, LevelReport};

pub(super) fn to_json(
    verified: &Verified,
    damaged: &[Damage],
    repairs: Option<&Repairs>,
    wanted: &Wanted,
) -> Value {
    let report = &verified.report;
    let levels: Vec<Value> = report
        .levels
        .iter()
        .map(|level| {
            let not_checked: Vec<Value> = level
                .unchecked_by_reason()
                .into_iter()
                .map(|(why, objects)| json!({"objects": objects, "why": why.to_string()}))
                .collect();
            json!({
                "level": level.level.as_str(), "checked": level.checked(),
                "unchecked": level.unchecked(), "not_opened": level.hashed(),
                "damaged": level.damaged().len(), "why_unchecked": not_checked,
            })
        })
        .collect();
    let damaged: Vec<Value> = damaged
        .iter()
        .map(|damage| {
            json!({
                "archive": damage.archive, "segment": damage.segment, "key": damage.key,
                "what": damage.what,
            })
        })
        .collect();
    let last = report.levels.last();
    let mut told = json!({
        "source": report.source, "level": last.map(|level| level.level.as_str()),
        "checked": last.map_or(0, LevelReport::checked),
        "unchecked": last.map_or(0, LevelReport::unchecked),
        "damaged": damaged, "levels": levels,
        "ledger": {"valid": report.ledger.valid, "known": report.ledger.known},
        "sample": wanted.sample.map(|sample| json!({"percent": sample.percent, "seed": sample.seed})),
        "retired": report.retired, "strays": report.strays, "notes": notes(report),
    });
    if let Some((level, error)) = &verified.broken_off {
        told["broken_off"] = json!({"level": level.as_str(), "error": in_words(error)});
    }
    if let Some(repairs) = repairs {
        let repaired = repairs.repaired.iter();
        let repaired = repaired
            .map(|object| json!({"key": object.key, "from": object.from, "aside": object.aside}));
        let unrepaired = repairs.unrepaired.iter();
        let unrepaired = unrepaired.map(|object| json!({"key": object.key, "why": object.why}));
        told["repaired"] = repaired.collect();
        told["unrepaired"] = unrepaired.collect();
        if let Some(error) = &repairs.stopped {
            told["repair_stopped"] = json!(in_words(error));
        }
    }
    told
}

fn notes(report: &VerifyReport) -> Vec<&String> {
    report.ledger.notes.iter().chain(&report.notes).collect()
}

/// Returns a line for the ledger, one for each level whether done or not, and one for each note.
pub(super) fn to_text(
    verified: &Verified,
    damaged: &[Damage],
    repairs: Option<&Repairs>,
    wanted: &Wanted,
) -> String {
    let report = &verified.report;
    let name = &report.source;
    let mut text = String::new();
    let mut line = |what: &str, words: String| {
        writeln!(text, "{name}: {what:9}  {}", Line(words))
            .expect("writing to a string does not fail");
    };
    line("ledger", ledger(report));
    for level in VerifyLevel::ALL {
        let done = report.levels.iter().find(|done| done.level == level);
        let broken_off = verified.broken_off.as_ref();
        let words = match (done, broken_off) {
            (Some(done), _) => in_full(done, report, wanted),
            (None, Some((on, error))) if *on == level => {
                format!("not done: {}", in_words(error))
            }
            (None, Some((on, _))) if *on < level && wanted.has(level) => {
                format!("not done: the check stopped at {on}")
            }
            (None, _) => not_asked_for(level, report),
        };
        if !words.is_empty() {
            line(level.as_str(), words);
        }
    }
    for note in notes(report) {
        line("note", note.clone());
    }
    for stray in &report.strays {
        line("orphaned", format!("{stray}: no ledger entry names it"));
    }
    for damage in damaged {
        line("DAMAGED", format!("{}: {}", damage.key, damage.what));
    }
    if let Some(repairs) = repairs {
        for object in &repairs.repaired {
            line("repaired", repaired(object));
        }
        for object in &repairs.unrepaired {
            line("NOT FIXED", format!("{}: {}", object.key, object.why));
        }
        if let Some(error) = &repairs.stopped {
            line(
                "note",
                format!("the repair stopped early: {}", in_words(error)),
            );
        }
    }
    if damaged.is_empty() {
        line(
            "result",
            "nothing that was checked is missing or damaged".to_owned(),
        );
    }
    text
}

fn repaired(object: &RepairedObject) -> String {
    let RepairedObject { key, from, aside } = object;
    let from = match from.as_str() {
        "ledger" | "catalog" => format!("the {from}"),
        place => format!("`{place}`"),
    };
    match aside {
        Some(aside) => {
            format!("{key}: put back from {from}; the damaged bytes are kept as {aside}")
        }
        None => format!("{key}: put back from {from}"),
    }
}

fn ledger(report: &VerifyReport) -> String {
    let ledger = &report.ledger;
    let valid = format!(
        "{} checked: signatures, numbers, chain of hashes; and compared with the {} that the catalog has",
        entries(ledger.valid),
        ledger.known
    );
    match ledger.damaged.len() as u64 {
        0 => valid,
        damaged => format!("{valid}; {damaged} missing or damaged"),
    }
}

fn entries(n: u64) -> String {
    if n == 1 {
        "1 entry".to_owned()
    } else {
        format!("{n} entries")
    }
}

/// Returns what was done on a level, and what was not.
fn in_full(level: &LevelReport, report: &VerifyReport, wanted: &Wanted) -> String {
    let objects = count(level.checked(), "object");
    let mut words = match level.level {
        VerifyLevel::Listing => {
            let retired = match report.retired {
                0 => String::new(),
                1 => "; 1 archive is retired, and was not looked for".to_owned(),
                retired => format!("; {retired} archives are retired, and were not looked for"),
            };
            format!(
                "{objects} of {} looked for by name and size{retired}",
                count(report.archives, "archive")
            )
        }
        VerifyLevel::Checksums => {
            format!("{objects} compared with the SHA-256 that the store keeps")
        }
        VerifyLevel::Deep => format!("{objects} fetched and hashed"),
        VerifyLevel::Drill => format!(
            "{} restored onto a temporary filesystem and compared",
            count(level.checked(), "archive")
        ),
    };
    if level.level == VerifyLevel::Deep {
        match (level.hashed(), &wanted.identities) {
            (0, _) if wanted.identities.is_some() => words += ", decrypted, decompressed and read",
            (0, _) => {}
            (hashed, None) => {
                let _ = write!(words, "; {hashed} not opened: no --identity was given");
            }
            (hashed, Some(_)) => {
                let _ = write!(
                    words,
                    "; {hashed} not opened: the identity does not open their archives"
                );
            }
        }
    }
    for (why, objects) in level.unchecked_by_reason() {
        let _ = write!(words, "; {objects} not checked: {why}");
    }
    if let (VerifyLevel::Deep, Some(sample)) = (level.level, wanted.sample) {
        let _ = write!(
            words,
            " (--sample {} --seed {})",
            sample.percent, sample.seed
        );
    }
    words
}

/// Returns what a level that was not requested would do; an empty text if another level has done the same.
fn not_asked_for(level: VerifyLevel, report: &VerifyReport) -> String {
    let mut done = report.levels.iter().map(|done| done.level);
    match level {
        VerifyLevel::Listing => String::new(),
        VerifyLevel::Checksums if done.any(|done| done == VerifyLevel::Deep) => String::new(),
        VerifyLevel::Checksums => format!(
            "not checked: --checksums asks the store for the SHA-256 of {}, one request each",
            count(report.objects, "object")
        ),
        VerifyLevel::Deep => format!(
            "not read: --deep fetches {}, {}",
            count(report.segments, "segment"),
            Bytes(report.sealed_bytes)
        ),
        VerifyLevel::Drill => {
            "not tried: --drill restores the newest chain onto a temporary filesystem".to_owned()
        }
    }
}
