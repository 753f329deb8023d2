//! One file for each command: gather, plan, confirm, carry out, report. All output goes through `printing`.

mod adopt;
mod age;
mod archived;
pub(crate) mod attended;
pub(crate) mod backup;
mod catalog;
mod complete;
mod config;
pub(crate) mod copy;
mod cost;
mod decide;
mod diff;
mod doctor;
mod du;
mod explain;
mod extract;
mod failure;
mod file_counts;
mod find;
mod fold;
mod forget;
mod get;
mod history;
pub(crate) mod identity;
mod import;
mod imported;
mod index;
mod init;
mod key;
mod kit;
pub(crate) mod limited_store;
pub(crate) mod list;
mod look;
mod ls;
mod man;
mod metrics;
pub(crate) mod mirror;
mod mirror_server;
mod mount;
mod move_home;
pub(crate) mod night;
mod not_kept;
mod output;
mod overview;
pub(crate) mod plan;
mod priority;
mod prompt;
mod prune;
mod public_tools;
mod pull;
mod report;
pub(crate) mod restore;
pub(crate) mod run_facts;
mod run_report;
mod run_result;
mod send_stream;
mod show;
mod snapshot;
mod snapshots;
mod status;
mod target;
mod thaw;
mod time_axis;
mod units;
mod verify;
mod yesterday;

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::Instant;

use chrono::NaiveDate;

pub use run_report::end_run;

use crate::activity_log::{ActivityLog, LogLine};
use crate::catalog::{Catalog, SourceRow};
use crate::cli::{Cli, Command, Everywhere};
use crate::config::{Config, ConfigError, DEFAULT_STATE_DIR, Source, SourcePlace, StoreConfig};
use crate::engine::{
    Asking, Clock, StateDir, SystemClock, adopt_name, cautions, local_date, require_known_archives,
    store_url, unconfigured,
};
use crate::error::Error;
use crate::interrupt::{self, Interrupt};
use crate::model::SourceName;
use crate::owned;
use crate::printing::warn;

/// Runs a command. [`end_run`] reports how it ended, once that is printed. A panic, which has printed where it was, is an
/// error like others, so that hooks, records and messages have it.
pub fn run(cli: Cli) -> Result<(), Error> {
    if let Command::Complete(args) = &cli.command {
        // It says nothing of what it can't read: a shell would print that into the line that is typed.
        return complete::run(args, &cli.everywhere);
    }
    owned::tell_warnings(|warning| warn(warning));
    let began = AssertUnwindSafe(|| {
        run_report::begin(&cli);
        run_command(cli)
    });
    panic::catch_unwind(began).unwrap_or_else(|_| {
        let error = Error::Panicked;
        interrupt::end_after_panic(&error);
        Err(error)
    })
}

fn run_command(cli: Cli) -> Result<(), Error> {
    let everywhere = &cli.everywhere;
    let ran = match cli.command {
        Command::Init(args) => init::run(&args, everywhere),
        Command::Backup(args) => backup::run(&args, everywhere),
        Command::Snapshot(args) => snapshot::run(&args, everywhere),
        Command::Snapshots(args) => snapshots::run(&args, everywhere),
        Command::Pull(args) => pull::run(&args, everywhere),
        Command::Mirror(args) => mirror::run(&args, everywhere),
        Command::Copy(args) => copy::run(&args, everywhere),
        Command::Move(args) => move_home::run(&args, everywhere),
        Command::MirrorServer(args) => mirror_server::run(&args),
        Command::Plan(args) => plan::run(&args, everywhere),
        Command::List(args) => list::run(&args, everywhere),
        Command::Cost(args) => cost::run(&args, everywhere),
        Command::Show(args) => show::run(&args, everywhere),
        Command::Restore(args) => restore::run(&args, everywhere),
        Command::Import(command) => import::run(&command, everywhere),
        Command::Ls(args) => ls::run(&args, everywhere),
        Command::Find(args) => find::run(&args, everywhere),
        Command::Diff(args) => diff::run(&args, everywhere),
        Command::Du(args) => du::run(&args, everywhere),
        Command::Index(args) => index::run(&args, everywhere),
        Command::History(args) => history::run(&args, everywhere),
        Command::Yesterday(args) => yesterday::run(&args, everywhere),
        Command::Get(args) => get::run(&args, everywhere),
        Command::Extract(args) => extract::run(&args, everywhere),
        Command::Mount(args) => mount::run(&args, everywhere),
        Command::Adopt(args) => adopt::run(&args, everywhere),
        Command::Thaw(args) => thaw::run(&args, everywhere),
        Command::Verify(args) => verify::run(&args, everywhere),
        Command::Prune(args) => prune::run(&args, everywhere),
        Command::Catalog(command) => catalog::run(&command, everywhere),
        Command::Config(command) => config::run(&command, everywhere),
        Command::Decide(args) => decide::run(&args, everywhere),
        Command::Key(key) => key::run(&key, everywhere),
        Command::Forget(args) => forget::run(&args, everywhere),
        Command::Status(args) => status::run(&args, everywhere),
        Command::Report(args) => report::run(&args, everywhere),
        Command::Doctor(args) => doctor::run(&args, everywhere),
        Command::Explain(args) => explain::run(&args, everywhere),
        Command::Man(args) => man::run(&args, everywhere),
        Command::Completions(args) => complete::script(&args),
        Command::Complete(args) => complete::run(&args, everywhere),
        Command::SendStream(args) => send_stream::run(&args),
    };
    ran.map_err(|error| Interrupt::of_this_process().explain(error))
}

pub(crate) fn load(everywhere: &Everywhere) -> Result<Config, Error> {
    let config = load_any(everywhere)?.with_sources()?;
    adopt_names(&config)?;
    Ok(config)
}

/// Loads the config for a background command, and applies the configured priority.
fn load_for_the_night(everywhere: &Everywhere) -> Result<Config, Error> {
    let config = load(everywhere)?;
    priority::apply(&config);
    Ok(config)
}

/// Loads the config, which may name no source.
fn load_any(everywhere: &Everywhere) -> Result<Config, Error> {
    let mut config = Config::load_to_read(&everywhere.config())?;
    if let Some(state_dir) = &everywhere.state_dir {
        config.state_dir.clone_from(state_dir);
    }
    StateDir::new(&config.state_dir).require_ours()?;
    Ok(config)
}

/// Loads the config for a command that only reads, and adds the sources that only the catalog knows. The
/// config file may be missing.
fn load_to_read(everywhere: &Everywhere) -> Result<Config, Error> {
    let mut missing = None;
    let mut config = match load_any(everywhere) {
        Err(Error::Config(error @ ConfigError::NotFound { .. }))
            if everywhere.needs_no_config() =>
        {
            missing = Some(error);
            Config::without_file(&everywhere.config(), &state_dir_without_config(everywhere)?)
        }
        loaded => loaded?,
    };
    adopt_names(&config)?;
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    for row in unconfigured(&config, &catalog)? {
        add_known(row, &mut config)?;
    }
    if let (Some(missing), true) = (missing, config.sources.is_empty()) {
        return Err(missing.into());
    }
    warn_readers(&catalog)?;
    Ok(config.with_sources()?)
}

/// Fails if the catalog is gone, so that no command says that these sources have no archives.
fn require_catalog(config: &Config, sources: &[&Source]) -> Result<(), Error> {
    require_known_archives(config, sources, Asking::Everywhere)
}

/// Adds a source that the catalog knows, unless the config names it with a store.
fn add_known(row: SourceRow, config: &mut Config) -> Result<(), Error> {
    let directory: SourceName = row.directory.parse()?;
    let url = store_url(&StoreConfig::from_url(&row.store)?);
    let is_named = config.archived().any(|(source, store)| {
        source.name == row.name || (source.directory == directory && store_url(store) == url)
    });
    if is_named {
        return Ok(());
    }
    // The config may have more settings for the store than its URL.
    let configured = config
        .stores
        .iter()
        .find(|(_, store)| store_url(store) == url);
    let store = configured.map_or(row.store, |(name, _)| name.clone());
    config.add_place(&SourcePlace {
        name: row.name,
        directory,
        store,
    })?;
    Ok(())
}

/// Renames sources in the catalog that have a new name in the config.
pub(crate) fn adopt_names(config: &Config) -> Result<(), Error> {
    // Commands that need the catalog report its errors. Others work without it.
    let Ok(mut catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return Ok(());
    };
    for source in &config.sources {
        if let Err(error @ Error::Busy(_)) = adopt_name(config, source, &mut catalog) {
            return Err(error);
        }
    }
    Ok(())
}

/// Warns of sources for which no trusted root key vouches, because anybody may have made their archives; and
/// of ledgers that are newer than this program.
fn warn_readers(catalog: &Catalog) -> Result<(), Error> {
    for message in cautions(catalog)? {
        warn(message);
    }
    Ok(())
}

/// Warns if the catalog is a copy in memory, so that the results of this command are not recorded.
fn warn_of_copy(catalog: &Catalog) {
    if catalog.is_copy() {
        warn("the state directory is not writable: the results of this command are not recorded");
    }
}

fn state_dir_without_config(everywhere: &Everywhere) -> Result<PathBuf, Error> {
    let given = everywhere.state_dir.clone();
    let path = given.unwrap_or_else(|| DEFAULT_STATE_DIR.into());
    StateDir::new(&path).require_ours()?;
    Ok(path)
}

/// Returns the activity log that the config names.
pub(crate) fn activity_log(config: &Config) -> ActivityLog {
    ActivityLog::new(config.log.clone(), config.log_rotation, config.timezone)
}

/// Makes the log have a line if what begins now panics, or has to be ended by force. [`interrupt::run_is_over`] ends that.
fn record_if_forced((log, command): (&ActivityLog, &str), source: Option<&SourceName>) {
    let (log, command, source) = (log.clone(), command.to_owned(), source.cloned());
    interrupt::in_case_of_force(Box::new(move |error| {
        log.failed(&command, source.as_ref(), error);
    }));
}

/// Does something to a source, and records how that ended: `done` makes the line, with the time that it took.
fn recorded<T>(
    (log, command): (&ActivityLog, &str),
    source: Option<&SourceName>,
    act: impl FnOnce() -> Result<T, Error>,
    done: impl FnOnce(&T) -> LogLine,
) -> Result<T, Error> {
    let begun = Instant::now();
    record_if_forced((log, command), source);
    let ended = act().map_err(|error| Interrupt::of_this_process().explain(error));
    interrupt::run_is_over();
    if let Some(source) = source {
        let result = ended.as_ref().map(drop);
        run_report::source_ended_with(command, source, result, begun.elapsed().as_secs());
    }
    match &ended {
        Ok(result) if log.is_kept() => {
            log.write(&done(result).fact("seconds", begun.elapsed().as_secs()));
        }
        Ok(_) => {}
        Err(error) => log.failed(command, source, error),
    }
    ended
}

/// Returns today's date in the configured time zone.
pub(crate) fn today(config: &Config) -> NaiveDate {
    local_date(SystemClock.now(), config.timezone)
}

/// Returns the named source, or all that have a store. It is an error if that leaves none.
fn sources<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a Source>, Error> {
    let named = name.map(|name| config.source(name)).transpose()?;
    with_store(named, config)
}

/// Returns the source that was named, or all that have a store. It is an error if that leaves none.
fn with_store<'a>(named: Option<&'a Source>, config: &'a Config) -> Result<Vec<&'a Source>, Error> {
    match named {
        Some(source) => {
            config.store_of(source)?;
            Ok(vec![source])
        }
        None => Ok(config.sources_with_store()?),
    }
}
