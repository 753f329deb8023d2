//! Every fault at every operation of a vault: nothing is lost, nothing is done twice that costs money, and errors say
//! what they are.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use coldchain::model::Tier;
use coldchain::store::{
    ErrorKind, Inventory, Locator, Readability, RetryPolicy, Store, StoreError, ThawRequest,
    VaultSettings, VaultStore,
};

use crate::common::bucket::short_patience;
use crate::common::vault::{OwnVault, key, put};
use crate::common::vault_server::{Fault, FaultKind, Operation};

/// What a test does to a vault that has one segment, which is thawed, and an inventory that is ready.
struct Ready {
    vault: OwnVault,
    store: VaultStore<'static>,
    at: Locator,
}

const BYTES: &[u8] = b"segment";

fn ready() -> Ready {
    let vault = OwnVault::new();
    let store = vault.open(VaultSettings {
        patience: RetryPolicy {
            stall: Duration::from_millis(300),
            ..short_patience()
        },
        ..vault.settings()
    });
    let at = vault.put(&store, 0, BYTES);
    vault.hours(24);
    store.renew_inventory(None).unwrap();
    let request = ThawRequest {
        tier: Tier::Bulk,
        days: 1,
    };
    store.thaw(&at, request).unwrap();
    vault.hours(12);
    Ready { vault, store, at }
}

/// The operations, and what each does when all is well.
const OPERATIONS: [Operation; 7] = [
    Operation::Upload,
    Operation::DeleteArchive,
    Operation::InitiateJob,
    Operation::ListJobs,
    Operation::Output,
    Operation::DescribeVault,
    Operation::VaultLock,
];

/// Does what needs the operation, and checks what comes of it.
fn run(ready: &Ready, operation: Operation) -> Result<(), StoreError> {
    let Ready { vault, store, at } = ready;
    match operation {
        Operation::Upload => {
            let at = put(store, &key(1, b"more"), b"more")?;
            assert_eq!(store.locate(&key(1, b"more")), at);
            let named = at.to_string();
            let stored = vault.server.archives();
            assert!(stored.iter().any(|archive| named.contains(&archive.id)));
        }
        Operation::DeleteArchive => {
            store.delete(at)?;
            assert!(vault.server.archives().is_empty());
        }
        Operation::InitiateJob => {
            vault
                .server
                .change(|state| state.vault("archives").jobs.clear());
            let other = vault.open(store.client().settings().clone());
            let request = ThawRequest {
                tier: Tier::Bulk,
                days: 1,
            };
            other.thaw(at, request)?;
            assert_eq!(vault.server.jobs().len(), 1);
        }
        Operation::ListJobs => {
            let other = vault.open(store.client().settings().clone());
            let readable = other.readability(at)?;
            assert!(matches!(readable, Readability::Until(..)), "{readable:?}");
        }
        Operation::Output => assert_eq!(store.get(at, 99)?, BYTES),
        Operation::DescribeVault => {
            let of = store.renew_inventory(None)?;
            assert!(matches!(of, Inventory::Of(_)), "{of:?}");
            assert!(store.is_confirmed(&key(0, BYTES)).unwrap());
        }
        _ => assert!(store.examine()?.len() > 5),
    }
    Ok(())
}

#[test]
fn what_passes_is_waited_for_in_every_operation() {
    for what in [
        FaultKind::ResetBefore,
        FaultKind::ResetInBody,
        FaultKind::ResetAfter,
        FaultKind::Stall(None),
        FaultKind::Status(500),
        FaultKind::Status(503),
        FaultKind::StatusAfter(500),
        FaultKind::Throttled,
        FaultKind::GatewayPage,
        FaultKind::HtmlAnswer,
        FaultKind::Refusal(408, "RequestTimeoutException", "too slow"),
        FaultKind::Refusal(500, "ServiceUnavailableException", "later"),
        FaultKind::Refusal(403, "ExpiredTokenException", "expired"),
    ] {
        // A store for each fault: servers and stores take longer to make than requests.
        for operation in OPERATIONS {
            if what == FaultKind::HtmlAnswer && operation == Operation::ListJobs {
                // It is the first answer that this store gets: whoever gives it is no Glacier.
                continue;
            }
            let ready = ready();
            ready.vault.server.fail(Fault::on(operation, what.clone()));
            let done = run(&ready, operation);
            if let Err(error) = done {
                panic!("{what:?} at {operation:?}: {error} {:?}", error.source);
            }
            assert_eq!(
                ready.vault.server.faults_struck(),
                1,
                "{what:?} {operation:?}"
            );
        }
    }
}

#[test]
fn what_is_no_glacier_from_the_first_answer_on_is_told_at_once() {
    let vault = OwnVault::new();
    vault
        .server
        .fail(Fault::on_any(FaultKind::HtmlAnswer).always());
    let error = put(&vault.store(), &key(0, BYTES), BYTES).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoService, "{error}");
    assert!(error.to_string().contains("not Glacier"), "{error}");
    assert_eq!(vault.server.requests().len(), 1);
}

#[test]
fn what_does_not_pass_is_told_by_its_kind() {
    let skewed = "Signature expired: 20261201T000000Z is now earlier than 20261201T001500Z";
    let scope = "Credential should be scoped to a valid region, not 'us-east-1'. ";
    for (what, expected) in [
        (
            FaultKind::Refusal(403, "InvalidSignatureException", skewed),
            ErrorKind::ClockSkew,
        ),
        (
            FaultKind::Refusal(403, "InvalidSignatureException", scope),
            ErrorKind::WrongRegion,
        ),
        (
            FaultKind::Refusal(403, "UnrecognizedClientException", "who?"),
            ErrorKind::NoCredentials,
        ),
        (
            FaultKind::Refusal(403, "AccessDeniedException", "no"),
            ErrorKind::Denied,
        ),
        (
            FaultKind::Refusal(404, "ResourceNotFoundException", "Vault not found"),
            ErrorKind::NoBucket,
        ),
    ] {
        let ready = ready();
        ready
            .vault
            .server
            .fail(Fault::on_any(what.clone()).always());
        for operation in OPERATIONS {
            if operation == Operation::VaultLock && expected == ErrorKind::Denied {
                continue;
            }
            // A job that is not found is one that is gone, until the vault is asked for.
            let error = run(&ready, operation).unwrap_err();
            assert_eq!(error.kind, expected, "{what:?} {operation:?}: {error}");
            assert!(error.hint().is_some(), "{what:?} {operation:?}");
        }
        ready.vault.server.clear_faults();
        let [left] = ready.vault.server.archives().try_into().unwrap();
        assert_eq!(left.body, BYTES, "{what:?}");
    }
}

#[test]
fn an_upload_that_the_service_answers_with_another_tree_hash_is_deleted_and_repeated() {
    for what in [
        FaultKind::WrongTreeHash,
        FaultKind::WithoutHeader("x-amz-sha256-tree-hash"),
    ] {
        let vault = OwnVault::new();
        let store = vault.store();
        vault
            .server
            .fail(Fault::on(Operation::Upload, what.clone()));
        let at = put(&store, &key(0, BYTES), BYTES).unwrap();
        let [left] = vault.server.archives().try_into().unwrap();
        assert!(at.to_string().contains(&left.id), "{what:?}");
        assert_eq!(vault.server.count(Operation::DeleteArchive), 1);

        vault
            .server
            .fail(Fault::on(Operation::Upload, what.clone()).always());
        let error = put(&store, &key(1, BYTES), BYTES).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupted, "{what:?}: {error}");
        assert_eq!(vault.server.archives(), [left], "{what:?}");
    }
}

#[test]
fn bytes_that_are_not_those_that_were_sealed_are_not_kept() {
    use coldchain::model::Sha256;
    use coldchain::store::{NewObject, ObjectKind};

    let vault = OwnVault::new();
    let store = vault.store();
    let name = key(0, BYTES);
    let sealed = Sha256::of(BYTES);
    let object = NewObject::new(&name, b"segmenT".as_slice(), sealed, ObjectKind::Segment);
    let error = store.put_if_absent(&object).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupted, "{error}");
    assert!(vault.server.archives().is_empty());
}

#[test]
fn a_vault_takes_no_empty_archive() {
    let vault = OwnVault::new();
    let error = put(&vault.store(), &key(0, b""), b"").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(vault.server.requests().is_empty());
}

#[test]
fn wrong_settings_are_told_apart() {
    let vault = OwnVault::new();
    let tell = |change: fn(&mut VaultSettings)| {
        let mut settings = vault.settings();
        change(&mut settings);
        let store = vault.open(settings);
        put(&store, &key(0, BYTES), BYTES).unwrap_err().kind
    };
    let region = tell(|settings| settings.region = "eu-central-1".to_owned());
    assert_eq!(region, ErrorKind::WrongRegion);
    let name = tell(|settings| settings.vault = "other".to_owned());
    assert_eq!(name, ErrorKind::NoBucket);
    // Requests have this machine's date. The server's clock stands still, so it would be right on one day.
    vault.server.clock().set(Utc::now() + TimeDelta::hours(1));
    vault.server.configure(|config| config.check_skew = true);
    assert_eq!(tell(|_| {}), ErrorKind::ClockSkew);
    vault.server.configure(|config| config.access_keys.clear());
    assert_eq!(tell(|_| {}), ErrorKind::NoCredentials);
    assert!(vault.server.archives().is_empty());
}
