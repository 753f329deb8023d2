//! Errors of store operations: which operation failed, on which key, and why.

use std::error::Error;
use std::fmt;
use std::io;

use super::dir::LinkInTheWay;
use super::listing::TooMany;
use crate::model::keys::{ArchivePart, archive_part};

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opening the store.
    Open,
    /// `put_if_absent`
    Put,
    /// `get` and `get_range`
    Get,
    /// `stat`
    Stat,
    /// `list`
    List,
    /// `delete`
    Delete,
    /// `thaw`
    Thaw,
    /// `now`
    Clock,
    /// Reading the store's own settings.
    Examine,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Put => "store",
            Self::Get => "read",
            Self::Stat => "look up",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Thaw => "thaw",
            Self::Clock => "ask the time of",
            Self::Examine => "ask for the settings of",
        })
    }
}

/// Why it failed, as far as a caller can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// The store knows its objects by ids, and nothing tells that of this one. It may be there.
    NoId,
    /// The store's directory does not exist.
    MissingRoot,
    /// The bucket does not exist.
    NoBucket,
    /// There are no credentials, or the store does not know them.
    NoCredentials,
    /// The credentials have expired, and there are no newer ones.
    Expired,
    /// This machine's clock differs too much from the store's, so the store rejects signatures.
    ClockSkew,
    /// The bucket is in another region.
    WrongRegion,
    /// The region from the environment or a profile has no valid name.
    NoRegion,
    /// The server at this address is no S3 service.
    NoService,
    /// The environment or a profile names another service than the config.
    OtherEndpoint,
    /// The object is in a cold class and not thawed.
    Cold,
    /// The thaw tier has no capacity at present.
    NoCapacity,
    /// The stored or received bytes differ from those that were sent.
    Corrupted,
    /// The store did not answer, or answered that it can't at present, until the retries ended.
    Unavailable,
    /// The credentials or the file's mode forbid it.
    Denied,
    /// The store's answer has no end. No honest store answers so.
    Endless,
    /// The store has more objects than can be listed within `memory_limit`.
    TooMany,
    /// The object is longer than the caller's limit.
    TooLarge,
    /// The object ends before the requested range does.
    TooShort,
    /// No space is left.
    Full,
    /// There is something at the key that is no object.
    NotAnObject,
    /// The object's path contains a symbolic link, which is not followed below a store's root.
    Link,
    /// The key is not valid.
    BadKey,
    /// The store does not support this operation.
    Unsupported,
    /// Another reason, which the cause explains.
    Failed,
}

impl ErrorKind {
    /// Returns whether the store could not be asked, so that nothing is known of its objects.
    pub fn is_out_of_reach(self) -> bool {
        matches!(
            self,
            Self::MissingRoot
                | Self::NoBucket
                | Self::NoCredentials
                | Self::Expired
                | Self::ClockSkew
                | Self::WrongRegion
                | Self::NoRegion
                | Self::NoService
                | Self::OtherEndpoint
                | Self::Unavailable
                | Self::Denied
                | Self::Failed
        )
    }

    /// Returns whether the store's answer is endless or too large for an honest store.
    pub fn is_without_end(self) -> bool {
        matches!(self, Self::Endless | Self::TooMany)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such object",
            Self::NoId => "nothing tells the id that the store has given it, so it may be there",
            Self::MissingRoot => "the store's directory does not exist",
            Self::NoBucket => "the bucket does not exist",
            Self::NoCredentials => "there are no credentials, or the store does not know them",
            Self::Expired => "the credentials have expired",
            Self::ClockSkew => "this machine's clock and the store's are too far apart",
            Self::WrongRegion => "the bucket is in another region",
            Self::NoRegion => {
                "the AWS settings of this machine name something that is not a region"
            }
            Self::NoService => "the service that answers there is not S3",
            Self::OtherEndpoint => {
                "the store has no `endpoint`, and the AWS settings of this machine name one"
            }
            Self::Cold => "it lies in a cold storage class and is not thawed",
            Self::NoCapacity => "this tier has no capacity now",
            Self::Corrupted => "what the store has is not what was sent",
            Self::Unavailable => "the store is not available",
            Self::Denied => "access is denied",
            Self::Endless => "its answer goes on without end",
            Self::TooMany => "it has more objects than there is memory for",
            Self::TooLarge => "it is larger than expected",
            Self::TooShort => "it is shorter than expected",
            Self::Full => "no space is left",
            Self::NotAnObject => "what is there is not a regular file",
            Self::Link => "a symbolic link is in the way",
            Self::BadKey => "it is not a key",
            Self::Unsupported => "the store can't do this",
            Self::Failed => "the store failed",
        })
    }
}

/// A store operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation} {}: {}", subject(key, url), reason(*kind, url))]
pub struct StoreError {
    /// The reason.
    pub kind: ErrorKind,
    /// The operation that failed.
    pub operation: Operation,
    /// The key or prefix of the operation; empty for the whole store.
    pub key: String,
    /// The store's URL.
    pub url: String,
    /// The underlying error.
    #[source]
    pub source: Option<Cause>,
    /// What to do about it, if this is more than the kind says.
    pub advice: Option<Box<str>>,
}

/// The underlying error of a filesystem or a service.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Says why an operation on the store with this URL failed. What a bucket is in S3, a vault is in Glacier.
fn reason(kind: ErrorKind, url: &str) -> String {
    let of_vault = match kind {
        _ if !is_vault(url) => None,
        ErrorKind::NoBucket => Some("the vault does not exist in this region and account"),
        ErrorKind::WrongRegion => Some("the vault is in another region"),
        ErrorKind::NoService => Some("the service that answers there is not Glacier"),
        ErrorKind::Cold => Some("no retrieval job has made it readable"),
        _ => None,
    };
    of_vault.map_or_else(|| kind.to_string(), str::to_owned)
}

fn is_vault(url: &str) -> bool {
    url.starts_with("glacier-vault:")
}

fn subject(key: &str, url: &str) -> String {
    if key.is_empty() {
        url.to_owned()
    } else {
        format!("{key} in {url}")
    }
}

impl StoreError {
    pub(super) fn new(kind: ErrorKind, operation: Operation, key: &str, url: &str) -> Self {
        Self {
            kind,
            operation,
            key: key.to_owned(),
            url: url.to_owned(),
            source: None,
            advice: None,
        }
    }

    /// Returns the error of a file operation. Its kind follows from its cause.
    pub(super) fn from_io(operation: Operation, key: &str, url: &str, source: io::Error) -> Self {
        let cause = source.get_ref();
        let kind = match source.kind() {
            _ if cause.is_some_and(<dyn Error + Send + Sync>::is::<LinkInTheWay>) => {
                ErrorKind::Link
            }
            _ if cause.is_some_and(<dyn Error + Send + Sync>::is::<TooMany>) => ErrorKind::TooMany,
            // A component of the key is an object, so there can be nothing below it.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Denied
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::UnexpectedEof => ErrorKind::TooShort,
            _ => ErrorKind::Failed,
        };
        Self {
            source: Some(source.into()),
            ..Self::new(kind, operation, key, url)
        }
    }

    /// Returns the same error once more, its cause in words: for something else that failed with it.
    pub(crate) fn again(&self) -> Self {
        let in_words = |cause: &Cause| {
            let mut text = cause.to_string();
            let mut next = cause.source();
            while let Some(cause) = next {
                text = format!("{text}: {cause}");
                next = cause.source();
            }
            text
        };
        Self {
            source: self.source.as_ref().map(|cause| in_words(cause).into()),
            advice: self.advice.clone(),
            ..Self::new(self.kind, self.operation, &self.key, &self.url)
        }
    }

    /// Returns the error with its cause.
    pub(super) fn because(self, cause: impl Into<Cause>) -> Self {
        Self {
            source: Some(cause.into()),
            ..self
        }
    }

    /// Returns whether the store answered that it has no such object.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// Returns whether the fault may concern this object only, so that others may be readable. An answer
    /// about the whole store, or no answer, is not of one object.
    pub fn is_of_one_object(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Corrupted
                | ErrorKind::Denied
                | ErrorKind::Failed
                | ErrorKind::Link
                | ErrorKind::NotAnObject
                | ErrorKind::TooLarge
                | ErrorKind::TooShort
        )
    }

    /// Returns whether it is about a segment. Only segments may be in a cold class.
    pub fn is_of_segment(&self) -> bool {
        let name = self.key.rsplit_once('/').map_or("", |(_, name)| name);
        matches!(archive_part(name), Some(ArchivePart::Segment(_)))
    }

    /// Returns the error with advice, if there is any.
    pub(super) fn advising(self, advice: Option<String>) -> Self {
        Self {
            advice: advice.map(String::into_boxed_str),
            ..self
        }
    }

    /// Returns what the user can do next.
    pub fn hint(&self) -> Option<String> {
        if let Some(advice) = &self.advice {
            return Some(advice.to_string());
        }
        let text = match self.kind {
            ErrorKind::MissingRoot => {
                "mount it; for a new store, run `coldchain init`, which makes it"
            }
            ErrorKind::NoId => {
                "run `coldchain verify` until it has read an inventory of the vault, which takes a day or two, and then run the same command again"
            }
            ErrorKind::Full => "nothing half-written is left; free some space and run again",
            ErrorKind::Denied if self.url.starts_with("file:") => {
                "check the owner and mode, and whether it is mounted read-only"
            }
            ErrorKind::Denied if is_vault(&self.url) => {
                "see docs/vault.md for the permission that each operation needs; waiting does not help"
            }
            ErrorKind::NoBucket if is_vault(&self.url) => {
                "check `vault` and `region` of this store, and whose credentials these are, or make the vault; waiting does not help"
            }
            ErrorKind::Denied => {
                "see docs/aws.md for the permission that each operation needs; waiting does not help"
            }
            ErrorKind::NoBucket => {
                "check bucket, region and endpoint, or make the bucket; waiting does not help"
            }
            ErrorKind::NoCredentials => {
                "set `credentials_file` or `profile` of this store in the config, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment; waiting does not help"
            }
            ErrorKind::Expired => "renew the credentials, and run again",
            ErrorKind::ClockSkew => "set this machine's clock; waiting does not help",
            ErrorKind::WrongRegion => "set `region` of this store; waiting does not help",
            ErrorKind::NoRegion => {
                "set `region` of this store in the config, or AWS_REGION to a name like eu-central-1"
            }
            ErrorKind::NoService => {
                "check `endpoint` of this store: http or https, host, port and path; waiting does not help"
            }
            ErrorKind::Cold if !self.is_of_segment() => {
                "remove the rule of the bucket that moved it into a cold class, and thaw the ledger and the keys: docs/aws.md has the commands"
            }
            ErrorKind::Cold => {
                "run the same command again: it thaws what has become cold meanwhile"
            }
            ErrorKind::NoCapacity => {
                "run the same command again later, or use the tier `standard`, which always has capacity"
            }
            ErrorKind::Unavailable => "run the same command again later; nothing is lost",
            ErrorKind::Link => {
                "put the directory itself in the place of the link, or mount it there (`mount --bind`): links in a store are not followed, because others may write to it"
            }
            ErrorKind::Endless => {
                "find out what answers at that address: the store is broken, or something else has taken its place; waiting does not help"
            }
            ErrorKind::TooMany => {
                "find out what fills the store, and remove what is not coldchain's; if all of it is meant to be there, raise `memory_limit` in the config"
            }
            ErrorKind::Unsupported => "`coldchain doctor` says what this store can do",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
