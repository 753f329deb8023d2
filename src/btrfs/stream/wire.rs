//! The send stream's numbers and frames, as the kernel's `fs/btrfs/send.h` fixes them.
//!
//! A stream is a header (magic, version), then commands. A command is `u32 length`, `u16 type`,
//! `u32 crc32c`, then `length` bytes of attributes. All integers are little-endian.

use std::fmt;

/// `BTRFS_SEND_STREAM_MAGIC` with its NUL.
pub(super) const MAGIC: &[u8; 13] = b"btrfs-stream\0";
/// Bytes before the first command: the magic and a `u32` version.
pub(in crate::btrfs) const STREAM_HEADER: usize = MAGIC.len() + 4;
/// Bytes before a command's attributes.
pub const COMMAND_HEADER: usize = 10;

/// The most bytes of attributes that a command may have.
///
/// Version 1 has a 64 KiB buffer, including the header (`BTRFS_SEND_BUF_SIZE_V1`). Version 2 has no fixed
/// limit; kernels use 144 KiB, or 192 KiB with pages of 64 KiB. `btrfs receive` allocates whatever the length
/// says, so there must be a limit.
pub(super) fn payload_limit(protocol: u32) -> usize {
    match protocol {
        1 => 64 << 10,
        _ => 2 << 20,
    }
}

/// Returns the CRC-32C in the form of btrfs: seed 0, no inversion at either end, the CRC field itself as
/// zeros.
pub(in crate::btrfs) fn command_crc(header: &[u8; COMMAND_HEADER], payload: &[u8]) -> u32 {
    let mut zeroed = *header;
    zeroed[6..].fill(0);
    // The crate inverts on the way in and out, so that a raw state of 0 is its !0.
    let crc = crc32c::crc32c_append(!0, &zeroed);
    !crc32c::crc32c_append(crc, payload)
}

/// Declares the commands with their numbers, names and required attributes.
macro_rules! commands {
    ($($variant:ident = $number:literal $name:literal [$($attribute:ident)*]),+ $(,)?) => {
        /// A command's type (`enum btrfs_send_cmd`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Command {
            $(#[doc = concat!("`", $name, "`")] $variant = $number),+
        }

        impl Command {
            pub(in crate::btrfs) fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// Returns the attributes that `btrfs receive` needs.
            pub(super) fn required(self) -> &'static [Attribute] {
                match self { $(Self::$variant => &[$(Attribute::$attribute),*]),+ }
            }
        }

        impl fmt::Display for Command {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $name),+ })
            }
        }
    };
}

commands! {
    Subvol = 1 "subvol" [Path Uuid Ctransid],
    Snapshot = 2 "snapshot" [Path Uuid Ctransid CloneUuid CloneCtransid],
    Mkfile = 3 "mkfile" [Path Ino],
    Mkdir = 4 "mkdir" [Path Ino],
    Mknod = 5 "mknod" [Path Ino Mode Rdev],
    Mkfifo = 6 "mkfifo" [Path Ino],
    Mksock = 7 "mksock" [Path Ino],
    Symlink = 8 "symlink" [Path Ino PathLink],
    Rename = 9 "rename" [Path PathTo],
    Link = 10 "link" [Path PathLink],
    Unlink = 11 "unlink" [Path],
    Rmdir = 12 "rmdir" [Path],
    SetXattr = 13 "set_xattr" [Path XattrName XattrData],
    RemoveXattr = 14 "remove_xattr" [Path XattrName],
    Write = 15 "write" [Path FileOffset Data],
    Clone = 16 "clone" [Path FileOffset CloneLen CloneUuid CloneCtransid ClonePath CloneOffset],
    Truncate = 17 "truncate" [Path Size],
    Chmod = 18 "chmod" [Path Mode],
    Chown = 19 "chown" [Path Uid Gid],
    Utimes = 20 "utimes" [Path Atime Mtime Ctime],
    End = 21 "end" [],
    UpdateExtent = 22 "update_extent" [Path FileOffset Size],
    Fallocate = 23 "fallocate" [Path FallocateMode FileOffset Size],
    Fileattr = 24 "fileattr" [Path Fileattr],
    EncodedWrite = 25 "encoded_write"
        [Path FileOffset UnencodedFileLen UnencodedLen UnencodedOffset Data],
}

impl Command {
    /// Returns the version of the protocol that introduced it.
    pub(super) fn since(self) -> u32 {
        match self {
            Self::Fallocate | Self::Fileattr | Self::EncodedWrite => 2,
            _ => 1,
        }
    }

    /// Returns whether its last attribute is data of a file, which contents leave out.
    pub(super) fn has_file_data(self) -> bool {
        matches!(self, Self::Write | Self::EncodedWrite)
    }
}

/// The form of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Exactly this many bytes: an integer, a uuid, a timestamp.
    Fixed(usize),
    /// Any bytes.
    Bytes,
}

/// Declares the attributes with their numbers, names and shapes.
macro_rules! attributes {
    ($($variant:ident = $number:literal $name:literal $shape:expr),+ $(,)?) => {
        /// An attribute's type (the anonymous enum of `BTRFS_SEND_A_*`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Attribute {
            $(#[doc = concat!("`", $name, "`")] $variant = $number),+
        }

        impl Attribute {
            pub(super) fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            pub(super) fn shape(self) -> Shape {
                match self { $(Self::$variant => $shape),+ }
            }
        }

        impl fmt::Display for Attribute {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $name),+ })
            }
        }
    };
}

const U32: Shape = Shape::Fixed(4);
const U64: Shape = Shape::Fixed(8);
const UUID: Shape = Shape::Fixed(16);
/// `u64` seconds, `u32` nanoseconds.
const TIME: Shape = Shape::Fixed(12);

attributes! {
    Uuid = 1 "uuid" UUID,
    Ctransid = 2 "ctransid" U64,
    Ino = 3 "ino" U64,
    Size = 4 "size" U64,
    Mode = 5 "mode" U64,
    Uid = 6 "uid" U64,
    Gid = 7 "gid" U64,
    Rdev = 8 "rdev" U64,
    Ctime = 9 "ctime" TIME,
    Mtime = 10 "mtime" TIME,
    Atime = 11 "atime" TIME,
    Otime = 12 "otime" TIME,
    XattrName = 13 "xattr_name" Shape::Bytes,
    XattrData = 14 "xattr_data" Shape::Bytes,
    Path = 15 "path" Shape::Bytes,
    PathTo = 16 "path_to" Shape::Bytes,
    PathLink = 17 "path_link" Shape::Bytes,
    FileOffset = 18 "file_offset" U64,
    Data = 19 "data" Shape::Bytes,
    CloneUuid = 20 "clone_uuid" UUID,
    CloneCtransid = 21 "clone_ctransid" U64,
    ClonePath = 22 "clone_path" Shape::Bytes,
    CloneOffset = 23 "clone_offset" U64,
    CloneLen = 24 "clone_len" U64,
    FallocateMode = 25 "fallocate_mode" U32,
    Fileattr = 26 "fileattr" U64,
    UnencodedFileLen = 27 "unencoded_file_len" U64,
    UnencodedLen = 28 "unencoded_len" U64,
    UnencodedOffset = 29 "unencoded_offset" U64,
    Compression = 30 "compression" U32,
    Encryption = 31 "encryption" U32,
}

/// One more than the highest attribute number of version 2.
pub(super) const ATTRIBUTES: usize = 32;

impl Attribute {
    /// Returns the version of the protocol that introduced it.
    pub(super) fn since(self) -> u32 {
        if (self as u16) < Self::FallocateMode as u16 {
            1
        } else {
            2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_command_has_the_crc_that_every_real_stream_ends_with() {
        let end = [0, 0, 0, 0, 0x15, 0, 0x50, 0x6c, 0xc9, 0x9d];
        assert_eq!(command_crc(&end, &[]), 0x9dc9_6c50);
    }

    #[test]
    fn every_number_names_the_command_that_has_it() {
        for number in 0..=100 {
            if let Some(command) = Command::from_number(number) {
                assert_eq!(command as u16, number);
            }
        }
        assert!(Command::from_number(0).is_none());
        assert!(Command::from_number(26).is_none());
        assert_eq!(Attribute::from_number(31), Some(Attribute::Encryption));
        assert!(Attribute::from_number(32).is_none());
    }
}
