//! Mirrors over a real ssh, whose server is this test's own.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::disks::{names, sent};
use super::reached::{Reached, Sshd};
use crate::common::loopfs::real_btrfs_available;

#[test]
fn nights_go_over_ssh_to_a_forced_command() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(21, true);
    for day in 1..=4 {
        reached.night(&format!("2024-01-0{day}"));
    }
    assert_eq!(reached.compare(), 4);
    let link = fs::read_link(reached.disks.copy("current")).unwrap();
    assert_eq!(link.to_str(), Some("2024-01-04"));
    let again = reached.run("mirror home");
    assert_eq!(again.stderr, "");
    assert!(
        again
            .stdout
            .ends_with("up to date, the newest copy is 2024-01-04\n"),
        "{}",
        again.stdout
    );
    // The config asks for another rule. The owner's counts, and the client says so once.
    let config = reached.disks.machine.path("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (before, mirror) = text.split_once("[[mirror]]").unwrap();
    let text = format!(
        "{before}[[mirror]]{}",
        mirror.replace("keep = 40", "keep = 2")
    );
    fs::write(&config, text).unwrap();
    let other = reached.run("mirror home");
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    assert!(
        other.stderr.contains("by its own rule, keep = \"40\""),
        "{}",
        other.stderr
    );
    assert_eq!(names(&reached.disks.second.path("home")).len(), 4);
}

#[test]
fn a_command_of_the_config_starts_the_server_and_gets_its_rules() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(22, false);
    // A path that each shell would take apart.
    let odd = reached.disks.second.path("it's a $(mirror) \"; x");
    fs::create_dir(&odd).unwrap();
    let path = odd.display().to_string().replace('"', "\\\"");
    let url = format!("ssh://root@127.0.0.1:{}{path}", reached.sshd.port);
    reached.config_to(&url, "command = [\"$P\"]\nlinks = [\"newest one\"]\n");
    for day in 1..=2 {
        reached.night(&format!("2024-01-0{day}"));
    }
    let copies = odd.join("home");
    assert_eq!(names(&copies).len(), 2);
    let link = fs::read_link(copies.join("newest one")).unwrap();
    assert_eq!(link.to_str(), Some("2024-01-02"));
}

#[test]
fn under_a_forced_command_the_owner_alone_confirms_that_many_copies_go() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(25, true);
    for day in 1..=8 {
        reached.night(&format!("2024-01-0{day}"));
    }
    let there = |reached: &Reached| names(&reached.disks.second.path("home")).len();
    reached.serve("--keep 2 --timezone UTC");
    // What the client says about it does not count, and it says what does.
    for words in ["mirror home", "mirror home --yes-delete 6"] {
        let run = reached.run(words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        for said in [
            "6 of the 8 copies have expired, more than half, so none is deleted",
            "if a forced command starts the mirror's server, add `--yes-delete 6` there for one run",
        ] {
            assert!(run.stderr.contains(said), "{words}: {}", run.stderr);
        }
        assert_eq!(there(&reached), 8);
    }
    reached.serve("--keep 2 --timezone UTC --yes-delete 6");
    let run = reached.run("mirror home");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(there(&reached), 2);
    assert_eq!(reached.compare(), 2);
}

#[test]
fn what_keeps_ssh_from_reaching_a_mirror_is_named() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(23, false);
    let taken = reached.run("snapshot");
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    let command = "command = [\"$P\"]\n";

    fs::write(reached.disks.machine.path("known_hosts"), "").unwrap();
    reached.fails(1, &["Host key verification failed", "log in once by hand"]);
    reached.know(&fs::read_to_string(reached.directory.join("user.pub")).unwrap());
    reached.fails(1, &["the host has another key"]);
    reached.know(&fs::read_to_string(reached.directory.join("host.pub")).unwrap());

    reached.config("command = [\"/does/not/exist/coldchain\"]\n");
    reached.fails(8, &["/does/not/exist/coldchain", "install coldchain there"]);
    reached.config("command = [\"echo\", \"Hello;\"]\n");
    reached.fails(1, &["the other side said `Hello; mirror-server"]);

    let second = reached.disks.second.root().display().to_string();
    let at = |port: u16, path: &str| format!("ssh://root@127.0.0.1:{port}{path}");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    reached.config_to(&at(free, &second), command);
    reached.fails(1, &["Connection refused", "check host and port"]);
    let port = reached.sshd.port;
    reached.config_to(&at(port, "/does/not/exist"), command);
    reached.fails(
        1,
        &["says: the mirror /does/not/exist is not there: there is no such directory"],
    );
    reached.config_to(&at(port, "/proc"), command);
    reached.fails(1, &["is not there: that is not on btrfs"]);

    reached.config(command);
    fs::write(reached.directory.join("authorized_keys"), "").unwrap();
    reached.fails(1, &["Permission denied", "authorized_keys"]);
    // Nothing of all this is at the mirror.
    assert!(!reached.disks.second.path("home").exists());
    drop(std::mem::replace(
        &mut reached.sshd,
        Sshd::start(&reached.directory, None),
    ));
    reached.know(&fs::read_to_string(reached.directory.join("host.pub")).unwrap());
    reached.config(command);
    let run = reached.run("mirror home");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(reached.compare(), 1);
}

#[test]
fn after_a_cut_or_a_kill_in_the_middle_the_next_run_ends_well() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(24, true);
    reached.night("2024-01-01");
    fs::write(reached.disks.live().join("large"), vec![b'x'; 8 << 20]).unwrap();
    let taken = reached.run("snapshot");
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    let staging = reached.disks.copy(".coldchain-staging");
    for killed in ["ssh-pid", "server-pid", "the client"] {
        let mut child = reached
            .command("mirror home --limit 64KiB")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_mins(2);
        while !fs::read_dir(&staging).is_ok_and(|mut entries| entries.next().is_some()) {
            assert!(Instant::now() < until, "{killed}: no stream came");
            std::thread::yield_now();
        }
        let id = match killed {
            "the client" => child.id(),
            file => {
                let text = fs::read_to_string(reached.disks.machine.path(file)).unwrap();
                text.trim().parse().unwrap()
            }
        };
        kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::KILL).unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        let code = child.wait().unwrap().code();
        if killed != "the client" {
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("was cut after"), "{said}");
        }
        assert_eq!(names(&reached.disks.second.path("home")).len(), 1);
    }
    let run = reached.run("mirror home --json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let sent = sent(&run);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].ends_with(" incremental"), "{sent:?}");
    assert_eq!(reached.compare(), 2);
    assert!(!staging.exists());
}
