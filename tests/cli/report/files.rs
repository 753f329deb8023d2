//! The file of the page: written in one step, private, and never through a link.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::stage::empty;
use crate::common::tmpfs::Tmpfs;
use crate::costs::ledger::CostMachine;

fn names(machine: &CostMachine, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(machine.path(directory)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn mode(machine: &CostMachine, name: &str) -> u32 {
    machine.path(name).metadata().unwrap().mode() & 0o7777
}

#[test]
fn a_new_file_is_private_and_one_that_is_there_keeps_its_owner_and_mode() {
    let machine = empty();
    fs::create_dir(machine.path("www")).unwrap();
    let ended = machine.run("report --html www/report.html").ok();
    assert_eq!(ended.stdout, "");
    let says = "the report on 1 source is in www/report.html: ";
    assert!(ended.stderr.starts_with(says), "{ended:?}");
    assert_eq!(mode(&machine, "www/report.html"), 0o600);
    let report = machine.path("www/report.html");
    fs::set_permissions(&report, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&report, Some(65534), Some(33)).unwrap();
    fs::write(&report, "old").unwrap();
    let before = report.metadata().unwrap().ino();
    let ended = machine.run("report --quiet --html www/report.html").ok();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    let now = report.metadata().unwrap();
    assert_ne!(
        now.ino(),
        before,
        "it is another file, that was whole before it had the name"
    );
    assert_eq!(
        (now.uid(), now.gid(), now.mode() & 0o7777),
        (65534, 33, 0o640)
    );
    assert!(fs::read_to_string(&report).unwrap().ends_with("</html>\n"));
    assert_eq!(names(&machine, "www"), ["report.html"]);
    // A name is any bytes.
    let mut command = machine.command("report --quiet --html");
    command.arg(OsStr::from_bytes(b"www/\xff.html"));
    machine.run_command(&mut command).ok();
    assert_eq!(names(&machine, "www").len(), 2);
}

#[test]
fn what_is_no_plain_file_is_not_written_to() {
    let machine = empty();
    fs::create_dir(machine.path("www")).unwrap();
    fs::write(machine.path("target"), "mine").unwrap();
    symlink("../target", machine.path("www/link")).unwrap();
    symlink("nowhere", machine.path("www/lost")).unwrap();
    for (name, is) in [
        ("www/link", "a link"),
        ("www/lost", "a link"),
        ("www", "a directory"),
        ("www/", "a directory"),
        ("/dev/null", "a device, pipe or socket"),
    ] {
        let ended = machine.run(&format!("report --html {name}"));
        let says = format!(
            "error: cannot write {name}: it is {is}\nhint: nothing was written; name a plain file, or one that does not exist yet\n"
        );
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr),
            (Some(2), "", says),
            "{name}"
        );
    }
    assert_eq!(fs::read_to_string(machine.path("target")).unwrap(), "mine");
    assert_eq!(names(&machine, "www"), ["link", "lost"]);
    let ended = machine.run("report --html none/report.html");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let says = "error: could not write none/report.html\ncaused by: No such file or directory (os error 2)\n";
    assert_eq!(ended.stderr, says);
    let ended = machine.run("report --html - --json");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(2), ""),
        "{ended:?}"
    );
}

#[test]
fn a_full_disk_leaves_the_old_page() {
    let machine = empty();
    let disk = Tmpfs::on(&machine.path("full"), 64);
    fs::write(machine.path("full/report.html"), "old").unwrap();
    disk.leave_free(4);
    let ended = machine.run("report --html full/report.html");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let says = "error: could not write full/report.html\ncaused by: No space left on device (os error 28)\nhint: free some space there, and run again\n";
    assert_eq!(ended.stderr, says);
    assert_eq!(
        fs::read_to_string(machine.path("full/report.html")).unwrap(),
        "old"
    );
    assert_eq!(names(&machine, "full"), [".filler", "report.html"]);
    disk.leave_free(40);
    machine.run("report --html full/report.html").ok();
    assert!(
        fs::read_to_string(machine.path("full/report.html"))
            .unwrap()
            .ends_with("</html>\n")
    );
}

#[test]
fn without_a_config_the_catalog_s_sources_are_reported() {
    let mut machine = empty();
    machine.source(
        "gone",
        "file://$T/shelf",
        &super::stage::chain(20, 1, 1 << 20),
    );
    let state = machine.path("state");
    let mut command = machine.command("report --json");
    command
        .env_remove("COLDCHAIN_CONFIG")
        .env("COLDCHAIN_STATE_DIR", &state);
    let json = machine.run_command(&mut command).ok().json();
    let sources = json["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 1);
    assert_eq!(
        (&sources[0]["name"], &sources[0]["in_config"]),
        (&"gone".into(), &false.into())
    );
    let ended = machine.run("report --source gone").ok();
    let says =
        "gone: the config does not name it, so what is due and when its chains expire is not known";
    assert!(ended.stdout.contains(says), "{ended:?}");
    assert_eq!(machine.run("report --source none").code, Some(2));
}

/// A clock that was ahead, and archives of nearly nothing.
#[test]
fn odd_dates_and_sizes_are_drawn_within_the_page() {
    let mut machine = empty();
    let mut archives = super::stage::chain(20, 1, 1);
    archives.push(crate::costs::ledger::MadeUp::new(
        "2106-02-07 full",
        1,
        128 << 20,
    ));
    archives.push(crate::costs::ledger::MadeUp::new(
        "9999-12-31",
        u64::from(u32::MAX),
        128 << 20,
    ));
    machine.source("www", "file://$T/shelf", &archives);
    let page = super::page::page_of(&machine);
    assert!(page.contains("9999-12-31, incremental, 2.67 GiB"), "{page}");
    for place in page.split("x=\"").skip(1) {
        let (at, _) = place.split_once('"').unwrap();
        let percent: Option<f64> = at.strip_suffix('%').and_then(|at| at.parse().ok());
        assert!(percent.is_none_or(|at| (0.0..=100.0).contains(&at)), "{at}");
    }
    let graph = machine.run("list --graph").ok().stdout;
    assert!(
        graph.lines().all(|line| line.chars().count() <= 80),
        "{graph}"
    );
}
