//! A vault on moto, a server that others wrote.
//!
//! moto checks neither signatures nor hashes, gives a plain SHA-256 as tree hash, ignores ranges, gives equal bodies one
//! id, and makes its inventories at once. So the archives here differ and have at most 1 MiB.

use std::time::{Duration, Instant};

use coldchain::model::Tier;
use coldchain::store::{
    Deleted, DirStore, ErrorKind, Inventory, KnownSegment, Readability, Store, ThawRequest,
    VaultSettings, VaultStore,
};

use crate::common::bucket::{patience_without_stalls, write_credentials};
use crate::common::servers::Moto;
use crate::common::vault::{Index, key, parse, put};

/// moto's slowest job takes 10 seconds.
const PATIENCE: Duration = Duration::from_mins(1);

fn until(mut is_done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < PATIENCE, "it takes too long");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn segments_go_into_moto_and_come_back() {
    let Some(server) = Moto::shared() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().join("credentials");
    write_credentials(&credentials, server.access_key(), server.secret_key());
    let settings = VaultSettings {
        endpoint: Some(server.endpoint().to_owned()),
        credentials_file: Some(credentials),
        patience: patience_without_stalls(),
        ..VaultSettings::new("us-east-1", "a-vault")
    };
    let beside = DirStore::open(directory.path()).unwrap();
    let state = directory.path().join("state");
    let store = VaultStore::open(settings, Box::new(|_| {}), Box::new(beside), state).unwrap();
    let known = std::sync::Arc::new(Index::default());
    store.know(known.clone());
    let missing = put(&store, &key(0, b"x"), b"x").unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NoBucket, "{missing}");
    store.client().create().unwrap();

    let bodies: Vec<Vec<u8>> = (0..3_u8)
        .map(|at| vec![at + 1; (1 << 20) - usize::from(at)])
        .collect();
    let all: Vec<_> = (0..)
        .zip(&bodies)
        .map(|(at, body)| {
            let at = put(&store, &key(at, body), body).unwrap();
            known.add(KnownSegment {
                locator: parse(&at),
                bytes: body.len() as u64,
                stored: chrono::Utc::now(),
            });
            at
        })
        .collect();
    let request = ThawRequest {
        tier: Tier::Expedited,
        days: 1,
    };
    for at in &all {
        store.thaw(at, request).unwrap();
        let readable = store.readability(at).unwrap();
        assert!(matches!(readable, Readability::Thawing(_)), "{readable:?}");
    }
    until(|| matches!(store.renew_inventory(None).unwrap(), Inventory::Of(_)));
    for (at, body) in all.iter().zip(&bodies) {
        until(|| matches!(store.readability(at).unwrap(), Readability::Until(..)));
        assert_eq!(store.get(at, 1 << 20).unwrap(), *body);
        let part = store.get_range(at, 70_000, 1_000).unwrap();
        assert_eq!(part, body[70_000..71_000]);
        assert!(store.is_confirmed(&parse(at).key).unwrap());
    }
    assert_eq!(store.list("home/").unwrap().len(), 3);
    assert_eq!(store.delete(&all[0]).unwrap(), Deleted::Removed);
    assert_eq!(store.list("home/").unwrap().len(), 2);
    assert_eq!(store.client().describe().unwrap().archives, 2);
}
