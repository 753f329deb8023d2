//! The input of a forecast, and what comes of it.

use chrono::{Datelike, NaiveDate};

use super::sizes::SizeModel;
use crate::model::{ArchiveId, StorageClass};
use crate::plan::backup::BackupPlan;
use crate::plan::pricing::cost::Pricing;
use crate::plan::pricing::kept::{KeptObjects, KeptPart};
use crate::plan::pricing::prices::Prices;
use crate::plan::pricing::usd::Usd;
use crate::plan::schedule::Schedule;

/// What a small object counts as: an archive key, a marker, or an entry that retires or deletes. Each has a few hundred bytes.
pub const SMALL_OBJECT_BYTES: u64 = 1 << 10;

/// An archive that lies in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptArchive {
    /// Its id.
    pub id: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// The date on which it was stored there.
    pub stored: NaiveDate,
    /// Whether it was retired, and waits for its deletion.
    pub is_retired: bool,
    /// Its segments, contents and key.
    pub objects: Vec<KeptObjects>,
}

/// How a copy gets what it copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyWay {
    /// The service of both stores copies by itself.
    WithinService,
    /// The bytes pass through the machine that copies.
    ThroughMachine,
}

/// A place, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastPlace {
    /// Its name.
    pub name: String,
    /// How it gets its archives; `None` for home.
    pub copied: Option<CopyWay>,
    /// The class that segments are put into.
    pub class: StorageClass,
    /// Whether the prices are known of what has the segments.
    pub segments: Pricing,
    /// Whether the prices are known of what has everything else.
    pub others: Pricing,
    /// Whether it gets each new archive, and loses what is deleted. A copy that is made by hand stays as it is.
    pub is_kept_up: bool,
    /// Whether its objects are locked for as long as their chain may have to be kept.
    pub is_locked: bool,
    /// What is there.
    pub kept: Vec<KeptArchive>,
    /// What it lacks, and gets in the first night.
    pub lacks: Vec<KeptArchive>,
    /// The bytes of its ledger.
    pub ledger_bytes: u64,
}

/// What the months to come of a source depend on, beside its places.
#[derive(Debug, Clone, Copy)]
pub struct ForecastFacts<'a> {
    /// The plan of each night, without a gap. The first is tonight.
    pub nights: &'a [BackupPlan],
    /// How large archives will be.
    pub sizes: &'a SizeModel,
    /// Raw bytes of a segment.
    pub segment_bytes: u64,
    /// Days after which the objects of retired archives are deleted.
    pub delete_after_days: u32,
    /// Says for how long locks hold.
    pub schedule: &'a Schedule,
    /// The prices.
    pub prices: &'a Prices,
}

/// A month, or what is left of the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForecastMonth {
    /// Its first day in the forecast.
    pub first: NaiveDate,
    /// Its last day.
    pub last: NaiveDate,
    /// How many fulls are made in it.
    pub fulls: u64,
    /// How many incrementals are made in it.
    pub incrementals: u64,
    /// How many chains are retired in it.
    pub retired: u64,
}

/// What a month costs in one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonthCost {
    /// To keep what is there.
    pub storage: Usd,
    /// The requests that put objects.
    pub requests: Usd,
    /// What is still to be paid for objects that are deleted before their minimum storage duration is over.
    pub early_deletion: Usd,
    /// To read at home what copies get: requests, retrieval, and what leaves the store.
    pub copying: Usd,
}

/// The months to come in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceForecast {
    /// The place's name.
    pub name: String,
    /// The class that segments are put into.
    pub class: StorageClass,
    /// What each month costs, in the order of the months; `None` if the prices of the place are not known.
    pub costs: Option<Vec<MonthCost>>,
    /// The bytes that are there at the end of each month.
    pub bytes: Vec<u64>,
}

/// The months to come of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceForecast {
    /// The months, in order.
    pub months: Vec<ForecastMonth>,
    /// The places, in the order in which they were given.
    pub places: Vec<PlaceForecast>,
}

impl ForecastPlace {
    /// Returns what it costs to keep for a month what is there; `None` if the prices are not known.
    pub fn usd_a_month(&self, prices: &Prices) -> Option<Usd> {
        let ledger = KeptObjects::plain(
            KeptPart::Ledger,
            StorageClass::Standard,
            0,
            self.ledger_bytes,
        );
        // By part and class, so that each sum is rounded once.
        let mut all: Vec<KeptObjects> = vec![ledger];
        for objects in self.kept.iter().flat_map(|archive| &archive.objects) {
            let alike =
                |it: &&mut KeptObjects| (it.part, it.class) == (objects.part, objects.class);
            match all.iter_mut().find(alike) {
                Some(sum) => {
                    sum.objects += objects.objects;
                    sum.bytes += objects.bytes;
                    sum.billed_bytes += objects.billed_bytes;
                }
                None => all.push(*objects),
            }
        }
        let costs = all.iter().map(|objects| {
            let pricing = match objects.part {
                KeptPart::Segments | KeptPart::Unfinished => self.segments,
                KeptPart::Contents | KeptPart::Keys | KeptPart::Ledger => self.others,
            };
            objects.priced(pricing, prices).usd
        });
        costs.sum()
    }
}

impl ForecastMonth {
    /// Returns how many days the calendar's month has.
    pub(super) fn days_in_month(&self) -> u32 {
        u32::from(self.first.num_days_in_month())
    }

    /// Returns whether it is a calendar month from its first day to its last.
    pub fn is_whole(&self) -> bool {
        self.first.day() == 1 && self.last.day() == self.days_in_month()
    }
}

impl MonthCost {
    /// Returns its sum.
    pub fn sum(&self) -> Usd {
        self.storage + self.requests + self.early_deletion + self.copying
    }

    /// Returns both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            storage: self.storage + other.storage,
            requests: self.requests + other.requests,
            early_deletion: self.early_deletion + other.early_deletion,
            copying: self.copying + other.copying,
        }
    }
}
