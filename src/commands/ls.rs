//! `coldchain ls`: what a directory holds in an archive.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::archived::{
    ArchivedFiles, AskedFile, argument_shown, as_argument, missing_json, mode_in_words, node_json,
    rooted, time_in,
};
use super::output::{answer, answer_json, answer_null};
use crate::cli::{Everywhere, Ls};
use crate::engine::{ListedFile, path_of};
use crate::error::Error;
use crate::model::Line;
use crate::model::size::Bytes;
use crate::printing::shown;

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Ls, everywhere: &Everywhere) -> Result<(), Error> {
    let archived = ArchivedFiles::load(everywhere)?;
    let asked = archived.ask_source(&args.path, &args.to_index, everywhere)?;
    let archive = archived.archive(&asked, args.date)?;
    let object = asked.index.object(&asked.file, archive)?;
    let path = path_of(&asked.file);
    let files = asked.index.list((path, object), archive, args.recursive)?;
    let zone = archived.config.timezone;
    let name = &asked.file.source.name;
    if args.null {
        let paths: Vec<Vec<u8>> = files.iter().map(|it| as_argument(name, &it.path)).collect();
        return answer_null(paths.iter().map(Vec::as_slice));
    }
    if everywhere.json {
        let entries = files.iter().map(|file| {
            let mut entry = node_json(&file.version.node, zone);
            entry["path"] = json!(shown(&rooted(&file.path)));
            entry
        });
        return answer_json(&json!({
            "source": name, "path": shown(&rooted(path)),
            "archive": archived.as_of_json(&asked, &archive)?,
            "not_indexed": missing_json(&asked.index), "entries": entries.collect::<Vec<Value>>(),
        }));
    }
    archived.say_as_of(&asked, &archive, everywhere)?;
    let names: Vec<String> = files.iter().map(|it| name_of(it, &asked, args)).collect();
    let mut text = String::new();
    if args.long {
        write_long(&mut text, &files, &names, zone);
    } else {
        for name in names {
            writeln!(text, "{name}").expect(NO_FAILURE);
        }
    }
    answer(&text)
}

/// Returns how a file is named in the answer: its name in the directory, or with --recursive its path.
fn name_of(file: &ListedFile, asked: &AskedFile<'_>, args: &Ls) -> String {
    if args.recursive {
        return argument_shown(&asked.file.source.name, &file.path);
    }
    let path = Path::new(OsStr::from_bytes(&file.path));
    let name = path.file_name().unwrap_or_default();
    let slash = if file.version.is_directory() { "/" } else { "" };
    format!("{}{slash}", Line(Path::new(name).display()))
}

fn write_long(text: &mut String, files: &[ListedFile], names: &[String], zone: Tz) {
    let owner = |it: &ListedFile| format!("{}:{}", it.version.node.uid, it.version.node.gid);
    let owners: Vec<String> = files.iter().map(owner).collect();
    let sizes: Vec<String> = files.iter().map(size).collect();
    let width = |texts: &[String]| texts.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    let (of_owners, of_sizes) = (width(&owners), width(&sizes));
    for (at, file) in files.iter().enumerate() {
        let node = &file.version.node;
        let target = node.target.as_ref().map(|target| {
            let target = Path::new(OsStr::from_bytes(target));
            format!(" -> {}", Line(target.display()))
        });
        writeln!(
            text,
            "{}  {:of_owners$}  {:>of_sizes$}  {}  {}{}",
            mode_in_words(node.mode),
            owners[at],
            sizes[at],
            time_in(node.mtime, zone).format("%Y-%m-%d %H:%M"),
            names[at],
            target.unwrap_or_default(),
        )
        .expect(NO_FAILURE);
    }
}

fn size(file: &ListedFile) -> String {
    match file.version.node.mode & 0o170_000 {
        0o100_000 => Bytes(file.version.node.size).to_string(),
        _ => String::new(),
    }
}
