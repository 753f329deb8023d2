//! Trying a store with tiny objects: what it does, not what it says of itself.

use std::mem;

use chrono::{DateTime, TimeDelta, Utc};

use super::error::{ErrorKind, Operation, StoreError};
use super::{
    Deleted, Finding, Locator, NewObject, ObjectKind, Put, Store, Thaw, ThawRequest, Verdict,
};
use crate::model::{Sha256, StorageClass, Tier};

/// Who finds one of these and nothing else should know what it is.
const FIRST: &[u8] = b"coldchain doctor was here: this may be deleted\n";
const OTHER: &[u8] = b"coldchain doctor was here: this should never have been stored\n";

/// A part of [`FIRST`].
const RANGE: std::ops::Range<usize> = 10..16;

/// More than any object here can hold.
const MAX_BYTES: u64 = 4096;

/// More than a store that replaces where it must not makes of one key.
const MOST_VERSIONS: usize = 8;

/// Beyond this AWS takes no signature: its error `RequestTimeTooSkewed`.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(15);
/// Beyond this nothing is retired.
const MAX_SKEW_TO_RETIRE: TimeDelta = TimeDelta::days(1);

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

impl Finding {
    /// An operation that failed, with its causes and what to do next.
    pub fn failed(subject: &'static str, error: &StoreError) -> Self {
        let mut text = in_words(error);
        if let Some(hint) = error.hint() {
            text = format!("{text}; {hint}");
        }
        Self {
            failed: Some(error.kind),
            ..Self::new(subject, Verdict::Failure, text)
        }
    }
}

fn in_words(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
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

    /// Whether the store answers, and what its clock shows.
    fn reach(&mut self) -> bool {
        const SUBJECT: &str = "reach";
        let mut asked = self.store.now();
        let kind = asked.as_ref().err().map(|error| error.kind);
        if let Some(ErrorKind::Denied | ErrorKind::Failed | ErrorKind::NoBucket) = kind {
            // The cheapest question is refused without a word of explanation, a listing with one.
            match self.store.list(&self.prefix) {
                Err(error) if error.is_not_found() => {
                    let text = format!(
                        "{}; what answers there is no such store: check its address",
                        in_words(&error)
                    );
                    self.find(SUBJECT, Verdict::Failure, text);
                    return false;
                }
                Err(error) => asked = Err(error),
                Ok(_) => asked = self.store.now(),
            }
        }
        let Some(theirs) = self.answer(SUBJECT, asked) else {
            return false;
        };
        self.find(SUBJECT, Verdict::Fine, "it answers");
        let skew = (theirs - (self.probe.clock)()).abs();
        let (verdict, rest) = if skew > MAX_SKEW_TO_RETIRE {
            (
                Verdict::Warning,
                ": no archive is retired while that is so; set this machine's clock",
            )
        } else if skew > MAX_SKEW {
            (
                Verdict::Warning,
                ", and signatures count for 15 minutes; set this machine's clock",
            )
        } else {
            (Verdict::Fine, "")
        };
        let text = format!("it differs from this machine's by {}{rest}", in_units(skew));
        self.find("clock", verdict, text);
        true
    }

    /// Stores objects and reads them back.
    fn objects(&mut self) {
        let key = format!("{}ledger", self.prefix);
        let put = self.put(&key, FIRST, ObjectKind::Ledger);
        if let Some(Put::Created(at) | Put::Existed(at)) = self.answer("put", put) {
            self.find("put", Verdict::Fine, "an object can be stored");
            let steps: [fn(&mut Self, &str, &Locator); 5] = [
                Self::exclusivity,
                Self::read,
                Self::range,
                Self::digest,
                Self::list,
            ];
            for step in steps {
                if !self.is_gone {
                    step(self, &key, &at);
                }
            }
        }
        if let (Some(class), false) = (self.probe.class, self.is_gone) {
            self.class(class);
        }
    }

    fn put(
        &mut self,
        key: &str,
        bytes: &'static [u8],
        role: ObjectKind,
    ) -> Result<Put, StoreError> {
        if self.tried.last().is_none_or(|tried| tried != key) {
            self.tried.push(key.to_owned());
        }
        let object = NewObject::new(key, bytes, Sha256::of(bytes), role);
        self.store.put_if_absent(&object)
    }

    /// What is there is never replaced.
    fn exclusivity(&mut self, key: &str, at: &Locator) {
        const SUBJECT: &str = "put if absent";
        let put = self.put(key, OTHER, ObjectKind::Ledger);
        let Some(put) = self.answer(SUBJECT, put) else {
            return;
        };
        let newest = self.store.locate(key);
        let stored = self.store.get(&newest, MAX_BYTES);
        let Some(stored) = self.answer(SUBJECT, stored) else {
            return;
        };
        if stored != FIRST || matches!(&put, Put::Created(other) if other != at) {
            let text = "it replaced an object that was there: two machines would destroy each \
                        other's ledger";
            self.find(SUBJECT, Verdict::Failure, text);
        } else if put == Put::Created(at.clone()) {
            let text = "it left an object as it was, and said that it had stored another";
            self.find(SUBJECT, Verdict::Failure, text);
        } else if let Some(remark) = self.remark_of("two writers apart") {
            self.find(SUBJECT, Verdict::Warning, remark);
        } else {
            let text = "an object that is there is left as it is";
            self.find(SUBJECT, Verdict::Fine, text);
        }
    }

    fn read(&mut self, _: &str, at: &Locator) {
        let read = self.store.get(at, MAX_BYTES);
        if let Some(bytes) = self.answer("read", read) {
            self.compare("read", &bytes, FIRST, "what was stored comes back");
        }
    }

    fn range(&mut self, _: &str, at: &Locator) {
        let (offset, len) = (RANGE.start as u64, RANGE.len() as u64);
        let read = self.store.get_range(at, offset, len);
        if let Some(bytes) = self.answer("range", read) {
            let fine = "a part of an object can be read";
            self.compare("range", &bytes, &FIRST[RANGE], fine);
        }
    }

    fn compare(&mut self, subject: &'static str, found: &[u8], stored: &[u8], fine: &'static str) {
        if found == stored {
            self.find(subject, Verdict::Fine, fine);
        } else {
            let text = "other bytes came back than were stored";
            self.find(subject, Verdict::Failure, text);
        }
    }

    /// Whether the store keeps the digest that it was sent, and the right one.
    fn digest(&mut self, _: &str, at: &Locator) {
        const SUBJECT: &str = "checksum";
        let stat = self.store.stat(at);
        let Some(stat) = self.answer(SUBJECT, stat) else {
            return;
        };
        match (stat.sha256, self.probe.digests) {
            (Some(digest), _) if digest == Sha256::of(FIRST) => {
                let text = "it keeps the SHA-256 of what it has";
                self.find(SUBJECT, Verdict::Fine, text);
            }
            (Some(_), _) => {
                let text = "the SHA-256 that it keeps is not that of what was stored";
                self.find(SUBJECT, Verdict::Failure, text);
            }
            (None, Digests::Kept) => {
                let remark = self.remark_of("SHA-256");
                let text = remark.unwrap_or_else(|| {
                    "it keeps no SHA-256: segments are checked by their size alone until they are \
                     read"
                        .to_owned()
                });
                self.find(SUBJECT, Verdict::Warning, text);
            }
            (None, Digests::NotSent) => {}
        }
    }

    fn list(&mut self, key: &str, _: &Locator) {
        let listed = self.store.list(&self.prefix);
        let Some(listed) = self.answer("list", listed) else {
            return;
        };
        let is_ours = |key_of: &str, bytes: u64| key_of == key && bytes == FIRST.len() as u64;
        if listed
            .iter()
            .any(|item| is_ours(&item.key, item.stat.bytes))
        {
            let text = "a listing shows what was just stored";
            self.find("list", Verdict::Fine, text);
        } else {
            let text = "a listing does not show what was just stored: every backup would fail \
                        before its commit";
            self.find("list", Verdict::Failure, text);
        }
    }

    /// Whether a segment comes to lie in the class that was asked for.
    fn class(&mut self, class: StorageClass) {
        const SUBJECT: &str = "storage class";
        let key = format!("{}segment", self.prefix);
        let put = self.put(&key, FIRST, ObjectKind::Segment);
        let Some(Put::Created(at) | Put::Existed(at)) = self.answer(SUBJECT, put) else {
            return;
        };
        let stat = self.store.stat(&at);
        let Some(stat) = self.answer(SUBJECT, stat) else {
            return;
        };
        if stat.class == Some(class) {
            let mut text = format!("segments go into {class}");
            if class.minimum_days() > 0 {
                text = format!(
                    "{text}; AWS bills this try for {} days, a few hundredths of a cent at most",
                    class.minimum_days()
                );
            }
            self.find(SUBJECT, Verdict::Fine, text);
            if class.is_cold() {
                self.thaw(class, &at);
            }
            return;
        }
        let text = self.remark_of(class.as_str()).unwrap_or_else(|| {
            let found = stat
                .class
                .map_or("no class that coldchain knows", StorageClass::as_str);
            format!(
                "segments go into {found} where {class} was asked for: its prices and thaws are \
                 not those of {class}"
            )
        });
        self.find(SUBJECT, Verdict::Warning, text);
    }

    /// Whether what lies in a cold class can be had back: a store may take the class for a mere name.
    fn thaw(&mut self, class: StorageClass, at: &Locator) {
        const SUBJECT: &str = "thaw";
        let request = ThawRequest {
            tier: Tier::Bulk,
            days: 1,
        };
        let thaw = match self.store.thaw(at, request) {
            Err(error) if error.kind == ErrorKind::Denied => {
                let text = format!("these credentials may not thaw what lies in {class}");
                return self.find(SUBJECT, Verdict::Unknown, text);
            }
            Err(error) if error.kind == ErrorKind::Unsupported => {
                let text = format!(
                    "{}; the store can't thaw what it puts into {class}: set another `storage_class`",
                    in_words(&error)
                );
                return self.find(SUBJECT, Verdict::Failure, text);
            }
            thaw => self.answer(SUBJECT, thaw),
        };
        match thaw {
            Some(Thaw::Accepted | Thaw::Running) => {
                let text = format!("what lies in {class} can be thawed");
                self.find(SUBJECT, Verdict::Fine, text);
            }
            Some(Thaw::NotCold) => {
                let text = format!(
                    "what lies in {class} is not cold: its prices and thaws are not those of {class}"
                );
                self.find(SUBJECT, Verdict::Warning, text);
            }
            None => {}
        }
    }

    /// What the store was found not to do in that matter, in its own words.
    fn remark_of(&self, word: &str) -> Option<String> {
        let remarks = self.store.remarks();
        remarks.into_iter().find(|remark| remark.contains(word))
    }

    /// Deletes what was stored, whatever became of the steps.
    fn clean(&mut self) {
        const SUBJECT: &str = "delete";
        let mut left = Vec::new();
        let mut refused = None;
        let mut is_deleted = false;
        for key in mem::take(&mut self.tried) {
            match self.remove(&key) {
                Ok(versions) => is_deleted |= versions > 0,
                Err(error) => {
                    left.push(key);
                    refused = Some(error);
                }
            }
        }
        let left = left.join(", ");
        match refused {
            None if is_deleted => {
                self.find(SUBJECT, Verdict::Fine, "an object can be deleted");
                if self.probe.deletes == Deletes::Elsewhere {
                    let text = "`prune` is \"elsewhere\", and these credentials can delete \
                                archives all the same: take that permission from them";
                    self.find("prune", Verdict::Warning, text);
                }
            }
            // Nothing could be stored, which was said.
            None => {}
            Some(error) if is_denied_delete(&error) && is_locked(&error) => {
                let text = format!("the bucket's own lock holds every new object; left: {left}");
                self.find(SUBJECT, Verdict::Fine, text);
            }
            Some(error) if is_denied_delete(&error) => {
                let text = format!(
                    "these credentials can't delete: good for `prune = \"elsewhere\"`; left: {left}"
                );
                self.find(SUBJECT, Verdict::Fine, text);
                if self.probe.deletes == Deletes::Here {
                    let text = "`prune` is \"after-backup\", and these credentials can't delete: \
                                what has expired would stay, and be paid for";
                    self.find("prune", Verdict::Warning, text);
                }
            }
            Some(error) => {
                let mut finding = Finding::failed(SUBJECT, &error);
                finding.text = format!("{}; left, maybe: {left}", finding.text);
                self.findings.push(finding);
            }
        }
    }

    /// Deletes all versions of a key, and says how many there were: a store that replaces objects
    /// may have made several.
    fn remove(&self, key: &str) -> Result<usize, StoreError> {
        let newest = self.store.locate(key);
        for versions in 0..MOST_VERSIONS {
            match self.store.stat(&newest) {
                Ok(_) => {}
                Err(error) if error.is_not_found() => return Ok(versions),
                Err(error) => return Err(error),
            }
            // Who finds that it exists is told which version does, and that one can be deleted for
            // good. A delete without a version would only hide it.
            let object = NewObject::new(key, FIRST, Sha256::of(FIRST), ObjectKind::Ledger);
            let (Put::Created(at) | Put::Existed(at)) = self.store.put_if_absent(&object)?;
            if let Deleted::Retained { until } = self.store.delete(&at)? {
                let url = self.store.url();
                let error = StoreError::new(ErrorKind::Denied, Operation::Delete, key, &url);
                return Err(error.because(format!("an object lock keeps it until {until}")));
            }
        }
        let url = self.store.url();
        let error = StoreError::new(ErrorKind::Failed, Operation::Delete, key, &url);
        Err(error.because("it is still there after each delete"))
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

fn is_denied_delete(error: &StoreError) -> bool {
    error.operation == Operation::Delete && error.kind == ErrorKind::Denied
}

/// Whether it is a lock that forbids: found by its day, or as AWS puts it where that may not be asked for,
/// "Access Denied because object protected by object lock".
fn is_locked(error: &StoreError) -> bool {
    in_words(error).contains("object lock")
}

fn in_units(time: TimeDelta) -> String {
    let (n, unit) = match time {
        time if time < TimeDelta::minutes(1) => return "less than a minute".to_owned(),
        time if time < TimeDelta::hours(2) => (time.num_minutes(), "minute"),
        time if time < TimeDelta::days(2) => (time.num_hours(), "hour"),
        time => (time.num_days(), "day"),
    };
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {unit}{plural}")
}

fn random_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    format!("{:016x}", u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
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
                "it differs from this machine's by 20 minutes, and signatures count for 15 \
                 minutes; set this machine's clock",
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
