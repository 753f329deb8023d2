//! A machine to run the real program on: config, state, store, and a btrfs if the test needs one.
//!
//! Texts that go in and come out name what differs from run to run by a placeholder, so that
//! outputs can be compared as a whole: `$T` the machine's directory, `$FS` its btrfs, `$R` its
//! recipient, and only coming out `$TODAY`, `$HEX16` and `$HEX32`.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::is_segment;
use super::loopfs::LoopFs;

/// A source with a subvolume. Append to it, or replace in it.
pub const LIVE_CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"
segment_size = "16MiB"
compression = 1
threads = 1

[[source]]
name = "home"
subvolume = "$FS/home"
snapshots = "$FS/snapshots"
store = "disk"

[store.disk]
type = "dir"
path = "$T/store"

[encryption]
recipients = ["$R"]
"#;

/// The same source for `decide` alone.
pub fn fed_config() -> String {
    LIVE_CONFIG
        .lines()
        .filter(|line| !line.starts_with("subvolume") && !line.starts_with("snapshots"))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The end of a config whose sources have no alarms: those of tests archive dates long gone.
pub const NO_ALARMS: &str = r#"
[alarms]
off = ["never-archived", "overdue", "damaged", "run-failed", "files-vanished", "archive-small", "archive-large", "nearly-full", "hold-runs-out", "lock-runs-out", "copy-behind", "mirror-behind", "verify-old", "drill-old", "cost-rises"]
"#;

/// The warning of a config with a single recipient.
pub const ONE_RECIPIENT: &str =
    "warning: there is one recipient: if its identity is lost, so is every archive; add a spare\n";

/// What `decide` says once of a source whose archives this catalog did not see made.
pub const DECIDE_PRUNES: &str = "warning: home: from now on `decide` prunes as `backup` does: it retires expired chains, and deletes their objects `delete_after` later. Set `prune = \"elsewhere\"` to leave that to another machine\n";

/// What the names of segments end in, and of contents too.
const SEGMENTS: &str = ".zst.age";

/// A program still at work after this long has stopped for good.
const STUCK: Duration = Duration::from_mins(3);

pub struct Machine {
    directory: tempfile::TempDir,
    btrfs: Option<LoopFs>,
    recipient: String,
}

/// How a run ended, with placeholders.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A run that is talked to.
pub struct Talk<'m> {
    machine: &'m Machine,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: mpsc::Receiver<String>,
    /// Lines of stdout that came while time passed.
    heard: VecDeque<String>,
    stderr: mpsc::Receiver<String>,
}

impl Machine {
    /// A machine without a btrfs, a config or state, but with a recovery kit at `$T/kit`.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A machine that has run `init` for [`LIVE_CONFIG`], with an empty subvolume `$FS/home`.
    pub fn with_subvolume(mib: u64) -> Self {
        Self::with_subvolume_on(LoopFs::new(mib))
    }

    /// The same on a filesystem that is there.
    pub fn with_subvolume_on(btrfs: LoopFs) -> Self {
        Self::with_config(btrfs, LIVE_CONFIG)
    }

    /// The same with another config.
    pub fn with_config(btrfs: LoopFs, config: &str) -> Self {
        let machine = Self::with(Some(btrfs));
        machine.btrfs().subvolume("home");
        machine.init(config);
        machine
    }

    /// A machine that has run `init` for [`fed_config`], with or without a btrfs.
    pub fn fed(btrfs: Option<LoopFs>) -> Self {
        let machine = Self::with(btrfs);
        machine.init(&fed_config());
        machine
    }

    /// A machine whose `init` has run but once, as on the first day.
    fn with(btrfs: Option<LoopFs>) -> Self {
        let mut machine = Self {
            directory: tempfile::tempdir().unwrap(),
            btrfs,
            recipient: String::new(),
        };
        let began = machine.run("init --kit $T/kit");
        assert_eq!((began.code, began.stderr.as_str()), (Some(0), ""));
        let kit = fs::read_to_string(machine.path("kit")).unwrap();
        let recipient = kit
            .lines()
            .find_map(|line| line.strip_prefix("# identity of "));
        recipient
            .expect("the kit names its recipient")
            .clone_into(&mut machine.recipient);
        fs::remove_file(machine.path("config.toml")).unwrap();
        machine
    }

    fn init(&self, config: &str) {
        self.write_config(config);
        let run = self.run("init --kit $T/kit --quiet");
        assert_eq!(
            (run.code, run.stderr.as_str()),
            (Some(0), ""),
            "{}",
            run.stdout
        );
    }

    pub fn btrfs(&self) -> &LoopFs {
        self.btrfs.as_ref().expect("this machine has a btrfs")
    }

    pub fn has_btrfs(&self) -> bool {
        self.btrfs.is_some()
    }

    /// A path in the machine's directory.
    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// What stands for `$T/state` on the disk.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn write_config(&self, text: &str) {
        fs::write(self.path("config.toml"), self.fill(text)).unwrap();
    }

    /// The text with its placeholders replaced by what they stand for.
    pub fn fill(&self, text: &str) -> String {
        let text = text.replace("$T", &self.directory.path().display().to_string());
        let text = text.replace("$R", &self.recipient);
        match &self.btrfs {
            Some(btrfs) => text.replace("$FS", &btrfs.root().display().to_string()),
            None => text,
        }
    }

    /// The program with words as arguments, on this machine's config.
    pub fn command(&self, words: &str) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_coldchain"), words)
    }

    /// The same for another copy of the program.
    pub fn command_of(&self, program: impl AsRef<OsStr>, words: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(words.split_whitespace().map(|word| self.fill(word)))
            .env("COLDCHAIN_CONFIG", self.path("config.toml"))
            .env_remove("COLDCHAIN_IDENTITY_FILE")
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, words: &str) -> Run {
        self.run_command(&mut self.command(words))
    }

    /// Runs a command of [`Self::command`] that was changed.
    pub fn run_command(&self, command: &mut Command) -> Run {
        self.start_command(command).end()
    }

    /// Runs the program with these bytes on stdin. It need not read them.
    pub fn run_with(&self, words: &str, stdin: &[u8]) -> Run {
        let mut talk = self.start(words);
        let mut pipe = talk.stdin.take().expect("stdin is a pipe");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A program that refuses the stream stops reading it.
                let _ = pipe.write_all(stdin);
            });
            talk.end()
        })
    }

    /// Starts the program with stdin held open.
    pub fn start(&self, words: &str) -> Talk<'_> {
        let mut command = self.command(words);
        command.stdin(Stdio::piped());
        self.start_command(&mut command)
    }

    /// Starts a command of [`Self::command`] that was changed.
    pub fn start_command(&self, command: &mut Command) -> Talk<'_> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Talk {
            machine: self,
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().unwrap()),
            heard: VecDeque::new(),
            stderr: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// `list --json`, parsed: what the catalog says there is.
    pub fn listed(&self) -> serde_json::Value {
        let run = self.run("list --json");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// The dates of the committed archives and their kinds: `2024-01-01 full`.
    pub fn archived(&self) -> Vec<String> {
        let listed = self.listed();
        let sources = listed["sources"].as_array().unwrap().iter();
        sources
            .flat_map(|source| source["chains"].as_array().unwrap())
            .flat_map(|chain| chain["archives"].as_array().unwrap())
            .filter(|archive| archive["state"] == "committed")
            .map(|archive| [&archive["date"], &archive["kind"]].map(|text| text.as_str().unwrap()))
            .map(|words| words.join(" "))
            .collect()
    }

    /// Every file, directory and subvolume outside of the state directory, with the files'
    /// lengths: two that are equal mean that nothing was left behind or lost in between.
    pub fn standing(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        walk(self.directory.path(), &self.state(), &mut found);
        if let Some(btrfs) = &self.btrfs {
            walk(&btrfs.root(), &self.state(), &mut found);
        }
        found
    }

    /// The objects of the store whose names end so.
    pub fn objects(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = BTreeMap::new();
        walk(&self.path("store"), &self.state(), &mut found);
        let named = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
        let found = found.into_keys().filter(named);
        if ending == SEGMENTS {
            return found
                .filter(|it| is_segment(it.to_string_lossy()))
                .collect();
        }
        found.collect()
    }

    /// Replaces what differs from run to run by placeholders.
    fn blank(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(btrfs) = &self.btrfs {
            text = text.replace(&btrfs.root().display().to_string(), "$FS");
        }
        text = text.replace(&self.directory.path().display().to_string(), "$T");
        if !self.recipient.is_empty() {
            text = text.replace(&self.recipient, "$R");
        }
        let today = chrono::Utc::now().date_naive();
        // The program may have looked at the clock just before midnight.
        for date in [today, today.pred_opt().unwrap()] {
            text = text.replace(&format!("today, {date}"), "today, $TODAY");
        }
        blank_hex(&text)
    }
}

impl Run {
    /// Holds the run against what it must be, to the byte.
    #[track_caller]
    pub fn is(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!(self.stderr, stderr, "stderr");
        assert_eq!(self.stdout, stdout, "stdout");
        assert_eq!(self.code, Some(code), "exit code");
    }
}

impl Talk<'_> {
    /// The next line of stdout with its end, while the program waits for stdin; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        if let Some(line) = self.heard.pop_front() {
            return Some(self.machine.blank(&line));
        }
        match self.stdout.recv_timeout(STUCK) {
            Ok(line) => Some(self.machine.blank(&line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => self.stuck(),
        }
    }

    /// The next line of stderr with its end; `None` at the end.
    pub fn stderr_line(&mut self) -> Option<String> {
        match self.stderr.recv_timeout(STUCK) {
            Ok(line) => Some(self.machine.blank(&line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => self.stuck(),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Lets that time pass; a program that ends its stdout before ends the waiting.
    pub fn elapse(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok(line) = self
            .stdout
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.heard.push_back(line);
        }
    }

    /// stdin, to be written to or handed to a sender.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("stdin is taken once")
    }

    /// Closes stdin and waits for the end.
    pub fn end(mut self) -> Run {
        self.stdin = None;
        self.end_with_stdin_open()
    }

    /// Waits for the end of a program that must not wait for that of stdin.
    pub fn end_with_stdin_open(mut self) -> Run {
        let mut stdout = String::new();
        while let Some(line) = self.line() {
            stdout += &line;
        }
        let mut stderr = String::new();
        while let Some(line) = self.stderr_line() {
            stderr += &line;
        }
        let status: ExitStatus = self.child.wait().unwrap();
        Run {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    fn stuck(&mut self) -> ! {
        let _ = self.child.kill();
        panic!("the program waits for something that will not come");
    }
}

/// What a program prints, line by line, read as it comes.
fn lines(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            }
        }
    });
    receiver
}

/// Replaces runs of 16 or 32 hex digits.
fn blank_hex(text: &str) -> String {
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let bytes = text.as_bytes();
    let mut blanked = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|byte| hex(byte)).count();
        let word_before = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
        let word_after = bytes.get(at + run).is_some_and(u8::is_ascii_alphanumeric);
        match run {
            16 if !word_before && !word_after => blanked.extend(b"$HEX16"),
            32 if !word_before && !word_after => blanked.extend(b"$HEX32"),
            0 => blanked.push(bytes[at]),
            _ => blanked.extend(&bytes[at..at + run]),
        }
        at += run.max(1);
    }
    String::from_utf8(blanked).unwrap()
}

fn walk(directory: &Path, leave_out: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path == leave_out {
            continue;
        }
        let metadata = path.symlink_metadata().unwrap();
        let mode = metadata.permissions().mode();
        if metadata.is_dir() {
            found.insert(path.clone(), format!("directory {mode:o}"));
            walk(&path, leave_out, found);
        } else {
            found.insert(path, format!("{} bytes {mode:o}", metadata.len()));
        }
    }
}
