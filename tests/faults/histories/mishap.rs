//! What befalls a store and a catalog between two runs.

use std::fs;
use std::sync::Arc;

use coldchain::error::{Error, ExitCode};
use coldchain::model::{Sha256, keys};
use coldchain::store::{MemoryStore, NewObject, ObjectKind, Put, Store};
use rusqlite::Connection;

use super::ledger::{GARBAGE, Ledger};
use super::life::Life;
use super::night::{Due, Night};
use super::step::When;
use super::streams::{Content, Sender};
use crate::common::faults::Faults;
use crate::common::lab::SOURCE;

fn put(store: &MemoryStore, key: &str, bytes: &[u8]) {
    let object = NewObject::new(key, bytes.to_vec(), Sha256::of(bytes), ObjectKind::Ledger);
    assert!(matches!(store.put_if_absent(&object), Ok(Put::Created(_))));
}

impl Life<'_> {
    /// The first entry is not passed over, whatever is there: then there would be no ledger.
    pub(super) fn garbage(&mut self) {
        if self.ledger.is_open() {
            put(&self.lab.store, &Ledger::key(self.ledger.next()), GARBAGE);
            self.look(None);
        }
    }

    /// Garbage that takes an entry's number right before its PUT.
    pub(super) fn overtaken(&mut self, when: When, content: Content) {
        if !self.ledger.is_open() {
            return;
        }
        let (store, key) = (Arc::clone(&self.lab.store), Ledger::key(self.ledger.next()));
        let taken = format!("store: store {key}");
        let faults = Faults::by_rule(move |_, name| {
            if name == taken {
                put(&store, &key, GARBAGE);
            }
            None
        });
        self.go(when);
        let night = Night::rough(When::Same, content, faults);
        if let Due::Archive(_) = self.due(&night, self.date) {
            let sender = Sender::new(self.date, content, None, None);
            let outcome = self.run(&night, self.date, &sender);
            let code = outcome.as_ref().map_err(Error::exit_code);
            assert!(matches!(code, Err(ExitCode::Integrity)), "{outcome:?}");
            assert_eq!(self.look(None), []);
        }
    }

    pub(super) fn lose_an_object(&mut self, which: usize) {
        let lost: Vec<String> = self
            .open_attempts()
            .iter()
            .flat_map(|id| {
                self.lab
                    .store
                    .list(&keys::archive_prefix(SOURCE, id))
                    .unwrap()
            })
            .map(|listed| listed.key)
            .collect();
        if !lost.is_empty() {
            let key = &lost[which % lost.len()];
            self.lab.store.delete(&self.lab.store.locate(key)).unwrap();
            self.tally.count("objects of attempts lost");
        }
    }

    /// As if the last entries had not been heard of.
    pub(super) fn lose_rows(&self, entries: usize) {
        let (catalog, row) = self.catalog();
        let Some(row) = row else {
            return;
        };
        drop(catalog);
        let connection = Connection::open(self.lab.config.state_dir.join("catalog.db")).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA foreign_keys = OFF;
                 BEGIN;
                 CREATE TEMP TABLE lost AS SELECT seq FROM entry WHERE ledger = '{ledger}'
                    ORDER BY seq DESC LIMIT {entries};
                 DELETE FROM segment WHERE archive IN
                    (SELECT id FROM archive WHERE seq IN (SELECT seq FROM lost));
                 DELETE FROM archive WHERE seq IN (SELECT seq FROM lost);
                 DELETE FROM quarantine WHERE seq >= (SELECT min(seq) FROM lost);
                 DELETE FROM entry WHERE seq IN (SELECT seq FROM lost);
                 COMMIT;",
                ledger = row.ledger
            ))
            .unwrap();
    }

    /// Only one that knows its ledger: who puts an empty one back has to rebuild it first.
    pub(super) fn keep(&mut self) {
        if self.catalog().1.is_some() {
            let state = &self.lab.config.state_dir;
            assert!(!state.join("catalog.db-wal").exists());
            self.kept.push(fs::read(state.join("catalog.db")).unwrap());
        }
    }

    pub(super) fn put_back(&mut self, which: usize) {
        if !self.kept.is_empty() {
            let copy = &self.kept[which % self.kept.len()];
            fs::write(self.lab.config.state_dir.join("catalog.db"), copy).unwrap();
        }
    }
}
