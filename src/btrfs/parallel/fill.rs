//! Reads data into the gaps of blocks.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::fs::{Advice, fadvise};
use rustix::io::{preadv, retry_on_intr};

use super::block::{FileCheck, Gap, LaidBlock};
use super::fault::ParallelFault;
use super::open_snapshot::OpenSnapshot;
use super::small_files::SmallFiles;
use crate::btrfs::stream::{COMMAND_HEADER, FileTime, command_crc};
use crate::btrfs::sys::trees;

/// How many gaps are filled by one read. The kernel takes 1,024 at most.
const MOST_GAPS: usize = 256;

/// Fills blocks.
pub(super) struct Filler<'s> {
    snapshot: &'s OpenSnapshot,
    small: SmallFiles<'s>,
    /// The last file: the next gap is often in it too.
    open: Option<(u64, File)>,
}

impl<'s> Filler<'s> {
    pub(super) fn new(snapshot: &'s OpenSnapshot) -> Self {
        Self {
            snapshot,
            small: SmallFiles::new(snapshot),
            open: None,
        }
    }

    /// Reads all data of a block, completes the commands that have it, and compares the files with what the stream says.
    pub(super) fn fill(&mut self, block: &mut LaidBlock) -> Result<(), ParallelFault> {
        let mut gaps = std::mem::take(&mut block.gaps);
        let may_be_small = gaps.iter().filter(|gap| SmallFiles::may_have(gap));
        let last_small = may_be_small.map(|gap| gap.inode).max().unwrap_or(0);
        self.small.begin_block();
        let mut rest = gaps.as_slice();
        while let Some((first, after)) = rest.split_first() {
            if SmallFiles::may_have(first)
                && let Some(data) = self.small.data(first.inode, last_small)
                && let Some(data) = data.get(..first.length)
            {
                block.bytes_mut()[first.data..][..first.length].copy_from_slice(data);
                rest = after;
                continue;
            }
            let mut end = first.offset;
            let follows = |gap: &&Gap| {
                let fits = gap.inode == first.inode && gap.offset == end;
                end += gap.length as u64;
                fits
            };
            let length = rest.iter().take(MOST_GAPS).take_while(follows).count();
            let (run, after) = rest.split_at(length.max(1));
            self.read(run, block.bytes_mut())?;
            rest = after;
        }
        for gap in &gaps {
            complete(gap, block.bytes_mut());
        }
        gaps.clear();
        block.gaps = gaps;
        for check in &block.checks {
            self.check(check)?;
        }
        Ok(())
    }

    /// Reads the data of gaps that follow each other in one file.
    fn read(&mut self, run: &[Gap], bytes: &mut [u8]) -> Result<(), ParallelFault> {
        let inode = run[0].inode;
        let begin = run[0].offset;
        let total: usize = run.iter().map(|gap| gap.length).sum();
        let file = self.file(inode, begin)?;
        let mut done = 0;
        while done < total {
            let mut slices = slices(run, bytes, done);
            let read = retry_on_intr(|| preadv(file, &mut slices, begin + done as u64));
            let fault = match read {
                Ok(0) => io::Error::from(io::ErrorKind::UnexpectedEof),
                Ok(length) => {
                    done += length;
                    continue;
                }
                Err(errno) => errno.into(),
            };
            return Err(self.unreadable(inode, begin + done as u64, fault));
        }
        // A failure only leaves more in the page cache.
        let _ = fadvise(file, begin, NonZeroU64::new(total as u64), Advice::DontNeed);
        Ok(())
    }

    /// Returns the file with this inode, to be read from that offset on.
    fn file(&mut self, inode: u64, offset: u64) -> Result<&File, ParallelFault> {
        let is_open = self.open.as_ref().is_some_and(|(open, _)| *open == inode);
        if !is_open {
            self.open = None;
            let opened = trees::open_number(&self.snapshot.root, self.snapshot.id, inode);
            let file = opened.map_err(|error| self.unreadable(inode, offset, error))?;
            self.open = Some((inode, file));
        }
        let (_, file) = self.open.as_ref().expect("it was just opened");
        Ok(file)
    }

    fn check(&mut self, check: &FileCheck) -> Result<(), ParallelFault> {
        let (bytes, times) = match self.small.facts(check.inode) {
            Some(facts) => facts,
            None => self.facts(check.inode)?,
        };
        let what = if check.times != times {
            "a time of it"
        } else if check.bytes.is_some_and(|expected| expected != bytes) {
            "its size"
        } else {
            return Ok(());
        };
        Err(ParallelFault::Differs {
            path: self.path_of(check.inode),
            what,
        })
    }

    /// Returns the size, the mtime and the ctime of a file.
    fn facts(&mut self, inode: u64) -> Result<(u64, [FileTime; 2]), ParallelFault> {
        let stat = rustix::fs::fstat(self.file(inode, 0)?);
        let stat = stat.map_err(|errno| self.unreadable(inode, 0, errno.into()))?;
        let time = |seconds, nanoseconds: u64| FileTime {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(u32::MAX),
        };
        let times = [
            time(stat.st_mtime, stat.st_mtime_nsec),
            time(stat.st_ctime, stat.st_ctime_nsec),
        ];
        Ok((stat.st_size.unsigned_abs(), times))
    }

    fn unreadable(&self, inode: u64, offset: u64, source: io::Error) -> ParallelFault {
        ParallelFault::Unreadable {
            path: self.path_of(inode),
            offset,
            source,
        }
    }

    fn path_of(&self, inode: u64) -> PathBuf {
        let path = trees::path_of(&self.snapshot.root, self.snapshot.id, inode);
        match path {
            Ok(path) => PathBuf::from(OsString::from_vec(path)),
            Err(_) => PathBuf::from(format!("the file with inode {inode}")),
        }
    }
}

/// Returns the parts of a block that gaps are, without the first `done` bytes of all together.
fn slices<'b>(run: &[Gap], bytes: &'b mut [u8], mut done: usize) -> Vec<IoSliceMut<'b>> {
    let mut slices = Vec::with_capacity(run.len());
    let (mut rest, mut at) = (bytes, 0);
    for gap in run {
        let (_, from_gap) = rest.split_at_mut(gap.data - at);
        let (slice, after) = from_gap.split_at_mut(gap.length);
        (rest, at) = (after, gap.data + gap.length);
        let skipped = done.min(gap.length);
        done -= skipped;
        if skipped < gap.length {
            slices.push(IoSliceMut::new(&mut slice[skipped..]));
        }
    }
    slices
}

/// Writes the CRC of a command whose data is there.
fn complete(gap: &Gap, bytes: &mut [u8]) {
    let command = &mut bytes[gap.command..gap.data + gap.length];
    let (header, payload) = command
        .split_first_chunk_mut::<COMMAND_HEADER>()
        .expect("a command has a header");
    let crc = command_crc(header, payload);
    header[6..].copy_from_slice(&crc.to_le_bytes());
}
