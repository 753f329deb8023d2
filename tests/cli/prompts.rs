//! What is asked on a terminal: answers, and a Ctrl-C instead of one.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::common::loopfs::{LoopFs, real_btrfs_available, run};
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::passphrase::{armored, encrypted};
use crate::common::stream_builder::StreamBuilder;

/// How long a prompt may take to come.
const LONGEST_WAIT: Timespec = Timespec {
    tv_sec: 120,
    tv_nsec: 0,
};

/// A terminal of its own in which a shell runs the program, says its exit code, and then how the
/// terminal is set.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
    /// Where what was waited for last ends.
    answered: usize,
}

impl Terminal {
    pub(crate) fn run(machine: &Machine, words: &str) -> Self {
        Self::run_by(machine, "", words)
    }

    /// The same with words of the shell before the program.
    pub(crate) fn run_by(machine: &Machine, before: &str, words: &str) -> Self {
        let program = machine.command(words);
        let words: Vec<String> = std::iter::once(program.get_program())
            .chain(program.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        // Ctrl-C reaches the shell too, which has to live on.
        let script = format!(
            "trap : INT; {before} {}; echo \"code $?\"; stty -a",
            words.join(" ")
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &script, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("NO_COLOR", "1")
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            keyboard: child.stdin.take().unwrap(),
            screen: child.stdout.take().unwrap(),
            child,
            shown: String::new(),
            answered: 0,
        }
    }

    /// Waits for a prompt that comes after the last one, and types.
    pub(crate) fn answer(&mut self, prompt: &str, keys: &str) {
        let mut bytes = [0; 4096];
        let at = loop {
            if let Some(at) = self.shown[self.answered..].find(prompt) {
                break at;
            }
            let mut ready = [PollFd::new(&self.screen, PollFlags::IN)];
            let is_ready = poll(&mut ready, Some(&LONGEST_WAIT)).unwrap() > 0;
            if !is_ready {
                self.child.kill().unwrap();
            }
            assert!(is_ready, "{prompt} does not come: {}", self.shown);
            let read = self.screen.read(&mut bytes).unwrap();
            assert_ne!(read, 0, "{prompt}: {}", self.shown);
            self.shown += &String::from_utf8_lossy(&bytes[..read]);
        };
        self.answered += at + prompt.len();
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// All that was shown, by the lines' ends of a file.
    pub(crate) fn end(mut self) -> String {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap();
        (self.shown + &String::from_utf8_lossy(&rest)).replace('\r', "")
    }
}

/// An archive for an ssh key that has a passphrase, and a restore with it.
fn locked() -> (Machine, LoopFs, String) {
    let machine = Machine::with_subvolume(256);
    let key = machine.path("key");
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "open sesame", "-f"])
        .arg(&key))
    .unwrap();
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let recipients = format!("[\"$R\", \"{}\"]", public.trim());
    machine.write_config(&LIVE_CONFIG.replace("[\"$R\"]", &recipients));
    fs::write(machine.btrfs().path("home/letter"), "dear reader\n").unwrap();
    let archived = machine.run("backup 2024-01-01");
    assert_eq!(archived.code, Some(0), "{archived:?}");
    let elsewhere = LoopFs::new(256);
    let words = format!(
        "restore home --from store --identity {} --to {}",
        key.display(),
        elsewhere.root().display()
    );
    (machine, elsewhere, words)
}

const INTERRUPTED: &str = "\nerror: interrupted by SIGINT\nhint: run the same command again to continue; what was done is kept, and half-done work has no effect\ncode 130\n";

#[test]
fn a_passphrase_is_taken_unseen_and_a_confirmation_seen() {
    if !real_btrfs_available() {
        return;
    }
    let (machine, elsewhere, words) = locked();
    let mut terminal = Terminal::run(&machine, &words);
    terminal.answer("key: ", "open sesame\n");
    terminal.answer("[y/N] ", "y\n");
    let shown = terminal.end();
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(shown.contains("[y/N] y\n"), "{shown}");
    assert!(shown.contains("is restored in"), "{shown}");
    assert!(shown.contains("\ncode 0\n"), "{shown}");
    assert!(shown.contains(" echo "), "{shown}");
    let letter = elsewhere.path("home/2024-01-01/letter");
    assert_eq!(fs::read_to_string(letter).unwrap(), "dear reader\n");
}

#[test]
fn a_wrong_passphrase_and_a_no_are_taken_for_what_they_are() {
    if !real_btrfs_available() {
        return;
    }
    let (machine, elsewhere, words) = locked();
    let mut terminal = Terminal::run(&machine, &words);
    terminal.answer("key: ", "shut sesame\n");
    let shown = terminal.end();
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(shown.contains("\ncode 1\n"), "{shown}");

    let mut terminal = Terminal::run(&machine, &words);
    terminal.answer("key: ", "open sesame\n");
    terminal.answer("[y/N] ", "\n");
    let shown = terminal.end();
    assert!(
        shown.contains("error: stopped: not confirmed\nhint: nothing was changed\ncode 2\n"),
        "{shown}"
    );
    assert!(!elsewhere.path("home").exists());
}

#[test]
fn where_nobody_can_be_asked_the_plan_is_told_and_nothing_is_begun() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    assert_eq!(machine.run("backup 2024-01-01").code, Some(0));
    let elsewhere = LoopFs::new(256);
    let words = format!(
        "restore home --from store --identity $T/kit --to {}",
        elsewhere.root().display()
    );
    let asked = machine.run(&words);
    assert_eq!((asked.code, asked.stdout.as_str()), (Some(2), ""));
    assert!(asked.stderr.contains("2024-01-01-full-"), "{asked:?}");
    assert!(
        asked.stderr.ends_with(
            "error: this needs a confirmation, and there is no terminal to ask on\n\
             hint: add --yes to run without a confirmation; nothing was changed\n"
        ),
        "{asked:?}"
    );
    assert!(!elsewhere.path("home").exists());
    assert_eq!(machine.run(&format!("{words} --yes")).code, Some(0));
}

#[test]
fn ctrl_c_at_a_prompt_ends_at_once_and_leaves_the_terminal_as_it_was() {
    if !real_btrfs_available() {
        return;
    }
    let (machine, elsewhere, words) = locked();
    let mut terminal = Terminal::run(&machine, &words);
    terminal.answer("key: ", "\u{3}");
    let shown = terminal.end();
    assert!(shown.contains(INTERRUPTED), "{shown}");
    assert!(
        shown.contains(" echo ") && !shown.contains("-echo "),
        "{shown}"
    );

    let mut terminal = Terminal::run(&machine, &words);
    terminal.answer("key: ", "open sesame\n");
    terminal.answer("[y/N] ", "\u{3}");
    let shown = terminal.end();
    assert!(shown.contains(INTERRUPTED), "{shown}");
    assert!(!elsewhere.path("home").exists());
}

#[test]
fn a_kit_with_a_passphrase_says_whom_to_trust_and_opens_what_is_sealed_after_one_question() {
    let machine = Machine::fed(None);
    let stream = StreamBuilder::header(1)
        .subvol(b"2024-01-01", [b'a'; 16], 10)
        .mkfile(b"file")
        .finish();
    let fed = machine.run_with("decide 2024-01-01", &stream);
    assert_eq!(fed.code, Some(0), "{}", fed.stderr);
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    for (name, bytes) in [
        ("kit.age", encrypted("wild goose", &kit)),
        ("kit.asc", armored("wild goose", &kit)),
    ] {
        fs::write(machine.path(name), bytes).unwrap();
        let path = machine.path(name).display().to_string();
        for (words, said) in [
            (
                format!(
                    "catalog rebuild --store file://$T/store --state-dir $T/{name}.d --identity {path}"
                ),
                "home: 2 entries read, 1 archive\n",
            ),
            (
                format!("key check --identity {path}"),
                "root secret: matches the root key that is trusted here\n",
            ),
        ] {
            let mut terminal = Terminal::run(&machine, &words);
            terminal.answer(&format!("passphrase for {path}: "), "wild goose\n");
            let shown = terminal.end();
            assert!(shown.contains(said), "{shown}");
            assert_eq!(shown.matches("passphrase for").count(), 1, "{shown}");
            assert!(shown.contains("code 0\n"), "{shown}");
        }
    }
}

#[test]
fn yes_counts_however_it_is_written_and_nothing_else_does() {
    let machine = Machine::fed(None);
    let catalog = machine.state().join("catalog.db");
    let known = || machine.run("list").stdout.contains("tried");
    let words = "forget tried";
    for (answer, is_yes) in [
        ("yes", true),
        ("YES", true),
        ("Yes", true),
        ("y", true),
        ("Y", true),
        ("no", false),
        ("yess", false),
        ("", false),
    ] {
        let tried = "INSERT OR IGNORE INTO source (name, directory, store, ledger) \
                     SELECT 'tried', 'tried', store, 'abababababababababababababababab' FROM source";
        run(Command::new("sqlite3").arg(&catalog).arg(tried)).unwrap();
        assert!(known());
        let mut terminal = Terminal::run(&machine, words);
        terminal.answer("[y/N] ", &format!("{answer}\n"));
        let shown = terminal.end();
        assert_eq!(known(), !is_yes, "{answer}: {shown}");
        let code = if is_yes { "\ncode 0\n" } else { "\ncode 2\n" };
        assert!(shown.contains(code), "{answer}: {shown}");
    }
}
