//! What a failed request means: its kind, and whether asking again may help.
//!
//! Codes are those of <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; what
//! compatible services say instead is told apart by its status.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::store::error::ErrorKind;
use crate::store::retry::Again;

/// The longest text of a service's that is passed on.
const MAX_CHARS: usize = 1000;

/// What errors are written in.
pub(super) const ERROR_TYPE: &str = "application/xml";

/// A failed request, judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) kind: ErrorKind,
    pub(super) again: Again,
    pub(super) answer: Box<Answer>,
    /// What is thought instead if the service has answered as S3 does before.
    pub(super) otherwise: Option<(ErrorKind, Again)>,
    /// Whether the attempt got further than the one before.
    pub(super) progressed: bool,
}

/// What the service said, or what became of the connection to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) request: Option<String>,
    /// The region that the bucket is in, if it was said.
    pub(super) region: Option<String>,
    /// How often it was tried in vain, and for how long.
    pub(super) tried: Option<(u32, Duration)>,
    /// What to do about it, where the kind of the error does not tell.
    pub(super) advice: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "it answered {status}")?;
            if let Some(code) = &self.code {
                write!(f, " {code}")?;
            }
            if let Some(message) = &self.message {
                write!(f, ": {message}")?;
            }
        } else {
            f.write_str(self.message.as_deref().unwrap_or("it did not answer"))?;
        }
        if let Some(region) = &self.region {
            write!(f, "; the bucket is in {region}")?;
        }
        if let Some(request) = &self.request {
            write!(f, " (request {request})")?;
        }
        if let Some((times, since)) = self.tried {
            let seconds = since.as_secs_f32();
            write!(f, "; tried {times} times in {seconds:.0} s")?;
        }
        Ok(())
    }
}

impl Error for Answer {}

impl Answer {
    pub(super) fn said(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::default()
        }
    }

    /// After more than one attempt, how many there were.
    pub(super) fn after(self, times: u32, since: Duration) -> Self {
        Self {
            tried: (times > 1).then_some((times, since)),
            ..self
        }
    }

    /// With what to do about it.
    pub(super) fn advising(self, advice: Option<String>) -> Self {
        Self { advice, ..self }
    }

    pub(super) fn take_advice(&mut self) -> Option<String> {
        self.advice.take()
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl Judged {
    pub(super) fn new(kind: ErrorKind, again: Again, answer: impl Into<Box<Answer>>) -> Self {
        Self {
            kind,
            again,
            answer: answer.into(),
            otherwise: None,
            progressed: false,
        }
    }

    /// No byte moved for too long.
    pub(super) fn stalled(after: Duration) -> Self {
        let seconds = after.as_secs_f32();
        let what = format!("the connection stalled: no byte moved for {seconds:.1} s");
        Self::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(what),
        )
    }

    /// An object always comes with its tag, an error that pretends to be one does not.
    pub(super) fn error_in_200() -> Self {
        let what = "it answered 200 with an error inside";
        Self::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(what),
        )
    }

    /// The answer is damaged.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        let answer = Answer::said(what);
        Self::new(ErrorKind::Unavailable, Again::FewTimes, answer)
    }

    /// The connection ended before the answer did.
    pub(super) fn cut(error: &dyn Error) -> Self {
        let what = format!("the connection was cut: {}", chain(error));
        Self::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(what),
        )
    }
}

/// The text of an error with its causes, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}

/// As much of a text from outside as a person reads.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        at = error.source();
    }
    None
}
