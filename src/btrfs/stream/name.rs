//! A file name in 24 bytes. Only a long name is allocated.

/// Names up to this length are stored in place. Most names of symlinks are shorter.
const SHORT: usize = 22;

/// The name of a directory entry, at most 255 bytes.
#[derive(Debug)]
pub(super) enum Name {
    /// Stored in place.
    Short {
        /// How many of the bytes are the name.
        length: u8,
        /// The name, then zeros.
        bytes: [u8; SHORT],
    },
    /// Allocated.
    Long(Box<[u8]>),
}

impl Name {
    /// Returns the name's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::from(&b""[..])
    }
}

impl From<&[u8]> for Name {
    fn from(name: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match (u8::try_from(name.len()), bytes.get_mut(..name.len())) {
            (Ok(length), Some(start)) => {
                start.copy_from_slice(name);
                Self::Short { length, bytes }
            }
            _ => Self::Long(name.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_comes_back() {
        for length in 0..=300 {
            let name = vec![b'n'; length];
            assert_eq!(Name::from(&name[..]).bytes(), name);
        }
        assert_eq!(size_of::<Name>(), 24);
    }
}
