//! Looks at both sides of a mirror before a run: what it has, what it lacks, and what a user should know of it.

use std::cell::OnceCell;

use chrono::{DateTime, FixedOffset};

use crate::btrfs::{self, SendRequest, Tools};
use crate::catalog::{Catalog, MirrorRow, MirroredRow};
use crate::config::{Config, MirrorConfig};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::mirror::asked::MirrorAsked;
use crate::engine::mirror::end::{MirrorCopy, MirrorEnd, MirrorStanding, RecordedCopy};
use crate::engine::mirror::here::{self, Sendable};
use crate::error::{Error, MirrorError};
use crate::model::{Protocol, SnapshotName, Uuid};
use crate::plan::{CopyThere, KeepRun, KeepSnapshots, MirrorPlan, plan_mirror};

/// A run on one mirror, after it has looked at both sides.
pub(in crate::engine) struct MirrorRun<'a> {
    pub(in crate::engine) config: &'a Config,
    pub(in crate::engine) mirror: &'a MirrorConfig,
    pub(in crate::engine) asked: &'a MirrorAsked,
    pub(in crate::engine) context: RunContext<'a>,
    pub(in crate::engine) tools: Tools,
    pub(in crate::engine) row: Option<MirrorRow>,
    pub(in crate::engine) recorded: Vec<MirroredRow>,
    pub(in crate::engine) standing: MirrorStanding,
    here: Vec<Sendable>,
    pub(in crate::engine) plan: MirrorPlan,
    /// The snapshot that is sent in full first, and the size of its stream, once that was asked for: it takes a walk
    /// over all of the snapshot.
    pub(in crate::engine) first_full: OnceCell<(SnapshotName, u64)>,
}

impl<'a> MirrorRun<'a> {
    pub(in crate::engine) fn look(
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
            first_full: OnceCell::new(),
        };
        run.require_known()?;
        Ok(run)
    }

    /// Refuses a directory that is not the one that was used before, or that has another source's snapshots.
    fn require_known(&self) -> Result<(), Error> {
        if let Some(what) = self
            .row
            .as_ref()
            .and_then(|row| what_else(row, &self.standing))
        {
            return Err(not_there(self.mirror, what));
        }
        let is_known = self.row.as_ref().is_some_and(|row| row.mark.is_some());
        let is_of_another = !is_known
            && self.standing.mark.is_some()
            && self.plan.common.is_empty()
            && !self.standing.copies.is_empty()
            && !self.asked.forget_mark;
        if is_of_another {
            return Err(Error::Mirror(MirrorError::OfAnotherSource {
                source_name: self.mirror.name.clone(),
                to: Box::new(self.mirror.to.clone()),
            }));
        }
        Ok(())
    }

    fn find(&self, stream_uuid: Uuid) -> Option<&Sendable> {
        self.here
            .iter()
            .find(|it| it.snapshot.stream_uuid == stream_uuid)
    }

    /// The snapshots that both sides have, oldest first.
    pub(in crate::engine) fn common(&self) -> Vec<&Sendable> {
        self.plan
            .common
            .iter()
            .filter_map(|uuid| self.find(*uuid))
            .collect()
    }

    pub(in crate::engine) fn to_send(&self) -> impl Iterator<Item = &Sendable> {
        self.plan
            .send
            .iter()
            .filter_map(|it| self.find(it.stream_uuid))
    }

    pub(in crate::engine) fn newest_copy(&self) -> Option<SnapshotName> {
        let at = |copy: &&MirrorCopy| (moment(copy.name, self.config), copy.name);
        self.standing
            .copies
            .iter()
            .max_by_key(at)
            .map(|copy| copy.name)
    }

    pub(in crate::engine) fn request(
        &self,
        snapshot: &Sendable,
        parent: Option<&Sendable>,
    ) -> SendRequest {
        SendRequest {
            snapshot: snapshot.path.clone(),
            send_parent: parent.map(|parent| parent.path.clone()),
            protocol: Protocol::V1,
            by: self.config.sender,
        }
    }

    /// Returns what a user should know of the two sides, each with its subject. An empty one ends the matter.
    pub(in crate::engine) fn remarks(&self) -> Result<Vec<(String, String)>, Error> {
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
        let sends_full = self.plan.common.is_empty() && !self.plan.send.is_empty();
        remark(
            "no common snapshot",
            sends_full && !self.standing.copies.is_empty(),
            format!(
                "no snapshot here is one of the copies at the mirror {to}, so the next one is sent in full; if you have \
                 restored the source from a copy, run `coldchain adopt` first"
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
    pub(in crate::engine) fn tell(&self, catalog: &mut Catalog) -> Result<(), Error> {
        for (subject, message) in self.remarks()? {
            self.context
                .warn_once(&self.mirror.name, &subject, &message, catalog)?;
        }
        Ok(())
    }
}

/// Returns what is in the place of a mirror that was used before; `None` if it is that mirror.
pub(in crate::engine) fn what_else(
    row: &MirrorRow,
    standing: &MirrorStanding,
) -> Option<&'static str> {
    match (row.mark, standing.mark) {
        (Some(_), None) => Some("the directory there does not have this mirror's mark"),
        (Some(mark), Some(found)) if mark != found => {
            Some("the directory there has the mark of another mirror")
        }
        (Some(_), Some(_)) if row.filesystem.is_some_and(|it| it != standing.filesystem) => {
            Some("the directory there is on another filesystem")
        }
        _ => None,
    }
}

/// Returns the error of a mirror in whose place there is something else.
pub(in crate::engine) fn not_there(mirror: &MirrorConfig, what: &str) -> Error {
    Error::Mirror(MirrorError::NotThere {
        to: Box::new(mirror.to.clone()),
        what: what.to_owned(),
    })
}

/// Returns the newest common snapshot that this one descends from.
pub(in crate::engine) fn choose_parent<'s>(
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
