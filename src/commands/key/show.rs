//! `coldchain key show`: this machine's key, and who may sign which ledger.

use std::fmt::Write as _;

use serde_json::json;

use super::{in_words, keys_to_json, trusted_root};
use crate::cli::Everywhere;
use crate::commands::load_to_read;
use crate::commands::output::{answer, answer_json};
use crate::engine::{StateDir, keys_of};
use crate::error::Error;

pub(super) fn run(everywhere: &Everywhere) -> Result<(), Error> {
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
        let is_open = !catalog.entries(&row.ledger)?.is_empty();
        sources.push((row, keys, is_open));
    }
    let text_of = |key: &Option<_>| key.as_ref().map(ToString::to_string);
    let (own, root) = (text_of(&own), text_of(&root));
    if everywhere.json {
        let sources: Vec<_> = sources
            .iter()
            .map(|(row, keys, _)| {
                json!({"source": row.name, "ledger": row.ledger, "keys": keys_to_json(keys)})
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
    for (row, keys, is_open) in &sources {
        writeln!(text, "{}: ledger {}", row.name, row.ledger).expect("a string takes it");
        if *is_open && keys.is_empty() {
            text.push_str("  no root key is trusted here that would say who may sign it\n");
        } else if keys.is_empty() {
            text.push_str("  not opened yet\n");
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
    }
    answer(&text)
}
