//! What a stream says of itself, and what is expected of it.

use super::attributes::Attributes;
use super::path;
use super::refusal::StreamRefusal;
use super::wire::{Attribute, Command};
use crate::model::Uuid;

/// What a stream's first command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHead {
    /// The snapshot's name; one path component, any bytes.
    pub name: Vec<u8>,
    /// The uuid that every restore of this stream gets as its received uuid.
    pub uuid: Uuid,
    /// The transaction that last changed the snapshot's content.
    pub ctransid: u64,
    /// The uuid and ctransid of the send parent, if the stream is incremental.
    pub send_parent: Option<(Uuid, u64)>,
    /// The stream's protocol version: 1 or 2.
    pub protocol: u32,
}

/// What is expected of a stream's first command. The default expects nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// The stream uuid; `None` leaves it unchecked.
    pub uuid: Option<Uuid>,
    /// The ctransid; `None` leaves it unchecked.
    pub ctransid: Option<u64>,
    /// Whether it is full or incremental, and on which send parent.
    pub send_parent: ExpectParent,
    /// Whether data may be as it is compressed on disk.
    pub compressed_data: CompressedData,
}

/// Whether a stream may carry data as it is compressed on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CompressedData {
    /// It may: for a stream that is already archived, there is no other copy.
    #[default]
    Allowed,
    /// It may not: the kernel's sender loses bytes of such data.
    Refused,
}

/// What is expected of a stream's send parent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExpectParent {
    /// Unchecked.
    #[default]
    Any,
    /// None: the stream must be full.
    None,
    /// The stream must be incremental on the subvolume with this stream uuid, with any ctransid: a stored
    /// chain that was continued from a restored disk has the ctransid of that disk.
    Uuid(Uuid),
    /// As `Uuid`, but with this ctransid too: exactly the state that was archived. A send parent that was
    /// made writable, changed and made read-only again keeps its uuid, and a restore would lack what changed
    /// in it.
    State(Uuid, u64),
}

impl StreamHead {
    /// Reads the first command.
    pub(super) fn read(
        command: Command,
        attributes: &Attributes<'_>,
        protocol: u32,
    ) -> Result<Self, StreamRefusal> {
        let send_parent = match command {
            Command::Subvol => None,
            Command::Snapshot => Some((
                attributes.uuid(Attribute::CloneUuid)?,
                attributes.number(Attribute::CloneCtransid)?,
            )),
            other => return Err(StreamRefusal::BeforeSubvolume(other)),
        };
        let name = attributes.bytes(Attribute::Path)?;
        path::check_subvolume_name(name)?;
        Ok(Self {
            name: name.to_vec(),
            uuid: attributes.uuid(Attribute::Uuid)?,
            ctransid: attributes.number(Attribute::Ctransid)?,
            send_parent,
            protocol,
        })
    }
}

impl Expect {
    /// Checks a stream's head against what is expected.
    pub(super) fn check(&self, head: &StreamHead) -> Result<(), StreamRefusal> {
        if let Some(expected) = self.uuid
            && expected != head.uuid
        {
            let found = head.uuid;
            return Err(StreamRefusal::WrongUuid { expected, found });
        }
        if let Some(expected) = self.ctransid
            && expected != head.ctransid
        {
            let found = head.ctransid;
            return Err(StreamRefusal::WrongCtransid { expected, found });
        }
        let found = head.send_parent.map(|(uuid, _)| uuid);
        match (self.send_parent, found) {
            (ExpectParent::None, Some(found)) => Err(StreamRefusal::NotFull { found }),
            (ExpectParent::Uuid(expected) | ExpectParent::State(expected, _), None) => {
                Err(StreamRefusal::NotIncremental { expected })
            }
            (ExpectParent::Uuid(expected) | ExpectParent::State(expected, _), Some(found))
                if expected != found =>
            {
                Err(StreamRefusal::WrongSendParent { expected, found })
            }
            (ExpectParent::State(uuid, expected), Some(_)) => match head.send_parent {
                Some((_, found)) if found != expected => Err(StreamRefusal::ChangedSendParent {
                    uuid,
                    expected,
                    found,
                }),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
