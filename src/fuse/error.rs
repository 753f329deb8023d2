//! Why a tree can't be mounted.

use std::io;
use std::path::PathBuf;

/// Why a tree can't be mounted, or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    /// The kernel has no FUSE.
    #[error("cannot mount: there is no /dev/fuse here")]
    NoDevice,
    /// This user may not open FUSE's device.
    #[error("cannot mount: this user may not open /dev/fuse")]
    DeviceDenied(#[source] io::Error),
    /// A user needs a program to mount, and it is missing.
    #[error("cannot mount: only root can do it without the program fusermount3, which is missing")]
    NoHelper,
    /// The system does not let users show mounts to others.
    #[error("cannot mount for other users: /etc/fuse.conf does not say `user_allow_other`")]
    OthersDenied,
    /// The system refuses.
    #[error("could not mount {}: {why}", at.display())]
    Refused {
        /// Where.
        at: PathBuf,
        /// Why.
        why: String,
    },
    /// What an earlier run left mounted can't be unmounted.
    #[error("could not unmount {}, which an earlier run left: {why}", at.display())]
    StaleStays {
        /// Where.
        at: PathBuf,
        /// Why.
        why: String,
    },
    /// The connection to the kernel broke.
    #[error("the mount at {} failed", at.display())]
    Broke {
        /// Where.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
}
