//! What is typed, configured or found wrong: every message to the byte, its exit code, and that
//! nothing half-done is left.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::machine::{LIVE_CONFIG, Machine, Run, fed_config};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::write_script;

/// Runs the program, which must fail and leave everything as it was.
fn unchanged(machine: &Machine, words: &str) -> Run {
    unchanged_with(machine, |machine| machine.run(words))
}

fn unchanged_with(machine: &Machine, act: impl FnOnce(&Machine) -> Run) -> Run {
    let before = machine.standing();
    let run = act(machine);
    assert_eq!(
        machine.standing(),
        before,
        "something was left or lost: {run:#?}"
    );
    run
}

/// A machine with a subvolume that `init` knows, and nothing archived.
fn ready() -> Option<Machine> {
    real_btrfs_available().then(|| {
        let machine = Machine::with_subvolume(256);
        fs::write(machine.btrfs().path("home/letter"), "dear reader\n").unwrap();
        machine
    })
}

/// A machine that was fed made-up streams for these slots, the first full.
fn archived(dates: &[&str]) -> Machine {
    archived_on(Machine::fed(None), dates)
}

fn archived_on(machine: Machine, dates: &[&str]) -> Machine {
    for (at, date) in (0..).zip(dates) {
        let uuid = |at: u8| [b'a' + at; 16];
        let stream = StreamBuilder::header(1);
        let stream = match at {
            0 => stream.subvol(date.as_bytes(), uuid(at), 10).mkfile(b"file"),
            _ => stream.snapshot(date.as_bytes(), uuid(at), 10, uuid(at - 1), 10),
        };
        let stream = stream.write(b"file", 0, date.as_bytes()).finish();
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    machine
}

/// A file's bytes with one bit of one of them turned over.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1;
    file.write_all_at(&byte, at).unwrap();
}

#[test]
fn compressed_data_is_refused_with_line_and_reason() {
    let machine = Machine::new();
    let config = LIVE_CONFIG.replace("$FS", "/nowhere");
    for (lines, stderr) in [
        (
            "compressed_data = true",
            "error: $T/config.toml:12: `source.compressed_data` must not be true: the kernel's sender loses bytes of compressed data, without an error, so that a restore can differ from what was archived\n\
             hint: remove the line, and the next archive is an exact full; to keep on with archives that may be inexact, write compressed_data = \"inexact\"\n",
        ),
        (
            "protocol = 1\ncompressed_data = \"inexact\"",
            "error: $T/config.toml:12: `source.protocol` is 1, and only version 2 carries compressed data\n\
             hint: remove `protocol`, or remove `compressed_data`\n",
        ),
    ] {
        let source = format!("store = \"disk\"\n{lines}");
        machine.write_config(&config.replace("store = \"disk\"", &source));
        for words in ["backup", "plan", "doctor"] {
            machine.run(words).is(2, "", stderr);
        }
    }
}

#[test]
fn a_config_that_can_t_be_used_is_named_with_line_and_key() {
    let machine = Machine::new();
    let config = LIVE_CONFIG.replace("$FS", "/nowhere");
    let replaced = |from: &str, to: &str| {
        assert!(config.contains(from));
        config.replace(from, to)
    };
    for (text, stderr) in [
        (
            replaced("threads = 1", "treads = 1"),
            "error: $T/config.toml:5: unknown key `treads`, did you mean `threads`?\n\
             hint: known: `timezone`, `state_dir`, `segment_size`, `contents`, `index`, `compression`, `compression_levels`, `threads`, `memory_limit`, `priority`, `sender`, `self_check`, `prune`, `delete_after`, `keep`, `log`, `log_rotate`, `source`, `mirror`, `store`, `encryption`, `schedule`, `hooks`, `metrics`, `notify`, `alarms`, `prices`\n",
        ),
        (
            replaced("snapshots =", "snapshot ="),
            "error: $T/config.toml:10: unknown key `source.snapshot`, did you mean `snapshots`?\n\
             hint: known: `name`, `subvolume`, `snapshots`, `keep`, `keep_days`, `links`, `keep_snapshots_days`, `keep_snapshots`, `latest_only`, `store`, `copies`, `archive_as`, `protocol`, `compressed_data`, `segment_size`, `contents`, `index`, `schedule`, `pull`\n",
        ),
        (
            replaced("path = ", "paht = "),
            "error: $T/config.toml:15: unknown key `store.disk.paht`, did you mean `path`?\n\
             hint: known: `type`, `path`, `cold`, `cold_delay`\n",
        ),
        (
            replaced("[store.disk]", "[store.disk"),
            "error: $T/config.toml:13: not valid TOML: unclosed table, expected `]`\n",
        ),
        (
            replaced("name = \"home\"", "name = \"home"),
            "error: $T/config.toml:8: not valid TOML: invalid basic string, expected `\"`\n",
        ),
        (
            replaced("name = \"home\"", "name = \"Home\""),
            "error: $T/config.toml:8: `source.name` must be 1 to 64 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit, found the string \"Home\"\n",
        ),
        (
            replaced("name = \"home\"\n", ""),
            "error: $T/config.toml:7: `source.name` is missing\n",
        ),
        (
            replaced("store = \"disk\"", "store = \"disc\""),
            "error: $T/config.toml:11: unknown store `disc`, did you mean `disk`?\n\
             hint: known: `disk`\n",
        ),
        (
            replaced("type = \"dir\"", "type = \"ftp\""),
            "error: $T/config.toml:14: unknown store type `ftp`\n\
             hint: known: `dir`, `s3`, `glacier-vault`\n",
        ),
        (
            replaced("subvolume = \"/nowhere/home\"\n", ""),
            "error: $T/config.toml:7: `source.snapshots` is set and `source.subvolume` is not\n\
             hint: set both, or neither for a source that only `coldchain decide` serves\n",
        ),
        (
            replaced("\"UTC\"", "\"Europe/Berln\""),
            "error: $T/config.toml:1: unknown time zone `Europe/Berln`, did you mean `Europe/Berlin`?\n\
             hint: it takes a name of the IANA database, like `Europe/Berlin`\n",
        ),
        (
            replaced("segment_size = \"16MiB\"", "segment_size = \"16MB\""),
            "error: $T/config.toml:3: `segment_size` must be a size like \"128MiB\", from 16MiB to 1GiB in steps of 4MiB, found the string \"16MB\"\n",
        ),
        (
            replaced("threads = 1", "threads = 1\n[schedule]\ndays = []"),
            "error: $T/config.toml:7: `schedule.days` must be a list of at least one day of the month, found an empty array\n",
        ),
        (
            replaced("threads = 1", "threads = 1\n[schedule]\ndays = [0, 32]"),
            "error: $T/config.toml:7: `schedule.days` must be days of the month from 1 to 31, found 0\n",
        ),
        (
            replaced(
                "threads = 1",
                "threads = 1\n[schedule]\nexpire_after_days = 0",
            ),
            "error: $T/config.toml:7: `schedule.expire_after_days` must be an integer from 1 to 1000000, found 0\n",
        ),
        (
            "timezone = \"UTC\"\n".to_owned(),
            "error: $T/config.toml: no source is configured\n\
             hint: edit $T/config.toml: describe what to archive in a [[source]], and where to in its [store.NAME]\n",
        ),
    ] {
        machine.write_config(&text);
        for words in ["backup 2024-01-01", "plan 2024-01-01", "list", "init"] {
            unchanged(&machine, words).is(2, "", stderr);
        }
    }
    assert!(!machine.state().exists());
}

#[test]
fn a_vault_that_can_t_be_used_is_named_with_line_and_key() {
    let machine = Machine::new();
    let config = LIVE_CONFIG.replace("$FS", "/nowhere");
    for (store, stderr) in [
        (
            "[store.deep]\ntype = \"glacier-vault\"\nvault = \"v\"\nledger_store = \"disk\"\n",
            "error: $T/config.toml:19: `store.deep.region` is missing\n",
        ),
        (
            "[store.deep]\ntype = \"glacier-vault\"\nvault = \"v\"\nregion = \"eu-central-1\"\n",
            "error: $T/config.toml:19: `store.deep.ledger_store` is missing: a vault can't list by name, so the ledger and the keys need another store\n\
             hint: name a [store.NAME] of type \"dir\" or \"s3\" in `ledger_store`; docs/vault.md has an example\n",
        ),
        (
            "[store.deep]\ntype = \"glacier-vault\"\nvault = \"a b\"\nregion = \"eu-central-1\"\nledger_store = \"disk\"\n",
            "error: $T/config.toml:21: `store.deep.vault` must be a vault's name: 1 to 255 of A-Z, a-z, 0-9, `.`, `_` and `-`, found the string \"a b\"\n",
        ),
        (
            "[store.deep]\ntype = \"glacier-vault\"\nvault = \"v\"\nregion = \"eu-central-1\"\nledger_store = \"deep\"\n",
            "error: $T/config.toml:23: `store.deep.ledger_store` names the vault itself, which can't hold a ledger\n\
             hint: name a [store.NAME] of type \"dir\" or \"s3\" in `ledger_store`; docs/vault.md has an example\n",
        ),
    ] {
        machine.write_config(&format!("{config}{store}"));
        for words in ["backup 2024-01-01", "list"] {
            unchanged(&machine, words).is(2, "", stderr);
        }
    }
    assert!(!machine.state().exists());
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let machine = Machine::new();
    for words in [
        "backup",
        "plan",
        "list",
        "show 2024-01-01",
        "restore home --from store --plan",
    ] {
        unchanged(&machine, words).is(
            2,
            "",
            "error: the config file $T/config.toml does not exist\n\
             hint: run `coldchain init` to write one, or name another with --config or $COLDCHAIN_CONFIG; to read existing archives without a config, run `coldchain catalog rebuild --identity KIT --store URL`\n",
        );
    }
    let other = unchanged(&machine, "list --config $T/elsewhere.toml");
    other.is(
        2,
        "",
        "error: the config file $T/elsewhere.toml does not exist\n\
         hint: run `coldchain --config $T/elsewhere.toml init` to write one, or name another with --config or $COLDCHAIN_CONFIG; to read existing archives without a config, run `coldchain catalog rebuild --identity KIT --store URL`\n",
    );
    let directory = unchanged(&machine, "list --config $T");
    directory.is(
        2,
        "",
        "error: cannot read the config file $T\n\
         caused by: Is a directory (os error 21)\n",
    );
    assert!(!machine.state().exists());
}

#[test]
fn an_error_in_json_has_code_message_and_hint() {
    let machine = Machine::new();
    machine.write_config(
        &LIVE_CONFIG
            .replace("threads", "treads")
            .replace("$FS", "/nowhere"),
    );
    unchanged(&machine, "list --json").is(2, "", r#"{"error":{"code":2,"hint":"known: `timezone`, `state_dir`, `segment_size`, `contents`, `index`, `compression`, `compression_levels`, `threads`, `memory_limit`, `priority`, `sender`, `self_check`, `prune`, `delete_after`, `keep`, `log`, `log_rotate`, `source`, `mirror`, `store`, `encryption`, `schedule`, `hooks`, `metrics`, `notify`, `alarms`, `prices`","message":"$T/config.toml:5: unknown key `treads`, did you mean `threads`?"}}
"#);
    let machine = archived(&["2024-01-01"]);
    let run = unchanged(
        &machine,
        "restore home --from store --yes --json --to $T --identity $T/none",
    );
    run.is(2, "", r#"{"error":{"code":2,"hint":"check the path, and whether the right filesystem is mounted there","message":"$T is not on a btrfs filesystem"}}
"#);
    // A long run ends its events as well.
    let run = unchanged(&machine, "backup 2024-01-07 --source home --json");
    run.is(2, r#"{"event":"failed","message":"`home` has no `subvolume` in the config","source":"home"}
{"event":"done","sources":[{"archives":[],"mirrors":[],"name":"home","raw_bytes":0,"result":"failed","sealed_bytes":0,"seconds":0,"uploaded_bytes":0}]}
"#, r#"{"error":{"code":2,"hint":"add `subvolume` and `snapshots` to its [[source]], or archive it with `coldchain decide`","message":"`home` has no `subvolume` in the config"}}
"#);
}

#[test]
fn a_recipient_that_is_none_stops_everything_and_a_secret_is_not_told() {
    let machine = Machine::fed(None);
    let (secret, public) = coldchain::seal::generate_identity();
    // Another last letter than the one it has.
    let (rest, last) = public.split_at(public.len() - 1);
    let typo = format!("{rest}{}", if last == "x" { "z" } else { "x" });
    for (recipients, shown, stderr) in [
        (
            format!("\"{typo}\""),
            Some(&typo),
            "error: `$TYPO` looks like an age recipient, but its checksum or length is wrong: it may have a typing error\n\
             hint: correct `recipients` in [encryption]; `age-keygen -y FILE` prints an identity's recipient\n",
        ),
        (
            format!("\"$R\", \"{secret}\""),
            None,
            "error: a recipient looks like a secret key: give its public key (`age1…`) and keep the secret out of the configuration\n\
             hint: correct `recipients` in [encryption]; `age-keygen -y FILE` prints an identity's recipient\n",
        ),
        (
            format!("\"$R\", \"{}\"", secret.to_lowercase()),
            None,
            "error: a recipient looks like a secret key: give its public key (`age1…`) and keep the secret out of the configuration\n\
             hint: correct `recipients` in [encryption]; `age-keygen -y FILE` prints an identity's recipient\n",
        ),
        (
            "\"/root/key.pub\"".to_owned(),
            None,
            "error: `/root/key.pub` looks like a path: give the public key itself\n\
             hint: correct `recipients` in [encryption]; `age-keygen -y FILE` prints an identity's recipient\n",
        ),
        (
            "\"\"".to_owned(),
            None,
            "error: a recipient is an empty text\n\
             hint: correct `recipients` in [encryption]; `age-keygen -y FILE` prints an identity's recipient\n",
        ),
        (
            String::new(),
            None,
            "error: $T/config.toml: no recipient is configured\n\
             hint: edit $T/config.toml: name at least one in `recipients` of [encryption]; keep a spare\n",
        ),
    ] {
        machine.write_config(&fed_config().replace("\"$R\"", &recipients));
        let stderr = shown.map_or(stderr.to_owned(), |shown| stderr.replace("$TYPO", shown));
        for words in ["decide 2024-01-01", "plan 2024-01-01", "init"] {
            let run = unchanged(&machine, words);
            assert!(!run.stderr.to_uppercase().contains("SECRET-KEY-1"));
            run.is(2, "", &stderr);
        }
    }
    machine.write_config(&fed_config().replace("[encryption]\nrecipients = [\"$R\"]\n", ""));
    unchanged(&machine, "decide 2024-01-01").is(
        2,
        "",
        "error: $T/config.toml: no recipient is configured\n\
         hint: edit $T/config.toml: name at least one in `recipients` of [encryption]; keep a spare\n",
    );
    assert_eq!(machine.objects(""), [] as [PathBuf; 0]);
}

#[test]
fn a_source_that_is_none_is_named_with_those_that_are() {
    let machine = archived(&["2024-01-01"]);
    let stderr = "error: unknown source `hom`, did you mean `home`?\nhint: known: `home`\n";
    for words in [
        "backup --source hom",
        "plan --source hom",
        "list --source hom",
        "show 2024-01-01 --source hom",
        "restore hom --to $T",
        "decide 2024-01-07 --source hom",
    ] {
        unchanged(&machine, words).is(2, "", stderr);
    }
}

#[test]
fn a_date_that_is_none_is_told_how_one_reads() {
    let machine = archived(&["2024-01-01"]);
    for date in [
        "2024-02-30",
        "2024-1-7",
        "07.01.2024",
        "2024-13-01",
        "2024-01-07T00:00",
    ] {
        let stderr = format!("error: `{date}` is not a date: dates look like YYYY-MM-DD\n");
        for words in [
            "backup",
            "plan",
            "plan 2024-01-01 --until",
            "show",
            "decide",
            "restore home --from store --plan --date",
        ] {
            unchanged(&machine, &format!("{words} {date}")).is(2, "", &stderr);
        }
    }
}

#[test]
fn a_date_without_an_archive_is_told_the_nearest_two() {
    let machine = archived(&["2024-01-01", "2024-01-07", "2024-01-14"]);
    for (date, nearest) in [
        ("2023-12-31", "is of 2024-01-01"),
        ("2024-01-06", "are of 2024-01-01 and 2024-01-07"),
        ("2024-01-10", "are of 2024-01-07 and 2024-01-14"),
        ("2024-01-15", "is of 2024-01-14"),
    ] {
        let stderr = format!(
            "error: home has no archive of {date}; the nearest {nearest}\n\
             hint: `coldchain list` shows what there is\n"
        );
        for words in ["--plan", "--to $T/target --identity $T/kit"] {
            let words = format!("restore home --from store --yes --date {date} {words}");
            unchanged(&machine, &words).is(2, "", &stderr);
        }
    }
    unchanged(&machine, "show 2024-01-10").is(
        2,
        "",
        "error: there is no archive `2024-01-10`\n\
         hint: `coldchain list` shows what there is\n",
    );
    unchanged(&machine, "show 2024-01-07-full-0000000000000000").is(
        2,
        "",
        "error: there is no archive `2024-01-07-full-$HEX16`\n\
         hint: `coldchain list` shows what there is\n",
    );
}

#[test]
fn what_was_never_archived_can_t_be_restored() {
    let machine = Machine::fed(None);
    let stderr = "error: home has no archive\n\
    hint: run `coldchain catalog rebuild --identity KIT` if the store has archives of an earlier catalog or of another machine\n";
    unchanged(&machine, "restore home --from store --plan").is(2, "", stderr);
    let words =
        "restore home --from store --yes --to $T/target --identity $T/kit --date 2024-01-01";
    unchanged(&machine, words).is(2, "", stderr);
}

#[test]
fn without_keys_nothing_is_archived() {
    let machine = Machine::new();
    machine.write_config(&fed_config());
    unchanged(&machine, "decide 2024-01-01").is(
        2,
        "",
        "error: $T/state has no signing.key\n\
         hint: run `coldchain init` on a machine that begins to archive, `coldchain key new` on one that only prunes, or `coldchain key rotate --kit FILE --new-signing-key` on one that continues the archives of another machine\n",
    );
    assert!(!machine.state().exists());
    let machine = Machine::fed(None);
    for file in ["root.pub", "signing.grant", "signing.key"] {
        let path = machine.state().join(file);
        let away = path.with_extension("away");
        fs::rename(&path, &away).unwrap();
        let refused = unchanged(&machine, "decide 2024-01-01");
        let stderr = format!("error: $T/state has no {file}\nhint: ");
        assert!(refused.stderr.starts_with(&stderr), "{refused:?}");
        assert_eq!(refused.code, Some(2));
        fs::rename(&away, &path).unwrap();
    }
}

#[test]
fn a_signing_key_that_others_can_read_is_not_used() {
    let machine = Machine::fed(None);
    let key = machine.state().join("signing.key");
    fs::set_permissions(key, PermissionsExt::from_mode(0o640)).unwrap();
    unchanged(&machine, "decide 2024-01-01").is(
        2,
        "",
        "error: $T/state/signing.key can be read by others (mode 640)\n\
         hint: run `chmod 600` on it; if others had access, its key is no secret any more\n",
    );
}

#[test]
fn a_store_that_is_not_mounted_is_named() {
    let machine = archived(&["2024-01-01"]);
    fs::rename(machine.path("store"), machine.path("elsewhere")).unwrap();
    unchanged(&machine, "decide 2024-01-07").is(
        1,
        "",
        "error: could not open file://$T/store: the store's directory does not exist\n\
         hint: mount it; for a new store, run `coldchain init`, which makes it\n",
    );
    fs::rename(machine.path("elsewhere"), machine.path("store")).unwrap();
    machine.write_config(&fed_config().replace("$T/store", "$T/other"));
    unchanged(&machine, "decide 2024-01-07").is(2, "", "error: `home` was archived to `home` in file://$T/store, the config now says `home` in file://$T/other\n\
    hint: set `archive_as` and `store` back; if the store itself has moved with all that is in it, run `coldchain catalog rebuild`; or give the source a new name to begin a new ledger\n");
}

#[test]
fn a_second_run_on_a_source_ends_at_once() {
    let machine = archived(&["2024-01-01"]);
    let lock = fs::File::open(machine.state().join("home.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let stderr = "error: another run of coldchain is working on `home`\n\
    hint: wait for it to end, and run again\n";
    let talk = machine.start("decide 2024-01-07");
    talk.end_with_stdin_open().is(3, "", stderr);
    // What only reads takes no lock.
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
    drop(lock);
    let talk = machine.start("decide 2024-01-02");
    talk.end_with_stdin_open().is(0, "", "");

    let Some(machine) = ready() else { return };
    let path = machine.state().join("home.lock");
    let lock = fs::File::create(path).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    unchanged(&machine, "backup 2024-01-01").is(3, "", stderr);
}

#[test]
fn a_source_that_is_no_subvolume_is_refused_before_a_snapshot() {
    let Some(machine) = ready() else { return };
    fs::create_dir(machine.btrfs().path("plain")).unwrap();
    for (subvolume, stderr) in [
        (
            "$FS/plain",
            "error: $FS/plain is not a btrfs subvolume\n\
             hint: name the root of a subvolume; `btrfs subvolume list` shows those of a filesystem\n",
        ),
        (
            "$FS/nothing",
            "error: $FS/nothing does not exist\n\
             hint: check the path, and whether its filesystem is mounted\n",
        ),
        (
            "/proc",
            "error: /proc is not on a btrfs filesystem\n\
             hint: check the path, and whether the right filesystem is mounted there\n",
        ),
    ] {
        machine.write_config(&LIVE_CONFIG.replace("$FS/home", subvolume));
        unchanged(&machine, "backup 2024-01-01").is(2, "", stderr);
        unchanged(&machine, "init --kit $T/kit").is(2, "", stderr);
    }
    assert_eq!(machine.archived(), [] as [&str; 0]);
}

#[test]
fn a_snapshots_directory_that_can_t_hold_them_is_refused() {
    let Some(machine) = ready() else { return };
    fs::write(machine.btrfs().path("file"), "").unwrap();
    for (snapshots, stderr) in [
        (
            "$FS/nothing",
            "error: there is no directory $FS/nothing for the snapshots of `home`\n\
             hint: create it, or run `coldchain init`\n",
        ),
        (
            "$FS/file",
            "error: there is no directory $FS/file for the snapshots of `home`\n\
             hint: create it, or run `coldchain init`\n",
        ),
        (
            "/proc",
            "error: /proc is not on a btrfs filesystem\n\
             hint: check the path, and whether the right filesystem is mounted there\n",
        ),
    ] {
        machine.write_config(&LIVE_CONFIG.replace("$FS/snapshots", snapshots));
        unchanged(&machine, "backup 2024-01-01").is(2, "", stderr);
    }
    let other = LoopFs::new(128);
    let elsewhere = other.root().display().to_string();
    machine.write_config(&LIVE_CONFIG.replace("$FS/snapshots", &elsewhere));
    let run = unchanged(&machine, "backup 2024-01-01");
    run.is(2, "", &"error: the snapshots directory $OTHER is not on the filesystem of $FS/home\n\
    hint: set `snapshots` to a directory on the filesystem of the subvolume: btrfs makes a snapshot only within one\n".replace("$OTHER", &elsewhere));
    assert_eq!(fs::read_dir(other.root()).unwrap().count(), 0);
}

#[test]
fn a_source_that_was_received_is_refused() {
    let Some(machine) = ready() else { return };
    let fs = machine.btrfs();
    let read_only = fs.path("sent");
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[&fs.path("home"), &read_only],
    );
    std::fs::create_dir(fs.path("received")).unwrap();
    let stream = machine.path("stream");
    let mut send = std::process::Command::new("btrfs");
    run(send
        .args(["send", "--quiet", "-f"])
        .args([&stream, &read_only]))
    .unwrap();
    let mut receive = std::process::Command::new("btrfs");
    run(receive
        .args(["receive", "-f"])
        .args([&stream, &fs.path("received")]))
    .unwrap();
    let received = coldchain::btrfs::identity(&fs.path("received/sent")).unwrap();
    machine.write_config(&LIVE_CONFIG.replace("$FS/home", "$FS/received/sent"));
    let stderr = format!(
        "error: $FS/received/sent has a received uuid ({}), so its stream would carry the uuid of another subvolume\n\
         hint: archive a writable snapshot of it instead: `btrfs subvolume snapshot` drops the received uuid\n",
        received.received_uuid.unwrap()
    );
    unchanged(&machine, "backup 2024-01-01").is(2, "", &stderr);
}

#[test]
fn whoever_is_not_root_is_told() {
    let Some(machine) = ready() else { return };
    let program = machine.path("coldchain");
    crate::common::stub::copy_program(&program);
    for path in [
        program.clone(),
        machine.path(""),
        machine.path("config.toml"),
    ] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let as_nobody = |words: &str| {
        let mut command = machine.command_of(&program, words);
        unchanged_with(&machine, |machine| machine.run_command(command.uid(65534)))
    };
    as_nobody("backup 2024-01-01").is(
        8,
        "",
        "error: only root may do this (the effective uid is 65534)\n\
         hint: run it as root: snapshots, send and receive need it\n",
    );
    // The state is readable by its owner alone.
    as_nobody("list").is(
        1,
        "",
        "error: could not look for $T/state/catalog.db\n\
         caused by: Permission denied (os error 13)\n",
    );
}

#[test]
fn a_program_that_is_missing_or_too_old_is_named() {
    let Some(machine) = ready() else { return };
    fs::create_dir(machine.path("bin")).unwrap();
    let with_stub = |words: &str| {
        let mut command = machine.command(words);
        command.env("PATH", machine.path("bin"));
        unchanged_with(&machine, |machine| machine.run_command(&mut command))
    };
    for (prints, stderr) in [
        (
            "btrfs-progs v5.10",
            "error: btrfs-progs 5.10 is too old: 5.15 or newer is needed for send and receive\n\
             hint: install btrfs-progs from your distribution, 6.2 or later if you can\n",
        ),
        (
            "btrfs-progs v5.14.2",
            "error: btrfs-progs 5.14.2 is too old: 5.15 or newer is needed for send and receive\n\
             hint: install btrfs-progs from your distribution, 6.2 or later if you can\n",
        ),
        (
            "busybox",
            "error: `$T/bin/btrfs version` prints no version of btrfs-progs: busybox\n\
             hint: install btrfs-progs from your distribution, 6.2 or later if you can\n",
        ),
    ] {
        write_script(&machine.path("bin/btrfs"), &format!("echo {prints}"));
        with_stub("backup 2024-01-01").is(8, "", stderr);
    }
    for (line, version, stderr) in [
        (
            "compressed_data = \"inexact\"",
            "6.1.3",
            "error: btrfs-progs 6.1.3 is too old: 6.2 or newer is needed for compressed data\n\
             hint: install btrfs-progs from your distribution, 6.2 or later if you can\n",
        ),
        (
            "protocol = 2",
            "5.18.1",
            "error: btrfs-progs 5.18.1 is too old: 5.19 or newer is needed for send streams of version 2\n\
             hint: install btrfs-progs from your distribution, 6.2 or later if you can\n",
        ),
    ] {
        let source = format!("store = \"disk\"\n{line}");
        machine.write_config(&LIVE_CONFIG.replace("store = \"disk\"", &source));
        write_script(
            &machine.path("bin/btrfs"),
            &format!("echo btrfs-progs v{version}"),
        );
        with_stub("backup 2024-01-01").is(8, "", stderr);
    }
    machine.write_config(LIVE_CONFIG);
    // What asks nothing of btrfs works without it.
    let plan = with_stub("plan 2024-01-01 --quiet");
    plan.is(
        0,
        "2024-01-01  home  full         there is no archive yet\n",
        "",
    );
}

#[test]
fn something_in_the_snapshot_s_place_is_left_alone() {
    let Some(machine) = ready() else { return };
    let place = machine.btrfs().path("snapshots/2024-01-01");
    let refused = |what: &str| {
        let refused = unchanged(&machine, "backup 2024-01-01");
        let error =
            format!("error: $FS/snapshots/2024-01-01 is in the way of the snapshot: {what}");
        assert!(refused.stderr.starts_with(&error), "{refused:?}");
        let hint = "\nhint: rename it or delete it, and run again\n";
        assert!(refused.stderr.ends_with(hint), "{refused:?}");
        assert_eq!(refused.code, Some(2));
    };
    fs::create_dir(&place).unwrap();
    refused("it is no subvolume\n");
    fs::remove_dir(&place).unwrap();
    fs::write(&place, "").unwrap();
    refused("it is no subvolume\n");
    fs::remove_file(&place).unwrap();
    let home = machine.btrfs().path("home");
    // Writable, of another subvolume, and somewhere else.
    btrfs(["subvolume", "snapshot"], &[&home, &place]);
    refused("it is no read-only snapshot of $FS/home\n");
    btrfs(["subvolume", "delete"], &[&place]);
    let other = machine.btrfs().subvolume("other");
    btrfs(["subvolume", "snapshot", "-r"], &[&other, &place]);
    refused("it is no read-only snapshot of $FS/home\n");
    let elsewhere = machine.btrfs().path("elsewhere");
    btrfs(["subvolume", "delete"], &[&place]);
    btrfs(["subvolume", "snapshot", "-r"], &[&home, &elsewhere]);
    std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
    refused("it is a symbolic link\n");
    fs::remove_file(&place).unwrap();
    // One that coldchain made, and somebody replaced.
    assert_eq!(machine.run("backup 2024-01-01").code, Some(0));
    btrfs(["subvolume", "delete"], &[&place]);
    btrfs(["subvolume", "snapshot"], &[&home, &place]);
    refused("another subvolume is there, with uuid ");
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
}

#[test]
fn a_date_that_can_t_be_archived_under_is_refused_before_a_snapshot() {
    let Some(machine) = ready() else { return };
    assert_eq!(machine.run("backup 2024-01-07").code, Some(0));
    for (words, stderr) in [
        (
            "backup 2024-01-06",
            "error: cannot archive 2024-01-06: there is a later archive, of 2024-01-07, and archives are made in the order of their dates\n\
             hint: give a later date. If you did not make that archive, run `coldchain key show --entries` to see which key signed it; docs/keys.md says what to do\n",
        ),
        (
            "backup 2024-01-06 --full --date-override",
            "error: cannot archive 2024-01-06: there is a later archive, of 2024-01-07, and archives are made in the order of their dates\n\
             hint: give a later date. If you did not make that archive, run `coldchain key show --entries` to see which key signed it; docs/keys.md says what to do\n",
        ),
        (
            "backup 2999-01-01",
            "error: 2999-01-01 is more than a day after today, $TODAY\n\
             hint: check the date and the system clock, or add --date-override\n",
        ),
        (
            "backup 2999-01-01 --dry-run",
            "error: 2999-01-01 is more than a day after today, $TODAY\n\
             hint: check the date and the system clock, or add --date-override\n",
        ),
        (
            "backup 2024-01-07 --full",
            "error: 2024-01-07 is archived already, and a date has one archive\n\
             hint: ask for a full on another date\n",
        ),
    ] {
        unchanged(&machine, words).is(2, "", stderr);
    }
    // A plan may be asked about any date.
    let plan = machine.run("plan 2999-01-01 --quiet");
    plan.is(0, "2999-01-01  home  incremental  the slot of 2999-01-01 is open, and the chain of 2024-01-07 has 0 of 11 incrementals\n", "");
    assert_eq!(machine.archived(), ["2024-01-07 full"]);
}

#[test]
fn a_source_without_a_subvolume_is_not_for_backup() {
    let machine = archived(&["2024-01-01"]);
    unchanged(&machine, "backup 2024-01-07 --source home").is(
        2,
        "",
        "error: `home` has no `subvolume` in the config\n\
         hint: add `subvolume` and `snapshots` to its [[source]], or archive it with `coldchain decide`\n",
    );
}

#[test]
fn an_identity_that_opens_nothing_makes_no_directory() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived_on(Machine::fed(Some(LoopFs::new(128))), &["2024-01-01"]);
    let (secret, _) = coldchain::seal::generate_identity();
    fs::write(machine.path("other"), secret).unwrap();
    fs::write(machine.path("empty"), "# no key\n").unwrap();
    let machine_recipient = machine.fill("$R\n");
    fs::write(machine.path("public"), machine_recipient).unwrap();
    for (identity, code, stderr) in [
        (
            "--identity $T/other",
            1,
            "error: could not unlock 2024-01-01-full-$HEX16 with $T/other\n\
             caused by: none of the identities opens the archive key\n\
             hint: give the identity of one of the recipients that it was sealed to: the recovery kit, or the key file named in your notes\n",
        ),
        (
            "--identity $T/nothing",
            2,
            "error: cannot read the identity file $T/nothing\n\
             caused by: No such file or directory (os error 2)\n\
             hint: give the recovery kit, an age identity file, or an ssh private key\n",
        ),
        (
            "--identity $T/empty",
            2,
            "error: the identity file $T/empty has no identity in it\n\
             hint: give the recovery kit, an age identity file, or an ssh private key\n",
        ),
        (
            "--identity $T/public",
            2,
            "error: line 1 of the identity file $T/public is a public key: the secret one is needed\n\
             hint: give the recovery kit, an age identity file, or an ssh private key\n",
        ),
        (
            "--identity $T",
            2,
            "error: cannot read the identity file $T\n\
             caused by: Is a directory (os error 21)\n\
             hint: give the recovery kit, an age identity file, or an ssh private key\n",
        ),
        (
            "",
            2,
            "error: this command needs an identity\n\
             hint: give --identity FILE, or set COLDCHAIN_IDENTITY_FILE: the recovery kit, an age or an ssh key file\n",
        ),
    ] {
        let run = unchanged(
            &machine,
            &format!("restore home --from store --yes --to $FS {identity}"),
        );
        run.is(code, "", stderr);
    }
}

#[test]
fn a_target_that_can_t_take_a_restore_is_refused() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived_on(Machine::fed(Some(LoopFs::new(128))), &["2024-01-01"]);
    let fs = machine.btrfs();
    for directory in ["plain", "plain/home", "file", "link"] {
        std::fs::create_dir(fs.path(directory)).unwrap();
    }
    std::fs::write(fs.path("plain/home/letter"), "mine\n").unwrap();
    std::fs::write(fs.path("file/home"), "mine\n").unwrap();
    std::os::unix::fs::symlink("../plain", fs.path("link/home")).unwrap();
    for (target, stderr) in [
        (
            "/proc",
            "error: /proc is not on a btrfs filesystem\n\
             hint: check the path, and whether the right filesystem is mounted there\n",
        ),
        (
            "$FS/nothing",
            "error: there is no target directory $FS/nothing\n\
             hint: create it on a btrfs filesystem, or name another directory with --to\n",
        ),
        (
            "$FS/plain",
            "error: $FS/plain/home is in the way: no restore of coldchain made it\n\
             hint: move it away, or restore into another directory\n",
        ),
        (
            "$FS/file",
            "error: $FS/file/home is in the way: it is not a directory\n\
             hint: move it away, or restore into another directory\n",
        ),
        (
            "$FS/link",
            "error: $FS/link/home is in the way: it is not a directory\n\
             hint: move it away, or restore into another directory\n",
        ),
        (
            "$FS/file/home",
            "error: there is no target directory $FS/file/home\n\
             hint: create it on a btrfs filesystem, or name another directory with --to\n",
        ),
    ] {
        let words = format!("restore home --from store --yes --identity $T/kit --to {target}");
        unchanged(&machine, &words).is(2, "", stderr);
    }
}

/// A machine with a full of one small segment and an incremental of two, and where to restore it.
fn two_archives() -> Option<(Machine, PathBuf)> {
    let machine = ready()?;
    let fs = machine.btrfs();
    assert_eq!(machine.run("backup 2024-01-01").code, Some(0));
    let noise = Rng::new(5).bytes(20 << 20);
    std::fs::write(fs.path("home/noise"), noise).unwrap();
    assert_eq!(machine.run("backup 2024-01-07").code, Some(0));
    let target = fs.path("target");
    std::fs::create_dir(&target).unwrap();
    Some((machine, target))
}

/// What stands in a restore's directory.
fn restored(target: &Path) -> Vec<String> {
    let entries = fs::read_dir(target.join("home")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_damaged_or_missing_segment_ends_a_restore_and_leaves_nothing_that_looks_complete() {
    let Some((machine, target)) = two_archives() else {
        return;
    };
    let segments = machine.objects(".zst.age");
    let second = segments
        .iter()
        .find(|path| {
            let path = path.to_string_lossy();
            path.contains("2024-01-07") && path.contains("/000001-")
        })
        .unwrap();
    let words = "restore home --from store --yes --identity $T/kit --to $FS/target";
    let whole = fs::read(second).unwrap();
    let length = whole.len();
    fs::set_permissions(second, PermissionsExt::from_mode(0o600)).unwrap();
    let ends = |what: &str| {
        let stderr = format!(
            "error: segment 1 of 2024-01-07-incr-$HEX16 is damaged: {what} (home/archives/2024-01-07-incr-$HEX16/000001-$HEX16.zst.age)\n\
             hint: restore another date, or put the object back from a copy of the store; the archives that are already restored stay\n"
        );
        machine.run(words).is(6, "", &stderr);
        // The earlier archive stays, and of the damaged one nothing.
        assert_eq!(restored(&target), [".coldchain-restore.json", "2024-01-01"]);
        let kept = coldchain::btrfs::identity(&target.join("home/2024-01-01")).unwrap();
        assert!(kept.read_only && kept.received_uuid.is_some());
    };
    for at in [0, whole.len() as u64 / 2, whole.len() as u64 - 1] {
        flip(second, at);
        ends("its SHA-256 is not the one in the ledger");
        flip(second, at);
    }
    fs::write(second, &whole[..whole.len() - 1]).unwrap();
    ends(&format!(
        "it has {} bytes, {length} were stored",
        length - 1
    ));
    fs::write(second, [&whole[..], &[0]].concat()).unwrap();
    ends(&format!(
        "it is longer than the {length} bytes that were stored"
    ));
    fs::remove_file(second).unwrap();
    ends("it is missing");
    // Put back, the same command goes on where it stopped.
    fs::write(second, &whole).unwrap();
    machine.run(words).is(
        0,
        "home: 2024-01-07 is restored in $FS/target/home/2024-01-07\n",
        "",
    );
    let [original, copy] = ["home/noise", "target/home/2024-01-07/noise"]
        .map(|path| fs::read(machine.btrfs().path(path)).unwrap());
    assert!(original == copy);
}

#[test]
fn a_damaged_first_segment_leaves_no_subvolume_at_all() {
    let Some((machine, target)) = two_archives() else {
        return;
    };
    let segments = machine.objects(".zst.age");
    let first = segments
        .iter()
        .find(|path| path.to_string_lossy().contains("2024-01-01"))
        .unwrap();
    fs::set_permissions(first, PermissionsExt::from_mode(0o600)).unwrap();
    flip(first, 300);
    let mut run =
        machine.run("restore home --from store --yes --identity $T/kit --to $FS/target --json");
    let told = std::mem::take(&mut run.stdout);
    assert!(
        told.starts_with(r#"{"archives":2,"event":"restoring","raw_bytes":"#),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "nothing stands: {told}");
    run.is(6, "", r#"{"error":{"code":6,"hint":"restore another date, or put the object back from a copy of the store; the archives that are already restored stay","message":"segment 0 of 2024-01-01-full-$HEX16 is damaged: its SHA-256 is not the one in the ledger (home/archives/2024-01-01-full-$HEX16/000000-$HEX16.zst.age)"}}
"#);
    assert_eq!(restored(&target), [".coldchain-restore.json"]);
}
