//! Faults to order: which requests they strike, how often, and what they do.

use std::time::Duration;

use super::calls::Operation;
use super::http::Request;

/// What strikes the requests that match, after letting some pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub when: When,
    pub skip: usize,
    pub times: Times,
    pub what: FaultKind,
}

/// Which requests a fault is for. Those that it can do nothing to don't count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    pub operation: Option<Operation>,
    /// A part of the key, or of the prefix that is listed.
    pub key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Times(usize),
    Always,
}

/// "Half of the answer" is half of its body, or half of its head if it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The connection is reset before the body is read.
    ResetBefore,
    /// A request with a body: reset after half of it. One without: after half of the answer.
    ResetInBody,
    /// It is done, and the connection is reset instead of answering.
    ResetAfter,
    /// Silence after the head, without reading on, for so long or for the server's life; then it
    /// goes on as if nothing had been.
    Stall(Option<Duration>),
    /// The same halfway, where [`ResetInBody`](Self::ResetInBody) resets.
    StallInBody(Option<Duration>),
    /// That status, and nothing is done.
    Status(u16),
    /// That status with a gateway's page about itself, and nothing is done.
    GatewayPage(u16),
    /// It is done, and answered with that status.
    StatusAfter(u16),
    /// 503 `SlowDown`, with or without `Retry-After` in seconds.
    SlowDown { retry_after: Option<u64> },
    /// The answer goes out byte by byte, with a pause of that length before each.
    Trickle(Duration),
    /// GET: `Content-Length` is right, but the connection ends after half of the body.
    ShortBody,
    /// GET: half of the body, and a `Content-Length` that fits it.
    ShortAnswer,
    /// GET: the whole object in place of a range.
    IgnoresRange,
    /// GET: a range that begins a byte later than the one that was asked for, as its head says.
    OtherRange,
    /// GET: a range without a `Content-Range`.
    NoContentRange,
    /// GET: one byte more, and a `Content-Length` that fits it.
    LongAnswer,
    /// A bit of the body's middle byte is flipped on its way: of a GET out, of a PUT in, of a copy within.
    FlippedByte,
    /// 200 with an error in the body, and nothing is done.
    ErrorIn200,
    /// 412, although nothing is there, and nothing is done.
    PreconditionFailed,
    /// 409 `ConditionalRequestConflict`, and nothing is done.
    Conflict,
    /// 400 to requests with a header that has to do with checksums, as on some older stores.
    RefusedChecksumHeader,
    /// GET and HEAD: no `Content-Length`; a body comes in chunks.
    NoLength,
    /// GET: no `Content-Length` and no chunks, and the connection ends after half of the body.
    NoLengthAndShort,
    /// XML ends behind its first object, or halfway, and `Content-Length` fits it.
    CutXml,
    /// LIST: the last object is missing, and nothing else.
    FewerThanCounted,
    /// LIST: has nothing but its first so many objects, and says that these are all.
    LacksTheRest(usize),
    /// LIST: does not say whether there is more.
    NoTruncation,
    /// LIST: objects come without their lengths.
    NoSizes,
    /// LIST: says that there is more, but not how to get it.
    TruncatedList,
    /// LIST: 500 to requests for any but the first page.
    LaterPagesFail,
    /// 403, and nothing is done.
    AccessDenied,
    /// That status, code and message, and nothing is done.
    Refusal(u16, &'static str, &'static str),
    /// 404 in HTML: whoever answers isn't S3.
    HtmlAnswer,
    /// That status, and a body that goes on for as long as the client reads.
    EndlessBody(u16, Filling),
    /// LIST: page after page, each with new objects and leading on to the next.
    EndlessPages,
    /// LIST: two pages that lead to each other.
    CircleOfPages,
    /// LIST: page after page without an object, each leading on to the next.
    EmptyPages,
}

/// What an endless body is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// The text of one element.
    Text,
    /// Empty elements, which take far more memory than their text.
    Elements,
}

impl Fault {
    /// A fault that strikes the next such request, once.
    pub fn on(operation: Operation, what: FaultKind) -> Self {
        Self {
            when: When {
                operation: Some(operation),
                key: None,
            },
            skip: 0,
            times: Times::Times(1),
            what,
        }
    }

    /// A fault that strikes the next request of any kind, once.
    pub fn on_any(what: FaultKind) -> Self {
        let mut fault = Self::on(Operation::Other, what);
        fault.when.operation = None;
        fault
    }

    /// Only if the key has that in it.
    pub fn key(mut self, part: &str) -> Self {
        self.when.key = Some(part.to_owned());
        self
    }

    /// Lets so many pass first.
    pub fn skip(mut self, passing: usize) -> Self {
        self.skip = passing;
        self
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = Times::Times(times);
        self
    }

    pub fn always(mut self) -> Self {
        self.times = Times::Always;
        self
    }

    fn matches(&self, operation: Operation, request: &Request) -> bool {
        let place = match operation {
            Operation::List => request.parameter("prefix").unwrap_or_default(),
            _ => &request.key,
        };
        self.when.operation.is_none_or(|only| only == operation)
            && self
                .when
                .key
                .as_ref()
                .is_none_or(|part| place.contains(part))
            && self.what.can_strike(operation, request)
    }
}

impl FaultKind {
    fn can_strike(&self, operation: Operation, request: &Request) -> bool {
        match self {
            Self::ShortBody | Self::ShortAnswer | Self::LongAnswer | Self::NoLengthAndShort => {
                operation == Operation::Get
            }
            Self::IgnoresRange | Self::OtherRange | Self::NoContentRange => {
                operation == Operation::Get && request.header("range").is_some()
            }
            Self::NoLength => matches!(operation, Operation::Get | Operation::Head),
            Self::FlippedByte => {
                matches!(operation, Operation::Get | Operation::Put | Operation::Copy)
            }
            Self::RefusedChecksumHeader => checksum_header(request).is_some(),
            Self::TruncatedList
            | Self::EndlessPages
            | Self::CircleOfPages
            | Self::EmptyPages
            | Self::FewerThanCounted
            | Self::LacksTheRest(_)
            | Self::NoTruncation
            | Self::NoSizes => operation == Operation::List,
            Self::LaterPagesFail => ["continuation-token", "key-marker"]
                .iter()
                .any(|name| request.parameter(name).is_some()),
            _ => true,
        }
    }
}

/// The first header of a request that has to do with checksums.
pub fn checksum_header(request: &Request) -> Option<&str> {
    let mut names = request.headers.keys().map(String::as_str);
    names
        .find(|name| name.starts_with("x-amz-checksum-") || name.starts_with("x-amz-sdk-checksum-"))
}

#[derive(Default)]
pub struct Plan {
    faults: Vec<Fault>,
    struck: usize,
}

impl Plan {
    pub fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub fn clear(&mut self) {
        self.faults.clear();
    }

    pub fn struck(&self) -> usize {
        self.struck
    }

    /// What strikes this request. A fault that lets it pass leaves it to the next one.
    pub fn strike(&mut self, operation: Operation, request: &Request) -> Option<FaultKind> {
        for fault in &mut self.faults {
            if !fault.matches(operation, request) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match &mut fault.times {
                Times::Times(0) => continue,
                Times::Times(left) => *left -= 1,
                Times::Always => {}
            }
            self.struck += 1;
            return Some(fault.what.clone());
        }
        None
    }
}
