//! What a command line means: sources, dates, `--json`, and what is left out of an answer.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{LIVE_CONFIG, Machine, ONE_RECIPIENT, fed_config};
use crate::common::stream_builder::StreamBuilder;

const FIRST: [u8; 16] = *b"uuid of the 1st.";
const SECOND: [u8; 16] = *b"uuid of the 7th.";

/// A machine with a full of 2024-01-01 and an incremental of 2024-01-07.
fn with_two() -> Machine {
    let machine = Machine::fed(None);
    let full = StreamBuilder::header(1)
        .subvol(b"2024-01-01", FIRST, 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 1000]);
    machine
        .run_with("decide 2024-01-01", &full.finish())
        .is(0, "c\n", "");
    let next = StreamBuilder::header(1)
        .snapshot(b"2024-01-07", SECOND, 12, FIRST, 10)
        .write(b"a file", 0, &[8; 1000]);
    machine
        .run_with("decide 2024-01-07", &next.finish())
        .is(0, "i 2024-01-01\n", "");
    machine
}

/// The id of the full.
fn id_of_full(machine: &Machine) -> String {
    let directories = fs::read_dir(machine.path("store/home/archives")).unwrap();
    directories
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.contains("-full-"))
        .unwrap()
}

#[test]
fn a_source_and_a_date_are_understood_in_every_place() {
    let machine = with_two();
    let id = id_of_full(&machine);
    let first = machine.run("show home 2024-01-01");
    assert_eq!(first.code, Some(0), "{first:?}");
    for words in [
        "show 2024-01-01",
        "show 2024-01-01 home",
        "show --source home 2024-01-01",
        "show --date 2024-01-01 home",
        "show --source home --date 2024-01-01",
        &format!("show {id}"),
        &format!("show home {id}"),
    ] {
        assert_eq!(machine.run(words), first, "{words}");
    }
    let newest = machine.run("show home 2024-01-07");
    for words in ["show", "show home", "show latest", "show home latest"] {
        assert_eq!(machine.run(words), newest, "{words}");
    }
    let planned = machine.run("restore home --from store --date 2024-01-01 --plan");
    assert_eq!(planned.code, Some(0), "{planned:?}");
    for words in [
        "restore home --from store 2024-01-01 --plan",
        "restore 2024-01-01 --plan",
        &format!("restore home --from store {id} --plan"),
    ] {
        assert_eq!(machine.run(words), planned, "{words}");
    }
    assert_eq!(
        machine.run("restore home --from store latest --plan"),
        machine.run("restore home --from store --plan")
    );
    for command in ["list", "verify", "catalog check", "prune --dry-run"] {
        let all = machine.run(command);
        assert_eq!(all.code, Some(0), "{all:?}");
        for words in [
            format!("{command} home"),
            format!("{command} --source home"),
        ] {
            assert_eq!(machine.run(&words), all, "{words}");
        }
    }
    assert_eq!(
        machine.run("thaw home 2024-01-01 --status"),
        machine.run("thaw home --date 2024-01-01 --status")
    );
}

#[test]
fn today_and_yesterday_are_dates_in_the_configured_time_zone() {
    let machine = Machine::fed(None);
    // At any moment some zones have another date than UTC.
    for zone in ["Pacific/Kiritimati", "Pacific/Niue"] {
        machine.write_config(&fed_config().replace("\"UTC\"", &format!("\"{zone}\"")));
        let zone: chrono_tz::Tz = zone.parse().unwrap();
        let today = chrono::Utc::now().with_timezone(&zone).date_naive();
        for (word, day) in [("today", Some(today)), ("yesterday", today.pred_opt())] {
            let run = machine.run(&format!("plan {word} --json"));
            let plans: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
            assert_eq!(
                plans["plans"][0]["date"],
                day.unwrap().to_string(),
                "{word}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_together_is_said() {
    let machine = with_two();
    machine.write_config(&(fed_config() + "\n[[source]]\nname = \"mail\"\nstore = \"disk\"\n"));
    for (words, stderr) in [
        (
            "show home mail",
            "error: the command line names two sources, and takes one\n",
        ),
        (
            "show 2024-01-01 2024-01-07",
            "error: the command line names two dates, and takes one\n",
        ),
        (
            "plan latest",
            "error: this takes a date, not an archive: YYYY-MM-DD, `today` or `yesterday`\n",
        ),
        (
            "restore --plan",
            "error: there are several sources, and the command line names none of them: home, mail\n",
        ),
        (
            "decide home",
            "error: the command line names no date, and `decide` needs one\n",
        ),
        (
            "show home 2024-01-01-full-0000000000000000",
            "error: there is no archive `2024-01-01-full-$HEX16`\n\
             hint: `coldchain list` shows what there is\n",
        ),
        (
            "restore home --from store 2024-01-01-full-0000000000000000 --plan",
            "error: there is no archive `2024-01-01-full-$HEX16`\n\
             hint: `coldchain list` shows what there is\n",
        ),
        (
            "show mail",
            "error: nothing has been archived of `mail` yet\n\
             hint: run `coldchain catalog rebuild --identity KIT` if the store has archives of an earlier catalog or of another machine\n",
        ),
    ] {
        machine.run(words).is(2, "", stderr);
    }
}

#[test]
fn a_source_that_is_called_like_a_date_can_be_named() {
    let machine = Machine::fed(None);
    machine.write_config(&fed_config().replace("\"home\"", "\"2024-01-01\""));
    for words in [
        "plan --source 2024-01-01 2024-02-01 --json",
        "plan 2024-01-01 2024-02-01 --json",
    ] {
        let run = machine.run(words);
        let plans: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(plans["plans"][0]["date"], "2024-02-01", "{words}");
        assert_eq!(plans["plans"][0]["source"], "2024-01-01", "{words}");
    }
}

#[test]
fn a_usage_error_is_json_where_that_was_asked_for() {
    let machine = Machine::fed(None);
    for words in [
        "restore --bogus --json",
        "--json nonsense",
        "plan --until --json",
    ] {
        let run = machine.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{words}");
        let said: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!(said["error"]["code"], 2, "{words}");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains('\n'), "{message}");
        assert!(
            said["error"]["hint"].as_str().unwrap().contains("--help"),
            "{said}"
        );
    }
    // Without it as ever; and what was typed commands no terminal.
    let run = machine.run("restore --bog\u{1b}[2Jus");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(
        run.stderr.starts_with("error: unexpected argument '--bog"),
        "{run:?}"
    );
    assert!(!run.stderr.contains('\u{1b}'), "{run:?}");
    let help = machine.run("restore --help --json");
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.contains("[SOURCE] [DATE]"), "{help:?}");
}

#[test]
fn a_span_shows_the_nights_that_do_something() {
    let machine = Machine::fed(None);
    let short = machine.run("plan 2024-01-01 --until 2024-01-31");
    let dates =
        |text: &str| -> Vec<String> { text.lines().map(|line| line[..10].to_owned()).collect() };
    assert_eq!(
        dates(&short.stdout),
        ["2024-01-01", "2024-01-07", "2024-01-14", "2024-01-21"]
    );
    let left_out = "nights with nothing due are left out; -v shows them\n";
    assert_eq!(short.stderr, format!("{left_out}{ONE_RECIPIENT}"));
    let long = machine.run("plan 2024-01-01 --until 2024-01-31 -v");
    assert_eq!(dates(&long.stdout).len(), 31);
    assert_eq!(long.stderr, ONE_RECIPIENT);
    let quiet = machine.run("plan 2024-01-01 --until 2024-01-31 -q");
    assert_eq!((quiet.stdout, quiet.stderr), (short.stdout, String::new()));
    // A single night is what was asked for.
    let night = machine.run("plan 2024-01-02 --until 2024-01-02 -q");
    assert_eq!(night.code, Some(0));
    let json = machine.run("plan 2024-01-01 --until 2024-01-31 --json");
    let plans: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(plans["plans"].as_array().unwrap().len(), 31);
}

#[test]
fn a_dry_run_that_finds_nothing_to_prune_says_so() {
    let machine = with_two();
    machine
        .run("prune --dry-run")
        .is(0, "home: nothing to retire, delete or remove\n", "");
    machine.run("prune").is(0, "", "");
}

#[test]
fn a_backup_without_any_subvolume_is_told() {
    let machine = Machine::fed(None);
    let stderr = "error: no source in the config has a `subvolume`, so `backup` has nothing to archive\n\
                  hint: add `subvolume` and `snapshots` to its [[source]], or archive it with `coldchain decide`\n";
    for words in [
        "backup",
        "backup 2024-01-01 --full",
        "backup -v",
        "backup -n",
    ] {
        machine.run(words).is(2, "", stderr);
    }
}

#[test]
fn an_answer_that_has_no_room_does_not_undo_the_archive() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (words, code) in [
        ("backup 2024-01-01", 4),
        ("backup 2024-01-02", 1),
        ("backup 2024-01-07 --json", 4),
    ] {
        let mut command = machine.command(words);
        let output = command
            .stdout(full())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}: {stderr}");
        assert!(
            stderr.contains("No space left on device"),
            "{words}: {stderr}"
        );
    }
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
}

#[test]
fn a_stderr_that_takes_nothing_ends_no_command() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    machine.btrfs().subvolume("home/nested");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    // A pipe whose reader is gone.
    let broken = || -> OwnedFd { std::io::pipe().unwrap().1.into() };
    // Each of them has a warning to give.
    let low = LIVE_CONFIG.replace("threads = 1", "threads = 1\npriority = \"low\"");
    for (words, config, code) in [
        ("backup 2024-01-01", LIVE_CONFIG, 0),
        ("backup 2024-01-02", &low, 0),
        ("plan 2024-01-07", LIVE_CONFIG, 0),
        ("doctor", LIVE_CONFIG, 0),
        ("init --kit $T/kit", LIVE_CONFIG, 0),
        ("restore home --from store --to $T/none", LIVE_CONFIG, 2),
        ("restore home --from store --bogus", LIVE_CONFIG, 2),
    ] {
        machine.write_config(config);
        for stderr in [Stdio::from(full()), Stdio::from(broken())] {
            let mut command = machine.command(words);
            let output = command.stderr(stderr).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{words}");
        }
    }
}

#[test]
fn columns_go_through_all_sources() {
    let machine = with_two();
    let other = "\n[[source]]\nname = \"a-longer-name\"\nstore = \"disk\"\n";
    machine.write_config(&(fed_config() + other));
    let stream = StreamBuilder::header(1)
        .subvol(b"2024-01-01", SECOND, 10)
        .mkfile(b"f")
        .write(b"f", 0, &vec![7; 40_000])
        .write(b"f", 40_000, &vec![7; 40_000])
        .finish();
    machine
        .run_with("decide a-longer-name 2024-01-01", &stream)
        .is(
            0,
            "c\n",
            "warning: a-longer-name: no recovery kit names its ledger, so a restore on an empty machine would not find it: run `coldchain key kit`\n",
        );
    let list = machine.run("list").stdout;
    let column_of = |word: &str| -> Vec<usize> {
        let of_line = |line: &str| line.find(word).map(|at| line[..at].chars().count());
        list.lines().filter_map(of_line).collect()
    };
    for word in ["file://", "  raw ", "  sealed ", "  committed"] {
        let columns = column_of(word);
        assert!(columns.len() > 1, "{word}: {list}");
        assert!(
            columns.iter().all(|column| *column == columns[0]),
            "{word}: {list}"
        );
    }
    // What is smaller than its headers says nothing in percent.
    assert_eq!(list.matches(" %").count(), 1, "{list}");
    assert!(!machine.run("show home").stdout.contains('%'));
    fs::metadata(machine.path("store/a-longer-name")).unwrap();
}

#[test]
fn a_night_needs_nothing_of_its_environment() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    // As cron, a systemd service and a bare shell of some systems start it.
    for (date, path) in [
        ("2024-01-01", None),
        ("2024-01-07", Some("")),
        ("2024-01-14", Some("/nowhere")),
    ] {
        let mut command = machine.command(&format!("backup {date} -q --config $T/config.toml"));
        command.env_clear().current_dir("/");
        if let Some(path) = path {
            command.env("PATH", path);
        }
        machine.run_command(&mut command).is(0, "", "");
    }
    assert_eq!(machine.archived().len(), 3);
}
