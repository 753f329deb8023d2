//! Says what an extraction needs, and what it made.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::asked::PlannedExtraction;
use crate::cli::Everywhere;
use crate::commands::not_kept;
use crate::commands::output::{answer, answer_json, answer_lines, count};
use crate::commands::restore::report::{cost_in_words, thaw_in_json};
use crate::engine::{CountedPaths, Estimate, ExtractEnd, ExtractReads, LeftOut, ReadablePlace};
use crate::error::{Error, ExtractError};
use crate::model::size::Bytes;
use crate::model::{Line, Tier};
use crate::plan::Usd;
use crate::printing::{shown, warn};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

/// What an extraction needs.
pub(super) struct ExtractNeeds<'a> {
    pub(super) planned: &'a PlannedExtraction,
    pub(super) reads: &'a ExtractReads,
    pub(super) estimate: &'a Estimate,
    pub(super) place: Option<&'a ReadablePlace>,
    pub(super) tier: Tier,
}

impl ExtractNeeds<'_> {
    /// Prints it.
    pub(super) fn tell(&self, everywhere: &Everywhere) -> Result<(), Error> {
        if everywhere.json {
            return answer_json(&self.to_json()?);
        }
        answer(&self.in_words())
    }

    /// Returns what is fetched for which files.
    pub(super) fn first_line(&self) -> String {
        let (plan, selection) = (&self.planned.plan, &self.planned.extraction.selection);
        let made = selection.entries.iter().filter(|it| !it.is_on_the_way);
        let usd = self.estimate.usd_total(self.tier).ok().flatten();
        let usd = usd.map(|usd| format!(", about USD {usd}"));
        format!(
            "{} {}: {}, {}; {} to fetch in {} of {}{}\n",
            plan.source,
            plan.date,
            count(made.count() as u64, "file"),
            Bytes(selection.bytes),
            Bytes(self.reads.sealed_bytes()),
            count(self.reads.frames, "frame"),
            count(self.reads.segments().len() as u64, "segment"),
            usd.unwrap_or_default(),
        )
    }

    pub(super) fn in_words(&self) -> String {
        let plan = &self.planned.plan;
        let mut text = self.first_line();
        for (archive, reads) in &self.reads.archives {
            let known = if plan.damaged.contains(archive) {
                "  known to be damaged"
            } else if plan.inexact.contains(archive) {
                "  carries compressed data: bytes of it may be wrong"
            } else {
                ""
            };
            let segments = count(reads.segments.len() as u64, "segment");
            let bytes = Bytes(reads.sealed_bytes);
            writeln!(text, "  {archive}  {bytes} of {segments}{known}").expect(NO_FAILURE);
        }
        text.push_str(&cost_in_words(self.estimate));
        if let Some(place) = self.place {
            let (name, store) = (&place.name, &place.row.store);
            writeln!(text, "  from        the copy `{name}` in {store}").expect(NO_FAILURE);
        }
        text
    }

    fn to_json(&self) -> Result<Value, Error> {
        let (plan, selection) = (&self.planned.plan, &self.planned.extraction.selection);
        let archives = self.reads.archives.iter().map(|(archive, reads)| {
            json!({
                "id": archive, "segments": reads.segments, "requests": reads.requests,
                "sealed_bytes": reads.sealed_bytes,
            })
        });
        let made = selection.entries.iter().filter(|it| !it.is_on_the_way);
        Ok(json!({
            "source": plan.source, "date": plan.date, "archives": archives.collect::<Vec<_>>(),
            "place": self.place.map(|place| &place.name), "files": made.count(),
            "bytes": selection.bytes, "frames": self.reads.frames,
            "sealed_bytes": self.reads.sealed_bytes(), "thaw": thaw_in_json(self.estimate, self.tier)?,
            "usd_total": self.estimate.usd_total(self.tier)?.map(Usd::as_number),
        }))
    }
}

/// Prints what was made, and what could not be.
pub(super) fn tell_end(
    planned: &PlannedExtraction,
    end: &ExtractEnd,
    to: &Path,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let plan = &planned.plan;
    let extracted = &end.extracted;
    for (what, counted) in &extracted.left_out {
        warn(with_paths(&left_out(*what, counted.count), counted));
    }
    for (what, counted) in &extracted.not_kept {
        warn(with_paths(
            &not_kept::in_words(*what, counted.count),
            counted,
        ));
    }
    if everywhere.json {
        let lost = end
            .lost
            .iter()
            .map(|(path, why)| json!({"path": shown_path(path), "why": why}));
        return answer_json(&json!({
            "event": "done", "source": plan.source, "date": plan.date, "directory": shown(to),
            "files": extracted.entries, "bytes": extracted.bytes,
            "not_kept": counts(&extracted.not_kept, not_kept::name),
            "left_out": counts(&extracted.left_out, left_out_name),
            "lost": lost.collect::<Vec<_>>(),
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    answer_lines([format!(
        "{} {}: {}, {} in {}",
        plan.source,
        plan.date,
        count(extracted.entries, "file"),
        Bytes(extracted.bytes),
        to.display()
    )])
}

/// Returns the error if not all was made as it was archived.
pub(super) fn verdict(end: &ExtractEnd) -> Result<(), Error> {
    let extracted = &end.extracted;
    // Also what an earlier run gave up, whose work this one has finished.
    let data = extracted.left_out.get(&LeftOut::Data);
    let lost = (end.lost.len() as u64).max(data.map_or(0, |lost| lost.count));
    if lost > 0 {
        return Err(ExtractError::DataLost { lost }.into());
    }
    if extracted.left_out.is_empty() && extracted.not_kept.is_empty() {
        return Ok(());
    }
    let sum = |counted: &CountedPaths| counted.count;
    Err(ExtractError::NotAllKept {
        left_out: extracted.left_out.values().map(sum).sum(),
        not_kept: extracted.not_kept.values().map(sum).max().unwrap_or(0),
    }
    .into())
}

fn left_out(what: LeftOut, number: u64) -> String {
    let files = count(number, "file");
    match what {
        LeftOut::Data => format!("{files} left out: the data can't be had"),
        LeftOut::Device => format!("{files} left out: devices are made by root, with --devices"),
        LeftOut::Name => format!("{files} left out: the filesystem can't have the name"),
        LeftOut::SameName => {
            format!("{files} left out: the filesystem takes the name for that of another file here")
        }
        LeftOut::TooLarge => format!("{files} left out: larger than the filesystem can have"),
        LeftOut::Kind => format!("{files} left out: the filesystem has no such kind of file"),
    }
}

/// Returns its name in JSON.
fn left_out_name(what: LeftOut) -> &'static str {
    match what {
        LeftOut::Data => "data",
        LeftOut::Device => "device",
        LeftOut::Name => "name",
        LeftOut::SameName => "same_name",
        LeftOut::TooLarge => "too_large",
        LeftOut::Kind => "kind",
    }
}

/// Returns a path for people.
pub(super) fn shown_path(path: &[u8]) -> String {
    Line(Path::new(OsStr::from_bytes(path)).display()).to_string()
}

fn with_paths(text: &str, counted: &CountedPaths) -> String {
    let named = counted.first.len() as u64;
    let paths: Vec<String> = counted
        .first
        .iter()
        .map(|path| Line(path.display()).to_string())
        .collect();
    let more = match counted.count.saturating_sub(named) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{text}: {}{more}", paths.join(", "))
}

fn counts<K: Copy>(
    counted: &std::collections::BTreeMap<K, CountedPaths>,
    name: fn(K) -> &'static str,
) -> Value {
    let counts = counted.iter().map(|(what, counted)| {
        let paths: Vec<String> = counted.first.iter().map(|path| shown(path)).collect();
        let counted = json!({"count": counted.count, "first": paths});
        (name(*what).to_owned(), counted)
    });
    Value::Object(counts.collect::<Map<String, Value>>())
}
