//! The marker of a copy: an object beside the ledger's entries which says that no writer and no pruner may work
//! at that place.

use std::fmt;
use std::str::FromStr;

use super::ids::{LedgerId, PlaceId};

/// The most bytes of a marker that are read. One of coldchain's has 97.
pub const MARKER_BYTES: u64 = 4096;

/// The marker's first line.
const FIRST: &str = "coldchain copy";

/// Why an object is no marker of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the text of three lines that coldchain writes there")]
pub struct NoCopyMarker;

/// What the marker of a copy says. Its text is these three lines, each of which ends in a newline:
///
/// ```text
/// coldchain copy
/// place 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
/// ledger ae1124264c40b38fc94cb645b99232a5
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyMarker {
    /// The id of the place.
    pub place: PlaceId,
    /// The ledger of which it is a copy.
    pub ledger: LedgerId,
}

impl CopyMarker {
    /// Reads a marker as it is stored. Any other bytes are refused: a marker is written by coldchain alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoCopyMarker> {
        std::str::from_utf8(bytes)
            .map_err(|_| NoCopyMarker)?
            .parse()
    }
}

impl fmt::Display for CopyMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, ledger } = self;
        write!(f, "{FIRST}\nplace {place}\nledger {ledger}\n")
    }
}

impl FromStr for CopyMarker {
    type Err = NoCopyMarker;

    fn from_str(text: &str) -> Result<Self, NoCopyMarker> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [FIRST, place, ledger, ""] = lines[..] else {
            return Err(NoCopyMarker);
        };
        let place = place.strip_prefix("place ").ok_or(NoCopyMarker)?;
        let ledger = ledger.strip_prefix("ledger ").ok_or(NoCopyMarker)?;
        Ok(Self {
            place: place.parse().map_err(|_| NoCopyMarker)?,
            ledger: ledger.parse().map_err(|_| NoCopyMarker)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> CopyMarker {
        CopyMarker {
            place: PlaceId([0x5a; 16]),
            ledger: LedgerId([0x0b; 16]),
        }
    }

    #[test]
    fn a_marker_reads_back_as_it_was_written() {
        let text = marker().to_string();
        assert_eq!(
            text,
            "coldchain copy\nplace 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\nledger 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\n"
        );
        assert_eq!(CopyMarker::parse(text.as_bytes()), Ok(marker()));
    }

    #[test]
    fn any_other_text_is_no_marker() {
        let text = marker().to_string();
        let others = [
            String::new(),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{text}more\n"),
            text.replace('\n', "\r\n"),
            text.replace("place ", "place  "),
            text.replace("5a", "5A"),
            text.replace("coldchain copy", "coldchain copy 2"),
            text.replace("ledger", "place"),
        ];
        for other in others {
            assert_eq!(
                CopyMarker::parse(other.as_bytes()),
                Err(NoCopyMarker),
                "{other:?}"
            );
        }
        assert_eq!(CopyMarker::parse(b"\xff\xfe"), Err(NoCopyMarker));
    }
}
