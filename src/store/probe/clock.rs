//! Tests whether a store answers, and reads its clock.

use chrono::TimeDelta;

use super::Trial;
use super::report::in_words;
use crate::store::Severity;
use crate::store::error::ErrorKind;

/// With a larger difference, AWS accepts no signature: its error `RequestTimeTooSkewed`.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(15);
/// With a larger difference, nothing is retired.
const MAX_SKEW_TO_RETIRE: TimeDelta = TimeDelta::days(1);

impl Trial<'_> {
    /// Tests whether the store answers, and compares its clock with this machine's. Returns whether it
    /// answers.
    pub(super) fn reach(&mut self) -> bool {
        const SUBJECT: &str = "reach";
        let mut asked = self.store.now();
        let kind = asked.as_ref().err().map(|error| error.kind);
        if let Some(ErrorKind::Denied | ErrorKind::Failed | ErrorKind::NoBucket) = kind {
            // The refusal of the cheapest request has no explanation; that of a listing has one.
            match self.store.list(&self.prefix) {
                Err(error) if error.is_not_found() => {
                    let text = format!(
                        "{}; the service that answers there does not have this store: check the address",
                        in_words(&error)
                    );
                    self.find(SUBJECT, Severity::Failure, text);
                    return false;
                }
                Err(error) => asked = Err(error),
                Ok(_) => asked = self.store.now(),
            }
        }
        let Some(theirs) = self.answer(SUBJECT, asked) else {
            return false;
        };
        self.find(SUBJECT, Severity::Fine, "it answers");
        let skew = (theirs - (self.probe.clock)()).abs();
        let (verdict, rest) = if skew > MAX_SKEW_TO_RETIRE {
            (
                Severity::Warning,
                ": no archive is retired while that is so; set this machine's clock",
            )
        } else if skew > MAX_SKEW {
            (
                Severity::Warning,
                ", but a signature is valid for only 15 minutes; set this machine's clock",
            )
        } else {
            (Severity::Fine, "")
        };
        let text = format!("it differs from this machine's by {}{rest}", in_units(skew));
        self.find("clock", verdict, text);
        true
    }
}

fn in_units(time: TimeDelta) -> String {
    let (n, unit) = match time {
        time if time < TimeDelta::minutes(1) => return "less than a minute".to_owned(),
        time if time < TimeDelta::hours(2) => (time.num_minutes(), "minute"),
        time if time < TimeDelta::days(2) => (time.num_hours(), "hour"),
        time => (time.num_days(), "day"),
    };
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {unit}{plural}")
}
