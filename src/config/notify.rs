//! `[notify]`: who is told how runs end; `metrics`: the file for Prometheus; `[alarms]`: what is an alarm.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::error::ConfigError;
use super::section::{Document, Field, Section};
use super::{DEFAULT_STATE_DIR, duration};
use crate::notify::{BodyTemplate, Notify, NotifyWhen, Webhook};
use crate::plan::{AlarmKind, CheckLimits};

pub(super) const KEYS: &[&str] = &[
    "ping",
    "pings",
    "webhook",
    "webhook_body",
    "webhook_type",
    "mail",
    "sendmail",
    "when",
    "log",
];
pub(super) const ALARM_KEYS: &[&str] = &["verify", "drill", "off"];

/// The commands that can be followed, by their runs.
pub const FOLLOWED: &[&str] = &[
    "backup", "decide", "snapshot", "pull", "mirror", "copy", "prune", "verify",
];

/// The commands whose runs `ping` follows.
const OF_ONE_PING: [&str; 2] = ["backup", "decide"];

const DAY: u64 = 24 * 60 * 60;

/// Which alarms there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmSettings {
    /// How old checks may become.
    pub limits: CheckLimits,
    /// The kinds that are switched off.
    pub off: Vec<AlarmKind>,
}

/// Where runs are recorded and told of: all that the end of a run needs of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutputs {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The file for Prometheus.
    pub metrics: Option<PathBuf>,
    /// Whom to tell.
    pub notify: Notify,
}

impl RunOutputs {
    /// Returns what can be read of a config that has a fault: each section alone, as far as it can be read. So the
    /// night that fails because of it is told of.
    pub fn of_faulty(text: &str, path: &Path) -> Self {
        let mut outputs = Self {
            state_dir: DEFAULT_STATE_DIR.into(),
            metrics: None,
            notify: Notify::default(),
        };
        for part in sections(text) {
            let document = Document { path, text: &part };
            let Ok(table) = DeTable::parse(&part) else {
                continue;
            };
            let Ok(top) = Section::top(document, table.get_ref(), super::KEYS).or_else(|_| {
                let known: Vec<&str> = table
                    .get_ref()
                    .keys()
                    .map(|key| key.get_ref().as_ref())
                    .collect();
                Section::top(document, table.get_ref(), &known)
            }) else {
                continue;
            };
            if let Ok(Some(state_dir)) = top.read("state_dir", Field::absolute_path) {
                outputs.state_dir = state_dir;
            }
            if let Ok(Some(metrics)) = top.read("metrics", Field::absolute_path) {
                outputs.metrics = Some(metrics);
            }
            if let Ok(notify) = read(&top)
                && notify != Notify::default()
            {
                outputs.notify = notify;
            }
        }
        outputs
    }
}

/// Returns the sections of a TOML text: each begins with a line that begins with a bracket.
fn sections(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.split_inclusive('\n') {
        // The tables of `[notify]` belong to it.
        if line.trim_start().starts_with('[') && !line.trim_start().starts_with("[notify.") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
        }
    }
    parts
}

pub(super) fn read(top: &Section<'_>) -> Result<Notify, ConfigError> {
    let mut notify = Notify::default();
    let Some(section) = top.read("notify", |field| field.table(KEYS))? else {
        return Ok(notify);
    };
    if let Some(url) = section.read("ping", url)? {
        let pings = OF_ONE_PING.map(|command| (command.to_owned(), url.clone()));
        notify.pings.extend(pings);
    }
    if let Some(pings) = section.read("pings", |field| field.table(FOLLOWED))? {
        for (command, field) in pings.fields() {
            notify.pings.retain(|(of, _)| of != command);
            notify.pings.push((command.to_owned(), url(&field)?));
        }
    }
    let body = section.read("webhook_body", body)?;
    let content_type = section.read("webhook_type", content_type)?;
    if let Some(url) = section.read("webhook", url)? {
        notify.webhook = Some(Webhook {
            url,
            content_type: content_type.unwrap_or_else(|| match body {
                Some(_) => "text/plain; charset=utf-8".to_owned(),
                None => "application/json".to_owned(),
            }),
            body,
        });
    }
    notify.mail = section.read("mail", mail)?;
    notify.sendmail = section.read("sendmail", Field::absolute_path)?;
    notify.when = section
        .read("when", |field| field.one_of(&NotifyWhen::NAMES))?
        .unwrap_or_default();
    notify.with_log = section.read("log", Field::boolean)?.unwrap_or(false);
    Ok(notify)
}

fn url(field: &Field<'_>) -> Result<String, ConfigError> {
    let is_url = |text: &str| {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        // What `config show` has hidden is no place to report to.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.ends_with("/***");
        is_plain && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    };
    field.matching(is_url, "a URL that begins with https:// or http://")
}

fn content_type(field: &Field<'_>) -> Result<String, ConfigError> {
    let is_type = |text: &str| {
        text.contains('/')
            && text
                .bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    };
    field.matching(is_type, "a content type like \"application/json\"")
}

fn mail(field: &Field<'_>) -> Result<String, ConfigError> {
    let is_address = |text: &str| {
        !text.is_empty() && !text.contains(|char: char| char.is_whitespace() || char.is_control())
    };
    field.matching(is_address, "one mail address, or the name of a user here")
}

fn body(field: &Field<'_>) -> Result<BodyTemplate, ConfigError> {
    field.matching(
        |text| text != "***",
        "the text, which `config show` has hidden",
    )?;
    BodyTemplate::parse(field.string()?)
        .map_err(|fault| field.unfit(&format!("a text with known placeholders; {fault}")))
}

pub(super) fn read_alarms(top: &Section<'_>) -> Result<AlarmSettings, ConfigError> {
    let mut alarms = AlarmSettings::default();
    let Some(section) = top.read("alarms", |field| field.table(ALARM_KEYS))? else {
        return Ok(alarms);
    };
    let days = |field: &Field<'_>| {
        let span = duration::read(field, Duration::from_secs(DAY))?;
        Ok(u32::try_from(span.as_secs() / DAY).unwrap_or(u32::MAX))
    };
    if let Some(days) = section.read("verify", days)? {
        alarms.limits.verify_days = Some(days);
    }
    if let Some(days) = section.read("drill", days)? {
        alarms.limits.drill_days = Some(days);
    }
    let names = AlarmKind::ALL.map(|kind| (kind.as_str(), kind));
    let off = section.read("off", |field| {
        let items = field.array("an array of kinds of alarms")?;
        items.iter().map(|item| item.one_of(&names)).collect()
    })?;
    alarms.off = off.unwrap_or_default();
    Ok(alarms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salvaged(text: &str) -> RunOutputs {
        RunOutputs::of_faulty(text, Path::new("/config"))
    }

    #[test]
    fn of_a_faulty_config_what_can_be_read_is() {
        let good = "metrics = \"/m.prom\"\nstate_dir = \"/s\"\n[[source]]\nname = \"a\"\n[notify]\nping = \"https://h/x\"\n[notify.pings]\nverify = \"https://h/y\"\n[other]\n";
        let whole = salvaged(good);
        assert_eq!(whole.metrics.as_deref(), Some(Path::new("/m.prom")));
        assert_eq!(whole.state_dir, Path::new("/s"));
        let commands: Vec<&str> = whole
            .notify
            .pings
            .iter()
            .map(|(of, _)| of.as_str())
            .collect();
        assert_eq!(commands, ["backup", "decide", "verify"]);
        for (from, to) in [
            // Faults in other sections, and unknown keys.
            ("name = \"a\"", "name = "),
            ("name = \"a\"", "name = \"\"\nunknown = 1"),
            ("[other]", "[[other"),
            ("[[source]]", "unknown_key = 1\n[[source]]"),
        ] {
            assert_eq!(salvaged(&good.replace(from, to)), whole, "{to}");
        }
        // A fault in the section itself costs that section.
        let lost = salvaged(&good.replace("ping = \"https://h/x\"", "ping = 1"));
        assert_eq!(lost.notify, Notify::default());
        assert_eq!(lost.metrics, whole.metrics);
        assert_eq!(salvaged("\u{0}"), salvaged(""));
    }
}
