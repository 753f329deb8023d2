//! What an empty machine makes of a store whose ledger was tampered with: it has the recovery kit, and no
//! catalog to hold anything against.

use std::collections::BTreeSet;
use std::sync::Arc;

use coldchain::catalog::Catalog;
use coldchain::config::StoreConfig;
use coldchain::engine::{
    OpenStore, Rebuilding, RunContext, StateDir, Trusted, Unfinished, rebuild,
};
use coldchain::error::ExitCode;
use coldchain::kit::KitSource;
use coldchain::ledger::Head;
use coldchain::model::{ArchiveId, LedgerId};
use coldchain::progress::Quiet;

use super::mutation::Mutation;
use super::shelf::Shelf;
use crate::common::lab::SOURCE;

/// How it ended.
#[derive(Debug)]
pub(crate) enum Made {
    /// The ledger was refused as a whole.
    Refused,
    /// What was sound was read, and this was said of the rest.
    Read {
        /// Whether that ends with exit code 6.
        damage: bool,
        /// What `verify` names then, and what the rebuild said.
        said: Vec<String>,
    },
}

/// Everything that can be done to a ledger, on every entry of it.
pub(crate) fn every_mutation(shelf: &Shelf) -> Vec<Mutation> {
    let entries = shelf.keys_ending(".entry");
    let mut all = vec![Mutation::ForgeNext, Mutation::ForgeAll];
    all.extend((1..=entries.len()).map(Mutation::LoseTail));
    for (at, entry) in entries.iter().enumerate() {
        let length = shelf.bytes(entry).len();
        let next = &entries[(at + 1) % entries.len()];
        all.extend([
            Mutation::Delete(entry.clone()),
            Mutation::Truncate(entry.clone(), length / 2),
            Mutation::Extend(entry.clone(), 1),
            Mutation::Flip(entry.clone(), length / 3),
            Mutation::Swap(entry.clone(), next.clone()),
            Mutation::Replay(next.clone(), entry.clone()),
            Mutation::ReplayAsNext(entry.clone()),
            Mutation::Forge(entry.clone()),
        ]);
    }
    all
}

impl Shelf {
    /// Rebuilds a catalog on an empty machine, and verifies by it. Panics if anything is taken for an
    /// archive that is none, or for another than it is.
    pub(crate) fn made_elsewhere(&self) -> Made {
        let (lab, identities) = (self.lab(), self.identities());
        let config = &lab.config;
        let own = lab.catalog();
        let row = own.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let (seq, hash) = own.head(&row.ledger).unwrap().unwrap();
        let kit = vec![KitSource {
            name: row.name.clone(),
            store: "file:///in/memory".to_owned(),
            directory: row.directory.clone(),
            ledger: row.ledger,
            copies: Vec::new(),
            head: Some(Head { seq, hash }),
        }];
        let trusted = Trusted {
            roots: vec![StateDir::new(&config.state_dir).root_key().unwrap()],
            sources: kit.clone(),
            ..Trusted::default()
        };
        let elsewhere = tempfile::tempdir().unwrap();
        let state_dir = StateDir::new(elsewhere.path());
        let store_config: &StoreConfig = config.store_of(&config.sources[0]).unwrap();
        let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(&lab.store)));
        let rebuilding = Rebuilding {
            state_dir: &state_dir,
            stores: std::slice::from_ref(store_config),
            trusted: &trusted,
            identities: Some((identities, "the identity")),
            config: None,
            unfinished: Unfinished::Keep,
            included: &[],
            as_of: None,
        };
        let context = RunContext {
            stores,
            ..RunContext::real(&Quiet)
        };
        let rebuilt = match rebuild(&rebuilding, context) {
            Ok(rebuilt) => rebuilt,
            Err(error) => {
                assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
                return Made::Refused;
            }
        };
        if rebuilt.read.is_empty() {
            assert!(rebuilt.damage() > 0, "{rebuilt:?}");
            return Made::Refused;
        }
        let mut catalog = state_dir.catalog().unwrap();
        is_part_of(&catalog, &own, &row.ledger);
        let mut said: Vec<String> = rebuilt.read[0]
            .flaws
            .iter()
            .map(coldchain::engine::Flaw::in_words)
            .collect();
        match self.verified(&mut catalog, &kit) {
            Ok(report) => {
                let damaged = report.damaged().into_iter().map(|damage| damage.key);
                said.extend(damaged.chain(report.strays).chain(report.ledger.notes));
            }
            Err(error) => assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}"),
        }
        Made::Read {
            damage: rebuilt.damage() > 0,
            said,
        }
    }
}

/// Panics unless every archive of the one catalog is one of the other's, segment by segment.
fn is_part_of(rebuilt: &Catalog, own: &Catalog, ledger: &LedgerId) {
    let known: BTreeSet<ArchiveId> = own
        .archives(ledger)
        .unwrap()
        .iter()
        .map(|archive| archive.id)
        .collect();
    for archive in rebuilt.archives(ledger).unwrap() {
        assert!(known.contains(&archive.id), "{} was never made", archive.id);
        let records = |catalog: &Catalog| {
            let segments = catalog.segments(&archive.id).unwrap();
            segments
                .into_iter()
                .map(|segment| segment.record)
                .collect::<Vec<_>>()
        };
        assert_eq!(records(rebuilt), records(own), "{}", archive.id);
    }
}
