//! Builds send streams by hand, right and wrong ones, after the kernel's `fs/btrfs/send.h`.
//!
//! It names nothing of the crate, so that unit tests can include it as well.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test programs share it and none uses all"
)]

/// Attribute numbers (`BTRFS_SEND_A_*`).
pub mod attr {
    pub const UUID: u16 = 1;
    pub const CTRANSID: u16 = 2;
    pub const INO: u16 = 3;
    pub const SIZE: u16 = 4;
    pub const MODE: u16 = 5;
    pub const UID: u16 = 6;
    pub const GID: u16 = 7;
    pub const RDEV: u16 = 8;
    pub const CTIME: u16 = 9;
    pub const MTIME: u16 = 10;
    pub const ATIME: u16 = 11;
    pub const XATTR_NAME: u16 = 13;
    pub const XATTR_DATA: u16 = 14;
    pub const PATH: u16 = 15;
    pub const PATH_TO: u16 = 16;
    pub const PATH_LINK: u16 = 17;
    pub const FILE_OFFSET: u16 = 18;
    pub const DATA: u16 = 19;
    pub const CLONE_UUID: u16 = 20;
    pub const CLONE_CTRANSID: u16 = 21;
    pub const CLONE_PATH: u16 = 22;
    pub const CLONE_OFFSET: u16 = 23;
    pub const CLONE_LEN: u16 = 24;
    pub const FALLOCATE_MODE: u16 = 25;
    pub const FILEATTR: u16 = 26;
    pub const UNENCODED_FILE_LEN: u16 = 27;
    pub const UNENCODED_LEN: u16 = 28;
    pub const UNENCODED_OFFSET: u16 = 29;
    pub const COMPRESSION: u16 = 30;
}

/// The stream uuid of [`StreamBuilder::full`].
pub const OWN: [u8; 16] = *b"stream-own-uuid.";
/// The send parent's uuid in [`StreamBuilder::incremental`].
pub const PARENT: [u8; 16] = *b"send-parent-uuid";
/// The ctransid of both.
pub const CTRANSID: u64 = 4711;

type Attrs<'a> = &'a [(u16, &'a [u8])];

/// A stream in the making. Every method takes any bytes: nothing is checked.
#[derive(Clone)]
pub struct StreamBuilder {
    pub bytes: Vec<u8>,
    protocol: u32,
}

impl StreamBuilder {
    /// Just the stream's header.
    pub fn header(protocol: u32) -> Self {
        let mut bytes = b"btrfs-stream\0".to_vec();
        bytes.extend(protocol.to_le_bytes());
        Self { bytes, protocol }
    }

    /// The header and a subvol command.
    pub fn full(protocol: u32) -> Self {
        Self::header(protocol).subvol(b"2026-11-21", OWN, CTRANSID)
    }

    /// The header and a snapshot command on [`PARENT`].
    pub fn incremental(protocol: u32) -> Self {
        Self::header(protocol).snapshot(b"2026-11-21", OWN, CTRANSID, PARENT, 4000)
    }

    /// How many commands there are.
    pub fn commands(&self) -> usize {
        let mut rest = &self.bytes[17..];
        let mut count = 0;
        while let Some((length, _)) = rest.split_first_chunk() {
            rest = &rest[10 + u32::from_le_bytes(*length) as usize..];
            count += 1;
        }
        count
    }

    /// Any bytes.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// Any command with its attributes and a right CRC.
    pub fn command(self, number: u16, attributes: Attrs<'_>) -> Self {
        let mut payload = Vec::new();
        for (number, value) in attributes {
            payload.extend(number.to_le_bytes());
            if *number != attr::DATA || self.protocol < 2 {
                payload.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            }
            payload.extend(*value);
        }
        self.payload(number, &payload)
    }

    /// Any command with any bytes where its attributes should be, and a right CRC.
    pub fn payload(self, number: u16, payload: &[u8]) -> Self {
        let mut command = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        command.extend(number.to_le_bytes());
        command.extend([0; 4]);
        command.extend(payload);
        let crc = !crc32c::crc32c_append(!0, &command);
        command[6..10].copy_from_slice(&crc.to_le_bytes());
        self.raw(&command)
    }

    pub fn subvol(self, name: &[u8], uuid: [u8; 16], ctransid: u64) -> Self {
        let ctransid = ctransid.to_le_bytes();
        self.command(
            1,
            &[
                (attr::PATH, name),
                (attr::UUID, &uuid),
                (attr::CTRANSID, &ctransid),
            ],
        )
    }

    pub fn snapshot(
        self,
        name: &[u8],
        uuid: [u8; 16],
        ctransid: u64,
        parent: [u8; 16],
        parent_ctransid: u64,
    ) -> Self {
        let own = ctransid.to_le_bytes();
        let other = parent_ctransid.to_le_bytes();
        self.command(
            2,
            &[
                (attr::PATH, name),
                (attr::UUID, &uuid),
                (attr::CTRANSID, &own),
                (attr::CLONE_UUID, &parent),
                (attr::CLONE_CTRANSID, &other),
            ],
        )
    }

    /// mkfile (3), mkdir (4), mkfifo (6) or mksock (7).
    pub fn make(self, number: u16, path: &[u8]) -> Self {
        self.command(
            number,
            &[(attr::PATH, path), (attr::INO, &300_u64.to_le_bytes())],
        )
    }

    pub fn mkfile(self, path: &[u8]) -> Self {
        self.make(3, path)
    }

    pub fn mkdir(self, path: &[u8]) -> Self {
        self.make(4, path)
    }

    pub fn mknod(self, path: &[u8]) -> Self {
        let number = 300_u64.to_le_bytes();
        self.command(
            5,
            &[
                (attr::PATH, path),
                (attr::INO, &number),
                (attr::RDEV, &number),
                (attr::MODE, &number),
            ],
        )
    }

    pub fn symlink(self, path: &[u8], target: &[u8]) -> Self {
        self.command(
            8,
            &[
                (attr::PATH, path),
                (attr::INO, &300_u64.to_le_bytes()),
                (attr::PATH_LINK, target),
            ],
        )
    }

    pub fn rename(self, from: &[u8], to: &[u8]) -> Self {
        self.command(9, &[(attr::PATH, from), (attr::PATH_TO, to)])
    }

    pub fn link(self, path: &[u8], target: &[u8]) -> Self {
        self.command(10, &[(attr::PATH, path), (attr::PATH_LINK, target)])
    }

    pub fn unlink(self, path: &[u8]) -> Self {
        self.command(11, &[(attr::PATH, path)])
    }

    pub fn rmdir(self, path: &[u8]) -> Self {
        self.command(12, &[(attr::PATH, path)])
    }

    pub fn set_xattr(self, path: &[u8], name: &[u8], data: &[u8]) -> Self {
        self.command(
            13,
            &[
                (attr::PATH, path),
                (attr::XATTR_NAME, name),
                (attr::XATTR_DATA, data),
            ],
        )
    }

    pub fn write(self, path: &[u8], offset: u64, data: &[u8]) -> Self {
        let offset = offset.to_le_bytes();
        self.command(
            15,
            &[
                (attr::PATH, path),
                (attr::FILE_OFFSET, &offset),
                (attr::DATA, data),
            ],
        )
    }

    pub fn clone_range(self, path: &[u8], source: [u8; 16], source_path: &[u8]) -> Self {
        let zero = 0_u64.to_le_bytes();
        let length = 4096_u64.to_le_bytes();
        self.command(
            16,
            &[
                (attr::FILE_OFFSET, &zero),
                (attr::CLONE_LEN, &length),
                (attr::PATH, path),
                (attr::CLONE_UUID, &source),
                (attr::CLONE_CTRANSID, &zero),
                (attr::CLONE_PATH, source_path),
                (attr::CLONE_OFFSET, &zero),
            ],
        )
    }

    pub fn truncate(self, path: &[u8], size: u64) -> Self {
        self.command(17, &[(attr::PATH, path), (attr::SIZE, &size.to_le_bytes())])
    }

    pub fn chmod(self, path: &[u8]) -> Self {
        self.command(
            18,
            &[(attr::PATH, path), (attr::MODE, &0o644_u64.to_le_bytes())],
        )
    }

    pub fn chown(self, path: &[u8]) -> Self {
        let zero = 0_u64.to_le_bytes();
        self.command(
            19,
            &[(attr::PATH, path), (attr::UID, &zero), (attr::GID, &zero)],
        )
    }

    pub fn utimes(self, path: &[u8]) -> Self {
        let time = [7; 12];
        self.command(
            20,
            &[
                (attr::PATH, path),
                (attr::ATIME, &time),
                (attr::MTIME, &time),
                (attr::CTIME, &time),
            ],
        )
    }

    pub fn update_extent(self, path: &[u8], size: u64) -> Self {
        self.command(
            22,
            &[
                (attr::PATH, path),
                (attr::FILE_OFFSET, &0_u64.to_le_bytes()),
                (attr::SIZE, &size.to_le_bytes()),
            ],
        )
    }

    pub fn fallocate(self, path: &[u8]) -> Self {
        let number = 4096_u64.to_le_bytes();
        self.command(
            23,
            &[
                (attr::PATH, path),
                (attr::FALLOCATE_MODE, &3_u32.to_le_bytes()),
                (attr::FILE_OFFSET, &number),
                (attr::SIZE, &number),
            ],
        )
    }

    pub fn fileattr(self, path: &[u8]) -> Self {
        self.command(
            24,
            &[(attr::PATH, path), (attr::FILEATTR, &0_u64.to_le_bytes())],
        )
    }

    /// `range` is what the file gets of the extent: its length, and from where in how many bytes.
    pub fn encoded_write(self, path: &[u8], range: [u64; 3], data: &[u8]) -> Self {
        let [file_len, offset, len] = range.map(u64::to_le_bytes);
        self.command(
            25,
            &[
                (attr::PATH, path),
                (attr::FILE_OFFSET, &0_u64.to_le_bytes()),
                (attr::UNENCODED_FILE_LEN, &file_len),
                (attr::UNENCODED_LEN, &len),
                (attr::UNENCODED_OFFSET, &offset),
                (attr::COMPRESSION, &2_u32.to_le_bytes()),
                (attr::DATA, data),
            ],
        )
    }

    pub fn end(self) -> Self {
        self.payload(21, &[])
    }

    /// The stream with its END.
    pub fn finish(self) -> Vec<u8> {
        self.end().bytes
    }
}
