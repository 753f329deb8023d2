//! Asks the vault for its inventory, and takes one over that is ready.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::VaultStore;
use super::client::{JobRequest, JobState, OutputRequest, VaultJob, VaultJobKind};
use super::kept::Showing;
use crate::store::Inventory;
use crate::store::error::{ErrorKind, Operation, StoreError};

/// What an inventory is called in errors.
const SUBJECT: &str = "the inventory";

/// The most bytes of an inventory for each byte that a listing may take. What another program has in the vault is in it
/// too.
const SHARE: u64 = 4;

/// A failure to keep an inventory.
enum Failure {
    Store(StoreError),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl VaultStore<'_> {
    pub(super) fn renew(&self, wanted: Option<DateTime<Utc>>) -> Result<Inventory, StoreError> {
        let kept = self.showing(Operation::List)?;
        let date = kept.as_ref().map(|kept| kept.date);
        let announced = self.client.describe()?.inventory;
        let Some(announced) = announced.filter(|announced| {
            let is_newer = kept.as_ref().is_none_or(|kept| *announced > kept.announced);
            let shows_more = kept.is_none() || wanted.is_none_or(|wanted| *announced > wanted);
            is_newer && shows_more
        }) else {
            let is_enough = match (wanted, date) {
                (Some(wanted), Some(date)) => date > wanted,
                (None, date) => date.is_some(),
                (Some(_), None) => false,
            };
            return Ok(match date.filter(|_| is_enough) {
                Some(date) => Inventory::Of(date),
                None => Inventory::NotYet(date),
            });
        };
        let jobs = self.client.jobs(SUBJECT)?;
        let of_inventory = |job: &&VaultJob| {
            let VaultJobKind::Inventory { is_whole } = job.kind else {
                return false;
            };
            is_whole
        };
        let jobs: Vec<&VaultJob> = jobs.iter().filter(of_inventory).collect();
        // A job gives what the service had when it was started.
        let is_of_it = |job: &&&VaultJob| job.created.is_some_and(|at| at >= announced);
        let done = jobs
            .iter()
            .filter(|job| matches!(job.state, JobState::Succeeded(_)))
            .filter(is_of_it)
            .max_by_key(|job| job.created);
        if let Some(done) = done {
            match self.fetch(done, announced) {
                Ok(showing) => {
                    let date = showing.date;
                    self.take_over(Some(Arc::new(showing)));
                    return Ok(Inventory::Of(date));
                }
                // Its output has gone: another job has to give it.
                Err(error) if error.kind == ErrorKind::Cold => {}
                Err(error) => return Err(error),
            }
        }
        let is_running = |job: &&VaultJob| job.state == JobState::InProgress;
        if !jobs.iter().any(is_running) {
            match self.client.start(SUBJECT, &JobRequest::Inventory) {
                // The service has announced one, and has none.
                Err(error) if error.is_not_found() => return Ok(Inventory::NotYet(date)),
                started => drop(started?),
            }
        }
        Ok(Inventory::Awaited(date))
    }

    /// Reads the output of a job into the file.
    fn fetch(&self, job: &VaultJob, announced: DateTime<Utc>) -> Result<Showing, StoreError> {
        let Some(ledger) = self.ledger() else {
            let error = self.error(ErrorKind::Unsupported, Operation::List, SUBJECT);
            return Err(error.because("the vault was not told which ledger its segments belong to"));
        };
        let limit = self.client.settings().listing_bytes;
        let request = OutputRequest {
            subject: SUBJECT,
            job: &job.id,
            part: None,
            tree_hash: job.tree_hash,
            max_bytes: limit.saturating_mul(SHARE),
        };
        let kept = self.kept.replace(ledger, limit, announced, |incoming| {
            self.client
                .output(&request, incoming)
                .map(drop)
                .map_err(Failure::Store)
        });
        kept.map_err(|failure| match failure {
            Failure::Store(error) if error.kind == ErrorKind::TooLarge => StoreError {
                kind: ErrorKind::TooMany,
                ..error
            },
            Failure::Store(error) => error,
            Failure::Io(error) => self.io_error(Operation::List, SUBJECT, error),
        })
    }
}
