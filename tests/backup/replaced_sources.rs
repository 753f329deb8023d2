//! A source whose path holds another subvolume than last time: moved, rolled back, or edited in the config. An
//! incremental is made only on an archive from whose snapshot tonight's descends, and what is made is what is
//! restored.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup, which};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use serde_json::Value;

const FIRST: &str = "2025-01-01";
const SECOND: &str = "2025-01-07";
const THIRD: &str = "2025-01-14";

/// Random trees in each subvolume; `scripts/soak replaced` has 40.
fn trees() -> u64 {
    std::env::var("COLDCHAIN_TREES").map_or(4, |count| count.parse().unwrap())
}

fn seed() -> u64 {
    std::env::var("COLDCHAIN_SEED").map_or(17, |seed| seed.parse().unwrap())
}

/// A source that has been archived, and what becomes of it.
struct Story {
    sandbox: Sandbox,
    rng: Rng,
}

impl Story {
    fn new() -> Self {
        Self::on("")
    }

    /// On a filesystem with these mount options.
    fn on(mount: &'static str) -> Self {
        let sandbox = Sandbox::with(&Setup {
            mib: 1024,
            mount,
            ..Setup::default()
        });
        let mut story = Self {
            sandbox,
            rng: Rng::new(seed()),
        };
        story.plant(SOURCE);
        story
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.fs.path(name)
    }

    /// Fills a subvolume.
    fn plant(&mut self, name: &str) {
        for tree in 0..trees() {
            let directory = self.path(name).join(tree.to_string());
            fs::create_dir(&directory).unwrap();
            make_rich_tree(&directory, &mut self.rng);
        }
    }

    /// Changes subvolumes side by side, in the same transactions.
    fn mutate(&mut self, names: &[&str]) {
        for tree in 0..trees() {
            for name in names {
                let directory = self.path(name).join(tree.to_string());
                mutate_tree(&directory, &mut self.rng);
            }
        }
    }

    fn snapshot(&self, of: &str, name: &str) {
        let (of, name) = (self.path(of), self.path(name));
        btrfs(["subvolume", "snapshot"], &[&of, &name]);
    }

    fn read_only_snapshot(&self, of: &str, name: &str) {
        let (of, name) = (self.path(of), self.path(name));
        btrfs(["subvolume", "snapshot", "-r"], &[&of, &name]);
    }

    fn delete(&self, name: &str) {
        btrfs(["subvolume", "delete"], &[&self.path(name)]);
    }

    /// Puts another subvolume in the source's place.
    fn replace_by(&self, name: &str) {
        fs::rename(self.path(SOURCE), self.path("old")).unwrap();
        fs::rename(self.path(name), self.path(SOURCE)).unwrap();
    }

    /// Archives a date: what the plan says of it, and then what was made.
    fn archive(&self, date: &str) -> Value {
        let plan = self.sandbox.run(["plan", date, "--json"]).ok().json();
        self.sandbox.backup(date);
        let archives = self.sandbox.archives("committed");
        let made = archives.into_iter().find(|archive| archive["date"] == date);
        let made = made.expect("it is archived");
        let planned = &plan["plans"][0];
        assert_eq!(planned["send_parent"], made["send_parent"], "{plan}");
        planned.clone()
    }

    /// Restores a date onto a new filesystem and compares it.
    fn restores(&self, date: &str) {
        let other = LoopFs::new(1536);
        self.sandbox.restore(date, &other.root()).ok();
        compare_trees(&self.sandbox.snapshot(date), &other.path(SOURCE).join(date));
    }
}

/// Replaces the source of an archive of [`FIRST`] and archives [`SECOND`].
#[track_caller]
fn replaced(
    before: impl FnOnce(&mut Story),
    after: impl FnOnce(&mut Story),
    builds_on: Option<&str>,
) {
    let mut story = Story::new();
    before(&mut story);
    story.archive(FIRST);
    after(&mut story);
    story.mutate(&[SOURCE]);
    let planned = story.archive(SECOND);
    assert_eq!(planned["send_parent"].as_str(), builds_on, "{planned}");
    if builds_on.is_none() {
        assert_eq!(
            planned["reason"],
            format!(
                "the subvolume does not descend from the snapshot of {FIRST}: it was replaced by another one"
            )
        );
    }
    story.restores(SECOND);
}

const SOUND: Option<&str> = Some(FIRST);
const UNSOUND: Option<&str> = None;

#[test]
fn a_source_that_was_not_replaced_goes_on_incrementally() {
    if real_btrfs_available() {
        replaced(|_| {}, |_| {}, SOUND);
    }
}

#[test]
fn a_rollback_to_the_archived_snapshot_goes_on_incrementally() {
    if real_btrfs_available() {
        replaced(
            |_| {},
            |story| {
                story.mutate(&[SOURCE]);
                story.snapshot(&format!("snapshots/{FIRST}"), "rolled-back");
                story.mutate(&[SOURCE, "rolled-back"]);
                story.replace_by("rolled-back");
                story.delete("old");
            },
            SOUND,
        );
    }
}

#[test]
fn a_later_copy_of_the_source_goes_on_incrementally() {
    if real_btrfs_available() {
        replaced(
            |_| {},
            |story| {
                story.mutate(&[SOURCE]);
                story.snapshot(SOURCE, "copy");
                story.mutate(&[SOURCE, "copy"]);
                story.replace_by("copy");
            },
            SOUND,
        );
    }
}

#[test]
fn a_later_rollback_to_an_older_snapshot_goes_on_incrementally() {
    if real_btrfs_available() {
        let roll_back = |story: &mut Story| {
            story.snapshot("older", "rolled-back");
            story.replace_by("rolled-back");
            story.delete("old");
            fs::write(story.path(SOURCE).join("new"), b"new").unwrap();
        };
        let mut story = Story::new();
        story.read_only_snapshot(SOURCE, "older");
        fs::remove_file(story.path(SOURCE).join("0/docs/10.txt")).unwrap();
        fs::write(story.path(SOURCE).join("0/docs/11.txt"), b"other").unwrap();
        story.archive(FIRST);
        roll_back(&mut story);
        assert_eq!(story.archive(SECOND)["send_parent"], FIRST);
        story.restores(SECOND);

        // Whatever was changed before, what is restored is what was there.
        let mut story = Story::new();
        story.read_only_snapshot(SOURCE, "older");
        story.mutate(&[SOURCE]);
        story.archive(FIRST);
        roll_back(&mut story);
        story.mutate(&[SOURCE]);
        story.sandbox.backup(SECOND);
        story.restores(SECOND);
    }
}

#[test]
fn a_copy_that_was_used_beside_the_source_calls_for_a_full() {
    if real_btrfs_available() {
        replaced(
            |story| {
                story.snapshot(SOURCE, "copy");
                story.mutate(&[SOURCE, "copy"]);
            },
            |story| story.replace_by("copy"),
            UNSOUND,
        );
    }
}

#[test]
fn a_later_snapshot_of_such_a_copy_calls_for_a_full() {
    if real_btrfs_available() {
        replaced(
            |story| {
                story.snapshot(SOURCE, "copy");
                story.mutate(&[SOURCE, "copy"]);
            },
            |story| {
                story.snapshot("copy", "snapshot");
                story.replace_by("snapshot");
            },
            UNSOUND,
        );
    }
}

#[test]
fn a_copy_of_an_older_snapshot_that_was_used_beside_the_source_calls_for_a_full() {
    if real_btrfs_available() {
        replaced(
            |story| {
                story.read_only_snapshot(SOURCE, "older");
                story.snapshot("older", "copy");
                story.mutate(&[SOURCE, "copy"]);
            },
            |story| story.replace_by("copy"),
            UNSOUND,
        );
    }
}

#[test]
fn a_snapshot_that_was_written_beside_the_source_is_no_older_state_of_it() {
    if real_btrfs_available() {
        replaced(
            |story| {
                story.snapshot(SOURCE, "older");
                story.mutate(&[SOURCE, "older"]);
            },
            |story| {
                let older = story.path("older");
                btrfs(
                    ["property", "set"],
                    &[&older, Path::new("ro"), Path::new("true")],
                );
                story.snapshot("older", "rolled-back");
                story.replace_by("rolled-back");
            },
            UNSOUND,
        );
    }
}

#[test]
fn another_subvolume_calls_for_a_full() {
    if real_btrfs_available() {
        replaced(
            |story| {
                story.sandbox.fs.subvolume("other");
                story.plant("other");
                story.mutate(&[SOURCE, "other"]);
            },
            |story| story.replace_by("other"),
            UNSOUND,
        );
    }
}

#[test]
fn an_archive_builds_on_the_newest_one_that_its_snapshot_descends_from() {
    if real_btrfs_available() {
        let mut story = Story::new();
        story.archive(FIRST);
        // Made after the first and before the second.
        story.snapshot(SOURCE, "copy");
        story.mutate(&[SOURCE, "copy"]);
        story.archive(SECOND);
        story.replace_by("copy");
        story.mutate(&[SOURCE]);
        let planned = story.archive(THIRD);
        assert_eq!(planned["send_parent"], FIRST);
        assert_eq!(
            planned["reason"],
            format!(
                "the slot of {THIRD} is open, and the chain of {FIRST} has 1 of 11 incrementals; it builds on {FIRST}, \
                 since the subvolume does not descend from the snapshot of {SECOND}: it was replaced by another one"
            )
        );
        for date in [SECOND, THIRD] {
            story.restores(date);
        }
        story
            .sandbox
            .run(
                ["verify", "--deep", "--identity"]
                    .map(Into::into)
                    .into_iter()
                    .chain([story.sandbox.kit().into_os_string()]),
            )
            .ok();
    }
}

/// Random content that fills its last block in part, and is no part of a tree.
fn write_content(path: &Path, rng: &mut Rng, length: usize) {
    fs::write(path, rng.bytes(length)).unwrap();
}

fn cut_short(path: &Path, length: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

fn clone_into(from: &Path, to: &Path) {
    let to = fs::File::options().write(true).open(to).unwrap();
    rustix::fs::ioctl_ficlone(to, fs::File::open(from).unwrap()).unwrap();
}

/// The reason that `backup` gives for what it makes.
fn reason(story: &Story, date: &str) -> String {
    let events = story.sandbox.run(["backup", date, "--json"]).ok().events();
    let planned = events.iter().find(|event| event["event"] == "planned");
    planned.unwrap()["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_that_gets_its_old_end_back_by_a_clone_is_archived_whole() {
    if !real_btrfs_available() {
        return;
    }
    for length in [3000, 4096, 9000, 150_000] {
        let mut story = Story::new();
        let files =
            ["cut", "appended", "grown", "cut more"].map(|name| story.path(SOURCE).join(name));
        for file in &files {
            write_content(file, &mut story.rng, length);
        }
        let last_block = (length as u64 - 1) / 4096 * 4096;
        story.read_only_snapshot(SOURCE, "before");
        story.archive(FIRST);
        for file in &files {
            cut_short(file, last_block + 6);
        }
        cut_short(&files[3], 3);
        story.archive(SECOND);
        // Neither of these shares its last block with what was archived.
        let mut appended = fs::File::options().append(true).open(&files[1]).unwrap();
        std::io::Write::write_all(&mut appended, b"appended").unwrap();
        cut_short(&files[2], length as u64);
        let of_first = format!(
            "the slot of {THIRD} is open, and the chain of {FIRST} has 1 of 11 incrementals; it builds on {FIRST}, since \
             `btrfs send` would leave data out against the snapshot of {SECOND}: the end of /cut, which was truncated at that time and has its old content again"
        );
        clone_into(&story.path("before/cut"), &files[0]);
        clone_into(&story.path("before/cut more"), &files[3]);
        assert_eq!(reason(&story, THIRD), of_first, "{length}");
        story.restores(THIRD);
    }
}

#[test]
fn random_clones_from_older_snapshots_are_archived_whole() {
    if !real_btrfs_available() {
        return;
    }
    random_clones("");
}

#[test]
fn random_clones_from_older_compressed_snapshots_are_archived_whole() {
    if !real_btrfs_available() {
        return;
    }
    random_clones("compress=zstd");
}

fn random_clones(mount: &'static str) {
    let mut story = Story::on(mount);
    let directory = story.path(SOURCE).join("clones");
    fs::create_dir(&directory).unwrap();
    let files: Vec<PathBuf> = (0..60)
        .map(|number| directory.join(format!("{number:02}")))
        .collect();
    for file in &files {
        let length = story.rng.length(1, 14_000);
        fs::write(file, story.rng.text(length)).unwrap();
    }
    story.read_only_snapshot(SOURCE, "before");
    let dates = [
        FIRST,
        SECOND,
        THIRD,
        "2025-01-21",
        "2025-02-01",
        "2025-02-07",
    ];
    let mut lossy = 0;
    for (night, date) in dates.iter().enumerate() {
        lossy += u32::from(reason(&story, date).contains("would leave data out"));
        let snapshots = [
            "before".to_owned(),
            format!("snapshots/{}", dates[night / 2]),
        ];
        for _ in 0..40 {
            let file = story.rng.pick(&files).clone();
            let size = file.metadata().unwrap().len();
            let from = story.rng.pick(&snapshots).clone();
            let from = story
                .path(&from)
                .join("clones")
                .join(file.file_name().unwrap());
            match story.rng.below(4) {
                0 | 1 => cut_short(&file, story.rng.below(size + 1)),
                // An end that fills no block can't be cloned into the middle of a file.
                2 if from.metadata().unwrap().len() >= size => clone_into(&from, &file),
                _ => {
                    let mut file = fs::File::options().append(true).open(&file).unwrap();
                    std::io::Write::write_all(&mut file, &story.rng.bytes(99)).unwrap();
                }
            }
        }
    }
    assert!(lossy > 0, "nothing was found");
    for date in dates {
        story.restores(date);
    }
}

/// Has the catalog take another snapshot for the one that a date was archived from.
fn exchange_snapshot(story: &Story, date: &str, other: &Path) {
    let found = which(other);
    let state = story.sandbox.config().with_file_name("state");
    let catalog = rusqlite::Connection::open(state.join("catalog.db")).unwrap();
    let changed = catalog.execute(
        "UPDATE snapshot SET path = ?2, local_uuid = ?3, local_ctransid = ?4 WHERE date = ?1",
        rusqlite::params![date, other.to_str(), found.uuid.to_string(), found.ctransid],
    );
    assert_eq!(changed, Ok(1));
}

#[test]
fn doctor_names_archives_that_were_sent_against_a_snapshot_that_does_not_do() {
    if !real_btrfs_available() {
        return;
    }
    let mut story = Story::new();
    let file = story.path(SOURCE).join("f");
    write_content(&file, &mut story.rng, 3000);
    story.snapshot(SOURCE, "copy");
    story.mutate(&[SOURCE, "copy"]);
    story.read_only_snapshot("copy", "of-the-copy");
    story.archive(FIRST);
    cut_short(&file, 6);
    story.read_only_snapshot(SOURCE, "cut");
    clone_into(&story.sandbox.snapshot(FIRST).join("f"), &file);
    assert_eq!(story.archive(SECOND)["send_parent"], FIRST);
    let doctor = || story.sandbox.run(["doctor"]).ok().stderr;
    assert!(!doctor().contains("archive of"), "{}", doctor());

    let advice = "make a full one with `coldchain backup --source home --full`";
    exchange_snapshot(&story, FIRST, &story.path("of-the-copy"));
    let said = doctor();
    assert!(
        said.contains(&format!(
            "home: the archive of {SECOND} may hold wrong files: its snapshot does not descend from the one that it was \
             sent against; {advice}"
        )),
        "{said}"
    );
    exchange_snapshot(&story, FIRST, &story.path("cut"));
    let said = doctor();
    assert!(
        said.contains(&format!(
            "home: the archive of {SECOND} lacks the end of /f, which was truncated at that time and has its old content again; {advice}"
        )),
        "{said}"
    );
    story
        .sandbox
        .run(["backup", THIRD, "--source", SOURCE, "--full"])
        .ok();
}

#[test]
fn a_stream_on_stdin_is_asked_for_by_the_same_rule_where_the_subvolume_is_known() {
    if !real_btrfs_available() {
        return;
    }
    for (replace, asks_for) in [(false, format!("i {FIRST}\n")), (true, "c\n".to_owned())] {
        let mut story = Story::new();
        story.snapshot(SOURCE, "copy");
        story.mutate(&[SOURCE, "copy"]);
        story.archive(FIRST);
        if replace {
            story.replace_by("copy");
        }
        // The stream never comes.
        let ran = story.sandbox.run(["decide", SECOND]);
        assert_eq!(ran.stdout, asks_for, "{ran:?}");
    }
}
