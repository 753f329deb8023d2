//! Gets a send stream directly from the kernel, with the same request as `btrfs send`, but without that
//! program.
//!
//! `btrfs send` lets the kernel write into a pipe of 64 KiB, and splices each small write into its output
//! pipe, where each takes a whole page. That costs nearly as much as making the stream. The stream is the
//! same, byte for byte (`tests/backup/kernel_sender.rs` compares them).

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

use super::error::BtrfsError;
use super::identity::{identity, open_subvolume};
use super::stream::FileData;
use super::sys::{self, SendFlags};
use crate::model::Protocol;

/// Writes the stream of a read-only snapshot into `stdout`. Returns when all of it is written.
pub fn send_from_kernel(
    snapshot: &Path,
    send_parent: Option<&Path>,
    (protocol, file_data): (Protocol, FileData),
    stdout: impl AsFd,
) -> Result<(), BtrfsError> {
    let root = open_subvolume(snapshot)?;
    let parent = send_parent.map(read_only_id).transpose()?;
    read_only_id(snapshot)?;
    let flags = match protocol {
        Protocol::V1 => SendFlags::V1,
        Protocol::V2 => SendFlags::V2,
        Protocol::CompressedData => SendFlags::COMPRESSED,
    };
    let flags = match file_data {
        FileData::Carried => flags,
        FileData::Announced => flags.without_data(),
    };
    sys::send(&root, parent, flags, stdout).map_err(|source| BtrfsError::Io {
        action: "have the kernel send",
        path: snapshot.to_owned(),
        source: explained(source, protocol),
    })
}

/// Returns the id of a subvolume. Fails if it is not read-only: then it can neither be sent nor be a send
/// parent.
fn read_only_id(path: &Path) -> Result<u64, BtrfsError> {
    let found = identity(path)?;
    if found.read_only {
        Ok(found.subvolume_id)
    } else {
        Err(BtrfsError::NotReadOnly {
            path: path.to_owned(),
        })
    }
}

/// Adds an explanation to refusals of the kernel whose names explain nothing.
fn explained(source: io::Error, protocol: Protocol) -> io::Error {
    if source.kind() == io::ErrorKind::WouldBlock {
        return io::Error::other(
            "it is being deduplicated, or another operation holds it; try again",
        );
    }
    // An older kernel refuses the flag, or the version that the flag selects.
    let refused = [Errno::INVAL, Errno::OPNOTSUPP, Errno::PROTO];
    let refused = Errno::from_io_error(&source).is_some_and(|errno| refused.contains(&errno));
    if refused && protocol.version() > 1 {
        return io::Error::other(format!(
            "{source}: Linux 6.0 or newer is needed for send streams of version 2"
        ));
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_does_not_know_version_two_is_said_to_be_too_old() {
        let said = |errno: Errno, protocol| explained(errno.into(), protocol).to_string();
        for errno in [Errno::INVAL, Errno::OPNOTSUPP, Errno::PROTO] {
            let old = "Linux 6.0 or newer is needed for send streams of version 2";
            assert!(said(errno, Protocol::V2).ends_with(old));
            assert_eq!(
                said(errno, Protocol::V1),
                io::Error::from(errno).to_string()
            );
        }
        let full = io::Error::from(Errno::NOSPC).to_string();
        assert_eq!(said(Errno::NOSPC, Protocol::V2), full);
    }
}
