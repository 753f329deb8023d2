//! Examines what the bucket's own settings mean for archives.

use aws_sdk_s3::types::{
    BucketVersioningStatus, ExpirationStatus, LifecycleRule, ObjectLockEnabled, Transition,
    TransitionStorageClass,
};

use super::S3Store;
use super::judge::judge;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::{Finding, Severity};

impl S3Store<'_> {
    pub(super) async fn examine_bucket(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = vec![self.versioning().await?, self.lock_settings().await?];
        findings.extend(self.lifecycle().await?);
        Ok(findings)
    }

    async fn versioning(&self) -> Result<Finding, StoreError> {
        const SUBJECT: &str = "versioning";
        let asked = self
            .persevere(Operation::Examine, "", async |client, _| {
                let request = client.get_bucket_versioning().bucket(&self.settings.bucket);
                request.send().await.map_err(|error| judge(&error))
            })
            .await;
        Ok(match asked {
            Ok(output) if output.status() == Some(&BucketVersioningStatus::Enabled) => {
                Finding::new(SUBJECT, Severity::Fine, "the bucket keeps versions")
            }
            Ok(_) => Finding::new(
                SUBJECT,
                Severity::Warning,
                "the bucket keeps no versions: anybody with write credentials can destroy archives; \
                 switch versioning on, or use Object Lock",
            ),
            Err(error) => unknown(SUBJECT, error)?,
        })
    }

    async fn lock_settings(&self) -> Result<Finding, StoreError> {
        const SUBJECT: &str = "object lock";
        let asked = self
            .persevere(Operation::Examine, "", async |client, _| {
                let request = client
                    .get_object_lock_configuration()
                    .bucket(&self.settings.bucket);
                let sent = request.send().await;
                sent.map(Some).or_else(|error| {
                    let judged = judge(&error);
                    let none = judged.answer.is("ObjectLockConfigurationNotFoundError");
                    if none { Ok(None) } else { Err(judged) }
                })
            })
            .await;
        let enabled = match asked {
            Ok(output) => output
                .and_then(|output| output.object_lock_configuration)
                .is_some_and(|lock| {
                    lock.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled)
                }),
            Err(error) if error.kind == ErrorKind::NotFound => false,
            Err(error) => return unknown(SUBJECT, error),
        };
        Ok(match (enabled, self.settings.object_lock) {
            (true, Some(mode)) => Finding::new(
                SUBJECT,
                Severity::Fine,
                format!("the bucket locks objects, and archives are locked in {mode} mode"),
            ),
            (true, None) => Finding::new(
                SUBJECT,
                Severity::Fine,
                "the bucket can lock objects; `object_lock` of this store is not set",
            ),
            (false, Some(_)) => Finding::new(
                SUBJECT,
                Severity::Failure,
                "`object_lock` is set, but the bucket was not made with Object Lock: every backup would fail",
            ),
            (false, None) => Finding::new(
                SUBJECT,
                Severity::Warning,
                "the bucket has no Object Lock: stolen credentials that may delete can delete \
                 archives",
            ),
        })
    }

    /// Finds lifecycle rules that would delete archives behind the ledger's back, or make them cold.
    async fn lifecycle(&self) -> Result<Vec<Finding>, StoreError> {
        const SUBJECT: &str = "lifecycle";
        let asked = self
            .persevere(Operation::Examine, "", async |client, _| {
                let request = client
                    .get_bucket_lifecycle_configuration()
                    .bucket(&self.settings.bucket);
                let sent = request.send().await;
                sent.map(Some).or_else(|error| {
                    let judged = judge(&error);
                    let none = judged.answer.is("NoSuchLifecycleConfiguration");
                    if none { Ok(None) } else { Err(judged) }
                })
            })
            .await;
        let rules = match asked {
            Ok(output) => output.and_then(|output| output.rules).unwrap_or_default(),
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Ok(vec![unknown(SUBJECT, error)?]),
        };
        let prefix = self.full("");
        let named = |does: fn(&LifecycleRule) -> bool| {
            let harmful: Vec<&str> = rules
                .iter()
                .filter(|rule| is_about(rule, &prefix) && does(rule))
                .map(|rule| rule.id().unwrap_or("without a name"))
                .collect();
            (!harmful.is_empty()).then(|| harmful.join(", "))
        };
        let mut found = Vec::new();
        if let Some(rules) = named(expires) {
            found.push(Finding::new(
                SUBJECT,
                Severity::Failure,
                format!(
                    "a rule of the bucket expires objects below this prefix ({rules}): archives would \
                     vanish; remove the rule: coldchain itself deletes what has expired"
                ),
            ));
        }
        if let Some(rules) = named(makes_cold) {
            found.push(Finding::new(
                SUBJECT,
                Severity::Failure,
                format!(
                    "a rule of the bucket moves objects below this prefix into a cold class ({rules}): \
                     ledger and keys could not be read any more; remove it, and set `storage_class`"
                ),
            ));
        }
        if let Some(rules) = named(tiers_by_itself) {
            found.push(Finding::new(
                SUBJECT,
                Severity::Warning,
                format!(
                    "a rule of the bucket moves objects below this prefix into INTELLIGENT_TIERING \
                     ({rules}): where its archive tiers are switched on, ledger and keys could not be read \
                     any more"
                ),
            ));
        }
        if found.is_empty() {
            let text = "no rule deletes archives or makes them cold";
            found.push(Finding::new(SUBJECT, Severity::Fine, text));
        }
        Ok(found)
    }
}

/// Returns whether a rule deletes current objects. Rules about old versions, delete markers and unfinished
/// uploads do not.
fn expires(rule: &LifecycleRule) -> bool {
    rule.expiration()
        .is_some_and(|expiration| expiration.days().is_some() || expiration.date().is_some())
}

/// Returns whether a rule moves current objects into a class from which they have to be thawed.
fn makes_cold(rule: &LifecycleRule) -> bool {
    use TransitionStorageClass::{DeepArchive, Glacier};
    moves_into(rule, |class| matches!(class, DeepArchive | Glacier))
}

/// Returns whether a rule moves current objects into a class that may make them cold by itself.
fn tiers_by_itself(rule: &LifecycleRule) -> bool {
    moves_into(rule, |class| {
        *class == TransitionStorageClass::IntelligentTiering
    })
}

fn moves_into(rule: &LifecycleRule, of: impl Fn(&TransitionStorageClass) -> bool) -> bool {
    let mut classes = rule
        .transitions()
        .iter()
        .filter_map(Transition::storage_class);
    classes.any(of)
}

/// Returns whether a rule is enabled and applies to objects below the prefix.
fn is_about(rule: &LifecycleRule, prefix: &str) -> bool {
    #[expect(
        deprecated,
        reason = "old rules still have their prefix outside of the filter"
    )]
    let of_rule = rule
        .filter()
        .and_then(|filter| {
            filter
                .prefix()
                .or_else(|| filter.and().and_then(|and| and.prefix()))
        })
        .or(rule.prefix())
        .unwrap_or_default();
    let meets = prefix.starts_with(of_rule) || of_rule.starts_with(prefix);
    *rule.status() == ExpirationStatus::Enabled && meets
}

/// Returns the finding that a setting is unknown, if the store does not answer, or not for these credentials.
/// Returns any other failure as the error of the whole examination.
fn unknown(subject: &'static str, error: StoreError) -> Result<Finding, StoreError> {
    let why = match error.kind {
        ErrorKind::Denied => "these credentials may not ask",
        ErrorKind::Unsupported | ErrorKind::Failed | ErrorKind::NotFound => {
            "the store does not answer that"
        }
        _ => return Err(error),
    };
    Ok(Finding::new(subject, Severity::Unknown, why))
}
