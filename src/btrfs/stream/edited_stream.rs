//! Where the commands of a stream go after they were edited.

/// Where the edited stream goes.
pub trait EditedStream {
    /// Why it can't go on.
    type Error;

    /// Takes bytes for `btrfs receive`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The mode of the regular file at `path` once everything written so far has been carried out, if it
    /// has the setuid or setgid bit; `None` otherwise.
    fn privileged_mode(&mut self, path: &[u8]) -> Result<Option<u32>, Self::Error>;
}
