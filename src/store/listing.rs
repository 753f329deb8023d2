//! A growing listing with a limit on its memory.

use super::Listed;

/// The default limit on a listing's memory in bytes: two fifths of the 512 MiB that a run may take.
pub const DEFAULT_LISTING_BYTES: u64 = (512 << 20) / 5 * 2;

/// The allocator's overhead for a key, in bytes.
const ALLOCATION: usize = 16;

/// Memory in bytes for each directory in a caller that groups the objects by directory, as most callers do.
const DIRECTORY: usize = 1024;

/// The number of objects that a listing has room for at first.
const FIRST: usize = 1024;

/// The listing does not fit in memory.
#[derive(Debug, thiserror::Error)]
#[error(
    "it listed {objects} objects in {directories} directories and has more; a listing may take {} MiB, two \
     fifths of `memory_limit`",
    limit >> 20
)]
pub(super) struct TooMany {
    objects: usize,
    directories: usize,
    limit: usize,
}

impl TooMany {
    /// Returns the error of a listing with these keys, in any order, that may take `limit` bytes.
    pub(super) fn of<'k>(keys: impl Iterator<Item = &'k str>, limit: usize) -> Self {
        let (mut objects, mut directories, mut last) = (0, 0, None);
        for key in keys {
            objects += 1;
            if last.replace(directory(key)) != Some(directory(key)) {
                directories += 1;
            }
        }
        Self {
            objects,
            directories,
            limit,
        }
    }
}

/// The objects that were listed so far.
#[derive(Debug)]
pub(super) struct Listing {
    /// The most bytes of memory for it.
    limit: usize,
    found: Vec<Listed>,
    /// Bytes besides those of the vector itself.
    beside: usize,
    directories: usize,
}

impl Listing {
    /// Returns an empty listing with a limit on its memory, in bytes.
    pub(super) fn within(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            found: Vec::new(),
            beside: 0,
            directories: 0,
        }
    }

    /// Adds an object. Fails if the listing is then over its limit.
    pub(super) fn add(&mut self, mut object: Listed) -> Result<(), TooMany> {
        // A string that has grown may have twice the capacity that it needs.
        object.key.shrink_to_fit();
        let is_new = self
            .found
            .last()
            .is_none_or(|last| directory(&last.key) != directory(&object.key));
        if is_new {
            self.directories += 1;
            self.beside += DIRECTORY;
        }
        if self.found.len() == self.found.capacity() {
            // By default the vector would double, and half of it might stay empty.
            self.found.reserve_exact(FIRST.max(self.found.len() / 8));
        }
        self.hold(object.key.capacity() + ALLOCATION)?;
        self.found.push(object);
        Ok(())
    }

    /// Counts bytes that are used besides the objects. Fails if the listing is then over its limit.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), TooMany> {
        self.beside += bytes;
        if self.bytes() > self.limit {
            return Err(TooMany {
                objects: self.found.len(),
                directories: self.directories,
                limit: self.limit,
            });
        }
        Ok(())
    }

    /// Stops counting these bytes.
    pub(super) fn release(&mut self, bytes: usize) {
        self.beside -= bytes;
    }

    /// Returns how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.found.capacity() * size_of::<Listed>() + self.beside
    }

    /// Returns whether it has no objects.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns all listed objects, sorted by key.
    pub(super) fn sorted(mut self) -> Vec<Listed> {
        // A stable sort would need half as much memory in addition.
        self.found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        self.found
    }
}

fn directory(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::store::Stat;

    fn object(key: String) -> Listed {
        Listed {
            key,
            stat: Stat {
                bytes: 1,
                sha256: None,
                modified: DateTime::<Utc>::UNIX_EPOCH,
                class: None,
            },
        }
    }

    fn segment(archive: usize, index: usize) -> Listed {
        object(format!(
            "home/archives/2026-11-21-full-{archive:016x}/{index:06}-9c1e04b7a2d85f36.zst.age"
        ))
    }

    /// Returns how many of these objects fit.
    fn fitting(limit: u64, objects: impl Iterator<Item = Listed>) -> usize {
        let mut listing = Listing::within(limit);
        let mut fit = 0;
        for object in objects {
            if listing.add(object).is_err() {
                break;
            }
            fit += 1;
        }
        assert!(listing.found.len() == fit && fit > 0);
        fit
    }

    #[test]
    fn a_million_segments_fit_in_the_default_limit() {
        let segments = (0..1_000_000).map(|at| segment(at / 100, at % 100));
        assert_eq!(fitting(DEFAULT_LISTING_BYTES, segments), 1_000_000);
    }

    #[test]
    fn what_takes_more_memory_fits_less_often() {
        let limit = 1 << 20;
        let together = fitting(limit, (0..).map(|at| segment(1, at)));
        let apart = fitting(limit, (0..).map(|at| segment(at, 1)));
        let long = fitting(limit, (0..).map(|at| object(format!("{at:01000}"))));
        assert!(apart < together / 2, "{apart} of {together}");
        assert!(long < together / 2, "{long} of {together}");
        let roomy = fitting(
            limit,
            (0..).map(|at| {
                let mut object = segment(1, at);
                object.key.reserve(4096);
                object
            }),
        );
        assert_eq!(roomy, together, "what a key does not need is given back");
    }

    #[test]
    fn what_a_walk_holds_counts_until_it_is_released() {
        let mut listing = Listing::within(1 << 20);
        listing.hold(1 << 19).unwrap();
        assert!(listing.hold(1 << 20).is_err());
        listing.release(1 << 20);
        listing.hold(1 << 19).unwrap();
        assert_eq!(listing.bytes(), 1 << 20);
    }

    #[test]
    fn it_comes_out_sorted() {
        let mut listing = Listing::within(1 << 20);
        for key in ["b", "a/2", "a", "a/1"] {
            listing.add(object(key.to_owned())).unwrap();
        }
        let keys: Vec<String> = listing.sorted().into_iter().map(|it| it.key).collect();
        assert_eq!(keys, ["a", "a/1", "a/2", "b"]);
    }
}
