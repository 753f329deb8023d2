//! What may befall a source and its store between two looks, and how often.

use coldchain::plan::DateOverride;
use proptest::prelude::*;

use super::streams::{Broken, Content, Length};
use crate::common::faults::Mode;

/// Which night it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The same as the last.
    Same,
    /// The next one of the schedule.
    Slot,
    /// So many days later.
    After(u64),
}

/// What a bad store does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    Anything,
    List,
    ListArchives,
    Put,
}

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A run that nothing befalls.
    Night(When, Content),
    /// The same, and a full is asked for.
    Full(When, Content),
    /// A run of which the k-th operation is struck, if there are so many.
    Struck(When, Content, usize, Mode),
    /// A run whose stream is broken.
    Broken(When, Content, Broken),
    /// A run with a system clock that is so many days ahead.
    Clock(When, Content, i64, DateOverride),
    /// A run for a date so many days ago.
    Earlier(u64, Content),
    /// A run with a bad store.
    Bad(When, Content, Bad),
    /// Somebody's garbage is under the ledger's next number.
    Garbage,
    /// The same, but it comes while a run is about to take the number.
    Overtaken(When, Content),
    /// The store loses an object of an unfinished attempt.
    LostSegment(usize),
    /// The catalog loses what the newest entries did.
    LostRows(usize),
    /// The catalog is copied.
    Keep,
    /// A copy is put back.
    PutBack(usize),
    /// A prune, so many days later, with a system clock that is so many days ahead.
    Prune(u64, i64),
    /// A prune of which the k-th operation is struck.
    StruckPrune(u64, usize, Mode),
}

impl Step {
    /// The kind, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Night(When::Same, _) => "the same night once more",
            Self::Night(When::Slot, _) => "the next slot",
            Self::Night(When::After(1), _) => "the next night",
            Self::Night(When::After(_), _) => "missed nights",
            Self::Full(..) => "a full that was asked for",
            Self::Struck(_, _, _, Mode::Fails) => "a run with an operation that fails",
            Self::Struck(_, _, _, Mode::LosesItsAnswer) => "a run with an answer that is lost",
            Self::Struck(_, _, _, Mode::DiesBefore) => "a run that dies before an operation",
            Self::Struck(_, _, _, Mode::DiesAfter) => "a run that dies after an operation",
            Self::Struck(_, _, _, Mode::IsDenied | Mode::IsLocked) => {
                "a run with an operation that is denied"
            }
            Self::Broken(..) => "a broken stream",
            Self::Clock(_, _, _, DateOverride::Absent) => "a clock that jumped",
            Self::Clock(_, _, _, DateOverride::Given) => "a clock that jumped, overridden",
            Self::Earlier(..) => "an earlier date",
            Self::Bad(..) => "a bad store",
            Self::Garbage => "garbage in the ledger",
            Self::Overtaken(..) => "garbage in the ledger during a run",
            Self::LostSegment(_) => "a lost object of an attempt",
            Self::LostRows(_) => "lost catalog rows",
            Self::Keep => "a copy of the catalog",
            Self::PutBack(_) => "an older catalog put back",
            Self::Prune(..) => "a prune",
            Self::StruckPrune(..) => "a prune that is struck",
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    let length = prop_oneof![4 => Just(Length::Short), 1 => Just(Length::Long)];
    (length, 0_u8..2).prop_map(|(length, tail)| Content { length, tail })
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        5 => Just(When::Same),
        5 => Just(When::Slot),
        1 => (1_u64..40).prop_map(When::After),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(&Mode::ALL[..])
}

fn broken() -> impl Strategy<Value = Broken> {
    prop_oneof![
        2 => any::<usize>().prop_map(Broken::Cut),
        2 => any::<usize>().prop_map(Broken::Flipped),
        1 => Just(Broken::GoesOn),
        1 => Just(Broken::OtherKind),
        1 => Just(Broken::Known),
    ]
}

fn date_override() -> impl Strategy<Value = DateOverride> {
    prop::sample::select(&[DateOverride::Absent, DateOverride::Given][..])
}

/// Anything that can happen.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Bad::{Anything, List, ListArchives, Put};
    let bad = prop::sample::select(&[Anything, List, ListArchives, Put][..]);
    // A run that archives has about 30 operations.
    let struck = (when(), content(), 0_usize..40, mode());
    let clock = (when(), content(), -400_i64..400, date_override());
    let skew = prop_oneof![6 => Just(0_i64), 1 => -5_i64..5];
    let step = prop_oneof![
        12 => content().prop_map(|content| Step::Night(When::Slot, content)),
        10 => content().prop_map(|content| Step::Night(When::Same, content)),
        3 => content().prop_map(|content| Step::Night(When::After(1), content)),
        3 => (2_u64..=60, content()).prop_map(|(days, content)| Step::Night(When::After(days), content)),
        2 => (when(), content()).prop_map(|(when, content)| Step::Full(when, content)),
        24 => struck.prop_map(|(when, content, at, mode)| Step::Struck(when, content, at, mode)),
        6 => (when(), content(), broken()).prop_map(|(when, content, how)| Step::Broken(when, content, how)),
        4 => clock.prop_map(|(when, content, ahead, date_override)| {
            Step::Clock(when, content, ahead, date_override)
        }),
        2 => (1_u64..60, content()).prop_map(|(days, content)| Step::Earlier(days, content)),
        4 => (when(), content(), bad).prop_map(|(when, content, bad)| Step::Bad(when, content, bad)),
        2 => Just(Step::Garbage),
        2 => (when(), content()).prop_map(|(when, content)| Step::Overtaken(when, content)),
        6 => any::<usize>().prop_map(Step::LostSegment),
        3 => (1_usize..5).prop_map(Step::LostRows),
        4 => Just(Step::Keep),
        4 => any::<usize>().prop_map(Step::PutBack),
        5 => (0_u64..20, skew).prop_map(|(days, skew)| Step::Prune(days, skew)),
        4 => (0_u64..20, 0_usize..25, mode()).prop_map(|(days, at, mode)| Step::StruckPrune(days, at, mode)),
    ];
    // 50 on average; a failing history is cut down to the steps that it takes.
    prop::collection::vec(step, 1..100)
}
