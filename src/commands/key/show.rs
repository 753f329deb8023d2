//! `coldchain key show`: this machine's key, and who may sign which ledger.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{in_words, keys_to_json, trusted_root};
use crate::cli::{Everywhere, KeyShow};
use crate::commands::load_to_read;
use crate::commands::output::{answer, answer_json};
use crate::engine::{SignedEntry, StateDir, entries_of, keys_of};
use crate::error::Error;
use crate::model::Quoted;

pub(super) fn run(args: &KeyShow, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let state_dir = StateDir::new(&config.state_dir);
    let own = state_dir.signing_public()?;
    let root = trusted_root(&config)?;
    let catalog = state_dir.catalog_to_read()?;
    let mut sources = Vec::new();
    for row in catalog.sources()? {
        let keys = match &root {
            Some(root) => keys_of(&row, root, &catalog)?,
            None => Vec::new(),
        };
        let entries = match &root {
            Some(root) if args.entries => entries_of(&row, root, &catalog)?,
            _ => Vec::new(),
        };
        let is_open = !catalog.entries(&row.ledger)?.is_empty();
        sources.push((row, keys, is_open, entries));
    }
    let text_of = |key: &Option<_>| key.as_ref().map(ToString::to_string);
    let (own, root) = (text_of(&own), text_of(&root));
    if everywhere.json {
        let sources: Vec<_> = sources
            .iter()
            .map(|(row, keys, _, entries)| {
                let mut shown =
                    json!({"source": row.name, "ledger": row.ledger, "keys": keys_to_json(keys)});
                if args.entries {
                    shown["entries"] = entries.iter().map(entry_to_json).collect();
                }
                shown
            })
            .collect();
        return answer_json(&json!({"signing_key": own, "root_key": root, "sources": sources}));
    }
    let none = || "none".to_owned();
    let mut text = format!(
        "signing key  {}\nroot key     {}\n",
        own.clone().unwrap_or_else(none),
        root.unwrap_or_else(none)
    );
    for (row, keys, is_open, entries) in &sources {
        writeln!(text, "{}: ledger {}", row.name, row.ledger).expect("a string takes it");
        if *is_open && keys.is_empty() {
            text.push_str(
                "  no root key is trusted here, so it is not known which keys may sign it\n",
            );
        } else if keys.is_empty() {
            text.push_str("  no entry yet\n");
        }
        for (key, roles) in keys {
            let key = key.to_string();
            let here = if own.as_ref() == Some(&key) {
                "  (this machine)"
            } else {
                ""
            };
            writeln!(text, "  {key}  {}{here}", in_words(roles)).expect("a string takes it");
        }
        for entry in entries {
            write_entry(&mut text, entry);
        }
    }
    answer(&text)
}

fn write_entry(text: &mut String, entry: &SignedEntry) {
    let SignedEntry {
        seq,
        made_at,
        kind,
        by,
        archives,
    } = entry;
    let kind = Quoted(kind).to_string();
    writeln!(text, "  entry {seq:<5} {made_at}  {kind:<8} {by}").expect("a string takes it");
    for archive in archives {
        writeln!(text, "    {archive}").expect("a string takes it");
    }
}

fn entry_to_json(entry: &SignedEntry) -> Value {
    json!({
        "entry": entry.seq, "made_at": entry.made_at, "kind": entry.kind, "key": entry.by.to_string(),
        "archives": entry.archives,
    })
}
