//! What hostile archives make, how it gets about, and what is done with it.

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seed {
    Disk,
    Null,
    Fifo,
    Socket,
    /// A link to the directory above, or further up.
    Up,
    UpUp,
    FarUp,
    /// An absolute link to a canary, to a directory of canaries, or to a fifo.
    ToFile,
    ToDirectory,
    /// A link to the mark, or to what it is written as.
    ToMark,
    ToNewMark,
    /// A link to another link that leads up.
    Chained,
    /// A link to the canary disk's node in the tree.
    ToNode,
    /// A plain directory whose paths are odd.
    Odd,
}

/// How it gets to where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journey {
    Stays,
    Renamed,
    Linked,
    /// The directory that it is in gets another name.
    Carried,
    /// A regular file is there first, and is removed, or renamed over.
    Replaces,
    RenamedOver,
    /// Its hard link is renamed.
    LinkedAndRenamed,
}

/// What is done to it or through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    Write,
    EncodedWrite,
    CloneTo,
    CloneFrom,
    CloneFromParent,
    CloneFromForeign,
    Truncate,
    Fallocate,
    Chmod,
    Chown,
    Utimes,
    SetXattr,
    Mkfile,
    Mkdir,
    Mknod,
    Symlink,
    LinkIn,
    LinkOut,
    RenameIn,
    RenameOut,
    Unlink,
    Rmdir,
}

pub(crate) const SEEDS: [Seed; 20] = {
    use Seed::*;
    [
        Disk,
        Disk,
        Disk,
        Null,
        Fifo,
        Fifo,
        Socket,
        Up,
        Up,
        Up,
        UpUp,
        FarUp,
        FarUp,
        ToFile,
        ToDirectory,
        ToMark,
        ToNewMark,
        Chained,
        ToNode,
        Odd,
    ]
};
pub(crate) const JOURNEYS: [Journey; 8] = {
    use Journey::*;
    [
        Stays,
        Stays,
        Renamed,
        Linked,
        Carried,
        Replaces,
        RenamedOver,
        LinkedAndRenamed,
    ]
};
/// What is worth doing to a file that is none.
pub(crate) const ON_NODES: [Strike; 15] = {
    use Strike::*;
    [
        Write,
        Write,
        Write,
        EncodedWrite,
        EncodedWrite,
        CloneTo,
        CloneFrom,
        CloneFromParent,
        Truncate,
        Fallocate,
        Chmod,
        Chown,
        SetXattr,
        Utimes,
        Mkfile,
    ]
};
/// What is worth doing through a link.
pub(crate) const THROUGH_LINKS: [Strike; 22] = {
    use Strike::*;
    [
        Write,
        EncodedWrite,
        CloneTo,
        CloneFrom,
        CloneFromParent,
        CloneFromForeign,
        Truncate,
        Fallocate,
        Chmod,
        Chown,
        Utimes,
        SetXattr,
        Mkfile,
        Mkdir,
        Mknod,
        Symlink,
        LinkIn,
        LinkOut,
        RenameIn,
        RenameOut,
        Unlink,
        Rmdir,
    ]
};

impl Seed {
    /// Whether something lies below it.
    pub(crate) fn leads_to_a_directory(self) -> bool {
        use Seed::*;
        matches!(self, Up | UpUp | FarUp | ToDirectory | Chained | Odd)
    }
}
