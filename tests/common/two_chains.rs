//! A machine with two chains, of which the older has expired: what is pruned, revived and copied in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use coldchain::config::PruneMode;
use coldchain::engine::{self, Clock, PruneAsked, Pruned, Revived};
use coldchain::error::Error;

use super::faults::Faults;
use super::lab::Lab;
use super::stream_builder::StreamBuilder;

/// The chain whose time is over on [`TODAY`].
pub const OLD: [&str; 2] = ["2026-01-01", "2026-01-07"];
/// The one that stands.
pub const NEW: [&str; 2] = ["2026-04-14", "2026-04-21"];
pub const TODAY: &str = "2026-04-22";

/// A clock that stands.
pub struct Fixed(pub DateTime<Utc>);

impl Clock for Fixed {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

pub fn uuid(date: &str) -> [u8; 16] {
    format!("uuid {date:>11}").into_bytes().try_into().unwrap()
}

pub fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub fn stream_of(date: &str, parent: Option<&str>) -> Vec<u8> {
    let head = StreamBuilder::header(1);
    let body = match parent {
        None => head
            .subvol(date.as_bytes(), uuid(date), 10)
            .mkfile(b"a file"),
        Some(parent) => head.snapshot(date.as_bytes(), uuid(date), 10, uuid(parent), 10),
    };
    body.write(b"a file", 0, date.as_bytes()).finish()
}

/// What was sent of each date.
pub fn sent() -> BTreeMap<&'static str, Vec<u8>> {
    [OLD, NEW]
        .into_iter()
        .flat_map(|[full, incremental]| {
            [
                (full, stream_of(full, None)),
                (incremental, stream_of(incremental, Some(full))),
            ]
        })
        .collect()
}

/// A machine with both chains.
pub fn with_two_chains() -> Lab {
    two_chains_on(Lab::new())
}

/// Both chains on a new machine.
pub fn two_chains_on(mut lab: Lab) -> Lab {
    lab.config.sources[0].schedule.max_incrementals = 1;
    // What has expired is left to `prune`.
    lab.config.prune = PruneMode::Elsewhere;
    for (date, stream) in sent() {
        lab.decide(date, &stream, &Faults::none()).unwrap();
    }
    lab.config.prune = PruneMode::AfterBackup;
    lab
}

/// The same after the old one was retired.
pub fn with_a_retired_chain() -> Lab {
    let lab = with_two_chains();
    let pruned = prune(&lab, 0, &Faults::none()).unwrap();
    assert_eq!(pruned.plan.retires(), (1, 2));
    lab
}

/// A prune so many days after all that is stored.
pub fn prune(lab: &Lab, days: i64, faults: &Arc<Faults>) -> Result<Pruned, Error> {
    let now = Utc::now() + TimeDelta::days(days);
    lab.store.set_now(now);
    let asked = PruneAsked {
        date: date(TODAY),
        yes_delete: None,
    };
    let config = &lab.config;
    lab.in_context_at(&Fixed(now), faults, |context| {
        engine::prune(config, &config.sources[0], asked, context).map_err(Error::from)
    })
}

pub fn revive(lab: &Lab, faults: &Arc<Faults>) -> Result<Revived, Error> {
    let config = &lab.config;
    lab.in_context_at(&Fixed(Utc::now()), faults, |context| {
        engine::revive(config, &config.sources[0], date(OLD[0]), context)
    })
}

/// The dates that are visible, each of them whole.
pub fn visible(lab: &Lab) -> BTreeSet<NaiveDate> {
    let sent = sent();
    let sent = sent.iter().map(|(date, stream)| (*date, stream.as_slice()));
    lab.holds(&sent.collect())
}

pub fn dates(chains: &[[&str; 2]]) -> BTreeSet<NaiveDate> {
    chains.iter().flatten().map(|text| date(text)).collect()
}

pub fn is_of_the_old_chain(key: &str) -> bool {
    OLD.iter()
        .any(|date| key.starts_with(&format!("home/archives/{date}-")))
}
