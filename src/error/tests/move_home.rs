//! A sample of each error of a move.

use super::{archive, mail, store};
use crate::error::{Error, LedgerStateError, MoveError};

pub(super) fn samples() -> Vec<Error> {
    let at = || "file:///copy".to_owned();
    [
        MoveError::NoCopy {
            source_name: mail(),
            store: at(),
        },
        MoveError::IntoVault {
            source_name: mail(),
            store: "glacier-vault://eu-central-1/mail?ledger=s3://second/mail".to_owned(),
        },
        MoveError::Behind {
            source_name: mail(),
            store: at(),
            seq: 7,
        },
        MoveError::NotWhole {
            source_name: mail(),
            store: at(),
            archives: 2,
            first: archive(),
        },
        MoveError::NothingThere {
            source_name: mail(),
            store: at(),
        },
        MoveError::Parted {
            source_name: mail(),
            store: at(),
            from: store(),
            source: Box::new(Error::LedgerState(LedgerStateError::LedgerForked {
                source_name: mail(),
                store: at(),
                seq: 7,
            })),
        },
        MoveError::ConfigBehind {
            source_name: mail(),
            home: at(),
            configured: store(),
            store: Some("second".to_owned()),
        },
        MoveError::ConfigBehind {
            source_name: mail(),
            home: at(),
            configured: store(),
            store: None,
        },
        MoveError::CatalogBehind {
            source_name: mail(),
            known: store(),
            configured: at(),
            store: "second".to_owned(),
        },
    ]
    .map(Error::from)
    .into()
}
