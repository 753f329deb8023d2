//! Programs that pretend to be others.

use std::path::Path;
use std::process::Command;

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
