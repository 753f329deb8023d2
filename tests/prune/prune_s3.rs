//! The end of a chain in a real bucket: every version of its objects goes and nothing else, and what a
//! lock keeps is told with its day.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta, Utc};

use crate::common::loopfs::real_btrfs_available;
use crate::common::rng::Rng;
use crate::common::sandbox::{Ran, Sandbox, Setup};
use crate::common::servers::{ObjectLock, Server, Versioning, Weed};
use crate::common::tree::{make_rich_tree, mutate_tree};

/// How many days ago the archives were made. The first two are a chain whose time is over, as 60 days are
/// kept.
const DAYS_AGO: [i64; 5] = [75, 68, 40, 33, 10];

const SCHEDULE: &str = "days = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, \
                        25, 26, 27, 28, 29, 30, 31]\nmax_incrementals = 1\nexpire_after_days = 60\n";

/// A date, by the day on which the tests began.
fn date(days_ago: i64) -> String {
    static TODAY: LazyLock<NaiveDate> = LazyLock::new(|| Utc::now().date_naive());
    (*TODAY - TimeDelta::days(days_ago)).to_string()
}

struct Rented {
    sandbox: Sandbox,
    server: &'static Server,
    bucket: String,
}

impl Rented {
    fn new(server: &'static Server, lock: ObjectLock, more: &str, schedule: &str) -> Self {
        let bucket = server.new_bucket(lock, Versioning::On);
        let sandbox = Sandbox::with(&Setup {
            store: Some(&server.store_table(&bucket, more)),
            schedule: &format!("{SCHEDULE}{schedule}"),
            env: &server.env(),
            ..Setup::default()
        });
        let config = fs::read_to_string(sandbox.config()).unwrap();
        fs::write(sandbox.config(), format!("delete_after = \"0s\"\n{config}")).unwrap();
        let mut rng = Rng::new(41);
        make_rich_tree(&sandbox.source(), &mut rng);
        for days_ago in DAYS_AGO {
            sandbox.backup(&date(days_ago));
            mutate_tree(&sandbox.source(), &mut rng);
        }
        Self {
            sandbox,
            server,
            bucket,
        }
    }

    /// Every key with its versions and delete markers, however many.
    fn versions(&self) -> BTreeMap<String, usize> {
        let path = format!("/{}?versions", self.bucket);
        let answer = self.server.request("GET", &path, &[], b"");
        assert_eq!(answer.status, 200);
        let listed = answer.text();
        assert!(!listed.contains("<IsTruncated>true"), "{listed}");
        let mut versions = BTreeMap::new();
        for rest in listed.split("<Key>").skip(1) {
            let key = rest.split('<').next().unwrap();
            *versions.entry(key.to_owned()).or_default() += 1;
        }
        versions
    }

    /// Prunes until the chain was begun to be deleted: its time of grace is over when the bucket's
    /// clock, which has whole seconds, has gone on.
    fn prune_until(&self, says: &str) -> Ran {
        for _ in 0..20 {
            let pruned = self.sandbox.run(["prune"]).ok();
            assert_eq!(pruned.stderr, "");
            if pruned.stdout.contains(says) {
                return pruned;
            }
            assert!(
                pruned.stdout.contains("home: kept the chain of "),
                "{pruned:?}"
            );
            thread::sleep(Duration::from_millis(500));
        }
        panic!("it never says: {says}");
    }

    /// Retires the first chain.
    fn retire(&self) {
        let pruned = self.sandbox.run(["prune"]).ok();
        assert_eq!(pruned.stderr, "");
        let says = format!(
            "home: retired the chain of {}, 2 archives, 6 objects, ",
            date(75)
        );
        assert!(pruned.stdout.starts_with(&says), "{pruned:?}");
    }

    /// The dates that must come back, whatever is pruned.
    fn living(&self) {
        let dates = DAYS_AGO[2..4].iter().copied().map(date);
        let dates: Vec<String> = dates.collect();
        let dates: Vec<&str> = dates.iter().map(String::as_str).collect();
        self.sandbox.restores_equal(&dates);
    }
}

fn of_the_chain(key: &str) -> bool {
    DAYS_AGO[..2].iter().any(|days_ago| {
        let archive = format!("some/prefix/home/archives/{}-", date(*days_ago));
        key.starts_with(&archive)
    })
}

#[test]
fn a_chain_goes_from_a_bucket_that_keeps_versions_with_all_of_them() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let rented = Rented::new(server, ObjectLock::Off, "", "");
    rented.retire();
    let retired = rented.versions();
    let its: Vec<&String> = retired.keys().filter(|key| of_the_chain(key)).collect();
    assert!(its.len() >= 4, "{retired:?}");
    // What somebody has deleted without its versions is hidden, and paid for.
    let path = format!("/{}/{}", rented.bucket, its[1]);
    let hidden = rented.server.request("DELETE", &path, &[], b"");
    assert_eq!(hidden.status, 204);
    assert_eq!(rented.versions()[its[1]], 2);

    rented.prune_until("home: deleted the chain of ");
    let after = rented.versions();
    let gone: Vec<&String> = retired
        .keys()
        .filter(|key| !after.contains_key(*key))
        .collect();
    assert_eq!(gone, its);
    let new: Vec<&String> = after
        .keys()
        .filter(|key| !retired.contains_key(*key))
        .collect();
    let [entry] = &new[..] else {
        panic!("one entry says that it is deleted: {new:?}");
    };
    assert!(entry.contains("/home/ledger/"), "{entry}");
    rented.living();
    assert_eq!(rented.sandbox.run(["prune"]).ok().stdout, "");
    assert_eq!(rented.versions(), after);
}

#[test]
fn what_the_ledger_says_is_locked_is_not_even_begun_with() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let lock = "object_lock = \"compliance\"";
    let rented = Rented::new(server, ObjectLock::On, lock, "max_chain_days = 36000");
    rented.retire();
    let retired = rented.versions();
    let day = &rented.prune_until("; retained until 21").stdout;
    assert!(day.starts_with("home: kept the chain of "), "{day}");
    assert_eq!(rented.versions(), retired);
    let words = ["prune", "home", "--revive", &date(75)];
    assert_eq!(rented.sandbox.run(words).ok().stderr, "");
    let dates = DAYS_AGO.map(date);
    rented.sandbox.restores_equal(&[&dates[0], &dates[1]]);
}

#[test]
fn a_lock_that_the_ledger_knows_nothing_of_keeps_its_object_and_is_told_with_its_day() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let rented = Rented::new(server, ObjectLock::On, "", "");
    rented.retire();
    let retired = rented.versions();
    let mut its = retired.keys().filter(|key| of_the_chain(key));
    let locked = its.next().unwrap();
    let path = format!("/{}/{locked}?retention", rented.bucket);
    let retention = "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>COMPLIANCE</Mode>\
                     <RetainUntilDate>2124-05-06T07:08:09Z</RetainUntilDate></Retention>";
    let set = rented
        .server
        .request("PUT", &path, &[], retention.as_bytes());
    assert_eq!(set.status, 200, "{set:?}");

    // The full's objects come last.
    rented.prune_until("retained until 2124-05-06T07:08:09Z");
    let left = rented.versions();
    assert!(left.contains_key(locked), "{left:?}");
    let incremental = format!("some/prefix/home/archives/{}-", date(68));
    assert!(
        !left.keys().any(|key| key.starts_with(&incremental)),
        "{left:?}"
    );
    for key in retired.keys().filter(|key| !of_the_chain(key)) {
        assert!(left.contains_key(key), "{key}");
    }
    rented.living();
}
