//! One suite over every store: the contract of `store::Store`, as tests.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use coldchain::model::{Sha256, Tier};
use coldchain::store::{
    Deleted, DirStore, ErrorKind, Exclusivity, Locator, MemoryStore, NewObject, ObjectKind,
    Operation, Put, Readability, RecordingStore, RemoteObject, S3Settings, Stat, Store, StoreError,
    Swept, ThawRequest,
};

use super::vault_by_keys::VaultByKeys;
use crate::common::bucket::{
    OwnBucket, open, patience_without_stalls, settings, write_credentials,
};
use crate::common::s3_server::{BUCKET, Bucket, Config, Mode, S3Server};
use crate::common::servers::{Moto, ObjectLock, Server, Versioning, Weed};
use crate::common::vault::OwnVault;

/// An empty store, and what has to outlive it.
struct Fresh {
    store: Arc<dyn Store>,
    _outlives: Option<Box<dyn Any>>,
}

/// Makes an empty store.
type Make = fn() -> Fresh;

fn directory() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(DirStore::open(directory.path()).unwrap());
    Fresh {
        store,
        _outlives: Some(Box::new(directory)),
    }
}

fn memory() -> Fresh {
    Fresh {
        store: Arc::new(MemoryStore::default()),
        _outlives: None,
    }
}

fn recorded() -> Fresh {
    Fresh {
        store: Arc::new(RecordingStore::new(MemoryStore::default())),
        _outlives: None,
    }
}

/// The tests' own server.
fn own_s3_server() -> Fresh {
    let bucket = OwnBucket::new(S3Server::new());
    Fresh {
        store: Arc::new(open(S3Settings {
            patience: patience_without_stalls(),
            ..bucket.settings()
        })),
        _outlives: Some(Box::new(bucket)),
    }
}

/// A bucket of its own on a server that verifies signatures and checksums.
fn seaweedfs() -> Fresh {
    remote(Weed::shared())
}

/// A bucket that keeps versions.
fn own_s3_server_with_versions() -> Fresh {
    let config = Config::with_bucket(Bucket::new(BUCKET).versioned());
    let bucket = OwnBucket::new(S3Server::start(config));
    Fresh {
        store: Arc::new(open(S3Settings {
            patience: patience_without_stalls(),
            ..bucket.settings()
        })),
        _outlives: Some(Box::new(bucket)),
    }
}

/// A bucket that keeps versions.
fn seaweedfs_with_versions() -> Fresh {
    with_versioning(Weed::shared(), Versioning::On)
}

/// The second opinion.
fn moto() -> Fresh {
    remote(Moto::shared())
}

/// Without the server, which is only possible outside of CI, the suite runs over memory.
fn remote(server: Option<&'static Server>) -> Fresh {
    with_versioning(server, Versioning::Off)
}

fn with_versioning(server: Option<&'static Server>, versioning: Versioning) -> Fresh {
    let Some(server) = server else {
        return memory();
    };
    let bucket = server.new_bucket(ObjectLock::Off, versioning);
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().join("credentials");
    write_credentials(&credentials, server.access_key(), server.secret_key());
    let settings = S3Settings {
        patience: patience_without_stalls(),
        ..settings(server.endpoint(), &bucket, &credentials)
    };
    Fresh {
        store: Arc::new(open(settings)),
        _outlives: Some(Box::new(directory)),
    }
}

/// A vault of the tests' own server. What these keys name is no segment, and lies in the store beside it.
fn beside_a_vault() -> Fresh {
    let vault = OwnVault::new();
    Fresh {
        store: Arc::new(vault.store()),
        _outlives: Some(Box::new(vault)),
    }
}

/// The vault itself, with each object as a segment.
fn vault() -> Fresh {
    Fresh {
        store: Arc::new(VaultByKeys::new()),
        _outlives: None,
    }
}

/// As a service without conditional writes is used: by one writer at a time, who looks first.
fn own_s3_server_that_ignores_conditions() -> Fresh {
    let config = Config::default().with_mode(Mode::IgnoreIfNoneMatch);
    let bucket = OwnBucket::new(S3Server::start(config));
    let store = open(S3Settings {
        patience: patience_without_stalls(),
        ..bucket.settings()
    });
    // The first small object tells.
    let bytes = b"signpost".as_slice();
    let first = NewObject::new("first", bytes, Sha256::of(bytes), ObjectKind::Ledger);
    let Put::Created(first) = store.put_if_absent(&first).unwrap() else {
        panic!("the bucket is empty");
    };
    store.delete(&first).unwrap();
    assert_eq!(store.remarks().len(), 1);
    Fresh {
        store: Arc::new(store),
        _outlives: Some(Box::new(bucket)),
    }
}

/// The suite, for one store.
macro_rules! holds_the_contract {
    ($store:ident) => {
        mod $store {
            holds_the_contract!(
                $store:
                what_was_put_is_got,
                a_second_put_leaves_the_first,
                of_many_writers_one_creates,
                what_is_absent_is_not_found,
                a_range_is_exact_or_an_error,
                an_object_beyond_the_limit_is_not_read,
                stat_tells_length_and_time,
                a_listing_is_sorted_complete_and_by_plain_prefix,
                nothing_is_an_empty_listing,
                delete_may_be_repeated,
                a_delete_takes_one_key_and_all_of_it,
                what_is_no_key_is_refused_by_every_operation,
                an_empty_object_is_an_object,
                a_locator_is_known_without_a_listing,
                what_is_warm_is_readable_and_the_clock_is_told,
                a_copy_within_the_service_has_the_bytes_or_there_is_none,
            );
        }
    };
    ($store:ident only $($test:ident),+ $(,)?) => {
        mod $store {
            holds_the_contract!($store: $($test),+);
        }
    };
    ($store:ident: $($test:ident),+ $(,)?) => {
        $(
            #[test]
            fn $test() {
                super::contract::$test(super::$store);
            }
        )+
    };
}

holds_the_contract!(directory);
holds_the_contract!(memory);
holds_the_contract!(recorded);
holds_the_contract!(own_s3_server);
holds_the_contract!(seaweedfs);
holds_the_contract!(
    own_s3_server_with_versions only
    what_was_put_is_got,
    a_second_put_leaves_the_first,
    what_is_absent_is_not_found,
    a_listing_is_sorted_complete_and_by_plain_prefix,
    a_delete_takes_one_key_and_all_of_it,
    a_copy_within_the_service_has_the_bytes_or_there_is_none,
);
holds_the_contract!(
    seaweedfs_with_versions only
    what_was_put_is_got,
    a_copy_within_the_service_has_the_bytes_or_there_is_none,
    a_delete_takes_one_key_and_all_of_it,
);
// moto looks and writes in two steps, so of writers that meet several may create.
holds_the_contract!(
    moto only
    what_was_put_is_got,
    a_second_put_leaves_the_first,
    what_is_absent_is_not_found,
    a_range_is_exact_or_an_error,
    an_object_beyond_the_limit_is_not_read,
    stat_tells_length_and_time,
    a_listing_is_sorted_complete_and_by_plain_prefix,
    nothing_is_an_empty_listing,
    delete_may_be_repeated,
    a_delete_takes_one_key_and_all_of_it,
    what_is_no_key_is_refused_by_every_operation,
    an_empty_object_is_an_object,
    a_locator_is_known_without_a_listing,
    what_is_warm_is_readable_and_the_clock_is_told,
    a_copy_within_the_service_has_the_bytes_or_there_is_none,
);
holds_the_contract!(
    own_s3_server_that_ignores_conditions only
    what_was_put_is_got,
    a_second_put_leaves_the_first,
    what_is_absent_is_not_found,
    a_range_is_exact_or_an_error,
    stat_tells_length_and_time,
    a_listing_is_sorted_complete_and_by_plain_prefix,
    delete_may_be_repeated,
    a_copy_within_the_service_has_the_bytes_or_there_is_none,
);

// An error about what is no segment names the store beside the vault.
holds_the_contract!(
    beside_a_vault only
    what_was_put_is_got,
    a_second_put_leaves_the_first,
    of_many_writers_one_creates,
    a_range_is_exact_or_an_error,
    an_object_beyond_the_limit_is_not_read,
    stat_tells_length_and_time,
    a_listing_is_sorted_complete_and_by_plain_prefix,
    nothing_is_an_empty_listing,
    delete_may_be_repeated,
    a_delete_takes_one_key_and_all_of_it,
    what_is_no_key_is_refused_by_every_operation,
    an_empty_object_is_an_object,
    a_locator_is_known_without_a_listing,
    what_is_warm_is_readable_and_the_clock_is_told,
    a_copy_within_the_service_has_the_bytes_or_there_is_none,
);
// A vault knows no condition: a second put stores a second archive, and so does each of many writers. It takes no empty
// archive. Nothing in it is warm. A locator names one upload, so that of a key is not the next one's. What is no
// segment's key goes to the store beside it.
holds_the_contract!(
    vault only
    what_was_put_is_got,
    what_is_absent_is_not_found,
    a_range_is_exact_or_an_error,
    an_object_beyond_the_limit_is_not_read,
    stat_tells_length_and_time,
    a_listing_is_sorted_complete_and_by_plain_prefix,
    nothing_is_an_empty_listing,
    delete_may_be_repeated,
    a_locator_is_known_without_a_listing,
    a_copy_within_the_service_has_the_bytes_or_there_is_none,
);

fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
    let content = Bytes::copy_from_slice(bytes);
    store.put_if_absent(&NewObject::new(
        key,
        content,
        Sha256::of(bytes),
        ObjectKind::Segment,
    ))
}

fn created(store: &dyn Store, key: &str, bytes: &[u8]) -> Locator {
    match put(store, key, bytes).unwrap() {
        Put::Created(locator) => locator,
        Put::Existed(_) => panic!("{key} existed"),
    }
}

mod contract {
    use super::*;

    pub(super) fn what_was_put_is_got(make: Make) {
        let fresh = make();
        let bytes: Vec<u8> = (0..5_u32 << 20).map(|at| at.to_le_bytes()[1]).collect();
        let locator = created(&*fresh.store, "home/archives/a/000000.zst.age", &bytes);
        assert!(fresh.store.get(&locator, 5 << 20).unwrap() == bytes);
    }

    /// From the store into itself, under another key.
    pub(super) fn a_copy_within_the_service_has_the_bytes_or_there_is_none(make: Make) {
        let fresh = make();
        let store = &*fresh.store;
        let bytes: Vec<u8> = (0..3_000_000_u32)
            .map(|at| (at % 251).to_le_bytes()[0])
            .collect();
        let at = created(store, "home/archives/a/000000.zst.age", &bytes);
        let object = |key, sha256| RemoteObject {
            key,
            bytes: bytes.len() as u64,
            sha256,
            role: ObjectKind::Segment,
            retain_until: None,
        };
        let copy = |key| store.copy_within(store, &at, &object(key, Sha256::of(&bytes)));
        match copy("b/1").unwrap() {
            None => assert!(store.stat(&store.locate("b/1")).unwrap_err().is_not_found()),
            Some(Put::Existed(_)) => panic!("there was none"),
            Some(Put::Created(copied)) => {
                assert!(store.get(&copied, 5 << 20).unwrap() == bytes);
                let stat = store.stat(&copied).unwrap();
                assert_eq!(stat.bytes, bytes.len() as u64);
                assert_eq!(copy("b/1").unwrap(), Some(Put::Existed(copied)));
            }
        }
        // What is asked for are other bytes than are there.
        let other = object("b/2", Sha256::of(b"other"));
        assert_eq!(store.copy_within(store, &at, &other).unwrap(), None);
        assert!(store.stat(&store.locate("b/2")).unwrap_err().is_not_found());
        match store.copy_within(
            store,
            &store.locate("gone"),
            &object("b/3", Sha256::of(&bytes)),
        ) {
            Ok(copied) => assert_eq!(copied, None),
            Err(error) => assert!(error.is_not_found(), "{error}"),
        }
        assert!(store.stat(&store.locate("b/3")).unwrap_err().is_not_found());
    }

    pub(super) fn a_second_put_leaves_the_first(make: Make) {
        let fresh = make();
        let first = created(&*fresh.store, "a/b", b"first");
        assert_eq!(
            put(&*fresh.store, "a/b", b"second").unwrap(),
            Put::Existed(first.clone())
        );
        assert_eq!(fresh.store.get(&first, 100).unwrap(), b"first");
        // The same bytes are not told apart by the store.
        assert_eq!(
            put(&*fresh.store, "a/b", b"first").unwrap(),
            Put::Existed(first)
        );
    }

    pub(super) fn of_many_writers_one_creates(make: Make) {
        let fresh = make();
        // SeaweedFS takes seconds for each.
        let rounds = if fresh.store.url().starts_with("s3:") {
            5
        } else {
            20
        };
        for round in 0..rounds {
            let key = format!("deep/er/{round}");
            let outcomes: Vec<Put> = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..8_u8)
                    .map(|writer| {
                        let (store, key) = (&fresh.store, &key);
                        scope.spawn(move || put(&**store, key, &[writer; 1000]).unwrap())
                    })
                    .collect();
                writers
                    .into_iter()
                    .map(|writer| writer.join().unwrap())
                    .collect()
            });
            let winners: Vec<usize> = (0..8)
                .filter(|at| matches!(outcomes[*at], Put::Created(_)))
                .collect();
            assert_eq!(winners.len(), 1);
            let got = fresh.store.get(&fresh.store.locate(&key), 1000).unwrap();
            assert_eq!(got, [u8::try_from(winners[0]).unwrap(); 1000]);
        }
    }

    pub(super) fn what_is_absent_is_not_found(make: Make) {
        let fresh = make();
        created(&*fresh.store, "a/b", b"x");
        for key in ["a/c", "c", "a/b/c", "a"] {
            let locator = fresh.store.locate(key);
            let errors = [
                fresh.store.get(&locator, 9).map(drop).unwrap_err(),
                fresh.store.get_range(&locator, 0, 1).map(drop).unwrap_err(),
                fresh.store.stat(&locator).map(drop).unwrap_err(),
            ];
            for error in errors {
                assert!(
                    error.is_not_found() || error.kind == ErrorKind::NotAnObject && key == "a",
                    "{key}: {error}"
                );
                assert_eq!((error.key.as_str(), error.url), (key, fresh.store.url()));
            }
        }
    }

    pub(super) fn a_range_is_exact_or_an_error(make: Make) {
        let fresh = make();
        let locator = created(&*fresh.store, "a", b"0123456789");
        for (offset, len, expected) in [
            (0, 10, "0123456789"),
            (0, 0, ""),
            (10, 0, ""),
            (9, 1, "9"),
            (3, 4, "3456"),
        ] {
            let range = fresh.store.get_range(&locator, offset, len).unwrap();
            assert_eq!(range, expected.as_bytes());
        }
        for (offset, len) in [(0, 11), (10, 1), (11, 0), (u64::MAX, 1), (1, u64::MAX)] {
            let error = fresh.store.get_range(&locator, offset, len).unwrap_err();
            assert_eq!(error.kind, ErrorKind::TooShort, "{offset}+{len}");
        }
    }

    pub(super) fn an_object_beyond_the_limit_is_not_read(make: Make) {
        let fresh = make();
        let locator = created(&*fresh.store, "a", b"0123456789");
        assert_eq!(
            fresh.store.get(&locator, 9).unwrap_err().kind,
            ErrorKind::TooLarge
        );
        assert_eq!(fresh.store.get(&locator, 10).unwrap().len(), 10);
    }

    pub(super) fn stat_tells_length_and_time(make: Make) {
        let fresh = make();
        let before = chrono::Utc::now() - chrono::TimeDelta::seconds(5);
        let locator = created(&*fresh.store, "a/b", b"0123456789");
        let stat = fresh.store.stat(&locator).unwrap();
        assert_eq!(stat.bytes, 10);
        assert!(
            stat.sha256
                .is_none_or(|kept| kept == Sha256::of(b"0123456789"))
        );
        assert!(stat.modified > before && stat.modified < before + chrono::TimeDelta::minutes(5));
    }

    pub(super) fn a_listing_is_sorted_complete_and_by_plain_prefix(make: Make) {
        let fresh = make();
        for key in ["b", "ab/c", "a0", "a/c/d", "a/b", "a.b", "a-b"] {
            created(&*fresh.store, key, key.as_bytes());
        }
        let store = &fresh.store;
        let list = |prefix: &str| -> Vec<String> {
            store
                .list(prefix)
                .unwrap()
                .into_iter()
                .map(|listed| listed.key)
                .collect()
        };
        assert_eq!(list(""), ["a-b", "a.b", "a/b", "a/c/d", "a0", "ab/c", "b"]);
        assert_eq!(list("a/"), ["a/b", "a/c/d"]);
        assert_eq!(list("a/c"), ["a/c/d"]);
        assert_eq!(list("ab"), ["ab/c"]);
        assert_eq!(list("a/c/d"), ["a/c/d"]);
        for listed in store.list("").unwrap() {
            let stat = store.stat(&store.locate(&listed.key)).unwrap();
            let sha256 = listed.stat.sha256.or(stat.sha256);
            assert_eq!(
                Stat {
                    sha256,
                    ..listed.stat
                },
                stat
            );
        }
    }

    pub(super) fn what_is_warm_is_readable_and_the_clock_is_told(make: Make) {
        let fresh = make();
        let locator = created(&*fresh.store, "a/b", b"x");
        let readability = fresh.store.readability(&locator).unwrap();
        assert_eq!(readability, Readability::Always);
        let apart = fresh.store.now().unwrap() - chrono::Utc::now();
        assert!(apart.abs() < chrono::TimeDelta::minutes(1), "{apart}");
        let absent = fresh.store.locate("c");
        let error = fresh.store.readability(&absent).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }

    pub(super) fn nothing_is_an_empty_listing(make: Make) {
        let fresh = make();
        assert_eq!(fresh.store.list("").unwrap(), []);
        created(&*fresh.store, "a/b", b"x");
        assert_eq!(fresh.store.list("a/c/").unwrap(), []);
        assert_eq!(fresh.store.list("nothing/here/").unwrap(), []);
        assert_eq!(fresh.store.list("a/b/c").unwrap(), []);
    }

    pub(super) fn delete_may_be_repeated(make: Make) {
        let fresh = make();
        let locator = created(&*fresh.store, "a/b", b"x");
        created(&*fresh.store, "a/c", b"y");
        assert_eq!(fresh.store.delete(&locator).unwrap(), Deleted::Removed);
        assert_eq!(fresh.store.delete(&locator).unwrap(), Deleted::Absent);
        assert!(fresh.store.get(&locator, 9).unwrap_err().is_not_found());
        assert_eq!(fresh.store.list("").unwrap().len(), 1);
        created(&*fresh.store, "a/b", b"z");
    }

    /// By its key, whatever version a locator names: no version can be had any more, and no key goes
    /// that only begins like it.
    pub(super) fn a_delete_takes_one_key_and_all_of_it(make: Make) {
        let fresh = make();
        let first = created(&*fresh.store, "a/b", b"x");
        let others = ["a/b.c", "a/bc", "a/b-", "a/a"];
        for key in others {
            created(&*fresh.store, key, b"y");
        }
        let key = fresh.store.locate("a/b");
        assert_eq!(fresh.store.delete(&key).unwrap(), Deleted::Removed);
        assert!(fresh.store.get(&first, 9).unwrap_err().is_not_found());
        assert_eq!(fresh.store.delete(&key).unwrap(), Deleted::Absent);
        // Put again and deleted again: nothing is left of either.
        let second = created(&*fresh.store, "a/b", b"z");
        assert_eq!(fresh.store.delete(&key).unwrap(), Deleted::Removed);
        for gone in [first, second] {
            assert!(fresh.store.get(&gone, 9).unwrap_err().is_not_found());
        }
        let left = fresh.store.list("").unwrap();
        let mut left: Vec<&str> = left.iter().map(|listed| listed.key.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["a/a", "a/b-", "a/b.c", "a/bc"]);
    }

    pub(super) fn what_is_no_key_is_refused_by_every_operation(make: Make) {
        let fresh = make();
        let long = "x".repeat(1025);
        for key in [
            "", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a b", "ü", "a\0",
            ".tmp-a", &long,
        ] {
            let locator = Locator::from(key.to_owned());
            let errors = [
                put(&*fresh.store, key, b"x").map(drop).unwrap_err(),
                fresh.store.get(&locator, 9).map(drop).unwrap_err(),
                fresh.store.get_range(&locator, 0, 1).map(drop).unwrap_err(),
                fresh.store.stat(&locator).map(drop).unwrap_err(),
                fresh.store.delete(&locator).map(drop).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind, ErrorKind::BadKey, "{key:?}: {error}");
            }
        }
        assert_eq!(fresh.store.list("").unwrap(), []);
    }

    pub(super) fn an_empty_object_is_an_object(make: Make) {
        let fresh = make();
        let locator = created(&*fresh.store, "a", b"");
        assert_eq!(fresh.store.get(&locator, 0).unwrap(), b"");
        assert_eq!(fresh.store.stat(&locator).unwrap().bytes, 0);
        assert!(matches!(
            put(&*fresh.store, "a", b"x").unwrap(),
            Put::Existed(_)
        ));
    }

    pub(super) fn a_locator_is_known_without_a_listing(make: Make) {
        let fresh = make();
        let locator = created(&*fresh.store, "a/b", b"x");
        assert_eq!(fresh.store.locate("a/b"), locator);
        assert_eq!(Locator::from(locator.to_string()), locator);
    }
}

mod dir {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_directory_is_an_error_and_never_empty() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("store");
        assert_eq!(
            DirStore::open(&root).unwrap_err().kind,
            ErrorKind::MissingRoot
        );
        std::fs::create_dir(&root).unwrap();
        let store = DirStore::open(&root).unwrap();
        let locator = created(&store, "a", b"x");
        std::fs::remove_dir_all(&root).unwrap();
        let errors = [
            store.list("").map(drop).unwrap_err(),
            store.list("home/ledger/").map(drop).unwrap_err(),
            store.get(&locator, 9).map(drop).unwrap_err(),
            store.stat(&locator).map(drop).unwrap_err(),
            store.delete(&locator).map(drop).unwrap_err(),
            put(&store, "a", b"x").map(drop).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, ErrorKind::MissingRoot, "{error}");
        }
        assert!(!root.exists(), "an unmounted store is not made anew");
    }

    #[test]
    fn files_are_their_owners_alone_and_nothing_temporary_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirStore::open(directory.path()).unwrap();
        created(&store, "a/b/c", b"x");
        put(&store, "a/b/c", b"y").unwrap();
        let mode = |path: &str| {
            directory
                .path()
                .join(path)
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            (mode("a"), mode("a/b"), mode("a/b/c")),
            (0o700, 0o700, 0o600)
        );
        assert_eq!(
            std::fs::read_dir(directory.path().join("a/b"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn what_a_crash_left_is_not_listed_and_not_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirStore::open(directory.path()).unwrap();
        std::fs::create_dir(directory.path().join("a")).unwrap();
        std::fs::write(directory.path().join("a/.tmp-0123456789abcdef"), b"half").unwrap();
        assert_eq!(store.list("").unwrap(), []);
        created(&store, "a/b", b"whole");
        assert_eq!(store.list("a/").unwrap().len(), 1);
    }

    #[test]
    fn a_symbolic_link_is_no_object() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirStore::open(directory.path()).unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("a")).unwrap();
        let locator = store.locate("a");
        assert_eq!(
            store.get(&locator, 9).unwrap_err().kind,
            ErrorKind::NotAnObject
        );
        let error = store.list("").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Link, "it is not called empty");
        created(&store, "b", b"x");
        assert_eq!(store.list("").unwrap().len(), 1);
        assert!(matches!(put(&store, "a", b"x").unwrap(), Put::Existed(_)));
        assert_eq!(outside.path().metadata().unwrap().len(), 0);
    }

    #[test]
    fn no_operation_follows_a_link_below_the_root() {
        const KEY: &str = "home/archives/a/1";
        for link in ["home", "home/archives", "home/archives/a"] {
            let directory = tempfile::tempdir().unwrap();
            let (root, outside) = (
                directory.path().join("store"),
                directory.path().join("outside"),
            );
            std::fs::create_dir(&outside).unwrap();
            std::fs::create_dir_all(root.join(link).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&outside, root.join(link)).unwrap();
            let object = outside.join(KEY.strip_prefix(link).unwrap().trim_start_matches('/'));
            std::fs::create_dir_all(object.parent().unwrap()).unwrap();
            std::fs::write(&object, "theirs").unwrap();
            let temporary = object.with_file_name(".tmp-0123456789abcdef");
            std::fs::write(&temporary, "theirs").unwrap();
            let below = format!("{link}/");

            // The root itself may be reached through a link.
            let way = directory.path().join("way");
            std::os::unix::fs::symlink("store", &way).unwrap();
            let mut store = DirStore::open(&way).unwrap();
            assert_eq!(store.probe().unwrap(), Exclusivity::ManyWriters);
            let locator = store.locate(KEY);
            let request = ThawRequest {
                days: 1,
                tier: Tier::Standard,
            };
            for error in [
                store.get(&locator, 9).map(drop).unwrap_err(),
                store.get_range(&locator, 0, 1).map(drop).unwrap_err(),
                store.stat(&locator).map(drop).unwrap_err(),
                store.readability(&locator).map(drop).unwrap_err(),
                store.thaw(&locator, request).map(drop).unwrap_err(),
                store.delete(&locator).map(drop).unwrap_err(),
                put(&store, KEY, b"x").map(drop).unwrap_err(),
                put(&store, &format!("{below}new/1"), b"x")
                    .map(drop)
                    .unwrap_err(),
                store.list("home/archives/a/").map(drop).unwrap_err(),
                store.list(&below).map(drop).unwrap_err(),
                store.list("").map(drop).unwrap_err(),
                store.sweep(&below).map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind, ErrorKind::Link, "{error}");
                let cause = error.source.as_ref().unwrap().to_string();
                assert_eq!(cause, format!("`{link}` is a symbolic link"));
                assert!(error.hint().is_some());
            }
            assert_eq!(store.sweep("").unwrap(), Swept::default());
            let beside = std::fs::read_dir(object.parent().unwrap()).unwrap();
            assert_eq!(beside.count(), 2, "nothing was made or deleted behind it");
            assert_eq!(std::fs::read(&object).unwrap(), b"theirs");

            // Where something real is listed too, the link is no more than a foreign name.
            created(&store, "mail/archives/b/1", b"x");
            assert_eq!(store.list("").unwrap().len(), 1);
        }
    }

    #[test]
    fn what_is_remembered_of_a_class_is_read_through_no_link_and_up_to_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirStore::open(directory.path()).unwrap();
        let locator = created(&store, "a", b"x");
        let beside = directory.path().join(".cold-a");
        std::os::unix::fs::symlink("/etc/hostname", &beside).unwrap();
        let error = store.get(&locator, 9).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Link, "{error}");
        std::fs::remove_file(&beside).unwrap();
        // Valid in what is read of it, if all were read: some terabytes of blanks.
        std::fs::write(&beside, "{\"class\":\"GLACIER\",\"thaw\":null}").unwrap();
        assert_eq!(store.get(&locator, 9).unwrap_err().kind, ErrorKind::Cold);
        let long = std::fs::File::create(&beside).unwrap();
        long.set_len(1 << 42).unwrap();
        let error = store.get(&locator, 9).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    }

    /// Another user swaps a directory and a link to one outside, as fast as they can.
    #[test]
    fn a_directory_swapped_for_a_link_meanwhile_leads_nobody_out() {
        use rustix::fs::{CWD, RenameFlags, renameat_with};

        let directory = tempfile::tempdir().unwrap();
        let (root, outside) = (
            directory.path().join("store"),
            directory.path().join("outside"),
        );
        std::fs::create_dir_all(outside.join("archives/a")).unwrap();
        for name in ["victim", ".tmp-0123456789abcdef", ".cold-victim"] {
            std::fs::write(outside.join("archives/a").join(name), "theirs").unwrap();
        }
        std::fs::create_dir_all(root.join("home/archives/a")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let store = DirStore::open(&root).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let refused = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    renameat_with(
                        CWD,
                        root.join("home"),
                        CWD,
                        root.join("link"),
                        RenameFlags::EXCHANGE,
                    )
                    .unwrap();
                }
            });
            let mut refused = 0;
            for at in 0..2000 {
                let key = format!("home/archives/a/{at}");
                let victim = store.locate("home/archives/a/victim");
                let tried = [
                    put(&store, &key, b"x").map(drop),
                    store.delete(&store.locate(&key)).map(drop),
                    store.delete(&victim).map(drop),
                    store.sweep("home/").map(drop),
                    store.list("home/").map(|listed| {
                        let seen = listed.iter().any(|listed| listed.key.ends_with("victim"));
                        assert!(!seen, "what lies outside was listed");
                    }),
                ];
                let read = store.get(&victim, 9);
                assert!(read.is_err(), "what lies outside was read");
                refused += tried.iter().filter(|tried| tried.is_err()).count();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            refused
        });
        assert!(refused > 0, "the links were never met");
        let mut left: Vec<_> = std::fs::read_dir(outside.join("archives/a"))
            .unwrap()
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".cold-victim", ".tmp-0123456789abcdef", "victim"]);
    }

    #[test]
    fn a_filesystem_with_rename_or_link_takes_many_writers() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = DirStore::open(directory.path()).unwrap();
        assert_eq!(store.probe().unwrap(), Exclusivity::ManyWriters);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_leaves_nothing_visible() {
        let directory = tempfile::tempdir().unwrap();
        let Some(_mount) = Tmpfs::mount(directory.path()) else {
            return;
        };
        let store = DirStore::open(directory.path()).unwrap();
        created(&store, "a/small", b"x");
        let error = put(&store, "a/large", &vec![7; 4 << 20]).unwrap_err();
        assert_eq!(
            (error.kind, error.operation),
            (ErrorKind::Full, Operation::Put),
            "{error}"
        );
        let keys: Vec<_> = store
            .list("")
            .unwrap()
            .into_iter()
            .map(|listed| listed.key)
            .collect();
        assert_eq!(keys, ["a/small"]);
        assert_eq!(
            std::fs::read_dir(directory.path().join("a"))
                .unwrap()
                .count(),
            1
        );
        created(&store, "a/large", b"small enough now");
    }

    /// A mebibyte of tmpfs, for as long as it lives.
    struct Tmpfs<'a>(&'a std::path::Path);

    impl<'a> Tmpfs<'a> {
        fn mount(at: &'a std::path::Path) -> Option<Self> {
            let mounted = std::process::Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
                .arg(at)
                .status()
                .is_ok_and(|status| status.success());
            assert!(
                mounted || std::env::var_os("CI").is_none(),
                "tmpfs can't be mounted"
            );
            if !mounted {
                eprintln!("skipped: tmpfs can't be mounted");
            }
            mounted.then_some(Self(at))
        }
    }

    impl Drop for Tmpfs<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(self.0).status();
        }
    }
}

#[test]
fn a_recording_store_tells_writes_from_reads() {
    let store = RecordingStore::new(MemoryStore::default());
    let locator = created(&store, "a", b"x");
    store.get(&locator, 9).unwrap();
    store.list("").unwrap();
    store.delete(&locator).unwrap();
    let operations: Vec<_> = store
        .calls()
        .into_iter()
        .map(|call| call.operation)
        .collect();
    assert_eq!(
        operations,
        [
            Operation::Put,
            Operation::Get,
            Operation::List,
            Operation::Delete
        ]
    );
    assert_eq!(store.writes().len(), 2);
}
