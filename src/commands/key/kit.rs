//! `coldchain key kit`: update a recovery kit, or print what to add to it.

use std::path::Path;

use serde_json::json;

use super::trusted_root;
use crate::catalog::Catalog;
use crate::cli::{Everywhere, KeyKit};
use crate::commands::load_to_read;
use crate::commands::output::{answer, answer_json};
use crate::config::{Config, SourceOrigin};
use crate::engine::{
    KitChange, StateDir, config_for_kit, file_name, kit_sources, kit_to_change, note_copies_in_kit,
    note_in_kit, update_kit,
};
use crate::error::{Error, KeyError};
use crate::kit::{Kit, KitSource, restore_commands, supplement};
use crate::model::{Line, SourceName};
use crate::owned;
use crate::printing::{shown, warn};

/// The name of a kit in commands, if none is given: the one that `init` uses.
const KIT: &str = "coldchain-recovery-kit.txt";

pub(super) fn run(args: &KeyKit, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let sources = kit_sources(&config, &catalog)?;
    let root = trusted_root(&config)?.ok_or_else(|| no_root(&config))?;
    let written = config_for_kit(&config);
    let Some(path) = &args.kit else {
        let sources = vouched_for(sources, &config, &Kit::default());
        if everywhere.json {
            answer_json(&to_json(None, &sources))?;
        } else {
            answer(&supplement(
                &root.to_string(),
                &sources,
                written.as_ref(),
                KIT,
            ))?;
        }
        return note_all(&mut catalog);
    };
    let (change, sources) = bring_up_to_date(path, &config, &mut catalog, None)?;
    if everywhere.json {
        return answer_json(&to_json(Some((path, change)), &sources));
    }
    if everywhere.quiet {
        return Ok(());
    }
    answer(&in_words(path, change, &sources))
}

/// Brings a kit up to date with the catalog. Of the source `given_up` the kit may know more entries than the catalog.
pub(in crate::commands) fn bring_up_to_date(
    path: &Path,
    config: &Config,
    catalog: &mut Catalog,
    given_up: Option<&SourceName>,
) -> Result<(KitChange, Vec<KitSource>), Error> {
    let root = trusted_root(config)?.ok_or_else(|| no_root(config))?;
    owned::require_way(path)?;
    let kit = kit_to_change(path)?;
    let sources = vouched_for(kit_sources(config, catalog)?, config, &kit);
    if let Some(found) = kit.root.filter(|found| *found != root) {
        return Err(Error::Key(KeyError::OtherRoot {
            path: path.to_owned(),
            found: found.to_string(),
            trusted: root.to_string(),
        }));
    }
    // A kit is a witness: never overwrite a head that it has and the catalog does not have.
    for known in &kit.sources {
        let ours = sources
            .iter()
            .any(|source| source.ledger == known.ledger && Some(&source.name) != given_up);
        if let (true, Some(head)) = (ours, known.head)
            && catalog.entry_hash(&known.ledger, head.seq)? != Some(head.hash)
        {
            return Err(KeyError::KitKnowsMore {
                path: path.to_owned(),
                source_name: known.name.clone(),
                seq: head.seq,
            }
            .into());
        }
    }
    let change = update_kit(path, &sources, config_for_kit(config).as_ref())?;
    note_all(catalog)?;
    Ok((change, sources))
}

fn no_root(config: &Config) -> KeyError {
    KeyError::NoKeys {
        state_dir: config.state_dir.clone(),
        file: "root.pub",
    }
}

/// Notes that a kit, or the printed lines kept with it, names every source in the catalog.
fn note_all(catalog: &mut Catalog) -> Result<(), Error> {
    for row in catalog.sources()? {
        note_in_kit(&row, catalog)?;
        note_copies_in_kit(&row, catalog)?;
    }
    Ok(())
}

/// Returns the sources that a kit may name. A source that a rebuild found in a store is not enough: the
/// config or the kit must name it.
fn vouched_for(sources: Vec<KitSource>, config: &Config, kit: &Kit) -> Vec<KitSource> {
    let configured = |name: Option<&SourceName>| {
        let mut sources = config.sources.iter();
        sources.any(|source| {
            source.origin == SourceOrigin::File && name.is_none_or(|name| source.name == *name)
        })
    };
    // If neither of them names any source, trust the catalog.
    let nobody_says = !configured(None) && kit.sources.is_empty();
    let is_named = |source: &KitSource| {
        let mut known = kit.sources.iter();
        nobody_says
            || configured(Some(&source.name))
            || known.any(|known| known.ledger == source.ledger)
    };
    let (named, strange): (Vec<_>, Vec<_>) = sources.into_iter().partition(is_named);
    for source in strange {
        warn(format_args!(
            "{}: skipped: neither the config nor the kit names its ledger {}",
            source.name, source.ledger
        ));
    }
    named
}

fn to_json(kit: Option<(&Path, KitChange)>, sources: &[KitSource]) -> serde_json::Value {
    let sources: Vec<_> = sources
        .iter()
        .map(|source| {
            json!({
                "source": source.name, "store": source.store, "copies": source.copies, "directory": source.directory,
                "ledger": source.ledger, "entries": source.head.map(|head| head.seq),
                "head": source.head.map(|head| head.hash),
            })
        })
        .collect();
    json!({
        "kit": kit.map(|(path, _)| shown(path)),
        "updated": kit.is_some_and(|(_, change)| change == KitChange::Updated),
        "sources": sources,
    })
}

fn in_words(path: &Path, change: KitChange, sources: &[KitSource]) -> String {
    let mut text = match change {
        KitChange::None => format!("{} is up to date\n", Line(path.display())),
        KitChange::Updated => format!(
            "brought {} up to date: print it and keep it away from this machine\n",
            Line(path.display())
        ),
    };
    if !sources.is_empty() {
        text.push_str("\n# on an empty machine:\n");
        text.push_str(&restore_commands(sources, &file_name(path)));
        text.push_str(
            "\n# without coldchain: docs/restore-without-coldchain.md, and README-RESTORE.txt in the store\n",
        );
    }
    text
}
