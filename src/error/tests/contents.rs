//! A sample of each error of contents.

use super::{archive, store};
use crate::error::{ContentsFault, Error};

pub(super) fn samples() -> Vec<Error> {
    let damaged = || ContentsFault::Damaged {
        archive: archive(),
        key: format!(
            "mail/archives/{}/contents-000000-5d0f3a6611c7e294.zst.age",
            archive()
        ),
        what: "it is missing".to_owned(),
    };
    [
        damaged(),
        ContentsFault::Missing { archive: archive() },
        ContentsFault::Unusable {
            archive: archive(),
            what: "object 0 of the contents is not the one that was signed".to_owned(),
        },
        ContentsFault::Unrestorable {
            archive: archive(),
            what: "a rename command on `a`, which is not there".to_owned(),
        },
        ContentsFault::Unmade {
            archive: archive(),
            what: "its stream is not the one that was archived".to_owned(),
        },
        ContentsFault::Unopened {
            identity: "kit.txt".to_owned(),
            unopened: 2,
        },
        ContentsFault::Cold { archives: 3 },
        ContentsFault::NotCopied {
            archive: archive(),
            to: store(),
            source: Box::new(damaged().into()),
        },
    ]
    .map(Error::from)
    .into()
}
