//! Why a stream is refused, and where.

use std::fmt;

use super::special_kind::SpecialKind;
use super::wire::{Attribute, Command};
use crate::model::Uuid;

/// A send stream that is not whole, not what was expected, or that must not be received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the send stream is refused at byte {offset} (command {command})")]
pub struct GuardError {
    /// Where the refused command starts, in bytes from the start of the stream.
    pub offset: u64,
    /// Its number; the first is 1. 0 means the stream's header.
    pub command: u64,
    /// What is wrong.
    #[source]
    pub refusal: StreamRefusal,
}

/// What is wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StreamRefusal {
    // The frame.
    #[error("the stream is empty")]
    Empty,
    #[error("it does not start as a btrfs send stream does")]
    Magic,
    #[error("it is of protocol version {0}; versions 1 and 2 are known")]
    Version(u32),
    #[error("the stream ends inside its header, after {have} bytes")]
    CutHeader { have: usize },
    #[error("the stream ends inside a command, after {have} bytes of it")]
    CutCommand { have: usize },
    #[error("the stream ends without its end command")]
    NoEnd,
    #[error("there are bytes after the end command")]
    AfterEnd,
    #[error("a second stream starts here: the sender was stopped and continued and began again")]
    Restarted,
    #[error("a command of {found} bytes is larger than the {limit} that are allowed")]
    CommandTooLarge { found: u64, limit: usize },
    #[error("the crc32c of a command is {found:08x}, it should be {expected:08x}")]
    Crc { expected: u32, found: u32 },
    // Commands and attributes.
    #[error("a command of the unknown type {0}")]
    UnknownCommand(u16),
    #[error("a {command} command in a stream of protocol version {protocol}")]
    CommandTooNew { command: Command, protocol: u32 },
    #[error("an update_extent command: the stream was made without file data")]
    NoFileData,
    #[error(
        "an encoded_write command: the kernel's sender loses bytes of data that it sends compressed, without an error"
    )]
    CompressedData,
    #[error("a {0} command before the subvolume is named")]
    BeforeSubvolume(Command),
    #[error("a second subvolume")]
    SecondSubvolume,
    #[error("an attribute of a {command} command reaches beyond its command")]
    AttributeCut { command: Command },
    #[error("a {command} command with an attribute of the unknown type {number}")]
    UnknownAttribute { command: Command, number: u16 },
    #[error("a {command} command has its {attribute} twice")]
    DuplicateAttribute {
        command: Command,
        attribute: Attribute,
    },
    #[error("the data of a {command} command is not its last attribute")]
    DataNotLast { command: Command },
    #[error("a {command} command without its {attribute}")]
    MissingAttribute {
        command: Command,
        attribute: Attribute,
    },
    #[error("the {attribute} of a {command} command has {found} bytes, not {expected}")]
    AttributeSize {
        command: Command,
        attribute: Attribute,
        expected: usize,
        found: usize,
    },
    #[error("the {attribute} of a {command} command is all zeros")]
    NoUuid {
        command: Command,
        attribute: Attribute,
    },
    #[error(
        "an encoded_write of {file_len} bytes at offset {offset} of {len} bytes: it must lie within them, and they may be at most {limit}"
    )]
    EncodedRange {
        file_len: u64,
        offset: u64,
        len: u64,
        limit: u64,
    },
    #[error("`{}` is not a name of an extended attribute", .name.escape_ascii())]
    XattrName { name: Vec<u8> },
    // Paths.
    #[error("the path `{}` {fault}", .path.escape_ascii())]
    Path { path: Vec<u8>, fault: PathFault },
    #[error("the subvolume name `{}` is not one path component", .name.escape_ascii())]
    SubvolumeName { name: Vec<u8> },
    #[error("the path `{}` leads through the {kind} `{}`", .path.escape_ascii(), .special.escape_ascii())]
    ThroughSpecial {
        path: Vec<u8>,
        kind: SpecialKind,
        special: Vec<u8>,
    },
    #[error("a {command} command on `{}`, which is a {kind}", .path.escape_ascii())]
    OnSpecial {
        command: Command,
        path: Vec<u8>,
        kind: SpecialKind,
    },
    #[error(
        "the source has too many symlinks, devices, fifos and sockets: coldchain can check at most {nodes}, counted with the directories that lead to them, with {} MiB of names",
        .name_bytes >> 20
    )]
    TooManySpecialFiles { nodes: usize, name_bytes: usize },
    #[error("a {command} command on `{}`, a directory that is not empty", .path.escape_ascii())]
    NotEmpty { command: Command, path: Vec<u8> },
    #[error("`{}` is renamed into itself", .path.escape_ascii())]
    RenamedIntoItself { path: Vec<u8> },
    // What was expected.
    #[error("the stream is of the subvolume {found}, {expected} was expected")]
    WrongUuid { expected: Uuid, found: Uuid },
    #[error("the stream is of transaction {found}, {expected} was expected")]
    WrongCtransid { expected: u64, found: u64 },
    #[error("the stream is a full one, an incremental one on {expected} was expected")]
    NotIncremental { expected: Uuid },
    #[error("the stream is an incremental one on {found}, a full one was expected")]
    NotFull { found: Uuid },
    #[error("the stream is incremental on {found}, one on {expected} was expected")]
    WrongSendParent { expected: Uuid, found: Uuid },
    /// Its send parent is not in the state that was archived.
    #[error(
        "its send parent {uuid} was changed since it was archived: its ctransid is {found}, not {expected}"
    )]
    ChangedSendParent {
        uuid: Uuid,
        expected: u64,
        found: u64,
    },
    #[error(
        "an extended attribute that has {bytes} bytes with its name, more than the filesystem takes"
    )]
    AttributeTooLong {
        path: Vec<u8>,
        name: Vec<u8>,
        bytes: u64,
    },
    #[error("a clone from {found}, which is neither this subvolume nor its send parent")]
    ForeignClone { found: Uuid },
}

impl StreamRefusal {
    /// Returns whether the bytes are not those that a sender meant to print: cut short, garbled, or begun
    /// again. A sender that was stopped and continued, frozen by a cgroup or suspended with the machine does
    /// this and exits 0 (<https://github.com/kdave/btrfs-progs/issues/1063>). A second try may give a good
    /// stream. Other refusals are of streams that must not be received.
    pub fn is_garbled(&self) -> bool {
        matches!(
            self,
            Self::CutHeader { .. }
                | Self::CutCommand { .. }
                | Self::NoEnd
                | Self::AfterEnd
                | Self::Restarted
                | Self::CommandTooLarge { .. }
                | Self::Crc { .. }
        )
    }

    /// Returns whether the stream is of the right subvolume, or on the right send parent, but in a later
    /// state than expected.
    pub fn is_later_state(&self) -> bool {
        match self {
            Self::WrongCtransid { expected, found }
            | Self::ChangedSendParent {
                expected, found, ..
            } => found > expected,
            _ => false,
        }
    }

    /// Returns whether a path in the source is too long for a restore.
    pub fn is_long_path(&self) -> bool {
        matches!(
            self,
            Self::Path {
                fault: PathFault::PathTooLong | PathFault::ClonedTooLong,
                ..
            }
        )
    }
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PathFault {
    Absolute,
    DotDot,
    Dot,
    EmptyComponent,
    Nul,
    NameTooLong,
    PathTooLong,
    ClonedTooLong,
    Root,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absolute => "is absolute",
            Self::DotDot => "contains `..`",
            Self::Dot => "contains `.`",
            Self::EmptyComponent => "has an empty component",
            Self::Nul => "contains a NUL byte",
            Self::NameTooLong => "has a name of more than 255 bytes",
            Self::PathTooLong => "is longer than the 4,090 bytes that a restore can take",
            Self::ClonedTooLong => "is longer than the 4,083 bytes that a restore can clone from",
            Self::Root => "names the subvolume itself",
        })
    }
}
