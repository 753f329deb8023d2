//! Unpacks LZO1X, the form of lzo that btrfs has, by the description in the kernel's `Documentation/staging/lzo.rst`.
//!
//! The crates that do this take as much memory as hostile data asks for, or panic on it.

use super::UnpackError;

/// What `state` is after a run of literals.
const AFTER_LITERALS: usize = 4;

struct Reader<'a> {
    packed: &'a [u8],
    out: Vec<u8>,
    limit: usize,
}

/// Unpacks data of at most `limit` bytes.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut reader = Reader {
        packed,
        out: Vec::with_capacity(limit),
        limit,
    };
    reader.run()?;
    Ok(reader.out)
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), UnpackError> {
        let mut state = 0;
        // The first byte has a form of its own: a run of literals.
        if let Some(&first) = self.packed.first()
            && first > 17
        {
            self.packed = &self.packed[1..];
            let literals = usize::from(first) - 17;
            self.literals(literals)?;
            state = literals.min(AFTER_LITERALS);
        }
        loop {
            let code = usize::from(self.byte()?);
            let (length, distance, literals) = match (code, state) {
                (0..16, 0) => {
                    let literals = self.length(code, 15)? + 3;
                    self.literals(literals)?;
                    state = AFTER_LITERALS;
                    continue;
                }
                (0..16, AFTER_LITERALS) => {
                    let high = usize::from(self.byte()?);
                    (3, (high << 2) + (code >> 2) + 2049, code & 3)
                }
                (0..16, _) => {
                    let high = usize::from(self.byte()?);
                    (2, (high << 2) + (code >> 2) + 1, code & 3)
                }
                (16..32, _) => {
                    let length = self.length(code & 7, 7)? + 2;
                    let low = self.pair()?;
                    let distance = ((code & 8) << 11) + (low >> 2);
                    if distance == 0 {
                        // The mark of the end.
                        return Ok(());
                    }
                    (length, distance + 16384, low & 3)
                }
                (32..64, _) => {
                    let length = self.length(code & 31, 31)? + 2;
                    let low = self.pair()?;
                    (length, (low >> 2) + 1, low & 3)
                }
                _ => {
                    let high = usize::from(self.byte()?);
                    ((code >> 5) + 1, (high << 3) + (code >> 2 & 7) + 1, code & 3)
                }
            };
            self.repeat(length, distance)?;
            self.literals(literals)?;
            state = literals;
        }
    }

    fn byte(&mut self) -> Result<u8, UnpackError> {
        let (&byte, rest) = self.packed.split_first().ok_or_else(UnpackError::cut)?;
        self.packed = rest;
        Ok(byte)
    }

    fn pair(&mut self) -> Result<usize, UnpackError> {
        Ok(usize::from(self.byte()?) | usize::from(self.byte()?) << 8)
    }

    /// Returns a length of which a code has `bits`. If they are 0, bytes follow: `most`, 255 for each zero, and the first
    /// other one.
    fn length(&mut self, bits: usize, most: usize) -> Result<usize, UnpackError> {
        if bits > 0 {
            return Ok(bits);
        }
        let mut length = most;
        loop {
            match self.byte()? {
                0 => length += 255,
                last => return Ok(length + usize::from(last)),
            }
        }
    }

    fn literals(&mut self, number: usize) -> Result<(), UnpackError> {
        let literals = self.packed.split_at_checked(number);
        let (literals, rest) = literals.ok_or_else(UnpackError::cut)?;
        self.require_room(number)?;
        self.out.extend_from_slice(literals);
        self.packed = rest;
        Ok(())
    }

    /// Adds bytes that were there `distance` before, some of which may be among those that are added.
    fn repeat(&mut self, length: usize, distance: usize) -> Result<(), UnpackError> {
        let begin = self.out.len().checked_sub(distance);
        let begin = begin.ok_or_else(|| UnpackError("it repeats what is not there".to_owned()))?;
        self.require_room(length)?;
        for at in begin..begin + length {
            self.out.push(self.out[at]);
        }
        Ok(())
    }

    fn require_room(&self, more: usize) -> Result<(), UnpackError> {
        if self.out.len() + more > self.limit {
            return Err(UnpackError("it is longer than a sector".to_owned()));
        }
        Ok(())
    }
}
