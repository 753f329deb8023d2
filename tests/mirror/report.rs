//! What the commands say of mirrors, and what is forgotten of them.

use rusqlite::Connection;
use serde_json::Value;

use super::disks::{Disks, MIRROR, SNAPSHOTS_ALONE, tamper_keeping_received};
use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::LIVE_CONFIG;

impl Disks {
    /// What a command says, which must end well.
    #[track_caller]
    fn says(&self, words: &str) -> String {
        let run = self.run(words);
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// The findings of `doctor` on its only mirror: subject, verdict and text.
    #[track_caller]
    fn findings(&self) -> Vec<String> {
        let answer: Value = serde_json::from_str(&self.says("doctor --json")).unwrap();
        let mirrors = answer["mirrors"].as_array().unwrap();
        assert_eq!(mirrors.len(), 1);
        let findings = mirrors[0]["findings"].as_array().unwrap().iter();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        findings
            .map(|it| {
                let [subject, verdict, text] =
                    ["subject", "verdict", "text"].map(|key| word(&it[key]));
                format!("{subject}: {verdict}: {text}")
            })
            .collect()
    }

    #[track_caller]
    fn finds(&self, expected: &str) {
        let findings = self.findings();
        assert!(
            findings.iter().any(|it| it.starts_with(expected)),
            "{expected} is not in {findings:#?}"
        );
    }

    fn catalog(&self, sql: &str) {
        let catalog = Connection::open(self.machine.state().join("catalog.db")).unwrap();
        catalog.execute_batch(sql).unwrap();
    }
}

#[test]
fn list_snapshots_and_plan_know_a_mirror_as_of_the_last_run() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(61);
    let list = disks.says("list");
    assert!(
        list.contains("  mirror $M  nothing was sent yet\n"),
        "{list}"
    );
    let plan = disks.says("plan home 2024-01-01");
    let first = "mirror       $M: 2024-01-01; the first in full: it was not used yet\n";
    assert!(plan.contains(first), "{plan}");

    disks.night("2024-01-01");
    let list = disks.says("list");
    let one = "  mirror $M  as of the last run 1 copy, the newest 2024-01-01, up to date, complete today\n";
    assert!(list.contains(one), "{list}");

    disks.mutate();
    disks.second.detach();
    for date in ["2024-01-02", "2024-01-03"] {
        assert_eq!(disks.run(&format!("backup home {date}")).code, Some(4));
    }
    // None of these needs the disk.
    let list = disks.says("list");
    let behind = "  mirror $M  as of the last run 1 copy, the newest 2024-01-01, 2 dates behind, complete today\n";
    assert!(list.contains(behind), "{list}");
    let snapshots = disks.says("snapshots");
    let held = snapshots.lines().find(|line| line.contains("2024-01-01"));
    let held = held.unwrap();
    assert!(
        held.contains("; a copy at $M; kept for $M until 20"),
        "{held}"
    );
    let other = snapshots.lines().find(|line| line.contains("2024-01-02"));
    assert!(!other.unwrap().contains("$M"), "{snapshots}");
    let plan = disks.says("plan home 2024-01-04");
    let three = "mirror       $M: 3 snapshots from 2024-01-02 to 2024-01-04; as of the last run its newest snapshot \
                 from here is 2024-01-01\n";
    assert!(plan.contains(three), "{plan}");

    let answer: Value = serde_json::from_str(&disks.says("list --json")).unwrap();
    let mirror = &answer["sources"][0]["mirrors"][0];
    assert_eq!(mirror["behind"], 2);
    assert_eq!(mirror["newest"], "2024-01-01");
    assert_eq!(
        mirror["waiting"],
        serde_json::json!(["2024-01-02", "2024-01-03"])
    );
    assert_eq!(mirror["held"], "2024-01-01");
    let answer: Value = serde_json::from_str(&disks.says("snapshots --json")).unwrap();
    let first = &answer["sources"][0]["snapshots"][0];
    assert_eq!(first["mirrors"], serde_json::json!(["$M"]));
    assert_eq!(first["held_for"][0]["to"], "$M");
    let answer: Value = serde_json::from_str(&disks.says("plan home 2024-01-04 --json")).unwrap();
    let planned = &answer["plans"][0]["mirrors"][0];
    assert_eq!(planned["newest_common"], "2024-01-01");
    assert_eq!(planned["send"].as_array().unwrap().len(), 3);

    // What was said comes true.
    disks.second.attach();
    disks.night("2024-01-04");
    assert!(
        disks
            .says("list")
            .contains("4 copies, the newest 2024-01-04, up to date")
    );
    assert_eq!(disks.compare(), 4);
}

#[test]
fn doctor_looks_at_the_mirror() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(62);
    disks.finds("mark: fine: it was not used yet");
    disks.finds("copies: fine: none yet");
    disks.night("2024-01-01");
    disks.mutate();
    disks.night("2024-01-02");
    disks.finds("mark: fine: it is the mirror of the last run");
    disks.finds("room: fine: ");
    disks.finds("copies: fine: 2 copies, the newest 2024-01-02");
    disks.finds("progress: fine: up to date, last complete at 20");
    disks.finds("hold: fine: 2024-01-02 is kept until 20");
    assert_eq!(disks.findings().len(), 5, "{:#?}", disks.findings());
    let text = disks.says("doctor");
    assert!(
        text.contains("home: mirror $M\n") && text.contains("1 mirror: 5 fine, "),
        "{text}"
    );

    // The hold runs out in ten days, and is over.
    for (days, expected) in [
        (
            80,
            "hold: warning: 2024-01-02 is kept for this mirror until 20",
        ),
        (
            91,
            "hold: warning: over: 2024-01-02 is no longer kept for this mirror",
        ),
    ] {
        disks.catalog(&format!(
            "UPDATE mirror SET reached_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-{days} days');
             UPDATE mirrored SET mirrored_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-{days} days');"
        ));
        disks.finds(expected);
    }

    tamper_keeping_received(&disks.copy("2024-01-01"));
    disks.finds(
        "copies: warning: copies were changed there, so nothing is sent against them: 2024-01-01",
    );
    disks.catalog("UPDATE mirror SET mark = '00000000000000000000000000000000';");
    disks.finds("mark: warning: its mark is not that of the last run");
    disks.second.detach();
    disks.finds("reach: warning: the mirror $M is not there: ");
    disks.second.attach();
}

#[test]
fn doctor_says_that_a_mirror_is_on_the_sources_own_filesystem() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::without_mirror(63);
    let own = "\n[[mirror]]\nsource = \"home\"\nto = \"$FS/mirror\"\n";
    std::fs::create_dir(disks.machine.btrfs().path("mirror")).unwrap();
    disks.config(&format!("{SNAPSHOTS_ALONE}{own}"));
    disks.finds("filesystem: warning: it is on the source's own filesystem");
}

#[test]
fn a_mirror_that_left_the_config_is_named_until_it_is_forgotten() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::new(64);
    disks.night("2024-01-01");
    let refused = disks.run(&format!(
        "forget home --mirror {} --yes",
        disks.second.root().display()
    ));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("the config still names it"),
        "{}",
        refused.stderr
    );

    disks.config(SNAPSHOTS_ALONE);
    let said = "home: the config does not name its mirror $M any more, so it gets no snapshot";
    for words in ["doctor", "plan home 2024-01-02"] {
        let run = disks.run(words);
        assert!(run.stderr.contains(said), "{words}: {}", run.stderr);
    }
    let forget = format!(
        "forget home --mirror {} --yes",
        disks.second.root().display()
    );
    let forgotten = disks.says(&forget);
    assert_eq!(
        forgotten,
        "home: mirror $M removed from the catalog\nhome: what is in $M/home stays: 1 copy as of the last run\n"
    );
    assert!(!disks.run("doctor").stderr.contains("$M"));
    let again = disks.run(&forget);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(disks.copy("2024-01-01").is_dir());

    // Named again, it goes on with the copies that are there.
    disks.config(&format!("{SNAPSHOTS_ALONE}{MIRROR}"));
    let night = disks.night("2024-01-02");
    assert!(!night.stdout.contains("in full"), "{}", night.stdout);
    assert_eq!(disks.compare(), 2);
}

#[test]
fn a_rebuilt_catalog_still_knows_the_mirrors() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::with_store(65);
    disks.night("2024-01-01");
    disks.mutate();
    let of_mirrors = |disks: &Disks| {
        let list = disks.says("list");
        let lines = list.lines().filter(|line| line.contains("mirror"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = of_mirrors(&disks);
    assert_eq!(before.len(), 1);
    disks.says("catalog rebuild --identity $T/kit");
    assert_eq!(of_mirrors(&disks), before);
    let night = disks.night("2024-01-02");
    assert!(!night.stdout.contains("in full"), "{}", night.stdout);
    assert_eq!(disks.compare(), 2);

    // A forgotten source takes its mirrors along.
    let without = LIVE_CONFIG.replace(
        "name = \"home\"",
        "name = \"other\"\narchive_as = \"other\"",
    );
    disks.config(&without);
    let forgotten = disks.says("forget home --yes");
    assert!(
        forgotten.contains("the copies at the mirror $M stay"),
        "{forgotten}"
    );
    let catalog = Connection::open(disks.machine.state().join("catalog.db")).unwrap();
    for table in ["mirror", "mirrored"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = catalog.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[test]
fn a_config_of_a_mirror_of_a_mirror_alone_is_listed_and_examined() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::new(66);
    disks.night("2024-01-01");
    let to = disks.machine.btrfs().path("third");
    std::fs::create_dir(&to).unwrap();
    disks.config("timezone = \"UTC\"\nstate_dir = \"$T/state\"\n[[mirror]]\nfrom = \"$M/home\"\nto = \"$FS/third\"\n");
    let list = disks.says("list");
    assert!(list.contains("home  copies in $M/home\n"), "{list}");
    assert!(list.contains("nothing was sent yet\n"), "{list}");
    disks.finds("mark: fine: it was not used yet");
    disks.says("mirror");
    let list = disks.says("list");
    assert!(
        list.contains("as of the last run 1 copy, the newest 2024-01-01, complete today\n"),
        "{list}"
    );
    disks.finds("copies: fine: 1 copy, 2024-01-01");
    // Nothing is left for a night to do.
    assert_eq!(disks.run("snapshot").code, Some(2));
}
