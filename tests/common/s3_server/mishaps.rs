//! What faults do to answers.

use super::calls::Operation;
use super::faults::{FaultKind, checksum_header};
use super::http::{Answer, Framing, Request};
use super::xml::{Failure, document, element, parent, root};

/// Where even endless pages end, so that a client which reads them all is a failure and no disaster.
const MAX_PAGES: usize = 3000;

impl FaultKind {
    /// What is answered instead of doing what is asked.
    pub fn instead(&self, request: &Request) -> Option<Answer> {
        let failure = match self {
            Self::Status(status) => of_status(*status),
            Self::GatewayPage(status) => {
                let page = "<html><head><title>Bad</title></head><body>gateway</body></html>\r\n\
                            <!-- a padding to disable MSIE -->\r\n";
                return Some(
                    Answer::new(*status)
                        .header("Content-Type", "text/html")
                        .body(page.into()),
                );
            }
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
            Self::Refusal(status, code, message) => Failure::new(*status, code, *message),
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
            Self::EndlessPages | Self::CircleOfPages | Self::EmptyPages => {
                return Some(self.page(request));
            }
            _ => return None,
        };
        Some(failure.answer())
    }

    /// The page of a listing that has no end.
    fn page(&self, request: &Request) -> Answer {
        let token = request.parameter("continuation-token");
        let number: usize = token.map_or(0, |token| token.parse().unwrap());
        let prefix = request.parameter("prefix").unwrap_or_default();
        let (next, objects) = match self {
            Self::CircleOfPages => ((number + 1) % 2, 10),
            Self::EmptyPages => (number + 1, 0),
            _ => (number + 1, 1000),
        };
        let is_cut = number < MAX_PAGES;
        let mut inside = element("IsTruncated", &is_cut.to_string());
        inside += &element("NextContinuationToken", &next.to_string());
        for at in 0..objects {
            // An archive each, wherever archives are listed.
            let archive = format!("2026-11-21-full-{:016x}", number * objects + at);
            let key = match prefix.trim_end_matches('/').rsplit('/').next() {
                Some("ledger" | "archives") => format!("{prefix}{archive}/key.age"),
                Some("home") => format!("{prefix}archives/{archive}/key.age"),
                _ => format!("{prefix}home/archives/{archive}/key.age"),
            };
            let entry = element("Key", &key) + &element("Size", "10");
            inside += &parent("Contents", &entry);
        }
        document(Answer::new(200), &root("ListBucketResult", &inside))
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
            Self::LongAnswer => {
                answer.body.push(0);
                answer.length += 1;
            }
            Self::OtherRange => {
                for (name, value) in &mut answer.headers {
                    let range = value
                        .strip_prefix("bytes ")
                        .and_then(|it| it.split_once('-'));
                    if let (true, Some((from, rest))) = (name == "Content-Range", range) {
                        let from = from.parse::<u64>().unwrap() + 1;
                        *value = format!("bytes {from}-{rest}");
                    }
                }
            }
            Self::NoContentRange => answer.headers.retain(|(name, _)| name != "Content-Range"),
            Self::NoLength => answer.framing = Framing::Chunks,
            Self::NoLengthAndShort => {
                answer.body.truncate(answer.body.len() / 2);
                answer.framing = Framing::Connection;
            }
            Self::CutXml if is_xml(&answer) => {
                let text = String::from_utf8(answer.body).unwrap();
                let end = text.find("</Contents>").map(|at| at + "</Contents>".len());
                let text = &text[..end.unwrap_or(text.len() / 2)];
                answer = Answer {
                    body: Vec::new(),
                    ..answer
                };
                return answer.body(text.as_bytes().to_vec());
            }
            Self::FewerThanCounted => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                if let (Some(from), Some(to)) =
                    (text.rfind("<Contents>"), text.rfind("</Contents>"))
                {
                    let text = text[..from].to_owned() + &text[to + "</Contents>".len()..];
                    return answer.body(text.into_bytes());
                }
            }
            Self::LacksTheRest(shown) => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                let mut objects = text.match_indices("<Contents>").map(|(at, _)| at);
                if let (Some(from), Some(to)) = (objects.nth(*shown), text.rfind("</Contents>")) {
                    let text = text[..from].to_owned() + &text[to + "</Contents>".len()..];
                    return answer.body(without(&text, "KeyCount").into_bytes());
                }
            }
            Self::NoTruncation => {
                let text = String::from_utf8_lossy(&answer.body);
                let text = without(&text, "IsTruncated");
                return answer.body(text.into_bytes());
            }
            Self::NoSizes => {
                let text = String::from_utf8_lossy(&answer.body);
                let text = without(&text, "Size");
                return answer.body(text.into_bytes());
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
    let page = page.replace(
        "<IsTruncated>false</IsTruncated>",
        "<IsTruncated>true</IsTruncated>",
    );
    [
        "NextContinuationToken",
        "NextKeyMarker",
        "NextVersionIdMarker",
    ]
    .iter()
    .fold(page, |page, name| without(&page, name))
}

/// A page without any element of that name.
fn without(page: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut page = page.to_owned();
    while let (Some(from), Some(to)) = (page.find(&open), page.find(&close)) {
        page.replace_range(from..to + close.len(), "");
    }
    page
}

fn is_xml(answer: &Answer) -> bool {
    answer.body.starts_with(b"<?xml")
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
