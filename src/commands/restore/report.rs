//! What a restore takes, in JSON and in words.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::commands::output::count;
use crate::engine::{Estimate, Pricing, RestorePlanDetails};
use crate::error::Error;
use crate::model::Tier;
use crate::model::size::Bytes;
use crate::plan::{RestorePlan, Usd, describe_cost};

/// What a restore writes, and where there is how much room for it.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Room {
    /// Bytes of send stream that do not stand in the target yet: about what they take on its disk.
    pub(super) needed: u64,
    /// How many archives stand there already, or are held by one that does.
    pub(super) standing: usize,
    /// Bytes that are free there; `None` if there is no target, or it can't be asked.
    pub(super) free: Option<u64>,
    /// Whether what is only on the way is deleted again.
    pub(super) deletes: bool,
    /// Whether some of it is as it was compressed on disk, and may take more room than that.
    pub(super) is_compressed: bool,
}

impl Room {
    /// Bytes that are free in a directory, for whoever may use all of them.
    pub(super) fn free_in(directory: &Path) -> Option<u64> {
        let found = rustix::fs::statvfs(directory).ok()?;
        found.f_bavail.checked_mul(found.f_frsize)
    }

    fn in_words(&self, archives: usize) -> String {
        let mut text = if self.is_compressed {
            // How long it is when it is decompressed, the stream does not say before it is read.
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

/// The plan as one document; another machine may restore from it.
pub(super) fn to_json(
    plan: &RestorePlan,
    details: &RestorePlanDetails,
    estimate: &Estimate,
    room: Room,
    tier: Tier,
) -> Result<Value, Error> {
    // Sums that mean nothing are not said.
    let usd_total = estimate.usd_total(tier)?;
    let thaw = usd_total.map(|_| {
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
    Ok(json!({
        "source": plan.source, "date": plan.date, "archives": plan.archives,
        "segments": details.segments, "sealed_bytes": details.sealed_bytes,
        "raw_bytes": details.raw_bytes, "thaw": thaw,
        "disk_bytes": room.needed, "free_bytes": room.free, "standing": room.standing,
        "usd_total": usd_total.map(Usd::as_number),
    }))
}

/// A restore for people: its archives, and what it costs where that can be told.
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

fn cost_in_words(estimate: &Estimate) -> String {
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
