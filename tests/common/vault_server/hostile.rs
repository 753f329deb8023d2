//! Listings of jobs that have no end.

use serde_json::json;

use super::faults::FaultKind;
use super::refusal::json_answer;
use crate::common::s3_server::http::{Answer, Request};

/// Where even endless pages end, so that a client which reads them all is a failure and no disaster.
const MAX_PAGES: usize = 200_000;

impl FaultKind {
    /// The page of a listing that has no end.
    pub fn page(&self, request: &Request) -> Option<Answer> {
        let number: usize = match request.parameter("marker") {
            None => 0,
            Some(marker) => marker.parse().ok()?,
        };
        let (next, jobs) = match self {
            Self::EndlessPages => (number + 1, 50),
            Self::CircleOfPages => ((number + 1) % 2, 10),
            Self::EmptyPages => (number + 1, 0),
            _ => return None,
        };
        let jobs: Vec<_> = (0..jobs)
            .map(|at| {
                json!({
                    "JobId": format!("job-{number}-{at}"),
                    "Action": "ArchiveRetrieval",
                    "ArchiveId": format!("archive-{number}-{at}"),
                    "ArchiveSizeInBytes": 5,
                    "RetrievalByteRange": "0-4",
                    "CreationDate": "2026-11-30T00:00:00.000Z",
                    "Completed": false,
                    "StatusCode": "InProgress",
                })
            })
            .collect();
        let marker = (number < MAX_PAGES).then(|| next.to_string());
        Some(json_answer(
            200,
            &json!({"JobList": jobs, "Marker": marker}),
        ))
    }
}
