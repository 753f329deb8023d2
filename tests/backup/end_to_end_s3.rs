//! A chain archived into a bucket and brought back: real btrfs, the real program, a real server.

use crate::common::loopfs::real_btrfs_available;
use crate::common::rng::Rng;
use crate::common::sandbox::{CHAIN_OF_TWELVE, Sandbox, Setup};
use crate::common::servers::{Moto, ObjectLock, Server, Versioning, Weed};
use crate::common::tree::{make_rich_tree, mutate_tree};

/// A sandbox whose store is a bucket there, with further lines of its table.
fn with_bucket(server: &Server, bucket: &str, more: &str) -> Sandbox {
    Sandbox::with(&Setup {
        store: Some(&server.store_table(bucket, more)),
        schedule: "max_chain_days = 36000",
        env: &server.env(),
        ..Setup::default()
    })
}

#[test]
fn a_chain_of_twelve_comes_back_from_a_bucket() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let sandbox = with_bucket(server, &bucket, "uploads = 3");
    let mut rng = Rng::new(31);
    make_rich_tree(&sandbox.source(), &mut rng);
    for date in CHAIN_OF_TWELVE {
        let ran = sandbox.backup(date);
        assert_eq!(ran.stderr, "", "{date}");
        mutate_tree(&sandbox.source(), &mut rng);
    }
    sandbox.restores_equal(&CHAIN_OF_TWELVE);
}

#[test]
fn what_is_locked_is_there_until_its_chain_can_have_gone() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let bucket = server.new_bucket(ObjectLock::On, Versioning::On);
    let sandbox = with_bucket(server, &bucket, "object_lock = \"compliance\"");
    make_rich_tree(&sandbox.source(), &mut Rng::new(32));
    sandbox.backup("2026-01-01");
    sandbox.backup("2026-01-07");
    let list = format!("/{bucket}?list-type=2&prefix=some%2Fprefix%2F");
    let answer = server.request("GET", &list, &[], b"");
    assert_eq!(answer.status, 200);
    let listed = answer.text();
    let keys: Vec<&str> = listed
        .split("<Key>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap())
        .collect();
    assert!(keys.len() >= 8, "{keys:?}");
    for key in keys {
        let head = server.request("HEAD", &format!("/{bucket}/{key}"), &[], b"");
        // 36000 days of the chain, 90 until it expires, 7 until it is deleted.
        let until = head.header("x-amz-object-lock-retain-until-date");
        assert!(
            until.is_some_and(|until| until.starts_with("2124-10-")),
            "{until:?}"
        );
        assert_eq!(head.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
    }
    sandbox.restores_equal(&["2026-01-01", "2026-01-07"]);
}

#[test]
fn a_lock_that_the_bucket_does_not_keep_stops_the_backup_before_anything_large_is_stored() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let sandbox = with_bucket(server, &bucket, "object_lock = \"compliance\"");
    make_rich_tree(&sandbox.source(), &mut Rng::new(33));
    let ran = sandbox.run(["backup", "2026-01-01"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("was the bucket made with Object Lock?"),
        "{ran:?}"
    );
    let list = format!("/{bucket}?list-type=2&prefix=some%2Fprefix%2F");
    let answer = server.request("GET", &list, &[], b"");
    assert_eq!(answer.status, 200);
    let listed = answer.text();
    assert!(!listed.contains(".zst.age"), "{listed}");
}

#[test]
fn what_lies_in_glacier_is_asked_for_and_then_comes_back() {
    let (true, Some(server)) = (real_btrfs_available(), Moto::shared()) else {
        return;
    };
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let sandbox = with_bucket(server, &bucket, "storage_class = \"GLACIER\"");
    let mut rng = Rng::new(34);
    make_rich_tree(&sandbox.source(), &mut rng);
    sandbox.backup("2026-01-01");
    mutate_tree(&sandbox.source(), &mut rng);
    sandbox.backup("2026-01-07");
    // moto thaws at once, but whoever has just asked is told to come again.
    let asked = sandbox.run(["thaw", "home", "--yes", "--tier", "bulk"]);
    assert_eq!(asked.code, Some(5), "{asked:?}");
    let status = sandbox.run(["thaw", "home", "--status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    sandbox.restores_equal(&["2026-01-07"]);
}
