//! A machine with dated snapshots of a source, and a second disk.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate, Utc};

use crate::common::loopfs::{LoopFs, btrfs};
use crate::common::machine::{Machine, Run};

pub(crate) const CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"

[[source]]
name = "home"
subvolume = "$FS/home"
snapshots = "$FS/snapshots"
keep = 400
"#;

const MIRROR: &str = r#"
[[mirror]]
source = "home"
to = "$M"
keep = 400
"#;

pub(crate) struct Places {
    pub(crate) machine: Machine,
    pub(crate) second: LoopFs,
}

impl Places {
    /// A machine with snapshots alone, and a mirror on a disk of its own that has nothing yet.
    pub(crate) fn new() -> Self {
        let places = Self {
            machine: Machine::with_subvolume(400),
            second: LoopFs::new(300),
        };
        fs::create_dir_all(places.machine.btrfs().path("snapshots")).unwrap();
        places.config("");
        places
    }

    /// Writes the config with more at its end.
    pub(crate) fn config(&self, more: &str) {
        let text = format!("{CONFIG}{MIRROR}{more}");
        let second = self.second.root().display().to_string();
        self.machine.write_config(&text.replace("$M", &second));
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.machine.btrfs().path("home")
    }

    pub(crate) fn snapshot(&self, name: &str) -> PathBuf {
        self.machine.btrfs().path("snapshots").join(name)
    }

    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        self.second.path("home").join(name)
    }

    /// Takes a read-only snapshot under a name, as another program would.
    pub(crate) fn take(&self, name: &str) {
        let path = self.snapshot(name);
        btrfs(["subvolume", "snapshot", "-r"], &[&self.live(), &path]);
    }

    /// Takes it with coldchain, so that the catalog and the mirror have it.
    #[track_caller]
    pub(crate) fn night(&self, date: &str) {
        self.done(&format!("backup home {date}"));
    }

    pub(crate) fn drop(&self, name: &str) {
        btrfs(["subvolume", "delete"], &[&self.snapshot(name)]);
    }

    /// Runs the program; what it says names the second disk `$M`.
    pub(crate) fn run(&self, words: &str) -> Run {
        self.blank(&self.machine.run(words))
    }

    /// The same in another working directory, with words that may hold anything.
    pub(crate) fn run_in(&self, directory: &Path, words: &[&Path]) -> Run {
        let mut command = self.machine.command("");
        command.args(words).current_dir(directory);
        self.blank(&self.machine.run_command(&mut command))
    }

    fn blank(&self, run: &Run) -> Run {
        let second = self.second.root().display().to_string();
        Run {
            stdout: run.stdout.replace(&second, "$M"),
            stderr: run.stderr.replace(&second, "$M"),
            code: run.code,
        }
    }

    /// Runs the program, which must end well, and returns what it printed.
    #[track_caller]
    pub(crate) fn done(&self, words: &str) -> String {
        let run = self.run(words);
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// The same, as JSON.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&Path]) -> serde_json::Value {
        let mut command = self.machine.command("--json");
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The date so many days ago.
pub(crate) fn days_ago(days: u64) -> NaiveDate {
    Utc::now().date_naive() - Days::new(days)
}
