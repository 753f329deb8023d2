//! The program: where it is, and how old.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::error::RsyncError;
use super::version::RsyncVersion;
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
