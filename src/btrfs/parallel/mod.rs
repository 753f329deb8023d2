//! Makes a send stream from the kernel's stream without data and reads of the snapshot's files.
//!
//! The kernel's sender is one thread, which copies all data twice. Here the kernel says what happens, in a child process;
//! one thread lays the whole stream out in blocks with gaps where data belongs; workers read the data from the snapshot by
//! inode, straight into the gaps, or out of the tree, many small files at a time; and the blocks are handed on in their
//! order. The stream is that of `btrfs send`, byte for byte, but for clones within a file in incrementals of version 1
//! (docs/decisions.md; `tests/backup/parallel_sender.rs` compares them).
//!
//! The page cache holds what is read for a moment: each worker drops it again. It is that of the snapshot's own files,
//! which no other program has a use for.

mod block;
mod fault;
mod fill;
mod last_truncate;
mod layout;
mod moved_names;
mod open_snapshot;
mod small_files;

use std::io::{self, Read};
use std::mem;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::error::BtrfsError;
use super::identity::filesystem_id;
use super::stream::{COMMAND_HEADER, STREAM_HEADER, Unit};
use super::sys::trees;
use crate::model::Protocol;
use block::LaidBlock;
pub(super) use fault::ParallelFault;
use fill::Filler;
use layout::{Blocks, Layout};
use open_snapshot::OpenSnapshot;

/// How many bytes of the kernel's stream are read at once.
const KERNEL_BYTES: usize = 1 << 18;

/// A block on its way: it comes when a worker has filled it.
type Filled = Receiver<Result<LaidBlock, ParallelFault>>;

/// A block to fill, and where it goes then.
struct FillJob {
    block: LaidBlock,
    to: Sender<Result<LaidBlock, ParallelFault>>,
}

/// The stream, read like a file.
#[derive(Debug)]
pub(super) struct ParallelStream {
    blocks: Receiver<Filled>,
    empty: Sender<LaidBlock>,
    current: Option<LaidBlock>,
    /// How much of the current block was handed on.
    taken: usize,
    threads: Vec<JoinHandle<()>>,
    fault: Option<ParallelFault>,
}

impl ParallelStream {
    /// Returns why the stream can't be made in this way; `None` if it can.
    pub(super) fn obstacle(
        snapshot: &Path,
        send_parent: Option<&Path>,
        protocol: Protocol,
    ) -> Option<String> {
        if protocol == Protocol::CompressedData {
            return Some("data is sent as it is compressed on disk".to_owned());
        }
        let opened = OpenSnapshot::open(snapshot).map_err(|error| error.to_string());
        let by_inode = opened.and_then(|opened| {
            let root = trees::open_number(&opened.root, opened.id, trees::ROOT_INODE);
            root.map_err(|error| format!("files can't be opened by their inodes: {error}"))
        });
        if let Err(why) = by_inode {
            return Some(why);
        }
        if protocol == Protocol::V1 && send_parent.is_some() && !has_no_holes(snapshot) {
            return Some("the filesystem lacks the feature no-holes".to_owned());
        }
        None
    }

    /// Starts `readers` threads that read, and one that lays out what the kernel writes into `kernel`.
    pub(super) fn start(
        snapshot: &Path,
        send_parent: Option<&Path>,
        kernel: impl Read + Send + 'static,
        readers: NonZeroUsize,
    ) -> Result<Self, BtrfsError> {
        let path = snapshot;
        let snapshot = Arc::new(OpenSnapshot::open(path)?);
        let parent = send_parent.map(OpenSnapshot::open).transpose()?;
        let (order, blocks) = unbounded();
        let (jobs, to_fill) = unbounded::<FillJob>();
        let (empty, spare) = unbounded();
        // Each reader works on one, one more is ready for each, one is laid out, and one is handed on.
        for _ in 0..readers.get() * 2 + 2 {
            let _ = empty.send(LaidBlock::new());
        }
        let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
        let failed = |source| BtrfsError::Io {
            action: "start a thread that reads",
            path: path.to_owned(),
            source,
        };
        let mut threads = Vec::new();
        for number in 0..readers.get() {
            let (to_fill, snapshot) = (to_fill.clone(), Arc::clone(&snapshot));
            let thread = spawn(&format!("read-{number}")).spawn(move || {
                let mut reader = Filler::new(&snapshot);
                for FillJob { mut block, to } in to_fill {
                    let filled = reader.fill(&mut block).map(|()| block);
                    // A stream that is dropped takes nothing more.
                    let _ = to.send(filled);
                }
            });
            threads.push(thread.map_err(failed)?);
        }
        let thread = spawn("lay-out").spawn(move || {
            let blocks = HandedOn { spare, order, jobs };
            let _ = lay_out(kernel, Layout::new(&snapshot, parent), blocks);
        });
        threads.push(thread.map_err(failed)?);
        Ok(Self {
            blocks,
            empty,
            current: None,
            taken: 0,
            threads,
            fault: None,
        })
    }

    /// Ends the threads. Returns what went wrong, if the stream ended for that.
    pub(super) fn finish(self) -> Option<ParallelFault> {
        let Self {
            blocks,
            empty,
            threads,
            fault,
            ..
        } = self;
        drop((blocks, empty));
        // They end as soon as they have nothing to work on.
        for thread in threads {
            let _ = thread.join();
        }
        fault
    }

    /// Returns the next block; `None` at the end.
    fn next(&mut self) -> Option<LaidBlock> {
        if let Some(done) = self.current.take() {
            // Without a thread that takes it, the stream ends.
            let _ = self.empty.send(done);
        }
        self.taken = 0;
        let filled = self.blocks.recv().ok()?;
        match filled.recv() {
            Ok(Ok(block)) => Some(block),
            Ok(Err(fault)) => {
                self.fault = Some(fault);
                None
            }
            Err(_) => None,
        }
    }
}

impl Read for ParallelStream {
    /// A fault ends the stream, as a sender that fails ends its pipe: [`finish`](Self::finish) says what it was.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.fault.is_some() {
                return Ok(0);
            }
            if let Some(block) = &self.current {
                let left = &block.bytes()[self.taken..];
                if !left.is_empty() {
                    let length = left.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&left[..length]);
                    self.taken += length;
                    return Ok(length);
                }
            }
            self.current = self.next();
            if self.current.is_none() {
                return Ok(0);
            }
        }
    }
}

/// The way of blocks from the layout to the workers and on.
struct HandedOn {
    spare: Receiver<LaidBlock>,
    order: Sender<Filled>,
    jobs: Sender<FillJob>,
}

impl HandedOn {
    /// Passes on what went wrong, in place of a block.
    fn fail(&self, fault: ParallelFault) {
        let (to, filled) = bounded(1);
        let _ = to.send(Err(fault));
        let _ = self.order.send(filled);
    }
}

impl Blocks for HandedOn {
    fn take(&mut self) -> Option<LaidBlock> {
        let mut block = self.spare.recv().ok()?;
        block.clear();
        Some(block)
    }

    fn hand_on(&mut self, block: LaidBlock) {
        let (to, filled) = bounded(1);
        if self.order.send(filled).is_ok() {
            let _ = self.jobs.send(FillJob { block, to });
        }
    }
}

/// Lays out the whole stream. `None` if nothing takes it any more.
fn lay_out(mut kernel: impl Read, mut layout: Layout, mut blocks: HandedOn) -> Option<()> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; KERNEL_BYTES];
    let mut at = 0;
    let mut is_head = true;
    layout.begin(&mut blocks)?;
    loop {
        let length = match kernel.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                blocks.fail(ParallelFault::Kernel { source });
                return Some(());
            }
        };
        bytes.drain(..mem::take(&mut at));
        bytes.extend_from_slice(&chunk[..length]);
        if is_head {
            if bytes.len() < STREAM_HEADER {
                continue;
            }
            is_head = false;
            at = STREAM_HEADER;
            layout.head(&bytes[..at], &mut blocks)?;
        }
        // A sender that was stopped and continued begins anew in the midst of its stream.
        while let Some(unit) = Unit::read(&bytes[at..]) {
            if !unit.is_sound() {
                // The guard refuses it, as it would without this.
                layout.end(unit.bytes, &mut blocks);
                return Some(());
            }
            at += unit.bytes.len();
            match layout.command(unit, &mut blocks) {
                Ok(Some(())) => {}
                Ok(None) => return None,
                Err(fault) => {
                    blocks.fail(fault);
                    return Some(());
                }
            }
        }
        if Unit::is_none(&bytes[at..], layout.protocol()) {
            bytes.truncate(at + COMMAND_HEADER);
            break;
        }
    }
    // What is left is no whole command: the guard says of a stream that it is cut, or was begun anew.
    layout.end(&bytes[at..], &mut blocks);
    Some(())
}

/// Whether the filesystem of a path stores no holes, as all do since btrfs-progs 5.15. With stored holes, the kernel sends
/// other commands.
fn has_no_holes(path: &Path) -> bool {
    filesystem_id(path).is_ok_and(|filesystem| {
        Path::new(&format!("/sys/fs/btrfs/{filesystem}/features/no_holes")).exists()
    })
}
