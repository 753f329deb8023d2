//! The output of jobs.

use chrono::{DateTime, Utc};

use super::jobs::{bytes_of, finished, is_tree_aligned};
use super::refusal::Refusal;
use super::state::{JobKind, State, tree_hash};
use crate::common::s3_server::http::{Answer, Request};
use crate::common::sigv4::hex;

pub fn output(
    state: &mut State,
    vault: &str,
    id: &str,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let job = finished(state, vault, id, now)?.clone();
    let (body, kind) = match &job.kind {
        JobKind::Archive { body, .. } => (body, "application/octet-stream"),
        JobKind::Inventory { json } => (json, "application/json"),
    };
    let length = body.len() as u64;
    let asked = request.header("range").map(|text| range(text, length));
    let answer = match asked {
        None => Answer::new(200).body(body.clone()),
        Some(None) => {
            let message = format!("Invalid range: {:?}", request.header("range"));
            return Err(Refusal::invalid(message));
        }
        Some(Some((from, to))) => Answer::new(206)
            .header("Content-Range", format!("bytes {from}-{to}/{length}"))
            .body(bytes_of(body, (from, to))),
    };
    let mut answer = answer
        .header("Content-Type", kind)
        .header("Accept-Ranges", "bytes");
    if let JobKind::Archive { archive, range, .. } = &job.kind {
        let mut archives = state.vault(vault).archives.iter();
        if let Some(archive) = archives.find(|it| it.id == *archive) {
            // The part of the archive that this is: the output is a range of it already.
            let part = asked.flatten().unwrap_or((0, length - 1));
            let part = (range.0 + part.0, range.0 + part.1);
            if is_tree_aligned(part, archive.body.len() as u64) {
                let tree = hex(&tree_hash(&answer.body));
                answer = answer.header("x-amz-sha256-tree-hash", tree);
            }
            if !archive.description.is_empty() {
                answer = answer.header("x-amz-archive-description", &archive.description);
            }
        }
    }
    Ok(answer)
}

/// The first byte and the last; `None` if there are none, or it is no range.
fn range(text: &str, length: u64) -> Option<(u64, u64)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let from: u64 = from.parse().ok()?;
    let last = length.checked_sub(1)?;
    let to = match to {
        "" => last,
        to => to.parse::<u64>().ok()?.min(last),
    };
    (from <= to).then_some((from, to))
}
