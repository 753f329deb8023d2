//! What an archive is sent from: snapshots here, or copies at a mirror.

use std::path::Path;

use crate::btrfs::{Expect, ExpectParent};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::Source;
use crate::engine::backup::rescue::MirrorCopies;
use crate::engine::backup::send_parent::chosen_archive;
use crate::engine::backup::stream_source::compressed_data;
use crate::engine::snapshots::standing;
use crate::error::Error;
use crate::model::{ArchiveId, Protocol, Uuid};

/// What an archive is sent from.
pub(in crate::engine) enum SentFrom {
    /// A snapshot here, against the snapshot of its send parent.
    Snapshot(SnapshotRow),
    /// Two copies at a mirror.
    Copies(MirrorCopies),
}

/// The same, with the send parent.
pub(in crate::engine) enum Streamed {
    Here {
        snapshot: SnapshotRow,
        /// Its send parent, and the uuid in that one's stream.
        parent: Option<(SnapshotRow, Uuid)>,
    },
    AtMirror(MirrorCopies),
}

impl Streamed {
    /// Returns what is sent, against the snapshot of the archive `onto`, which the planner chose.
    pub(in crate::engine) fn new(
        sent: &SentFrom,
        onto: Option<ArchiveId>,
        source: &Source,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        Ok(match sent {
            SentFrom::Copies(copies) => Self::AtMirror(copies.clone()),
            SentFrom::Snapshot(snapshot) => Self::Here {
                snapshot: snapshot.clone(),
                parent: match onto {
                    Some(parent) => Some(send_parent(source, &parent, catalog)?),
                    None => None,
                },
            },
        })
    }

    pub(in crate::engine) fn path(&self) -> &Path {
        match self {
            Self::Here { snapshot, .. } => &snapshot.path,
            Self::AtMirror(copies) => &copies.snapshot.path,
        }
    }

    pub(in crate::engine) fn parent_path(&self) -> Option<&Path> {
        match self {
            Self::Here { parent, .. } => parent.as_ref().map(|(row, _)| row.path.as_path()),
            Self::AtMirror(copies) => Some(&copies.send_parent.path),
        }
    }

    /// Returns what the first command of the stream must say.
    pub(in crate::engine) fn expected(&self, protocol: Protocol) -> Result<Expect, Error> {
        let (uuid, ctransid, send_parent) = match self {
            Self::Here { snapshot, parent } => {
                let sent = standing::as_it_stands(snapshot)?;
                let parent = match parent {
                    Some((row, uuid)) => {
                        ExpectParent::State(*uuid, standing::as_it_stands(row)?.ctransid)
                    }
                    None => ExpectParent::None,
                };
                (sent.stream_uuid(), sent.ctransid, parent)
            }
            Self::AtMirror(MirrorCopies {
                snapshot,
                send_parent,
                ..
            }) => {
                let parent = ExpectParent::State(send_parent.stream_uuid, send_parent.ctransid);
                (snapshot.stream_uuid, snapshot.ctransid, parent)
            }
        };
        Ok(Expect {
            uuid: Some(uuid),
            ctransid: Some(ctransid),
            send_parent,
            compressed_data: compressed_data(protocol),
        })
    }
}

/// Returns the snapshot of an archive that the planner chose to build on, and the uuid of its stream.
fn send_parent(
    source: &Source,
    parent: &ArchiveId,
    catalog: &Catalog,
) -> Result<(SnapshotRow, Uuid), Error> {
    let (archive, uuid, _) = chosen_archive(parent, catalog)?;
    let snapshots = standing::rows(source, catalog)?;
    let mut snapshots = snapshots.into_iter();
    let row = snapshots.find(|row| Some(row.id) == archive.snapshot);
    Ok((row.expect("the planner saw its snapshot intact"), uuid))
}
