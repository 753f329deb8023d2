//! `coldchain history`: the versions of a file or a directory in all snapshots, local mirrors and archives.

use std::fmt::Write as _;
use std::path::Path;

use chrono::NaiveDate;
use rustix::fs::FileType;
use serde_json::{Value, json};

use super::archived::{archive_json, in_words, type_name};
use super::look::LookingAt;
use super::output::{answer, answer_json};
use super::today;
use crate::cli::{Everywhere, History};
use crate::config::Config;
use crate::engine::{
    Clock, ContentDifference, FileEvent, FileEventKind, LocatedFile, NearestCopy, SystemClock,
    VersionFacts, Whereabouts, file_history,
};
use crate::error::{Error, RequestError};
use crate::files_db::IndexedArchive;
use crate::interrupt::Interrupt;
use crate::model::size::Bytes;
use crate::model::{Line, shell};
use crate::printing::{shown, warn};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &History, everywhere: &Everywhere) -> Result<(), Error> {
    if let (Some(from), Some(until)) = (args.since, args.until)
        && until < from
    {
        return Err(RequestError::Span { from, until }.into());
    }
    let looking = LookingAt::load(everywhere)?;
    let file = looking.locate(&args.path)?;
    let copies = looking.copies(&file)?;
    let index = looking.index(&file, &args.to_index, everywhere)?;
    let history = file_history(
        &file,
        &copies,
        (index.as_ref(), looking.config.timezone),
        args.diff,
        Interrupt::of_this_process(),
    )?;
    let whereabouts = match (&looking.catalog, &index) {
        (Some(catalog), Some(_)) => Some(Whereabouts::gather(
            &looking.config,
            file.source,
            catalog,
            &copies,
            SystemClock.now(),
        )?),
        _ => None,
    };
    let nearest = |archive: &IndexedArchive| whereabouts.as_ref()?.of(archive);
    for warning in &history.warnings {
        warn(warning);
    }
    let config = &looking.config;
    let shows = |event: &&FileEvent| {
        let date = date_of(event, config);
        args.since.is_none_or(|since| since <= date) && args.until.is_none_or(|until| date <= until)
    };
    let events: Vec<&FileEvent> = history.events.iter().filter(shows).collect();
    if everywhere.json {
        let events: Vec<Value> = events
            .iter()
            .map(|event| to_json(event, &nearest))
            .collect();
        return answer_json(&json!({
            "source": file.source.name, "path": shown(&Path::new("/").join(&file.below)),
            "events": events,
        }));
    }
    let times: Vec<String> = events.iter().map(|event| time(event, config)).collect();
    let kinds: Vec<String> = events.iter().map(|event| what(event)).collect();
    let sizes: Vec<String> = events.iter().map(|event| size(event)).collect();
    let width = |texts: &[String]| texts.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    let (of_times, of_kinds, of_sizes) = (width(&times), width(&kinds), width(&sizes));
    let mut text = String::new();
    for (at, event) in events.iter().enumerate() {
        let last = match event.kind {
            FileEventKind::Deleted => "last in ",
            _ => "",
        };
        writeln!(
            text,
            "{:of_times$}  {:of_kinds$}  {:>of_sizes$}  {last}{}{}",
            times[at],
            kinds[at],
            sizes[at],
            Line(event.path.display()),
            match &event.lies_in {
                Some(archive) => format!("  {}", Line(in_words(nearest(archive).as_ref()))),
                None => String::new(),
            }
        )
        .expect(NO_FAILURE);
        if args.copy
            && let Some(command) = command(event, &file, everywhere)
        {
            writeln!(text, "  {command}").expect(NO_FAILURE);
        }
        write_difference(&mut text, event);
    }
    answer(&text)
}

fn date_of(event: &FileEvent, config: &Config) -> NaiveDate {
    match event.at {
        Some(at) => at.with_timezone(&config.timezone).date_naive(),
        None => today(config),
    }
}

fn time(event: &FileEvent, config: &Config) -> String {
    match event.at {
        Some(at) => at
            .with_timezone(&config.timezone)
            .format("%Y-%m-%d %H:%M")
            .to_string(),
        None => "now".to_owned(),
    }
}

fn name(kind: FileEventKind) -> &'static str {
    match kind {
        FileEventKind::Exists => "exists",
        FileEventKind::Created => "created",
        FileEventKind::Changed => "changed",
        FileEventKind::TypeChanged => "type changed",
        FileEventKind::AttributesChanged => "attributes changed",
        FileEventKind::Deleted => "deleted",
    }
}

/// Returns what happened, with the modes, owners and types that are others now.
fn what(event: &FileEvent) -> String {
    let (Some(before), Some(now)) = (event.before, event.now) else {
        return name(event.kind).to_owned();
    };
    let mut parts = Vec::new();
    match event.kind {
        FileEventKind::TypeChanged => parts.push(format!(
            "{} became {}",
            type_name(before.kind),
            type_name(now.kind)
        )),
        FileEventKind::AttributesChanged => {}
        kind => parts.push(name(kind).to_owned()),
    }
    if before.mode != now.mode {
        parts.push(format!("mode {:04o} to {:04o}", before.mode, now.mode));
    }
    if before.owner != now.owner {
        let (old, new) = (before.owner, now.owner);
        parts.push(format!("owner {}:{} to {}:{}", old.0, old.1, new.0, new.1));
    }
    parts.join(", ")
}

fn size(event: &FileEvent) -> String {
    match event.now {
        Some(now) if now.kind == FileType::RegularFile => Bytes(now.size).to_string(),
        _ => String::new(),
    }
}

/// Returns the command that brings a version back: of what only an archive has, all of the archive. The live version needs none.
fn command(event: &FileEvent, file: &LocatedFile<'_>, everywhere: &Everywhere) -> Option<String> {
    if event.kind == FileEventKind::Deleted {
        return None;
    }
    if let Some(archive) = event.archive {
        let source = file.source.name.as_argument();
        let mut words = vec!["coldchain".to_owned()];
        words.extend(Some(everywhere.as_words()).filter(|options| !options.is_empty()));
        words.push(format!("restore {source} {} --to DIR", archive.date));
        return Some(words.join(" "));
    }
    let date = event.copy?;
    let mut of = file.clone();
    if let Some(name) = &event.name {
        of.below.push(name);
    }
    let mut words = vec!["coldchain".to_owned()];
    let options = everywhere.as_words();
    if !options.is_empty() {
        words.push(options);
    }
    words.push(format!("get --date {date}"));
    words.push(shell::path(Path::new(&of.as_argument())));
    if let Some(live) = of.live() {
        words.push(format!("--to {}", shell::path(&live)));
    }
    Some(words.join(" "))
}

fn write_difference(text: &mut String, event: &FileEvent) {
    match &event.difference {
        None => {}
        Some(ContentDifference::Text(lines)) => {
            text.push_str(lines);
            if !lines.ends_with('\n') {
                text.push('\n');
            }
        }
        Some(ContentDifference::Binary) => text.push_str("  binary files differ\n"),
        Some(ContentDifference::TooLong) => {
            text.push_str("  the files differ; they are too long to be compared by lines\n");
        }
    }
}

fn to_json(event: &FileEvent, nearest: &dyn Fn(&IndexedArchive) -> Option<NearestCopy>) -> Value {
    let facts = |facts: Option<VersionFacts>| {
        facts.map(|it| {
            json!({
                "type": type_name(it.kind), "size": it.size, "mode": format!("{:04o}", it.mode),
                "uid": it.owner.0, "gid": it.owner.1,
            })
        })
    };
    let difference = event.difference.as_ref().map(|it| match it {
        ContentDifference::Text(lines) => json!({ "text": lines }),
        ContentDifference::Binary => json!({ "left_out": "binary" }),
        ContentDifference::TooLong => json!({ "left_out": "too long" }),
    });
    json!({
        "snapshot": event.copy,
        "archive": event.archive.map(|archive| archive_json(&archive, nearest(&archive).as_ref())),
        "at": event.at.map(|at| at.to_rfc3339()), "what": name(event.kind),
        "path": shown(&event.path), "name": event.name.as_ref().map(|name| shown(Path::new(name))),
        "now": facts(event.now), "before": facts(event.before), "diff": difference,
    })
}
