//! A rebuild that is killed, or refused a system call, at any moment of putting its catalog in the place of
//! the old one: there is always a whole catalog, the old one is never lost, and the next rebuild ends well.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::loopfs::run;
use crate::common::machine::{Machine, Run};
use crate::common::replicated::{only_ledger, replicated};
use crate::common::whole::first_and_seventh;

/// What the swap asks of the filesystem.
const CALLS: &str = "link,linkat,rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync";

/// Whether programs can be traced here. If not, it says so; in CI that is a failure.
fn can_run() -> bool {
    let tried = run(Command::new("strace").args(["-f", "-o", "/dev/null", "true"]));
    let Err(why) = tried else {
        return true;
    };
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI=true, but nothing can be traced: {why}");
    eprintln!("skipped: nothing can be traced: {why}");
    false
}

struct Subject {
    machine: Machine,
}

impl Subject {
    fn new() -> Self {
        let machine = Machine::fed(None);
        for (date, stream) in ["2024-01-01", "2024-01-07"]
            .iter()
            .zip(first_and_seventh(10))
        {
            let run = machine.run_with(&format!("decide {date}"), &stream);
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        let subject = Self { machine };
        subject.copy("state", "before");
        subject
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.machine.path(from), self.machine.path(to));
        let _ = fs::remove_dir_all(&to);
        run(Command::new("cp").arg("-a").arg(from).arg(to)).unwrap();
    }

    fn traced(&self, options: &[&str]) -> Run {
        let rebuild = self.machine.command("catalog rebuild");
        let mut strace = self.machine.command_of("strace", "-f -qq");
        strace
            .args(options)
            .arg(rebuild.get_program())
            .args(rebuild.get_args());
        self.machine.run_command(&mut strace)
    }

    /// How often a rebuild that is let alone makes each of the calls.
    fn calls(&self) -> Vec<(String, usize)> {
        let log = self.machine.path("log");
        let trace = format!("trace={CALLS}");
        let run = self.traced(&["-o", log.to_str().unwrap(), "-e", &trace]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let log = fs::read_to_string(log).unwrap();
        CALLS
            .split(',')
            .flat_map(|call| {
                let made = format!(" {call}(");
                let times = log.lines().filter(|line| line.contains(&made)).count();
                (1..=times).map(move |n| (call.to_owned(), n))
            })
            .collect()
    }

    fn ends_well(&self, what: &str) {
        let catalog = self.machine.path("state/catalog.db");
        let known = |path: &Path| replicated(path, only_ledger(path));
        let before = known(&self.machine.path("before/catalog.db"));
        let listed = self.machine.run("list");
        assert_eq!(listed.code, Some(0), "{what}: {listed:?}");
        assert_eq!(known(&catalog), before, "{what}");
        let again = self.machine.run("catalog rebuild");
        assert_eq!(again.code, Some(0), "{what}: {again:?}");
        assert_eq!(known(&catalog), before, "{what}");
        let checked = self.machine.run("catalog check");
        assert_eq!(checked.code, Some(0), "{what}: {checked:?}");
        assert!(
            !self.machine.path("state/catalog.db.new").exists(),
            "{what}"
        );
    }
}

#[test]
fn whatever_ends_a_rebuild_there_is_a_whole_catalog_and_the_next_one_ends_well() {
    if !can_run() {
        return;
    }
    let subject = Subject::new();
    let calls = subject.calls();
    assert!(calls.len() >= 5, "{calls:?}");
    for (call, n) in calls {
        for harm in ["signal=SIGKILL", "error=EIO"] {
            subject.copy("before", "state");
            let inject = format!("inject={call}:{harm}:when={n}");
            let trace = format!("trace={call}");
            let run = subject.traced(&["-o", "/dev/null", "-e", &trace, "-e", &inject]);
            let what = format!("{harm} at {call} {n}: {run:?}");
            if harm == "signal=SIGKILL" {
                assert_ne!(run.code, Some(0), "{what}");
            }
            subject.ends_well(&what);
        }
    }
}
