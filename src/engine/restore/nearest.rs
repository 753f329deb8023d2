//! Restores from a copy of a snapshot: a snapshot here, or a mirror's. No store, no ledger and no key is needed.
//!
//! What is restored lands as it does from the store. If the copy is on the same filesystem, it lands as a snapshot of
//! it, and has no received uuid: a second subvolume with the same one would make the filesystem unfit to receive the
//! next copy of the chain.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use crate::btrfs::{
    self, CompressedData, Confinement, Expect, ExpectParent, HeldDirectory, RECEIVED_NAME,
    ReadOnly, Receiver, SendRequest, Sender, Tools,
};
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::backup::stream_source::StreamSource;
use crate::engine::context::RunContext;
use crate::engine::mirror::end::{CopyToSend, MirrorCopy, MirrorEnd};
use crate::engine::mirror::open::open_mirror;
use crate::engine::mirror::stream_blocks::StreamReader;
use crate::engine::receive::guarded_stream::GuardedStream;
use crate::engine::receive::mark::{Begun, Lies, PlaceUse, Told, in_the_way};
use crate::engine::receive::place::{BuiltOn, ReceivePlace, UNKNOWN_LEDGER, WantedSubvolume};
use crate::engine::receive::receiving::Receiving;
use crate::engine::restore::Restored;
use crate::engine::restore::look_for_copies::{CopyOrigin, NearCopy, known_standing};
use crate::engine::snapshots::standing;
use crate::error::{Error, RestoreError};
use crate::model::{LedgerId, Protocol, SnapshotName, StreamLabel, SubvolumeIdentity, Uuid};
use crate::progress::Event;
use crate::store::RateLimit;

/// Every kernel sends it, and every `btrfs receive` takes it.
const PROTOCOL: Protocol = Protocol::V1;

/// A restore from a copy, with all that it needs.
pub struct NearRestore<'a> {
    /// The config.
    pub config: &'a Config,
    /// The source.
    pub source: &'a Source,
    /// The copy.
    pub copy: &'a NearCopy<'a>,
    /// The ledger of the source; `None` if it has none, or none is known here.
    pub ledger: Option<LedgerId>,
    /// The target directory `DIR`. The restore makes `DIR/<source>`.
    pub to: &'a Path,
    /// The name of a writable snapshot, which is made beside the restored one.
    pub writable: Option<&'a str>,
    /// The most bytes a second.
    pub limit: Option<&'a RateLimit>,
    /// What the rest of a run takes from outside.
    pub context: RunContext<'a>,
}

/// Carries out a restore from a copy.
pub fn restore_copy(restore: &NearRestore<'_>, catalog: &Catalog) -> Result<Restored, Error> {
    btrfs::require_root()?;
    if !restore.to.is_dir() {
        return Err(RestoreError::NoTarget(restore.to.to_owned()).into());
    }
    let tools = Tools::find()?;
    let to = HeldDirectory::open(restore.to)?;
    if !restore.shares() {
        Confinement::try_in(&tools, &to)?;
    }
    for message in to.fitness()? {
        restore.warn(message);
    }
    let mut place = restore.earlier_place(&to)?;
    if let Some(place) = &mut place {
        // If it was complete, this notes that its snapshot is.
        place.remove_begun()?;
    }
    let name = restore.file_name();
    let earlier = match &place {
        Some(place) => restore.already_there(place, &name)?,
        None => None,
    };
    if let (Some(place), Some(writable)) = (&place, restore.writable) {
        place.refuse_writable(OsStr::new(writable), earlier.as_ref().map(|it| it.uuid))?;
    }
    if earlier.is_none() && !restore.shares() {
        restore.require_single(&tools)?;
    }
    let place = match &mut place {
        Some(place) => place,
        none => none.insert(ReceivePlace::make(
            &to,
            &restore.source.name,
            PlaceUse::Restore,
            restore.ledger.unwrap_or(UNKNOWN_LEDGER),
        )?),
    };
    if let Some(algorithm) = place.directory.drop_compression()? {
        restore.warn(format!(
            "{} lies in a subvolume with the compression property `{algorithm}`: what is restored does not inherit it, \
             so that its files have the attributes that were archived",
            restore.to.display()
        ));
    }
    if earlier.is_some() {
        // A run may have been killed after it gave the copy its name.
        place.remove_staging();
    } else {
        let staging = Rc::new(place.make_staging()?);
        if !staging.names()?.is_empty() {
            let what = "something was put there that is not coldchain's";
            return Err(in_the_way(staging.path(), what));
        }
        let context = &restore.context;
        let _awake = context.keep_awake(&format!("restoring {}", restore.source.name));
        let landed = if restore.shares() {
            restore.share(place, &staging)
        } else {
            restore.receive(&tools, place, &staging, catalog)
        };
        if landed.is_err() {
            // The first error counts. If this removal fails, the next run does it.
            let _ = place.remove_begun();
        }
        place.remove_staging();
        landed?;
        restore.context.observer.event(Event::CopyRestored {
            source: restore.source.name.clone(),
            name: restore.name(),
            from: restore.site(),
        });
    }
    let writable = restore
        .writable
        .map(|writable| place.make_writable(OsStr::new(writable), &name));
    let writable = writable.transpose()?;
    place.stands_in(&to)?;
    Ok(Restored {
        directory: place.directory.path().to_owned(),
        writable,
    })
}

impl NearRestore<'_> {
    fn shares(&self) -> bool {
        self.copy.chosen.copy.is_on_target
    }

    fn name(&self) -> SnapshotName {
        self.copy.chosen.name
    }

    /// The name under which it lands.
    fn file_name(&self) -> OsString {
        self.name().to_string().into()
    }

    fn stream_uuid(&self) -> Uuid {
        match &self.copy.origin {
            CopyOrigin::Snapshot(row) => row.local_received.unwrap_or(row.local_uuid),
            CopyOrigin::Mirror(_, copy) => copy.stream_uuid,
        }
    }

    fn label(&self) -> StreamLabel {
        StreamLabel::Snapshot(self.name())
    }

    fn warn(&self, message: String) {
        self.context.observer.event(Event::Warning {
            source: self.source.name.clone(),
            message,
        });
    }

    /// Takes the directory of an earlier restore of the source, if there is one.
    fn earlier_place(&self, to: &HeldDirectory) -> Result<Option<ReceivePlace>, Error> {
        let of_earlier =
            |id| ReceivePlace::of_earlier(to, &self.source.name, PlaceUse::Restore, id);
        match self.ledger {
            Some(ledger) => of_earlier(Some(ledger)),
            // That of any ledger will do, as long as it is the source's.
            None => match of_earlier(None)? {
                Some(place) => Ok(Some(place)),
                None => of_earlier(Some(UNKNOWN_LEDGER)),
            },
        }
    }

    /// Returns what an earlier run has restored under the name. Fails if something else has it.
    fn already_there(
        &self,
        place: &ReceivePlace,
        name: &OsStr,
    ) -> Result<Option<SubvolumeIdentity>, Error> {
        if !place.directory.holds(name)? {
            return Ok(None);
        }
        let found = place.directory.subvolume(name).ok().flatten();
        let found = found.and_then(|found| found.identity().ok());
        let stream = Some(self.stream_uuid());
        let is_whole = |it: &SubvolumeIdentity| {
            let is_shared = place
                .mark
                .published
                .iter()
                .any(|ours| ours.subvolume_id == it.subvolume_id && ours.of == stream);
            it.read_only && (it.received_uuid == stream || is_shared)
        };
        match found.filter(is_whole) {
            Some(found) => Ok(Some(found)),
            None => Err(in_the_way(
                &place.directory.join(name),
                "it is not the subvolume that was restored there",
            )),
        }
    }

    /// Refuses a filesystem on which another subvolume has the received uuid: the next stream of the chain could be
    /// received on either.
    fn require_single(&self, tools: &Tools) -> Result<(), Error> {
        let found = btrfs::snapshots::received_from(tools, self.to, &[self.stream_uuid()])?;
        match found.into_iter().next() {
            None => Ok(()),
            Some(other) => Err(RestoreError::ReceivedElsewhere {
                path: other.path,
                stream: self.label(),
                mirror: None,
            }
            .into()),
        }
    }

    /// Makes a snapshot of a copy on the same filesystem.
    ///
    /// A writable snapshot of it has no received uuid, and gets its name by a read-only snapshot of its own.
    fn share(&self, place: &mut ReceivePlace, staging: &HeldDirectory) -> Result<(), Error> {
        let path = self.copy.path.as_deref().unwrap_or(self.to);
        let copy = HeldDirectory::open(path)?;
        let found = copy.identity()?;
        let is_it = match &self.copy.origin {
            CopyOrigin::Snapshot(row) => standing::as_it_stands(row)?.uuid == found.uuid,
            CopyOrigin::Mirror(_, copy) => {
                (found.uuid, found.ctransid) == (copy.uuid, copy.ctransid) && found.read_only
            }
        };
        if !is_it {
            return Err(in_the_way(path, "it is not the copy that was found there"));
        }
        let staged_name = OsStr::from_bytes(RECEIVED_NAME);
        let mut begun = Begun {
            name: RECEIVED_NAME.to_owned(),
            lies: Lies::Staged,
            subvolume_id: None,
            told: Some(Told::now(Some(found.uuid))),
            passes: None,
            becomes: Some(self.name()),
            of: Some(self.stream_uuid()),
        };
        place.mark.begun = Some(begun.clone());
        place.mark.write(&place.directory)?;
        staging.snapshot(&copy, staged_name, ReadOnly::No)?;
        let missing = || in_the_way(&staging.join(staged_name), "it is gone");
        let staged = staging.subvolume(staged_name)?.ok_or_else(missing)?;
        begun.subvolume_id = Some(staged.identity()?.subvolume_id);
        begun.told = None;
        place.mark.begun = Some(begun);
        place.mark.write(&place.directory)?;
        place
            .directory
            .snapshot(&staged, &self.file_name(), ReadOnly::Yes)?;
        drop(staged);
        place.remove_begun()
    }

    /// Receives the copy's full stream.
    fn receive(
        &self,
        tools: &Tools,
        place: &mut ReceivePlace,
        staging: &Rc<HeldDirectory>,
        catalog: &Catalog,
    ) -> Result<(), Error> {
        match &self.copy.origin {
            CopyOrigin::Snapshot(row) => {
                let ctransid = standing::as_it_stands(row)?.ctransid;
                let request = SendRequest {
                    snapshot: row.path.clone(),
                    send_parent: None,
                    protocol: PROTOCOL,
                    by: self.config.sender,
                };
                let sender = Box::new(Sender::spawn(tools, &request)?);
                self.receive_stream(tools, place, staging, (sender, ctransid))
            }
            CopyOrigin::Mirror(mirror, copy) => {
                let mut end = open_mirror(self.config, mirror, None, self.context)?;
                let copy = self.same_copy(&mut *end, copy, catalog)?;
                let sender = end.send(&CopyToSend {
                    uuid: copy.uuid,
                    parent: None,
                    protocol: PROTOCOL,
                })?;
                self.receive_stream(tools, place, staging, (sender, copy.ctransid))
            }
        }
    }

    /// Returns the copy as it is now: the user may have been asked meanwhile.
    fn same_copy(
        &self,
        end: &mut dyn MirrorEnd,
        copy: &MirrorCopy,
        catalog: &Catalog,
    ) -> Result<MirrorCopy, Error> {
        let CopyOrigin::Mirror(mirror, _) = &self.copy.origin else {
            return Ok(copy.clone());
        };
        let standing = known_standing(end, mirror, catalog)?;
        let is_it = |it: &MirrorCopy| {
            it.is_intact && (it.uuid, it.stream_uuid) == (copy.uuid, copy.stream_uuid)
        };
        standing.copies.into_iter().find(is_it).ok_or_else(|| {
            Error::Restore(RestoreError::CopyGone {
                source_name: self.source.name.clone(),
                name: copy.name,
                to: Box::new(mirror.to.clone()),
            })
        })
    }

    fn receive_stream(
        &self,
        tools: &Tools,
        place: &mut ReceivePlace,
        staging: &Rc<HeldDirectory>,
        (sender, ctransid): (Box<dyn StreamSource + '_>, u64),
    ) -> Result<(), Error> {
        let confinement = Confinement::to(staging, &place.directory)?;
        let receiver = Receiver::spawn(tools, confinement)?;
        let mut receiving = Receiving::new(receiver, place, staging, self.label(), None, None)?;
        self.context.observer.event(Event::CopyBegun {
            source: self.source.name.clone(),
            name: self.name(),
            from: self.site(),
            expected: self.expected(tools),
        });
        let fed = self.feed(sender, ctransid, &mut receiving);
        receiving.end(fed, &mut place.mark)?;
        place.publish(
            staging,
            &WantedSubvolume {
                name: &self.file_name(),
                stream: self.stream_uuid(),
                built_on: BuiltOn::Nothing,
            },
        )?;
        Ok(())
    }

    /// The place of the copy, in words.
    fn site(&self) -> String {
        match &self.copy.origin {
            CopyOrigin::Snapshot(row) => format!("the snapshot {}", row.path.display()),
            CopyOrigin::Mirror(mirror, _) => format!("the mirror {}", mirror.to),
        }
    }

    /// Returns about how many bytes the stream will have, if a bar needs it.
    fn expected(&self, tools: &Tools) -> Option<u64> {
        let path = self.copy.path.clone();
        let path = path.filter(|_| self.context.observer.wants_estimate())?;
        let request = SendRequest {
            snapshot: path,
            send_parent: None,
            protocol: PROTOCOL,
            by: self.config.sender,
        };
        btrfs::estimate(tools, &request).ok()
    }

    /// Hands the stream on to what receives it, if it is the wanted one.
    fn feed(
        &self,
        sender: Box<dyn StreamSource + '_>,
        ctransid: u64,
        receiving: &mut Receiving,
    ) -> Result<(), Error> {
        let expect = Expect {
            uuid: Some(self.stream_uuid()),
            ctransid: Some(ctransid),
            send_parent: ExpectParent::None,
            compressed_data: CompressedData::Refused,
        };
        let (fifos, limit) = (receiving.fifos()?, receiving.attribute_limit()?);
        let reader = StreamReader {
            source: &self.source.name,
            sent: self.site(),
            limit: self.limit,
            context: self.context,
        };
        let mut bytes = 0;
        let blocks = reader.blocks(sender, &mut bytes);
        let mut stream = GuardedStream::new(self.label(), expect, blocks, fifos, Some(limit))?;
        while let Some(commands) = stream.next()? {
            receiving.take(commands)?;
        }
        stream.finish().map(drop)
    }
}
