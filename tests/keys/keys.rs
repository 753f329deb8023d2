//! `coldchain key` and the recovery kit, with the real program: what a kit says and proves, who opens
//! the archives, and who signs the ledger.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::files_below;
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;
use coldchain::kit::Kit;
use coldchain::ledger::SigningKey;
use coldchain::model::Sha256;
use coldchain::seal::generate_identity;
use serde_json::{Value, json};

/// A machine that was fed a made-up chain of these dates.
fn archived(dates: &[&str]) -> Machine {
    let machine = Machine::fed(None);
    feed(&machine, dates, 0);
    machine
}

/// Feeds a chain whose streams have these numbers: the first is a full.
fn feed(machine: &Machine, dates: &[&str], first: u8) {
    for (at, date) in (0..).zip(dates) {
        let run = machine.run_with(&format!("decide {date}"), &stream(date, first, at));
        assert_eq!(run.code, Some(0), "{date}: {}", run.stderr);
    }
}

fn stream(date: &str, first: u8, at: u8) -> Vec<u8> {
    let uuid = |at: u8| [b'a' + first + at; 16];
    let stream = StreamBuilder::header(1);
    let stream = match at {
        0 => stream.subvol(date.as_bytes(), uuid(at), 10).mkfile(b"file"),
        _ => stream.snapshot(date.as_bytes(), uuid(at), 10, uuid(at - 1), 10),
    };
    stream.write(b"file", 0, date.as_bytes()).finish()
}

fn kit_text(machine: &Machine) -> String {
    fs::read_to_string(machine.path("kit")).unwrap()
}

fn kit(machine: &Machine) -> Kit {
    Kit::parse(kit_text(machine).as_bytes()).unwrap()
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

fn json(run: &Run) -> Value {
    serde_json::from_str(ok(run)).unwrap()
}

/// The number and hash of the newest entry in the store.
fn head(machine: &Machine) -> (u64, Sha256) {
    let entries = machine.objects(".entry");
    let newest = fs::read(entries.last().unwrap()).unwrap();
    let end = newest.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    (entries.len() as u64, Sha256::of(&newest[..end]))
}

/// This machine's public signing key.
fn own_key(machine: &Machine) -> String {
    let shown = json(&machine.run("key show --json"));
    shown["signing_key"].as_str().unwrap().to_owned()
}

/// The keys of the source's ledger after the root key: key and roles.
fn granted(machine: &Machine) -> Vec<(String, Vec<String>)> {
    let shown = json(&machine.run("key show --json"));
    let keys = shown["sources"][0]["keys"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(keys[0]["key"], shown["root_key"]);
    keys[1..]
        .iter()
        .map(|key| {
            let roles = key["roles"].as_array().unwrap().iter().map(text);
            (text(&key["key"]), roles.collect())
        })
        .collect()
}

#[test]
fn a_kit_is_brought_up_to_date_and_says_how_far_the_ledger_went() {
    let machine = archived(&["2024-01-01", "2024-01-07"]);
    let before = kit_text(&machine);
    assert_eq!(kit(&machine).sources[0].head, None);
    let stdout = "\
brought $T/kit up to date: print it and keep it away from this machine

# on an empty machine:
coldchain catalog rebuild --identity kit --store file://$T/store
coldchain restore home --identity kit --to DIRECTORY

# without coldchain: docs/restore-without-coldchain.md, and README-RESTORE.txt in the store
";
    machine.run("key kit --kit $T/kit").is(0, stdout, "");

    let after = kit_text(&machine);
    let (secrets, _) = before.split_once("# source home\n").unwrap();
    assert!(after.starts_with(secrets), "{after}");
    let source = &kit(&machine).sources[0];
    let known = source.head.unwrap();
    assert_eq!((known.seq, known.hash), head(&machine));
    assert_eq!(source.directory, "home");
    let mode = machine.path("kit").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!machine.path("kit.new").exists());

    let again = stdout.replace(
        "brought $T/kit up to date: print it and keep it away from this machine",
        "$T/kit is up to date",
    );
    machine.run("key kit --kit $T/kit").is(0, &again, "");
    assert_eq!(kit_text(&machine), after);
}

#[test]
fn a_kit_that_knows_more_than_the_catalog_is_not_set_back() {
    let machine = archived(&["2024-01-01"]);
    fs::copy(machine.path("state/catalog.db"), machine.path("older.db")).unwrap();
    feed_one(&machine, "2024-01-07", 1);
    ok(&machine.run("key kit --kit $T/kit --quiet"));
    let newer = kit_text(&machine);
    fs::rename(machine.path("older.db"), machine.path("state/catalog.db")).unwrap();
    for journal in ["catalog.db-wal", "catalog.db-shm"] {
        let _ = fs::remove_file(machine.state().join(journal));
    }
    machine.run("key kit --kit $T/kit").is(
        6,
        "",
        "error: $T/kit names an entry 3 of `home` that the catalog does not have\n\
         hint: run `coldchain catalog rebuild --identity KIT` to compare the store with the kit; the kit was not changed\n",
    );
    assert_eq!(kit_text(&machine), newer);
}

#[test]
fn without_the_kit_a_supplement_says_all_but_its_secrets() {
    let machine = archived(&["2024-01-01"]);
    // As it is printed: elsewhere `$HEX32` stands for the ledger's id.
    let output = machine.command("key kit").output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let read = Kit::parse(&output.stdout).unwrap();
    assert!(read.root_secret.is_none());
    assert_eq!(read.root, kit(&machine).root);
    let known = read.sources[0].head.unwrap();
    assert_eq!((known.seq, known.hash), head(&machine));
    assert_eq!(read.sources[0].ledger, kit(&machine).sources[0].ledger);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.starts_with('#')));
    assert!(!text.contains("AGE-SECRET-KEY"));
    assert!(!text.contains("untrusted comment"));
}

#[test]
fn a_kit_that_can_t_be_relied_on_or_is_another_s_is_left_as_it_is() {
    let machine = archived(&["2024-01-01"]);
    let other = Machine::fed(None);
    fs::copy(other.path("kit"), machine.path("other")).unwrap();
    let trusted = kit(&machine).root.unwrap();
    let found = kit(&other).root.unwrap();
    let stderr = format!(
        "error: $T/other belongs to the root key {found}, but this machine trusts {trusted}\n\
         hint: nothing was done; give the kit of this machine's ledgers\n"
    );
    let before = machine.standing();
    for words in [
        "key kit --kit $T/other",
        "key check --identity $T/other",
        "key rotate --kit $T/other --new-signing-key",
    ] {
        machine.run(words).is(2, "", &stderr);
    }
    let broken = kit_text(&machine).replace("#   ledger  ", "#   ledger  x");
    fs::write(machine.path("other"), broken).unwrap();
    let line = kit_text(&machine)
        .lines()
        .position(|line| line.starts_with("#   ledger"))
        .unwrap()
        + 1;
    machine.run("key kit --kit $T/other").is(
        2,
        "",
        &format!(
            "error: could not understand the recovery kit $T/other\ncaused by: line {line}: it is no ledger id\n\
             hint: correct the kit, or use an older copy of it; nothing was changed\n"
        ),
    );
    fs::remove_file(machine.path("other")).unwrap();
    fs::copy(other.path("kit"), machine.path("other")).unwrap();
    assert_eq!(machine.standing(), before);
}

#[test]
fn a_check_proves_what_a_kit_opens() {
    let machine = archived(&["2024-01-01", "2024-01-07"]);
    let good = "\
home: chain of 2024-01-01: 2 of 2 archives opened; newest archive 2024-01-07: key.age matches the ledger, first segment opened
root secret: matches the root key that is trusted here
";
    machine.run("key check --identity $T/kit").is(0, good, "");

    let (secret, _) = generate_identity();
    fs::write(machine.path("stranger"), secret).unwrap();
    machine.run("key check --identity $T/stranger").is(
        1,
        "\
home: chain of 2024-01-01: 0 of 2 archives opened; newest archive 2024-01-07: key.age matches the ledger, first segment not tried: its key is not opened
  not opened: 2024-01-01-full-$HEX16
  not opened: 2024-01-07-incr-$HEX16
root secret: is not in this file
",
        "error: $T/stranger does not open 2 of 2 archives\n\
         hint: run `coldchain key add-recipient` with an identity that opens them, to seal their keys to the recipient of this identity too\n",
    );

    let hint = "error: the newest archive is damaged in 1 of 1 chain\n\
                hint: `coldchain verify` says what else is damaged\n";
    let key = &machine.objects("key.age")[1];
    let sound = fs::read(key).unwrap();
    fs::write(key, b"something else").unwrap();
    let run = machine.run("key check --identity $T/kit");
    let stdout = good.replace(
        "key.age matches the ledger",
        "key.age BAD: it is not the one in the ledger",
    );
    run.is(6, &stdout, hint);
    fs::write(key, sound).unwrap();

    fs::remove_file(&machine.objects(".zst.age")[1]).unwrap();
    let stdout = good.replace("first segment opened", "first segment BAD: it is missing");
    machine
        .run("key check --identity $T/kit")
        .is(6, &stdout, hint);
}

#[test]
fn a_further_recipient_opens_what_was_archived_before_it() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(Some(LoopFs::new(256)));
    feed(&machine, &["2024-01-01", "2024-01-07"], 0);
    let (secret, recipient) = generate_identity();
    fs::write(machine.path("spare"), secret).unwrap();
    let segments = || -> Vec<_> {
        let read = |path: &_| fs::read(path).unwrap();
        machine.objects(".zst.age").iter().map(read).collect()
    };
    let before = segments();
    let restore = "restore home --from store --to $FS --identity $T/spare --yes";
    assert_eq!(machine.run(restore).code, Some(1));

    let add = format!("key add-recipient {recipient} --identity $T/kit");
    let advice = "add it to `recipients` in $T/config.toml, so that the archives to come are sealed to it too; the first of them begins a new chain\n";
    machine.run(&add).is(
        0,
        &format!("home: the keys of 2 archives sealed to it\n{advice}"),
        "",
    );
    let entries = machine.objects(".entry").len();
    machine.run(&add).is(
        0,
        &format!("home: the keys of 0 archives sealed to it, 2 were sealed to it before\n{advice}"),
        "",
    );
    assert_eq!(machine.objects(".entry").len(), entries);
    assert_eq!(segments(), before);

    ok(&machine.run("key check --identity $T/spare"));
    ok(&machine.run(restore));
    let restored = machine.btrfs().path("home/2024-01-07/file");
    assert_eq!(fs::read_to_string(restored).unwrap(), "2024-01-07");

    // With it in the config the next archive is a full of a new chain, which says why.
    let config = fed_config().replace("[\"$R\"]", &format!("[\"$R\", \"{recipient}\"]"));
    machine.write_config(&config);
    let plan = machine.run("plan 2024-01-14");
    assert!(
        ok(&plan).contains("  full         the recipients have changed since 2024-01-07\n"),
        "{}",
        plan.stdout
    );
    feed(&machine, &["2024-01-14"], 5);
    machine.run(&add).is(
        0,
        "home: the keys of 0 archives sealed to it, 3 were sealed to it before\n",
        "",
    );
}

#[test]
fn who_opens_nothing_adds_nobody() {
    let machine = archived(&["2024-01-01"]);
    let (secret, recipient) = generate_identity();
    fs::write(machine.path("stranger"), secret).unwrap();
    let entries = machine.objects(".entry").len();
    let run = machine.run(&format!(
        "key add-recipient {recipient} --identity $T/stranger --quiet"
    ));
    run.is(
        1,
        "",
        "error: $T/stranger does not open 1 of 1 archive, so the recipient was not added to them\n\
         hint: give the identity of a recipient that they were sealed to; `coldchain key check` shows what an identity opens\n",
    );
    machine
        .run("key add-recipient age1nonsense --identity $T/kit")
        .code
        .filter(|code| *code == 2)
        .expect("what is no recipient is a usage error");
    assert_eq!(machine.objects(".entry").len(), entries);
}

#[test]
fn a_key_that_was_removed_archives_nothing_until_a_new_one_is_made() {
    let machine = archived(&["2024-01-01"]);
    let lost = own_key(&machine);
    assert_eq!(
        granted(&machine),
        [(lost.clone(), vec!["pruner".to_owned(), "writer".to_owned()])]
    );
    let root = kit(&machine).root.unwrap();
    machine
        .run(&format!("key rotate --kit $T/kit --remove {lost}"))
        .is(
            0,
            &format!(
                "home: ledger entry 3 names the keys\n  {root}  root\n  no key may archive there any more\n"
            ),
            "",
        );
    // Once more changes nothing.
    let again = machine.run(&format!("key rotate --kit $T/kit --remove {lost}"));
    assert!(ok(&again).starts_with("home: nothing to change\n"));

    let before = machine.standing();
    let refused = format!(
        "error: the ledger of `home` does not grant this machine's key the writer role: {lost}\n\
         hint: run `coldchain key show` to see which key has which role, and `coldchain key rotate --kit FILE --add KEY --role ROLE` to give one; nothing was stored\n"
    );
    machine
        .run_with("decide 2024-01-07", &stream("2024-01-07", 0, 1))
        .is(6, "", &refused);
    assert_eq!(machine.standing(), before);

    // A run that died before every ledger knew the key has left it aside: it is gone on with.
    let (old, coming) = (
        machine.state().join("signing.key"),
        machine.state().join("signing.key.new"),
    );
    let other = Machine::fed(None);
    fs::copy(other.state().join("signing.key"), &coming).unwrap();
    let run = machine.run("key rotate --kit $T/kit --new-signing-key");
    let new = own_key(&machine);
    assert_eq!(new, own_key(&other));
    assert_eq!(
        run.stdout,
        format!(
            "home: ledger entry 4 names the keys\n  {root}  root\n  {new}  pruner and writer  (this machine)\n\
             this machine signs with {new} from now on\n"
        )
    );
    assert!(!coming.exists());
    assert_eq!(old.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    feed_one(&machine, "2024-01-07", 1);
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );

    // The root secret was never written here.
    let secret = kit(&machine).root_secret.unwrap().to_file_text();
    let secret = secret.lines().nth(1).unwrap();
    for bytes in files_below(&machine.state()).into_values() {
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found);
    }
}

fn feed_one(machine: &Machine, date: &str, at: u8) {
    let run = machine.run_with(&format!("decide {date}"), &stream(date, 0, at));
    assert_eq!(run.code, Some(0), "{date}: {}", run.stderr);
}

#[test]
fn a_separate_pruner_is_given_its_role_and_nothing_else() {
    let machine = archived(&["2024-01-01"]);
    let pruner = Machine::new();
    pruner.write_config(&fed_config());
    let run = pruner.run("key new");
    let key = own_key(&pruner);
    assert_eq!(
        ok(&run),
        format!(
            "signing key  {key}\nit signs nothing yet; where the recovery kit is, run\n  \
             coldchain key rotate --kit FILE --add {key} --role pruner\n"
        )
    );
    pruner.run("key new").is(
        2,
        "",
        "error: $T/state/signing.key exists already\n\
         hint: nothing was overwritten; name another file, or move it away\n",
    );
    let own = own_key(&machine);
    ok(&machine.run(&format!(
        "key rotate --kit $T/kit --add {key} --role pruner"
    )));
    ok(&machine.run(&format!(
        "key rotate --kit $T/kit --add {own} --role writer"
    )));
    let roles = |role: &str| vec![role.to_owned()];
    assert_eq!(
        granted(&machine),
        [(own, roles("writer")), (key, roles("pruner"))]
    );
    feed_one(&machine, "2024-01-07", 1);

    // With the root public key it reads the ledger, and has what a pruner needs.
    let store = machine.path("store").display().to_string();
    pruner.write_config(&fed_config().replace("$T/store", &store));
    let root = kit(&machine).root.unwrap();
    let rebuilt = pruner.run(&format!("catalog rebuild --trust {root}"));
    assert!(ok(&rebuilt).starts_with("home: 5 entries read, 2 archives\n"));
    ok(&pruner.run("prune"));
    let refused = pruner.run_with("decide 2024-01-14", &stream("2024-01-14", 0, 2));
    assert_eq!(refused.code, Some(6), "{}", refused.stderr);
    assert!(
        refused.stderr.starts_with(
            "error: the ledger of `home` does not grant this machine's key the writer role"
        ),
        "{}",
        refused.stderr
    );
}

/// The keys of the ledger of a source after the root key, with the roles of each.
fn roles_in(machine: &Machine, source: &str) -> Vec<(String, Value)> {
    let shown = json(&machine.run("key show --json"));
    let sources = shown["sources"].as_array().unwrap().iter();
    let found = sources
        .filter(|found| found["source"] == source)
        .flat_map(|found| found["keys"].as_array().unwrap().iter().skip(1));
    found
        .map(|key| {
            (
                key["key"].as_str().unwrap().to_owned(),
                key["roles"].clone(),
            )
        })
        .collect()
}

/// A further source in the same store.
fn with_mail(config: &str) -> String {
    config.replace(
        "[store.disk]",
        "[[source]]\nname = \"mail\"\nstore = \"disk\"\n\n[store.disk]",
    )
}

fn feed_mail(machine: &Machine) {
    let run = machine.run_with(
        "decide 2024-01-01 --source mail",
        &stream("2024-01-01", 9, 0),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_machine_that_does_not_prune_has_a_key_that_can_t() {
    let machine = Machine::new();
    machine.write_config(&format!("prune = \"elsewhere\"\n{}", fed_config()));
    ok(&machine.run("init --kit $T/kit --quiet"));
    feed(&machine, &["2024-01-01"], 0);
    let own = own_key(&machine);
    assert_eq!(
        roles_in(&machine, "home"),
        [(own.clone(), json!(["writer"]))]
    );
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    let new = own_key(&machine);
    assert_ne!(new, own);
    assert_eq!(roles_in(&machine, "home"), [(new, json!(["writer"]))]);
}

#[test]
fn what_a_rotation_leaves_this_machine_s_key_holds_in_ledgers_to_come() {
    let machine = archived(&["2024-01-01"]);
    let own = own_key(&machine);
    ok(&machine.run(&format!(
        "key rotate --kit $T/kit --add {own} --role writer"
    )));
    machine.write_config(&with_mail(&fed_config()));
    feed_mail(&machine);
    assert_eq!(
        roles_in(&machine, "mail"),
        [(own.clone(), json!(["writer"]))]
    );
    // A key that may not archive any more opens nothing either.
    ok(&machine.run(&format!("key rotate --kit $T/kit --remove {own}")));
    assert!(!machine.state().join("signing.grant").exists());
    ok(&machine.run(&format!(
        "key rotate --kit $T/kit --add {own} --role writer --role pruner"
    )));
    assert!(machine.state().join("signing.grant").exists());
}

#[test]
fn a_pruner_refuses_a_source_whose_ledger_it_has_not_read() {
    let machine = archived(&["2024-01-01"]);
    let pruner = Machine::new();
    // As docs/keys.md has it.
    let store = machine.path("store").display().to_string();
    let config = fed_config().replace("$T/store", &store);
    let (config, _) = config.split_once("[encryption]").unwrap();
    pruner.write_config(config);
    let refused = pruner.run("prune");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("`coldchain key new`"),
        "{refused:?}"
    );
    ok(&pruner.run("key new"));
    let refused = pruner.run("prune");
    assert!(refused.stderr.contains("--trust RW"), "{refused:?}");
    let key = own_key(&pruner);
    ok(&machine.run(&format!(
        "key rotate --kit $T/kit --add {key} --role pruner"
    )));
    let root = kit(&machine).root.unwrap();
    ok(&pruner.run(&format!("catalog rebuild --trust {root}")));
    ok(&pruner.run("prune"));

    machine.write_config(&with_mail(&fed_config()));
    feed_mail(&machine);
    pruner.write_config(&with_mail(config));
    for words in ["prune mail", "prune mail --dry-run"] {
        let refused = pruner.run(words);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.stderr.starts_with(&format!(
                "error: the store file://{store} has a ledger of `mail` that the catalog here does not know\n\
                 hint: run `coldchain catalog rebuild --identity KIT`, which reads it; "
            )),
            "{refused:?}"
        );
    }
    ok(&machine.run(&format!(
        "key rotate --kit $T/kit --add {key} --role pruner"
    )));
    ok(&pruner.run("catalog rebuild"));
    ok(&pruner.run("prune"));
}

#[test]
fn a_file_that_is_named_and_is_not_there_is_a_mistake_of_who_typed_it() {
    let machine = archived(&["2024-01-01"]);
    for words in [
        "catalog rebuild --identity $T/nothing",
        "key kit --kit $T/nothing",
        "key check --identity $T/nothing",
    ] {
        let refused = machine.run(words);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let first = refused.stderr.lines().next().unwrap();
        assert!(first.ends_with(" $T/nothing"), "{refused:?}");
    }
}

#[test]
fn what_is_typed_wrong_changes_no_key() {
    let machine = archived(&["2024-01-01"]);
    let (secret, _) = generate_identity();
    fs::write(machine.path("identity"), secret).unwrap();
    let before = machine.standing();
    machine
        .run("key rotate --kit $T/identity --new-signing-key")
        .is(
            2,
            "",
            "error: $T/identity holds no root secret\n\
             hint: give the recovery kit that `coldchain init` has written\n",
        );
    for option in ["--add", "--remove"] {
        let run = machine.run(&format!("key rotate --kit $T/kit {option} RWnonsense"));
        run.is(
            2,
            "",
            "error: `RWnonsense` is no public key\n\
             hint: give a key that begins with RW: `coldchain key show` prints a machine's key\n",
        );
    }
    for words in [
        "key rotate --kit $T/kit",
        "key rotate --new-signing-key",
        "key rotate --kit $T/kit --remove X --role writer",
        "key rotate --kit $T/kit --add X --role root",
        "key check",
        "key",
    ] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(2), "{words}: {}", run.stderr);
    }
    assert_eq!(machine.standing(), before);
    assert!(!machine.state().join("signing.key.new").exists());
}

#[test]
fn init_makes_no_keys_for_ledgers_that_have_theirs() {
    let machine = archived(&["2024-01-01"]);
    for file in ["signing.key", "signing.pub", "signing.grant"] {
        fs::remove_file(machine.state().join(file)).unwrap();
    }
    let root = fs::read(machine.state().join("root.pub")).unwrap();
    let run = machine.run("init --kit $T/kit --quiet");
    assert_eq!(
        ok(&run),
        "$T/state: there is no signing key for the ledgers that the catalog has: \
         run `coldchain key rotate --kit FILE --new-signing-key` to archive from here\n"
    );
    assert_eq!(fs::read(machine.state().join("root.pub")).unwrap(), root);
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    feed_one(&machine, "2024-01-07", 1);
}

#[test]
fn a_secret_that_lies_on_the_machine_is_warned_of() {
    let machine = archived(&[]);
    let run = machine.run("doctor");
    assert!(
        run.stderr.contains(
            "warning: $T/kit holds a secret key: keep it away from this machine, and delete it here\n"
        ),
        "{}",
        run.stderr
    );
    fs::rename(machine.path("kit"), machine.state().join("notes")).unwrap();
    let run = machine.run("doctor");
    assert!(
        run.stderr
            .contains("warning: $T/state/notes holds a secret key")
    );
    fs::remove_file(machine.state().join("notes")).unwrap();
    assert!(!machine.run("doctor").stderr.contains("secret"));
}

#[test]
fn a_ledger_that_nobody_vouches_for_is_read_when_that_is_asked_for_and_warned_of() {
    let machine = archived(&["2024-01-01", "2024-01-07"]);
    let root = kit(&machine).root.unwrap();
    let identity = kit_text(&machine);
    let identity = identity
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-"));
    fs::write(machine.path("identity"), identity.unwrap()).unwrap();
    fs::remove_dir_all(machine.state()).unwrap();
    fs::remove_file(machine.path("config.toml")).unwrap();
    let rebuild = "catalog rebuild --store file://$T/store --state-dir $T/state";
    let with_identity = format!("{rebuild} --identity $T/identity");
    machine.run(&with_identity).is(
        2,
        "",
        "error: cannot check the ledgers: no root key to trust is given\n\
         hint: give --identity with the recovery kit, or --trust with the root public key (RW…) that it names; --unauthenticated reads the ledgers unchecked\n",
    );
    let warning = format!(
        "warning: home: no trusted root key vouches for its ledger: the store itself names the root key {root}; \
         run `coldchain --state-dir $T/state catalog rebuild` with the recovery kit or --trust to check it\n"
    );
    machine
        .run(&format!("{with_identity} --unauthenticated"))
        .is(0, "home: 3 entries read, 2 archives\n", &warning);
    assert!(!machine.state().join("root.pub").exists());
    for words in [
        "list",
        "show 2024-01-01",
        "restore home --from store --plan",
        "key check --identity $T/identity",
    ] {
        let run = machine.run(&format!("{words} --state-dir $T/state"));
        assert_eq!((run.code, &run.stderr), (Some(0), &warning), "{words}");
    }
    // What the kit vouches for needs no warning any more, and the flag takes nothing away.
    ok(&machine.run(&format!(
        "{rebuild} --identity $T/kit --unauthenticated --quiet"
    )));
    ok(&machine.run("list --state-dir $T/state"));
    assert!(machine.state().join("root.pub").exists());
}

#[test]
fn a_lost_machine_is_replaced_with_the_kit_and_its_key_signs_nothing_any_more() {
    let machine = archived(&["2024-01-01"]);
    let lost = own_key(&machine);
    ok(&machine.run("key kit --kit $T/kit --quiet"));
    fs::remove_dir_all(machine.state()).unwrap();
    ok(&machine.run("catalog rebuild --store file://$T/store --identity $T/kit"));
    let run = machine.run("init --kit $T/kit --quiet");
    assert!(ok(&run).contains("key rotate --kit FILE --new-signing-key"));
    let rotate = format!("key rotate --kit $T/kit --new-signing-key --remove {lost}");
    ok(&machine.run(&rotate));
    let new = own_key(&machine);
    let both = vec!["pruner".to_owned(), "writer".to_owned()];
    assert_eq!(granted(&machine), [(new, both)]);
    feed_one(&machine, "2024-01-07", 1);
    ok(&machine.run("key check --identity $T/kit"));
    // The kit knew an older head, which still fits.
    ok(&machine.run("catalog rebuild --store file://$T/store --identity $T/kit"));
}

#[test]
fn a_key_is_added_to_ledgers_that_are_open_and_told_of_in_those_that_open_later() {
    let machine = Machine::fed(None);
    let pruner = SigningKey::generate().unwrap().public();
    let add = format!("key rotate --kit $T/kit --add {pruner} --role pruner");
    let run = machine.run(&add);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(
        run.stderr,
        "error: cannot add a key to the ledger of `home`: it has no entry yet\n\
         hint: archive the source once, which begins its ledger, then run this command again\n"
    );
    feed(&machine, &["2024-01-01"], 0);
    ok(&machine.run(&add));
    machine.write_config(&(fed_config() + "\n[[source]]\nname = \"work\"\nstore = \"disk\"\n"));
    let run = machine.run_with(
        "decide 2024-01-01 --source work",
        &stream("2024-01-01", 0, 0),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains(&format!(
            "work: its new ledger has only this machine's key. To give {pruner}, pruner of `home`, a role in it too, run `coldchain key rotate --kit FILE --source work --add {pruner} --role pruner`"
        )),
        "{}",
        run.stderr
    );
}

#[test]
fn the_root_key_is_not_rotated_and_a_key_that_never_was_is_not_removed() {
    let machine = archived(&["2024-01-01"]);
    let root = kit(&machine).root.unwrap();
    let before = machine.standing();
    for option in ["--add", "--remove"] {
        let run = machine.run(&format!("key rotate --kit $T/kit {option} {root}"));
        run.is(
            2,
            "",
            &format!("error: cannot add or remove {root}: it is the root key\n"),
        );
    }
    let stranger = SigningKey::generate().unwrap().public();
    let run = machine.run(&format!(
        "key rotate --kit $T/kit --remove {stranger} --quiet"
    ));
    run.is(
        2,
        "",
        &format!(
            "error: no ledger here has ever had the key {stranger}\n\
             hint: run `coldchain key show` to see which key has which role\n"
        ),
    );
    assert_eq!(machine.standing(), before);
}

#[test]
fn a_key_that_has_leaked_is_withdrawn_from_sources_that_the_config_has_lost() {
    let machine = Machine::new();
    let work = "\n[[source]]\nname = \"work\"\nstore = \"disk\"\n";
    machine.write_config(&(fed_config() + work));
    assert_eq!(machine.run("init --kit $T/kit").code, Some(0));
    for (source, first) in [("home", 0), ("work", 5)] {
        let run = machine.run_with(
            &format!("decide 2024-01-01 --source {source}"),
            &stream("2024-01-01", first, 0),
        );
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    machine.write_config(&fed_config());
    let leaked = own_key(&machine);
    let run = machine.run("key rotate --kit $T/kit --new-signing-key --json");
    let told = json(&run);
    let sources = told["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 2, "{told}");
    for source in sources {
        assert_eq!(source["entry"], 3, "{source}");
        assert!(!source["keys"].to_string().contains(&leaked), "{source}");
    }

    // Where that can't be done, the others are done, and it is said.
    fs::rename(machine.path("store/work"), machine.path("away")).unwrap();
    let run = machine.run("key rotate --kit $T/kit --new-signing-key");
    assert_eq!(run.code, Some(10), "{}", run.stderr);
    assert!(run.stderr.starts_with("error: work: "), "{}", run.stderr);
    feed_one(&machine, "2024-01-07", 1);
}

#[test]
fn a_grant_that_is_for_another_key_opens_nothing_and_is_told_before_anything_is_stored() {
    let machine = Machine::fed(None);
    let other = Machine::fed(None);
    fs::copy(
        other.state().join("signing.grant"),
        machine.state().join("signing.grant"),
    )
    .unwrap();
    let before = machine.standing();
    machine
        .run_with("decide 2024-01-01", &stream("2024-01-01", 0, 0))
        .is(
            6,
            "",
            "error: $T/state/signing.grant does not grant this machine's key the writer role\n\
             hint: run `coldchain key rotate --kit FILE --new-signing-key` to make a new key and its grant; nothing was stored\n",
        );
    assert_eq!(machine.standing(), before);
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    feed(&machine, &["2024-01-01"], 0);
}

#[test]
fn what_is_attached_by_a_leaked_key_is_attached_again_when_asked_for() {
    let machine = archived(&["2024-01-01"]);
    let (secret, recipient) = generate_identity();
    fs::write(machine.path("spare"), secret).unwrap();
    let add = format!("key add-recipient {recipient} --identity $T/kit --quiet");
    ok(&machine.run(&add));
    let entries = machine.objects(".entry").len();
    ok(&machine.run(&add));
    assert_eq!(machine.objects(".entry").len(), entries);
    ok(&machine.run(&format!("{add} --again")));
    assert_eq!(machine.objects(".entry").len(), entries + 1);
    ok(&machine.run("key check --identity $T/spare"));
}

#[test]
fn a_ledger_that_a_withdrawn_key_has_opened_is_left_out_unless_somebody_names_it() {
    let machine = archived(&["2024-01-01"]);
    // Whoever has the leaked key opens a ledger of a source that there never was.
    let thief = Machine::new();
    let store = machine.path("store").display().to_string();
    let config = fed_config()
        .replace("$T/store", &store)
        .replace("name = \"home\"", "name = \"planted\"");
    thief.write_config(&config);
    fs::create_dir(thief.state()).unwrap();
    for file in ["signing.key", "signing.pub", "signing.grant", "root.pub"] {
        fs::copy(machine.state().join(file), thief.state().join(file)).unwrap();
    }
    let leaked = own_key(&machine);
    ok(&machine.run("key rotate --kit $T/kit --new-signing-key"));
    feed(&thief, &["2024-01-01"], 0);

    let root = kit(&machine).root.unwrap();
    let rebuild =
        format!("catalog rebuild --store file://$T/store --trust {root} --state-dir $T/new");
    let run = machine.run(&rebuild);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stdout.contains(&format!(
            "/planted was left out: the key {leaked} may sign its ledger, but was withdrawn from that of `home`"
        )),
        "{}",
        run.stdout
    );
    let listed = json(&machine.run("list --json --state-dir $T/new"));
    assert_eq!(listed["sources"].as_array().unwrap().len(), 1);
    fs::remove_dir_all(machine.path("new")).unwrap();
    let run = machine.run(&format!("{rebuild} --include planted"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("planted: the key "), "{}", run.stdout);

    // Found is not vouched for: the kit does not take it in.
    let run = machine.run("key kit --kit $T/kit --state-dir $T/new");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .starts_with("warning: planted: skipped: neither the config nor the kit names")
    );
    assert_eq!(kit(&machine).sources.len(), 1);
}
