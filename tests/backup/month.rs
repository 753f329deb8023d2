//! A month of nights, and on each of them something else is wrong: every night ends with its code and its words, and
//! the month ends with the archives that the plan promised. `scripts/soak months` plays many.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chrono::{Datelike, Days, NaiveDate, TimeDelta};

use crate::common::dedupe::dedupe;
use crate::common::fill::fill_metadata;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::s3_server::{Config, ENV, Fault, FaultKind, Mode, Operation, S3Server};
use crate::common::sandbox::{Ran, SOURCE, Sandbox, Setup};
use crate::common::tree::compare_trees;

/// The days of the default schedule.
const SLOTS: [u32; 4] = [1, 7, 14, 21];
/// `keep_snapshots_days`
const KEPT: u64 = 3;
/// What makes the source's files equal in pairs.
const PAIRS: usize = 4;

/// What is wrong with a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Nothing,
    /// The snapshot whose time is over is the default subvolume.
    Undeletable,
    /// No metadata fits on the source's disk.
    FullDisk,
    /// The store does not answer.
    NoNetwork,
    /// The store does not answer any more once the upload has begun.
    NetworkGoes,
    /// Another program deduplicates the snapshots meanwhile.
    Deduplication,
    /// The store's clock is an hour ahead.
    Clock,
    /// Somebody has edited the config, and made a mistake.
    BrokenConfig,
    /// Somebody has edited the config, and let it archive elsewhere.
    OtherPrefix,
    /// Somebody has edited the config, and added today to the schedule.
    MoreDays,
}

const ALL: [Wrong; 10] = [
    Wrong::Nothing,
    Wrong::Undeletable,
    Wrong::FullDisk,
    Wrong::NoNetwork,
    Wrong::NetworkGoes,
    Wrong::Deduplication,
    Wrong::Clock,
    Wrong::BrokenConfig,
    Wrong::OtherPrefix,
    Wrong::MoreDays,
];

/// What there must be.
#[derive(Debug, Default)]
struct Model {
    archives: Vec<NaiveDate>,
    /// An archive that the network was lost for.
    unfinished: Option<NaiveDate>,
}

impl Model {
    /// Whether a night has to archive.
    fn is_due(&self, night: NaiveDate, slots: &[u32]) -> bool {
        let slot = (0..31)
            .filter_map(|days| night.checked_sub_days(Days::new(days)))
            .find(|date| slots.contains(&date.day()));
        self.archives.last().copied() < slot
    }

    /// What a night archives that nothing keeps from it.
    fn archive(&mut self, night: NaiveDate, slots: &[u32]) -> usize {
        let before = self.archives.len();
        self.archives.extend(self.unfinished.take());
        if self.is_due(night, slots) {
            self.archives.push(night);
        }
        self.archives.len() - before
    }
}

struct Month {
    sandbox: Sandbox,
    server: S3Server,
    config: String,
    model: Model,
    rng: Rng,
    /// Nights whose snapshot was taken.
    taken: BTreeSet<NaiveDate>,
}

impl Month {
    fn new(seed: u64) -> Self {
        let server = S3Server::start(Config::default().with_mode(Mode::CheckSkew));
        let sandbox = Sandbox::with(&Setup {
            mib: 192,
            source: "keep_snapshots_days = 3",
            store: Some(&server.store_table("give_up_after = \"2s\"")),
            env: &ENV,
            ..Setup::default()
        });
        let mut rng = Rng::new(seed);
        for pair in 0..PAIRS {
            let content = rng.bytes(60_000);
            for side in ["one", "other"] {
                fs::write(sandbox.source().join(format!("{side} {pair}")), &content).unwrap();
            }
        }
        fs::write(sandbox.source().join("large"), rng.bytes(18 << 20)).unwrap();
        let config = fs::read_to_string(sandbox.config()).unwrap();
        Self {
            sandbox,
            server,
            config,
            model: Model::default(),
            rng,
            taken: BTreeSet::new(),
        }
    }

    fn snapshot(&self, night: NaiveDate) -> PathBuf {
        self.sandbox.snapshot(&night.to_string())
    }

    /// The snapshot that tonight's run would delete.
    fn expiring(&self, night: NaiveDate) -> Option<NaiveDate> {
        let oldest_kept = night - Days::new(KEPT);
        let needed = [self.model.archives.last().copied(), self.model.unfinished];
        let mut gone = self.taken.iter().filter(|date| **date < oldest_kept);
        gone.find(|date| !needed.contains(&Some(**date)) && self.snapshot(**date).exists())
            .copied()
    }

    fn edit(&self, from: &str, to: &str) {
        assert!(self.config.contains(from), "{from}: {}", self.config);
        fs::write(self.sandbox.config(), self.config.replacen(from, to, 1)).unwrap();
    }

    /// Plays a night, and holds it against what must come of it.
    fn night(&mut self, night: NaiveDate, wrong: Wrong) {
        let date = night.to_string();
        let changed = format!("changed on {date}");
        fs::write(self.sandbox.source().join(&changed), self.rng.bytes(5_000)).unwrap();
        let root = self.sandbox.fs.root();
        let full = self.sandbox.fs.path("full");
        let expiring = self.expiring(night);
        let today = format!("days = [1, 7, 14, 21, {}]", night.day());
        let mut slots = SLOTS.to_vec();
        match wrong {
            Wrong::Nothing | Wrong::Deduplication => {}
            Wrong::Undeletable => {
                if let Some(expiring) = expiring {
                    let path = self.snapshot(expiring);
                    btrfs(["subvolume", "set-default"], &[&path]);
                }
            }
            Wrong::FullDisk => fill_metadata(&full),
            Wrong::NoNetwork => {
                let reset = Fault::on_any(FaultKind::ResetBefore).always();
                self.server.fail(reset);
            }
            Wrong::NetworkGoes => {
                let put = Fault::on(Operation::Put, FaultKind::ResetBefore);
                self.server.fail(put.key(".zst.age").always());
            }
            Wrong::Clock => self.server.clock().advance(TimeDelta::hours(1)),
            Wrong::BrokenConfig => match self.rng.below(2) {
                0 => self.edit("[schedule]", "[schedule"),
                _ => self.edit("threads = 2", "thread = 2"),
            },
            Wrong::OtherPrefix => self.edit("type = \"s3\"", "type = \"s3\"\nprefix = \"moved\""),
            Wrong::MoreDays => {
                self.edit("[schedule]", &format!("[schedule]\n{today}"));
                slots.push(night.day());
            }
        }
        let ran = if wrong == Wrong::Deduplication {
            self.deduplicated(night)
        } else {
            self.sandbox.run(["backup", &date])
        };
        self.judge(night, wrong, &slots, expiring, &ran);

        // Whatever it was, somebody puts it right before the next night.
        match wrong {
            Wrong::Undeletable => {
                btrfs(["subvolume", "set-default", "5"], &[&root]);
            }
            Wrong::FullDisk => {
                fs::remove_dir_all(&full).unwrap();
                btrfs(["filesystem", "sync"], &[&root]);
            }
            Wrong::Clock => self.server.clock().advance(-TimeDelta::hours(1)),
            _ => {}
        }
        self.server.clear_faults();
        fs::write(self.sandbox.config(), &self.config).unwrap();
    }

    /// Runs a night while the newest snapshots are deduplicated with the source, again and again.
    fn deduplicated(&self, night: NaiveDate) -> Ran {
        let is_over = AtomicBool::new(false);
        let source = self.sandbox.source();
        let before: Vec<PathBuf> = self.taken.iter().map(|date| self.snapshot(*date)).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                for pair in 0..PAIRS {
                    for snapshot in &before {
                        if snapshot.exists() {
                            let with = source.join(format!("other {pair}"));
                            dedupe(&snapshot.join(format!("one {pair}")), &with);
                        }
                    }
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let ran = self.sandbox.run(["backup", &night.to_string()]);
            is_over.store(true, Ordering::Relaxed);
            ran
        })
    }

    fn judge(
        &mut self,
        night: NaiveDate,
        wrong: Wrong,
        slots: &[u32],
        expiring: Option<NaiveDate>,
        ran: &Ran,
    ) {
        let was_archived = !self.model.archives.is_empty();
        let (code, words): (i32, &[&str]) = match wrong {
            Wrong::Undeletable if expiring.is_some() => (
                0,
                &["the next run tries again", "btrfs subvolume set-default 5"],
            ),
            Wrong::FullDisk => (1, &["No space left on device", "free some space"]),
            Wrong::NoNetwork => (1, &["could not list", "in s3://archive"]),
            Wrong::NetworkGoes if self.sends(night, slots) => (1, &["could not store"]),
            Wrong::Clock => (1, &["clock"]),
            Wrong::BrokenConfig => (2, &["config.toml"]),
            // A name that has archived nothing yet is bound to no place.
            Wrong::OtherPrefix if was_archived => {
                (2, &["was archived to", "set `archive_as` and `store` back"])
            }
            _ => (0, &[]),
        };
        assert_eq!(ran.code, Some(code), "{night}, {wrong:?}: {ran:?}");
        for words in words {
            assert!(
                ran.stderr.contains(words),
                "{night}, {wrong:?}: {words}: {ran:?}"
            );
        }
        if words.is_empty() {
            assert_eq!(ran.stderr, "", "{night}, {wrong:?}: {ran:?}");
        }
        if self.snapshot(night).exists() {
            self.taken.insert(night);
        }
        match (code, wrong) {
            (0, _) => {
                let made = self.model.archive(night, slots);
                let said = ran
                    .stdout
                    .lines()
                    .filter(|line| line.contains(": archived, "))
                    .count();
                assert_eq!(said, made, "{night}, {wrong:?}: {ran:?}");
            }
            // It was begun, and is gone on with.
            (_, Wrong::NetworkGoes) => {
                self.model.unfinished.get_or_insert(night);
            }
            _ => {}
        }
    }

    /// Whether a night has anything to upload.
    fn sends(&self, night: NaiveDate, slots: &[u32]) -> bool {
        self.model.unfinished.is_some() || self.model.is_due(night, slots)
    }

    /// What the month has come to.
    fn end(mut self, last: NaiveDate) {
        // One more night on which nothing is wrong, for what was put off.
        self.night(last, Wrong::Nothing);
        let dates: Vec<String> = self
            .model
            .archives
            .iter()
            .map(NaiveDate::to_string)
            .collect();
        assert_eq!(self.sandbox.committed(), dates);
        let parents: Vec<Option<String>> = self
            .sandbox
            .archives("committed")
            .iter()
            .map(|archive| archive["send_parent"].as_str().map(str::to_owned))
            .collect();
        let mut expected = vec![None];
        expected.extend(dates[..dates.len() - 1].iter().cloned().map(Some));
        assert_eq!(parents, expected);
        assert_eq!(self.sandbox.archives("unfinished").len(), 0);
        let kit = self.sandbox.kit();
        let kit = kit.to_str().unwrap();
        self.sandbox
            .run(["verify", "--deep", "--identity", kit])
            .ok();
        // Every snapshot whose time is over has gone, whatever kept it on its day.
        let oldest_kept = last - Days::new(KEPT);
        let needed = *self.model.archives.last().unwrap();
        for date in &self.taken {
            let stays = *date >= oldest_kept || *date == needed;
            assert_eq!(self.snapshot(*date).exists(), stays, "{date}");
        }
        for name in self.sandbox.snapshot_names() {
            assert!(name.parse::<NaiveDate>().is_ok(), "{name} was left behind");
        }
        let other = LoopFs::new(512);
        self.sandbox
            .restore(dates.last().unwrap(), &other.root())
            .ok();
        compare_trees(
            &self.snapshot(needed),
            &other.path(SOURCE).join(needed.to_string()),
        );
    }
}

#[test]
fn a_month_of_bad_nights_ends_with_the_archives_that_were_promised() {
    if !real_btrfs_available() {
        return;
    }
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seed: u64 = from_env("COLDCHAIN_SEED").unwrap_or(1);
    let months: u64 = from_env("COLDCHAIN_MONTHS").unwrap_or(1);
    println!("COLDCHAIN_SEED={seed} COLDCHAIN_MONTHS={months}");
    for number in seed..seed + months {
        let mut month = Month::new(number);
        let first: NaiveDate = "2025-01-01".parse().unwrap();
        // Each of them once at least, in any order, and then any.
        let mut left = ALL.to_vec();
        for day in 0..31 {
            let wrong = if left.is_empty() {
                *month.rng.pick(&ALL)
            } else {
                left.swap_remove(month.rng.length(0, left.len()))
            };
            // A place that nothing was archived to yet may change: that is no mistake.
            let wrong = match wrong {
                Wrong::OtherPrefix if month.model.archives.is_empty() => Wrong::Nothing,
                wrong => wrong,
            };
            println!("seed {number}: {} {wrong:?}", first + Days::new(day));
            month.night(first + Days::new(day), wrong);
        }
        month.end(first + Days::new(31));
    }
}
