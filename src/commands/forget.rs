//! `coldchain forget`: remove a source from the catalog.

use serde_json::json;

use super::output::{answer_json, answer_lines, count};
use super::prompt::{Agreed, confirm};
use super::{activity_log, load_to_read, recorded};
use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Forget};
use crate::engine::{Remembered, RunContext, forget, remembered};
use crate::error::Error;
use crate::model::Line;
use crate::model::size::Bytes;
use crate::printing::{say, shown};
use crate::progress::Quiet;

pub(super) fn run(args: &Forget, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let known = remembered(&config, &args.source)?;
    if !args.yes {
        for line in what_stays(&known) {
            say(line);
        }
    }
    let question = format!("Remove {} from the catalog?", known.row.name);
    confirm(Agreed::by(args.yes), &question)?;
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let name = &known.row.name;
    recorded(
        (&log, "forget"),
        Some(name),
        || forget(&config, &known.row, context),
        |()| LogLine::done(name, "forgotten"),
    )?;
    if everywhere.json {
        let snapshots: Vec<_> = known.snapshots.iter().map(|path| shown(path)).collect();
        return answer_json(&json!({
            "forgotten": known.row.name, "store": known.row.store, "directory": known.row.directory,
            "archives": known.archives, "sealed_bytes": known.sealed_bytes,
            "unfinished": known.unfinished, "snapshots": snapshots,
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let mut lines = vec![format!("{}: removed from the catalog", known.row.name)];
    lines.extend(what_stays(&known));
    answer_lines(lines)
}

/// Returns lines about what a forgotten source leaves in its store and on this machine.
fn what_stays(known: &Remembered) -> Vec<String> {
    let row = &known.row;
    let (name, place) = (
        &row.name,
        format!("{}/{}/", Line(&row.store), row.directory),
    );
    let mut lines = vec![match known.archives {
        0 => format!("{name}: the catalog knows no archive of it in {place}"),
        archives => format!(
            "{name}: what is in {place} stays: {}, {}; `coldchain catalog rebuild` finds it again",
            count(archives as u64, "archive"),
            Bytes(known.sealed_bytes)
        ),
    }];
    if known.unfinished > 0 {
        lines.push(format!(
            "{name}: {} cannot be continued without the catalog's entry; the stored objects stay",
            count(known.unfinished as u64, "unfinished archive"),
        ));
    }
    for snapshot in &known.snapshots {
        lines.push(format!(
            "{name}: the snapshot {} stays; `btrfs subvolume delete` removes it",
            snapshot.display()
        ));
    }
    lines
}
