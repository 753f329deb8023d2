//! Jobs: retrievals of archives and of inventories.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::config::Config;
use super::inventory;
use super::refusal::{Refusal, json_answer};
use super::state::{Job, JobKind, JobStatus, State, Tier, tree_hash};
use super::vaults::{arn, written};
use crate::common::s3_server::http::{Answer, Request};
use crate::common::sigv4::hex;

const MIB: u64 = 1 << 20;

pub fn initiate(
    state: &mut State,
    config: &Config,
    vault: &str,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return Err(Refusal::new(400, "SerializationException", "no JSON"));
    };
    let text = |name: &str| asked[name].as_str();
    let tier = match text("Tier") {
        None | Some("Standard") => Tier::Standard,
        Some("Expedited") => Tier::Expedited,
        Some("Bulk") => Tier::Bulk,
        Some(other) => return Err(Refusal::invalid(format!("Invalid tier: {other}"))),
    };
    let (kind, takes) = match text("Type") {
        Some("archive-retrieval") => {
            let kind = archive_job(state, config, vault, &asked, tier)?;
            let takes = match tier {
                Tier::Expedited => config.expedited,
                Tier::Standard => config.standard,
                Tier::Bulk => config.bulk,
            };
            (kind, takes)
        }
        Some("inventory-retrieval") => {
            let found = state.vault(vault);
            let Some(date) = inventory::date(found, now) else {
                let message = "Inventory retrieval is not available: there is none yet";
                return Err(Refusal::not_found(message));
            };
            let json = inventory::text(config, vault, found, date);
            (JobKind::Inventory { json }, config.inventory)
        }
        other => return Err(Refusal::invalid(format!("Invalid job type: {other:?}"))),
    };
    let completes = now + takes;
    let job = Job {
        id: state.new_id(92),
        kind,
        description: text("Description").map(str::to_owned),
        tier,
        created: now,
        completes,
        fails: false,
        expires: completes + config.output_lives,
    };
    let id = job.id.clone();
    state.vault(vault).jobs.push(job);
    Ok(Answer::new(202)
        .header(
            "Location",
            format!("/111122223333/vaults/{vault}/jobs/{id}"),
        )
        .header("x-amz-job-id", id))
}

fn archive_job(
    state: &mut State,
    config: &Config,
    vault: &str,
    asked: &Value,
    tier: Tier,
) -> Result<JobKind, Refusal> {
    let id = asked["ArchiveId"].as_str().unwrap_or_default();
    let mut archives = state.vault(vault).archives.iter();
    let found = archives.find(|archive| archive.id == id && archive.deleted.is_none());
    let Some(archive) = found else {
        let message = format!("The archive ID was not found: {id}");
        return Err(Refusal::not_found(message));
    };
    let last = archive.body.len() as u64 - 1;
    let range = match asked["RetrievalByteRange"].as_str() {
        None => (0, last),
        Some(text) => {
            let parsed = text
                .split_once('-')
                .and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?)));
            let aligned = parsed.filter(|(from, to)| {
                from % MIB == 0 && from <= to && *to <= last && ((to + 1) % MIB == 0 || *to == last)
            });
            aligned.ok_or_else(|| Refusal::invalid(format!("Invalid byte range: {text}")))?
        }
    };
    let bytes = range.1 - range.0 + 1;
    let standard = tier == Tier::Standard;
    if standard && config.retrieval_strategy == "BytesPerHour" && bytes > config.bytes_per_hour {
        let message = "Initiate job request not allowed by current data retrieval policy.";
        return Err(Refusal::new(400, "PolicyEnforcedException", message));
    }
    if tier == Tier::Expedited && config.no_expedited {
        let message = "Retrieval capacity is not available for expedited requests";
        return Err(Refusal::new(503, "InsufficientCapacityException", message));
    }
    Ok(JobKind::Archive {
        archive: id.to_owned(),
        range,
        body: bytes_of(&archive.body, range),
    })
}

/// Whether a range of an archive has a tree hash of its own: it is a subtree of the archive's tree.
pub fn is_tree_aligned(range: (u64, u64), length: u64) -> bool {
    let (from, to) = range;
    if from == 0 && to + 1 == length {
        return true;
    }
    if from % MIB != 0 || (to + 1) % MIB != 0 && to + 1 != length {
        return false;
    }
    let leaves = (to + 1 - from).div_ceil(MIB);
    let size = leaves.next_power_of_two();
    (from / MIB).is_multiple_of(size) && (leaves == size || to + 1 == length)
}

fn described(
    state: &mut State,
    config: &Config,
    vault: &str,
    at: usize,
    now: DateTime<Utc>,
) -> Value {
    let found = state.vault(vault);
    let job = &found.jobs[at];
    let status = job.status(now);
    let is_done = status != JobStatus::InProgress;
    let mut value = json!({
        "JobId": job.id,
        "JobDescription": job.description,
        "VaultARN": arn(config, vault),
        "CreationDate": written(job.created),
        "Completed": is_done,
        "CompletionDate": is_done.then(|| written(job.completes)),
        "StatusCode": status.name(),
        "StatusMessage": if is_done { Some(status.name()) } else { None },
        "SNSTopic": null,
    });
    match &job.kind {
        JobKind::Archive {
            archive,
            range,
            body,
        } => {
            let whole = found.archives.iter().find(|it| it.id == *archive);
            let length = whole.map_or(body.len() as u64, |it| it.body.len() as u64);
            let aligned = is_tree_aligned(*range, length) && status == JobStatus::Succeeded;
            value["Action"] = json!("ArchiveRetrieval");
            value["ArchiveId"] = json!(archive);
            value["ArchiveSizeInBytes"] = json!(length);
            value["ArchiveSHA256TreeHash"] = json!(whole.map(|it| hex(&it.tree_hash)));
            value["RetrievalByteRange"] = json!(format!("{}-{}", range.0, range.1));
            value["SHA256TreeHash"] = json!(aligned.then(|| hex(&tree_hash(body))));
            value["Tier"] = json!(job.tier.name());
        }
        JobKind::Inventory { json } => {
            value["Action"] = json!("InventoryRetrieval");
            value["InventorySizeInBytes"] = json!(is_done.then_some(json.len()));
            value["InventoryRetrievalParameters"] = json!({"Format": "JSON"});
        }
    }
    value
}

pub fn describe(
    state: &mut State,
    config: &Config,
    vault: &str,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let mut jobs = state.vault(vault).jobs.iter();
    let Some(at) = jobs.position(|job| job.id == id) else {
        return Err(unknown(id));
    };
    Ok(json_answer(200, &described(state, config, vault, at, now)))
}

pub fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("The job ID was not found: {id}"))
}

pub fn list(
    state: &mut State,
    config: &Config,
    vault: &str,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let limit = match request.parameter("limit") {
        None => config.page_size,
        Some(limit) => match limit.parse::<usize>() {
            Ok(limit @ 1..=1000) => limit.min(config.page_size),
            _ => return Err(Refusal::invalid(format!("Invalid limit: {limit}"))),
        },
    };
    let completed = request.parameter("completed");
    let status_code = request.parameter("statuscode");
    let jobs = state.vault(vault).jobs.clone();
    let from = match request.parameter("marker") {
        None => 0,
        Some(marker) => {
            let found = jobs.iter().position(|job| job.id == marker);
            found.ok_or_else(|| Refusal::invalid(format!("Invalid marker: {marker}")))?
        }
    };
    let mut shown = (from..jobs.len()).filter(|at| {
        let status = jobs[*at].status(now);
        let is_done = status != JobStatus::InProgress;
        completed.is_none_or(|completed| completed == is_done.to_string())
            && status_code.is_none_or(|code| code == status.name())
    });
    let page: Vec<Value> = shown
        .by_ref()
        .take(limit)
        .map(|at| described(state, config, vault, at, now))
        .collect();
    let marker = shown.next().map(|at| jobs[at].id.clone());
    Ok(json_answer(
        200,
        &json!({"JobList": page, "Marker": marker}),
    ))
}

/// A job that is not done, or has failed, has no output.
pub fn finished<'j>(
    state: &'j mut State,
    vault: &str,
    id: &str,
    now: DateTime<Utc>,
) -> Result<&'j Job, Refusal> {
    let mut jobs = state.vault(vault).jobs.iter();
    let job = jobs.find(|job| job.id == id).ok_or_else(|| unknown(id))?;
    match job.status(now) {
        JobStatus::Succeeded => Ok(job),
        _ => Err(Refusal::invalid(format!(
            "The job is not currently available for download: {id}"
        ))),
    }
}

impl Config {
    /// Jobs and inventories that are done at once.
    pub fn at_once(mut self) -> Self {
        let none = TimeDelta::zero();
        (self.expedited, self.standard) = (none, none);
        (self.bulk, self.inventory) = (none, none);
        self
    }
}

/// The bytes of a range, both ends included.
pub fn bytes_of(bytes: &[u8], (from, to): (u64, u64)) -> Vec<u8> {
    let place = |at: u64| usize::try_from(at).expect("it is a place in memory");
    bytes[place(from)..=place(to)].to_vec()
}
