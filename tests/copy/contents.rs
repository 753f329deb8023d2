//! The contents of archives in a copy: brought with them or after them, mended, and no condition for the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::machine::Machine;
use crate::common::whole::first_and_seventh;
use crate::copied::{archived, files, two_stores};

/// The names of the objects of contents below a directory.
fn contents(directory: &Path) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = files(directory).into_keys().collect();
    names.retain(|name| name.contains("/contents-"));
    names
}

#[test]
fn contents_that_are_attached_after_the_copy_are_brought_and_nothing_else() {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = false\n{}", two_stores()));
    fs::create_dir(machine.path("second")).unwrap();
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    let (home, second) = (machine.path("store"), machine.path("second"));
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    assert_eq!(contents(&second), BTreeSet::new());
    let before = files(&second);

    let run = machine.run("index --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(contents(&home).len(), 1);
    let run = machine.run("copy home --to second");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(contents(&second), contents(&home));
    let after = files(&second);
    // The object and the entry that names it.
    assert_eq!(after.len(), before.len() + 2);
    for (name, bytes) in &before {
        assert_eq!(after.get(name), Some(bytes), "{name}");
    }
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    assert_eq!(files(&second), after);
}

#[test]
fn contents_that_home_has_lost_keep_no_archive_from_being_copied() {
    let machine = archived();
    assert_eq!(machine.run("index --identity $T/kit").code, Some(0));
    let (home, second) = (machine.path("store"), machine.path("second"));
    let all = contents(&home);
    assert_eq!(all.len(), 2);
    let lost = home.join(all.first().unwrap());
    let sound = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    let run = machine.run("copy home --to second");
    assert_eq!(run.code, Some(6), "{run:?}");
    // The digest in its name is blanked.
    assert!(run.stderr.contains("/contents-000000-"), "{}", run.stderr);
    assert_eq!(contents(&second).len(), 1);
    let keys = files(&second);
    assert_eq!(
        keys.keys().filter(|key| key.ends_with("key.age")).count(),
        2
    );
    let to = machine.path("stream");
    let run =
        machine.run("restore 2024-01-01 --place second --stream $T/stream --identity $T/kit --yes");
    assert_eq!(run.code, Some(0), "{run:?}");
    let [full, _] = first_and_seventh(17 << 10);
    assert!(fs::read(to).unwrap() == full);

    // Once home has them, the copy gets them.
    fs::write(&lost, sound).unwrap();
    let run = machine.run("copy home --to second");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(contents(&second), all);
}

#[test]
fn lost_contents_are_put_back_from_the_other_place() {
    let machine = archived();
    assert_eq!(machine.run("index --identity $T/kit").code, Some(0));
    let (home, second) = (machine.path("store"), machine.path("second"));
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    for (at, options) in [
        (&home, "--repair-from second"),
        (&second, "--place second --repair-from home"),
    ] {
        let all = contents(at);
        assert_eq!(all.len(), 2);
        let [missing, flipped] = [all.first(), all.last()].map(|name| at.join(name.unwrap()));
        let [first, last] = [&missing, &flipped].map(|path| fs::read(path).unwrap());
        fs::remove_file(&missing).unwrap();
        let mut bytes = last.clone();
        bytes[0] ^= 1;
        fs::write(&flipped, bytes).unwrap();
        let run = machine.run(&format!("verify --deep --identity $T/kit {options}"));
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(fs::read(&missing).unwrap() == first);
        assert!(fs::read(&flipped).unwrap() == last);
    }
}
