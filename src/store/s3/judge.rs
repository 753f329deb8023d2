//! Judges a failed request: which kind of error it is, and whether a retry may help.

use std::error::Error;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::stranger::stranger;
use crate::store::aws::CutShort;
use crate::store::aws::TooLong;
use crate::store::aws::unanswered;
use crate::store::aws::{Answer, Judged, chain, find, shortened};
use crate::store::error::ErrorKind;
use crate::store::retry::Again;

/// The codes with a status of 5xx that say more than that the service fails.
const SAID_WITH_5XX: [&str; 5] = [
    "GlacierExpeditedRetrievalNotAvailable",
    "InsufficientStorage",
    "NotImplemented",
    "QuotaExceeded",
    "XMinioStorageFull",
];

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
    if let Some(cut) = find::<CutShort>(error) {
        return Judged::damaged(cut.to_string());
    }
    let code = match error {
        SdkError::ServiceError(service) => service.err().meta().code(),
        _ => None,
    };
    if let Some(response) = error.raw_response()
        && code.is_none_or(|code| code == "NotFound")
        && let Some(answer) = stranger(response)
    {
        return of_stranger(answer, response.status().as_u16());
    }
    match error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            let response = service.raw();
            let answer = Answer {
                status: Some(response.status().as_u16()),
                // A HEAD has no body and so no code, except for the SDK's own word for 404.
                code: metadata
                    .code()
                    .filter(|code| *code != "NotFound")
                    .map(shortened),
                message: metadata.message().map(shortened),
                request: header(response, "x-amz-request-id"),
                region: header(response, "x-amz-bucket-region"),
                ..Answer::default()
            };
            let (kind, again) = of_answer(&answer, after(response));
            Judged::new(kind, again, answer)
        }
        SdkError::ResponseError(broken) => {
            let response = broken.raw();
            let status = response.status().as_u16();
            let answer = Answer {
                status: Some(status),
                message: Some(shortened(&format!(
                    "not an answer of an S3 service: {}",
                    chain(error)
                ))),
                ..Answer::default()
            };
            let (kind, again) = match of_status(status, after(response)) {
                // The answer was cut off.
                _ if (200..300).contains(&status) => (ErrorKind::Unavailable, Again::Wait(None)),
                // A gateway sent a page about itself.
                told @ (ErrorKind::Unavailable | ErrorKind::Unsupported | ErrorKind::Full, _) => {
                    told
                }
                _ => (ErrorKind::Failed, Again::No),
            };
            Judged::new(kind, again, answer)
        }
        _ => unanswered(error),
    }
}

/// Judges an answer that does not come from an S3 service. If an S3 service has answered before, the status
/// decides.
fn of_stranger(answer: Answer, status: u16) -> Judged {
    let otherwise = match of_status(status, None) {
        _ if (300..400).contains(&status) => (ErrorKind::Unavailable, Again::Wait(None)),
        told => told,
    };
    Judged {
        otherwise: Some(otherwise),
        ..Judged::new(ErrorKind::NoService, Again::No, answer)
    }
}

fn header(response: &HttpResponse, name: &str) -> Option<String> {
    response.headers().get(name).map(shortened)
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
    let wait = Again::Wait(after);
    let code = answer.code.as_deref().unwrap_or_default();
    // A failing service says nothing about the object, whatever its words.
    if status >= 500 && !SAID_WITH_5XX.contains(&code) {
        return of_status(status, after);
    }
    match code {
        "NoSuchKey" | "NoSuchVersion" => (Kind::NotFound, Again::No),
        "NoSuchBucket" => (Kind::NoBucket, Again::No),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "UnrecognizedClientException" => (Kind::NoCredentials, Again::No),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (Kind::Expired, Again::Wait(None))
        }
        "RequestTimeTooSkewed" | "RequestInTheFuture" => (Kind::ClockSkew, Again::No),
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => (Kind::WrongRegion, Again::No),
        "InvalidObjectState" => (Kind::Cold, Again::No),
        "GlacierExpeditedRetrievalNotAvailable" => (Kind::NoCapacity, Again::No),
        "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "IncompleteBody"
        | "XAmzContentChecksumMismatch" => (Kind::Corrupted, Again::FewTimes),
        "ConditionalRequestConflict"
        | "OperationAborted"
        | "RequestTimeout"
        | "SlowDown"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "InternalError"
        | "Busy"
        | "TemporaryRedirect" => (Kind::Unavailable, wait),
        "InvalidRange" => (Kind::TooShort, Again::No),
        "EntityTooLarge" => (Kind::TooLarge, Again::No),
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" => (Kind::Full, Again::No),
        "NotImplemented" | "InvalidStorageClass" | "MethodNotAllowed" => {
            (Kind::Unsupported, Again::No)
        }
        _ if refuses_checksum(answer) => (Kind::Unsupported, Again::No),
        // A HEAD has no body and so no code.
        _ if status == 301 && answer.region.is_some() => (Kind::WrongRegion, Again::No),
        _ => of_status(status, after),
    }
}

/// Returns the kind of an answer that has only a status. 425 and 499 come from proxies, and so do most of the
/// statuses above 504, such as Cloudflare's 520 to 530. They are about the way to the service, and never
/// about the object.
fn of_status(status: u16, after: Option<Duration>) -> (ErrorKind, Again) {
    use ErrorKind as Kind;
    match status {
        401 | 403 => (Kind::Denied, Again::No),
        404 => (Kind::NotFound, Again::No),
        416 => (Kind::TooShort, Again::No),
        405 | 501 | 505 => (Kind::Unsupported, Again::No),
        507 => (Kind::Full, Again::No),
        307 | 408 | 409 | 425 | 429 | 499 | 500.. => (Kind::Unavailable, Again::Wait(after)),
        _ => (Kind::Failed, Again::No),
    }
}

/// Returns whether the service refused the header with the object's checksum, as Backblaze B2 does.
pub(super) fn refuses_checksum(answer: &Answer) -> bool {
    answer.status == Some(400)
        && answer.message.as_deref().is_some_and(|message| {
            message.contains("x-amz-checksum") || message.contains("x-amz-sdk-checksum")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::{Operation, StoreError};

    fn answer(status: u16, code: &str, message: &str) -> Answer {
        Answer {
            status: Some(status),
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
            ..Answer::default()
        }
    }

    #[test]
    fn an_answer_is_judged_by_its_code_and_else_by_its_status() {
        use ErrorKind as Kind;
        let wait = Again::Wait(None);
        for (status, code, kind, again) in [
            (404, "NoSuchKey", Kind::NotFound, Again::No),
            (404, "NoSuchBucket", Kind::NoBucket, Again::No),
            (404, "", Kind::NotFound, Again::No),
            (403, "AccessDenied", Kind::Denied, Again::No),
            (403, "", Kind::Denied, Again::No),
            (403, "InvalidAccessKeyId", Kind::NoCredentials, Again::No),
            (403, "SignatureDoesNotMatch", Kind::NoCredentials, Again::No),
            (403, "RequestTimeTooSkewed", Kind::ClockSkew, Again::No),
            (403, "InvalidObjectState", Kind::Cold, Again::No),
            (400, "ExpiredToken", Kind::Expired, wait),
            (
                400,
                "AuthorizationHeaderMalformed",
                Kind::WrongRegion,
                Again::No,
            ),
            (400, "BadDigest", Kind::Corrupted, Again::FewTimes),
            (409, "ConditionalRequestConflict", Kind::Unavailable, wait),
            (503, "SlowDown", Kind::Unavailable, wait),
            (503, "", Kind::Unavailable, wait),
            (500, "Whatever", Kind::Unavailable, wait),
            (500, "NoSuchKey", Kind::Unavailable, wait),
            (405, "", Kind::Unsupported, Again::No),
            (501, "NotImplemented", Kind::Unsupported, Again::No),
            (503, "QuotaExceeded", Kind::Full, Again::No),
            (
                503,
                "GlacierExpeditedRetrievalNotAvailable",
                Kind::NoCapacity,
                Again::No,
            ),
            (507, "", Kind::Full, Again::No),
            (400, "InvalidArgument", Kind::Failed, Again::No),
            (418, "", Kind::Failed, Again::No),
        ] {
            let judged = of_answer(&answer(status, code, ""), None);
            assert_eq!(judged, (kind, again), "{status} {code}");
        }
    }

    #[test]
    fn another_region_is_what_the_service_says_and_no_mere_redirect() {
        let mut redirect = answer(301, "", "");
        assert_eq!(of_answer(&redirect, None).0, ErrorKind::Failed);
        redirect.region = Some("eu-west-1".to_owned());
        let judged = of_answer(&redirect, None);
        assert_eq!(judged, (ErrorKind::WrongRegion, Again::No));
    }

    #[test]
    fn no_status_of_a_gateway_is_final_or_of_one_object() {
        use ErrorKind as Kind;
        for status in [408, 425, 429, 499].into_iter().chain(500..=599) {
            let expected = match status {
                501 | 505 => (Kind::Unsupported, Again::No),
                507 => (Kind::Full, Again::No),
                _ => (Kind::Unavailable, Again::Wait(None)),
            };
            let codes = ["", "InternalError", "AccessDenied", "InvalidRange"];
            let said = if status < 500 { 1 } else { codes.len() };
            for code in &codes[..said] {
                let judged = of_answer(&answer(status, code, ""), None);
                assert_eq!(judged, expected, "{status} {code}");
                let url = "s3://archive";
                let error = StoreError::new(judged.0, Operation::Get, "key", url);
                assert!(!error.is_of_one_object(), "{status} {code}");
            }
        }
    }

    #[test]
    fn a_refused_checksum_header_is_told_from_other_bad_requests() {
        let refused = answer(
            400,
            "InvalidArgument",
            "Unsupported header 'x-amz-checksum-sha256' received for this API call.",
        );
        assert!(refuses_checksum(&refused));
        assert_eq!(of_answer(&refused, None).0, ErrorKind::Unsupported);
        assert!(!refuses_checksum(&answer(400, "InvalidArgument", "no")));
    }

    #[test]
    fn an_answer_reads_as_a_sentence() {
        let text = answer(403, "AccessDenied", "Access Denied").to_string();
        assert_eq!(text, "it answered 403 AccessDenied: Access Denied");
        assert_eq!(answer(404, "", "").to_string(), "it answered 404");
        assert_eq!(
            Answer::said("connection refused").to_string(),
            "connection refused"
        );
    }
}
