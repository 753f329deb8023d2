//! What `coldchain cost` has found out.

use crate::config::Source;
use crate::engine::{
    ArchiveCost, CostForecast, ForecastSpan, ImportSize, NoForecast, RestoreCostAt, StoredOtherwise,
};
use crate::model::SourceName;
use crate::plan::{ForecastMonth, MonthCost, PlaceCost, PlaceForecast, Prices, Usd};

/// What is known of a source's costs.
pub(in crate::commands) struct SourceCosts<'a> {
    pub(in crate::commands) source: &'a Source,
    /// Now, each month.
    pub(in crate::commands) places: Vec<PlaceCost>,
    pub(in crate::commands) forecast: Result<CostForecast, NoForecast>,
    /// Empty if it was never archived.
    pub(in crate::commands) restore: Vec<RestoreCostAt>,
    /// `None` if they were not asked for.
    pub(in crate::commands) archives: Option<Vec<ArchiveCost>>,
}

/// What is answered.
pub(in crate::commands) struct CostAnswer<'a> {
    pub(in crate::commands) sources: Vec<SourceCosts<'a>>,
    /// What was imported of another tool; empty if sources were named.
    pub(in crate::commands) imports: Vec<(SourceName, ImportSize)>,
    pub(in crate::commands) span: ForecastSpan,
    pub(in crate::commands) otherwise: Option<StoredOtherwise>,
    pub(in crate::commands) prices: &'a Prices,
    /// Whether the text has all of each source, or a line for each place.
    pub(in crate::commands) with_details: bool,
    /// Whether the answer says what is not in the sums.
    pub(in crate::commands) with_notes: bool,
}

/// What no sum has, because the catalog does not know it.
pub(in crate::commands) const NOT_INCLUDED: [&str; 8] = [
    "taxes, discounts, and free tiers other than that of egress",
    "older versions of objects, and what a bucket copies or lists by itself",
    "uploads that were given up, until `coldchain prune` removes their objects",
    "objects of other programs",
    "rules of a bucket that move objects into another class",
    "rules of services other than AWS, such as minimum storage durations",
    "listings, and reads other than those of restores and copies",
    "transfer between regions, and requests that have to be repeated",
];

impl SourceCosts<'_> {
    /// Returns what the source costs a month; `None` if the prices of a place are not known.
    pub(in crate::commands) fn usd_a_month(&self) -> Option<Usd> {
        self.places.iter().map(PlaceCost::usd_a_month).sum()
    }
}

impl CostAnswer<'_> {
    /// Returns whether no source was ever archived.
    pub(in crate::commands) fn has_no_archive(&self) -> bool {
        self.sources.iter().all(|costs| costs.places.is_empty())
    }

    /// Returns what everything costs a month, as far as prices are known, and whether all are.
    pub(in crate::commands) fn now(&self) -> (Usd, bool) {
        let places = self.sources.iter().flat_map(|costs| &costs.places);
        let sums: Vec<Option<Usd>> = places.map(PlaceCost::usd_a_month).collect();
        let known: Usd = sums.iter().flatten().copied().sum();
        (known, sums.iter().all(Option::is_some))
    }

    /// Returns the URLs of the stores whose prices are not known, each once.
    pub(in crate::commands) fn without_prices(&self) -> Vec<&str> {
        let mut stores: Vec<&str> = Vec::new();
        let places = self.sources.iter().flat_map(|costs| &costs.places);
        for place in places.filter(|place| place.usd_a_month().is_none()) {
            if !stores.contains(&place.store.as_str()) {
                stores.push(&place.store);
            }
        }
        stores
    }
}

/// Returns what the places cost together in each month; `None` if the prices of one are not known.
pub(in crate::commands) fn sums_of(places: &[PlaceForecast]) -> Option<Vec<MonthCost>> {
    let mut sums: Vec<MonthCost> = Vec::new();
    for place in places {
        let costs = place.costs.as_ref()?;
        sums.resize(costs.len(), MonthCost::default());
        for (sum, cost) in sums.iter_mut().zip(costs) {
            *sum = sum.and(cost);
        }
    }
    Some(sums)
}

/// Returns what the whole months cost together.
pub(in crate::commands) fn of_whole_months(
    months: &[ForecastMonth],
    costs: &[MonthCost],
) -> MonthCost {
    let months = months.iter().zip(costs);
    let whole = months.filter(|(month, _)| month.is_whole());
    whole.fold(MonthCost::default(), |sum, (_, cost)| sum.and(cost))
}

impl NoForecast {
    /// Returns the reason, in words.
    pub(in crate::commands) fn in_words(self) -> &'static str {
        match self {
            Self::NeverArchived => "nothing has been archived yet, so no size is known",
            Self::NotInConfig => "the config does not name it, so its schedule is not known",
            Self::CalendarEnds => "the calendar ends before that",
        }
    }
}
