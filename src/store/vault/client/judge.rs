//! Judges a failed request: which kind of error it is, and whether a retry may help.
//!
//! The codes are those of <https://docs.aws.amazon.com/amazonglacier/latest/dev/api-error-responses.html>. Some services
//! that imitate Glacier use other codes; the status then decides.

use std::error::Error;
use std::time::Duration;

use aws_sdk_glacier::config::http::HttpResponse;
use aws_sdk_glacier::error::{ProvideErrorMetadata, SdkError};
use chrono::{DateTime, TimeDelta, Utc};

use crate::store::aws::{Answer, Judged, TooLong, chain, find, shortened, unanswered};
use crate::store::error::ErrorKind;
use crate::store::retry::Again;

/// The code of a retrieval that the account's data retrieval policy forbids.
pub(super) const POLICY_ENFORCED: &str = "PolicyEnforcedException";

/// How far two clocks may be apart for Glacier.
const CLOCKS_AGREE: TimeDelta = TimeDelta::minutes(5);

/// What to do about a request that reaches the service when its signature has expired.
const SLOW: &str = "the request took longer than its signature is valid: set a smaller `segment_size`, or fewer \
                    `uploads`, for a line this slow";

/// Judges a request that the SDK reports as failed.
pub(super) fn judge<E>(error: &SdkError<E, HttpResponse>) -> Judged
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(too_long) = find::<TooLong>(error) {
        let answer = Answer {
            status: error.raw_response().map(|raw| raw.status().as_u16()),
            ..Answer::said(too_long.to_string())
        };
        return Judged::new(ErrorKind::Endless, Again::No, answer);
    }
    match error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            let response = service.raw();
            let answer = Answer {
                status: Some(response.status().as_u16()),
                code: metadata.code().map(shortened),
                message: metadata.message().map(shortened),
                request: header(response, "x-amzn-requestid"),
                ..Answer::default()
            };
            if answer.code.is_none() && !is_of_glacier(response) {
                return of_stranger(answer, response.status().as_u16());
            }
            let (kind, again) = match of_answer(&answer, after(response)) {
                // The clocks agree, so it was the request that took so long. The next one is signed anew.
                (ErrorKind::ClockSkew, _) if is_of_now(response) => {
                    (ErrorKind::Unavailable, Again::FewTimes)
                }
                judged => judged,
            };
            let advice = match kind {
                ErrorKind::Unavailable if is_about_time(words(&answer)) => Some(SLOW.to_owned()),
                _ => advice(&answer),
            };
            Judged::new(kind, again, answer.advising(advice))
        }
        SdkError::ResponseError(broken) => {
            let response = broken.raw();
            let status = response.status().as_u16();
            let answer = Answer {
                status: Some(status),
                message: Some(shortened(&format!(
                    "not an answer of Glacier: {}",
                    chain(error)
                ))),
                ..Answer::default()
            };
            if !is_of_glacier(response) {
                return of_stranger(answer, status);
            }
            match of_status(status, after(response)) {
                // The answer was cut off, or is damaged.
                _ if (200..300).contains(&status) => {
                    Judged::new(ErrorKind::Unavailable, Again::FewTimes, answer)
                }
                (kind, again) => Judged::new(kind, again, answer),
            }
        }
        _ => unanswered(error),
    }
}

/// Judges an answer that does not come from Glacier. If Glacier has answered before, the status decides.
fn of_stranger(answer: Answer, status: u16) -> Judged {
    let otherwise = match of_status(status, None) {
        _ if status < 400 => (ErrorKind::Unavailable, Again::Wait(None)),
        // A page of somebody else's says nothing about what is in the vault.
        (ErrorKind::NotFound, _) => (ErrorKind::Unavailable, Again::Wait(None)),
        told => told,
    };
    if otherwise.0 == ErrorKind::Unavailable && status >= 408 {
        return Judged::new(otherwise.0, otherwise.1, answer);
    }
    Judged {
        otherwise: Some(otherwise),
        ..Judged::new(ErrorKind::NoService, Again::No, answer)
    }
}

fn is_of_glacier(response: &HttpResponse) -> bool {
    let names = ["x-amzn-requestid", "x-amzn-request-id", "x-amzn-errortype"];
    names
        .iter()
        .any(|name| response.headers().get(*name).is_some())
}

fn header(response: &HttpResponse, name: &str) -> Option<String> {
    response.headers().get(name).map(shortened)
}

/// Returns whether the service's clock, by its answer, is this machine's.
fn is_of_now(response: &HttpResponse) -> bool {
    let date = header(response, "date").and_then(|date| DateTime::parse_from_rfc2822(&date).ok());
    date.is_some_and(|date| (date.to_utc() - Utc::now()).abs() < CLOCKS_AGREE)
}

/// Returns what the service said.
fn words(answer: &Answer) -> &str {
    answer.message.as_deref().unwrap_or_default()
}

/// Returns how long the service asks to wait.
fn after(response: &HttpResponse) -> Option<Duration> {
    let seconds = header(response, "retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Returns the kind of an answer that is an error.
fn of_answer(answer: &Answer, after: Option<Duration>) -> (ErrorKind, Again) {
    use ErrorKind as Kind;
    let status = answer.status.unwrap_or_default();
    let code = answer.code.as_deref().unwrap_or_default();
    let message = words(answer);
    if code == "InsufficientCapacityException" {
        return (Kind::NoCapacity, Again::No);
    }
    // A failing service says nothing about the archive, whatever its words.
    if status >= 500 {
        return of_status(status, after);
    }
    match code {
        "ResourceNotFoundException" => (Kind::NotFound, Again::No),
        "VaultNotFound" => (Kind::NoBucket, Again::No),
        "InvalidSignatureException" | "SignatureDoesNotMatch" if is_about_time(message) => {
            (Kind::ClockSkew, Again::No)
        }
        "RequestExpired" | "RequestTimeTooSkewed" => (Kind::ClockSkew, Again::No),
        "InvalidSignatureException" if message.contains("valid region") => {
            (Kind::WrongRegion, Again::No)
        }
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationTokenException" => (Kind::NoCredentials, Again::No),
        "ExpiredToken" | "ExpiredTokenException" => (Kind::Expired, Again::Wait(None)),
        "AccessDeniedException" | "AccessDenied" | POLICY_ENFORCED => (Kind::Denied, Again::No),
        "InvalidParameterValueException"
            if ["hash", "hecksum"]
                .iter()
                .any(|word| message.contains(word)) =>
        {
            (Kind::Corrupted, Again::FewTimes)
        }
        "ThrottlingException"
        | "Throttling"
        | "RequestTimeoutException"
        | "TooManyRequestsException" => (Kind::Unavailable, Again::Wait(after)),
        "NoLongerSupportedException" | "NotImplemented" => (Kind::Unsupported, Again::No),
        _ => of_status(status, after),
    }
}

fn is_about_time(message: &str) -> bool {
    ["Signature expired", "Signature not yet current"]
        .iter()
        .any(|words| message.contains(words))
}

/// Returns the kind of an answer that has only a status.
fn of_status(status: u16, after: Option<Duration>) -> (ErrorKind, Again) {
    use ErrorKind as Kind;
    match status {
        401 | 403 => (Kind::Denied, Again::No),
        404 => (Kind::NotFound, Again::No),
        416 => (Kind::TooShort, Again::No),
        405 | 501 | 505 => (Kind::Unsupported, Again::No),
        307 | 408 | 409 | 425 | 429 | 499 | 500.. => (Kind::Unavailable, Again::Wait(after)),
        _ => (Kind::Failed, Again::No),
    }
}

/// Returns what to do about an answer, if this is more than its kind says.
fn advice(answer: &Answer) -> Option<String> {
    let advice = if answer.is(POLICY_ENFORCED) {
        "use the tier `bulk` or `expedited`, which the policy does not limit, or raise the limit: \
         `aws glacier set-data-retrieval-policy`"
    } else if answer.is("InvalidSignatureException")
        && answer
            .message
            .as_deref()
            .is_some_and(|message| message.contains("valid region"))
    {
        "set `region` of this store to the vault's; waiting does not help"
    } else {
        return None;
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_its_code_and_else_by_its_status() {
        use ErrorKind as Kind;
        let wait = Again::Wait(None);
        let expired = "Signature expired: 20261130T000000Z is now earlier than 20261130T010000Z";
        let scope = "Credential should be scoped to a valid region, not 'us-east-1'. ";
        let invalid = "InvalidParameterValueException";
        for (status, code, message, kind, again) in [
            (
                404,
                "ResourceNotFoundException",
                "",
                Kind::NotFound,
                Again::No,
            ),
            (400, "VaultNotFound", "", Kind::NoBucket, Again::No),
            (
                403,
                "InvalidSignatureException",
                expired,
                Kind::ClockSkew,
                Again::No,
            ),
            (
                403,
                "InvalidSignatureException",
                scope,
                Kind::WrongRegion,
                Again::No,
            ),
            (
                403,
                "InvalidSignatureException",
                "",
                Kind::NoCredentials,
                Again::No,
            ),
            (
                403,
                "UnrecognizedClientException",
                "",
                Kind::NoCredentials,
                Again::No,
            ),
            (403, "ExpiredTokenException", "", Kind::Expired, wait),
            (403, "AccessDeniedException", "", Kind::Denied, Again::No),
            (400, POLICY_ENFORCED, "", Kind::Denied, Again::No),
            (
                400,
                invalid,
                "Checksum mismatch",
                Kind::Corrupted,
                Again::FewTimes,
            ),
            (400, invalid, "", Kind::Failed, Again::No),
            (400, "ThrottlingException", "", Kind::Unavailable, wait),
            (408, "RequestTimeoutException", "", Kind::Unavailable, wait),
            (
                503,
                "InsufficientCapacityException",
                "",
                Kind::NoCapacity,
                Again::No,
            ),
            (
                500,
                "ServiceUnavailableException",
                "",
                Kind::Unavailable,
                wait,
            ),
            (
                500,
                "ResourceNotFoundException",
                "",
                Kind::Unavailable,
                wait,
            ),
            (503, "", "", Kind::Unavailable, wait),
            (501, "NotImplemented", "", Kind::Unsupported, Again::No),
        ] {
            let answer = Answer {
                status: Some(status),
                code: (!code.is_empty()).then(|| code.to_owned()),
                message: (!message.is_empty()).then(|| message.to_owned()),
                ..Answer::default()
            };
            assert_eq!(of_answer(&answer, None), (kind, again), "{status} {code}");
        }
    }
}
