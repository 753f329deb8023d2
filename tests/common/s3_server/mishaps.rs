//! What faults do to answers.

use super::calls::Operation;
use super::faults::{FaultKind, checksum_header};
use super::http::{Answer, Request};
use super::xml::Failure;

impl FaultKind {
    /// What is answered instead of doing what is asked.
    pub fn instead(&self, request: &Request) -> Option<Answer> {
        let failure = match self {
            Self::Status(status) => of_status(*status),
            Self::LaterPagesFail => Failure::internal(),
            Self::ErrorIn200 => Failure::internal().status(200),
            Self::SlowDown { retry_after } => {
                let slow_down = Failure::new(503, "SlowDown", "Please reduce your request rate.");
                match retry_after {
                    Some(seconds) => slow_down.header("Retry-After", seconds.to_string()),
                    None => slow_down,
                }
            }
            Self::PreconditionFailed => Failure::precondition_failed("If-None-Match"),
            Self::Conflict => {
                let message = "The conditional request cannot succeed due to a conflicting \
                               operation against this resource.";
                Failure::new(409, "ConditionalRequestConflict", message)
            }
            Self::RefusedChecksumHeader => {
                let header = checksum_header(request).unwrap_or_default();
                let message = format!("Unsupported header '{header}' received for this API call.");
                Failure::invalid_argument(message)
            }
            Self::AccessDenied => Failure::access_denied("Access Denied"),
            Self::HtmlAnswer => {
                let page = "<html><head><title>404 Not Found</title></head>\
                            <body>nginx</body></html>\n";
                return Some(
                    Answer::new(404)
                        .header("Content-Type", "text/html")
                        .body(page.into()),
                );
            }
            _ => return None,
        };
        Some(failure.answer())
    }

    /// What becomes of an answer on its way out.
    pub fn spoil(&self, operation: Operation, mut answer: Answer) -> Answer {
        match self {
            Self::StatusAfter(status) => return of_status(*status).answer(),
            Self::ShortBody => answer.body.truncate(answer.body.len() / 2),
            Self::ShortAnswer => {
                answer.body.truncate(answer.body.len() / 2);
                answer.length = answer.body.len();
            }
            Self::FlippedByte if operation == Operation::Get => flip(&mut answer.body),
            Self::TruncatedList => {
                let text = String::from_utf8_lossy(&answer.body);
                let text = without_token(&text);
                return answer.body(text.into_bytes());
            }
            _ => {}
        }
        answer
    }
}

/// A page of a listing that is said not to be the last, and doesn't say where the next one begins.
fn without_token(page: &str) -> String {
    let mut page = page.replace(
        "<IsTruncated>false</IsTruncated>",
        "<IsTruncated>true</IsTruncated>",
    );
    for name in [
        "NextContinuationToken",
        "NextKeyMarker",
        "NextVersionIdMarker",
    ] {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        if let (Some(from), Some(to)) = (page.find(&open), page.find(&close)) {
            page.replace_range(from..to + close.len(), "");
        }
    }
    page
}

/// Flips a bit of the middle byte.
pub fn flip(body: &mut [u8]) {
    let middle = body.len() / 2;
    if let Some(byte) = body.get_mut(middle) {
        *byte ^= 1;
    }
}

fn of_status(status: u16) -> Failure {
    match status {
        503 => Failure::new(503, "ServiceUnavailable", "Reduce your request rate"),
        429 => Failure::new(429, "TooManyRequests", "Reduce your request rate"),
        _ => Failure::internal().status(status),
    }
}
