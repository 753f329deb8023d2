//! Receives a snapshot at a mirror: confined, checked, and then published under its name.

use std::ffi::OsString;
use std::rc::Rc;

use crate::btrfs::{
    self, CompressedData, Confinement, Expect, ExpectParent, Holds, Receiver, StreamSummary,
};
use crate::engine::mirror::directory::MirrorDirectory;
use crate::engine::mirror::end::{Blocks, CopyParent, MirrorCopy, WantedCopy};
use crate::engine::receive::guarded_stream::GuardedStream;
use crate::engine::receive::place::{BuiltOn, WantedSubvolume};
use crate::engine::receive::receiving::{Parent, Receiving};
use crate::error::{Error, MirrorError};
use crate::model::StreamLabel;

impl MirrorDirectory<'_> {
    /// Opens the copy that a stream is sent against.
    fn parent(&mut self, wanted: &WantedCopy, parent: &CopyParent) -> Result<Parent, Error> {
        let gone = || {
            Error::Mirror(MirrorError::ParentGone {
                source_name: self.source.clone(),
                name: wanted.name,
            })
        };
        let (copies, _) = self.copies(&[])?;
        let copy = copies
            .iter()
            .find(|copy| (copy.uuid, copy.stream_uuid) == (parent.uuid, parent.stream_uuid));
        let copy = copy.ok_or_else(gone)?;
        let place = self.place.as_ref().ok_or_else(gone)?;
        let name = OsString::from(copy.name.to_string());
        let subvolume = place.directory.subvolume(&name)?.ok_or_else(gone)?;
        let identity = subvolume.identity()?;
        if identity.uuid != parent.uuid || !identity.read_only {
            return Err(gone());
        }
        let holds = match self.newest {
            Some((uuid, holds)) if uuid == parent.uuid => holds,
            // It has not been searched yet.
            _ => Holds {
                fifos: true,
                privileged: true,
            },
        };
        Ok(Parent {
            uuid: parent.uuid,
            subvolume,
            holds,
        })
    }

    /// Returns the error that another subvolume has the parent's received uuid, if one has: `btrfs receive` takes the
    /// first that it finds.
    pub(super) fn two_parents(&self, parent: &CopyParent) -> Option<Error> {
        let path = self.root.path();
        let uuids = [parent.stream_uuid];
        let all = btrfs::snapshots::received_from(&self.tools, path, &uuids).ok()?;
        let (copies, _) = self.copies(&[]).ok()?;
        let copy = copies.iter().find(|copy| copy.uuid == parent.uuid)?;
        let place = self.place.as_ref()?;
        let name = OsString::from(copy.name.to_string());
        let own = place.directory.subvolume(&name).ok()??.identity().ok()?;
        let other = all
            .into_iter()
            .find(|it| it.subvolume_id != own.subvolume_id)?;
        Some(Error::Mirror(MirrorError::TwoParents {
            name: copy.name,
            path: other.path,
        }))
    }

    /// Receives a stream in the staging directory and publishes it.
    pub(super) fn receive_staged(
        &mut self,
        wanted: &WantedCopy,
        blocks: &mut Blocks<'_>,
    ) -> Result<MirrorCopy, Error> {
        let parent = match &wanted.parent {
            Some(parent) => Some(self.parent(wanted, parent)?),
            None => None,
        };
        let label = StreamLabel::Snapshot(wanted.name);
        let tools = self.tools.clone();
        let place = self.place()?;
        let staging = Rc::new(place.make_staging()?);
        let confinement = Confinement::to(&staging, &place.directory)?;
        let receiver = Receiver::spawn(&tools, confinement)?;
        let mut receiving = Receiving::new(receiver, place, &staging, label.clone(), None, parent)?;
        let fed = feed(wanted, label, blocks, &mut receiving);
        let made = fed
            .as_ref()
            .map(|summary| summary.makes)
            .unwrap_or_default();
        let holds = receiving.parent_holds() | made;
        receiving.end(fed.map(drop), &mut place.mark)?;
        let name = OsString::from(wanted.name.to_string());
        let published = place.publish(
            &staging,
            &WantedSubvolume {
                name: &name,
                stream: wanted.stream_uuid,
                built_on: match &wanted.parent {
                    Some(parent) => BuiltOn::Subvolume(parent.uuid),
                    None => BuiltOn::Nothing,
                },
            },
        )?;
        self.newest = Some((published.uuid, holds));
        Ok(MirrorCopy {
            name: wanted.name,
            uuid: published.uuid,
            stream_uuid: wanted.stream_uuid,
            ctransid: published.ctransid,
            otransid: published.otransid,
            is_intact: true,
        })
    }
}

/// Hands a stream on to what receives it, if it is the wanted one.
fn feed(
    wanted: &WantedCopy,
    label: StreamLabel,
    blocks: &mut Blocks<'_>,
    receiving: &mut Receiving,
) -> Result<StreamSummary, Error> {
    let expect = Expect {
        uuid: Some(wanted.stream_uuid),
        ctransid: Some(wanted.ctransid),
        send_parent: match &wanted.parent {
            Some(parent) => ExpectParent::State(parent.stream_uuid, parent.ctransid),
            None => ExpectParent::None,
        },
        compressed_data: CompressedData::Refused,
    };
    let (fifos, limit) = (receiving.fifos()?, receiving.attribute_limit()?);
    let mut stream = GuardedStream::new(label, expect, blocks, fifos, Some(limit))?;
    while let Some(commands) = stream.next()? {
        receiving.take(commands)?;
    }
    stream.finish()
}
