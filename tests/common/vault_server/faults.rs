//! Faults to order: which requests they strike, how often, and what they do.

use std::time::Duration;

use super::calls::Operation;
use super::refusal::Refusal;
use crate::common::s3_server::http::Answer;

/// What strikes the requests that match, after letting some pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `None` for every request.
    pub operation: Option<Operation>,
    pub skip: usize,
    /// `None` for every time.
    pub times: Option<usize>,
    pub what: FaultKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The connection is reset before the body is read.
    ResetBefore,
    /// Reset after half of the request's body; without one, after half of the answer.
    ResetInBody,
    /// It is done, and the connection is reset instead of answering.
    ResetAfter,
    /// Silence after the head, for so long or for the server's life.
    Stall(Option<Duration>),
    /// That status without words, and nothing is done.
    Status(u16),
    /// It is done, and answered with that status.
    StatusAfter(u16),
    /// 400 `ThrottlingException`, and nothing is done.
    Throttled,
    /// That status, code and message, and nothing is done.
    Refusal(u16, &'static str, &'static str),
    /// That status, code and message, although it is done.
    RefusalAfter(u16, &'static str, &'static str),
    /// The connection ends after so many bytes of the answer's body, which is promised whole.
    CutAt(usize),
    /// The answer's body has only so many bytes, and promises no more.
    ShortAnswer(usize),
    /// A bit of the answer's middle byte is flipped.
    FlippedByte,
    /// The tree hash in the answer's header is another one.
    WrongTreeHash,
    /// The header of that name is missing in the answer.
    WithoutHeader(&'static str),
    /// The header has that value in the answer.
    Header(&'static str, String),
    /// 200 with that body instead of the answer's, and none of its tree hash.
    Body(String),
    /// 404 in HTML: whoever answers isn't Glacier.
    HtmlAnswer,
    /// 502 in HTML: a gateway.
    GatewayPage,
    /// 200, and a body that goes on for as long as the client reads.
    Endless,
    /// A listing of jobs: page after page, each with new jobs and leading on to the next.
    EndlessPages,
    /// A listing of jobs: two pages that lead to each other.
    CircleOfPages,
    /// A listing of jobs: page after page without a job, each leading on to the next.
    EmptyPages,
}

impl Fault {
    /// A fault that strikes the next such request, once.
    pub fn on(operation: Operation, what: FaultKind) -> Self {
        Self {
            operation: Some(operation),
            skip: 0,
            times: Some(1),
            what,
        }
    }

    /// A fault that strikes the next request of any kind, once.
    pub fn on_any(what: FaultKind) -> Self {
        Self {
            operation: None,
            skip: 0,
            times: Some(1),
            what,
        }
    }

    /// Lets so many pass first.
    pub fn skip(mut self, passing: usize) -> Self {
        self.skip = passing;
        self
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }
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
    pub fn strike(&mut self, operation: Operation) -> Option<FaultKind> {
        for fault in &mut self.faults {
            if fault.operation.is_some_and(|only| only != operation) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match &mut fault.times {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            self.struck += 1;
            return Some(fault.what.clone());
        }
        None
    }
}

const GATEWAY: &str = "<html><head><title>Bad</title></head><body>gateway</body></html>\r\n";

impl FaultKind {
    /// What is answered instead of doing what is asked.
    pub fn instead(&self) -> Option<Answer> {
        Some(match self {
            Self::Status(status) => Answer::new(*status),
            Self::Throttled => Refusal::new(400, "ThrottlingException", "Rate exceeded").answer(),
            Self::Refusal(status, code, message) => Refusal::new(*status, code, *message).answer(),
            Self::HtmlAnswer => page(404),
            Self::GatewayPage => page(502),
            Self::Body(body) => Answer::new(200)
                .header("Content-Type", "application/json")
                .body(body.clone().into_bytes()),
            _ => return None,
        })
    }

    /// What becomes of an answer on its way out.
    pub fn spoil(&self, mut answer: Answer) -> Answer {
        match self {
            Self::StatusAfter(status) => return Answer::new(*status),
            Self::RefusalAfter(status, code, message) => {
                return Refusal::new(*status, code, *message).answer();
            }
            // The length that was promised stays.
            Self::CutAt(bytes) => answer.body.truncate(*bytes),
            Self::ShortAnswer(bytes) => {
                let mut body = std::mem::take(&mut answer.body);
                body.truncate(*bytes);
                return answer.body(body);
            }
            Self::FlippedByte => {
                let middle = answer.body.len() / 2;
                if let Some(byte) = answer.body.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            Self::WrongTreeHash => set(&mut answer, "x-amz-sha256-tree-hash", &"ab".repeat(32)),
            Self::WithoutHeader(name) => answer.headers.retain(|(found, _)| found != name),
            Self::Header(name, value) => set(&mut answer, name, value),
            _ => {}
        }
        answer
    }
}

fn set(answer: &mut Answer, name: &str, value: &str) {
    answer.headers.retain(|(found, _)| found != name);
    answer.headers.push((name.to_owned(), value.to_owned()));
}

fn page(status: u16) -> Answer {
    Answer::new(status)
        .header("Content-Type", "text/html")
        .body(GATEWAY.into())
}
