//! What a catalog holds that the ledger says too: the columns that the schema marks "replicated".

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use coldchain::model::LedgerId;
use rusqlite::Connection;
use rusqlite::types::Value;

/// The ledger of the one source that the catalog at that path knows.
pub fn only_ledger(catalog: &Path) -> LedgerId {
    let connection = Connection::open(catalog).unwrap();
    let text: String = connection
        .query_row("SELECT ledger FROM source", [], |row| row.get(0))
        .unwrap();
    text.parse().unwrap()
}

static COLUMNS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(replicated_columns);

/// Every replicated value of a ledger in the catalog at that path, row by row: two that are equal
/// say the same.
pub fn replicated(catalog: &Path, ledger: LedgerId) -> BTreeMap<String, Vec<String>> {
    let connection = Connection::open(catalog).unwrap();
    let mut found = BTreeMap::new();
    for (table, columns) in &*COLUMNS {
        // What tells the rows apart, and a state that is replicated once it can be.
        let (also, which) = match table.as_str() {
            "source" => ("ledger", "ledger = ?1"),
            "entry" => ("state", "ledger = ?1 AND state = 'committed'"),
            "quarantine" => ("seq", "ledger = ?1"),
            "archive" => (
                "state",
                "ledger = ?1 AND state IN ('committed', 'retired') AND seq IS NOT NULL",
            ),
            "segment" => (
                "archive",
                "archive IN (SELECT id FROM archive WHERE ledger = ?1 AND state IN ('committed', 'retired'))",
            ),
            "contents" => (
                "archive",
                "archive IN (SELECT id FROM archive WHERE ledger = ?1 AND state IN ('committed', 'retired')) AND entry > 0",
            ),
            other => panic!("the table {other} has replicated columns that nobody compares"),
        };
        let columns = columns.join(", ");
        let sql = format!("SELECT {also}, {columns} FROM {table} WHERE {which}");
        let mut statement = connection.prepare(&sql).unwrap();
        let count = statement.column_count();
        let mut rows: Vec<String> = statement
            .query_map([ledger.to_string()], |row| {
                let values = (0..count).map(|at| row.get::<_, Value>(at).map(shown));
                Ok(values.collect::<Result<Vec<_>, _>>()?.join(" | "))
            })
            .unwrap()
            .map(Result::unwrap)
            .collect();
        rows.sort();
        found.insert(format!("{table}: {columns}"), rows);
    }
    found
}

fn shown(value: Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// The columns that a comment in `schema/` calls replicated, by their tables.
fn replicated_columns() -> BTreeMap<String, Vec<String>> {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let mut scripts: Vec<_> = std::fs::read_dir(schema)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // Schemas of other databases have directories of their own.
        .filter(|path| path.is_file())
        .collect();
    scripts.sort();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for script in scripts {
        let text = std::fs::read_to_string(script).unwrap();
        let mut table = String::new();
        let mut comment = "";
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let column = match words[..] {
                ["CREATE", "TABLE", name, ..] => {
                    name.clone_into(&mut table);
                    continue;
                }
                // One that was added later has its comment in the line before.
                ["ALTER", "TABLE", name, "ADD", "COLUMN", column, ..] => {
                    name.clone_into(&mut table);
                    comment.contains("-- replicated").then_some(column)
                }
                [column, ..] if column != "--" => line.contains("-- replicated").then_some(column),
                _ => None,
            };
            comment = line;
            let of_table = column.map(|column| column.trim_end_matches(';').to_owned());
            columns.entry(table.clone()).or_default().extend(of_table);
        }
    }
    columns.retain(|_, columns| !columns.is_empty());
    let count: usize = columns.values().map(Vec::len).sum();
    assert!(count >= 28, "too few are marked: {columns:?}");
    columns
}
