//! What `coldchain report` says, by a catalog that is made up: no store is asked.

mod browser;
mod files;
mod page;
mod same_facts;
mod stage;
