//! `coldchain verify`: check what is stored, and say what was checked, what was not, and why.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::backup::end;
use super::output::{answer, answer_json, count};
use super::restore::ask_for_identities;
use super::{load_to_read, sources};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Verify};
use crate::config::{Config, Source};
use crate::engine::{
    Drill, OpenSource, StateDir, VerifyReport, Verifying, World, root_of_copy, verify,
};
use crate::error::{Error, in_words};
use crate::model::VerifyLevel;
use crate::model::size::Bytes;
use crate::plan::{Damage, LevelReport, Sample};
use crate::progress::{Observer, Quiet, Verbose};
use crate::seal::Identities;

/// What was asked for, of every source.
struct Wanted {
    levels: BTreeSet<VerifyLevel>,
    sample: Option<Sample>,
    /// Where the image of a drill goes, if one is asked for.
    drill: Option<PathBuf>,
    /// What opens the archives, and where it came from.
    identities: Option<(Identities, String)>,
}

pub(super) fn run(args: &Verify, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let chosen = sources(&config, args.source.as_deref())?;
    let wanted = Wanted::from(args, &config)?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let observer: Box<dyn Observer> = if everywhere.verbose {
        Box::new(Verbose)
    } else {
        Box::new(Quiet)
    };
    let world = World::real(observer.as_ref());
    let mut told = Vec::new();
    let mut errors = Vec::new();
    let mut said = Ok(());
    let mut stopped = Ok(());
    for source in &chosen {
        stopped = world.interrupt.check();
        if stopped.is_err() {
            break;
        }
        match check(&config, source, &wanted, &mut catalog, world) {
            Ok(report) => {
                let damaged = report.damaged();
                let is_silent = everywhere.quiet && damaged.is_empty();
                if !everywhere.json && !is_silent {
                    // What can't be said must not leave the other sources unchecked.
                    said = said.and(answer(&to_text(&report, &damaged, &wanted)));
                }
                told.push(to_json(&report, &damaged, &wanted));
                if !damaged.is_empty() {
                    let found = Error::DamageFound {
                        source_name: source.name.clone(),
                        store: report.store,
                        objects: damaged.len(),
                    };
                    errors.push((source, found));
                }
            }
            Err(error) => {
                told.push(json!({"source": source.name, "error": in_words(&error)}));
                errors.push((source, error));
            }
        }
    }
    if everywhere.json {
        said = said.and(match told.as_mut_slice() {
            // A single failure is told once, as every command tells it.
            [one] if chosen.len() == 1 && one.get("error").is_some() => Ok(()),
            [one] if chosen.len() == 1 => answer_json(one),
            _ => answer_json(&json!({ "sources": told })),
        });
    }
    end(errors, chosen.len(), everywhere, stopped)?;
    said
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
        let identities = match &args.identity {
            None if args.drill => return Err(Error::NoIdentity),
            Some(file) if args.deep || args.drill => {
                Some((ask_for_identities(file)?, file.display().to_string()))
            }
            _ => None,
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
        })
    }
}

fn check(
    config: &Config,
    source: &Source,
    wanted: &Wanted,
    catalog: &mut Catalog,
    world: World<'_>,
) -> Result<VerifyReport, Error> {
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| Error::NeverArchived(source.name.clone()))?;
    let store_config = &config.stores[&source.store];
    let store = world.open(store_config)?;
    let open = OpenSource {
        config: source,
        row,
        store: store.as_ref(),
    };
    let (root, at_its_word) = match StateDir::new(&config.state_dir).root_key() {
        Err(error @ Error::NoKeys { .. }) => {
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
            observer: world.observer,
        }),
        at_once: store_config.uploads(),
        clock: world.clock,
        interrupt: world.interrupt,
    };
    let mut report = verify(&verifying, catalog)?;
    if at_its_word {
        report.notes.push(
            "no root key is trusted here: the ledger was checked by the one that the catalog's first entry names"
                .to_owned(),
        );
    }
    Ok(report)
}

fn to_json(report: &VerifyReport, damaged: &[Damage], wanted: &Wanted) -> Value {
    let levels: Vec<Value> = report
        .levels
        .iter()
        .map(|level| {
            let not_checked: Vec<Value> = level
                .unchecked_by_reason()
                .into_iter()
                .map(|(why, objects)| json!({"objects": objects, "why": why.to_string()}))
                .collect();
            json!({
                "level": level.level.as_str(), "checked": level.checked(),
                "unchecked": level.unchecked(), "not_opened": level.hashed(),
                "damaged": level.damaged().len(), "why_unchecked": not_checked,
            })
        })
        .collect();
    let damaged: Vec<Value> = damaged
        .iter()
        .map(|damage| {
            json!({
                "archive": damage.archive, "segment": damage.segment, "key": damage.key,
                "what": damage.what,
            })
        })
        .collect();
    let last = report.levels.last();
    json!({
        "source": report.source, "level": last.map(|level| level.level.as_str()),
        "checked": last.map_or(0, LevelReport::checked),
        "unchecked": last.map_or(0, LevelReport::unchecked),
        "damaged": damaged, "levels": levels,
        "ledger": {"valid": report.ledger.valid, "known": report.ledger.known},
        "sample": wanted.sample.map(|sample| json!({"percent": sample.percent, "seed": sample.seed})),
        "strays": report.strays, "notes": notes(report),
    })
}

fn notes(report: &VerifyReport) -> Vec<&String> {
    report.ledger.notes.iter().chain(&report.notes).collect()
}

/// A line for the ledger, one for each level, done or not, and one for all that is to be told.
fn to_text(report: &VerifyReport, damaged: &[Damage], wanted: &Wanted) -> String {
    let name = &report.source;
    let mut text = String::new();
    let mut line = |what: &str, words: String| {
        writeln!(text, "{name}: {what:9}  {words}").expect("writing to a string does not fail");
    };
    line("ledger", ledger(report));
    for level in VerifyLevel::ALL {
        let done = report.levels.iter().find(|done| done.level == level);
        let words = match done {
            Some(done) => in_full(done, report, wanted),
            None => not_asked_for(level, report),
        };
        if !words.is_empty() {
            line(level.as_str(), words);
        }
    }
    for note in notes(report) {
        line("note", note.clone());
    }
    for stray in &report.strays {
        line("stray", format!("{stray}: no ledger entry names it"));
    }
    for damage in damaged {
        line("DAMAGED", format!("{}: {}", damage.key, damage.what));
    }
    if damaged.is_empty() {
        line(
            "result",
            "nothing that was checked is missing or damaged".to_owned(),
        );
    }
    text
}

fn ledger(report: &VerifyReport) -> String {
    let ledger = &report.ledger;
    let valid = format!(
        "{} checked from the first on: signatures, numbers, chain of hashes, and against the {} that the catalog knows",
        entries(ledger.valid),
        ledger.known
    );
    match ledger.damaged.len() as u64 {
        0 => valid,
        damaged => format!("{valid}; {damaged} missing or damaged"),
    }
}

fn entries(n: u64) -> String {
    if n == 1 {
        "1 entry".to_owned()
    } else {
        format!("{n} entries")
    }
}

/// What was done on a level, and what was not.
fn in_full(level: &LevelReport, report: &VerifyReport, wanted: &Wanted) -> String {
    let objects = count(level.checked(), "object");
    let mut words = match level.level {
        VerifyLevel::Listing => format!(
            "{objects} of {} looked for by name and size",
            count(report.archives, "archive")
        ),
        VerifyLevel::Checksums => {
            format!("{objects} held against the SHA-256 that the store keeps")
        }
        VerifyLevel::Deep => format!("{objects} fetched and hashed"),
        VerifyLevel::Drill => format!(
            "{} restored onto a filesystem of their own and compared",
            count(level.checked(), "archive")
        ),
    };
    if level.level == VerifyLevel::Deep {
        match (level.hashed(), &wanted.identities) {
            (0, _) if wanted.identities.is_some() => words += ", decrypted, decompressed and read",
            (0, _) => {}
            (hashed, None) => {
                let _ = write!(
                    words,
                    "; {hashed} not opened: there is no --identity to open them with"
                );
            }
            (hashed, Some(_)) => {
                let _ = write!(
                    words,
                    "; {hashed} not opened: the identity does not open their archives"
                );
            }
        }
    }
    for (why, objects) in level.unchecked_by_reason() {
        let _ = write!(words, "; {objects} not: {why}");
    }
    if let (VerifyLevel::Deep, Some(sample)) = (level.level, wanted.sample) {
        let _ = write!(
            words,
            " (--sample {} --seed {})",
            sample.percent, sample.seed
        );
    }
    words
}

/// What a level that was not asked for would do; nothing where another has done it.
fn not_asked_for(level: VerifyLevel, report: &VerifyReport) -> String {
    let mut done = report.levels.iter().map(|done| done.level);
    match level {
        VerifyLevel::Listing => String::new(),
        VerifyLevel::Checksums if done.any(|done| done == VerifyLevel::Deep) => String::new(),
        VerifyLevel::Checksums => format!(
            "not asked for: --checksums asks the store for the SHA-256 of {}, with a request each",
            count(report.objects, "object")
        ),
        VerifyLevel::Deep => format!(
            "not read: --deep fetches {}, {}",
            count(report.segments, "segment"),
            Bytes(report.sealed_bytes)
        ),
        VerifyLevel::Drill => {
            "not tried: --drill restores the newest chain onto a filesystem of its own".to_owned()
        }
    }
}
