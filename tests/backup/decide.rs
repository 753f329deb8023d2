//! btrsend's protocol, byte for byte: nothing, `c` or `i YYYY-MM-DD` and a newline on stdout, and
//! then the stream on stdin.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

/// The stream uuids of made-up subvolumes.
const FIRST: [u8; 16] = *b"uuid of the 1st.";
const SECOND: [u8; 16] = *b"uuid of the 7th.";
const THIRD: [u8; 16] = *b"uuid of the 14th";
/// The first as it is printed.
const FIRST_IN_WORDS: &str = "75756964-206f-6620-7468-65203173742e";

/// The hint where the stream is whole and another was asked for.
const OTHER: &str = "hint: nothing was committed; after `i DATE` send with `btrfs send -p` and that date's snapshot. If it is gone or was changed, run `coldchain decide --full`, which asks for a full stream\n";
const NOT_FULL: &str = "hint: send a full stream after `c`; nothing was committed\n";
/// The hint where it is no stream at all.
const NO_STREAM: &str = "hint: read the messages of the sender: this is not a send stream. If the sender does not have the snapshot of `i DATE`, run `coldchain decide --full`, which asks for a full stream. Nothing was committed\n";
/// The hint where it is broken.
const BROKEN: &str = "hint: run again, which starts from the beginning: a sender that was stopped, frozen or suspended prints such a stream; nothing was committed\n";

/// What is said of a stream that is refused at a place for a reason.
fn refusal(place: &str, why: &str, hint: &str) -> String {
    format!(
        "error: the send stream was not archived\n\
         caused by: the send stream is refused at {place}\n\
         caused by: {why}\n\
         {hint}"
    )
}

fn full(name: &str, uuid: [u8; 16]) -> StreamBuilder {
    StreamBuilder::header(1)
        .subvol(name.as_bytes(), uuid, 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 1000])
}

fn incremental(name: &str, uuid: [u8; 16], parent: [u8; 16]) -> StreamBuilder {
    StreamBuilder::header(1)
        .snapshot(name.as_bytes(), uuid, 10, parent, 10)
        .write(b"a file", 0, &[8; 1000])
}

/// A machine with the full of 2024-01-01.
fn with_a_full() -> Machine {
    let machine = Machine::fed(None);
    let run = machine.run_with("decide 2024-01-01", &full("2024-01-01", FIRST).finish());
    run.is(0, "c\n", "");
    machine
}

/// Runs `decide` as one whose stream is refused, and sees that nothing was committed or changed.
fn refused(machine: &Machine, words: &str, stdin: &[u8]) -> Run {
    let archived = machine.archived();
    let ledger = machine.objects(".entry");
    let segments = machine.objects(".zst.age");
    let run = machine.run_with(words, stdin);
    assert_eq!(machine.archived(), archived);
    assert_eq!(machine.objects(".entry"), ledger);
    assert_eq!(machine.objects(".zst.age"), segments);
    run
}

#[test]
fn where_nothing_is_due_it_prints_nothing_and_ends_at_once_without_reading_stdin() {
    let machine = with_a_full();
    let before = machine.standing();
    for date in ["2024-01-01", "2024-01-02", "2024-01-06"] {
        let talk = machine.start(&format!("decide {date}"));
        // stdin stays open: a program that reads it would wait for ever.
        talk.end_with_stdin_open().is(0, "", "");
    }
    assert_eq!(machine.standing(), before);
    let talk = machine.start("decide 2024-01-02 --verbose");
    talk.end_with_stdin_open().is(
        0,
        "",
        "home: 2024-01-02: nothing due: the slot of 2024-01-01 was filled on 2024-01-01\n",
    );
}

#[test]
fn the_answer_is_out_before_anything_is_read() {
    let machine = Machine::fed(None);
    for (date, answer, stream) in [
        ("2024-01-01", "c\n", full("2024-01-01", FIRST)),
        (
            "2024-01-07",
            "i 2024-01-01\n",
            incremental("2024-01-07", SECOND, FIRST),
        ),
    ] {
        let mut talk = machine.start(&format!("decide {date}"));
        assert_eq!(talk.line().as_deref(), Some(answer));
        // Only now is there a stream to be had.
        let mut stdin = talk.take_stdin();
        stdin.write_all(&stream.finish()).unwrap();
        drop(stdin);
        // And nothing else comes after the answer.
        talk.end().is(0, "", "");
    }
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
}

#[test]
fn a_whole_chain_is_asked_for_slot_by_slot_and_then_a_new_full() {
    let machine = Machine::fed(None);
    let mut rng = Rng::new(3);
    let mut asked = Vec::new();
    let dates = [
        "2023-11-03",
        "2023-11-07",
        "2023-11-14",
        "2023-11-21",
        "2023-12-01",
        "2023-12-07",
        "2023-12-14",
        "2023-12-21",
        "2024-01-01",
        "2024-01-07",
        "2024-01-14",
        "2024-01-21",
        "2024-02-01",
    ];
    let mut parent = None;
    for date in dates {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&rng.bytes(16));
        let stream = match parent {
            Some(parent) if date != "2024-02-01" => incremental(date, uuid, parent),
            _ => full(date, uuid),
        };
        let run = machine.run_with(&format!("decide {date}"), &stream.finish());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{date}");
        asked.push(run.stdout);
        parent = Some(uuid);
    }
    let mut expected = vec!["c\n".to_owned()];
    expected.extend(dates[..11].iter().map(|date| format!("i {date}\n")));
    expected.push("c\n".to_owned());
    assert_eq!(asked, expected);
    let kinds: Vec<String> = machine
        .archived()
        .iter()
        .map(|archive| archive[11..].to_owned())
        .collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "full").count(), 2);
    assert_eq!(kinds.len(), 13);
}

#[test]
fn a_stream_on_another_send_parent_is_refused() {
    let machine = with_a_full();
    let stream = incremental("2024-01-07", SECOND, THIRD).finish();
    let why = format!(
        "the stream is incremental on 75756964-206f-6620-7468-652031347468, one on {FIRST_IN_WORDS} was expected"
    );
    let stderr = refusal("byte 17 (command 1)", &why, OTHER);
    refused(&machine, "decide 2024-01-07", &stream).is(1, "i 2024-01-01\n", &stderr);
}

#[test]
fn a_stream_on_a_send_parent_that_was_changed_since_is_refused() {
    let machine = with_a_full();
    // Made writable, changed and made read-only again: the uuid stays, the ctransid does not.
    let stream = StreamBuilder::header(1)
        .snapshot(b"2024-01-07", SECOND, 12, FIRST, 11)
        .write(b"a file", 0, &[8; 1000])
        .finish();
    let why = format!(
        "its send parent {FIRST_IN_WORDS} was changed since it was archived: its ctransid is 11, not 10"
    );
    let stderr = refusal("byte 17 (command 1)", &why, OTHER);
    refused(&machine, "decide 2024-01-07", &stream).is(1, "i 2024-01-01\n", &stderr);
}

#[test]
fn a_full_where_an_incremental_was_asked_for_is_refused() {
    let machine = with_a_full();
    let stream = full("2024-01-07", SECOND).finish();
    let why =
        format!("the stream is a full one, an incremental one on {FIRST_IN_WORDS} was expected");
    let stderr = refusal("byte 17 (command 1)", &why, OTHER);
    refused(&machine, "decide 2024-01-07", &stream).is(1, "i 2024-01-01\n", &stderr);
}

#[test]
fn a_sender_that_has_lost_the_send_parent_gets_on_by_asking_for_a_full() {
    let machine = with_a_full();
    let stream = full("2024-01-07", SECOND).finish();
    let run = machine.run_with("decide 2024-01-07", &stream);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), "i 2024-01-01\n"));
    assert!(run.stderr.contains("coldchain decide --full"), "{run:?}");
    let run = machine.run_with("decide 2024-01-07 --full", &stream);
    run.is(
        0,
        "c\n",
        "warning: home: the unfinished archive of 2024-01-07 is given up: a full is due in its place: it was asked for\n",
    );
    let stream = incremental("2024-01-14", THIRD, SECOND).finish();
    machine
        .run_with("decide 2024-01-14", &stream)
        .is(0, "i 2024-01-07\n", "");
    assert_eq!(
        machine.archived(),
        [
            "2024-01-01 full",
            "2024-01-07 full",
            "2024-01-14 incremental"
        ]
    );
}

#[test]
fn an_incremental_where_a_full_was_asked_for_is_refused() {
    let machine = Machine::fed(None);
    let stream = incremental("2024-01-01", SECOND, FIRST).finish();
    let why =
        format!("the stream is an incremental one on {FIRST_IN_WORDS}, a full one was expected");
    let stderr = refusal("byte 17 (command 1)", &why, NOT_FULL);
    refused(&machine, "decide 2024-01-01", &stream).is(1, "c\n", &stderr);
    assert_eq!(machine.objects(""), [] as [PathBuf; 0]);
}

#[test]
fn a_stream_that_is_archived_already_is_refused() {
    let machine = with_a_full();
    // The snapshot of the 1st again, said to be on itself: its uuid alone gives it away.
    let stream = incremental("2024-01-07", FIRST, FIRST).finish();
    let stderr = format!(
        "error: the stream with uuid {FIRST_IN_WORDS} is archived already, as 2024-01-01-full-$HEX16\n\
         hint: a snapshot is archived once: make a new one, and send that\n"
    );
    refused(&machine, "decide 2024-01-07", &stream).is(1, "i 2024-01-01\n", &stderr);
}

#[test]
fn a_stream_that_is_cut_short_or_goes_on_is_refused_and_the_next_one_is_archived() {
    let machine = with_a_full();
    let whole = incremental("2024-01-07", SECOND, FIRST).finish();
    let without_end = incremental("2024-01-07", SECOND, FIRST).bytes;
    let mut trailing = whole.clone();
    trailing.push(0);
    let twice = [whole.clone(), whole.clone()].concat();
    let cases: [(&[u8], &str, &str, &str); 7] = [
        (b"", "byte 0 (command 0)", "the stream is empty", NO_STREAM),
        (
            &whole[..10],
            "byte 0 (command 0)",
            "the stream ends inside its header, after 10 bytes",
            NO_STREAM,
        ),
        (
            b"ERROR: no such snapshot\n",
            "byte 0 (command 0)",
            "it does not start as a btrfs send stream does",
            NO_STREAM,
        ),
        (
            &whole[..whole.len() - 1],
            "byte 1141 (command 3)",
            "the stream ends inside a command, after 9 bytes of it",
            BROKEN,
        ),
        (
            &without_end,
            "byte 1141 (command 3)",
            "the stream ends without its end command",
            BROKEN,
        ),
        (
            &trailing,
            "byte 1151 (command 4)",
            "there are bytes after the end command",
            BROKEN,
        ),
        (
            &twice,
            "byte 1151 (command 4)",
            "there are bytes after the end command",
            BROKEN,
        ),
    ];
    for (stream, place, why, hint) in cases {
        let stderr = refusal(place, why, hint);
        refused(&machine, "decide 2024-01-07", stream).is(1, "i 2024-01-01\n", &stderr);
    }
    let run = machine.run_with("decide 2024-01-07", &whole);
    run.is(0, "i 2024-01-01\n", "");
}

#[test]
fn a_stream_that_a_restore_must_not_or_can_not_take_is_refused() {
    let machine = with_a_full();
    let start = || StreamBuilder::header(1).snapshot(b"2024-01-07", SECOND, 10, FIRST, 10);
    let made = start().mknod(b"disk");
    let place = format!("byte {} (command 3)", made.bytes.len());
    let stderr = refusal(
        &place,
        "a write command on `disk`, which is a device node",
        "hint: find out what made this stream: `btrfs send` prints no such stream; nothing was committed\n",
    );
    let stream = made.write(b"disk", 0, b"data").finish();
    refused(&machine, "decide 2024-01-07", &stream).is(1, "i 2024-01-01\n", &stderr);

    let path = "d/".repeat(2045) + "f";
    let place = format!("byte {} (command 2)", start().bytes.len());
    let stderr = refusal(
        &place,
        &format!("the path `{path}` is longer than the 4,090 bytes that a restore can take"),
        "hint: nothing was committed; shorten this path in the source, then make a new snapshot\n",
    );
    let stream = start().mkfile(path.as_bytes()).finish();
    refused(&machine, "decide 2024-01-07", &stream).is(1, "i 2024-01-01\n", &stderr);
}

#[test]
fn what_is_wrong_before_the_answer_leaves_stdout_empty() {
    let machine = with_a_full();
    let before = machine.standing();
    for (words, stderr) in [
        (
            "decide 2023-12-31",
            "error: cannot archive 2023-12-31: there is a later archive, of 2024-01-01, and archives are made in the order of their dates\n\
             hint: give a later date. If you did not make that archive, run `coldchain key show --entries` to see which key signed it; docs/keys.md says what to do\n",
        ),
        (
            "decide 7.1.2024",
            "error: `7.1.2024` is not a date: dates look like YYYY-MM-DD\n",
        ),
        (
            "decide 2999-01-01",
            "error: 2999-01-01 is more than a day after today, $TODAY\n\
             hint: check the date and the system clock, or add --date-override\n",
        ),
        (
            "decide 2024-01-07 --source hone",
            "error: unknown source `hone`, did you mean `home`?\nhint: known: `home`\n",
        ),
    ] {
        let talk = machine.start(words);
        talk.end_with_stdin_open().is(2, "", stderr);
    }
    assert_eq!(machine.standing(), before);
}

#[test]
fn with_several_sources_it_has_to_be_told_which() {
    let machine = with_a_full();
    let config = fed_config() + "\n[[source]]\nname = \"photos\"\nstore = \"disk\"\n";
    machine.write_config(&config);
    assert_eq!(machine.run("init --kit $T/kit --quiet").code, Some(0));
    let talk = machine.start("decide 2024-01-07");
    talk.end_with_stdin_open().is(
        2,
        "",
        "error: there are several sources, and the command line names none of them: home, photos\n",
    );
    let stream = full("2024-01-07", SECOND).finish();
    let run = machine.run_with("decide 2024-01-07 --source photos", &stream);
    run.is(0, "c\n", "");
}

/// What btrsend's users do: read a line, and start `btrfs send` on the program's stdin.
fn as_btrsend_does(machine: &Machine, date: &str, live: &Path) -> String {
    let snapshot = |date: &str| machine.btrfs().path(format!("{date}.snapshot"));
    btrfs(["subvolume", "snapshot", "-r"], &[live, &snapshot(date)]);
    let mut talk = machine.start(&format!("decide {date}"));
    let answer = talk.line().unwrap_or_default();
    let mut send = Command::new("btrfs");
    send.args(["send", "--quiet"]);
    match answer.trim_end().split_once(' ') {
        None if answer == "c\n" => {}
        Some(("i", parent)) => {
            send.arg("-p").arg(snapshot(parent));
        }
        _ => {
            talk.end_with_stdin_open().is(0, "", "");
            return answer;
        }
    }
    let status = send
        .arg(snapshot(date))
        .stdin(Stdio::null())
        .stdout(talk.take_stdin())
        .process_group(0)
        .status();
    assert!(status.unwrap().success());
    // The sender's end is the end of stdin.
    drop(send);
    talk.end().is(0, "", "");
    answer
}

#[test]
fn what_btrfs_send_brings_is_restored_equal() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(Some(LoopFs::new(512)));
    let live = machine.btrfs().subvolume("live");
    let mut rng = Rng::new(11);
    make_rich_tree(&live, &mut rng);
    let mut answers = Vec::new();
    for date in ["2024-01-01", "2024-01-02", "2024-01-07", "2024-01-16"] {
        answers.push(as_btrsend_does(&machine, date, &live));
        mutate_tree(&live, &mut rng);
    }
    assert_eq!(answers, ["c\n", "", "i 2024-01-01\n", "i 2024-01-07\n"]);

    let elsewhere = LoopFs::new(512);
    let words = format!(
        "restore home --from store --yes --identity $T/kit --to {}",
        elsewhere.root().display()
    );
    let run = machine.run(&words);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for date in ["2024-01-01", "2024-01-07", "2024-01-16"] {
        let snapshot = machine.btrfs().path(format!("{date}.snapshot"));
        compare_trees(&snapshot, &elsewhere.path(format!("home/{date}")));
    }
    let restored = fs::read_dir(elsewhere.path("home")).unwrap();
    assert_eq!(restored.count(), 3 + 1, "three dates and the mark");
}
