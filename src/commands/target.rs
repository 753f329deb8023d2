//! Which source and which date a command line means.

use std::fmt;

use chrono::NaiveDate;

use super::today;
use crate::cli::Typed;
use crate::config::{Config, Source};
use crate::error::{Error, RequestError};
use crate::model::ArchiveId;
use crate::model::date_word::{DateWord, resembles_date};
use crate::model::ids::IdError;
use crate::plan::RestorePlan;

/// What was typed of a source and a date.
pub(super) struct Chosen<'a> {
    config: &'a Config,
    /// `None` where none was named.
    pub(super) source: Option<&'a Source>,
    date: Option<DateWord>,
}

/// Which archive is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The newest.
    Newest,
    /// The one of that date.
    Of(NaiveDate),
    /// That one.
    Archive(ArchiveId),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("a newest archive"),
            Self::Of(date) => write!(f, "an archive of {date}"),
            Self::Archive(id) => write!(f, "the archive {id}"),
        }
    }
}

impl Wanted {
    /// Its date; `None` for the newest.
    pub(super) fn date(self) -> Option<NaiveDate> {
        match self {
            Self::Newest => None,
            Self::Of(date) => Some(date),
            Self::Archive(id) => Some(id.date),
        }
    }

    /// Refuses a plan that leads to another archive of its date.
    pub(super) fn hold_against(self, plan: &RestorePlan) -> Result<(), Error> {
        match self {
            Self::Archive(id) if plan.archives.last() != Some(&id) => {
                Err(RequestError::NoSuchArchive(id.to_string()).into())
            }
            _ => Ok(()),
        }
    }
}

/// Finds out what the words of a command line are. A word that is a date is one, whatever sources there are, unless
/// both words are; `--source` names a source in any case.
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
    /// The source that was named, or all.
    pub(super) fn sources(&self) -> Vec<&'a Source> {
        match self.source {
            Some(source) => vec![source],
            None => self.config.sources.iter().collect(),
        }
    }

    /// The source that was named; the only one there is may be left out.
    pub(super) fn one_source(&self) -> Result<&'a Source, Error> {
        one_source(self.source, self.config)
    }

    /// The day that was typed; `None` where none was.
    pub(super) fn day(&self) -> Result<Option<NaiveDate>, Error> {
        self.date.map(|word| day(word, self.config)).transpose()
    }

    /// The archive that was typed: the newest, where nothing was.
    pub(super) fn archive(&self) -> Wanted {
        match self.date {
            None | Some(DateWord::Latest) => Wanted::Newest,
            Some(DateWord::Archive(id)) => Wanted::Archive(id),
            Some(word) => word
                .day(today(self.config))
                .map_or(Wanted::Newest, Wanted::Of),
        }
    }

    /// Whether a date was typed.
    pub(super) fn has_date(&self) -> bool {
        self.date.is_some()
    }
}

/// The source that was named; the only one there is may be left out.
pub(super) fn one_source<'a>(
    named: Option<&'a Source>,
    config: &'a Config,
) -> Result<&'a Source, Error> {
    match (named, config.sources.as_slice()) {
        (Some(source), _) | (None, [source]) => Ok(source),
        (None, sources) => {
            let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            Err(RequestError::CommandLine(format!(
                "there are several sources, and the command line names none of them: {}",
                known.join(", ")
            ))
            .into())
        }
    }
}

/// The day that a word means.
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
