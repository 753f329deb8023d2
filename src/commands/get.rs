//! `coldchain get`: a file or a directory, copied out of a snapshot or of a mirror's copy.

mod from_archive;

use serde_json::{Map, Value, json};

use super::look::LookingAt;
use super::not_kept;
use super::output::{answer_json, answer_lines, count};
use super::today;
use crate::cli::{Everywhere, Get};
use crate::config::Config;
use crate::engine::{Clock, FileGot, SystemClock, WantedVersion, choose_version, get_file};
use crate::error::{Error, FilesError};
use crate::interrupt::Interrupt;
use crate::model::SnapshotName;
use crate::model::date_word::DateWord;
use crate::model::size::Bytes;
use crate::plan::LookBack;
use crate::printing::{shown, warn};

pub(super) fn run(args: &Get, everywhere: &Everywhere) -> Result<(), Error> {
    let looking = LookingAt::load(everywhere)?;
    let file = looking.locate(&args.path)?;
    let copies = looking.copies(&file)?;
    let wanted = wanted(args, &looking.config, file.snapshot)?;
    let chosen = choose_version(
        &looking.config,
        &file,
        &copies,
        wanted,
        looking.catalog.as_ref(),
    );
    let copy = match chosen {
        Err(error) if from_archive::may_have(&error) => {
            return from_archive::get(args, everywhere, &file, wanted, error);
        }
        chosen => chosen?,
    };
    let interrupt = Interrupt::of_this_process();
    let got = get_file(&file, copy, args.to.as_deref(), args.force, interrupt)?;
    for (what, number) in &got.copied.not_kept {
        warn(not_kept::in_words(*what, *number));
    }
    if everywhere.json {
        return answer_json(&to_json(&got));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let what = match got.copied.entries {
        1 => Bytes(got.copied.bytes).to_string(),
        entries => format!("{}, {}", count(entries, "file"), Bytes(got.copied.bytes)),
    };
    answer_lines([format!(
        "{} from {} ({what})",
        got.to.display(),
        got.from.display()
    )])
}

/// Returns the version that is wanted. A path in a snapshot means the version there.
fn wanted(
    args: &Get,
    config: &Config,
    in_snapshot: Option<SnapshotName>,
) -> Result<WantedVersion, Error> {
    if args.yesterday {
        let moment = LookBack::ONE_DAY.before(SystemClock.now(), config.timezone);
        return Ok(WantedVersion::At(moment.ok_or(FilesError::TooFarBack)?));
    }
    Ok(match (args.date, in_snapshot) {
        (None, None) | (Some(DateWord::Latest), _) => WantedVersion::Newest,
        (None, Some(name)) | (Some(DateWord::Snapshot(name)), _) => WantedVersion::Of(name),
        (Some(DateWord::Archive(id)), _) => WantedVersion::Of(id.date.into()),
        (Some(word), _) => {
            let day = word.day(today(config));
            WantedVersion::Of(day.unwrap_or_else(|| today(config)).into())
        }
    })
}

fn to_json(got: &FileGot) -> Value {
    let lacks: Map<String, Value> = got
        .copied
        .not_kept
        .iter()
        .map(|(what, number)| (not_kept::name(*what).to_owned(), json!(number)))
        .collect();
    json!({
        "snapshot": got.name, "from": shown(&got.from), "to": shown(&got.to),
        "files": got.copied.entries, "bytes": got.copied.bytes,
        "shared_bytes": got.copied.shared_bytes, "not_kept": lacks,
    })
}
