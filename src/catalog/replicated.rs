//! The part of the catalog that the ledger says too: the columns that the schema marks "replicated".

use rusqlite::types::Value;

use super::Catalog;
use super::error::CatalogError;
use crate::model::LedgerId;

/// The replicated rows of each table: the table, the columns, and the rest of the query. The first column
/// identifies a row, and `?1` is the ledger.
const REPLICATED: [(&str, &str, &str); 6] = [
    ("source", "ledger, directory", "source WHERE ledger = ?1"),
    (
        "entry",
        "seq, kind, hash, object",
        "entry WHERE ledger = ?1 AND state = 'committed'",
    ),
    ("quarantine", "seq, reason", "quarantine WHERE ledger = ?1"),
    (
        "archive",
        "id, seq, date, slot, kind, chain, send_parent, state, stream_uuid, stream_ctransid,
            send_parent_uuid, raw_bytes, sealed_bytes, protocol, kernel, btrfs_progs, segment_size,
            frame_size, recipients, deletion, compressed_data",
        "archive WHERE ledger = ?1 AND state IN ('committed', 'retired') AND seq IS NOT NULL",
    ),
    (
        "contents",
        "archive || ' ' || entry || ' ' || idx AS place, stream_bytes, raw_bytes, sealed_bytes, sha256,
            replaces",
        "contents WHERE archive IN
            (SELECT id FROM archive WHERE ledger = ?1 AND state IN ('committed', 'retired'))",
    ),
    (
        "segment",
        "archive || ' ' || idx AS place, raw_bytes, sealed_bytes, sha256",
        "segment WHERE archive IN
            (SELECT id FROM archive WHERE ledger = ?1 AND state IN ('committed', 'retired'))",
    ),
];

/// A row's replicated columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicatedRow {
    /// Its table.
    pub table: &'static str,
    /// The first column, which identifies it in its table.
    pub key: String,
    /// Its other columns: name and value.
    pub columns: Vec<(String, String)>,
}

impl Catalog {
    /// Returns all replicated rows in a fixed order: if two catalogs return the same, they say the same.
    pub fn replicated(&self, ledger: &LedgerId) -> Result<Vec<ReplicatedRow>, CatalogError> {
        let mut rows = Vec::new();
        for (table, columns, from) in REPLICATED {
            let sql = format!("SELECT {columns} FROM {from}");
            rows.extend(self.select(
                "read what is replicated",
                &sql,
                [ledger.to_string()],
                |row| {
                    let names = row.as_ref().column_names();
                    let mut columns = Vec::with_capacity(names.len());
                    for (at, name) in names.into_iter().enumerate() {
                        columns.push((name.to_owned(), shown(row.get(at)?)));
                    }
                    let (_, key) = columns.remove(0);
                    Ok(ReplicatedRow {
                        table,
                        key,
                        columns,
                    })
                },
            )?);
        }
        rows.sort();
        Ok(rows)
    }
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
