//! A state directory that is gone, empty, read-only or of another machine; and sources that a config does not name any
//! more.

use std::fs;
use std::os::unix::fs::symlink;

use rusqlite::Connection;

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{LIVE_CONFIG, Machine, fed_config};
use crate::common::s3_server::{ENV, S3Server};
use crate::common::stream_builder::StreamBuilder;
use crate::common::tmpfs::Tmpfs;

const FIRST: [u8; 16] = *b"uuid of the 1st.";

/// What reads archives.
const READERS: [&str; 7] = [
    "list",
    "show home",
    "verify -q",
    "doctor",
    "catalog check",
    "restore home --from store --plan",
    "thaw home --status",
];

fn feed(machine: &Machine, words: &str) {
    let full = StreamBuilder::header(1)
        .subvol(b"2024-01-01", FIRST, 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 1000]);
    let run = machine.run_with(words, &full.finish());
    assert_eq!(run.code, Some(0), "{run:?}");
}

fn archived() -> Machine {
    let machine = Machine::fed(None);
    feed(&machine, "decide 2024-01-01");
    machine
}

/// The config with the store in a bucket.
fn in_bucket(server: &S3Server) -> String {
    let config = fed_config();
    let (before, _) = config.split_once("[store.disk]").unwrap();
    let bucket = server.store_table("");
    format!("{before}[store.disk]\n{bucket}\n\n[encryption]\nrecipients = [\"$R\"]\n")
}

#[test]
fn after_init_and_before_the_first_archive_nothing_is_wrong() {
    let machine = Machine::fed(None);
    let before = "home  file://$T/store";
    let list = machine.run("list");
    assert!(list.stdout.starts_with(before), "{list:?}");
    for words in [
        "list",
        "verify -q",
        "doctor",
        "catalog check",
        "plan 2024-01-01",
    ] {
        assert_eq!(machine.run(words).code, Some(0), "{words}");
    }
}

#[test]
fn a_catalog_that_is_gone_is_no_catalog_without_archives() {
    let machine = archived();
    let gone = "error: the catalog $T/state/catalog.db is missing, but this machine's keys exist\n\
                hint: run `coldchain catalog rebuild --identity KIT`, which makes a new one from the stores, or put back \
                a copy of it\n";
    let catalog = machine.state().join("catalog.db");
    fs::rename(&catalog, machine.path("kept")).unwrap();
    for is_empty in [false, true] {
        if is_empty {
            fs::write(&catalog, "").unwrap();
        }
        for words in READERS.into_iter().chain(["plan 2024-01-07"]) {
            let run = machine.run(words);
            assert_eq!(run.code, Some(2), "{words}: {run:?}");
            assert!(run.stderr.ends_with(gone), "{words}: {run:?}");
        }
        // Without a catalog there is nothing that `key` needs of it.
        assert_eq!(machine.run("key show").code, Some(0));
    }
    let run = machine.run("catalog rebuild --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
}

#[test]
fn a_state_directory_that_is_gone_is_noticed_by_what_the_store_has() {
    let unread = "error: the store file://$T/store has a ledger of `home` that the catalog here does not know\n\
                  hint: run `coldchain catalog rebuild --identity KIT`, which reads it; if another machine archives there, \
                  set `archive_as` to give this source a directory of its own\n";
    let machine = archived();
    fs::remove_dir_all(machine.state()).unwrap();
    for words in READERS.into_iter().chain(["plan 2024-01-07"]) {
        let run = machine.run(words);
        assert_eq!(run.code, Some(2), "{words}: {run:?}");
        assert!(run.stderr.ends_with(unread), "{words}: {run:?}");
    }
    // What begins anew says it too, and keeps the source out of the kit.
    let run = machine.run("init --kit $T/another");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout
            .contains("home: the store file://$T/store has a ledger of `home`"),
        "{run:?}"
    );
    assert!(!run.stdout.contains("its ledger is"), "{run:?}");
    fs::remove_dir_all(machine.state()).unwrap();
    let kit = fs::read(machine.path("kit")).unwrap();
    let run = machine.run("init --kit $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.contains("home: $T/kit names its ledger"),
        "{run:?}"
    );
    assert!(!run.stdout.contains("its ledger is"), "{run:?}");
    assert_eq!(fs::read(machine.path("kit")).unwrap(), kit);
    assert_eq!(machine.run("list").code, Some(2));
    assert_eq!(
        machine.run("catalog rebuild --identity $T/kit").code,
        Some(0)
    );
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
}

#[test]
fn a_bucket_is_asked_too_and_once_something_is_known_no_more() {
    let server = S3Server::new();
    let machine = Machine::fed(None);
    machine.write_config(&in_bucket(&server));
    let run = |words: &str| machine.run_command(machine.command(words).envs(ENV));
    assert_eq!(run("list").code, Some(0));
    let full = StreamBuilder::header(1)
        .subvol(b"2024-01-01", FIRST, 10)
        .mkfile(b"f");
    let mut command = machine.command("decide 2024-01-01");
    let stream = machine.path("stream");
    fs::write(&stream, full.finish()).unwrap();
    command.envs(ENV).stdin(fs::File::open(&stream).unwrap());
    assert_eq!(machine.run_command(&mut command).code, Some(0));
    server.forget_requests();
    assert_eq!(run("list").code, Some(0));
    assert_eq!(server.requests().len(), 0);
    fs::remove_dir_all(machine.state()).unwrap();
    let list = run("list");
    assert_eq!(list.code, Some(2), "{list:?}");
    assert!(list.stderr.contains("has a ledger of `home`"), "{list:?}");
    // A plan asks no bucket.
    server.forget_requests();
    assert_eq!(run("plan 2024-01-07").code, Some(0));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_config_that_was_named_and_is_not_there_is_an_error_for_readers_too() {
    let machine = archived();
    let config = machine.path("config.toml");
    for words in [
        "list",
        "verify",
        "show home",
        "catalog check",
        "restore home --from store --plan",
    ] {
        let words = format!("{words} --state-dir $T/state");
        let named = format!("{words} --config $T/config.toml");
        for dangles in [false, true] {
            let _ = fs::remove_file(&config);
            if dangles {
                symlink("nowhere", &config).unwrap();
            }
            let run = machine.run(if dangles { &words } else { &named });
            assert_eq!(run.code, Some(2), "{words}: {run:?}");
            assert!(
                run.stderr
                    .starts_with("error: the config file $T/config.toml does not exist\n"),
                "{run:?}"
            );
        }
        // Where none was named, the catalog is enough.
        fs::remove_file(&config).unwrap();
        let run = machine.run(&words);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
    }
}

#[test]
fn another_machines_ledger_in_the_place_of_this_ones_is_not_called_damage() {
    let machine = archived();
    let other = Machine::fed(None);
    feed(&other, "decide 2024-01-01");
    fs::rename(machine.path("store"), machine.path("mine")).unwrap();
    fs::rename(other.path("store"), machine.path("store")).unwrap();
    let verify = machine.run("verify");
    assert_eq!(
        (verify.code, verify.stdout.as_str()),
        (Some(6), ""),
        "{verify:?}"
    );
    assert!(
        verify.stderr.contains("ledger entry 1 of `home`"),
        "{verify:?}"
    );
    assert!(!verify.stderr.contains("DAMAGED"), "{verify:?}");
    // Nothing was noted of the archives, so the next one is an incremental as ever.
    fs::remove_dir_all(machine.path("store")).unwrap();
    fs::rename(machine.path("mine"), machine.path("store")).unwrap();
    assert_eq!(machine.run("verify").code, Some(0));
    let plan = machine.run("plan 2024-01-07");
    assert!(plan.stdout.contains("incremental"), "{plan:?}");
}

#[test]
fn a_kit_beside_a_config_that_is_named_by_its_bare_name_is_warned_of() {
    let machine = archived();
    let mut command = machine.command("doctor -c config.toml");
    let run = machine.run_command(command.env_remove("COLDCHAIN_CONFIG"));
    assert!(run.stderr.contains("/kit holds a secret key"), "{run:?}");
}

#[test]
fn a_read_only_state_directory_can_be_read() {
    let machine = Machine::new();
    let tmpfs = Tmpfs::on(&machine.state(), 4096);
    machine.write_config(&fed_config());
    assert_eq!(machine.run("init --kit $T/kit -q").code, Some(0));
    feed(&machine, "decide 2024-01-01");
    let list = machine.run("list");
    tmpfs.read_only();
    assert_eq!(machine.run("list"), list);
    for words in [
        "plan 2024-01-07",
        "show home",
        "verify",
        "catalog check",
        "restore home --from store --plan",
        "doctor",
    ] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
    }
    let verify = machine.run("verify");
    assert!(
        verify
            .stderr
            .contains("the state directory is not writable"),
        "{verify:?}"
    );
    let run = machine.run_with("decide 2024-01-07", b"");
    assert_eq!(run.code, Some(1), "{run:?}");
}

#[test]
fn a_source_that_was_taken_out_of_the_config_is_warned_of_once_and_can_be_forgotten() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    machine.btrfs().subvolume("mail");
    let mail = "\n[[source]]\nname = \"mail\"\nsubvolume = \"$FS/mail\"\nsnapshots = \"$FS/of-mail\"\nstore = \"disk\"\n";
    machine.write_config(&(LIVE_CONFIG.to_owned() + mail));
    assert_eq!(machine.run("init --kit $T/kit -q").code, Some(0));
    assert_eq!(machine.run("backup 2024-01-01 -q").code, Some(0));
    let refused = machine.run("forget mail --yes");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("cannot forget `mail`"),
        "{refused:?}"
    );

    machine.write_config(LIVE_CONFIG);
    let warning = "mail: the config does not name it any more";
    let night = machine.run("backup 2024-01-02");
    assert!(
        night.code == Some(0) && night.stderr.contains(warning),
        "{night:?}"
    );
    let night = machine.run("backup 2024-01-03");
    assert_eq!((night.code, night.stderr.as_str()), (Some(0), ""));
    for words in ["plan 2024-01-04", "doctor"] {
        let run = machine.run(words);
        assert!(run.stderr.contains(warning), "{words}: {run:?}");
    }
    assert!(machine.run("list").stdout.contains("\nmail  "));

    let store = machine.objects("");
    let unasked = machine.run("forget mail");
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    assert!(machine.run("list").stdout.contains("\nmail  "));
    let gone = machine.run("forget mail --yes");
    assert_eq!((gone.code, gone.stderr.as_str()), (Some(0), ""));
    for said in [
        "mail: removed from the catalog\n",
        "mail: what is in file://$T/store/mail/ stays: 1 archive, ",
        "mail: the snapshot $FS/of-mail/2024-01-01 stays",
    ] {
        assert!(gone.stdout.contains(said), "{said}: {gone:?}");
    }
    assert_eq!(machine.objects(""), store);
    assert!(machine.btrfs().path("of-mail/2024-01-01").exists());
    assert!(!machine.run("list").stdout.contains("mail"));
    let again = machine.run("forget mail --yes");
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(!machine.run("plan 2024-01-04").stderr.contains("mail"));
    // What stays is found again.
    assert_eq!(
        machine.run("catalog rebuild --identity $T/kit").code,
        Some(0)
    );
    assert!(machine.run("list").stdout.contains("\nmail  "));
}

#[test]
fn a_source_that_was_tried_once_and_given_up_can_be_forgotten() {
    let machine = archived();
    let catalog = Connection::open(machine.state().join("catalog.db")).unwrap();
    let tried = "INSERT INTO source (name, directory, store, ledger) SELECT 'tried', 'tried', store, ?1 FROM source";
    catalog.execute(tried, ["ab".repeat(16)]).unwrap();
    drop(catalog);
    assert!(machine.run("list").stdout.contains("tried"));
    let gone = machine.run("forget tried --yes --json");
    let gone: serde_json::Value = serde_json::from_str(&gone.stdout).unwrap();
    assert_eq!(
        (&gone["forgotten"], &gone["archives"]),
        (&"tried".into(), &0.into())
    );
    assert!(!machine.run("list").stdout.contains("tried"));
}

#[test]
fn a_source_with_a_new_name_goes_on_with_the_nights_snapshot() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    assert_eq!(machine.run("backup 2024-01-01 -q").code, Some(0));
    machine.write_config(&LIVE_CONFIG.replace("\"home\"", "\"haus\""));
    assert_eq!(machine.run("init --kit $T/kit -q").code, Some(0));
    let night = machine.run("backup 2024-01-01");
    assert_eq!(night.code, Some(0), "{night:?}");
    assert!(
        night.stdout.starts_with("haus: 2024-01-01: archived, full"),
        "{night:?}"
    );
    // coldchain made it, and deletes it when its time is over.
    let few = LIVE_CONFIG.replace("\"home\"", "\"haus\"");
    machine.write_config(&few.replace(
        "store = \"disk\"\n\n",
        "store = \"disk\"\nlatest_only = true\n\n",
    ));
    assert_eq!(machine.run("backup 2024-01-07 -q").code, Some(0));
    assert!(!machine.btrfs().path("snapshots/2024-01-01").exists());
}

#[test]
fn a_snapshot_that_was_renamed_to_another_date_is_not_taken_for_that_nights() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    assert_eq!(machine.run("backup 2024-01-01 -q").code, Some(0));
    let snapshots = machine.btrfs().path("snapshots");
    fs::rename(snapshots.join("2024-01-01"), snapshots.join("2024-01-02")).unwrap();
    let night = machine.run("backup 2024-01-02");
    assert_eq!(night.code, Some(2), "{night:?}");
    assert!(
        night.stderr.starts_with(
            "error: $FS/snapshots/2024-01-02 is in the way of the snapshot: it is the snapshot of 2024-01-01 under another \
             name\n"
        ),
        "{night:?}"
    );
}
