//! `btrsend`'s protocol: say what a date calls for, then archive the stream that comes on stdin.
//!
//! Nothing of btrfs is looked at here. Kind and send parent come from the ledger, and the guard
//! refuses a stream that is not incremental on the archive that was asked for.

use chrono::NaiveDate;

use crate::btrfs::{Expect, ExpectParent};
use crate::config::{Config, Source};
use crate::engine::archive::{self, Job, OriginFacts};
use crate::engine::backup::{Asked, Outcome, check_date, verify_listed, warn_of_store};
use crate::engine::facts::{self, Origin};
use crate::engine::head;
use crate::engine::source::{OpenSource, know_source, retain_until};
use crate::engine::state::StateDir;
use crate::engine::stream::StreamSource;
use crate::engine::world::World;
use crate::error::Error;
use crate::plan::{Action, plan_backup};
use crate::seal::Recipients;

/// What whoever holds the snapshots is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A complete stream: `c`.
    Full,
    /// A stream incremental on that date's snapshot: `i DATE`.
    Incremental(NaiveDate),
}

/// Decides, says what is wanted through `ask`, and archives what comes on stdin. If nothing is due
/// it returns at once without asking or reading.
pub fn decide(
    config: &Config,
    source: &Source,
    asked: Asked,
    world: World<'_>,
    stdin: impl StreamSource,
    ask: impl FnOnce(Wanted) -> Result<(), Error>,
) -> Result<Outcome, Error> {
    let recipients = Recipients::parse(config.recipients()?)?;
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let mut catalog = world.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name)?;
    check_date(source, asked, &catalog)?;
    let row = know_source(config, source, &mut catalog)?;
    let store = world.open(&config.stores[&source.store])?;
    let open = OpenSource {
        config: source,
        row,
        store: store.as_ref(),
    };
    let mut state = head::catch_up(&open, &mut catalog, &keys.root)?;
    state.warn(&source.name, world.observer);
    // The ledger may have told of newer archives.
    check_date(source, asked, &catalog)?;

    let fingerprint = recipients.fingerprint(&open.row.ledger);
    let ledger = Some(open.row.ledger);
    let (facts, schedule) = facts::facts(
        source,
        asked.date,
        asked.request,
        Origin::Stdin,
        fingerprint,
        ledger,
        &catalog,
    )?;
    let plan = plan_backup(&facts, &schedule)?;
    let (onto, wanted, expect_parent) = match plan.action {
        Action::None => {
            return Ok(Outcome::NothingDue {
                reason: plan.reason,
            });
        }
        Action::Full => (None, Wanted::Full, ExpectParent::None),
        Action::Incremental { send_parent, chain } => {
            let archives = catalog.archives(&open.row.ledger)?;
            let parent = archives.iter().find(|archive| archive.id == send_parent);
            let (uuid, ctransid) = parent
                .and_then(|parent| Some((parent.stream_uuid?, parent.stream_ctransid?)))
                .expect("the planner chose a visible archive, and those have both");
            let wanted = Wanted::Incremental(send_parent.date);
            (
                Some((send_parent, chain)),
                wanted,
                ExpectParent::State(uuid, ctransid),
            )
        }
    };
    state.require_known(&open)?;
    ask(wanted)?;
    let full = onto.map_or(asked.date, |(_, chain)| chain.date);
    let job = Job {
        config,
        source: &open,
        keys: &keys,
        world,
        recipients: &recipients,
        date: asked.date,
        slot: plan.slot,
        onto,
        expect: Expect {
            uuid: None,
            ctransid: None,
            send_parent: expect_parent,
        },
        snapshot: None,
        retain_until: retain_until(config, source, full, world.clock.now()),
        expected: None,
        origin: OriginFacts::default(),
    };
    let archived = archive::archive(&job, Box::new(stdin), &mut state, &mut catalog)?;
    let later = warn_of_store(&open, &mut catalog, world.observer)
        .and_then(|()| verify_listed(&open, &archived.id, &mut catalog, world.clock))
        .err()
        .map(Box::new);
    Ok(archived.outcome(plan.reason, later))
}
