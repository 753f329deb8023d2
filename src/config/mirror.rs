//! `[[mirror]]`: another btrfs that gets a source's snapshots.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::duration;
use super::error::{ConfigError, Fault, Unknown};
use super::section::{Field, Section};
use super::source::{self, Source};
use crate::model::{MirrorLocation, SourceName};
use crate::plan::{KeepSnapshots, Terms};

pub(super) const KEYS: &[&str] = &[
    "source",
    "from",
    "to",
    "keep",
    "hold",
    "links",
    "stall",
    "identity_file",
    "command",
];

/// What a mirror keeps if its config says nothing: a snapshot of each of the newest 60 days that have one.
const DEFAULT_KEEP: &str = "60d";

const DEFAULT_HOLD: Duration = Duration::from_hours(90 * 24);

const DEFAULT_STALL: Duration = Duration::from_mins(30);

/// A mirror of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorConfig {
    /// Whose snapshots it gets.
    pub of: MirrorOf,
    /// Its directory at the mirror: the source's name, or the last part of `from`.
    pub name: SourceName,
    /// Where it is.
    pub to: MirrorLocation,
    /// Which snapshots it keeps besides those that the next run needs: a number, or terms. Default: `60d`.
    pub keep: KeepSnapshots,
    /// How long a snapshot here is kept for the mirror after the last success. Default: 90 days.
    pub hold: Duration,
    /// The names of the links to its newest snapshot. Default: `current`.
    pub links: Vec<String>,
    /// How long it may take no byte before the run gives up; for another machine. Default: 30 minutes.
    pub stall: Duration,
    /// The key that ssh logs in with; `None` if ssh's own config says.
    pub identity_file: Option<PathBuf>,
    /// What starts coldchain on the other machine, as words. Default: `coldchain`.
    pub command: Vec<String>,
}

/// Whose snapshots a mirror gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorOf {
    /// Those of a source of the config, which has a subvolume.
    Source,
    /// Those in this directory: another mirror's.
    Directory(PathBuf),
}

/// Reads all mirrors in the file's order, and checks each against those before it.
pub(super) fn read_all(
    top: &Section<'_>,
    sources: &[Source],
) -> Result<Vec<MirrorConfig>, ConfigError> {
    let items = top.read("mirror", |field| {
        field.array("an array of tables ([[mirror]])")
    })?;
    let mut mirrors: Vec<MirrorConfig> = Vec::new();
    for item in items.unwrap_or_default() {
        let section = item.table(KEYS)?;
        let mirror = read(&section, sources)?;
        if let Some(twice) = mirrors
            .iter()
            .find(|other| (&other.name, &other.to) == (&mirror.name, &mirror.to))
        {
            return Err(section.require("to")?.fault(Fault::SameMirror {
                name: twice.name.to_string(),
                to: twice.to.to_string(),
            }));
        }
        mirrors.push(mirror);
    }
    Ok(mirrors)
}

fn read(section: &Section<'_>, sources: &[Source]) -> Result<MirrorConfig, ConfigError> {
    let from = section.read("from", Field::absolute_path)?;
    let (of, name) = match from {
        None => (
            MirrorOf::Source,
            section.read("source", |field| of_source(field, sources))?,
        ),
        Some(_) if section.get("source").is_some() => {
            return Err(section.require("from")?.fault(Fault::MirrorOfTwo));
        }
        Some(path) => {
            let name = section
                .require("from")
                .and_then(|from| name_of(&from, &path))?;
            (MirrorOf::Directory(path), Some(name))
        }
    };
    let Some(name) = name else {
        return Err(section.fault(Fault::MirrorOfNone));
    };
    let to = section.require("to")?;
    let to = to
        .string()?
        .parse::<MirrorLocation>()
        .map_err(|_| to.unfit("an absolute path without `..`, or ssh://[USER@]HOST[:PORT]/PATH"))?;
    for key in ["stall", "identity_file", "command"] {
        if let Some(field) = section.get(key).filter(|_| !to.is_remote()) {
            return Err(field.fault(Fault::OnlyOverSsh { key }));
        }
    }
    let default_keep = || KeepSnapshots::Terms(Terms::parse(DEFAULT_KEEP).expect("it is a term"));
    Ok(MirrorConfig {
        of,
        name,
        to,
        keep: section
            .read("keep", source::keep_of)?
            .unwrap_or_else(default_keep),
        hold: section
            .read("hold", |field| {
                duration::read(field, Duration::from_hours(24))
            })?
            .unwrap_or(DEFAULT_HOLD),
        links: source::links(section)?,
        stall: section
            .read("stall", |field| {
                duration::read(field, Duration::from_secs(1))
            })?
            .unwrap_or(DEFAULT_STALL),
        identity_file: section.read("identity_file", Field::absolute_path)?,
        command: section
            .read("command", words)?
            .unwrap_or_else(|| vec!["coldchain".to_owned()]),
    })
}

/// Reads the name of a source that has snapshots here.
fn of_source(field: &Field<'_>, sources: &[Source]) -> Result<SourceName, ConfigError> {
    let name = field.source_name()?;
    let Some(source) = sources.iter().find(|source| source.name == name) else {
        let known = sources.iter().map(|source| source.name.as_str());
        let unknown = Unknown::among("source", name.as_str(), known);
        return Err(field.fault(Fault::Unknown(unknown)));
    };
    if source.live.is_none() {
        return Err(field.fault(Fault::MirrorOfNoSnapshots {
            name: name.to_string(),
        }));
    }
    Ok(name)
}

/// Returns the last part of a directory's path, which names the mirror's own directory.
fn name_of(field: &Field<'_>, path: &Path) -> Result<SourceName, ConfigError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str()?.parse().ok());
    name.ok_or_else(|| {
        field.unfit(
            "a mirror's directory of one source, whose last part is the source's name, as /mnt/second/home",
        )
    })
}

fn words(field: &Field<'_>) -> Result<Vec<String>, ConfigError> {
    let expected = "an array of words, the first a program";
    let items = field.array(expected)?;
    if items.is_empty() {
        return Err(field.unfit(expected));
    }
    let word = |item: &Field<'_>| {
        let is_word = |text: &str| !text.is_empty() && !text.contains('\0');
        item.matching(is_word, expected)
    };
    items.iter().map(word).collect()
}
