//! Finds the segments that a batch job of S3 is to thaw, instead of requesting each thaw.

use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::engine::context::random::random_bytes;
use crate::engine::ledger::listing::listing;
use crate::engine::restore::thaw::{WantedSegments, thaw_state};
use crate::error::{Error, RestoreError};
use crate::model::{ArchiveId, BucketObject, Sha256, StorageClass, Tier, TierRefused};
use crate::plan::{BatchTier, CostRefusal};
use crate::store::S3Settings;

/// Returns the segments that have to be thawed, as objects of the bucket, in the order in which they are fetched:
/// those that are cold, or will be soon. What thaws already is left out. Requests no thaw.
///
/// A job can't thaw what Intelligent-Tiering has moved into its archive tiers together with objects of a cold
/// class: for those, the number of days must be left out.
pub fn cold_objects(
    wanted: &WantedSegments<'_>,
    settings: &S3Settings,
    tier: Tier,
    catalog: &mut Catalog,
) -> Result<Vec<BucketObject>, Error> {
    if BatchTier::of(tier).is_none() {
        return Err(RestoreError::NoBatch {
            source_name: wanted.source.name().clone(),
            why: format!("a batch job of S3 has no tier `{tier}`, only `standard` and `bulk`"),
        }
        .into());
    }
    let mut status = thaw_state(wanted, catalog)?;
    let Some(now) = status.now else {
        return Ok(Vec::new());
    };
    let mut objects = Vec::new();
    let mut archives: Vec<ArchiveId> = Vec::new();
    for (class, segment) in status.unready(now) {
        class
            .thaw_time(tier)
            .map_err(|refused: TierRefused| CostRefusal::from(refused))?;
        if !archives.contains(&segment.archive) {
            archives.push(segment.archive);
        }
        objects.push(settings.object(segment.locator()));
    }
    let keys = objects.iter().map(|object| object.key.as_str()).collect();
    for archive in archives {
        wanted.interrupt.check()?;
        require_cold_classes(wanted, &archive, settings, &keys)?;
    }
    Ok(objects)
}

/// Refuses segments whose own class is not a cold one: they lie in an archive tier of another class.
fn require_cold_classes(
    wanted: &WantedSegments<'_>,
    archive: &ArchiveId,
    settings: &S3Settings,
    keys: &BTreeSet<&str>,
) -> Result<(), Error> {
    for (key, stat) in listing(wanted.source, archive)? {
        let object = settings.object(&wanted.source.store.locate(&key));
        if keys.contains(object.key.as_str()) && !stat.class.is_some_and(StorageClass::is_cold) {
            return Err(RestoreError::NoBatch {
                source_name: wanted.source.name().clone(),
                why: format!(
                    "Intelligent-Tiering keeps {key} in an archive tier, and a job can't thaw that"
                ),
            }
            .into());
        }
    }
    Ok(())
}

/// Returns what makes two requests for a job the same one.
pub fn new_token() -> String {
    Sha256(random_bytes()).prefix16()
}
