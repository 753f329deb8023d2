//! `coldchain catalog rebuild`: read the ledgers of a store into a new catalog.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{config_if_any, identities, identity_file, state_dir, trusted};
use crate::activity_log::{ActivityLog, LogLevel, LogLine};
use crate::cli::{CatalogRebuild, Everywhere};
use crate::commands::output::observer;
use crate::commands::output::{answer, answer_json, count};
use crate::commands::{activity_log, recorded, warn_readers};
use crate::config::{Config, StoreConfig};
use crate::engine::{
    AsOf, CopyFound, ImportedLedger, Rebuilding, Rebuilt, RunContext, StateDir, Trusted,
    Unfinished, rebuild, store_url,
};
use crate::error::{Error, LedgerStateError, RebuildError, in_words};
use crate::model::Line;
use crate::model::size::Bytes;
use crate::printing::shown;

pub(in crate::commands) fn run(
    args: &CatalogRebuild,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let config = config_if_any(everywhere)?;
    let state_dir = state_dir(config.as_ref(), everywhere)?;
    let stores = stores(&args.store, config.as_ref(), &state_dir)?;
    let file = identity_file(&args.trust)?;
    let trusted = match trusted(&args.trust, file.as_ref(), &state_dir) {
        Err(Error::Rebuild(RebuildError::NobodyTrusted)) if args.unauthenticated => {
            Trusted::nobody()
        }
        trusted => trusted?,
    };
    let identities = identities(file.as_ref(), &trusted)?;
    let identity_name = file
        .map(|file| file.path().display().to_string())
        .unwrap_or_default();
    let log = config.as_ref().map_or(ActivityLog::none(), activity_log);
    let observer = log.beside(observer(everywhere));
    let rebuilding = Rebuilding {
        state_dir: &state_dir,
        stores: &stores,
        trusted: &trusted,
        identities: identities
            .as_ref()
            .map(|identities| (identities, identity_name.as_str())),
        config: config.as_ref(),
        unfinished: if args.yes {
            Unfinished::GiveUp
        } else {
            Unfinished::Keep
        },
        included: &args.include,
        as_of: args.as_of.map(|entry| AsOf {
            entry,
            only: args.only.as_deref(),
        }),
    };
    let rebuilt = recorded(
        (&log, "catalog rebuild"),
        None,
        || rebuild(&rebuilding, RunContext::real(observer.as_ref())),
        |rebuilt| {
            let sources = rebuilt.read.iter().map(|read| &read.source);
            let line = LogLine::new(LogLevel::Info, None, "catalog-rebuilt").of(sources);
            line.fact("damaged", rebuilt.damage())
        },
    )?;
    if everywhere.json {
        answer_json(&to_json(&rebuilt))?;
    } else if !everywhere.quiet
        || rebuilt.damage() > 0
        || rebuilt.newer().is_some()
        || !rebuilt.unread.is_empty()
    {
        answer(&to_text(&rebuilt))?;
    }
    warn_readers(&state_dir.catalog_to_read()?)?;
    match (rebuilt.damage(), rebuilt.newer()) {
        (0, None) if !rebuilt.unread.is_empty() => {
            Err(RebuildError::StoresUnread(rebuilt.unread.len()).into())
        }
        (0, None) => Ok(()),
        (0, Some((source_name, what))) => {
            Err(LedgerStateError::NewerLedger { source_name, what }.into())
        }
        (damage, _) => Err(RebuildError::Flawed(damage).into()),
    }
}

/// Returns the named stores, with their settings from the config if it has them; or all stores of the config
/// if none was named.
fn stores(
    urls: &[String],
    config: Option<&Config>,
    state_dir: &StateDir,
) -> Result<Vec<StoreConfig>, Error> {
    let configured: Vec<&StoreConfig> = config
        .iter()
        .flat_map(|config| {
            let used = config.sources.iter().flat_map(|source| {
                let copies = source.copies.iter().map(String::as_str);
                source.store.as_deref().into_iter().chain(copies)
            });
            let used: std::collections::BTreeSet<&str> = used.collect();
            used.into_iter().map(|name| &config.stores[name])
        })
        .collect();
    if urls.is_empty() {
        if configured.is_empty() {
            return Err(RebuildError::NoStore.into());
        }
        return Ok(configured.into_iter().cloned().collect());
    }
    urls.iter()
        .map(|url| {
            let typed = StoreConfig::from_url(url)?.with_state_dir(state_dir.path());
            let place = store_url(&typed);
            let mut stores = config.iter().flat_map(|config| config.stores.values());
            let known = stores.find(|store| store_url(store) == place);
            Ok(match (known, config) {
                (Some(known), _) => known.clone(),
                (None, Some(config)) => typed.with_memory(config.memory_limit),
                (None, None) => typed,
            })
        })
        .collect()
}

fn to_text(rebuilt: &Rebuilt) -> String {
    let mut text = String::new();
    for read in &rebuilt.read {
        text.push_str(&ledger_to_text(read));
    }
    for (place, why) in &rebuilt.left_out {
        line(&mut text, format_args!("{place} was left out: {why}"));
    }
    for (place, error) in &rebuilt.refused {
        line(
            &mut text,
            format_args!("{place} was refused: {}", in_words(error)),
        );
        if let (
            Error::Rebuild(RebuildError::CopyAhead(_) | RebuildError::CopyDiffers(_)),
            Some(hint),
        ) = (error, error.hint())
        {
            line(&mut text, format_args!("  {hint}"));
        }
    }
    for (url, error) in &rebuilt.unread {
        line(
            &mut text,
            format_args!("{url} was not read: {}", in_words(error)),
        );
        if let Some(hint) = error.hint() {
            line(&mut text, format_args!("  {hint}"));
        }
    }
    for remark in &rebuilt.remarks {
        line(&mut text, format_args!("{remark}"));
    }
    if let Some(kept) = &rebuilt.kept {
        line(
            &mut text,
            format_args!("the old catalog is kept as {}", kept.display()),
        );
    }
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(text, "{}", Line(words)).expect("writing to a string does not fail");
}

fn ledger_to_text(read: &ImportedLedger) -> String {
    let mut text = String::new();
    let name = &read.source;
    line(
        &mut text,
        format_args!(
            "{name}: {} read, {}",
            entries(read.entries),
            count(read.archives, "archive"),
        ),
    );
    for flaw in &read.flaws {
        line(&mut text, format_args!("{name}: {}", flaw.in_words()));
    }
    for copy in &read.copies {
        line(
            &mut text,
            format_args!("{name}: {}", copy_in_words(copy, read)),
        );
    }
    if read.unnamed.objects > 0 {
        line(
            &mut text,
            format_args!(
                "{name}: no entry names {} of {}, {}",
                count(read.unnamed.objects, "object"),
                count(read.unnamed.attempts, "attempt"),
                Bytes(read.unnamed.bytes)
            ),
        );
    }
    if read.sealed > 0 {
        line(
            &mut text,
            format_args!(
                "{name}: the private facts of {} stay sealed: no identity was given that opens them",
                count(read.sealed, "archive")
            ),
        );
    }
    if read.pins > 0 {
        line(
            &mut text,
            format_args!("{name}: {} found again here", count(read.pins, "snapshot")),
        );
    }
    if read.of_unknown_origin > 0 {
        line(
            &mut text,
            format_args!(
                "{name}: {} of unknown origin here, which coldchain will never delete",
                count(read.of_unknown_origin, "snapshot")
            ),
        );
    }
    text
}

/// Returns what a copy has.
fn copy_in_words(copy: &CopyFound, read: &ImportedLedger) -> String {
    let of = count(read.archives, "archive");
    let has = match copy.archives {
        has if has == read.archives => format!("all {of}"),
        has => format!("{has} of {of}"),
    };
    let store = &copy.store;
    match read.head.map_or(0, |head| head.seq) {
        head if head > copy.head => format!(
            "its copy in {store} is behind: it has entries up to {}, home up to {head}, and {has}",
            copy.head
        ),
        _ => format!("its copy in {store} has {has}"),
    }
}

fn entries(n: u64) -> String {
    if n == 1 {
        "1 entry".to_owned()
    } else {
        format!("{n} entries")
    }
}

fn to_json(rebuilt: &Rebuilt) -> Value {
    let sources: Vec<Value> = rebuilt
        .read
        .iter()
        .map(|read| {
            let flaws: Vec<Value> = read
                .flaws
                .iter()
                .map(|flaw| json!({"kind": flaw.kind(), "what": flaw.in_words()}))
                .collect();
            let copies: Vec<Value> = read
                .copies
                .iter()
                .map(|copy| {
                    json!({"store": copy.store, "head": copy.head, "archives": copy.archives})
                })
                .collect();
            json!({
                "name": read.source, "directory": read.directory, "ledger": read.ledger,
                "entries": read.entries, "archives": read.archives,
                "head": read.head.map(|head| json!({"seq": head.seq, "hash": head.hash})),
                "flaws": flaws, "copied": read.copied, "copies": copies, "sealed": read.sealed, "snapshots": read.pins,
                "snapshots_of_unknown_origin": read.of_unknown_origin,
                "unnamed": {
                    "attempts": read.unnamed.attempts, "objects": read.unnamed.objects,
                    "bytes": read.unnamed.bytes,
                },
            })
        })
        .collect();
    let left_out: Vec<Value> = rebuilt
        .left_out
        .iter()
        .map(|(place, why)| json!({"place": place, "why": why}))
        .collect();
    let refused: Vec<Value> = rebuilt
        .refused
        .iter()
        .map(|(place, error)| json!({"place": place, "why": in_words(error)}))
        .collect();
    let unread: Vec<Value> = rebuilt
        .unread
        .iter()
        .map(|(store, error)| json!({"store": store, "why": in_words(error)}))
        .collect();
    json!({
        "sources": sources, "left_out": left_out, "refused": refused, "unread": unread, "remarks": rebuilt.remarks,
        "kept": rebuilt.kept.as_deref().map(shown),
    })
}
