//! What the commands say of archives that were imported from another tool, and do with them.

pub(super) mod forget;
pub(super) mod list;
pub(super) mod prune;
pub(super) mod restore;
pub(super) mod show;

use chrono::NaiveDate;

use super::target::day_of;
use crate::cli::Typed;
use crate::config::Config;
use crate::error::{Error, RequestError};
use crate::model::date_word::DateWord;

/// Returns the date that was typed; `None` for the newest. The archives are named by `--imported`, so the line may name
/// no source.
fn date_of(typed: Typed<'_>, config: &Config) -> Result<Option<NaiveDate>, Error> {
    let refuse = |what: &str| Error::from(RequestError::CommandLine(what.to_owned()));
    let mut words: Vec<&str> = typed.words.into_iter().flatten().collect();
    words.extend(typed.date);
    if typed.source.is_some() {
        return Err(refuse("with --imported, leave --source out"));
    }
    match words[..] {
        [] => Ok(None),
        [word] => match word.parse()? {
            DateWord::Latest => Ok(None),
            DateWord::Archive(id) => Ok(Some(id.date)),
            _ => day_of(word, config).map(Some),
        },
        _ => Err(refuse("with --imported, give one date and no source")),
    }
}
