//! Every fault of a service × every operation: success, or a typed error within its time; the bytes
//! are those that were stored, no object is stored twice, and nothing half-stored is to be seen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coldchain::model::{Sha256, StorageClass, Tier};
use coldchain::store::{
    Checksum, Deleted, Encryption, ErrorKind, LockMode, NewObject, ObjectKind, Put, Readability,
    RetryPolicy, S3Settings, S3Store, Severity, Store, StoreError, ThawAnswer, ThawRequest,
};

use crate::common::bucket::{OwnBucket, open, short_patience, write_credentials};
use crate::common::s3_server::{
    ACCESS_KEY, BUCKET, Bucket, Config, Fault, FaultKind, Filling, Locking, Mode, Operation,
    S3Server, SECRET_KEY,
};

/// More than what the settings allow, for a machine under load.
const TIME: Duration = Duration::from_mins(1);

fn content(len: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..251_u32).map(|at| (at * 31 % 251) as u8).collect();
    let mut bytes = period.repeat(len.div_ceil(251));
    bytes.truncate(len);
    bytes
}

fn put(store: &dyn Store, key: &str, bytes: &[u8], role: ObjectKind) -> Result<Put, StoreError> {
    store.put_if_absent(&NewObject::new(
        key,
        bytes.to_vec(),
        Sha256::of(bytes),
        role,
    ))
}

/// What an operation answers, in a form that can be compared.
type Answer = Result<Vec<u8>, StoreError>;

/// An operation, its name, and the requests that it makes.
type Named<'s> = (&'static str, Operation, Box<dyn Fn() -> Answer + 's>);

/// Every operation, on an object that is there (`cold` is, in a cold class), or for `put` is not. In an
/// order in which none is in the way of a later one.
fn operations(store: &dyn Store) -> Vec<Named<'_>> {
    let at = |key: &str| store.locate(key);
    vec![
        (
            "get",
            Operation::Get,
            Box::new(move || store.get(&at("old"), 1 << 20)),
        ),
        (
            "get_range",
            Operation::Get,
            Box::new(move || store.get_range(&at("old"), 1000, 200_000)),
        ),
        (
            "stat",
            Operation::Head,
            Box::new(move || Ok(store.stat(&at("old"))?.bytes.to_le_bytes().to_vec())),
        ),
        (
            "list",
            Operation::List,
            Box::new(move || {
                let keys = store.list("")?.into_iter().map(|listed| listed.key);
                Ok(keys.collect::<Vec<_>>().join(" ").into_bytes())
            }),
        ),
        (
            "readability",
            Operation::Head,
            Box::new(move || {
                let readability = store.readability(&at("cold"))?;
                Ok(format!("{readability:?}").into_bytes())
            }),
        ),
        (
            "now",
            Operation::Other,
            Box::new(move || {
                store.now()?;
                Ok(Vec::new())
            }),
        ),
        (
            "put",
            Operation::Put,
            Box::new(move || {
                put(store, "new", &content(300_000), ObjectKind::Segment)?;
                store.get(&at("new"), 1 << 20)
            }),
        ),
        (
            "thaw",
            Operation::Restore,
            Box::new(move || {
                let request = ThawRequest {
                    tier: Tier::Bulk,
                    days: 3,
                };
                let thaw = store.thaw(&at("cold"), request)?;
                assert!(thaw != ThawAnswer::NotCold);
                Ok(b"asked".to_vec())
            }),
        ),
        (
            "delete",
            Operation::Delete,
            Box::new(move || Ok(format!("{:?}", store.delete(&at("more/0"))?).into_bytes())),
        ),
    ]
}

/// Every fault that strikes a request.
fn faults() -> Vec<FaultKind> {
    use FaultKind as Kind;
    vec![
        Kind::ResetBefore,
        Kind::ResetInBody,
        Kind::ResetAfter,
        Kind::Stall(None),
        Kind::StallInBody(None),
        Kind::Status(500),
        Kind::Status(502),
        Kind::StatusAfter(500),
        Kind::Status(503),
        Kind::Status(425),
        Kind::Status(499),
        Kind::Status(520),
        Kind::Status(598),
        Kind::GatewayPage(408),
        Kind::GatewayPage(530),
        Kind::NoLength,
        Kind::NoLengthAndShort,
        Kind::CutXml,
        Kind::FewerThanCounted,
        Kind::NoTruncation,
        Kind::NoSizes,
        Kind::SlowDown { retry_after: None },
        Kind::SlowDown {
            retry_after: Some(1),
        },
        Kind::ShortBody,
        Kind::ShortAnswer,
        Kind::FlippedByte,
        Kind::ErrorIn200,
        Kind::PreconditionFailed,
        Kind::Conflict,
        Kind::RefusedChecksumHeader,
        Kind::TruncatedList,
        Kind::LaterPagesFail,
        Kind::AccessDenied,
        Kind::HtmlAnswer,
    ]
}

/// A bucket with an object in it, one in a cold class, and more than one page to list.
fn bucket() -> OwnBucket {
    let bucket = OwnBucket::new(S3Server::start(Config {
        page_size: 3,
        ..Config::default()
    }));
    let warm = bucket.store();
    put(&warm, "old", &content(300_000), ObjectKind::Segment).unwrap();
    for at in 0..5 {
        put(&warm, &format!("more/{at}"), b"x", ObjectKind::Segment).unwrap();
    }
    let cold = open(S3Settings {
        storage_class: StorageClass::DeepArchive,
        ..bucket.settings()
    });
    put(&cold, "cold", b"cold", ObjectKind::Segment).unwrap();
    bucket
}

fn undisturbed() -> BTreeMap<&'static str, Vec<u8>> {
    let bucket = bucket();
    let store = bucket.store();
    let answers = operations(&store)
        .into_iter()
        .map(|(name, _, operation)| (name, operation().unwrap()));
    answers.collect()
}

/// No object was accepted twice, and each is one of those that were to be stored, whole.
fn require_whole(bucket: &OwnBucket, what: &str) {
    for (key, count) in bucket.server.put_counts(BUCKET) {
        assert!(
            count.kept <= 1,
            "{what}: {key} was stored {} times",
            count.kept
        );
    }
    let new = content(300_000);
    if let Some(object) = bucket.server.objects(BUCKET).get("some/prefix/new") {
        assert!(
            *object.body == new,
            "{what}: what is stored is not what was sent"
        );
    }
}

#[test]
fn a_fault_that_strikes_once_is_outlived_or_told() {
    let expected = undisturbed();
    let told: usize = std::thread::scope(|scope| {
        let strikes: Vec<_> = faults()
            .into_iter()
            .map(|fault| {
                scope.spawn({
                    let expected = &expected;
                    move || strike_once(&fault, expected)
                })
            })
            .collect();
        strikes
            .into_iter()
            .map(|strike| strike.join().unwrap())
            .sum()
    });
    // Refused headers, denied access, pages that are no S3 and conditions that are not met, each on
    // the operations that they can strike; all the others must have been outlived.
    assert!(
        told < 4 * expected.len(),
        "{told} of {}",
        faults().len() * expected.len()
    );
}

/// Strikes each operation with that fault, and returns how many did not outlive it.
fn strike_once(fault: &FaultKind, expected: &BTreeMap<&'static str, Vec<u8>>) -> usize {
    let mut told = 0;
    let bucket = bucket();
    let store = bucket.store();
    for (name, on, operation) in operations(&store) {
        let what = format!("{fault:?} on {name}");
        bucket.server.clear_faults();
        bucket.server.fail(Fault::on(on, fault.clone()));
        let begun = Instant::now();
        match operation() {
            Ok(answer) => {
                // What no protocol tells: whoever knows length and digest notices.
                let unseen = matches!(fault, FaultKind::FlippedByte | FaultKind::ShortAnswer)
                    && on == Operation::Get;
                assert!(answer == expected[name] || unseen, "{what}: another answer");
            }
            Err(error) => {
                told += 1;
                let final_fault = matches!(
                    fault,
                    FaultKind::RefusedChecksumHeader
                        | FaultKind::AccessDenied
                        | FaultKind::HtmlAnswer
                        | FaultKind::PreconditionFailed
                );
                assert!(final_fault, "{what} was not outlived: {error:?}");
                assert!(error.source.is_some() && !error.url.is_empty(), "{what}");
            }
        }
        assert!(begun.elapsed() < TIME, "{what} took {:?}", begun.elapsed());
        require_whole(&bucket, &what);
    }
    told
}

#[test]
fn a_fault_that_stays_ends_in_a_typed_error_in_time() {
    // A store that says "exists" of all, or answers ranges short but on, can't be told from one
    // that means it; these have tests of their own.
    let mut faults = faults();
    faults.retain(|fault| !matches!(fault, FaultKind::FlippedByte));
    // Most of the time is waited.
    for faults in faults.chunks(6) {
        std::thread::scope(|scope| {
            for fault in faults {
                scope.spawn(|| stay(fault));
            }
        });
    }
}

/// Strikes every operation with that fault for as long as it tries.
fn stay(fault: &FaultKind) {
    let bucket = bucket();
    let store = open(S3Settings {
        patience: RetryPolicy {
            give_up_after: Duration::from_millis(600),
            ..short_patience()
        },
        ..bucket.settings()
    });
    std::thread::scope(|scope| {
        for (name, on, _) in operations(&store) {
            bucket.server.fail(Fault::on(on, fault.clone()).always());
            let store = &store;
            scope.spawn(move || {
                let mut operations = operations(store).into_iter();
                let (_, _, operation) = operations.find(|(other, ..)| *other == name).unwrap();
                let begun = Instant::now();
                let answer = operation();
                let what = format!("{fault:?} on {name}: {answer:?}");
                assert!(begun.elapsed() < TIME, "{what} took {:?}", begun.elapsed());
                let Err(error) = answer else {
                    return;
                };
                assert!(
                    error.kind != ErrorKind::NotFound || error.source.is_some(),
                    "{what}"
                );
                // What a gateway says, or cuts, is no word on an object.
                let is_of_none = matches!(
                    fault,
                    FaultKind::Status(_)
                        | FaultKind::GatewayPage(_)
                        | FaultKind::NoLength
                        | FaultKind::NoLengthAndShort
                        | FaultKind::CutXml
                        | FaultKind::FewerThanCounted
                );
                assert!(
                    !is_of_none || error.kind == ErrorKind::Unavailable,
                    "{what}"
                );
            });
        }
    });
    require_whole(&bucket, &format!("{fault:?}"));
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_not_waited_for_for_ever() {
    let bucket = bucket();
    let trickle = FaultKind::Trickle(Duration::from_millis(100));
    for operation in [Operation::Get, Operation::List] {
        bucket
            .server
            .fail(Fault::on(operation, trickle.clone()).always());
    }
    let store = open(S3Settings {
        patience: RetryPolicy {
            give_up_after: Duration::from_secs(1),
            ..short_patience()
        },
        ..bucket.settings()
    });
    let begun = Instant::now();
    let get = store.get(&store.locate("old"), 1 << 20).unwrap_err();
    assert_eq!(get.kind, ErrorKind::Unavailable);
    let cause = get.source.unwrap().to_string();
    assert!(cause.contains("bytes in 4 s"), "{cause}");
    let list = store.list("").unwrap_err();
    assert_eq!(list.kind, ErrorKind::Unavailable);
    assert!(begun.elapsed() < TIME, "{:?}", begun.elapsed());
}

#[test]
fn versions_that_are_listed_without_end_are_left() {
    let bucket = OwnBucket::new(S3Server::start(Config::with_bucket(
        Bucket::new(BUCKET).versioned(),
    )));
    let store = bucket.store();
    put(&store, "old", b"x", ObjectKind::Segment).unwrap();
    for filling in [Filling::Text, Filling::Elements] {
        bucket.server.clear_faults();
        let fault = FaultKind::EndlessBody(200, filling);
        bucket
            .server
            .fail(Fault::on(Operation::List, fault).always());
        let error = store.delete(&store.locate("old")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Endless, "{error}");
    }
    assert_eq!(bucket.server.versions(BUCKET, "some/prefix/old").len(), 1);
}

#[test]
fn content_is_read_no_further_than_the_caller_takes() {
    let bucket = bucket();
    let store = bucket.store();
    // Without a length, so that only what comes can be counted.
    let fault = FaultKind::EndlessBody(200, Filling::Text);
    bucket
        .server
        .fail(Fault::on(Operation::Get, fault).always());
    let at = store.locate("old");
    let whole = store.get(&at, 1 << 20).unwrap_err();
    assert_eq!(whole.kind, ErrorKind::TooLarge);
    let cause = whole.source.unwrap().to_string();
    assert_eq!(
        cause,
        "it has more than 1048576 bytes, at most 1048576 were expected"
    );
    let range = store.get_range(&at, 0, 1000).unwrap_err();
    assert_eq!(range.kind, ErrorKind::Unsupported);
}

#[test]
fn what_is_not_the_range_that_was_asked_for_is_not_taken_for_it() {
    let bucket = bucket();
    let store = bucket.store();
    let at = store.locate("old");
    let whole = content(300_000);
    let errors = [
        (FaultKind::IgnoresRange, ErrorKind::Unsupported),
        (FaultKind::OtherRange, ErrorKind::Corrupted),
        (FaultKind::NoContentRange, ErrorKind::Unsupported),
        (FaultKind::LongAnswer, ErrorKind::Corrupted),
    ];
    for (fault, expected) in errors {
        let mishap = Fault::on(Operation::Get, fault.clone()).always();
        bucket.server.fail(mishap);
        let error = store.get_range(&at, 1000, 2000).unwrap_err();
        assert_eq!(error.kind, expected, "{fault:?}: {error:?}");
        // From the first byte on: what a service sends has more bytes than that, or they are those.
        match store.get_range(&at, 0, 2000) {
            Ok(bytes) => {
                assert_eq!(fault, FaultKind::NoContentRange);
                assert!(bytes == whole[..2000]);
            }
            Err(error) => assert_eq!(error.kind, expected, "{fault:?}: {error:?}"),
        }
        bucket.server.clear_faults();
    }
    // All of the object is the range from its first byte to its last.
    bucket
        .server
        .fail(Fault::on(Operation::Get, FaultKind::IgnoresRange).always());
    assert!(store.get_range(&at, 0, 300_000).unwrap() == whole);
    let beyond = store.get_range(&at, 0, 300_001).unwrap_err();
    assert_eq!(beyond.kind, ErrorKind::Unsupported);
    bucket.server.clear_faults();
    // Half of a range is asked for again from where it ended.
    bucket
        .server
        .fail(Fault::on(Operation::Get, FaultKind::ShortAnswer).times(3));
    assert!(store.get_range(&at, 1000, 200_000).unwrap() == whole[1000..201_000]);
    let past = store.get_range(&at, 299_000, 1001).unwrap_err();
    assert_eq!(past.kind, ErrorKind::TooShort);
    let behind = store.get_range(&at, 300_000, 1).unwrap_err();
    assert_eq!(behind.kind, ErrorKind::TooShort);
}

#[test]
fn a_lost_answer_is_told_as_existing_and_stored_once() {
    let bucket = bucket();
    bucket
        .server
        .fail(Fault::on(Operation::Put, FaultKind::ResetAfter));
    let store = bucket.store();
    let answer = put(&store, "new", &content(300_000), ObjectKind::Segment).unwrap();
    assert!(matches!(answer, Put::Existed(_)));
    require_whole(&bucket, "lost answer");
}

#[test]
fn a_connection_that_is_cut_is_resumed_where_it_ended() {
    let bucket = bucket();
    bucket
        .server
        .fail(Fault::on(Operation::Get, FaultKind::ResetInBody).times(3));
    let store = bucket.store();
    bucket.server.forget_requests();
    let bytes = store.get(&store.locate("old"), 1 << 20).unwrap();
    assert!(bytes == content(300_000));
    let ranges: Vec<Option<String>> = bucket
        .server
        .requests()
        .into_iter()
        .filter(|request| request.operation == Operation::Get)
        .map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges.len(), 4, "{ranges:?}");
    assert_eq!(ranges[0], None);
    assert!(ranges[1..].iter().all(Option::is_some), "{ranges:?}");
}

#[test]
fn a_stalled_upload_is_noticed_and_sent_again() {
    let bucket = bucket();
    bucket
        .server
        .fail(Fault::on(Operation::Put, FaultKind::StallInBody(None)));
    // The answer to 20 MiB takes the server a moment.
    let store = open(S3Settings {
        patience: RetryPolicy {
            give_up_after: TIME,
            stall: Duration::from_secs(3),
            ..short_patience()
        },
        ..bucket.settings()
    });
    store.list("").unwrap();
    let big = content(20 << 20);
    let begun = Instant::now();
    put(&store, "new-big", &big, ObjectKind::Segment).unwrap();
    assert!(begun.elapsed() < 2 * TIME);
    let stored = bucket.server.objects(BUCKET);
    assert!(*stored["some/prefix/new-big"].body == big);
}

#[test]
fn the_body_is_hashed_by_nobody_but_coldchain() {
    let bucket = bucket();
    let store = bucket.store();
    bucket.server.forget_requests();
    put(&store, "new", &content(300_000), ObjectKind::Segment).unwrap();
    let requests = bucket.server.requests();
    let put = requests
        .iter()
        .find(|request| request.operation == Operation::Put)
        .unwrap();
    assert_eq!(put.headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    assert_eq!(put.headers["if-none-match"], "*");
    assert_eq!(put.headers["content-length"], "300000");
    assert!(put.headers.contains_key("x-amz-checksum-sha256"));
    assert!(!put.headers.contains_key("x-amz-trailer"));
}

#[test]
fn a_service_that_refuses_checksum_headers_takes_md5_or_nothing() {
    for checksum in [Checksum::Md5, Checksum::None] {
        let bucket = bucket();
        bucket
            .server
            .fail(Fault::on_any(FaultKind::RefusedChecksumHeader).always());
        let store = open(S3Settings {
            checksum,
            ..bucket.settings()
        });
        put(&store, "new", &content(1000), ObjectKind::Segment).unwrap();
        let with_sha256 = bucket.store();
        let error = put(&with_sha256, "other", &content(1000), ObjectKind::Segment).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        let text = error.source.unwrap().to_string();
        assert!(
            text.contains("set `checksum` of this store to \"md5\" or \"none\""),
            "{text}"
        );
    }
}

#[test]
fn every_checksum_is_one_that_the_service_agrees_with() {
    let bucket = bucket();
    for (at, checksum) in Checksum::NAMES
        .iter()
        .map(|(_, checksum)| *checksum)
        .enumerate()
    {
        let store = open(S3Settings {
            checksum,
            ..bucket.settings()
        });
        let key = format!("checked/{at}");
        put(&store, &key, &content(5000), ObjectKind::Segment).unwrap();
        assert!(store.get(&store.locate(&key), 5000).unwrap() == content(5000));
    }
}

#[test]
fn a_byte_that_flips_on_its_way_is_noticed_and_sent_again() {
    for checksum in [Checksum::Sha256, Checksum::Md5] {
        let bucket = bucket();
        bucket
            .server
            .fail(Fault::on(Operation::Put, FaultKind::FlippedByte));
        let store = open(S3Settings {
            checksum,
            ..bucket.settings()
        });
        put(&store, "new", &content(300_000), ObjectKind::Segment).unwrap();
        require_whole(&bucket, "flipped");
    }
}

#[test]
fn credentials_that_expire_are_read_again() {
    let bucket = bucket();
    let credentials = bucket.directory.path().join("credentials");
    let renewed = "AKRENEWED";
    bucket.server.configure(|config| {
        config.expired_keys.insert(ACCESS_KEY.to_owned());
        config.access_keys.insert(renewed.to_owned());
    });
    // Whoever is told that it waits renews them.
    let store = S3Store::open(
        bucket.settings(),
        Box::new(|waiting| {
            assert_eq!(waiting.error.kind, ErrorKind::Expired);
            write_credentials(&credentials, renewed, SECRET_KEY);
        }),
    )
    .unwrap();
    assert!(store.get(&store.locate("old"), 1 << 20).unwrap() == content(300_000));
}

#[test]
fn what_never_helps_is_told_at_once() {
    let one = |change: fn(&mut Config)| {
        let bucket = bucket();
        bucket.server.configure(change);
        let store = bucket.store();
        let begun = Instant::now();
        let error = store.list("").unwrap_err();
        assert!(begun.elapsed() < short_patience().first_contact);
        error
    };
    let error = one(|config| config.access_keys.clear());
    assert_eq!(error.kind, ErrorKind::NoCredentials);
    let error = one(|config| config.region = "eu-central-1".to_owned());
    assert_eq!(error.kind, ErrorKind::WrongRegion);
    assert!(error.source.unwrap().to_string().contains("eu-central-1"));
    let error = one(|config| config.moved_to = Some("eu-west-1".to_owned()));
    assert_eq!(error.kind, ErrorKind::WrongRegion);
    assert!(error.source.unwrap().to_string().contains("eu-west-1"));
    let error = one(|config| config.buckets.clear());
    assert_eq!(error.kind, ErrorKind::NoBucket);
}

#[test]
fn a_clock_that_is_wrong_is_told_as_what_it_is() {
    let bucket = OwnBucket::new(S3Server::start(
        Config::default().with_mode(Mode::CheckSkew),
    ));
    let clock = bucket.server.clock();
    clock.advance(chrono::TimeDelta::hours(3));
    let error = put(&bucket.store(), "new", b"x", ObjectKind::Segment).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ClockSkew);
    assert!(error.hint().unwrap().contains("clock"));
}

#[test]
fn a_missing_bucket_is_never_an_absent_object() {
    let bucket = bucket();
    bucket.server.configure(|config| config.buckets.clear());
    let store = bucket.store();
    let at = store.locate("old");
    let errors = [
        store.get(&at, 9).map(drop).unwrap_err(),
        store.get_range(&at, 0, 9).map(drop).unwrap_err(),
        store.stat(&at).map(drop).unwrap_err(),
        store.delete(&at).map(drop).unwrap_err(),
        store.list("old").map(drop).unwrap_err(),
        store.now().map(drop).unwrap_err(),
        put(&store, "new", b"x", ObjectKind::Ledger)
            .map(drop)
            .unwrap_err(),
        put(&store, "new", b"x", ObjectKind::Segment)
            .map(drop)
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::NoBucket, "{error:?}");
    }
}

#[test]
fn an_address_where_nobody_answers_is_given_up_soon() {
    let bucket = bucket();
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let store = open(S3Settings {
        endpoint: Some(format!("http://{free}")),
        patience: RetryPolicy {
            first_contact: Duration::from_millis(500),
            ..RetryPolicy::default()
        },
        ..bucket.settings()
    });
    let begun = Instant::now();
    let error = store.list("").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(begun.elapsed() < TIME);
}

#[test]
fn http_where_https_is_ends_at_once() {
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    // As a web server answers what it takes for a request.
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut connection, _) = plain.accept().unwrap();
        let _ = connection.read(&mut [0; 512]);
        let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let bucket = bucket();
    let store = open(S3Settings {
        endpoint: Some(format!("https://{address}")),
        patience: RetryPolicy::default(),
        ..bucket.settings()
    });
    let begun = Instant::now();
    let error = store.list("").unwrap_err();
    assert!(begun.elapsed() < TIME);
    assert_eq!(error.kind, ErrorKind::Failed, "{error:?}");
    let text = error.source.unwrap().to_string();
    assert!(text.contains("no secure connection"), "{text}");
    server.join().unwrap();
}

#[test]
fn what_a_service_silently_ignores_is_found_out() {
    for (mode, word) in [
        (Mode::IgnoreIfNoneMatch, "If-None-Match"),
        (Mode::RefuseIfNoneMatch, "If-None-Match"),
        (Mode::IgnoreStorageClass, "DEEP_ARCHIVE"),
        (Mode::IgnoreChecksums, "SHA-256"),
    ] {
        let bucket = OwnBucket::new(S3Server::start(Config::default().with_mode(mode)));
        let store = open(S3Settings {
            storage_class: StorageClass::DeepArchive,
            ..bucket.settings()
        });
        put(&store, "small", b"x", ObjectKind::Ledger).unwrap();
        put(&store, "large", b"xx", ObjectKind::Segment).unwrap();
        let remarks = store.remarks();
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(remarks[0].contains(word), "{remarks:?}");
        // And is lived with: the second writer is told all the same.
        let again = put(&store, "small", b"y", ObjectKind::Ledger).unwrap();
        assert!(matches!(again, Put::Existed(_)));
        assert_eq!(store.get(&store.locate("small"), 9).unwrap(), b"x");
    }
}

#[test]
fn a_lock_that_was_asked_for_is_there_or_the_upload_fails() {
    let until = chrono::Utc::now() + chrono::TimeDelta::days(30);
    let locked = |config: Config| {
        let bucket = OwnBucket::new(S3Server::start(config));
        let store = open(S3Settings {
            object_lock: Some(LockMode::Governance),
            ..bucket.settings()
        });
        let object = NewObject {
            retain_until: Some(until),
            ..NewObject::new("a", b"x".to_vec(), Sha256::of(b"x"), ObjectKind::Ledger)
        };
        let answer = store.put_if_absent(&object);
        (bucket, store, answer)
    };
    let with_lock = || Config::with_bucket(Bucket::new(BUCKET).locking(Locking::On));
    let (_bucket, store, answer) = locked(with_lock());
    let Put::Created(at) = answer.unwrap() else {
        panic!("it is new");
    };
    assert!(at.to_string().contains("?versionId="), "{at}");
    let kept = store.delete(&at).unwrap();
    assert!(matches!(kept, Deleted::Retained { .. }), "{kept:?}");
    assert_eq!(store.get(&at, 9).unwrap(), b"x");

    let (_bucket, _, answer) = locked(with_lock().with_mode(Mode::IgnoreObjectLock));
    let error = answer.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.source.unwrap().to_string().contains("lock"));
}

#[test]
fn what_a_delete_has_only_hidden_is_deleted_with_all_its_versions() {
    let versioned = Config::with_bucket(Bucket::new(BUCKET).versioned());
    let bucket = OwnBucket::new(S3Server::start(versioned.with_mode(Mode::TellNoVersion)));
    let store = bucket.store();
    put(&store, "new", b"x", ObjectKind::Segment).unwrap();
    let at = store.locate("new");
    assert_eq!(store.delete(&at).unwrap(), Deleted::Removed);
    assert!(bucket.server.versions(BUCKET, "some/prefix/new").is_empty());
    assert_eq!(store.delete(&at).unwrap(), Deleted::Absent);
}

#[test]
fn what_is_there_and_has_no_version_in_a_listing_is_not_called_absent() {
    let versioned = Config::with_bucket(Bucket::new(BUCKET).versioned());
    let bucket = OwnBucket::new(S3Server::start(versioned.with_mode(Mode::ListNoVersions)));
    let store = bucket.store();
    put(&store, "new", b"x", ObjectKind::Segment).unwrap();
    let at = store.locate("new");
    let error = store.delete(&at).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert_eq!(store.get(&at, 9).unwrap(), b"x");
}

#[test]
fn settings_that_are_cut_are_not_taken_for_harmless_ones() {
    let rule = |id: &str, does: &str| {
        format!("<Rule><ID>{id}</ID><Filter/><Status>Enabled</Status>{does}</Rule>")
    };
    let rules = rule("uploads", "") + &rule("all", "<Expiration><Days>30</Days></Expiration>");
    let lifecycle = format!(
        "<?xml version=\"1.0\"?>\n<LifecycleConfiguration>{rules}</LifecycleConfiguration>"
    );
    let bucket = OwnBucket::new(S3Server::start(Config::with_bucket(
        Bucket::new(BUCKET).lifecycle(&lifecycle),
    )));
    let store = bucket.store();
    bucket
        .server
        .fail(Fault::on(Operation::Other, FaultKind::CutXml).times(3));
    let findings = store.examine().unwrap();
    assert_eq!(bucket.server.faults_struck(), 3);
    let found = findings
        .iter()
        .find(|finding| finding.subject == "lifecycle");
    assert_eq!(found.unwrap().verdict, Severity::Failure);
    bucket
        .server
        .fail(Fault::on(Operation::Other, FaultKind::CutXml).always());
    assert_eq!(store.examine().unwrap_err().kind, ErrorKind::Unavailable);
}

#[test]
fn tags_and_encryption_go_with_every_object() {
    let bucket = bucket();
    let store = open(S3Settings {
        tags: BTreeMap::from([("owner".to_owned(), "a b&c".to_owned())]),
        encryption: Encryption::Aes256,
        ..bucket.settings()
    });
    put(&store, "new", b"x", ObjectKind::Segment).unwrap();
    let object = &bucket.server.objects(BUCKET)["some/prefix/new"];
    assert_eq!(object.tagging.as_deref(), Some("owner=a%20b%26c"));
    assert_eq!(object.headers["x-amz-server-side-encryption"], "AES256");
}

#[test]
fn a_cold_object_is_thawed_read_and_cold_again() {
    let bucket = bucket();
    let clock = bucket.server.clock();
    clock.set("2026-11-21T03:00:00Z".parse().unwrap());
    let store = bucket.store();
    let at = store.locate("cold");
    let class = StorageClass::DeepArchive;
    let bulk = ThawRequest {
        tier: Tier::Bulk,
        days: 3,
    };
    assert_eq!(store.get(&at, 9).unwrap_err().kind, ErrorKind::Cold);
    assert_eq!(
        store.get_range(&at, 0, 2).unwrap_err().kind,
        ErrorKind::Cold
    );
    assert_eq!(store.stat(&at).unwrap().bytes, 4);
    assert_eq!(store.readability(&at).unwrap(), Readability::Cold(class));
    assert_eq!(store.thaw(&at, bulk).unwrap(), ThawAnswer::Accepted);
    assert_eq!(store.thaw(&at, bulk).unwrap(), ThawAnswer::Running);
    assert_eq!(store.readability(&at).unwrap(), Readability::Thawing(class));
    clock.advance(chrono::TimeDelta::hours(48));
    let until = "2026-11-27T00:00:00Z".parse().unwrap();
    assert_eq!(
        store.readability(&at).unwrap(),
        Readability::Until(class, until)
    );
    assert_eq!(store.get(&at, 9).unwrap(), b"cold");
    // Told to the second, and it goes on from there.
    let apart = store.now().unwrap() - clock.now();
    assert!(apart.abs() < chrono::TimeDelta::minutes(1), "{apart}");
    clock.advance(chrono::TimeDelta::days(5));
    assert_eq!(store.readability(&at).unwrap(), Readability::Cold(class));
    assert_eq!(store.get(&at, 9).unwrap_err().kind, ErrorKind::Cold);
    let warm = store.locate("old");
    assert_eq!(store.thaw(&warm, bulk).unwrap(), ThawAnswer::NotCold);
    assert_eq!(store.readability(&warm).unwrap(), Readability::Always);
    let expedited = ThawRequest {
        tier: Tier::Expedited,
        days: 3,
    };
    assert!(store.thaw(&at, expedited).is_err());
}

#[test]
fn credentials_that_may_not_delete_store_and_read_all_the_same() {
    let bucket = bucket();
    bucket
        .server
        .fail(Fault::on(Operation::Delete, FaultKind::AccessDenied).always());
    let store = bucket.store();
    let Put::Created(at) = put(&store, "new", b"x", ObjectKind::Segment).unwrap() else {
        panic!("it is new");
    };
    let error = store.delete(&at).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("docs/aws.md"));
    assert_eq!(store.get(&at, 9).unwrap(), b"x");
}
