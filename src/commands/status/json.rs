//! What other programs learn.

use serde_json::{Value, json};

use crate::commands::list::{copies, mirrors};
use crate::commands::overview::Overview;
use crate::engine::SourceStatus;
use crate::model::entry::Timestamp;
use crate::plan::Action;
use crate::run_records::EndedRun;

pub(in crate::commands) fn document(overview: &Overview) -> Value {
    let sources: Vec<Value> = overview
        .sources
        .iter()
        .map(|it| source(it, overview))
        .collect();
    let running = crate::config::FOLLOWED.iter().filter_map(|command| {
        let since = overview.records.running_since(command)?;
        Some(json!({"command": command, "since": since}))
    });
    let runs = overview.records.commands();
    let runs = runs.filter_map(|command| overview.records.last_of_command(command));
    json!({
        "host": overview.host, "at": overview.at, "sources": sources,
        "running": running.collect::<Vec<_>>(), "runs": runs.map(run).collect::<Vec<_>>(),
        "records_unread": overview.unread,
    })
}

fn source(source: &SourceStatus, overview: &Overview) -> Value {
    let newest = source.newest().map(|newest| {
        json!({
            "date": newest.date, "kind": if newest.is_full { "full" } else { "incremental" },
            "raw_bytes": newest.raw_bytes, "sealed_bytes": newest.sealed_bytes, "files": newest.files,
        })
    });
    let tonight = source.tonight.as_ref().map(|tonight| match tonight {
        Ok(plan) => json!({
            "action": plan.action.as_str(), "reason": plan.reason,
            "send_parent": match &plan.action {
                Action::Incremental { send_parent, .. } => Some(send_parent.date),
                Action::None | Action::Full => None,
            },
        }),
        Err(error) => json!({"error": error}),
    });
    let unfinished: Vec<Value> = source
        .unfinished
        .iter()
        .map(|it| json!({"date": it.date, "begun_at": it.begun_at, "raw_bytes": it.raw_bytes}))
        .collect();
    let alarms: Vec<Value> = source
        .alarms
        .iter()
        .map(|alarm| {
            json!({
                "kind": alarm.kind.as_str(), "urgency": alarm.kind.urgency().as_str(),
                "subject": alarm.subject, "text": alarm.text,
            })
        })
        .collect();
    let due = source.due.as_ref();
    let checked = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(Timestamp);
    let mut document = json!({
        "name": source.name, "store": source.store, "newest": newest, "newest_snapshot": source.newest_snapshot,
        "usd_a_month": source.usd_a_month().map(crate::plan::Usd::as_number), "archives": source.archives.len(), "sealed_bytes": source.sealed_bytes(),
        "chain": source.chain.map(|chain| json!({
            "full": chain.full, "incrementals": chain.incrementals, "sealed_bytes": chain.sealed_bytes,
        })),
        "next_slot": due.map(|due| due.next), "missed_slots": due.map(|due| &due.missed),
        "overdue": source.is_overdue(None, overview.at.0), "overdue_from": due.and_then(|due| due.overdue_from),
        "tonight": tonight, "unfinished": unfinished,
        "thaws": {
            "waiting": source.thaws.waiting, "readable": source.thaws.readable,
            "readable_until": source.thaws.readable_until,
        },
        "verified_at": checked(source.checked.verified), "drilled_at": checked(source.checked.drilled),
        "mirrors": source.mirrors.iter().map(mirrors::to_json).collect::<Vec<_>>(),
        "copies": source.copies.iter().map(copies::to_json).collect::<Vec<_>>(),
        "runs": source.runs.iter().map(run).collect::<Vec<_>>(),
        "alarms": alarms,
    });
    if let Some(pulled) = source.pulled {
        document["pulled_at"] = json!(pulled.at);
    }
    if let Some(moved) = &source.moved {
        document["moved_to"] = json!(moved.to);
    }
    document
}

fn run(run: &EndedRun) -> Value {
    json!({
        "command": run.command, "begun_at": run.begun_at, "ended_at": run.ended_at,
        "exit_code": run.end.exit_code, "result": run.end.result, "error": run.end.error,
        "seconds": run.end.seconds, "succeeded_at": run.succeeded_at,
    })
}
