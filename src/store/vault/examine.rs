//! What the vault's own settings mean for archives.

use serde_json::Value;

use super::VaultStore;
use super::client::VaultLockState;
use crate::store::error::{ErrorKind, StoreError};
use crate::store::{Finding, Severity};

/// The action that a policy may deny.
const DELETE: &str = "glacier:deletearchive";

impl VaultStore<'_> {
    pub(super) fn examine_vault(&self) -> Result<Vec<Finding>, StoreError> {
        let described = self.client.describe()?;
        let inventory = match described.inventory {
            Some(date) => format!(
                "the service's last inventory is of {}, with {} archives",
                date.format("%Y-%m-%d %H:%M UTC"),
                described.archives
            ),
            None => "the service has made no inventory yet; the first comes about a day after the first upload"
                .to_owned(),
        };
        let policies = self.client.policies();
        Ok(vec![
            Finding::new("vault", Severity::Fine, inventory),
            Finding::new(
                "new customers",
                Severity::Fine,
                "Amazon takes no new customers for vaults since 2025-12-15; what is in this vault stays. \
                 `coldchain copy` and `coldchain move` take archives out of it",
            ),
            lock_finding(policies.lock)?,
            access_finding(policies.access)?,
            retrieval_finding(policies.retrieval)?,
            Finding::new(
                "expedited retrievals",
                Severity::Unknown,
                "without provisioned capacity the service may refuse expedited retrievals at any time",
            ),
        ])
    }
}

fn lock_finding(
    lock: Result<Option<(VaultLockState, String)>, StoreError>,
) -> Result<Finding, StoreError> {
    const SUBJECT: &str = "vault lock";
    let (severity, text) = match lock {
        Ok(None) => (
            Severity::Warning,
            "the vault has no lock: stolen credentials that may delete can delete archives".to_owned(),
        ),
        Ok(Some((VaultLockState::InProgress, _))) => (
            Severity::Warning,
            "a vault lock is being tried out, and ends after 24 hours unless it is completed".to_owned(),
        ),
        Ok(Some((VaultLockState::Locked, policy))) => match denied(&policy) {
            Denied::YoungerThan(days) => (
                Severity::Fine,
                format!("the vault lock denies deletes of archives that are younger than {days} days"),
            ),
            Denied::Deletes => (
                Severity::Fine,
                "the vault lock denies deletes: prune keeps what it may not delete, and tries again".to_owned(),
            ),
            Denied::Nothing => (
                Severity::Warning,
                "the vault lock does not deny deletes of archives".to_owned(),
            ),
        },
        Err(error) => return unknown(SUBJECT, error),
    };
    Ok(Finding::new(SUBJECT, severity, text))
}

fn access_finding(access: Result<Option<String>, StoreError>) -> Result<Finding, StoreError> {
    const SUBJECT: &str = "access policy";
    let text = match access {
        Ok(None) => "the vault has no access policy".to_owned(),
        Ok(Some(policy)) => match denied(&policy) {
            Denied::Deletes | Denied::YoungerThan(_) => {
                "the access policy denies deletes, maybe of some archives or users only: prune keeps what it \
                 may not delete, and tries again"
                    .to_owned()
            }
            Denied::Nothing => "the access policy denies no deletes".to_owned(),
        },
        Err(error) => return unknown(SUBJECT, error),
    };
    Ok(Finding::new(SUBJECT, Severity::Fine, text))
}

fn retrieval_finding(limit: Result<Option<u64>, StoreError>) -> Result<Finding, StoreError> {
    const SUBJECT: &str = "data retrieval policy";
    Ok(match limit {
        Ok(None) => Finding::new(
            SUBJECT,
            Severity::Fine,
            "the account has no limit on retrievals",
        ),
        Ok(Some(bytes)) => Finding::new(
            SUBJECT,
            Severity::Warning,
            format!(
                "the account refuses standard retrievals of more than {} MiB an hour; the tiers `bulk` and \
                 `expedited` are not limited",
                bytes >> 20
            ),
        ),
        Err(error) => unknown(SUBJECT, error)?,
    })
}

/// A setting that these credentials may not read is not known. Any other error ends the examination.
fn unknown(subject: &'static str, error: StoreError) -> Result<Finding, StoreError> {
    if !matches!(
        error.kind,
        ErrorKind::Denied | ErrorKind::Unsupported | ErrorKind::Failed
    ) {
        return Err(error);
    }
    let text = format!("it can't be read: {}", error.kind);
    Ok(Finding {
        failed: Some(error.kind),
        ..Finding::new(subject, Severity::Unknown, text)
    })
}

/// What a policy denies of deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    Nothing,
    /// Maybe of some archives or users only.
    Deletes,
    /// Deletes of archives that are younger than so many days.
    YoungerThan(u64),
}

/// Returns what a policy denies of deletes of archives. One that can't be read denies nothing that is known.
fn denied(policy: &str) -> Denied {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = many(&policy["Statement"]);
    let mut denials = statements
        .iter()
        .filter(|statement| statement["Effect"] == "Deny")
        .filter(|statement| {
            let actions = many(&statement["Action"]);
            actions.iter().any(|action| {
                let action = action.as_str().unwrap_or_default().to_ascii_lowercase();
                match action.strip_suffix('*') {
                    Some(begin) => DELETE.starts_with(begin),
                    None => action == DELETE,
                }
            })
        });
    let Some(denial) = denials.next() else {
        return Denied::Nothing;
    };
    let conditions = denial["Condition"].as_object();
    let days = conditions
        .into_iter()
        .flatten()
        .find_map(|(operator, keys)| {
            let days = keys.as_object()?.iter().find_map(|(key, value)| {
                let is_age = key.eq_ignore_ascii_case("glacier:ArchiveAgeInDays");
                let days = value
                    .as_str()
                    .map_or_else(|| value.as_u64(), |text| text.parse().ok());
                days.filter(|_| is_age)
            })?;
            operator.starts_with("NumericLessThan").then_some(days)
        });
    days.map_or(Denied::Deletes, Denied::YoungerThan)
}

/// Policies may leave out the brackets of a list of one.
fn many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_for_what_it_denies() {
        let days = r#"{"Statement": [{"Effect": "Deny", "Action": "glacier:DeleteArchive",
            "Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}}}]}"#;
        let all = r#"{"Statement": {"Effect": "Deny", "Action": ["glacier:Delete*"]}}"#;
        let any = r#"{"Statement": {"Effect": "Deny", "Action": "*"}}"#;
        let allows = r#"{"Statement": [{"Effect": "Allow", "Action": "glacier:DeleteArchive"}]}"#;
        let uploads = r#"{"Statement": [{"Effect": "Deny", "Action": "glacier:UploadArchive"}]}"#;
        for (policy, expected) in [
            (days, Denied::YoungerThan(365)),
            (all, Denied::Deletes),
            (any, Denied::Deletes),
            (allows, Denied::Nothing),
            (uploads, Denied::Nothing),
            ("", Denied::Nothing),
        ] {
            assert_eq!(denied(policy), expected, "{policy}");
        }
    }
}
