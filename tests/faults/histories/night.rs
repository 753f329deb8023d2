//! A run of one night: what it has to come to, and what it came to.

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use coldchain::engine::{self, BackupRequest, Outcome, WantedStream};
use coldchain::error::{Error, ExitCode};
use coldchain::model::{ArchiveId, ArchiveKind};
use coldchain::plan::{DateOverride, Request};

use super::life::{Fixed, Life, MAX_INCREMENTALS, noon};
use super::step::{Bad, When};
use super::streams::{Broken, Content, Sender};
use crate::common::faults::{Faults, Mode};

/// A run of `decide`.
pub(super) struct Night {
    pub(super) when: When,
    pub(super) content: Content,
    /// Days that the system's clock is ahead.
    pub(super) ahead: i64,
    pub(super) date_override: DateOverride,
    pub(super) request: Request,
    pub(super) broken: Option<Broken>,
    pub(super) faults: Arc<Faults>,
    pub(super) sky: Sky,
}

/// Whether anything befalls a run that it can't foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sky {
    Clear,
    Rough,
}

/// How a run has to end that nothing befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Refused,
    /// Its slot was filled, and a later one too: nothing is due, or it is refused, if the run has only just read of the
    /// later archive.
    Past,
    Nothing,
    Archive(WantedStream),
}

impl Night {
    pub(super) fn clear(when: When, content: Content) -> Self {
        Self {
            when,
            content,
            ahead: 0,
            date_override: DateOverride::Absent,
            request: Request::Scheduled,
            broken: None,
            faults: Faults::none(),
            sky: Sky::Clear,
        }
    }

    pub(super) fn rough(when: When, content: Content, faults: Arc<Faults>) -> Self {
        Self {
            faults,
            sky: Sky::Rough,
            ..Self::clear(when, content)
        }
    }
}

pub(super) fn struck(at: usize, mode: Mode) -> Arc<Faults> {
    Faults::by_rule(move |number, _| (number == at + 1).then_some(mode))
}

pub(super) fn bad(bad: Bad) -> Arc<Faults> {
    let begin = match bad {
        Bad::Anything => "store: ",
        Bad::List => "store: list ",
        Bad::ListArchives => "store: list home/archives/",
        Bad::Put => "store: store ",
    };
    Faults::by_rule(move |_, name| name.starts_with(begin).then_some(Mode::Fails))
}

impl Life<'_> {
    /// What a run has to come to if nothing befalls it.
    pub(super) fn due(&self, night: &Night, today: NaiveDate) -> Due {
        let newest = self.stands.keys().last().copied();
        let ahead = self.date > today + Days::new(1);
        if ahead && night.date_override == DateOverride::Absent
            || newest == Some(self.date) && night.request == Request::Full
        {
            return Due::Refused;
        }
        if newest.is_some_and(|newest| newest > self.date) {
            let slot = self.schedule.slot_of(self.date);
            let slot = slot..self.schedule.next_slot_after(self.date);
            let is_filled = self.stands.keys().any(|date| slot.contains(date));
            return if is_filled && night.request == Request::Scheduled {
                Due::Past
            } else {
                Due::Refused
            };
        }
        // A full that was begun is welcome always.
        let resumed = self.open_attempts().into_iter().any(|id| {
            id.date == self.date
                && id.kind == ArchiveKind::Full
                && !self.ledger.retired.contains_key(&id)
        });
        let Some(newest) = newest else {
            return Due::Archive(WantedStream::Full);
        };
        let full = resumed || night.request == Request::Full;
        if newest == self.date || newest >= self.schedule.slot_of(self.date) && !full {
            return Due::Nothing;
        }
        let chain = self.ledger.archives[&self.stands[&newest].0].chain;
        let archives = self.ledger.archives.values();
        let in_chain = archives.filter(|archive| archive.chain == chain).count();
        if full || in_chain > MAX_INCREMENTALS as usize {
            return Due::Archive(WantedStream::Full);
        }
        Due::Archive(WantedStream::Incremental(newest))
    }

    /// A run, and a look at what it did.
    pub(super) fn night(&mut self, night: &Night) {
        self.go(night.when);
        let today = match night.ahead {
            ahead if ahead < 0 => self.date - Days::new(ahead.unsigned_abs()),
            ahead => self.date + Days::new(ahead.unsigned_abs()),
        };
        let due = self.due(night, today);
        let before = self.objects();
        let known = self.stands.keys().next().copied();
        let sender = Sender::new(self.date, night.content, night.broken, known);
        let outcome = self.run(night, today, &sender);
        if night.faults.has_struck() {
            self.tally.count("runs struck");
        }

        let new = self.look(sender.sent_whole());
        assert!(
            new.len() <= 1 && new.iter().all(|id| id.date == self.date),
            "{new:?}"
        );
        match (&outcome, due) {
            (Ok(Outcome::Archived { archives, later }), Due::Archive(_)) => {
                let made: Vec<ArchiveId> = archives.iter().map(|made| made.archive).collect();
                assert_eq!(made, new, "it reports what it did not do");
                assert!(later.is_none() || night.sky == Sky::Rough, "{later:?}");
                assert_eq!(night.broken, None, "a broken stream was archived");
            }
            (Ok(Outcome::NothingDue { .. }), Due::Nothing | Due::Past) => {
                assert_eq!(self.objects(), before, "a run with nothing due wrote");
            }
            (Err(error), Due::Refused | Due::Past) if error.exit_code() == ExitCode::Usage => {
                assert_eq!(self.objects(), before, "a run that was refused wrote");
            }
            (Err(error), Due::Archive(_)) if night.broken.is_some() => {
                assert_eq!(error.exit_code(), ExitCode::Failed, "{error:?}");
                assert_eq!(new, [], "a broken stream was archived");
            }
            (Err(error), _) if night.sky == Sky::Rough => {
                assert_eq!(error.exit_code(), ExitCode::Failed, "{error:?}");
            }
            _ => panic!("{}: {due:?} was due: {outcome:?}", self.date),
        }
        if let (Some(wanted), Due::Archive(expected)) = (sender.wanted(), due) {
            assert_eq!(wanted, expected, "{}", self.date);
        }
    }

    pub(super) fn run(
        &self,
        night: &Night,
        today: NaiveDate,
        sender: &Sender,
    ) -> Result<Outcome, Error> {
        let config = &self.lab.config;
        let asked = BackupRequest {
            date: self.date,
            today,
            request: night.request,
            override_date: night.date_override,
        };
        let clock = Fixed(noon(today));
        self.in_context(&clock, &night.faults, |context| {
            engine::decide(
                config,
                &config.sources[0],
                asked,
                context,
                sender.stdin(),
                |wanted| {
                    sender.told(wanted);
                    Ok(())
                },
            )
        })
    }
}
