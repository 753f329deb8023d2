//! Answers, and words that several of them have.

pub(super) use crate::printing::{answer, answer_json, answer_lines};

/// Below so many raw bytes the headers of a sealed segment weigh more than what compression saves.
const MEASURABLE: u64 = 64 << 10;

/// The sealed size in percent of the raw one; `None` where it would say nothing of how well the data compress.
pub(super) fn sealed_percent(sealed: u64, raw: u64) -> Option<String> {
    let (part, whole) = (u128::from(sealed), u128::from(raw));
    (raw >= MEASURABLE).then(|| format!("{} %", (part * 100 + whole / 2) / whole))
}

/// `1 archive`, `2 archives`.
pub(super) fn count(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}
