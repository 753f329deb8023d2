//! A bucket of a server on this machine as a store, with patience that fits a test.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use coldchain::store::{Addressing, RetryPolicy, S3Settings, S3Store};

use super::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

/// Seconds at most, for whatever a test does to the server. A machine under load may take one to
/// answer: what is shorter than that would take it for a stall.
pub fn short_patience() -> RetryPolicy {
    RetryPolicy {
        give_up_after: Duration::from_secs(20),
        first_contact: Duration::from_secs(10),
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(200),
        stall: Duration::from_secs(1),
    }
}

/// For a server that nobody disturbs: nothing there is a stall, however slow.
pub fn patience_without_stalls() -> RetryPolicy {
    RetryPolicy {
        give_up_after: Duration::from_mins(2),
        stall: Duration::from_mins(1),
        ..short_patience()
    }
}

/// Writes a file of credentials as the AWS tools have it.
pub fn write_credentials(path: &Path, access_key: &str, secret_key: &str) {
    use std::io::Write as _;
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    write!(
        file,
        "[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
    )
    .unwrap();
}

/// How to reach a bucket there, with the credentials in that directory.
pub fn settings(endpoint: &str, bucket: &str, credentials: &Path) -> S3Settings {
    S3Settings {
        endpoint: Some(endpoint.to_owned()),
        addressing: Addressing::Path,
        region: Some("us-east-1".to_owned()),
        credentials_file: Some(credentials.to_owned()),
        patience: short_patience(),
        ..S3Settings::new(bucket, "some/prefix")
    }
}

/// An in-process server's plain bucket.
pub struct OwnBucket {
    pub server: S3Server,
    pub directory: tempfile::TempDir,
}

impl OwnBucket {
    pub fn new(server: S3Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_credentials(
            &directory.path().join("credentials"),
            ACCESS_KEY,
            SECRET_KEY,
        );
        Self { server, directory }
    }

    pub fn settings(&self) -> S3Settings {
        let credentials = self.directory.path().join("credentials");
        settings(&self.server.endpoint(), BUCKET, &credentials)
    }

    pub fn store(&self) -> S3Store<'static> {
        open(self.settings())
    }
}

pub fn open(settings: S3Settings) -> S3Store<'static> {
    S3Store::open(settings, Box::new(|_| {})).unwrap()
}
