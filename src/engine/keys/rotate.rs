//! Changes who may sign a source's ledger. The root key signs the change. Its secret comes from the recovery
//! kit and is never written to this machine.

use std::collections::{BTreeSet, HashMap};

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::session::Session;
use crate::engine::context::state_dir::Keys;
use crate::engine::ledger::append::Writer;
use crate::engine::ledger::change::change_forked_ledger;
use crate::engine::ledger::listing::lacking;
use crate::engine::ledger::sync::LedgerState;
use crate::engine::rebuild::{Survey, survey_of};
use crate::error::{Error, KeyError};
use crate::ledger::{
    LedgerError, PublicKey, Replay, SigningKey, Warning, decode_body, root_grant, split,
};
use crate::model::ArchiveId;
use crate::model::entry::{EntryKind, FORMAT, KeyGrant, ROTATE_FORMAT, Role, RotateEntry};

/// A requested change of the keys.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// Keys to add, each with all its roles from now on.
    pub add: Vec<(PublicKey, Vec<Role>)>,
    /// Keys to remove.
    pub remove: Vec<PublicKey>,
    /// Numbers of the entries to void: entries that this version does not know, moves, a fork, or archives and
    /// attachments of a key that is being removed.
    pub void: Vec<u64>,
    /// Whether to bring back archives that such a key has retired or has begun to delete.
    pub undelete: bool,
}

/// The result of a key change in one source's ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The number of the rotate entry; `None` if there was nothing to change.
    pub entry: Option<u64>,
    /// All keys after the change, the root key first; empty for a ledger that is not opened yet.
    pub keys: Vec<(PublicKey, Vec<Role>)>,
    /// Keys to remove that the ledger has never had.
    pub never: Vec<PublicKey>,
    /// Archives of voided entries, and those that build on them: this change has retired them.
    pub retired: Vec<ArchiveId>,
    /// Archives that are visible again.
    pub revived: Vec<ArchiveId>,
    /// Archives that do not come back, and why.
    pub lost: Vec<(ArchiveId, String)>,
}

/// Changes the keys of a source's ledger. Writes no entry if nothing would change.
pub fn rotate(
    config: &Config,
    source: &Source,
    change: &KeyChange,
    root: &SigningKey,
    context: RunContext<'_>,
) -> Result<Rotated, Error> {
    let rotated = change_forked_ledger(
        config,
        source,
        Keys::of_root(root)?,
        context,
        |session, state, catalog| {
            if state.replay.head().is_none() {
                return Ok(None);
            }
            let rotation = Rotation {
                session,
                change,
                writer: Writer::between(session),
            };
            rotation.carry_out(state, catalog).map(Some)
        },
    )?;
    Ok(rotated.flatten().unwrap_or_else(|| Rotated {
        never: change.remove.clone(),
        ..Rotated::default()
    }))
}

/// Archives that do not come back, each with the reason.
type Lost = Vec<(ArchiveId, String)>;

/// The entry that makes the change, and the archives that it can't bring back.
struct PlannedRotation {
    /// The lowest format version that can express the change.
    format: u32,
    rotate: RotateEntry,
    lost: Lost,
}

/// A key change in progress.
struct Rotation<'a> {
    session: &'a Session<'a>,
    change: &'a KeyChange,
    writer: Writer<'a>,
}

impl Rotation<'_> {
    fn carry_out(&self, state: &mut LedgerState, catalog: &mut Catalog) -> Result<Rotated, Error> {
        let mut rotated = Rotated {
            never: self.change.never_in(&state.replay),
            ..Rotated::default()
        };
        loop {
            self.session.context.interrupt.check()?;
            rotated.keys = self.change.applied_to(state.replay.keys());
            let PlannedRotation {
                format,
                rotate,
                lost,
            } = self.wanted(&rotated.keys, state, catalog)?;
            let changes = rotated.keys != state.replay.keys() || rotate.does_more();
            rotated.lost = lost;
            if !changes {
                break;
            }
            // Another run's entry may have taken the number, and may be a rotate too.
            rotated.entry = self.writer.rotate(format, &rotate, state, catalog)?;
            if rotated.entry.is_some() {
                rotated.retired = rotate.retires;
                rotated.revived = rotate.revives;
                break;
            }
        }
        if self.change.undelete {
            self.retire_what_is_short(&mut rotated, state, catalog)?;
        }
        Ok(rotated)
    }

    /// Returns the entry to write.
    fn wanted(
        &self,
        keys: &[(PublicKey, Vec<Role>)],
        state: &mut LedgerState,
        catalog: &Catalog,
    ) -> Result<PlannedRotation, Error> {
        let unknown: Vec<u64> = state.replay.unknown().iter().map(Warning::seq).collect();
        let is_voided = |seq: &u64| self.change.void.contains(seq);
        if !unknown.iter().all(is_voided) {
            state.require_known(&self.session.source)?;
        }
        let moved_to = state.replay.moved_to_without(&self.change.void);
        state.require_home_at(moved_to, &self.session.source)?;
        if !state.replay.forked().iter().all(is_voided) {
            state.require_no_fork(&self.session.source)?;
        }
        let stay: Vec<PublicKey> = keys.iter().map(|(key, _)| key.clone()).collect();
        let mut moving = self.change.void.clone();
        moving.retain(|seq| state.replay.is_moving(*seq));
        let unknown_voided = unknown.iter().filter(|seq| is_voided(seq));
        let mut voids: BTreeSet<u64> = unknown_voided.chain(&moving).copied().collect();
        let in_format_1 = voids.len();
        voids.extend(state.replay.forked());
        let mut archived = Vec::new();
        for entry in catalog.entries(&self.session.source.row.ledger)? {
            let seq = entry.seq;
            if !is_voided(&seq) || unknown.contains(&seq) || moving.contains(&seq) {
                continue;
            }
            let (body, _) = split(&entry.object).map_err(LedgerError::from)?;
            let kind = decode_body(body).map_err(LedgerError::from)?.kind;
            let stays = state.replay.signer(seq).filter(|by| stay.contains(by));
            match (kind, stays) {
                (EntryKind::Archive(_) | EntryKind::Attach(_), Some(key)) => {
                    let key = key.to_string();
                    return Err(KeyError::VoidsKept { seq, key }.into());
                }
                (EntryKind::Archive(archive), None) => archived.push(archive.id),
                (EntryKind::Attach(_), None) if state.replay.is_attaching(seq) => {
                    voids.insert(seq);
                }
                // It was voided before, or an earlier version here did not know it.
                (
                    EntryKind::Attach(_) | EntryKind::Moved(_) | EntryKind::Unknown(_),
                    None | Some(_),
                ) => {}
                (kind, _) => {
                    let kind = kind.name().to_owned();
                    return Err(KeyError::NotVoidable { seq, kind }.into());
                }
            }
        }
        let retires = state.replay.with_what_builds_on(&archived);
        let (revives, lost) = if self.change.undelete {
            self.to_bring_back(&stay, state, catalog)?
        } else {
            (Vec::new(), Vec::new())
        };
        let needs_more = voids.len() > in_format_1 || !retires.is_empty() || !revives.is_empty();
        let rotate = RotateEntry {
            keys: keys.iter().map(granted).collect(),
            voids: voids.into_iter().collect(),
            retires,
            revives,
        };
        let format = if needs_more { ROTATE_FORMAT } else { FORMAT };
        Ok(PlannedRotation {
            format,
            rotate,
            lost,
        })
    }

    /// Returns the archives that a removed key has retired or deleted and whose objects are all listed, and
    /// the reason why the others can't come back.
    fn to_bring_back(
        &self,
        stay: &[PublicKey],
        state: &LedgerState,
        catalog: &Catalog,
    ) -> Result<(Vec<ArchiveId>, Lost), Error> {
        let replay = &state.replay;
        let rows = catalog.archives(&self.session.source.row.ledger)?;
        let taken = rows.iter().map(|row| row.id);
        let mut taken: Vec<ArchiveId> = taken
            .filter(|id| replay.was_taken_by_other_than(id, stay))
            .collect();
        // A parent comes before the archives that build on it, because its date is earlier.
        taken.sort_unstable();
        let survey = survey_of(
            self.session.source.store.as_ref(),
            &self.session.source.row.directory,
        )?;
        let (mut back, mut lost) = (BTreeSet::new(), Vec::new());
        for id in taken {
            let why = if let Some(wrong) = self.first_lacking(&id, &survey, catalog)? {
                wrong
            } else if let Some(parent) = replay.send_parent(&id)
                && !back.contains(&parent)
                && !replay.is_visible(&parent)
            {
                format!("it builds on {parent}, which does not come back")
            } else if let Some(other) = replay.on(id.date) {
                format!("{other} has its date now")
            } else if let Some(other) = back.iter().find(|other: &&ArchiveId| other.date == id.date)
            {
                format!("{other} has the same date, and comes back instead")
            } else {
                back.insert(id);
                continue;
            };
            lost.push((id, why));
        }
        Ok((back.into_iter().collect(), lost))
    }

    /// Returns the first object of an archive that is missing or different in a listing.
    fn first_lacking(
        &self,
        id: &ArchiveId,
        survey: &Survey,
        catalog: &Catalog,
    ) -> Result<Option<String>, Error> {
        let nothing = HashMap::new();
        let listed = survey.archives.get(id).unwrap_or(&nothing);
        let wrong = lacking(&self.session.source, id, &catalog.segments(id)?, listed)?;
        Ok(wrong.into_iter().next())
    }

    /// Retires the archives again that a pruner left incomplete: it may have continued to delete until its
    /// key was removed.
    fn retire_what_is_short(
        &self,
        rotated: &mut Rotated,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        loop {
            self.session.context.interrupt.check()?;
            let survey = survey_of(
                self.session.source.store.as_ref(),
                &self.session.source.row.directory,
            )?;
            let mut short = Vec::new();
            let mut lost = Vec::new();
            for row in catalog.archives(&self.session.source.row.ledger)? {
                if state.replay.was_brought_back(&row.id)
                    && let Some(wrong) = self.first_lacking(&row.id, &survey, catalog)?
                {
                    short.push(row.id);
                    lost.push((
                        row.id,
                        format!("a part of it was deleted meanwhile: {wrong}"),
                    ));
                }
            }
            let retires = state.replay.with_what_builds_on(&short);
            if retires.is_empty() {
                return Ok(());
            }
            let rotate = RotateEntry {
                keys: state.replay.keys().iter().map(granted).collect(),
                voids: Vec::new(),
                retires,
                revives: Vec::new(),
            };
            let entry = self.writer.rotate(ROTATE_FORMAT, &rotate, state, catalog)?;
            if entry.is_some() {
                rotated.entry = entry;
                rotated.revived.retain(|id| !rotate.retires.contains(id));
                let on_short = rotate.retires.iter().filter(|id| !short.contains(id));
                lost.extend(
                    on_short.map(|id| (*id, "a part of what it builds on was deleted".to_owned())),
                );
                rotated.lost.extend(lost);
                return Ok(());
            }
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
    /// Returns the keys to remove that the ledger has never had.
    fn never_in(&self, ledger: &Replay) -> Vec<PublicKey> {
        let had =
            |key: &&PublicKey| ledger.withdrawn().contains(key) || !ledger.roles_of(key).is_empty();
        self.remove
            .iter()
            .filter(|key| !had(key))
            .cloned()
            .collect()
    }

    /// Returns the keys after the change. The root key does not change.
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
            ..KeyChange::default()
        };
        let after = [
            (root, vec![Role::Root]),
            (pruner, vec![Role::Pruner]),
            (new, vec![Role::Pruner, Role::Writer]),
        ];
        assert_eq!(change.applied_to(&before), after);
        // The same change again has no effect.
        assert_eq!(change.applied_to(&after), after);
    }
}
