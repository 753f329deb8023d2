//! The forms of a send stream: version 1, version 2, and version 2 with compressed data, which is not exact.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use coldchain::btrfs::kernel_release;
use rustix::fs::{FallocateFlags, copy_file_range, fallocate};
use serde_json::{Value, json};

use crate::common::by_hand::{by_hand_with_path, can_run};
use crate::common::formats;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{Machine, ONE_RECIPIENT};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup};
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::Stub;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

const FIRST: &str = "2025-01-01";
const SECOND: &str = "2025-01-07";
const THIRD: &str = "2025-01-14";

/// What every source here has, and what a form is asked for behind.
const KEPT: &str = "keep_snapshots_days = 10000";
const INEXACT: &str = "compressed_data = \"inexact\"";

/// A line of the source's in place of those that were set before.
fn set(sandbox: &Sandbox, line: &str) {
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let is_form =
        |line: &&str| line.trim().starts_with("protocol") || line.trim().starts_with("compressed");
    let text: String = config
        .lines()
        .filter(|line| !is_form(line))
        .map(|old| match old.trim() {
            KEPT => format!("{KEPT}\n{line}\n"),
            _ => format!("{old}\n"),
        })
        .collect();
    fs::write(sandbox.config(), text).unwrap();
}

/// What `show` says of the stream of a date's archive: its version, and whether it carries compressed data.
fn form(sandbox: &Sandbox, date: &str) -> (Value, Value) {
    let shown = sandbox.run(["show", date, "--json"]).ok().json();
    (shown["protocol"].clone(), shown["compressed_data"].clone())
}

/// The plan's line of a date, and what it warns of.
fn planned(sandbox: &Sandbox, date: &str) -> (String, String) {
    let ran = sandbox.run(["plan", date]).ok();
    (ran.stdout, ran.stderr)
}

/// Makes the two files that `btrfs send --compressed-data` loses bytes of: each begins with a compressed inline
/// extent that is shorter than the file within its first block.
fn make_short_inline_extents(source: &Path) {
    let text =
        |line: &str, length: usize| line.repeat(length / line.len() + 1)[..length].to_owned();
    fs::write(source.join("data"), text("abc\n", 100_000)).unwrap();
    for name in ["stale", "short"] {
        fs::write(source.join(name), text("xyz\n", 2000)).unwrap();
    }
    btrfs(["filesystem", "sync"], &[source]);
}

fn grow_short_inline_extents(source: &Path) {
    let open = |name: &str| {
        let options = OpenOptions::new().read(true).write(true).clone();
        options.open(source.join(name)).unwrap()
    };
    open("stale").set_len(1900).unwrap();
    for name in ["stale", "short"] {
        // btrfs shares the extent: a clone beyond the end leaves the first block as it is.
        let (mut from, mut to) = (0, 65536);
        let copied = copy_file_range(
            open("data"),
            Some(&mut from),
            open(name),
            Some(&mut to),
            4096,
        );
        assert_eq!(copied.unwrap(), 4096);
    }
    open("short").set_len(3000).unwrap();
    btrfs(["filesystem", "sync"], &[source]);
}

#[test]
fn what_compressed_data_loses_comes_back_in_every_exact_form() {
    if !real_btrfs_available() {
        return;
    }
    for line in ["", "compressed_data = false", "protocol = 2"] {
        let sandbox = Sandbox::with(&Setup {
            mount: "compress=zstd",
            ..Setup::default()
        });
        set(&sandbox, line);
        make_short_inline_extents(&sandbox.source());
        assert_eq!(sandbox.backup(FIRST).stderr, "", "{line}");
        grow_short_inline_extents(&sandbox.source());
        assert_eq!(sandbox.backup(SECOND).stderr, "", "{line}");
        sandbox.run(["backup", THIRD, "--full"]).ok();
        for date in [FIRST, SECOND, THIRD] {
            let expected = match line {
                "protocol = 2" => (json!(2), json!(false)),
                _ => (json!(1), Value::Null),
            };
            assert_eq!(form(&sandbox, date), expected, "{line}");
        }
        sandbox.restores_equal(&[FIRST, SECOND]);
        sandbox.restores_equal(&[THIRD]);
    }
}

#[test]
fn compressed_data_is_asked_for_by_a_word_and_warned_of_and_a_full_follows_it() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        mount: "compress-force=zstd",
        ..Setup::default()
    });
    let source = sandbox.source();
    let mut rng = Rng::new(61);
    make_rich_tree(&source, &mut rng);
    fs::write(source.join("text"), rng.text(1 << 20)).unwrap();

    set(&sandbox, "compressed_data = true");
    let before = sandbox.stored();
    for words in [["backup", FIRST], ["plan", FIRST], ["doctor", "-q"]] {
        let refused = sandbox.run(words);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let said = "`source.compressed_data` must not be true: the kernel's sender loses bytes";
        assert!(refused.stderr.contains(said), "{refused:?}");
        assert!(refused.stderr.contains(INEXACT), "{refused:?}");
    }
    assert_eq!(sandbox.stored(), before);

    set(&sandbox, INEXACT);
    let warning = "warning: home: compressed_data is \"inexact\": the kernel's sender loses bytes of compressed \
                   data, without an error; remove the line, and the next archive is an exact full\n";
    assert!(planned(&sandbox, FIRST).1.contains(warning));
    let doctor = sandbox.run(["doctor"]).ok();
    assert!(doctor.stderr.contains(warning), "{doctor:?}");
    sandbox.backup(FIRST);
    mutate_tree(&source, &mut rng);
    fs::write(source.join("text"), rng.text(1 << 20)).unwrap();
    let second = sandbox.backup(SECOND).stdout;
    assert!(second.contains("archived, incremental"), "{second}");
    sandbox.restores_equal(&[FIRST, SECOND]);
    let ids: Vec<String> = sandbox
        .archives("committed")
        .iter()
        .map(|archive| archive["id"].as_str().unwrap().to_owned())
        .collect();
    for date in [FIRST, SECOND] {
        assert_eq!(form(&sandbox, date), (json!(2), json!(true)));
    }
    let named = format!(
        "warning: home: 2 archives with compressed data: the kernel's sender loses bytes of it, so a restore may \
         differ from what was archived: {}\n",
        ids.join(", ")
    );
    let doctor = sandbox.run(["doctor"]).ok();
    assert!(doctor.stderr.contains(&named), "{doctor:?}");
    let plan = sandbox
        .run(["restore", SOURCE, "--from", "store", "--plan"])
        .ok();
    let warning = "warning: home: 2 archives on the way to 2025-01-07 with compressed data: the kernel's sender loses bytes of it, so the restore may differ from what was archived\n";
    assert_eq!(plan.stderr, warning);
    let plan = plan.stdout;
    for id in &ids {
        let line = format!("  {id}  carries compressed data: bytes of it may be wrong\n");
        assert!(plan.contains(&line), "{plan}");
    }
    assert!(plan.contains("if it stays compressed; more if"), "{plan}");

    // The next archive is a full, and those before stay suspect.
    set(&sandbox, "");
    let (line, warnings) = planned(&sandbox, THIRD);
    let why = format!(
        "full         {} carries compressed data, of which the kernel's sender loses bytes\n",
        ids[0]
    );
    assert!(line.ends_with(&why), "{line}");
    assert!(!warnings.contains("inexact"), "{warnings}");
    let third = sandbox.backup(THIRD).stdout;
    assert!(third.contains("archived, full"), "{third}");
    sandbox.restores_equal(&[THIRD]);
    let doctor = sandbox.run(["doctor"]).ok();
    assert!(doctor.stderr.contains(&named), "{doctor:?}");
    // The exact chain goes on.
    mutate_tree(&source, &mut rng);
    let next = sandbox.backup("2025-01-21").stdout;
    assert!(next.contains("archived, incremental"), "{next}");
}

/// A machine that has upgraded: the state and the store that the version of before left.
struct Upgraded {
    directory: tempfile::TempDir,
    recipient: String,
}

impl Upgraded {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut all = formats::all().into_iter();
        let frozen = all.find(|frozen| frozen.name == "v1-compressed").unwrap();
        frozen.copy_store(&directory.path().join("store"));
        let kit = frozen.kit();
        formats::copy(
            &kit.parent().unwrap().join("state"),
            &directory.path().join("state"),
        );
        for file in fs::read_dir(directory.path().join("state")).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(file.unwrap().path(), private).unwrap();
        }
        // The store is in another place than it was.
        let url = format!("file://{}", directory.path().join("store").display());
        let catalog =
            rusqlite::Connection::open(directory.path().join("state/catalog.db")).unwrap();
        let moved = catalog.execute("UPDATE source SET store = ?1", [url]);
        assert_eq!(moved.unwrap(), 1);
        drop(catalog);
        let kit = fs::read_to_string(kit).unwrap();
        let mut lines = kit.lines();
        let recipient = lines.find_map(|line| line.strip_prefix("# identity of "));
        let upgraded = Self {
            recipient: recipient.unwrap().to_owned(),
            directory,
        };
        upgraded.set("");
        upgraded
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn set(&self, line: &str) {
        let config = format!(
            "timezone = \"Europe/Berlin\"\nstate_dir = \"{at}/state\"\n\n[[source]]\nname = \"home\"\n\
             store = \"shelf\"\n{line}\n\n[store.shelf]\ntype = \"dir\"\npath = \"{at}/store\"\n\n[encryption]\n\
             recipients = [\"{recipient}\"]\n",
            at = self.directory.path().display(),
            recipient = self.recipient,
        );
        fs::write(self.path("config.toml"), config).unwrap();
    }

    fn run(&self, words: &str, stdin: &[u8]) -> Output {
        let input = self.path("stdin");
        fs::write(&input, stdin).unwrap();
        Command::new(env!("CARGO_BIN_EXE_coldchain"))
            .env("COLDCHAIN_CONFIG", self.path("config.toml"))
            .args(words.split(' '))
            .stdin(Stdio::from(File::open(input).unwrap()))
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const OLD: [&str; 3] = [
    "2024-01-01-full-76c90317909fc1da",
    "2024-01-07-incr-48c99fa29adc11ea",
    "2024-01-14-incr-5fb8bfa1568ecd3a",
];

#[test]
fn archives_that_an_older_version_made_of_compressed_data_are_named_and_a_full_follows_them() {
    let machine = Upgraded::new();
    let doctor = machine.run("doctor", b"");
    let named = format!(
        "warning: home: 3 archives with compressed data: the kernel's sender loses bytes of it, so a restore may differ from what was archived; the next archive is a full: {}\n",
        OLD.join(", ")
    );
    assert!(doctor.status.success(), "{doctor:?}");
    assert!(text(&doctor.stderr).contains(&named), "{doctor:?}");
    let plan = machine.run("plan 2024-01-21 -q", b"");
    let why = format!(
        "2024-01-21  home  full         {} carries compressed data, of which the kernel's sender loses bytes\n",
        OLD[0]
    );
    assert_eq!(text(&plan.stdout), why, "{plan:?}");

    // Where that is accepted the chain goes on.
    machine.set(INEXACT);
    let asked = machine.run("decide 2024-01-21 -q", b"");
    assert_eq!(text(&asked.stdout), "i 2024-01-14\n", "{asked:?}");

    machine.set("");
    let stream = StreamBuilder::full(2).mkfile(b"a").finish();
    let asked = machine.run("decide 2024-01-21 -q", &stream);
    assert_eq!(text(&asked.stdout), "c\n", "{asked:?}");
    assert!(asked.status.success(), "{asked:?}");
    let shown = machine.run("show 2024-01-21 --json", b"");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["protocol"], 2);
    assert_eq!(shown["compressed_data"], false);
    // They stay suspect, and nothing builds on them any more. The catalog says what the ledger says.
    let doctor = text(&machine.run("doctor", b"").stderr);
    let named = named.replace("; the next archive is a full", "");
    assert!(doctor.contains(&named), "{doctor}");
    let checked = machine.run("catalog check", b"");
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn a_stream_with_compressed_data_on_stdin_is_refused_unless_that_was_asked_for() {
    let machine = Machine::fed(None);
    let stream = StreamBuilder::full(2)
        .mkfile(b"a")
        .encoded_write(b"a", [4, 0, 4], b"data")
        .finish();
    machine.run_with("decide 2024-01-01", &stream).is(
        1,
        "c\n",
        "error: the send stream was not archived\n\
         caused by: the send stream is refused at byte 100 (command 3)\n\
         caused by: an encoded_write command: the kernel's sender loses bytes of data that it sends compressed, \
         without an error\n\
         hint: nothing was committed; send without `--compressed-data`\n",
    );
    assert_eq!(machine.archived(), Vec::<String>::new());
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let config = config.replace("store = \"disk\"", &format!("store = \"disk\"\n{INEXACT}"));
    machine.write_config(&config);
    let archived = machine.run_with("decide 2024-01-01 -q", &stream);
    assert_eq!((archived.code, archived.stdout.as_str()), (Some(0), "c\n"));
    let plan = machine.run("plan 2024-01-07");
    let word = "warning: home: compressed_data is \"inexact\": ";
    assert!(plan.stderr.starts_with(ONE_RECIPIENT) && plan.stderr.contains(word));
    let shown = machine.run("show 2024-01-01").stdout;
    let line = ", version 2, with compressed data: bytes of it may be wrong\n";
    assert!(shown.contains(line), "{shown}");
}

/// Whether this kernel sends a punched hole as one: from 6.17 on.
fn sends_holes() -> bool {
    let release = kernel_release();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let mut next = || numbers.next().unwrap().unwrap();
    (next(), next()) >= (6, 17)
}

/// A file with some blocks in it that is all hole otherwise.
fn make_sparse(file: &Path, bytes: u64) {
    let disk = File::create(file).unwrap();
    disk.set_len(bytes).unwrap();
    for at in [0, bytes / 8, bytes / 4] {
        disk.write_all_at(&vec![7; 64 << 10], at).unwrap();
    }
}

fn punch(file: &Path, at: u64, length: u64) {
    let disk = OpenOptions::new().write(true).open(file).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&disk, punch, at, length).unwrap();
}

/// Writes a block, and punches the last of those that there were.
fn change_sparse(file: &Path, bytes: u64) {
    let disk = OpenOptions::new().write(true).open(file).unwrap();
    disk.write_all_at(&[9; 4096], 1 << 20).unwrap();
    punch(file, bytes / 4, 64 << 10);
}

#[test]
fn version_two_sends_a_punched_hole_as_a_hole_and_what_comes_back_is_as_sparse() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    set(&sandbox, "protocol = 2");
    let disk = sandbox.source().join("disk");
    make_sparse(&disk, 256 << 20);
    sandbox.backup(FIRST);
    change_sparse(&disk, 256 << 20);
    sandbox.backup(SECOND);
    if !sends_holes() {
        return;
    }
    let shown = sandbox.run(["show", SECOND, "--json"]).ok().json();
    assert_eq!(shown["protocol"], 2);
    assert!(shown["raw_bytes"].as_u64().unwrap() < 100_000, "{shown}");
    // No more room than the source has.
    let other = LoopFs::new(256);
    sandbox.restore(SECOND, &other.root()).ok();
    for date in [FIRST, SECOND] {
        let (there, back) = (sandbox.snapshot(date), other.path(SOURCE).join(date));
        compare_trees(&there, &back);
        let blocks = |tree: &Path| tree.join("disk").metadata().unwrap().blocks();
        assert_eq!(blocks(&back), blocks(&there), "{date}");
    }
}

#[test]
fn an_incremental_of_many_zeros_names_the_file_once() {
    if !real_btrfs_available() {
        return;
    }
    // With so many bytes, these would take most of the time.
    let sandbox = Sandbox::with(&Setup {
        top: "self_check = false\ncontents = false",
        ..Setup::default()
    });
    let bytes = 1280 << 20;
    let disk = sandbox.source().join("disk");
    make_sparse(&disk, bytes);
    // A full leaves holes out.
    assert_eq!(sandbox.backup(FIRST).stderr, "");
    change_sparse(&disk, bytes);
    let said = sandbox.backup(SECOND).stderr;
    // Version 1 sends the hole between the second block, at 160 MiB, and the end.
    let begins = "warning: home: this incremental carries 1.09 GiB of zeros, 1.09 GiB of them in `disk`, and a \
                  restore takes as much room on disk: if these are holes of a sparse file, `protocol = 2` (";
    assert!(said.starts_with(begins), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    punch(&disk, bytes / 8, 64 << 10);
    let third = sandbox.backup(THIRD);
    assert_eq!(third.stderr, "");
    assert!(third.stdout.contains(" GiB raw"), "{third:?}");
}

#[test]
fn a_chain_of_both_versions_comes_back() {
    if !real_btrfs_available() {
        return;
    }
    for versions in [[1, 2, 1], [2, 1, 2]] {
        let sandbox = Sandbox::new();
        let mut rng = Rng::new(62);
        make_rich_tree(&sandbox.source(), &mut rng);
        let dates = [FIRST, SECOND, THIRD];
        for (date, version) in dates.into_iter().zip(versions) {
            set(&sandbox, &format!("protocol = {version}"));
            let ran = sandbox.backup(date);
            assert_eq!(ran.stderr, "", "{date}");
            let kind = if date == FIRST { "full" } else { "incremental" };
            assert!(ran.stdout.contains(kind), "{ran:?}");
            let compressed_data = match version {
                1 => Value::Null,
                _ => json!(false),
            };
            assert_eq!(form(&sandbox, date), (json!(version), compressed_data));
            mutate_tree(&sandbox.source(), &mut rng);
        }
        sandbox.restores_equal(&dates);
        let checked = sandbox.run(["catalog", "check"]).ok();
        assert_eq!(checked.stderr, "");
        let kit = sandbox.kit();
        let words = ["verify", "--drill", "--identity"].map(OsStr::new);
        sandbox.run(words.into_iter().chain([kit.as_os_str()])).ok();
    }
}

#[test]
fn what_btrfs_receive_is_too_old_for_is_refused_before_anything_is_thawed_or_made() {
    if !can_run() {
        return;
    }
    let sandbox = Sandbox::new();
    // What it says of its version; else it is the real one.
    let progs = |version: &str| {
        let stub = Stub::new();
        stub.does("version", &format!("echo btrfs-progs v{version}"));
        stub
    };
    let old = progs("5.16");
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let cold = "type = \"dir\"\ncold = \"GLACIER\"\ncold_delay = \"1h\"";
    fs::write(sandbox.config(), config.replace("type = \"dir\"", cold)).unwrap();
    fs::write(sandbox.source().join("file"), "some").unwrap();
    sandbox.backup(FIRST);
    set(&sandbox, "protocol = 2");
    fs::write(sandbox.source().join("file"), "more").unwrap();
    sandbox.backup(SECOND);
    let other = LoopFs::new(256);
    let kit = sandbox.kit();
    let restore = |stub: &Stub, date: &str, to: &LoopFs| {
        let words = [
            "restore",
            SOURCE,
            "--from",
            "store",
            "--date",
            date,
            "--identity",
        ]
        .map(PathBuf::from);
        let words =
            words
                .into_iter()
                .chain([kit.clone(), "--to".into(), to.root(), "--yes".into()]);
        sandbox.run_with_path(&stub.path(), words)
    };
    let cold_segments = |date: &str| {
        let status = sandbox.run(["thaw", SOURCE, "--date", date, "--status", "--json"]);
        let archives = status.json()["archives"].clone();
        let cold = archives.as_array().unwrap().iter();
        cold.map(|archive| archive["cold"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(cold_segments(SECOND), 2);
    let refused = restore(&old, SECOND, &other);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    let too_old = "error: btrfs-progs 5.16 is too old: 5.19 or newer is needed for send streams of version 2\n";
    assert!(refused.stderr.starts_with(too_old), "{refused:?}");
    assert_eq!(cold_segments(SECOND), 2);
    assert_eq!(fs::read_dir(other.root()).unwrap().count(), 0);

    // The scripts look for it as well.
    let said = "btrfs-progs 5.16 is too old: 5.19 or newer is needed for these archives\n";
    let script = |date: &str| {
        let target = other.path("by-script");
        let mut explain = Command::new(env!("CARGO_BIN_EXE_coldchain"));
        explain
            .env("COLDCHAIN_CONFIG", sandbox.config())
            .args(["restore", SOURCE, "--date", date, "--explain", "--identity"])
            .arg(&kit)
            .arg("--to")
            .arg(target);
        text(&explain.output().unwrap().stdout)
    };
    let bash = |stub: &Stub, script: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-c", script]).env("PATH", stub.path());
        bash.output().unwrap()
    };
    assert!(!script(FIRST).contains("\nrequire_progs "));
    let explained = script(SECOND);
    let refused = bash(&old, &explained);
    assert!(!refused.status.success());
    assert_eq!(text(&refused.stderr), said);
    assert_eq!(fs::read_dir(other.root()).unwrap().count(), 0);
    let done = bash(&progs("5.19"), &explained);
    assert!(done.status.success(), "{done:?}");
    compare_trees(
        &sandbox.snapshot(SECOND),
        &other.path("by-script").join(SECOND),
    );

    let kit_text = fs::read_to_string(&kit).unwrap();
    let mut lines = kit_text.lines();
    let root = lines.find_map(|line| line.strip_prefix("# root public key: "));
    let hand = LoopFs::new(256);
    let by_hand = |stub: &Stub, date: &str| {
        let store = sandbox.store().join(SOURCE);
        let target = hand.path(date);
        by_hand_with_path(&stub.path(), &store, &kit, root.unwrap(), date, &target)
    };
    let refused = by_hand(&old, SECOND);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).ends_with(said), "{refused:?}");
    assert_eq!(fs::read_dir(hand.path(SECOND)).unwrap().count(), 0);
    let done = by_hand(&old, FIRST);
    assert!(done.status.success(), "{done:?}");
    compare_trees(&sandbox.snapshot(FIRST), &hand.path(FIRST).join(FIRST));

    // Version 1 alone goes its way, and thaws.
    let thawing = restore(&old, FIRST, &LoopFs::new(256));
    assert_eq!(thawing.code, Some(5), "{thawing:?}");
    assert_eq!(cold_segments(FIRST), 0);
}
