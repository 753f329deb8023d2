//! Where a store has the segments of an archive, as its entry says.

use crate::catalog::SegmentRow;
use crate::engine::context::open_source::OpenSource;
use crate::error::{BackupError, Error};
use crate::model::entry::ArchiveEntry;
use crate::model::keys::ArchiveObject;
use crate::model::vault::NoVaultLocator;
use crate::model::{ArchiveId, VaultLocator, VaultPlace, VaultSegment};

/// Returns the locator of each segment of an archive in the source's store, in order. A vault finds them by the ids in
/// the entry, and every other store by their keys: a copy has the same entries as a home that is a vault.
pub(in crate::engine) fn segment_locators(
    source: &OpenSource<'_>,
    archive: &ArchiveEntry,
) -> Vec<String> {
    let in_vault = vault_locators(&source.row.directory, archive, &source.store.url());
    if !in_vault.is_empty() {
        return in_vault.iter().map(ToString::to_string).collect();
    }
    segment_keys(&source.row.directory, archive)
        .map(|key| source.store.locate(&key).to_string())
        .collect()
}

/// Returns the locator of each segment of an archive in the vault of this URL, in order: none if its entry does not say
/// that they are in this vault.
pub(in crate::engine) fn vault_locators(
    directory: &str,
    archive: &ArchiveEntry,
    url: &str,
) -> Vec<VaultLocator> {
    let vault = archive.vault.as_ref().filter(|vault| vault.is_at(url));
    let in_vault = vault.into_iter().flat_map(|vault| &vault.segments);
    segment_keys(directory, archive)
        .zip(in_vault)
        .map(|(key, segment)| VaultLocator {
            key,
            segment: segment.clone(),
        })
        .collect()
}

fn segment_keys<'a>(directory: &'a str, archive: &'a ArchiveEntry) -> impl Iterator<Item = String> {
    ArchiveObject::of_entry(directory, archive)
        .filter(|object| object.segment().is_some())
        .map(|object| object.key)
}

/// Returns what the entry of an archive says of the vault at this URL, which has these segments; `None` if the URL is
/// not that of a vault. Fails if a segment has no id there: then it was not stored.
pub(in crate::engine) fn vault_place(
    url: &str,
    archive: &ArchiveId,
    rows: &[SegmentRow],
) -> Result<Option<VaultPlace>, Error> {
    let Some(vault) = VaultPlace::at(url, Vec::new()) else {
        return Ok(None);
    };
    let mut segments: Vec<VaultSegment> = Vec::new();
    let mut lacking: Vec<NoVaultLocator> = Vec::new();
    for row in rows {
        match row.locator.parse::<VaultLocator>() {
            Ok(locator) => segments.push(locator.segment),
            Err(error) => lacking.push(error),
        }
    }
    match lacking.first() {
        None => Ok(Some(VaultPlace { segments, ..vault })),
        Some(first) => Err(BackupError::SegmentsMissing {
            archive: *archive,
            store: url.to_owned(),
            objects: lacking.len(),
            first: first.to_string(),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SegmentState;
    use crate::model::{SegmentRecord, Sha256, TreeHash};

    const URL: &str = "glacier-vault://eu-central-1/archives?endpoint=http://127.0.0.1:1";

    fn row(index: u32, locator: &str) -> SegmentRow {
        SegmentRow {
            index,
            record: SegmentRecord {
                raw_bytes: 10,
                sealed_bytes: 12,
                sha256: Sha256([1; 32]),
            },
            raw_blake3: None,
            locator: locator.to_owned(),
            state: SegmentState::Stored,
        }
    }

    #[test]
    fn the_place_of_an_archive_has_the_ids_of_its_rows_in_order() {
        let id = "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap();
        let at = |name: &str| VaultLocator {
            key: format!("home/{name}"),
            segment: VaultSegment {
                id: name.parse().unwrap(),
                tree_hash: TreeHash([3; 32]),
            },
        };
        let rows = [row(0, &at("b").to_string()), row(1, &at("a").to_string())];
        let place = vault_place(URL, &id, &rows).unwrap().unwrap();
        assert_eq!(
            (place.name.as_str(), place.region.as_str()),
            ("archives", "eu-central-1")
        );
        assert_eq!(place.segments, [at("b").segment, at("a").segment]);
        assert!(place.is_at(URL));

        let rows = [rows[0].clone(), row(1, "home/key-of-a-segment")];
        let error = vault_place(URL, &id, &rows).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Backup(BackupError::SegmentsMissing { objects: 1, .. })
            ),
            "{error}"
        );
        assert_eq!(vault_place("s3://bucket", &id, &rows).unwrap(), None);
    }
}
