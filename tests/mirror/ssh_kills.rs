//! Nights over ssh, of which one side is killed at a random moment.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use chrono::{Days, NaiveDate};
use rustix::process::{Pid, Signal, kill_process};

use super::disks::sent;
use super::reached::Reached;
use crate::common::from_env;
use crate::common::loopfs::real_btrfs_available;

/// The process that noted its id in a file, if it still is that program.
fn noted(file: &Path, program: &str) -> Option<Pid> {
    let id: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
    (name.trim() == program).then(|| Pid::from_raw(id))?
}

#[test]
fn of_nights_over_ssh_either_side_can_be_killed_and_no_parent_is_lost() {
    if !real_btrfs_available() {
        return;
    }
    let kills = from_env("COLDCHAIN_MIRROR_KILLS", 10);
    let mut reached = Reached::new(from_env("COLDCHAIN_SEED", 47), true);
    reached.night("2024-01-01");
    let mut date: NaiveDate = "2024-01-02".parse().unwrap();
    let (mut client, mut server, mut ssh) = (0, 0, 0);
    while client + server + ssh < kills {
        reached.disks.mutate();
        let large = reached.disks.rng.bytes(3 << 20);
        fs::write(reached.disks.live().join("large"), large).unwrap();
        let [server_pid, ssh_pid] =
            ["server-pid", "ssh-pid"].map(|file| reached.disks.machine.path(file));
        for file in [&server_pid, &ssh_pid] {
            // The night may be over before the next one has noted its own.
            let _ = fs::remove_file(file);
        }
        let mut child = reached
            .command(&format!("backup home {date}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(reached.disks.rng.below(500_000)));
        let is_running = child.try_wait().unwrap().is_none();
        let (victim, count) = match reached.disks.rng.below(3) {
            0 => (Some(Pid::from_child(&child)), &mut client),
            1 => (noted(&server_pid, "coldchain"), &mut server),
            _ => (noted(&ssh_pid, "ssh"), &mut ssh),
        };
        if let Some(victim) = victim.filter(|_| is_running) {
            *count += u64::from(kill_process(victim, Signal::KILL).is_ok());
        }
        child.wait().unwrap();
        // What has a name there is whole.
        reached.disks.compare_newest(2);
        let run = reached.run("mirror");
        assert_eq!(run.code, Some(0), "{date}: {}", run.stderr);
        reached.disks.compare_newest(2);
        reached.disks.nothing_half_made();
        date = date + Days::new(1);
    }
    let night = reached.run(&format!("backup home {date}"));
    assert_eq!(night.code, Some(0), "{}", night.stderr);
    let run = reached.run("mirror --json");
    assert!(sent(&run).is_empty(), "{}", run.stdout);
    assert!(
        reached.disks.fulls() <= 1,
        "{} fulls",
        reached.disks.fulls()
    );
    println!("killed: {client} clients, {server} servers, {ssh} times ssh");
}
