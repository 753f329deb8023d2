//! A disk that is away for months: every night is played, by a clock that is an argument.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::sync::Mutex;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use coldchain::btrfs::SentBy;
use coldchain::config::Config;
use coldchain::engine::{self, Clock, MirrorAsked, MirrorRan, RunContext};
use coldchain::error::{Error, MirrorError};
use coldchain::progress::{Event, Observer};

use super::disks::{Disks, MIRROR, SNAPSHOTS_ALONE, names};
use crate::common::loopfs::real_btrfs_available;
use crate::common::sandbox::asked;
use crate::common::tree::{Description, describe};

/// Three at night.
struct Night(DateTime<Utc>);

impl Clock for Night {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// Keeps the warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { message, .. } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

/// A source whose nights are played one after the other.
struct Played {
    disks: Disks,
    next: NaiveDate,
    /// What each snapshot had when it was taken.
    trees: BTreeMap<String, BTreeMap<OsString, Description>>,
    warnings: Vec<String>,
}

impl Played {
    /// Plays a night, and returns its snapshot's name and what the mirror got.
    fn night(&mut self) -> (String, Result<MirrorRan, Error>) {
        let name = self.next.to_string();
        let hour = NaiveTime::from_hms_opt(3, 0, 0).unwrap();
        let clock = Night(self.next.and_time(hour).and_utc());
        self.next = self.next + Days::new(1);
        let live = self.disks.live();
        fs::write(live.join("today"), &name).unwrap();
        fs::write(live.join(format!("of {}", &name[..7])), name.repeat(900)).unwrap();
        let at = self.disks.machine.path("config.toml");
        let config = Config {
            sender: SentBy::Btrfs,
            ..Config::load(&at).unwrap()
        };
        let warnings = Warnings::default();
        let context = RunContext {
            clock: &clock,
            ..RunContext::real(&warnings)
        };
        let night = engine::backup(&config, &config.sources[0], asked(&name), context);
        night.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let tree = describe(&self.disks.snapshot(&name));
        self.trees.insert(name.clone(), tree);
        let asked = MirrorAsked::default();
        let ran = engine::mirror(&config, &config.mirrors[0], &asked, context);
        self.warnings.extend(warnings.0.into_inner().unwrap());
        (name, ran)
    }

    /// Plays nights on which the disk is away.
    fn away(&mut self, nights: u32) {
        self.disks.second.detach();
        for _ in 0..nights {
            let (name, ran) = self.night();
            assert!(
                matches!(&ran, Err(Error::Mirror(MirrorError::NotThere { .. }))),
                "{name}: {ran:?}"
            );
        }
        self.disks.second.attach();
    }

    fn here(&self) -> Vec<String> {
        names(&self.disks.machine.btrfs().path("snapshots"))
            .into_keys()
            .collect()
    }

    /// Compares every copy with what its snapshot had, also of those that are gone here.
    fn compare(&self) -> usize {
        let copies = names(&self.disks.second.path("home"));
        for (name, path) in &copies {
            assert_eq!(describe(path), self.trees[name], "{name}");
        }
        copies.len()
    }
}

/// What was sent: name, and what it was sent against.
fn sent(ran: &MirrorRan) -> Vec<(String, Option<String>)> {
    let one = |it: &engine::SentSnapshot| (it.name.to_string(), it.parent.map(|it| it.to_string()));
    ran.sent.iter().map(one).collect()
}

/// The names of days, each with the one before as its parent.
fn in_a_row(names: &[String]) -> Vec<(String, Option<String>)> {
    let pairs = names.windows(2);
    pairs
        .map(|pair| (pair[1].clone(), Some(pair[0].clone())))
        .collect()
}

#[test]
fn a_disk_goes_on_after_thirty_nights_and_begins_anew_after_a_hundred_and_twenty() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::without_mirror(46);
    let live = disks.live();
    for entry in fs::read_dir(&live).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let config = format!("{SNAPSHOTS_ALONE}{MIRROR}");
    disks.config(&config.replacen("keep = 40", "keep = \"14d\"", 1).replacen(
        "keep = 40",
        "keep = \"60d\"",
        1,
    ));
    let mut played = Played {
        disks,
        next: "2024-01-01".parse().unwrap(),
        trees: BTreeMap::new(),
        warnings: Vec::new(),
    };
    for _ in 0..3 {
        let (name, ran) = played.night();
        assert_eq!(ran.unwrap().sent.len(), 1, "{name}");
    }

    // Within the hold, the newest common snapshot is still here, and the next dates build on it.
    played.away(30);
    let held = "2024-01-03".to_owned();
    assert_eq!(played.here().first(), Some(&held));
    let (_, ran) = played.night();
    let here = played.here();
    assert_eq!(here.len(), 15);
    assert_eq!(sent(&ran.unwrap()), in_a_row(&here));
    assert_eq!(played.compare(), 3 + 14);
    assert!(played.warnings.is_empty(), "{:?}", played.warnings);

    // After it, the snapshot is deleted here, and the disk begins with a full.
    let newest = here.last().unwrap().clone();
    played.away(89);
    assert_eq!(played.here().first(), Some(&newest));
    played.away(31);
    assert!(!played.here().contains(&newest), "{:?}", played.here());
    let (_, ran) = played.night();
    let here = played.here();
    assert_eq!(here.len(), 14);
    let ran = sent(&ran.unwrap());
    assert_eq!(ran[0], (here[0].clone(), None));
    assert_eq!(ran[1..], in_a_row(&here));
    assert_eq!(played.warnings.len(), 1, "said once: {:?}", played.warnings);
    assert!(
        played.warnings[0].contains("so the next one is sent in full"),
        "{:?}",
        played.warnings
    );
    // The old copies are still there, and what follows is an increment again.
    assert_eq!(played.compare(), 3 + 14 + 14);
    let (name, ran) = played.night();
    let before = here.last().unwrap().clone();
    assert_eq!(sent(&ran.unwrap()), [(name, Some(before))]);
    played.compare();
}
