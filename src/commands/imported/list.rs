//! Imported archives in a list.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::catalog::{ImportedArchiveRow, ImportedState};
use crate::engine::KnownImport;
use crate::model::Line;
use crate::model::size::Bytes;

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

/// Returns the archives to show.
fn shown(import: &KnownImport, all: bool) -> impl DoubleEndedIterator<Item = &ImportedArchiveRow> {
    let archives = import.archives.iter();
    archives.filter(move |archive| all || archive.state != ImportedState::Deleted)
}

/// Returns the archives of an import as JSON.
pub(in crate::commands) fn to_json(import: &KnownImport, all: bool) -> Value {
    let archives: Vec<Value> = shown(import, all).map(archive_to_json).collect();
    json!({
        "name": import.row.name, "imported": "btrsend", "store": import.row.store,
        "vault": import.row.vault, "region": import.row.region,
        "imported_at": import.row.imported_at, "archives": archives,
    })
}

/// Returns one archive as JSON.
pub(super) fn archive_to_json(archive: &ImportedArchiveRow) -> Value {
    let kind = if archive.parent.is_none() {
        "full"
    } else {
        "incremental"
    };
    json!({
        "date": archive.date, "kind": kind, "send_parent": archive.parent,
        "state": archive.state.as_str(), "state_at": archive.state_at, "fault": archive.fault,
        "bytes": archive.bytes, "vault_id": archive.vault_id, "stream_uuid": archive.stream_uuid,
    })
}

/// Adds the archives of an import to the text of a list, a tree a chain.
pub(in crate::commands) fn write_text(text: &mut String, import: &KnownImport, all: bool) {
    let row = &import.row;
    if !text.is_empty() {
        text.push('\n');
    }
    writeln!(
        text,
        "{}  imported from btrsend, in the vault {} ({})",
        row.name,
        Line(&row.vault),
        Line(&row.region)
    )
    .expect(NO_FAILURE);
    let mut archives = shown(import, all).peekable();
    if archives.peek().is_none() {
        text.push_str("  all of them are deleted\n");
    }
    let mut before = None;
    while let Some(archive) = archives.next() {
        if archive.parent.is_none() {
            writeln!(text, "  chain of {}  imported", archive.date).expect(NO_FAILURE);
        }
        let is_last = archives.peek().is_none_or(|next| next.parent.is_none());
        let branch = if is_last { "└─" } else { "├─" };
        let kind = if archive.parent.is_none() {
            "full"
        } else {
            "incremental"
        };
        let parent = match archive.parent {
            Some(parent) if Some(parent) != before => format!("  on {parent}"),
            _ => String::new(),
        };
        before = Some(archive.date);
        let fault = archive.fault.as_deref();
        let fault = fault.map_or_else(String::new, |fault| format!(": {}", Line(fault)));
        writeln!(
            text,
            "  {branch} {}  {kind:11}  {:>10}  {}{fault}{parent}",
            archive.date,
            Bytes(archive.bytes).to_string(),
            archive.state.as_str(),
        )
        .expect(NO_FAILURE);
    }
}
