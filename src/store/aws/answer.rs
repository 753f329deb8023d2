//! A failed request: its kind, and whether a retry may help.
//!
//! The codes are those of <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>. If a
//! compatible service uses other codes, the status decides.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::store::error::ErrorKind;
use crate::store::retry::Again;

/// The longest text of a service that is shown, in characters.
const MAX_CHARS: usize = 1000;

/// The content type of error answers.
pub(in crate::store) const ERROR_TYPE: &str = "application/xml";

/// The judgement of a failed request.
#[derive(Debug)]
pub(in crate::store) struct Judged {
    pub(in crate::store) kind: ErrorKind,
    pub(in crate::store) again: Again,
    pub(in crate::store) answer: Box<Answer>,
    /// The judgement to use instead if the service has answered as S3 does before.
    pub(in crate::store) otherwise: Option<(ErrorKind, Again)>,
    /// Whether the attempt made progress.
    pub(in crate::store) progressed: bool,
}

/// The service's answer, or what happened to the connection.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Answer {
    pub(in crate::store) status: Option<u16>,
    pub(in crate::store) code: Option<String>,
    pub(in crate::store) message: Option<String>,
    pub(in crate::store) request: Option<String>,
    /// The bucket's region, if the answer has it.
    pub(in crate::store) region: Option<String>,
    /// How many attempts failed, and over what time.
    pub(in crate::store) tried: Option<(u32, Duration)>,
    /// What to do about it, if this is more than the kind of the error says.
    pub(in crate::store) advice: Option<String>,
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
    pub(in crate::store) fn said(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::default()
        }
    }

    /// Returns the answer with the number of attempts, if there was more than one.
    pub(in crate::store) fn after(self, times: u32, since: Duration) -> Self {
        Self {
            tried: (times > 1).then_some((times, since)),
            ..self
        }
    }

    /// Returns the answer with advice.
    pub(in crate::store) fn advising(self, advice: Option<String>) -> Self {
        Self { advice, ..self }
    }

    pub(in crate::store) fn take_advice(&mut self) -> Option<String> {
        self.advice.take()
    }

    pub(in crate::store) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Returns whether the service asks for fewer requests a second, or has too many.
    pub(in crate::store) fn asks_for_less(&self) -> bool {
        matches!(self.status, Some(429 | 503))
            || self.is("SlowDown")
            || self.is("ThrottlingException")
    }
}

impl Judged {
    pub(in crate::store) fn new(
        kind: ErrorKind,
        again: Again,
        answer: impl Into<Box<Answer>>,
    ) -> Self {
        Self {
            kind,
            again,
            answer: answer.into(),
            otherwise: None,
            progressed: false,
        }
    }

    /// Judges a connection on which no byte moved for too long.
    pub(in crate::store) fn stalled(after: Duration) -> Self {
        let seconds = after.as_secs_f32();
        let what = format!("the connection stalled: no byte moved for {seconds:.1} s");
        Self::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(what),
        )
    }

    /// Judges an error in a successful answer. A real object always comes with its tag.
    pub(in crate::store) fn error_in_200() -> Self {
        let what = "it answered 200 with an error inside";
        Self::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(what),
        )
    }

    /// Judges a damaged answer.
    pub(in crate::store) fn damaged(what: impl Into<String>) -> Self {
        let answer = Answer::said(what);
        Self::new(ErrorKind::Unavailable, Again::FewTimes, answer)
    }

    /// Judges an answer that was cut short by the end of the connection.
    pub(in crate::store) fn cut(error: &dyn Error) -> Self {
        let what = format!("the connection was cut: {}", chain(error));
        Self::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(what),
        )
    }
}

/// Returns the text of an error with its causes, each of them once.
pub(in crate::store) fn chain(error: &dyn Error) -> String {
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

/// Shortens a text from outside to what a person can read.
pub(in crate::store) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(in crate::store) fn find<'e, T: Error + 'static>(
    error: &'e (dyn Error + 'static),
) -> Option<&'e T> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        at = error.source();
    }
    None
}
