//! Brings a mirror up to date: what it lacks is sent, oldest first, each on what it descends from.

use crate::btrfs::{self, Sender};
use crate::catalog::{Catalog, MirrorRow, MirroredRow};
use crate::config::{Config, MirrorConfig};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::mirror::asked::{MirrorAsked, MirrorForeseen, MirrorRan, SentSnapshot};
use crate::engine::mirror::end::{CopyParent, MirrorCopy, MirrorEnd, WantedCopy};
use crate::engine::mirror::here::Sendable;
use crate::engine::mirror::open::open_mirror;
use crate::engine::mirror::stream_blocks::StreamReader;
use crate::engine::mirror::survey::{MirrorRun, choose_parent};
use crate::error::{Error, MirrorError, in_words};
use crate::model::Uuid;
use crate::model::entry::Timestamp;
use crate::progress::Event;

/// Sends a mirror what it lacks, and lets it delete what it no longer keeps.
pub fn mirror(
    config: &Config,
    mirror: &MirrorConfig,
    asked: &MirrorAsked,
    context: RunContext<'_>,
) -> Result<MirrorRan, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let _lock = state_dir.lock_mirror(&mirror.name, &mirror.to, &context)?;
    let mut catalog = context.catalog(&state_dir)?;
    let mut end = open_mirror(config, mirror, asked.confirmed, context)?;
    let mut run = MirrorRun::look(config, mirror, asked, end.as_mut(), &catalog, context)?;
    let _awake = (!run.plan.send.is_empty())
        .then(|| context.keep_awake("coldchain is sending a snapshot to a mirror"));
    run.tell(&mut catalog)?;
    run.carry_out(end.as_mut(), &mut catalog)
}

/// Returns what a run would send to a mirror.
pub fn foresee_mirror(
    config: &Config,
    mirror: &MirrorConfig,
    asked: &MirrorAsked,
    context: RunContext<'_>,
) -> Result<MirrorForeseen, Error> {
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let mut end = open_mirror(config, mirror, None, context)?;
    let run = MirrorRun::look(config, mirror, asked, end.as_mut(), &catalog, context)?;
    let mut common = run.common();
    let mut send = Vec::new();
    for snapshot in run.to_send() {
        let parent = choose_parent(snapshot, &common)?;
        send.push(SentSnapshot {
            name: snapshot.name(),
            parent: parent.map(Sendable::name),
            bytes: btrfs::estimate(&run.tools, &run.request(snapshot, parent)).ok(),
        });
        common.push(snapshot);
    }
    Ok(MirrorForeseen {
        send,
        free_bytes: run.standing.free_bytes,
        newest: run.newest_copy(),
        remarks: run
            .remarks()?
            .into_iter()
            .map(|(_, it)| it)
            .filter(|it| !it.is_empty())
            .collect(),
    })
}

impl MirrorRun<'_> {
    fn carry_out(
        &mut self,
        end: &mut dyn MirrorEnd,
        catalog: &mut Catalog,
    ) -> Result<MirrorRan, Error> {
        let Some(row) = self.know(end, catalog)? else {
            return Ok(MirrorRan::default());
        };
        let mut ran = MirrorRan::default();
        let mut failed = None;
        let mut common = self.common();
        for snapshot in self.to_send() {
            self.context.interrupt.check()?;
            match self.send(snapshot, &common, row.id, end, catalog) {
                Ok(sent) => {
                    common.push(snapshot);
                    ran.sent.push(sent);
                }
                // A later one may be free of what stands in its way.
                Err(error) if is_of_snapshot(&error) => {
                    self.warn(format!(
                        "the snapshot {} can't be sent to the mirror {}: {}",
                        snapshot.name(),
                        self.mirror.to,
                        in_words(&error)
                    ));
                    failed = Some(error);
                }
                Err(error) => {
                    catalog.mirror_sends(row.id, None)?;
                    return Err(error);
                }
            }
        }
        catalog.mirror_sends(row.id, None)?;
        let spare: Vec<Uuid> = common
            .last()
            .iter()
            .map(|it| it.snapshot.stream_uuid)
            .collect();
        let pruned = end.prune(&spare)?;
        for warning in pruned.warnings {
            self.warn(format!("the mirror {}: {warning}", self.mirror.to));
        }
        for (name, reason) in pruned.deleted {
            let copy = self.standing.copies.iter().find(|copy| copy.name == name);
            if let Some(copy) = copy {
                catalog.forget_mirrored(row.id, copy.stream_uuid)?;
            }
            self.context.observer.event(Event::MirrorDeleted {
                source: self.mirror.name.clone(),
                to: self.mirror.to.to_string(),
                name,
                reason,
            });
            ran.deleted.push(name);
        }
        ran.newest = common
            .last()
            .map(|it| it.name())
            .or_else(|| self.newest_copy());
        if let Some(error) = failed {
            return Err(error);
        }
        catalog.mirror_reached(row.id, self.now())?;
        Ok(ran)
    }

    /// Records the mirror at its first use, for which its directory is made; `None` if there is nothing to use it for.
    fn know(
        &self,
        end: &mut dyn MirrorEnd,
        catalog: &mut Catalog,
    ) -> Result<Option<MirrorRow>, Error> {
        if let Some(row) = self.row.as_ref().filter(|row| row.mark.is_some()) {
            for gone in &self.recorded {
                let is_it = |copy: &MirrorCopy| copy.uuid == gone.there_uuid;
                if !self.standing.copies.iter().any(is_it) {
                    catalog.forget_mirrored(row.id, gone.stream_uuid)?;
                }
            }
            return Ok(Some(row.clone()));
        }
        let mark = match self.standing.mark {
            Some(mark) => mark,
            None if self.plan.send.is_empty() => return Ok(None),
            None => {
                // A first full that finds no room leaves no directory behind.
                if let Some(first) = self.to_send().next() {
                    self.require_room(first, &[])?;
                }
                end.make()?
            }
        };
        let filesystem = self.standing.filesystem;
        let row = catalog.know_mirror(&self.mirror.name, &self.mirror.to, mark, filesystem)?;
        for snapshot in self.common() {
            let uuid = snapshot.snapshot.stream_uuid;
            if let Some(copy) = self
                .standing
                .copies
                .iter()
                .find(|it| it.stream_uuid == uuid)
            {
                let identity = snapshot.as_it_stands()?;
                self.record(
                    row.id,
                    copy,
                    identity.uuid,
                    identity.ctransid,
                    None,
                    catalog,
                )?;
            }
        }
        Ok(Some(row))
    }

    fn record(
        &self,
        mirror: i64,
        copy: &MirrorCopy,
        here_uuid: Uuid,
        here_ctransid: u64,
        built_on: Option<Uuid>,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let row = MirroredRow {
            name: copy.name,
            stream_uuid: copy.stream_uuid,
            here_uuid,
            here_ctransid,
            there_uuid: copy.uuid,
            there_ctransid: copy.ctransid,
            built_on,
            mirrored_at: self.now(),
        };
        Ok(catalog.add_mirrored(mirror, &row)?)
    }

    /// Sends a snapshot on the newest common one that it descends from, and records the copy.
    fn send(
        &self,
        snapshot: &Sendable,
        common: &[&Sendable],
        mirror: i64,
        end: &mut dyn MirrorEnd,
        catalog: &mut Catalog,
    ) -> Result<SentSnapshot, Error> {
        let parent = choose_parent(snapshot, common)?;
        let expected = self.require_room(snapshot, common)?;
        let sent = snapshot.as_it_stands()?;
        catalog.mirror_sends(mirror, Some(sent.uuid))?;
        let against = match parent {
            Some(parent) => Some(self.copy_of(parent, mirror, catalog)?),
            None => None,
        };
        let wanted = WantedCopy {
            name: snapshot.name(),
            stream_uuid: sent.stream_uuid(),
            ctransid: sent.ctransid,
            parent: against,
        };
        self.context.observer.event(Event::MirrorBegun {
            source: self.mirror.name.clone(),
            to: self.mirror.to.to_string(),
            name: snapshot.name(),
            parent: parent.map(Sendable::name),
            expected,
        });
        let mut bytes = 0;
        let sender = Sender::spawn(&self.tools, &self.request(snapshot, parent))?;
        let copy = {
            let reader = StreamReader {
                source: &self.mirror.name,
                sent: snapshot.path.display().to_string(),
                limit: self.asked.limit.as_ref(),
                context: self.context,
            };
            let mut blocks = reader.blocks(Box::new(sender), &mut bytes);
            end.receive(&wanted, &mut blocks)?
        };
        let built_on = wanted.parent.map(|parent| parent.stream_uuid);
        self.record(mirror, &copy, sent.uuid, sent.ctransid, built_on, catalog)?;
        self.context.observer.event(Event::Mirrored {
            source: self.mirror.name.clone(),
            to: self.mirror.to.to_string(),
            name: snapshot.name(),
            raw_bytes: bytes,
        });
        Ok(SentSnapshot {
            name: snapshot.name(),
            parent: parent.map(Sendable::name),
            bytes: Some(bytes),
        })
    }

    /// Returns the copy of a common snapshot, as its stream has to name it.
    fn copy_of(
        &self,
        parent: &Sendable,
        mirror: i64,
        catalog: &Catalog,
    ) -> Result<CopyParent, Error> {
        let stream_uuid = parent.snapshot.stream_uuid;
        // Somebody may have made a snapshot of the copy: that one has its stream uuid too.
        let is_it = |it: &&MirrorCopy| it.is_intact && it.stream_uuid == stream_uuid;
        let there = self.standing.copies.iter().filter(is_it).min_by_key(|it| {
            let is_recorded = self.recorded.iter().any(|row| row.there_uuid == it.uuid);
            (!is_recorded, it.name != parent.name())
        });
        let uuid = match there {
            Some(copy) => Some(copy.uuid),
            // This run has sent it.
            None => catalog
                .mirrored(mirror)?
                .into_iter()
                .find(|it| it.stream_uuid == stream_uuid)
                .map(|it| it.there_uuid),
        };
        let uuid = uuid.ok_or_else(|| {
            Error::Mirror(MirrorError::ParentGone {
                source_name: self.mirror.name.clone(),
                name: parent.name(),
            })
        })?;
        Ok(CopyParent {
            uuid,
            stream_uuid,
            ctransid: parent.as_it_stands()?.ctransid,
        })
    }

    /// Refuses a full stream for which the mirror has no room. Returns about how many bytes the stream will have, if
    /// that is known.
    fn require_room(
        &self,
        snapshot: &Sendable,
        common: &[&Sendable],
    ) -> Result<Option<u64>, Error> {
        let parent = choose_parent(snapshot, common)?;
        let is_asked_for = parent.is_none() || self.context.observer.wants_estimate();
        if !is_asked_for {
            return Ok(None);
        }
        let estimate = || btrfs::estimate(&self.tools, &self.request(snapshot, parent));
        if parent.is_some() {
            return Ok(estimate().ok());
        }
        let needed = match self.first_full.get() {
            Some((name, bytes)) if *name == snapshot.name() => *bytes,
            _ => estimate()?,
        };
        let _ = self.first_full.set((snapshot.name(), needed));
        if needed > self.standing.free_bytes && !self.asked.ignore_room {
            return Err(Error::Mirror(MirrorError::NoRoom {
                to: Box::new(self.mirror.to.clone()),
                name: snapshot.name(),
                needed,
                free: self.standing.free_bytes,
            }));
        }
        Ok(Some(needed))
    }

    fn warn(&self, message: String) {
        self.context.observer.event(Event::Warning {
            source: self.mirror.name.clone(),
            message,
        });
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.context.clock.now())
    }
}

/// Returns whether what failed is in the snapshot, so that another one may be sent.
fn is_of_snapshot(error: &Error) -> bool {
    matches!(error, Error::Btrfs(btrfs::BtrfsError::Unsendable { .. }))
}
