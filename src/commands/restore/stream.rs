//! `restore --stream`: one archive's send stream, to a file or to stdout.

use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::planned::{Planned, thaw_request};
use crate::catalog::Catalog;
use crate::commands::output::{answer_json, answer_lines};
use crate::engine::{NewFile, OpenSource, StreamingOut, still_stands, stream_out};
use crate::error::Error;
use crate::model::size::Bytes;
use crate::printing::{self, shown};

/// A larger buffer has no use: `btrfs receive` reads no more from a pipe at once.
const BUFFER: usize = 1 << 20;

impl Planned<'_> {
    /// Writes the stream of the date's archive to a new file, or to stdout for `-`.
    pub(super) fn stream(&mut self, output: &Path, catalog: &mut Catalog) -> Result<(), Error> {
        if output == Path::new("-") {
            let mut stdout = BufWriter::with_capacity(BUFFER, printing::stream_out()?.lock());
            self.stream_to(&mut stdout, catalog)?;
            return Ok(());
        }
        let mut file = NewFile::create(output)?;
        let bytes = self.stream_to(&mut file, catalog)?;
        file.publish()?;
        let plan = self.plan;
        if self.everywhere.json {
            return answer_json(&json!({
                "event": "done", "source": plan.source, "date": plan.date, "file": shown(output),
                "raw_bytes": bytes,
            }));
        }
        if self.everywhere.quiet {
            return Ok(());
        }
        answer_lines([format!(
            "{}: the stream of {} is in {}, {}",
            plan.source,
            plan.date,
            output.display(),
            Bytes(bytes)
        )])
    }

    fn stream_to(&mut self, output: &mut dyn Write, catalog: &mut Catalog) -> Result<u64, Error> {
        let (file, identities) = self.identity()?;
        let identity_name = file.display().to_string();
        let archive = self.plan.archives.last();
        let archive = *archive.expect("a plan has an archive for its date");
        let source = OpenSource {
            config: self.source,
            row: self.row.clone(),
            store: self.open_store()?,
        };
        self.ask_store(&source, catalog)?;
        self.confirm(&format!("Write the stream of {archive}?"))?;
        if !self.args.retired && self.place.is_none() {
            still_stands(&source, self.plan, self.state_dir, catalog, self.context)?;
        }
        let streaming = StreamingOut {
            source: &source,
            archive,
            identities: &identities,
            identity_name: &identity_name,
            class: self.store.storage_class(),
            at_once: self.at_once(),
            thaw: thaw_request(&self.args.thawing),
            observer: self.context.observer,
            interrupt: self.context.interrupt,
            clock: self.context.clock,
            others: self.others,
        };
        stream_out(&streaming, output, catalog)
    }
}
