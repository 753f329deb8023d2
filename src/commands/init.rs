//! `coldchain init`: make what is missing, overwrite nothing.
//!
//! The first run, without a config, begins the recovery kit with a new identity and writes a commented config
//! for its recipient: with what the command line or the answers on a terminal say, or with what another tool's config
//! says, or to be filled in. The second run, with the edited config, makes the state directory, the signing keys,
//! and the snapshot and store directories. It gives each source its ledger, and completes the kit. A later
//! run adds what was configured since.

mod begin;
mod expand;
mod foreseen;
mod guided;
mod places;
mod questions;
mod take_over;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde_json::json;

use super::doctor::warnings_of_secrets;
use super::kit::{self, RootOrigin};
use super::output::{answer_json, answer_lines};
use super::plan::standing_warnings;
use super::units;
use crate::catalog::{Catalog, SourceRow};
use crate::cli::{Everywhere, Init};
use crate::config::{Config, ConfigError, Live, StoreConfig, kit_of_template};
use crate::engine::{
    Asking, KitChange, StateDir, config_for_kit, is_in_kit, is_place, kit_source, know_source,
    note_in_kit, require_known, store_url, update_kit,
};
use crate::error::{Error, KeyError, LedgerStateError, TakeOverError};
use crate::interrupt::Interrupt;
use crate::kit::{KitSource, addition};
use crate::ledger::PublicKey;
use crate::model::shell;
use crate::owned;
use crate::printing::{shown, warn};
use crate::seal::Recipients;
use crate::store::{DirStore, Exclusivity};

pub(super) fn run(args: &Init, everywhere: &Everywhere) -> Result<(), Error> {
    let origin = take_over::ForeignOrigin::of(args);
    match (Config::load(&everywhere.config()), origin) {
        (Err(ConfigError::NotFound { .. }), None) => {
            if guided::run(args, everywhere)? {
                return Ok(());
            }
            begin::begin_to_fill_in(&args.kit, None, everywhere)
        }
        (Err(ConfigError::NotFound { .. }), Some(origin)) => {
            let import = take_over::read(&origin)?;
            begin::begin_to_fill_in(&args.kit, Some(&import), everywhere)
        }
        // Also one with a fault: it is not replaced.
        (_, Some(_)) => Err(TakeOverError::ConfigExists {
            path: everywhere.config(),
        }
        .into()),
        (Ok(mut config), None) => {
            if args.describes() {
                warn(format_args!(
                    "{} is there already, and stays as it is: only what is missing is made",
                    config.path.display()
                ));
            }
            if let Some(state_dir) = &everywhere.state_dir {
                config.state_dir.clone_from(state_dir);
            }
            complete(&config, &args.kit, Vec::new(), everywhere)?;
            warn_of_config(&config, everywhere);
            Ok(())
        }
        (Err(error), None) => Err(error.into()),
    }
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists()
        .map_err(|source| Error::file("look for", path, source))
}

/// Refuses to begin another kit than the one that the first run made: it would have no identity, and look like
/// the whole key to the archives.
fn refuse_second_kit(config: &Path, kit: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(config).unwrap_or_default();
    match kit_of_template(&text) {
        Some(first) if first.exists() => Err(KeyError::SecondKit {
            path: kit.to_owned(),
            first,
        }
        .into()),
        _ => Ok(()),
    }
}

/// A run with a config: everything that it needs and that is missing. Nothing is made before it is clear
/// that the kit is one that may be written to.
fn complete(
    config: &Config,
    kit: &Path,
    mut told: Vec<String>,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    if config.archived().next().is_none() {
        return complete_without_store(config, told, everywhere);
    }
    Recipients::parse(config.recipients()?)?;
    if !exists(kit)? && !StateDir::new(&config.state_dir).has_keys() {
        refuse_second_kit(&everywhere.config(), kit)?;
    }
    let state_dir = StateDir::new(&config.state_dir);
    require_subvolumes(config)?;
    if exists(kit)? || !state_dir.has_keys() {
        // The kit is read now and written later. Another user must not be able to replace it in between.
        owned::require_way(kit)?;
    }
    state_dir.create()?;
    // Another `init` may make the same files.
    let _lock = state_dir.lock_for_init(Interrupt::of_this_process())?;
    if let Some(found) = kit::at(kit)? {
        kit::require_ours(kit, &found, &state_dir)?;
    }
    for path in directories(config) {
        if !exists(path)? {
            make_directory(path, 0o700)?;
            told.push(format!("made {}", path.display()));
        }
    }
    make_snapshot_directories(config, &mut told)?;
    write_drop_ins(config, &mut told)?;
    let mut unvouched = Vec::new();
    if has_ledgers(&state_dir.catalog_to_read()?)?
        && matches!(
            state_dir.root_key(),
            Err(Error::Key(KeyError::NoKeys { .. }))
        )
    {
        unvouched.push(
            "no trusted root key vouches for the ledgers in the catalog: run `coldchain catalog rebuild` with the \
             recovery kit or --trust"
                .to_owned(),
        );
    }
    let mut catalog = state_dir.catalog()?;
    let mut root = None;
    let (rows, to_add) = if unvouched.is_empty() {
        root = make_keys(config, &state_dir, kit, &mut told)?;
        tell_kit(config, kit, &mut catalog, &mut told)?
    } else {
        // These ledgers get no keys, and the kit does not get their names, until a trusted root key vouches
        // for them.
        told.extend(unvouched);
        (Vec::new(), None)
    };
    if everywhere.json {
        let root = root.map(|(key, origin)| {
            let origin = match origin {
                RootOrigin::New => "new",
                RootOrigin::Kit => "kit",
            };
            json!({"key": key.to_string(), "origin": origin})
        });
        answer_json(&json!({"done": told, "kit": shown(kit), "root_key": root, "to_add": to_add}))?;
    } else {
        if let Some(lines) = &to_add {
            told.push("add these lines to your recovery kit:".to_owned());
            told.extend(lines.lines().map(str::to_owned));
        }
        if told.is_empty() {
            told.push("nothing is missing".to_owned());
        }
        answer_lines(told)?;
    }
    for row in &rows {
        note_in_kit(row, &mut catalog)?;
    }
    for path in directories(config) {
        if DirStore::open(path)?.probe()? == Exclusivity::SingleWriter {
            warn(format_args!(
                "{}: its filesystem can't tell two writers apart: let only one machine write there",
                path.display()
            ));
        }
    }
    Ok(())
}

/// A run with a config whose sources all keep snapshots alone. They take no kit and no keys.
fn complete_without_store(
    config: &Config,
    mut told: Vec<String>,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    require_subvolumes(config)?;
    let state_dir = StateDir::new(&config.state_dir);
    state_dir.create()?;
    let _lock = state_dir.lock_for_init(Interrupt::of_this_process())?;
    make_snapshot_directories(config, &mut told)?;
    write_drop_ins(config, &mut told)?;
    told.push("no source has a store: snapshots alone need no recovery kit and no keys".to_owned());
    if everywhere.json {
        answer_json(&json!({"done": told, "kit": null, "root_key": null, "to_add": null}))?;
    } else {
        answer_lines(told)?;
    }
    Ok(())
}

/// Refuses a source that can't be snapshotted before anything is made.
/// Returns the subvolumes that must be there, each with the place of its snapshots. The first pull makes those of the
/// other sources.
fn own_subvolumes(config: &Config) -> impl Iterator<Item = &Live> {
    let own = config.sources.iter().filter(|source| source.pull.is_none());
    own.filter_map(|source| source.live.as_ref())
}

fn require_subvolumes(config: &Config) -> Result<(), Error> {
    for live in own_subvolumes(config) {
        crate::btrfs::identity(&live.subvolume)?;
    }
    Ok(())
}

fn make_snapshot_directories(config: &Config, told: &mut Vec<String>) -> Result<(), Error> {
    for live in own_subvolumes(config) {
        if !exists(&live.snapshots)? {
            make_directory(&live.snapshots, 0o700)?;
            told.push(format!("made {}", live.snapshots.display()));
        }
    }
    Ok(())
}

/// Tells the installed units what this config writes to.
fn write_drop_ins(config: &Config, told: &mut Vec<String>) -> Result<(), Error> {
    for path in units::write_drop_ins(config)? {
        told.push(format!(
            "made {}: run `systemctl daemon-reload`",
            path.display()
        ));
    }
    Ok(())
}

fn warn_of_config(config: &Config, everywhere: &Everywhere) {
    if !everywhere.quiet {
        for (source, store) in config.archived() {
            if let StoreConfig::Vault { .. } = store {
                warn(format_args!(
                    "{}: it is archived into a vault, for which Amazon takes no new customers since 2025-12-15; \
                     docs/vault.md tells how to get out",
                    source.name
                ));
            }
        }
        for warning in standing_warnings(config) {
            warn(warning);
        }
        warnings_of_secrets(config).iter().for_each(warn);
        owned::warning_of_this_program().iter().for_each(warn);
    }
}

/// Makes the keys of this machine, unless it has a key or its catalog has ledgers. Returns the root key that
/// it trusts from now on.
fn make_keys(
    config: &Config,
    state_dir: &StateDir,
    kit: &Path,
    told: &mut Vec<String>,
) -> Result<Option<(PublicKey, RootOrigin)>, Error> {
    if state_dir.has_keys() {
        return Ok(None);
    }
    if has_ledgers(&state_dir.catalog_to_read()?)? {
        // New keys would have no role in these ledgers.
        told.push(format!(
            "{}: there is no signing key for the ledgers that the catalog has: run \
             `coldchain key rotate --kit FILE --new-signing-key` to archive from here",
            config.state_dir.display()
        ));
        return Ok(None);
    }
    let (root, origin) = kit::root_key(kit)?;
    let public = root.public();
    let keys = state_dir.keys_under(root, config.prune)?;
    state_dir.write_keys(&keys)?;
    told.push(match origin {
        RootOrigin::New => format!(
            "made the root key {public}: its secret is in {} alone",
            kit.display()
        ),
        RootOrigin::Kit => format!(
            "the root key {public} was in {} already, and is trusted now",
            kit.display()
        ),
    });
    told.push(format!("made {}: signing keys", config.state_dir.display()));
    Ok(Some((public, origin)))
}

/// Adds each source's ledger to the kit. Returns the sources, and the text to add to a kit that is not on
/// this machine.
fn tell_kit(
    config: &Config,
    path: &Path,
    catalog: &mut Catalog,
    told: &mut Vec<String>,
) -> Result<(Vec<SourceRow>, Option<String>), Error> {
    let kit = kit::at(path)?;
    let known: &[KitSource] = kit.as_ref().map_or(&[], |kit| &kit.sources);
    let mut missing = Vec::new();
    let mut rows = Vec::new();
    for (source, store) in config.archived() {
        if let Err(error @ Error::LedgerState(LedgerStateError::LedgerUnread { .. })) =
            require_known(config, source, Asking::Here, catalog)
        {
            let (name, directory) = (&source.name, source.directory.as_str());
            let store = store_url(store);
            let is_in_kit = known
                .iter()
                .any(|known| known.directory == directory && is_place(&known.store, &store));
            if is_in_kit {
                told.push(format!(
                    "{name}: {} names its ledger; run `coldchain catalog rebuild --identity {}` to read it and continue it",
                    path.display(),
                    shell::path(path)
                ));
            } else {
                told.push(format!("{name}: {error}"));
                told.extend(error.hint());
            }
            continue;
        }
        let row = know_source(config, source, catalog)?;
        let elsewhere = known.iter().any(|known| {
            known.directory == row.directory
                && known.ledger != row.ledger
                && is_place(&known.store, &row.store)
        });
        if elsewhere && catalog.entries(&row.ledger)?.is_empty() {
            told.push(format!(
                "{}: {} names its ledger; run `coldchain catalog rebuild --identity {}` to read it and continue it",
                source.name,
                path.display(),
                shell::path(path)
            ));
            continue;
        }
        rows.push(row.clone());
        // Any run gives a new source its ledger, so only the kit shows whether it names it.
        let is_known = match &kit {
            Some(_) => known.iter().any(|known| known.ledger == row.ledger),
            None => is_in_kit(&row, catalog)?,
        };
        if !is_known {
            told.push(format!("{}: its ledger is {}", source.name, row.ledger));
            missing.push(kit_source(config, row, None));
        }
    }
    if kit.is_none() {
        let to_add = (!missing.is_empty()).then(|| addition(&missing));
        return Ok((rows, to_add));
    }
    let written = config_for_kit(config);
    match (
        update_kit(path, &missing, written.as_ref())?,
        missing.as_slice(),
    ) {
        (KitChange::None, _) => {}
        (KitChange::Updated, []) => told.push(format!(
            "brought the config in {} up to date: print it again",
            path.display()
        )),
        (KitChange::Updated, _) => told.push(format!(
            "added to {}: print it and keep it away from this machine",
            path.display()
        )),
    }
    Ok((rows, None))
}

/// Returns whether the catalog has a ledger with entries: this machine has archived, or has rebuilt its
/// catalog.
fn has_ledgers(catalog: &Catalog) -> Result<bool, Error> {
    for row in catalog.sources()? {
        if !catalog.entries(&row.ledger)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the directories that are stores. A bucket is made by its owner, who decides its region, versions
/// and locks; `doctor` tests it.
fn directories(config: &Config) -> impl Iterator<Item = &Path> {
    config.stores.values().filter_map(|store| match store {
        StoreConfig::Dir { path, .. } => Some(path.as_path()),
        // The directory of a vault's ledgers is a store of its own.
        StoreConfig::S3 { .. } | StoreConfig::Vault { .. } => None,
    })
}

fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| Error::file("create", path, source))
}
