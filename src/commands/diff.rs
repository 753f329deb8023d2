//! `coldchain diff`: what changed between two archives, and what it took in the streams.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::archived::{
    ArchivedFiles, AskedFile, argument_shown, kind_in_words, missing_json, node_json, rooted,
};
use super::output::{answer, answer_json, count};
use crate::cli::{Diff, Everywhere};
use crate::engine::{PathChange, PathChangeKind, PathCost, path_of};
use crate::error::Error;
use crate::files_db::IndexedArchive;
use crate::model::SourceName;
use crate::model::size::Bytes;
use crate::printing::{say, shown};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Diff, everywhere: &Everywhere) -> Result<(), Error> {
    let archived = ArchivedFiles::load(everywhere)?;
    let asked = archived.ask_source(&args.path, &args.to_index, everywhere)?;
    let dates = (
        archived.archive(&asked, Some(args.from))?,
        archived.archive(&asked, Some(args.to))?,
    );
    let below = path_of(&asked.file);
    if asked.index.resolve(below, dates.0)?.is_none()
        && asked.index.resolve(below, dates.1)?.is_none()
    {
        return Err(asked.index.not_in_archive(&asked.file, dates.1)?);
    }
    if !everywhere.quiet && !everywhere.json {
        let source = &asked.file.source.name;
        say(format_args!(
            "{source}: from the archive of {} to that of {}",
            dates.0.date, dates.1.date
        ));
        archived.say_as_of(&asked, &dates.1, everywhere)?;
    }
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    if args.stat {
        let costs = asked
            .index
            .costs(dates, below, limit.unwrap_or(usize::MAX))?;
        if everywhere.json {
            let costs = costs
                .iter()
                .map(|cost| json!({ "path": shown(&rooted(&cost.path)), "bytes": cost.bytes }));
            let costs = costs.collect::<Vec<_>>();
            return answer_json(&document(&archived, &asked, dates, ("costs", costs), 0)?);
        }
        return answer(&costs_to_text(&costs, &asked.file.source.name));
    }
    let mut changes = asked.index.diff(dates, below)?;
    let left_out = limit.map_or(0, |limit| changes.len().saturating_sub(limit));
    changes.truncate(changes.len() - left_out);
    if everywhere.json {
        let zone = archived.config.timezone;
        let changes = changes.iter().map(|change| {
            json!({
                "what": in_words(change.kind), "path": shown(&rooted(&change.path)),
                "from": change.from.as_ref().map(|from| shown(&rooted(from))),
                "before": change.before.as_ref().map(|node| node_json(node, zone)),
                "now": change.now.as_ref().map(|node| node_json(node, zone)),
            })
        });
        let changes = changes.collect::<Vec<_>>();
        let changes = ("changes", changes);
        return answer_json(&document(&archived, &asked, dates, changes, left_out)?);
    }
    answer(&changes_to_text(&changes, &asked.file.source.name))?;
    if left_out > 0 && !everywhere.quiet {
        say(format_args!("{} more", count(left_out as u64, "change")));
    }
    Ok(())
}

fn document(
    archived: &ArchivedFiles,
    asked: &AskedFile<'_>,
    (one, other): (IndexedArchive, IndexedArchive),
    (name, values): (&str, Vec<Value>),
    left_out: usize,
) -> Result<Value, Error> {
    let mut document = json!({
        "source": asked.file.source.name, "path": shown(&rooted(path_of(&asked.file))),
        "from": archived.as_of_json(asked, &one)?, "to": archived.as_of_json(asked, &other)?,
        "not_indexed": missing_json(&asked.index), "left_out": left_out,
    });
    document[name] = json!(values);
    Ok(document)
}

fn in_words(kind: PathChangeKind) -> &'static str {
    match kind {
        PathChangeKind::Made => "made",
        PathChangeKind::Deleted => "deleted",
        PathChangeKind::Renamed => "renamed",
        PathChangeKind::Changed => "changed",
        PathChangeKind::TypeChanged => "type changed",
        PathChangeKind::AttributesChanged => "attributes changed",
    }
}

fn changes_to_text(changes: &[PathChange], source: &SourceName) -> String {
    let mut text = String::new();
    for change in changes {
        let path = argument_shown(source, &change.path);
        let path = match &change.from {
            Some(from) => format!("{} -> {path}", argument_shown(source, from)),
            None => path,
        };
        let kinds = match (change.kind, &change.before, &change.now) {
            (PathChangeKind::TypeChanged, Some(before), Some(now)) => format!(
                "  ({} became {})",
                kind_in_words(before.mode),
                kind_in_words(now.mode)
            ),
            (PathChangeKind::AttributesChanged, Some(before), Some(now)) => {
                let mut parts = Vec::new();
                let bits = |mode: u32| mode & 0o7777;
                if bits(before.mode) != bits(now.mode) {
                    let (old, new) = (bits(before.mode), bits(now.mode));
                    parts.push(format!("mode {old:04o} to {new:04o}"));
                }
                if (before.uid, before.gid) != (now.uid, now.gid) {
                    parts.push(format!(
                        "owner {}:{} to {}:{}",
                        before.uid, before.gid, now.uid, now.gid
                    ));
                }
                if before.xattrs != now.xattrs {
                    parts.push("extended attributes".to_owned());
                }
                format!("  ({})", parts.join(", "))
            }
            (PathChangeKind::Changed, Some(before), Some(now)) if before.size != now.size => {
                format!("  ({} to {})", Bytes(before.size), Bytes(now.size))
            }
            _ => String::new(),
        };
        writeln!(text, "{:18}  {path}{kinds}", in_words(change.kind)).expect(NO_FAILURE);
    }
    text
}

fn costs_to_text(costs: &[PathCost], source: &SourceName) -> String {
    let sizes = costs.iter().map(|cost| Bytes(cost.bytes).to_string());
    let sizes: Vec<String> = sizes.collect();
    let of_sizes = sizes.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (cost, size) in costs.iter().zip(&sizes) {
        let path = argument_shown(source, &cost.path);
        writeln!(text, "{size:>of_sizes$}  {path}").expect(NO_FAILURE);
    }
    text
}
