//! Extended attributes in the form that a [`FileNode`](crate::model::file_node::FileNode) has them.

use crate::model::Blake3;

/// Bytes of a digest that are kept.
const DIGEST: usize = 16;

/// The most bytes of names and digests that one object may have. Linux lists at most 64 KiB of names, which take less
/// than 256 KiB here.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// Adds an attribute, or gives it another value. Returns whether there is room for it.
#[must_use]
pub(super) fn set(xattrs: &mut Vec<u8>, name: &[u8], value: &[u8]) -> bool {
    // The guard's rules allow no longer name.
    let Ok(length) = u8::try_from(name.len()) else {
        return false;
    };
    let digest = Blake3::of(value).0;
    let digest = &digest[..DIGEST];
    match find(xattrs, name) {
        Ok(at) => xattrs[at + 1 + name.len()..][..DIGEST].copy_from_slice(digest),
        Err(_) if xattrs.len() + 1 + name.len() + DIGEST > MOST_BYTES => return false,
        Err(at) => {
            let added = [&[length], name, digest].concat();
            xattrs.splice(at..at, added);
        }
    }
    true
}

/// Removes an attribute if it is there.
pub(super) fn remove(xattrs: &mut Vec<u8>, name: &[u8]) {
    if let Ok(at) = find(xattrs, name) {
        xattrs.drain(at..at + 1 + name.len() + DIGEST);
    }
}

/// Returns where an attribute begins, or where it belongs.
fn find(xattrs: &[u8], name: &[u8]) -> Result<usize, usize> {
    let mut at = 0;
    while let Some((&length, rest)) = xattrs[at..].split_first() {
        let length = usize::from(length);
        match rest[..length].cmp(name) {
            std::cmp::Ordering::Less => at += 1 + length + DIGEST,
            std::cmp::Ordering::Equal => return Ok(at),
            std::cmp::Ordering::Greater => return Err(at),
        }
    }
    Err(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_sorted_whatever_their_order_was() {
        let mut xattrs = Vec::new();
        for name in [&b"user.b"[..], b"user.a", b"user.ab", b"user.c", b"user.b"] {
            assert!(set(&mut xattrs, name, name));
        }
        remove(&mut xattrs, b"user.c");
        remove(&mut xattrs, b"user.absent");
        let expected: Vec<u8> = [&b"user.a"[..], b"user.ab", b"user.b"]
            .iter()
            .flat_map(|name| {
                [
                    &[u8::try_from(name.len()).unwrap()],
                    *name,
                    &Blake3::of(name).0[..16],
                ]
                .concat()
            })
            .collect();
        assert_eq!(xattrs, expected);
    }

    #[test]
    fn more_than_the_limit_is_refused_and_what_is_there_can_still_be_changed() {
        let mut xattrs = Vec::new();
        let name = |number: usize| format!("user.{number:0>250}").into_bytes();
        let fit = MOST_BYTES / (1 + 255 + DIGEST);
        for number in 0..fit {
            assert!(set(&mut xattrs, &name(number), b""));
        }
        assert!(!set(&mut xattrs, &name(fit), b""));
        assert!(set(&mut xattrs, &name(0), b"another value"));
        assert!(!set(&mut xattrs, &[b'n'; 256], b""));
    }
}
