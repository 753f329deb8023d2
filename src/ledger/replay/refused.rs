//! Decides what an object is that was refused under a number of the ledger.
//!
//! A writer passes over an object that is certainly not part of the ledger, and says so in the next entry. It
//! must never pass over a damaged entry: no ledger would name the archive of that entry any more.

use memchr::memmem;

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::ledger::key::PublicKey;
use crate::ledger::signature::{Check, open};
use crate::model::LedgerId;

/// What a refused object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Certainly not the entry of this ledger with that number: the next one passes over it.
    Litter,
    /// It may be an entry of this ledger that was damaged. Nothing is written after it.
    Suspect,
    /// A key of the ledger has signed it, but it does not fit. Nothing after it can be trusted, unless the
    /// root key voids it.
    Fork,
    /// An entry before it is not known, so nothing from it on can be judged.
    Stop,
}

/// The text before the ledger's id in a body.
const LEDGER: &[u8] = br#""ledger":""#;

/// The beginning of every body.
const BEGINNING: &[u8] = br#"{""#;

impl Replay {
    /// Decides what an object is that was refused for that reason.
    pub fn what_is(&self, object: &[u8], refusal: &EntryRefusal) -> Refused {
        if matches!(
            refusal,
            EntryRefusal::Gap { .. }
                | EntryRefusal::AfterLost { .. }
                | EntryRefusal::Newer { .. }
                | EntryRefusal::TooFar { .. }
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

    /// Whether a key that ever had a role here has signed exactly these bytes. Then they are not damaged: it
    /// is an entry of another place, an entry of a withdrawn key, or no entry at all.
    fn bears_a_signature(&self, object: &[u8]) -> bool {
        self.signer_of(object).is_some()
    }

    /// Returns the key that signed an object, among all that ever had a role here.
    pub fn signer_of(&self, object: &[u8]) -> Option<&PublicKey> {
        let signed = open(object, &self.ever, Check::Check).ok()?;
        Some(&self.ever[signed.by])
    }

    /// Whether an object may be a damaged entry of this ledger. The ledger's id is twice in every entry, far
    /// apart, so that damage in one place leaves one of them. An entry that was cut off before the first id
    /// still begins like an entry. A disk returns one byte over and over for data that it has lost.
    fn may_be_ours(&self, object: &[u8]) -> bool {
        let id = self.trust.ledger.to_string();
        let names_this = memmem::find(object, id.as_bytes()).is_some();
        let is_blank = object.is_empty() || object[1..] == object[..object.len() - 1];
        names_this || is_blank || (object.starts_with(BEGINNING) && !names_a_ledger(object))
    }
}

/// Whether the bytes name a ledger in the way that a body does.
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
