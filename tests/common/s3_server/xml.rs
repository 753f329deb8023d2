//! Answers in XML: S3's errors, and what its documents are built from.

use super::http::Answer;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// An error as S3 answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: u16,
    code: &'static str,
    message: String,
    /// Further elements, such as `StorageClass`.
    fields: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
}

impl Failure {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            fields: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgument", message)
    }

    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidRequest", message)
    }

    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    pub fn internal() -> Self {
        let message = "We encountered an internal error. Please try again.";
        Self::new(500, "InternalError", message)
    }

    pub fn not_implemented(header: Option<&str>) -> Self {
        let message = "A header you provided implies functionality that is not implemented";
        let failure = Self::new(501, "NotImplemented", message);
        match header {
            Some(header) => failure.field("Header", header),
            None => failure,
        }
    }

    pub fn precondition_failed(condition: &str) -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(412, "PreconditionFailed", message).field("Condition", condition)
    }

    pub fn no_such_key(key: &str) -> Self {
        let message = "The specified key does not exist.";
        Self::new(404, "NoSuchKey", message).field("Key", key)
    }

    pub fn invalid_object_state(message: &str, class: &str) -> Self {
        Self::new(403, "InvalidObjectState", message).field("StorageClass", class)
    }

    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same words under another status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn answer(&self) -> Answer {
        let mut inside = element("Code", self.code) + &element("Message", &self.message);
        for (name, value) in &self.fields {
            inside += &element(name, value);
        }
        inside += &element("RequestId", "0123456789ABCDEF");
        let answer = self
            .headers
            .iter()
            .fold(Answer::new(self.status), |answer, (name, value)| {
                answer.header(name, value)
            });
        document(answer, &parent("Error", &inside))
    }
}

/// An answer with that document.
pub fn document(answer: Answer, root: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{root}");
    answer
        .header("Content-Type", "application/xml")
        .body(text.into_bytes())
}

/// An element with text inside.
pub fn element(name: &str, text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\r', "&#13;");
    format!("<{name}>{text}</{name}>")
}

/// An element with others inside.
pub fn parent(name: &str, inside: &str) -> String {
    format!("<{name}>{inside}</{name}>")
}

/// The outermost element of anything but an error.
pub fn root(name: &str, inside: &str) -> String {
    format!("<{name} xmlns=\"{NAMESPACE}\">{inside}</{name}>")
}

/// The text inside the first element of that name; the few that clients send carry no escapes.
pub fn text_of<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}
