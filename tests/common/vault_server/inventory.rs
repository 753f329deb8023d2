//! Inventories: what a vault had at the last midnight at which something was new.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::config::Config;
use super::state::{Archive, Vault};
use super::vaults::{arn, written};
use crate::common::sigv4::hex;

/// The date of the last inventory: the last midnight before which, on that day, an archive was added or deleted. There
/// is none before the first.
pub fn date(vault: &Vault, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let changes = vault
        .archives
        .iter()
        .flat_map(|archive| [Some(archive.created), archive.deleted])
        .flatten();
    let midnights = changes.map(midnight_after);
    midnights.filter(|midnight| *midnight <= now).max()
}

fn midnight_after(time: DateTime<Utc>) -> DateTime<Utc> {
    let day = time.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    day + TimeDelta::days(1)
}

/// What an inventory of that date shows.
pub fn archives(vault: &Vault, date: DateTime<Utc>) -> Vec<&Archive> {
    vault
        .archives
        .iter()
        .filter(|archive| {
            !archive.hidden
                && archive.created < date
                && archive.deleted.is_none_or(|deleted| deleted >= date)
        })
        .collect()
}

/// The text of an inventory.
pub fn text(config: &Config, name: &str, vault: &Vault, date: DateTime<Utc>) -> Vec<u8> {
    let archives: Vec<Value> = archives(vault, date)
        .into_iter()
        .map(|archive| {
            json!({
                "ArchiveId": archive.id,
                "ArchiveDescription": archive.description,
                "CreationDate": written(archive.created),
                "Size": archive.body.len(),
                "SHA256TreeHash": hex(&archive.tree_hash),
            })
        })
        .collect();
    let list = json!({
        "VaultARN": arn(config, name),
        "InventoryDate": written(date),
        "ArchiveList": archives,
    });
    list.to_string().into_bytes()
}
