//! Changing who may sign a source's ledger. The root key signs it: its secret comes from the recovery
//! kit, and is never written here.

use crate::config::{Config, Source};
use crate::engine::commit::Writer;
use crate::engine::ledger_change::change_ledger;
use crate::engine::state::Keys;
use crate::engine::world::World;
use crate::error::Error;
use crate::ledger::{PublicKey, Replay, SigningKey, Warning, root_grant};
use crate::model::entry::{EntryKind, KeyGrant, Role, RotateEntry};

/// What is to change about the keys.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// These may sign that from now on, and nothing else.
    pub add: Vec<(PublicKey, Vec<Role>)>,
    /// These sign nothing any more.
    pub remove: Vec<PublicKey>,
    /// The numbers of entries that this version does not know, and that shall have no effect.
    pub void: Vec<u64>,
}

/// What became of a source's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The number of the entry that says so; `None` if there was nothing to change.
    pub entry: Option<u64>,
    /// The keys from here on, the root key first; none in a ledger that is not opened yet.
    pub keys: Vec<(PublicKey, Vec<Role>)>,
    /// Of the keys that were to be removed, those that it has never had.
    pub never: Vec<PublicKey>,
}

/// Changes the keys of a source's ledger, if that changes anything.
pub fn rotate(
    config: &Config,
    source: &Source,
    change: &KeyChange,
    root: &SigningKey,
    world: World<'_>,
) -> Result<Rotated, Error> {
    let rotated = change_ledger(
        config,
        source,
        &root.public(),
        world,
        |open, state, catalog| {
            if state.replay.head().is_none() {
                return Ok(None);
            }
            let never = change.never_in(&state.replay);
            let keys = Keys::of_root(root)?;
            let writer = Writer::between(config, open, &keys, world);
            loop {
                world.interrupt.check()?;
                let voids = change.voided_of(&state.replay);
                if voids.len() < state.replay.unknown().len() {
                    state.require_known(open)?;
                }
                let wanted = change.applied_to(state.replay.keys());
                let mut rotated = Rotated {
                    entry: None,
                    keys: wanted,
                    never: never.clone(),
                };
                if rotated.keys == state.replay.keys() && voids.is_empty() {
                    return Ok(Some(rotated));
                }
                let rotate = RotateEntry {
                    keys: rotated.keys.iter().map(granted).collect(),
                    voids,
                };
                // Another run's entry may have taken the number, and may be a rotate too.
                rotated.entry = writer.append(EntryKind::Rotate(rotate), state, catalog)?;
                if rotated.entry.is_some() {
                    return Ok(Some(rotated));
                }
            }
        },
    )?;
    Ok(rotated.flatten().unwrap_or_else(|| Rotated {
        entry: None,
        keys: Vec::new(),
        never: change.remove.clone(),
    }))
}

fn granted((key, roles): &(PublicKey, Vec<Role>)) -> KeyGrant {
    if roles.contains(&Role::Root) {
        return root_grant(key);
    }
    KeyGrant {
        key: key.to_string(),
        roles: roles.clone(),
        grant: None,
    }
}

impl KeyChange {
    /// Those of the entries to be voided that there are.
    fn voided_of(&self, ledger: &Replay) -> Vec<u64> {
        let unknown = ledger.unknown().iter().map(Warning::seq);
        unknown.filter(|seq| self.void.contains(seq)).collect()
    }

    /// Those to be removed that the ledger has never had.
    fn never_in(&self, ledger: &Replay) -> Vec<PublicKey> {
        let had =
            |key: &&PublicKey| ledger.withdrawn().contains(key) || !ledger.roles_of(key).is_empty();
        self.remove
            .iter()
            .filter(|key| !had(key))
            .cloned()
            .collect()
    }

    /// The keys after the change; the root key stays what it is.
    fn applied_to(&self, keys: &[(PublicKey, Vec<Role>)]) -> Vec<(PublicKey, Vec<Role>)> {
        let mut wanted = keys.to_vec();
        wanted.retain(|(key, roles)| roles.contains(&Role::Root) || !self.remove.contains(key));
        for (key, roles) in &self.add {
            let mut roles = roles.clone();
            roles.sort_unstable();
            roles.dedup();
            match wanted.iter_mut().find(|(known, _)| known == key) {
                Some((_, had)) if had.contains(&Role::Root) => {}
                Some((_, had)) => *had = roles,
                None => wanted.push((key.clone(), roles)),
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_the_root_key_and_what_it_does_not_name_alone() {
        let keys: Vec<PublicKey> = (0..4)
            .map(|_| SigningKey::generate().unwrap().public())
            .collect();
        let [root, lost, pruner, new] = [0, 1, 2, 3].map(|at| keys[at].clone());
        let before = [
            (root.clone(), vec![Role::Root]),
            (lost.clone(), vec![Role::Pruner, Role::Writer]),
            (pruner.clone(), vec![Role::Pruner]),
        ];
        let change = KeyChange {
            add: vec![
                (new.clone(), vec![Role::Writer, Role::Pruner, Role::Writer]),
                (root.clone(), vec![Role::Writer]),
            ],
            remove: vec![lost, root.clone()],
            void: Vec::new(),
        };
        let after = [
            (root, vec![Role::Root]),
            (pruner, vec![Role::Pruner]),
            (new, vec![Role::Pruner, Role::Writer]),
        ];
        assert_eq!(change.applied_to(&before), after);
        // Once more changes nothing.
        assert_eq!(change.applied_to(&after), after);
    }
}
