//! Retrievals from a vault: no more at once than the line fetches while they can be read.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use coldchain::engine::{OpenSource, ThawStatus, WantedSegments, thaw, thaw_state};
use coldchain::interrupt::Interrupt;
use coldchain::model::{ArchiveId, StorageClass, Tier};
use coldchain::store::{Readability, ThawRequest};

use crate::common::faults::Faults;
use crate::common::lab::{Lab, SOURCE};
use crate::common::two_chains::{OLD, stream_of};

const REQUEST: ThawRequest = ThawRequest {
    tier: Tier::Standard,
    days: 1,
};

/// The state of the chain, with what is requested for it if that is wanted.
fn asked(lab: &Lab, ask: bool) -> (ThawStatus, Vec<ArchiveId>) {
    let mut catalog = lab.catalog();
    let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
    let archives = catalog.archives(&row.ledger).unwrap();
    let archives: Vec<ArchiveId> = archives.iter().map(|row| row.id).collect();
    let source = OpenSource {
        config: &lab.config.sources[0],
        row,
        store: lab.open(),
    };
    let wanted = WantedSegments {
        source: &source,
        class: Some(StorageClass::Vault),
        archives: &archives,
        only: None,
        interrupt: Interrupt::of_this_process(),
    };
    let status = if ask {
        thaw(&wanted, REQUEST, &mut catalog)
    } else {
        thaw_state(&wanted, &mut catalog)
    };
    (status.unwrap(), archives)
}

/// The archives of which something is thawed or thawing.
fn begun(status: &ThawStatus) -> BTreeSet<ArchiveId> {
    let begun = status.segments.iter().filter(|segment| {
        matches!(
            segment.readability,
            Readability::Thawing(_) | Readability::Until(..)
        )
    });
    begun.map(|segment| segment.archive).collect()
}

fn chain() -> Lab {
    let lab = Lab::with_vault();
    for (date, parent) in [(OLD[0], None), (OLD[1], Some(OLD[0]))] {
        lab.decide(date, &stream_of(date, parent), &Faults::none())
            .unwrap();
    }
    lab
}

fn later(lab: &Lab, hours: i64) {
    lab.store.set_now(Utc::now() + TimeDelta::hours(hours));
}

#[test]
fn jobs_are_asked_for_once_and_again_when_their_output_is_gone() {
    let lab = chain();
    let vault = lab.vault.as_ref().unwrap();
    later(&lab, 0);
    for hours in [0, 2, 6, 20] {
        later(&lab, hours);
        let (status, archives) = asked(&lab, true);
        assert_eq!(begun(&status).len(), archives.len(), "after {hours} hours");
        assert_eq!(vault.retrievals(), 2);
    }
    let (status, _) = asked(&lab, false);
    assert_eq!(status.awaited(&SOURCE.parse().unwrap()), None);
    // Completed after 5 hours, and readable for 24.
    later(&lab, 30);
    let (status, _) = asked(&lab, false);
    assert!(begun(&status).is_empty());
    asked(&lab, true);
    assert_eq!(vault.retrievals(), 4);
}
