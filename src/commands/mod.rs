//! A verb a file: gather, plan, confirm, carry out, report. Only here, and in `progress`, is
//! anything printed.

mod age;
mod backup;
mod catalog;
mod decide;
mod doctor;
mod init;
mod key;
mod kit;
mod list;
mod output;
mod plan;
mod prompt;
mod prune;
mod restore;
mod show;
mod thaw;
mod verify;

use std::path::PathBuf;

use chrono::NaiveDate;

use crate::catalog::Catalog;
use crate::cli::{Cli, Command, Everywhere};
use crate::config::{Config, ConfigError, DEFAULT_STATE_DIR, Source, SourcePlace};
use crate::engine::{Clock, StateDir, SystemClock, local_date, own_words};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::ids::parse_date;

/// Runs a command.
pub fn run(cli: Cli) -> Result<(), Error> {
    let everywhere = &cli.everywhere;
    let ran = match cli.command {
        Command::Init(args) => init::run(&args, everywhere),
        Command::Backup(args) => backup::run(&args, everywhere),
        Command::Plan(args) => plan::run(&args, everywhere),
        Command::List(args) => list::run(&args, everywhere),
        Command::Show(args) => show::run(&args, everywhere),
        Command::Restore(args) => restore::run(&args, everywhere),
        Command::Thaw(args) => thaw::run(&args, everywhere),
        Command::Verify(args) => verify::run(&args, everywhere),
        Command::Prune(args) => prune::run(&args, everywhere),
        Command::Catalog(command) => catalog::run(&command, everywhere),
        Command::Decide(args) => decide::run(&args, everywhere),
        Command::Key(key) => key::run(&key, everywhere),
        Command::Doctor => doctor::run(everywhere),
    };
    ran.map_err(|error| Interrupt::of_this_process().explain(error))
}

fn load(everywhere: &Everywhere) -> Result<Config, Error> {
    let mut config = Config::load(&everywhere.config)?;
    if let Some(state_dir) = &everywhere.state_dir {
        config.state_dir.clone_from(state_dir);
    }
    Ok(config)
}

/// The config; or, for what only reads, what the catalog knows where there is no config.
fn load_to_read(everywhere: &Everywhere) -> Result<Config, Error> {
    let config = load_or_known(everywhere)?;
    warn_of_own_words(&StateDir::new(&config.state_dir).catalog_to_read()?)?;
    Ok(config)
}

/// Warns of sources whose ledgers nobody trusted vouches for: whatever is read of them may be anybody's.
fn warn_of_own_words(catalog: &Catalog) -> Result<(), Error> {
    for message in own_words(catalog)? {
        eprintln!("warning: {message}");
    }
    Ok(())
}

fn load_or_known(everywhere: &Everywhere) -> Result<Config, Error> {
    let missing = match load(everywhere) {
        Err(Error::Config(error @ ConfigError::NotFound { .. })) => error,
        loaded => return loaded,
    };
    let state_dir = state_dir_without_config(everywhere);
    let rows = StateDir::new(&state_dir).catalog_to_read()?.sources()?;
    if rows.is_empty() {
        return Err(missing.into());
    }
    let places = rows
        .into_iter()
        .map(|row| {
            Ok(SourcePlace {
                name: row.name,
                directory: row.directory.parse()?,
                store: row.store,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(Config::of_places(&everywhere.config, &state_dir, &places)?)
}

fn state_dir_without_config(everywhere: &Everywhere) -> PathBuf {
    let given = everywhere.state_dir.clone();
    given.unwrap_or_else(|| DEFAULT_STATE_DIR.into())
}

/// Today in the configured time zone.
fn today(config: &Config) -> NaiveDate {
    local_date(SystemClock.now(), config.timezone)
}

/// The date that was typed, or today.
fn date_or_today(text: Option<&str>, config: &Config) -> Result<NaiveDate, Error> {
    match text {
        Some(text) => Ok(parse_date(text)?),
        None => Ok(today(config)),
    }
}

/// The source that was named, or all.
fn sources<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a Source>, Error> {
    match name {
        Some(name) => Ok(vec![config.source(name)?]),
        None => Ok(config.sources.iter().collect()),
    }
}
