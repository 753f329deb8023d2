//! Vaults: what a config may say of them, and each fault with its exact words.

use std::path::Path;
use std::time::Duration;

use super::parse;
use crate::config::{Config, ConfigError, StoreConfig};
use crate::model::StorageClass;
use crate::model::segment::LARGEST_SEGMENT_BYTES;
use crate::store::VaultSettings;

/// A config with a vault that has these keys more, and with another store and these lines.
fn with(keys: &str, more: &str) -> String {
    format!(
        "[store.deep]
type = 'glacier-vault'
{keys}
[store.shelf]
type = 'dir'
path = '/srv/'
[[source]]
name = 'home'
store = 'deep'
{more}
"
    )
}

const WHOLE: &str = "vault = 'my.Vault_1-'\nregion = 'eu-central-1'\nledger_store = 'shelf'";

fn error_of(keys: &str, more: &str) -> ConfigError {
    match parse(&with(keys, more)) {
        Ok(config) => panic!("{keys} {more} is accepted: {config:?}"),
        Err(error) => error,
    }
}

fn message(keys: &str, more: &str) -> String {
    let message = error_of(keys, more).to_string();
    message.strip_prefix("c.toml:").unwrap().to_owned()
}

fn vault(config: &Config) -> &StoreConfig {
    config.store_of(&config.sources[0]).unwrap()
}

#[test]
fn a_vault_has_its_defaults_and_its_ledger_store() {
    let config = parse(&with(WHOLE, "")).unwrap();
    let store = vault(&config);
    let StoreConfig::Vault {
        settings,
        uploads,
        ledger_store,
        inventories,
    } = store
    else {
        panic!("{store:?} is no vault");
    };
    let mut expected = VaultSettings::new("eu-central-1", "my.Vault_1-");
    expected.listing_bytes = settings.listing_bytes;
    assert_eq!(**settings, expected);
    assert_eq!(*uploads, 2);
    assert_eq!(**ledger_store, config.stores["shelf"]);
    assert_eq!(inventories, Path::new("/var/lib/coldchain/inventories"));
    assert_eq!(store.storage_class(), Some(StorageClass::Vault));
    assert_eq!(store.object_lock(), None);
    assert_eq!(store.uploads(), 2);
    assert_eq!(
        store.url(),
        "glacier-vault://eu-central-1/my.Vault_1-?ledger=file:///srv"
    );
}

#[test]
fn each_key_of_a_vault_has_its_effect() {
    let keys = format!(
        "{WHOLE}
endpoint = 'http://127.0.0.1:5601/'
profile = 'cold'
credentials_file = '/root/keys'
ca_file = '/etc/ca.pem'
uploads = 64
give_up_after = '2h'"
    );
    let text = format!("state_dir = '/state'\n{}", with(&keys, ""));
    let config = parse(&text).unwrap();
    let StoreConfig::Vault {
        settings,
        uploads: 64,
        inventories,
        ..
    } = vault(&config)
    else {
        panic!("{:?}", vault(&config));
    };
    assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1:5601"));
    assert_eq!(settings.profile.as_deref(), Some("cold"));
    assert_eq!(
        settings.credentials_file.as_deref(),
        Some(Path::new("/root/keys"))
    );
    assert_eq!(settings.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(settings.patience.give_up_after, Duration::from_hours(2));
    assert_eq!(inventories, Path::new("/state/inventories"));
}

#[test]
fn the_memory_for_listings_is_that_of_both_stores() {
    let with_limit = |limit| {
        let config = parse(&format!("memory_limit = '{limit}'\n{}", with(WHOLE, ""))).unwrap();
        let store = vault(&config).clone();
        let StoreConfig::Vault {
            settings,
            ledger_store,
            ..
        } = store
        else {
            panic!("{store:?} is no vault");
        };
        let StoreConfig::Dir { listing_bytes, .. } = *ledger_store else {
            panic!("{ledger_store:?} is no directory");
        };
        assert_eq!(settings.listing_bytes, listing_bytes);
        listing_bytes
    };
    assert!(with_limit("512MiB") < with_limit("4GiB"));
}

#[test]
fn a_fault_in_a_vault_names_line_key_and_what_it_takes() {
    let name =
        "must be a vault's name: 1 to 255 of A-Z, a-z, 0-9, `.`, `_` and `-`, found the string";
    let long = "v".repeat(256);
    let far = "r".repeat(65);
    for (from, to, expected) in [
        ("vault = 'my.Vault_1-'", "", "1: `store.deep.vault` is missing".to_owned()),
        (
            "my.Vault_1-",
            "",
            format!("3: `store.deep.vault` {name} \"\""),
        ),
        (
            "my.Vault_1-",
            "a/b",
            format!("3: `store.deep.vault` {name} \"a/b\""),
        ),
        (
            "my.Vault_1-",
            "tresor-ü",
            format!("3: `store.deep.vault` {name} \"tresor-ü\""),
        ),
        (
            "my.Vault_1-",
            &long,
            format!("3: `store.deep.vault` {name} \"{long}\""),
        ),
        ("region = 'eu-central-1'", "", "1: `store.deep.region` is missing".to_owned()),
        (
            "eu-central-1",
            "eu central",
            "4: `store.deep.region` must be a region's name like `eu-central-1`, found the string \"eu central\""
                .to_owned(),
        ),
        (
            "eu-central-1",
            &far,
            format!("4: `store.deep.region` must be a region's name like `eu-central-1`, found the string \"{far}\""),
        ),
        (
            "ledger_store = 'shelf'",
            "",
            "1: `store.deep.ledger_store` is missing: a vault can't list by name, so the ledger and the keys need \
             another store"
                .to_owned(),
        ),
        (
            "'shelf'",
            "'shelv'",
            "5: unknown store `shelv`, did you mean `shelf`?".to_owned(),
        ),
        (
            "'shelf'",
            "'deep'",
            "5: `store.deep.ledger_store` names the vault itself, which can't hold a ledger".to_owned(),
        ),
        (
            "ledger_store",
            "prefix = 'a'\nledger_store",
            "5: unknown key `store.deep.prefix`".to_owned(),
        ),
        (
            "ledger_store",
            "storage_class = 'GLACIER'\nledger_store",
            "5: unknown key `store.deep.storage_class`".to_owned(),
        ),
        (
            "ledger_store",
            "uploads = 0\nledger_store",
            "5: `store.deep.uploads` must be an integer from 1 to 64, found 0".to_owned(),
        ),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        assert_eq!(message(&WHOLE.replacen(from, to, 1), ""), expected);
    }
}

#[test]
fn a_ledger_lies_where_it_can_be_listed_and_read_at_once() {
    let other = "[store.other]\ntype = 'glacier-vault'\nvault = 'w'\nregion = 'eu-central-1'\nledger_store = 'shelf'";
    let cold = "[store.other]\ntype = 'dir'\npath = '/c'\ncold = 'GLACIER'";
    let deep = "[store.other]\ntype = 's3'\nbucket = 'abc'\nstorage_class = 'DEEP_ARCHIVE'";
    let locked = "[store.other]\ntype = 's3'\nbucket = 'abc'\nobject_lock = 'compliance'";
    let one = "name a [store.NAME] of type \"dir\" or \"s3\" in `ledger_store`; docs/vault.md has an example";
    let warm =
        "name another [store.NAME], which may be the same place without `storage_class` or `cold`";
    let free = "name another [store.NAME], which may be the same place without `object_lock`; docs/vault.md tells how \
                to lock a vault";
    for (store, why, hint) in [
        (other, "which is a vault, too, and can't hold a ledger", one),
        (
            cold,
            "which keeps segments in GLACIER, and the ledger needs a store without a cold class",
            warm,
        ),
        (
            deep,
            "which keeps segments in DEEP_ARCHIVE, and the ledger needs a store without a cold class",
            warm,
        ),
        (
            locked,
            "which locks objects, and segments in a vault can't be locked with them",
            free,
        ),
    ] {
        let error = error_of(&WHOLE.replace("shelf", "other"), store);
        assert_eq!(
            error.to_string(),
            format!("c.toml:5: `store.deep.ledger_store` names `other`, {why}")
        );
        assert_eq!(error.hint().unwrap(), hint);
    }
    let unnamed = error_of("vault = 'v'\nregion = 'x'", "").hint();
    assert_eq!(unnamed.unwrap(), one);
}

#[test]
fn a_vault_gets_no_copy_and_has_none_each_night() {
    let other = "[store.b]\ntype = 'dir'\npath = '/b'\n[[source]]\nname = 'work'\nstore = 'b'\ncopies = ['deep']";
    let error = error_of(WHOLE, other);
    assert_eq!(
        error.to_string(),
        "c.toml:18: `deep` in `source.copies` is a vault, which can't have copies"
    );
    assert_eq!(
        error.hint().unwrap(),
        "remove it from `copies`, and name a store of type \"dir\" or \"s3\" there"
    );
    let shelf = "copies = ['b']\n[store.b]\ntype = 'dir'\npath = '/b'";
    assert_eq!(
        message(WHOLE, shelf),
        "12: store `deep` keeps segments in GLACIER_VAULT, which must be thawed first, so nothing copies them each night"
    );
    assert_eq!(
        message(WHOLE, "copies = ['shelf']"),
        "12: `shelf` in `source.copies` is the place of the source's own `store`"
    );
}

#[test]
fn a_source_in_a_vault_and_one_in_its_ledger_store_are_apart() {
    let other = "[[source]]\nname = 'work'\narchive_as = 'home'\nstore = 'shelf'";
    assert_eq!(
        message(WHOLE, other),
        "14: the directory `home` in store `shelf` is already that of source `home`"
    );
    // Another vault with the same ledger store is the same directory, too.
    let second = "[store.second]\ntype = 'glacier-vault'\nvault = 'w'\nregion = 'eu-central-1'\nledger_store = 'shelf'\n\
                  [[source]]\nname = 'work'\narchive_as = 'home'\nstore = 'second'";
    assert_eq!(
        message(WHOLE, second),
        "19: the directory `home` in store `second` is already that of source `home`"
    );
    // Directories of their own are two places.
    for text in [other, second] {
        let text = with(WHOLE, &text.replace("archive_as = 'home'\n", ""));
        assert_eq!(parse(&text).unwrap().sources.len(), 2);
    }
}

#[test]
fn the_largest_segment_fits_into_one_upload() {
    // AWS, "Upload Archive (POST archive)": a single request takes at most 4 GB. Sealing adds less than a tenth.
    const { assert!(LARGEST_SEGMENT_BYTES + LARGEST_SEGMENT_BYTES / 10 < 4_000_000_000) };
    assert_eq!(
        message(WHOLE, "segment_size = '4GiB'"),
        "12: `source.segment_size` must be a size like \"128MiB\", from 16MiB to 1GiB in steps of 4MiB, found the string \
         \"4GiB\""
    );
}
