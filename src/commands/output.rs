//! Writing answers to stdout, and tables that line up.

use std::io::{ErrorKind, Write};

use serde_json::Value;

use crate::error::Error;
use crate::model::quoted::told;

/// Writes an answer. A reader that went away (`coldchain list | head`) is no error. Much of it comes from
/// stores, and commands no terminal.
pub(super) fn answer(text: &str) -> Result<(), Error> {
    write(&told(text))
}

fn write(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|source| Error::file("write to", "stdout", source)),
    }
}

/// Writes an answer in JSON: one document.
pub(super) fn answer_json(value: &Value) -> Result<(), Error> {
    write(&format!("{value}\n"))
}

/// `a` of `b` in percent, as text.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let (part, whole) = (u128::from(part), u128::from(whole));
    match (part * 100 + whole / 2).checked_div(whole) {
        Some(percent) => format!("{percent} %"),
        None => "–".to_owned(),
    }
}

/// `1 archive`, `2 archives`.
pub(super) fn count(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}
