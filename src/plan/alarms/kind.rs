//! The kinds of alarms.

/// What an alarm is about. The order is that of their urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// Nothing was ever archived.
    NeverArchived,
    /// Archives that were due are missing.
    Overdue,
    /// A check found damage.
    Damaged,
    /// The last run of a command failed.
    RunFailed,
    /// Most files of the archive before are gone.
    FilesVanished,
    /// The newest archive is far smaller than usual.
    ArchiveSmall,
    /// The newest archive is far larger than usual.
    ArchiveLarge,
    /// The newest incremental is nearly as large as a full.
    NearlyFull,
    /// The snapshot that is kept for a mirror goes soon.
    HoldRunsOut,
    /// An archive will be unlocked before it expires.
    LockRunsOut,
    /// A copy lacks archives.
    CopyBehind,
    /// A mirror lacks snapshots.
    MirrorBehind,
    /// Nothing was verified for a long time.
    VerifyOld,
    /// No drill was done for a long time.
    DrillOld,
    /// A month costs far more than it did.
    CostRises,
}

/// How urgent an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It should be looked at.
    Warning,
    /// Something is not backed up, or was lost.
    Critical,
}

impl Urgency {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl AlarmKind {
    /// Returns whether it says that archives which were due are missing.
    pub fn is_late(self) -> bool {
        matches!(self, Self::NeverArchived | Self::Overdue)
    }

    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::NeverArchived,
        Self::Overdue,
        Self::Damaged,
        Self::RunFailed,
        Self::FilesVanished,
        Self::ArchiveSmall,
        Self::ArchiveLarge,
        Self::NearlyFull,
        Self::HoldRunsOut,
        Self::LockRunsOut,
        Self::CopyBehind,
        Self::MirrorBehind,
        Self::VerifyOld,
        Self::DrillOld,
        Self::CostRises,
    ];

    /// Its name in the config, in JSON and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverArchived => "never-archived",
            Self::Overdue => "overdue",
            Self::Damaged => "damaged",
            Self::RunFailed => "run-failed",
            Self::FilesVanished => "files-vanished",
            Self::ArchiveSmall => "archive-small",
            Self::ArchiveLarge => "archive-large",
            Self::NearlyFull => "nearly-full",
            Self::HoldRunsOut => "hold-runs-out",
            Self::LockRunsOut => "lock-runs-out",
            Self::CopyBehind => "copy-behind",
            Self::MirrorBehind => "mirror-behind",
            Self::VerifyOld => "verify-old",
            Self::DrillOld => "drill-old",
            Self::CostRises => "cost-rises",
        }
    }

    /// How urgent it is.
    pub fn urgency(self) -> Urgency {
        match self {
            Self::NeverArchived
            | Self::Overdue
            | Self::Damaged
            | Self::RunFailed
            | Self::FilesVanished => Urgency::Critical,
            _ => Urgency::Warning,
        }
    }
}
