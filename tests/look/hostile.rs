//! Trees that somebody has made to lead out of a copy, or out of the target.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::places::Places;
use crate::common::loopfs::run;
use crate::common::tmpfs::Tmpfs;

#[test]
fn no_link_leads_out_of_a_copy() {
    let places = Places::new();
    let secret = places.machine.path("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "secret").unwrap();
    let live = places.live();
    symlink(&secret, live.join("absolute")).unwrap();
    symlink("../../../../../../../../etc", live.join("up")).unwrap();
    symlink("/proc/self/fd", live.join("proc")).unwrap();
    places.night("2026-11-01");
    for dropped in [false, true] {
        if dropped {
            places.drop("2026-11-01");
        }
        for path in [
            "absolute/key",
            "up/passwd",
            "proc/0",
            "absolute/../absolute/key",
        ] {
            for command in ["history", "yesterday --days 0", "get"] {
                let run = places.run(&format!("{command} home:{path}"));
                assert_eq!(
                    (run.code, run.stdout.as_str()),
                    (Some(1), ""),
                    "{command} {path}"
                );
            }
        }
        let to = places.machine.path(if dropped { "two" } else { "one" });
        let got = places.json(&[Path::new("get"), Path::new("home:"), Path::new("--to"), &to]);
        assert_eq!(got["files"], 4);
        assert_eq!(fs::read_link(to.join("absolute")).unwrap(), secret);
        assert!(to.join("proc").is_symlink());
    }
    // Not by `..` either: it stays below the root.
    let run = places.run("history home:../../etc/passwd");
    assert!(run.stderr.contains("home:/etc/passwd"), "{}", run.stderr);
}

#[test]
fn nothing_but_the_target_is_written() {
    let places = Places::new();
    let outside = places.machine.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "mine").unwrap();
    // A later version has a directory where an earlier one has a link to the outside.
    fs::create_dir(places.live().join("d")).unwrap();
    fs::write(places.live().join("d/f"), "theirs").unwrap();
    places.take("2026-11-01");
    fs::remove_dir_all(places.live().join("d")).unwrap();
    symlink(&outside, places.live().join("d")).unwrap();
    places.take("2026-11-02");
    let to = places.machine.path("to");
    fs::create_dir(&to).unwrap();
    places.done("-q get home:d --to $T/to");
    assert!(to.join("d").is_symlink());
    let run = places.run("get home:d --date 2026-11-01 --to $T/to/x");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // A link to a directory is a directory that exists, as for `cp`: the user's own way.
    let run = places.run("get home:d/f --date 2026-11-01 --to $T/to/d");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "mine");
    // A directory that replaces a link to a directory would be made in it: refused, since that has no such name.
    let run = places.run("get home:d --date 2026-11-01 --to $T/to/d");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(fs::read_to_string(outside.join("d/f")).unwrap(), "theirs");
}

#[test]
fn a_mount_in_a_copy_is_not_read() {
    let places = Places::new();
    fs::create_dir_all(places.live().join("d/mnt")).unwrap();
    places.take("2026-11-01");
    let mnt = places.snapshot("2026-11-01").join("d/mnt");
    let _mounted = Tmpfs::on(&mnt, 64);
    fs::write(mnt.join("f"), "1").unwrap();
    assert_eq!(places.run("get home:d/mnt/f --to $T/f").code, Some(1));
    let run = places.run("get home:d --to $T/d");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("left empty: a nested subvolume or a mount"),
        "{}",
        run.stderr
    );
    assert_eq!(
        fs::read_dir(places.machine.path("d/mnt")).unwrap().count(),
        0
    );
}

#[test]
fn a_mirror_that_is_a_link_is_not_entered() {
    let places = Places::new();
    fs::write(places.live().join("f"), "1").unwrap();
    places.night("2026-11-01");
    places.drop("2026-11-01");
    fs::rename(places.second.path("home"), places.second.path("moved")).unwrap();
    symlink("moved", places.second.path("home")).unwrap();
    let run = places.run("history home:f");
    assert!(
        run.stderr.contains("the mirror $M was not looked at"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.starts_with("now"), "{}", run.stdout);
}

#[test]
fn a_deep_tree_needs_few_descriptors_and_no_stack() {
    let places = Places::new();
    // As deep as a send stream can have it: 4,000 bytes.
    let deep: PathBuf = std::iter::repeat_n("d", 1990).collect();
    fs::create_dir_all(places.live().join("top")).unwrap();
    let script = format!(
        "cd {} && mkdir -p {}",
        places.live().join("top").display(),
        deep.display()
    );
    run(Command::new("bash").args(["-c", &script])).unwrap();
    places.take("2026-11-01");
    let script = format!(
        "ulimit -n 40; exec {} -q get home:top --to {}",
        env!("CARGO_BIN_EXE_coldchain"),
        places.machine.path("top").display()
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]);
    run(bash.env("COLDCHAIN_CONFIG", places.machine.path("config.toml"))).unwrap();
    let count = |root: &Path| {
        let output = run(Command::new("find")
            .arg(root)
            .args(["-type", "d", "-printf", "x"]));
        output.unwrap().stdout.len()
    };
    assert_eq!(count(&places.machine.path("top")), 1991);
}

#[test]
fn a_fifo_in_a_copy_stops_nothing() {
    let places = Places::new();
    let live = places.live();
    fs::write(live.join("f"), "1").unwrap();
    places.take("2026-11-01");
    fs::remove_file(live.join("f")).unwrap();
    run(Command::new("mkfifo").arg(live.join("f"))).unwrap();
    places.take("2026-11-02");
    fs::remove_file(live.join("f")).unwrap();
    run(Command::new("mkfifo").arg(live.join("f"))).unwrap();
    places.take("2026-11-03");
    let shown = places.done("history --diff home:f");
    assert!(shown.contains("file became fifo"), "{shown}");
    assert_eq!(shown.lines().count(), 2, "{shown}");
}
