//! A restore of a chain onto a real btrfs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use coldchain::btrfs::identity;
use coldchain::engine::{
    Afterwards, AtOnce, OpenSource, OtherPlaces, Restoring, SystemClock, Which, plan_details,
    restore,
};
use coldchain::error::Error;
use coldchain::interrupt::Interrupt;
use coldchain::model::{SubvolumeIdentity, Tier};
use coldchain::progress::Quiet;
use coldchain::store::{Store, ThawRequest};

use super::enumerate;
use crate::common::faults::{Faults, FaultyStore, Mode, Point};
use crate::common::lab::{Lab, SOURCE};
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

const DATES: [&str; 2] = ["2026-01-01", "2026-01-07"];

/// A chain of two archives, its snapshots, and a filesystem to restore it onto.
struct Chain {
    from: LoopFs,
    to: LoopFs,
    lab: Lab,
}

impl Chain {
    fn new() -> Self {
        let chain = Self {
            from: LoopFs::with_options(256, "compress=zstd"),
            to: LoopFs::with_options(512, "compress=zstd"),
            lab: Lab::new(),
        };
        let mut rng = Rng::new(41);
        let live = chain.from.subvolume("live");
        make_rich_tree(&live, &mut rng);
        let mut send_parent: Option<PathBuf> = None;
        for date in DATES {
            mutate_tree(&live, &mut rng);
            // Two segments in each archive.
            fs::write(live.join(date), rng.text(9 << 19)).unwrap();
            let snapshot = chain.snapshot(date);
            btrfs(["subvolume", "snapshot", "-r"], &[&live, &snapshot]);
            let sent = match &send_parent {
                None => btrfs(["send", "-q"], &[&snapshot]),
                Some(parent) => btrfs(["send", "-q", "-p"], &[parent, &snapshot]),
            };
            chain
                .lab
                .decide(date, &sent.stdout, &Faults::none())
                .unwrap();
            send_parent = Some(snapshot);
        }
        chain.to.subvolume("bystander");
        chain
    }

    fn snapshot(&self, date: &str) -> PathBuf {
        self.from.path(date)
    }

    fn restored(&self, date: &str) -> PathBuf {
        self.to.path(SOURCE).join(date)
    }

    /// `coldchain restore home --to DIR`.
    fn restore(&self, faults: &Arc<Faults>) -> Result<PathBuf, Error> {
        let lab = &self.lab;
        let mut catalog = lab.catalog().watched(Arc::clone(faults) as _);
        let config = &lab.config.sources[0];
        let (plan, _) = plan_details(config, None, Which::Visible, &catalog)?;
        let row = catalog.source(&config.name)?.unwrap();
        let store = FaultyStore::new(Arc::clone(&lab.store), Arc::clone(faults));
        let source = OpenSource {
            config,
            row,
            store: Box::new(&store as &dyn Store),
        };
        let restoring = Restoring {
            source: &source,
            plan: &plan,
            to: &self.to.root(),
            identities: &lab.identities(),
            identity_name: "the kit",
            class: None,
            at_once: AtOnce {
                asked_for: 1,
                memory_limit: 512 << 20,
            },
            thaw: Some(ThawRequest {
                tier: Tier::Standard,
                days: 1,
            }),
            intermediate: Afterwards::Stays,
            writable: None,
            observer: &Quiet,
            interrupt: &Interrupt::new(),
            clock: &SystemClock,
            others: &OtherPlaces::default(),
        };
        restore(&restoring, &mut catalog).map(|restored| restored.directory)
    }

    /// The restored subvolumes. Panics if one looks complete and is not, or if anything else stands
    /// under a date.
    fn standing(&self) -> BTreeMap<&'static str, SubvolumeIdentity> {
        let mut standing = BTreeMap::new();
        for date in DATES {
            let path = self.restored(date);
            if !path.exists() {
                continue;
            }
            let identity = identity(&path).unwrap();
            assert!(
                identity.read_only && identity.received_uuid.is_some(),
                "something half-received stands as {date}"
            );
            compare_trees(&self.snapshot(date), &path);
            standing.insert(date, identity);
        }
        standing
    }

    /// Panics unless all of it is restored, and made of nothing but what was received for it.
    fn is_restored(&self) -> BTreeMap<&'static str, SubvolumeIdentity> {
        let standing = self.standing();
        assert_eq!(standing.len(), DATES.len());
        for date in DATES {
            // Of what was staged, which is gone, and not of a snapshot that stands elsewhere.
            let parent = standing[date].parent_uuid;
            let of_snapshot = |date| parent == Some(identity(&self.snapshot(date)).unwrap().uuid);
            assert!(parent.is_some() && !DATES.into_iter().any(of_snapshot));
        }
        standing
    }

    /// Deletes what was restored, for the next one.
    fn clear(&self) {
        let directory = self.to.path(SOURCE);
        let Ok(entries) = fs::read_dir(&directory) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                btrfs(["subvolume", "delete"], &[&path]);
            }
        }
        fs::remove_dir_all(directory).unwrap();
    }

    fn strike(&self, point: &Point, mode: Mode) {
        self.clear();
        let stored = self.lab.objects();
        let faults = Faults::at(point, mode);
        let outcome = self.restore(&faults);
        assert!(faults.has_struck(), "it was not reached: {outcome:?}");
        assert!(outcome.is_err(), "it says nothing of the fault");
        let before = self.standing();

        self.restore(&Faults::none()).unwrap();
        let after = self.is_restored();
        for (date, identity) in &before {
            assert_eq!(
                after[date], *identity,
                "{date} stood already and was received again"
            );
        }

        self.restore(&Faults::none()).unwrap();
        assert_eq!(self.is_restored(), after);
        assert!(self.lab.objects() == stored, "a restore wrote to the store");
        assert!(identity(&self.to.path("bystander")).is_ok());
    }
}

#[test]
fn no_fault_in_a_restore_leaves_anything_that_looks_complete() {
    if !real_btrfs_available() {
        return;
    }
    let chain = Chain::new();
    let faults = Faults::none();
    chain.restore(&faults).unwrap();
    chain.is_restored();
    enumerate("a restore", &faults.points(), |point, mode| {
        chain.strike(point, mode);
    });
    chain.clear();
}
