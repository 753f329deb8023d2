//! The JSON schema of the config, for editors that complete and check TOML.

use serde_json::{Map, Value, json};

use super::KEYS;
use super::reference::{ConfigKey, KeyTable, tables};
use crate::model::StorageClass;

/// Returns the schema. It accepts each config that this program accepts. It refuses unknown keys and values of the wrong
/// form; what two keys say together, and whether a path exists, only the program judges.
pub fn schema() -> Value {
    let tables = tables();
    let table = |name: &str| tables.iter().find(|table| table.name == name);
    let object = |name: &str, more: Map<String, Value>| object(table(name), more);
    let none = Map::new;
    let source = with([
        ("schedule", object("schedule", none())),
        ("pull", object("source.pull", none())),
    ]);
    let list_of = |items: Value| json!({"type": "array", "items": items});
    let types = ["store.DIR", "store.BUCKET", "store.VAULT"].map(|name| object(name, none()));
    let top = with([
        ("source", list_of(object("source", source))),
        ("mirror", list_of(object("mirror", none()))),
        (
            "store",
            json!({"type": "object", "additionalProperties": {
                "type": "object",
                "required": ["type"],
                "oneOf": types,
            }}),
        ),
        ("encryption", object("encryption", none())),
        ("schedule", object("schedule", none())),
        ("hooks", object("hooks", none())),
        ("notify", object("notify", none())),
        ("alarms", object("alarms", none())),
        ("prices", object("prices", classes())),
    ]);
    let mut schema = object("", top);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("coldchain's config");
    debug_assert!(KEYS.iter().all(|key| !schema["properties"][key].is_null()));
    schema
}

fn with<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The page lists one class for all of them.
fn classes() -> Map<String, Value> {
    StorageClass::ALL
        .into_iter()
        .map(|class| (class.as_str().to_owned(), json!({"type": "object"})))
        .collect()
}

/// Returns the schema of a table. `more` replaces what the page says of a key.
fn object(table: Option<&KeyTable>, more: Map<String, Value>) -> Value {
    let keys = table.map_or(&[][..], |table| &table.keys);
    let mut properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    properties.extend(more);
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn property(key: &ConfigKey) -> Value {
    let mut property = key
        .choices()
        .map_or_else(|| of_kind(key.kind), |choices| json!({"enum": choices}));
    if !key.meaning.is_empty() {
        property["description"] = json!(plain(key.meaning));
    }
    if let Some(default) = key.default_value() {
        property["default"] = default;
    }
    property
}

fn of_kind(kind: &str) -> Value {
    if let Some(items) = kind.strip_prefix("list of ") {
        return json!({"type": "array", "items": of_kind(items.trim_end_matches('s'))});
    }
    if let Some(values) = kind.strip_prefix("table of ") {
        let values = of_kind(values.trim_end_matches('s'));
        return json!({"type": "object", "additionalProperties": values});
    }
    if let Some((range, word)) = kind.split_once(", or `") {
        let word = word.trim_matches(['`', '"']);
        return json!({"anyOf": [of_kind(range), {"const": word}]});
    }
    if let Some((least, most)) = kind.split_once(" to ") {
        let bound = |text: &str| text.parse::<u64>().ok();
        return json!({"type": "integer", "minimum": bound(least), "maximum": bound(most)});
    }
    match kind {
        "boolean" => json!({"type": "boolean"}),
        "size" => json!({"type": "string", "pattern": "^[0-9]+(KiB|MiB|GiB)$"}),
        "time" => json!({"type": "string", "pattern": "^[0-9]+[smhd]$"}),
        "share" => json!({"type": "string", "pattern": "^[0-9]+%$"}),
        "path" => json!({"type": "string", "pattern": "^/"}),
        "URL" => json!({"type": "string", "pattern": "^https?://[!-~]+$"}),
        "name" => json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}),
        "date" => json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
        "number, or terms" => {
            json!({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1_000_000}, {"type": "string"}]})
        }
        "table" => json!({"type": "object"}),
        // A text.
        _ => json!({"type": "string"}),
    }
}

/// Returns a text without the marks of Markdown: a link keeps its words.
pub(super) fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((words, (_, after))) = link
            .split_once("](")
            .and_then(|(words, after)| Some((words, after.split_once(')')?)))
        else {
            break;
        };
        text.push_str(before);
        if words.contains(']') {
            text.push('[');
            rest = link;
            continue;
        }
        text.push_str(words);
        rest = after;
    }
    text.push_str(rest);
    text.replace('`', "")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{
        ENCRYPTION_KEYS, hooks, mirror, notify, prices, pull, schedule, source, stores, vault,
    };
    use super::*;

    const KINDS: [&str; 14] = [
        "boolean",
        "size",
        "time",
        "share",
        "path",
        "URL",
        "name",
        "date",
        "number, or terms",
        "table",
        "text",
        "list of texts",
        "list of tables",
        "table of texts",
    ];

    #[test]
    fn the_page_knows_no_other_kind_of_value() {
        for key in tables().iter().flat_map(|table| &table.keys) {
            let kind = key.kind.split(", or `").next().unwrap();
            let number = kind
                .strip_prefix("list of ")
                .unwrap_or(kind)
                .split_once(" to ");
            let is_range = number.is_some_and(|(least, most)| {
                least.parse::<u64>().is_ok() && most.parse::<u64>().is_ok()
            });
            let is_known = KINDS.contains(&kind) || kind == "table of URLs" || is_range;
            assert!(
                is_known || key.choices().is_some(),
                "{}: {}",
                key.name,
                key.kind
            );
        }
    }

    #[test]
    fn each_table_has_the_keys_of_the_parser_and_no_other() {
        let schema = schema();
        let keys = |value: &Value| -> BTreeSet<String> {
            value["properties"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect()
        };
        let known = |keys: &[&str]| -> BTreeSet<String> {
            keys.iter().map(|key| (*key).to_owned()).collect()
        };
        let top = &schema["properties"];
        assert_eq!(keys(&schema), known(KEYS));
        assert_eq!(keys(&top["source"]["items"]), known(source::KEYS));
        assert_eq!(
            keys(&top["source"]["items"]["properties"]["pull"]),
            known(pull::KEYS)
        );
        assert_eq!(keys(&top["mirror"]["items"]), known(mirror::KEYS));
        let types = &top["store"]["additionalProperties"]["oneOf"];
        assert_eq!(keys(&types[0]), known(stores::DIR_KEYS));
        assert_eq!(keys(&types[1]), known(stores::S3_KEYS));
        assert_eq!(keys(&types[2]), known(vault::KEYS));
        assert_eq!(keys(&top["encryption"]), known(ENCRYPTION_KEYS));
        assert_eq!(keys(&top["schedule"]), known(schedule::KEYS));
        assert_eq!(
            keys(&top["source"]["items"]["properties"]["schedule"]),
            known(schedule::KEYS)
        );
        assert_eq!(keys(&top["hooks"]), known(hooks::KEYS));
        assert_eq!(keys(&top["notify"]), known(notify::KEYS));
        assert_eq!(keys(&top["alarms"]), known(notify::ALARM_KEYS));
        let classes = StorageClass::ALL.map(StorageClass::as_str);
        let of_prices: Vec<&str> = prices::KEYS.iter().copied().chain(classes).collect();
        assert_eq!(keys(&top["prices"]), known(&of_prices));
    }

    #[test]
    fn markdown_is_removed_from_a_text() {
        for (markdown, text) in [
            ("a `b` c", "a b c"),
            (
                "see [Snapshots](snapshots.md#x), [Pull](p.md)",
                "see Snapshots, Pull",
            ),
            ("the `[store.NAME]` of [x", "the [store.NAME] of [x"),
            ("as [NAME] in [Pull](p.md)", "as [NAME] in Pull"),
        ] {
            assert_eq!(plain(markdown), text);
        }
    }
}
