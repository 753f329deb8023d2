//! Moving house, by the real program: the copy becomes home, and the old home takes nothing any more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::copied::{archived, files, two_stores};
use super::pair::is_entry;
use crate::common::bucket::write_credentials;
use crate::common::is_segment;
use crate::common::machine::{Machine, Run};
use crate::common::s3_server::{ACCESS_KEY, BUCKET, Config, S3Server, SECRET_KEY};
use crate::common::stream_builder::StreamBuilder;

/// An incremental on the archive of the 7th, or on that of the 14th.
pub(super) fn incremental(date: &str, uuid: u8, parent: u8) -> Vec<u8> {
    StreamBuilder::header(1)
        .snapshot(date.as_bytes(), [uuid; 16], 10, [parent; 16], 10)
        .write(b"a file", 0, date.as_bytes())
        .finish()
}

fn feed_14th(machine: &Machine) -> Run {
    machine.run_with("decide 2024-01-14", &incremental("2024-01-14", 14, 7))
}

/// The config after the move: the second store is home.
fn moved_config() -> String {
    two_stores().replacen("store = \"disk\"", "store = \"second\"", 1)
}

#[track_caller]
fn ok(run: Run) -> String {
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (Some(0), ""),
        "{}",
        run.stdout
    );
    run.stdout
}

#[track_caller]
fn fails(run: &Run, code: i32, words: &str) {
    assert_eq!(run.code, Some(code), "{run:?}");
    assert!(run.stderr.contains(words), "{run:?}");
}

/// A machine with a copy in the second store that is up to date.
fn copied() -> Machine {
    let machine = archived();
    ok(machine.run("copy home --to second"));
    machine
}

/// A machine with the same keys and the catalog as it is now, whose stores are those of the first.
fn twin(machine: &Machine) -> Machine {
    let twin = Machine::new();
    let _ = fs::remove_dir_all(twin.state());
    fs::create_dir(twin.state()).unwrap();
    for file in fs::read_dir(machine.state()).unwrap() {
        let file = file.unwrap();
        // The file index is made anew where it is wanted.
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), twin.state().join(file.file_name())).unwrap();
        }
    }
    let mode = fs::metadata(machine.state()).unwrap().permissions();
    fs::set_permissions(twin.state(), mode).unwrap();
    twin.write_config(&at_stores_of(machine, &two_stores()));
    twin
}

fn at_stores_of(machine: &Machine, config: &str) -> String {
    let at = machine.path("").display().to_string();
    let config = config.replace("$T/store", &format!("{at}store"));
    let config = config.replace("$T/second", &format!("{at}second"));
    let recipient = machine.fill("$R");
    config.replace("$R", &recipient)
}

/// Everything that a place has, without its markers.
fn without_markers(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(directory);
    files.retain(|key, _| !key.contains("/ledger/COPY") && !key.contains("/ledger/HOME-"));
    files
}

const MOVED: &str = "home: its home is file://$T/second now, with 2 archives, and no longer file://$T/store\n\
    home: change line 9 of $T/config.toml to: store = \"second\"\n";

const KIT: &str = "home: bring the recovery kit up to date, which names the address of home: coldchain key kit --kit FILE\n";

const CONFIG_BEHIND: &str = "error: the home of `home` is file://$T/second since it was moved, and the config still \
    names file://$T/store\nhint: set `store = \"second\"` in the [[source]] of `home`, and take \"second\" out of its \
    `copies`\n";

#[test]
fn archiving_goes_on_in_the_new_home_and_the_old_one_takes_nothing_any_more() {
    let machine = copied();
    let second = twin(&machine);
    let home = files(&machine.path("store"));
    let told = ok(machine.run("move home --to second --yes"));
    assert_eq!(told, format!("{MOVED}{KIT}"));
    // Home has one object more, and so has the copy; nothing else has changed.
    let mut after = files(&machine.path("store"));
    assert_eq!(after, without_markers(&machine.path("second")));
    assert!(after.remove("home/ledger/00000004.entry").is_some());
    assert_eq!(after, home);
    let names: Vec<String> = files(&machine.path("second")).into_keys().collect();
    let markers: Vec<&String> = names.iter().filter(|name| !is_entry(name)).collect();
    assert!(
        markers
            .iter()
            .any(|name| name.starts_with("home/ledger/HOME-"))
    );
    assert!(!names.contains(&"home/ledger/COPY".to_owned()));

    let moved = "its home was moved to file://$T/second, and nothing is archived in file://$T/store any more";
    assert!(machine.run("list").stdout.contains(moved));
    let json: serde_json::Value = serde_json::from_str(&machine.run("list --json").stdout).unwrap();
    assert_eq!(json["sources"][0]["moved_to"], "file://$T/second");
    assert!(machine.run("doctor").stderr.contains(moved));
    let before = second.run("list").stdout;
    assert!(!before.contains("was moved"), "{before}");
    let there = machine.fill("file://$T/second");
    let checked = second.run("verify home --deep --identity $T/kit").stdout;
    assert!(
        checked.contains("this place is not home any more: home was moved to"),
        "{checked}"
    );
    assert!(checked.contains(&there), "{checked}");
    // Until the config is changed, nothing is archived.
    let before = (
        files(&machine.path("store")),
        files(&machine.path("second")),
    );
    feed_14th(&machine).is(2, "", CONFIG_BEHIND);
    fails(
        &machine.run("copy home --to second"),
        2,
        "since it was moved",
    );
    fails(&machine.run("prune home"), 2, "since it was moved");
    // Neither is it by a machine that knows nothing of the move.
    fails(&feed_14th(&second), 6, "is no longer the home of `home`");
    fails(
        &second.run("prune home"),
        6,
        "is no longer the home of `home`",
    );
    assert_eq!(
        before,
        (
            files(&machine.path("store")),
            files(&machine.path("second"))
        )
    );

    // It has read of the move meanwhile, and knows that place as a copy.
    let after = second.run("list").stdout;
    assert!(after.contains("its home was moved to"), "{after}");

    machine.write_config(&moved_config());
    assert!(!machine.run("list").stdout.contains("was moved"));
    let run = feed_14th(&machine);
    run.is(0, "i 2024-01-07\n", "");
    assert_eq!(files(&machine.path("store")), before.0);
    ok(machine.run("verify home --deep --identity $T/kit"));
    ok(machine.run("catalog check"));
    ok(machine.run("prune home"));
    let archives = [
        "2024-01-01 full",
        "2024-01-07 incremental",
        "2024-01-14 incremental",
    ];
    assert_eq!(machine.archived(), archives);
    let restored = "restore home --yes --date 2024-01-14 --identity $T/kit --stream $T/stream";
    assert_eq!(machine.run(restored).code, Some(0));
    assert_eq!(
        fs::read(machine.path("stream")).unwrap(),
        incremental("2024-01-14", 14, 7)
    );
    // The other machine follows by the same command.
    second.write_config(&at_stores_of(&machine, &moved_config()));
    fails(
        &second.run("prune home"),
        2,
        "hint: run `coldchain move home --to second` on this machine too",
    );
    let told = ok(second.run("move home --to second --yes"));
    assert!(told.contains("now, with 3 archives"), "{told}");
    assert_eq!(second.archived(), archives);
    ok(second.run("prune home"));
    // And an empty one by the kit.
    ok(machine.run("key kit --kit $T/kit"));
    fs::remove_file(machine.path("state/catalog.db")).unwrap();
    ok(machine.run("catalog rebuild --identity $T/kit"));
    assert_eq!(machine.archived(), archives);
    assert!(!machine.run("list").stdout.contains("was moved"));
    let checked = ok(machine.run("verify home --identity $T/kit"));
    assert!(!checked.contains("not home any more"), "{checked}");
}

#[test]
fn the_kit_names_the_new_home_and_a_second_run_changes_nothing() {
    let machine = copied();
    let told = ok(machine.run("move home --to second --yes --kit $T/kit"));
    assert_eq!(told, MOVED);
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    assert!(kit.contains(&machine.fill("file://$T/second")), "{kit}");
    assert!(
        !kit.contains(&machine.fill("store   file://$T/store")),
        "{kit}"
    );
    let before = (machine.standing(), fs::read(machine.path("kit")).unwrap());
    let told = ok(machine.run("move home --to second --yes --kit $T/kit"));
    assert_eq!(
        told,
        "home: its home is file://$T/second already, with 2 archives; nothing was changed\n\
         home: change line 9 of $T/config.toml to: store = \"second\"\n"
    );
    assert_eq!(
        before,
        (machine.standing(), fs::read(machine.path("kit")).unwrap())
    );
    machine.write_config(&moved_config());
    let json = ok(machine.run("move home --to second --yes --json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["config"], serde_json::Value::Null);
    assert_eq!(
        (&json["archives"], &json["source"]),
        (&2.into(), &"home".into())
    );
}

/// Runs a move that must change nothing anywhere.
fn refused(machine: &Machine, words: &str, code: i32, message: &str) {
    let before = machine.standing();
    let catalog = machine.archived();
    fails(&machine.run(words), code, message);
    assert_eq!(machine.standing(), before, "{words}");
    assert_eq!(machine.archived(), catalog);
    ok(machine.run("catalog check"));
}

#[test]
fn a_place_that_is_no_copy_that_is_up_to_date_does_not_become_home() {
    let machine = archived();
    let moving = "move home --to second --yes";
    refused(&machine, moving, 2, "it has no copy of it");
    refused(
        &machine,
        &format!("{moving} --abandon-home"),
        2,
        "it has no copy of it",
    );
    ok(machine.run("copy home --to second"));
    refused(
        &machine,
        "move home --to secnd --yes",
        2,
        "did you mean `second`",
    );
    refused(
        &machine,
        "move hme --to second --yes",
        2,
        "did you mean `home`",
    );
    refused(&machine, "move home --to second", 2, "--yes");

    // Behind, and not whole.
    feed_14th(&machine).is(0, "i 2024-01-07\n", "");
    refused(&machine, moving, 1, "lacks ledger entry 4");
    ok(machine.run("copy home --to second"));
    let whole = files(&machine.path("second"));
    let segment = whole.keys().find(|key| is_segment(key)).unwrap();
    let segment = machine.path("second").join(segment);
    let sealed = fs::read(&segment).unwrap();
    fs::remove_file(&segment).unwrap();
    refused(
        &machine,
        moving,
        1,
        "does not have all of 1 of the archives",
    );
    fs::write(&segment, &sealed[1..]).unwrap();
    refused(
        &machine,
        moving,
        1,
        "does not have all of 1 of the archives",
    );
    fs::write(&segment, &sealed).unwrap();

    // Ahead, and of another ledger.
    let ledger = machine.path("second/home/ledger");
    fs::copy(ledger.join("00000004.entry"), ledger.join("00000005.entry")).unwrap();
    refused(&machine, moving, 6, "is ahead: it has ledger entry 5");
    fs::remove_file(ledger.join("00000005.entry")).unwrap();
    let marker = fs::read(ledger.join("COPY")).unwrap();
    let other = copied();
    fs::copy(other.path("second/home/ledger/COPY"), ledger.join("COPY")).unwrap();
    refused(&machine, moving, 6, "has a copy of another ledger");
    fs::write(ledger.join("COPY"), b"by hand\n").unwrap();
    refused(&machine, moving, 6, "could not read the marker");
    fs::write(ledger.join("COPY"), marker).unwrap();
    ok(machine.run(moving));
}

#[test]
fn other_copies_are_copies_of_the_new_home() {
    let machine = archived();
    let third = "\n[store.third]\ntype = \"dir\"\npath = \"$T/third\"\n";
    machine.write_config(&format!("{}{third}", two_stores()));
    fs::create_dir(machine.path("third")).unwrap();
    ok(machine.run("copy home --to second"));
    ok(machine.run("copy home --to third"));
    ok(machine.run("move home --to second --yes"));
    machine.write_config(&format!("{}{third}", moved_config()));
    feed_14th(&machine).is(0, "i 2024-01-07\n", "");
    let told = ok(machine.run("copy home --to third"));
    assert!(told.ends_with("it has all 3 archives\n"), "{told}");
    assert_eq!(
        without_markers(&machine.path("third")),
        without_markers(&machine.path("second"))
    );
    // And one of them becomes home in its turn.
    ok(machine.run("move home --to third --yes"));
    let third_home = two_stores().replacen("store = \"disk\"", "store = \"third\"", 1);
    machine.write_config(&format!("{third_home}{third}"));
    let run = machine.run_with("decide 2024-01-21", &incremental("2024-01-21", 21, 14));
    run.is(0, "i 2024-01-14\n", "");
    ok(machine.run("verify home --deep --identity $T/kit"));
}

#[test]
fn a_lost_home_is_abandoned_and_what_only_it_had_is_given_up() {
    let machine = copied();
    let old = twin(&machine);
    // The newest archive was not copied yet.
    feed_14th(&machine).is(0, "i 2024-01-07\n", "");
    fs::rename(machine.path("store"), machine.path("lost")).unwrap();
    // Before anything is asked, what would be given up is named.
    let before = machine.standing();
    let asked = machine.run("move home --to second --abandon-home");
    fails(
        &asked,
        2,
        "home: 2024-01-14-incr-$HEX16 is not in the copy, and would be given up\n",
    );
    assert!(!asked.stderr.contains("2024-01-07"), "{asked:?}");
    assert_eq!(machine.standing(), before);
    let unreachable = machine.run("move home --to second --yes");
    assert_eq!(unreachable.code, Some(1), "{unreachable:?}");
    let told = ok(machine.run("move home --to second --yes --abandon-home --kit $T/kit"));
    assert!(
        told.starts_with("home: its home is file://$T/second now, with 2 archives"),
        "{told}"
    );
    let given_up = "home: 2024-01-14-incr-$HEX16 is not in the new home, and is given up\n";
    assert!(told.contains(given_up), "{told}");
    machine.write_config(&moved_config());
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    ok(machine.run("catalog check"));
    // The same date once more, on what the copy has.
    feed_14th(&machine).is(0, "i 2024-01-07\n", "");
    ok(machine.run("verify home --deep --identity $T/kit"));
    ok(machine.run("catalog rebuild --identity $T/kit"));
    assert_eq!(machine.archived().len(), 3);

    // The old home comes back, at a machine that archives there and has seen nothing.
    fs::rename(machine.path("lost"), machine.path("store")).unwrap();
    let run = old.run_with("decide 2024-01-21", &incremental("2024-01-21", 21, 14));
    run.is(0, "i 2024-01-14\n", "");
    let before = machine.standing();
    fails(&old.run("move home --to second --yes"), 6, "have parted");
    old.write_config(&at_stores_of(&machine, &two_stores()));
    fails(
        &old.run("copy home --to second"),
        6,
        "this very ledger without the marker",
    );
    assert_eq!(machine.standing(), before);
}

#[test]
fn a_copy_of_which_nothing_is_whole_is_not_made_home() {
    let machine = copied();
    for key in files(&machine.path("second")).keys() {
        if key.ends_with("key.age") {
            fs::remove_file(machine.path("second").join(key)).unwrap();
        }
    }
    let words = "move home --to second --yes --abandon-home";
    refused(&machine, words, 7, "has no whole archive");
}

#[test]
fn a_home_in_a_bucket_is_made_of_a_copy_there() {
    let server = S3Server::start(Config::default());
    let machine = archived();
    write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
    let bucket = format!(
        "\n[store.bucket]\ntype = \"s3\"\nbucket = \"{BUCKET}\"\nprefix = \"some/prefix\"\nregion = \"us-east-1\"\n\
         endpoint = \"{}\"\ncredentials_file = \"$T/credentials\"\n",
        server.endpoint()
    );
    machine.write_config(&format!("{}{bucket}", two_stores()));
    ok(machine.run("copy home --to bucket"));
    let told = ok(machine.run("move home --to bucket --yes --kit $T/kit"));
    assert!(told.starts_with("home: its home is s3://"), "{told}");
    let in_bucket = two_stores().replacen("store = \"disk\"", "store = \"bucket\"", 1);
    machine.write_config(&format!("{in_bucket}{bucket}"));
    fs::rename(machine.path("store"), machine.path("gone")).unwrap();
    feed_14th(&machine).is(0, "i 2024-01-07\n", "");
    ok(machine.run("verify home --deep --identity $T/kit"));
    ok(machine.run("catalog check"));
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    assert!(
        kit.contains(&server.endpoint().replace("://", "%3A%2F%2F"))
            || kit.contains(&server.endpoint()),
        "{kit}"
    );
}

#[test]
fn an_empty_machine_goes_on_from_a_copy_with_the_kit_alone() {
    let machine = copied();
    fs::remove_dir_all(machine.path("store")).unwrap();
    fs::remove_dir_all(machine.state()).unwrap();
    machine.write_config(&moved_config());
    ok(machine.run("catalog rebuild --identity $T/kit"));
    // What was read is a copy, and takes nothing.
    let moving = "move home --to second --yes";
    fails(&machine.run(moving), 6, "has a copy of `home`");
    let no_key = format!("{moving} --abandon-home");
    assert_ne!(machine.run(&no_key).code, Some(0));
    let told = ok(machine.run(&format!("{no_key} --kit $T/kit")));
    assert_eq!(
        told,
        "home: its home is file://$T/second now, with 2 archives\n"
    );
    ok(machine.run("key rotate --kit $T/kit --new-signing-key"));
    // The snapshots went with the machine, so it is a full.
    let full = StreamBuilder::header(1)
        .subvol(b"2024-01-14", [14; 16], 10)
        .mkfile(b"a file")
        .finish();
    let run = machine.run_with("decide 2024-01-14 --full", &full);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "c\n"), "{run:?}");
    assert_eq!(machine.archived().len(), 3);
    ok(machine.run("verify home --deep --identity $T/kit"));
}
