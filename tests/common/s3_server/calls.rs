//! What a request asks for.

use super::Shared;
use super::config::{Bucket, Config, Locking};
use super::faults::FaultKind;
use super::http::{Answer, Request};
use super::xml::{Failure, document, element, parent, root};
use super::{copying, listing, lock, objects, reading, thaw, upload};

/// What faults and tests tell requests apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Put,
    Copy,
    Get,
    Head,
    /// A page of objects, or of versions.
    List,
    Delete,
    Restore,
    /// Everything else: about the bucket, retention.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    PutObject,
    CopyObject,
    GetObject,
    HeadObject,
    DeleteObject,
    RestoreObject,
    GetRetention,
    ListObjects,
    ListVersions,
    HeadBucket,
    GetVersioning,
    GetObjectLock,
    GetLifecycle,
    GetLocation,
    Unknown,
}

impl Call {
    pub fn of(request: &Request) -> Self {
        let has = |name| request.query.contains_key(name);
        // An unknown word, such as `acl` or `uploads`, makes it another call.
        let only = |known: &[&str]| {
            let mut names = request.query.keys().map(String::as_str);
            names.all(|name| name == "x-id" || known.contains(&name))
        };
        if request.key.is_empty() {
            return match request.method.as_str() {
                _ if request.bucket.is_empty() => Self::Unknown,
                "HEAD" => Self::HeadBucket,
                "GET" if has("versions") && only(listing::VERSIONS) => Self::ListVersions,
                "GET" if request.parameter("list-type") == Some("2") && only(listing::OBJECTS) => {
                    Self::ListObjects
                }
                "GET" if has("versioning") => Self::GetVersioning,
                "GET" if has("object-lock") => Self::GetObjectLock,
                "GET" if has("lifecycle") => Self::GetLifecycle,
                "GET" if has("location") => Self::GetLocation,
                _ => Self::Unknown,
            };
        }
        match request.method.as_str() {
            "PUT" if only(&[]) && request.header("x-amz-copy-source").is_some() => Self::CopyObject,
            "PUT" if only(&[]) => Self::PutObject,
            "GET" if only(&["versionId"]) => Self::GetObject,
            "HEAD" if only(&["versionId"]) => Self::HeadObject,
            "DELETE" if only(&["versionId"]) => Self::DeleteObject,
            "POST" if has("restore") => Self::RestoreObject,
            "GET" if has("retention") => Self::GetRetention,
            _ => Self::Unknown,
        }
    }

    pub fn operation(self) -> Operation {
        match self {
            Self::PutObject => Operation::Put,
            Self::CopyObject => Operation::Copy,
            Self::GetObject => Operation::Get,
            Self::HeadObject => Operation::Head,
            Self::DeleteObject => Operation::Delete,
            Self::RestoreObject => Operation::Restore,
            Self::ListObjects | Self::ListVersions => Operation::List,
            _ => Operation::Other,
        }
    }

    /// Does what is asked.
    pub fn carry_out(
        self,
        shared: &Shared,
        config: &Config,
        request: &Request,
        body: Vec<u8>,
        fault: Option<&FaultKind>,
    ) -> Result<Answer, Failure> {
        if self == Self::Unknown {
            return Err(Failure::not_implemented(None));
        }
        let bucket = config
            .buckets
            .iter()
            .find(|bucket| bucket.name == request.bucket)
            .ok_or_else(|| {
                let message = "The specified bucket does not exist";
                Failure::new(404, "NoSuchBucket", message).field("BucketName", &request.bucket)
            })?;
        let now = shared.clock.now();
        if self == Self::PutObject {
            // Digests take their time, and several clients may want them at once.
            let version = upload::verified(config, bucket, request, body, now)?;
            let answer =
                upload::keep(&mut lock(&shared.objects), config, bucket, request, version)?;
            lock(&shared.log).kept(request);
            return Ok(answer);
        }
        let stored = &mut *lock(&shared.objects);
        match self {
            Self::CopyObject => {
                let answer = copying::copy(stored, config, bucket, request, now, fault)?;
                lock(&shared.log).kept(request);
                Ok(answer)
            }
            Self::GetObject => reading::get(stored, config, request, now),
            Self::HeadObject => reading::head(stored, config, request, now),
            Self::DeleteObject => objects::delete(stored, bucket, request, now),
            Self::RestoreObject => thaw::restore(stored, config, request, &body, now),
            Self::GetRetention => reading::retention(stored, bucket, request),
            Self::ListObjects => listing::objects(stored, config, request),
            Self::ListVersions => listing::versions(stored, config, request),
            _ => about_bucket(self, config, bucket),
        }
    }
}

fn about_bucket(call: Call, config: &Config, bucket: &Bucket) -> Result<Answer, Failure> {
    let ok = Answer::new(200);
    Ok(match call {
        Call::GetVersioning if bucket.versioned => document(
            ok,
            &root("VersioningConfiguration", &element("Status", "Enabled")),
        ),
        Call::GetVersioning => document(ok, &root("VersioningConfiguration", "")),
        Call::GetObjectLock => {
            let rule = match &bucket.locking {
                Locking::Off => {
                    let message = "Object Lock configuration does not exist for this bucket";
                    return Err(Failure::new(
                        404,
                        "ObjectLockConfigurationNotFoundError",
                        message,
                    ));
                }
                Locking::On => String::new(),
                Locking::ByDefault { mode, days } => {
                    let retention = element("Mode", mode) + &element("Days", &days.to_string());
                    parent("Rule", &parent("DefaultRetention", &retention))
                }
            };
            let enabled = element("ObjectLockEnabled", "Enabled");
            document(ok, &root("ObjectLockConfiguration", &(enabled + &rule)))
        }
        Call::GetLifecycle => {
            let xml = bucket.lifecycle.as_ref().ok_or_else(|| {
                let message = "The lifecycle configuration does not exist";
                Failure::new(404, "NoSuchLifecycleConfiguration", message)
            })?;
            ok.header("Content-Type", "application/xml")
                .body(xml.clone().into_bytes())
        }
        // The oldest region has no name here.
        Call::GetLocation if config.region == "us-east-1" => {
            document(ok, &root("LocationConstraint", ""))
        }
        Call::GetLocation => document(ok, &root("LocationConstraint", &config.region)),
        _ => ok.header("x-amz-bucket-region", &config.region),
    })
}
