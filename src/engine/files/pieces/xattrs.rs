//! Extended attributes in memory: many files have the same, which are there once.

use std::collections::HashMap;

use super::inode::Xattrs;

/// Extended attributes, by number; 0 is none at all.
#[derive(Debug)]
pub(super) struct XattrTable {
    all: Vec<Xattrs>,
    known: HashMap<Xattrs, u32>,
}

impl Default for XattrTable {
    fn default() -> Self {
        Self {
            all: vec![Vec::new()],
            known: HashMap::from([(Vec::new(), 0)]),
        }
    }
}

impl XattrTable {
    pub(super) fn get(&self, number: u32) -> &Xattrs {
        &self.all[number as usize]
    }

    /// Returns about how much memory attributes take here.
    pub(super) fn cost(xattrs: &Xattrs) -> u64 {
        let bytes = xattrs.iter().map(|(name, value)| name.len() + value.len());
        2 * (bytes.sum::<usize>() + 96 * xattrs.len()) as u64 + 128
    }

    /// Returns the number of attributes, and what they take in memory if they are new.
    pub(super) fn number(&mut self, xattrs: Xattrs) -> (u32, u64) {
        if let Some(number) = self.known.get(&xattrs) {
            return (*number, 0);
        }
        let cost = Self::cost(&xattrs);
        let number = u32::try_from(self.all.len()).expect("memory has no more");
        self.all.push(xattrs.clone());
        self.known.insert(xattrs, number);
        (number, cost)
    }
}
