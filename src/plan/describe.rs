//! Plans in words, for people. Nothing is printed here.

use std::fmt;

use super::backup::BackupPlan;
use super::retention::ChainExpiry;
use crate::model::Line;

/// Returns one line for each plan, and an indented line for each chain that expires or waits for an inventory of a vault, for each mirror and copy, and for
/// each snapshot that expires.
///
/// ```text
/// 2026-11-21  home  full         the chain of 2026-08-07 has 11 incrementals
///             home  retire       the chain of 2026-05-01, 12 archives up to 2026-08-01: …
///             home  mirror       /mnt/second: 2026-11-21; as of the last run its newest …
///             home  copy         offsite: the new archive; as of the last run
///             home  delete       the snapshot 2026-09-21: 61 days old, 60 are kept
/// ```
pub fn describe(plans: &[BackupPlan]) -> String {
    let widths = plans.iter().map(|plan| plan.source.as_str().len());
    let width = widths.max().unwrap_or(0);
    plans
        .iter()
        .fold(String::new(), |text, plan| text + &lines(plan, width))
}

/// Returns the lines of one plan, each with a newline; `width` is the width of the source's column.
fn lines(plan: &BackupPlan, width: usize) -> String {
    let source = plan.source.as_str();
    let first = format!(
        "{}  {source:width$}  {:11}  {}\n",
        plan.date,
        plan.action,
        Line(&plan.reason)
    );
    let retired = plan.expire.iter().fold(first, |text, expiry| {
        text + &format!("{:10}  {source:width$}  {:11}  {expiry}\n", "", "retire")
    });
    let waiting = plan.waiting.iter().fold(retired, |text, expiry| {
        text + &format!("{:10}  {source:width$}  {:11}  {expiry}\n", "", "wait")
    });
    let mirrored = plan.mirrors.iter().fold(waiting, |text, mirror| {
        let what = mirror.in_words();
        text + &format!(
            "{:10}  {source:width$}  {:11}  {}\n",
            "",
            "mirror",
            Line(&what)
        )
    });
    let copied = plan.copies.iter().fold(mirrored, |text, copy| {
        text + &format!("{:10}  {source:width$}  {:11}  {copy}\n", "", "copy")
    });
    plan.snapshots.iter().fold(copied, |text, expired| {
        let (name, reason) = (expired.name, Line(&expired.reason));
        text + &format!(
            "{:10}  {source:width$}  {:11}  the snapshot {name}: {reason}\n",
            "", "delete"
        )
    })
}

impl fmt::Display for BackupPlan {
    /// Writes the plan like [`describe`], without the last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(lines(self, 0).trim_end())
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
