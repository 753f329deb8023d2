//! Each way in which a run can end, for real: status, metrics, ping, webhook, log and exit code say the same.

use std::fs;
use std::thread;
use std::time::Duration;

use chrono::{Days, Utc};
use rustix::process::Signal;

use super::{Watched, full, today};
use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{Machine, Run};
use crate::common::stub::write_script;

/// Checks that everything says how the last run of a command has ended for `home`.
#[track_caller]
fn said(watched: &Watched, command: &str, code: u8) {
    let status = watched.status();
    let runs = status["runs"].as_array().unwrap();
    let whole = runs.iter().find(|run| run["command"] == command).unwrap();
    assert_eq!(whole["exit_code"], code, "{whole}");
    let posted = watched.posts.take();
    let paths: Vec<&str> = posted.iter().map(|it| it.path.as_str()).collect();
    let pings: Vec<&&str> = paths
        .iter()
        .filter(|path| !path.starts_with("/hook"))
        .collect();
    assert_eq!(pings.len(), 2, "{paths:?}");
    let rid = |path: &str| path.split_once("rid=").unwrap().1.to_owned();
    assert!(
        pings[0].starts_with(&format!("/{command}/start?")),
        "{paths:?}"
    );
    assert!(
        pings[1].starts_with(&format!("/{command}/{code}?")),
        "{paths:?}"
    );
    assert_eq!(rid(pings[0]), rid(pings[1]));
    assert_eq!(rid(pings[0]).len(), 36);
    let hook = posted.iter().find(|it| it.path == "/hook").unwrap();
    let facts: serde_json::Value = serde_json::from_str(&hook.body).unwrap();
    assert_eq!(facts["exit_code"], code, "{facts}");
    assert_eq!(facts["state"], if code == 0 { "ok" } else { "failed" });
    assert_eq!(facts["run"], rid(pings[0]));
    let metrics = watched.metrics();
    let name = format!("coldchain_command_last_exit_code{{command=\"{command}\"}}");
    assert_eq!(metrics.get(&name), Some(&f64::from(code)), "{metrics:#?}");
    // A source that failed is said everywhere, and nothing says that it went well.
    let of_source =
        format!("coldchain_run_last_exit_code{{command=\"{command}\",source=\"home\"}}");
    if let Some(value) = metrics.get(&of_source) {
        assert_eq!((*value > 0.0), code != 0, "{metrics:#?}");
    }
    if code == 4 {
        assert!(
            watched.log().contains(" hook-failed hook=on_success"),
            "{}",
            watched.log()
        );
    } else if ![0, 2, 5, 10].contains(&code) {
        let log = watched.log();
        let last = log
            .lines()
            .rev()
            .find(|line| line.contains(" failed command="))
            .unwrap();
        assert!(last.contains(&format!("code={code}")), "{last}");
    }
    // Nothing of the machine's paths is told.
    let root = watched.machine.path("");
    for post in &posted {
        assert!(!post.body.contains(root.to_str().unwrap()), "{post:?}");
    }
}

#[track_caller]
fn ends(run: &Run, code: i32) {
    assert_eq!(run.code, Some(code), "{run:?}");
}

#[test]
fn an_archive_nothing_due_and_a_stream_that_is_cut_are_reported_as_what_they_are() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let date = today();
    let stream = full(&date, 1);
    ends(
        &machine.run_with(&format!("decide {date}"), &stream[..stream.len() - 5]),
        1,
    );
    said(&watched, "decide", 1);
    ends(&machine.run_with(&format!("decide {date}"), &stream), 0);
    said(&watched, "decide", 0);
    ends(&machine.run(&format!("decide {date}")), 0);
    said(&watched, "decide", 0);
}

#[test]
fn faults_of_the_config_and_of_the_command_line_are_reported() {
    let watched = Watched::new();
    let machine = &watched.machine;
    watched.configure("treads = 1", "");
    ends(&machine.run("decide 2024-01-01"), 2);
    let posted = watched.posts.take();
    assert!(
        posted.iter().any(|it| it.path.starts_with("/decide/2?")),
        "{posted:?}"
    );
    let metrics = watched.metrics();
    assert!((metrics["coldchain_config_valid"] - 0.0).abs() < 0.5);
    assert!((metrics["coldchain_command_last_exit_code{command=\"decide\"}"] - 2.0).abs() < 0.5);
    // Even where it is no TOML at all.
    watched.configure("", "\n[[store\n");
    ends(&machine.run("decide 2024-01-01"), 2);
    let posted = watched.posts.take();
    assert!(
        posted.iter().any(|it| it.path.starts_with("/decide/2?")),
        "{posted:?}"
    );
    watched.configure("", "");
    // The source failed before it was looked at, and status says so.
    let status = watched.status();
    assert_eq!(status["sources"][0]["runs"][0]["exit_code"], 2, "{status}");
    assert_eq!(status["sources"][0]["alarms"][0]["kind"], "never-archived");
    assert_eq!(status["sources"][0]["alarms"][1]["kind"], "run-failed");
    ends(&machine.run("decide 2024-13-01"), 2);
    said(&watched, "decide", 2);
}

#[test]
fn a_lock_that_is_held_signals_and_a_kill_are_reported() {
    let watched = Watched::new();
    let machine = &watched.machine;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut first = machine.start("decide 2024-01-01");
        assert_eq!(first.line().as_deref(), Some("c\n"));
        if code == 130 {
            // The ping of a start is sent while the run works.
            while watched.posts.posted.lock().unwrap().is_empty() {
                thread::sleep(Duration::from_millis(10));
            }
            ends(&machine.run("decide 2024-01-01"), 3);
            let start = watched.posts.posted.lock().unwrap().remove(0);
            assert!(start.path.starts_with("/decide/start?"), "{start:?}");
            said(&watched, "decide", 3);
            watched.posts.posted.lock().unwrap().insert(0, start);
        }
        first.signal(signal);
        ends(&first.end_with_stdin_open(), code);
        said(&watched, "decide", u8::try_from(code).unwrap());
    }
    let mut killed = machine.start("decide 2024-01-01");
    assert_eq!(killed.line().as_deref(), Some("c\n"));
    killed.signal(Signal::KILL);
    assert_eq!(killed.end_with_stdin_open().code, None);
    // Nobody could report it; whoever looks next finds it.
    let status = watched.status();
    let run = &status["sources"][0]["runs"][0];
    assert_eq!(
        (run["exit_code"].is_null(), &run["result"]),
        (true, &"died".into()),
        "{status}"
    );
    let shown = machine.run("status");
    assert!(shown.stdout.contains("was killed"), "{}", shown.stdout);
    watched.posts.take();
    machine.run("status --metrics $T/m.prom");
    let metrics = watched.metrics();
    let name = "coldchain_run_last_exit_code{command=\"decide\",source=\"home\"}";
    assert!((metrics[name] - 255.0).abs() < 0.5, "{metrics:#?}");
}

#[test]
fn a_hook_that_fails_damage_and_several_sources_are_reported() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let date = today();
    watched.configure("", "\n[hooks]\non_success = [\"/bin/false\"]\n");
    ends(
        &machine.run_with(&format!("decide {date}"), &full(&date, 1)),
        4,
    );
    said(&watched, "decide", 4);
    watched.configure("", "");
    ends(&machine.run("verify"), 0);
    said(&watched, "verify", 0);
    for segment in machine.objects(".zst.age") {
        fs::remove_file(segment).unwrap();
    }
    ends(&machine.run("verify"), 6);
    said(&watched, "verify", 6);
    let status = watched.status();
    let kinds = status["sources"][0]["alarms"].as_array().unwrap().iter();
    let kinds: Vec<&str> = kinds.map(|alarm| alarm["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"damaged"), "{kinds:?}");
    assert!(kinds.contains(&"run-failed"), "{kinds:?}");
    // A second source, in order, beside it.
    watched.configure("", "\n[[source]]\nname = \"mail\"\nstore = \"disk\"\n");
    ends(
        &machine.run_with(&format!("decide mail {date}"), &full(&date, 2)),
        0,
    );
    // The last `decide` of home failed, so the check is left as it is.
    let pings = watched.posts.take();
    assert!(
        pings.iter().any(|it| it.path.starts_with("/decide/log?")),
        "{pings:?}"
    );
    ends(&machine.run("verify"), 10);
    said(&watched, "verify", 10);
    let metrics = watched.metrics();
    let of = |source: &str| {
        metrics[&format!("coldchain_run_last_exit_code{{command=\"verify\",source=\"{source}\"}}")]
    };
    assert!(
        (of("home") - 6.0).abs() < 0.5 && of("mail").abs() < 0.5,
        "{metrics:#?}"
    );
}

#[test]
fn a_store_that_is_gone_and_a_cold_one_are_reported() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let date = today();
    watched.configure(
        "",
        "\n[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n",
    );
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let cold = "type = \"dir\"\ncold = \"GLACIER\"\n";
    machine.write_config(&config.replacen("type = \"dir\"\n", cold, 1));
    ends(
        &machine.run_with(&format!("decide {date}"), &full(&date, 1)),
        0,
    );
    said(&watched, "decide", 0);
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    let gone = machine.run("prune");
    let code = u8::try_from(gone.code.unwrap()).unwrap();
    assert!(code != 0, "{gone:?}");
    said(&watched, "prune", code);
    fs::rename(machine.path("away"), machine.path("store")).unwrap();
    ends(&machine.run("prune"), 0);
    said(&watched, "prune", 0);
    // What is cold has to be thawed before it can be copied.
    ends(&machine.run("init --kit $T/kit --quiet"), 0);
    ends(&machine.run("copy home --to second --yes"), 5);
    said(&watched, "copy", 5);
}

#[test]
fn a_chain_that_can_no_longer_be_brought_back_is_reported() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let schedule = "\n[schedule]\nmax_incrementals = 0\nexpire_after_days = 1\n";
    watched.configure("", schedule);
    let ago = |days| Utc::now().date_naive() - Days::new(days);
    let (old, new) = (ago(30).to_string(), ago(2).to_string());
    for (date, uuid) in [(&old, 1), (&new, 2)] {
        let run = machine.run_with(&format!("decide {date} --full"), &full(date, uuid));
        ends(&run, 0);
    }
    let retired = machine.run("list --all").stdout;
    assert!(
        retired.contains(&format!("chain of {old}  retired, ")),
        "{retired}"
    );
    for segment in machine.objects(".zst.age") {
        if segment.to_string_lossy().contains(&old) {
            fs::remove_file(segment).unwrap();
        }
    }
    watched.posts.take();
    ends(&machine.run(&format!("prune home --revive {old}")), 7);
    said(&watched, "prune", 7);
}

#[test]
fn a_program_that_is_too_old_is_reported() {
    if !real_btrfs_available() {
        return;
    }
    let watched = Watched::of(Machine::with_subvolume(256));
    let machine = &watched.machine;
    fs::create_dir(machine.path("bin")).unwrap();
    write_script(&machine.path("bin/btrfs"), "echo btrfs-progs v5.10");
    let path = std::env::var("PATH").unwrap();
    let bin = machine.path("bin");
    let mut command = machine.command("backup");
    command.env("PATH", format!("{}:{path}", bin.display()));
    ends(&machine.run_command(&mut command), 8);
    said(&watched, "backup", 8);
    // Put right, it is right everywhere.
    ends(&machine.run("backup"), 0);
    said(&watched, "backup", 0);
}

/// A thread that can't be started makes the program panic. Its first two are those that wait for signals: of the memory
/// that this process may have, they leave too little for a third.
fn panics(watched: &Watched, words: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_coldchain");
    let words = format!("--as={} {program} {words}", 11_u64 << 29);
    let mut command = watched.machine.command_of("prlimit", &words);
    command.env("RUST_MIN_STACK", (2_u64 << 30).to_string());
    let run = watched.machine.run_command(&mut command);
    assert!(run.stderr.contains(" panicked at "), "{run:?}");
    run
}

#[test]
fn a_panic_is_reported_as_a_failure_and_hooks_learn_of_it() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let date = today();
    let decide = format!("decide {date}");
    ends(&machine.run_with(&decide, &full(&date, 1)), 0);
    said(&watched, "decide", 0);
    // Nothing is due any more, and the copy is made by threads.
    let second = "\n[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n";
    let hooks = "\n[hooks]\non_success = [\"$T/hook\"]\non_failure = [\"$T/hook\"]\n";
    let note = "echo $COLDCHAIN_HOOK $COLDCHAIN_RESULT $COLDCHAIN_EXIT_CODE >>$T/noted";
    write_script(&machine.path("hook"), &machine.fill(note));
    fs::create_dir(machine.path("second")).unwrap();
    watched.configure("", &format!("{second}{hooks}"));
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let copied = "store = \"disk\"\ncopies = [\"second\"]\n";
    machine.write_config(&config.replacen("store = \"disk\"\n", copied, 1));
    let run = panics(&watched, &decide);
    ends(&run, 101);
    let error = "error: a fault of coldchain: it panicked\nhint: run the same command again";
    assert!(run.stderr.contains(error), "{run:?}");
    said(&watched, "decide", 101);
    let status = watched.status();
    let source = &status["sources"][0];
    assert_eq!(source["runs"][0]["exit_code"], 101, "{status}");
    let alarms = source["alarms"].as_array().unwrap();
    let failed = alarms.iter().find(|it| it["kind"] == "run-failed");
    assert_eq!(failed.unwrap()["urgency"], "critical");
    let noted = || fs::read_to_string(machine.path("noted")).unwrap();
    assert_eq!(noted(), "on_failure failed 101\n");

    let json = panics(&watched, "copy home --to second --yes --json");
    let error = json.stderr.lines().last().unwrap();
    let error: serde_json::Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["code"], 101, "{json:?}");
    said(&watched, "copy", 101);
    // What it had begun does no harm.
    ends(&machine.run(&decide), 0);
    assert!(noted().ends_with("\non_success nothing-due 0\n"));
}
