//! A tree of files to which a stream is applied.

use crate::btrfs::ContentsCommand;
use crate::model::file_node::{Changed, FileNode, ObjectId};

/// The state of a subvolume: objects, and their names in directories. A replay changes it from the state of the send
/// parent to that of the snapshot.
///
/// The root directory, [`ObjectId::ROOT`], is always there; before a full stream it is all that is there. The replay checks
/// each command before it changes anything: it never links a name that is taken, and never unlinks one that is not there
/// or leads to a directory with names in it. So an implementation needs no checks of its own.
pub trait FileTree {
    /// Why it can't be read or changed.
    type Error;

    /// Whether it wants to see each command on an object. Then it gets objects as soon as something follows on them.
    const FOLLOWS: bool = false;

    /// A command changes the data or the attributes of an object, and was found to fit it.
    fn follow(
        &mut self,
        object: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), Self::Error> {
        let _ = (object, command);
        Ok(())
    }

    /// Returns the object with that name in a directory.
    fn child(&mut self, directory: ObjectId, name: &[u8]) -> Result<Option<ObjectId>, Self::Error>;

    /// Returns what is known of an object.
    fn node(&mut self, object: ObjectId) -> Result<FileNode, Self::Error>;

    /// Adds an object that has no name yet; [`Self::link`] follows at once. It counts as [`Changed::MADE`].
    fn create(&mut self, node: &FileNode) -> Result<ObjectId, Self::Error>;

    /// Changes an object. One stream may set an object several times, and those that it makes too: what changed adds up.
    /// [`Changed::MADE`] outweighs the other bits, and [`Changed::TIMES`] counts only if it is alone.
    fn set(
        &mut self,
        object: ObjectId,
        node: &FileNode,
        changed: Changed,
    ) -> Result<(), Self::Error>;

    /// Adds bytes of the stream that were about an object, which need not be set. A command that changes names counts for
    /// the directory, but one that makes an object for that object. Over a whole stream, these are the bytes of all commands
    /// but the first and the end command.
    fn cost(&mut self, object: ObjectId, bytes: u64) -> Result<(), Self::Error>;

    /// Gives an object a name.
    fn link(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: ObjectId,
    ) -> Result<(), Self::Error>;

    /// Removes a name. A rename links the new name before it unlinks the old one, so an object without a name is gone, and
    /// nothing more follows about it.
    fn unlink(&mut self, directory: ObjectId, name: &[u8]) -> Result<(), Self::Error>;

    /// Returns whether a directory has no names in it.
    fn is_empty(&mut self, directory: ObjectId) -> Result<bool, Self::Error>;
}
