//! What a subvolume holds, counted file by file, and a sample of its data.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

use std::ops::ControlFlow;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use super::error::BtrfsError;
use super::held::HeldDirectory;

/// How many places of the data a sample has at most.
const MOST_PLACES: usize = 64;

/// How far apart they are at first, in bytes of all files together.
const FIRST_STEP: u64 = 1 << 20;

/// How many inodes with several names are remembered, so that each counts once.
const MOST_LINKED: usize = 1_000_000;

/// `st_blocks` counts these.
const BLOCK: u64 = 512;

/// What a subvolume holds.
#[derive(Debug, Default)]
pub struct FileTotals {
    /// Bytes of its files: without holes, and before the filesystem's own compression.
    pub bytes: u64,
    /// How many files, directories and other objects it has.
    pub objects: u64,
    /// Whether all were counted.
    pub is_whole: bool,
    places: Vec<DataPlace>,
}

/// A place in the data of all files.
#[derive(Debug)]
struct DataPlace {
    path: PathBuf,
    offset: u64,
}

impl HeldDirectory {
    /// Counts what its subvolume holds, without what is nested in it, until that time. Others may change it meanwhile.
    pub fn file_totals(&self, until: Instant) -> Result<FileTotals, BtrfsError> {
        let mut totals = FileTotals::default();
        let mut sampling = Sampling {
            step: FIRST_STEP,
            next: 0,
        };
        let mut linked = HashSet::new();
        let mut is_cut = false;
        self.walk_live(|level, entry| {
            totals.objects += 1;
            if totals.objects.is_multiple_of(1024) && Instant::now() > until {
                is_cut = true;
                return Ok(ControlFlow::Break(()));
            }
            if entry.file_type() != FileType::RegularFile {
                return Ok(ControlFlow::Continue(()));
            }
            let (name, flags) = (entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            let Ok(stat) = rustix::fs::statat(level.descriptor(), name, flags) else {
                return Ok(ControlFlow::Continue(()));
            };
            let is_known =
                stat.st_nlink > 1 && linked.len() < MOST_LINKED && !linked.insert(stat.st_ino);
            if !is_known {
                let length = u64::try_from(stat.st_size).unwrap_or(0);
                let stored = u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK;
                let bytes = length.min(stored);
                sampling.pass(&mut totals, bytes, || {
                    PathBuf::from(OsString::from_vec(level.path_of(name)))
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        totals.is_whole = !is_cut;
        Ok(totals)
    }

    /// Reads so many bytes at each place of the sample, until that time. What can't be read is left out.
    pub fn read_sample(&self, totals: &FileTotals, bytes: usize, until: Instant) -> Vec<Vec<u8>> {
        let places = totals.places.iter();
        let read = places.take_while(|_| Instant::now() < until).map(|place| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            let open = |flags| rustix::fs::openat2(self, &place.path, flags, Mode::empty(), within);
            // A file of another user can't be read without a trace of it in its access time.
            let file = File::from(
                open(flags | OFlags::NOATIME)
                    .or_else(|_| open(flags))
                    .ok()?,
            );
            if !file.metadata().ok()?.is_file() {
                return None;
            }
            let mut data = vec![0; bytes];
            let length = file.read_at(&mut data, place.offset).ok()?;
            data.truncate(length);
            Some(data)
        });
        read.flatten().filter(|data| !data.is_empty()).collect()
    }
}

/// Chooses places that are equally far apart in the data of all files, whose amount is not known before the end.
struct Sampling {
    step: u64,
    /// Where the next place is, in bytes of all files together.
    next: u64,
}

impl Sampling {
    /// Counts a file of so many bytes.
    fn pass(&mut self, totals: &mut FileTotals, bytes: u64, path: impl Fn() -> PathBuf) {
        let begin = totals.bytes;
        totals.bytes += bytes;
        while self.next < totals.bytes {
            totals.places.push(DataPlace {
                path: path(),
                offset: self.next - begin,
            });
            self.next += self.step;
            if totals.places.len() > MOST_PLACES {
                let mut at = 0;
                // The places at even numbers are twice as far apart.
                totals.places.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.step *= 2;
                self.next = self.next.next_multiple_of(self.step);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_equally_far_apart_whatever_the_files_are() {
        for sizes in [vec![1 << 30; 3], vec![100_000; 50_000], vec![5, 9 << 30, 1]] {
            let mut totals = FileTotals::default();
            let mut sampling = Sampling {
                step: FIRST_STEP,
                next: 0,
            };
            let mut begins = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                begins.push(totals.bytes);
                sampling.pass(&mut totals, *size, || PathBuf::from(number.to_string()));
            }
            assert_eq!(totals.bytes, sizes.iter().sum::<u64>());
            let number = totals.places.len();
            assert!(
                (MOST_PLACES / 2..=MOST_PLACES).contains(&number),
                "{number}"
            );
            let places = totals.places.iter().map(|place| {
                let file: usize = place.path.to_str().unwrap().parse().unwrap();
                assert!(place.offset < sizes[file]);
                begins[file] + place.offset
            });
            let places: Vec<u64> = places.collect();
            assert_eq!(places[0], 0);
            assert!(
                places
                    .windows(2)
                    .all(|two| two[1] - two[0] == sampling.step)
            );
        }
    }
}
