//! Plans in words, for people. Nothing is printed here.

use std::fmt;

use chrono::NaiveDate;

use super::backup::BackupPlan;
use super::retention::ChainExpiry;
use crate::model::Line;

/// A line about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLine<'p> {
    /// The night; `None` in the further lines of a plan.
    pub date: Option<NaiveDate>,
    /// The source.
    pub source: &'p str,
    /// What is done, in a word.
    pub action: &'static str,
    /// To what, and why, without control characters.
    pub text: String,
}

/// Returns one line for each plan, and one for each chain that expires or waits for an inventory of a vault, for each mirror
/// and copy, and for each snapshot that expires.
pub fn plan_lines(plans: &[BackupPlan]) -> Vec<PlanLine<'_>> {
    plans.iter().flat_map(of_plan).collect()
}

fn of_plan(plan: &BackupPlan) -> Vec<PlanLine<'_>> {
    let line = |date, action, text: String| PlanLine {
        date,
        source: plan.source.as_str(),
        action,
        text,
    };
    let further = |action, text: String| line(None, action, text);
    let reason = Line(&plan.reason).to_string();
    let mut lines = vec![line(Some(plan.date), plan.action.as_str(), reason)];
    let (retired, waiting) = (plan.expire.iter(), plan.waiting.iter());
    lines.extend(retired.map(|it| further("retire", it.to_string())));
    lines.extend(waiting.map(|it| further("wait", it.to_string())));
    let (mirrors, copies) = (plan.mirrors.iter(), plan.copies.iter());
    lines.extend(mirrors.map(|it| further("mirror", Line(it.in_words()).to_string())));
    lines.extend(copies.map(|it| further("copy", it.to_string())));
    lines.extend(plan.snapshots.iter().map(|expired| {
        let (name, reason) = (expired.name, Line(&expired.reason));
        further("delete", format!("the snapshot {name}: {reason}"))
    }));
    lines
}

/// How far the texts are from the margin, beside the names of the sources.
const BESIDE_NAMES: usize = 27;

impl PlanLine<'_> {
    /// Returns the line with the name of the source in a column that is so wide.
    pub fn in_words(&self, width: usize) -> String {
        let Self {
            source,
            action,
            text,
            ..
        } = self;
        format!("{:10}  {source:width$}  {action:11}  {text}", self.day())
    }

    /// Returns where the text begins in such a line, if the name is not wider.
    pub fn text_column(width: usize) -> usize {
        BESIDE_NAMES + width
    }

    /// Returns the line without its text, for a terminal that has no room for both.
    pub fn head(&self) -> String {
        format!("{:10}  {}  {}", self.day(), self.source, self.action)
    }

    fn day(&self) -> String {
        self.date.map_or_else(String::new, |date| date.to_string())
    }
}

/// Returns a line for each of [`plan_lines`].
///
/// ```text
/// 2026-11-21  home  full         the chain of 2026-08-07 has 11 incrementals
///             home  retire       the chain of 2026-05-01, 12 archives up to 2026-08-01: …
///             home  mirror       /mnt/second: 2026-11-21; as of the last run its newest …
///             home  copy         offsite: the new archive; as of the last run
///             home  delete       the snapshot 2026-09-21: 61 days old, 60 are kept
/// ```
fn describe(plans: &[BackupPlan]) -> String {
    let widths = plans.iter().map(|plan| plan.source.as_str().len());
    let width = widths.max().unwrap_or(0);
    plan_lines(plans).iter().fold(String::new(), |text, line| {
        text + &line.in_words(width) + "\n"
    })
}

impl fmt::Display for BackupPlan {
    /// Writes the lines of the plan, without the last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(describe(std::slice::from_ref(self)).trim_end())
    }
}

impl fmt::Display for ChainExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.archives == 1 {
            "archive"
        } else {
            "archives"
        };
        write!(
            f,
            "the chain of {}, {} {noun} up to {}: {}",
            self.chain,
            self.archives,
            self.newest,
            Line(&self.reason)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{facts, history};
    use super::super::{History, Schedule, plan_backup};
    use super::*;

    #[test]
    fn a_plan_is_a_line_and_every_expiring_chain_one_more() {
        let schedule = Schedule {
            max_incrementals: 1,
            ..Schedule::default()
        };
        let made = history(&[&["2026-05-07"], &["2026-11-07", "2026-11-14"]]);
        let home = plan_backup(&facts("2026-11-21", made), &schedule).unwrap();
        let mut other = facts("2026-11-21", History::default());
        other.source = "photos".parse().unwrap();
        let other = plan_backup(&other, &schedule).unwrap();
        assert_eq!(
            describe(&[home.clone(), other]),
            "\
2026-11-21  home    full         the chain of 2026-11-07 has 1 incremental
            home    retire       the chain of 2026-05-07, 1 archive up to 2026-05-07: \
its newest archive is 198 days old, and the chain of 2026-11-21 is verified
2026-11-21  photos  full         there is no archive yet
"
        );
        assert_eq!(home.to_string() + "\n", describe(&[home]));
        assert_eq!(describe(&[]), "");
    }
}
