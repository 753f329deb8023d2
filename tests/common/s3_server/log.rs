//! What was asked of the server, for tests to look at.

use std::collections::BTreeMap;

use super::calls::Operation;
use super::faults::FaultKind;
use super::http::Request;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub operation: Operation,
    pub method: String,
    /// As it was sent: path and query, encoded.
    pub path: String,
    pub bucket: String,
    /// Empty if the request is about the bucket.
    pub key: String,
    /// Names in lowercase.
    pub headers: BTreeMap<String, String>,
    /// How much of the body the server has read.
    pub body_bytes: usize,
    /// `None` while it is under way, and for one that got no answer.
    pub status: Option<u16>,
    /// What struck it.
    pub fault: Option<FaultKind>,
}

/// PUTs of one key, and copies to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutCount {
    /// Those that arrived, whatever became of them.
    pub sent: usize,
    /// Those whose object was kept, whether or not the client learnt of it.
    pub kept: usize,
}

#[derive(Default)]
pub struct Log {
    requests: Vec<Logged>,
    /// Requests before the first in the list.
    forgotten: usize,
    puts: BTreeMap<(String, String), PutCount>,
}

impl Log {
    /// Takes down a request; the number is its own.
    pub fn arrived(
        &mut self,
        operation: Operation,
        request: &Request,
        fault: Option<FaultKind>,
    ) -> usize {
        if matches!(operation, Operation::Put | Operation::Copy) {
            self.put_count(request).sent += 1;
        }
        self.requests.push(Logged {
            operation,
            method: request.method.clone(),
            path: request.target.clone(),
            bucket: request.bucket.clone(),
            key: request.key.clone(),
            headers: request.headers.clone(),
            body_bytes: 0,
            status: None,
            fault,
        });
        self.forgotten + self.requests.len() - 1
    }

    pub fn has_read(&mut self, number: usize, body_bytes: usize) {
        if let Some(logged) = self.find(number) {
            logged.body_bytes = body_bytes;
        }
    }

    pub fn answered(&mut self, number: usize, status: u16) {
        if let Some(logged) = self.find(number) {
            logged.status = Some(status);
        }
    }

    pub fn kept(&mut self, request: &Request) {
        self.put_count(request).kept += 1;
    }

    pub fn requests(&self) -> Vec<Logged> {
        self.requests.clone()
    }

    pub fn forget(&mut self) {
        self.forgotten += self.requests.len();
        self.requests.clear();
    }

    pub fn put_counts(&self, bucket: &str) -> BTreeMap<String, PutCount> {
        self.puts
            .iter()
            .filter(|((within, _), _)| within == bucket)
            .map(|((_, key), count)| (key.clone(), *count))
            .collect()
    }

    fn find(&mut self, number: usize) -> Option<&mut Logged> {
        self.requests.get_mut(number.checked_sub(self.forgotten)?)
    }

    fn put_count(&mut self, request: &Request) -> &mut PutCount {
        let place = (request.bucket.clone(), request.key.clone());
        self.puts.entry(place).or_default()
    }
}
