//! Deleting from a bucket that keeps versions, or locks them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use coldchain::model::Sha256;
use coldchain::store::{
    Deleted, ErrorKind, Locator, LockMode, NewObject, ObjectKind, Put, RetryPolicy, S3Settings,
    S3Store, Store,
};

use crate::common::bucket::{OwnBucket, open, short_patience};
use crate::common::s3_server::{
    BUCKET, Bucket, Config, Fault, FaultKind, Locking, Mode, Operation, S3Server,
};

const KEY: &str = "home/archives/a/key.age";
const FULL_KEY: &str = "some/prefix/home/archives/a/key.age";

fn put(store: &S3Store<'_>, key: &str, bytes: &'static [u8]) {
    let object = NewObject::new(key, bytes, Sha256::of(bytes), ObjectKind::Segment);
    let answer = store.put_if_absent(&object).unwrap();
    assert!(matches!(answer, Put::Created(_)));
}

fn versions(bucket: &OwnBucket) -> Vec<String> {
    let versions = bucket.server.versions(BUCKET, FULL_KEY).into_iter();
    versions.map(|version| version.id).collect()
}

/// A bucket that has three versions of an object, and a key that only begins like its.
fn of_three_versions() -> (OwnBucket, S3Store<'static>) {
    let config = Config {
        page_size: 2,
        ..Config::with_bucket(Bucket::new(BUCKET).versioned())
    };
    // That is how a key gets several versions: a service that overwrites.
    let config = config.with_mode(Mode::IgnoreIfNoneMatch);
    let bucket = OwnBucket::new(S3Server::start(config));
    let store = bucket.store();
    for bytes in [b"1".as_slice(), b"2", b"3"] {
        put(&store, KEY, bytes);
    }
    put(&store, &format!("{KEY}.bak"), b"not its");
    assert_eq!(versions(&bucket).len(), 3);
    bucket.server.forget_requests();
    (bucket, store)
}

/// How often each method was used.
fn methods(bucket: &OwnBucket) -> BTreeMap<String, usize> {
    let mut methods = BTreeMap::new();
    for request in bucket.server.requests() {
        *methods.entry(request.method).or_default() += 1;
    }
    methods
}

fn only_the_other_is_left(bucket: &OwnBucket) {
    assert_eq!(versions(bucket), [""; 0]);
    let left: Vec<String> = bucket.server.objects(BUCKET).into_keys().collect();
    assert_eq!(left, [format!("{FULL_KEY}.bak")]);
}

#[test]
fn every_version_goes_by_its_id_the_current_one_last() {
    let (bucket, store) = of_three_versions();
    let current = versions(&bucket).pop().unwrap();
    assert_eq!(store.delete(&store.locate(KEY)).unwrap(), Deleted::Removed);
    only_the_other_is_left(&bucket);
    let requests = bucket.server.requests();
    let deletes: Vec<_> = requests
        .iter()
        .filter(|request| request.method == "DELETE")
        .collect();
    assert_eq!(deletes.len(), 3);
    let last = format!("{:?}", deletes[2]);
    assert!(last.contains(&current), "{last}");
    assert_eq!(store.delete(&store.locate(KEY)).unwrap(), Deleted::Absent);
}

#[test]
fn what_a_delete_marker_hides_goes_with_the_marker() {
    let (bucket, store) = of_three_versions();
    bucket.server.hide(BUCKET, FULL_KEY);
    assert!(store.list("home/archives/a/key.age").unwrap().len() == 1);
    assert_eq!(store.delete(&store.locate(KEY)).unwrap(), Deleted::Removed);
    only_the_other_is_left(&bucket);
}

#[test]
fn a_delete_that_is_cut_short_leaves_the_current_version_to_be_listed() {
    let (bucket, store) = of_three_versions();
    let current = versions(&bucket).pop().unwrap();
    let denied = Fault::on(Operation::Delete, FaultKind::AccessDenied).always();
    bucket.server.fail(denied);
    let error = store.delete(&store.locate(KEY)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(versions(&bucket).contains(&current));
    assert_eq!(store.list(KEY).unwrap().len(), 2);
    bucket.server.clear_faults();
    assert_eq!(store.delete(&store.locate(KEY)).unwrap(), Deleted::Removed);
    only_the_other_is_left(&bucket);
}

#[test]
fn a_listing_of_versions_that_fails_deletes_nothing() {
    let (bucket, store) = of_three_versions();
    let before = versions(&bucket);
    let denied = Fault::on(Operation::List, FaultKind::AccessDenied).always();
    bucket.server.fail(denied);
    let error = store.delete(&store.locate(KEY)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert_eq!(versions(&bucket), before);
}

#[test]
fn a_bucket_without_versions_is_asked_for_none() {
    let bucket = OwnBucket::new(S3Server::new());
    let store = bucket.store();
    put(&store, KEY, b"x");
    bucket.server.forget_requests();
    assert_eq!(store.delete(&store.locate(KEY)).unwrap(), Deleted::Removed);
    let once = BTreeMap::from([("DELETE".to_owned(), 1), ("HEAD".to_owned(), 1)]);
    assert_eq!(methods(&bucket), once);
}

/// A bucket with an object that is locked for a day, and until when.
fn of_one_locked(modes: &[Mode]) -> (OwnBucket, S3Store<'static>, DateTime<Utc>) {
    let bucket = Bucket::new(BUCKET).locking(Locking::On);
    let mut config = Config::with_bucket(bucket);
    config.modes.extend(modes);
    let bucket = OwnBucket::new(S3Server::start(config));
    let store = open(S3Settings {
        object_lock: Some(LockMode::Compliance),
        ..bucket.settings()
    });
    // To the second: a header tells no more.
    let until = DateTime::from_timestamp(Utc::now().timestamp() + 86_400, 0).unwrap();
    let object = NewObject {
        retain_until: Some(until),
        ..NewObject::new(KEY, b"x".as_slice(), Sha256::of(b"x"), ObjectKind::Segment)
    };
    store.put_if_absent(&object).unwrap();
    (bucket, store, until)
}

#[test]
fn what_a_lock_keeps_is_retained_until_its_day_and_then_goes() {
    let (bucket, store, until) = of_one_locked(&[]);
    let before = versions(&bucket);
    let answer = store.delete(&store.locate(KEY)).unwrap();
    assert_eq!(answer, Deleted::Retained { until });
    assert_eq!(versions(&bucket), before, "and nothing hides it");
    bucket.server.clock().advance(TimeDelta::days(2));
    assert_eq!(store.delete(&store.locate(KEY)).unwrap(), Deleted::Removed);
    assert_eq!(versions(&bucket), [""; 0]);
}

/// How services refuse to delete what a lock keeps, as public reports have it.
const REFUSALS: [(u16, &str, &str); 6] = [
    (
        400,
        "InvalidRequest",
        "Object is WORM protected and cannot be overwritten",
    ),
    (403, "AccessDenied", "forbidden by object lock"),
    (
        405,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    ),
    (409, "OperationAborted", "The object is locked."),
    (409, "ObjectLocked", "Object is under retention."),
    (401, "Unauthorized", "File is protected by file lock"),
];

#[test]
fn a_lock_is_looked_for_behind_every_refusal() {
    for modes in [&[][..], &[Mode::TellNoLock]] {
        for (status, code, message) in REFUSALS {
            let (bucket, store, until) = of_one_locked(modes);
            let refusal = FaultKind::Refusal(status, code, message);
            bucket
                .server
                .fail(Fault::on(Operation::Delete, refusal).always());
            let began = Instant::now();
            let answer = store.delete(&store.locate(KEY)).unwrap();
            assert_eq!(answer, Deleted::Retained { until }, "{status} {code}");
            assert_eq!(bucket.server.faults_struck(), 1, "{status} {code}");
            // By its version too, which is how a catalog may know it.
            let id = versions(&bucket).remove(0);
            let at = Locator::from(format!("{KEY}?versionId={id}"));
            assert_eq!(store.delete(&at).unwrap(), Deleted::Retained { until });
            assert!(began.elapsed() < Duration::from_secs(10), "{status} {code}");
        }
    }
}

#[test]
fn a_refusal_without_a_lock_stays_what_it_is() {
    for (status, kind) in [
        (400, ErrorKind::Failed),
        (403, ErrorKind::Denied),
        (405, ErrorKind::Unsupported),
        (409, ErrorKind::Unavailable),
    ] {
        let (bucket, _, _) = of_one_locked(&[]);
        let store = open(S3Settings {
            patience: RetryPolicy {
                give_up_after: Duration::from_secs(1),
                ..short_patience()
            },
            ..bucket.settings()
        });
        // The lock is over: it is something else.
        bucket.server.clock().advance(TimeDelta::days(2));
        let refusal = FaultKind::Refusal(status, "Whatever", "no");
        bucket
            .server
            .fail(Fault::on(Operation::Delete, refusal).always());
        let error = store.delete(&store.locate(KEY)).unwrap_err();
        assert_eq!(error.kind, kind, "{status}");
    }
}

#[test]
fn a_legal_hold_is_called_one_and_what_ends_it_is_said() {
    let (bucket, store, _) = of_one_locked(&[Mode::TellLegalHold]);
    bucket.server.clock().advance(TimeDelta::days(2));
    let refusal = FaultKind::Refusal(403, "AccessDenied", "Access Denied");
    bucket
        .server
        .fail(Fault::on(Operation::Delete, refusal).always());
    let error = store.delete(&store.locate(KEY)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    let said = error.source.as_ref().unwrap().to_string();
    assert!(
        said.starts_with("a legal hold keeps this version; it answered 403 AccessDenied"),
        "{said}"
    );
    assert!(error.hint().unwrap().contains("put-object-legal-hold"));
}

#[test]
fn a_listing_of_versions_that_is_cut_leaves_none_of_them() {
    for fault in [FaultKind::CutXml, FaultKind::NoTruncation] {
        let (bucket, store) = of_three_versions();
        bucket
            .server
            .fail(Fault::on(Operation::List, fault.clone()).skip(1));
        assert_eq!(store.delete(&store.locate(KEY)).unwrap(), Deleted::Removed);
        assert_eq!(bucket.server.faults_struck(), 1);
        only_the_other_is_left(&bucket);

        let (bucket, store) = of_three_versions();
        bucket
            .server
            .fail(Fault::on(Operation::List, fault.clone()).always());
        let error = store.delete(&store.locate(KEY)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{fault:?}");
        assert_eq!(versions(&bucket).len(), 3);
    }
}
