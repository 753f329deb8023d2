//! What an old btrsend stored in a vault: imported, restored, written out and deleted. The blobs are made by the
//! original's own commands, and its database by its own statements.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::TimeDelta;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, Run, fed_config};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use crate::common::vault_server::{self, Operation, VAULT, VaultServer};

/// btrsend's statement.
const TABLE: &str = "CREATE TABLE btrsend ( id INTEGER PRIMARY KEY AUTOINCREMENT, arn VARCHAR(1000) NOT NULL, date \
                     DATETIME NOT NULL, size INTEGER NOT NULL, parent DATE )";

const RECIPIENT: &str = "btrsend@example.org";

/// A machine with the vault of an old btrsend, its keyring and its database.
pub(crate) struct OldBtrsend {
    pub(crate) machine: Machine,
    pub(crate) server: VaultServer,
}

impl OldBtrsend {
    fn new(machine: Machine, config: &str) -> Self {
        let server = VaultServer::new();
        let credentials = format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            vault_server::ACCESS_KEY,
            vault_server::SECRET_KEY
        );
        fs::write(machine.path("credentials"), credentials).unwrap();
        let more = "ledger_store = \"disk\"\ncredentials_file = \"$T/credentials\"\n";
        let store = server.store_table(more);
        machine.write_config(&format!("{config}\n[store.old]\n{store}"));
        let old = Self { machine, server };
        fs::create_dir(old.home()).unwrap();
        run(Command::new("chmod").arg("700").arg(old.home()));
        old.key(RECIPIENT, "");
        old.sql(TABLE);
        old
    }

    /// One without btrfs.
    pub(crate) fn fed() -> Self {
        Self::new(Machine::fed(None), &fed_config())
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.machine.path("gnupg")
    }

    /// Makes a key with a passphrase, or with none.
    fn key(&self, name: &str, passphrase: &str) {
        run(self
            .gpg()
            .args(["--pinentry-mode", "loopback", "--passphrase", passphrase])
            .args([
                "--quick-gen-key",
                name,
                "future-default",
                "default",
                "never",
            ]));
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--homedir"])
            .arg(self.home());
        gpg
    }

    fn db(&self) -> PathBuf {
        self.machine.path(".btrsend.db")
    }

    pub(crate) fn sql(&self, sql: &str) {
        run(Command::new("sqlite3").arg(self.db()).arg(sql));
    }

    /// What the original pipes a stream through: `gzip -4 | gpg --encrypt --recipient KEY`.
    pub(crate) fn blob(&self, stream: &[u8]) -> Vec<u8> {
        self.encrypted(&gzip(stream))
    }

    fn encrypted(&self, bytes: &[u8]) -> Vec<u8> {
        let mut gpg = self.gpg();
        gpg.args([
            "--trust-model",
            "always",
            "--encrypt",
            "--recipient",
            RECIPIENT,
        ]);
        filtered(&mut gpg, bytes)
    }

    /// Stores a blob as btrsend does, and records it.
    pub(crate) fn store(&self, date: &str, parent: Option<&str>, blob: &[u8]) -> String {
        let of = parent.map_or("complete".to_owned(), |parent| format!("parent = {parent}"));
        let arn = self
            .server
            .plant(&format!("btrsend backup for {date} ({of})"), blob);
        let parent = parent.map_or("NULL".to_owned(), |parent| format!("'{parent}'"));
        self.sql(&format!(
            "INSERT INTO btrsend (arn, date, size, parent) VALUES ('{arn}', '{date}', {}, {parent})",
            blob.len()
        ));
        arn
    }

    fn run(&self, words: &str) -> Run {
        let mut command = self.machine.command(words);
        command
            .envs(vault_server::ENV)
            .env_remove("GPG_TTY")
            .env_remove("DISPLAY");
        self.machine.run_command(&mut command)
    }

    pub(crate) fn import(&self) -> Run {
        self.run("import btrsend --db $T/.btrsend.db --vault old")
    }

    fn imported(&self) -> serde_json::Value {
        let listed = self.run("list --all --json");
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        listed["imported"][0]["archives"].clone()
    }

    /// Date and state of each archive.
    pub(crate) fn states(&self) -> Vec<String> {
        let archives = self.imported();
        let archives = archives.as_array().unwrap().iter();
        archives
            .map(|it| {
                format!(
                    "{} {}",
                    it["date"].as_str().unwrap(),
                    it["state"].as_str().unwrap()
                )
            })
            .collect()
    }

    /// Writes the stream of a date to a file, as soon as the vault has retrieved it.
    fn stream(&self, date: &str) -> (Run, PathBuf) {
        let file = self.machine.path(&format!("stream-{date}"));
        let words = format!(
            "restore --imported btrsend {date} --stream {} --gpg-homedir $T/gnupg --yes",
            file.display()
        );
        let asked = self.run(&words);
        if asked.code != Some(5) {
            return (asked, file);
        }
        self.server.clock().advance(TimeDelta::hours(6));
        (self.run(&words), file)
    }

    fn spooled(&self) -> usize {
        let spool = self.machine.path("state/spool/coldchain-import-btrsend");
        fs::read_dir(spool).map_or(0, Iterator::count)
    }
}

impl Drop for OldBtrsend {
    fn drop(&mut self) {
        // Its agent would outlive the test.
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home())
            .args(["--kill", "all"])
            .status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Passes bytes through a program.
fn filtered(command: &mut Command, bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let output = command.stdin(Stdio::from(file)).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    filtered(Command::new("gzip").arg("-4"), bytes)
}

fn sent(snapshot: &Path, parent: Option<&Path>) -> Vec<u8> {
    let mut send = Command::new("btrfs");
    send.args(["send", "-q"]);
    if let Some(parent) = parent {
        send.arg("-p").arg(parent);
    }
    let output = send.arg(snapshot).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A whole stream with a subvolume of that uuid, and a file in it.
fn stream(uuid: u8, parent: Option<u8>) -> Vec<u8> {
    let begun = StreamBuilder::header(1);
    let begun = match parent {
        None => begun.subvol(b"s", [uuid; 16], 9),
        Some(parent) => begun.snapshot(b"s", [uuid; 16], 9, [parent; 16], 7),
    };
    begun.mkfile(b"a").write(b"a", 0, &[uuid; 3000]).finish()
}

const DATES: [&str; 3] = ["2014-01-01", "2014-01-07", "2014-01-14"];

#[test]
fn three_blobs_of_an_old_btrsend_are_imported_and_restored_equal() {
    assert!(real_btrfs_available());
    let old = OldBtrsend::new(Machine::with_subvolume(256), LIVE_CONFIG);
    let btrfs = old.machine.btrfs();
    let (live, mut rng) = (btrfs.path("home"), Rng::new(25));
    btrfs.subvolume("kept");
    let mut before: Option<(&str, PathBuf)> = None;
    for date in DATES {
        match before {
            None => make_rich_tree(&live, &mut rng),
            Some(_) => mutate_tree(&live, &mut rng),
        }
        let snapshot = btrfs.path("kept").join(date);
        run(Command::new("btrfs")
            .args(["subvolume", "snapshot", "-r"])
            .arg(&live)
            .arg(&snapshot));
        let blob = old.blob(&sent(
            &snapshot,
            before.as_ref().map(|(_, path)| path.as_path()),
        ));
        old.store(date, before.as_ref().map(|(date, _)| *date), &blob);
        before = Some((date, snapshot));
    }
    let imported = old.import();
    imported.is(
        0,
        "btrsend: 3 archives, 3 of them new\n\
         btrsend: none is proven before it was restored once; `coldchain restore --imported btrsend --plan` says what that takes\n",
        "",
    );
    old.import()
        .is(0, "btrsend: 3 archives, all of them known already\n", "");
    assert_eq!(
        old.states(),
        [
            "2014-01-01 unproven",
            "2014-01-07 unproven",
            "2014-01-14 unproven"
        ]
    );
    let plan = old.run("restore --imported btrsend --plan");
    assert_eq!(plan.code, Some(0), "{plan:?}");
    assert!(plan.stdout.contains("3 archives"), "{plan:?}");
    assert_eq!(old.server.requests().len(), 0, "a plan asks for nothing");

    // It comes back on another filesystem, in three runs: asked for, not there yet, there.
    let target = LoopFs::new(256);
    let to = target.root().display().to_string();
    let words = format!("restore --imported btrsend --to {to} --gpg-homedir $T/gnupg --yes");
    for _ in 0..2 {
        let asked = old.run(&words);
        assert_eq!(asked.code, Some(5), "{asked:?}");
        assert!(
            asked
                .stderr
                .contains("btrsend: 0 of 3 parts are here, 3 are being retrieved"),
            "{asked:?}"
        );
        assert_eq!(old.server.jobs().len(), 3);
    }
    old.server.clock().advance(TimeDelta::hours(6));
    let restored = old.run(&words);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    for date in DATES {
        compare_trees(
            &btrfs.path("kept").join(date),
            &target.path("btrsend").join(date),
        );
    }
    assert_eq!(
        old.states(),
        [
            "2014-01-01 proven",
            "2014-01-07 proven",
            "2014-01-14 proven"
        ]
    );
    assert_eq!(old.spooled(), 0);
    // What is there is not asked for again.
    let again = old.run(&words);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(old.server.jobs().len(), 3);

    // Nothing but its own command deletes it.
    for words in [
        "prune",
        "backup --date-override",
        "forget --imported btrsend --yes",
    ] {
        assert_ne!(old.run(words).code, Some(2), "{words}");
        assert_eq!(old.server.archives().len(), 3, "{words}");
    }
    assert_eq!(old.server.count(Operation::DeleteArchive), 0);
}

#[test]
fn doctor_looks_for_gpg_while_something_imported_is_left() {
    let old = OldBtrsend::fed();
    old.store(DATES[0], None, &old.blob(&stream(1, None)));
    let doctor = || old.run("doctor --offline").stdout;
    assert!(!doctor().contains("  gpg"), "{}", doctor());
    assert_eq!(old.import().code, Some(0));
    let found = doctor();
    let line = found.lines().find(|line| line.contains("ok    gpg "));
    let line = line.unwrap_or_else(|| panic!("{found}"));
    assert!(
        line.ends_with("; a restore of `btrsend` needs it"),
        "{line}"
    );
    // There may be several paths to the only one.
    let hidden = "mount --bind /dev/null \"$(realpath \"$(command -v gpg)\")\" && exec \"$0\" doctor --offline";
    let mut command = old.machine.command_of("unshare", "--mount /bin/sh -c");
    command.args([hidden, env!("CARGO_BIN_EXE_coldchain")]);
    let run = old.machine.run_command(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    let missing = "cannot find the program `gpg` in ";
    let mut lines = run.stdout.lines();
    assert!(
        lines.any(|line| line.contains("warn  gpg ") && line.contains(missing)),
        "{run:?}"
    );
    let deleted = old.run("prune --imported btrsend --yes-delete 1");
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(!doctor().contains("  gpg"), "{}", doctor());
}

#[test]
fn imported_archives_are_deleted_by_their_number_alone() {
    let old = OldBtrsend::fed();
    old.store(DATES[0], None, &old.blob(&stream(1, None)));
    old.store(DATES[1], Some(DATES[0]), &old.blob(&stream(2, Some(1))));
    assert_eq!(old.import().code, Some(0));
    let foreign = old.server.plant("of another program", b"other");
    for (words, code) in [
        ("prune --imported btrsend", 2),
        ("prune --imported btrsend --yes-delete 3", 2),
        ("prune --imported btrsend --dry-run", 0),
        ("prune --imported other --yes-delete 2", 2),
        ("prune home --imported btrsend --yes-delete 2", 2),
    ] {
        assert_eq!(old.run(words).code, Some(code), "{words}");
        assert_eq!(old.server.count(Operation::DeleteArchive), 0);
    }
    old.server.configure(|config| config.deny_delete = true);
    let denied = old.run("prune --imported btrsend --yes-delete 2");
    assert_eq!(denied.code, Some(4), "{denied:?}");
    assert_eq!(old.states(), ["2014-01-01 unproven", "2014-01-07 unproven"]);
    old.server.configure(|config| config.deny_delete = false);
    let deleted = old.run("prune --imported btrsend --yes-delete 2");
    deleted.is(
        0,
        &format!(
            "btrsend: deleted 2 archives from the vault {VAULT}, {}\n",
            sizes(&old)
        ),
        "",
    );
    let left: Vec<String> = old.server.archives().into_iter().map(|it| it.id).collect();
    assert_eq!(left, [foreign]);
    assert_eq!(old.states(), ["2014-01-01 deleted", "2014-01-07 deleted"]);
    let restore = old.run("restore --imported btrsend 2014-01-01 --plan");
    assert_eq!(restore.code, Some(2), "{restore:?}");
    // btrsend's own database still has them; they stay deleted here.
    assert_eq!(old.import().code, Some(0));
    assert_eq!(old.states(), ["2014-01-01 deleted", "2014-01-07 deleted"]);
    assert_eq!(
        old.run("prune --imported btrsend --yes-delete 0").code,
        Some(0)
    );
}

/// The size of all that the catalog knows, as it is shown.
fn sizes(old: &OldBtrsend) -> String {
    let archives = old.imported();
    let bytes = archives
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["bytes"].as_u64().unwrap());
    coldchain::model::size::Bytes(bytes.sum()).to_string()
}

#[test]
fn a_stream_is_written_out_whole_or_not_at_all() {
    let old = OldBtrsend::fed();
    let whole = stream(1, None);
    let blob = old.blob(&whole);
    let mut changed = blob.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let blobs: [(&str, Vec<u8>, i32, &str); 11] = [
        ("2014-01-01", blob.clone(), 0, ""),
        (
            "2014-01-07",
            blob[..blob.len() - 20].to_vec(),
            6,
            "its end is missing, or bytes were changed",
        ),
        (
            "2014-01-14",
            changed,
            6,
            "its end is missing, or bytes were changed",
        ),
        (
            "2014-01-21",
            b"gpg: no such recipient".to_vec(),
            6,
            "it is not an OpenPGP message",
        ),
        // `gzip` failed, and gpg encrypted nothing.
        (
            "2014-02-01",
            old.encrypted(b""),
            6,
            "the decrypted archive is empty",
        ),
        (
            "2014-02-07",
            old.encrypted(&whole),
            6,
            "not what `gzip` writes",
        ),
        (
            "2014-02-14",
            old.encrypted(&gzip(&whole)[..100]),
            6,
            "the gzip data end too early",
        ),
        (
            "2014-02-21",
            old.encrypted(&[gzip(&whole), b"more".to_vec()].concat()),
            6,
            "something follows the gzip data",
        ),
        // `btrfs send` failed, and gzip and gpg went on with what there was.
        (
            "2014-03-01",
            old.blob(&whole[..whole.len() - 30]),
            6,
            "the guard refused the send stream",
        ),
        (
            "2014-03-07",
            old.blob(b""),
            6,
            "the guard refused the send stream",
        ),
        (
            "2014-03-14",
            filtered(old.gpg().args(["--store"]), &gzip(&whole)),
            6,
            "it is not encrypted",
        ),
    ];
    for (date, blob, ..) in &blobs {
        old.store(date, None, blob);
    }
    assert_eq!(old.import().code, Some(0));
    for (date, _, code, message) in &blobs {
        let (ended, file) = old.stream(date);
        assert_eq!(ended.code, Some(*code), "{date}: {ended:?}");
        assert!(ended.stderr.contains(message), "{date}: {ended:?}");
        let state = if *code == 0 { "proven" } else { "damaged" };
        assert!(old.states().contains(&format!("{date} {state}")), "{date}");
        if *code == 0 {
            assert!(fs::read(&file).unwrap() == whole);
        } else {
            assert!(!file.exists(), "{date}");
        }
    }
    // What was paid for stays.
    assert_eq!(old.spooled(), blobs.len() - 1);
    let jobs = old.server.jobs().len();
    assert_eq!(old.stream("2014-01-07").0.code, Some(6));
    assert_eq!(old.server.jobs().len(), jobs);
}

#[test]
fn a_key_that_is_missing_or_needs_a_passphrase_is_no_fault_of_the_archive() {
    let old = OldBtrsend::fed();
    let whole = stream(1, None);
    old.store(DATES[0], None, &old.blob(&whole));
    assert_eq!(old.import().code, Some(0));
    // Without any secret key nothing is asked for.
    fs::create_dir(old.machine.path("empty")).unwrap();
    let words = "restore --imported btrsend --stream $T/out --yes --gpg-homedir";
    let none = old.run(&format!("{words} $T/empty"));
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("gpg has no secret key in"), "{none:?}");
    assert_eq!(old.run(&format!("{words} $T/missing")).code, Some(2));
    assert_eq!(old.server.jobs().len(), 0);

    assert_eq!(old.run(&format!("{words} $T/gnupg")).code, Some(5));
    old.server.clock().advance(TimeDelta::hours(6));
    // Another key: what was fetched stays.
    let home = old.machine.path("other");
    fs::create_dir(&home).unwrap();
    run(Command::new("chmod").arg("700").arg(&home));
    let other = |words: &[&str]| {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--homedir"])
            .arg(&home)
            .args(words);
        gpg
    };
    run(&mut other(&[
        "--passphrase",
        "",
        "--quick-gen-key",
        "x",
        "future-default",
        "default",
        "never",
    ]));
    let wrong = old.run(&format!("{words} $T/other"));
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(
        wrong.stderr.contains("it has none of the secret keys: "),
        "{wrong:?}"
    );
    assert_eq!(
        (old.states(), old.spooled()),
        (vec!["2014-01-01 unproven".to_owned()], 1)
    );

    // The same key with a passphrase, and no terminal to ask on.
    let secret = old
        .gpg()
        .args(["--armor", "--export-secret-keys", RECIPIENT])
        .output()
        .unwrap();
    run(Command::new("gpgconf")
        .arg("--homedir")
        .arg(&home)
        .args(["--kill", "all"]));
    fs::remove_dir_all(&home).unwrap();
    fs::create_dir(&home).unwrap();
    run(Command::new("chmod").arg("700").arg(&home));
    filtered(&mut other(&["--import"]), &secret.stdout);
    let mut passwd = other(&[
        "--pinentry-mode",
        "loopback",
        "--passphrase-fd",
        "0",
        "--passwd",
        RECIPIENT,
    ]);
    filtered(&mut passwd, b"secret\n");
    run(Command::new("gpgconf")
        .arg("--homedir")
        .arg(&home)
        .args(["--kill", "all"]));
    let asked = old.run(&format!("{words} $T/other"));
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(
        asked.stderr.contains("gpg could not ask for it"),
        "{asked:?}"
    );
    assert_eq!(old.states(), ["2014-01-01 unproven"]);
    run(Command::new("gpgconf")
        .arg("--homedir")
        .arg(&home)
        .args(["--kill", "all"]));

    let right = old.run(&format!("{words} $T/gnupg"));
    assert_eq!(right.code, Some(0), "{right:?}");
    assert!(fs::read(old.machine.path("out")).unwrap() == whole);
    assert_eq!(
        (old.states(), old.spooled()),
        (vec!["2014-01-01 proven".to_owned()], 0)
    );
    assert_eq!(old.server.jobs().len(), 1);
}

#[test]
fn a_database_that_does_not_fit_is_refused_whole() {
    let old = OldBtrsend::fed();
    let refused = |words: &str, message: &str| {
        let run = old.run(words);
        assert_eq!(run.code, Some(2), "{words}: {run:?}");
        assert!(run.stderr.contains(message), "{words}: {run:?}");
        let listed = old.run("list --json");
        assert!(!listed.stdout.contains("imported"), "{words}");
    };
    let import = "import btrsend --db $T/.btrsend.db --vault";
    refused(&format!("{import} old"), "its table `btrsend` has no row");
    old.store(DATES[0], None, b"one");
    refused(
        &format!("{import} nowhere"),
        "the config has no store `nowhere`",
    );
    refused(
        &format!("{import} disk"),
        "it is not of type \"glacier-vault\"",
    );
    refused(&format!("{import} old --name home"), "a source has it");
    refused(&format!("{import} old --name X"), "is not a source name");
    refused("import btrsend --db $T/none --vault old", "cannot read");
    refused(
        "import btrsend --db $T/config.toml --vault old",
        "is not a database that SQLite can read",
    );
    old.store(DATES[0], None, b"two");
    refused(
        &format!("{import} old"),
        "rows 1 and 2 both have the date 2014-01-01",
    );
    old.sql("DELETE FROM btrsend WHERE id = 2");

    // btrsend is at work, and holds its lock.
    let mut writer = Command::new("sqlite3")
        .arg(old.db())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = writer.stdin.take().unwrap();
    std::io::Write::write_all(
        &mut to,
        b"BEGIN EXCLUSIVE; DELETE FROM btrsend; SELECT 'held';\n",
    )
    .unwrap();
    std::io::Write::flush(&mut to).unwrap();
    let mut said = [0; 5];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut said).unwrap();
    let imported = old.import();
    drop(to);
    writer.wait().unwrap();
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_eq!(old.states(), ["2014-01-01 unproven"]);

    // A later one may add, and not contradict.
    old.store(DATES[1], Some("2013-12-21"), b"three");
    let more = old.import();
    assert_eq!(more.code, Some(0), "{more:?}");
    assert!(
        more.stderr.contains("which the database does not have"),
        "{more:?}"
    );
    assert_eq!(old.states().len(), 2);
    let broken = old.run("restore --imported btrsend --plan");
    assert_eq!(broken.code, Some(7), "{broken:?}");
    old.sql("UPDATE btrsend SET size = 9 WHERE id = 1");
    let other = old.import();
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(
        other.stderr.contains("its size was 3, and is 9"),
        "{other:?}"
    );
    old.run("forget --imported btrsend --yes").is(
        0,
        "btrsend: removed from the catalog\n\
         btrsend: 2 archives stay in the vault archives and cost money there; another import of btrsend's database finds them again\n",
        "",
    );
    assert_eq!(old.run("show --imported btrsend").code, Some(2));
}

#[test]
fn the_keyring_of_another_user_is_used_as_that_user() {
    let old = OldBtrsend::fed();
    let whole = stream(1, None);
    old.store(DATES[0], None, &old.blob(&whole));
    assert_eq!(old.import().code, Some(0));
    let kill = |home: &Path| {
        run(Command::new("gpgconf")
            .arg("--homedir")
            .arg(home)
            .args(["--kill", "all"]));
    };
    kill(&old.home());
    // A home that its user can enter.
    let user = tempfile::tempdir().unwrap();
    run(Command::new("chmod").arg("755").arg(user.path()));
    let home = user.path().join(".gnupg");
    run(Command::new("cp").arg("-a").arg(old.home()).arg(&home));
    run(Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(user.path()));
    let words = format!(
        "restore --imported btrsend --stream $T/out --yes --gpg-homedir {}",
        home.display()
    );
    assert_eq!(old.run(&words).code, Some(5));
    old.server.clock().advance(TimeDelta::hours(6));
    let restored = old.run(&words);
    kill(&home);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(fs::read(old.machine.path("out")).unwrap() == whole);
    let of_root = Command::new("find")
        .arg(&home)
        .args(["-user", "root"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&of_root.stdout), "");
}
