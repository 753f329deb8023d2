//! Tests a store with tiny objects: what it does, not what it says of itself.

mod cleanup;
mod clock;
mod objects;
mod rate;
mod report;

use chrono::{DateTime, Utc};

pub use rate::rate_of_upload;

use super::error::{ErrorKind, StoreError};
use super::{Finding, Severity, Store};
use crate::model::StorageClass;

/// Whether the store should keep the digests of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// The digest is sent with each object, and the store should keep it.
    Kept,
    /// No digest is sent.
    NotSent,
}

/// Where expired archives are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// By this machine, so its credentials must permit it.
    Here,
    /// By another machine, so these credentials need not permit it, and better do not.
    Elsewhere,
}

/// How to test a store, and what it should do.
pub struct Probe<'a> {
    /// The first part of the test keys: empty, or a directory and a slash.
    pub below: &'a str,
    /// The class for segments; `None` if the store has no classes.
    pub class: Option<StorageClass>,
    /// Whether the store should return digests.
    pub digests: Digests,
    /// Whether these credentials should be able to delete.
    pub deletes: Deletes,
    /// This machine's clock.
    pub clock: &'a dyn Fn() -> DateTime<Utc>,
}

/// Tests all that archives need of a store, with tiny objects that no reader takes for an archive, and
/// deletes them again. Ends the test if the store does not answer.
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

/// A test in progress.
struct Trial<'a> {
    store: &'a dyn Store,
    probe: &'a Probe<'a>,
    /// The prefix of all keys of this test, and of no others.
    prefix: String,
    /// Keys that may have an object now.
    tried: Vec<String>,
    findings: Vec<Finding>,
    /// Whether the store stopped answering.
    is_gone: bool,
}

impl Trial<'_> {
    fn find(&mut self, subject: &'static str, verdict: Severity, text: impl Into<String>) {
        self.findings.push(Finding::new(subject, verdict, text));
    }

    /// Returns the answer of an operation. Turns an error into a finding.
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

    /// Returns the store's remark that contains this text, if there is one.
    fn remark_of(&self, word: &str) -> Option<String> {
        let remarks = self.store.remarks();
        remarks.into_iter().find(|remark| remark.contains(word))
    }

    /// Adds the store's remarks, and the findings from its own settings.
    fn examine(&mut self) {
        for remark in self.store.remarks() {
            if self.findings.iter().all(|finding| finding.text != remark) {
                self.find("remark", Severity::Warning, remark);
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
        assert_eq!(worst, Some(Severity::Fine), "{findings:#?}");
        assert_eq!(store.list("").unwrap(), []);
    }

    #[test]
    fn who_can_delete_and_should_not_is_warned() {
        let findings = probe(&MemoryStore::default(), &settings(Deletes::Elsewhere));
        let prune = findings.iter().find(|finding| finding.subject == "prune");
        assert_eq!(prune.unwrap().verdict, Severity::Warning);
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
        assert_eq!(found.unwrap().verdict, Severity::Warning);
    }

    #[test]
    fn clocks_that_differ_are_a_warning_with_what_follows() {
        for (ahead, verdict, text) in [
            (
                TimeDelta::zero(),
                Severity::Fine,
                "it differs from this machine's by less than a minute",
            ),
            (
                TimeDelta::minutes(-14),
                Severity::Fine,
                "it differs from this machine's by 14 minutes",
            ),
            (
                TimeDelta::minutes(20),
                Severity::Warning,
                "it differs from this machine's by 20 minutes, but a signature is valid for only 15 minutes; set this machine's clock",
            ),
            (
                TimeDelta::days(-3),
                Severity::Warning,
                "it differs from this machine's by 3 days: no archive is retired while that is \
                 so; set this machine's clock",
            ),
        ] {
            // Add some seconds for a slow machine.
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
