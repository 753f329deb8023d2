//! Simulated nights on a real btrfs, one after the other: half a year here, two years in `scripts/soak`
//! (`COLDCHAIN_NIGHTS`). The clocks are arguments, and so is the store's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use coldchain::catalog::ArchiveRow;
use coldchain::engine::{self, Clock, OpenStore, RunContext, StateDir};
use coldchain::model::archive::ArchiveState;
use coldchain::model::{ArchiveId, keys};
use coldchain::progress::Quiet;
use coldchain::store::{DirStore, Layer, NewObject, Put, Store, StoreError};

use crate::common::loopfs::real_btrfs_available;
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup, asked};

/// `expire_after_days`
const EXPIRE: u64 = 30;
/// `delete_after`
const GRACE: i64 = 7;

/// Three at night, for the system and for the store.
struct Night(DateTime<Utc>);

impl Clock for Night {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// A directory whose clock is the night's: what it stores is as old as that says.
struct Simulated {
    inner: DirStore,
    root: PathBuf,
    now: DateTime<Utc>,
}

impl Layer for Simulated {
    fn below(&self) -> &dyn Store {
        &self.inner
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        let put = self.inner.put_if_absent(object)?;
        if matches!(put, Put::Created(_)) {
            let file = File::open(self.root.join(object.key)).unwrap();
            file.set_modified(self.now.into()).unwrap();
        }
        Ok(put)
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.now)
    }

    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.now)
    }
}

fn backup(sandbox: &Sandbox, date: NaiveDate) {
    let hour = NaiveTime::from_hms_opt(3, 0, 0).unwrap();
    let night = Night(date.and_time(hour).and_utc());
    let stores: &OpenStore<'_> = &|_, _| {
        Ok(Box::new(Simulated {
            inner: DirStore::open(&sandbox.store())?,
            root: sandbox.store(),
            now: night.0,
        }))
    };
    let context = RunContext {
        clock: &night,
        stores,
        ..RunContext::real(&Quiet)
    };
    let config = sandbox.loaded_config();
    let asked = asked(&date.to_string());
    match engine::backup(&config, &config.sources[0], asked, context) {
        Ok(engine::Outcome::Archived {
            later: Some(later), ..
        }) => panic!("{date}: {later:?}"),
        Ok(_) => {}
        Err(error) => panic!("{date}: {error:?}"),
    }
}

/// What the catalog has, and what the store has of each archive.
fn look(sandbox: &Sandbox) -> (Vec<ArchiveRow>, BTreeMap<ArchiveId, u64>) {
    let config = sandbox.loaded_config();
    let catalog = StateDir::new(&config.state_dir).catalog().unwrap();
    let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
    let rows = catalog.archives(&row.ledger).unwrap();
    let store = DirStore::open(&sandbox.store()).unwrap();
    let mut bytes = BTreeMap::new();
    for listed in store.list(&keys::archives_prefix(SOURCE)).unwrap() {
        let (id, name) = keys::archive_of(SOURCE, &listed.key).unwrap();
        let sum = bytes.entry(id).or_insert(0);
        if let Some(keys::ArchivePart::Segment(_)) = keys::archive_part(name) {
            *sum += listed.stat.bytes;
        }
    }
    (rows, bytes)
}

/// Holds a night against the rules, in the test's own words.
fn check(sandbox: &Sandbox, date: NaiveDate) {
    let (rows, stored) = look(sandbox);
    let mut newest: BTreeMap<ArchiveId, NaiveDate> = BTreeMap::new();
    for row in &rows {
        let newest = newest.entry(row.chain).or_insert(row.date);
        *newest = row.date.max(*newest);
    }
    let last = *newest.keys().max().unwrap();
    let mut in_store = BTreeMap::new();
    for row in &rows {
        let expires = newest[&row.chain] + Days::new(EXPIRE);
        let is_over = row.chain != last && date >= expires;
        let expected = if is_over {
            ArchiveState::Retired
        } else {
            ArchiveState::Committed
        };
        assert_eq!(row.state, expected, "{date}: {}", row.id);
        // Retired at three in the night of its last day, and deleted at three a week later.
        if !is_over || date - expires < TimeDelta::days(GRACE) {
            in_store.insert(row.id, row.sealed_bytes);
        }
    }
    assert_eq!(stored, in_store, "{date}");
}

#[test]
fn chains_come_and_go_on_their_days_and_every_living_date_restores() {
    if !real_btrfs_available() {
        return;
    }
    let nights = std::env::var("COLDCHAIN_NIGHTS").map_or(130, |text| text.parse().unwrap());
    let sandbox = Sandbox::with(&Setup {
        source: "keep_snapshots_days = 90",
        schedule: "max_incrementals = 3\nexpire_after_days = 30",
        ..Setup::default()
    });
    let mut rng = Rng::new(41);
    let first: NaiveDate = "2024-01-01".parse().unwrap();
    let mut date = first;
    for night in 0..nights {
        date = first + Days::new(night);
        let file = sandbox.source().join(format!("file {}", night % 9));
        fs::write(file, rng.text(20_000)).unwrap();
        backup(&sandbox, date);
        check(&sandbox, date);
    }
    let (rows, _) = look(&sandbox);
    assert!(
        nights < 100 || rows.iter().any(|row| row.state == ArchiveState::Retired),
        "chains have come to their end by {date}"
    );
    let living: Vec<&ArchiveRow> = rows.iter().filter(|row| row.is_visible()).collect();
    for chain in living.chunk_by(|one, next| one.chain == next.chain) {
        let dates: Vec<String> = chain.iter().map(|row| row.date.to_string()).collect();
        let dates: Vec<&str> = dates.iter().map(String::as_str).collect();
        sandbox.restores_equal(&dates);
    }
}
