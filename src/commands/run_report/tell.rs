//! Sends what there is to tell.

use super::ThisRun;
use crate::interrupt;
use crate::notify::{self, Message, Notify, NotifyError, NotifyWhen, PingKind};
use crate::printing;

/// Returns the URL that is pinged for a command.
pub(super) fn ping_of<'n>(notify: &'n Notify, command: &str) -> Option<&'n str> {
    let mut pings = notify.pings.iter();
    let found = pings.find(|(of, _)| of == command);
    found.map(|(_, url)| url.as_str())
}

/// Warns if a message could not be sent: the run ends as it ended. Returns whether it was sent.
pub(super) fn warn_if(sent: Result<(), NotifyError>) -> bool {
    let Err(error) = sent else { return true };
    let cause = std::error::Error::source(&error);
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    printing::warn(format_args!("could not tell of this run: {error}{cause}"));
    false
}

/// Sends the ping, and the message where it is due. Returns whether somebody has it who is to have it.
pub(super) fn tell(run: ThisRun, kind: PingKind, message: &Message, is_news: bool) -> bool {
    if let Some(url) = ping_of(&run.outputs.notify, run.command) {
        // The start must not arrive after the end.
        if let Some(start) = run.start {
            let _ = start.join();
        }
        let body = format!("{}\n{}", message.title, message.text);
        warn_if(notify::ping(url, kind, &run.id, &body));
    }
    let notify = &run.outputs.notify;
    if !is_news && notify.when == NotifyWhen::Problems {
        return true;
    }
    let mut sent = Vec::new();
    if let Some(webhook) = &notify.webhook {
        sent.push(warn_if(notify::post(webhook, message)));
    }
    if let Some(to) = &notify.mail {
        // After a signal no program is started; this one is for the end.
        interrupt::let_hooks_run();
        let program = notify.sendmail.as_deref();
        sent.push(warn_if(notify::mail(program, to, message)));
    }
    // One way is enough; if there is none, nobody waits for it.
    sent.is_empty() || sent.contains(&true)
}
