//! Decides whether an unfinished attempt is resumed, or given up for a new one.

use std::fmt;

use chrono::NaiveDate;

use super::backup::plan_night;
use super::facts::{Action, Facts, Request, SendParentSnapshot};
use super::refusal::{BackupRefusal, DateOverride, refuse_date};
use super::schedule::Schedule;
use crate::model::{ArchiveId, ArchiveKind, Sha256};

/// An unfinished attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFacts {
    /// Its id, which holds its date.
    pub id: ArchiveId,
    /// The archive that it is incremental on; `None` in a full.
    pub send_parent: Option<ArchiveId>,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// The fingerprint of the recipients that its key was sealed to.
    pub recipients: Sha256,
    /// The state of its own snapshot.
    pub snapshot: SendParentSnapshot,
    /// Why the rest of it can't be stored in the same way as its beginning, in words; `None` if it can.
    pub settings: Option<String>,
}

/// The run that finds an unfinished attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumingRun {
    /// The date of the run.
    pub date: NaiveDate,
    /// The system clock's date.
    pub today: NaiveDate,
    /// Whether `--date-override` was given.
    pub date_override: DateOverride,
}

/// What happens to an unfinished attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// It is resumed before anything new is planned.
    GoOn,
    /// It is given up; its objects become orphaned.
    GiveUp(GivenUp),
}

/// Why an attempt is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUp {
    /// Its date is in the future: the clock was ahead when it began.
    Future,
    /// An archive of its date or a later one was committed meanwhile.
    Overtaken(NaiveDate),
    /// It would build on the archive of that date now.
    OtherSendParent(NaiveDate),
    /// Its snapshot is not as it was; what differs, in words.
    Snapshot(String),
    /// Its stream would have to come on stdin, but the run expects the stream of another date there.
    OtherStream,
    /// The recipients have changed since it began.
    Recipients,
    /// A full is due in its place, and why.
    FullInstead(String),
    /// Nothing is due for its date any more, and why.
    NothingDue(String),
    /// It can't be resumed in the way it was begun, and why.
    Settings(String),
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Future => f.write_str("its date is still to come"),
            Self::Overtaken(newest) => {
                write!(f, "an archive of {newest} was committed meanwhile")
            }
            Self::OtherSendParent(date) => write!(f, "it would build on the archive of {date} now"),
            Self::Snapshot(what) => write!(f, "its snapshot is not as it was: {what}"),
            Self::OtherStream => f.write_str("the stream on stdin is of another date"),
            Self::Recipients => f.write_str("the recipients have changed"),
            Self::FullInstead(why) => write!(f, "a full is due in its place: {why}"),
            Self::NothingDue(why) => write!(f, "nothing is due for it any more: {why}"),
            Self::Settings(why) => f.write_str(why),
        }
    }
}

/// Decides whether an unfinished attempt is resumed. `facts` are those of the attempt's own date.
///
/// An attempt is resumed only if the same archive would be planned again: a run of its date must be allowed
/// to make it. A full is always allowed.
///
/// A run for a date before that of a sound attempt is refused: archives are made in the order of their dates,
/// and the attempt comes first.
pub fn plan_resume(
    attempt: &AttemptFacts,
    facts: &Facts,
    schedule: &Schedule,
    night: ResumingRun,
) -> Result<Resume, BackupRefusal> {
    if let Some(why) = given_up(attempt, facts, schedule, night) {
        return Ok(Resume::GiveUp(why));
    }
    if night.date < attempt.id.date {
        return Err(BackupRefusal::BeforeUnfinished {
            date: night.date,
            unfinished: attempt.id.date,
        });
    }
    Ok(Resume::GoOn)
}

fn given_up(
    attempt: &AttemptFacts,
    facts: &Facts,
    schedule: &Schedule,
    night: ResumingRun,
) -> Option<GivenUp> {
    let date = attempt.id.date;
    // `--date-override` applies only to the run's own date.
    let date_override = match night.date_override {
        DateOverride::Given if night.date == date => DateOverride::Given,
        _ => DateOverride::Absent,
    };
    if refuse_date(date, None, night.today, date_override).is_err() {
        return Some(GivenUp::Future);
    }
    let newest = facts.history.newest().map(|newest| newest.id.date);
    if let Some(newest) = newest.filter(|newest| *newest >= date) {
        return Some(GivenUp::Overtaken(newest));
    }
    match &attempt.snapshot {
        SendParentSnapshot::Intact | SendParentSnapshot::AtMirror => {}
        SendParentSnapshot::NotLocal if night.date == date => {}
        SendParentSnapshot::NotLocal => return Some(GivenUp::OtherStream),
        SendParentSnapshot::Gone => return Some(GivenUp::Snapshot("it is gone".to_owned())),
        SendParentSnapshot::Unrelated
        | SendParentSnapshot::Lossy(_)
        | SendParentSnapshot::Unrestorable(_)
        | SendParentSnapshot::Incomparable(_) => {
            return Some(GivenUp::Snapshot("it is of another subvolume".to_owned()));
        }
        SendParentSnapshot::Changed(what) => return Some(GivenUp::Snapshot(what.clone())),
    }
    if attempt.recipients != facts.recipients {
        return Some(GivenUp::Recipients);
    }
    if let Some(why) = &attempt.settings {
        return Some(GivenUp::Settings(why.clone()));
    }
    if attempt.id.kind == ArchiveKind::Full {
        return None;
    }
    let plan = plan_night(facts, schedule);
    match plan.action {
        Action::Incremental { send_parent, chain }
            if Some(send_parent) == attempt.send_parent && chain == attempt.chain =>
        {
            None
        }
        Action::Incremental { send_parent, .. } if Some(send_parent) > attempt.send_parent => {
            Some(GivenUp::Overtaken(send_parent.date))
        }
        Action::Incremental { send_parent, .. } => Some(GivenUp::OtherSendParent(send_parent.date)),
        Action::Full => Some(GivenUp::FullInstead(plan.reason)),
        Action::None => Some(GivenUp::NothingDue(plan.reason)),
    }
}

/// Returns the request if the run has the attempt's date, else [`Request::Scheduled`].
pub fn request_for(attempt: NaiveDate, date: NaiveDate, request: Request) -> Request {
    if attempt == date {
        request
    } else {
        Request::Scheduled
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Condition;
    use super::super::sample::{date, facts, history};
    use super::*;

    const AUGUST: &[&str] = &["2026-08-07", "2026-08-14"];

    /// An attempt at an incremental of 2026-08-21, found on a later night.
    fn incremental() -> (AttemptFacts, Facts, ResumingRun) {
        let history = history(&[AUGUST]);
        let attempt = AttemptFacts {
            id: ArchiveId {
                date: date("2026-08-21"),
                kind: ArchiveKind::Incremental,
                nonce: 7,
            },
            send_parent: Some(history.archives[1].id),
            chain: history.archives[0].id,
            recipients: history.archives[0].recipients,
            snapshot: SendParentSnapshot::Intact,
            settings: None,
        };
        let night = ResumingRun {
            date: date("2026-08-23"),
            today: date("2026-08-23"),
            date_override: DateOverride::Absent,
        };
        (attempt, facts("2026-08-21", history), night)
    }

    fn full() -> (AttemptFacts, Facts, ResumingRun) {
        let (mut attempt, facts, night) = incremental();
        attempt.id.kind = ArchiveKind::Full;
        attempt.send_parent = None;
        attempt.chain = attempt.id;
        (attempt, facts, night)
    }

    fn decided((attempt, facts, night): &(AttemptFacts, Facts, ResumingRun)) -> String {
        match plan_resume(attempt, facts, &Schedule::default(), *night) {
            Ok(Resume::GoOn) => "go on".to_owned(),
            Ok(Resume::GiveUp(why)) => why.to_string(),
            Err(refusal) => format!("refused: {refusal}"),
        }
    }

    #[test]
    fn an_attempt_is_gone_on_with_on_its_own_night_and_any_later_one() {
        for night in ["2026-08-21", "2026-08-23", "2026-09-01", "2027-08-21"] {
            for mut case in [incremental(), full()] {
                case.2.date = date(night);
                case.2.today = date(night);
                assert_eq!(decided(&case), "go on", "{night}");
            }
        }
    }

    #[test]
    fn an_attempt_that_would_be_planned_otherwise_today_is_given_up() {
        type Change = fn(&mut (AttemptFacts, Facts, ResumingRun));
        let cases: &[(Change, &str)] = &[
            (
                |case| case.1.history = history(&[AUGUST, &["2026-08-21"]]),
                "an archive of 2026-08-21 was committed meanwhile",
            ),
            (
                |case| case.1.history = history(&[AUGUST, &["2026-08-20"]]),
                "an archive of 2026-08-20 was committed meanwhile",
            ),
            (
                |case| case.0.snapshot = SendParentSnapshot::Gone,
                "its snapshot is not as it was: it is gone",
            ),
            (
                |case| case.0.snapshot = SendParentSnapshot::Changed("it is writable".to_owned()),
                "its snapshot is not as it was: it is writable",
            ),
            (
                |case| case.0.snapshot = SendParentSnapshot::NotLocal,
                "the stream on stdin is of another date",
            ),
            (
                |case| case.1.recipients = Sha256([9; 32]),
                "the recipients have changed",
            ),
            (
                |case| case.0.settings = Some("its key was not kept".to_owned()),
                "its key was not kept",
            ),
            (
                |case| case.1.send_parent = SendParentSnapshot::Gone,
                "a full is due in its place: the snapshot of 2026-08-14 is gone",
            ),
            (
                |case| {
                    case.1.send_parent = SendParentSnapshot::Gone;
                    case.1.older_send_parent = Some(case.1.history.archives[0].id);
                },
                "it would build on the archive of 2026-08-07 now",
            ),
            (
                |case| case.1.history.archives[0].condition = Condition::Damaged,
                "a full is due in its place: the chain of 2026-08-07 is damaged",
            ),
            (
                |case| case.1.request = Request::Full,
                "a full is due in its place: it was asked for",
            ),
            (
                |case| case.2.today = date("2026-08-19"),
                "its date is still to come",
            ),
        ];
        for (change, answer) in cases {
            let mut case = incremental();
            change(&mut case);
            let decided = decided(&case);
            assert!(decided.starts_with(answer), "{decided}");
        }
    }

    #[test]
    fn a_full_needs_no_send_parent_and_is_welcome_though_an_incremental_would_be_planned() {
        let mut case = full();
        case.1.send_parent = SendParentSnapshot::Gone;
        assert_eq!(decided(&case), "go on");
        case.1.request = Request::Full;
        assert_eq!(decided(&case), "go on");
        case.1.date = date("2026-08-21");
        case.1.history = history(&[&["2026-08-21"]]);
        assert_eq!(
            decided(&case),
            "an archive of 2026-08-21 was committed meanwhile"
        );
    }

    #[test]
    fn a_date_ahead_of_the_clock_is_gone_on_with_only_when_it_is_meant() {
        let mut case = full();
        case.2.today = date("2020-01-01");
        case.2.date = date("2026-08-21");
        assert_eq!(decided(&case), "its date is still to come");
        case.2.date_override = DateOverride::Given;
        assert_eq!(decided(&case), "go on");
        // The override applies to the date that was typed, and to no other.
        case.2.date = date("2026-08-22");
        assert_eq!(decided(&case), "its date is still to come");
    }

    #[test]
    fn a_night_before_the_attempts_is_refused_while_the_attempt_is_sound() {
        let mut case = incremental();
        case.2.date = date("2026-08-20");
        assert_eq!(
            decided(&case),
            "refused: 2026-08-20 is before 2026-08-21, whose archive is unfinished"
        );
        case.0.snapshot = SendParentSnapshot::Gone;
        assert_eq!(decided(&case), "its snapshot is not as it was: it is gone");
    }

    #[test]
    fn a_stream_on_stdin_is_awaited_again_on_the_attempts_own_date() {
        let mut case = incremental();
        case.0.snapshot = SendParentSnapshot::NotLocal;
        case.1.send_parent = SendParentSnapshot::NotLocal;
        case.2.date = date("2026-08-21");
        assert_eq!(decided(&case), "go on");
    }

    #[test]
    fn what_was_asked_for_speaks_of_its_own_date_alone() {
        let day = date("2026-08-21");
        assert_eq!(request_for(day, day, Request::Full), Request::Full);
        let later = date("2026-08-22");
        assert_eq!(request_for(day, later, Request::Full), Request::Scheduled);
    }
}
