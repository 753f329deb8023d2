//! The vault itself.

use chrono::{DateTime, Utc};

use super::judge::judge;
use super::{ACCOUNT, VaultClient};
use crate::store::Deleted;
use crate::store::aws::Judged;
use crate::store::error::{ErrorKind, Operation, StoreError};

/// What the service says of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultDescription {
    /// When the last inventory was made; `None` if there is none yet.
    pub inventory: Option<DateTime<Utc>>,
    /// How many archives it shows.
    pub archives: u64,
    /// Their bytes, with the overhead that is billed.
    pub bytes: u64,
}

impl VaultClient<'_> {
    /// Describes the vault. Fails with [`ErrorKind::NoBucket`] if there is none.
    pub fn describe(&self) -> Result<VaultDescription, StoreError> {
        self.run(self.describe_vault(Operation::Examine, ""))
    }

    /// Makes the vault; does nothing if it is there.
    pub fn create(&self) -> Result<(), StoreError> {
        self.run(
            self.requests
                .persevere(Operation::Open, "", async |client, _| {
                    let request = client
                        .create_vault()
                        .account_id(ACCOUNT)
                        .vault_name(&self.settings.vault);
                    let made = request.send().await.map_err(|error| judge(&error));
                    made.map(drop)
                }),
        )
    }

    /// Deletes an archive. Deleting one that was deleted already is no error of the service's.
    pub fn delete(&self, subject: &str, archive: &str) -> Result<Deleted, StoreError> {
        self.run(async {
            let asked = self
                .requests
                .persevere(Operation::Delete, subject, async |client, _| {
                    let request = client
                        .delete_archive()
                        .account_id(ACCOUNT)
                        .vault_name(&self.settings.vault)
                        .archive_id(archive);
                    let sent = request.send().await.map_err(|error| judge(&error));
                    sent.map(drop)
                })
                .await;
            match asked {
                Ok(()) => Ok(Deleted::Removed),
                Err(error) if error.is_not_found() => {
                    self.require_vault(Operation::Delete, subject).await?;
                    Ok(Deleted::Absent)
                }
                Err(error) if error.kind == ErrorKind::Denied => Err(error.advising(Some(
                    "find out what denies it: a vault lock, the vault's access policy or the \
                     permissions of these credentials; `coldchain doctor` shows the policies. The archive stays"
                        .to_owned(),
                ))),
                Err(error) => Err(error),
            }
        })
    }

    /// Fails if the vault does not exist. The service has one code for a missing vault, archive and job.
    pub(super) async fn require_vault(
        &self,
        operation: Operation,
        subject: &str,
    ) -> Result<(), StoreError> {
        self.describe_vault(operation, subject).await.map(drop)
    }

    async fn describe_vault(
        &self,
        operation: Operation,
        subject: &str,
    ) -> Result<VaultDescription, StoreError> {
        self.requests
            .persevere(operation, subject, async |client, _| {
                let request = client
                    .describe_vault()
                    .account_id(ACCOUNT)
                    .vault_name(&self.settings.vault);
                let described = request
                    .send()
                    .await
                    .map_err(|error| no_vault(judge(&error)))?;
                let named = described.vault_name();
                if named.is_some_and(|name| name != self.settings.vault) {
                    let what = format!("it described the vault {named:?}");
                    return Err(Judged::damaged(what));
                }
                Ok(VaultDescription {
                    inventory: described.last_inventory_date().and_then(time),
                    archives: u64::try_from(described.number_of_archives()).unwrap_or_default(),
                    bytes: u64::try_from(described.size_in_bytes()).unwrap_or_default(),
                })
            })
            .await
    }
}

/// Turns an answer that there is no such thing into one that there is no vault.
pub(super) fn no_vault(judged: Judged) -> Judged {
    match judged.kind {
        ErrorKind::NotFound => Judged {
            kind: ErrorKind::NoBucket,
            ..judged
        },
        _ => judged,
    }
}

/// Reads a time in an answer.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.to_utc())
}
