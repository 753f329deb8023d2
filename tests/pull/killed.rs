//! Runs that are cut: what a later run makes of them, and that no snapshot shows half a state.

use std::fs;
use std::process::Command;

use super::pulled::{Pulled, is_equal};
use crate::common::from_env;
use crate::common::loopfs::{real_btrfs_available, run};
use crate::common::tree::mutate_tree;

/// What rsync does at most before it is killed: `strace` counts the calls that change the copy.
const CALLS: &str = "openat,write,rename,renameat2,mkdirat,mkdir,unlink,unlinkat,rmdir,symlinkat,symlink,linkat,link,mknodat,mknod,utimensat,fchmod,fchmodat,lchown,fchownat,lsetxattr,setxattr,fsetxattr,close";

/// Whether programs can be traced here. In CI it is a failure if not.
fn can_trace() -> bool {
    let tried = run(Command::new("strace").args(["-o", "/dev/null", "true"]));
    let Err(why) = tried else {
        return true;
    };
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI=true, but nothing can be traced: {why}");
    eprintln!("skipped: nothing can be traced: {why}");
    false
}

/// The rsync that is killed, with all of its processes, at a call of its receiver.
fn killed_at(pulled: &Pulled, call: u64) {
    pulled.rsync_is(&format!(
        "case \"$*\" in *--dry-run*) exec $RSYNC \"$@\" ;; esac\n\
         exec strace -f -qq -o /dev/null -e trace={CALLS} -e inject={CALLS}:signal=SIGKILL:when={call} $RSYNC \"$@\""
    ));
}

#[test]
fn a_run_that_is_killed_at_any_point_is_ended_by_the_next() {
    if !real_btrfs_available() || !can_trace() {
        return;
    }
    let times = from_env("COLDCHAIN_PULL_KILLS", 10);
    let seed = from_env("COLDCHAIN_SEED", 51);
    let mut pulled = Pulled::new(seed);
    pulled.does("backup home 2024-01-01");
    let (mut cut, mut whole) = (0, 0);
    for number in 0..times {
        let origin = pulled.origin();
        mutate_tree(&origin, &mut pulled.rng);
        let before = pulled.machine.btrfs().path("pulled/snapshots");
        let before = fs::read_dir(&before).unwrap().count();
        // Deletions of a tree that changes that much are not what this is about.
        pulled.config("max_delete = \"100%\"\n");
        let call = 1 + pulled.rng.below(if number % 2 == 0 { 200 } else { 2500 });
        killed_at(&pulled, call);
        let ran = pulled.run("backup home 2024-01-02 --date-override");
        pulled.rsync_is_real();
        if ran.code == Some(0) {
            whole += 1;
        } else {
            cut += 1;
            let snapshots = pulled.machine.btrfs().path("pulled/snapshots");
            assert_eq!(
                fs::read_dir(snapshots).unwrap().count(),
                before,
                "{}",
                ran.stderr
            );
            pulled.fails("snapshot", 1, &["did not end well"]);
        }
        let date = chrono::NaiveDate::from_ymd_opt(2024, 2, 1).unwrap();
        let date = date + chrono::Days::new(number);
        pulled.does(&format!("backup home {date} --date-override"));
        pulled.is_equal();
        is_equal(&origin, &pulled.snapshot(&date.to_string()));
        let night = pulled.snapshot("2024-01-02");
        if night.exists() {
            run(Command::new("btrfs")
                .args(["subvolume", "delete"])
                .arg(night))
            .unwrap();
        }
    }
    println!("{cut} runs were cut, {whole} were whole (seed {seed})");
    assert!(cut > 0, "no run was cut");
}

#[test]
fn a_signal_ends_rsync_and_the_next_run_continues_its_large_file() {
    if !real_btrfs_available() {
        return;
    }
    let mut pulled = Pulled::empty(52);
    let bytes = pulled.rng.bytes(24 << 20);
    fs::write(pulled.origin().join("image"), bytes).unwrap();
    fs::write(pulled.origin().join("other"), "x").unwrap();
    // rsync writes slowly enough to be caught in the middle, and says when it is there.
    pulled.config("options = [\"--bwlimit=4m\"]\n");
    let mut talk = pulled
        .machine
        .start_command(&mut pulled.command("pull --json"));
    let staging = pulled.copy().join(".coldchain-pull");
    loop {
        let line = talk.line().expect("it says how far it is");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["raw_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 1 << 20)
        {
            break;
        }
    }
    talk.signal(rustix::process::Signal::TERM);
    let ended = talk.end();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(fs::read_dir(&staging).unwrap().count() > 0);
    assert!(!pulled.copy().join("image").exists());
    pulled.fails("snapshot", 1, &["did not end well"]);
    // rsync's figures say how much of it was here already.
    pulled.rsync_is(
        "case \"$*\" in *--dry-run*) exec $RSYNC \"$@\" ;; esac\n$RSYNC \"$@\" | tee /dev/fd/2; exit 7",
    );
    let run = pulled.run("pull");
    assert!(run.stderr.contains("exit code 7"), "{}", run.stderr);
    let matched = run
        .stderr
        .split("Matched data: ")
        .nth(1)
        .expect(&run.stderr);
    let matched: u64 = matched.split(' ').next().unwrap().parse().unwrap();
    assert!(matched > 100_000, "{matched}");
    pulled.rsync_is_real();
    pulled.does("pull");
    pulled.is_equal();
}
