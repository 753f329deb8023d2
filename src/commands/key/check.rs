//! `coldchain key check`: prove on the store what an identity opens.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::trusted_root;
use crate::cli::{Everywhere, KeyCheck};
use crate::commands::identity::{identities_in, open_identity_file};
use crate::commands::output::{answer, answer_json, count};
use crate::commands::{load_to_read, sources};
use crate::engine::{ChainOpens, StateDir, Tried, check_identity, open_store, read_kit};
use crate::error::{Error, KeyError, RestoreError, VerifyError};
use crate::model::{Line, SourceName};
use crate::progress::Quiet;

pub(super) fn run(args: &KeyCheck, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let chosen = sources(&config, args.source.name())?;
    let path = args.identity.as_ref().ok_or(RestoreError::NoIdentity)?;
    let file = open_identity_file(path)?;
    let identities = identities_in(&file)?;
    let identity = path.display().to_string();
    let kit = read_kit(&file)?;
    let trusted = trusted_root(&config)?;
    if let (Some(found), Some(trusted)) = (&kit.root, &trusted)
        && found != trusted
    {
        return Err(Error::Key(KeyError::OtherRoot {
            path: path.clone(),
            found: found.to_string(),
            trusted: trusted.to_string(),
        }));
    }
    let root = match (&kit.root_secret, &trusted) {
        (Some(_), Some(_)) => "matches the root key that is trusted here",
        (Some(_), None) => "is in this file, but no root key is trusted here to compare it with",
        (None, _) => "is not in this file",
    };
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let mut checked: Vec<(SourceName, Vec<ChainOpens>)> = Vec::new();
    for source in chosen {
        let Some(row) = catalog.source(&source.name)? else {
            checked.push((source.name.clone(), Vec::new()));
            continue;
        };
        let store = open_store(config.store_of(source)?, &Quiet)?;
        let with = (&identities, identity.as_str());
        let chains = check_identity(&row, store.as_ref(), with, &catalog)?;
        checked.push((source.name.clone(), chains));
    }
    if everywhere.json {
        answer_json(&to_json(kit.root_secret.is_some(), &checked))?;
    } else if !everywhere.quiet {
        answer(&format!("{}root secret: {root}\n", to_text(&checked)))?;
    }
    let chains: Vec<&ChainOpens> = checked.iter().flat_map(|(_, chains)| chains).collect();
    let unopened = chains.iter().map(|chain| chain.unopened.len()).sum();
    if unopened > 0 {
        return Err(KeyError::Unopened {
            identity,
            unopened,
            of: chains.iter().map(|chain| chain.archives.len()).sum(),
        }
        .into());
    }
    match chains.iter().filter(|chain| !chain.is_good()).count() {
        0 => Ok(()),
        damaged => Err(VerifyError::ChainsDamaged {
            damaged,
            of: chains.len(),
        }
        .into()),
    }
}

fn to_text(checked: &[(SourceName, Vec<ChainOpens>)]) -> String {
    let mut text = String::new();
    for (name, chains) in checked {
        if chains.is_empty() {
            writeln!(text, "{name}: nothing is archived").expect("a string takes it");
        }
        for chain in chains {
            let opened = chain.archives.len() - chain.unopened.len();
            writeln!(
                text,
                "{name}: chain of {}: {opened} of {} opened; newest archive {}: key.age {}, first segment {}",
                chain.chain.date,
                count(chain.archives.len() as u64, "archive"),
                chain.newest.date,
                tried(&chain.key_object, "matches the ledger"),
                tried(&chain.segment, "opened"),
            )
            .expect("a string takes it");
            for archive in &chain.unopened {
                writeln!(text, "  not opened: {archive}").expect("a string takes it");
            }
        }
    }
    text
}

fn tried(tried: &Tried, good: &str) -> String {
    match tried {
        Tried::Good => good.to_owned(),
        Tried::Not(why) => format!("not tried: {}", Line(why)),
        Tried::Bad(what) => format!("BAD: {}", Line(what)),
    }
}

fn to_json(root_secret: bool, checked: &[(SourceName, Vec<ChainOpens>)]) -> Value {
    let tried = |tried: &Tried| match tried {
        Tried::Good => json!({"result": "good"}),
        Tried::Not(why) => json!({"result": "not-tried", "why": why}),
        Tried::Bad(what) => json!({"result": "bad", "why": what}),
    };
    let sources: Vec<Value> = checked
        .iter()
        .map(|(name, chains)| {
            let chains: Vec<Value> = chains
                .iter()
                .map(|chain| {
                    json!({
                        "id": chain.chain.date, "archives": chain.archives,
                        "unopened": chain.unopened, "newest": chain.newest,
                        "key_age": tried(&chain.key_object), "segment": tried(&chain.segment),
                    })
                })
                .collect();
            json!({"source": name, "chains": chains})
        })
        .collect();
    json!({"root_secret": root_secret, "sources": sources})
}
