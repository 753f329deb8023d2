//! What docs/keys.md says to do when a key was stolen, from the theft to the next clean archive and a restore
//! of the old ones, with the real program.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::machine::{Machine, Run};
use crate::common::stream_builder::StreamBuilder;
use coldchain::kit::Kit;
use coldchain::ledger::{SigningKey, decode_body, encode_body, sign, split};
use coldchain::model::entry::{DeleteEntry, Entry, EntryKind, RetireEntry, RotateEntry};
use coldchain::model::{ArchiveId, Sha256};
use coldchain::seal::generate_identity;
use serde_json::Value;

/// Somebody with a copy of a machine's signing key, and the store.
struct Thief {
    key: SigningKey,
    ledger: PathBuf,
}

impl Thief {
    fn of(machine: &Machine) -> Self {
        let key = fs::read_to_string(machine.state().join("signing.key")).unwrap();
        Self {
            key: SigningKey::from_file_text(&key).unwrap(),
            ledger: machine.path("store/home/ledger"),
        }
    }

    fn public(&self) -> String {
        self.key.public().to_string()
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.ledger.join(format!("{seq:08}.entry"))
    }

    fn last(&self) -> u64 {
        let mut last = 0;
        while self.path(last + 1).exists() {
            last += 1;
        }
        last
    }

    fn read(&self, seq: u64) -> (Entry, Vec<u8>) {
        let object = fs::read(self.path(seq)).unwrap();
        let body = split(&object).unwrap().0.to_vec();
        (decode_body(&body).unwrap(), body)
    }

    /// Puts an entry under the next number, or wherever `change` says that it lies.
    fn put(&self, kind: EntryKind, change: impl FnOnce(&mut Entry)) -> u64 {
        let last = self.last();
        let (mut entry, body) = self.read(last);
        entry.head.format = 1;
        entry.head.skips.clear();
        entry.head.seq = last + 1;
        entry.head.prev = Some(Sha256::of(&body));
        entry.kind = kind;
        change(&mut entry);
        let seq = entry.head.seq;
        let object = sign(&encode_body(&entry).unwrap(), &self.key).unwrap();
        fs::write(self.path(seq), object).unwrap();
        seq
    }

    /// An archive like that of an entry, of another date and stream.
    fn archive(&self, like: u64, date: &str, uuid: u8) -> EntryKind {
        let (entry, _) = self.read(like);
        let EntryKind::Archive(mut archive) = entry.kind else {
            panic!("no archive");
        };
        archive.date = date.parse().unwrap();
        archive.slot = archive.date;
        archive.id.date = archive.date;
        archive.id.nonce = u64::from(uuid);
        archive.chain = archive.id;
        archive.stream_uuid.0 = [uuid; 16];
        EntryKind::Archive(archive)
    }
}

/// Feeds what is asked for: a full, or an incremental on the one before.
#[track_caller]
fn feed(machine: &Machine, date: &str, uuid: u8) -> Run {
    let asked = machine.run(&format!("plan {date} --json"));
    let incremental = asked.stdout.contains("incremental");
    let stream = StreamBuilder::header(1);
    let stream = if incremental {
        stream.snapshot(date.as_bytes(), [uuid; 16], 10, [uuid - 1; 16], 10)
    } else {
        stream.subvol(date.as_bytes(), [uuid; 16], 10)
    };
    let stream = stream.mkfile(date.as_bytes()).finish();
    machine.run_with(&format!("decide {date}"), &stream)
}

#[track_caller]
fn ok(run: &Run) -> &str {
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    &run.stdout
}

#[track_caller]
fn ends(run: &Run, code: i32, words: &str) {
    assert_eq!(run.code, Some(code), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(words), "{}", run.stderr);
}

/// Its archives are restored to streams, also on a machine that has nothing but the kit.
#[track_caller]
fn all_come_back(machine: &Machine, dates: &[&str]) {
    let new = machine.path("new");
    let _ = fs::remove_dir_all(&new);
    let rebuild = "catalog rebuild --store file://$T/store --identity $T/kit --state-dir $T/new";
    ok(&machine.run(rebuild));
    for date in dates {
        for state in ["", " --state-dir $T/new"] {
            let stream = machine.path("stream");
            let _ = fs::remove_file(&stream);
            let words = format!(
                "restore home --date {date} --stream $T/stream --identity $T/kit --yes{state}"
            );
            ok(&machine.run(&words));
            let stream = fs::read(&stream).unwrap();
            assert!(
                stream
                    .windows(date.len())
                    .any(|window| window == date.as_bytes())
            );
        }
    }
}

fn archived() -> Machine {
    let machine = Machine::fed(None);
    ok(&feed(&machine, "2024-01-01", b'a'));
    ok(&feed(&machine, "2024-01-07", b'b'));
    machine
}

#[test]
fn a_fork_by_a_stolen_writer_key_is_ended_by_the_root_key() {
    let machine = archived();
    let thief = Thief::of(&machine);
    let fork = thief.put(thief.archive(2, "2024-01-05", 1), |entry| {
        entry.head.prev = Some(Sha256([9; 32]));
    });
    assert_eq!(fork, 4);
    // One that follows the fork, and one that passes over both.
    thief.put(thief.archive(2, "2024-01-06", 2), |_| {});
    let (_, body) = thief.read(3);
    thief.put(thief.archive(2, "2024-01-08", 3), |entry| {
        entry.head.prev = Some(Sha256::of(&body));
        entry.head.skips = vec![4, 5];
    });
    ends(&feed(&machine, "2024-01-14", b'c'), 6, "entry 4");
    let verify = machine.run("verify");
    assert_eq!(verify.code, Some(6), "{}", verify.stdout);

    // The numbers have to be named, all of them, and are in the error.
    let remove = format!(
        "key rotate --kit $T/kit --source home --remove {}",
        thief.public()
    );
    ends(&machine.run(&remove), 6, "entry 4");
    ends(
        &machine.run(&remove),
        6,
        &format!("--remove {} --void 4-6`", thief.public()),
    );
    ends(
        &machine.run(&format!("{remove} --void 4 --void 5")),
        6,
        "entry 4",
    );
    let run = machine.run(&format!("{remove} --void 4-6"));
    assert!(
        ok(&run).starts_with("home: ledger entry 7 names the keys\n"),
        "{}",
        run.stdout
    );
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    // What the thief signs now is anybody's bytes.
    thief.put(thief.archive(2, "2024-01-09", 4), |_| {});
    ok(&feed(&machine, "2024-01-14", b'c'));
    ok(&machine.run("verify"));
    assert_eq!(
        machine.archived(),
        [
            "2024-01-01 full",
            "2024-01-07 incremental",
            "2024-01-14 incremental"
        ]
    );
    all_come_back(&machine, &["2024-01-01", "2024-01-07", "2024-01-14"]);
}

#[test]
fn what_a_stolen_writer_key_has_archived_is_voided_by_its_number() {
    let machine = archived();
    let thief = Thief::of(&machine);
    // In the middle and beyond the end: dates that are due later.
    thief.put(thief.archive(2, "2024-01-14", 1), |_| {});
    thief.put(thief.archive(2, "2024-01-21", 2), |_| {});
    // Whoever reads takes them in.
    let planned = machine.run("plan 2024-01-14 --json");
    ok(&planned);
    ends(
        &feed(&machine, "2024-01-14", b'c'),
        2,
        "there is a later archive",
    );
    assert_eq!(machine.archived().len(), 4, "{:?}", machine.archived());

    let shown = machine.run("key show --entries");
    let by_thief = ok(&shown)
        .lines()
        .filter(|line| line.contains("archive") && line.contains(&thief.public()));
    assert_eq!(by_thief.count(), 4, "{}", shown.stdout);
    assert!(
        shown.stdout.contains("    2024-01-21-full-"),
        "{}",
        shown.stdout
    );

    // A key that stays vouches for what it has signed.
    let void = "key rotate --kit $T/kit --source home --void 4 --void 5";
    ends(&machine.run(void), 2, "cannot void entry 4");
    let remove = format!("{void} --remove {}", thief.public());
    let run = machine.run(&remove);
    assert!(
        ok(&run).contains("  2024-01-14-full-$HEX16 is retired\n"),
        "{}",
        run.stdout
    );
    ends(
        &machine.run("key rotate --kit $T/kit --source home --void 6"),
        2,
        "cannot void entry 6: it is of the kind `rotate`",
    );
    // Once more changes nothing.
    assert!(ok(&machine.run(&remove)).starts_with("home: nothing to change\n"));
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    ok(&feed(&machine, "2024-01-14", b'c'));
    assert_eq!(
        machine.archived(),
        [
            "2024-01-01 full",
            "2024-01-07 incremental",
            "2024-01-14 incremental"
        ]
    );
    all_come_back(&machine, &["2024-01-01", "2024-01-07", "2024-01-14"]);
}

#[test]
fn a_ledger_is_read_as_it_was_before_a_thief_had_the_key() {
    let machine = archived();
    let thief = Thief::of(&machine);
    thief.put(
        EntryKind::Retire(RetireEntry {
            archives: ids(&thief),
            reason: "gone".to_owned(),
        }),
        |_| {},
    );
    let as_of = "catalog rebuild --store file://$T/store --identity $T/kit --as-of 3";
    ends(&machine.run(as_of), 2, "cannot rebuild with --as-of");
    let run = machine.run(&format!("{as_of} --state-dir $T/then"));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("only up to entry 3"), "{}", run.stderr);
    let restore = "restore home --date 2024-01-07 --stream $T/stream --identity $T/kit --yes";
    ends(&machine.run(restore), 2, "retired");
    ok(&machine.run(&format!("{restore} --state-dir $T/then")));
    for file in ["root.pub", "signing.key", "signing.pub", "signing.grant"] {
        let _ = fs::copy(machine.state().join(file), machine.path("then").join(file));
    }
    let run = machine.run_with("decide 2024-01-14 --state-dir $T/then", b"");
    ends(&run, 2, "it was rebuilt with --as-of");
}

fn ids(thief: &Thief) -> Vec<ArchiveId> {
    let archives = (1..=thief.last()).filter_map(|seq| match thief.read(seq).0.kind {
        EntryKind::Archive(archive) => Some(archive.id),
        _ => None,
    });
    archives.collect()
}

/// Retires and begins to delete everything, as the key of a pruner can.
fn take_all_away(thief: &Thief) {
    let (archives, reason) = (ids(thief), "gone".to_owned());
    thief.put(EntryKind::Retire(RetireEntry { archives, reason }), |_| {});
    let (archives, reason) = (ids(thief), "gone".to_owned());
    thief.put(EntryKind::Delete(DeleteEntry { archives, reason }), |_| {});
}

#[test]
fn what_a_stolen_pruner_key_has_taken_away_is_restored_and_comes_back() {
    let machine = archived();
    let thief = Thief::of(&machine);
    take_all_away(&thief);
    ends(
        &machine.run("restore home --date 2024-01-07 --stream $T/stream --identity $T/kit --yes"),
        2,
        "retired",
    );
    // At once, from an empty machine too.
    for state in ["", " --state-dir $T/empty"] {
        if !state.is_empty() {
            ok(&machine.run(&format!(
                "catalog rebuild --store file://$T/store --identity $T/kit{state}"
            )));
        }
        let _ = fs::remove_file(machine.path("stream"));
        let words =
            "restore home --date 2024-01-07 --retired --stream $T/stream --identity $T/kit --yes";
        let run = machine.run(&format!("{words}{state}"));
        ok(&run);
        assert!(run.stderr.contains("is retired"), "{}", run.stderr);
    }
    ends(
        &machine.run(
            "restore home --date 2024-01-08 --retired --stream $T/other --identity $T/kit --yes",
        ),
        2,
        "has no retired archive of 2024-01-08",
    );

    // Not while the key stays.
    let run = machine.run("key rotate --kit $T/kit --undelete");
    assert!(
        ok(&run).starts_with("home: nothing to change\n"),
        "{}",
        run.stdout
    );
    // Two keys change at once: this machine's is the one that was stolen.
    let run = machine.run("key rotate --kit $T/kit --new-signing-key --undelete");
    assert_eq!(ok(&run).matches(" is back\n").count(), 2, "{}", run.stdout);
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    ok(&feed(&machine, "2024-01-14", b'c'));
    ok(&machine.run("verify"));
    all_come_back(&machine, &["2024-01-01", "2024-01-07", "2024-01-14"]);
    let run = machine.run("key rotate --kit $T/kit --undelete");
    assert!(
        ok(&run).starts_with("home: nothing to change\n"),
        "{}",
        run.stdout
    );
}

#[test]
fn what_lacks_an_object_by_then_does_not_come_back() {
    let machine = archived();
    let thief = Thief::of(&machine);
    take_all_away(&thief);
    let segment = |date: &str| {
        let objects = machine.objects(".zst.age");
        let of_date = |path: &&PathBuf| path.display().to_string().contains(date);
        objects.iter().find(of_date).unwrap().clone()
    };
    fs::remove_file(segment("2024-01-07-incr")).unwrap();
    let run = machine.run("key rotate --kit $T/kit --new-signing-key --undelete");
    assert!(ok(&run).contains(" is back\n"), "{}", run.stdout);
    assert!(
        run.stdout
            .contains("does not come back: home/archives/2024-01-07"),
        "{}",
        run.stdout
    );
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
    // A full that goes while it comes back takes what builds on it along: as when the rotate was cut short.
    fs::remove_file(segment("2024-01-01-full")).unwrap();
    let run = machine.run("key rotate --kit $T/kit --undelete");
    assert!(
        ok(&run).contains("a part of it was deleted meanwhile"),
        "{}",
        run.stdout
    );
    assert!(machine.archived().is_empty());
    assert_eq!(feed(&machine, "2024-01-14", b'c').code, Some(0));
    assert_eq!(machine.archived(), ["2024-01-14 full"]);
}

#[test]
fn a_number_of_many_digits_stops_nobody() {
    let machine = archived();
    let thief = Thief::of(&machine);
    let (_, body) = thief.read(3);
    let huge = (1_u64 << 53) - 1;
    thief.put(thief.archive(2, "2024-01-14", 1), |entry| {
        entry.head.seq = huge;
        entry.head.prev = Some(Sha256::of(&body));
    });
    let told = "a number that no entry of this ledger can have";
    for words in [
        "verify",
        "plan 2024-01-14",
        "prune --dry-run",
        "catalog check",
        "catalog rebuild --store file://$T/store --identity $T/kit --state-dir $T/empty",
        "key rotate --kit $T/kit --new-signing-key",
        "restore home --date 2024-01-07 --stream $T/stream --identity $T/kit --yes",
    ] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(0), "{words}: {}{}", run.stdout, run.stderr);
        if words.starts_with("verify") || words.starts_with("catalog rebuild") {
            assert!(run.stdout.contains(told), "{words}: {}", run.stdout);
        }
    }
    let run = feed(&machine, "2024-01-14", b'c');
    ok(&run);
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(thief.path(huge).exists());
    assert!(Path::new(&thief.path(5)).exists());
}

#[test]
fn with_a_stolen_kit_a_machine_begins_anew_and_the_old_archives_are_read_by_the_old_kit() {
    let machine = archived();
    // The thief has the root key: whatever the old ledger says from now on is worth nothing. Its end is
    // known to the catalog, which is kept.
    let shown = machine.run("key show --entries --json");
    let shown: Value = serde_json::from_str(ok(&shown)).unwrap();
    assert_eq!(shown["sources"][0]["entries"].as_array().unwrap().len(), 3);
    fs::rename(machine.state(), machine.path("state.stolen")).unwrap();
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    // The kit held the identity too: what is archived from now on is sealed to another.
    let (secret, recipient) = generate_identity();
    fs::write(machine.path("identity-2"), secret).unwrap();
    let (before, recipients) = config.split_once("recipients = [").unwrap();
    let (_, after) = recipients.split_once(']').unwrap();
    let config = format!("{before}recipients = [\"{recipient}\"]{after}").replace(
        "name = \"home\"\n",
        "name = \"home\"\narchive_as = \"home-2\"\n",
    );
    machine.write_config(&config);
    ok(&machine.run("init --kit $T/kit-2"));
    ok(&feed(&machine, "2024-01-14", b'n'));
    assert_eq!(machine.archived(), ["2024-01-14 full"]);
    // The thief signs with the root key; nobody here believes it.
    let thief = Thief {
        key: Kit::parse(&fs::read(machine.path("kit")).unwrap())
            .unwrap()
            .root_secret
            .unwrap(),
        ledger: machine.path("store/home/ledger"),
    };
    let root = thief.key.public();
    thief.put(
        EntryKind::Rotate(RotateEntry {
            keys: vec![coldchain::ledger::root_grant(&root)],
            voids: Vec::new(),
            retires: Vec::new(),
            revives: Vec::new(),
        }),
        |_| {},
    );
    // The old archives, as of the end that the catalog knew.
    let old = "catalog rebuild --store file://$T/store --identity $T/kit --as-of 3 --only home --state-dir $T/old";
    ok(&machine.run(old));
    for date in ["2024-01-01", "2024-01-07"] {
        let _ = fs::remove_file(machine.path("stream"));
        let words = format!(
            "restore home.2 --date {date} --stream $T/stream --identity $T/kit --yes --state-dir $T/old"
        );
        ok(&machine.run(&words));
    }
    // And the new one, by its own keys alone.
    let new = Kit::parse(&fs::read(machine.path("kit-2")).unwrap()).unwrap();
    let root = new.root.unwrap();
    let rebuild =
        "catalog rebuild --store file://$T/store --identity $T/identity-2 --state-dir $T/new";
    let run = machine.run(&format!("{rebuild} --trust {root}"));
    assert_eq!(run.code, Some(6), "{}{}", run.stdout, run.stderr);
    assert!(
        run.stdout.contains("store/home was refused"),
        "{}",
        run.stdout
    );
    let words = "restore home --date 2024-01-14 --stream $T/stream-2 --identity $T/identity-2 --yes --state-dir $T/new";
    ok(&machine.run(words));
}

/// What a version that knows format 1 alone makes of what the root key has undone. `COLDCHAIN_BEFORE` names its
/// program; `scripts/soak before` builds it.
#[test]
#[ignore = "`scripts/soak before` builds that version"]
fn the_version_of_before_reads_on_or_stops_and_deletes_nothing() {
    let before = std::env::var_os("COLDCHAIN_BEFORE").expect("it names the program");
    // What it says of a ledger that the root key has rotated in format 2, on a machine with the kit and a
    // writer's and pruner's key.
    let look = |machine: &Machine, rebuilt: i32, told: &str| {
        let objects = machine.objects("");
        let run = |words: &str, stdin: &[u8]| {
            let command = machine.command_of(&before, &format!("{words} --state-dir $T/before"));
            let (mut command, input) = (command, machine.path("input"));
            fs::write(&input, stdin).unwrap();
            command.stdin(fs::File::open(&input).unwrap());
            machine.run_command(&mut command)
        };
        let run_rebuild = run(
            "catalog rebuild --store file://$T/store --identity $T/kit",
            b"",
        );
        ends(&run_rebuild, rebuilt, "");
        let said = format!("{}{}", run_rebuild.stdout, run_rebuild.stderr);
        assert!(said.contains(told), "{said}");
        for file in ["signing.key", "signing.pub", "signing.grant"] {
            fs::copy(
                machine.state().join(file),
                machine.path("before").join(file),
            )
            .unwrap();
        }
        ends(&run("decide 2024-02-01", b""), 6, "");
        for words in ["prune", "prune --yes-delete 2"] {
            let run = run(words, b"");
            assert_ne!(run.code, Some(0), "{}", run.stdout);
        }
        assert_eq!(machine.objects(""), objects, "it has deleted something");
        run("list", b"").stdout
    };

    // A fork that was ended.
    let machine = archived();
    let thief = Thief::of(&machine);
    thief.put(thief.archive(2, "2024-01-05", 1), |entry| {
        entry.head.prev = Some(Sha256([9; 32]));
    });
    let key = thief.public();
    ok(&machine.run(&format!(
        "key rotate --kit $T/kit --source home --remove {key} --void 4"
    )));
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    ok(&feed(&machine, "2024-01-14", b'c'));
    let listed = look(&machine, 6, "forked");
    assert!(listed.contains("2024-01-07"), "{listed}");

    // A deletion that was undone.
    let machine = archived();
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    machine.write_config(&format!("delete_after = \"0s\"\n{config}"));
    take_all_away(&Thief::of(&machine));
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key --undelete"));
    look(&machine, 6, "has format 2");
}

#[test]
fn an_entry_of_extremes_costs_no_memory_and_stops_nobody_who_reads() {
    let machine = archived();
    let thief = Thief::of(&machine);
    let most = (1_u64 << 53) - 1;
    let mut kind = thief.archive(2, "2030-01-01", 8);
    let EntryKind::Archive(archive) = &mut kind else {
        panic!("no archive");
    };
    archive.segment_size = most;
    archive.raw_bytes = most;
    archive.sealed_bytes = most;
    archive.segments[0].raw_bytes = most;
    archive.segments[0].sealed_bytes = most;
    thief.put(kind, |_| {});
    let mut kind = thief.archive(2, "9999-12-31", 9);
    if let EntryKind::Archive(archive) = &mut kind {
        archive.retain_until = Some("9999-12-31T23:59:59Z".parse().unwrap());
    }
    thief.put(kind, |entry| {
        entry.head.made_at = "9999-12-31T23:59:59Z".parse().unwrap();
    });
    ends(&feed(&machine, "2024-01-14", b'c'), 2, "key show --entries");
    let restore = "restore home --stream $T/stream --identity $T/kit --yes --date";
    for (words, code) in [
        ("list", 0),
        ("list --all --json", 0),
        ("plan 9999-12-31", 0),
        ("plan 2024-01-14 --until 2025-01-01", 0),
        ("show 9999-12-31", 0),
        ("key show --entries", 0),
        ("restore home --from store --plan", 0),
        ("restore home --from store --date 2030-01-01 --plan", 0),
        ("thaw home --status", 0),
        ("prune", 6),
        ("verify", 6),
        ("catalog check", 6),
        (&format!("{restore} 2030-01-01"), 6),
        (&format!("{restore} 2024-01-07"), 0),
    ] {
        let run = machine.run(words);
        assert_eq!(
            run.code,
            Some(code),
            "{words}: {}{}",
            run.stdout,
            run.stderr
        );
    }
    ends(
        &machine.run(&format!(
            "{} 2030-01-01",
            restore.replace("$T/stream", "$T/another")
        )),
        6,
        "no segment has more than",
    );
}
