//! Text in columns.

/// Rows of text, shown in columns that are as wide as their longest text.
pub(in crate::commands) struct TextTable {
    /// `<` for a column whose texts stand at the left, `>` for one whose texts stand at the right.
    columns: &'static str,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// Makes a table of columns: `<` for each whose texts stand at the left, `>` for each other.
    pub(in crate::commands) const fn new(columns: &'static str) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(in crate::commands) fn row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Adds a row of names.
    pub(in crate::commands) fn head<const N: usize>(&mut self, names: [&str; N]) {
        self.row(names.map(str::to_owned));
    }

    /// Returns the rows, the names among them, each with whether its texts stand at the right. A column without any text
    /// is left out.
    pub(in crate::commands) fn cells(&self) -> Vec<Vec<(&str, bool)>> {
        let is_used = |at: usize| {
            let mut texts = self.rows.iter().filter_map(|row| row.get(at));
            texts.any(|text| !text.is_empty())
        };
        let rows = self.rows.iter().map(|row| {
            let cells = row.iter().zip(self.columns.chars()).enumerate();
            let used = cells.filter(|(at, _)| is_used(*at));
            used.map(|(_, (text, align))| (text.as_str(), align == '>'))
                .collect()
        });
        rows.collect()
    }

    /// Returns the rows as lines, each after that indent. A column without any text is left out.
    pub(in crate::commands) fn lines(&self, indent: &str) -> String {
        let width = |at: usize| {
            let texts = self.rows.iter().filter_map(|row| row.get(at));
            texts.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let columns = self.columns.chars().enumerate();
        let columns: Vec<(char, usize)> = columns.map(|(at, align)| (align, width(at))).collect();
        let mut lines = String::new();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&columns)
                .filter(|(_, (_, width))| *width > 0);
            let cells: Vec<String> = cells
                .map(|(text, &(align, width))| match align {
                    '<' => format!("{text:<width$}"),
                    _ => format!("{text:>width$}"),
                })
                .collect();
            lines += indent;
            lines += cells.join("  ").trim_end();
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_text() {
        let mut table = TextTable::new("<>>>");
        for row in [
            ["a", "1", "", "x"],
            ["bcd", "10", "", ""],
            ["ä", "", "", "yz"],
        ] {
            table.head(row);
        }
        assert_eq!(
            table.lines("  "),
            "  a     1   x\n  bcd  10\n  ä        yz\n"
        );
    }
}
