//! What btrbk keeps, in coldchain's terms: never less.
//!
//! btrbk's `14d` keeps the first snapshot of today and of the 14 days before; coldchain's `15d` keeps the last one of
//! each of the newest 15 days that have any. Where btrbk's spans begin at another time than the calendar's, one more
//! is needed to reach as far back.

use crate::plan::{KeepSnapshots, Terms};

/// More than there will ever be: everything.
pub(super) const EVERYTHING: KeepSnapshots = KeepSnapshots::Newest(1_000_000);

/// The most days that `keep_days` takes.
const MAX_DAYS: u64 = 1_000_000;

/// The units of btrbk, and how many of each are in 1000 years, for `*`.
const UNITS: [(char, u64); 5] = [
    ('h', 8_784_000),
    ('d', 366_000),
    ('w', 53_000),
    ('m', 12_000),
    ('y', 1000),
];

/// What a btrbk.conf says of the retention of some snapshots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preserved<'a> {
    /// `snapshot` or `target`.
    pub(super) of: &'static str,
    /// `…_preserve`.
    pub(super) policy: Option<&'a str>,
    /// `…_preserve_min`.
    pub(super) min: Option<&'a str>,
    /// `preserve_day_of_week`.
    pub(super) day_of_week: Option<&'a str>,
    /// `preserve_hour_of_day`.
    pub(super) hour_of_day: Option<&'a str>,
}

/// `…_preserve_min`, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtLeast {
    All,
    Latest,
    No,
    Span(u64, char),
}

impl Preserved<'_> {
    /// Returns what keeps no less, and comments that say what the file has. A mirror takes no `keep_days`.
    pub(super) fn keep(&self, takes_days: bool) -> (KeepSnapshots, Vec<String>) {
        let mut remarks = vec![self.said()];
        let min = match self.min {
            None => Some(AtLeast::All),
            Some(text) => at_least(text),
        };
        let policy = match self.policy {
            None => Some([0; UNITS.len()]),
            Some(text) => policy(text),
        };
        let (Some(min), Some(policy)) = (min, policy) else {
            remarks.push("btrbk can't read that, so everything is kept.".to_owned());
            return (EVERYTHING, remarks);
        };
        let has_policy = policy.iter().any(|count| *count > 0);
        match min {
            AtLeast::All => {
                remarks.push(match (self.min, has_policy) {
                    (None, true) => format!(
                        "Without {0}_preserve_min, btrbk keeps everything, whatever {0}_preserve says.",
                        self.of
                    ),
                    _ => "btrbk keeps everything.".to_owned(),
                });
                return (EVERYTHING, remarks);
            }
            AtLeast::Span(number, unit) if !has_policy && takes_days => {
                let days = self.days(number, unit).max(1);
                return match u32::try_from(days) {
                    Ok(keep) if days <= MAX_DAYS => (KeepSnapshots::Days(keep), remarks),
                    _ => (EVERYTHING, remarks),
                };
            }
            AtLeast::Latest | AtLeast::No | AtLeast::Span(..) => {}
        }
        let mut counts = policy;
        for ((unit, _), count) in UNITS.iter().zip(&mut counts) {
            if *count > 0 {
                *count = count.saturating_add(1 + self.more(*unit));
            }
        }
        if let AtLeast::Span(number, unit) = min {
            counts[0] = counts[0].max(self.hours(number, unit));
            remarks.push("Of several snapshots in one hour the last is kept.".to_owned());
        }
        (in_terms(counts), remarks)
    }

    /// Returns what the file says, as a sentence.
    fn said(&self) -> String {
        let line = |key: &str, value: Option<&str>| match value {
            Some(value) => format!("{}_{key} {value}", self.of),
            None => format!("no {}_{key}", self.of),
        };
        format!(
            "btrbk: {}, {}.",
            line("preserve", self.policy),
            line("preserve_min", self.min)
        )
    }

    fn begins_at_midnight(&self) -> bool {
        self.hour_of_day.is_none_or(|hour| hour == "0")
    }

    /// Returns how many more spans the calendar has that btrbk's reach into.
    fn more(&self, unit: char) -> u64 {
        let is_monday = self.day_of_week == Some("monday");
        match unit {
            // The hour that comes twice when summer time ends is one of btrbk's, and two of ours.
            'h' => 1,
            'd' => u64::from(!self.begins_at_midnight()),
            'w' => u64::from(!(is_monday && self.begins_at_midnight())),
            _ => 0,
        }
    }

    /// Returns how many days before today that span reaches at most.
    fn days(&self, number: u64, unit: char) -> u64 {
        let early = u64::from(!self.begins_at_midnight());
        match unit {
            'h' => number.div_ceil(24),
            'd' => number.saturating_add(early),
            'w' => number.saturating_mul(7).saturating_add(6 + early),
            'm' => number.saturating_add(1).saturating_mul(31),
            _ => number.saturating_add(1).saturating_mul(366),
        }
    }

    /// Returns how many hours that span has at most, the current one and those that come twice included.
    fn hours(&self, number: u64, unit: char) -> u64 {
        let hours = match unit {
            'h' => number.saturating_add(1),
            _ => self.days(number, unit).saturating_add(1).saturating_mul(24),
        };
        hours.saturating_add(1 + hours / 4000)
    }
}

/// Writes the counts as terms; without any, the newest alone is kept.
fn in_terms(counts: [u64; UNITS.len()]) -> KeepSnapshots {
    let terms = UNITS.iter().zip(counts).filter(|(_, count)| *count > 0);
    let terms = terms.map(|((unit, _), count)| format!("{}{unit} ", count.min(u32::MAX.into())));
    match Terms::parse(&terms.collect::<String>()) {
        Some(terms) => KeepSnapshots::Terms(terms),
        None => KeepSnapshots::Newest(1),
    }
}

/// Reads `…_preserve_min`; `None` if btrbk would refuse it.
fn at_least(text: &str) -> Option<AtLeast> {
    match text {
        "all" => Some(AtLeast::All),
        "latest" => Some(AtLeast::Latest),
        "no" => Some(AtLeast::No),
        span => {
            let unit = span.chars().last()?;
            let number = number(span.strip_suffix(unit)?)?;
            UNITS
                .iter()
                .any(|(known, _)| *known == unit)
                .then_some(AtLeast::Span(number, unit))
        }
    }
}

/// Reads `…_preserve`: how many of each unit; `None` if btrbk would refuse it.
fn policy(text: &str) -> Option<[u64; UNITS.len()]> {
    let mut counts = [None; UNITS.len()];
    if text != "no" {
        for term in text.split_ascii_whitespace() {
            let unit = term.chars().last()?.to_ascii_lowercase();
            let place = UNITS.iter().position(|(known, _)| *known == unit)?;
            let count = match &term[..term.len() - 1] {
                "*" => UNITS[place].1,
                digits => number(digits)?,
            };
            if counts[place].replace(count).is_some() {
                return None;
            }
        }
        counts.iter().any(Option::is_some).then_some(())?;
    }
    Some(counts.map(Option::unwrap_or_default))
}

/// Reads digits; a number that is too large is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| digits.parse().unwrap_or(u64::MAX))
}
