//! What an object is that is refused under a number of the ledger.
//!
//! Whoever writes goes on after what is certainly not part of the ledger, and says so in the next entry.
//! A damaged entry must never be taken for that: what it archived would be nobody's.

use memchr::memmem;

use super::Replay;
use crate::ledger::error::Refusal;
use crate::ledger::key::PublicKey;
use crate::ledger::signature::{Check, open};
use crate::model::LedgerId;

/// What a refused object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Certainly no entry of this ledger in its place: the next one passes over it.
    Litter,
    /// It may be an entry of this ledger that was damaged. Nothing is written after it.
    Suspect,
    /// A key of the ledger has signed it and it does not fit. Nothing after it can be told true from false,
    /// unless the root key voids it.
    Fork,
    /// What comes before it is not known: nothing after it can be told true from false.
    Stop,
}

/// What a body says before the ledger's id.
const LEDGER: &[u8] = br#""ledger":""#;

/// How every body begins.
const BEGINNING: &[u8] = br#"{""#;

impl Replay {
    /// What an object is that was refused so.
    pub fn what_is(&self, object: &[u8], refusal: &Refusal) -> Refused {
        if matches!(
            refusal,
            Refusal::Gap { .. }
                | Refusal::AfterLost { .. }
                | Refusal::Newer { .. }
                | Refusal::TooFar { .. }
        ) {
            Refused::Stop
        } else if refusal.was_signed() {
            Refused::Fork
        } else if self.bears_a_signature(object) || !self.may_be_ours(object) {
            Refused::Litter
        } else {
            Refused::Suspect
        }
    }

    /// Whether a key that ever had a role here has signed just these bytes: an entry of another place,
    /// one of a key that was withdrawn, or none at all, and nothing that was damaged.
    fn bears_a_signature(&self, object: &[u8]) -> bool {
        self.signer_of(object).is_some()
    }

    /// The key that has signed an object, of all that ever had a role here.
    pub fn signer_of(&self, object: &[u8]) -> Option<&PublicKey> {
        let signed = open(object, &self.ever, Check::Check).ok()?;
        Some(&self.ever[signed.by])
    }

    /// The ledger's id stands twice in every entry, far from each other, so that one rotten place leaves
    /// one of them. What was cut off before the first still begins like an entry. What is one byte over
    /// and over is what a disk gives for something that it has lost.
    fn may_be_ours(&self, object: &[u8]) -> bool {
        let id = self.trust.ledger.to_string();
        let names_this = memmem::find(object, id.as_bytes()).is_some();
        let is_blank = object.is_empty() || object[1..] == object[..object.len() - 1];
        names_this || is_blank || (object.starts_with(BEGINNING) && !names_a_ledger(object))
    }
}

/// Whether the bytes name a ledger in the form in which a body does.
fn names_a_ledger(object: &[u8]) -> bool {
    let at = memmem::find(object, LEDGER);
    let Some(after) = at.map(|at| &object[at + LEDGER.len()..]) else {
        return false;
    };
    // 32 digits, and the quote after them.
    let id = after.get(..33).and_then(|id| id.strip_suffix(b"\""));
    id.and_then(|id| std::str::from_utf8(id).ok())
        .is_some_and(|id| id.parse::<LedgerId>().is_ok())
}
