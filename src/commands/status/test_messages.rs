//! `--test-messages`: whether messages arrive is known only when one was sent.

use serde_json::json;

use crate::commands::output::answer_lines;
use crate::config::{Config, ConfigError};
use crate::engine::host_name;
use crate::error::{Error, ExitCode};
use crate::notify::{self, Message, NotifyError, PingKind};

/// Sends a test message to each, and says what came of it. Fails if one could not be sent.
pub(super) fn send(config: &Config) -> Result<(), Error> {
    let notify = &config.notify;
    let host = host_name();
    let message = Message {
        title: format!("{host}: coldchain: a test message"),
        text: "coldchain sends its messages here. This one tells of no run.\n".to_owned(),
        facts: json!({
            "host": host, "command": "status", "state": "ok", "result": "test", "exit_code": 0, "run": "test",
        }),
    };
    let mut sent: Vec<(String, Result<(), NotifyError>)> = Vec::new();
    let mut pinged = Vec::new();
    for (command, url) in &notify.pings {
        // One check may follow several commands. The ping changes nothing of how it stands.
        if !pinged.contains(&url) {
            pinged.push(url);
            let body = format!("{}\n{}", message.title, message.text);
            let result = notify::ping(
                url,
                PingKind::Log,
                "00000000-0000-4000-8000-000000000000",
                &body,
            );
            sent.push((
                format!("ping for `{command}`, {}", notify::shown(url)),
                result,
            ));
        }
    }
    if let Some(webhook) = &notify.webhook {
        let what = format!("webhook, {}", notify::shown(&webhook.url));
        sent.push((what, notify::post(webhook, &message)));
    }
    if let Some(to) = &notify.mail {
        let result = notify::mail(notify.sendmail.as_deref(), to, &message);
        sent.push((format!("mail to {to}"), result));
    }
    if sent.is_empty() {
        return Err(ConfigError::NobodyToNotify {
            path: config.path.clone(),
        }
        .into());
    }
    let failed = sent.iter().any(|(_, result)| result.is_err());
    answer_lines(sent.iter().map(|(what, result)| match result {
        Ok(()) => format!("sent    {what}"),
        Err(error) => {
            let cause = std::error::Error::source(error);
            let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
            format!("FAILED  {what}: {error}{cause}")
        }
    }))?;
    if failed {
        return Err(Error::Answered(ExitCode::Failed));
    }
    Ok(())
}
