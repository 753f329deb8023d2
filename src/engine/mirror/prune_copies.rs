//! Deletes the copies that a mirror no longer keeps.

use std::ffi::{OsStr, OsString};

use crate::engine::context::clock::local_date;
use crate::engine::mirror::directory::MirrorDirectory;
use crate::engine::mirror::end::{MirrorCopy, PrunedCopies};
use crate::engine::receive::mark::PublishedCopy;
use crate::engine::receive::place::ReceivePlace;
use crate::error::{Error, in_words};
use crate::model::Uuid;
use crate::plan::{KeepRun, LocalSnapshot, Pin, SnapshotPlan, Withheld, plan_snapshots};

/// A copy, with its subvolume id.
struct Candidate {
    subvolume_id: Option<u64>,
    local: LocalSnapshot,
}

impl MirrorDirectory<'_> {
    /// Deletes the copies that the mirror's rule no longer keeps. Only those that its mark names are ever deleted, and
    /// none of `spare`, which are stream uuids.
    pub(super) fn delete_expired(&mut self, spare: &[Uuid]) -> Result<PrunedCopies, Error> {
        let mut pruned = PrunedCopies {
            warnings: self.point_links(),
            ..PrunedCopies::default()
        };
        let place = self.place()?;
        place.remove_begun()?;
        // A run may have been killed after it gave a copy its name.
        place.remove_staging();
        let Some(keep) = self.rules.keep else {
            return Ok(pruned);
        };
        let (copies, _) = self.copies(&[])?;
        let now = self.context.clock.now();
        let (zone, confirmed) = (self.rules.zone, self.rules.confirmed);
        let is_served = self.rules.is_served;
        let interrupt = self.context.interrupt;
        let place = self.place()?;
        let candidates = copies.iter().enumerate().map(|(number, copy)| {
            let at = copy.name.moment(&zone).fixed_offset();
            candidate(place, number, copy, at, spare)
        });
        let candidates: Vec<Candidate> = candidates.collect::<Result<_, Error>>()?;
        let run = KeepRun {
            date: local_date(now, zone),
            now: now.with_timezone(&zone).fixed_offset(),
            confirmed: confirmed.is_some(),
        };
        let local = candidates.iter().map(|it| it.local.clone()).collect();
        let plan = plan_snapshots(local, keep, run);
        let expiring = plan.expiring().count();
        pruned
            .warnings
            .extend(withheld(&plan, self.source.as_str(), is_served));
        if confirmed.is_some_and(|confirmed| confirmed != expiring) {
            pruned.warnings.push(format!(
                "{expiring} copies have expired, and --yes-delete says another number: none is deleted"
            ));
            return Ok(pruned);
        }
        let place = self.place()?;
        let mut gone = Vec::new();
        for (expired, reason) in plan.deleted() {
            interrupt.check()?;
            let candidate = candidates.iter().find(|it| it.local.id == expired.id);
            let Some(id) = candidate.and_then(|it| it.subvolume_id) else {
                continue;
            };
            let name = OsString::from(expired.name.to_string());
            match place.directory.delete(&name, id) {
                Ok(()) => {
                    pruned.deleted.push((expired.name, reason.to_owned()));
                    gone.push(id);
                }
                Err(error) if error.is_stopping() => return Err(error.into()),
                Err(error) => pruned.warnings.push(format!(
                    "could not delete the expired copy {}, and the next run tries again: {}",
                    expired.name,
                    in_words(&error)
                )),
            }
        }
        if !gone.is_empty() {
            let is_gone = |it: &PublishedCopy| gone.contains(&it.subvolume_id);
            place.mark.published.retain(|it| !is_gone(it));
            place.mark.write(&place.directory)?;
        }
        Ok(pruned)
    }
}

fn candidate(
    place: &ReceivePlace,
    number: usize,
    copy: &MirrorCopy,
    at: chrono::DateTime<chrono::FixedOffset>,
    spare: &[Uuid],
) -> Result<Candidate, Error> {
    let name = copy.name.to_string();
    let found = place.directory.subvolume(OsStr::new(&name))?;
    let found = found.map(|it| it.identity()).transpose()?;
    let subvolume_id = found
        .filter(|it| it.uuid == copy.uuid)
        .map(|it| it.subvolume_id);
    let is_ours =
        |it: &&PublishedCopy| Some(it.subvolume_id) == subvolume_id && it.name == copy.name;
    let pin = if spare.contains(&copy.stream_uuid) {
        Pin::Mirror
    } else if place.mark.published.iter().find(is_ours).is_some() {
        Pin::Free
    } else {
        Pin::NotOurs
    };
    let id = i64::try_from(number).unwrap_or(i64::MAX);
    let local = LocalSnapshot {
        id,
        name: copy.name,
        at,
        pin,
    };
    Ok(Candidate {
        subvolume_id,
        local,
    })
}

/// Returns why copies that have expired are not deleted, and what to do.
fn withheld(plan: &SnapshotPlan, source: &str, is_served: bool) -> Option<String> {
    let expiring = plan.expiring().count();
    match &plan.withheld {
        Some(Withheld::ClockBehind { newest }) => Some(format!(
            "the clock of the mirror is behind the newest copy, {newest}, so no copy is deleted: check the clock"
        )),
        Some(Withheld::TooMany { of, .. }) => {
            let owner = if is_served {
                // The words of a client don't reach a server that a forced command starts.
                format!(
                    "; if a forced command starts the mirror's server, add `--yes-delete {expiring}` there for one run"
                )
            } else {
                String::new()
            };
            Some(format!(
                "{expiring} of the {of} copies have expired, more than half, so none is deleted: run `coldchain mirror \
                 {source} --yes-delete {expiring}` if that is right{owner}"
            ))
        }
        Some(Withheld::Silence { .. }) | None => None,
    }
}
