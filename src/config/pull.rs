//! `[source.pull]`: where a source's subvolume gets its content from, before each snapshot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::duration;
use super::error::{ConfigError, Fault};
use super::pull_options::{LIST_CLEARED, clears_the_list, judged};
use super::section::{Field, Section};
use crate::model::{PullHost, PullLocation, is_user};

pub(super) const KEYS: &[&str] = &[
    "from",
    "user",
    "port",
    "identity_file",
    "exclude",
    "exclude_from",
    "rsync_path",
    "options",
    "inplace",
    "max_delete",
    "allow_unreadable",
    "timeout",
];

/// The keys that only ssh uses.
const SSH_KEYS: [&str; 4] = ["user", "port", "identity_file", "rsync_path"];

const DEFAULT_MAX_DELETE: u8 = 50;

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// How a source is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullConfig {
    /// The directory whose content becomes that of the subvolume.
    pub from: PullLocation,
    /// The key that ssh logs in with; `None` if ssh's own config says.
    pub identity_file: Option<PathBuf>,
    /// Patterns of what is neither pulled nor deleted, in rsync's form.
    pub exclude: Vec<String>,
    /// A file with more of them, one a line.
    pub exclude_from: Option<PathBuf>,
    /// What starts rsync on the other machine; `None` for `rsync`.
    pub rsync_path: Option<String>,
    /// More options of rsync, each of those that are known to be harmless.
    pub options: Vec<String>,
    /// Whether changed blocks are written into the files themselves. Default: no.
    pub inplace: bool,
    /// How many percent of the entries of the last good run one run may delete, 0 to 100. Default: 50.
    pub max_delete: u8,
    /// Whether a run counts as good that could not read some files. Default: no.
    pub allow_unreadable: bool,
    /// How long nothing may move before rsync gives up. Default: 30 minutes.
    pub timeout: Duration,
}

impl PullConfig {
    /// Returns the other machine; `None` if it is this one.
    pub fn host(&self) -> Option<&PullHost> {
        match &self.from {
            PullLocation::Here(_) => None,
            PullLocation::There(there) => Some(there),
        }
    }

    /// Returns whether rsync stays on the filesystem of the directory that it pulls.
    pub fn stays_on_one_filesystem(&self) -> bool {
        let stays = |option: &String| ["-x", "--one-file-system"].contains(&option.as_str());
        self.options.iter().any(stays)
    }
}

/// Reads the table of a source with this subvolume.
pub(super) fn read(
    source: &Section<'_>,
    subvolume: Option<&Path>,
) -> Result<Option<PullConfig>, ConfigError> {
    let Some(table) = source.get("pull") else {
        return Ok(None);
    };
    let section = table.table(KEYS)?;
    let Some(subvolume) = subvolume else {
        return Err(table.fault(Fault::PullNeedsSubvolume));
    };
    let from = from(&section, subvolume)?;
    if let PullLocation::Here(_) = from
        && let Some(key) = SSH_KEYS.into_iter().find(|key| section.get(key).is_some())
    {
        return Err(section.require(key)?.fault(Fault::PullOnlyOverSsh { key }));
    }
    let options = section.read("options", options)?.unwrap_or_default();
    let timeout = section.read("timeout", |field| {
        duration::read(field, Duration::from_secs(1))
    })?;
    if timeout.is_some() && options.iter().any(|it| it.starts_with("--timeout")) {
        let key = "timeout";
        return Err(section.require(key)?.fault(Fault::PullTwice { key }));
    }
    Ok(Some(PullConfig {
        from,
        identity_file: section.read("identity_file", Field::absolute_path)?,
        exclude: section.read("exclude", patterns)?.unwrap_or_default(),
        exclude_from: section.read("exclude_from", Field::absolute_path)?,
        rsync_path: section.read("rsync_path", |field| {
            field.matching(is_command, "a command without control characters")
        })?,
        options,
        inplace: section.read("inplace", Field::boolean)?.unwrap_or(false),
        max_delete: section
            .read("max_delete", percent)?
            .unwrap_or(DEFAULT_MAX_DELETE),
        allow_unreadable: section
            .read("allow_unreadable", Field::boolean)?
            .unwrap_or(false),
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
    }))
}

fn from(section: &Section<'_>, subvolume: &Path) -> Result<PullLocation, ConfigError> {
    let field = section.require("from")?;
    let mut from = match field.string()?.parse() {
        Ok(from) => from,
        Err(why) => return Err(field.fault(Fault::PullFrom(why))),
    };
    match &mut from {
        PullLocation::Here(path) => refuse_overlap(&field, path, subvolume)?,
        PullLocation::There(there) => {
            let name = "a user's name that does not begin with `-`";
            let user = section.read("user", |field| field.matching(is_user, name))?;
            there.user = agreed(section, "user", user, there.user.take())?;
            let port = section.read("port", |field| field.integer("a port", 1..=u16::MAX))?;
            there.port = agreed(section, "port", port, there.port.take())?;
        }
    }
    Ok(from)
}

/// Returns what a key and `from` say. They may not say different things.
fn agreed<T: PartialEq>(
    section: &Section<'_>,
    key: &'static str,
    of_key: Option<T>,
    of_from: Option<T>,
) -> Result<Option<T>, ConfigError> {
    match (of_key, of_from) {
        (Some(one), Some(other)) if one != other => {
            Err(section.require(key)?.fault(Fault::PullTwice { key }))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// Refuses to pull from the subvolume itself. The subvolume may be inside `from` if rsync stays on one filesystem,
/// which only a run can see.
fn refuse_overlap(field: &Field<'_>, from: &Path, subvolume: &Path) -> Result<(), ConfigError> {
    if from.starts_with(subvolume) {
        return Err(field.fault(Fault::PullOfItself));
    }
    Ok(())
}

fn options(field: &Field<'_>) -> Result<Vec<String>, ConfigError> {
    let items = field.array("an array of rsync's options")?;
    let option = |item: &Field<'_>| {
        let option = item.owned_string()?;
        match judged(&option) {
            Ok(()) => Ok(option),
            Err(why) => Err(item.fault(Fault::PullOption { option, why })),
        }
    };
    items.iter().map(option).collect()
}

fn patterns(field: &Field<'_>) -> Result<Vec<String>, ConfigError> {
    let items = field.array("an array of rsync's patterns")?;
    let is_pattern = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    let pattern = |item: &Field<'_>| {
        let pattern = item.matching(is_pattern, "a pattern without control characters")?;
        if clears_the_list(&pattern) {
            let why = LIST_CLEARED;
            return Err(item.fault(Fault::PullOption {
                option: pattern,
                why,
            }));
        }
        Ok(pattern)
    };
    items.iter().map(pattern).collect()
}

fn is_command(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

fn percent(field: &Field<'_>) -> Result<u8, ConfigError> {
    let number = field
        .text()
        .and_then(|text| text.strip_suffix('%'))
        .filter(|digits| digits.bytes().all(|it| it.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number <= 100);
    number.ok_or_else(|| field.unfit("a share like \"50%\", from 0% to 100%"))
}
