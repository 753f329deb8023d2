//! A vault as a store: what it stores, lists, thaws, reads and deletes.

use chrono::TimeDelta;
use coldchain::model::{LedgerId, StorageClass, Tier};
use coldchain::store::{
    Deleted, ErrorKind, Inventory, Locator, Readability, Severity, Store, ThawAnswer, ThawRequest,
};

use crate::common::vault::{LEDGER, OwnVault, begin, description, id, key, parse, put};
use crate::common::vault_server::{Config, Fault, FaultKind, Operation, VAULT};

const CLASS: StorageClass = StorageClass::Vault;

/// More than a leaf of a tree hash, and no whole number of them.
fn bytes() -> Vec<u8> {
    (0..(2_u32 << 20) + 77).map(|at| (at % 251) as u8).collect()
}

fn bulk() -> ThawRequest {
    ThawRequest {
        tier: Tier::Bulk,
        days: 7,
    }
}

fn keys(store: &dyn Store) -> Vec<String> {
    let listed = store.list("home/").unwrap();
    listed.into_iter().map(|listed| listed.key).collect()
}

#[test]
fn a_segment_goes_into_the_vault_and_comes_back_by_a_job() {
    let vault = OwnVault::new();
    let (store, bytes) = (vault.store(), bytes());
    let at = vault.put(&store, 0, &bytes);
    let [stored] = vault.server.archives().try_into().unwrap();
    assert_eq!(stored.id, id(&at));
    assert_eq!(stored.body, bytes);
    assert_eq!(stored.tree_hash, parse(&at).segment.tree_hash.0);
    let described = description(LEDGER, &key(0, &bytes), &bytes);
    assert_eq!(stored.description, described);

    assert_eq!(store.readability(&at).unwrap(), Readability::Cold(CLASS));
    let error = store.get(&at, 9 << 20).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cold, "{error}");
    assert_eq!(store.thaw(&at, bulk()).unwrap(), ThawAnswer::Accepted);
    assert_eq!(store.thaw(&at, bulk()).unwrap(), ThawAnswer::Running);
    assert_eq!(store.readability(&at).unwrap(), Readability::Thawing(CLASS));
    assert_eq!(store.get(&at, 9 << 20).unwrap_err().kind, ErrorKind::Cold);
    vault.hours(12);
    let until = begin() + TimeDelta::hours(36);
    let thawed = Readability::Until(CLASS, until);
    assert_eq!(store.readability(&at).unwrap(), thawed);
    assert_eq!(store.get(&at, 9 << 20).unwrap(), bytes);
    assert_eq!(store.thaw(&at, bulk()).unwrap(), ThawAnswer::Running);
    for (offset, len) in [(0, 1), (5, 1 << 20), (1 << 20, 1 << 20), (2 << 20, 77)] {
        let read = store.get_range(&at, offset as u64, len as u64).unwrap();
        assert_eq!(read, bytes[offset..offset + len], "{offset} {len}");
    }
    assert_eq!(store.get_range(&at, 7, 0).unwrap(), b"");
    let past = store.get_range(&at, 2 << 20, 78).unwrap_err();
    assert_eq!(past.kind, ErrorKind::TooShort, "{past}");
    let large = store.get(&at, 2 << 20).unwrap_err();
    assert_eq!(large.kind, ErrorKind::TooLarge, "{large}");

    vault.hours(25);
    assert_eq!(store.readability(&at).unwrap(), Readability::Cold(CLASS));
    assert_eq!(store.get(&at, 9 << 20).unwrap_err().kind, ErrorKind::Cold);
    assert_eq!(store.thaw(&at, bulk()).unwrap(), ThawAnswer::Accepted);
    assert_eq!(vault.server.count(Operation::InitiateJob), 2);
}

#[test]
fn what_is_no_segment_lies_beside_the_vault() {
    let vault = OwnVault::new();
    let store = vault.store();
    for key in ["home/ledger/00000001.entry", "home/README-RESTORE.txt"] {
        let at = put(&store, key, b"entry").unwrap();
        assert_eq!(at, store.locate(key));
        assert_eq!(store.get(&at, 9).unwrap(), b"entry");
        assert_eq!(store.readability(&at).unwrap(), Readability::Always);
        assert!(vault.directory.path().join("beside").join(key).exists());
        assert!(store.is_confirmed(key).unwrap());
        assert_eq!(store.delete(&at).unwrap(), Deleted::Removed);
    }
    assert!(vault.server.requests().is_empty());
}

#[test]
fn a_store_without_a_ledger_uploads_and_lists_nothing() {
    let vault = OwnVault::new();
    vault.put(&vault.store(), 0, b"segment");
    let store = vault.untold(vault.settings());
    assert_eq!(keys(&store), Vec::<String>::new());
    let error = put(&store, &key(1, b"more"), b"more").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert_eq!(vault.server.archives().len(), 1);
}

#[test]
fn a_key_alone_leads_to_nothing_and_a_known_one_to_its_archive() {
    let vault = OwnVault::new();
    let (store, name) = (vault.store(), key(0, b"segment"));
    let bare = store.locate(&name);
    assert_eq!(bare.to_string(), name);
    for error in [
        store.get(&bare, 9).map(drop).unwrap_err(),
        store.get_range(&bare, 0, 1).map(drop).unwrap_err(),
        store.stat(&bare).map(drop).unwrap_err(),
        store.readability(&bare).map(drop).unwrap_err(),
        store.thaw(&bare, bulk()).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    }
    let undeleted = store.delete(&bare).unwrap_err();
    assert_eq!(undeleted.kind, ErrorKind::NoId, "{undeleted}");
    assert!(!store.is_confirmed(&name).unwrap());
    assert!(vault.server.requests().is_empty());
    let at = put(&store, &name, b"segment").unwrap();
    assert_eq!(store.locate(&name), at, "it was uploaded by this store");
    assert_eq!(vault.store().locate(&name), bare, "nothing tells of it");
    vault.put(&store, 0, b"segment");
    assert_ne!(vault.store().locate(&name), bare, "the index tells of it");
}

#[test]
fn nothing_is_said_to_be_gone_whose_id_nothing_tells() {
    let vault = OwnVault::new();
    let name = key(0, b"segment");
    // Another process has uploaded it and ended.
    let at = put(&vault.store(), &name, b"segment").unwrap();
    let store = vault.store();
    for at in [&store.locate(&name), &at] {
        let error = store.delete(at).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoId, "{error}");
    }
    assert_eq!(vault.server.count(Operation::DeleteArchive), 0);
    vault.take_inventory(&store);
    assert_eq!(store.locate(&name), at, "the inventory tells it");
    assert_eq!(store.delete(&at).unwrap(), Deleted::Removed);
    assert_eq!(store.delete(&at).unwrap(), Deleted::Absent, "it is known");
    assert!(vault.server.archives().is_empty());
}

#[test]
fn a_segment_counts_as_there_until_an_inventory_of_two_days_later_lacks_it() {
    let vault = OwnVault::new();
    let store = vault.store();
    let (first, second) = (vault.put(&store, 0, b"one"), vault.put(&store, 1, b"two"));
    let names = [key(0, b"one"), key(1, b"two")];
    assert_eq!(keys(&store), names, "there is no inventory");
    assert!(!store.is_confirmed(&names[0]).unwrap());
    // The service never shows the second, and it is gone.
    vault.server.change(|state| {
        let archives = &mut state.vault(VAULT).archives;
        archives.retain(|archive| archive.id != id(&second));
    });
    vault.take_inventory(&store);
    assert_eq!(keys(&store), names, "the inventory is too young to tell");
    assert!(store.is_confirmed(&names[0]).unwrap());
    assert!(!store.is_confirmed(&names[1]).unwrap());
    assert!(store.stat(&second).is_ok());
    // Something is new, so there is another inventory.
    vault.hours(24);
    vault.put(&store, 2, b"three");
    vault.take_inventory(&store);
    let listed = keys(&store);
    assert_eq!(listed, [key(0, b"one"), key(2, b"three")]);
    let error = store.stat(&second).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert_eq!(store.stat(&first).unwrap().class, Some(CLASS));
    // Another process reads the kept file.
    assert_eq!(keys(&vault.store()), listed);
}

#[test]
fn an_archive_is_confirmed_by_its_very_id_size_and_tree_hash() {
    let vault = OwnVault::new();
    let store = vault.store();
    let change: [fn(&mut crate::common::vault_server::Archive); 3] = [
        |archive| archive.id.push('x'),
        |archive| archive.body.push(0),
        |archive| archive.tree_hash[0] ^= 1,
    ];
    for index in 0..4 {
        vault.put(&store, index, b"segment");
    }
    vault.server.change(|state| {
        let archives = &mut state.vault(VAULT).archives;
        for (archive, change) in archives.iter_mut().zip(change) {
            change(archive);
        }
    });
    vault.take_inventory(&store);
    let confirmed = (0..4).map(|index| store.is_confirmed(&key(index, b"segment")).unwrap());
    assert_eq!(confirmed.collect::<Vec<_>>(), [false, false, false, true]);
}

#[test]
fn an_inventory_is_asked_for_once_and_only_if_it_is_new() {
    let vault = OwnVault::new();
    let store = vault.store();
    assert_eq!(
        store.renew_inventory(None).unwrap(),
        Inventory::NotYet(None)
    );
    vault.put(&store, 0, b"segment");
    let stored = vault.now();
    let wanted = Some(stored);
    assert_eq!(
        store.renew_inventory(wanted).unwrap(),
        Inventory::NotYet(None)
    );
    vault.hours(13);
    assert_eq!(
        store.renew_inventory(wanted).unwrap(),
        Inventory::Awaited(None)
    );
    // Another process asks too.
    let other = vault.store();
    assert_eq!(
        other.renew_inventory(wanted).unwrap(),
        Inventory::Awaited(None)
    );
    assert_eq!(vault.server.count(Operation::InitiateJob), 1);
    vault.hours(4);
    let date = "2026-12-02T00:00:00Z".parse().unwrap();
    assert_eq!(store.renew_inventory(wanted).unwrap(), Inventory::Of(date));
    assert_eq!(store.renew_inventory(wanted).unwrap(), Inventory::Of(date));
    assert_eq!(
        vault.store().renew_inventory(None).unwrap(),
        Inventory::Of(date)
    );
    assert_eq!(vault.server.count(Operation::InitiateJob), 1);
    // Nothing has changed since, so the service makes no newer one, however long one waits.
    vault.hours(100);
    let later = Some(date);
    assert_eq!(
        store.renew_inventory(later).unwrap(),
        Inventory::NotYet(Some(date))
    );
    vault.put(&store, 1, b"more");
    vault.hours(24);
    assert_eq!(
        store.renew_inventory(None).unwrap(),
        Inventory::Awaited(Some(date))
    );
    // Its output is gone before it was read.
    vault.hours(48);
    assert_eq!(
        store.renew_inventory(None).unwrap(),
        Inventory::Awaited(Some(date))
    );
    assert_eq!(vault.server.count(Operation::InitiateJob), 3);
}

#[test]
fn only_what_names_our_ledger_is_listed_or_deleted() {
    let vault = OwnVault::new();
    let store = vault.store();
    let at = vault.put(&store, 0, b"ours");
    let name = key(1, b"theirs");
    let other = description(LedgerId([7; 16]), &name, b"theirs");
    let ours = description(LEDGER, &name, b"theirs");
    let foreign: Vec<String> = [
        other.as_str(),
        "",
        "<m><v>4</v><p>cGhvdG8=</p></m>",
        &ours.replace(" 1 ", " 2 "),
        &ours.replace("home", "ho me"),
    ]
    .iter()
    .map(|text| vault.server.plant(text, b"theirs"))
    .collect();
    vault.take_inventory(&store);
    assert_eq!(keys(&store), [key(0, b"ours")]);
    assert!(store.second_uploads("home/").unwrap().is_empty());
    let remarks = store.remarks();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert!(remarks[0].contains("2 archives"), "{remarks:?}");
    // An entry that a stolen key has signed claims them.
    for id in &foreign {
        let tree = parse(&at).segment.tree_hash;
        let claimed = Locator::from(format!("{name}?{id}?{tree}"));
        assert_eq!(store.delete(&claimed).unwrap(), Deleted::Absent);
    }
    assert_eq!(vault.server.count(Operation::DeleteArchive), 0);
    assert_eq!(vault.server.archives().len(), 6);
}

#[test]
fn what_was_deleted_is_not_listed_although_the_inventory_still_shows_it() {
    let vault = OwnVault::new();
    let store = vault.store();
    let at = vault.put(&store, 0, b"one");
    vault.put(&store, 1, b"two");
    vault.take_inventory(&store);
    assert_eq!(store.delete(&at).unwrap(), Deleted::Removed);
    assert_eq!(store.delete(&at).unwrap(), Deleted::Absent);
    for store in [&store, &vault.store()] {
        assert_eq!(keys(store), [key(1, b"two")]);
        assert!(!store.is_confirmed(&key(0, b"one")).unwrap());
        assert!(store.stat(&at).unwrap_err().is_not_found());
    }
    let left = vault.server.archives();
    assert_eq!(left.len(), 1);
    // The next inventory lacks it, and the note is dropped.
    vault.take_inventory(&store);
    vault.hours(48);
    vault.put(&store, 2, b"three");
    vault.take_inventory(&store);
    let state = vault.directory.path().join("state");
    let notes = std::fs::read_dir(state).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        let is_notes = path.extension().is_some_and(|end| end == "deleted");
        is_notes.then(|| std::fs::read_to_string(path).unwrap())
    });
    assert_eq!(notes.as_deref(), Some(""));
}

#[test]
fn the_second_archive_of_a_lost_answer_is_found_and_can_be_deleted() {
    let vault = OwnVault::new();
    let store = vault.store();
    vault
        .server
        .fail(Fault::on(Operation::Upload, FaultKind::ResetAfter));
    let at = vault.put(&store, 0, b"segment");
    assert_eq!(vault.server.faults_struck(), 1);
    assert_eq!(vault.server.archives().len(), 2);
    vault.take_inventory(&store);
    assert_eq!(keys(&store), [key(0, b"segment")]);
    assert!(store.is_confirmed(&key(0, b"segment")).unwrap());
    let second = store.second_uploads("home/").unwrap();
    let [(second, stat)] = &second[..] else {
        panic!("{second:?}");
    };
    assert_ne!(*second, at);
    assert_eq!((stat.bytes, stat.modified), (7, begin()));
    assert_eq!(store.delete(second).unwrap(), Deleted::Removed);
    assert_eq!(vault.server.archives()[0].id, id(&at));
    assert_eq!(vault.server.archives().len(), 1);
    assert!(store.second_uploads("home/").unwrap().is_empty());
    assert_eq!(keys(&store), [key(0, b"segment")]);
}

#[test]
fn an_orphan_whose_entry_was_never_written_is_listed_and_can_be_deleted() {
    let vault = OwnVault::new();
    for _ in 0..2 {
        put(&vault.store(), &key(0, b"orphan"), b"orphan").unwrap();
    }
    let store = vault.store();
    vault.take_inventory(&store);
    for left in [1, 0] {
        assert_eq!(keys(&store), [key(0, b"orphan")]);
        assert_eq!(store.second_uploads("").unwrap().len(), left);
        let at = store.locate(&key(0, b"orphan"));
        assert_eq!(store.delete(&at).unwrap(), Deleted::Removed);
    }
    assert_eq!(keys(&store), Vec::<String>::new());
    assert!(vault.server.archives().is_empty());
}

#[test]
fn a_delete_that_a_policy_denies_keeps_the_archive_and_says_why() {
    let vault = OwnVault::start(Config {
        deny_delete: true,
        ..Config::default()
    });
    let store = vault.store();
    let at = vault.put(&store, 0, b"segment");
    let error = store.delete(&at).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    let cause = error.source.as_ref().unwrap().to_string();
    assert!(cause.contains("explicit deny"), "{cause}");
    assert!(error.hint().unwrap().contains("vault lock"));
    assert_eq!(keys(&store), [key(0, b"segment")]);
    assert_eq!(vault.server.archives().len(), 1);
}

#[test]
fn the_settings_of_a_vault_are_told() {
    let locked = r#"{"Statement": [{"Effect": "Deny", "Action": "glacier:DeleteArchive", "Resource": "*",
        "Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "90"}}}]}"#;
    let vault = OwnVault::start(Config {
        vault_lock: Some((locked.to_owned(), "Locked")),
        retrieval_strategy: "BytesPerHour",
        bytes_per_hour: 10 << 30,
        ..Config::default()
    });
    let found = vault.store().examine().unwrap();
    let of = |subject: &str| {
        let mut findings = found.iter();
        let finding = findings.find(|finding| finding.subject == subject);
        finding.unwrap_or_else(|| panic!("no {subject} in {found:?}"))
    };
    assert!(of("vault").text.contains("no inventory yet"));
    assert!(of("new customers").text.contains("2025-12-15"));
    assert_eq!(of("vault lock").verdict, Severity::Fine);
    assert!(of("vault lock").text.contains("younger than 90 days"));
    assert_eq!(of("access policy").verdict, Severity::Fine);
    let policy = of("data retrieval policy");
    assert_eq!(policy.verdict, Severity::Warning);
    assert!(policy.text.contains("10240 MiB an hour"), "{}", policy.text);

    let open = OwnVault::new();
    let found = open.store().examine().unwrap();
    let warnings: Vec<_> = found
        .iter()
        .filter(|finding| finding.verdict == Severity::Warning)
        .map(|finding| finding.subject)
        .collect();
    assert_eq!(warnings, ["vault lock"]);
    open.server.change(|state| state.vaults.clear());
    let error = open.store().examine().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoBucket, "{error}");
}

#[test]
fn a_vault_is_made_once_and_only_where_the_account_may() {
    let vault = OwnVault::new();
    vault.server.change(|state| state.vaults.clear());
    let store = vault.store();
    assert_eq!(
        store.client().describe().unwrap_err().kind,
        ErrorKind::NoBucket
    );
    vault.server.configure(|config| config.closed = true);
    let error = store.client().create().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(
        error
            .source
            .as_ref()
            .unwrap()
            .to_string()
            .contains("new customers")
    );
    vault.server.configure(|config| config.closed = false);
    store.client().create().unwrap();
    store.client().create().unwrap();
    assert_eq!(store.client().describe().unwrap().inventory, None);
}
