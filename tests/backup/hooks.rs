//! Hooks: which run, in which order, what they learn, and that none of them costs a night.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::bucket::write_credentials;
use crate::common::loopfs::{real_btrfs_available, run};
use crate::common::machine::{LIVE_CONFIG, Machine, NO_ALARMS, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::write_script;

/// What each hook does unless a test has another script for it: it says that it was there.
const NOTE: &str = "echo \"$COLDCHAIN_HOOK $1 $COLDCHAIN_RESULT $COLDCHAIN_EXIT_CODE\" >>\"$(dirname \"$0\")/noted\"; echo heard";

const ALL: &str = r#"
[hooks]
before = ["$T/before", "1"]
on_success = ["$T/on_success", "2"]
on_failure = ["$T/on_failure", "3"]
after = ["$T/after", "4"]
"#;

fn full() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"home", *b"uuid of the 1st.", 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 1000])
        .finish()
}

/// A machine for `decide`, all of whose hooks note that they ran.
fn machine() -> Machine {
    machine_with(&fed_config())
}

fn machine_with(config: &str) -> Machine {
    let machine = Machine::fed(None);
    with_hooks(&machine, config);
    machine
}

fn with_hooks(machine: &Machine, config: &str) {
    machine.write_config(&format!("log = \"$T/log\"\n{config}{NO_ALARMS}{ALL}"));
    for hook in ["before", "on_success", "on_failure", "after"] {
        write_script(&machine.path(hook), NOTE);
    }
}

/// What the hooks have noted, which is forgotten then.
fn noted(machine: &Machine) -> Vec<String> {
    let file = machine.path("noted");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(file);
    text.lines().map(str::to_owned).collect()
}

fn log(machine: &Machine) -> String {
    fs::read_to_string(machine.path("log")).unwrap()
}

#[test]
fn hooks_run_in_order_with_their_arguments_and_do_not_disturb_the_protocol() {
    let machine = machine();
    machine
        .run_with("decide 2024-01-01", &full())
        .is(0, "c\n", "");
    let of_a_success = |result: &str| {
        [
            "before 1  ".to_owned(),
            format!("on_success 2 {result} 0"),
            format!("after 4 {result} 0"),
        ]
    };
    assert_eq!(noted(&machine), of_a_success("archived"));
    machine.run_with("decide 2024-01-02", b"").is(0, "", "");
    assert_eq!(noted(&machine), of_a_success("nothing-due"));
    // A stream that is none.
    let run = machine.run_with("decide 2024-01-07", b"nothing");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), "i 2024-01-01\n"));
    assert!(!run.stderr.contains("heard"), "{}", run.stderr);
    assert_eq!(
        noted(&machine),
        ["before 1  ", "on_failure 3 failed 1", "after 4 failed 1"]
    );
}

#[test]
fn a_hook_learns_the_facts_and_nothing_else() {
    let machine = machine();
    for hook in ["before", "after"] {
        write_script(
            &machine.path(hook),
            "cd \"$(dirname \"$0\")\"; tr '\\0' '\\n' </proc/$$/environ | sort >\"$COLDCHAIN_HOOK.env\"; \
             [ \"$(readlink /proc/$$/fd/0)\" = /dev/null ] && [ \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ ] \
             && touch own-session",
        );
    }
    let mut command = machine.command("decide 2024-01-01");
    command
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("COLDCHAIN_SOURCE", "another")
        .env("COLDCHAIN_OF_MINE", "mine")
        .stdin(std::process::Stdio::piped());
    let mut talk = machine.start_command(&mut command);
    std::io::Write::write_all(&mut talk.take_stdin(), &full()).unwrap();
    talk.end().is(0, "c\n", "");
    assert!(machine.path("own-session").exists());

    let listed = machine.listed();
    let archive = &listed["sources"][0]["chains"][0]["archives"][0];
    let of = |key: &str| archive[key].to_string();
    let path = std::env::var("PATH").unwrap();
    let t = machine.path("").display().to_string();
    let key = machine.objects("key.age").remove(0);
    let id = key.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let t = t.trim_end_matches('/');
    let (raw, sealed) = (of("raw_bytes"), of("sealed_bytes"));
    let environment = |hook: &str| {
        let text = fs::read_to_string(machine.path(&format!("{hook}.env"))).unwrap();
        // The shell adds variables of its own.
        let ours = |line: &&str| line.starts_with("COLDCHAIN_") || line.starts_with("PATH=");
        assert!(!text.contains("secret"), "{text}");
        text.lines()
            .filter(ours)
            .filter(|line| !line.starts_with("COLDCHAIN_SECONDS"))
            .fold(String::new(), |text, line| text + line + "\n")
    };
    assert_eq!(
        environment("after"),
        format!(
            "COLDCHAIN_ARCHIVES={id}\nCOLDCHAIN_CONFIG={t}/config.toml\nCOLDCHAIN_DATE=2024-01-01\n\
             COLDCHAIN_ERROR=\nCOLDCHAIN_EVENT=decide\nCOLDCHAIN_EXIT_CODE=0\nCOLDCHAIN_HINT=\n\
             COLDCHAIN_HOOK=after\nCOLDCHAIN_KIND=full\nCOLDCHAIN_OF_MINE=mine\nCOLDCHAIN_RAW_BYTES={raw}\n\
             COLDCHAIN_RESULT=archived\nCOLDCHAIN_SEALED_BYTES={sealed}\nCOLDCHAIN_SNAPSHOT=\nCOLDCHAIN_SOURCE=home\n\
             COLDCHAIN_STATE_DIR={t}/state\nCOLDCHAIN_UPLOADED_BYTES={sealed}\nPATH={path}\n"
        )
    );
    assert_eq!(
        environment("before"),
        format!(
            "COLDCHAIN_ARCHIVES=\nCOLDCHAIN_CONFIG={t}/config.toml\nCOLDCHAIN_DATE=2024-01-01\n\
             COLDCHAIN_ERROR=\nCOLDCHAIN_EVENT=decide\nCOLDCHAIN_EXIT_CODE=\nCOLDCHAIN_HINT=\n\
             COLDCHAIN_HOOK=before\nCOLDCHAIN_KIND=\nCOLDCHAIN_OF_MINE=mine\nCOLDCHAIN_RAW_BYTES=\n\
             COLDCHAIN_RESULT=\nCOLDCHAIN_SEALED_BYTES=\nCOLDCHAIN_SNAPSHOT=\nCOLDCHAIN_SOURCE=home\n\
             COLDCHAIN_STATE_DIR={t}/state\nCOLDCHAIN_UPLOADED_BYTES=\nPATH={path}\n"
        )
    );
}

#[test]
fn an_argument_is_given_as_it_is_and_never_read_by_a_shell() {
    let machine = Machine::fed(None);
    write_script(
        &machine.path("hook"),
        "for word; do printf '%s|' \"$word\"; done >\"$(dirname \"$0\")/words\"",
    );
    machine.write_config(&format!(
        "{}\n[hooks]\nbefore = [\"$T/hook\", \"a b\", \"\", \"$(touch $T/bad)\", \"*; touch $T/bad\", \"'\"]\n",
        fed_config()
    ));
    machine
        .run_with("decide 2024-01-01", &full())
        .is(0, "c\n", "");
    let words = fs::read_to_string(machine.path("words")).unwrap();
    assert_eq!(
        words,
        machine.fill("a b||$(touch $T/bad)|*; touch $T/bad|'|")
    );
    assert!(!machine.path("bad").exists());
}

/// Runs a night whose hook `before` can't do its work, and sees that nothing was done.
fn nothing_is_done(machine: &Machine, code: i32, stderr: &str) {
    machine
        .run_with("decide 2024-01-01", &full())
        .is(code, "", stderr);
    assert_eq!(machine.archived(), [""; 0]);
    let code = code.to_string();
    assert_eq!(
        noted(machine),
        [
            format!("on_failure 3 failed {code}"),
            format!("after 4 failed {code}")
        ]
    );
}

#[test]
fn without_its_first_hook_a_night_does_not_begin() {
    let machine = machine();
    let before = machine.path("before");
    write_script(&before, "echo the shelf is not there >&2; exit 32");
    nothing_is_done(
        &machine,
        1,
        "error: the hook `before`, $T/before, ended with exit status: 32: the shelf is not there\n",
    );
    write_script(&before, "kill -9 $$");
    nothing_is_done(
        &machine,
        1,
        "error: the hook `before`, $T/before, ended with signal: 9 (SIGKILL)\n",
    );
    fs::set_permissions(&before, fs::Permissions::from_mode(0o775)).unwrap();
    nothing_is_done(
        &machine,
        2,
        "error: cannot run the hook `before`: cannot trust $T/before: others can write to it (mode 0775)\n\
         hint: check that it was not changed, then run `chmod go-w $T/before`\n",
    );
    fs::remove_file(&before).unwrap();
    nothing_is_done(
        &machine,
        2,
        "error: cannot run $T/before as the hook `before`\n\
         caused by: No such file or directory (os error 2)\n\
         hint: name an executable file in `hooks.before`, or remove the key\n",
    );
    write_script(&before, NOTE);
    machine
        .run_with("decide 2024-01-01", &full())
        .is(0, "c\n", "");
}

/// A machine whose hook `on_success` is spoilt, and what is said of that.
fn spoilt(spoil: impl Fn(&Machine, &PathBuf)) -> (Machine, Run) {
    let machine = machine();
    let hook = machine.path("on_success");
    spoil(&machine, &hook);
    let run = machine.run_with("decide 2024-01-01", &full());
    (machine, run)
}

#[test]
fn no_later_hook_costs_a_night() {
    type Spoil = fn(&Machine, &PathBuf);
    let cases: [(Spoil, &str); 8] = [
        (
            |_, hook| write_script(hook, "echo one; echo '\x1b[2Jtwo'; exit 1"),
            "the hook `on_success`, $T/on_success, ended with exit status: 1: one; \\u{1b}[2Jtwo",
        ),
        (
            |_, hook| write_script(hook, "kill -TERM $$"),
            "the hook `on_success`, $T/on_success, ended with signal: 15 (SIGTERM)",
        ),
        (
            |_, hook| fs::remove_file(hook).unwrap(),
            "cannot run $T/on_success as the hook `on_success`\ncaused by: No such file or directory (os error 2)",
        ),
        (
            |_, hook| fs::set_permissions(hook, fs::Permissions::from_mode(0o644)).unwrap(),
            "cannot run $T/on_success as the hook `on_success`\ncaused by: Permission denied (os error 13)",
        ),
        (
            |_, hook| {
                fs::remove_file(hook).unwrap();
                fs::create_dir(hook).unwrap();
            },
            "cannot run $T/on_success as the hook `on_success`\ncaused by: Permission denied (os error 13)",
        ),
        (
            |_, hook| std::os::unix::fs::chown(hook, Some(1), None).unwrap(),
            "cannot run the hook `on_success`: cannot trust $T/on_success: it belongs to the user with uid 1",
        ),
        (
            // A link of root's to what another user owns.
            |machine, hook| {
                fs::rename(hook, machine.path("theirs")).unwrap();
                std::os::unix::fs::chown(machine.path("theirs"), Some(1), None).unwrap();
                std::os::unix::fs::symlink("theirs", hook).unwrap();
            },
            "cannot run the hook `on_success`: cannot trust $T/on_success: it belongs to the user with uid 1",
        ),
        (
            |machine, hook| {
                let open = machine.path("open");
                fs::create_dir(&open).unwrap();
                fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
                fs::rename(hook, open.join("hook")).unwrap();
                std::os::unix::fs::symlink(open.join("hook"), hook).unwrap();
            },
            "cannot run the hook `on_success`: cannot trust $T/open: others can write to it (mode 0777)",
        ),
    ];
    for (spoil, cause) in cases {
        let (machine, run) = spoilt(spoil);
        assert_eq!((run.code, run.stdout.as_str()), (Some(4), "c\n"), "{run:?}");
        let said = format!(
            "error: the run of `home` succeeded, but a hook after it failed\ncaused by: {cause}\n"
        );
        let (error, hint) = match run.stderr.split_once("hint: ") {
            Some((error, hint)) => (error, Some(hint)),
            None => (run.stderr.as_str(), None),
        };
        assert_eq!(error, said);
        assert_eq!(hint.is_some(), !cause.contains("ended with"), "{run:?}");
        assert_eq!(machine.archived(), ["2024-01-01 full"]);
        // The last hook learns of it.
        assert_eq!(noted(&machine), ["before 1  ", "after 4 archived 4"]);
        // And the next night is as always, but for the hook.
        let next = machine.run_with("decide 2024-01-02", b"");
        assert_eq!((next.code, next.stdout.as_str()), (Some(4), ""));
        assert_eq!(noted(&machine), ["before 1  ", "after 4 nothing-due 4"]);
    }
}

#[test]
fn the_error_of_the_run_counts_more_than_that_of_a_hook() {
    let machine = machine();
    write_script(&machine.path("on_failure"), "echo no mail; exit 7");
    let run = machine.run_with("decide 2024-01-01", b"nothing");
    assert_eq!(run.code, Some(1));
    let (warning, error) = run.stderr.split_once("error: ").unwrap();
    assert_eq!(
        warning,
        "warning: home: the hook `on_failure`, $T/on_failure, ended with exit status: 7: no mail\n"
    );
    assert!(
        error.starts_with("the send stream was not archived\n"),
        "{error}"
    );
    assert_eq!(noted(&machine), ["before 1  ", "after 4 failed 1"]);
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_started() {
    let machine = machine_with(&fed_config());
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    machine.write_config(&format!("{config}timeout = \"1s\"\n"));
    let never = machine.path("never");
    run(Command::new("mkfifo").arg(&never)).unwrap();
    write_script(
        &machine.path("on_success"),
        &machine.fill("echo waiting; cat '$T/never' & cat '$T/never'; wait"),
    );
    machine.run_with("decide 2024-01-01", &full()).is(
        4,
        "c\n",
        "error: the run of `home` succeeded, but a hook after it failed\n\
         caused by: the hook `on_success`, $T/on_success, did not end within 1 s and was killed: waiting\n\
         hint: find out what it waits for, or raise `timeout` in [hooks]\n",
    );
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
    assert_eq!(noted(&machine), ["before 1  ", "after 4 archived 4"]);
    // Only a pipe that no process has open for reading refuses a writer. A killed process takes a moment to end.
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    let until = Instant::now() + Duration::from_mins(1);
    let refused = loop {
        match rustix::fs::open(&never, flags, rustix::fs::Mode::empty()) {
            Ok(pipe) => drop(pipe),
            Err(error) => break error,
        }
        assert!(Instant::now() < until, "something still reads the pipe");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(refused, rustix::io::Errno::NXIO);
}

#[test]
fn a_hook_may_print_a_gibibyte_and_leave_a_program_running() {
    let machine = machine();
    write_script(
        &machine.path("on_success"),
        "head -c 1073741824 /dev/zero; echo; echo the end",
    );
    run(Command::new("mkfifo").arg(machine.path("never"))).unwrap();
    write_script(
        &machine.path("after"),
        &machine.fill("(exec 3<>'$T/never'; read -r _ <&3; echo late >'$T/late') & echo left"),
    );
    // A tenth of what the hook prints.
    let limited = |words: &str| {
        let program = env!("CARGO_BIN_EXE_coldchain");
        let mut command = Command::new("prlimit");
        command.arg("--data=104857600").arg(program);
        command.args(words.split(' '));
        command.env("COLDCHAIN_CONFIG", machine.path("config.toml"));
        command.stdin(std::process::Stdio::piped());
        command
    };
    let mut talk = machine.start_command(&mut limited("decide 2024-01-01"));
    std::io::Write::write_all(&mut talk.take_stdin(), &full()).unwrap();
    talk.end().is(0, "c\n", "");
    let log = log(&machine);
    let printed = log.lines().find(|line| line.contains("hook=on_success"));
    let printed = printed.unwrap();
    assert!(
        printed.len() < 8 << 10 && printed.contains("\\u{0}"),
        "{printed}"
    );
    assert!(
        log.lines().any(|line| line.ends_with("printed=\"left\"")),
        "{log}"
    );
    // What was left running goes on.
    fs::write(machine.path("never"), "\n").unwrap();
    while !machine.path("late").exists() {
        std::thread::yield_now();
    }
}

#[test]
fn no_hook_runs_under_the_lock_of_the_source() {
    let machine = machine();
    for hook in ["before", "on_success", "after"] {
        write_script(
            &machine.path(hook),
            &machine.fill("flock --nonblock '$T/state/home.lock' true"),
        );
    }
    machine
        .run_with("decide 2024-01-01", &full())
        .is(0, "c\n", "");
}

#[test]
fn a_run_that_a_hook_starts_runs_no_hooks() {
    let machine = machine();
    let program = env!("CARGO_BIN_EXE_coldchain");
    write_script(
        &machine.path("after"),
        &format!("'{program}' decide 2024-01-02 </dev/null"),
    );
    machine
        .run_with("decide 2024-01-01", &full())
        .is(0, "c\n", "");
    assert_eq!(noted(&machine), ["before 1  ", "on_success 2 archived 0"]);
    let log = log(&machine);
    assert!(
        log.contains("message=\"this run was started by a hook, so it runs no hooks\""),
        "{log}"
    );
    assert!(log.contains(" info home nothing-due 2024-01-02 "), "{log}");
}

const INTERRUPTED: &str = "error: interrupted by SIGTERM\n\
    hint: run the same command again to continue; what was done is kept, and half-done work has no effect\n";

#[test]
fn a_run_that_is_stopped_still_runs_its_hooks() {
    let machine = machine();
    let mut talk = machine.start("decide 2024-01-01");
    assert_eq!(talk.line().as_deref(), Some("c\n"));
    talk.signal(Signal::TERM);
    talk.end_with_stdin_open().is(143, "", INTERRUPTED);
    assert_eq!(
        noted(&machine),
        [
            "before 1  ",
            "on_failure 3 failed 143",
            "after 4 failed 143"
        ]
    );
}

#[test]
fn a_second_signal_ends_the_hooks_of_a_run_that_was_stopped() {
    let machine = machine();
    for pipe in ["reached", "never"] {
        run(Command::new("mkfifo").arg(machine.path(pipe))).unwrap();
    }
    write_script(
        &machine.path("on_failure"),
        &machine.fill("echo >'$T/reached'; read -r _ <'$T/never'"),
    );
    let mut talk = machine.start("decide 2024-01-01");
    assert_eq!(talk.line().as_deref(), Some("c\n"));
    talk.signal(Signal::TERM);
    fs::read(machine.path("reached")).unwrap();
    talk.signal(Signal::INT);
    let run = talk.end_with_stdin_open();
    // It may also just have noticed that its hook has ended.
    assert!(matches!(run.code, Some(130 | 143)), "{run:?}");
    assert_eq!(noted(&machine), ["before 1  "]);
}

#[test]
fn a_signal_ends_the_hook_that_runs_and_the_others_still_run() {
    let machine = machine();
    for pipe in ["reached", "never"] {
        run(Command::new("mkfifo").arg(machine.path(pipe))).unwrap();
    }
    let hang = machine.fill("echo >'$T/reached'; read -r _ <'$T/never'");
    write_script(&machine.path("before"), &hang);
    let talk = machine.start("decide 2024-01-01");
    fs::read(machine.path("reached")).unwrap();
    talk.signal(Signal::TERM);
    talk.end_with_stdin_open().is(143, "", INTERRUPTED);
    assert_eq!(
        noted(&machine),
        ["on_failure 3 failed 143", "after 4 failed 143"]
    );
    assert_eq!(machine.archived(), [""; 0]);
}

#[test]
fn a_run_that_no_signal_can_stop_still_runs_its_hooks() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let bucket = format!(
        "type = \"s3\"\nbucket = \"archive\"\nregion = \"us-east-1\"\n\
         endpoint = \"http://{}\"\ncredentials_file = \"$T/credentials\"\n",
        silent.local_addr().unwrap()
    );
    let config = fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &bucket);
    let machine = machine_with(&config);
    write_credentials(&machine.path("credentials"), "key", "secret");
    fs::remove_file(machine.path("state/catalog.db")).unwrap();
    let talk = machine.start("decide 2024-01-01");
    let connection = silent.accept().unwrap();
    talk.signal(Signal::TERM);
    talk.end_with_stdin_open().is(143, "", INTERRUPTED);
    drop(connection);
    assert_eq!(
        noted(&machine),
        [
            "before 1  ",
            "on_failure 3 failed 143",
            "after 4 failed 143"
        ]
    );
    let log = log(&machine);
    assert!(
        log.contains(" error home failed command=decide code=143 "),
        "{log}"
    );
}

#[test]
fn each_source_of_a_backup_has_its_hooks() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    machine.btrfs().subvolume("mail");
    fs::create_dir(machine.btrfs().path("of-mail")).unwrap();
    let second = "[[source]]\nname = \"mail\"\nsubvolume = \"$FS/mail\"\nsnapshots = \"$FS/of-mail\"\n\
                  store = \"disk\"\n\n[store.disk]";
    with_hooks(&machine, &LIVE_CONFIG.replacen("[store.disk]", second, 1));
    write_script(
        &machine.path("before"),
        &format!("{NOTE}; [ \"$COLDCHAIN_SOURCE\" = mail ]"),
    );
    let run = machine.run("backup 2024-01-01 --json");
    assert_eq!(run.code, Some(10), "{run:?}");
    let last: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    let results: Vec<_> = last["sources"].as_array().unwrap().iter().collect();
    assert_eq!(results[0]["result"], "failed", "{}", run.stderr);
    assert_eq!(results[1]["result"], "archived", "{}", run.stdout);
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
    assert_eq!(
        noted(&machine),
        [
            "before 1  ",
            "on_failure 3 failed 1",
            "after 4 failed 1",
            "before 1  ",
            "on_success 2 archived 0",
            "after 4 archived 0"
        ]
    );
    // Without `before` not even a snapshot was made.
    assert!(!machine.btrfs().path("snapshots/2024-01-01").exists());
    let log = log(&machine);
    let actions: Vec<_> = log
        .lines()
        .filter(|line| !line.contains(" warned "))
        .map(|line| {
            line.split(' ')
                .skip(1)
                .take(4)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .map(|line| line.split(" 2024-01-01-").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        actions,
        [
            "error home hook-failed hook=before",
            "error home failed command=backup",
            "info home hook hook=on_failure",
            "info home hook hook=after",
            "info mail hook hook=before",
            "info mail snapshot 2024-01-01",
            "info mail archived",
            "info mail hook hook=on_success",
            "info mail hook hook=after",
        ]
    );
}

#[test]
fn doctor_names_hooks_that_can_not_run() {
    let machine = machine();
    fs::remove_file(machine.path("before")).unwrap();
    fs::set_permissions(machine.path("after"), fs::Permissions::from_mode(0o757)).unwrap();
    let run = machine.run("doctor");
    for warning in [
        "warning: cannot run $T/before as the hook `before`: No such file or directory (os error 2); name an executable",
        "warning: cannot run the hook `after`: cannot trust $T/after: others can write to it (mode 0757); check that",
    ] {
        assert!(run.stderr.contains(warning), "{warning}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("on_success"), "{}", run.stderr);
}
