//! The program: where it is, and how old.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::error::RsyncError;
use crate::process::{self, Program};

/// The first version that compares times to the nanosecond on request, and knows `--inplace` with `--sparse`.
const OLDEST: RsyncVersion = RsyncVersion(3, 1, 3);

/// From this version on, it protects a path from the shell of the other machine without being asked.
const PROTECTS_PATHS: RsyncVersion = RsyncVersion(3, 2, 4);

/// Where systems have rsync and ssh. Under cron, `$PATH` may lack these directories.
const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What ssh and rsync need of the environment: the user's keys, and who the user is.
const KEPT_VARIABLES: [&str; 5] = ["HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "TMPDIR"];

/// The program for messages.
pub(super) const RSYNC: Program = Program {
    name: "rsync",
    chatter: &["** ", "Warning: Permanently added"],
};

/// A version of rsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RsyncVersion(pub u32, pub u32, pub u32);

impl RsyncVersion {
    /// Reads the first line of `rsync --version`: `rsync  version 3.2.7  protocol version 31`, also with `v3.4.1`.
    fn parse(output: &str) -> Option<Self> {
        let line = output.lines().next()?.strip_prefix("rsync")?;
        let version = line.split_whitespace().nth(1)?;
        // A release candidate counts as its release.
        let numbers = version
            .trim_start_matches('v')
            .split(['p', '-', '+'])
            .next()?;
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        let mut next = || numbers.next().unwrap_or(Ok(0)).ok();
        Some(Self(next()?, next()?, next()?))
    }
}

impl fmt::Display for RsyncVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The `rsync` program.
#[derive(Debug, Clone)]
pub struct Rsync {
    program: PathBuf,
    path: OsString,
    version: RsyncVersion,
}

impl Rsync {
    /// Finds `rsync` in `$PATH` or the system's directories, and reads its version.
    pub fn find() -> Result<Self, RsyncError> {
        let mut path = env::var_os("PATH").unwrap_or_default();
        if !path.is_empty() {
            path.push(":");
        }
        path.push(SYSTEM);
        Self::find_in(&path)
    }

    fn find_in(path: &OsStr) -> Result<Self, RsyncError> {
        let is_program = |file: &PathBuf| {
            file.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        let program = env::split_paths(path)
            // An empty entry means the current directory, from which root starts nothing.
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("rsync"))
            .find(is_program)
            .ok_or_else(|| RsyncError::NoProgram {
                path: path.to_string_lossy().into_owned(),
            })?;
        let mut rsync = Self {
            program,
            path: path.to_owned(),
            version: OLDEST,
        };
        let mut command = rsync.command();
        command.arg("--version");
        let output = process::run(command, RSYNC, "print its version")?;
        let output = String::from_utf8_lossy(&output);
        rsync.version = RsyncVersion::parse(&output).ok_or_else(|| RsyncError::NoVersion {
            program: rsync.program.clone(),
            output: output.lines().next().unwrap_or_default().to_owned(),
        })?;
        if rsync.version < OLDEST {
            return Err(RsyncError::TooOld {
                found: rsync.version,
                needed: OLDEST,
            });
        }
        Ok(rsync)
    }

    /// Returns whether it has to be asked to protect paths from the shell of the other machine.
    pub(super) fn must_protect_paths(&self) -> bool {
        self.version < PROTECTS_PATHS
    }

    /// Returns a command that runs the program with a fixed language, and with nothing of the environment that changes
    /// what it does.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .current_dir("/");
        for name in KEPT_VARIABLES {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_form_of_a_version_is_read() {
        for (output, expected) in [
            (
                "rsync  version 3.2.7  protocol version 31\nCopyright",
                Some(RsyncVersion(3, 2, 7)),
            ),
            (
                "rsync  version v3.4.1  protocol version 32",
                Some(RsyncVersion(3, 4, 1)),
            ),
            (
                "rsync  version 3.3.0pre1  protocol version 31",
                Some(RsyncVersion(3, 3, 0)),
            ),
            ("rsync  version 3.1  protocol", Some(RsyncVersion(3, 1, 0))),
            ("openrsync: protocol version 29", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(RsyncVersion::parse(output), expected, "{output}");
        }
        assert!(RsyncVersion(3, 1, 2) < OLDEST && RsyncVersion(3, 2, 3) < PROTECTS_PATHS);
    }

    fn stub(script: &str) -> Result<Rsync, RsyncError> {
        let directory = tempfile::tempdir().unwrap();
        // Another process writes it: a file that is open for writing can't be executed.
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0"; chmod 755 "$0""#;
        let written = Command::new("/bin/sh")
            .args(["-c", write])
            .arg(directory.path().join("rsync"))
            .arg(script)
            .status();
        assert!(written.unwrap().success());
        Rsync::find_in(directory.path().as_os_str())
    }

    #[test]
    fn a_missing_or_old_program_is_an_error() {
        let error = Rsync::find_in(OsStr::new("/nowhere:relative:")).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
        let old = stub("echo 'rsync  version 3.1.2  protocol version 31'").unwrap_err();
        assert_eq!(
            old.to_string(),
            "rsync 3.1.2 is too old to pull with: 3.1.3 or newer is needed"
        );
        assert!(matches!(
            stub("echo openrsync: protocol version 29"),
            Err(RsyncError::NoVersion { .. })
        ));
        let failed = stub("echo no >&2; exit 3").unwrap_err();
        assert!(matches!(failed, RsyncError::Process(_)), "{failed}");
        let new = stub("echo 'rsync  version 3.2.4  protocol version 31'").unwrap();
        assert!(!new.must_protect_paths());
    }
}
