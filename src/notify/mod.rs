//! Tells others how a run has ended: a ping, a webhook, a mail.
//!
//! Nothing here decides how a run ends. Each message may take ten seconds and is tried twice. What it says names no paths
//! unless the config asks for that.

mod error;
mod http;
mod mail;
mod template;

use std::time::Duration;

pub use error::NotifyError;
pub use mail::sendmail;
pub use template::{BodyTemplate, Placeholder, TemplateFault};

/// How long one attempt may take.
const AT_MOST: Duration = Duration::from_secs(10);

/// How often each message is tried.
const ATTEMPTS: u32 = 2;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// The most bytes of a ping: Healthchecks.io keeps as many, and those at the beginning.
pub const PING_BYTES: usize = 10_000;

/// Whom a config tells how runs end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// The URLs that are pinged, each with the command whose runs it follows.
    pub pings: Vec<(String, String)>,
    /// Where messages are posted.
    pub webhook: Option<Webhook>,
    /// To whom mail goes, as `sendmail` takes it.
    pub mail: Option<String>,
    /// The program that sends mail; `None` for the usual ones.
    pub sendmail: Option<std::path::PathBuf>,
    /// When the webhook and the mail are used.
    pub when: NotifyWhen,
    /// Whether messages also have the last lines that the run printed, which may name paths.
    pub with_log: bool,
}

/// When the webhook and the mail are used. A ping always is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NotifyWhen {
    /// When a run fails, when an alarm begins, and when either ends.
    #[default]
    Problems,
    /// At the end of each run too.
    Always,
}

impl NotifyWhen {
    /// Their names in the config.
    pub const NAMES: [(&'static str, Self); 2] =
        [("problems", Self::Problems), ("always", Self::Always)];
}

/// Where messages are posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The URL.
    pub url: String,
    /// What is posted; `None` for a JSON document with all facts.
    pub body: Option<BodyTemplate>,
    /// The content type of the body.
    pub content_type: String,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub title: String,
    /// Some lines.
    pub text: String,
    /// The facts for programs.
    pub facts: serde_json::Value,
}

/// Which end of a run a ping tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingKind {
    /// It begins.
    Start,
    /// It ended with that exit code.
    Ended(u8),
    /// Something happened that changes nothing of how the check stands.
    Log,
}

/// Sends a ping. `run` makes its start and its end one, for the server.
pub fn ping(url: &str, kind: PingKind, run: &str, body: &str) -> Result<(), NotifyError> {
    let mut end = body.len().min(PING_BYTES);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let url = ping_url(url, kind, run);
    twice(|| http::post(&url, "text/plain; charset=utf-8", &body.as_bytes()[..end]))
}

/// Returns the URL of a ping: that of the check, with the end and the run.
fn ping_url(url: &str, kind: PingKind, run: &str) -> String {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, format!("{query}&")),
        None => (url, String::new()),
    };
    let path = path.trim_end_matches('/');
    let end = match kind {
        PingKind::Start => "/start".to_owned(),
        PingKind::Ended(code) => format!("/{code}"),
        PingKind::Log => "/log".to_owned(),
    };
    format!("{path}{end}?{query}rid={run}")
}

/// Posts a message.
pub fn post(webhook: &Webhook, message: &Message) -> Result<(), NotifyError> {
    let body = match &webhook.body {
        Some(template) => template.fill(message, webhook.content_type.contains("json")),
        None => document(message),
    };
    twice(|| http::post(&webhook.url, &webhook.content_type, body.as_bytes()))
}

/// Returns the facts with title and text, as one JSON document.
fn document(message: &Message) -> String {
    let mut document = message.facts.clone();
    document["title"] = message.title.clone().into();
    document["text"] = message.text.clone().into();
    document.to_string()
}

/// Sends a mail.
pub fn mail(
    program: Option<&std::path::Path>,
    to: &str,
    message: &Message,
) -> Result<(), NotifyError> {
    twice(|| mail::send(program, to, message))
}

fn twice(mut attempt: impl FnMut() -> Result<(), NotifyError>) -> Result<(), NotifyError> {
    let mut tried = 1;
    loop {
        match attempt() {
            Err(error) if tried < ATTEMPTS && error.may_pass() => {
                tried += 1;
                std::thread::sleep(PAUSE);
            }
            ended => return ended,
        }
    }
}

/// Returns the part of a URL that may be shown: what follows the host is often a secret.
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_names_its_end_and_its_run() {
        let url = |url, kind| ping_url(url, kind, "r1");
        let check = "https://hc-ping.com/uuid";
        assert_eq!(
            url(check, PingKind::Start),
            "https://hc-ping.com/uuid/start?rid=r1"
        );
        assert_eq!(
            url(check, PingKind::Ended(0)),
            "https://hc-ping.com/uuid/0?rid=r1"
        );
        assert_eq!(
            url(check, PingKind::Log),
            "https://hc-ping.com/uuid/log?rid=r1"
        );
        assert_eq!(
            url("http://h/key/slug/?create=1", PingKind::Ended(255)),
            "http://h/key/slug/255?create=1&rid=r1"
        );
    }

    #[test]
    fn of_a_url_the_host_alone_is_shown() {
        for (url, expected) in [
            ("https://hc-ping.com/secret", "https://hc-ping.com"),
            ("http://user:secret@host:8080/a?b", "http://host:8080"),
            ("https://host?token=secret", "https://host"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
