//! The kernel's requests: each is given to the threads that answer it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use crossbeam_channel::Sender;
use fuser::{
    Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use rustix::fs::OFlags;

use super::{ReadOnlyTree, Refusal, SeekFor};

/// A request that waits for an answer.
pub(super) type Job = Box<dyn FnOnce(&dyn ReadOnlyTree) + Send>;

/// The longest name in a directory.
const LONGEST_NAME: u32 = 255;

/// `SEEK_DATA`.
const SEEK_DATA: i32 = 3;
/// `SEEK_HOLE`.
const SEEK_HOLE: i32 = 4;

/// Requests that the kernel may send ahead, such as those of its read-ahead.
const BACKGROUND: u16 = 64;

/// Takes the requests.
pub(super) struct FuseRequests {
    /// What needs names alone.
    pub(super) names: Sender<Job>,
    /// What may need a store.
    pub(super) data: Sender<Job>,
    /// Whether the kernel checks modes and access control lists.
    pub(super) checks: bool,
}

impl FuseRequests {
    /// If no thread takes a request any more, dropping its reply answers it with an error.
    fn name(&self, job: impl FnOnce(&dyn ReadOnlyTree) + Send + 'static) {
        let _ = self.names.send(Box::new(job));
    }

    fn data(&self, job: impl FnOnce(&dyn ReadOnlyTree) + Send + 'static) {
        let _ = self.data.send(Box::new(job));
    }
}

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Missing => Errno::ENOENT,
        Refusal::WrongKind => Errno::EINVAL,
        Refusal::Denied => Errno::EACCES,
        Refusal::Cold | Refusal::NoAttribute => Errno::ENODATA,
        Refusal::Unreadable => Errno::EIO,
        Refusal::Unsupported => Errno::ENOTSUP,
        Refusal::Stale => Errno::ESTALE,
        Refusal::Beyond => Errno::ENXIO,
    }
}

/// Answers with what has a length: with that alone if the caller has no room.
fn answer_xattr(answer: Result<Vec<u8>, Refusal>, room: u32, reply: ReplyXattr) {
    match answer {
        Err(refusal) => reply.error(errno(refusal)),
        Ok(bytes) => match u32::try_from(bytes.len()) {
            Ok(length) if room == 0 => reply.size(length),
            Ok(length) if length <= room => reply.data(&bytes),
            _ => reply.error(Errno::ERANGE),
        },
    }
}

impl Filesystem for FuseRequests {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_ASYNC_READ,
            // With each listing come the attributes, which are read with the names anyway.
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_EXPORT_SUPPORT,
        ];
        if self.checks {
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        for flag in wanted {
            // An older kernel does without.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        self.name(move |tree| match tree.lookup(parent.0, &name) {
            Ok(named) => reply.entry(&named.valid, &named.attributes.in_fuse(), Generation(0)),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.name(move |tree| match tree.attributes(ino.0) {
            Ok(named) => reply.attr(&named.valid, &named.attributes.in_fuse()),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        self.name(move |tree| match tree.link_target(ino.0) {
            Ok(target) => reply.data(&target),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.name(move |tree| match tree.open_directory(ino.0) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.name(move |tree| {
            let listed = tree.list((ino.0, fh.0), offset, &mut |listed| {
                let attributes = &listed.named.attributes;
                !reply.add(
                    INodeNo(attributes.inode),
                    listed.next,
                    attributes.kind(),
                    OsStr::from_bytes(&listed.name),
                )
            });
            match listed {
                Ok(()) => reply.ok(),
                Err(refusal) => reply.error(errno(refusal)),
            }
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.name(move |tree| {
            let listed = tree.list((ino.0, fh.0), offset, &mut |listed| {
                let attributes = &listed.named.attributes;
                !reply.add(
                    INodeNo(attributes.inode),
                    listed.next,
                    OsStr::from_bytes(&listed.name),
                    &listed.named.valid,
                    &attributes.in_fuse(),
                    Generation(0),
                )
            });
            match listed {
                Ok(()) => reply.ok(),
                Err(refusal) => reply.error(errno(refusal)),
            }
        });
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.name(move |tree| {
            tree.close_directory(fh.0);
            reply.ok();
        });
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let flags = OFlags::from_bits_retain(flags.0.cast_unsigned());
        if flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC) {
            return reply.error(Errno::EROFS);
        }
        self.data(move |tree| match tree.open(ino.0) {
            // The data never changes.
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.data(
            move |tree| match tree.read(fh.0, offset..offset.saturating_add(size.into())) {
                Ok(data) => reply.data(&data),
                Err(refusal) => reply.error(errno(refusal)),
            },
        );
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.name(move |tree| {
            tree.close(fh.0);
            reply.ok();
        });
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let what = match whence {
            SEEK_DATA => SeekFor::Data,
            SEEK_HOLE => SeekFor::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let Ok(from) = u64::try_from(offset) else {
            return reply.error(Errno::ENXIO);
        };
        self.data(move |tree| {
            let found = tree.seek(fh.0, from, what);
            match found.map(i64::try_from) {
                Ok(Ok(offset)) => reply.offset(offset),
                Ok(Err(_)) => reply.error(Errno::EOVERFLOW),
                Err(refusal) => reply.error(errno(refusal)),
            }
        });
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.name(move |tree| answer_xattr(tree.xattrs(ino.0), size, reply));
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let name = name.as_bytes().to_vec();
        self.data(move |tree| answer_xattr(tree.xattr(ino.0, &name), size, reply));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, LONGEST_NAME, 4096);
    }
}
