//! What a local user may have put where a restore of root's goes: nothing elsewhere is overwritten or
//! deleted, nothing is restored into what is theirs, and nothing waits for them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;

use coldchain::btrfs::identity;
use serde_json::{Value, json};

use super::can_run;
use super::ground::{Ground, tree};
use super::hostile_chain::HostileChain;
use super::shelf::Shelf;
use super::ways::{Ended, Way};
use crate::common::loopfs::{btrfs, run};

/// Somebody without any rights.
const NOBODY: u32 = 65534;

const MARK: &str = ".coldchain-restore.json";

/// A target, an honest chain, and a user who was there first.
struct Scene {
    ground: Ground,
    shelf: Shelf,
    date: String,
    /// The mark that a restore of this chain leaves.
    mark: Value,
    failures: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let (ground, mut shelf) = (Ground::new(), Shelf::new());
        let chain = HostileChain::of(&[], &shelf.dates()[..2], &ground.aims());
        shelf.put(&chain);
        let mut scene = Self {
            date: chain.archives[1].date.clone(),
            ground,
            shelf,
            mark: Value::Null,
            failures: Vec::new(),
        };
        let ended = scene.restore();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let mark = fs::read(scene.ground.restored().join(MARK)).unwrap();
        scene.mark = serde_json::from_slice(&mark).unwrap();
        scene.ground.clear();
        // Everybody may make files there, as in /tmp.
        mode(&scene.ground.to(), 0o1777);
        scene
    }

    fn restore(&self) -> Ended {
        Way::Restore.run(self.shelf.machine(), &self.ground, &self.date)
    }

    /// The mark, as if a subvolume of that name and id had been begun.
    fn mark_of(&self, name: &[u8], id: u64) -> Vec<u8> {
        let mut mark = self.mark.clone();
        mark["begun"] = json!({ "name": name, "subvolume_id": id, "told": null });
        serde_json::to_vec(&mark).unwrap()
    }

    /// Restores where something is planted. If that is refused, what is planted is left alone.
    fn is_harmless(&mut self, what: &str, expect: Expect) {
        let own = self.ground.restored();
        let planted = own.symlink_metadata().is_ok().then(|| tree(&own));
        let before = self.ground.look();
        let ended = self.restore();
        let touched = self.ground.touched(&before);
        let said = ended.said.trim();
        let mut faults: Vec<String> = ended.fault(Way::Restore).into_iter().collect();
        if expect == Expect::Refusal {
            if ended.code == Some(0) {
                faults.push("was not refused".to_owned());
            }
            if Some(tree(&own)) != planted {
                faults.push("changed what is planted".to_owned());
            }
        }
        if !touched.is_empty() {
            faults.push(format!("touched {touched:?}"));
        }
        if !faults.is_empty() {
            let faults = faults.join(", ");
            self.failures.push(format!("{what}: {faults}: {said}"));
        }
        if touched.is_empty() {
            self.ground.clear();
        } else {
            let failures = std::mem::take(&mut self.failures);
            *self = Self {
                failures,
                ..Self::new()
            };
        }
    }

    fn end(self) {
        let failures = self.failures;
        assert!(
            failures.is_empty(),
            "{} failures:\n{}",
            failures.len(),
            failures.join("\n")
        );
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// It is somebody's: it must not be used.
    Refusal,
    /// It may be used or not.
    NoHarm,
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path) {
    lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// A directory of an owner, with a mode.
fn directory(path: &Path, is_theirs: bool, with: u32) {
    fs::create_dir(path).unwrap();
    mode(path, with);
    if is_theirs {
        give(path);
    }
}

/// The same as a subvolume.
fn subvolume(path: &Path, is_theirs: bool, with: u32) {
    btrfs(["subvolume", "create"], &[path]);
    mode(path, with);
    if is_theirs {
        give(path);
    }
}

fn fifo(path: &Path) {
    run(Command::new("mkfifo").arg(path)).unwrap();
}

#[test]
fn a_directory_that_somebody_else_made_or_may_write_is_not_restored_into() {
    if !can_run() {
        return;
    }
    let mut scene = Scene::new();
    for owner in [0, NOBODY] {
        lchown(scene.ground.to(), Some(owner), Some(owner)).unwrap();
        for make in [directory, subvolume] {
            for (is_theirs, with) in [
                (true, 0o700),
                (true, 0o755),
                (false, 0o777),
                (false, 0o770),
                (false, 0o1777),
            ] {
                make(&scene.ground.restored(), is_theirs, with);
                let what = format!("of {is_theirs} {with:o} in one of {owner}");
                scene.is_harmless(&what, Expect::Refusal);
            }
        }
    }
    scene.end();
}

#[test]
fn what_is_no_directory_is_not_restored_into() {
    if !can_run() {
        return;
    }
    let mut scene = Scene::new();
    let own = scene.ground.restored();
    let elsewhere = scene.ground.canary().with_file_name("empty");
    fs::create_dir(&elsewhere).unwrap();
    mode(&elsewhere, 0o700);
    let canary = scene.ground.canary();
    let plants: [(&str, Planting<'_>); 5] = [
        ("a file", &|own| fs::write(own, b"mine").unwrap()),
        ("a fifo", &fifo),
        ("a link to an empty directory", &|own| {
            symlink(&elsewhere, own).unwrap();
        }),
        ("a link to a file", &|own| symlink(&canary, own).unwrap()),
        ("a link to nothing", &|own| {
            symlink("not-there", own).unwrap();
        }),
    ];
    for is_theirs in [false, true] {
        for (what, plant) in plants {
            plant(&own);
            if is_theirs {
                give(&own);
            }
            scene.is_harmless(&format!("{what}, theirs: {is_theirs}"), Expect::Refusal);
        }
    }
    scene.end();
}

/// Puts something where a path leads.
type Plant = Box<dyn Fn(&Path)>;
type Planting<'a> = &'a dyn Fn(&Path);

/// What may be planted under a mark's name.
fn plants(scene: &Scene) -> Vec<(&'static str, Plant)> {
    let canary = scene.ground.canary();
    let new = canary.with_file_name("not-there-yet");
    let mark = serde_json::to_vec(&scene.mark).unwrap();
    vec![
        (
            "a mark",
            Box::new(move |path| fs::write(path, &mark).unwrap()),
        ),
        (
            "nothing at all",
            Box::new(|path| fs::write(path, b"").unwrap()),
        ),
        (
            "a directory",
            Box::new(|path| fs::create_dir(path).unwrap()),
        ),
        ("a fifo", Box::new(fifo)),
        (
            "a link to a file",
            Box::new(move |path| symlink(&canary, path).unwrap()),
        ),
        (
            "a link to nothing",
            Box::new(move |path| symlink(&new, path).unwrap()),
        ),
        (
            "a link to itself",
            Box::new(|path| symlink(path, path).unwrap()),
        ),
    ]
}

#[test]
fn a_planted_mark_leads_nowhere_and_holds_nothing_up() {
    if !can_run() {
        return;
    }
    let mut scene = Scene::new();
    for make in [directory, subvolume] {
        for name in [MARK, ".coldchain-restore.json.new"] {
            for at in 0..plants(&scene).len() {
                // In a directory of theirs, in one that they may write, and as root's own of theirs.
                for (is_theirs, with, expect) in [
                    (true, 0o700, Expect::Refusal),
                    (false, 0o777, Expect::Refusal),
                    (false, 0o700, Expect::NoHarm),
                ] {
                    let own = scene.ground.restored();
                    let (what, plant) = &plants(&scene)[at];
                    make(&own, is_theirs, with);
                    plant(&own.join(name));
                    give(&own.join(name));
                    let what = format!("{what} as {name}, of {is_theirs} {with:o}");
                    scene.is_harmless(&what, expect);
                }
            }
        }
    }
    scene.end();
}

#[test]
fn a_mark_deletes_no_subvolume_outside_of_its_directory() {
    if !can_run() {
        return;
    }
    let mut scene = Scene::new();
    for make in [directory, subvolume] {
        for name in 0..6 {
            for (is_theirs, with) in [(true, 0o700), (false, 0o777), (false, 0o700)] {
                let (own, victim) = (scene.ground.restored(), scene.ground.subvolume());
                let id = identity(&victim).unwrap().subvolume_id;
                let names: [&[u8]; 6] = [
                    victim.as_os_str().as_encoded_bytes(),
                    b"../../canary",
                    b"inner/../../../canary",
                    b"link/canary",
                    b"link-to-it",
                    b"inner/link-to-it",
                ];
                let name = names[name];
                make(&own, is_theirs, with);
                fs::create_dir(own.join("inner")).unwrap();
                symlink(victim.parent().unwrap(), own.join("link")).unwrap();
                symlink(&victim, own.join("link-to-it")).unwrap();
                symlink(&victim, own.join("inner/link-to-it")).unwrap();
                fs::write(own.join(MARK), scene.mark_of(name, id)).unwrap();
                mode(&own.join(MARK), 0o600);
                if is_theirs {
                    give(&own.join(MARK));
                }
                let name = String::from_utf8_lossy(name);
                let what = format!("{name} in one of {is_theirs} {with:o}");
                scene.is_harmless(&what, Expect::Refusal);
            }
        }
    }
    scene.end();
}

#[test]
fn a_directory_that_others_may_write_and_that_is_not_sticky_does_no_harm() {
    if !can_run() {
        return;
    }
    let mut scene = Scene::new();
    let to = scene.ground.to();
    for (owner, with) in [
        (NOBODY, 0o777),
        (0, 0o777),
        (NOBODY, 0o755),
        (NOBODY, 0o1777),
    ] {
        lchown(&to, Some(owner), Some(owner)).unwrap();
        mode(&to, with);
        scene.is_harmless(&format!("{with:o} of {owner}"), Expect::NoHarm);
    }
    scene.end();
}
