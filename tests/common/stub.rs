//! Programs that pretend to be others.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Makes `btrfs send` what a config's sources are sent with: the kernel can't be replaced by a stub.
pub fn send_by_btrfs(config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    std::fs::write(config, format!("sender = \"btrfs\"\n{text}")).unwrap();
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
