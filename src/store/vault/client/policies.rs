//! What decides on deletes and retrievals: the vault lock, the access policy, and the data retrieval policy.

use aws_sdk_glacier::types::DataRetrievalRule;

use super::judge::judge;
use super::{ACCOUNT, VaultClient};
use crate::store::aws::Judged;
use crate::store::error::{ErrorKind, Operation, StoreError};

/// The state of a vault lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultLockState {
    /// It applies, and is dropped after 24 hours unless somebody completes it.
    InProgress,
    /// It can't be changed or removed any more.
    Locked,
}

/// The policies of a vault. What these credentials may not read is the error in its place.
#[derive(Debug)]
pub struct VaultPolicies {
    /// The vault lock with its policy as JSON.
    pub lock: Result<Option<(VaultLockState, String)>, StoreError>,
    /// The access policy as JSON.
    pub access: Result<Option<String>, StoreError>,
    /// The most bytes an hour that standard retrievals of the whole account may take; `None` for no limit.
    pub retrieval: Result<Option<u64>, StoreError>,
}

impl VaultClient<'_> {
    /// Reads the policies.
    pub fn policies(&self) -> VaultPolicies {
        self.run(async {
            VaultPolicies {
                lock: self.lock().await,
                access: self.access_policy().await,
                retrieval: self.retrieval_policy().await,
            }
        })
    }

    async fn lock(&self) -> Result<Option<(VaultLockState, String)>, StoreError> {
        self.requests
            .persevere(Operation::Examine, "", async |client, _| {
                let request = client
                    .get_vault_lock()
                    .account_id(ACCOUNT)
                    .vault_name(&self.settings.vault);
                let sent = request.send().await.map_err(|error| judge(&error));
                let Some(lock) = unless_absent(sent)? else {
                    return Ok(None);
                };
                let state = match lock.state() {
                    Some("Locked") => VaultLockState::Locked,
                    _ => VaultLockState::InProgress,
                };
                let policy = lock.policy().unwrap_or_default().to_owned();
                Ok(Some((state, policy)))
            })
            .await
    }

    async fn access_policy(&self) -> Result<Option<String>, StoreError> {
        self.requests
            .persevere(Operation::Examine, "", async |client, _| {
                let request = client
                    .get_vault_access_policy()
                    .account_id(ACCOUNT)
                    .vault_name(&self.settings.vault);
                let sent = request.send().await.map_err(|error| judge(&error));
                let policy = unless_absent(sent)?.and_then(|answer| answer.policy);
                Ok(policy.and_then(|policy| policy.policy))
            })
            .await
    }

    async fn retrieval_policy(&self) -> Result<Option<u64>, StoreError> {
        self.requests
            .persevere(Operation::Examine, "", async |client, _| {
                let request = client.get_data_retrieval_policy().account_id(ACCOUNT);
                let sent = request.send().await.map_err(|error| judge(&error));
                let rules = unless_absent(sent)?
                    .and_then(|answer| answer.policy)
                    .and_then(|policy| policy.rules)
                    .unwrap_or_default();
                Ok(rules.iter().find_map(limit))
            })
            .await
    }
}

/// The bytes an hour of a rule. The free tier's are 10 GB a month, shared out over its hours.
fn limit(rule: &DataRetrievalRule) -> Option<u64> {
    const FREE_TIER: u64 = 10_000_000_000 / (30 * 24);
    match rule.strategy() {
        Some("BytesPerHour") => u64::try_from(rule.bytes_per_hour()?).ok(),
        Some("FreeTier") => Some(FREE_TIER),
        _ => None,
    }
}

fn unless_absent<T>(sent: Result<T, Judged>) -> Result<Option<T>, Judged> {
    match sent {
        Err(judged) if judged.kind == ErrorKind::NotFound => Ok(None),
        sent => sent.map(Some),
    }
}
