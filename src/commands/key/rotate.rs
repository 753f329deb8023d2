//! `coldchain key rotate`: change who may sign the ledgers.

use std::fmt::Write as _;

use serde_json::json;

use super::{in_words, keys_to_json, trusted_root};
use crate::activity_log::LogLine;
use crate::cli::{Everywhere, KeyRotate};
use crate::commands::identity::open_identity_file;
use crate::commands::output::{answer, answer_json};
use crate::commands::run_result::run_result;
use crate::commands::{activity_log, add_known, load, recorded, sources};
use crate::config::{Config, SourceOrigin};
use crate::engine::{
    KeyChange, Rotated, RunContext, StateDir, keys_of, read_kit, roles_for, rotate,
};
use crate::error::{Error, KeyError, in_words as error_in_words};
use crate::interrupt::Interrupt;
use crate::ledger::{PublicKey, SigningKey};
use crate::model::SourceName;
use crate::model::entry::Role;
use crate::progress::Quiet;

pub(super) fn run(args: &KeyRotate, everywhere: &Everywhere) -> Result<(), Error> {
    let mut config = load(everywhere)?;
    if args.source.name().is_none() {
        add_gone(&mut config)?;
    }
    let chosen = sources(&config, args.source.name())?;
    let root = root_secret(args, &config)?;
    let mut change = KeyChange {
        remove: parsed(&args.remove)?,
        void: args.void.iter().cloned().flatten().collect(),
        undelete: args.undelete,
        ..KeyChange::default()
    };
    let added = parsed(&args.add)?;
    if let Some(key) = added
        .iter()
        .chain(&change.remove)
        .find(|key| **key == root.public())
    {
        return Err(KeyError::RootKey(key.to_string()).into());
    }
    let state_dir = StateDir::new(&config.state_dir);
    state_dir.create()?;
    let _lock = state_dir.lock_for_init(Interrupt::of_this_process())?;
    let mut roles: Vec<Role> = args.role.iter().map(|role| role.role()).collect();
    if roles.is_empty() {
        roles = default_roles(&config, &root.public(), &state_dir)?;
    }
    change.add = added.into_iter().map(|key| (key, roles.clone())).collect();
    let coming = if args.new_signing_key {
        let coming = state_dir.coming_key()?.public();
        change.remove.extend(state_dir.signing_public()?);
        change.add.push((coming.clone(), roles.clone()));
        Some(coming)
    } else {
        None
    };
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let mut told = Vec::new();
    let mut text = String::new();
    let mut errors = Vec::new();
    let mut held_back = false;
    let mut never: Vec<PublicKey> = change.remove.clone();
    never.retain(|key| args.remove.contains(&key.to_string()));
    for &source in &chosen {
        context.interrupt.check()?;
        let rotated = recorded(
            (&log, "key rotate"),
            Some(&source.name),
            || rotate(&config, source, &change, &root, context),
            |rotated| log_line(&source.name, rotated),
        );
        match rotated {
            Ok(rotated) => {
                never.retain(|key| rotated.never.contains(key));
                // A new ledger is opened with only the key of the machine that archives.
                if rotated.keys.is_empty() && !args.add.is_empty() {
                    errors.push((source, Error::Key(KeyError::NotOpened(source.name.clone()))));
                }
                text.push_str(&lines(source.name.as_str(), &rotated, coming.as_ref()));
                told.push(json!({
                    "source": source.name, "entry": rotated.entry,
                    "keys": keys_to_json(&rotated.keys),
                    "retired": rotated.retired, "revived": rotated.revived,
                    "lost": rotated.lost.iter().map(|(archive, why)| json!({"archive": archive, "why": why}))
                        .collect::<Vec<_>>(),
                }));
            }
            Err(error) => {
                // A store that the config no longer names may be gone for good.
                held_back |= source.origin == SourceOrigin::File;
                never.clear();
                told.push(json!({"source": source.name, "error": error_in_words(&error)}));
                errors.push((source, error));
            }
        }
    }
    // The next run adds the new key to the ledgers that failed. Until then this machine keeps its old key.
    if let (Some(coming), false) = (&coming, held_back) {
        state_dir.adopt_coming_key(&root, &roles)?;
        writeln!(text, "this machine signs with {coming} from now on").expect("a string takes it");
    }
    let own = state_dir.signing_public()?;
    if let (Some(own), None, None, true) = (own, &coming, args.source.name(), errors.is_empty()) {
        change_grant(&own, &change, (&root, &roles), &state_dir)?;
    }
    if everywhere.json {
        let coming = coming.map(|key| key.to_string());
        answer_json(&json!({"sources": told, "signing_key": coming}))?;
    } else if !everywhere.quiet {
        answer(&text)?;
    }
    let ended = match never.first() {
        Some(key) => Err(Error::Key(KeyError::NeverKey(key.to_string()))),
        None => Ok(()),
    };
    run_result(errors, chosen.len(), everywhere, ended)
}

fn parsed(keys: &[String]) -> Result<Vec<PublicKey>, Error> {
    let parse = |key: &String| {
        let parsed = key.parse();
        parsed.map_err(|_| Error::Key(KeyError::NoPublicKey(key.clone())))
    };
    keys.iter().map(parse).collect()
}

/// Brings the root key's grant for this machine's key up to date.
fn change_grant(
    own: &PublicKey,
    change: &KeyChange,
    (root, roles): (&SigningKey, &[Role]),
    state_dir: &StateDir,
) -> Result<(), Error> {
    let gained = change.add.iter().any(|(key, _)| key == own);
    match (gained, change.remove.contains(own)) {
        (true, _) if roles.contains(&Role::Writer) => state_dir.grant_anew(root, roles),
        // A key that may not archive can't open a ledger either.
        (true, _) | (_, true) => state_dir.withdraw_grant(),
        (false, false) => Ok(()),
    }
}

fn log_line(source: &SourceName, rotated: &Rotated) -> LogLine {
    let line = LogLine::done(source, "keys-rotated").of(&rotated.retired);
    match rotated.entry {
        Some(entry) => line.fact("entry", entry),
        None => line,
    }
}

/// Adds the sources that the catalog knows and the config no longer has: a leaked key must not sign their
/// ledgers any longer.
fn add_gone(config: &mut Config) -> Result<(), Error> {
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    for row in catalog.sources()? {
        if !catalog.entries(&row.ledger)?.is_empty() {
            add_known(row, config)?;
        }
    }
    Ok(())
}

/// Returns the root key's secret from the kit. It must belong to the root key that this machine trusts.
fn root_secret(args: &KeyRotate, config: &Config) -> Result<SigningKey, Error> {
    let root = read_kit(&open_identity_file(&args.kit)?)?
        .root_secret
        .ok_or_else(|| KeyError::NoRootSecret(args.kit.clone()))?;
    match trusted_root(config)? {
        Some(trusted) if trusted != root.public() => Err(KeyError::OtherRoot {
            path: args.kit.clone(),
            found: root.public().to_string(),
            trusted: trusted.to_string(),
        }
        .into()),
        _ => Ok(root),
    }
}

/// Returns the present roles of this machine's key, or else those that a machine needs for its backups.
fn default_roles(
    config: &Config,
    root: &PublicKey,
    state_dir: &StateDir,
) -> Result<Vec<Role>, Error> {
    if let Some(own) = state_dir.signing_public()? {
        let catalog = state_dir.catalog_to_read()?;
        for row in catalog.sources()? {
            let keys = keys_of(&row, root, &catalog)?;
            if let Some((_, roles)) = keys.into_iter().find(|(key, _)| *key == own) {
                return Ok(roles);
            }
        }
    }
    Ok(roles_for(config.prune).to_vec())
}

fn lines(name: &str, rotated: &Rotated, coming: Option<&PublicKey>) -> String {
    let mut text = match (rotated.entry, rotated.keys.is_empty()) {
        (Some(seq), _) => format!("{name}: ledger entry {seq} names the keys\n"),
        (None, false) => format!("{name}: nothing to change\n"),
        (None, true) => format!("{name}: its ledger has no entry yet\n"),
    };
    for (key, roles) in &rotated.keys {
        let here = if Some(key) == coming {
            "  (this machine)"
        } else {
            ""
        };
        writeln!(text, "  {key}  {}{here}", in_words(roles)).expect("a string takes it");
    }
    for archive in &rotated.retired {
        writeln!(text, "  {archive} is retired").expect("a string takes it");
    }
    for archive in &rotated.revived {
        writeln!(text, "  {archive} is back").expect("a string takes it");
    }
    for (archive, why) in &rotated.lost {
        writeln!(text, "  {archive} does not come back: {why}").expect("a string takes it");
    }
    let may_write = |(_, roles): &(PublicKey, Vec<Role>)| roles.contains(&Role::Writer);
    if !rotated.keys.is_empty() && !rotated.keys.iter().any(may_write) {
        text.push_str("  no key may archive there any more\n");
    }
    text
}
