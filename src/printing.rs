//! Writes all that reaches stdout and stderr. Much of it comes from stores, from other programs and from file
//! names. None of it can control a terminal, and every warning, event or error stays on one line.
//!
//! If an answer has several lines, the caller makes text from outside a [`Line`] of its own first.

mod color;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::env;
use std::error::Error as _;
use std::fmt::{Arguments, Display, Write as _};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Stdout, Write};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

pub use color::{ColorChoice, choose_color};

use crate::error::{Error, ExitCode, RequestError, in_words};
use crate::model::Line;
use crate::model::quoted::{escape_control, is_unfit};

/// The options that the commands have which this program advises to run.
static OPTIONS: OnceLock<String> = OnceLock::new();

/// Adds these options to each `coldchain …` command in an answer, a warning, an error or a hint, so that it works
/// on the same config and state directory.
pub fn name_in_commands(options: String) {
    if !options.is_empty() {
        let _ = OPTIONS.set(options);
    }
}

/// Adds the options to the commands in a text that is shown in another way than by this module.
pub fn with_options(text: &str) -> Cow<'_, str> {
    let Some(options) = OPTIONS.get().filter(|_| text.contains(COMMAND)) else {
        return Cow::Borrowed(text);
    };
    let mut pieces = text.split(COMMAND);
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        whole += COMMAND;
        let (command, _) = piece.split_once('`').unwrap_or((piece, ""));
        // A command with a store's URL is for a machine without a config.
        if !command.contains(" --store ") {
            whole += options;
            whole.push(' ');
        }
        whole += piece;
    }
    Cow::Owned(whole)
}

/// How a command begins that a message advises to run.
const COMMAND: &str = "`coldchain ";

/// Writes an answer of any number of lines to stdout. A reader that went away (`coldchain list | head`) is no
/// error.
pub fn answer(text: &str) -> Result<(), Error> {
    or_nobody_reads(write_out(&escape_control(&with_options(text))))
}

/// Writes an answer, one line for each text.
pub fn answer_lines<T: Display>(lines: impl IntoIterator<Item = T>) -> Result<(), Error> {
    let lines = lines.into_iter();
    answer(&lines.fold(String::new(), |text, line| {
        text + &format!("{}\n", Line(line))
    }))
}

/// Writes a path to stdout for a program that uses it: its bytes, unless a terminal shows them.
pub fn answer_path(path: &Path) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        return answer_lines([path.display()]);
    }
    let line = [path.as_os_str().as_bytes(), b"\n"].concat();
    or_nobody_reads(stdout.write_all(&line).and_then(|()| stdout.flush()))
}

/// Writes paths to stdout for a program: their bytes, each with a NUL after it.
pub fn answer_null<'p>(paths: impl IntoIterator<Item = &'p [u8]>) -> Result<(), Error> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let write_all = || -> io::Result<()> {
        for path in paths {
            stdout.write_all(path)?;
            stdout.write_all(b"\0")?;
        }
        stdout.flush()
    };
    or_nobody_reads(write_all())
}

/// Writes an answer in JSON: one document.
pub fn answer_json(value: &Value) -> Result<(), Error> {
    or_nobody_reads(write_out(&format!("{}\n", in_json(value))))
}

/// Writes a line to stdout for a program that acts on it. If the program does not read it, that is an error.
pub fn reply(line: Arguments<'_>) -> Result<(), Error> {
    write_out(&format!("{}\n", Line(line)))
        .map_err(|source| Error::file("write to", "stdout", source))
}

fn or_nobody_reads(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|source| Error::file("write to", "stdout", source)),
    }
}

fn write_out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Returns stdout for the bytes of a send stream; an error if it is a terminal.
pub fn stream_out() -> Result<Stdout, Error> {
    raw_out("a send stream is not written to a terminal: redirect stdout, or name a file")
}

/// Returns stdout for the bytes of a file; an error if it is a terminal, which would obey what is in them.
pub fn file_out() -> Result<Stdout, Error> {
    raw_out("a file is not written to a terminal as it is: redirect stdout, or name a directory")
}

fn raw_out(refusal: &'static str) -> Result<Stdout, Error> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(RequestError::Stdio(refusal).into());
    }
    Ok(stdout)
}

/// Returns stdout, without a buffer, for a protocol; an error if it is a terminal.
pub fn protocol_out() -> Result<File, Error> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(RequestError::Stdio(
            "`mirror-server` does not talk to a terminal: `coldchain mirror` on another machine starts it by ssh",
        )
        .into());
    }
    let stdout = stdout.as_fd().try_clone_to_owned();
    let stdout = stdout.map_err(|source| Error::file("write to", "stdout", source))?;
    Ok(stdout.into())
}

/// Writes an event as a line of JSON to stdout. The archive must not fail because a reader went away.
pub fn event_json(value: &Value) {
    let _ = write_out(&format!("{}\n", in_json(value)));
}

/// Writes an event as a line of JSON to stderr.
pub fn event_json_aside(value: &Value) {
    write_lines(JournalLevel::Info, &format!("{}\n", in_json(value)));
}

/// Writes a line to stderr. The current archive must not fail because stderr goes to a full disk.
pub fn say(line: impl Display) {
    write_line(JournalLevel::Info, line);
}

/// Writes a warning.
pub fn warn(warning: impl Display) {
    write_line(JournalLevel::Warning, format_args!("warning: {warning}"));
}

/// Writes several lines to stderr.
pub fn say_lines(lines: &str) {
    write_lines(JournalLevel::Info, &escape_control(lines));
}

/// Ends a line on stderr that began with a question.
pub fn end_line() {
    write_aside("\n");
}

fn write_line(level: JournalLevel, line: impl Display) {
    let line = line.to_string();
    write_lines(level, &format!("{}\n", Line(with_options(&line))));
}

/// Writes lines to stderr. If that is the journal, each begins with its level, which the journal takes off.
fn write_lines(level: JournalLevel, lines: &str) {
    if !stderr_is_journal() {
        return write_aside(lines);
    }
    let level = level as u8;
    let marked = lines.split_inclusive('\n');
    write_aside(&marked.fold(String::new(), |text, line| {
        text + &format!("<{level}>{line}")
    }));
}

/// How grave a line is, as a number of syslog's.
#[derive(Clone, Copy)]
enum JournalLevel {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// Whether stderr is the journal. A child of a service inherits the variable too, when its stderr is something else.
fn stderr_is_journal() -> bool {
    static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
    *IS_JOURNAL.get_or_init(|| {
        let stat = rustix::fs::fstat(io::stderr());
        let named = env::var("JOURNAL_STREAM");
        named.is_ok_and(|named| {
            stat.is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
        })
    })
}

/// Writes a question to a terminal; the answer goes on the same line.
pub fn ask(mut terminal: impl Write, question: impl Display) -> io::Result<()> {
    write!(terminal, "{} ", Line(question))?;
    terminal.flush()
}

/// Writes a question to stderr.
pub fn ask_on_stderr(question: impl Display) -> io::Result<()> {
    ask(io::stderr().lock(), question)
}

/// Whether stdout is a terminal.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Returns how many columns a line of an answer may have: those of a terminal, and elsewhere as many as it needs.
pub fn stdout_columns() -> usize {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return usize::MAX;
    }
    match rustix::termios::tcgetwinsize(&stdout) {
        // A terminal that does not know its size says 0.
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => usize::MAX,
    }
}

/// Whether stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// How many bytes of what was printed last are kept.
const RECENT_BYTES: usize = 6 << 10;

/// What was printed last to stderr; `None` if that is not kept.
static RECENT: Mutex<Option<VecDeque<u8>>> = Mutex::new(None);

/// Keeps what is printed to stderr from now on, for a message about this run.
pub fn keep_recent() {
    *RECENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(VecDeque::new());
}

/// Returns the last whole lines that were printed to stderr.
pub fn recent() -> String {
    let mut kept = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(kept) = &mut *kept else {
        return String::new();
    };
    let is_cut = kept.len() == RECENT_BYTES;
    let text = String::from_utf8_lossy(kept.make_contiguous()).into_owned();
    match text.split_once('\n') {
        Some((_, whole)) if is_cut => whole.to_owned(),
        _ => text,
    }
}

fn write_aside(text: &str) {
    if let Some(kept) = &mut *RECENT.lock().unwrap_or_else(PoisonError::into_inner) {
        kept.extend(text.bytes());
        let beyond = kept.len().saturating_sub(RECENT_BYTES);
        kept.drain(..beyond);
    }
    let mut stderr = io::stderr().lock();
    let text = if color::is_colored(stderr.is_terminal()) {
        Cow::Owned(color::with_colored_labels(text))
    } else {
        Cow::Borrowed(text)
    };
    let _ = stderr.write_all(text.as_bytes());
}

fn say_error(line: impl Display) {
    write_line(JournalLevel::Error, line);
}

fn error_json(value: &Value) {
    write_lines(JournalLevel::Error, &format!("{}\n", in_json(value)));
}

/// Prints that one of several sources failed, why, and what to do.
pub fn failure(source: impl Display, error: &Error) {
    say_error(format_args!("error: {source}: {}", in_words(error)));
    if let Some(hint) = error.hint() {
        say_error(format_args!("hint: {hint}"));
    }
}

/// Prints the help or the version: `colored` where colours are shown, and `plain` elsewhere. The reader of stdout may be
/// gone, or its disk full: nothing else can be said.
pub fn help(plain: &str, colored: &str) {
    // The program's name, as it was started, may be in it.
    let is_colored =
        color::is_colored(stdout_is_terminal()) && !plain.replace('\n', "").contains(is_unfit);
    let _ = if is_colored {
        write_out(colored)
    } else {
        write_out(&escape_control(plain))
    };
}

/// Prints what is wrong with a command line, in clap's words, and how the command is used.
pub fn usage(text: &str, as_json: bool) {
    if !as_json {
        return write_lines(JournalLevel::Error, &escape_control(text));
    }
    let (message, hint) = text.split_once("\n\n").unwrap_or((text, ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let error = json!({
        "code": ExitCode::Usage as u8, "message": one_line(message), "hint": one_line(hint),
    });
    error_json(&json!({ "error": error }));
}

/// Prints the error that ends the program, with its causes, and what to do.
pub fn last_words(error: &Error, as_json: bool) {
    if as_json {
        let code = error.exit_code() as u8;
        error_json(&json!({"error": {
            "code": code, "message": with_options(&in_words(error)),
            "hint": error.hint().map(|hint| with_options(&hint).into_owned()),
        }}));
        return;
    }
    say_error(format_args!("error: {error}"));
    let mut cause = error.source();
    while let Some(next) = cause {
        say_error(format_args!("caused by: {next}"));
        cause = next.source();
    }
    if let Some(hint) = error.hint() {
        say_error(format_args!("hint: {hint}"));
    }
}

/// Returns a path as a text for JSON, even if it is not UTF-8.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Returns a value as JSON, in which everything is escaped that a terminal would obey or not show. serde only
/// escapes what JSON demands.
fn in_json(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(is_unfit) {
        return text;
    }
    // JSON has such characters only in strings.
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unfit(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("a string takes it");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_all_of_a_text_and_means_the_same() {
        let value = json!({"a\u{9b}": "\u{7f}\u{85}é\u{202e}\u{e0041}\n\u{1b}\"\\\u{1f600}"});
        let text = in_json(&value);
        assert_eq!(
            text,
            "{\"a\\u009b\":\"\\u007f\\u0085é\\u202e\\udb40\\udc41\\n\\u001b\\\"\\\\\u{1f600}\"}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_question_is_one_line() {
        let mut written = Vec::new();
        ask(&mut written, "Restore into /a\nb? [y/N]").unwrap();
        assert_eq!(written, b"Restore into /a\\nb? [y/N] ");
    }
}
