//! With `priority = "low"` all that a night starts gives way to everything else.

use std::fs;
use std::process::Command;

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::stub::{Stub, send_by_btrfs, write_script};

/// What the program and its `btrfs send` are scheduled by: nice value and I/O class.
fn scheduled(top: &str) -> (String, String) {
    let machine = Machine::with_subvolume(256);
    machine.write_config(&format!("{top}\n{LIVE_CONFIG}"));
    send_by_btrfs(&machine.path("config.toml"));
    fs::write(machine.btrfs().path("home/letter"), "dear reader\n").unwrap();
    let stub = Stub::new();
    let (own, child) = (stub.file("own"), stub.file("child"));
    let look = |of: &str, into: &std::path::Path| {
        format!(
            "{{ ps -o ni= -p {of}; ionice -p {of}; }} >'{}'",
            into.display()
        )
    };
    stub.sends(&format!(
        "{}\n{}\nexec \"$real\" \"$@\"",
        look("$PPID", &own),
        look("$$", &child)
    ));
    let run = machine.run_command(
        machine
            .command("backup 2024-01-01")
            .env("PATH", stub.path()),
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    let read = |path| fs::read_to_string(path).unwrap().trim().to_owned();
    (read(own), read(child))
}

#[test]
fn a_night_of_low_priority_gives_way_with_all_that_it_starts() {
    if !real_btrfs_available() {
        return;
    }
    let (own, child) = scheduled("priority = \"low\"");
    assert_eq!(own, "19\nidle");
    assert_eq!(child, "19\nidle");
    // As this test is, which may have been started with a low priority itself.
    let unchanged = Command::new("sh")
        .args(["-c", "ps -o ni= -p $$; ionice -p $$"])
        .output()
        .unwrap();
    let unchanged = String::from_utf8(unchanged.stdout).unwrap();
    let (own, child) = scheduled("");
    assert_eq!(
        (own.as_str(), child.as_str()),
        (unchanged.trim(), unchanged.trim())
    );
}

#[test]
fn what_can_t_be_had_is_told_and_the_night_goes_on() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    machine.write_config(&format!("priority = \"low\"\n{LIVE_CONFIG}"));
    let stub = Stub::new();
    write_script(&stub.file("ionice"), "echo 'no such luck' >&2; exit 1");
    let run = machine.run_command(
        machine
            .command("backup 2024-01-01")
            .env("PATH", stub.path()),
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr
            .contains("warning: cannot lower the priority of the disks: `ionice` ended with exit status: 1: no such luck\n"),
        "{run:?}"
    );
}
