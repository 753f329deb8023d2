//! Checks the programs and privileges that are needed: where `btrfs` is, and how old it is.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities};

use super::error::BtrfsError;
use super::version::Version;
use crate::model::Protocol;
use crate::process::{self, Program};

/// The oldest supported version. No maintained distribution has an older one, and no older one was tested.
const OLDEST: Version = Version::new(5, 15, 0);

/// Versions before this one know only version 1 of the stream.
const OLDEST_FOR_VERSION_TWO: Version = Version::new(5, 19, 0);

/// 6.0.2 fixed a silent loss of data, and 6.2 a corruption. Both happened when `receive` falls back from
/// encoded writes.
const OLDEST_FOR_COMPRESSED_DATA: Version = Version::new(6, 2, 0);

/// The program for messages. `btrfs receive -C` always prints a line that it changes its root.
pub(super) const BTRFS: Program = Program {
    name: "btrfs",
    chatter: &["Chroot to "],
};

/// Where systems have `btrfs`, `mkfs.btrfs`, `mount` and `umount`. Under cron, `$PATH` may lack these
/// directories.
pub(super) const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The `btrfs` program.
#[derive(Debug, Clone)]
pub struct Tools {
    program: PathBuf,
    /// The `$PATH` in which it was found. Programs that it starts look there too.
    path: OsString,
    version: Version,
}

impl Tools {
    /// Finds `btrfs` in `$PATH` or the system's directories, and reads its version.
    pub fn find() -> Result<Self, BtrfsError> {
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        if !path.is_empty() {
            path.push(":");
        }
        path.push(SYSTEM);
        Self::find_in(&path)
    }

    /// Finds `btrfs` in a list of directories in the form of `$PATH`.
    pub fn find_in(path: &OsStr) -> Result<Self, BtrfsError> {
        let program = std::env::split_paths(path)
            // An empty entry means the current directory in a shell. A program that runs as root must not
            // come from there.
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("btrfs"))
            .find(|file| process::is_program(file))
            .ok_or_else(|| BtrfsError::NoProgram {
                path: path.to_string_lossy().into_owned(),
            })?;
        let mut tools = Self {
            program,
            path: path.to_owned(),
            version: OLDEST,
        };
        let output = tools.run("print its version", |command| command.arg("version"))?;
        let output = String::from_utf8_lossy(&output);
        tools.version = Version::parse(&output).ok_or_else(|| BtrfsError::NoVersion {
            program: tools.program.clone(),
            output: output.lines().next().unwrap_or_default().to_owned(),
        })?;
        tools.require(OLDEST, "send and receive")?;
        Ok(tools)
    }

    /// Returns the version of btrfs-progs.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Refuses a version that can't receive streams of this protocol, or is known to lose data of them.
    pub fn require_for(&self, protocol: Protocol) -> Result<(), BtrfsError> {
        let (needed, purpose) = needs(protocol);
        self.require(needed, purpose)
    }

    fn require(&self, needed: Version, purpose: &'static str) -> Result<(), BtrfsError> {
        if self.version >= needed {
            return Ok(());
        }
        Err(BtrfsError::TooOld {
            found: self.version,
            needed,
            purpose,
        })
    }

    /// Runs the program to its end and returns its stdout. `action` says what it does, as an infinitive with
    /// the path.
    pub(super) fn run(
        &self,
        action: impl Into<String>,
        arguments: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<Vec<u8>, BtrfsError> {
        let mut command = self.command();
        arguments(&mut command);
        Ok(process::run(command, BTRFS, action)?)
    }

    /// Returns a command that runs the program with a fixed language and nothing else of the environment,
    /// which may contain credentials.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C");
        command
    }
}

/// Returns the oldest version of btrfs-progs that receives streams of a protocol correctly, and a name for
/// the purpose.
pub fn needs(protocol: Protocol) -> (Version, &'static str) {
    match protocol {
        Protocol::V1 => (OLDEST, "send and receive"),
        Protocol::V2 => (OLDEST_FOR_VERSION_TWO, "send streams of version 2"),
        Protocol::CompressedData => (OLDEST_FOR_COMPRESSED_DATA, "compressed data"),
    }
}

/// Returns the kernel's release, as `uname -r` prints it. It is recorded because the kernel makes the stream.
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// The machine's own user namespace, as `/proc/self/ns/user` shows it.
const MACHINE: &str = "user:[4026531837]";

/// Fails unless the process is root with the capability that snapshots, send, receive and mounts need. In a
/// user namespace that capability has no effect.
pub fn require_root() -> Result<(), BtrfsError> {
    let uid = rustix::process::geteuid();
    if !uid.is_root() {
        return Err(BtrfsError::NotRoot { uid: uid.as_raw() });
    }
    // Without /proc or this call, the kernel refuses later what it does not allow.
    if std::fs::read_link("/proc/self/ns/user").is_ok_and(|link| link != Path::new(MACHINE)) {
        return Err(BtrfsError::InUserNamespace);
    }
    let lacks_it = |sets: CapabilitySets| !sets.effective.contains(CapabilitySet::SYS_ADMIN);
    if capabilities(None).is_ok_and(lacks_it) {
        return Err(BtrfsError::NoSysAdmin);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_form_of_a_version_is_read() {
        for (output, expected) in [
            ("btrfs-progs v6.2\n", Some(Version::new(6, 2, 0))),
            ("btrfs-progs v5.15.1\n", Some(Version::new(5, 15, 1))),
            ("btrfs-progs v6.7-rc1\n", Some(Version::new(6, 7, 0))),
            ("btrfs-progs v6.6.3 \n", Some(Version::new(6, 6, 3))),
            (
                "btrfs-progs v6.14\n-EXPERIMENTAL -INJECT +LZO\n",
                Some(Version::new(6, 14, 0)),
            ),
            ("btrfs-progs v7", Some(Version::new(7, 0, 0))),
            ("btrfs-progs vX.Y\n", None),
            ("btrfs-progs v\n", None),
            ("hello\n", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(output), expected, "{output}");
        }
        assert!(Version::new(5, 9, 1) < OLDEST);
        assert_eq!(Version::new(6, 2, 0).to_string(), "6.2");
        assert_eq!(Version::new(5, 15, 1).to_string(), "5.15.1");
    }

    fn stub(script: &str) -> (tempfile::TempDir, Result<Tools, BtrfsError>) {
        let directory = tempfile::tempdir().unwrap();
        // Another process writes the file: a file that this process has open for writing, even in a child
        // that another test has just forked, can't be executed.
        let written = Command::new("/bin/sh")
            .args([
                "-c",
                r#"printf '#!/bin/sh\n%s\n' "$1" >"$0"; chmod 755 "$0""#,
            ])
            .arg(directory.path().join("btrfs"))
            .arg(script)
            .status();
        assert!(written.unwrap().success());
        let tools = Tools::find_in(directory.path().as_os_str());
        (directory, tools)
    }

    #[test]
    fn a_missing_program_is_named_with_where_it_was_looked_for() {
        let error = Tools::find_in(OsStr::new("/nowhere:relative:")).unwrap_err();
        assert!(matches!(error, BtrfsError::NoProgram { .. }));
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }

    #[test]
    fn an_old_version_is_refused_and_a_newer_one_may_lack_what_a_form_needs() {
        let (_directory, tools) = stub("echo btrfs-progs v5.14.2");
        assert_eq!(
            tools.unwrap_err().to_string(),
            "btrfs-progs 5.14.2 is too old: 5.15 or newer is needed for send and receive"
        );
        let (_directory, tools) = stub("echo btrfs-progs v6.1.3");
        let tools = tools.unwrap();
        assert_eq!(tools.version(), Version::new(6, 1, 3));
        tools.require_for(Protocol::V2).unwrap();
        assert!(tools.require_for(Protocol::CompressedData).is_err());
        let (_directory, tools) = stub("echo btrfs-progs v6.2");
        tools
            .unwrap()
            .require_for(Protocol::CompressedData)
            .unwrap();
        let (_directory, tools) = stub("echo btrfs-progs v5.18.1");
        let tools = tools.unwrap();
        tools.require_for(Protocol::V1).unwrap();
        assert_eq!(
            tools.require_for(Protocol::V2).unwrap_err().to_string(),
            "btrfs-progs 5.18.1 is too old: 5.19 or newer is needed for send streams of version 2"
        );
    }

    #[test]
    fn a_program_that_fails_or_tells_no_version_is_an_error() {
        let (_directory, tools) = stub("echo 'ERROR: no' >&2; exit 3");
        let error = tools.unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no"),
            "{error}"
        );
        let (_directory, tools) = stub("echo something else");
        assert!(matches!(tools, Err(BtrfsError::NoVersion { .. })));
    }

    #[test]
    fn the_program_sees_neither_the_environment_nor_another_language() {
        let (_directory, tools) = stub(
            "[ \"$LC_ALL\" = C ] || exit 1; [ -z \"$CARGO_MANIFEST_DIR\" ] || exit 2; echo btrfs-progs v6.2",
        );
        tools.unwrap();
    }
}
