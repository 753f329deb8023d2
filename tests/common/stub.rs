//! Programs that pretend to be others.

use std::ffi::OsString;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use coldchain::btrfs::Tools;

/// Writes an executable shell script. Without its directory in `$PATH` nobody finds it.
///
/// Another process writes it: a file that this one has open for writing, even in a child that
/// another test has just forked, can't be executed.
pub fn write_script(file: &Path, script: &str) {
    let status = Command::new("/bin/sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$1" >"$0"; chmod 755 "$0""#,
        ])
        .arg(file)
        .arg(script)
        .status();
    assert!(status.unwrap().success(), "{}", file.display());
}

/// Copies the program, by a child: a file that this process has open for writing can't be run, nor can one that
/// another thread's child inherited.
pub fn copy_program(to: &Path) {
    let program = env!("CARGO_BIN_EXE_coldchain");
    let status = Command::new("cp").arg("--").arg(program).arg(to).status();
    assert!(status.unwrap().success(), "{}", to.display());
}

/// Makes `btrfs send` what a config's sources are sent with: the kernel can't be replaced by a stub.
pub fn send_by_btrfs(config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    std::fs::write(config, format!("sender = \"btrfs\"\n{text}")).unwrap();
}

/// What was not said after this long is never said.
const STUCK: Duration = Duration::from_mins(3);

/// A pipe that every program that is started from now on inherits, for `btrfs receive`, which is confined
/// and can write to no file outside its staging directory.
pub struct Pipe {
    writer: PipeWriter,
    heard: mpsc::Receiver<Vec<u8>>,
}

impl Pipe {
    pub fn new() -> Self {
        let (mut reader, writer): (PipeReader, _) = std::io::pipe().unwrap();
        rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).unwrap();
        let (says, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if says.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { writer, heard }
    }

    /// Where a script writes to it.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.writer.as_raw_fd())
    }

    /// Waits until something is written, and returns it.
    pub fn hear(&self) -> String {
        let heard = self.heard.recv_timeout(STUCK).expect("somebody writes");
        String::from_utf8(heard).unwrap()
    }

    /// All that was written until now.
    pub fn drain(&self) -> Vec<u8> {
        let end = b"-- the end of it, which nobody else writes --";
        (&self.writer).write_all(end).unwrap();
        let mut all = Vec::new();
        while !all.ends_with(end) {
            all.extend(self.heard.recv_timeout(STUCK).unwrap());
        }
        all.truncate(all.len() - end.len());
        all
    }
}

/// A `btrfs` that is the real one but for one of its commands.
pub struct Stub {
    directory: tempfile::TempDir,
}

impl Stub {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The `$PATH` on which it comes first.
    pub fn path(&self) -> OsString {
        let real = std::env::var_os("PATH").unwrap();
        let first = std::iter::once(self.directory.path().to_owned());
        std::env::join_paths(first.chain(std::env::split_paths(&real))).unwrap()
    }

    /// Where it is, and nothing else unless it is put there.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A file beside it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the script finds the whole stream.
    pub fn stream(&self) -> PathBuf {
        self.file("stream")
    }

    /// What `btrfs send` does from now on.
    pub fn sends(&self, script: &str) {
        self.does("send", script);
    }

    /// What that command does from now on. The script knows the real program as `$real`.
    pub fn does(&self, command: &str, script: &str) {
        let script = format!(
            "real='{}'\n[ \"$1\" = {command} ] || exec \"$real\" \"$@\"\nstream='{}'\n{script}",
            Tools::find().unwrap().program().display(),
            self.stream().display(),
        );
        write_script(&self.file("btrfs"), &script);
    }
}
