//! Inventories: large ones, hostile ones, and what becomes of the file that is kept.

use coldchain::model::LedgerId;
use coldchain::store::{ErrorKind, Inventory, Store, VaultSettings};

use crate::common::bucket::patience_without_stalls;
use crate::common::from_env;
use crate::common::sigv4::hex;
use crate::common::vault::{LEDGER, OwnVault, begin, description, key};
use crate::common::vault_server::{Fault, FaultKind, Operation, VAULT, tree_hash};

fn keys(store: &dyn Store) -> Vec<String> {
    let listed = store.list("home/").unwrap();
    listed.into_iter().map(|listed| listed.key).collect()
}

/// An inventory of one archive, with fields that differ from what is usual.
fn inventory(changes: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let mut item = serde_json::json!({
        "ArchiveId": "an-id",
        "ArchiveDescription": description(LEDGER, &key(0, b"segment"), b"segment"),
        "CreationDate": "2026-12-01T12:00:00Z",
        "Size": 7,
        "SHA256TreeHash": hex(&tree_hash(b"segment")),
    });
    for (name, value) in changes {
        item[*name] = value.clone();
    }
    serde_json::json!({
        "VaultARN": "arn",
        "InventoryDate": "2026-12-02T00:00:00Z",
        "ArchiveList": [item],
    })
}

/// A hundred thousand of them take half a minute where nothing is optimised: `COLDCHAIN_ARCHIVES`.
#[test]
fn an_inventory_of_many_archives_is_read_within_the_limit() {
    let count = u32::try_from(from_env("COLDCHAIN_ARCHIVES", 10_000)).unwrap();
    let ours = usize::try_from(count).unwrap() / 2;
    let vault = OwnVault::new();
    // The server takes its time to write so much.
    let settings = VaultSettings {
        patience: patience_without_stalls(),
        ..vault.settings()
    };
    let store = vault.open(settings.clone());
    let body = b"segment";
    let (hash, ledger) = (tree_hash(body), LedgerId([7; 16]));
    vault.server.change(|state| {
        for at in 0..count {
            // Half of them are another machine's.
            let owner = if at % 2 == 0 { LEDGER } else { ledger };
            let id = state.new_id(138);
            let mut description = description(owner, &key(at, b"x"), b"x");
            if at % 1000 == 1 {
                description = "a \"foreign\" one {]\\".to_owned();
            }
            state
                .vault(VAULT)
                .archives
                .push(crate::common::vault_server::Archive {
                    id,
                    description,
                    body: body.to_vec(),
                    tree_hash: hash,
                    created: begin(),
                    deleted: None,
                    hidden: false,
                });
        }
    });
    vault.take_inventory(&store);
    assert_eq!(keys(&store).len(), ours);
    let tight = vault.open(VaultSettings {
        listing_bytes: 1 << 20,
        ..settings.clone()
    });
    let error = tight.list("home/").unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooMany, "{error}");
    // One that is itself too large is not even read to its end.
    vault.put(&store, count, b"new");
    vault.hours(24);
    store.renew_inventory(None).unwrap();
    vault.hours(4);
    let tiny = vault.open(VaultSettings {
        listing_bytes: 100 << 10,
        ..settings.clone()
    });
    let shown = tiny.renew_inventory(None).unwrap_err();
    assert_eq!(shown.kind, ErrorKind::TooMany, "{shown}");
    assert_eq!(keys(&vault.store()).len(), ours + 1);
}

#[test]
fn an_inventory_that_no_honest_service_gives_is_refused_and_the_last_one_kept() {
    let vault = OwnVault::new();
    let store = vault.store();
    vault.put(&store, 0, b"segment");
    vault.take_inventory(&store);
    let listed = keys(&store);
    vault.put(&store, 1, b"more");
    let listed_with_more = keys(&store);
    vault.hours(24);
    store.renew_inventory(None).unwrap();
    vault.hours(4);
    let twice = {
        let mut twice = inventory(&[]);
        let mut other = twice["ArchiveList"][0].clone();
        other["Size"] = 8.into();
        twice["ArchiveList"].as_array_mut().unwrap().push(other);
        twice.to_string()
    };
    let text = inventory(&[]).to_string();
    let two_lists = text.replace("\"VaultARN\"", "\"ArchiveList\": [], \"VaultARN\"");
    for body in [
        "no JSON".to_owned(),
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        text[..text.len() - 1].to_owned(),
        format!("{text}{text}"),
        twice,
        two_lists,
        inventory(&[("Size", (-1).into())]).to_string(),
        inventory(&[("Size", 1e30.into())]).to_string(),
        inventory(&[("Size", "7".into())]).to_string(),
        inventory(&[("ArchiveId", "a/../b".into())]).to_string(),
        inventory(&[("SHA256TreeHash", "none".into())]).to_string(),
        inventory(&[("CreationDate", "yesterday".into())]).to_string(),
        format!("{}1{}", "[".repeat(200), "]".repeat(200)),
    ] {
        vault.server.clear_faults();
        let fault = Fault::on(Operation::Output, FaultKind::Body(body.clone()));
        vault.server.fail(fault.always());
        let error = store.renew_inventory(None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupted, "{body:?}: {error}");
        assert_eq!(keys(&vault.store()), listed_with_more, "{body:?}");
        let state = std::fs::read_dir(vault.directory.path().join("state")).unwrap();
        assert_eq!(state.count(), 1, "{body:?} leaves something");
    }
    vault.server.clear_faults();
    assert!(matches!(
        store.renew_inventory(None).unwrap(),
        Inventory::Of(_)
    ));
    assert_eq!(keys(&store), listed_with_more);
    assert!(listed.len() < listed_with_more.len());
    assert!(store.is_confirmed(&key(1, b"more")).unwrap());
}

#[test]
fn strange_descriptions_and_sizes_are_no_harm() {
    let vault = OwnVault::new();
    let store = vault.store();
    vault.put(&store, 0, b"segment");
    vault.hours(24);
    store.renew_inventory(None).unwrap();
    vault.hours(4);
    let ours = description(LEDGER, &key(0, b"segment"), b"segment");
    for (changes, there) in [
        (
            vec![("ArchiveDescription", format!("{ours}\n").into())],
            false,
        ),
        (
            vec![("ArchiveDescription", ours.replace(' ', "\n").into())],
            false,
        ),
        (
            vec![("ArchiveDescription", "x".repeat(1 << 20).into())],
            false,
        ),
        (vec![("ArchiveDescription", serde_json::Value::Null)], false),
        (vec![("Size", u64::MAX.into())], true),
        (vec![], true),
    ] {
        let state = vault.directory.path().join("state");
        let _ = std::fs::remove_dir_all(state);
        let store = vault.open(vault.settings());
        vault.server.clear_faults();
        let body = inventory(&changes).to_string();
        vault
            .server
            .fail(Fault::on(Operation::Output, FaultKind::Body(body)));
        let of = store.renew_inventory(None).unwrap();
        assert!(matches!(of, Inventory::Of(_)), "{of:?}");
        let key = key(0, b"segment");
        assert!(!store.is_confirmed(&key).unwrap(), "it has another id");
        let orphans = store.second_uploads("").unwrap();
        assert_eq!(!orphans.is_empty(), there, "{changes:?}");
        assert_eq!(keys(&store), [key]);
    }
}

#[test]
fn a_cut_in_an_inventory_is_read_on_and_the_file_is_whole() {
    let vault = OwnVault::new();
    let store = vault.store();
    for at in 0..40 {
        vault.put(&store, at, b"segment");
    }
    vault.hours(24);
    store.renew_inventory(None).unwrap();
    vault.hours(4);
    vault
        .server
        .fail(Fault::on(Operation::Output, FaultKind::CutAt(1000)).always());
    assert!(matches!(
        store.renew_inventory(None).unwrap(),
        Inventory::Of(_)
    ));
    assert!(vault.server.count(Operation::Output) > 10);
    assert!(store.is_confirmed(&key(39, b"segment")).unwrap());
    assert_eq!(keys(&vault.store()).len(), 40);
}

#[test]
fn a_damaged_file_is_told_of_and_replaced() {
    let vault = OwnVault::new();
    let store = vault.store();
    vault.put(&store, 0, b"segment");
    vault.take_inventory(&store);
    let state = vault.directory.path().join("state");
    let mut entries = std::fs::read_dir(&state).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let store = vault.store();
        assert_eq!(keys(&store), [key(0, b"segment")], "the index has it");
        assert!(!store.is_confirmed(&key(0, b"segment")).unwrap());
        assert!(
            store.remarks()[0].contains("damaged"),
            "{:?}",
            store.remarks()
        );
        let of = store.renew_inventory(None).unwrap();
        assert!(matches!(of, Inventory::Of(_)), "{of:?}");
        assert!(store.is_confirmed(&key(0, b"segment")).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn what_a_killed_process_left_is_removed_and_a_living_one_is_left_alone() {
    let vault = OwnVault::new();
    let store = vault.store();
    vault.put(&store, 0, b"segment");
    vault.take_inventory(&store);
    let state = vault.directory.path().join("state");
    let mut entries = std::fs::read_dir(&state).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    let beside = |process: u32| {
        let name = path.file_name().unwrap().to_str().unwrap();
        state.join(format!("{name}.{process}.new"))
    };
    // No process has this id; and this test's parent is alive.
    let (dead, living) = (
        beside(4_194_305),
        beside(std::os::unix::process::parent_id()),
    );
    std::fs::write(&dead, "half").unwrap();
    std::fs::write(&living, "half").unwrap();
    vault.put(&store, 1, b"more");
    vault.take_inventory(&store);
    assert!(!dead.exists() && living.exists());
}

#[test]
fn jobs_of_other_programs_are_not_taken_for_the_whole_inventory() {
    let vault = OwnVault::new();
    let store = vault.store();
    vault.put(&store, 0, b"segment");
    vault.hours(24);
    let job = serde_json::json!({"JobList": [{
        "JobId": "partial",
        "Action": "InventoryRetrieval",
        "CreationDate": "2026-12-02T11:00:00.000Z",
        "Completed": true,
        "CompletionDate": "2026-12-02T11:30:00.000Z",
        "StatusCode": "Succeeded",
        "InventoryRetrievalParameters": {"Format": "JSON", "StartDate": "2026-12-02T00:00:00Z"},
    }, {
        "JobId": "table",
        "Action": "InventoryRetrieval",
        "CreationDate": "2026-12-02T11:00:00.000Z",
        "Completed": true,
        "StatusCode": "Succeeded",
        "InventoryRetrievalParameters": {"Format": "CSV"},
    }], "Marker": null});
    let fault = Fault::on(Operation::ListJobs, FaultKind::Body(job.to_string()));
    vault.server.fail(fault);
    assert_eq!(
        store.renew_inventory(None).unwrap(),
        Inventory::Awaited(None)
    );
    assert_eq!(vault.server.count(Operation::InitiateJob), 1);
    assert_eq!(vault.server.count(Operation::Output), 0);
}

#[test]
fn a_full_disk_keeps_the_last_inventory() {
    use crate::common::tmpfs::Tmpfs;
    let vault = OwnVault::new();
    let state = vault.directory.path().join("state");
    let _mount = Tmpfs::on(&state, 64);
    let store = vault.store();
    vault.put(&store, 0, b"segment");
    vault.take_inventory(&store);
    for at in 1..300 {
        vault.put(&store, at, b"segment");
    }
    vault.hours(24);
    store.renew_inventory(None).unwrap();
    vault.hours(4);
    let error = store.renew_inventory(None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    assert!(vault.store().is_confirmed(&key(0, b"segment")).unwrap());
    assert_eq!(keys(&vault.store()).len(), 300);
}
