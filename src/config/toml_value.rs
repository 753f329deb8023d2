//! Values of TOML as values of JSON, which can say the same but for dates, and back.

use std::fmt::Write as _;

use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

/// Parses one value of TOML. A date becomes a string.
pub(super) fn parse_value(literal: &str) -> Option<Value> {
    let text = format!("x = {literal}");
    let table = DeTable::parse(&text).ok()?;
    table
        .get_ref()
        .get("x")
        .map(|value| to_json(value.get_ref()))
}

/// Returns the same value. A date becomes a string.
pub(super) fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(integer) => {
            json!(i64::from_str_radix(integer.as_str(), integer.radix()).ok())
        }
        DeValue::Float(float) => json!(float.as_str().parse::<f64>().ok()),
        DeValue::Boolean(boolean) => json!(boolean),
        DeValue::Datetime(moment) => json!(moment.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let pairs = table.iter();
            let pairs =
                pairs.map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref())));
            Value::Object(pairs.collect())
        }
    }
}

/// Returns a value as TOML has it. The escapes of a JSON string are those of TOML but for one character.
pub fn in_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(in_toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{} = {}", key_in_toml(key), in_toml(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}

/// Returns a key as TOML has it.
pub(super) fn key_in_toml(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        in_toml(&json!(key))
    }
}

/// Returns a text as a basic string of TOML.
pub(super) fn basic_string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}
