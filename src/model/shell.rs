//! Writes words for a shell.

use std::fmt::Write as _;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::quoted::is_unfit;

/// Returns a word that a shell reads as exactly these bytes, without quotes if it needs none.
pub fn word(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(plain) => text.to_owned(),
        _ => quoted(bytes),
    }
}

/// Returns a word for a shell of any kind, which may not know `$'…'`. It is not for display.
pub fn remote_word(bytes: &[u8]) -> Vec<u8> {
    let quoted = bytes.iter().fold(vec![b'\''], |mut word, byte| {
        match byte {
            b'\'' => word.extend_from_slice(b"'\\''"),
            byte => word.push(*byte),
        }
        word
    });
    [&quoted[..], b"'"].concat()
}

/// Returns a path as a word for a shell.
pub fn path(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    if bytes.starts_with(b"-") {
        // With `./` in front, no command takes it for an option.
        return format!("./{}", quoted(bytes));
    }
    word(bytes)
}

/// Returns the word in quotes, on one line and without characters that a terminal obeys. What is not simply
/// displayed is escaped in `$'…'`, which bash and zsh read.
pub fn quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(is_unfit) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => escaped(bytes),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut word = "$'".to_owned();
    let escape = |bytes: &[u8], word: &mut String| {
        for byte in bytes {
            write!(word, "\\x{byte:02x}").expect("a string takes it");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' | '\\' => word.extend(['\\', character]),
                '\n' => word.push_str("\\n"),
                '\t' => word.push_str("\\t"),
                unfit if is_unfit(unfit) => {
                    escape(unfit.encode_utf8(&mut [0; 4]).as_bytes(), &mut word);
                }
                plain => word.push(plain),
            }
        }
        escape(chunk.invalid(), &mut word);
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_word_as_it_was() {
        let words: [&[u8]; 12] = [
            b"plain",
            b"/a/path-1.2:3",
            b"",
            b"with space",
            b"it's",
            b"$HOME `x` \\ \"",
            "Größe".as_bytes(),
            b"a\nb\tc'd\\e",
            b"\x1b[2J\r",
            "\u{9b}1m\u{202e}x1".as_bytes(),
            b"\xff\xfe1f",
            "\u{e0041}\u{feff}'".as_bytes(),
        ];
        for bytes in words {
            for word in [word(bytes), quoted(bytes)] {
                assert!(!word.contains(is_unfit), "{word:?}");
                let output = std::process::Command::new("bash")
                    .args(["-c", &format!("printf %s {word}")])
                    .output()
                    .unwrap();
                assert_eq!(output.stdout, bytes, "{word}");
            }
            let script = [b"printf %s ", &remote_word(bytes)[..]].concat();
            let output = std::process::Command::new("sh")
                .arg("-c")
                .arg(std::ffi::OsStr::from_bytes(&script))
                .output()
                .unwrap();
            assert_eq!(output.stdout, bytes);
        }
        assert_eq!(word(b"/a/path-1.2:3"), "/a/path-1.2:3");
        assert_eq!(word(b"it's"), "'it'\\''s'");
        assert_eq!(word(b"a\nb"), "$'a\\nb'");
    }
}
