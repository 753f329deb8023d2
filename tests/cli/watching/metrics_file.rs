//! The new files of metrics that killed runs leave.

use std::fs;
use std::process::Command;

use super::{Watched, full, today};

/// The number of a process that is gone.
fn gone() -> u32 {
    let mut process = Command::new("true").spawn().unwrap();
    process.wait().unwrap();
    process.id()
}

#[test]
fn what_killed_runs_left_is_removed_and_nothing_else() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let (gone, other, alive) = (gone(), gone(), std::process::id());
    let left = machine.path(&format!("m.prom.{gone}"));
    let kept = [
        format!("m.prom.{alive}"),
        format!("m.prom.0{gone}"),
        format!("m.prom.{gone}.old"),
        format!("m.prom.{gone}~"),
        format!("other.prom.{gone}"),
        "m.prom.bak".to_owned(),
    ];
    fs::write(&left, "half").unwrap();
    for name in &kept {
        fs::write(machine.path(name), "mine").unwrap();
    }
    // A link is no file that a run has made.
    let link = machine.path(&format!("m.prom.{other}"));
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let date = today();
    let run = machine.run_with(&format!("decide {date}"), &full(&date, 1));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(!left.exists());
    for name in &kept {
        assert_eq!(fs::read(machine.path(name)).unwrap(), b"mine", "{name}");
    }
    assert!(link.is_symlink());
    assert!((watched.metrics()["coldchain_config_valid"] - 1.0).abs() < 0.5);
}

/// In a container each run may have the same number.
#[test]
fn a_file_of_an_earlier_run_with_the_same_number_is_no_obstacle() {
    let watched = Watched::new();
    let machine = &watched.machine;
    fs::write(machine.path("m.prom.1"), "half").unwrap();
    let program = env!("CARGO_BIN_EXE_coldchain");
    let words = format!("--pid --fork {program} status --metrics $T/m.prom");
    let run = machine.run_command(&mut machine.command_of("unshare", &words));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(!machine.path("m.prom.1").exists());
    assert!((watched.metrics()["coldchain_config_valid"] - 1.0).abs() < 0.5);
}
