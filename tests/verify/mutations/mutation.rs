//! What can be done to a store by whoever can write to it.

use coldchain::model::keys;

use super::forger;
use super::shelf::Shelf;
use crate::common::lab::SOURCE;
use crate::common::rng::Rng;

/// One thing that is done to objects, by their keys.
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Delete(String),
    /// It keeps so many bytes.
    Truncate(String, usize),
    /// So many bytes are added.
    Extend(String, usize),
    /// A bit of that byte is turned round.
    Flip(String, usize),
    /// Two change places.
    Swap(String, String),
    /// The second gets the bytes of the first.
    Replay(String, String),
    /// An entry is stored once more, under the next number.
    ReplayAsNext(String),
    /// A segment is stored once more, under another index.
    Duplicate(String),
    /// The last entries are gone, and all that they speak of.
    LoseTail(usize),
    /// An object is replaced by one that is right in all but who made it.
    Forge(String),
    /// An entry of another's making follows the last.
    ForgeNext,
    /// The whole store is another's, made for the same recipients.
    ForgeAll,
}

const KINDS: u64 = 12;

impl Mutation {
    /// A mutation of one kind after the other, on any objects.
    pub(crate) fn choose(case: u64, shelf: &Shelf, rng: &mut Rng) -> Self {
        let all = shelf.keys();
        let entries: Vec<String> = shelf.keys_ending(".entry");
        let mut segments: Vec<String> = shelf.keys_ending(".zst.age");
        segments.retain(|key| crate::common::is_segment(key));
        let key = rng.pick(&all).clone();
        let length = shelf.bytes(&key).len();
        let at = rng.length(0, length);
        let other = loop {
            let other = rng.pick(&all).clone();
            if other != key {
                break other;
            }
        };
        match case % KINDS {
            0 => Self::Delete(key),
            1 => Self::Truncate(key, at),
            2 => Self::Extend(key, rng.length(1, 100)),
            3 => Self::Flip(key, at),
            4 => Self::Swap(key, other),
            5 => Self::Replay(key, other),
            6 => Self::ReplayAsNext(rng.pick(&entries).clone()),
            7 => Self::Duplicate(rng.pick(&segments).clone()),
            8 => Self::LoseTail(rng.length(1, entries.len() + 1)),
            9 => Self::Forge(key),
            10 => Self::ForgeNext,
            _ => Self::ForgeAll,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Delete(_) => "delete",
            Self::Truncate(..) => "truncate",
            Self::Extend(..) => "extend",
            Self::Flip(..) => "flip",
            Self::Swap(..) => "swap",
            Self::Replay(..) => "replay",
            Self::ReplayAsNext(_) => "replay as next",
            Self::Duplicate(_) => "duplicate",
            Self::LoseTail(_) => "lose tail",
            Self::Forge(_) => "forge",
            Self::ForgeNext => "forge next",
            Self::ForgeAll => "forge all",
        }
    }

    /// Does it, and returns the keys that have to be named.
    pub(crate) fn strike(&self, on: &Shelf, rng: &mut Rng) -> Vec<String> {
        match self {
            Self::Delete(key) => {
                on.delete(key);
                vec![key.clone()]
            }
            Self::Truncate(key, length) => {
                on.replace(key, on.bytes(key)[..*length].to_vec());
                vec![key.clone()]
            }
            Self::Extend(key, by) => {
                let mut bytes = on.bytes(key).to_vec();
                bytes.extend(rng.bytes(*by));
                on.replace(key, bytes);
                vec![key.clone()]
            }
            Self::Flip(key, at) => {
                let mut bytes = on.bytes(key).to_vec();
                bytes[*at] ^= 1 << rng.below(8);
                on.replace(key, bytes);
                vec![key.clone()]
            }
            Self::Swap(one, other) => {
                on.replace(one, on.bytes(other).to_vec());
                on.replace(other, on.bytes(one).to_vec());
                vec![one.clone(), other.clone()]
            }
            Self::Replay(from, to) => {
                on.replace(to, on.bytes(from).to_vec());
                vec![to.clone()]
            }
            Self::ReplayAsNext(entry) => {
                let next = keys::ledger_entry(SOURCE, on.head() + 1);
                on.add(&next, on.bytes(entry).to_vec());
                vec![next]
            }
            Self::Duplicate(segment) => {
                let (prefix, name) = segment.rsplit_once('/').unwrap();
                let (_, rest) = name.split_once('-').unwrap();
                let copy = format!("{prefix}/{:06}-{rest}", 100 + rng.below(100));
                on.add(&copy, on.bytes(segment).to_vec());
                vec![copy]
            }
            Self::LoseTail(count) => on.lose_tail(*count),
            Self::Forge(key) => {
                let forged = forger::object_like(on, key);
                on.replace(key, forged);
                vec![key.clone()]
            }
            Self::ForgeNext => {
                let next = keys::ledger_entry(SOURCE, on.head() + 1);
                on.add(&next, forger::next_entry(on));
                vec![next]
            }
            Self::ForgeAll => {
                for key in on.keys() {
                    on.delete(&key);
                }
                for (key, bytes) in &on.forged {
                    on.add(key, bytes.clone());
                }
                on.keys_ending(".entry")
            }
        }
    }
}
