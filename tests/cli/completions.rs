//! Completion of command lines: typed into the shells themselves, each on a terminal; and what the shells ask for.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::common::by_hand::are_installed;
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;

/// The prompt of a shell that is ready.
const READY: &str = "ready to read";

/// Stores whose names a shell has to quote, and a mirror with a colon in its address.
fn machine() -> Machine {
    let machine = Machine::fed(None);
    let stores = ["my store", "größe", "it's \\\"odd\\\"", "$HOME;x"];
    let config = stores.iter().fold(fed_config(), |config, name| {
        format!(
            "{config}\n[store.\"{name}\"]\ntype = \"dir\"\npath = \"$T/store of {}\"\n",
            name.len()
        )
    });
    machine.write_config(&config);
    for (date, uuid) in [
        ("2024-01-01", *b"uuid of the 1st."),
        ("2024-02-07", *b"uuid of the 7th."),
    ] {
        let full = StreamBuilder::header(1)
            .subvol(date.as_bytes(), uuid, 10)
            .mkfile(b"a file");
        let run = machine.run_with(&format!("decide {date} --full"), &full.finish());
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let catalog = Connection::open(machine.path("state/catalog.db")).unwrap();
    catalog
        .execute(
            "INSERT INTO mirror (source, location) VALUES ('home', 'ssh://box:22/a')",
            [],
        )
        .unwrap();
    for directory in ["diary", "bin"] {
        fs::create_dir(machine.path(directory)).unwrap();
    }
    fs::write(machine.path("dinner"), "").unwrap();
    fs::write(machine.path("a kit.txt"), "").unwrap();
    machine
}

/// A shell on a terminal of its own. There `coldchain` answers what completes a line; with any other words it writes
/// these down.
struct Typing {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
    words: PathBuf,
}

impl Typing {
    fn new(machine: &Machine, shell: &str) -> Self {
        let words = machine.path("words");
        let stand_in = format!(
            "#!/bin/sh\ncase $1 in complete|completions) exec '{}' \"$@\" ;; esac\n\
             printf '%s\\0' \"$@\" >'{words}.new' && mv '{words}.new' '{words}'\n",
            env!("CARGO_BIN_EXE_coldchain"),
            words = words.display(),
        );
        let program = machine.path("bin/coldchain");
        fs::write(&program, stand_in).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, executable).unwrap();
        let start = match shell {
            "bash" => {
                let script = format!("source <(coldchain completions bash)\nPS1='{READY}'\n");
                fs::write(machine.path("bashrc"), script).unwrap();
                "exec bash --noprofile --rcfile bashrc -i"
            }
            "zsh" => {
                let script = format!(
                    "autoload -Uz compinit\ncompinit -u -D\nsource <(coldchain completions zsh)\nPS1='{READY}'\n"
                );
                fs::write(machine.path(".zshrc"), script).unwrap();
                "exec zsh -d -i"
            }
            _ => {
                let script = format!(
                    "coldchain completions fish | source\nfunction fish_prompt; echo -n '{READY}'; end\n"
                );
                fs::write(machine.path("init.fish"), script).unwrap();
                "exec fish --no-config --init-command 'source init.fish' -i"
            }
        };
        let path = std::env::var("PATH").unwrap();
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("stty cols 120 rows 40; {start}"))
            .arg("/dev/null")
            .env("PATH", format!("{}:{path}", machine.path("bin").display()))
            .env("SHELL", "/bin/sh")
            .env("HOME", machine.path("."))
            .env("ZDOTDIR", machine.path("."))
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .current_dir(machine.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            keyboard: child.stdin.take().unwrap(),
            screen: child.stdout.take().unwrap(),
            child,
            shown: String::new(),
            words,
        }
    }

    /// Waits for the prompt, types keys and Enter, and returns the words that the program got.
    fn typed(&mut self, keys: &str) -> Vec<String> {
        let mut bytes = [0; 4096];
        while !self.shown.contains(READY) {
            let read = self.screen.read(&mut bytes).unwrap();
            assert_ne!(read, 0, "{}", self.shown);
            self.shown += &String::from_utf8_lossy(&bytes[..read]);
        }
        self.shown.clear();
        self.keyboard
            .write_all(format!("{keys}\n").as_bytes())
            .unwrap();
        let begun = Instant::now();
        while !self.words.exists() {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{keys:?} ran nothing"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let words = fs::read_to_string(&self.words).unwrap();
        fs::remove_file(&self.words).unwrap();
        words.split_terminator('\0').map(str::to_owned).collect()
    }
}

impl Drop for Typing {
    fn drop(&mut self) {
        // The shell sees the end of its input, or else that its terminal is gone.
        let _ = self.keyboard.write_all(b"exit\n");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is typed, and the words that the program gets.
const TYPED: [(&str, &[&str]); 20] = [
    ("coldchain snapshots\t", &["snapshots"]),
    ("coldchain ver\t", &["verify"]),
    ("coldchain key rot\t", &["key", "rotate"]),
    ("coldchain list ho\t", &["list", "home"]),
    ("true; coldchain -q list ho\t", &["-q", "list", "home"]),
    ("coldchain list --so\tho\t", &["list", "--source", "home"]),
    ("coldchain list --source=ho\t", &["list", "--source=home"]),
    ("coldchain verify --dee\t", &["verify", "--deep"]),
    (
        "coldchain copy home --to my\t",
        &["copy", "home", "--to", "my store"],
    ),
    (
        "coldchain copy home --to=my\t",
        &["copy", "home", "--to=my store"],
    ),
    (
        "coldchain copy home --to 'my\t",
        &["copy", "home", "--to", "my store"],
    ),
    (
        "coldchain copy home --to \"it\t",
        &["copy", "home", "--to", "it's \"odd\""],
    ),
    (
        "coldchain copy home --to it\t",
        &["copy", "home", "--to", "it's \"odd\""],
    ),
    (
        "coldchain copy home --to '$\t",
        &["copy", "home", "--to", "$HOME;x"],
    ),
    (
        "coldchain copy home --to gr\t--plan",
        &["copy", "home", "--to", "größe", "--plan"],
    ),
    ("coldchain ls ho\tetc", &["ls", "home:etc"]),
    (
        "coldchain show home 2024-02\t",
        &["show", "home", "2024-02-07"],
    ),
    (
        "coldchain forget home --mirror ssh://b\t",
        &["forget", "home", "--mirror", "ssh://box:22/a"],
    ),
    (
        "coldchain restore home --to di\tx",
        &["restore", "home", "--to", "diary/x"],
    ),
    (
        "coldchain verify --identity a\t",
        &["verify", "--identity", "a kit.txt"],
    ),
];

fn types_into(shell: &str) {
    if !are_installed(&[shell, "script"]) {
        return;
    }
    let machine = machine();
    let mut typing = Typing::new(&machine, shell);
    for (keys, words) in TYPED {
        assert_eq!(typing.typed(keys), words, "{shell}: {keys:?}");
    }
}

#[test]
fn bash_completes_what_is_typed() {
    types_into("bash");
}

#[test]
fn zsh_completes_what_is_typed() {
    types_into("zsh");
}

#[test]
fn fish_completes_what_is_typed() {
    types_into("fish");
}

/// What the script for zsh is told of a line. It takes no error.
fn asked(machine: &Machine, words: &[&str]) -> String {
    let mut command = machine.command("complete zsh --");
    let run = machine.run_command(command.args(words));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}");
    run.stdout
}

#[test]
fn names_come_from_config_and_catalog() {
    let machine = machine();
    for (words, expected) in [
        (&["list", ""][..], "words\nhome\n"),
        (&["list", "x"], "words\n"),
        (&["ls", ""], "words nospace\nhome:\n"),
        (&["show", ""], "words\nhome\n"),
        (&["show", "2"], "words\n2024-02-07\n2024-01-01\n"),
        (&["show", "home", ""], "words\n2024-02-07\n2024-01-01\n"),
        (
            &["diff", "home:", "2024-01-01", ""],
            "words\n2024-02-07\n2024-01-01\n",
        ),
        (&["show", "mail", ""], "words\n"),
        (&["prune", "home", "--revive", ""], "words\n"),
        (&["verify", "--place", "h"], "words\nhome\n"),
        (
            &["copy", "--to", ""],
            "words\n$HOME;x\ndisk\ngröße\nit's \"odd\"\nmy store\n",
        ),
        (&["forget", "--mirror", ""], "words\nssh://box:22/a\n"),
        (&["restore", "--to", ""], "directories\n"),
        (&["restore", "--stream="], "files\n"),
    ] {
        assert_eq!(asked(&machine, words), expected, "{words:?}");
    }
    // A source that the config does not name any more can still be read and forgotten.
    machine.write_config(&fed_config().replace("name = \"home\"", "name = \"mail\""));
    assert_eq!(asked(&machine, &["list", ""]), "words\nhome\nmail\n");
    // What the line names counts, and not what the environment does.
    fs::write(machine.path("other.toml"), "").unwrap();
    let state = machine.path("state").display().to_string();
    let words = ["-c", "other.toml", "--state-dir", &state, "list", ""];
    assert_eq!(asked(&machine, &words), "words\nhome\n");
    let other = machine.path("other state");
    fs::create_dir(&other).unwrap();
    let option = format!("--state-dir={}", other.display());
    assert_eq!(asked(&machine, &[&option, "list", ""]), "words\nmail\n");
}

/// All names in the state directory, with their lengths.
fn listing(directory: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let mut listing: Vec<_> = entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .collect();
    listing.sort();
    listing
}

#[test]
fn in_any_trouble_there_are_fewer_words_and_no_error() {
    let machine = machine();
    let catalog = machine.path("state/catalog.db");
    let before = listing(&machine.state());
    assert_eq!(
        asked(&machine, &["show", "home", ""]),
        "words\n2024-02-07\n2024-01-01\n"
    );
    assert_eq!(listing(&machine.state()), before, "completion wrote");
    let connection = Connection::open(&catalog).unwrap();

    // Another run writes, and holds the lock of the source.
    let lock = fs::File::create(machine.path("state/home.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    connection
        .execute_batch("BEGIN EXCLUSIVE; DELETE FROM mirror")
        .unwrap();
    let begun = Instant::now();
    assert_eq!(
        asked(&machine, &["forget", "--mirror", ""]),
        "words\nssh://box:22/a\n"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    connection.execute_batch("ROLLBACK").unwrap();

    // A catalog of another version is left alone.
    for schema in [1, 1000] {
        connection
            .pragma_update(None, "user_version", schema)
            .unwrap();
        assert_eq!(asked(&machine, &["show", "home", ""]), "words\n");
        let kept: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(kept, schema);
    }
    drop(connection);
    fs::write(
        &catalog,
        "this is no database, and longer than a header of one would be",
    )
    .unwrap();
    assert_eq!(asked(&machine, &["show", "home", ""]), "words\n");
    fs::remove_file(&catalog).unwrap();
    assert_eq!(asked(&machine, &["show", "home", ""]), "words\n");
    assert!(!catalog.exists());
    // Nothing waits for what would write into a pipe.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &catalog,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(asked(&machine, &["show", "home", ""]), "words\n");
    let config = machine.path("config.toml");
    for text in ["no toml [", "surprise = 1", ""] {
        fs::write(&config, text).unwrap();
        assert_eq!(asked(&machine, &["copy", "--to", ""]), "words\n");
    }
    fs::remove_file(&config).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &config,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(asked(&machine, &["copy", "--to", ""]), "words\n");
    fs::remove_file(&config).unwrap();
    assert_eq!(asked(&machine, &["copy", "--to", ""]), "words\n");
    // Verbs and flags need no file at all.
    assert_eq!(
        asked(&machine, &["snapshots", "--pl"]),
        "words\n--plan\tOnly those that have expired, and why; delete nothing\n"
    );
}

#[test]
fn a_user_who_may_not_read_the_catalog_gets_verbs_alone() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root, to be somebody else");
        return;
    }
    let machine = machine();
    // The user may come as far as the files.
    for directory in [machine.path("."), machine.path("bin")] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory, open).unwrap();
    }
    let program = machine.path("bin/program");
    fs::copy(env!("CARGO_BIN_EXE_coldchain"), &program).unwrap();
    let ask = |words: &[&str]| -> Run {
        let mut command =
            machine.command_of("setpriv", "--reuid 65534 --regid 65534 --clear-groups");
        command
            .arg(&program)
            .args(["complete", "fish", "--"])
            .args(words);
        machine.run_command(&mut command)
    };
    ask(&["list", ""]).is(0, "words\nhome\n", "");
    ask(&["show", "home", ""]).is(0, "words\n", "");
    ask(&["verify", "--dee"]).is(
        0,
        "words\n--deep\tAlso fetch the segments and check every byte of them; cold ones only where they are thawed\n",
        "",
    );
}

#[test]
fn bash_knows_the_completion_and_gets_no_words_from_another_name() {
    if !are_installed(&["bash"]) {
        return;
    }
    let machine = machine();
    let shell = |script: &str| {
        let path = std::env::var("PATH").unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_coldchain")).parent().unwrap();
        let mut command = Command::new("bash");
        command
            .args([
                "--norc",
                "-c",
                &format!("set -eu; source <(coldchain completions bash); {script}"),
            ])
            .env("PATH", format!("{}:{path}", program.display()))
            .env("LC_ALL", "C.UTF-8")
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"));
        machine.run_command(&mut command)
    };
    shell("complete -p coldchain").is(0, "complete -o nosort -F _coldchain coldchain\n", "");
    // The cursor is in the middle of the line, behind letters that take two bytes each.
    let asked = "COMP_WORDBREAKS=$' \\t=:'; COMP_LINE='coldchain copy --to grö --plan'; COMP_POINT=22; _coldchain; echo \"${COMPREPLY[@]}\"";
    shell(asked).is(0, "größe\n", "");
    let broken = "COMP_WORDBREAKS=$' \\t:'; COMP_LINE='coldchain list --source=ho'; COMP_POINT=26; _coldchain; echo \"${COMPREPLY[@]}\"";
    shell(broken).is(0, "--source=home\n", "");
}
