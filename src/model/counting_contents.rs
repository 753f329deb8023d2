//! Which contents of an archive count, where entries name several.

/// An entry that names contents of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedContents {
    /// The entry's number.
    pub entry: u64,
    /// The number of the entry whose contents are lost, so that these take their place; `None` if they replace none.
    pub replaces: Option<u64>,
}

/// Returns the numbers of the entries whose contents have counted, one after the other. Those of the last one count now.
///
/// `named` is in the order of the ledger, without entries that were voided. The first counts. A later one counts only if
/// it says that it replaces the contents that count until then: so of two that replace the same ones, the first counts.
pub fn counting_contents(named: impl IntoIterator<Item = NamedContents>) -> Vec<u64> {
    let mut counting: Vec<u64> = Vec::new();
    for NamedContents { entry, replaces } in named {
        let counts = match counting.last() {
            None => true,
            Some(last) => replaces == Some(*last) && entry > *last,
        };
        if counts {
            counting.push(entry);
        }
    }
    counting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(named: &[(u64, Option<u64>)]) -> Vec<u64> {
        let named = named
            .iter()
            .map(|&(entry, replaces)| NamedContents { entry, replaces });
        counting_contents(named)
    }

    #[test]
    fn the_first_counts_until_an_entry_says_that_it_replaces_it() {
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[(2, None), (3, None), (4, None)]), [2]);
        assert_eq!(of(&[(2, None), (3, Some(2)), (4, Some(2))]), [2, 3]);
        assert_eq!(
            of(&[(2, None), (4, Some(2)), (5, None), (6, Some(4))]),
            [2, 4, 6]
        );
        // What it says that it replaces was voided.
        assert_eq!(of(&[(4, Some(2)), (5, Some(2))]), [4]);
        assert_eq!(of(&[(4, Some(4)), (4, Some(4)), (5, Some(9))]), [4]);
    }
}
