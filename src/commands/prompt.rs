//! Asks on the terminal. A signal ends the wait for an answer.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{Error, InitError, RequestError};
use crate::interrupt::Interrupt;
use crate::printing;

/// The longest line that a terminal gives, in bytes.
const LONGEST_LINE: usize = 4096;

/// Whether the user has agreed beforehand, by `--yes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreed {
    Beforehand,
    /// The user has to be asked.
    NotYet,
}

impl Agreed {
    pub(super) fn by(yes: bool) -> Self {
        if yes { Self::Beforehand } else { Self::NotYet }
    }
}

/// Asks on stderr whether to continue, and reads the answer from stdin. Without a terminal, the user must
/// have agreed beforehand.
pub(super) fn confirm(agreed: Agreed, question: &str) -> Result<(), Error> {
    if agreed == Agreed::Beforehand {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(RequestError::NoTerminal.into());
    }
    let failed = |source| Error::file("read", "stdin", source);
    printing::ask_on_stderr(format_args!("{question} [y/N]")).map_err(failed)?;
    let mut stdin = io::stdin().lock();
    answered(stdin.as_fd())?;
    let mut answer = String::new();
    stdin.read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(RequestError::NotConfirmed.into()),
    }
}

/// Asks on stderr, and returns the line from stdin that answers, without white space around it.
pub(super) fn line(question: &str) -> Result<String, Error> {
    let failed = |source| Error::file("read", "stdin", source);
    printing::ask_on_stderr(question).map_err(failed)?;
    let mut stdin = io::stdin().lock();
    answered(stdin.as_fd())?;
    let mut answer = String::new();
    if stdin.read_line(&mut answer).map_err(failed)? == 0 {
        printing::end_line();
        return Err(InitError::NoAnswer.into());
    }
    Ok(answer.trim().to_owned())
}

/// Asks for a passphrase on the terminal without showing it. Returns `None` without a terminal, and after a
/// signal.
pub(super) fn passphrase(prompt: &str) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let mut terminal = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .ok()?;
    let unseen = Unseen::on(terminal.try_clone().ok()?).ok()?;
    printing::ask(&mut terminal, format_args!("{prompt}:")).ok()?;
    answered(terminal.as_fd()).ok()?;
    let line = read_secret_line(&terminal).ok()?;
    drop(unseen);
    let line = str::from_utf8(&line).ok()?;
    // The text has exactly its length, so the caller does not copy it to another place in memory.
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads a line without leaving a copy of it in memory.
fn read_secret_line(mut from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(vec![0; LONGEST_LINE]);
    let mut length = 0;
    while length < line.len() && !line[..length].ends_with(b"\n") {
        match from.read(&mut line[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    line.truncate(length);
    Ok(line)
}

/// Waits for the answer. After a signal, ends the line, so that the message begins a new one.
fn answered(from: BorrowedFd<'_>) -> Result<(), Error> {
    Interrupt::of_this_process()
        .await_readable(from)
        .inspect_err(|_| printing::end_line())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Unseen {
    terminal: File,
    before: Termios,
}

impl Unseen {
    fn on(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        // The end of the line is still shown.
        unseen.local_modes.insert(LocalModes::ECHONL);
        // Drop what was typed before the prompt: it was not the answer.
        tcsetattr(&terminal, OptionalActions::Flush, &unseen)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A failure here can't be reported.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
