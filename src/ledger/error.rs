//! Why an entry can't be made, and why one is refused.

use std::fmt;
use std::ops::Range;

use crate::model::entry::OPEN_BYTES;
use crate::model::entry::{FORMAT, FURTHEST, Role};
use crate::model::{ArchiveId, LedgerId, Quoted, Sha256, Uuid};

/// A key or an entry that can't be read or made.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The text is no minisign key.
    #[error("could not read a minisign {what}")]
    Key {
        /// Which kind of key.
        what: &'static str,
        /// The cause.
        source: minisign::PError,
    },
    /// Signing failed.
    #[error("could not sign {what}")]
    Sign {
        /// What was to be signed.
        what: &'static str,
        /// The cause.
        source: minisign::PError,
    },
    /// The entry can't be written, or is not valid.
    #[error("could not write or read a ledger entry")]
    Entry(#[from] EntryRefusal),
}

/// Why an object is not the entry that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryRefusal {
    /// It is not a body line and a signature.
    #[error("it is not a body line with a signature after it: {0}")]
    Shape(&'static str),
    /// The body is not canonical JSON.
    #[error("its body is not canonical JSON: {}", Quoted(.0))]
    NotCanonical(String),
    /// A field is missing or of another type.
    #[error("its body can't be understood: {}", Quoted(.0))]
    Fields(String),
    /// No key that may sign this kind has signed it.
    #[error("no key that may sign `{}` has signed it", Quoted(.kind))]
    Unsigned {
        /// The entry's kind.
        kind: String,
    },
    /// The signature's trusted comment does not match the body.
    #[error("its signature was made for another entry")]
    OtherComment,
    /// A key in the first entry has no valid grant of the root key.
    #[error("the key {} has no valid grant of the root key", Quoted(.key))]
    NoGrant {
        /// The key.
        key: String,
    },
    /// The first entry names another root key.
    #[error("it names another root key ({}) than the one that is trusted ({trusted})", Quoted(.found))]
    OtherRoot {
        /// The key in the entry.
        found: String,
        /// The trusted key.
        trusted: String,
    },
    /// It belongs to another ledger.
    #[error("it belongs to the ledger {found}, not to {expected}")]
    OtherLedger {
        /// Its ledger.
        found: LedgerId,
        /// The trusted ledger.
        expected: LedgerId,
    },
    /// It belongs to another source.
    #[error("it belongs to the source directory `{}`, not to `{expected}`", Quoted(.found))]
    OtherSource {
        /// Its source directory.
        found: String,
        /// The trusted one.
        expected: String,
    },
    /// It has another number inside.
    #[error("it says that it is entry {found}")]
    OtherNumber {
        /// The number inside.
        found: u64,
    },
    /// Numbers are missing before it.
    #[error("entry {missing} is missing before it")]
    Gap {
        /// The first missing number.
        missing: u64,
    },
    /// It does not follow the entry before it.
    #[error("it does not follow the entry before it: it names {}, and that is {}", body(found.as_ref()), body(expected.as_ref()))]
    OtherPrevious {
        /// What it names.
        found: Option<Sha256>,
        /// What it should name.
        expected: Option<Sha256>,
    },
    /// It follows an entry that is damaged or missing.
    #[error("it follows entry {last}, which is damaged or lost{}", since(*first, *last))]
    AfterLost {
        /// The first number whose entry is lost.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// It does not name exactly the quarantined numbers before it.
    #[error("it says that it skips {}, but before it {}", found.as_ref().map_or_else(|| "nothing".to_owned(), Numbers::to_string), passed_over(expected))]
    OtherSkips {
        /// What it names; `None` if that is nothing.
        found: Option<Numbers>,
        /// What it should name.
        expected: Range<u64>,
    },
    /// Its number is too far beyond the entry before it.
    #[error("its number is more than {FURTHEST} beyond entry {head}, as no entry's is")]
    TooFar {
        /// The newest valid entry.
        head: u64,
    },
    /// The first entry is longer than [`OPEN_BYTES`].
    #[error("it has {bytes} bytes, and a ledger's first entry has {OPEN_BYTES} at most")]
    OpenTooLong {
        /// How many it has.
        bytes: u64,
    },
    /// It comes after a fork, which only the root key can end.
    #[error(
        "it comes after entry {fork}, which is signed and does not fit: only a `rotate` of the root key that voids it can follow"
    )]
    AfterFork {
        /// The first number of the fork.
        fork: u64,
    },
    /// The first entry is not `open`, or a later one is.
    #[error("`open` has to be the first entry, and only that")]
    Open,
    /// The first entry is of a format that this version does not know.
    #[error("the ledger has format {format}, and this version knows format {FORMAT}")]
    Newer {
        /// Its format.
        format: u32,
    },
    /// A key other than the root key is given a role that only the root key has.
    #[error("a key other than the root key is given the role {0:?}")]
    Role(Role),
    /// The archive's facts contradict each other.
    #[error("archive {archive} contradicts itself: {what}")]
    Inconsistent {
        /// The archive.
        archive: ArchiveId,
        /// The contradiction, in words.
        what: &'static str,
    },
    /// It names an archive of a higher format than its own.
    #[error("it names {archive}, whose entry is of format {needed}: so its own has to be, too")]
    LowFormat {
        /// The archive.
        archive: ArchiveId,
        /// The archive's format.
        needed: u32,
    },
    /// The archive builds on one that is not there.
    #[error("archive {archive} builds on {parent}, which is not an earlier archive of its chain")]
    NoParent {
        /// The archive.
        archive: ArchiveId,
        /// What it names.
        parent: ArchiveId,
    },
    /// The archive's stream was archived before.
    #[error("the stream {uuid} of {archive} was archived before")]
    KnownStream {
        /// The archive.
        archive: ArchiveId,
        /// The stream uuid.
        uuid: Uuid,
    },
    /// The archive's id was retired before it was archived.
    #[error("archive {archive} was retired before this entry, and can't be committed any more")]
    Retired {
        /// The archive.
        archive: ArchiveId,
    },
    /// The archive builds on one that was retired.
    #[error("archive {archive} builds on {parent}, which was retired")]
    RetiredParent {
        /// The archive.
        archive: ArchiveId,
        /// What it names.
        parent: ArchiveId,
    },
    /// The list of retired archives is not valid.
    #[error("its list of retired archives {0}")]
    RetireList(&'static str),
    /// It retires an id that is retired already.
    #[error("it retires {archive}, which was retired before")]
    RetiredTwice {
        /// The archive.
        archive: ArchiveId,
    },
    /// The list of revived archives is not valid.
    #[error("its list of revived archives {0}")]
    ReviveList(&'static str),
    /// It revives an id that is no retired archive.
    #[error("it revives {archive}, which is no retired archive")]
    NotRetired {
        /// The id.
        archive: ArchiveId,
    },
    /// What it archives or revives would be a second archive of its date.
    #[error("{archive} would be a second archive of its date, which {other} has taken")]
    DateTaken {
        /// What it archives or revives.
        archive: ArchiveId,
        /// The archive that has its date.
        other: ArchiveId,
    },
    /// It revives an archive that is being deleted.
    #[error("it revives {archive}, whose deletion has begun")]
    RevivedLate {
        /// The archive.
        archive: ArchiveId,
    },
    /// The list of deleted archives is not valid.
    #[error("its list of deleted archives {0}")]
    DeleteList(&'static str),
    /// It deletes an id that is no retired archive.
    #[error("it deletes {archive}, which is no retired archive")]
    DeletedVisible {
        /// The id.
        archive: ArchiveId,
    },
    /// It deletes an archive whose deletion an earlier entry has begun.
    #[error("it deletes {archive}, whose deletion has begun before")]
    DeletedTwice {
        /// The archive.
        archive: ArchiveId,
    },
    /// It deletes only a part of a chain.
    #[error("it deletes only a part of a chain: {left} would stay")]
    DeletedInPart {
        /// An archive that it leaves.
        left: ArchiveId,
    },
    /// The list of the new keys is not valid.
    #[error("its list of keys {0}")]
    RotateKeys(&'static str),
    /// It voids an entry that is understood, or was voided before.
    #[error("it voids entry {seq}, which this version understands, or which is voided already")]
    VoidsKnown {
        /// The entry.
        seq: u64,
    },
    /// It voids an entry, but the key that signed the entry may still sign.
    #[error("it voids entry {seq}, but does not withdraw the key that signed it")]
    VoidsKept {
        /// The entry.
        seq: u64,
    },
    /// It brings back an archive, but the key that is deleting the archive may still sign.
    #[error("it brings {archive} back, but does not withdraw the key that is deleting it")]
    RevivesKept {
        /// The archive.
        archive: ArchiveId,
    },
    /// It retires and revives one archive.
    #[error("it both retires and revives {archive}")]
    RetiresAndRevives {
        /// The archive.
        archive: ArchiveId,
    },
    /// It attaches nothing.
    #[error("its list of attached objects is empty")]
    AttachNothing,
    /// It attaches something to an id that is no archive.
    #[error("it attaches something to {archive}, which is no earlier archive")]
    AttachUnknown {
        /// The id.
        archive: ArchiveId,
    },
    /// It would leave a visible archive that can't be restored.
    #[error("it retires {parent}, but not {archive}, which builds on it")]
    Orphaned {
        /// What it leaves.
        archive: ArchiveId,
        /// What it retires.
        parent: ArchiveId,
    },
}

fn passed_over(numbers: &Range<u64>) -> String {
    match numbers.end.saturating_sub(numbers.start) {
        0 => "there is nothing to skip".to_owned(),
        1 => format!("entry {} does not verify", numbers.start),
        _ => format!(
            "the entries {} to {} do not verify",
            numbers.start,
            numbers.end - 1
        ),
    }
}

/// A short form of some numbers: how many they are, and the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    many: usize,
    first: u64,
    last: u64,
}

impl Numbers {
    /// Returns the short form of these; `None` if there are none.
    pub fn of(numbers: &[u64]) -> Option<Self> {
        let (first, last) = numbers.first().zip(numbers.last())?;
        Some(Self {
            many: numbers.len(),
            first: *first,
            last: *last,
        })
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.many {
            1 => write!(f, "{}", self.first),
            many => write!(f, "{many} numbers from {} to {}", self.first, self.last),
        }
    }
}

fn body(hash: Option<&Sha256>) -> String {
    hash.map_or_else(|| "none".to_owned(), |hash| format!("the body {hash}"))
}

fn since(first: u64, last: u64) -> String {
    if first == last {
        String::new()
    } else {
        format!(", and so is all since entry {first}")
    }
}

impl EntryRefusal {
    /// Whether a key of the ledger has signed the object. An object without such a signature is not the
    /// ledger's, and can be passed over. A signed object that does not fit is a fork.
    pub fn was_signed(&self) -> bool {
        matches!(
            self,
            Self::Open
                | Self::OtherPrevious { .. }
                | Self::AfterLost { .. }
                | Self::OtherSkips { .. }
                | Self::Inconsistent { .. }
                | Self::LowFormat { .. }
                | Self::NoParent { .. }
                | Self::KnownStream { .. }
                | Self::Retired { .. }
                | Self::RetiredParent { .. }
                | Self::RetireList(_)
                | Self::RetiredTwice { .. }
                | Self::ReviveList(_)
                | Self::NotRetired { .. }
                | Self::DateTaken { .. }
                | Self::RevivedLate { .. }
                | Self::DeleteList(_)
                | Self::DeletedVisible { .. }
                | Self::DeletedTwice { .. }
                | Self::DeletedInPart { .. }
                | Self::RotateKeys(_)
                | Self::VoidsKnown { .. }
                | Self::VoidsKept { .. }
                | Self::RevivesKept { .. }
                | Self::RetiresAndRevives { .. }
                | Self::AfterFork { .. }
                | Self::AttachNothing
                | Self::AttachUnknown { .. }
                | Self::Orphaned { .. }
        )
    }
}
