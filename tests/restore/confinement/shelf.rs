//! A machine whose writer's key was stolen: chains are put into its store and signed, past every check.

use coldchain::model::{ArchiveId, ArchiveKind, Uuid};
use serde_json::json;

use super::hostile_chain::HostileChain;
use crate::common::forged::Forger;
use crate::common::machine::Machine;

pub(crate) struct Shelf {
    machine: Machine,
    forger: Forger,
    /// How many chains are in the store.
    chains: u64,
}

impl Shelf {
    /// A machine with an empty store.
    pub(crate) fn new() -> Self {
        let machine = Machine::fed(None);
        Self {
            forger: Forger::of(&machine),
            machine,
            chains: 0,
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The dates of the next chain.
    pub(crate) fn dates(&self) -> [String; 3] {
        let month = self.chains % 12 + 1;
        let year = 2024 + self.chains / 12;
        [1, 7, 14].map(|day| format!("{year}-{month:02}-{day:02}"))
    }

    /// Stores a chain, and signs it. Its entries say what an honest writer's would.
    pub(crate) fn put(&mut self, chain: &HostileChain) {
        self.chains += 1;
        let mut parent: Option<ArchiveId> = None;
        for archive in &chain.archives {
            let kind = match parent {
                None => ArchiveKind::Full,
                Some(_) => ArchiveKind::Incremental,
            };
            let (date, stream) = (&archive.date, &archive.stream);
            let id = self
                .forger
                .archive_changed(date, kind, stream, parent.as_ref(), |body| {
                    let entry = &mut body["archive"];
                    entry["stream_uuid"] = json!(Uuid(archive.uuid));
                    entry["stream_ctransid"] = json!(archive.ctransid);
                    entry["send_parent_uuid"] = json!(archive.parent.map(Uuid));
                });
            parent = Some(id);
        }
    }
}
