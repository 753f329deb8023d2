//! Finds out which source and which date a command line means.

use std::fmt;

use chrono::NaiveDate;

use super::{today, with_store};
use crate::cli::Typed;
use crate::config::{Config, Source};
use crate::error::{Error, RequestError};
use crate::model::date_word::{DateWord, resembles_date};
use crate::model::ids::IdError;
use crate::model::{ArchiveId, SnapshotName};
use crate::plan::RestorePlan;

/// The source and the date that were typed.
pub(super) struct Chosen<'a> {
    config: &'a Config,
    /// `None` if none was named.
    pub(super) source: Option<&'a Source>,
    date: Option<DateWord>,
}

/// Which archive the command line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WantedArchive {
    /// The newest archive.
    Newest,
    /// The archive of this date.
    Of(NaiveDate),
    /// The archive with this id.
    Archive(ArchiveId),
}

impl fmt::Display for WantedArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("a newest archive"),
            Self::Of(date) => write!(f, "an archive of {date}"),
            Self::Archive(id) => write!(f, "the archive {id}"),
        }
    }
}

impl WantedArchive {
    /// Returns its date; `None` for the newest.
    pub(super) fn date(self) -> Option<NaiveDate> {
        match self {
            Self::Newest => None,
            Self::Of(date) => Some(date),
            Self::Archive(id) => Some(id.date),
        }
    }

    /// Refuses a plan that restores another archive of its date.
    pub(super) fn hold_against(self, plan: &RestorePlan) -> Result<(), Error> {
        match self {
            Self::Archive(id) if plan.archives.last() != Some(&id) => {
                Err(RequestError::NoSuchArchive(id.to_string()).into())
            }
            _ => Ok(()),
        }
    }
}

/// Finds out what the words of a command line mean. A word in the form of a date is a date, even if a source
/// has that name, unless both words have that form. `--source` always names a source.
pub(super) fn chosen<'a>(typed: Typed<'_>, config: &'a Config) -> Result<Chosen<'a>, Error> {
    let mut source = typed.source.map(|name| config.source(name)).transpose()?;
    let mut date: Option<DateWord> = typed.date.map(str::parse).transpose()?;
    let mut words: Vec<&str> = typed.words.into_iter().flatten().collect();
    let is_date = |word: &str| word.parse::<DateWord>().is_ok();
    if let [first, second] = words[..]
        && is_date(first)
        && is_date(second)
        && let Ok(found) = config.source(first)
    {
        set(&mut source, found, "source")?;
        words.remove(0);
    }
    for word in words {
        match (word.parse::<DateWord>(), config.source(word)) {
            (Ok(parsed), _) => set(&mut date, parsed, "date")?,
            (Err(_), Ok(found)) => set(&mut source, found, "source")?,
            (Err(_), Err(_)) if resembles_date(word) => {
                return Err(IdError::Date(word.to_owned()).into());
            }
            (Err(_), Err(unknown)) => return Err(unknown.into()),
        }
    }
    Ok(Chosen {
        config,
        source,
        date,
    })
}

fn set<T>(place: &mut Option<T>, value: T, what: &'static str) -> Result<(), Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(RequestError::CommandLine(format!(
            "the command line names two {what}s, and takes one"
        ))
        .into()),
    }
}

impl<'a> Chosen<'a> {
    /// Returns the named source, or all, with a store or without.
    pub(super) fn sources(&self) -> Vec<&'a Source> {
        match self.source {
            Some(source) => vec![source],
            None => self.config.sources.iter().collect(),
        }
    }

    /// Returns the named source, or all that have a store.
    pub(super) fn sources_with_store(&self) -> Result<Vec<&'a Source>, Error> {
        with_store(self.source, self.config)
    }

    /// Returns the named source, which must have a store. If only one source has one, it need not be named.
    pub(super) fn one_source(&self) -> Result<&'a Source, Error> {
        one_source(self.source, self.config)
    }

    /// Returns the typed day; `None` if none was typed.
    pub(super) fn day(&self) -> Result<Option<NaiveDate>, Error> {
        self.date.map(|word| day(word, self.config)).transpose()
    }

    /// Returns the typed archive, or the newest if none was typed.
    pub(super) fn archive(&self) -> Result<WantedArchive, Error> {
        match self.date {
            Some(DateWord::Snapshot(name)) => Err(RequestError::CommandLine(format!(
                "`{name}` is a snapshot, and this takes an archive: a date as YYYY-MM-DD, or an archive's id"
            ))
            .into()),
            None | Some(DateWord::Latest) => Ok(WantedArchive::Newest),
            Some(DateWord::Archive(id)) => Ok(WantedArchive::Archive(id)),
            Some(word) => Ok(word
                .day(today(self.config))
                .map_or(WantedArchive::Newest, WantedArchive::Of)),
        }
    }

    /// Returns the snapshot that was typed by date and time; `None` if anything else was typed.
    pub(super) fn snapshot(&self) -> Option<SnapshotName> {
        match self.date {
            Some(DateWord::Snapshot(name)) => Some(name),
            _ => None,
        }
    }

    /// Returns the named source, with a store or without. If only one source has a store, or there is only one, it need
    /// not be named.
    pub(super) fn one_source_of_all(&self) -> Result<&'a Source, Error> {
        match (self.source, self.config.sources.as_slice()) {
            (Some(source), _) | (None, [source]) => Ok(source),
            (None, _) => self.one_source(),
        }
    }

    /// Returns whether a date was typed.
    pub(super) fn has_date(&self) -> bool {
        self.date.is_some()
    }
}

/// Returns the named source, which must have a store. If only one source has one, it need not be named.
pub(super) fn one_source<'a>(
    named: Option<&'a Source>,
    config: &'a Config,
) -> Result<&'a Source, Error> {
    match with_store(named, config)?.as_slice() {
        [source] => Ok(source),
        sources => {
            let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            Err(RequestError::CommandLine(format!(
                "there are several sources, and the command line names none of them: {}",
                known.join(", ")
            ))
            .into())
        }
    }
}

/// Returns the day that a word means.
pub(super) fn day_of(text: &str, config: &Config) -> Result<NaiveDate, Error> {
    day(text.parse()?, config)
}

fn day(word: DateWord, config: &Config) -> Result<NaiveDate, Error> {
    word.day(today(config)).ok_or_else(|| {
        Error::Request(RequestError::CommandLine(
            "this takes a date, not an archive: YYYY-MM-DD, `today` or `yesterday`".to_owned(),
        ))
    })
}
