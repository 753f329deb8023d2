//! Requests the thaw of objects in a cold class.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>

use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest};

use super::S3Store;
use super::judge::judge;
use crate::model::Tier;
use crate::store::aws::{Answer, Judged};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::Again;
use crate::store::{Locator, ThawAnswer, ThawRequest};

/// The class whose archive tiers are thawed permanently.
const INTELLIGENT_TIERING: &str = "INTELLIGENT_TIERING";

impl S3Store<'_> {
    pub(super) async fn restore_object(
        &self,
        at: &Locator,
        request: ThawRequest,
    ) -> Result<ThawAnswer, StoreError> {
        let days = i32::try_from(request.days).unwrap_or(i32::MAX);
        match self.ask(at, request.tier, Some(days)).await {
            Err(error) if error.kind == ErrorKind::Failed => {
                // A thawed object stays readable there, and the service rejects a request with days.
                let head = self.head(Operation::Thaw, at).await?;
                if head.class_name == INTELLIGENT_TIERING {
                    self.ask(at, request.tier, None).await
                } else {
                    Err(error)
                }
            }
            answer => answer,
        }
    }

    async fn ask(
        &self,
        at: &Locator,
        tier: Tier,
        days: Option<i32>,
    ) -> Result<ThawAnswer, StoreError> {
        let (key, version) = self.parse(Operation::Thaw, at)?;
        let tier = match tier {
            Tier::Expedited => aws_sdk_s3::types::Tier::Expedited,
            Tier::Standard => aws_sdk_s3::types::Tier::Standard,
            Tier::Bulk => aws_sdk_s3::types::Tier::Bulk,
        };
        let malformed = |error: aws_sdk_s3::error::BuildError| {
            Judged::new(
                ErrorKind::Failed,
                Again::No,
                Answer::said(error.to_string()),
            )
        };
        // Outside of the attempt, so that it does not look like a line that has stalled. Later attempts have pauses of
        // their own.
        tokio::time::sleep(self.thaws.turn()).await;
        let asked = self.persevere(Operation::Thaw, key, async |client, _| {
            let parameters = GlacierJobParameters::builder()
                .tier(tier.clone())
                .build()
                .map_err(malformed)?;
            let restore = RestoreRequest::builder()
                .set_days(days)
                .glacier_job_parameters(parameters)
                .build();
            let sent = client
                .restore_object()
                .bucket(&self.settings.bucket)
                .key(self.full(key))
                .set_version_id(version.map(str::to_owned))
                .restore_request(restore)
                .send()
                .await;
            let Err(error) = sent else {
                return Ok(ThawAnswer::Accepted);
            };
            let judged = judge(&error);
            if judged.kind == ErrorKind::Unavailable && judged.answer.asks_for_less() {
                self.thaws.slow_down();
            }
            if judged.answer.is("RestoreAlreadyInProgress") {
                return Ok(ThawAnswer::Running);
            }
            // A service may also answer this for an object that is in no cold class.
            if judged.kind == ErrorKind::Cold || judged.answer.is("ObjectAlreadyInActiveTierError")
            {
                return Ok(ThawAnswer::NotCold);
            }
            Err(judged)
        });
        // The future is too large for the stack of many threads.
        Box::pin(asked).await
    }
}
