//! An object in a bucket, as S3 names it.

/// An object in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketObject {
    /// Its bucket.
    pub bucket: String,
    /// Its whole key.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
}
