//! What a source will cost: the plan of each night to come, from the sizes that its ledger tells.

use std::time::Duration;

use chrono::NaiveDate;

use crate::catalog::{Catalog, KeptArchiveRow, SourceRow};
use crate::config::{Config, Source, SourceOrigin, StoreConfig};
use crate::engine::backup::facts::history;
use crate::engine::context::clock::local_date;
use crate::engine::context::schedule::schedule;
use crate::engine::cost::places::{AT_LEAST, CostedPlace, costed_places, place_to_come};
use crate::error::Error;
use crate::model::archive::ArchiveKind;
use crate::model::{Sha256, StorageClass};
use crate::plan::{
    ArchiveSizes, BackupPlan, CopyWay, Facts, ForecastFacts, ForecastPlace, JUDGED_BY, KeptArchive,
    KeptObjects, KeptPart, ListedAsOf, Pricing, Request, SMALL_OBJECT_BYTES, Schedule,
    SendParentSnapshot, SizeModel, SourceForecast, Usd, forecast, forecast_until, objects_of,
    simulate,
};
use crate::seal::Recipients;

/// How a source would be stored otherwise, from its first archive on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredOtherwise {
    /// The class of home's segments; `None` for the one that they have.
    pub class: Option<StorageClass>,
    /// Raw bytes of a segment, at home and in copies; `None` for what the config says.
    pub segment_bytes: Option<u64>,
}

/// The nights that a forecast is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForecastSpan {
    /// The first night.
    pub first: NaiveDate,
    /// How many whole months after what is left of its month.
    pub months: u32,
}

/// Why there is no forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoForecast {
    /// The source was never archived, so no size is known.
    NeverArchived,
    /// The config does not name the source, so its schedule is not known.
    NotInConfig,
    /// The calendar ends before the forecast does.
    CalendarEnds,
}

/// What a source will cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostForecast {
    /// The months, as things are.
    pub forecast: SourceForecast,
    /// What the sizes of archives to come are taken from.
    pub sizes: SizeModel,
    /// Raw bytes of a segment to come.
    pub segment_bytes: u64,
    /// The same months if the source were stored otherwise, and what its home would cost each month now; `None` if that was
    /// not asked for.
    pub otherwise: Option<OtherwiseForecast>,
}

/// What a source would cost if it were stored otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherwiseForecast {
    /// The months.
    pub forecast: SourceForecast,
    /// What each place would cost a month now, in the order of the forecast's places; `None` if its prices are not known.
    pub now: Vec<Option<Usd>>,
}

/// A source whose costs are foreseen.
struct Foreseeing<'a> {
    config: &'a Config,
    source: &'a Source,
    row: SourceRow,
    catalog: &'a Catalog,
}

/// Foresees what a source costs.
pub fn foresee_cost(
    config: &Config,
    source: &Source,
    span: ForecastSpan,
    otherwise: Option<StoredOtherwise>,
    catalog: &Catalog,
) -> Result<Result<CostForecast, NoForecast>, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(Err(NoForecast::NeverArchived));
    };
    if source.origin == SourceOrigin::Catalog {
        return Ok(Err(NoForecast::NotInConfig));
    }
    let Some(until) = forecast_until(span.first, span.months) else {
        return Ok(Err(NoForecast::CalendarEnds));
    };
    let foreseeing = Foreseeing {
        config,
        source,
        row,
        catalog,
    };
    let Some(sizes) = foreseeing.sizes()? else {
        return Ok(Err(NoForecast::NeverArchived));
    };
    let schedule = schedule(source);
    let nights = foreseeing.nights(span.first, until, &schedule)?;
    let days = config
        .delete_after
        .as_secs()
        .div_ceil(Duration::from_hours(24).as_secs());
    let facts = ForecastFacts {
        nights: &nights,
        sizes: &sizes,
        segment_bytes: source.segment_bytes,
        delete_after_days: u32::try_from(days).unwrap_or(u32::MAX),
        schedule: &schedule,
        prices: &config.prices,
    };
    let places = foreseeing.places()?;
    let otherwise = match otherwise {
        None => None,
        Some(otherwise) => {
            let places = foreseeing.stored_otherwise(&places, otherwise)?;
            let facts = ForecastFacts {
                segment_bytes: otherwise.segment_bytes.unwrap_or(source.segment_bytes),
                ..facts
            };
            let now = places.iter().map(|place| place.usd_a_month(&config.prices));
            Some(OtherwiseForecast {
                forecast: forecast(&facts, &places),
                now: now.collect(),
            })
        }
    };
    Ok(Ok(CostForecast {
        forecast: forecast(&facts, &places),
        segment_bytes: source.segment_bytes,
        sizes,
        otherwise,
    }))
}

impl Foreseeing<'_> {
    fn sizes(&self) -> Result<Option<SizeModel>, Error> {
        let mut sizes = Vec::new();
        for kind in [ArchiveKind::Full, ArchiveKind::Incremental] {
            let newest = self
                .catalog
                .newest_sizes(&self.row.ledger, kind, JUDGED_BY)?;
            sizes.extend(newest.iter().map(sizes_of));
        }
        Ok(SizeModel::of(&sizes))
    }

    /// Plans the nights from the ledger alone: the snapshots of this machine are not looked at.
    fn nights(
        &self,
        first: NaiveDate,
        until: NaiveDate,
        schedule: &Schedule,
    ) -> Result<Vec<BackupPlan>, Error> {
        let links = self.catalog.lineage(&self.row.ledger)?;
        let newest = links.last().map(|link| link.recipients);
        let mut history = history(links);
        if self.source.protocol.is_inexact() {
            history.accept_inexact();
        }
        let recipients = match self.config.recipients() {
            Ok(recipients) => Recipients::parse(recipients)?.fingerprint(&self.row.ledger),
            Err(_) => newest.unwrap_or(Sha256([0; 32])),
        };
        let facts = Facts {
            source: self.source.name.clone(),
            date: first,
            request: Request::Scheduled,
            history,
            send_parent: SendParentSnapshot::NotLocal,
            older_send_parent: None,
            recipients,
            listed_as_of: match self.config.store_of(self.source)? {
                StoreConfig::Vault { .. } => ListedAsOf::Inventory(None),
                StoreConfig::Dir { .. } | StoreConfig::S3 { .. } => ListedAsOf::Now,
            },
        };
        Ok(simulate(facts, schedule, until))
    }

    /// Returns the places, home first, with the copies that the config names and that were never made.
    fn places(&self) -> Result<Vec<ForecastPlace>, Error> {
        let known = costed_places(self.config, &self.row, self.catalog)?;
        let to_come = self.source.copies.iter().filter(|name| {
            let mut known = known.iter();
            !known.any(|place| place.name == **name)
        });
        let to_come = to_come
            .map(|name| place_to_come(self.config, name))
            .collect::<Result<Vec<_>, _>>()?;
        let (home, copies) = known.split_first().expect("home is a place");
        let ledger = &self.row.ledger;
        let at_home = self.catalog.kept_archive_rows(ledger, None, AT_LEAST)?;
        let mut places = vec![self.place(home, None, &at_home)?];
        for copy in copies.iter().chain(&to_come) {
            let way = copy_way(home, copy);
            let kept = match copy.number() {
                Some(number) => self
                    .catalog
                    .kept_archive_rows(ledger, Some(number), AT_LEAST)?,
                None => Vec::new(),
            };
            let mut place = self.place(copy, Some(way), &kept)?;
            place.is_kept_up = self.source.copies.contains(&copy.name);
            if place.is_kept_up {
                let lacks = at_home.iter().filter(|archive| {
                    !archive.is_retired && kept.iter().all(|kept| kept.id != archive.id)
                });
                place.lacks = lacks
                    .map(|archive| self.kept(archive, Some(copy.put_class()), copy))
                    .collect();
            }
            places.push(place);
        }
        Ok(places)
    }

    fn place(
        &self,
        place: &CostedPlace<'_>,
        copied: Option<CopyWay>,
        kept: &[KeptArchiveRow],
    ) -> Result<ForecastPlace, Error> {
        let (segments, others) = place.pricing(self.config);
        let ledger = match place.number() {
            None if copied.is_some() => 0,
            _ => place.ledger_objects(&self.row.ledger, self.catalog)?.bytes,
        };
        Ok(ForecastPlace {
            name: place.name.clone(),
            copied,
            class: place.put_class(),
            segments,
            others,
            is_kept_up: copied.is_none(),
            is_locked: place
                .store
                .as_ref()
                .is_some_and(|store| store.object_lock().is_some()),
            kept: kept
                .iter()
                .map(|archive| self.kept(archive, archive.class, place))
                .collect(),
            lacks: Vec::new(),
            ledger_bytes: ledger,
        })
    }

    /// Returns an archive in a place, with segments of that class.
    fn kept(
        &self,
        archive: &KeptArchiveRow,
        class: Option<StorageClass>,
        place: &CostedPlace<'_>,
    ) -> KeptArchive {
        KeptArchive {
            id: archive.id,
            chain: archive.chain,
            stored: local_date(archive.stored_at.0, self.config.timezone),
            is_retired: archive.is_retired,
            objects: objects_now(archive, class.unwrap_or(place.put_class())),
        }
    }

    /// Returns the places as if the source had always been stored otherwise.
    fn stored_otherwise(
        &self,
        places: &[ForecastPlace],
        otherwise: StoredOtherwise,
    ) -> Result<Vec<ForecastPlace>, Error> {
        let ledger = &self.row.ledger;
        let rows = self.catalog.kept_archive_rows(ledger, None, AT_LEAST)?;
        let again = |archive: &KeptArchive, class: Option<StorageClass>| {
            let row = rows.iter().find(|row| row.id == archive.id);
            let mut archive = archive.clone();
            if let (Some(row), Some(segments)) = (row, archive.objects.first()) {
                let class = class.unwrap_or(segments.class);
                archive.objects = match otherwise.segment_bytes {
                    Some(bytes) => objects_of(&sizes_of(row), bytes, class),
                    None => objects_now(row, class),
                };
            }
            archive
        };
        let mut others = places.to_vec();
        for place in &mut others {
            let class = otherwise.class.filter(|_| place.copied.is_none());
            if let Some(class) = class {
                place.class = class;
                // Whatever its store is: these are the prices of that class.
                (place.segments, place.others) = (Pricing::Known, Pricing::Known);
            }
            let all = place.kept.iter_mut().chain(&mut place.lacks);
            all.for_each(|archive| *archive = again(archive, class));
        }
        Ok(others)
    }
}

/// Returns whether the service of both stores copies by itself.
fn copy_way(home: &CostedPlace<'_>, copy: &CostedPlace<'_>) -> CopyWay {
    let endpoint = |place: &CostedPlace<'_>| match place.store.as_deref() {
        Some(StoreConfig::S3 { settings, .. }) => Some(settings.endpoint.clone()),
        _ => None,
    };
    match (endpoint(home), endpoint(copy)) {
        (Some(one), Some(other)) if one == other => CopyWay::WithinService,
        _ => CopyWay::ThroughMachine,
    }
}

/// Returns the objects of an archive as it is, with segments of that class.
pub(super) fn objects_now(archive: &KeptArchiveRow, class: StorageClass) -> Vec<KeptObjects> {
    let plain =
        |part, objects, bytes| KeptObjects::plain(part, StorageClass::Standard, objects, bytes);
    vec![
        KeptObjects {
            part: KeptPart::Segments,
            class,
            objects: archive.segments,
            bytes: archive.sealed_bytes,
            billed_bytes: match class.minimum_bytes() {
                0 => archive.sealed_bytes,
                _ => archive.raised_bytes,
            },
        },
        plain(
            KeptPart::Contents,
            archive.contents_objects,
            archive.contents_bytes,
        ),
        plain(KeptPart::Keys, 1, SMALL_OBJECT_BYTES),
    ]
}

fn sizes_of(archive: &KeptArchiveRow) -> ArchiveSizes {
    ArchiveSizes {
        id: archive.id,
        raw_bytes: archive.raw_bytes,
        sealed_bytes: archive.sealed_bytes,
        contents_objects: archive.contents_objects,
        contents_bytes: archive.contents_bytes,
        entry_bytes: archive.entry_bytes,
    }
}
