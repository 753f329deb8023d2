//! How fast a store takes objects.

use std::time::{Duration, Instant};

use super::random_name;
use crate::model::Sha256;
use crate::store::error::StoreError;
use crate::store::{Deleted, NewObject, ObjectKind, Put, Store};

/// Bytes of the first object, and of the second one where the first went too fast to say much.
const SIZES: [usize; 2] = [8 << 20, 64 << 20];

/// What takes less time says little.
const SHORT: Duration = Duration::from_millis(500);

/// Stores random objects whose keys begin with `below`, deletes them again, and returns how many bytes a second went
/// there. They are stored as ledger entries are: never in a cold class.
pub fn rate_of_upload(store: &dyn Store, below: &str) -> Result<u64, StoreError> {
    let mut rate = 0;
    for size in SIZES {
        let mut bytes = vec![0; size];
        getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
        let key = format!("{below}.coldchain-doctor-{}-rate", random_name());
        let sha256 = Sha256::of(&bytes);
        let object = NewObject::new(&key, bytes, sha256, ObjectKind::Ledger);
        let begun = Instant::now();
        let (Put::Created(at) | Put::Existed(at)) = store.put_if_absent(&object)?;
        let took = begun.elapsed();
        let deleted = store.delete(&at)?;
        let per_second = size as u128 * 1_000_000_000 / took.as_nanos().max(1);
        rate = u64::try_from(per_second).unwrap_or(u64::MAX).max(1);
        // A lock of the bucket's own holds what was stored, which `doctor` says: one such object is enough.
        if took >= SHORT || matches!(deleted, Deleted::Retained { .. }) {
            break;
        }
    }
    Ok(rate)
}
