//! Objects that are stored while they are read from another store: either all of the right bytes are there, or nothing
//! is.

use std::fs;
use std::path::Path;

use coldchain::model::Sha256;
use coldchain::store::{
    Checksum, DirStore, ErrorKind, MemoryStore, NewObject, ObjectKind, Put, RemoteObject,
    S3Settings, S3Store, Store, StoreError,
};

use crate::common::bucket::{OwnBucket, open, patience_without_stalls};
use crate::common::s3_server::{BUCKET, Fault, FaultKind, Mode, Operation, S3Server};

const KEY: &str = "home/archives/a/000000-0123456789abcdef.zst.age";

/// Longer than what is read at a time.
fn content() -> Vec<u8> {
    (0..9_000_000_u32).map(|at| (at % 253) as u8).collect()
}

fn object(bytes: &[u8]) -> RemoteObject<'static> {
    RemoteObject {
        key: KEY,
        bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
        role: ObjectKind::Segment,
        retain_until: None,
    }
}

fn put(store: &dyn Store, bytes: &[u8]) -> Put {
    let sha256 = Sha256::of(bytes);
    let new = NewObject::new(KEY, bytes.to_vec(), sha256, ObjectKind::Segment);
    store.put_if_absent(&new).unwrap()
}

fn relay(to: &dyn Store, from: &dyn Store, bytes: &[u8]) -> Result<Option<Put>, StoreError> {
    to.relay(from, &from.locate(KEY), &object(bytes))
}

fn directory(path: &Path) -> DirStore {
    DirStore::open(path).unwrap()
}

fn bucket() -> (OwnBucket, S3Store<'static>) {
    let bucket = OwnBucket::new(S3Server::new());
    let store = open(S3Settings {
        patience: patience_without_stalls(),
        ..bucket.settings()
    });
    (bucket, store)
}

/// All names below a directory that are no directories.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let names = entries.flat_map(|entry| {
        if entry.file_type().unwrap().is_dir() {
            names(&entry.path())
        } else {
            vec![entry.file_name().into_string().unwrap()]
        }
    });
    names.collect()
}

#[test]
fn what_is_relayed_is_stored_from_any_store_into_any() {
    let bytes = content();
    let home = tempfile::tempdir().unwrap();
    let home = directory(home.path());
    put(&home, &bytes);
    let (server, there) = bucket();
    let stored = relay(&there, &home, &bytes).unwrap();
    assert!(matches!(stored, Some(Put::Created(_))), "{stored:?}");
    let version = server.server.objects(BUCKET)[&format!("some/prefix/{KEY}")].clone();
    assert!(*version.body == bytes);
    assert!(version.checksums.contains_key("x-amz-checksum-sha256"));
    let again = relay(&there, &home, &bytes).unwrap();
    assert!(matches!(again, Some(Put::Existed(_))), "{again:?}");
    let count = server.server.put_counts(BUCKET);
    assert_eq!(count.values().next().unwrap().kept, 1);

    let other = tempfile::tempdir().unwrap();
    let to = directory(other.path());
    let stored = relay(&to, &there, &bytes).unwrap();
    assert!(matches!(stored, Some(Put::Created(_))), "{stored:?}");
    assert!(to.get(&to.locate(KEY), 10_000_000).unwrap() == bytes);
    // It tells no digest, so the caller looks.
    assert_eq!(relay(&to, &there, &bytes).unwrap(), None);
    assert_eq!(names(other.path()).len(), 1);
    assert_eq!(
        relay(&MemoryStore::default(), &there, &bytes).unwrap(),
        None
    );
}

#[test]
fn a_service_without_conditions_is_asked_first() {
    let bytes = content();
    let home = tempfile::tempdir().unwrap();
    let home = directory(home.path());
    put(&home, &bytes);
    let (server, there) = bucket();
    server
        .server
        .configure(|config| config.modes.extend([Mode::IgnoreIfNoneMatch]));
    let small = NewObject::new("x", b"x".as_slice(), Sha256::of(b"x"), ObjectKind::Ledger);
    there.put_if_absent(&small).unwrap();
    assert!(relay(&there, &home, &bytes).unwrap().is_some());
    server.server.forget_requests();
    let again = relay(&there, &home, &bytes).unwrap();
    assert!(matches!(again, Some(Put::Existed(_))), "{again:?}");
    let requests = server.server.requests();
    assert!(requests.iter().all(|one| one.operation == Operation::Head));
}

#[test]
fn wrong_bytes_are_never_stored() {
    let bytes = content();
    let mut flipped = bytes.clone();
    flipped[8_500_000] ^= 1;
    let (server, there) = bucket();
    let other = tempfile::tempdir().unwrap();
    let directory_there = directory(other.path());
    let homes = [Some(&flipped[..]), Some(&bytes[..8_999_999]), None].map(|content| {
        let home = tempfile::tempdir().unwrap();
        if let Some(content) = content {
            put(&directory(home.path()), content);
        }
        home
    });
    for home in &homes {
        let home = directory(home.path());
        for there in [&there as &dyn Store, &directory_there] {
            assert_eq!(relay(there, &home, &bytes).unwrap(), None);
            assert_eq!(there.list("").unwrap(), []);
        }
        assert_eq!(names(other.path()), Vec::<String>::new());
    }
    // The fault was not the service's, so it is asked again.
    let home = tempfile::tempdir().unwrap();
    let home = directory(home.path());
    put(&home, &bytes);
    assert!(relay(&there, &home, &bytes).unwrap().is_some());
    assert_eq!(server.server.objects(BUCKET).len(), 1);
}

#[test]
fn what_a_service_does_to_a_relay_is_the_caller_s_to_try_again() {
    let bytes = content();
    let home = tempfile::tempdir().unwrap();
    let home = directory(home.path());
    put(&home, &bytes);
    for what in [
        FaultKind::ResetBefore,
        FaultKind::ResetInBody,
        FaultKind::ResetAfter,
        FaultKind::Status(503),
        FaultKind::AccessDenied,
        FaultKind::FlippedByte,
        FaultKind::RefusedChecksumHeader,
    ] {
        let (server, there) = bucket();
        server.server.fail(Fault::on(Operation::Put, what.clone()));
        assert_eq!(relay(&there, &home, &bytes).unwrap(), None, "{what:?}");
        assert_eq!(server.server.faults_struck(), 1);
        let is_there = what == FaultKind::ResetAfter;
        let objects = server.server.objects(BUCKET);
        assert_eq!(objects.len(), usize::from(is_there), "{what:?}");
        // It is not tried a second time: the caller reads each object once.
        server.server.forget_requests();
        assert_eq!(relay(&there, &home, &bytes).unwrap(), None);
        assert_eq!(server.server.requests().len(), 0);
        match put(&there, &bytes) {
            Put::Created(_) => assert!(!is_there, "{what:?}"),
            Put::Existed(_) => assert!(is_there, "{what:?}"),
        }
        assert!(there.get(&there.locate(KEY), 10_000_000).unwrap() == bytes);
    }
}

#[test]
fn what_gains_nothing_is_not_relayed() {
    let bytes = content();
    let home = MemoryStore::default();
    put(&home, &bytes);
    let (server, there) = bucket();
    let at = home.locate(KEY);
    for other in [
        RemoteObject {
            role: ObjectKind::Ledger,
            ..object(&bytes)
        },
        RemoteObject {
            bytes: 8 << 20,
            ..object(&bytes)
        },
    ] {
        assert_eq!(there.relay(&home, &at, &other).unwrap(), None);
    }
    let md5 = open(S3Settings {
        checksum: Checksum::Md5,
        ..server.settings()
    });
    assert_eq!(relay(&md5, &home, &bytes).unwrap(), None);
    assert_eq!(server.server.requests().len(), 0);
    let bad = RemoteObject {
        key: "a/../b",
        ..object(&bytes)
    };
    let error = there.relay(&home, &at, &bad).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadKey);
}
