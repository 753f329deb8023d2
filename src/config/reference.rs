//! The keys of the config as docs/configuration.md lists them: the one source of the page, `config schema`,
//! `config show` and coldchain.toml(5).

use serde_json::Value;

use super::toml_value;

const PAGE: &str = include_str!("../../docs/configuration.md");

/// A table of keys.
#[derive(Debug)]
pub struct KeyTable {
    /// Its name: empty for the top level, `source`, `source.pull`; stores have one for each type, `store.DIR`.
    pub name: &'static str,
    /// The keys in the page's order.
    pub keys: Vec<ConfigKey>,
}

/// A key of the config.
#[derive(Debug)]
pub struct ConfigKey {
    /// Its name in the file.
    pub name: &'static str,
    /// What values it takes, in the page's words.
    pub kind: &'static str,
    /// The value if the key is not set, in the page's words.
    pub default: &'static str,
    /// What it does. Markdown.
    pub meaning: &'static str,
    /// A value, as the file has it.
    pub example: &'static str,
}

impl ConfigKey {
    /// Returns the default, if it is a value and not described in words.
    pub fn default_value(&self) -> Option<Value> {
        let literal = code(
            self.default
                .split_once("`, ")
                .map_or(self.default, |it| it.0),
        )?;
        toml_value::parse_value(literal)
    }

    /// Returns the only values that it takes, if the page lists them.
    pub fn choices(&self) -> Option<Vec<Value>> {
        let choices = self.kind.split(", ").map(|choice| code(choice.trim()));
        choices
            .map(|choice| choice.and_then(toml_value::parse_value))
            .collect()
    }
}

/// Returns what stands in backquotes, if that is all.
fn code(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('`')?;
    let inner = inner.strip_suffix('`').unwrap_or(inner);
    (!inner.contains('`')).then_some(inner)
}

/// Returns all tables, the top level first.
pub fn tables() -> Vec<KeyTable> {
    let mut tables = vec![KeyTable {
        name: "",
        keys: Vec::new(),
    }];
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            tables.push(KeyTable {
                name: code(title.trim()).unwrap_or_default(),
                keys: Vec::new(),
            });
        } else if let (Some(key), Some(table)) = (row(line), tables.last_mut()) {
            table.keys.push(key);
        }
    }
    tables
}

fn row(line: &'static str) -> Option<ConfigKey> {
    let cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|');
    let cells: Vec<&str> = cells.map(str::trim).collect();
    let &[name, kind, default, meaning, example] = &cells[..] else {
        return None;
    };
    Some(ConfigKey {
        name: code(name)?,
        kind,
        default,
        meaning,
        example: code(example)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_row_of_the_page_is_read() {
        let tables = tables();
        let rows = PAGE.lines().filter(|line| line.starts_with("| `")).count();
        let keys = tables.iter().map(|table| table.keys.len());
        assert_eq!(keys.sum::<usize>(), rows);
        assert_eq!(tables.len(), 13, "{tables:?}");
        assert!(tables.iter().all(|table| !table.keys.is_empty()));
    }

    #[test]
    fn defaults_and_choices_are_values() {
        let tables = tables();
        let key = |name: &str| {
            tables
                .iter()
                .flat_map(|it| &it.keys)
                .find(|it| it.name == name)
        };
        let default = |name: &str| key(name).unwrap().default_value();
        assert_eq!(default("state_dir"), Some(json!("/var/lib/coldchain")));
        assert_eq!(default("memory_limit"), Some(json!("512MiB")));
        assert_eq!(default("days"), Some(json!([1, 7, 14, 21])));
        assert_eq!(default("compression"), Some(json!(3)));
        assert_eq!(default("log"), None);
        let choices = |name: &str| key(name).unwrap().choices();
        assert_eq!(choices("protocol"), Some(vec![json!(1), json!(2)]));
        assert_eq!(
            choices("priority"),
            Some(vec![json!("normal"), json!("low")])
        );
        assert_eq!(choices("keep"), None);
        assert_eq!(choices("compression"), None);
    }
}
