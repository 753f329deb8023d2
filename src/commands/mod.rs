//! A verb a file: gather, plan, confirm, carry out, report. Only here, and in `progress`, is
//! anything printed.

mod age;
mod backup;
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

use chrono::NaiveDate;

use crate::cli::{Cli, Command, Everywhere};
use crate::config::{Config, Source};
use crate::engine::{Clock, SystemClock, local_date};
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
        Command::Decide(args) => decide::run(&args, everywhere),
        Command::Key(key) => key::run(&key, everywhere),
        Command::Doctor => doctor::run(everywhere),
    };
    ran.map_err(|error| Interrupt::of_this_process().explain(error))
}

fn load(everywhere: &Everywhere) -> Result<Config, Error> {
    Ok(Config::load(&everywhere.config)?)
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
