//! Copies within one service: whatever it does to one, no object stands under a key whose bytes were not
//! proven.

use std::time::{Duration, Instant};

use chrono::{DurationRound, TimeDelta, Utc};
use coldchain::model::{Sha256, StorageClass};
use coldchain::store::{
    Checksum, ErrorKind, LockMode, NewObject, ObjectKind, Put, RemoteObject, S3Settings, S3Store,
    Store, StoreError,
};

use crate::common::bucket::{
    OwnBucket, open, patience_without_stalls, settings, write_credentials,
};
use crate::common::s3_server::{
    BUCKET, Bucket, Config, Fault, FaultKind, Locking, Mode, Operation, S3Server,
};
use crate::common::servers::{ObjectLock, Versioning, Weed};

const KEY: &str = "home/archives/a/000000-0123456789abcdef.zst.age";
const COPY: &str = "copy";

/// Two buckets of one server, and an object in the first.
struct Places {
    bucket: OwnBucket,
    home: S3Store<'static>,
    copy: S3Store<'static>,
    bytes: Vec<u8>,
}

fn content(len: u32) -> Vec<u8> {
    (0..len).map(|at| (at % 253) as u8).collect()
}

impl Places {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(change, |_, _| {})
    }

    fn in_mode(mode: Mode) -> Self {
        Self::new(|config| config.modes.extend([mode]))
    }

    fn with(
        change: impl FnOnce(&mut Config),
        set: impl FnOnce(&mut S3Settings, &mut S3Settings),
    ) -> Self {
        let mut config = Config::default();
        config.buckets.push(Bucket::new(COPY));
        change(&mut config);
        let bucket = OwnBucket::new(S3Server::start(config));
        let mut home = S3Settings {
            patience: patience_without_stalls(),
            ..bucket.settings()
        };
        let mut copy = S3Settings {
            bucket: COPY.to_owned(),
            prefix: "an other/prefix".to_owned(),
            ..home.clone()
        };
        set(&mut home, &mut copy);
        let (home, copy) = (open(home), open(copy));
        let bytes = content(300_000);
        let new = NewObject::new(KEY, bytes.clone(), Sha256::of(&bytes), ObjectKind::Segment);
        assert!(matches!(home.put_if_absent(&new), Ok(Put::Created(_))));
        bucket.server.forget_requests();
        Self {
            bucket,
            home,
            copy,
            bytes,
        }
    }

    fn server(&self) -> &S3Server {
        &self.bucket.server
    }

    fn object(&self) -> RemoteObject<'static> {
        RemoteObject {
            key: KEY,
            bytes: self.bytes.len() as u64,
            sha256: Sha256::of(&self.bytes),
            role: ObjectKind::Segment,
            retain_until: None,
        }
    }

    fn copy(&self) -> Result<Option<Put>, StoreError> {
        let at = self.home.locate(KEY);
        self.copy.copy_within(&self.home, &at, &self.object())
    }

    fn requests(&self, operation: Operation) -> usize {
        let requests = self.server().requests();
        let of = requests.iter().filter(|one| one.operation == operation);
        of.count()
    }

    /// The copy's bytes, if there is one.
    fn copied(&self) -> Option<Vec<u8>> {
        let objects = self.server().objects(COPY);
        assert!(objects.len() <= 1);
        let (key, version) = objects.into_iter().next()?;
        assert_eq!(key, format!("an other/prefix/{KEY}"));
        Some(version.body.to_vec())
    }

    fn is_created(&self) {
        let copied = self.copy();
        assert!(matches!(copied, Ok(Some(Put::Created(_)))), "{copied:?}");
        assert!(self.copied().as_ref() == Some(&self.bytes));
    }

    /// The caller is told to read and store it, and the next one that there is no need to ask.
    fn is_not_for_here(&self) {
        assert_eq!(self.copy().unwrap(), None);
        assert_eq!(self.copied(), None, "something is left");
        let asked = self.server().requests().len();
        assert_eq!(self.copy().unwrap(), None);
        assert_eq!(self.server().requests().len(), asked, "it is remembered");
    }
}

#[test]
fn a_copy_does_not_pass_this_machine_but_to_be_proven() {
    let places = Places::new(|_| {});
    places.is_created();
    assert_eq!(places.requests(Operation::Copy), 1);
    assert_eq!(places.requests(Operation::Put), 0);
    let read: Vec<_> = places.server().requests();
    let read: Vec<_> = read
        .iter()
        .filter(|one| one.operation == Operation::Get)
        .collect();
    assert!(read.len() == 1 && read.iter().all(|one| one.bucket == COPY));
    let again = places.copy().unwrap();
    assert!(matches!(again, Some(Put::Existed(_))), "{again:?}");
    assert_eq!(places.requests(Operation::Copy), 1);
    assert!(places.copy.remarks().is_empty());
}

#[test]
fn a_copy_has_the_settings_of_its_place_and_nothing_of_the_other_s() {
    let until = Utc::now() + TimeDelta::days(30);
    let until = until.duration_trunc(TimeDelta::seconds(1)).unwrap();
    let tag = |settings: &mut S3Settings, text: &str| {
        settings.tags.insert("place".to_owned(), text.to_owned());
    };
    let places = Places::with(
        |config| config.buckets[1] = Bucket::new(COPY).locking(Locking::On),
        |home, copy| {
            tag(home, "home");
            tag(copy, "a copy");
            copy.storage_class = StorageClass::GlacierIr;
            copy.object_lock = Some(LockMode::Compliance);
        },
    );
    let object = RemoteObject {
        retain_until: Some(until),
        ..places.object()
    };
    let at = places.home.locate(KEY);
    let copied = places.copy.copy_within(&places.home, &at, &object).unwrap();
    let Some(Put::Created(locator)) = copied else {
        panic!("{copied:?}");
    };
    let version = &places.server().objects(COPY)[&format!("an other/prefix/{KEY}")];
    assert!(locator.to_string().ends_with(&version.id), "{locator}");
    assert_eq!(version.storage_class, "GLACIER_IR");
    assert_eq!(version.tagging.as_deref(), Some("place=a%20copy"));
    let lock = version.lock.as_ref().unwrap();
    assert_eq!((lock.mode.as_str(), lock.until), ("COMPLIANCE", until));
    let header = "x-amz-checksum-sha256";
    assert!(version.checksums.contains_key(header));
}

/// The locator names a version, and a later one under the same key is not it.
#[test]
fn the_version_that_the_locator_names_is_copied() {
    let places = Places::new(|config| config.buckets[0] = Bucket::new(BUCKET).versioned());
    let key = format!("some/prefix/{KEY}");
    let id = places.server().versions(BUCKET, &key)[0].id.clone();
    places.server().hide(BUCKET, &key);
    let error = places.copy().unwrap_err();
    assert!(
        error.is_not_found() && error.url.contains(BUCKET),
        "{error}"
    );
    let at = format!("{KEY}?versionId={id}").into();
    let copied = places.copy.copy_within(&places.home, &at, &places.object());
    assert!(matches!(copied, Ok(Some(Put::Created(_)))), "{copied:?}");
    assert!(places.copied().as_ref() == Some(&places.bytes));
}

#[test]
fn what_may_pass_is_waited_for() {
    for (what, requests) in [
        (FaultKind::ErrorIn200, 3),
        (FaultKind::Status(503), 3),
        (FaultKind::ResetBefore, 3),
        (FaultKind::SlowDown { retry_after: None }, 3),
        (FaultKind::Conflict, 3),
        // It was obeyed, so the second request meets its object.
        (FaultKind::ResetAfter, 2),
        (FaultKind::StatusAfter(500), 2),
        (FaultKind::CutXml, 2),
    ] {
        let places = Places::new(|_| {});
        let fault = Fault::on(Operation::Copy, what.clone()).times(requests - 1);
        places.server().fail(fault);
        let begun = Instant::now();
        places.is_created();
        assert!(begun.elapsed() < Duration::from_mins(1), "{what:?}");
        assert_eq!(places.requests(Operation::Copy), requests, "{what:?}");
        let count = places.server().put_counts(COPY);
        assert_eq!(count.values().next().unwrap().kept, 1, "{what:?}");
    }
}

#[test]
fn what_a_service_refuses_is_done_by_the_caller() {
    for what in [
        FaultKind::AccessDenied,
        FaultKind::Refusal(400, "InvalidRequest", "no"),
        FaultKind::Refusal(200, "AccessDenied", "no"),
        FaultKind::Refusal(405, "MethodNotAllowed", "no"),
        FaultKind::PreconditionFailed,
    ] {
        let places = Places::new(|_| {});
        places
            .server()
            .fail(Fault::on(Operation::Copy, what).always());
        places.is_not_for_here();
    }
    let places = Places::in_mode(Mode::NoCopies);
    places.is_not_for_here();
    let places = Places::in_mode(Mode::IgnoreChecksums);
    places.is_not_for_here();
    assert_eq!(places.requests(Operation::Copy), 0, "it has no digest");
}

#[test]
fn a_service_without_conditions_copies_too() {
    for mode in [Mode::RefuseCopyCondition, Mode::IgnoreIfNoneMatch] {
        let places = Places::in_mode(mode);
        places.is_created();
        let again = places.copy().unwrap();
        assert!(matches!(again, Some(Put::Existed(_))), "{again:?}");
    }
}

#[test]
fn a_copy_without_a_digest_is_read_and_is_the_last() {
    let places = Places::in_mode(Mode::CopiesLoseChecksums);
    places.is_created();
    let asked = places.server().requests().len();
    let other = RemoteObject {
        key: "home/archives/a/000001-0123456789abcdef.zst.age",
        ..places.object()
    };
    let at = places.home.locate(KEY);
    let copied = places.copy.copy_within(&places.home, &at, &other).unwrap();
    assert_eq!(copied, None);
    assert_eq!(places.server().requests().len(), asked);
}

#[test]
fn wrong_bytes_are_found_and_deleted_whatever_digest_they_have() {
    for mode in [None, Some(Mode::CopiesCarryChecksums)] {
        for versioned in [false, true] {
            let places = Places::new(|config| {
                config.modes.extend(mode);
                if versioned {
                    config.buckets[1] = Bucket::new(COPY).versioned();
                }
            });
            let fault = Fault::on(Operation::Copy, FaultKind::FlippedByte);
            places.server().fail(fault);
            places.is_not_for_here();
            let key = format!("an other/prefix/{KEY}");
            assert_eq!(places.server().versions(COPY, &key).len(), 0);
            assert_eq!(places.copy.remarks().len(), 1);
            assert_eq!(places.server().faults_struck(), 1);
        }
    }
}

/// As after a crash between the copy and its proof.
#[test]
fn wrong_bytes_of_an_earlier_run_are_an_error_and_stay() {
    let places = Places::in_mode(Mode::CopiesCarryChecksums);
    places.is_created();
    let key = format!("an other/prefix/{KEY}");
    let flip = |bytes: &mut Vec<u8>| bytes[299_999] ^= 1;
    places.server().damage(COPY, &key, flip);
    let error = places.copy().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupted, "{error}");
    assert!(error.url.contains(COPY), "{error}");
    assert!(places.copied().is_some());
}

#[test]
fn wrong_bytes_that_can_t_be_deleted_are_an_error_that_says_so() {
    let places = Places::new(|_| {});
    let server = places.server();
    server.fail(Fault::on(Operation::Copy, FaultKind::FlippedByte));
    server.fail(Fault::on(Operation::Delete, FaultKind::AccessDenied).always());
    let error = places.copy().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupted, "{error}");
    assert!(error.hint().unwrap().starts_with("delete "), "{error:?}");
}

#[test]
fn a_damaged_source_is_left_to_the_caller_who_reads_it() {
    let places = Places::new(|_| {});
    let flip = |bytes: &mut Vec<u8>| bytes[100] ^= 1;
    let key = format!("some/prefix/{KEY}");
    places.server().damage(BUCKET, &key, flip);
    assert_eq!(places.copy().unwrap(), None);
    assert_eq!(places.copied(), None);
}

#[test]
fn a_cold_source_is_an_error_of_its_own_place() {
    let places = Places::with(|_| {}, |home, _| home.storage_class = StorageClass::Glacier);
    let error = places.copy().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cold, "{error}");
    assert!(error.url.contains(BUCKET), "{error}");
    assert_eq!(places.requests(Operation::Copy), 0);
    assert_eq!(places.copied(), None);
    // It has gone cold since it was looked at.
    let places = Places::new(|_| {});
    let message = "The source object of the COPY action is not in the active tier";
    let refusal = FaultKind::Refusal(403, "ObjectNotInActiveTierError", message);
    places.server().fail(Fault::on(Operation::Copy, refusal));
    assert_eq!(places.copy().unwrap_err().kind, ErrorKind::Cold);
}

#[test]
fn what_can_t_be_proven_is_not_begun() {
    let none = |set: fn(&mut S3Settings, &mut S3Settings)| {
        let places = Places::with(|_| {}, set);
        places.is_not_for_here();
        assert_eq!(places.requests(Operation::Copy), 0);
    };
    none(|_, copy| copy.storage_class = StorageClass::DeepArchive);
    none(|_, copy| copy.checksum = Checksum::Md5);
    none(|home, _| home.checksum = Checksum::Md5);
    none(|_, copy| copy.profile = Some("other".to_owned()));
    let places = Places::new(|_| {});
    let at = places.home.locate(KEY);
    for object in [
        RemoteObject {
            role: ObjectKind::Ledger,
            ..places.object()
        },
        RemoteObject {
            bytes: 5_000_000_001,
            ..places.object()
        },
    ] {
        let copied = places.copy.copy_within(&places.home, &at, &object).unwrap();
        assert_eq!(copied, None);
    }
    assert_eq!(places.server().requests().len(), 0);
    let other = OwnBucket::new(S3Server::new());
    let other = open(S3Settings {
        patience: patience_without_stalls(),
        ..other.settings()
    });
    let copied = other.copy_within(&places.home, &at, &places.object());
    assert_eq!(copied.unwrap(), None, "it is another service");
}

#[test]
fn a_bucket_that_is_not_there_is_said_to_be_missing() {
    let places = Places::new(|config| drop(config.buckets.pop()));
    let error = places.copy().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoBucket, "{error}");
}

#[test]
fn seaweedfs_copies_by_itself() {
    let Some(server) = Weed::shared() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().join("credentials");
    write_credentials(&credentials, server.access_key(), server.secret_key());
    let [home, copy] = [Versioning::Off, Versioning::On].map(|versioning| {
        let bucket = server.new_bucket(ObjectLock::Off, versioning);
        open(S3Settings {
            patience: patience_without_stalls(),
            ..settings(server.endpoint(), &bucket, &credentials)
        })
    });
    // More than is read at once when a copy is proven.
    let bytes = content(9_000_000);
    let sha256 = Sha256::of(&bytes);
    let new = NewObject::new(KEY, bytes.clone(), sha256, ObjectKind::Segment);
    let Put::Created(at) = home.put_if_absent(&new).unwrap() else {
        panic!("it is new");
    };
    let object = RemoteObject {
        key: KEY,
        bytes: bytes.len() as u64,
        sha256,
        role: ObjectKind::Segment,
        retain_until: None,
    };
    let Some(Put::Created(copied)) = copy.copy_within(&home, &at, &object).unwrap() else {
        panic!("it is not made");
    };
    assert!(copy.get(&copied, 10_000_000).unwrap() == bytes);
    assert_eq!(copy.stat(&copied).unwrap().sha256, Some(sha256));
}
