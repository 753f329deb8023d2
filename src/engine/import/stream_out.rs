//! Writes one imported archive's send stream as it was stored, checked as in a restore.

use std::io::Write;

use super::blob::BlobStream;
use super::restore::ImportRestore;
use crate::catalog::{Catalog, ImportedArchiveRow};
use crate::error::Error;

/// Writes the stream of the last archive of the chain to `output`, and returns its length in bytes. The stream is known
/// to be whole only when this returns `Ok`. The archive stays in the spool until
/// [`drop_spooled`].
pub fn stream_import(
    restore: &ImportRestore<'_>,
    row: &ImportedArchiveRow,
    output: &mut dyn Write,
    catalog: &mut Catalog,
) -> Result<u64, Error> {
    let name = &restore.import.row.name;
    let _lock = restore.state_dir.lock_import(name, &restore.context)?;
    restore.retrieving().run(std::slice::from_ref(row))?;
    let blob = restore.blob(row);
    let parent = row.parent.and_then(|date| {
        let mut archives = restore.import.archives.iter();
        archives.find(|parent| parent.date == date)
    });
    let failed = |error| Error::file("write", "the stream", error);
    let stream = BlobStream {
        parent: parent.and_then(|parent| parent.stream_uuid),
        fifos: Vec::new(),
        limit: None,
        take: &mut |commands| output.write_all(commands).map_err(failed),
    };
    let passed = blob.pass(stream, catalog);
    blob.record(&passed, catalog, restore.context.clock)?;
    let summary = passed?;
    output.flush().map_err(failed)?;
    Ok(summary.bytes)
}

/// Removes an archive from the spool, once what was made of it is safe.
pub fn drop_spooled(restore: &ImportRestore<'_>, row: &ImportedArchiveRow) -> Result<(), Error> {
    restore.blob(row).spooled.remove()?;
    restore.spool.clear_away();
    Ok(())
}
