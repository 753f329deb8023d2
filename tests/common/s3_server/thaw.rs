//! Cold classes: asking for a copy, waiting for it, and losing it again.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};

use super::clock::http_date;
use super::config::{Config, Mode};
use super::http::{Answer, Request};
use super::objects::{Objects, Version};
use super::xml::{Failure, text_of};

/// What became of the last request to restore a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// When the copy is there, or was.
    pub ready: DateTime<Utc>,
    /// When it goes away.
    pub until: DateTime<Utc>,
    days: u64,
}

impl Restored {
    fn new(ready: DateTime<Utc>, days: u64) -> Self {
        Self {
            ready,
            until: expiry(ready, days),
            days,
        }
    }
}

/// Amazon rounds up to the next midnight UTC. One that falls on a midnight stays there: that is
/// the least a client may count on.
fn expiry(ready: DateTime<Utc>, days: u64) -> DateTime<Utc> {
    let end = ready + Days::new(days);
    let midnight = end.with_time(NaiveTime::MIN).unwrap();
    if midnight < end {
        midnight + Days::new(1)
    } else {
        midnight
    }
}

/// The state of an object in a cold class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thaw {
    Cold,
    Running(Restored),
    Readable { until: DateTime<Utc> },
}

impl Thaw {
    /// `None` if its class isn't cold.
    pub fn of(version: &Version, now: DateTime<Utc>) -> Option<Self> {
        if version.archive_status.is_some() {
            // What was restored lies in a warm tier for good.
            return match version.restored {
                Some(restored) if now >= restored.ready => None,
                Some(restored) => Some(Self::Running(restored)),
                None => Some(Self::Cold),
            };
        }
        if !["GLACIER", "DEEP_ARCHIVE"].contains(&version.storage_class.as_str()) {
            return None;
        }
        Some(match version.restored {
            Some(restored) if now < restored.ready => Self::Running(restored),
            Some(Restored { until, .. }) if now < until => Self::Readable { until },
            _ => Self::Cold,
        })
    }

    /// The value of `x-amz-restore`.
    pub fn header(self) -> Option<String> {
        match self {
            Self::Cold => None,
            Self::Running(_) => Some("ongoing-request=\"true\"".to_owned()),
            Self::Readable { until } => Some(format!(
                "ongoing-request=\"false\", expiry-date=\"{}\"",
                http_date(until)
            )),
        }
    }
}

/// POST `?restore`.
pub fn restore(
    stored: &mut Objects,
    config: &Config,
    request: &Request,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Answer, Failure> {
    if config.is(Mode::NoThaws) {
        let message = "The specified method is not allowed against this resource.";
        return Err(Failure::new(405, "MethodNotAllowed", message));
    }
    let (days, tier) = wanted(body)?;
    let version = stored.asked_for(request)?;
    let class = match version.archive_status {
        Some("ARCHIVE_ACCESS") => "GLACIER",
        Some(_) => "DEEP_ARCHIVE",
        None => version.storage_class.as_str(),
    };
    let days = match (days, version.archive_status) {
        (Some(days), None) => days,
        (None, Some(_)) => 36_500,
        _ => return Err(Failure::invalid_argument("Days")),
    };
    let Some(thaw) = Thaw::of(version, now) else {
        let message = "Restore is not allowed for the object's current storage class";
        return Err(Failure::invalid_object_state(message, class));
    };
    let takes = match (class, tier) {
        ("DEEP_ARCHIVE", "Standard") | ("GLACIER", "Bulk") => TimeDelta::hours(12),
        ("DEEP_ARCHIVE", "Bulk") => TimeDelta::hours(48),
        ("GLACIER", "Standard") => TimeDelta::hours(5),
        ("GLACIER", "Expedited") => TimeDelta::minutes(5),
        _ => {
            let message = "Retrieval option is not supported by this storage class";
            return Err(Failure::invalid_argument(message));
        }
    };
    if tier == "Expedited" && config.is(Mode::ExpeditedUnavailable) {
        let message = "Glacier expedited retrievals are currently not available, please try again \
                       later";
        return Err(Failure::new(
            503,
            "GlacierExpeditedRetrievalNotAvailable",
            message,
        ));
    }
    let (status, restored) = match thaw {
        Thaw::Cold => (202, Restored::new(now + takes, days)),
        // A faster tier speeds it up; the days stay those of the first request.
        Thaw::Running(running) if now + takes < running.ready => {
            (202, Restored::new(now + takes, running.days))
        }
        Thaw::Running(_) => {
            let message = "Object restore is already in progress";
            return Err(Failure::new(409, "RestoreAlreadyInProgress", message));
        }
        Thaw::Readable { .. } => (200, Restored::new(now, days)),
    };
    version.restored = Some(restored);
    Ok(Answer::new(status))
}

/// Days and tier in a `RestoreRequest`.
fn wanted(body: &[u8]) -> Result<(Option<u64>, &str), Failure> {
    let malformed = || {
        let message = "The XML you provided was not well-formed or did not validate against our \
                       published schema";
        Failure::new(400, "MalformedXML", message)
    };
    let body = str::from_utf8(body).map_err(|_| malformed())?;
    let days = text_of(body, "Days").map(|days| days.parse::<u64>().map_err(|_| malformed()));
    let days = days.transpose()?;
    if days == Some(0) {
        let message = "restoration days should be at least 1";
        return Err(Failure::invalid_argument(message));
    }
    let tier = text_of(body, "Tier").unwrap_or("Standard");
    if !["Expedited", "Standard", "Bulk"].contains(&tier) {
        return Err(malformed());
    }
    Ok((days, tier))
}
