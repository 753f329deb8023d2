//! A first run that knows what the config says: it writes it, makes everything, and shows what comes next.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::begin::{NewBlocks, begin};
use super::questions::{Asks, Described, described};
use super::{complete, foreseen, warn_of_config};
use crate::cli::{Everywhere, Init};
use crate::config::{Config, source_blocks, store_block};
use crate::error::Error;
use crate::printing::stderr_is_terminal;

/// Does it, unless nothing says what the config should say. Returns whether it did.
pub(super) fn run(args: &Init, everywhere: &Everywhere) -> Result<bool, Error> {
    let has_terminal = io::stdin().is_terminal() && stderr_is_terminal();
    // A kit of earlier archives has what there is to say.
    let is_new = !super::exists(&args.kit)?;
    let asks = if has_terminal && !everywhere.json && !args.template && (is_new || args.describes())
    {
        Asks::OnTerminal
    } else {
        Asks::Nothing
    };
    let Some(said) = described(args, asks)? else {
        return Ok(false);
    };
    let kit = said.kit.clone();
    let told = begin(&kit, &blocks(&said), everywhere)?;
    let mut config = Config::load(&everywhere.config())?;
    if let Some(state_dir) = &everywhere.state_dir {
        config.state_dir.clone_from(state_dir);
    }
    complete(&config, &kit, told, everywhere)?;
    if everywhere.json {
        warn_of_config(&config, everywhere);
    } else {
        // `doctor` warns of the same.
        foreseen::show(&config, &absolute(&kit), everywhere)?;
    }
    Ok(true)
}

fn blocks(said: &Described) -> NewBlocks {
    NewBlocks {
        sources: Some(source_blocks(&said.sources, said.store.is_some())),
        store: said.store.as_ref().and_then(store_block),
        spare: said.spare.clone(),
        is_ready: true,
    }
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
