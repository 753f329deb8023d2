//! Runs the one script of `docs/restore-without-coldchain.md`, as it stands there.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::loopfs::real_btrfs_available;
use super::machine::Machine;

/// Whether the page's programs are here. If not, it says so; in CI that is a failure.
pub fn can_run() -> bool {
    are_installed(&["age", "zstd", "minisign", "jq"]) && real_btrfs_available()
}

/// Whether programs are here. If not, it says so; in CI that is a failure.
pub fn are_installed(programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| {
            Command::new(program)
                .arg("--version")
                .stdin(Stdio::null())
                .output()
                .is_err()
        })
        .collect();
    if missing.is_empty() {
        return true;
    }
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI=true, but these are not installed: {missing:?}");
    eprintln!("skipped: not installed: {missing:?}");
    false
}

/// The page.
pub fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/restore-without-coldchain.md");
    fs::read_to_string(page).unwrap()
}

/// Its script, ready to run with arguments.
pub fn script() -> Command {
    let page = page();
    let mut scripts = page.split("```bash\n").skip(1);
    let script = scripts.next().unwrap().split("```\n").next().unwrap();
    assert!(scripts.next().is_none(), "the page has one script");
    let mut command = Command::new("bash");
    command
        .args(["-c", script, "restore-by-hand"])
        .stdin(Stdio::null());
    command
}

/// Restores a date of a source's directory in a store by the script.
pub fn by_hand(source: &Path, kit: &Path, root: &str, date: &str, target: &Path) -> Output {
    let path = std::env::var_os("PATH").unwrap();
    by_hand_with_path(&path, source, kit, root, date, target)
}

/// The same with that `$PATH`.
pub fn by_hand_with_path(
    path: &OsStr,
    source: &Path,
    kit: &Path,
    root: &str,
    date: &str,
    target: &Path,
) -> Output {
    let mut script = script();
    script
        .args([source, kit])
        .args([root, date])
        .arg(target)
        .env("PATH", path);
    script.output().unwrap()
}

/// The root public key in a machine's recovery kit.
pub fn root_of(machine: &Machine) -> String {
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    let mut lines = kit.lines();
    let root = lines.find_map(|line| line.strip_prefix("# root public key: "));
    root.unwrap().to_owned()
}
