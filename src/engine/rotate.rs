//! Changing who may sign a source's ledger. The root key signs it: its secret comes from the recovery
//! kit, and is never written here.

use crate::config::{Config, Source};
use crate::engine::clock::local_date;
use crate::engine::commit::Writer;
use crate::engine::head;
use crate::engine::source::{OpenSource, know_source, retain_until};
use crate::engine::state::{Keys, StateDir};
use crate::engine::world::World;
use crate::error::Error;
use crate::ledger::{PublicKey, SigningKey, root_grant};
use crate::model::entry::{EntryKind, KeyGrant, Role, RotateEntry};

/// What is to change about the keys.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// These may sign that from now on, and nothing else.
    pub add: Vec<(PublicKey, Vec<Role>)>,
    /// These sign nothing any more.
    pub remove: Vec<PublicKey>,
}

/// What became of a source's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The number of the entry that says so; `None` if there was nothing to change.
    pub entry: Option<u64>,
    /// The keys from here on, the root key first; none in a ledger that is not opened yet.
    pub keys: Vec<(PublicKey, Vec<Role>)>,
}

/// Changes the keys of a source's ledger, if that changes anything.
pub fn rotate(
    config: &Config,
    source: &Source,
    change: &KeyChange,
    root: &SigningKey,
    world: World<'_>,
) -> Result<Rotated, Error> {
    let unopened = Rotated {
        entry: None,
        keys: Vec::new(),
    };
    let state_dir = StateDir::new(&config.state_dir);
    let mut catalog = world.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &world)?;
    if catalog.source(&source.name)?.is_none() {
        return Ok(unopened);
    }
    let store = world.open(&config.stores[&source.store])?;
    let open = OpenSource {
        config: source,
        row: know_source(config, source, &mut catalog)?,
        store: store.as_ref(),
    };
    let mut state = head::catch_up(&open, &mut catalog, &root.public())?;
    state.warn(&source.name, world.observer);
    state.require_known(&open)?;
    if state.replay.head().is_none() {
        return Ok(unopened);
    }
    let keys = Keys::of_root(root)?;
    let now = world.clock.now();
    let writer = Writer {
        config,
        source: &open,
        keys: &keys,
        clock: world.clock,
        // As long as the archives whose entries it stands between.
        retain_until: retain_until(config, source, local_date(now, config.timezone), now),
    };
    loop {
        world.interrupt.check()?;
        let wanted = change.applied_to(state.replay.keys());
        if wanted == state.replay.keys() {
            return Ok(Rotated {
                entry: None,
                keys: wanted,
            });
        }
        let rotate = RotateEntry {
            keys: wanted.iter().map(granted).collect(),
        };
        // Another run's entry may have taken the number, and may be a rotate too.
        if let Some(seq) = writer.append(EntryKind::Rotate(rotate), &mut state, &mut catalog)? {
            return Ok(Rotated {
                entry: Some(seq),
                keys: wanted,
            });
        }
    }
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
