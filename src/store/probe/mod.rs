//! Trying a store with tiny objects: what it does, not what it says of itself.

mod cleanup;
mod clock;
mod objects;
mod report;

use chrono::{DateTime, Utc};

use super::error::{ErrorKind, StoreError};
use super::{Finding, Store, Verdict};
use crate::model::StorageClass;

/// Whether the store should keep the digest of what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// It is sent with each object, to be kept.
    Kept,
    /// It is not sent.
    NotSent,
}

/// Where archives are deleted that have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// On this machine, so that its credentials must be able to.
    Here,
    /// On another one, so that these credentials need not, and better can't.
    Elsewhere,
}

/// How to try a store, and what it is meant to do.
pub struct Probe<'a> {
    /// What the keys begin with: empty, or a directory and a slash.
    pub below: &'a str,
    /// The class that segments are meant for; `None` if the store has no classes.
    pub class: Option<StorageClass>,
    /// Whether digests should come back.
    pub digests: Digests,
    /// Whether a delete should work.
    pub deletes: Deletes,
    /// This machine's clock.
    pub clock: &'a dyn Fn() -> DateTime<Utc>,
}

/// Tries all that archives need of a store, with objects of some bytes that no reader takes for
/// anything, and deletes them again. A store that does not answer is asked for nothing further.
pub fn probe(store: &dyn Store, probe: &Probe<'_>) -> Vec<Finding> {
    let mut trial = Trial {
        store,
        probe,
        prefix: format!("{}.coldchain-doctor-{}-", probe.below, random_name()),
        tried: Vec::new(),
        findings: Vec::new(),
        is_gone: false,
    };
    if trial.reach() {
        trial.objects();
        trial.clean();
        trial.examine();
    }
    trial.findings
}

/// A try under way.
struct Trial<'a> {
    store: &'a dyn Store,
    probe: &'a Probe<'a>,
    /// What every key of this try begins with, and no other.
    prefix: String,
    /// Keys under which there may be something now.
    tried: Vec<String>,
    findings: Vec<Finding>,
    /// It stopped answering.
    is_gone: bool,
}

impl Trial<'_> {
    fn find(&mut self, subject: &'static str, verdict: Verdict, text: impl Into<String>) {
        self.findings.push(Finding::new(subject, verdict, text));
    }

    /// What an operation answered; its error is a finding.
    fn answer<T>(&mut self, subject: &'static str, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.is_gone |= error.kind == ErrorKind::Unavailable;
                self.findings.push(Finding::failed(subject, &error));
                None
            }
        }
    }

    /// What the store was found not to do in that matter, in its own words.
    fn remark_of(&self, word: &str) -> Option<String> {
        let remarks = self.store.remarks();
        remarks.into_iter().find(|remark| remark.contains(word))
    }

    /// What the store says of itself, and what else was noticed.
    fn examine(&mut self) {
        for remark in self.store.remarks() {
            if self.findings.iter().all(|finding| finding.text != remark) {
                self.find("remark", Verdict::Warning, remark);
            }
        }
        if self.is_gone {
            return;
        }
        let examined = self.store.examine();
        if let Some(findings) = self.answer("settings", examined) {
            self.findings.extend(findings);
        }
    }
}

fn random_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    format!("{:016x}", u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::{MemoryStore, is_key};
    use super::*;

    fn settings(deletes: Deletes) -> Probe<'static> {
        Probe {
            below: "home/",
            class: None,
            digests: Digests::Kept,
            deletes,
            clock: &Utc::now,
        }
    }

    #[test]
    fn a_store_that_does_all_is_fine_and_nothing_is_left_in_it() {
        let store = MemoryStore::default();
        let findings = probe(&store, &settings(Deletes::Here));
        let subjects: Vec<&str> = findings.iter().map(|finding| finding.subject).collect();
        let all = "reach clock put put-if-absent read range checksum list delete";
        assert_eq!(
            subjects.join(" ").replace("put if absent", "put-if-absent"),
            all
        );
        let worst = findings.iter().map(|finding| finding.verdict).max();
        assert_eq!(worst, Some(Verdict::Fine), "{findings:#?}");
        assert_eq!(store.list("").unwrap(), []);
    }

    #[test]
    fn who_can_delete_and_should_not_is_warned() {
        let findings = probe(&MemoryStore::default(), &settings(Deletes::Elsewhere));
        let prune = findings.iter().find(|finding| finding.subject == "prune");
        assert_eq!(prune.unwrap().verdict, Verdict::Warning);
    }

    #[test]
    fn a_store_without_the_class_that_is_paid_for_is_a_warning() {
        let class = Some(StorageClass::DeepArchive);
        let settings = Probe {
            class,
            ..settings(Deletes::Here)
        };
        let findings = probe(&MemoryStore::default(), &settings);
        let found = findings
            .iter()
            .find(|finding| finding.subject == "storage class");
        assert_eq!(found.unwrap().verdict, Verdict::Warning);
    }

    #[test]
    fn clocks_that_differ_are_a_warning_with_what_follows() {
        for (ahead, verdict, text) in [
            (
                TimeDelta::zero(),
                Verdict::Fine,
                "it differs from this machine's by less than a minute",
            ),
            (
                TimeDelta::minutes(-14),
                Verdict::Fine,
                "it differs from this machine's by 14 minutes",
            ),
            (
                TimeDelta::minutes(20),
                Verdict::Warning,
                "it differs from this machine's by 20 minutes, but a signature is valid for only 15 minutes; set this machine's clock",
            ),
            (
                TimeDelta::days(-3),
                Verdict::Warning,
                "it differs from this machine's by 3 days: no archive is retired while that is \
                 so; set this machine's clock",
            ),
        ] {
            // Some seconds more, for a slow machine.
            let slack = TimeDelta::seconds(20) * if ahead < TimeDelta::zero() { -1 } else { 1 };
            let clock = || Utc::now() + ahead + slack;
            let settings = Probe {
                clock: &clock,
                ..settings(Deletes::Here)
            };
            let findings = probe(&MemoryStore::default(), &settings);
            let found = findings.iter().find(|finding| finding.subject == "clock");
            assert_eq!(found, Some(&Finding::new("clock", verdict, text)));
        }
    }

    #[test]
    fn what_is_stored_for_a_try_has_keys_that_no_reader_takes_for_its_own() {
        let prefix = format!("home/.coldchain-doctor-{}-", random_name());
        for name in ["ledger", "segment"] {
            let key = format!("{prefix}{name}");
            assert!(is_key(&key));
            assert!(!key.starts_with("home/ledger/") && !key.starts_with("home/archives/"));
        }
    }
}
