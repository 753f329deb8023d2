//! Refusals, as JSON.

use serde_json::json;

use crate::common::s3_server::http::Answer;

#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterValueException", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "ResourceNotFoundException", message)
    }

    pub fn answer(&self) -> Answer {
        let kind = if self.status < 500 {
            "Client"
        } else {
            "Server"
        };
        let body = json!({"code": self.code, "message": self.message, "type": kind});
        json_answer(self.status, &body)
    }
}

pub fn json_answer(status: u16, body: &serde_json::Value) -> Answer {
    Answer::new(status)
        .header("Content-Type", "application/json")
        .body(body.to_string().into_bytes())
}
