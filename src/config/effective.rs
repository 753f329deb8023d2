//! What a config amounts to: each value that holds, and where it comes from.
//!
//! Values that the file sets are shown as they are written there. Of the others, the defaults of
//! docs/configuration.md are shown; a test parses what comes out, and holds it against the config itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::reference::{ConfigKey, KeyTable, tables};
use super::source::{ARCHIVING_KEYS, KEEP_KEYS};
use super::toml_value::{key_in_toml, to_json};
use crate::model::url_secrets;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueOrigin {
    /// The config file, in this line.
    File(usize),
    /// The file sets it for all sources, in this line.
    AllSources(usize),
    /// The command line or the environment, which replaces what the file says.
    Replaced(&'static str),
    /// This machine: its time zone, its processor.
    Machine,
    /// Nothing sets it.
    Default,
}

impl ValueOrigin {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File(_) | Self::AllSources(_) => "file",
            Self::Replaced(by) => by,
            Self::Machine => "machine",
            Self::Default => "default",
        }
    }

    /// The line of the file that sets it.
    pub fn line(self) -> Option<usize> {
        match self {
            Self::File(line) | Self::AllSources(line) => Some(line),
            Self::Replaced(_) | Self::Machine | Self::Default => None,
        }
    }
}

/// A value that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// Its value; secrets are replaced by `***`.
    pub value: Value,
    /// Where it comes from.
    pub origin: ValueOrigin,
}

/// A table of the config.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsTable {
    /// Its header as TOML has it, with its brackets; empty for the top level.
    pub header: String,
    /// Its settings, in the order of docs/configuration.md.
    pub settings: Vec<Setting>,
}

/// A table of the file with the lines of its keys.
#[derive(Clone, Copy)]
struct FileTable<'a> {
    text: &'a str,
    table: Option<&'a DeTable<'a>>,
}

impl<'a> FileTable<'a> {
    fn get(self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.get(key)
    }

    fn table(self, key: &str) -> Self {
        let table = self.get(key).and_then(|value| value.get_ref().as_table());
        Self { table, ..self }
    }

    fn tables(self, key: &str) -> Vec<Self> {
        let items = self.get(key).and_then(|value| value.get_ref().as_array());
        let items = items.into_iter().flat_map(|items| items.iter());
        items
            .map(|item| Self {
                table: item.get_ref().as_table(),
                ..self
            })
            .collect()
    }

    /// Returns a value, and the line in which it begins.
    fn value(self, key: &str) -> Option<(Value, usize)> {
        let value = self.get(key)?;
        let before = self.text.as_bytes().iter().take(value.span().start);
        let newlines = before.filter(|byte| **byte == b'\n').count();
        Some((to_json(value.get_ref()), 1 + newlines))
    }
}

/// Returns each table of the config with the values that hold. `text` is the file's, and `state_dir_from` is what replaced
/// the file's `state_dir`, if anything did.
pub fn settings(
    config: &Config,
    text: &str,
    state_dir_from: Option<&'static str>,
) -> Vec<SettingsTable> {
    let parsed = DeTable::parse(text).ok();
    let top = FileTable {
        text,
        table: parsed.as_ref().map(Spanned::get_ref),
    };
    let known: BTreeMap<&str, KeyTable> = tables().into_iter().map(|it| (it.name, it)).collect();
    let keys = |name: &str| known.get(name).map_or(&[][..], |table| &table.keys);
    let view = View { config, top };
    let mut shown = vec![(String::new(), view.top(keys(""), state_dir_from))];
    for name in ["encryption", "schedule"] {
        shown.push((format!("[{name}]"), plain(top.table(name), keys(name))));
    }
    for source in top.tables("source") {
        shown.push(("[[source]]".to_owned(), view.source(source, keys("source"))));
        if source.get("store").is_some() {
            let schedule = view.schedule_of(source.table("schedule"), keys("schedule"));
            shown.push(("[source.schedule]".to_owned(), schedule));
        }
        if source.get("pull").is_some() {
            let pull = over_ssh(source.table("pull"), keys("source.pull"), "from");
            shown.push(("[source.pull]".to_owned(), pull));
        }
    }
    for mirror in top.tables("mirror") {
        let settings = over_ssh(mirror, keys("mirror"), "to");
        shown.push(("[[mirror]]".to_owned(), settings));
    }
    for name in config.stores.keys() {
        let store = top.table("store").table(name);
        let of_type = match store.value("type") {
            Some((Value::String(kind), _)) if kind == "s3" => "store.BUCKET",
            Some((Value::String(kind), _)) if kind == "glacier-vault" => "store.VAULT",
            _ => "store.DIR",
        };
        let header = format!("[store.{}]", key_in_toml(name));
        shown.push((header, plain(store, keys(of_type))));
    }
    shown.push((
        "[alarms]".to_owned(),
        plain(top.table("alarms"), keys("alarms")),
    ));
    for name in ["hooks", "notify", "prices"] {
        if top.get(name).is_some() {
            shown.push((format!("[{name}]"), view.rest(name, keys(name))));
        }
    }
    let tables = shown
        .into_iter()
        .map(|(header, settings)| SettingsTable { header, settings });
    tables
        .filter(|table| table.header.is_empty() || !table.settings.is_empty())
        .collect()
}

/// The config beside its file.
struct View<'a> {
    config: &'a Config,
    top: FileTable<'a>,
}

fn setting(key: &str, (value, origin): (Value, ValueOrigin)) -> Setting {
    Setting {
        key: key.to_owned(),
        value: without_secrets(key, value),
        origin,
    }
}

/// Returns what the table says, else the default if it is a value.
fn of_table(table: FileTable<'_>, key: &ConfigKey) -> Option<(Value, ValueOrigin)> {
    let default = || Some((key.default_value()?, ValueOrigin::Default));
    match table.value(key.name) {
        Some((value, line)) => Some((value, ValueOrigin::File(line))),
        None => default(),
    }
}

fn plain(table: FileTable<'_>, keys: &[ConfigKey]) -> Vec<Setting> {
    let found = keys.iter();
    found
        .filter_map(|key| Some(setting(key.name, of_table(table, key)?)))
        .collect()
}

/// Shows a table with keys that only go with another machine, whose place is at `place`.
fn over_ssh(table: FileTable<'_>, keys: &[ConfigKey], place: &str) -> Vec<Setting> {
    let is_here = table
        .value(place)
        .is_none_or(|(value, _)| value.as_str().is_none_or(|it| it.starts_with('/')));
    let mut shown = plain(table, keys);
    if is_here {
        let only_there: Vec<&str> = keys
            .iter()
            .filter(|key| key.meaning.starts_with("over ssh:"))
            .map(|key| key.name)
            .collect();
        shown.retain(|it| !only_there.contains(&it.key.as_str()));
    }
    // An option of rsync may say it in its place.
    let options = table.value("options").map(|(it, _)| it.to_string());
    if options.is_some_and(|it| it.contains("--timeout")) {
        shown.retain(|it| it.key != "timeout");
    }
    shown
}

impl View<'_> {
    fn top(&self, keys: &[ConfigKey], state_dir_from: Option<&'static str>) -> Vec<Setting> {
        let config = self.config;
        let is_auto = matches!(self.top.value("compression"), Some((Value::String(_), _)));
        let of_key = |key: &ConfigKey| {
            let written = self.top.value(key.name);
            let computed = |value: Value, origin| match &written {
                Some((value, line)) => Some((value.clone(), ValueOrigin::File(*line))),
                None => Some((value, origin)),
            };
            match key.name {
                "state_dir" if state_dir_from.is_some() => {
                    let path = config.state_dir.to_string_lossy();
                    Some((json!(path), ValueOrigin::Replaced(state_dir_from?)))
                }
                "timezone" => computed(json!(config.timezone.name()), ValueOrigin::Machine),
                "threads" => computed(json!(config.threads), ValueOrigin::Machine),
                "memory_limit" => {
                    let limit = format!("{}MiB", config.memory_limit >> 20);
                    computed(json!(limit), ValueOrigin::Default)
                }
                "compression_levels" if !is_auto => None,
                _ => of_table(self.top, key),
            }
        };
        let found = keys.iter();
        found
            .filter_map(|key| Some(setting(key.name, of_key(key)?)))
            .collect()
    }

    fn source(&self, source: FileTable<'_>, keys: &[ConfigKey]) -> Vec<Setting> {
        let is_archived = source.get("store").is_some();
        let keeps = |key: &str| key == "keep" || KEEP_KEYS.contains(&key);
        let says_what_it_keeps = keys
            .iter()
            .any(|key| keeps(key.name) && source.get(key.name).is_some());
        let inherited = |key: &str| {
            let (value, line) = self.top.value(key)?;
            Some((value, ValueOrigin::AllSources(line)))
        };
        let of_key = |key: &ConfigKey| match key.name {
            // It has tables of its own.
            "schedule" => None,
            name if ARCHIVING_KEYS.contains(&name) && !is_archived => None,
            name if keeps(name) && says_what_it_keeps => {
                let (value, line) = source.value(name)?;
                Some((value, ValueOrigin::File(line)))
            }
            name @ "keep" => inherited(name),
            name if keeps(name) && self.top.get("keep").is_some() => None,
            // Such streams have a version of their own.
            "protocol"
                if source
                    .value("compressed_data")
                    .is_some_and(|(it, _)| it == json!("inexact")) =>
            {
                let (value, line) = source.value("protocol")?;
                Some((value, ValueOrigin::File(line)))
            }
            "archive_as" => of_table(source, key).or_else(|| {
                let (name, _) = source.value("name")?;
                Some((name, ValueOrigin::Default))
            }),
            name if key.default == "as above" => of_table(source, key)
                .or_else(|| inherited(name))
                .or_else(|| {
                    let above = tables().into_iter().next()?;
                    let above = above.keys.iter().find(|key| key.name == name)?;
                    Some((above.default_value()?, ValueOrigin::Default))
                }),
            _ => of_table(source, key),
        };
        let found = keys.iter();
        found
            .filter_map(|key| Some(setting(key.name, of_key(key)?)))
            .collect()
    }

    fn schedule_of(&self, own: FileTable<'_>, keys: &[ConfigKey]) -> Vec<Setting> {
        let general = self.top.table("schedule");
        let of_key = |key: &ConfigKey| {
            let own = own
                .value(key.name)
                .map(|(value, line)| (value, ValueOrigin::File(line)));
            let general = general.value(key.name);
            own.or(general.map(|(value, line)| (value, ValueOrigin::AllSources(line))))
                .or_else(|| Some((key.default_value()?, ValueOrigin::Default)))
        };
        let found = keys.iter();
        found
            .filter_map(|key| Some(setting(key.name, of_key(key)?)))
            .collect()
    }

    /// Shows a table that is in the file. Of the prices, only what the file says is shown.
    fn rest(&self, name: &str, keys: &[ConfigKey]) -> Vec<Setting> {
        let table = self.top.table(name);
        if name != "prices" {
            return plain(table, keys);
        }
        let names = table.table.into_iter().flat_map(|table| table.iter());
        let names = names.map(|(key, _)| key.get_ref().to_string());
        names
            .filter_map(|key| {
                let (value, line) = table.value(&key)?;
                Some(setting(&key, (value, ValueOrigin::File(line))))
            })
            .collect()
    }
}

/// The keys whose URLs are secrets: with one of them, others report in this machine's place.
const SECRET_URLS: [&str; 3] = ["ping", "pings", "webhook"];

/// Hides the secrets in the value of a key: what names a user or a path in a URL of `[notify]`, a posted body, passwords in
/// any URL, and arguments of hooks that look like secrets.
fn without_secrets(key: &str, value: Value) -> Value {
    match value {
        Value::String(text) if SECRET_URLS.contains(&key) => json!(url_secrets::host_only(&text)),
        Value::String(_) if key == "webhook_body" => json!("***"),
        Value::String(text) => json!(url_secrets::without_password(&text)),
        Value::Array(items) if super::hooks::KEYS.contains(&key) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            json!(url_secrets::without_secret_words(&words))
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| without_secrets(key, item))
            .collect(),
        Value::Object(pairs) => {
            let pairs = pairs.into_iter();
            let pairs: Map<String, Value> = pairs
                .map(|(name, value)| (name, without_secrets(key, value)))
                .collect();
            Value::Object(pairs)
        }
        other => other,
    }
}
