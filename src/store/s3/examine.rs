//! What the bucket's own settings mean for archives.

use aws_sdk_s3::types::{
    BucketVersioningStatus, ExpirationStatus, LifecycleRule, ObjectLockEnabled,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::S3Store;
use super::answer::{Answer, judge};
use super::settings::LockMode;
use super::stat::Head;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::{Finding, Verdict};

/// A service may round a lock's end to the second, or to a day's border.
const LOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

impl S3Store<'_> {
    /// Makes sure that a lock that was asked for is there: a service may take the headers and
    /// ignore them.
    pub(super) async fn require_lock(
        &self,
        key: &str,
        head: &Head,
        mode: LockMode,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let until_now = match head.retained_until {
            Some(until) => Some(until),
            // Also what a HEAD looks like without the permission s3:GetObjectRetention.
            None => self.retention(key).await?,
        };
        if until_now.is_some_and(|now| now + LOCK_TOLERANCE >= until) {
            return Ok(());
        }
        let found = until_now.map_or_else(
            || "it is not locked".to_owned(),
            |until| format!("it is locked until {until}"),
        );
        let what = format!("{mode} lock until {until} was asked for, and {found}");
        Err(self
            .error(ErrorKind::Unsupported, Operation::Put, key)
            .because(Answer::said(what)))
    }

    async fn retention(&self, key: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let asked = self
            .persevere(Operation::Stat, key, async |client, _| {
                let request = client
                    .get_object_retention()
                    .bucket(&self.settings.bucket)
                    .key(self.full(key));
                match request.send().await {
                    Ok(output) => Ok(output
                        .retention()
                        .and_then(|retention| retention.retain_until_date())
                        .map(super::to_chrono)),
                    Err(error) => Err(judge(&error)),
                }
            })
            .await;
        match asked {
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unsupported) => {
                Ok(None)
            }
            other => other,
        }
    }

    pub(super) async fn examine_bucket(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(vec![
            self.versioning().await?,
            self.lock_settings().await?,
            self.lifecycle().await?,
        ])
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
                Finding::new(SUBJECT, Verdict::Fine, "the bucket keeps versions")
            }
            Ok(_) => Finding::new(
                SUBJECT,
                Verdict::Warning,
                "the bucket keeps no versions: whoever has write credentials can destroy archives; \
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
                Verdict::Fine,
                format!("the bucket locks objects, and archives are locked in {mode} mode"),
            ),
            (true, None) => Finding::new(
                SUBJECT,
                Verdict::Fine,
                "the bucket can lock objects; `object_lock` of this store is not set",
            ),
            (false, Some(_)) => Finding::new(
                SUBJECT,
                Verdict::Failure,
                "`object_lock` is set, and the bucket was not made for it: every backup would fail",
            ),
            (false, None) => Finding::new(
                SUBJECT,
                Verdict::Warning,
                "the bucket has no Object Lock: stolen credentials that may delete can delete \
                 archives",
            ),
        })
    }

    /// Rules of the bucket that would delete archives behind the ledger's back.
    async fn lifecycle(&self) -> Result<Finding, StoreError> {
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
            Err(error) => return unknown(SUBJECT, error),
        };
        let prefix = self.full("");
        let harmful: Vec<&str> = rules
            .iter()
            .filter(|rule| expires(rule, &prefix))
            .map(|rule| rule.id().unwrap_or("without a name"))
            .collect();
        Ok(if harmful.is_empty() {
            Finding::new(SUBJECT, Verdict::Fine, "no rule deletes archives")
        } else {
            Finding::new(
                SUBJECT,
                Verdict::Failure,
                format!(
                    "a rule of the bucket expires objects below this prefix ({}): archives would \
                     vanish; remove it, coldchain deletes what has expired itself",
                    harmful.join(", ")
                ),
            )
        })
    }
}

/// Whether a rule deletes current objects below the prefix. Rules about old versions, delete
/// markers and unfinished uploads do not.
fn expires(rule: &LifecycleRule, prefix: &str) -> bool {
    let deletes = rule
        .expiration()
        .is_some_and(|expiration| expiration.days().is_some() || expiration.date().is_some());
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
    *rule.status() == ExpirationStatus::Enabled && deletes && meets
}

/// A question that this store does not answer, or not to these credentials, leaves that open; any
/// other failure is one of the whole look.
fn unknown(subject: &'static str, error: StoreError) -> Result<Finding, StoreError> {
    let why = match error.kind {
        ErrorKind::Denied => "these credentials may not ask",
        ErrorKind::Unsupported | ErrorKind::Failed | ErrorKind::NotFound => {
            "the store does not answer that"
        }
        _ => return Err(error),
    };
    Ok(Finding::new(subject, Verdict::Unknown, why))
}
