//! The files of an S3 Batch Operations job that thaws: the list of objects, and the job's description.
//!
//! One such job sends the thaw requests of any number of objects within AWS, at the pace that S3 takes. See
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-initiate-restore-object.html>.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::pricing::usd::Usd;
use crate::model::{BucketObject, Tier};

/// AWS's list price of a job in us-east-1: <https://aws.amazon.com/s3/pricing/>, "Management & insights".
const USD_PER_JOB: Usd = Usd::from_cents(25);

/// The same of one object of a job: a dollar for a million.
const MICROS_PER_OBJECT: u64 = 1;

/// What the user has to replace in the job's description: only they know it.
pub const TO_FILL_IN: [&str; 5] = [
    "ACCOUNT_ID",
    "ROLE_NAME",
    "MANIFEST_BUCKET",
    "MANIFEST_ETAG",
    "REPORT_BUCKET",
];

/// What a job is to do.
#[derive(Debug, Clone, Copy)]
pub struct BatchThaw<'a> {
    /// The objects to thaw.
    pub objects: &'a [BucketObject],
    /// The tier.
    pub tier: BatchTier,
    /// Days that they stay readable.
    pub days: u32,
    /// AWS's partition of the bucket, the second part of each ARN: `aws`.
    pub partition: &'a str,
    /// The name of the manifest's file, and of its object.
    pub manifest_name: &'a str,
    /// Says what the job is for; S3 takes 256 characters.
    pub description: &'a str,
    /// S3 takes a job with a token that it has seen for that same job.
    pub token: &'a str,
}

/// The tiers that a job can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchTier {
    /// `STANDARD`
    Standard,
    /// `BULK`
    Bulk,
}

impl BatchTier {
    /// Returns the tier as a job's; `None` for the one that no job has.
    pub fn of(tier: Tier) -> Option<Self> {
        match tier {
            Tier::Standard => Some(Self::Standard),
            Tier::Bulk => Some(Self::Bulk),
            Tier::Expedited => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Bulk => "BULK",
        }
    }
}

impl BatchThaw<'_> {
    /// Returns what the job costs beside the thaw itself, by the list price.
    pub fn usd(&self) -> Usd {
        let objects = self.objects.len() as u64;
        USD_PER_JOB + Usd::from_micros(objects.saturating_mul(MICROS_PER_OBJECT))
    }

    /// A manifest has versions for all of its objects or for none. Without them the job takes the current ones,
    /// and no key of a segment ever has other bytes.
    fn has_versions(&self) -> bool {
        self.objects.iter().all(|object| object.version.is_some())
    }

    /// Returns the manifest: a line for each object, without a head.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-create-job.html#specify-batchjob-manifest>
    pub fn manifest(&self) -> String {
        let with_versions = self.has_versions();
        let mut csv = String::new();
        for object in self.objects {
            csv.push_str(&object.bucket);
            csv.push(',');
            csv.push_str(&url_encoded(&object.key));
            if let Some(version) = object.version.as_deref().filter(|_| with_versions) {
                csv.push(',');
                csv.push_str(&url_encoded(version));
            }
            csv.push('\n');
        }
        csv
    }

    /// Returns what `aws s3control create-job --cli-input-json` takes, with [`TO_FILL_IN`] still in it.
    pub fn job(&self) -> Value {
        let (partition, name) = (self.partition, self.manifest_name);
        let mut fields = vec!["Bucket", "Key"];
        if self.has_versions() {
            fields.push("VersionId");
        }
        json!({
            "AccountId": "ACCOUNT_ID",
            "ConfirmationRequired": false,
            "Operation": {
                "S3InitiateRestoreObject": {
                    "ExpirationInDays": self.days,
                    "GlacierJobTier": self.tier.name(),
                },
            },
            "Manifest": {
                "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": fields},
                "Location": {
                    "ObjectArn": format!("arn:{partition}:s3:::MANIFEST_BUCKET/{name}"),
                    "ETag": "MANIFEST_ETAG",
                },
            },
            "Report": {
                "Bucket": format!("arn:{partition}:s3:::REPORT_BUCKET"),
                "Prefix": "coldchain-thaw",
                "Format": "Report_CSV_20180820",
                "Enabled": true,
                "ReportScope": "FailedTasksOnly",
            },
            "Priority": 10,
            "RoleArn": format!("arn:{partition}:iam::ACCOUNT_ID:role/ROLE_NAME"),
            "Description": self.description,
            "ClientRequestToken": self.token,
        })
    }
}

/// Returns AWS's partition of a region: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.
pub fn partition(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Returns a key as a manifest has it: all but letters, digits, `-`, `_`, `.`, `~` and `/` as `%XX`.
fn url_encoded(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, version: Option<&str>) -> BucketObject {
        BucketObject {
            bucket: "archive".to_owned(),
            key: key.to_owned(),
            version: version.map(str::to_owned),
        }
    }

    fn thaw(objects: &[BucketObject]) -> BatchThaw<'_> {
        BatchThaw {
            objects,
            tier: BatchTier::Bulk,
            days: 7,
            partition: "aws",
            manifest_name: "thaw.csv",
            description: "coldchain: thaw home",
            token: "5f0c9a12d4e6b801",
        }
    }

    #[test]
    fn a_manifest_has_a_line_for_each_object_and_encodes_what_a_csv_can_not_hold() {
        let objects = [object("a/b-c_d.e~f", None), object("a b,c\"é+%/x", None)];
        let thaw = thaw(&objects);
        assert_eq!(
            thaw.manifest(),
            "archive,a/b-c_d.e~f\narchive,a%20b%2Cc%22%C3%A9%2B%25/x\n"
        );
        let fields = &thaw.job()["Manifest"]["Spec"]["Fields"];
        assert_eq!(*fields, json!(["Bucket", "Key"]));
    }

    #[test]
    fn versions_are_in_it_for_all_objects_or_for_none() {
        let objects = [object("a", Some("v1")), object("b", Some("v+2"))];
        assert_eq!(thaw(&objects).manifest(), "archive,a,v1\narchive,b,v%2B2\n");
        let fields = &thaw(&objects).job()["Manifest"]["Spec"]["Fields"];
        assert_eq!(*fields, json!(["Bucket", "Key", "VersionId"]));
        let mixed = [object("a", Some("v1")), object("b", None)];
        assert_eq!(thaw(&mixed).manifest(), "archive,a\narchive,b\n");
        let fields = &thaw(&mixed).job()["Manifest"]["Spec"]["Fields"];
        assert_eq!(*fields, json!(["Bucket", "Key"]));
    }

    #[test]
    fn a_job_has_all_that_create_job_wants_and_marks_what_only_the_user_knows() {
        let objects = [object("a", None)];
        let job = thaw(&objects).job();
        let operation = json!({
            "S3InitiateRestoreObject": {"ExpirationInDays": 7, "GlacierJobTier": "BULK"},
        });
        assert_eq!(job["Operation"], operation);
        let wanted = [
            "AccountId",
            "ClientRequestToken",
            "ConfirmationRequired",
            "Description",
            "Manifest",
            "Operation",
            "Priority",
            "Report",
            "RoleArn",
        ];
        let names: Vec<_> = job.as_object().unwrap().keys().collect();
        assert_eq!(names, wanted);
        let text = job.to_string();
        for word in TO_FILL_IN {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(
            text.contains("\"arn:aws:s3:::MANIFEST_BUCKET/thaw.csv\""),
            "{text}"
        );
    }

    #[test]
    fn a_job_costs_something_and_each_object_a_millionth_of_a_dollar() {
        let objects = [object("a", None), object("b", None)];
        assert_eq!(thaw(&objects).usd(), Usd::from_micros(250_002));
        assert_eq!(BatchTier::of(Tier::Expedited), None);
    }

    #[test]
    fn each_region_has_its_partition() {
        for (region, expected) in [
            (None, "aws"),
            (Some("eu-central-1"), "aws"),
            (Some("cn-north-1"), "aws-cn"),
            (Some("us-gov-west-1"), "aws-us-gov"),
        ] {
            assert_eq!(partition(region), expected);
        }
    }
}
