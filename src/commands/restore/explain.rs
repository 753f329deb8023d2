//! `restore --explain`: print a script that does the restore with public tools.
//!
//! Its digests and sealed keys come from the ledger in the catalog. It uses an object of the store only if
//! its SHA-256 is the signed one. It says whether a trusted root key vouches for the ledger.

use std::fmt::Write as _;

use super::planned::Planned;
use crate::btrfs::{Version, needs};
use crate::catalog::Catalog;
use crate::commands::output::{answer, count};
use crate::commands::public_tools::{
    OPENERS, fetch, sealed_keys, segments, thaw, variable, vouched_for,
};
use crate::config::StoreConfig;
use crate::engine::{SealedArchive, sealed_archives};
use crate::error::Error;
use crate::model::Protocol;
use crate::model::shell::quoted;
use crate::model::size::Bytes;

/// Receives a stream so that only the target can be reached. `docs/restore-without-coldchain.md` has the same
/// text.
const CONFINED: &str = include_str!("confined.sh");

impl Planned<'_> {
    /// Prints the script.
    pub(super) fn explain(&self, catalog: &Catalog) -> Result<(), Error> {
        let archives = sealed_archives(&self.row.ledger, &self.plan.archives, catalog)?;
        let vouched_for = vouched_for(&self.row.name, catalog)?;
        let script = self.script(&archives, vouched_for);
        answer(&script)
    }

    fn script(&self, archives: &[SealedArchive], vouched_for: &str) -> String {
        let store = self.store;
        let (source, date) = (&self.plan.source, self.plan.date);
        let mut text = format!(
            "#!/bin/bash\n\
             # {date} of {source}, restored by other programs than coldchain: bash, coreutils, findutils, sed,\n\
             # util-linux, age, zstd, {}btrfs-progs. Run it as root. TARGET becomes a subvolume.\n\
             {vouched_for}\
             set -euo pipefail\n\
             {}\n\
             {}\n\
             target=$TARGET\n\
             \n\
             {CONFINED}\
             {OPENERS}\n\
             # Prints an object of the store.\n\
             fetch() {{ {}; }}\n\
             \n\
             # All of it is read before any of it runs.\n\
             main() {{\n",
            match store {
                StoreConfig::Dir { .. } => "",
                StoreConfig::S3 { .. } | StoreConfig::Vault { .. } => "aws, ",
            },
            variable("KIT", self.args.identity.as_deref(), "the recovery kit"),
            variable(
                "TARGET",
                self.args.to.as_deref(),
                "a directory on btrfs with nothing in it"
            ),
            fetch(store),
        );
        if let Some(oldest) = oldest_progs(archives) {
            writeln!(text, "require_progs {oldest}").expect("writing to a string does not fail");
        }
        text.push_str(&self.thaw(store, archives));
        text.push_str("prepare\n");
        for archive in archives {
            self.receive(&mut text, archive);
        }
        text.push_str("}\nmain \"$@\" < /dev/null\n");
        text
    }

    /// Returns the commands that thaw cold segments; none if no segment can be cold.
    fn thaw(&self, store: &StoreConfig, archives: &[SealedArchive]) -> String {
        let note = match store {
            StoreConfig::Dir { .. } => return String::new(),
            StoreConfig::S3 { .. } if !self.estimate.is_cold() => return String::new(),
            StoreConfig::S3 { .. } => "",
            StoreConfig::Vault { .. } => {
                "# What is thawed can be read for 24 hours: of more than the line fetches in that time, thaw a part.\n"
            }
        };
        let mut text = note.to_owned()
            + "\n\
             # Thaw what is cold first: run this script with the argument `thaw`. Hours later, run it again without it.\n\
             if [ \"${1-}\" = thaw ]; then\n";
        for archive in archives {
            for (_, name) in segments(&self.row.directory, self.store, archive) {
                let request = thaw(store, &name, &self.args.thawing);
                writeln!(text, "    {request}").expect("writing to a string does not fail");
            }
        }
        text.push_str("    exit\nfi\n");
        text
    }

    fn receive(&self, text: &mut String, archive: &SealedArchive) {
        let entry = &archive.entry;
        let sealed = sealed_keys(archive);
        write!(
            text,
            "\n# {id}: {}, {} of send stream\n\
             unlock {}\n\
             {{\n",
            count(entry.segments.len() as u64, "segment"),
            Bytes(entry.raw_bytes),
            sealed,
            id = entry.id,
        )
        .expect("writing to a string does not fail");
        for (sha256, key) in segments(&self.row.directory, self.store, archive) {
            let key = quoted(key.as_bytes());
            writeln!(text, "    segment {sha256} {key} || exit 1")
                .expect("writing to a string does not fail");
        }
        writeln!(
            text,
            "}} | confined || die '{}: was not received; what was restored before it stays'\n\
             publish {} {}",
            entry.id, entry.date, entry.stream_uuid,
        )
        .expect("writing to a string does not fail");
    }
}

/// Returns the oldest version of btrfs-progs that can receive all these archives; `None` if every version
/// can.
fn oldest_progs(archives: &[SealedArchive]) -> Option<Version> {
    let forms = archives.iter().map(|archive| archive.entry.form());
    let newer = forms.filter(|form| *form != Protocol::V1);
    newer.map(|form| needs(form).0).max()
}
