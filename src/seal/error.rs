//! Why something could not be sealed or opened.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why something could not be sealed or opened. No variant holds or prints a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The list of recipients is empty.
    #[error("no recipients are given")]
    NoRecipients,
    /// A text is no public key that can be sealed to.
    #[error("{0}")]
    Recipient(RecipientFault),
    /// The identity file can't be read.
    #[error("cannot read the identity file {}", path.display())]
    IdentityRead {
        /// The identity file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The identity file has comments and blank lines only, or nothing at all.
    #[error("the identity file {} has no identity in it", path.display())]
    IdentityMissing {
        /// The identity file.
        path: PathBuf,
    },
    /// A line of the identity file is no identity. The line itself is never shown: it may be a secret with a
    /// typing error.
    #[error("line {line} of the identity file {} is {what}", path.display())]
    IdentityLine {
        /// The identity file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What the line looks like.
        what: &'static str,
    },
    /// The identity file is of a kind that can't be used.
    #[error("the identity file {} is {what}", path.display())]
    IdentityUnsupported {
        /// The identity file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The identity file needs a passphrase, and there is no terminal to ask for it.
    #[error("the identity file {} needs a passphrase, and there is no terminal to ask for it", path.display())]
    PassphraseUnavailable {
        /// The identity file.
        path: PathBuf,
    },
    /// The passphrase does not open the identity file, or the file is damaged.
    #[error("the passphrase does not open the identity file {}", path.display())]
    Passphrase {
        /// The identity file.
        path: PathBuf,
        /// What age said.
        #[source]
        source: age::DecryptError,
    },
    /// The identity file is encrypted and damaged.
    #[error("cannot decrypt the identity file {}", path.display())]
    IdentityDecrypt {
        /// The identity file.
        path: PathBuf,
        /// What age said.
        #[source]
        source: age::DecryptError,
    },
    /// None of the identities belongs to a recipient of the archive key.
    #[error("none of the identities opens the archive key")]
    NoIdentityMatches,
    /// The text is not an archive key's secret.
    #[error("this is not the secret of an archive key")]
    ArchiveKeyText,
    /// An age file could not be made.
    #[error("cannot seal {what}")]
    Seal {
        /// What was being sealed.
        what: &'static str,
        /// What age said.
        #[source]
        source: Box<age::EncryptError>,
    },
    /// An age file could not be written.
    #[error("cannot write {what}")]
    Write {
        /// What was being written.
        what: &'static str,
        /// What age said.
        #[source]
        source: io::Error,
    },
    /// The header of an age file is damaged, or sealed to another key.
    #[error("cannot unseal {what}")]
    Unseal {
        /// What was being opened.
        what: &'static str,
        /// What age said.
        #[source]
        source: age::DecryptError,
    },
    /// The header of an age file is longer than any that coldchain writes.
    #[error("{what} has no age header in its first {limit} bytes")]
    HeaderTooLong {
        /// What was being opened.
        what: &'static str,
        /// How much a header may take.
        limit: usize,
    },
    /// The payload of an age file is damaged or cut short.
    #[error("cannot decrypt {what}")]
    Decrypt {
        /// What was being opened.
        what: &'static str,
        /// What age said.
        #[source]
        source: io::Error,
    },
    /// The payload of a segment is not a run of whole zstd frames.
    #[error("cannot decompress the segment")]
    Decompress {
        /// What zstd said.
        #[source]
        source: io::Error,
    },
    /// A segment holds fewer bytes than its record says.
    #[error("the segment ends after {got} of {expected} bytes")]
    SegmentShort {
        /// Raw bytes that its record says.
        expected: u64,
        /// Raw bytes that it held.
        got: u64,
    },
    /// A segment holds more bytes than its record says.
    #[error("the segment is longer than its {expected} bytes")]
    SegmentLong {
        /// Raw bytes that its record says.
        expected: u64,
    },
    /// A segment that failed before was read again.
    #[error("the segment failed before")]
    SegmentFailed,
    /// An option is out of its range.
    #[error("{option} is {value}: {rule}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: i128,
        /// What it must be.
        rule: &'static str,
    },
    /// A zstd context could not be made.
    #[error("cannot set up zstd")]
    Compressor {
        /// What zstd said.
        #[source]
        source: io::Error,
    },
    /// A frame could not be compressed.
    #[error("cannot compress a frame")]
    Compress {
        /// What zstd said.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread for sealing")]
    Thread {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A frame is empty or longer than a frame may be.
    #[error("a frame has {got} bytes, and takes 1 to {expected}")]
    FrameSize {
        /// Bytes of a whole frame.
        expected: usize,
        /// Bytes that were pushed.
        got: usize,
    },
    /// A frame was pushed after a short frame, which must be the last.
    #[error("a frame follows a short one, which must be the last")]
    FrameAfterLast,
    /// The bytes to skip are not one whole segment, or do not begin where a segment begins.
    #[error("cannot skip {bytes} bytes: they are not a whole segment between two others")]
    SkippedPart {
        /// How many bytes were to be skipped.
        bytes: u64,
    },
    /// The stream ended before its first byte.
    #[error("the stream is empty")]
    EmptyStream,
    /// The stream needs more segments than an archive can have.
    #[error("the stream takes more segments than an archive can have")]
    TooManySegments,
    /// A sealed segment does not open, or opens to other bytes than went in.
    #[error(
        "segment {index} does not open to the bytes that were sealed: memory or processor may be faulty"
    )]
    SelfCheck {
        /// Its index.
        index: u32,
        /// What went wrong when it was opened.
        #[source]
        source: Box<SealError>,
    },
    /// The bytes that were opened have another BLAKE3 than those that were sealed.
    #[error("the bytes that came out are not those that went in")]
    Differs,
    /// A segment's seek table is not one that coldchain has written, or does not fit its frames.
    #[error("the segment has no usable seek table")]
    NoSeekTable,
    /// The layout of a segment in its archive's contents does not fit what is known of the segment otherwise.
    #[error(
        "the contents' layout of the segment does not fit it: {got} {what}, expected {expected}"
    )]
    LayoutDiffers {
        /// What is counted.
        what: &'static str,
        /// What it must be, or may be at most.
        expected: u64,
        /// What it is.
        got: u64,
    },
    /// The age header of a segment is not the one in the layout.
    #[error("the age header of the segment is not the one in the archive's contents")]
    HeaderDiffers,
    /// A frame is wanted that the segment does not have.
    #[error("the segment has no frame {frame}: it has {frames}")]
    NoSuchFrame {
        /// The number of the frame.
        frame: u32,
        /// How many there are.
        frames: u32,
    },
    /// The compressed bytes of a frame are no zstd frame, or one of too many bytes.
    #[error("cannot decompress frame {frame}")]
    DecompressFrame {
        /// The number of the frame.
        frame: u32,
        /// What zstd said.
        #[source]
        source: io::Error,
    },
    /// A frame has fewer raw bytes than it must have.
    #[error("frame {frame} has {got} raw bytes, not {expected}")]
    FrameLength {
        /// The number of the frame.
        frame: u32,
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// The raw bytes of a frame are other ones than those that were sealed.
    #[error("the BLAKE3 of frame {frame} is not the one in the archive's contents")]
    FrameDiffers {
        /// The number of the frame.
        frame: u32,
    },
    /// A compressing thread ended too early.
    #[error("a thread that compresses has died")]
    WorkerLost,
    /// Sealing has stopped: the segments' receiver was dropped, or it got the cause as
    /// [`Sealed::Failed`](super::Sealed::Failed).
    #[error("sealing has stopped")]
    Stopped,
}

/// Why a text is no recipient, and what it looks like instead.
///
/// A text that may be a secret is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientFault {
    /// Something with a secret key in it.
    Secret,
    /// An empty text.
    Empty,
    /// More than one line.
    Lines(String),
    /// An age public key with a typing error.
    Age(String),
    /// An age public key of a kind that other age programs need a plugin or a newer version for.
    AgeKind(String),
    /// An ssh public key that is cut short or damaged.
    Ssh(String),
    /// An ssh public key of a kind that age does not seal to.
    SshKind(String),
    /// An ssh-rsa key of fewer than 2048 bits.
    RsaTooSmall(String),
    /// An ssh-rsa key of more than 4096 bits.
    RsaTooLarge(String),
    /// A path.
    Path(String),
    /// Unlike any known kind.
    Unknown(String),
}

impl fmt::Display for RecipientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => f.write_str(
                "a recipient looks like a secret key: give its public key (`age1…`) and keep the secret out of the configuration",
            ),
            Self::Empty => f.write_str("a recipient is an empty text"),
            Self::Lines(text) => write!(f, "`{}` has more than one line: a recipient is a single line", ShortText(text)),
            Self::Age(text) => write!(
                f,
                "`{}` looks like an age recipient, but its checksum or length is wrong: it may have a typing error",
                ShortText(text)
            ),
            Self::AgeKind(text) => write!(
                f,
                "`{}` looks like a plugin or post-quantum age recipient: only X25519 (`age1…`) and ssh keys can be used",
                ShortText(text)
            ),
            Self::Ssh(text) => write!(
                f,
                "`{}` looks like an ssh public key, but it is cut short or damaged",
                ShortText(text)
            ),
            Self::SshKind(text) => write!(
                f,
                "`{}` looks like an ssh public key of another kind: only ssh-ed25519 and ssh-rsa can be used",
                ShortText(text)
            ),
            Self::RsaTooSmall(text) => write!(
                f,
                "`{}` is an ssh-rsa key of fewer than 2048 bits: it is too weak",
                ShortText(text)
            ),
            Self::RsaTooLarge(text) => write!(
                f,
                "`{}` is an ssh-rsa key of more than 4096 bits: it can't be used",
                ShortText(text)
            ),
            Self::Path(text) => write!(
                f,
                "`{}` looks like a path: give the public key itself",
                ShortText(text)
            ),
            Self::Unknown(text) => write!(
                f,
                "`{}` is not a recipient: a recipient reads like age1… or ssh-ed25519 AAAA…",
                ShortText(text)
            ),
        }
    }
}

/// A text for a message, shortened because an ssh-rsa key would fill the screen.
struct ShortText<'a>(&'a str);

impl fmt::Display for ShortText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        let escaped = self.0.escape_debug().to_string();
        match escaped.char_indices().nth(LONGEST) {
            Some((cut, _)) => write!(f, "{}…", &escaped[..cut]),
            None => f.write_str(&escaped),
        }
    }
}
