//! How large the archives to come will be, as those of before were.

use chrono::NaiveDate;

use crate::model::{ArchiveId, ArchiveKind};

/// How many fulls, and how many incrementals, the sizes to come are judged by.
pub const JUDGED_BY: usize = 12;

/// With so many fulls the next one is taken to grow as they did.
const FULLS_OF_A_TREND: usize = 3;

/// What an incremental is taken to be of a full, as long as there was none.
const INCREMENTAL_OF_FULL: u64 = 10;

/// Days in the month by which growth is told.
const MONTH_DAYS: u64 = 30;

/// What an archive takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveSizes {
    /// The archive.
    pub id: ArchiveId,
    /// Bytes of its send stream.
    pub raw_bytes: u64,
    /// Bytes of its segments as stored.
    pub sealed_bytes: u64,
    /// How many objects its contents have; 0 if it has none.
    pub contents_objects: u64,
    /// Their bytes.
    pub contents_bytes: u64,
    /// Bytes of its entry in the ledger.
    pub entry_bytes: u64,
}

/// How fulls grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// How many fulls show it.
    pub fulls: usize,
    /// By how many bytes a day, as stored.
    pub bytes_a_day: u64,
}

impl Growth {
    /// Returns by how many bytes fulls grow in 30 days.
    pub fn bytes_a_month(self) -> u64 {
        self.bytes_a_day.saturating_mul(MONTH_DAYS)
    }
}

/// What the sizes of archives to come are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeModel {
    /// The last full.
    pub full: ArchiveSizes,
    /// How fulls grow; `None` if there are too few to tell, or if they do not grow.
    pub growth: Option<Growth>,
    /// The incremental of middle size among the last ones; `None` if there was none.
    pub incremental: Option<ArchiveSizes>,
    /// How many incrementals there were to take it from.
    pub incrementals: usize,
}

impl SizeModel {
    /// Judges by the last [`JUDGED_BY`] archives of each kind, in any order. `None` if there is no full among them.
    pub fn of(archives: &[ArchiveSizes]) -> Option<Self> {
        let last = |kind: ArchiveKind| {
            let mut of_kind: Vec<ArchiveSizes> = archives
                .iter()
                .filter(|archive| archive.id.kind == kind)
                .copied()
                .collect();
            of_kind.sort_by_key(|archive| archive.id);
            of_kind.split_off(of_kind.len().saturating_sub(JUDGED_BY))
        };
        let fulls = last(ArchiveKind::Full);
        let mut incrementals = last(ArchiveKind::Incremental);
        incrementals.sort_by_key(|archive| (archive.sealed_bytes, archive.id));
        Some(Self {
            full: *fulls.last()?,
            growth: growth(&fulls),
            incremental: incrementals.get(incrementals.len() / 2).copied(),
            incrementals: incrementals.len(),
        })
    }

    /// Returns what an archive of that kind on a date is taken to be. Of its sizes only those of its segments grow.
    pub fn on(&self, date: NaiveDate, kind: ArchiveKind) -> ArchiveSizes {
        match (kind, self.incremental) {
            (ArchiveKind::Incremental, Some(incremental)) => incremental,
            (ArchiveKind::Incremental, None) => {
                let full = self.full_on(date);
                ArchiveSizes {
                    raw_bytes: full.raw_bytes.div_ceil(INCREMENTAL_OF_FULL),
                    sealed_bytes: full.sealed_bytes.div_ceil(INCREMENTAL_OF_FULL),
                    ..full
                }
            }
            (ArchiveKind::Full, _) => self.full_on(date),
        }
    }

    fn full_on(&self, date: NaiveDate) -> ArchiveSizes {
        let days = (date - self.full.id.date).num_days();
        let days = u64::try_from(days).unwrap_or(0);
        let grown = self
            .growth
            .map_or(0, |growth| growth.bytes_a_day.saturating_mul(days));
        let sealed_bytes = self.full.sealed_bytes.saturating_add(grown);
        let raw = u128::from(self.full.raw_bytes) * u128::from(sealed_bytes)
            / u128::from(self.full.sealed_bytes.max(1));
        ArchiveSizes {
            sealed_bytes,
            raw_bytes: u64::try_from(raw).unwrap_or(u64::MAX),
            ..self.full
        }
    }
}

/// Returns the middle one of the daily growths from each full to the next, so that one odd full does not decide.
fn growth(fulls: &[ArchiveSizes]) -> Option<Growth> {
    if fulls.len() < FULLS_OF_A_TREND {
        return None;
    }
    let mut daily: Vec<i128> = fulls
        .windows(2)
        .map(|two| {
            let days = (two[1].id.date - two[0].id.date).num_days().max(1);
            let more = i128::from(two[1].sealed_bytes) - i128::from(two[0].sealed_bytes);
            more / i128::from(days)
        })
        .collect();
    daily.sort_unstable();
    let bytes_a_day = u64::try_from(daily[daily.len() / 2]).ok()?;
    (bytes_a_day > 0).then_some(Growth {
        fulls: fulls.len(),
        bytes_a_day,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(date: &str, kind: ArchiveKind, sealed_bytes: u64) -> ArchiveSizes {
        ArchiveSizes {
            id: ArchiveId {
                date: date.parse().unwrap(),
                kind,
                nonce: 0,
            },
            raw_bytes: 2 * sealed_bytes,
            sealed_bytes,
            contents_objects: 1,
            contents_bytes: 7,
            entry_bytes: 900,
        }
    }

    fn full(date: &str, sealed_bytes: u64) -> ArchiveSizes {
        archive(date, ArchiveKind::Full, sealed_bytes)
    }

    fn incremental(day: u32, sealed_bytes: u64) -> ArchiveSizes {
        let date = format!("2026-03-{day:02}");
        archive(&date, ArchiveKind::Incremental, sealed_bytes)
    }

    fn on(model: &SizeModel, date: &str, kind: ArchiveKind) -> (u64, u64) {
        let sizes = model.on(date.parse().unwrap(), kind);
        (sizes.raw_bytes, sizes.sealed_bytes)
    }

    #[test]
    fn without_a_full_nothing_is_known() {
        assert_eq!(SizeModel::of(&[]), None);
        assert_eq!(SizeModel::of(&[incremental(1, 10)]), None);
    }

    #[test]
    fn with_two_fulls_the_next_is_as_large_as_the_last() {
        let fulls = [full("2026-02-01", 500), full("2026-01-01", 100)];
        let model = SizeModel::of(&fulls).unwrap();
        assert_eq!((model.growth, model.full), (None, fulls[0]));
        assert_eq!(on(&model, "2027-01-01", ArchiveKind::Full), (1000, 500));
        // There was no incremental: a tenth of a full.
        assert_eq!(
            on(&model, "2027-01-01", ArchiveKind::Incremental),
            (100, 50)
        );
    }

    #[test]
    fn with_three_fulls_the_next_grows_as_they_did_in_the_middle() {
        let grow = |sizes: [u64; 4]| {
            let dates = ["2026-01-01", "2026-01-11", "2026-01-21", "2026-01-31"];
            let fulls = dates.iter().zip(sizes).map(|(date, size)| full(date, size));
            SizeModel::of(&fulls.collect::<Vec<_>>()).unwrap()
        };
        // 10, 500 and 20 a day
        let model = grow([1000, 1100, 6100, 6300]);
        assert_eq!(
            model.growth,
            Some(Growth {
                fulls: 4,
                bytes_a_day: 20
            })
        );
        assert_eq!(model.growth.unwrap().bytes_a_month(), 600);
        assert_eq!(on(&model, "2026-02-10", ArchiveKind::Full), (13_000, 6_500));
        // A date before the last full.
        assert_eq!(on(&model, "2026-01-30", ArchiveKind::Full), (12_600, 6_300));
        // Those that shrink, or stay, are taken as they are.
        assert_eq!(grow([6300, 6200, 6100, 6000]).growth, None);
        assert_eq!(grow([6300, 6300, 6300, 6300]).growth, None);
    }

    #[test]
    fn an_incremental_is_the_middle_one_of_the_last_twelve() {
        let mut archives = vec![full("2026-01-01", 1000)];
        // Two old ones do not count any more.
        archives.extend([incremental(1, 900_000), incremental(2, 900_000)]);
        archives.extend((3..=14).map(|day| incremental(day, u64::from(day) * 10)));
        let model = SizeModel::of(&archives).unwrap();
        assert_eq!(model.incrementals, 12);
        assert_eq!(model.incremental.unwrap().sealed_bytes, 90);
        assert_eq!(
            on(&model, "2030-01-01", ArchiveKind::Incremental),
            (180, 90)
        );
    }
}
