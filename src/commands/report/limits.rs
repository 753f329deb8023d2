//! How much a page draws of each source.

/// How much a page draws of all sources together.
const MARKS: usize = 3200;

/// How much it draws of a source at most, and at least.
const MARKS_OF_ONE: (usize, usize) = (20, 240);

/// How much is drawn and listed of each source, so that the page has a size that it can be sent and opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DrawLimits {
    /// Marks on an axis.
    pub(super) marks: usize,
    /// Rows of a table.
    pub(super) rows: usize,
    /// Chains with a line of their own.
    pub(super) chains: usize,
}

impl DrawLimits {
    /// Returns how much is drawn of each of so many sources.
    pub(super) fn of(sources: usize) -> Self {
        let (least, most) = MARKS_OF_ONE;
        let marks = (MARKS / sources.max(1)).clamp(least, most);
        Self {
            marks,
            rows: marks / 2,
            chains: (marks / 10).max(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sources_have_more_room_than_many() {
        assert_eq!(DrawLimits::of(0), DrawLimits::of(1));
        assert_eq!(DrawLimits::of(1).marks, 240);
        assert_eq!(DrawLimits::of(40).marks, 80);
        let many = DrawLimits::of(100_000);
        assert_eq!((many.marks, many.rows, many.chains), (20, 10, 2));
    }
}
