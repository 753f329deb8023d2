//! The line of an archive in the list: as much as the terminal has room for.

use crate::catalog::ListedRow;
use crate::commands::output::sealed_percent;
use crate::model::size::Bytes;

/// How wide the line of an archive is without its sizes, and without what only some archives have.
const WITHOUT_SIZES: usize = 61;

/// What nearly all archives are.
const COMMITTED: &str = "committed";

/// The widths of the columns with sizes, over all archives, and of a line.
pub(super) struct RowWidths {
    raw: usize,
    sealed: usize,
    pub(super) columns: usize,
}

impl RowWidths {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            raw: 0,
            sealed: 0,
            columns,
        }
    }

    /// Makes the columns wide enough for an archive.
    pub(super) fn cover(&mut self, archive: &ListedRow) {
        let width = |bytes| Bytes(bytes).to_string().len();
        self.raw = self.raw.max(width(archive.raw_bytes));
        self.sealed = self.sealed.max(width(archive.sealed_bytes));
    }

    /// Returns what the line of each archive says.
    pub(super) fn line(&self, archive: &ListedRow, state: &str) -> String {
        let (id, sealed) = (archive.link.id, Bytes(archive.sealed_bytes));
        let begin = format!("{}  {:11}", id.date, id.kind);
        if WITHOUT_SIZES + self.raw + self.sealed > self.columns {
            let state = match state {
                COMMITTED => String::new(),
                other => format!("  {other}"),
            };
            return format!("{begin}  {sealed:>0$}{state}", self.sealed);
        }
        format!(
            "{begin}  raw {:>raw$}  sealed {sealed:>sealed_wide$}  {:>5}  {state}",
            Bytes(archive.raw_bytes),
            sealed_percent(archive.sealed_bytes, archive.raw_bytes).unwrap_or_default(),
            raw = self.raw,
            sealed_wide = self.sealed,
        )
    }
}
