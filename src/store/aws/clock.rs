//! The clock of a service.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use chrono::{DateTime, Datelike, TimeDelta, Utc};

/// The service's clock, from the `Date` of its last answer.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct ServerClock(Arc<Mutex<Option<Told>>>);

/// Its time, and when it was read.
type Told = (DateTime<Utc>, Instant);

impl ServerClock {
    /// Returns its present time; `None` before the first answer.
    pub(in crate::store) fn now(&self) -> Option<DateTime<Utc>> {
        let (told, at) = (*self.0.lock().expect("no holder panics"))?;
        told.checked_add_signed(TimeDelta::from_std(at.elapsed()).ok()?)
    }

    /// Returns whether the service has ever answered.
    pub(in crate::store) fn has_answered(&self) -> bool {
        self.0.lock().expect("no holder panics").is_some()
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        // An answer without a date counts as an answer too.
        let told = date.and_then(shown).unwrap_or_else(Utc::now);
        *self.0.lock().expect("no holder panics") = Some((told, Instant::now()));
        Ok(())
    }
}

/// Returns the time in a `Date` header. A time of a later year is ignored: a sum with it could overflow.
fn shown(date: &str) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(date).ok()?.to_utc();
    (1970..=9999).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_service_s_date_is_taken_if_time_can_go_on_after_it() {
        for (date, year) in [
            ("Sat, 28 Nov 2026 12:00:00 +0000", Some(2026)),
            ("Fri, 31 Dec 9999 23:59:59 +0000", Some(9999)),
            ("Mon, 31 Dec 262142 23:59:59 +0000", None),
            ("Fri, 01 Jan 1960 00:00:00 +0000", None),
            ("tomorrow", None),
        ] {
            assert_eq!(shown(date).map(|date| date.year()), year, "{date}");
        }
        let clock = ServerClock::default();
        let latest = DateTime::<Utc>::MAX_UTC;
        *clock.0.lock().unwrap() = Some((latest, Instant::now()));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(clock.now(), None, "there is no later time");
    }
}
