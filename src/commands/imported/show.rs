//! `coldchain show --imported`: all that is known of one imported archive.

use std::fmt::Write as _;

use super::date_of;
use super::list::archive_to_json;
use crate::catalog::ImportedArchiveRow;
use crate::cli::{Everywhere, Show};
use crate::commands::load_any;
use crate::commands::output::{answer, answer_json};
use crate::engine::{KnownImport, StateDir};
use crate::error::Error;
use crate::model::size::Bytes;
use crate::model::{Line, SourceName};

pub(in crate::commands) fn run(
    args: &Show,
    name: &SourceName,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let config = load_any(everywhere)?;
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let import = KnownImport::named(name, &catalog)?;
    let archive = import.archive(date_of(args.target.typed(), &config)?)?;
    if everywhere.json {
        return answer_json(&archive_to_json(archive));
    }
    answer(&to_text(&import, archive))
}

fn to_text(import: &KnownImport, archive: &ImportedArchiveRow) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:14}{}", Line(value)).expect("writing to a string does not fail");
    };
    line(
        "imported",
        format!("{}, from btrsend, row {}", import.row.name, archive.number),
    );
    line("date", archive.date.to_string());
    match archive.parent {
        None => line("kind", "full".to_owned()),
        Some(parent) => line("kind", format!("incremental, on {parent}")),
    }
    let since = archive
        .state_at
        .map_or_else(String::new, |at| format!(", since {at}"));
    line("state", format!("{}{since}", archive.state.as_str()));
    if let Some(fault) = &archive.fault {
        line("fault", fault.clone());
    }
    line("size", Bytes(archive.bytes).to_string());
    if let Some(uuid) = archive.stream_uuid {
        line("stream", uuid.to_string());
    }
    let row = &import.row;
    line(
        "stored in",
        format!(
            "the vault {} ({}), as {}",
            row.vault, row.region, archive.vault_id
        ),
    );
    text
}
