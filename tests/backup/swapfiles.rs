//! A swapfile in use keeps the kernel from making a snapshot: it is named, before and when it happens.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::loopfs::{btrfs, real_btrfs_available, run};
use crate::common::sandbox::{SOURCE, Sandbox};

/// A swapfile in use. Dropped, also by a panic, it is not.
struct Swap(PathBuf);

impl Swap {
    fn on(file: &Path) -> Self {
        File::create(file).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        run(Command::new("chattr").arg("+C").arg(file)).unwrap();
        fs::write(file, vec![0; 8 << 20]).unwrap();
        run(Command::new("mkswap").arg(file)).unwrap();
        run(Command::new("swapon").arg(file)).unwrap();
        Self(file.to_owned())
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let off = run(Command::new("swapoff").arg(&self.0));
        assert!(off.is_ok() || std::thread::panicking(), "{off:?}");
    }
}

#[test]
fn a_swapfile_in_use_is_named_with_what_to_do() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    fs::write(sandbox.source().join("file"), "content").unwrap();
    let nested = sandbox.source().join("a subvolume");
    btrfs(["subvolume", "create"], &[&nested]);
    let file = sandbox.source().join("swap file");
    let said = format!(
        "cannot make a snapshot of {}: the swapfile {} in it is in use",
        sandbox.source().display(),
        file.display()
    );
    let hint = format!(
        "run `swapoff '{}'`, and make a new swapfile in a subvolume of its own, which snapshots of this one do not include",
        file.display()
    );
    let warning = format!("warning: {SOURCE}: {said}: {hint}\n");

    // Snapshots leave out one in a subvolume of its own.
    let aside = Swap::on(&nested.join("swap file"));
    sandbox.backup("2025-01-01");
    let swap = Swap::on(&file);
    for command in [&["plan", "2025-01-07"][..], &["doctor"]] {
        let ran = sandbox.run(command);
        assert!(ran.stderr.contains(&warning), "{ran:?}");
    }
    let ran = sandbox.run(["backup", "2025-01-07"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stderr, format!("error: {said}\nhint: {hint}\n"));
    drop(swap);
    let planned = sandbox.run(["plan", "2025-01-07"]).ok();
    assert!(!planned.stderr.contains("swapfile"), "{planned:?}");
    sandbox.backup("2025-01-07");
    assert_eq!(sandbox.committed(), ["2025-01-01", "2025-01-07"]);
    drop(aside);
}
