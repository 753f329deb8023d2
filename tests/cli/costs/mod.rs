//! What `coldchain cost` says, by a catalog that is made up: no store is asked.

mod bad_input;
pub(crate) mod ledger;
mod oracle;
mod reconciled;
mod shown;
mod there;
