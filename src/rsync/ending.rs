//! Runs rsync to its end, and reads what it prints.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};

use super::error::RsyncError;
use super::figures::{RsyncFigures, progress};
use super::program::RSYNC;
use crate::process::Running;

/// The longest line that is read as one.
const LONGEST_LINE: usize = 4 << 10;

/// The most of what it said that is shown.
const LONGEST_SAID: usize = 1 << 10;

/// How rsync ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsyncEnding {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The last of what it wrote to stderr, on one line, with control characters escaped.
    pub said: String,
    /// What it counted.
    pub figures: RsyncFigures,
}

impl RsyncEnding {
    /// Runs a command of [`RsyncRequest`](super::RsyncRequest) to its end. `moved` learns of the bytes so far.
    pub fn of(
        mut command: Command,
        action: String,
        moved: &mut dyn FnMut(u64),
    ) -> Result<Self, RsyncError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running::spawn(command, RSYNC, action)?;
        let mut stdout = running.child.stdout.take().expect("stdout is piped");
        let mut figures = RsyncFigures::default();
        let (mut buffer, mut line) = (vec![0; 16 << 10], Vec::new());
        loop {
            let length = match stdout.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(running.lost(error).into()),
            };
            for &byte in &buffer[..length] {
                if !matches!(byte, b'\n' | b'\r') {
                    // What is longer is no figure.
                    if line.len() < LONGEST_LINE {
                        line.push(byte);
                    }
                    continue;
                }
                let text = String::from_utf8_lossy(&line);
                if !figures.take(&text)
                    && let Some(bytes) = progress(&text)
                {
                    moved(bytes);
                }
                line.clear();
            }
            // A line of progress ends when the next one begins, which may be much later.
            if let Some(bytes) = progress(&String::from_utf8_lossy(&line)) {
                moved(bytes);
            }
        }
        drop(stdout);
        let (status, said) = running.outcome()?;
        Ok(Self {
            code: status.code(),
            said: end_of(said),
            figures,
        })
    }
}

/// Returns the end of a long text: the last lines say how it ended.
fn end_of(said: String) -> String {
    if said.len() <= LONGEST_SAID {
        return said;
    }
    let at = said.ceil_char_boundary(said.len() - LONGEST_SAID);
    // A line begins after it, and no half escape is left.
    let at = said[at..].find("; ").map_or(at, |next| at + next + 2);
    format!("…; {}", &said[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> (RsyncEnding, Vec<u64>) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut seen = Vec::new();
        let ending = RsyncEnding::of(command, "try".to_owned(), &mut |bytes| seen.push(bytes));
        (ending.unwrap(), seen)
    }

    #[test]
    fn figures_progress_and_the_last_words_are_kept() {
        let (ending, seen) = run(
            "printf '  100  10%%  1kB/s\\r  200  20%%  1kB/s\\rNumber of files: 9\\n'; printf 'bad \\033[2J\\n' >&2; exit 23",
        );
        assert_eq!(seen, [100, 200]);
        assert_eq!((ending.code, ending.figures.entries), (Some(23), 9));
        assert_eq!(ending.said, "bad \\u{1b}[2J");
    }

    #[test]
    fn what_is_printed_without_end_is_bounded() {
        let (ending, seen) = run(
            "head -c 3000000 /dev/zero; echo; i=0; while [ $i -lt 2000 ]; do echo \"a line of noise $i\" >&2; i=$((i+1)); done; exit 12",
        );
        assert!(seen.is_empty());
        assert!(
            ending.said.len() <= LONGEST_SAID + 8,
            "{}",
            ending.said.len()
        );
        assert!(
            ending.said.starts_with("…; a line of noise "),
            "{}",
            ending.said
        );
        assert!(ending.said.ends_with("a line of noise 1999"));
    }
}
