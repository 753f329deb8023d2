//! Who may come in: access key, region and date of a request, but not its signature.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::clock::iso_date;
use super::config::{Config, Mode};
use super::http::Request;
use super::xml::Failure;

const MAX_SKEW: TimeDelta = TimeDelta::minutes(15);

pub fn check(config: &Config, request: &Request, now: DateTime<Utc>) -> Result<(), Failure> {
    if let Some(region) = &config.moved_to {
        let message = "The bucket you are attempting to access must be addressed using the \
                       specified endpoint. Please send all future requests to this endpoint.";
        return Err(Failure::new(301, "PermanentRedirect", message)
            .field("Endpoint", format!("s3.{region}.amazonaws.com"))
            .field("Bucket", &request.bucket)
            .header("x-amz-bucket-region", region));
    }
    let Some(authorization) = request.header("authorization") else {
        return Err(Failure::access_denied("Access Denied"));
    };
    let Some((key, region)) = credential(authorization) else {
        let message = "The authorization header that you provided is not valid.";
        return Err(Failure::new(400, "AuthorizationHeaderMalformed", message));
    };
    if config.expired_keys.contains(key) {
        let message = "The provided token has expired.";
        return Err(Failure::new(400, "ExpiredToken", message));
    }
    if !config.access_keys.contains(key) {
        let message = "The AWS Access Key Id you provided does not exist in our records.";
        return Err(Failure::new(403, "InvalidAccessKeyId", message).field("AWSAccessKeyId", key));
    }
    let right = &config.region;
    if region != right {
        let message = format!(
            "The authorization header is malformed; the region '{region}' is wrong; expecting \
             '{right}'"
        );
        return Err(Failure::new(400, "AuthorizationHeaderMalformed", message)
            .field("Region", right)
            // A HEAD has nowhere else to say it.
            .header("x-amz-bucket-region", right));
    }
    if config.is(Mode::CheckSkew) {
        check_skew(request, now)?;
    }
    Ok(())
}

/// Key and region in `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/s3/aws4_request, …`.
fn credential(authorization: &str) -> Option<(&str, &str)> {
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let mut parts = rest.split(',').map(str::trim);
    let scope = parts.find_map(|part| part.strip_prefix("Credential="))?;
    match *scope.split('/').collect::<Vec<_>>().as_slice() {
        [key, _, region, "s3", "aws4_request"] => Some((key, region)),
        _ => None,
    }
}

fn check_skew(request: &Request, now: DateTime<Utc>) -> Result<(), Failure> {
    let sent = request.header("x-amz-date").unwrap_or_default();
    let date = NaiveDateTime::parse_from_str(sent, "%Y%m%dT%H%M%SZ")
        .map_err(|_| {
            Failure::access_denied("AWS authentication requires a valid Date or x-amz-date header")
        })?
        .and_utc();
    if (now - date).abs() <= MAX_SKEW {
        return Ok(());
    }
    let message = "The difference between the request time and the current time is too large.";
    Err(Failure::new(403, "RequestTimeTooSkewed", message)
        .field("RequestTime", sent)
        .field("ServerTime", iso_date(now))
        .field(
            "MaxAllowedSkewMilliseconds",
            MAX_SKEW.num_milliseconds().to_string(),
        ))
}
