//! The text form of an age file, for identity files that were encrypted with `age -p -a`.
//!
//! Nothing that is stored is armored; see <https://c2sp.org/age#ascii-armor> for the rules.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";

/// Whether the text claims to be an armored age file.
pub(super) fn is_armored(text: &str) -> bool {
    text.trim_start().starts_with(BEGIN)
}

/// The age file that is armored in `text`; `None` if it is damaged.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let lines = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64: String = lines.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armor_is_taken_off() {
        let text = format!("\n{BEGIN}\r\nYWdl\r\nLWU=\r\n{END}\n\n");
        assert!(is_armored(&text));
        assert_eq!(decode(&text).unwrap(), b"age-e");
    }

    #[test]
    fn damaged_armor_is_refused() {
        for text in [
            format!("{BEGIN}\nYWdl\n"),
            format!("{BEGIN}\nYW*l\n{END}"),
            format!("{BEGIN}\nYWdl\n{END}\nmore"),
        ] {
            assert_eq!(decode(&text), None, "{text}");
        }
    }
}
