//! Prints answers and what is done meanwhile, and makes texts that several answers share.

use crate::cli::Everywhere;
use crate::printing;
pub(super) use crate::printing::{
    answer, answer_json, answer_lines, answer_null, answer_path, stdout_columns,
};
use crate::progress::{Bars, JsonLines, Observer, Quiet, ServiceStatus, Verbose};

/// With fewer raw bytes, the headers of a sealed segment weigh more than what compression saves.
const MEASURABLE: u64 = 64 << 10;

/// Returns the sealed size in percent of the raw one; `None` if there are too few bytes to judge the
/// compression.
pub(super) fn sealed_percent(sealed: u64, raw: u64) -> Option<String> {
    let (part, whole) = (u128::from(sealed), u128::from(raw));
    (raw >= MEASURABLE).then(|| format!("{} %", (part * 100 + whole / 2) / whole))
}

/// Returns a text such as `1 archive` or `2 archives`.
pub(super) fn count(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// Returns a text such as `1 copy` or `2 copies`.
pub(super) fn copies(n: u64) -> String {
    if n == 1 {
        "1 copy".to_owned()
    } else {
        format!("{n} copies")
    }
}

/// Returns the observer that these options ask for.
pub(super) fn observer(everywhere: &Everywhere) -> Box<dyn Observer> {
    ServiceStatus::beside(printing_observer(everywhere))
}

fn printing_observer(everywhere: &Everywhere) -> Box<dyn Observer> {
    if everywhere.json {
        Box::new(JsonLines)
    } else if everywhere.verbose {
        Box::new(Verbose)
    } else if !everywhere.quiet && printing::stderr_is_terminal() {
        Box::new(Bars::default())
    } else {
        Box::new(Quiet)
    }
}
