//! `coldchain mount`: show archives as a filesystem.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde_json::json;

use super::archived::bring_up_to_date;
use super::identity::ask_for_identities;
use super::output::{count, observer};
use super::{load_to_read, require_catalog, warn_of_copy, with_store};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Mount, ToIndex};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::{Mounting, RunContext, ShownSource, StateDir};
use crate::error::{Error, MountError};
use crate::fuse::{FuseOptions, HowEnded, StaleMount, WhoMayEnter, unmount_stale};
use crate::interrupt;
use crate::printing::{answer, event_json, shown, warn};

/// Threads that read data.
const DATA_WORKERS: u64 = 8;

/// What one of them may take in memory: a frame, as it is stored and as it is raw, and what is copied of it.
const MEMORY_OF_WORKER: u64 = 12 << 20;

/// The part of the memory limit that they may take together.
const PART_FOR_WORKERS: u64 = 8;

pub(super) fn run(args: &Mount, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let named = args.source.as_ref();
    let named = named.map(|name| config.source(name.as_str())).transpose()?;
    let chosen = with_store(named, &config)?;
    require_catalog(&config, &chosen)?;
    let state = StateDir::new(&config.state_dir);
    let catalog = state.catalog_to_read()?;
    warn_of_copy(&catalog);
    let at = prepare(&args.at, &config)?;
    let identity = args.identity.as_deref();
    let identities = identity.map(ask_for_identities).transpose()?;
    let name = identity.map(|path| path.display().to_string());
    let observer = observer(everywhere);
    for source in &chosen {
        let to_index = ToIndex {
            identity: args.identity.clone(),
        };
        bring_up_to_date((&config, source, &catalog), &to_index, everywhere)?;
    }
    let chosen = with_archives(&chosen, &catalog)?;
    let who = if args.allow_other {
        WhoMayEnter::Everyone
    } else {
        WhoMayEnter::Owner
    };
    let workers =
        (config.memory_limit / PART_FOR_WORKERS / MEMORY_OF_WORKER).clamp(2, DATA_WORKERS);
    let mounting = Mounting {
        config: &config,
        sources: &chosen,
        identities: identities.as_ref().zip(name.as_deref()),
        place: args.place.place.as_deref(),
        at: &at,
        options: FuseOptions {
            who,
            data_workers: usize::try_from(workers).unwrap_or(1),
        },
        owner: (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
        context: RunContext::real(observer.as_ref()),
    };
    let to_load = state.catalog_to_read()?;
    mounting.run(
        [catalog, to_load],
        |sources| ready(&at, sources, everywhere),
        |ended| {
            tell_end(ended, &at, everywhere);
            // What is still being read is for programs that get errors by now.
            interrupt::work_is_done();
        },
    )
}

/// Leaves out the sources that nothing was archived of.
fn with_archives<'a>(chosen: &[&'a Source], catalog: &Catalog) -> Result<Vec<&'a Source>, Error> {
    let mut with = Vec::new();
    for source in chosen {
        if let Some(row) = catalog.source(&source.name)?
            && !catalog.visible(&row.ledger)?.is_empty()
        {
            with.push(*source);
        }
    }
    Ok(with)
}

/// Returns the directory, made if it is missing, and without what an earlier run has left mounted there.
fn prepare(at: &Path, config: &Config) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(at).map_err(|error| Error::file("find", at, error))?;
    match StaleMount::at(&absolute) {
        StaleMount::None => {}
        StaleMount::Ours => {
            unmount_stale(&absolute)?;
            warn(format_args!(
                "unmounted {}, which a run that was killed had left",
                absolute.display()
            ));
        }
        StaleMount::Foreign => return Err(MountError::ForeignStale(absolute).into()),
    }
    let looked = |error| Error::file("look at", &absolute, error);
    let is_missing = matches!(rustix::fs::lstat(&absolute), Err(Errno::NOENT));
    let at = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) if is_missing => {
            parent.canonicalize().map_err(looked)?.join(name)
        }
        _ => absolute.canonicalize().map_err(looked)?,
    };
    for (what, within) in taken(config) {
        if is_within(&at, &within) {
            return Err(MountError::Within { at, what, within }.into());
        }
    }
    if is_missing {
        fs::create_dir(&at).map_err(|error| Error::file("create", &at, error))?;
    }
    if !at.is_dir() {
        return Err(MountError::NotADirectory(at).into());
    }
    let mut entries = fs::read_dir(&at).map_err(|error| Error::file("look at", &at, error))?;
    if entries.next().is_some() {
        return Err(MountError::NotEmpty(at).into());
    }
    Ok(at)
}

/// Whether a path is a directory or lies in it, also where a part of that is mounted elsewhere.
fn is_within(path: &Path, directory: &Path) -> bool {
    let which = |path: &Path| {
        let stat = rustix::fs::stat(path).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    let directory = which(directory);
    directory.is_some() && path.ancestors().any(|above| which(above) == directory)
}

/// Returns the directories in which coldchain itself works.
fn taken(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut taken = vec![("the state directory", config.state_dir.clone())];
    for live in config.sources.iter().filter_map(|it| it.live.as_ref()) {
        taken.push(("the subvolume", live.subvolume.clone()));
        taken.push(("the directory of snapshots", live.snapshots.clone()));
    }
    let stores = config.stores.values();
    taken.extend(stores.filter_map(|store| match store {
        StoreConfig::Dir { path, .. } => Some(("the store", path.clone())),
        _ => None,
    }));
    taken
}

/// Says that it is mounted.
fn ready(at: &Path, sources: &[ShownSource], everywhere: &Everywhere) -> Result<(), Error> {
    for source in sources {
        let number = source.missing.len();
        if number > 0 {
            let archives = count(number as u64, "archive");
            let name = &source.source;
            warn(format_args!(
                "{name}: {archives} not shown, because not indexed; add --identity FILE, or run `coldchain index {}`",
                name.as_argument()
            ));
        }
    }
    let archives: usize = sources.iter().map(|source| source.archives).sum();
    if archives == 0 {
        return Err(MountError::Nothing.into());
    }
    if everywhere.json {
        let sources = sources.iter().map(|source| {
            json!({
                "source": source.source, "archives": source.archives,
                "not_indexed": source.missing,
            })
        });
        event_json(&json!({
            "event": "mounted", "at": shown(at), "sources": sources.collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    answer(&format!(
        "mounted {} of {} at {}\n",
        count(archives as u64, "archive"),
        count(sources.len() as u64, "source"),
        at.display()
    ))
}

fn tell_end(ended: HowEnded, at: &Path, everywhere: &Everywhere) {
    let how = match ended {
        HowEnded::UnmountedElsewhere | HowEnded::Unmounted => "unmounted",
        HowEnded::UnmountedWhileBusy => {
            warn(format_args!(
                "{} was in use: programs that have files of it open get errors from now on",
                at.display()
            ));
            "unmounted"
        }
    };
    if everywhere.json {
        event_json(&json!({ "event": how, "at": shown(at) }));
    }
}
