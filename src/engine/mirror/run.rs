//! Brings a mirror up to date: what it lacks is sent, oldest first, each on what it descends from.

use std::io::Read as _;
use std::iter;

use chrono::{DateTime, FixedOffset};

use crate::btrfs::{self, SendRequest, Sender, Tools};
use crate::catalog::{Catalog, MirrorRow, MirroredRow};
use crate::config::{Config, MirrorConfig};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::state_dir::StateDir;
use crate::engine::mirror::end::{
    Blocks, CopyParent, MirrorCopy, MirrorEnd, MirrorStanding, RecordedCopy, WantedCopy,
};
use crate::engine::mirror::here::{self, Sendable};
use crate::engine::mirror::open::open_mirror;
use crate::error::{Error, MirrorError, in_words};
use crate::model::entry::Timestamp;
use crate::model::{Protocol, SnapshotName, Uuid};
use crate::plan::{CopyThere, KeepRun, KeepSnapshots, MirrorPlan, plan_mirror};
use crate::process::SleepInhibitor;
use crate::progress::{Event, PROGRESS_STEP};
use crate::store::RateLimit;

/// Bytes that are read of a stream at a time.
const BLOCK: usize = 256 << 10;

/// How a mirror is to be brought up to date.
#[derive(Debug, Clone, Default)]
pub struct MirrorAsked {
    /// Whether a full stream is sent that is larger than the free space there.
    pub ignore_room: bool,
    /// Whether the mark that is there now is taken for the mirror's.
    pub forget_mark: bool,
    /// How many deletions the user has confirmed, if that was asked of them.
    pub confirmed: Option<usize>,
    /// The most bytes a second.
    pub limit: Option<RateLimit>,
}

/// What a run did to a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorRan {
    /// The snapshots that it sent, oldest first.
    pub sent: Vec<SentSnapshot>,
    /// The copies that the mirror deleted.
    pub deleted: Vec<SnapshotName>,
    /// The newest copy there now.
    pub newest: Option<SnapshotName>,
}

/// A snapshot that was sent, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// What it is sent against; `None` for a full stream.
    pub parent: Option<SnapshotName>,
    /// Bytes of its stream; in a plan about how many, or `None`.
    pub bytes: Option<u64>,
}

/// What a run would do to a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorForeseen {
    /// What it would send, oldest first.
    pub send: Vec<SentSnapshot>,
    /// Free bytes there.
    pub free_bytes: u64,
    /// The newest copy there.
    pub newest: Option<SnapshotName>,
    /// What stands in the way of some, in words.
    pub remarks: Vec<String>,
}

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
        .then(|| SleepInhibitor::hold("coldchain is sending a snapshot to a mirror"));
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

/// A run on one mirror, after it has looked at both sides.
struct MirrorRun<'a> {
    config: &'a Config,
    mirror: &'a MirrorConfig,
    asked: &'a MirrorAsked,
    context: RunContext<'a>,
    tools: Tools,
    row: Option<MirrorRow>,
    recorded: Vec<MirroredRow>,
    standing: MirrorStanding,
    here: Vec<Sendable>,
    plan: MirrorPlan,
}

impl<'a> MirrorRun<'a> {
    fn look(
        config: &'a Config,
        mirror: &'a MirrorConfig,
        asked: &'a MirrorAsked,
        end: &mut dyn MirrorEnd,
        catalog: &Catalog,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        let mut row = catalog.mirror(&mirror.name, &mirror.to)?;
        if asked.forget_mark {
            row = row.map(|row| MirrorRow {
                mark: None,
                filesystem: None,
                ..row
            });
        }
        let recorded = match &row {
            Some(row) if row.mark.is_some() => catalog.mirrored(row.id)?,
            _ => Vec::new(),
        };
        let known: Vec<RecordedCopy> = recorded
            .iter()
            .map(|it| RecordedCopy {
                uuid: it.there_uuid,
                ctransid: it.there_ctransid,
            })
            .collect();
        let standing = end.standing(&known)?;
        let here = here::sendable(config, mirror, catalog)?;
        let snapshots: Vec<_> = here.iter().map(|it| it.snapshot.clone()).collect();
        let there: Vec<CopyThere> = standing
            .copies
            .iter()
            .map(|it| as_there(it, config))
            .collect();
        let now = context.clock.now();
        let run = KeepRun {
            date: local_date(now, config.timezone),
            now: now.with_timezone(&config.timezone).fixed_offset(),
            confirmed: true,
        };
        let keep = keep_there(&standing).unwrap_or(mirror.keep);
        let plan = plan_mirror(&snapshots, &there, &standing.taken, keep, run);
        let run = Self {
            config,
            mirror,
            asked,
            context,
            tools: Tools::find()?,
            row,
            recorded,
            standing,
            here,
            plan,
        };
        run.require_known()?;
        Ok(run)
    }

    /// Refuses a directory that is not the one that was used before, or that has another source's snapshots.
    fn require_known(&self) -> Result<(), Error> {
        let not_there = |what: &str| {
            Err(Error::Mirror(MirrorError::NotThere {
                to: self.mirror.to.clone(),
                what: what.to_owned(),
            }))
        };
        let (recorded, found) = match &self.row {
            Some(row) => ((row.mark, row.filesystem), self.standing.mark),
            None => ((None, None), self.standing.mark),
        };
        match (recorded, found) {
            ((Some(_), _), None) => {
                not_there("the directory there does not have this mirror's mark")
            }
            ((Some(mark), _), Some(found)) if mark != found => {
                not_there("the directory there has the mark of another mirror")
            }
            ((Some(_), Some(filesystem)), Some(_)) if filesystem != self.standing.filesystem => {
                not_there("the directory there is on another filesystem")
            }
            ((None, _), Some(_))
                if self.plan.common.is_empty() && !self.standing.copies.is_empty() =>
            {
                Err(Error::Mirror(MirrorError::OfAnotherSource {
                    source_name: self.mirror.name.clone(),
                    to: self.mirror.to.clone(),
                }))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, stream_uuid: Uuid) -> Option<&Sendable> {
        self.here
            .iter()
            .find(|it| it.snapshot.stream_uuid == stream_uuid)
    }

    /// The snapshots that both sides have, oldest first.
    fn common(&self) -> Vec<&Sendable> {
        self.plan
            .common
            .iter()
            .filter_map(|uuid| self.find(*uuid))
            .collect()
    }

    fn to_send(&self) -> impl Iterator<Item = &Sendable> {
        self.plan
            .send
            .iter()
            .filter_map(|it| self.find(it.stream_uuid))
    }

    fn newest_copy(&self) -> Option<SnapshotName> {
        let at = |copy: &&MirrorCopy| (moment(copy.name, self.config), copy.name);
        self.standing
            .copies
            .iter()
            .max_by_key(at)
            .map(|copy| copy.name)
    }

    fn request(&self, snapshot: &Sendable, parent: Option<&Sendable>) -> SendRequest {
        SendRequest {
            snapshot: snapshot.path.clone(),
            send_parent: parent.map(|parent| parent.path.clone()),
            protocol: Protocol::V1,
            by: self.config.sender,
        }
    }

    /// Returns what a user should know of the two sides, each with its subject. An empty one ends the matter.
    fn remarks(&self) -> Result<Vec<(String, String)>, Error> {
        let to = &self.mirror.to;
        let names = |names: &[SnapshotName]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            names.join(", ")
        };
        let mut remarks = Vec::new();
        let live = here::source_of(self.config, self.mirror)?.and_then(|it| it.live.as_ref());
        let is_own = !to.is_remote()
            && live.is_some_and(|live| {
                btrfs::filesystem_id(&live.subvolume).ok() == Some(self.standing.filesystem)
            });
        let mut remark = |subject: &str, is_so: bool, text: String| {
            let text = if is_so { text } else { String::new() };
            remarks.push((format!("mirror {to}: {subject}"), text));
        };
        remark(
            "its filesystem",
            is_own,
            format!(
                "the mirror {to} is on the filesystem of the source: it helps against a mistake, and not if that disk breaks"
            ),
        );
        let changed = &self.plan.changed;
        remark(
            "changed copies",
            !changed.is_empty(),
            format!(
                "copies at the mirror {to} were changed, so nothing is sent against them: {}",
                names(changed)
            ),
        );
        let taken = &self.plan.name_taken;
        remark(
            "names that are taken",
            !taken.is_empty(),
            format!(
                "the mirror {to} has something else under the names of these snapshots, so they are not sent: {}; rename or \
             delete that",
                names(taken)
            ),
        );
        let own = self.standing.keep.as_deref();
        let wanted = self.mirror.keep.to_string();
        let differs = own != Some(wanted.as_str());
        remark(
            "what it keeps",
            differs,
            match own {
                Some(own) => {
                    format!("the mirror {to} keeps its copies by its own rule, keep = \"{own}\"")
                }
                None => format!(
                    "the mirror {to} deletes no copies: start its `mirror-server` with --keep to change that"
                ),
            },
        );
        Ok(remarks)
    }

    /// Warns of what a user should know, once.
    fn tell(&self, catalog: &mut Catalog) -> Result<(), Error> {
        for (subject, message) in self.remarks()? {
            self.context
                .warn_once(&self.mirror.name, &subject, &message, catalog)?;
        }
        Ok(())
    }

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
        match failed {
            Some(error) => Err(error),
            None => {
                catalog.mirror_reached(row.id, self.now())?;
                Ok(ran)
            }
        }
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
            let mut blocks = self.blocks(sender, &mut bytes);
            end.receive(&wanted, &mut *blocks)?
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
        let estimate = btrfs::estimate(&self.tools, &self.request(snapshot, parent));
        if parent.is_some() {
            return Ok(estimate.ok());
        }
        let needed = estimate?;
        if needed > self.standing.free_bytes && !self.asked.ignore_room {
            return Err(Error::Mirror(MirrorError::NoRoom {
                to: self.mirror.to.clone(),
                name: snapshot.name(),
                needed,
                free: self.standing.free_bytes,
            }));
        }
        Ok(Some(needed))
    }

    /// Returns the stream in blocks: its progress is told, and its rate is limited. It ends well only if the sender
    /// does.
    fn blocks<'s>(&'s self, sender: Sender, bytes: &'s mut u64) -> Box<Blocks<'s>> {
        let (mut sender, mut told) = (Some(sender), 0);
        Box::new(iter::from_fn(move || {
            let stream = sender.as_mut()?;
            if let Err(error) = self.context.interrupt.check() {
                return Some(Err(error));
            }
            let mut block = vec![0; BLOCK];
            let read = loop {
                match stream.read(&mut block) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            match read {
                Ok(0) => sender.take()?.finish().err().map(|error| Err(error.into())),
                Ok(length) => {
                    block.truncate(length);
                    *bytes += length as u64;
                    if *bytes - told >= PROGRESS_STEP {
                        told = *bytes;
                        self.context.observer.event(Event::Progress {
                            source: self.mirror.name.clone(),
                            raw_bytes: *bytes,
                        });
                    }
                    if let Some(limit) = &self.asked.limit
                        && let Err(error) = self.context.interrupt.pause(limit.after(length))
                    {
                        return Some(Err(error));
                    }
                    Some(Ok(block))
                }
                Err(source) => Some(Err(Error::file(
                    "read the send stream of",
                    &self.mirror_path(),
                    source,
                ))),
            }
        }))
    }

    fn mirror_path(&self) -> std::path::PathBuf {
        self.here
            .first()
            .map(|it| it.path.clone())
            .unwrap_or_default()
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

/// Returns the newest common snapshot that this one descends from.
fn choose_parent<'s>(
    snapshot: &Sendable,
    common: &[&'s Sendable],
) -> Result<Option<&'s Sendable>, Error> {
    for parent in common.iter().rev() {
        if snapshot.builds_on(parent)? {
            return Ok(Some(parent));
        }
    }
    Ok(None)
}

/// Returns whether what failed is in the snapshot, so that another one may be sent.
fn is_of_snapshot(error: &Error) -> bool {
    matches!(error, Error::Btrfs(btrfs::BtrfsError::Unsendable { .. }))
}

/// Returns which copies the mirror says that it keeps.
fn keep_there(standing: &MirrorStanding) -> Option<KeepSnapshots> {
    standing.keep.as_deref().and_then(KeepSnapshots::parse)
}

fn as_there(copy: &MirrorCopy, config: &Config) -> CopyThere {
    CopyThere {
        name: copy.name,
        at: moment(copy.name, config),
        stream_uuid: copy.stream_uuid,
        is_intact: copy.is_intact,
    }
}

fn moment(name: SnapshotName, config: &Config) -> DateTime<FixedOffset> {
    name.moment(&config.timezone).fixed_offset()
}
