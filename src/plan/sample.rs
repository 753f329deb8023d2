//! Histories and facts for the tests of this module, written as dates.

use chrono::NaiveDate;

use super::{
    ArchiveFacts, Condition, Facts, History, ListedAsOf, Request, SendParentSnapshot, Verification,
};
use crate::model::ids::parse_date;
use crate::model::{ArchiveId, ArchiveKind, Sha256};

pub(super) const RECIPIENTS: Sha256 = Sha256([7; 32]);

pub(super) fn date(text: &str) -> NaiveDate {
    parse_date(text).unwrap()
}

/// Sound and verified chains; each is its full's date, then its incrementals' dates.
pub(super) fn history(chains: &[&[&str]]) -> History {
    let mut archives: Vec<ArchiveFacts> = Vec::new();
    for dates in chains {
        let mut chain = None;
        let mut send_parent = None;
        for text in *dates {
            let id = ArchiveId {
                date: date(text),
                kind: chain.map_or(ArchiveKind::Full, |_| ArchiveKind::Incremental),
                nonce: 0x5f0c_9a12_d4e6_b801,
            };
            archives.push(ArchiveFacts {
                id,
                send_parent,
                chain: *chain.get_or_insert(id),
                recipients: RECIPIENTS,
                condition: Condition::Sound,
                verification: Verification::Verified,
            });
            send_parent = Some(id);
        }
    }
    History { archives }
}

/// A scheduled night with nothing wrong.
pub(super) fn facts(night: &str, history: History) -> Facts {
    Facts {
        source: "home".parse().unwrap(),
        date: date(night),
        request: Request::Scheduled,
        history,
        send_parent: SendParentSnapshot::Intact,
        older_send_parent: None,
        recipients: RECIPIENTS,
        listed_as_of: ListedAsOf::Now,
    }
}
