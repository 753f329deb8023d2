//! The receiver of an edited stream's commands.

/// The receiver of an edited stream.
pub trait EditedStream {
    /// The error that ends the stream.
    type Error;

    /// Takes bytes for `btrfs receive`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Returns the mode of the regular file at `path` after everything written so far has been carried out,
    /// if it has the setuid or setgid bit; `None` otherwise.
    fn privileged_mode(&mut self, path: &[u8]) -> Result<Option<u32>, Self::Error>;
}
