//! What is not there, or can't be seen, is not in order: a source of which nothing was ever kept, and a state directory that
//! is closed to the user who asks.

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{Machine, Run};
use crate::common::stub::copy_program;
use crate::doctor_here::set_mode;

/// A source that keeps snapshots alone.
const ALONE: &str = r#"timezone = "UTC"
state_dir = "$T/state"
metrics = "$T/m.prom"

[[source]]
name = "home"
subvolume = "$FS/home"
snapshots = "$FS/snapshots"
"#;

#[test]
fn a_source_without_a_store_is_overdue_until_it_has_a_snapshot() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    machine.write_config(ALONE);
    let status = machine.run("status");
    assert!(
        status.stdout.contains("\n  snapshot   never\n"),
        "{status:?}"
    );
    let text = "home: no snapshot was taken yet: run `coldchain backup`\n";
    assert!(
        status.stdout.ends_with(&format!("ALARM    {text}")),
        "{status:?}"
    );
    assert_eq!(machine.run("status --check").code, Some(9));
    let nagios = machine.run("status --check=nagios");
    assert_eq!(nagios.stdout, format!("COLDCHAIN CRITICAL - {text}"));
    assert_eq!(nagios.code, Some(2));
    assert_eq!(machine.run("status --check --max-age 2d").code, Some(9));

    assert_eq!(machine.run("backup --quiet").code, Some(0));
    let status = machine.run("status");
    let lines: Vec<&str> = status.stdout.lines().collect();
    assert_eq!(lines[0], "home  snapshots alone, no archives");
    assert!(
        lines[1].starts_with("  snapshot   ") && lines[1].ends_with(", today"),
        "{status:?}"
    );
    assert_eq!(*lines.last().unwrap(), "all in order");
    for (check, code) in [("", 0), (" --max-age 2d", 0), (" --max-age 1s", 9)] {
        let run = machine.run(&format!("status --check{check}"));
        assert_eq!(run.code, Some(code), "{check}: {run:?}");
    }
    let metrics = std::fs::read_to_string(machine.path("m.prom")).unwrap();
    let name = "\ncoldchain_source_newest_snapshot_timestamp_seconds{source=\"home\"} ";
    let (_, value) = metrics.split_once(name).unwrap();
    assert!(!value.starts_with("0\n"), "{value}");
}

#[test]
fn a_state_that_is_closed_to_the_user_is_unknown_and_not_missing() {
    let machine = Machine::fed(None);
    let program = machine.path("coldchain-of-all");
    copy_program(&program);
    set_mode(&machine.path(""), 0o711);
    set_mode(&machine.path("config.toml"), 0o644);
    let run = |words: &str| -> Run {
        let user = format!(
            "--reuid 65534 --regid 65534 --clear-groups {} {words}",
            program.display()
        );
        machine.run_command(&mut machine.command_of("setpriv", &user))
    };
    let nagios = run("status --check=nagios");
    assert_eq!((nagios.code, nagios.stderr.as_str()), (Some(3), ""));
    assert!(
        nagios.stdout.starts_with("COLDCHAIN UNKNOWN - "),
        "{nagios:?}"
    );
    assert_eq!(run("status --check").code, Some(1));
    let doctor = run("doctor --offline");
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    let lines: Vec<&str> = doctor.stdout.lines().collect();
    let of = |begin: &str| {
        let line = lines.iter().find(|line| line.starts_with(begin));
        *line.unwrap_or_else(|| panic!("{begin}: {doctor:?}"))
    };
    assert!(of("  FAIL  files ").ends_with("; run it as root, or as the user with uid 0"));
    let cannot_tell = "only root and the owner of $T/state can tell";
    assert!(of("  ?     identity ").ends_with(cannot_tell));
    assert!(of("  ?     signing key ").ends_with(cannot_tell));
    for claim in [
        "none is held",
        "doctor --fix",
        "run `coldchain init`",
        "none is recorded",
    ] {
        assert!(!doctor.stdout.contains(claim), "{claim}: {doctor:?}");
    }
}
