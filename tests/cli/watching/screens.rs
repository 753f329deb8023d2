//! What `status`, `list`, `plan` and `snapshots` show of no source, of one and of forty: on terminals of 40, 80 and 200
//! columns, in a pipe, and in JSON. Each command has a file beside this one, and one for JSON. With
//! `COLDCHAIN_WRITE_GOLDEN=1` they are written anew.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use chrono::{Days, NaiveDate, Utc};
use serde_json::Value;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{Machine, Run};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::doctor_here::SPARE;

/// Where the machine is mounted while a command runs, so that every path is as long as on any other machine.
const HERE: &str = "/srv";

/// An archive is due every day, so that the next one is always tomorrow's.
const SCHEDULE: &str = "[schedule]\ndays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, \
                        22, 23, 24, 25, 26, 27, 28, 29, 30, 31]\n";

/// A size that no header of an archive moves to another figure of what is shown: age adds up to 200 random bytes to each
/// header, so one segment has 200.8 to 201.0 KiB, and two have 401.6 to 402.0.
const BYTES: usize = 205_040;

/// Returns a text without the sequences that choose a colour.
fn without_colors(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    let rest = pieces.map(|piece| piece.split_once('m').expect("it chooses a colour").1);
    rest.fold(first, |text, piece| text + piece)
}

struct Stage {
    machine: Machine,
    today: NaiveDate,
}

impl Stage {
    fn new(btrfs: Option<LoopFs>) -> Self {
        let stage = Self {
            machine: btrfs.map_or_else(Machine::new, |btrfs| Machine::fed(Some(btrfs))),
            today: Utc::now().date_naive(),
        };
        if stage.machine.has_btrfs() {
            fs::remove_dir_all(stage.machine.state()).unwrap();
            fs::create_dir(stage.machine.path("fs")).unwrap();
        }
        stage
    }

    fn yesterday(&self) -> NaiveDate {
        self.today.checked_sub_days(Days::new(1)).unwrap()
    }

    /// Writes a config with these sources, and runs `init`.
    fn configure(&self, sources: &str) {
        let config = format!(
            "timezone = \"UTC\"\nstate_dir = \"{HERE}/state\"\n{sources}\n[store.disk]\ntype = \"dir\"\npath = \
             \"{HERE}/store\"\n\n[encryption]\nrecipients = [\"$R\", \"{SPARE}\"]\n\n{SCHEDULE}"
        );
        self.machine.write_config(&config);
        self.done(&format!("init --kit {HERE}/kit --quiet"), b"");
    }

    /// A shell that sees the machine at [`HERE`].
    fn shell(&self, script: &str) -> Command {
        let mut mounts = format!("mount --bind '{}' {HERE}", self.machine.path("").display());
        if self.machine.has_btrfs() {
            let root = self.machine.btrfs().root();
            write!(mounts, " && mount --bind '{}' {HERE}/fs", root.display()).unwrap();
        }
        let mut command = self.machine.command_of("unshare", "--mount /bin/sh -c");
        command
            .arg(format!("{mounts} && cd {HERE} && {script}"))
            .env("COLDCHAIN_CONFIG", format!("{HERE}/config.toml"))
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR");
        command
    }

    /// Runs a command that must succeed, with these bytes on stdin.
    fn done(&self, words: &str, stdin: &[u8]) {
        let run = self.piped(words, stdin);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
    }

    fn piped(&self, words: &str, stdin: &[u8]) -> Run {
        let mut command = self.shell(&format!("exec {} {words}", program()));
        command.stdin(Stdio::piped());
        let mut talk = self.machine.start_command(&mut command);
        let mut pipe = talk.take_stdin();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A program that wants no stream does not read it.
                let _ = pipe.write_all(stdin);
            });
            talk.end_with_stdin_open()
        })
    }

    /// Runs a command on a terminal. What it says on stderr is on the screen too.
    fn on_terminal(&self, words: &str, columns: usize, variables: &str) -> Run {
        let run = format!(
            "stty cols {columns} rows 50; exec env {variables} {} {words}",
            program()
        );
        let script = format!("exec script --quiet --return --command '{run}' /dev/null");
        let mut command = self.shell(&script);
        command.stdin(Stdio::piped());
        let run = self.machine.start_command(&mut command);
        let run = run.end_with_stdin_open();
        Run {
            stdout: run.stdout.replace('\r', ""),
            ..run
        }
    }

    /// Replaces what another day or another run shows instead by something of the same width.
    fn steady(&self, text: &str) -> String {
        let mut steady = String::new();
        let text = text.replace("$TODAY", &self.today.to_string());
        let mut rest = text.as_str();
        while let Some(next) = rest.chars().next() {
            let after = if let Some(date) = rest.get(..10).and_then(date_of) {
                let days = NaiveDate::signed_duration_since(date, self.today).num_days();
                write!(steady, "today{days:+05}").unwrap();
                let (time, after) = time(&rest[10..]);
                steady.push_str(time);
                after
            } else if is_minutes(rest) {
                steady.push('0');
                &rest[1..]
            } else {
                steady.push(next);
                &rest[next.len_utf8()..]
            };
            rest = after;
        }
        steady
    }

    /// All that a command shows, each screen with the terminals that show it so.
    fn screens(&self, words: &str, sources: &str) -> String {
        let mut screens: Vec<(String, Vec<&str>)> = Vec::new();
        let mut add = |name, screen: String| match screens.iter_mut().find(|it| it.0 == screen) {
            Some((_, names)) => names.push(name),
            None => screens.push((screen, vec![name])),
        };
        for (columns, name) in [(40, "40 columns"), (80, "80 columns"), (200, "200 columns")] {
            let run = self.on_terminal(words, columns, "A=");
            let plain = self.on_terminal(words, columns, "NO_COLOR=1");
            assert!(!plain.stdout.contains('\u{1b}'), "{plain:?}");
            let run = Run {
                stdout: without_colors(&run.stdout),
                ..run
            };
            assert_eq!(run.stdout, plain.stdout);
            // An error is a line, however wide the terminal is.
            if run.code == Some(0) {
                fits(&run.stdout, columns);
            }
            add(name, self.screen(&run.stdout, &run));
        }
        let run = self.piped(words, b"");
        fits(&run.stdout, usize::MAX);
        let both = format!("{}{}", run.stdout, run.stderr);
        add("a pipe", self.screen(&both, &run));
        screens
            .into_iter()
            .fold(String::new(), |text, (screen, names)| {
                text + &format!("#### {sources}: {}\n{screen}", names.join(", "))
            })
    }

    fn screen(&self, shown: &str, run: &Run) -> String {
        let mut screen = self.steady(shown);
        if run.code != Some(0) {
            writeln!(screen, "exit code {}", run.code.unwrap()).unwrap();
        }
        screen
    }

    /// The answer in JSON, laid out for people.
    fn json(&self, words: &str) -> String {
        let run = self.piped(&format!("{words} --json"), b"");
        let text = if run.code == Some(0) {
            run.stdout
        } else {
            run.stderr
        };
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        blank(&mut answer);
        self.steady(&serde_json::to_string_pretty(&answer).unwrap()) + "\n"
    }
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_coldchain")
}

/// The date that a text is.
fn date_of(text: &str) -> Option<NaiveDate> {
    let is_like = |(at, letter): (usize, char)| match at {
        4 | 7 => letter == '-',
        _ => letter.is_ascii_digit(),
    };
    let is_date = text.chars().enumerate().all(is_like);
    text.parse().ok().filter(|_| is_date)
}

/// What stands for the time after a date, if there is one, and what follows it.
fn time(text: &str) -> (&'static str, &str) {
    let is_like = |form: &str| {
        let same = |(letter, form): (char, char)| match form {
            'h' | 'm' | 's' => letter.is_ascii_digit(),
            other => letter == other,
        };
        text.len() >= form.len() && text.chars().zip(form.chars()).all(same)
    };
    for form in ["Thh:mm:ss", "Thhmm"] {
        if is_like(form) {
            return (form, &text[form.len()..]);
        }
    }
    ("", text)
}

/// Whether a text begins with the minutes that a test takes.
fn is_minutes(text: &str) -> bool {
    text.starts_with(|digit: char| digit.is_ascii_digit()) && text[1..].starts_with(" min")
}

/// Replaces in JSON what differs from run to run.
fn blank(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(blank),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "host" => *value = "HOST".into(),
                    "id" if value.as_str().is_some_and(|id| id.len() > 16) => *value = "ID".into(),
                    "contents_bytes" | "sealed_bytes" | "seconds" => *value = 0.into(),
                    _ => blank(value),
                }
            }
        }
        _ => {}
    }
}

/// No line ends in blanks or is wider than the terminal, unless it is a single word.
#[track_caller]
fn fits(shown: &str, columns: usize) {
    for line in shown.lines() {
        assert!(!line.ends_with(' '), "{line:?}");
        let is_word = !line.trim_start().contains(' ');
        let wide = line.chars().count();
        assert!(wide <= columns || is_word, "{columns}: {shown}");
    }
}

/// Compares a text with the one that is kept.
#[track_caller]
fn as_kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/watching")
        .join(name);
    if env::var_os("COLDCHAIN_WRITE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let hint = "set COLDCHAIN_WRITE_GOLDEN=1 to keep what is shown now";
    for (at, (shown, kept)) in text.lines().zip(kept.lines()).enumerate() {
        assert_eq!(shown, kept, "{name}, line {}: {hint}", at + 1);
    }
    assert_eq!(text.len(), kept.len(), "{name}: {hint}");
}

/// The tables of sources without subvolumes.
fn fed(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().fold(String::new(), |text, name| {
        text + &format!("\n[[source]]\nname = \"{name}\"\nstore = \"disk\"\n")
    })
}

/// Forty names, of which one is long.
fn forty() -> Vec<String> {
    let named = ["home", "mail", "photographs-of-the-whole-family"];
    let named = named.into_iter().map(str::to_owned);
    named
        .chain((4..=40).map(|number| format!("source-{number:02}")))
        .collect()
}

/// A full or incremental stream of a size that does not change.
fn stream(date: NaiveDate, uuid: u8, parent: Option<u8>) -> Vec<u8> {
    let (name, header) = (date.to_string(), StreamBuilder::header(1));
    let begun = match parent {
        None => header
            .subvol(name.as_bytes(), [uuid; 16], 10)
            .mkfile(b"file"),
        Some(parent) => header.snapshot(name.as_bytes(), [uuid; 16], 10, [parent; 16], 10),
    };
    let mut rng = Rng::new(u64::from(uuid));
    let mut written = begun;
    for (at, piece) in rng.bytes(BYTES).chunks(32 << 10).enumerate() {
        written = written.write(b"file", (at as u64) << 15, piece);
    }
    written.finish()
}

/// Runs a test again that midnight has come in between.
fn on_one_day(test: impl Fn()) {
    let today = || Utc::now().date_naive();
    loop {
        let (begun, ended) = (
            today(),
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(&test)),
        );
        match ended {
            Err(_) if today() != begun => {}
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => return,
        }
    }
}

#[test]
fn status_list_and_plan_are_shown_as_they_are_kept() {
    on_one_day(|| {
        let stage = Stage::new(None);
        let commands = ["status", "list", "plan"];
        let mut shown = commands.map(|_| String::new());
        let mut in_json = String::new();
        let look = |sources: &str, shown: &mut [String; 3]| {
            for (words, text) in commands.iter().zip(shown) {
                text.push_str(&stage.screens(words, sources));
            }
        };
        stage.machine.write_config(&format!(
            "timezone = \"UTC\"\nstate_dir = \"{HERE}/state\"\n"
        ));
        look("no source", &mut shown);
        for words in commands {
            writeln!(
                in_json,
                "#### no source: {words}\n{}",
                stage.json(words).trim_end()
            )
            .unwrap();
        }
        stage.configure(&fed(["home".to_owned()]));
        let (today, yesterday) = (stage.today, stage.yesterday());
        stage.done(&format!("decide {yesterday}"), &stream(yesterday, 1, None));
        stage.done(&format!("decide {today}"), &stream(today, 2, Some(1)));
        stage.done("verify --quiet", b"");
        look("1 source", &mut shown);
        for words in commands {
            writeln!(
                in_json,
                "#### 1 source: {words}\n{}",
                stage.json(words).trim_end()
            )
            .unwrap();
        }
        stage.configure(&fed(forty()));
        let of_mail = stream(yesterday, 3, None);
        stage.done(&format!("decide mail {yesterday}"), &of_mail);
        let next = stream(today, 5, Some(3));
        let cut = stage.piped(&format!("decide mail {today}"), &next[..next.len() - 1]);
        assert_eq!(cut.code, Some(1), "{cut:?}");
        let family = "photographs-of-the-whole-family";
        let of_family = stream(yesterday, 4, None);
        stage.done(&format!("decide {family} {yesterday}"), &of_family);
        look("40 sources", &mut shown);
        for (words, text) in commands.iter().zip(&shown) {
            as_kept(&format!("{words}.txt"), text);
        }
        as_kept("screens_json.txt", &in_json);
    });
}

#[test]
fn snapshots_are_shown_as_they_are_kept() {
    if !real_btrfs_available() {
        return;
    }
    on_one_day(|| {
        let disk = LoopFs::new(256);
        let live = |name: &str| {
            disk.subvolume(name);
            format!(
                "\n[[source]]\nname = \"{name}\"\nsubvolume = \"{HERE}/fs/{name}\"\nsnapshots = \"{HERE}/fs/.snapshots/{name}\"\n"
            )
        };
        let home = live("home").replace(
            "[[source]]\n",
            "[[source]]\nstore = \"disk\"\nkeep = \"3d\"\n",
        );
        let others: Vec<String> = forty()[1..].iter().map(|name| live(name)).collect();
        let stage = Stage::new(Some(disk));
        let mut shown = String::new();
        stage.machine.write_config(&format!(
            "timezone = \"UTC\"\nstate_dir = \"{HERE}/state\"\n"
        ));
        shown.push_str(&stage.screens("snapshots", "no source"));
        stage.configure(&home);
        stage.done(&format!("backup {} --quiet", stage.yesterday()), b"");
        stage.done(&format!("backup {} --quiet", stage.today), b"");
        stage.done("snapshot --quiet", b"");
        let of_one = [
            stage.screens("snapshots", "1 source"),
            stage.screens("snapshots --plan", "1 source, what expires"),
        ];
        shown.extend(of_one);
        let in_json = stage.json("snapshots");
        stage.configure(&(home.clone() + &others.concat()));
        stage.done("snapshot mail --quiet", b"");
        shown.push_str(&stage.screens("snapshots", "40 sources"));
        as_kept("snapshots.txt", &shown);
        as_kept("snapshots_json.txt", &in_json);
    });
}
