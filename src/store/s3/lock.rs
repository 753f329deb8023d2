//! Object Lock: finds out whether a version is locked, and until when.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ObjectLockLegalHoldStatus, ObjectLockRetention};
use chrono::{DateTime, TimeDelta, Utc};

use super::judge::judge;
use super::settings::LockMode;
use super::stat::HeadAnswer;
use super::{S3Store, to_chrono};
use crate::store::aws::{Answer, Judged};
use crate::store::error::{ErrorKind, Operation, StoreError};

/// How much the end of a lock may differ: a service may round it to the second, or to the end of a day.
const LOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// What prevents the deletion of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Until(DateTime<Utc>),
    /// It lasts until a person ends the hold.
    LegalHold,
}

impl S3Store<'_> {
    /// Checks that a requested lock exists: a service may accept the headers and ignore them.
    pub(super) async fn require_lock(
        &self,
        key: &str,
        head: &HeadAnswer,
        mode: LockMode,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let until_now = match head.retained_until {
            Some(until) => Some(until),
            // A HEAD looks the same without the permission s3:GetObjectRetention.
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
                self.ask_for_retention(client, key, None).await
            })
            .await;
        match asked {
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unsupported) => {
                Ok(None)
            }
            other => other,
        }
    }

    async fn ask_for_retention(
        &self,
        client: &Client,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<DateTime<Utc>>, Judged> {
        let request = client
            .get_object_retention()
            .bucket(&self.settings.bucket)
            .key(self.full(key))
            .set_version_id(version.map(str::to_owned));
        let output = request.send().await.map_err(|error| judge(&error))?;
        let until = output
            .retention()
            .and_then(ObjectLockRetention::retain_until_date);
        Ok(until.map(to_chrono))
    }

    /// Returns what prevents the deletion of a version; `None` if no lock does, or if these credentials may
    /// not know.
    pub(super) async fn kept_by(&self, client: &Client, key: &str, version: &str) -> Option<Kept> {
        let request = client
            .head_object()
            .bucket(&self.settings.bucket)
            .key(self.full(key))
            .version_id(version);
        let head = request.send().await.ok()?;
        let mut until = head.object_lock_retain_until_date().map(to_chrono);
        if until.is_none() {
            let asked = self.ask_for_retention(client, key, Some(version)).await;
            until = asked.unwrap_or_default();
        }
        let now = self.requests.clock().now().unwrap_or_else(Utc::now);
        if let Some(until) = until.filter(|until| *until > now) {
            return Some(Kept::Until(until));
        }
        let is_held = match head.object_lock_legal_hold_status() {
            Some(status) => *status == ObjectLockLegalHoldStatus::On,
            None => self.has_legal_hold(client, key, version).await,
        };
        is_held.then_some(Kept::LegalHold)
    }

    async fn has_legal_hold(&self, client: &Client, key: &str, version: &str) -> bool {
        let request = client
            .get_object_legal_hold()
            .bucket(&self.settings.bucket)
            .key(self.full(key))
            .version_id(version);
        let Ok(output) = request.send().await else {
            return false;
        };
        let hold = output.legal_hold().and_then(|hold| hold.status());
        hold == Some(&ObjectLockLegalHoldStatus::On)
    }
}

/// Returns whether a lock may be the reason for this answer to a delete. Amazon and Ceph answer 403
/// `AccessDenied`, `MinIO` and versitygw 400 `InvalidRequest`, others 405 or 409.
pub(super) fn may_be_lock(status: Option<u16>) -> bool {
    const OF_THE_WAY: [u16; 5] = [404, 408, 425, 429, 499];
    status.is_some_and(|status| (400..500).contains(&status) && !OF_THE_WAY.contains(&status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_refusal_may_be_a_lock_and_no_failure() {
        for status in [400, 401, 403, 405, 409, 412, 423, 451] {
            assert!(may_be_lock(Some(status)), "{status}");
        }
        for status in [200, 301, 404, 408, 429, 500, 503] {
            assert!(!may_be_lock(Some(status)), "{status}");
        }
        assert!(!may_be_lock(None));
    }
}
