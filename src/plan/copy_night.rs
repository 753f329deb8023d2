//! What a night would bring to a copy, as far as it is known without looking at the copy.

use std::fmt;

use crate::model::Line;
use crate::model::size::Bytes;

/// What a night would bring to a copy after its archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyNight {
    /// The name of the copy's store in the config.
    pub to: String,
    /// How many visible archives it lacks as of the last run, without the one of the night itself.
    pub archives: usize,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Whether the copy was ever made.
    pub was_made: bool,
    /// Whether the night makes an archive, which the copy gets too.
    pub has_new: bool,
}

impl fmt::Display for CopyNight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", Line(&self.to))?;
        let s = if self.archives == 1 { "" } else { "s" };
        match (self.archives, self.has_new) {
            (0, false) => f.write_str("nothing to copy")?,
            (0, true) => f.write_str("the new archive")?,
            (lacks, has_new) => {
                write!(f, "{lacks} archive{s}, {}", Bytes(self.bytes))?;
                if has_new {
                    f.write_str(", and the new one")?;
                }
            }
        }
        f.write_str(if self.was_made {
            "; as of the last run"
        } else {
            "; it was never made"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(archives: usize, has_new: bool, was_made: bool) -> String {
        let night = CopyNight {
            to: "offsite".to_owned(),
            archives,
            bytes: archives as u64 * 1024,
            was_made,
            has_new,
        };
        night.to_string()
    }

    #[test]
    fn a_copy_gets_what_it_lacks_and_the_new_archive() {
        assert_eq!(
            words(0, false, true),
            "offsite: nothing to copy; as of the last run"
        );
        assert_eq!(
            words(0, true, true),
            "offsite: the new archive; as of the last run"
        );
        assert_eq!(
            words(1, false, true),
            "offsite: 1 archive, 1.00 KiB; as of the last run"
        );
        assert_eq!(
            words(2, true, false),
            "offsite: 2 archives, 2.00 KiB, and the new one; it was never made"
        );
    }
}
