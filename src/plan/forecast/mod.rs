//! What the months to come cost: the plan of each night, carried out in numbers.
//!
//! A day on which an object is put counts whole, the one on which it is deleted does not. Storage is billed by the calendar
//! month, each by its own number of days.

mod divided;
mod facts;
mod meter;
mod run;
mod sizes;

pub use divided::divided;
pub use facts::{
    CopyWay, ForecastFacts, ForecastMonth, ForecastPlace, KeptArchive, MonthCost, PlaceForecast,
    SMALL_OBJECT_BYTES, SourceForecast,
};
pub use run::{forecast, forecast_until, objects_of};
pub use sizes::{ArchiveSizes, Growth, JUDGED_BY, SizeModel};
