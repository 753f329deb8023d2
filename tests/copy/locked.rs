//! Buckets that keep versions and lock every object: pruning in a copy, repairs and moves over the real protocol.

use std::sync::Arc;

use chrono::TimeDelta;
use coldchain::engine::CopyRequest;
use coldchain::plan::ChainFate;
use coldchain::store::Store;

use super::copied::{archived, two_stores};
use super::moves::incremental;
use super::pair::{Pair, archived as archived_in_memory, objects};
use super::pruned::{Life, NEW, OLD, deleted_in, set};
use super::repaired::{Side, repair};
use crate::common::bucket::{OwnBucket, write_credentials};
use crate::common::faults::Faults;
use crate::common::is_segment;
use crate::common::s3_server::{ACCESS_KEY, BUCKET, Bucket, Config, Locking, S3Server, SECRET_KEY};

/// For how many days a bucket locks what is put.
const DAYS: u32 = 12;

/// A server whose bucket locks every object.
fn locking() -> S3Server {
    let bucket = Bucket::new(BUCKET).locking(Locking::ByDefault {
        mode: "COMPLIANCE".to_owned(),
        days: DAYS,
    });
    S3Server::start(Config::with_bucket(bucket))
}

/// How many versions the bucket has of what is below a prefix, delete markers among them.
fn versions_below(server: &S3Server, keys: &[String]) -> usize {
    keys.iter()
        .map(|key| server.versions(BUCKET, &format!("some/prefix/{key}")).len())
        .sum()
}

#[test]
fn a_locked_copy_keeps_what_home_has_deleted_until_the_lock_ends_and_then_no_version_stays() {
    let bucket = Arc::new(OwnBucket::new(locking()));
    let clock = Arc::clone(&bucket);
    let store: Arc<dyn Store> = Arc::new(bucket.store());
    let mut life: Life = deleted_in(store, Box::new(move |now| clock.server.clock().set(now)));
    let old: Vec<String> = objects(life.pair.second.as_ref())
        .into_keys()
        .filter(|key| {
            OLD.iter()
                .any(|date| key.contains(&format!("/archives/{date}-")))
        })
        .collect();
    let ran = life.copied();
    assert!(
        matches!(ran.pruned.chains[0].fate, ChainFate::Retained { .. }),
        "{:?}",
        ran.pruned
    );
    assert_eq!(life.in_copy(), set(&[OLD, NEW]));
    assert_eq!(versions_below(&bucket.server, &old), old.len());
    life.later(u64::from(DAYS) + 1);
    let ran = life.copied();
    assert_eq!(ran.pruned.chains[0].fate, ChainFate::Delete);
    assert_eq!(life.in_copy(), set(&[NEW]));
    assert_eq!(versions_below(&bucket.server, &old), 0);
}

#[test]
fn a_repair_waits_for_a_lock_and_then_leaves_the_sound_version_alone() {
    let bucket = OwnBucket::new(locking());
    let store: Arc<dyn Store> = Arc::new(bucket.store());
    let pair = Pair::new(archived_in_memory().copy(), None, store);
    pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
    let whole = objects(pair.home.as_ref());
    let mut segments = whole.keys().filter(|key| is_segment(key));
    let (damaged, hidden) = (segments.next().unwrap(), segments.next().unwrap());
    let at = |key: &str| format!("some/prefix/{key}");
    bucket
        .server
        .damage(BUCKET, &at(damaged), |body| body[700] ^= 1);
    // As any program deletes that knows nothing of versions.
    bucket.server.hide(BUCKET, &at(hidden));

    let (_, repairs) = repair(&pair, Side::Second, &Faults::none()).unwrap();
    let [left] = repairs.unrepaired.as_slice() else {
        panic!("{repairs:?}");
    };
    assert_eq!(left.key, *damaged);
    assert!(
        left.why.contains("a lock keeps the damaged object until"),
        "{left:?}"
    );
    assert_eq!(bucket.server.versions(BUCKET, &at(damaged)).len(), 1);
    let repaired: Vec<&str> = repairs.repaired.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(repaired, [hidden.as_str()]);

    let clock = bucket.server.clock();
    clock.set(clock.now() + TimeDelta::days(i64::from(DAYS) + 1));
    let (_, repairs) = repair(&pair, Side::Second, &Faults::none()).unwrap();
    assert_eq!(repairs.unrepaired, [], "{repairs:?}");
    let versions = bucket.server.versions(BUCKET, &at(damaged));
    assert_eq!(versions.len(), 1, "the damaged version is still there");
    assert!(*versions[0].body == whole[damaged]);
    for (key, bytes) in &whole {
        let there = pair.second.get(&pair.second.locate(key), u64::MAX).unwrap();
        assert!(there == *bytes, "{key}");
    }
}

#[test]
fn a_move_into_a_locked_bucket_leaves_the_marker_which_keeps_nobody_out() {
    let server = locking();
    let machine = archived();
    write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
    let bucket = format!(
        "\n[store.bucket]\n{}credentials_file = \"$T/credentials\"\nprefix = \"some/prefix\"\n",
        server.store_table("")
    );
    machine.write_config(&format!("{}{bucket}", two_stores()));
    assert_eq!(machine.run("copy home --to bucket").code, Some(0));
    let moved = machine.run("move home --to bucket --yes --kit $T/kit");
    assert_eq!(moved.code, Some(0), "{moved:?}");
    assert!(
        moved
            .stdout
            .contains("the marker ledger/COPY is still in the new home")
            && moved.stdout.contains("it is locked until"),
        "{moved:?}"
    );
    let in_bucket = two_stores().replacen("store = \"disk\"", "store = \"bucket\"", 1);
    machine.write_config(&format!("{in_bucket}{bucket}"));
    let stream = incremental("2024-01-14", 14, 7);
    let run = machine.run_with("decide 2024-01-14", &stream);
    run.is(0, "i 2024-01-07\n", "");
    for words in [
        "verify home --deep --identity $T/kit",
        "catalog check",
        "prune home",
        "catalog rebuild --identity $T/kit",
    ] {
        assert_eq!(machine.run(words).code, Some(0), "{words}");
    }
    // The second move does nothing, and the marker has one version.
    let again = machine.run("move home --to bucket --yes");
    assert!(again.stdout.contains("nothing was changed"), "{again:?}");
    let marker = server.versions(BUCKET, "some/prefix/home/ledger/COPY");
    assert_eq!(marker.len(), 1);
}
