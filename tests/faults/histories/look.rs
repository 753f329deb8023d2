//! What must be true of the store and the catalog, whatever has happened.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coldchain::engine::{
    OpenStore, Rebuilding, RunContext, StateDir, Trusted, Unfinished, rebuild,
};
use coldchain::model::entry::ArchiveEntry;
use coldchain::model::{ArchiveId, Sha256, keys};
use coldchain::progress::Quiet;
use coldchain::seal::{ArchiveKey, open_segment};
use coldchain::store::Store;

use super::life::Life;
use super::streams::Printed;
use crate::common::lab::SOURCE;
use crate::common::replicated::replicated;

impl Life<'_> {
    /// Looks at everything after a run that was sent that stream, and returns the archives that are new.
    pub(super) fn look(&mut self, sent: Option<Printed>) -> Vec<ArchiveId> {
        let new = self.ledger.read(&self.lab.store);
        let listed = self.lab.store.list("").unwrap();
        let mut lengths = BTreeMap::new();
        for object in listed {
            let sha256 = object.stat.sha256.unwrap();
            let before = self.written.insert(object.key.clone(), sha256);
            assert!(
                before.is_none_or(|before| before == sha256),
                "{} was written twice, with other bytes",
                object.key
            );
            lengths.insert(object.key, object.stat.bytes);
        }
        for entry in &new {
            let sent = sent.expect("a stream is archived that was sent as a whole");
            assert!(
                self.stream(entry) == sent.bytes(),
                "{} is not what was sent",
                entry.id
            );
            let before = self.stands.insert(entry.date, (entry.id, sent));
            assert_eq!(before, None, "a date is archived twice");
        }
        for (id, entry) in &self.ledger.archives {
            assert!(
                lengths.contains_key(&keys::archive_key(SOURCE, id)),
                "{id} has no key"
            );
            for (record, index) in entry.segments.iter().zip(0..) {
                let key = keys::segment(SOURCE, id, index, &record.sha256);
                assert_eq!(lengths.get(&key), Some(&record.sealed_bytes), "{key}");
            }
        }
        let open = self.open_attempts();
        assert!(
            open.len() <= 1,
            "more than one attempt is unfinished: {open:?}"
        );
        new.iter().map(|entry| entry.id).collect()
    }

    /// The stream of an archive, from what is stored.
    pub(super) fn stream(&self, entry: &ArchiveEntry) -> Vec<u8> {
        let store = &self.lab.store;
        let sealed = BASE64.decode(&entry.key).unwrap();
        let beside = store.locate(&keys::archive_key(SOURCE, &entry.id));
        assert_eq!(store.get(&beside, u64::MAX).unwrap(), sealed, "key.age");
        let key = ArchiveKey::unseal(&sealed, &self.identities).unwrap();
        let mut stream = Vec::new();
        for (record, index) in entry.segments.iter().zip(0..) {
            let at = store.locate(&keys::segment(SOURCE, &entry.id, index, &record.sha256));
            let sealed = store.get(&at, u64::MAX).unwrap();
            assert_eq!(Sha256::of(&sealed), record.sha256);
            open_segment(&sealed, &key, record.raw_bytes)
                .unwrap()
                .read_to_end(&mut stream)
                .unwrap();
        }
        stream
    }

    /// Panics unless a catalog that is made anew from the store says of the ledger what this one says.
    pub(super) fn can_be_rebuilt(&self) {
        let (_, row) = self.catalog();
        let row = row.expect("it is known");
        let config = &self.lab.config;
        let elsewhere = config.state_dir.parent().unwrap().join("rebuilt");
        let _ = fs::remove_dir_all(&elsewhere);
        let trusted = Trusted {
            roots: vec![StateDir::new(&config.state_dir).root_key().unwrap()],
            ..Trusted::default()
        };
        let rebuilding = Rebuilding {
            state_dir: &StateDir::new(&elsewhere),
            stores: &[config.store_of(&config.sources[0]).unwrap().clone()],
            trusted: &trusted,
            identities: None,
            config: None,
            unfinished: Unfinished::Keep,
            included: &[],
            as_of: None,
        };
        let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(&self.lab.store)));
        let context = RunContext {
            stores,
            ..RunContext::real(&Quiet)
        };
        let rebuilt = rebuild(&rebuilding, context).unwrap();
        assert_eq!(rebuilt.damage(), 0, "{:?}", rebuilt.read[0].flaws);
        let own = replicated(&config.state_dir.join("catalog.db"), row.ledger);
        let rebuilt = replicated(&elsewhere.join("catalog.db"), row.ledger);
        assert_eq!(
            own, rebuilt,
            "the catalog, and the one made anew from the store"
        );
    }
}
