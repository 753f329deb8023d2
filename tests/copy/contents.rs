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

/// Removes the contents of that archive from every place. Returns how many objects are gone.
fn lose(machine: &Machine, archive: &str) -> usize {
    let mut lost = 0;
    for place in ["store", "second"] {
        let place = machine.path(place);
        for name in contents(&place) {
            if name.contains(archive) {
                fs::remove_file(place.join(name)).unwrap();
                lost += 1;
            }
        }
    }
    lost
}

#[track_caller]
fn ends(machine: &Machine, words: &str, code: i32) -> String {
    let run = machine.run(words);
    assert_eq!(run.code, Some(code), "{words}: {run:?}");
    format!("{}{}", run.stdout, run.stderr)
}

#[test]
fn contents_that_are_lost_everywhere_are_made_again_and_a_move_goes_on() {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = true\n{}", two_stores()));
    fs::create_dir(machine.path("second")).unwrap();
    for (date, stream) in ["2024-01-01", "2024-01-07"]
        .into_iter()
        .zip(first_and_seventh(100))
    {
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    ends(&machine, "copy home --to second", 0);
    let home = machine.path("store");
    let kept = contents(&home);
    assert_eq!(lose(&machine, "/2024-01-01-"), 2);
    // The copy has no contents of the first any more, which a copy that was made anew would not have either.
    fs::remove_dir_all(machine.path("second")).unwrap();
    fs::create_dir(machine.path("second")).unwrap();
    let said = ends(&machine, "copy home --to second --anew", 6);
    assert!(
        said.contains("coldchain index SOURCE --date 2024-01-01"),
        "{said}"
    );
    let said = ends(&machine, "move home --to second --yes", 1);
    assert!(said.contains("coldchain index home"), "{said}");
    let said = ends(&machine, "verify", 6);
    assert!(
        said.contains("1 object of the contents of `home`")
            && said.contains("coldchain index home --date DATE"),
        "{said}"
    );
    let said = ends(&machine, "verify --repair-from second", 6);
    assert!(
        said.contains("`coldchain index --date 2024-01-01` makes other contents"),
        "{said}"
    );
    let plan = ends(&machine, "index --plan", 0);
    assert!(plan.contains("1 archive without contents"), "{plan}");

    ends(&machine, "index --identity $T/kit", 0);
    let now = contents(&home);
    assert_eq!(now.len(), 2);
    assert_eq!(now.intersection(&kept).count(), 1);
    let before = files(&home);
    let said = ends(&machine, "index --identity $T/kit", 0);
    assert!(said.contains("no contents made"), "{said}");
    assert_eq!(files(&home), before);
    ends(&machine, "verify --deep --identity $T/kit", 0);
    ends(&machine, "catalog check", 0);
    ends(&machine, "copy home --to second", 0);
    assert_eq!(contents(&machine.path("second")), now);
    ends(
        &machine,
        "verify --place second --deep --identity $T/kit",
        0,
    );
    ends(&machine, "move home --to second --yes", 0);
    let in_second = two_stores().replacen("store = \"disk\"", "store = \"second\"", 1);
    machine.write_config(&format!("contents = true\n{in_second}"));
    ends(&machine, "verify --deep --identity $T/kit", 0);
    ends(&machine, "catalog rebuild --identity $T/kit", 0);
    ends(&machine, "catalog check", 0);
    let listed = machine.listed();
    let archives = &listed["sources"][0]["chains"][0]["archives"];
    assert!(
        archives[0]["contents_bytes"].as_u64().unwrap() > 0,
        "{archives}"
    );
}

#[test]
fn contents_that_are_damaged_are_made_again_for_a_date_and_the_damaged_object_goes_with_its_archive()
 {
    let machine = archived();
    ends(&machine, "index --identity $T/kit", 0);
    let home = machine.path("store");
    let kept = contents(&home);
    let damaged = home.join(kept.first().unwrap());
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[900] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let said = ends(&machine, "verify --deep --identity $T/kit", 6);
    assert!(
        said.contains("1 object of the contents of `home`"),
        "{said}"
    );
    // A listing shows nothing of it, and only the contents of named dates are read.
    let said = ends(&machine, "index --identity $T/kit", 0);
    assert!(said.contains("no contents made"), "{said}");
    ends(&machine, "index --date 2024-01-01 --identity $T/kit", 0);
    let now = contents(&home);
    assert_eq!(now.len(), 3);
    assert!(now.is_superset(&kept));
    ends(&machine, "verify --deep --identity $T/kit", 0);
    ends(&machine, "catalog check", 0);
    ends(
        &machine,
        "index --date 2024-01-01 --date 2024-01-07 --identity $T/kit",
        0,
    );
    assert_eq!(contents(&home), now);
    // It counts again if the entry that replaces it is voided, so nothing takes it for an orphan.
    let pruned = ends(&machine, "prune --dry-run --json", 0);
    assert!(!pruned.contains("contents-000000"), "{pruned}");
}

#[test]
fn a_home_that_is_lost_is_abandoned_for_a_copy_without_contents_and_no_archive_is_given_up() {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = true\n{}", two_stores()));
    fs::create_dir(machine.path("second")).unwrap();
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    ends(&machine, "copy home --to second", 0);
    assert_eq!(lose(&machine, "/2024-01-01-"), 2);
    fs::rename(machine.path("store"), machine.path("lost")).unwrap();
    let said = ends(
        &machine,
        "move home --to second --abandon-home --yes --kit $T/kit",
        0,
    );
    assert!(said.contains("with 1 archive"), "{said}");
    let in_second = two_stores().replacen("store = \"disk\"", "store = \"second\"", 1);
    machine.write_config(&format!("contents = true\n{in_second}"));
    ends(&machine, "verify", 6);
    ends(&machine, "index --identity $T/kit", 0);
    ends(&machine, "verify --deep --identity $T/kit", 0);
}
