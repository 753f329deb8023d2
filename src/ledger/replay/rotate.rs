//! What a `rotate` entry may say, and who may sign after it.

use std::collections::BTreeSet;

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::ledger::key::PublicKey;
use crate::model::entry::{EntryHead, Role, RotateEntry};

impl Replay {
    /// The keys that may sign the next entry, the root key first, and what each may sign.
    pub fn keys(&self) -> &[(PublicKey, Vec<Role>)] {
        &self.keys
    }

    /// What that key may sign in the next entry.
    pub fn roles_of(&self, key: &PublicKey) -> &[Role] {
        let known = self.keys.iter().find(|(known, _)| known == key);
        known.map_or(&[], |(_, roles)| roles)
    }

    /// The keys that could sign an entry earlier, and can't any more.
    pub fn withdrawn(&self) -> &[PublicKey] {
        &self.withdrawn
    }

    pub(super) fn replace_keys(&mut self, keys: Vec<(PublicKey, Vec<Role>)>) {
        for (key, _) in &keys {
            if !self.ever.contains(key) {
                self.ever.push(key.clone());
            }
        }
        let before = std::mem::replace(&mut self.keys, keys);
        self.withdrawn
            .extend(before.into_iter().map(|(key, _)| key));
        let known = &self.keys;
        self.withdrawn
            .retain(|key| !known.iter().any(|(known, _)| known == key));
    }

    /// Checks a `rotate` entry, and returns the keys that replace all earlier ones. The root key has signed
    /// the entry, so they need no grant.
    pub(super) fn rotated(
        &self,
        head: &EntryHead,
        rotate: &RotateEntry,
    ) -> Result<Vec<(PublicKey, Vec<Role>)>, EntryRefusal> {
        let wrong = |what| Err(EntryRefusal::RotateKeys(what));
        let root = &self.trust.root;
        let Some((first, others)) = rotate.keys.split_first() else {
            return wrong("is empty");
        };
        if first.key != root.to_string() || first.roles != [Role::Root] {
            return wrong("does not begin with the ledger's root key");
        }
        let mut seen = BTreeSet::from([first.key.as_str()]);
        let mut keys = vec![(root.clone(), vec![Role::Root])];
        for grant in others {
            let Some(key) = grant.key.parse().ok().filter(|key: &PublicKey| {
                // If a key had two spellings, one could be withdrawn while the other stays.
                key.to_string() == grant.key
            }) else {
                return wrong("has something that is not a public key");
            };
            if !seen.insert(&grant.key) {
                return wrong("names a key twice");
            }
            let ascending = grant.roles.is_sorted_by(|one, next| one < next);
            if grant.roles.is_empty() || !ascending || grant.roles.contains(&Role::Root) {
                return wrong("gives no role, roles that are not sorted, or the root key's role");
            }
            keys.push((key, grant.roles.clone()));
        }
        self.check_voids(head, &rotate.voids, &keys)?;
        self.check_undone(rotate, &keys)?;
        Ok(keys)
    }
}
