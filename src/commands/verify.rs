//! `coldchain verify`: check what is stored, and report what was checked, what was not, and why.

mod report;
mod wanted;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;

use super::identity::{identities_in, open_identity_file};
use super::output::{answer, answer_json};
use super::run_result::run_result;
use super::{
    activity_log, load_to_read, priority, record_if_forced, require_catalog, run_report, sources,
    warn_of_copy,
};
use crate::activity_log::LogLine;
use crate::catalog::{Catalog, SourceRow};
use crate::cli::{Everywhere, Verify};
use crate::config::{Config, Source};
use crate::engine::{
    AtOnce, Drill, OpenSource, ReadablePlace, Repairing, Repairs, RunContext, StateDir, Verified,
    VerifyReport, Verifying, read_kit, root_of_copy, store_url, verify, verify_and_repair,
    witnessed_by,
};
use crate::error::{Error, KeyError, RequestError, RestoreError, VerifyError, in_words};
use crate::interrupt::{self, Interrupt};
use crate::model::keys::is_contents;
use crate::model::{SourceName, VerifyLevel};
use crate::plan::{Damage, Sample};
use crate::progress::{JsonAside, Observer, Quiet};

use report::{to_json, to_text};
use wanted::Wanted;

pub(super) fn run(args: &Verify, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    priority::apply(&config);
    let chosen = sources(&config, args.source.name())?;
    require_catalog(&config, &chosen)?;
    let wanted = Wanted::from(args, &config)?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    warn_of_copy(&catalog);
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let context = RunContext::real(observer.as_ref());
    let mut told = Vec::new();
    let mut errors = Vec::new();
    let mut said = Ok(());
    let mut stopped = Ok(());
    run_report::covers(chosen.iter().map(|source| &source.name));
    for &source in &chosen {
        stopped = context
            .interrupt
            .check()
            .map_err(|error| of_a_check(error, context.interrupt));
        if stopped.is_err() {
            break;
        }
        if args.source.name().is_none()
            && let Some(note) = left_out(&config, source, &wanted, &catalog)?
        {
            if !everywhere.json && !everywhere.quiet {
                let line = format!("{}: note       {note}\n", source.name);
                said = said.and(answer(&line));
            }
            told.push(json!({"source": source.name, "notes": [note]}));
            run_report::source_ended_with("verify", &source.name, Ok(()), 0);
            continue;
        }
        let begun = Instant::now();
        record_if_forced((&log, "verify"), Some(&source.name));
        let checked = check(&config, source, &wanted, &mut catalog, context);
        interrupt::run_is_over();
        let (mut verified, mut repairs) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                let error = of_a_check(error, context.interrupt);
                log.failed("verify", Some(&source.name), &error);
                told.push(json!({"source": source.name, "error": in_words(&error)}));
                match error {
                    Error::Verify(VerifyError::CheckInterrupted(_)) => stopped = Err(error),
                    error => errors.push((source, error)),
                }
                continue;
            }
        };
        verified.broken_off = verified
            .broken_off
            .map(|(level, error)| (level, of_a_check(error, context.interrupt)));
        if let Some(repairs) = &mut repairs {
            let stopped = repairs.stopped.take();
            repairs.stopped = stopped.map(|error| of_a_check(error, context.interrupt));
        }
        let damaged = verified.report.damaged();
        let is_silent = everywhere.quiet && damaged.is_empty();
        if !everywhere.json && !is_silent {
            // A failed write to stdout must not leave the other sources unchecked.
            said = said.and(answer(&to_text(
                &verified,
                &damaged,
                repairs.as_ref(),
                &wanted,
            )));
        }
        told.push(to_json(&verified, &damaged, repairs.as_ref(), &wanted));
        let broken_off = verified.broken_off.map(|(_, error)| error);
        log.write(&line(&source.name, &verified.report, damaged.len(), begun));
        let left = repairs.as_ref().map(|repairs| repairs.unrepaired.len());
        let broken_off = repairs.and_then(|repairs| repairs.stopped).or(broken_off);
        // Damage has precedence over the error of a later level.
        match broken_off {
            Some(error @ Error::Verify(VerifyError::CheckInterrupted(_))) => stopped = Err(error),
            _ if left.unwrap_or(damaged.len()) > 0 => {
                let found =
                    Error::Verify(damage_left(source, verified.report.store, &damaged, left));
                log.failed("verify", Some(&source.name), &found);
                errors.push((source, found));
            }
            Some(error) => {
                log.failed("verify", Some(&source.name), &error);
                errors.push((source, error));
            }
            None => {
                let seconds = begun.elapsed().as_secs();
                run_report::source_ended_with("verify", &source.name, Ok(()), seconds);
            }
        }
    }
    if everywhere.json {
        // A single failure is printed once, as every command prints it.
        if !(chosen.len() == 1 && told.iter().any(|one| one.get("error").is_some())) {
            said = said.and(answer_json(&json!({ "sources": told })));
        }
    }
    run_result(errors, chosen.len(), everywhere, stopped)?;
    said
}

/// Returns the error about damage: of `left` objects after a repair, or of all that was found.
fn damage_left(
    source: &Source,
    store: String,
    damaged: &[Damage],
    left: Option<usize>,
) -> VerifyError {
    let source_name = source.name.clone();
    match left {
        Some(objects) => VerifyError::NotRepaired {
            source_name,
            store,
            objects,
        },
        None if damaged.iter().all(|damage| is_contents(&damage.key)) => {
            VerifyError::ContentsDamaged {
                source_name,
                store,
                objects: damaged.len(),
            }
        }
        None => VerifyError::DamageFound {
            source_name,
            store,
            objects: damaged.len(),
        },
    }
}

/// Returns why a source is left out if it was not named: it may still be waiting for its first backup, or have no
/// copy in the place that was.
fn left_out(
    config: &Config,
    source: &Source,
    wanted: &Wanted,
    catalog: &Catalog,
) -> Result<Option<String>, Error> {
    if catalog.source(&source.name)?.is_none() {
        return Ok(Some("nothing is archived yet".to_owned()));
    }
    let Some(name) = &wanted.place else {
        return Ok(None);
    };
    match ReadablePlace::named(config, source, name, catalog) {
        Err(Error::Restore(RestoreError::NoCopyAt { .. })) => {
            Ok(Some(format!("it has no copy in the store `{name}`")))
        }
        place => place.map(|_| None),
    }
}

/// Returns the log's line about the levels that were checked.
fn line(source: &SourceName, report: &VerifyReport, damaged: usize, begun: Instant) -> LogLine {
    let levels = report.levels.iter().map(|level| level.level.as_str());
    let levels: Vec<&str> = std::iter::once("ledger").chain(levels).collect();
    LogLine::done(source, "verified")
        .fact("levels", levels.join(","))
        .fact("archives", report.archives)
        .fact("damaged", damaged)
        .fact("seconds", begun.elapsed().as_secs())
}

/// Turns an error after a signal into that signal. An interrupted check starts again from the beginning.
fn of_a_check(error: Error, interrupt: &Interrupt) -> Error {
    interrupt.raised().map_or(error, |error| {
        Error::Verify(VerifyError::CheckInterrupted(error))
    })
}

/// Returns the observer that these options ask for. The answer is one document on stdout, so events go to
/// stderr.
fn observer(everywhere: &Everywhere) -> Box<dyn Observer> {
    match (everywhere.json, everywhere.verbose) {
        (true, true) => Box::new(JsonAside),
        (true, false) => Box::new(Quiet),
        (false, _) => super::output::observer(everywhere),
    }
}

impl Wanted {
    fn from(args: &Verify, config: &Config) -> Result<Self, Error> {
        let mut levels = BTreeSet::from([VerifyLevel::Listing]);
        if args.checksums {
            levels.insert(VerifyLevel::Checksums);
        }
        if args.deep {
            levels.insert(VerifyLevel::Deep);
        }
        let drill = args.drill.then(|| match &args.drill_dir {
            Some(directory) => directory.clone(),
            None => config.state_dir.clone(),
        });
        // Open the file once for both, so that a passphrase is asked for once.
        let (identities, kit) = match &args.identity {
            None if args.drill => return Err(Error::Restore(RestoreError::NoIdentity)),
            None => (None, Vec::new()),
            Some(path) if args.deep || args.drill => {
                let file = open_identity_file(path)?;
                let identities = (identities_in(&file)?, path.display().to_string());
                (Some(identities), read_kit(&file)?.sources)
            }
            Some(path) => (None, witnessed_by(path)?),
        };
        let sample = args.sample.map(|percent| {
            let seed = args.seed.unwrap_or_else(|| {
                getrandom::u32()
                    .expect("the kernel gives random bytes")
                    .into()
            });
            Sample { percent, seed }
        });
        Ok(Self {
            levels,
            sample,
            drill,
            identities,
            kit,
            place: args.place.place.clone(),
            repair_from: args.repair_from.clone(),
        })
    }

    /// Returns whether a level was requested.
    fn has(&self, level: VerifyLevel) -> bool {
        match level {
            VerifyLevel::Drill => self.drill.is_some(),
            level => self.levels.contains(&level),
        }
    }
}

fn check(
    config: &Config,
    source: &Source,
    wanted: &Wanted,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<Checked, Error> {
    let place = match &wanted.place {
        Some(name) => ReadablePlace::named(config, source, name, catalog)?,
        None => None,
    };
    catalog.turn_to(place.as_ref().map(|place| place.row.id));
    let checked = check_at(place.as_ref(), config, source, wanted, catalog, context);
    catalog.turn_to(None);
    checked
}

/// The results of a check, and of a repair if one was requested.
type Checked = (Verified, Option<Repairs>);

/// Checks a copy, or home with `None`. The catalog is turned to it.
fn check_at(
    place: Option<&ReadablePlace>,
    config: &Config,
    source: &Source,
    wanted: &Wanted,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<Checked, Error> {
    let other = match &wanted.repair_from {
        Some(name) => Some(other_place(config, source, place, name, catalog)?),
        None => None,
    };
    let source = place.map_or(source, |place| &place.source);
    let mut row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    if let Some(place) = place {
        row = place.row_of(row);
    }
    let store_config = config.store_of(source)?;
    let open = OpenSource {
        config: source,
        row,
        store: context.open(store_config)?,
    };
    let (root, at_its_word) = match StateDir::new(&config.state_dir).root_key() {
        Err(error @ Error::Key(KeyError::NoKeys { .. })) => {
            let named = root_of_copy(&open.row.ledger, catalog)?;
            (named.ok_or(error)?, true)
        }
        root => (root?, false),
    };
    let identities = wanted.identities.as_ref();
    let verifying = Verifying {
        source: &open,
        root: &root,
        levels: &wanted.levels,
        sample: wanted.sample,
        identities: identities.map(|(identities, name)| (identities, name.as_str())),
        drill: wanted.drill.as_ref().map(|directory| Drill {
            directory,
            class: store_config.storage_class(),
        }),
        // The kit knows home's head, and a copy may be behind it.
        kit: if place.is_some() { &[] } else { &wanted.kit },
        at_once: AtOnce {
            asked_for: store_config.uploads(),
            memory_limit: config.memory_limit,
        },
        clock: context.clock,
        observer: context.observer,
        interrupt: context.interrupt,
    };
    let (mut verified, repairs) = match &other {
        None => (verify(&verifying, catalog)?, None),
        Some(other) => {
            let from = OpenSource {
                config: other,
                row: SourceRow {
                    store: store_url(config.store_of(other)?),
                    ..open.row.clone()
                },
                store: context.open(config.store_of(other)?)?,
            };
            let repairing = Repairing {
                config,
                store: store_config,
                mark: place.map(|place| place.row.mark),
                from: &from,
                from_name: wanted.repair_from.as_deref().unwrap_or_default(),
                context,
            };
            let (verified, repairs) = verify_and_repair(&verifying, &repairing, catalog)?;
            (verified, Some(repairs))
        }
    };
    if let Some(place) = place {
        let note = format!("this was a check of the copy in {}", place.row.store);
        verified.report.notes.push(note);
    }
    if at_its_word {
        verified.report.notes.push(
            "no root key is trusted here: the ledger was checked with the root key that its first entry in the catalog names"
                .to_owned(),
        );
    }
    Ok((verified, repairs))
}

/// Returns the source as it is at the place from which objects are put back, which must be another one than the place
/// that is repaired.
fn other_place(
    config: &Config,
    source: &Source,
    repaired: Option<&ReadablePlace>,
    name: &str,
    catalog: &Catalog,
) -> Result<Source, Error> {
    let other = ReadablePlace::named(config, source, name, catalog)?;
    let id = |place: Option<&ReadablePlace>| place.map(|place| place.row.id);
    if id(other.as_ref()) == id(repaired) {
        let at = repaired.map_or(source, |place| &place.source);
        return Err(VerifyError::RepairFromItself {
            source_name: source.name.clone(),
            store: store_url(config.store_of(at)?),
            place: name.to_owned(),
        }
        .into());
    }
    Ok(other.map_or_else(|| source.clone(), |place| place.source))
}
