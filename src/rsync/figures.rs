//! What rsync counts.

/// What a run of rsync has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RsyncFigures {
    /// Entries that it found to pull, with the directory itself.
    pub entries: u64,
    /// Entries that it made, or would make.
    pub created: u64,
    /// Entries that it deleted, or would delete.
    pub deleted: u64,
    /// Regular files whose content it pulled, or would pull.
    pub transferred: u64,
    /// Bytes of those files.
    pub transferred_bytes: u64,
}

impl RsyncFigures {
    /// Takes a line of what rsync prints. A later line of the same kind replaces an earlier one.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let Some((what, value)) = line.split_once(": ") else {
            return false;
        };
        let place = match what {
            "Number of files" => &mut self.entries,
            "Number of created files" => &mut self.created,
            "Number of deleted files" => &mut self.deleted,
            "Number of regular files transferred" => &mut self.transferred,
            "Total transferred file size" => &mut self.transferred_bytes,
            _ => return false,
        };
        let number = value.split(' ').next().and_then(|it| it.parse().ok());
        if let Some(number) = number {
            *place = number;
        }
        number.is_some()
    }
}

/// Returns the bytes that a line of progress says: `  1234567  45%    1.20MB/s    0:00:01`.
pub(super) fn progress(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let bytes = words.next()?.parse().ok()?;
    words.next()?.ends_with('%').then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_progress_are_read() {
        let mut figures = RsyncFigures::default();
        let lines = [
            "Number of files: 1 (dir: 1)",
            "Number of files: 11 (reg: 4, dir: 3)",
            "Number of created files: 10 (reg: 4)",
            "Number of deleted files: 0",
            "Number of regular files transferred: 3",
            "Total transferred file size: 21007186 bytes",
        ];
        assert!(lines.iter().all(|line| figures.take(line)));
        assert!(!figures.take("Number of files: many") && !figures.take("sent 7 bytes"));
        let expected = RsyncFigures {
            entries: 11,
            created: 10,
            deleted: 0,
            transferred: 3,
            transferred_bytes: 21_007_186,
        };
        assert_eq!(figures, expected);
        assert_eq!(
            progress("       20971520  99%  192.01MB/s    0:00:00 (xfr#1, to-chk=9/11)"),
            Some(20_971_520)
        );
        assert_eq!(progress("7 files"), None);
        assert_eq!(progress(""), None);
    }
}
