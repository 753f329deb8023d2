//! A hostile archive stays inside the box: whatever a signed stream says, nothing around the target of a
//! restore is touched.

mod differential;
mod ground;
mod hostile_chain;
mod moves;
mod named;
mod planted;
mod plots;
mod random;
mod shelf;
mod trace;
mod ways;

use std::process::Command;

/// Whether there are a btrfs and the programs that restore by hand. In CI it is a failure if not.
fn can_run() -> bool {
    let missing: Vec<&str> = ["age", "zstd", "minisign", "jq"]
        .into_iter()
        .filter(|program| Command::new(program).arg("--version").output().is_err())
        .collect();
    if missing.is_empty() {
        return crate::common::loopfs::real_btrfs_available();
    }
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI=true, but these are not installed: {missing:?}");
    eprintln!("skipped: not installed: {missing:?}");
    false
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok();
    text.map(|text| text.parse().unwrap())
}
