//! Making the catalog anew: from nothing but a store and the recovery kit, and from a store that is not
//! what it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use coldchain::config::StoreConfig;
use coldchain::engine::{
    OpenStore, Rebuilding, RunContext, StateDir, Trusted, Unfinished, read_kit, rebuild,
};
use coldchain::ledger::SigningKey;
use coldchain::model::LedgerId;
use coldchain::model::size::Bytes;
use coldchain::progress::Quiet;
use coldchain::seal::IdentityFile;
use coldchain::store::{DEFAULT_LISTING_BYTES, DirStore, Operation, RecordingStore};
use rusqlite::Connection;

use crate::common::loopfs::{LoopFs, real_btrfs_available, run};
use crate::common::machine::{DECIDE_PRUNES, Machine, Run};
use crate::common::replicated::{only_ledger, replicated};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup};
use crate::common::servers::{ObjectLock, Versioning, Weed};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use crate::common::whole::first_and_seventh;

/// A machine with the full of the 1st and the incremental of the 7th, and a copy of its catalog.
struct Archived {
    machine: Machine,
    ledger: LedgerId,
}

impl Archived {
    fn new() -> Self {
        let machine = Machine::fed(None);
        let [first, seventh] = first_and_seventh(10);
        machine
            .run_with("decide 2024-01-01", &first)
            .is(0, "c\n", "");
        machine
            .run_with("decide 2024-01-07", &seventh)
            .is(0, "i 2024-01-01\n", "");
        fs::copy(machine.path("state/catalog.db"), machine.path("lost.db")).unwrap();
        let ledger = only_ledger(&machine.path("lost.db"));
        Self { machine, ledger }
    }

    /// A machine that has nothing but the store and the kit.
    fn bare() -> Self {
        let archived = Self::new();
        fs::remove_dir_all(archived.machine.state()).unwrap();
        fs::remove_file(archived.machine.path("config.toml")).unwrap();
        archived
    }

    fn rebuild(&self, more: &str) -> Run {
        self.machine.run(&format!(
            "catalog rebuild --store file://$T/store --state-dir $T/state {more}"
        ))
    }

    fn entry(&self, seq: u64) -> PathBuf {
        self.machine
            .path(&format!("store/home/ledger/{seq:08}.entry"))
    }

    /// The bytes of an archive's objects.
    fn objects_of(&self, archive: &str) -> u64 {
        let objects = self.machine.objects(".age").into_iter();
        objects
            .filter(|path| path.to_string_lossy().contains(archive))
            .map(|path| path.metadata().unwrap().len())
            .sum()
    }

    fn is_as_it_was(&self) {
        assert_eq!(
            replicated(&self.machine.path("state/catalog.db"), self.ledger),
            replicated(&self.machine.path("lost.db"), self.ledger)
        );
    }

    /// A byte in the middle of an entry's object is another.
    fn rot(&self, seq: u64) {
        let mut bytes = fs::read(self.entry(seq)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        overwrite(&self.entry(seq), &bytes);
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn count(catalog: &Path, sql: &str) -> i64 {
    let connection = Connection::open(catalog).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_bare_machine_gets_its_catalog_back_from_the_store_and_the_kit() {
    let archived = Archived::bare();
    archived
        .rebuild("--identity $T/kit")
        .is(0, "home: 3 entries read, 2 archives\n", "");
    archived.is_as_it_was();
    let catalog = archived.machine.path("state/catalog.db");
    // The digest of a segment's raw bytes is known of an attempt alone.
    assert_eq!(
        count(
            &catalog,
            "SELECT count(*) FROM segment WHERE raw_blake3 IS NOT NULL"
        ),
        0
    );
    assert_eq!(
        count(
            &catalog,
            "SELECT count(*) FROM archive WHERE raw_blake3 IS NULL OR verified_at IS NULL"
        ),
        0
    );
    // Without a config the catalog says where everything lies, and nothing of what is planned.
    let listed = archived.machine.run("list --state-dir $T/state");
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    assert!(
        listed
            .stdout
            .starts_with("home  file://$T/store\n  chain of 2024-01-01  complete, "),
        "{listed:?}"
    );
    assert!(!listed.stdout.contains("expire"), "{listed:?}");
    let verified = archived.machine.run("verify --state-dir $T/state");
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    let shown = archived.machine.run("show 2024-01-07 --state-dir $T/state");
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    let plan = archived.machine.run("plan --state-dir $T/state");
    assert_eq!(plan.code, Some(2), "a plan needs a config: {plan:?}");
    let planned = archived
        .machine
        .run("restore home --from store --plan --state-dir $T/state");
    assert_eq!((planned.code, planned.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_second_rebuild_gives_the_same_and_keeps_the_catalog_of_before() {
    let archived = Archived::bare();
    archived
        .rebuild("--identity $T/kit")
        .is(0, "home: 3 entries read, 2 archives\n", "");
    // The state directory has the root key now, and the catalog the ledger's id.
    archived.rebuild("").is(
        0,
        "home: 3 entries read, 2 archives\n\
         home: the private facts of 2 archives stay sealed: no identity was given that opens them\n\
         the old catalog is kept as $T/state/catalog.db.before-rebuild\n",
        "",
    );
    archived.is_as_it_was();
    archived.rebuild("--identity $T/kit --quiet").is(0, "", "");
    archived.is_as_it_was();
    assert!(
        archived
            .machine
            .path("state/catalog.db.before-rebuild.2")
            .exists()
    );
}

#[test]
fn a_root_key_that_is_typed_does_for_a_kit() {
    let archived = Archived::bare();
    let kit = fs::read_to_string(archived.machine.path("kit")).unwrap();
    let root = kit
        .lines()
        .find_map(|line| line.strip_prefix("# root public key: "))
        .unwrap();
    archived.rebuild(&format!("--trust {root}")).is(
        0,
        "home: 3 entries read, 2 archives\n\
         home: the private facts of 2 archives stay sealed: no identity was given that opens them\n",
        "",
    );
    archived.is_as_it_was();
}

#[test]
fn a_rebuild_only_reads_the_store() {
    let archived = Archived::bare();
    let path = archived.machine.path("store");
    let recorded = Arc::new(RecordingStore::new(DirStore::open(&path).unwrap()));
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(&recorded)));
    let state_dir = StateDir::new(&archived.machine.state());
    let file = IdentityFile::open(&archived.machine.path("kit"), &|_| None).unwrap();
    let kit = read_kit(&file).unwrap();
    let rebuilding = Rebuilding {
        state_dir: &state_dir,
        stores: &[StoreConfig::Dir {
            path,
            cold: None,
            listing_bytes: DEFAULT_LISTING_BYTES,
        }],
        trusted: &Trusted::from(kit),
        identities: None,
        config: None,
        unfinished: Unfinished::Keep,
        included: &[],
        as_of: None,
    };
    let context = RunContext {
        stores,
        ..RunContext::real(&Quiet)
    };
    let rebuilt = rebuild(&rebuilding, context).unwrap();
    assert_eq!((rebuilt.read.len(), rebuilt.damage()), (1, 0));
    let calls = recorded.calls();
    assert!(calls.len() >= 4, "{calls:?}");
    for call in calls {
        assert!(
            matches!(
                call.operation,
                Operation::Get | Operation::List | Operation::Stat
            ),
            "{call:?}"
        );
    }
}

#[test]
fn a_machine_goes_on_archiving_with_a_rebuilt_catalog() {
    let archived = Archived::new();
    fs::remove_file(archived.machine.path("state/catalog.db")).unwrap();
    let rebuilt = archived.machine.run("catalog rebuild");
    assert_eq!(
        (rebuilt.code, rebuilt.stderr.as_str()),
        (Some(0), ""),
        "{rebuilt:?}"
    );
    archived.is_as_it_was();
    let [first, _] = first_and_seventh(10);
    archived
        .machine
        .run_with("decide 2024-01-07", &first)
        .is(0, "", DECIDE_PRUNES);
    assert_eq!(
        archived.machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
}

#[test]
fn who_is_not_trusted_is_said_and_nothing_is_written() {
    let archived = Archived::bare();
    let other = SigningKey::generate().unwrap().public();
    archived.rebuild("").is(
        2,
        "",
        "error: cannot check the ledgers: no root key to trust is given\n\
         hint: give --identity with the recovery kit, or --trust with the root public key (RW…) that it names; --unauthenticated reads the ledgers unchecked\n",
    );
    let refused = archived.rebuild(&format!("--trust {other}"));
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(
        refused.stderr.starts_with(
            "error: the ledger of `home` in file://$T/store is not trusted\n\
             caused by: it names another root key ("
        ),
        "{refused:?}"
    );
    let typed = archived.rebuild("--trust RWnonsense");
    assert_eq!(typed.code, Some(2), "{typed:?}");
    assert!(
        typed
            .stderr
            .starts_with("error: `RWnonsense` is no public key\n"),
        "{typed:?}"
    );
    for file in ["catalog.db", "catalog.db.new", "root.pub"] {
        assert!(!archived.machine.state().join(file).exists(), "{file}");
    }
}

#[test]
fn an_identity_that_opens_nothing_is_said() {
    let archived = Archived::bare();
    let (secret, _) = coldchain::seal::generate_identity();
    let kit = fs::read_to_string(archived.machine.path("kit")).unwrap();
    let other: String = kit
        .lines()
        .map(|line| {
            if line.starts_with("AGE-SECRET-KEY-") {
                format!("{secret}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(archived.machine.path("other"), other).unwrap();
    let refused = archived.rebuild("--identity $T/other");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .stderr
            .starts_with("error: could not unlock 2024-01-01-full-$HEX16 with $T/other\n"),
        "{refused:?}"
    );
    assert!(!archived.machine.path("state/catalog.db").exists());
}

#[test]
fn of_several_stores_those_are_read_that_can_be() {
    let archived = Archived::bare();
    let rebuild = |more: &str| {
        let words =
            format!("catalog rebuild --store {more} --state-dir $T/state --identity $T/kit");
        let mut command = archived.machine.command(&words);
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", archived.machine.path("nobody"));
        archived.machine.run_command(&mut command)
    };
    let unread = "s3://archive?endpoint=http://127.0.0.1:9&profile=cold";
    let why = "could not list s3://archive?endpoint=http://127.0.0.1:9: there are no credentials, or the store does not know them: there \
               is no profile `cold` in $T/nobody/.aws/config and $T/nobody/.aws/credentials";
    let run = rebuild(&format!(
        "{unread} --store file://$T/unmounted --store file://$T/store"
    ));
    assert_eq!(run.code, Some(10), "{run:?}");
    assert!(
        run.stdout.starts_with("home: 3 entries read, 2 archives\n"),
        "{run:?}"
    );
    let line = format!("s3://archive?endpoint=http://127.0.0.1:9 was not read: {why}\n");
    assert!(run.stdout.contains(&line), "{run:?}");
    assert!(
        run.stdout.contains("file://$T/unmounted was not read: "),
        "{run:?}"
    );
    assert_eq!(
        run.stderr,
        "error: the catalog was rebuilt without 2 stores that could not be read\n\
         hint: what was read can be listed and restored; run the same command again when the other stores can be read\n"
    );
    archived.is_as_it_was();

    // Of a source that the catalog knows nothing is lost.
    fs::rename(
        archived.machine.path("store"),
        archived.machine.path("away"),
    )
    .unwrap();
    let other = Archived::bare();
    fs::rename(other.machine.path("store"), archived.machine.path("theirs")).unwrap();
    let kit = fs::read_to_string(other.machine.path("kit")).unwrap();
    let mut lines = kit.lines();
    let root = lines.find_map(|line| line.strip_prefix("# root public key: "));
    let run = archived.machine.run(&format!(
        "catalog rebuild --store file://$T/store --store file://$T/theirs --state-dir $T/state --trust {}",
        root.unwrap()
    ));
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(
        run.stderr
            .contains("file://$T/store: the store's directory does not exist"),
        "{run:?}"
    );
    archived.is_as_it_was();
}

#[test]
fn somebody_elses_store_and_one_with_nothing_in_it_are_said() {
    let archived = Archived::bare();
    let other = Archived::bare();
    fs::rename(other.machine.path("store"), archived.machine.path("theirs")).unwrap();
    let refused = archived
        .machine
        .run("catalog rebuild --store file://$T/theirs --state-dir $T/state --identity $T/kit");
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("caused by: it belongs to the ledger $HEX32, not to $HEX32\n"),
        "{refused:?}"
    );
    fs::create_dir(archived.machine.path("empty")).unwrap();
    archived
        .machine
        .run("catalog rebuild --store file://$T/empty --state-dir $T/state --identity $T/kit")
        .is(
            2,
            "",
            "error: there is no ledger in file://$T/empty\n\
             hint: give the URL of the place that has the sources' directories in it; the recovery kit has that URL\n",
        );
    archived
        .machine
        .run("catalog rebuild --state-dir $T/state --identity $T/kit")
        .is(
            2,
            "",
            "error: no store is named, and there is no config that names one\n\
             hint: give --store URL: the recovery kit has it\n",
        );
    assert!(!archived.machine.path("state/catalog.db").exists());
}

#[test]
fn what_follows_a_rotten_entry_is_imported_and_the_rotten_one_named() {
    let archived = Archived::bare();
    archived.rot(2);
    let rebuilt = archived.rebuild("--identity $T/kit");
    let full = archived.objects_of("2024-01-01-full");
    rebuilt.is(
        6,
        &format!(
            "home: 2 entries read, 1 archive\n\
             home: entry 2 is damaged or lost\n\
             home: 2024-01-07-incr-$HEX16 builds on 2024-01-01-full-$HEX16, which is not there\n\
             home: no entry names 3 objects of 1 attempt, {}\n",
            Bytes(full)
        ),
        "error: the catalog was rebuilt, but the data in the stores has 2 flaws\n\
         hint: what is sound was imported, and can be listed and restored; compare the store with its copies or older versions\n",
    );
    let planned = archived
        .machine
        .run("restore home --from store --plan --state-dir $T/state");
    assert_eq!(planned.code, Some(7), "its full is lost: {planned:?}");
}

#[test]
fn a_writer_stops_where_an_entry_is_lost_and_goes_on_when_it_is_back() {
    let archived = Archived::new();
    let sound = fs::read(archived.entry(2)).unwrap();
    fs::remove_file(archived.entry(2)).unwrap();
    fs::remove_file(archived.machine.path("state/catalog.db")).unwrap();
    let rebuilt = archived.machine.run("catalog rebuild");
    assert_eq!(rebuilt.code, Some(6), "{rebuilt:?}");
    for words in ["decide 2024-01-14", "prune", "prune --dry-run"] {
        archived.machine.run(words).is(
            6,
            "",
            "error: ledger entry 3 of `home` in file://$T/store was refused\n\
             caused by: it follows entry 2, which is damaged or lost\n\
             hint: nothing was written; what is sound can be restored. Put a copy or an older version of the lost entry back and run `coldchain catalog rebuild`, or give the source a new name to begin a new ledger\n",
        );
    }
    fs::write(archived.entry(2), sound).unwrap();
    let rebuilt = archived.machine.run("catalog rebuild");
    assert_eq!(
        (rebuilt.code, rebuilt.stderr.as_str()),
        (Some(0), ""),
        "{rebuilt:?}"
    );
    archived.is_as_it_was();
    archived
        .machine
        .run("decide 2024-01-08")
        .is(0, "", DECIDE_PRUNES);
}

#[test]
fn a_store_that_has_gone_back_is_not_believed() {
    let archived = Archived::new();
    fs::remove_file(archived.entry(3)).unwrap();
    archived.machine.run("catalog rebuild").is(
        6,
        "",
        "error: the ledger of `home` in file://$T/store has gone back: entry 3 is missing, but entries up to 3 were committed\n\
         hint: nothing was written; compare the store with its copies or older versions before you run again\n",
    );
    assert_eq!(
        archived.machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    // Without the catalog the kit's head tells.
    let bare = Archived::bare();
    let hash = newest_hash(&bare.machine.path("lost.db"));
    let kit = fs::read_to_string(bare.machine.path("kit")).unwrap();
    let ledger = format!("#   ledger  {}\n", bare.ledger);
    assert!(kit.contains(&ledger), "{kit}");
    let head = format!("{ledger}#   entries 3\n#   head    {hash}\n");
    fs::write(bare.machine.path("kit"), kit.replace(&ledger, &head)).unwrap();
    fs::remove_file(bare.entry(3)).unwrap();
    let rebuilt = bare.rebuild("--identity $T/kit");
    assert_eq!(rebuilt.code, Some(6), "{rebuilt:?}");
    assert!(
        rebuilt
            .stdout
            .contains("home: entry 3 is missing according to the recovery kit\n"),
        "{rebuilt:?}"
    );
}

fn newest_hash(catalog: &Path) -> String {
    let connection = Connection::open(catalog).unwrap();
    connection
        .query_row("SELECT hash FROM entry WHERE seq = 3", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn an_archive_that_is_unfinished_is_not_given_up_unasked() {
    let archived = Archived::new();
    let [first, _] = first_and_seventh(10);
    let cut = &first[..first.len() / 2];
    let ended = archived.machine.run_with("decide 2024-01-14", cut);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    let catalog = archived.machine.path("state/catalog.db");
    let unfinished = "SELECT count(*) FROM archive WHERE state = 'unfinished'";
    assert_eq!(count(&catalog, unfinished), 1);
    archived.machine.run("catalog rebuild").is(
        2,
        "",
        "error: the archive 2024-01-14-incr-$HEX16 of `home` is unfinished, and only the current catalog can continue it\n\
         hint: run `coldchain backup` first, which finishes it; or add --yes to give it up, and `coldchain prune` removes its stored objects\n",
    );
    let rebuilt = archived.machine.run("catalog rebuild --yes");
    assert_eq!(
        (rebuilt.code, rebuilt.stderr.as_str()),
        (Some(0), ""),
        "{rebuilt:?}"
    );
    assert_eq!(count(&catalog, unfinished), 0);
    assert_eq!(
        count(
            &archived.machine.path("state/catalog.db.before-rebuild"),
            unfinished
        ),
        1
    );
}

#[test]
fn a_damaged_catalog_is_made_anew_and_kept() {
    let archived = Archived::new();
    let catalog = archived.machine.path("state/catalog.db");
    fs::write(&catalog, b"not even a page").unwrap();
    let rebuilt = archived.machine.run("catalog rebuild --identity $T/kit");
    assert_eq!(
        (rebuilt.code, rebuilt.stderr.as_str()),
        (Some(0), ""),
        "{rebuilt:?}"
    );
    assert!(
        rebuilt
            .stdout
            .contains("the old catalog can't be read, so nothing was taken from it: "),
        "{rebuilt:?}"
    );
    archived.is_as_it_was();
    let kept = fs::read(archived.machine.path("state/catalog.db.before-rebuild")).unwrap();
    assert_eq!(kept, b"not even a page");
}

#[test]
fn a_check_finds_nothing_where_all_agree_and_names_each_difference() {
    let archived = Archived::new();
    let agree = "home: 3 entries, 2 archives: catalog, ledger and store agree\n";
    archived.machine.run("catalog check").is(0, agree, "");
    archived.machine.run("catalog check --quiet").is(0, "", "");
    let catalog = archived.machine.path("state/catalog.db");
    let sound = fs::read(&catalog).unwrap();
    let sql = |statement: &str| {
        Connection::open(&catalog)
            .unwrap()
            .execute_batch(statement)
            .unwrap();
    };
    let differs = |places: &str| {
        format!(
            "error: catalog, ledger and store differ in {places}\n\
             hint: run `coldchain catalog rebuild` if the catalog is wrong; if the store is wrong, compare it with its copies or older versions. Nothing was changed\n"
        )
    };
    sql("UPDATE archive SET kernel = 'another' WHERE kind = 'full';
         UPDATE segment SET sealed_bytes = 7 WHERE archive LIKE '2024-01-07%';");
    let checked = archived.machine.run("catalog check");
    let lines: Vec<&str> = checked.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{checked:?}");
    assert_eq!(
        lines[0],
        "home: archive 2024-01-01-full-$HEX16: `kernel` is another in the catalog, and null by the ledger"
    );
    assert!(
        lines[1].starts_with(
            "home: segment 0 of 2024-01-07-incr-$HEX16: `sealed_bytes` is 7 in the catalog, and "
        ),
        "{checked:?}"
    );
    checked.is(6, &checked.stdout, &differs("2 places"));
    let told = archived.machine.run("catalog check --json");
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["sources"][0]["differences"][1]["kind"], "catalog");

    overwrite(&catalog, &sound);
    archived.machine.run("catalog check").is(0, agree, "");
    let segment = archived.machine.objects(".zst.age").remove(0);
    let bytes = fs::read(&segment).unwrap();
    fs::remove_file(&segment).unwrap();
    let checked = archived.machine.run("catalog check");
    assert!(
        checked
            .stdout
            .starts_with("home: 2024-01-01-full-$HEX16 lacks 1 object: home/archives/"),
        "{checked:?}"
    );
    checked.is(6, &checked.stdout, &differs("1 place"));
    fs::write(&segment, bytes).unwrap();

    archived.rot(2);
    let checked = archived.machine.run("catalog check home");
    assert!(
        checked.stdout.starts_with(
            "home: entry 2 is damaged or lost in the store; the old catalog's copy is used: "
        ),
        "{checked:?}"
    );
    assert_eq!(checked.code, Some(6), "{checked:?}");
}

#[test]
fn a_check_says_that_the_ledger_is_ahead_and_that_it_has_gone_back() {
    let archived = Archived::new();
    let catalog = archived.machine.path("state/catalog.db");
    let newest = fs::read(&catalog).unwrap();
    let second = fs::read(archived.entry(3)).unwrap();
    fs::remove_file(archived.entry(3)).unwrap();
    let checked = archived.machine.run("catalog check");
    assert!(
        checked
            .stdout
            .starts_with("home: the ledger has gone back: entry 3 of 3 is missing\n"),
        "{checked:?}"
    );
    assert_eq!(checked.code, Some(6), "{checked:?}");
    // Rebuilt while the store lacked it, this is an older catalog.
    fs::remove_file(&catalog).unwrap();
    assert_eq!(archived.machine.run("catalog rebuild").code, Some(0));
    fs::write(archived.entry(3), second).unwrap();
    archived.machine.run("catalog check").is(
        0,
        "home: the ledger has 1 newer entry, which the next run reads\n\
         home: 2 entries, 1 archive: catalog, ledger and store agree\n",
        "",
    );
    overwrite(&catalog, &newest);
}

/// Archives three dates, loses everything but store and kit, rebuilds, restores, and compares.
fn comes_back(sandbox: &Sandbox, url: &str) {
    make_rich_tree(&sandbox.source(), &mut Rng::new(51));
    let dates = ["2025-01-01", "2025-01-07", "2025-01-14"];
    let mut rng = Rng::new(52);
    for date in dates {
        mutate_tree(&sandbox.source(), &mut rng);
        sandbox.backup(date);
    }
    let state = sandbox.config().with_file_name("state");
    let lost = sandbox.config().with_file_name("lost");
    run(Command::new("mv").arg(&state).arg(&lost)).unwrap();
    fs::remove_file(sandbox.config()).unwrap();
    let kit = sandbox.kit();
    let kit = kit.to_str().unwrap();
    let bare = state.to_str().unwrap();
    let rebuilt = sandbox
        .run([
            "catalog",
            "rebuild",
            "--store",
            url,
            "--identity",
            kit,
            "--state-dir",
            bare,
        ])
        .ok();
    assert_eq!(rebuilt.stdout, "home: 4 entries read, 3 archives\n");
    let ledger = only_ledger(&lost.join("catalog.db"));
    assert_eq!(
        replicated(&state.join("catalog.db"), ledger),
        replicated(&lost.join("catalog.db"), ledger)
    );
    let other = LoopFs::new(512);
    let to = other.root();
    let to = to.to_str().unwrap();
    sandbox
        .run([
            "restore",
            SOURCE,
            "--from",
            "store",
            "--to",
            to,
            "--identity",
            kit,
            "--yes",
            "--state-dir",
            bare,
        ])
        .ok();
    for date in dates {
        compare_trees(&sandbox.snapshot(date), &other.path(SOURCE).join(date));
    }
}

#[test]
fn everything_comes_back_from_a_directory_and_a_kit() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    comes_back(&sandbox, &format!("file://{}", sandbox.store().display()));
}

#[test]
fn everything_comes_back_from_a_bucket_and_a_kit() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let store = format!(
        r#"
            type = "s3"
            bucket = "{bucket}"
            prefix = "some/prefix"
            endpoint = "{}"
            region = "us-east-1"
        "#,
        server.endpoint()
    );
    let sandbox = Sandbox::with(&Setup {
        store: Some(&store),
        env: &[
            ("AWS_ACCESS_KEY_ID", server.access_key()),
            ("AWS_SECRET_ACCESS_KEY", server.secret_key()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ],
        ..Setup::default()
    });
    let kit = fs::read_to_string(sandbox.kit()).unwrap();
    let mut words = kit.lines().map(str::split_whitespace);
    let url = words
        .find_map(|mut words| words.find(|word| word.starts_with("s3://")))
        .expect("the kit has the store's URL");
    comes_back(&sandbox, url);
}

#[test]
fn the_next_archive_after_a_rebuild_is_incremental_on_a_snapshot_found_again() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    make_rich_tree(&sandbox.source(), &mut Rng::new(61));
    sandbox.backup("2025-01-01");
    sandbox.backup("2025-01-02");
    fs::remove_file(sandbox.config().with_file_name("state").join("catalog.db")).unwrap();
    let rebuilt = sandbox.run(["catalog", "rebuild"]).ok();
    assert!(
        rebuilt
            .stdout
            .contains("home: 1 snapshot found again here\n"),
        "{rebuilt:?}"
    );
    mutate_tree(&sandbox.source(), &mut Rng::new(62));
    let next = sandbox.backup("2025-01-07");
    assert!(next.stdout.contains("archived, incremental"), "{next:?}");
    sandbox.restores_equal(&["2025-01-01", "2025-01-07"]);
}

#[test]
fn the_name_of_a_directory_that_no_store_has_is_refused() {
    let archived = Archived::new();
    let rebuild = "catalog rebuild --state-dir $T/new --identity $T/kit";
    for words in ["--include hmoe", "--as-of 2 --only hmoe"] {
        let run = archived.machine.run(&format!("{rebuild} {words}"));
        assert_eq!(run.code, Some(2), "{run:?}");
        let error = "error: there is no source directory `hmoe` in file://$T/store\n";
        assert!(run.stderr.contains(error), "{run:?}");
        assert!(!archived.machine.path("new/catalog.db").exists());
    }
}

#[test]
fn a_ledger_that_ends_before_the_entry_that_was_typed_is_read_to_its_end() {
    let archived = Archived::new();
    let rebuild = "catalog rebuild --state-dir $T/new --identity $T/kit --as-of 999";
    let run = archived.machine.run(rebuild);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains(" only up to entry 3; "), "{run:?}");
}
