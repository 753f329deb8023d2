//! btrsend's way with `packaging/btrsend`: several users, each unprivileged with own config, keys and state, and the
//! decisions of btrsend's planner. `scripts/soak btrsend` plays more nights (`COLDCHAIN_BTRSEND_NIGHTS`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chrono::{Datelike, Days, NaiveDate};
use coldchain::model::Sha256;
use coldchain::plan::{
    Action, Facts, History, ListedAsOf, Request, Schedule, SendParentSnapshot, carry_out,
    plan_backup,
};
use rusqlite::{Connection, OpenFlags};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::tree::compare_trees;

/// `SNAPDAYS`: fewer than lie between some archives, so that a send parent outlives the others.
const SNAPDAYS: u64 = 5;
/// The example of a user's config, and the script.
const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/btrsend");

/// A date, and the date that its stream builds on; none if it is complete.
type Backup = (NaiveDate, Option<NaiveDate>);

/// btrsend's planner: the original has 1, 7, 14, 21; 11; and 90 days.
#[derive(Debug, Clone)]
struct Planner {
    days: Vec<u32>,
    incrementals: usize,
    lifetime: u64,
    /// In the order of their dates.
    backups: Vec<Backup>,
}

impl Planner {
    fn btrsend() -> Self {
        Self {
            days: vec![1, 7, 14, 21],
            incrementals: 11,
            lifetime: 90,
            backups: Vec::new(),
        }
    }

    /// Plays a night. Returns the backup that it asks for, if any.
    fn night(&mut self, date: NaiveDate) -> Option<Backup> {
        let is_made = self.backups.iter().any(|(made, _)| *made == date);
        let is_due = self.backups.is_empty() || (self.days.contains(&date.day()) && !is_made);
        let asked = is_due.then(|| (date, self.parent()));
        self.backups.extend(asked);
        self.drop_oldest(date);
        asked
    }

    /// The newest backup of the newest chain, if the chain has room for another.
    fn parent(&self) -> Option<NaiveDate> {
        let full = self.backups.iter().rposition(|(_, on)| on.is_none())?;
        let chain = &self.backups[full..];
        let newest = chain.last().filter(|_| chain.len() <= self.incrementals);
        newest.map(|(date, _)| *date)
    }

    /// Drops the oldest chain if its time is over. Three things are unlike the original: the night's backup is made
    /// before, the only chain stays, and a night more than 35 days after the last backup drops nothing.
    fn drop_oldest(&mut self, date: NaiveDate) {
        let mut earlier = self.backups.iter().rev().map(|(made, _)| *made);
        let last = earlier.find(|made| *made < date);
        if last.is_some_and(|last| last + Days::new(35) < date) {
            return;
        }
        let mut fulls = (0..self.backups.len()).filter(|at| self.backups[*at].1.is_none());
        let Some(next) = fulls.nth(1) else { return };
        if self.backups[next - 1].0 + Days::new(self.lifetime) <= date {
            self.backups.drain(..next);
        }
    }

    fn dates(&self) -> Vec<NaiveDate> {
        self.backups.iter().map(|(date, _)| *date).collect()
    }
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[test]
fn without_catching_up_every_night_is_decided_as_btrsend_decides_it() {
    let schedule = Schedule {
        catch_up: false,
        ..Schedule::default()
    };
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut planner = Planner::btrsend();
        let mut facts = Facts {
            source: "home".parse().unwrap(),
            date: date("2024-01-01") + Days::new(rng.below(31)),
            request: Request::Scheduled,
            history: History::default(),
            send_parent: SendParentSnapshot::NotLocal,
            older_send_parent: None,
            recipients: Sha256([0; 32]),
            listed_as_of: ListedAsOf::Now,
        };
        for _ in 0..1000 {
            let plan = plan_backup(&facts, &schedule).unwrap();
            let decided = match plan.action {
                Action::None => None,
                Action::Full => Some((facts.date, None)),
                Action::Incremental { send_parent, .. } => {
                    Some((facts.date, Some(send_parent.date)))
                }
            };
            assert_eq!(decided, planner.night(facts.date), "{} {seed}", facts.date);
            carry_out(&plan, &mut facts.history, facts.recipients);
            let left: Vec<NaiveDate> = facts
                .history
                .archives
                .iter()
                .map(|one| one.id.date)
                .collect();
            assert_eq!(left, planner.dates(), "{} {seed}", facts.date);
            // Off for some nights now and then.
            let off = if rng.below(8) == 0 { rng.below(12) } else { 0 };
            facts.date = facts.date + Days::new(1 + off);
        }
    }
}

/// A user with a subvolume as home directory.
struct User {
    name: &'static str,
    uid: u32,
    planner: Planner,
    /// All that the planner asked for.
    asked: Vec<Backup>,
}

/// A machine with users, as `/etc/passwd` has them inside a mount namespace.
struct Home {
    directory: tempfile::TempDir,
    btrfs: LoopFs,
}

impl Home {
    fn new(users: &[&User]) -> Self {
        let home = Self {
            directory: tempfile::tempdir().unwrap(),
            btrfs: LoopFs::new(512),
        };
        for directory in [home.path(""), home.btrfs.root().join("..")] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for directory in ["home", "snapshot", "kept"] {
            fs::create_dir(home.btrfs.path(directory)).unwrap();
        }
        // Users can't reach the one of the build. `cp` makes it: a child that another test starts
        // while this process writes the copy inherits its descriptor, and running it would then
        // fail with ETXTBSY.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_coldchain"))
            .arg(home.path("coldchain"))
            .status();
        assert!(copied.unwrap().success());
        let (mut passwd, mut group) = (
            "root:x:0:0:root:/root:/bin/bash\n".to_owned(),
            "root:x:0:\n".to_owned(),
        );
        for User { name, uid, .. } in users {
            let at = home.of(name);
            writeln!(passwd, "{name}:x:{uid}:{uid}::{}:/bin/false", at.display()).unwrap();
            writeln!(group, "{name}:x:{uid}:").unwrap();
        }
        fs::write(home.path("passwd"), passwd).unwrap();
        fs::write(home.path("group"), group).unwrap();
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// The home directory of a user.
    fn of(&self, name: &str) -> PathBuf {
        self.btrfs.path("home").join(name)
    }

    /// A user's store. It lies in memory too, since each object is synced.
    fn store(&self, user: &User) -> PathBuf {
        self.btrfs.path(format!("store-{}", user.name))
    }

    fn snapshot(&self, name: &str, date: NaiveDate) -> PathBuf {
        self.btrfs.path(format!("snapshot/{name}/{date}"))
    }

    /// Writes what `btrsnap` reads.
    fn configure(&self, users: &[&str]) {
        let conf = format!(
            "HOMEDIR='{home}'\nSNAPDIR='{snapshots}'\nSNAPUSERS=({users})\nSNAPDAYS={SNAPDAYS}\nCOLDCHAIN='{coldchain}'\n",
            home = self.btrfs.path("home").display(),
            snapshots = self.btrfs.path("snapshot").display(),
            users = users.join(" "),
            coldchain = self.path("coldchain").display(),
        );
        fs::write(self.path("btrsnap.conf"), conf).unwrap();
    }

    /// Runs `btrsnap` with these words.
    fn btrsnap(&self, words: &str) -> Output {
        let script = r#"mount --bind "$1/passwd" /etc/passwd; mount --bind "$1/group" /etc/group; shift; exec "$@""#;
        Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "bash",
                "-euc",
                script,
            ])
            .arg("btrsnap")
            .arg(self.path(""))
            .arg(Path::new(PACKAGING).join("btrsnap"))
            .args(words.split_whitespace())
            .env("BTRSNAP_CONF", self.path("btrsnap.conf"))
            .output()
            .unwrap()
    }

    /// Runs coldchain as a user, with the user's config.
    fn run_as(&self, user: &User, words: &[&str]) -> Output {
        let config = self.of(user.name).join(".config/coldchain/config.toml");
        Command::new("setpriv")
            .args([
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.uid),
            ])
            .args(["--clear-groups", "--"])
            .arg(self.path("coldchain"))
            .arg("--config")
            .arg(config)
            .args(words)
            .current_dir("/")
            .output()
            .unwrap()
    }

    /// Makes the user's subvolume, config and keys, as packaging/btrsend/README.md says.
    fn settle(&self, user: &User, schedule: &str) {
        let at = self.btrfs.subvolume(format!("home/{}", user.name));
        let store = self.store(user);
        fs::create_dir(&store).unwrap();
        for path in [&at, &store] {
            chown(path, Some(user.uid), Some(user.uid)).unwrap();
        }
        let config = at.join(".config/coldchain/config.toml");
        let kit = at.join("kit");
        let init = ["init", "--quiet", "--kit", kit.to_str().unwrap()];
        let ran = self.run_as(user, &init);
        assert!(ran.status.success(), "{ran:?}");
        let kit_text = fs::read_to_string(&kit).unwrap();
        let recipient = kit_text
            .lines()
            .find_map(|line| line.strip_prefix("# identity of "))
            .unwrap();
        let example = fs::read_to_string(Path::new(PACKAGING).join("config.toml")).unwrap();
        let (top, _) = example.split_once("[store.main]").unwrap();
        let (_, planner) = example.split_once("[schedule]").unwrap();
        let planner = if schedule.is_empty() {
            planner
        } else {
            schedule
        };
        let text = format!(
            "compression = 1\nthreads = 1\ndelete_after = \"0s\"\n{top}[store.main]\ntype = \"dir\"\npath = \"{}\"\n\n[encryption]\nrecipients = [\"{recipient}\"]\n\n[schedule]\n{planner}",
            store.display(),
        );
        let text = text
            .replace("/home/ann", &at.display().to_string())
            .replace("\"ann\"", &format!("\"{}\"", user.name));
        fs::write(&config, text).unwrap();
        let hook = config.with_file_name("after");
        let script = "#!/bin/sh\necho \"$COLDCHAIN_DATE $COLDCHAIN_RESULT\" >> \"${0%/*}/heard\"\n";
        fs::write(&hook, script).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&hook, config.parent().unwrap()] {
            chown(path, Some(user.uid), Some(user.uid)).unwrap();
        }
        let init = self.run_as(user, &init);
        assert!(init.status.success(), "{init:?}");
    }

    /// The archives in a user's catalog: date, send parent's date, and whether it is visible.
    fn archives(&self, user: &User) -> Vec<(NaiveDate, Option<NaiveDate>, bool)> {
        let catalog = self.of(user.name).join(".local/state/coldchain/catalog.db");
        if !catalog.exists() {
            return Vec::new();
        }
        let uri = format!("file:{}?immutable=1", catalog.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let catalog = Connection::open_with_flags(uri, flags).unwrap();
        let mut rows = catalog
            .prepare("SELECT date, substr(send_parent, 1, 10), state FROM archive WHERE state IN ('committed', 'retired') ORDER BY date")
            .unwrap();
        rows.query_map([], |row| {
            let (date, parent): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            let state: String = row.get(2)?;
            assert!(
                ["committed", "retired"].contains(&state.as_str()),
                "{state}"
            );
            Ok((
                date.parse().unwrap(),
                parent.map(|parent| parent.parse().unwrap()),
                state == "committed",
            ))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect()
    }

    /// Plays a night of these users, and holds decisions, archives and snapshots against the planner.
    fn night(&self, date: NaiveDate, users: &mut [&mut User], rng: &mut Rng) {
        for user in users.iter() {
            let file = self.of(user.name).join(format!("file {}", rng.below(5)));
            fs::write(&file, rng.bytes(20_000)).unwrap();
            chown(&file, Some(user.uid), Some(user.uid)).unwrap();
        }
        let ran = self.btrsnap(&date.to_string());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.is_empty(), "{date}: {said}");
        assert_eq!(ran.stdout, b"");
        for user in users.iter_mut() {
            let asked = user.planner.night(date);
            user.asked.extend(asked);
            let archives = self.archives(user);
            let made: Vec<_> = archives.iter().map(|(date, on, _)| (*date, *on)).collect();
            assert_eq!(made, user.asked, "{} {date}", user.name);
            let visible = archives.iter().filter(|(.., is_visible)| *is_visible);
            let visible: Vec<NaiveDate> = visible.map(|(date, ..)| *date).collect();
            assert_eq!(visible, user.planner.dates(), "{} {date}", user.name);
            if asked.is_some() {
                // For the comparison at the end; `btrsnap` deletes its own.
                let kept = self.btrfs.path(format!("kept/{}-{date}", user.name));
                let snapshot = self.snapshot(user.name, date);
                btrfs(["subvolume", "snapshot", "-r"], &[&snapshot, &kept]);
            }
        }
    }

    /// Checks that the user's hook and log have each night, with what came of it.
    fn has_heard(&self, user: &User, nights: &[NaiveDate]) {
        let archived = |date: &NaiveDate| user.asked.iter().any(|(asked, _)| asked == date);
        let results = nights.iter().map(|date| {
            let result = if archived(date) {
                "archived"
            } else {
                "nothing-due"
            };
            format!("{date} {result}")
        });
        let results: Vec<String> = results.collect();
        let config = self.of(user.name).join(".config/coldchain");
        let heard = fs::read_to_string(config.join("heard")).unwrap();
        assert_eq!(heard.lines().collect::<Vec<_>>(), results);
        let log = self
            .of(user.name)
            .join(".local/state/coldchain/coldchain.log");
        let log = fs::read_to_string(log).unwrap();
        let of_action = |action: &str| log.lines().filter(|line| line.contains(action)).count();
        let made = results.iter().filter(|it| it.ends_with("archived")).count();
        assert_eq!(of_action(" archived "), made, "{log}");
        assert_eq!(of_action(" nothing-due "), nights.len() - made, "{log}");
        assert_eq!(of_action(" error "), 0, "{log}");
    }

    /// The dates of the snapshots of a user.
    fn snapshots(&self, name: &str) -> BTreeSet<NaiveDate> {
        fs::read_dir(self.btrfs.path(format!("snapshot/{name}")))
            .unwrap()
            .map(|entry| date(entry.unwrap().file_name().to_str().unwrap()))
            .collect()
    }

    /// Restores a user's newest chain on an empty machine that has the kit and the store's address alone, and compares
    /// every date of it.
    fn is_restored_equal(&self, user: &User) {
        let elsewhere = LoopFs::new(512);
        let kit = self.path(&format!("kit-{}", user.name));
        fs::copy(self.of(user.name).join("kit"), &kit).unwrap();
        chown(&kit, Some(0), Some(0)).unwrap();
        let config = self.path("none.toml");
        let state = self.path(&format!("restoring-{}", user.name));
        let run = |words: &[&str]| {
            let ran = Command::new(self.path("coldchain"))
                .env("COLDCHAIN_CONFIG", &config)
                .args(words)
                .arg("--state-dir")
                .arg(&state)
                .arg("--identity")
                .arg(&kit)
                .output()
                .unwrap();
            assert!(ran.status.success(), "{ran:?}");
        };
        let store = format!("file://{}", self.store(user).display());
        let root = elsewhere.root();
        run(&["catalog", "rebuild", "--store", &store]);
        run(&[
            "restore",
            user.name,
            "--yes",
            "--to",
            root.to_str().unwrap(),
        ]);
        let dates = user.planner.dates();
        let full = user
            .planner
            .backups
            .iter()
            .rposition(|(_, on)| on.is_none());
        for date in &dates[full.unwrap()..] {
            let kept = self.btrfs.path(format!("kept/{}-{date}", user.name));
            compare_trees(&kept, &elsewhere.path(format!("{}/{date}", user.name)));
        }
    }

    /// Segments in a user's store, by the archive that they belong to.
    fn stored(&self, user: &User) -> BTreeMap<String, usize> {
        let archives = self.store(user).join(user.name).join("archives");
        fs::read_dir(archives)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let objects = fs::read_dir(entry.path()).unwrap().count();
                (entry.file_name().into_string().unwrap(), objects)
            })
            .collect()
    }
}

/// The nights on which the machine is on: all slots but the missed ones, and every sixth of the other days. What happens
/// happens on slots and after the lifetime of a chain, so the rest may be few.
fn nights(first: NaiveDate, missed: &[&str], count: usize) -> Vec<NaiveDate> {
    first
        .iter_days()
        .filter(|day| {
            let is_slot = [1, 7, 14, 21].contains(&day.day());
            let is_missed = missed.contains(&day.to_string().as_str());
            !is_missed && (is_slot || day.ordinal() % 6 == 0)
        })
        .take(count)
        .collect()
}

fn user(name: &'static str, uid: u32) -> User {
    User {
        name,
        uid,
        planner: Planner::btrsend(),
        asked: Vec::new(),
    }
}

#[test]
fn nights_of_two_users_are_decided_as_btrsend_decides_them_pruned_and_restored_equal() {
    if !real_btrfs_available() {
        return;
    }
    let count =
        std::env::var("COLDCHAIN_BTRSEND_NIGHTS").map_or(55, |count| count.parse().unwrap());
    let mut rng = Rng::new(17);
    let (mut ann, mut bob) = (user("ann", 61_001), user("bob", 61_002));
    bob.planner = Planner {
        days: vec![1, 7, 14, 21],
        incrementals: 3,
        lifetime: 30,
        ..bob.planner
    };
    let home = Home::new(&[&ann, &bob]);
    home.settle(&ann, "");
    home.settle(
        &bob,
        "max_incrementals = 3\nexpire_after_days = 30\ncatch_up = false\n",
    );
    // No slot: the first archive is made on any day.
    let nights = nights(date("2024-01-03"), &["2024-02-14", "2024-05-01"], count);
    for (number, night) in nights.iter().enumerate() {
        // The other user comes later.
        if number < 9 {
            home.configure(&["ann"]);
            home.night(*night, &mut [&mut ann], &mut rng);
        } else {
            home.configure(&["ann", "bob"]);
            home.night(*night, &mut [&mut ann, &mut bob], &mut rng);
        }
    }
    let last = *nights.last().unwrap();
    for user in [&ann, &bob] {
        assert!(
            user.planner.backups.len() < user.asked.len(),
            "{}",
            user.name
        );
        let newest = user.asked.last().unwrap().0;
        let due = nights.iter().copied();
        let due: BTreeSet<NaiveDate> = due
            .filter(|night| *night + Days::new(SNAPDAYS) >= last || *night == newest)
            .collect();
        assert_eq!(home.snapshots(user.name), due, "{}", user.name);
        // What was retired in the last night may still be there; the nights before have deleted the rest.
        let visible = user.planner.dates();
        let stored = home.stored(user);
        let of_visible = |name: &str| visible.contains(&date(&name[..10]));
        assert!(visible.iter().all(|date| {
            stored
                .keys()
                .any(|name| name.starts_with(&date.to_string()))
        }));
        assert!(
            stored
                .iter()
                .all(|(name, objects)| of_visible(name) || *objects == 0),
            "{stored:?}"
        );
        home.is_restored_equal(user);
        home.has_heard(
            user,
            if user.name == "ann" {
                &nights
            } else {
                &nights[9..]
            },
        );
    }
}

#[test]
fn a_user_who_fails_is_named_and_does_not_stop_the_others() {
    if !real_btrfs_available() {
        return;
    }
    let (ann, eve) = (user("ann", 61_001), user("eve", 61_003));
    let home = Home::new(&[&ann, &eve]);
    home.settle(&ann, "");
    // She has neither config nor keys.
    home.btrfs.subvolume("home/eve");
    let ran = |users: &[&str], words: &str| {
        home.configure(users);
        let ran = home.btrsnap(words);
        assert_eq!(ran.stdout, b"");
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let made = || -> Vec<String> {
        let archives = home.archives(&ann).into_iter();
        archives
            .map(|(date, on, _)| format!("{date} {on:?}"))
            .collect()
    };
    let (code, said) = ran(&["eve", "zoe", "root", "ann"], "2024-01-01");
    assert_eq!(code, Some(1), "{said}");
    let config = home.of("eve").join(".config/coldchain/config.toml");
    for line in [
        format!(
            "eve: error: the config file {} does not exist\n",
            config.display()
        ),
        "btrsnap: eve failed (exit code 2)".to_owned(),
        "zoe: id: ".to_owned(),
        "btrsnap: zoe failed (exit code 1)".to_owned(),
        "root: btrsnap: the uid of root is 0, and coldchain has to run unprivileged".to_owned(),
        "btrsnap: root failed (exit code 2)".to_owned(),
    ] {
        assert!(said.contains(&line), "{line} in {said}");
    }
    assert!(!said.contains("ann"), "{said}");
    assert_eq!(made(), ["2024-01-01 None"]);

    // The same night again.
    assert_eq!(ran(&["ann"], "2024-01-01"), (Some(0), String::new()));
    assert_eq!(made(), ["2024-01-01 None"]);

    // The snapshot to send against is gone.
    btrfs(
        ["subvolume", "delete"],
        &[&home.snapshot("ann", date("2024-01-01"))],
    );
    let (code, said) = ran(&["ann"], "2024-01-07");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("ann: btrsnap: cannot send an incremental stream: the snapshot ")
            && said.contains("Run `btrsnap --full ann 2024-01-07`")
            && said.contains("ann: error: the send stream was not archived\n"),
        "{said}"
    );
    let (code, said) = ran(&["eve", "ann"], "--full ann 2024-01-07");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(made(), ["2024-01-01 None", "2024-01-07 None"]);

    // One run at a time.
    let lock = fs::File::open(home.btrfs.path("snapshot")).unwrap();
    lock.lock().unwrap();
    let busy = (Some(2), "btrsnap: another btrsnap is running\n".to_owned());
    assert_eq!(ran(&["ann"], "2024-01-08"), busy);
    drop(lock);
    for (users, words, stderr) in [
        (
            &["ann"][..],
            "today",
            "btrsnap: `today` is not a date: dates look like YYYY-MM-DD\n",
        ),
        (&[], "2024-01-08", "btrsnap: SNAPUSERS names no user\n"),
        (
            &["ann"],
            "2024-01-08 2024-01-09",
            "btrsnap: usage: btrsnap [YYYY-MM-DD], or btrsnap --full USER [YYYY-MM-DD]\n",
        ),
    ] {
        assert_eq!(ran(users, words), (Some(2), stderr.to_owned()));
    }
    assert!(!home.snapshot("ann", date("2024-01-08")).exists());
}
