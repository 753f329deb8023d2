//! `coldchain find`: files in archives that have a name, a size, an age, a kind or an owner.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::{Value, json};

use super::archived::{
    ArchivedFiles, AskedFile, archive_json, argument_shown, as_argument, begin_of, in_words,
    missing_json, node_json, rooted,
};
use super::output::{answer, answer_json, answer_null, count};
use crate::cli::{Everywhere, Find};
use crate::engine::{FindRequest, FindWhen, FoundFile, Glob, path_of};
use crate::error::{Error, FilesError, RequestError};
use crate::files_db::NodeFilter;
use crate::model::Line;
use crate::model::size::Bytes;
use crate::printing::{say, shown};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

/// The users of this machine: what `/etc/passwd` says.
const USERS: &str = "/etc/passwd";

pub(super) fn run(args: &Find, everywhere: &Everywhere) -> Result<(), Error> {
    let owner = args.owner.as_deref().map(user).transpose()?;
    if let (Some(from), Some(until)) = (args.newer, args.older)
        && until < from
    {
        return Err(RequestError::Span { from, until }.into());
    }
    let archived = ArchivedFiles::load(everywhere)?;
    let asked = archived.ask_source(&args.path, &args.to_index, everywhere)?;
    let zone = archived.config.timezone;
    let node = NodeFilter {
        kind: args.kind.map(crate::cli::KindLetter::bits),
        size: args.size.map(|range| (range.least, range.most)),
        mtime: (
            args.newer.map_or(i64::MIN, |date| begin_of(date, zone)),
            args.older
                .map_or(i64::MAX, |date| begin_of(date, zone).saturating_sub(1)),
        ),
        uid: owner,
    };
    let when = if args.all_dates {
        FindWhen::Any
    } else {
        let archive = archived.archive(&asked, args.date)?;
        if args.deleted {
            FindWhen::DeletedBefore(archive)
        } else {
            FindWhen::At(archive)
        }
    };
    let below = path_of(&asked.file);
    if let FindWhen::At(archive) = when {
        asked.index.object(&asked.file, archive)?;
    }
    let glob = |pattern: &std::ffi::OsString| Glob::new(pattern.as_bytes());
    let mut found = asked.index.find(&FindRequest {
        below,
        name: args.name.as_ref().map(glob),
        path: args.path_like.as_ref().map(glob),
        node,
        when,
    })?;
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    let left_out = limit.map_or(0, |limit| found.len().saturating_sub(limit));
    found.truncate(found.len() - left_out);
    let name = &asked.file.source.name;
    if args.null {
        let paths: Vec<Vec<u8>> = found.iter().map(|it| as_argument(name, &it.path)).collect();
        return answer_null(paths.iter().map(Vec::as_slice));
    }
    if everywhere.json {
        return answer_json(&to_json(&archived, &asked, &found, left_out)?);
    }
    let text = match when {
        FindWhen::At(archive) => {
            archived.say_as_of(&asked, &archive, everywhere)?;
            let lines = found.iter().map(|it| argument_shown(name, &it.path) + "\n");
            lines.collect()
        }
        FindWhen::Any | FindWhen::DeletedBefore(_) => to_text(&archived, &asked, &found)?,
    };
    answer(&text)?;
    if left_out > 0 && !everywhere.quiet {
        say(format_args!("{} more", count(left_out as u64, "file")));
    }
    Ok(())
}

/// Returns a user's number: it is one, or the name is one of this machine's.
fn user(text: &str) -> Result<u32, Error> {
    if let Ok(uid) = text.parse() {
        return Ok(uid);
    }
    let users = std::fs::read(USERS).map_err(|error| Error::file("read", USERS, error))?;
    let uid = users.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next()?;
        let uid = std::str::from_utf8(fields.nth(1)?).ok()?;
        (name == text.as_bytes()).then(|| uid.parse().ok())?
    });
    uid.ok_or_else(|| FilesError::UnknownOwner(text.to_owned()).into())
}

/// Returns a line for each file, with its dates and with where its newest version is.
fn to_text(
    archived: &ArchivedFiles,
    asked: &AskedFile<'_>,
    found: &[FoundFile],
) -> Result<String, Error> {
    let copies = archived.copies(asked)?;
    let whereabouts = archived.whereabouts(asked, &copies)?;
    let dates = |it: &FoundFile| format!("{} to {}", it.first, it.archive.date);
    let sizes: Vec<String> = found.iter().map(size).collect();
    let of_sizes = sizes.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (file, size) in found.iter().zip(&sizes) {
        let nearest = whereabouts.of(&file.archive);
        writeln!(
            text,
            "{}  {size:>of_sizes$}  {}  {}",
            dates(file),
            argument_shown(&asked.file.source.name, &file.path),
            Line(in_words(nearest.as_ref())),
        )
        .expect(NO_FAILURE);
    }
    Ok(text)
}

fn size(file: &FoundFile) -> String {
    match file.version.node.mode & 0o170_000 {
        0o100_000 => Bytes(file.version.node.size).to_string(),
        _ => String::new(),
    }
}

fn to_json(
    archived: &ArchivedFiles,
    asked: &AskedFile<'_>,
    found: &[FoundFile],
    left_out: usize,
) -> Result<Value, Error> {
    let zone = archived.config.timezone;
    let copies = archived.copies(asked)?;
    let whereabouts = archived.whereabouts(asked, &copies)?;
    let files = found.iter().map(|file| {
        let mut entry = node_json(&file.version.node, zone);
        entry["path"] = json!(shown(&rooted(&file.path)));
        entry["first"] = json!(file.first);
        let nearest = whereabouts.of(&file.archive);
        entry["archive"] = archive_json(&file.archive, nearest.as_ref());
        entry
    });
    Ok(json!({
        "source": asked.file.source.name, "path": shown(&rooted(path_of(&asked.file))),
        "not_indexed": missing_json(&asked.index), "files": files.collect::<Vec<_>>(),
        "left_out": left_out,
    }))
}
