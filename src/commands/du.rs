//! `coldchain du`: what directories weigh in an archive, or in each.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::archived::{ArchivedFiles, archive_json, argument_shown, missing_json, rooted};
use super::output::{answer, answer_json, count};
use crate::cli::{Du, Everywhere};
use crate::engine::path_of;
use crate::error::Error;
use crate::files_db::SubtreeTotals;
use crate::model::size::Bytes;
use crate::printing::shown;

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Du, everywhere: &Everywhere) -> Result<(), Error> {
    let archived = ArchivedFiles::load(everywhere)?;
    let asked = archived.ask_source(&args.path, &args.to_index, everywhere)?;
    let path = path_of(&asked.file);
    let source = &asked.file.source.name;
    let archive = archived.archive(&asked, args.date)?;
    if args.by_date {
        let weights = asked.index.weigh_by_date(path)?;
        if weights.is_empty() {
            return Err(asked.index.not_in_archive(&asked.file, archive)?);
        }
        let copies = archived.copies(&asked)?;
        let whereabouts = archived.whereabouts(&asked, &copies)?;
        if everywhere.json {
            let dates = weights.iter().map(|(archive, totals)| {
                let nearest = whereabouts.of(archive);
                json!({
                    "archive": archive_json(archive, nearest.as_ref()),
                    "bytes": totals.bytes, "files": totals.files,
                })
            });
            return answer_json(&json!({
                "source": source, "path": shown(&rooted(path)),
                "not_indexed": missing_json(&asked.index), "dates": dates.collect::<Vec<Value>>(),
            }));
        }
        let lines = weights
            .iter()
            .map(|(archive, totals)| (totals, archive.date.to_string()));
        return answer(&to_text(&lines.collect::<Vec<_>>()));
    }
    let object = asked.index.object(&asked.file, archive)?;
    let weights = asked.index.weigh((path, object), archive, args.depth)?;
    if everywhere.json {
        let paths = weights.iter().map(|weight| {
            let totals = &weight.totals;
            let path = shown(&rooted(&weight.path));
            json!({ "path": path, "bytes": totals.bytes, "files": totals.files })
        });
        return answer_json(&json!({
            "source": source, "path": shown(&rooted(path)),
            "archive": archived.as_of_json(&asked, &archive)?,
            "not_indexed": missing_json(&asked.index), "paths": paths.collect::<Vec<Value>>(),
        }));
    }
    archived.say_as_of(&asked, &archive, everywhere)?;
    let lines = weights
        .iter()
        .map(|weight| (&weight.totals, argument_shown(source, &weight.path)));
    answer(&to_text(&lines.collect::<Vec<_>>()))
}

fn to_text(lines: &[(&SubtreeTotals, String)]) -> String {
    let width = |texts: &[String]| texts.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    let sizes = lines
        .iter()
        .map(|(totals, _)| Bytes(totals.bytes).to_string());
    let sizes: Vec<String> = sizes.collect();
    let numbers = lines.iter().map(|(totals, _)| count(totals.files, "file"));
    let numbers: Vec<String> = numbers.collect();
    let (of_sizes, of_numbers) = (width(&sizes), width(&numbers));
    let mut text = String::new();
    for (at, (_, what)) in lines.iter().enumerate() {
        let (size, number) = (&sizes[at], &numbers[at]);
        writeln!(text, "{size:>of_sizes$}  {number:>of_numbers$}  {what}").expect(NO_FAILURE);
    }
    text
}
