//! A sample of each error of copies.

use super::{archive, date, kind, mail};
use crate::error::{CopyError, Error};
use crate::model::copy_marker::NoCopyMarker;
use crate::store::ErrorKind;

pub(super) fn samples() -> Vec<Error> {
    let of_places = of_places().into_iter();
    of_places.chain(of_runs()).map(Error::Copy).collect()
}

fn to() -> String {
    "s3://second/mail".to_owned()
}

/// Those of what a place is.
fn of_places() -> Vec<CopyError> {
    let theirs = "ae1124264c40b38fc94cb645b99232a5".parse().unwrap();
    vec![
        CopyError::OntoItself {
            source_name: mail(),
            store: to(),
        },
        CopyError::IntoVault {
            source_name: mail(),
            store: "glacier-vault://eu-central-1/mail?ledger=s3://second/mail".to_owned(),
        },
        CopyError::OntoLedger {
            source_name: mail(),
            store: to(),
        },
        CopyError::NoneConfigured,
        CopyError::InUse {
            source_name: mail(),
            store: to(),
            what: "the ledger of another source".to_owned(),
        },
        CopyError::Emptied {
            source_name: mail(),
            store: to(),
            head: 9,
        },
        CopyError::MarkerUnreadable {
            store: to(),
            key: "mail/ledger/COPY".to_owned(),
            source: NoCopyMarker,
        },
        CopyError::OfAnotherLedger {
            source_name: mail(),
            store: to(),
            theirs,
        },
        CopyError::Ahead {
            source_name: mail(),
            store: to(),
            seq: 10,
            head: 9,
        },
        CopyError::NotThere {
            source_name: mail(),
            archive: archive(),
            store: to(),
            newest: Some(date()),
        },
        CopyError::NotThere {
            source_name: mail(),
            archive: archive(),
            store: to(),
            newest: None,
        },
        CopyError::StillConfigured {
            source_name: mail(),
            copy: "second".to_owned(),
        },
        CopyError::NeverSeen {
            source_name: mail(),
            copy: "third".to_owned(),
        },
        CopyError::Differs {
            source_name: mail(),
            store: to(),
            seq: 9,
        },
    ]
}

/// Those of what a run could not do.
fn of_runs() -> Vec<CopyError> {
    let why = || Box::new(Error::Store(kind(ErrorKind::Unavailable)));
    let not_pruned = |of| CopyError::NotPruned {
        source_name: mail(),
        to: to(),
        deleted: 3,
        source: Box::new(kind(of)),
    };
    vec![
        CopyError::LeftOut {
            source_name: mail(),
            archive: archive(),
            to: to(),
            reason: "damaged at home".to_owned(),
        },
        CopyError::NotCopied {
            archive: archive(),
            to: to(),
            source: why(),
        },
        CopyError::ListingShort {
            archive: archive(),
            store: to(),
            objects: 2,
            first: format!("mail/archives/{}/key.age is missing", archive()),
        },
        not_pruned(ErrorKind::Denied),
        not_pruned(ErrorKind::Unavailable),
        CopyError::MarkGone {
            source_name: mail(),
            store: to(),
        },
        CopyError::Unpruned {
            source_name: mail(),
            to: "second".to_owned(),
            source: Box::new(Error::Copy(not_pruned(ErrorKind::Denied))),
        },
        CopyError::Behind {
            source_name: mail(),
            to: to(),
            source: why(),
        },
        CopyError::AfterNight {
            source_name: mail(),
            to: "second".to_owned(),
            source: why(),
        },
    ]
}
