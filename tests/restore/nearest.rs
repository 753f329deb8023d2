//! A restore takes the nearest copy that is intact, says which and why, and what it restores is what the store would
//! have given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use coldchain::btrfs::identity;
use serde_json::{Value, json};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, Run};
use crate::common::rng::Rng;
use crate::common::tree::{Description, compare_trees, describe, make_rich_tree, mutate_tree};

/// A machine with a mirror on a disk of its own.
struct Mirrored {
    machine: Machine,
    mirror: LoopFs,
    rng: Rng,
    /// What each snapshot held when it was taken.
    trees: BTreeMap<String, BTreeMap<OsString, Description>>,
}

impl Mirrored {
    /// Archives and mirrors these nights.
    fn with(nights: &[&str]) -> Self {
        let machine = Machine::with_subvolume(512);
        let mirror = LoopFs::new(512);
        let mut this = Self {
            machine,
            mirror,
            rng: Rng::new(0x0e57),
            trees: BTreeMap::new(),
        };
        this.configure(LIVE_CONFIG);
        make_rich_tree(&this.machine.btrfs().path("home"), &mut this.rng);
        for night in nights {
            this.night(night);
        }
        this
    }

    /// Writes a config, and adds the mirror to it.
    fn configure(&self, config: &str) {
        let to = self.mirror.root();
        let mirror = format!(
            "\n[[mirror]]\nsource = \"home\"\nto = \"{}\"\n",
            to.display()
        );
        self.machine.write_config(&(config.to_owned() + &mirror));
    }

    fn night(&mut self, date: &str) {
        let home = self.machine.btrfs().path("home");
        mutate_tree(&home, &mut self.rng);
        self.done(&format!("backup {date}"));
        self.trees
            .insert(date.to_owned(), describe(&self.snapshot(date)));
    }

    fn snapshot(&self, name: &str) -> PathBuf {
        self.machine.btrfs().path("snapshots").join(name)
    }

    fn copy(&self, name: &str) -> PathBuf {
        self.mirror.path("home").join(name)
    }

    fn run(&self, words: &str) -> Run {
        self.machine.run(words)
    }

    fn done(&self, words: &str) -> String {
        let run = self.run(words);
        assert_eq!(run.code, Some(0), "{words}: {}{}", run.stdout, run.stderr);
        run.stdout
    }

    fn json(&self, words: &str) -> Value {
        let text = self.done(words);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{words}: {error}: {text}"))
    }

    /// Takes the store away: who needs it fails.
    fn lose_store(&self) {
        fs::rename(
            self.machine.path("store"),
            self.machine.path("store-is-away"),
        )
        .unwrap();
    }

    /// A path as it is typed and printed on this machine.
    fn shown(&self, path: &Path) -> String {
        let root = self.machine.btrfs().root().display().to_string();
        path.display().to_string().replace(&root, "$FS")
    }

    fn restored_equals(&self, date: &str, restored: &Path) {
        assert_eq!(describe(restored), self.trees[date], "{date}");
    }
}

/// Changes a read-only snapshot.
fn spoil(snapshot: &Path) {
    let set = |value: &str| {
        btrfs(
            ["property", "set", "-f", "-t", "subvol"],
            &[snapshot, Path::new("ro"), Path::new(value)],
        )
    };
    set("false");
    fs::write(snapshot.join("added-later"), "spoilt").unwrap();
    set("true");
}

/// Requires one line of text that has this in it.
fn says(text: &str, part: &str) {
    assert!(text.contains(part), "no `{part}` in:\n{text}");
}

#[test]
fn a_snapshot_here_is_taken_without_store_or_identity() {
    if !real_btrfs_available() {
        return;
    }
    let this = Mirrored::with(&["2024-01-01", "2024-01-07"]);
    this.lose_store();
    let snapshot = this.snapshot("2024-01-07");

    // On its own filesystem: a snapshot of it.
    let here = this.machine.btrfs().path("here");
    fs::create_dir(&here).unwrap();
    let planned = this.done(&format!("restore home --plan --to {}", this.shown(&here)));
    says(
        &planned,
        &format!(
            "home 2024-01-07: from the snapshot {}\n",
            this.shown(&snapshot)
        ),
    );
    says(&planned, "disk space  none: it shares its data");
    let said = this.done(&format!(
        "restore home --to {} --yes --writable live",
        this.shown(&here)
    ));
    let restored = here.join("home/2024-01-07");
    says(
        &said,
        &format!(
            "home: 2024-01-07 is restored in {}, from the snapshot {}\n",
            this.shown(&restored),
            this.shown(&snapshot)
        ),
    );
    this.restored_equals("2024-01-07", &restored);
    this.restored_equals("2024-01-07", &here.join("home/live"));
    let found = identity(&restored).unwrap();
    assert!(found.read_only && found.received_uuid.is_none());
    assert!(!identity(&here.join("home/live")).unwrap().read_only);
    // Again: what is there is taken for what it is, and nothing is made.
    this.done(&format!("restore home --to {} --yes", this.shown(&here)));
    assert_eq!(identity(&restored).unwrap(), found);
    // Nothing has to be adopted: the snapshot that was archived is still there.
    let adopted = this.done(&format!("adopt home {}", this.shown(&here)));
    says(&adopted, "builds on");
    says(&adopted, "nothing was changed");

    // On another one: as it comes from the store, with the received uuid that `adopt` needs.
    let other = LoopFs::new(512);
    let answer = this.json(&format!(
        "restore home 2024-01-01 --to {} --yes --json",
        this.shown(&other.root())
    ));
    assert_eq!(
        (&answer["event"], &answer["from"], &answer["shares_data"]),
        (&json!("done"), &json!("snapshot"), &json!(false))
    );
    let restored = other.path("home/2024-01-01");
    this.restored_equals("2024-01-01", &restored);
    let sent = identity(&this.snapshot("2024-01-01")).unwrap();
    let found = identity(&restored).unwrap();
    assert_eq!(found.received_uuid, Some(sent.uuid));
    assert!(found.read_only);
}

#[test]
fn each_nearer_copy_that_is_not_taken_is_named_with_the_reason() {
    if !real_btrfs_available() {
        return;
    }
    let this = Mirrored::with(&["2024-01-01", "2024-01-07"]);
    let to = LoopFs::new(512);
    let plan = format!("restore home --plan --to {}", this.shown(&to.root()));
    says(&this.done(&plan), "from the snapshot");

    spoil(&this.snapshot("2024-01-07"));
    let planned = this.done(&plan);
    let mirror = this.shown(&this.mirror.root());
    says(
        &planned,
        &format!("home 2024-01-07: from the mirror {mirror}\n"),
    );
    says(&planned, "  not from a snapshot here: ");
    says(&planned, "its content was changed");
    let document = this.json(&format!("{plan} --json"));
    assert_eq!(document["from"], "mirror");
    assert_eq!(document["mirror"], json!(mirror));
    assert_eq!(document["segments"], 0);
    assert_eq!(document["passed_over"][0]["copy"], "snapshot");
    assert_eq!(document["archives"].as_array().unwrap().len(), 2);

    // A copy that was changed is none: it has lost its received uuid.
    spoil(&this.copy("2024-01-07"));
    let planned = this.done(&plan);
    says(&planned, "home 2024-01-07: 2 archives, ");
    says(
        &planned,
        &format!(
            "not from the mirror {mirror}: 2024-01-07 there is not a copy that was received whole"
        ),
    );
    let document = this.json(&format!("{plan} --json"));
    assert_eq!(document["from"], "store");
    assert_eq!(document["passed_over"].as_array().unwrap().len(), 2);

    // The mirror's directory is away.
    let (home, aside) = (this.mirror.path("home"), this.mirror.path("aside"));
    fs::rename(&home, &aside).unwrap();
    says(
        &this.done(&plan),
        &format!("not from the mirror {mirror}: it is not there: "),
    );
    this.done(&format!(
        "restore home --to {} --identity $T/kit --yes",
        this.shown(&to.root())
    ));
    this.restored_equals("2024-01-07", &to.path("home/2024-01-07"));

    // The store alone has it, and it is away too.
    this.lose_store();
    for (from, part) in [
        ("snapshot", "from a snapshot: a snapshot here: "),
        ("mirror", "from a mirror: the mirror "),
    ] {
        let run = this.run(&format!("{plan} --from {from}"));
        assert_eq!(run.code, Some(1), "{run:?}");
        says(
            &run.stderr,
            &format!("cannot restore the newest snapshot of `home` {part}"),
        );
        says(&run.stderr, "hint: leave --from out");
    }
}

#[test]
fn from_chooses_and_the_store_is_meant_by_what_only_it_can_do() {
    if !real_btrfs_available() {
        return;
    }
    let this = Mirrored::with(&["2024-01-01"]);
    let to = LoopFs::new(512);
    let plan = format!("restore home --plan --json --to {}", this.shown(&to.root()));
    for from in ["snapshot", "mirror", "store"] {
        let document = this.json(&format!("{plan} --from {from}"));
        assert_eq!(document["from"], from);
        assert_eq!(document["passed_over"], json!([]));
    }
    for words in ["--retired", "--max-cost 1", "--explain --identity $T/kit"] {
        let run = this.run(&format!("restore home --from mirror {words} --to $T"));
        assert_eq!(run.code, Some(2), "{run:?}");
        says(&run.stderr, "is for a restore from the store");
    }
    assert_eq!(this.json(&format!("{plan} --max-cost 1"))["from"], "store");
    // A plan that names archives is for the store, whatever is nearer.
    let planned = this.machine.command(&plan).output().unwrap();
    fs::write(this.machine.path("plan.json"), planned.stdout).unwrap();
    let document = this.json("restore --from-plan $T/plan.json --plan --json");
    assert_eq!(document["from"], "store");
    this.done("restore home --yes --stream $T/stream --identity $T/kit");
    assert!(this.machine.path("stream").exists());
}

#[test]
fn the_mirror_replaces_a_lost_disk_and_both_chains_go_on() {
    if !real_btrfs_available() {
        return;
    }
    let mut this = Mirrored::with(&["2024-01-01", "2024-01-07"]);
    // The disk is lost, and the store is away for the time being.
    for date in ["2024-01-01", "2024-01-07"] {
        btrfs(["subvolume", "delete"], &[&this.snapshot(date)]);
    }
    this.lose_store();
    let disk = LoopFs::new(512);
    fs::create_dir(disk.path("snapshots")).unwrap();
    let said = this.done(&format!(
        "restore home --to {} --yes",
        this.shown(&disk.root())
    ));
    says(
        &said,
        &format!("from the mirror {}\n", this.shown(&this.mirror.root())),
    );
    let restored = disk.path("home/2024-01-07");
    this.restored_equals("2024-01-07", &restored);
    assert_eq!(
        identity(&restored).unwrap().received_uuid,
        identity(&this.copy("2024-01-07")).unwrap().received_uuid
    );

    // The source moves to the new disk.
    let live = disk.path("home-live");
    btrfs(["subvolume", "snapshot"], &[&restored, &live]);
    let config = LIVE_CONFIG
        .replace("$FS/home", &this.shown(&live))
        .replace("$FS", &this.shown(&disk.root()));
    this.configure(&config);
    let away = this.machine.path("store-is-away");
    fs::rename(away, this.machine.path("store")).unwrap();
    let adopted = this.done(&format!("adopt home {}", this.shown(&disk.root())));
    says(&adopted, "the next archive builds on");

    mutate_tree(&live, &mut this.rng);
    let run = this.run("backup 2024-01-14 --json");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        this.machine.archived(),
        [
            "2024-01-01 full",
            "2024-01-07 incremental",
            "2024-01-14 incremental"
        ]
    );
    // The mirror goes on from the copy that the new disk has too.
    let events: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let begun: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "mirror-begun")
        .collect();
    let [begun] = begun[..] else {
        panic!("not one snapshot was mirrored: {}", run.stdout);
    };
    assert_eq!(
        (&begun["name"], &begun["parent"]),
        (&json!("2024-01-14"), &json!("2024-01-07"))
    );
    let snapshot = disk.path("snapshots/2024-01-14");
    compare_trees(&snapshot, &this.copy("2024-01-14"));

    // And the whole chain comes back from the store.
    let third = LoopFs::new(512);
    this.done(&format!(
        "restore home --from store --to {} --identity $T/kit --yes",
        this.shown(&third.root())
    ));
    compare_trees(&snapshot, &third.path("home/2024-01-14"));
    this.restored_equals("2024-01-07", &third.path("home/2024-01-07"));
}

#[test]
fn on_the_mirrors_own_disk_a_restore_is_a_snapshot_and_the_mirror_goes_on() {
    if !real_btrfs_available() {
        return;
    }
    let mut this = Mirrored::with(&["2024-01-01", "2024-01-07"]);
    let to = this.mirror.path("back");
    fs::create_dir(&to).unwrap();
    let words = format!("restore home --to {} --yes", this.shown(&to));

    let refused = this.run(&format!("{words} --from store --identity $T/kit"));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    says(&refused.stderr, "was received from 2024-01-0");
    let mirror = this.shown(&this.mirror.root());
    says(&refused.stderr, &format!("the copy of the mirror {mirror}"));
    // The snapshots here are on another filesystem, and would be received.
    let refused = this.run(&format!("{words} --from snapshot"));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    says(&refused.stderr, &format!("the copy of the mirror {mirror}"));

    let planned = this.done(&format!("restore home --plan --to {}", this.shown(&to)));
    says(
        &planned,
        &format!("home 2024-01-07: from the mirror {mirror}\n"),
    );
    says(
        &planned,
        "not from a snapshot here: it is not on the filesystem that is restored to\n",
    );
    this.done(&words);
    let restored = to.join("home/2024-01-07");
    this.restored_equals("2024-01-07", &restored);
    assert_eq!(identity(&restored).unwrap().received_uuid, None);
    this.done(&words);

    // Something else under the name is not taken for it.
    let again = this.mirror.path("again");
    fs::create_dir_all(again.join("home")).unwrap();
    let run = this.run(&format!("restore home --to {} --yes", this.shown(&again)));
    assert_eq!(run.code, Some(2), "{run:?}");
    says(
        &run.stderr,
        "is in the way: no restore of coldchain made it",
    );

    this.night("2024-01-14");
    compare_trees(&this.snapshot("2024-01-14"), &this.copy("2024-01-14"));
    assert_eq!(
        identity(&this.copy("2024-01-14")).unwrap().received_uuid,
        Some(identity(&this.snapshot("2024-01-14")).unwrap().uuid)
    );
}

#[test]
fn what_was_never_archived_is_restored_by_its_name() {
    if !real_btrfs_available() {
        return;
    }
    let this = Mirrored::with(&["2024-01-01"]);
    let alone: String = LIVE_CONFIG
        .split("\n[store.disk]")
        .next()
        .unwrap()
        .replace("store = \"disk\"\n", "");
    this.configure(&alone);
    fs::write(this.machine.btrfs().path("home/new"), "new").unwrap();
    this.done("snapshot home");
    let names = fs::read_dir(this.machine.btrfs().path("snapshots")).unwrap();
    let name = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.contains('T'))
        .unwrap();
    this.done("mirror home");

    let (one, other) = (LoopFs::new(512), LoopFs::with_options(512, ""));
    let words = |to: &LoopFs| format!("restore {name} --yes --to {}", this.shown(&to.root()));
    says(&this.done(&words(&one)), "from the snapshot");
    compare_trees(&this.snapshot(&name), &one.path("home").join(&name));
    // No name means the newest archive that is known, and the newer snapshot is named.
    let run = this.run(&format!(
        "restore home --plan --to {}",
        this.shown(&other.root())
    ));
    assert_eq!(run.code, Some(0), "{run:?}");
    says(&run.stderr, &format!("there is a newer snapshot, {name}"));
    says(&run.stdout, "home 2024-01-01: from the snapshot");
    btrfs(["subvolume", "delete"], &[&this.snapshot(&name)]);
    says(&this.done(&words(&other)), "from the mirror");
    compare_trees(&this.copy(&name), &other.path("home").join(&name));
    // Without any archive, it means the newest of all.
    fs::remove_dir_all(this.machine.state()).unwrap();
    let planned = this.done("restore home --plan");
    says(&planned, &format!("home {name}: from the mirror"));

    let run = this.run("restore home 2024-02-02T0300 --plan");
    assert_eq!(run.code, Some(1), "{run:?}");
    says(
        &run.stderr,
        "cannot restore 2024-02-02T0300 of `home`: a snapshot here: there is none of 2024-02-02T0300; the mirror ",
    );
    for words in [
        "show home 2024-02-02T0300",
        "thaw home 2024-02-02T0300 --status",
    ] {
        assert_eq!(this.run(words).code, Some(2), "{words}");
    }
}

#[test]
fn a_mirror_is_enough_when_catalog_keys_store_and_source_are_lost() {
    if !real_btrfs_available() {
        return;
    }
    let this = Mirrored::with(&["2024-01-01", "2024-01-07"]);
    this.lose_store();
    fs::remove_dir_all(this.machine.state()).unwrap();
    for date in ["2024-01-01", "2024-01-07"] {
        btrfs(["subvolume", "delete"], &[&this.snapshot(date)]);
    }
    let to = LoopFs::new(512);
    for date in ["2024-01-07", "2024-01-01"] {
        let said = this.done(&format!(
            "restore home {date} --to {} --yes",
            this.shown(&to.root())
        ));
        says(&said, "from the mirror");
        this.restored_equals(date, &to.path("home").join(date));
    }
}

#[test]
fn a_mirrors_disk_becomes_the_sources_and_both_chains_go_on() {
    if !real_btrfs_available() {
        return;
    }
    let mut this = Mirrored::with(&["2024-01-01", "2024-01-07"]);
    let live = this.mirror.path("live");
    btrfs(
        ["subvolume", "snapshot"],
        &[&this.copy("2024-01-07"), &live],
    );
    fs::create_dir(this.mirror.path("snapshots")).unwrap();
    let config = LIVE_CONFIG
        .replace("$FS/home", &this.shown(&live))
        .replace("$FS", &this.shown(&this.mirror.root()));
    this.configure(&config);
    let adopted = this.done(&format!("adopt home {}", this.shown(&this.mirror.root())));
    says(&adopted, "the next archive builds on");

    mutate_tree(&live, &mut this.rng);
    this.done("backup 2024-01-14");
    assert_eq!(
        this.machine.archived().last().map(String::as_str),
        Some("2024-01-14 incremental")
    );
    let snapshot = this.mirror.path("snapshots/2024-01-14");
    let third = LoopFs::new(512);
    this.done(&format!(
        "restore home --from store --to {} --identity $T/kit --yes",
        this.shown(&third.root())
    ));
    compare_trees(&snapshot, &third.path("home/2024-01-14"));
    compare_trees(&snapshot, &this.copy("2024-01-14"));
}
