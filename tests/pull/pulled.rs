//! A machine with a source that is pulled.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::loopfs::{LoopFs, run};
use crate::common::machine::{Machine, Run};
use crate::common::rng::Rng;
use crate::common::tree::{describe, make_rich_tree};

/// The real rsync, for the programs that stand in for it.
pub(crate) const RSYNC: &str = "/usr/bin/rsync";

/// A machine whose source `home` is pulled from a directory `origin`, or from elsewhere.
pub(crate) struct Pulled {
    pub(crate) machine: Machine,
    pub(crate) rng: Rng,
}

impl Pulled {
    /// With a small tree of every kind of file in `origin`.
    pub(crate) fn new(seed: u64) -> Self {
        let pulled = Self::empty(seed);
        let mut rng = Rng::new(seed);
        make_rich_tree(&pulled.origin(), &mut rng);
        Self { rng, ..pulled }
    }

    /// With an empty `origin`.
    pub(crate) fn empty(seed: u64) -> Self {
        let machine = Machine::fed(Some(LoopFs::new(400)));
        let pulled = Self {
            machine,
            rng: Rng::new(seed),
        };
        fs::create_dir(pulled.origin()).unwrap();
        pulled.config("");
        pulled
    }

    /// Where it is pulled from: another btrfs than the copy's would do as well, and so does this one.
    pub(crate) fn origin(&self) -> PathBuf {
        self.machine.btrfs().path("origin")
    }

    pub(crate) fn copy(&self) -> PathBuf {
        self.machine.btrfs().path("pulled/home")
    }

    pub(crate) fn snapshot(&self, name: &str) -> PathBuf {
        self.machine.btrfs().path("pulled/snapshots").join(name)
    }

    /// Puts the snapshots inside the copy.
    pub(crate) fn keep_snapshots_inside(&self) {
        let path = self.machine.path("config.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            path,
            text.replace("pulled/snapshots", "pulled/home/.coldchain"),
        )
        .unwrap();
    }

    /// Writes the config, with more lines in [source.pull].
    pub(crate) fn config(&self, more: &str) {
        self.config_from("$FS/origin", more);
    }

    pub(crate) fn config_from(&self, from: &str, more: &str) {
        self.machine.write_config(&format!(
            r#"timezone = "UTC"
state_dir = "$T/state"

[[source]]
name = "home"
subvolume = "$FS/pulled/home"
snapshots = "$FS/pulled/snapshots"
keep = 40

[source.pull]
from = "{from}"
{more}"#
        ));
    }

    /// Puts a script in the place of rsync. In it, `$RSYNC` is the real one.
    pub(crate) fn rsync_is(&self, script: &str) {
        let bin = self.machine.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let text = format!(
            "#!/bin/sh\nRSYNC={RSYNC}\n[ \"$1\" = --version ] && exec $RSYNC --version\n{script}\n"
        );
        // Another process writes it: a file that is open for writing can't be executed.
        let write = r#"printf '%s' "$1" >"$0.new"; chmod 755 "$0.new"; mv "$0.new" "$0""#;
        run(Command::new("/bin/sh")
            .args(["-c", write])
            .arg(bin.join("rsync"))
            .arg(text))
        .unwrap();
    }

    /// The real rsync again.
    pub(crate) fn rsync_is_real(&self) {
        let _ = fs::remove_file(self.machine.path("bin/rsync"));
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let bin = self.machine.path("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = self.machine.command(words);
        command.env("PATH", path);
        command
    }

    pub(crate) fn run(&self, words: &str) -> Run {
        let output = self.command(words).output().unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A run that has to succeed; returns what it said on stderr.
    #[track_caller]
    pub(crate) fn does(&self, words: &str) -> String {
        let run = self.run(words);
        assert_eq!(run.code, Some(0), "{words}: {}{}", run.stdout, run.stderr);
        run.stderr
    }

    /// A run that has to fail and say all that.
    #[track_caller]
    pub(crate) fn fails(&self, words: &str, code: i32, said: &[&str]) {
        let run = self.run(words);
        for said in said {
            let said = self.machine.fill(said);
            assert!(
                run.stderr.contains(&said),
                "{words}: no `{said}` in {}",
                run.stderr
            );
        }
        assert_eq!(run.code, Some(code), "{words}: {}", run.stderr);
        assert!(
            run.stderr.contains("hint: ") || run.stderr.contains("  hint"),
            "{}",
            run.stderr
        );
    }

    /// Panics at the first difference between the copy and the origin.
    #[track_caller]
    pub(crate) fn is_equal(&self) {
        is_equal(&self.origin(), &self.copy());
    }
}

/// Panics at the first difference between a tree and a copy of it.
#[track_caller]
pub(crate) fn is_equal(origin: &Path, copy: &Path) {
    let (expected, copied) = (describe(origin), describe(copy));
    let all: std::collections::BTreeSet<&OsString> = expected.keys().chain(copied.keys()).collect();
    for name in all {
        assert_eq!(expected.get(name), copied.get(name), "{}", name.display());
    }
}

/// Writes a file, with the directories above it.
pub(crate) fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
