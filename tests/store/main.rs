//! Directories and buckets: what they promise, and what they do instead.

#[path = "../common/mod.rs"]
mod common;

mod bad_store;
mod copies;
mod credentials;
mod deleted_versions;
mod dir_cold;
mod endless_answers;
mod linked_store;
mod other_servers;
mod relays;
mod s3_faults;
mod s3_server_self_test;
mod short_listings;
mod store_suite;
mod test_servers;
mod vault_by_keys;
mod vault_faults;
mod vault_inventory;
mod vault_jobs;
mod vault_moto;
mod vault_server_self_test;
mod vault_store;
