//! Finds programs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where systems have programs. Under cron, `$PATH` may lack these directories.
const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the path of a program in `$PATH` or the system's directories; `None` if there is none.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(std::env::split_paths(SYSTEM));
    directories
        // An empty entry means the current directory, from which root starts nothing.
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

/// Returns whether a file can be run as a program.
pub(crate) fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
