//! What all stores in AWS share: credentials, the connection, retries, and the bounds of answers.

mod access;
mod answer;
mod body;
mod bounded;
mod clock;
mod connect;
mod credentials;
mod pages;
mod requests;
mod unanswered;
mod whole_xml;

pub(super) use access::{ServiceAccess, ServiceNames};
pub(super) use answer::{Answer, ERROR_TYPE, Judged, chain, find, shortened};
pub(super) use body::{Meter, metered};
pub(super) use bounded::{Bound, TooLong};
pub(super) use clock::ServerClock;
pub(super) use connect::Prepared;
pub(super) use pages::{PAGE, Pages};
pub(super) use requests::{Connection, Requests};
pub(super) use unanswered::unanswered;
pub(super) use whole_xml::{CutShort, root_name};
