//! Segments of a stream that is not cut yet.

use crate::model::StorageClass;
use crate::plan::pricing::kept::{KeptObjects, KeptPart};

/// Returns the segments of a stream that is cut every `segment_bytes`, each sealed to the same share of its raw bytes.
pub fn divided(
    raw_bytes: u64,
    sealed_bytes: u64,
    segment_bytes: u64,
    class: StorageClass,
) -> KeptObjects {
    let objects = raw_bytes.div_ceil(segment_bytes.max(1)).max(1);
    let share = |raw: u64| {
        let sealed = u128::from(sealed_bytes) * u128::from(raw) / u128::from(raw_bytes.max(1));
        u64::try_from(sealed).unwrap_or(u64::MAX)
    };
    let whole = share(segment_bytes);
    let last = sealed_bytes.saturating_sub(whole.saturating_mul(objects - 1));
    let minimum = class.minimum_bytes();
    let billed = whole.max(minimum).saturating_mul(objects - 1);
    KeptObjects {
        part: KeptPart::Segments,
        class,
        objects,
        bytes: sealed_bytes,
        billed_bytes: billed.saturating_add(last.max(minimum)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_last_have_the_same_length() {
        let of = |raw, sealed, class| {
            let kept = divided(raw, sealed, 100 << 20, class);
            (kept.objects, kept.bytes, kept.billed_bytes)
        };
        let (deep, ia) = (StorageClass::DeepArchive, StorageClass::StandardIa);
        assert_eq!(of(200 << 20, 99 << 20, deep), (2, 99 << 20, 99 << 20));
        assert_eq!(of((200 << 20) + 1, 99 << 20, deep), (3, 99 << 20, 99 << 20));
        // The last one is a byte of stream, and is billed as 128 KiB.
        let sealed = (200 << 20) + 1;
        assert_eq!(
            of(sealed, sealed, ia),
            (3, sealed, (200 << 20) + (128 << 10))
        );
        // What compresses to almost nothing is billed as well.
        assert_eq!(of(200 << 20, 1000, ia), (2, 1000, 2 * (128 << 10)));
        assert_eq!(of(0, 0, deep), (1, 0, 0));
    }
}
