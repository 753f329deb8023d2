//! What moves over the years: the machine, the store, a source's name. Whatever has moved, what was archived is
//! found, and gone on with.

use std::fs;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, Run, fed_config};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use coldchain::kit::Kit;
use coldchain::seal::generate_identity;
use rusqlite::Connection;

/// A further source in the same store.
const MAIL: &str = "[[source]]\nname = \"mail\"\nstore = \"disk\"\n";

const DATES: [&str; 3] = ["2024-01-01", "2024-01-07", "2024-01-14"];

/// A machine with the first two dates of `home`.
fn archived() -> Machine {
    let machine = Machine::fed(None);
    feed(&machine, "home", 0);
    feed(&machine, "home", 1);
    machine
}

/// Archives a source's date of that number.
#[track_caller]
fn feed(machine: &Machine, source: &str, at: usize) -> Run {
    let run = machine.run_with(
        &format!("decide {} --source {source}", DATES[at]),
        &stream(source, at),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run
}

fn stream(source: &str, at: usize) -> Vec<u8> {
    let first = source.as_bytes()[0];
    let uuid = |at: usize| [first + u8::try_from(at).unwrap(); 16];
    let name = DATES[at].as_bytes();
    let stream = StreamBuilder::header(1);
    let stream = match at {
        0 => stream.subvol(name, uuid(at), 10).mkfile(b"file"),
        _ => stream.snapshot(name, uuid(at), 10, uuid(at - 1), 10),
    };
    stream.write(b"file", 0, name).finish()
}

#[track_caller]
fn ok(run: &Run) -> &str {
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (Some(0), ""),
        "{}",
        run.stdout
    );
    &run.stdout
}

fn root(machine: &Machine) -> String {
    let kit = Kit::parse(&fs::read(machine.path("kit")).unwrap()).unwrap();
    kit.root.unwrap().to_string()
}

fn lose_state(machine: &Machine) {
    fs::remove_dir_all(machine.state()).unwrap();
}

fn with_mail() -> String {
    fed_config().replace("[store.disk]", &format!("{MAIL}\n[store.disk]"))
}

#[test]
fn a_new_machine_that_was_set_up_before_its_catalog_was_rebuilt_goes_on() {
    let machine = archived();
    lose_state(&machine);
    // As the README has it: a config, `init`, and only then the old archives.
    ok(&machine.run("init --kit $T/new-kit --quiet"));
    let refused = machine.run_with("decide 2024-01-14", &stream("home", 2));
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("`coldchain catalog rebuild --identity KIT`"),
        "{refused:?}"
    );
    let rebuilt = machine.run("catalog rebuild --identity $T/kit");
    assert!(
        ok(&rebuilt).contains(
            "another root key was trusted here, under which nothing was archived; it is kept as \
             $T/state/root.pub.before-rebuild. Run `coldchain key rotate "
        ),
        "{rebuilt:?}"
    );
    ok(&machine.run("verify"));
    ok(&machine.run("catalog check"));
    ok(&machine.run("key show"));
    let refused = machine.run_with("decide 2024-01-14", &stream("home", 2));
    assert!(
        refused
            .stderr
            .contains("does not grant this machine's key the writer role"),
        "{refused:?}"
    );
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    feed(&machine, "home", 2);
    assert_eq!(machine.archived().len(), 3);
    ok(&machine.run("key kit --kit $T/kit --quiet"));
    // A ledger that is opened from here on is one of the same root key.
    machine.write_config(&with_mail());
    feed(&machine, "mail", 0);
    ok(&machine.run("key kit --kit $T/kit --quiet"));
    lose_state(&machine);
    let rebuilt = machine.run("catalog rebuild --identity $T/kit");
    assert!(ok(&rebuilt).contains("mail: 2 entries read, 1 archive\n"));
}

#[test]
fn the_root_key_that_is_typed_does_for_a_machine_that_was_set_up_before() {
    let machine = archived();
    lose_state(&machine);
    ok(&machine.run("init --kit $T/new-kit --quiet"));
    let root = root(&machine);
    ok(&machine.run(&format!("catalog rebuild --trust {root}")));
    assert_eq!(machine.archived().len(), 2);
    ok(&machine.run("verify"));
    // Once more it is the key that is trusted here, and nothing is put aside.
    ok(&machine.run("catalog rebuild"));
    assert!(!machine.state().join("root.pub.before-rebuild.2").exists());
}

#[test]
fn a_kit_that_has_a_root_key_gets_no_other() {
    let machine = archived();
    let before = fs::read_to_string(machine.path("kit")).unwrap();
    lose_state(&machine);
    let made = machine.run("init --kit $T/kit");
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(
        made.stdout.contains(
            "home: $T/kit names its ledger; run `coldchain catalog rebuild --identity $T/kit` to read it and continue it\n"
        ),
        "{made:?}"
    );
    assert_eq!(fs::read_to_string(machine.path("kit")).unwrap(), before);
    let rebuilt = machine.run("catalog rebuild --identity $T/kit");
    assert!(!ok(&rebuilt).contains("another root key"));
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    feed(&machine, "home", 2);
    assert_eq!(machine.archived().len(), 3);
}

#[test]
fn a_source_that_is_newer_than_the_kit_is_told_of_and_not_left_out_in_silence() {
    let machine = archived();
    machine.write_config(&with_mail());
    let opened = feed(&machine, "mail", 0);
    let warning = "mail: no recovery kit names its ledger, so a restore on an empty machine would not find it: run `coldchain key kit`\n";
    assert_eq!(opened.stderr, format!("warning: {warning}"));
    let doctor = machine.run("doctor");
    assert!(doctor.stderr.contains(warning), "{doctor:?}");
    assert!(
        !doctor.stderr.contains("home: no recovery kit"),
        "{doctor:?}"
    );
    lose_state(&machine);
    let root = root(&machine);
    let refused = machine.run("catalog rebuild --identity $T/kit");
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(
        refused.stdout.contains(&format!(
            "file://$T/store/mail was refused: the recovery kit does not name the ledger in file://$T/store/mail, but that ledger names the kit's root key; `--trust {root}` reads it\n"
        )),
        "{refused:?}"
    );
    let read = machine.run(&format!("catalog rebuild --identity $T/kit --trust {root}"));
    assert!(ok(&read).contains("mail: 2 entries read, 1 archive\n"));
    // From here on a kit knows it.
    ok(&machine.run("key kit --kit $T/kit --quiet"));
    let doctor = machine.run("doctor");
    assert!(!doctor.stderr.contains(warning), "{doctor:?}");
    lose_state(&machine);
    let rebuilt = machine.run("catalog rebuild --identity $T/kit");
    assert!(ok(&rebuilt).contains("mail: 2 entries read, 1 archive\n"));
}

#[test]
fn an_identity_of_one_source_keeps_no_other_from_being_read() {
    let machine = archived();
    let (secret, recipient) = generate_identity();
    fs::write(machine.path("second"), secret).unwrap();
    machine.write_config(&with_mail().replace("$R", &recipient));
    feed(&machine, "mail", 0);
    lose_state(&machine);
    let root = root(&machine);
    let rebuilt = machine.run(&format!(
        "catalog rebuild --identity $T/second --trust {root}"
    ));
    let said = ok(&rebuilt);
    assert!(
        said.contains(
            "home: the identity does not belong to any of its recipients (could not unlock 2024-01-01-full-"
        ),
        "{said}"
    );
    assert!(
        said.contains("home: the private facts of 2 archives stay sealed"),
        "{said}"
    );
    assert!(!said.contains("mail: the private facts"), "{said}");
    assert_eq!(machine.archived().len(), 3);
}

#[test]
fn a_store_that_has_moved_is_found_where_it_is_now() {
    let machine = archived();
    fs::rename(machine.path("store"), machine.path("moved")).unwrap();
    machine.write_config(&fed_config().replace("$T/store", "$T/moved//"));
    let rebuilt = machine.run("catalog rebuild");
    assert!(ok(&rebuilt).starts_with("home: 3 entries read, 2 archives\n"));
    feed(&machine, "home", 2);
    assert_eq!(machine.archived().len(), 3);
    // As it is typed makes no other store of it, with a config or without.
    ok(&machine.run("catalog rebuild --store file://$T/moved/"));
    fs::remove_file(machine.path("config.toml")).unwrap();
    fs::rename(machine.path("moved"), machine.path("again")).unwrap();
    let rebuilt = machine.run("catalog rebuild --store file://$T/again/ --state-dir $T/state");
    assert!(ok(&rebuilt).starts_with("home: 4 entries read, 3 archives\n"));
    let listed = machine.run("list --state-dir $T/state");
    assert!(ok(&listed).starts_with("home  file://$T/again\n"));
}

#[test]
fn a_rebuild_that_would_lose_another_store_s_ledger_is_refused() {
    let machine = archived();
    fs::create_dir(machine.path("second")).unwrap();
    let mail = MAIL.replace("disk", "second");
    let both =
        format!("{mail}\n[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n\n[store.disk]");
    machine.write_config(&fed_config().replace("[store.disk]", &both));
    feed(&machine, "mail", 0);
    let root = root(&machine);
    let before = fs::read(machine.state().join("catalog.db")).unwrap();
    machine
        .run(&format!("catalog rebuild --store file://$T/store --trust {root}"))
        .is(
            2,
            "",
            "error: the current catalog also has `mail` in file://$T/second, and that store was not given\n\
             hint: add a --store for that store too, or make the new catalog in another --state-dir; nothing was changed\n",
        );
    assert_eq!(
        fs::read(machine.state().join("catalog.db")).unwrap(),
        before
    );
    ok(&machine.run(&format!("catalog rebuild --trust {root}")));
    assert_eq!(machine.archived().len(), 3);
}

#[test]
fn an_archive_whose_commit_was_never_answered_is_not_given_up_unasked() {
    let machine = archived();
    let catalog = machine.state().join("catalog.db");
    let sql = "UPDATE archive SET state = 'committing' WHERE kind = 'incremental';
               UPDATE entry SET state = 'committing' WHERE seq = 3;";
    Connection::open(&catalog)
        .unwrap()
        .execute_batch(sql)
        .unwrap();
    let entry = machine.path("store/home/ledger/00000003.entry");
    let aside = machine.path("entry");
    fs::rename(&entry, &aside).unwrap();
    let refused = machine.run("catalog rebuild");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.starts_with(
            "error: the archive 2024-01-07-incr-$HEX16 of `home` is unfinished, and only the current catalog can continue it\n"
        ),
        "{refused:?}"
    );
    // The store has it after all: then nothing is lost.
    fs::rename(&aside, &entry).unwrap();
    ok(&machine.run("catalog rebuild"));
    assert_eq!(machine.archived().len(), 2);
}

#[test]
fn a_source_that_was_renamed_is_the_same_source() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let home = machine.btrfs().path("home");
    make_rich_tree(&home, &mut Rng::new(71));
    assert_eq!(machine.run("backup 2024-01-01").code, Some(0));
    machine.write_config(&LIVE_CONFIG.replace(
        "name = \"home\"",
        "name = \"haus\"\narchive_as = \"home\"\nkeep_snapshots = 1",
    ));
    let listed = machine.run("list");
    let listed = ok(&listed);
    assert!(listed.starts_with("haus  file://$T/store"), "{listed}");
    assert!(
        listed.contains("chain of 2024-01-01  complete, "),
        "{listed}"
    );
    ok(&machine.run("show 2024-01-01"));
    mutate_tree(&home, &mut Rng::new(72));
    let next = machine.run("backup 2024-01-07");
    assert!(ok(&next).contains("archived, incremental"), "{next:?}");
    // Its snapshots are its own still.
    let snapshots = machine.btrfs().path("snapshots");
    assert_eq!(machine.run("backup 2024-01-08").code, Some(0));
    assert!(!snapshots.join("2024-01-01").exists());
    let other = LoopFs::new(256);
    let to = other.root();
    let words = format!(
        "restore haus --from store --to {} --identity $T/kit --yes",
        to.display()
    );
    assert_eq!(machine.run(&words).code, Some(0));
    compare_trees(&snapshots.join("2024-01-07"), &to.join("haus/2024-01-07"));
    // A rebuild calls it what the config does.
    fs::remove_file(machine.state().join("catalog.db")).unwrap();
    let rebuilt = machine.run("catalog rebuild --identity $T/kit");
    assert!(ok(&rebuilt).starts_with("haus: 3 entries read, 2 archives\n"));
    assert_eq!(machine.archived().len(), 2);
    mutate_tree(&home, &mut Rng::new(73));
    let next = machine.run("backup 2024-01-14");
    assert!(next.stdout.contains("archived, incremental"), "{next:?}");
}

#[test]
fn a_name_that_another_source_has_archived_under_is_not_taken_from_it() {
    let machine = Machine::new();
    machine.write_config(&with_mail());
    assert_eq!(machine.run("init --kit $T/kit --quiet").code, Some(0));
    feed(&machine, "home", 0);
    feed(&machine, "mail", 0);
    let swapped = with_mail()
        .replace("name = \"home\"", "name = \"mail\"\narchive_as = \"home\"")
        .replace(
            "name = \"mail\"\nstore",
            "name = \"home\"\narchive_as = \"mail\"\nstore",
        );
    machine.write_config(&swapped);
    let refused = machine.run_with("decide 2024-01-07 --source home", &stream("mail", 1));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("was archived to"), "{refused:?}");
    // Under a name that is free each gets to the other's.
    machine.write_config(&swapped.replace("name = \"home\"", "name = \"post\""));
    ok(&machine.run("list"));
    machine.write_config(&swapped);
    ok(&machine.run("list"));
    feed_as(&machine, "home", "mail", 1);
    feed_as(&machine, "mail", "home", 1);
    assert_eq!(machine.archived().len(), 4);
}

#[track_caller]
fn feed_as(machine: &Machine, name: &str, source: &str, at: usize) {
    let run = machine.run_with(
        &format!("decide {} --source {name}", DATES[at]),
        &stream(source, at),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_config_without_this_source_keeps_nobody_from_reading_it() {
    let machine = archived();
    let reads = |machine: &Machine| {
        let listed = machine.run("list");
        assert!(ok(&listed).contains("home  file://$T/store\n  chain of 2024-01-01  complete, "));
        ok(&machine.run("restore home --from store --plan"));
        ok(&machine.run("show 2024-01-07"));
        ok(&machine.run("verify home"));
    };
    // As the first `init` leaves it.
    machine.write_config("state_dir = \"$T/state\"\n");
    reads(&machine);
    lose_state(&machine);
    let rebuilt = machine.run("catalog rebuild --store file://$T/store --identity $T/kit");
    assert!(ok(&rebuilt).starts_with("home: 3 entries read, 2 archives\n"));
    reads(&machine);
    assert_eq!(machine.run("plan").code, Some(2));
    // One that names another source.
    machine.write_config(&fed_config().replace("name = \"home\"", "name = \"mail\""));
    reads(&machine);
    let listed = machine.run("list --source home");
    assert!(
        !ok(&listed).contains("expire"),
        "no config says when: {listed:?}"
    );
    let refused = machine.run_with("decide 2024-01-14 --source home", &stream("home", 2));
    assert_eq!(refused.code, Some(2), "{refused:?}");
}
