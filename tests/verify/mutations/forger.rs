//! Somebody who can write to the store, knows the recipients and the ledger's id, and has no key: makes
//! whole archives with signing keys of their own.

use coldchain::ledger::{SigningKey, decode_body, encode_body, sign, split};
use coldchain::model::Sha256;
use coldchain::model::entry::EntryKind;

use super::shelf::{DATES, Shelf, streams};
use crate::common::faults::Faults;
use crate::common::lab::Lab;

/// All objects of a store that was made for the same recipients, under the same ledger's id.
pub(crate) fn store_like(lab: &Lab) -> Vec<(String, Vec<u8>)> {
    let forger = lab.with_other_keys();
    for (date, stream) in DATES.into_iter().zip(streams(100)) {
        forger.decide(date, &stream, &Faults::none()).unwrap();
    }
    let objects = forger.objects().into_iter();
    objects
        .filter(|(key, _)| !key.ends_with("README-RESTORE.txt"))
        .collect()
}

/// The forged object of the kind and place of a true one.
pub(crate) fn object_like(shelf: &Shelf, key: &str) -> Vec<u8> {
    let place = |key: &str| {
        let name = key.rsplit('/').next().unwrap().to_owned();
        // A segment's name goes on with its digest.
        let index = name.split('-').next().unwrap().to_owned();
        let date = key.split('/').nth(2).unwrap().get(..10).map(str::to_owned);
        (index, date.filter(|_| key.contains("/archives/")))
    };
    let forged = shelf
        .forged
        .iter()
        .find(|(other, _)| place(other) == place(key));
    forged
        .unwrap_or_else(|| panic!("nothing like {key}"))
        .1
        .clone()
}

/// An entry that follows the last true one in all but its signature: it archives what the forger has
/// stored.
pub(crate) fn next_entry(shelf: &Shelf) -> Vec<u8> {
    let last = shelf.bytes(shelf.keys_ending(".entry").last().unwrap());
    let (last_body, _) = split(last).unwrap();
    let mut head = decode_body(last_body).unwrap().head;
    head.seq += 1;
    head.prev = Some(Sha256::of(last_body));
    let archive = shelf.forged.iter().rev().find_map(|(key, bytes)| {
        key.strip_suffix(".entry")?;
        let entry = decode_body(split(bytes).unwrap().0).unwrap();
        matches!(entry.kind, EntryKind::Archive(_)).then_some(entry)
    });
    let mut entry = archive.unwrap();
    entry.head = head;
    let key = SigningKey::generate().unwrap();
    sign(&encode_body(&entry).unwrap(), &key).unwrap()
}
