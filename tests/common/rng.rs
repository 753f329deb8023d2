//! Chance that can be repeated.

/// splitmix64: the same seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `below`, exclusive.
    pub fn below(&mut self, below: u64) -> u64 {
        self.u64() % below
    }

    /// A length from `from` on and below `to`.
    pub fn length(&mut self, from: usize, to: usize) -> usize {
        from + usize::try_from(self.below((to - from) as u64)).unwrap()
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).unwrap()]
    }

    /// Bytes that don't compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        // Not by iterators over bytes: tests ask for hundreds of megabytes, and are not optimised.
        let mut bytes = vec![0; length];
        for eight in bytes.chunks_mut(8) {
            eight.copy_from_slice(&self.u64().to_le_bytes()[..eight.len()]);
        }
        bytes
    }

    /// Bytes that compress well: words from a short list.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        let words = [
            "cold ",
            "chain ",
            "archive ",
            "of ",
            "btrfs\n",
            "0123456789 ",
        ];
        let mut text = Vec::with_capacity(length + 16);
        while text.len() < length {
            text.extend(self.pick(&words).as_bytes());
        }
        text.truncate(length);
        text
    }
}
