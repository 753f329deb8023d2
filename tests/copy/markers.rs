//! What the markers beside a ledger stop, and what they do not: by the real program, at a store whose markers were put
//! there by hand.

use std::fs;

use crate::common::forged::Forger;
use crate::common::machine::{DECIDE_PRUNES, Machine, Run};
use crate::common::stream_builder::StreamBuilder;
use coldchain::model::entry::{EntryKind, MovedEntry};
use coldchain::model::{CopyMarker, LedgerId, PlaceId};

const PLACE: PlaceId = PlaceId([0x5a; 16]);

const IS_COPY: &str = "error: file://$T/store has a copy of `home`, in which only `coldchain copy` writes\n\
    hint: set `store` of this source to the store of its home. If that one is lost, run `coldchain move home --to STORE \
    --abandon-home`, which makes the copy its home. Nothing was written\n";

const MOVED_AWAY: &str = "error: file://$T/store is no longer the home of `home`, which was moved to another place\n\
    hint: set `store` of this source to the store that has the marker HOME-$HEX32 beside its ledger entries. If that \
    one is lost, follow docs/moving-house.md. Nothing was written\n";

fn stream(date: &str, uuid: u8) -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(date.as_bytes(), [uuid; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, date.as_bytes())
        .finish()
}

fn feed(machine: &Machine, date: &str, uuid: u8) -> Run {
    machine.run_with(&format!("decide {date} --full"), &stream(date, uuid))
}

fn archived() -> Machine {
    let machine = Machine::fed(None);
    feed(&machine, "2024-01-01", 1).is(0, "c\n", "");
    machine
}

fn mark_as_copy(machine: &Machine) {
    let directory = machine.path("store/home/ledger");
    // The marker names the ledger, if there is one yet.
    let first = fs::read_to_string(directory.join("00000001.entry"));
    let ledger = first.ok().and_then(|entry| {
        let (_, id) = entry.split_once("\"ledger\":\"")?;
        id.get(..32)?.parse().ok()
    });
    let marker = CopyMarker {
        place: PLACE,
        ledger: ledger.unwrap_or(LedgerId([1; 16])),
    };
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("COPY"), marker.to_string()).unwrap();
}

fn mark_as_home(machine: &Machine) {
    let name = format!("store/home/ledger/HOME-{PLACE}");
    fs::write(machine.path(&name), format!("coldchain home {PLACE}\n")).unwrap();
}

/// Runs every command that writes to a ledger or deletes from a store.
fn writers(machine: &Machine) -> Vec<(&'static str, Run)> {
    let kept = "nothing that was stored changes";
    let before = machine.standing();
    let runs = [
        "prune home",
        "prune home --dry-run",
        "prune home --revive 2024-01-01",
        "key rotate --kit $T/kit --new-signing-key",
        "key add-recipient age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg --identity $T/kit",
    ];
    let mut runs: Vec<_> = runs.map(|words| (words, machine.run(words))).into();
    runs.push(("decide", feed(machine, "2024-02-01", 2)));
    assert_eq!(machine.standing(), before, "{kept}");
    runs
}

#[test]
fn no_writer_and_no_pruner_works_in_a_copy_and_readers_do() {
    let machine = archived();
    mark_as_copy(&machine);
    for (words, run) in writers(&machine) {
        assert_eq!(run.code, Some(6), "{words}: {}", run.stderr);
        assert!(run.stderr.ends_with(IS_COPY), "{words}: {}", run.stderr);
    }
    readers(&machine);
}

/// Every command that only reads goes on, and takes no marker for something that does not belong there.
fn readers(machine: &Machine) {
    let verified = machine.run("verify home --deep --identity $T/kit");
    assert_eq!(
        (verified.code, verified.stderr.as_str()),
        (Some(0), ""),
        "{}",
        verified.stdout
    );
    assert!(!verified.stdout.contains("COPY"), "{}", verified.stdout);
    assert!(!verified.stdout.contains("HOME-"), "{}", verified.stdout);
    assert!(!verified.stdout.contains("orphaned"), "{}", verified.stdout);
    let restored = "restore home --yes --date 2024-01-01 --identity $T/kit --stream $T/stream";
    let restored = machine.run(restored);
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    assert_eq!(
        fs::read(machine.path("stream")).unwrap(),
        stream("2024-01-01", 1)
    );
    fs::remove_file(machine.path("stream")).unwrap();
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
    let checked = machine.run("catalog check");
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let rebuilt = machine.run("catalog rebuild --identity $T/kit");
    assert_eq!(
        rebuilt.code,
        Some(0),
        "{}{}",
        rebuilt.stdout,
        rebuilt.stderr
    );
    assert!(!rebuilt.stdout.contains("COPY"), "{}", rebuilt.stdout);
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
}

#[test]
fn the_first_archive_does_not_go_into_a_copy_that_is_just_begun() {
    let machine = Machine::fed(None);
    fs::create_dir_all(machine.path("store")).unwrap();
    mark_as_copy(&machine);
    let before = machine.standing();
    let run = feed(&machine, "2024-01-01", 1);
    run.is(6, "", IS_COPY);
    let pruned = machine.run("prune home");
    assert_eq!(pruned.code, Some(6), "{}", pruned.stderr);
    assert_eq!(machine.standing(), before);
}

#[test]
fn no_writer_works_where_home_was_moved_away_from_until_the_marker_says_that_it_is_home() {
    let machine = archived();
    Forger::of(&machine).append(EntryKind::Moved(MovedEntry { place: PLACE }), |_| {});
    for (words, run) in writers(&machine) {
        assert_eq!(run.code, Some(6), "{words}: {}", run.stderr);
        assert!(run.stderr.ends_with(MOVED_AWAY), "{words}: {}", run.stderr);
    }
    readers(&machine);
    mark_as_home(&machine);
    readers(&machine);
    feed(&machine, "2024-02-01", 2).is(0, "c\n", DECIDE_PRUNES);
    assert_eq!(machine.archived(), ["2024-01-01 full", "2024-02-01 full"]);
}

#[test]
fn the_mark_of_a_copy_that_could_not_be_deleted_stops_no_writer_at_the_new_home() {
    let machine = archived();
    Forger::of(&machine).append(EntryKind::Moved(MovedEntry { place: PLACE }), |_| {});
    mark_as_copy(&machine);
    let run = feed(&machine, "2024-02-01", 2);
    run.is(6, "", IS_COPY);
    mark_as_home(&machine);
    feed(&machine, "2024-02-01", 2).is(0, "c\n", "");
}

#[test]
fn the_root_key_takes_home_back_from_a_place_that_is_lost() {
    let machine = archived();
    Forger::of(&machine).append(EntryKind::Moved(MovedEntry { place: PLACE }), |_| {});
    let run = feed(&machine, "2024-02-01", 2);
    run.is(6, "", MOVED_AWAY);
    let voided = machine.run("key rotate --kit $T/kit --source home --void 3");
    assert_eq!(voided.code, Some(0), "{}", voided.stderr);
    feed(&machine, "2024-02-01", 2).is(0, "c\n", "");
    let again = machine.run("catalog rebuild --identity $T/kit");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(machine.archived(), ["2024-01-01 full", "2024-02-01 full"]);
}
