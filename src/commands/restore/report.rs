//! Reports what a restore needs, as JSON and as text.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::commands::output::count;
use crate::engine::{Estimate, Pricing, RestorePlanDetails};
use crate::error::Error;
use crate::model::Tier;
use crate::model::size::Bytes;
use crate::plan::{CopySite, PassedOver, RestorePlan, Usd, describe_cost};

/// The space that a restore needs, and the space that is free.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Room {
    /// Raw bytes that are not restored in the target yet: roughly the space that they take on disk.
    pub(super) needed: u64,
    /// How many archives are already in the target, by themselves or as part of a later one.
    pub(super) standing: usize,
    /// Free bytes in the target; `None` if there is no target, or they can't be read.
    pub(super) free: Option<u64>,
    /// Whether the subvolumes of earlier dates are deleted again.
    pub(super) deletes: bool,
    /// Whether some streams carry data as it is compressed on disk, which may take more space.
    pub(super) is_compressed: bool,
}

impl Room {
    /// Returns the bytes in a directory that are free for a user without privileges.
    pub(super) fn free_in(directory: &Path) -> Option<u64> {
        let found = rustix::fs::statvfs(directory).ok()?;
        found.f_bavail.checked_mul(found.f_frsize)
    }

    fn in_words(&self, archives: usize) -> String {
        let mut text = if self.is_compressed {
            // The decompressed length is known only when the stream is read.
            format!(
                "  disk space  {} if it stays compressed; more if the kernel there cannot write compressed data",
                Bytes(self.needed)
            )
        } else {
            format!("  disk space  up to {}", Bytes(self.needed))
        };
        if self.deletes {
            text.push_str(" at its peak, less at the end");
        }
        if let Some(free) = self.free {
            write!(text, "; {} free", Bytes(free)).expect("writing to a string does not fail");
            if free < self.needed {
                text.push_str(": it may not fit");
            }
        }
        if self.standing > 0 {
            let standing = count(self.standing as u64, "archive");
            write!(text, "; {standing} of {archives} already there")
                .expect("writing to a string does not fail");
        }
        text.push('\n');
        text
    }
}

/// Returns the plan as one JSON document, from which another machine can restore.
pub(super) fn to_json(
    plan: &RestorePlan,
    details: &RestorePlanDetails,
    estimate: &Estimate,
    room: Room,
    tier: Tier,
) -> Result<Value, Error> {
    let usd_total = estimate.usd_total(tier)?;
    let thaw = thaw_in_json(estimate, tier)?;
    Ok(json!({
        "source": plan.source, "date": plan.date, "archives": plan.archives,
        "segments": details.segments, "sealed_bytes": details.sealed_bytes,
        "raw_bytes": details.raw_bytes, "thaw": thaw,
        "disk_bytes": room.needed, "free_bytes": room.free, "standing": room.standing,
        "usd_total": usd_total.map(Usd::as_number),
    }))
}

/// Returns what a thaw takes by each tier; `None` if prices are not known.
pub(in crate::commands) fn thaw_in_json(
    estimate: &Estimate,
    tier: Tier,
) -> Result<Option<Value>, Error> {
    // Sums that are not valid are left out.
    let thaw = estimate.usd_total(tier)?.map(|_| {
        let tiers: Vec<Value> = estimate
            .cost
            .tiers
            .iter()
            .map(|thaw| {
                json!({
                    "tier": thaw.tier, "usd": thaw.usd.as_number(), "hours": thaw.hours(),
                })
            })
            .collect();
        json!({"segments": estimate.cost.segments_to_thaw(), "tiers": tiers})
    });
    Ok(thaw)
}

/// Returns a restore as text: its archives, and its cost if prices are known.
pub(in crate::commands) fn in_words(
    plan: &RestorePlan,
    details: &RestorePlanDetails,
    estimate: &Estimate,
    room: Option<Room>,
) -> String {
    let mut text = format!(
        "{} {}: {}, {} to fetch in {}, {} of send stream\n",
        plan.source,
        plan.date,
        count(plan.archives.len() as u64, "archive"),
        Bytes(details.sealed_bytes),
        count(details.segments, "segment"),
        Bytes(details.raw_bytes),
    );
    for archive in &plan.archives {
        let known = if plan.damaged.contains(archive) {
            "  known to be damaged"
        } else if plan.inexact.contains(archive) {
            "  carries compressed data: bytes of it may be wrong"
        } else {
            ""
        };
        writeln!(text, "  {archive}{known}").expect("writing to a string does not fail");
    }
    text.push_str(&cost_in_words(estimate));
    if let Some(room) = room {
        text.push_str(&room.in_words(plan.archives.len()));
    }
    text
}

/// Returns the places that are nearer than what is taken, each on a line with the reason.
pub(super) fn passed_in_words(passed: &[PassedOver]) -> String {
    passed
        .iter()
        .fold(String::new(), |text, place| format!("{text}  {place}\n"))
}

/// Returns the same as JSON.
pub(super) fn passed_in_json(passed: &[PassedOver]) -> Value {
    let place = |place: &PassedOver| {
        json!({
            "copy": place.site.kind().as_str(), "mirror": mirror_of(&place.site), "why": place.why,
        })
    };
    passed.iter().map(place).collect()
}

/// Returns where a mirror is; `None` for snapshots here.
fn mirror_of(site: &CopySite) -> Option<String> {
    match site {
        CopySite::Snapshots => None,
        CopySite::Mirror(to) => Some(to.to_string()),
    }
}

/// Returns what is to be thawed and what it costs, if prices are known.
pub(in crate::commands) fn cost_in_words(estimate: &Estimate) -> String {
    let cost = &estimate.cost;
    match estimate.pricing {
        Pricing::Known => describe_cost(cost),
        Pricing::Unknown if cost.segments_to_thaw() > 0 => format!(
            "  to thaw     {}, {}; the prices of this store are not known\n",
            count(cost.segments_to_thaw(), "segment"),
            Bytes(cost.bytes_to_thaw()),
        ),
        Pricing::Unknown | Pricing::Free => String::new(),
    }
}
