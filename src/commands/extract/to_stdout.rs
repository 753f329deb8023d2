//! Writes one file of an archive to stdout.

use std::io::Write as _;
use std::path::Path;

use super::asked::{ExtractManner, PlannedExtraction};
use crate::catalog::Catalog;
use crate::commands::restore::thaw_request;
use crate::engine::Extracting;
use crate::error::Error;
use crate::model::file_node::ObjectId;
use crate::printing;

/// Bytes that are read and written at once.
const STEP: u64 = 4 << 20;

/// Returns the file that is to be written to stdout; `None` if the target is a directory.
pub(super) fn one_file(to: &Path, planned: &PlannedExtraction) -> Result<Option<ObjectId>, Error> {
    if to != Path::new("-") {
        return Ok(None);
    }
    planned.one_file("--to -").map(Some)
}

/// Thaws what is cold, and writes the file.
pub(super) fn write(
    manner: &ExtractManner<'_>,
    extracting: &Extracting<'_>,
    file: ObjectId,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    extracting.thaw(thaw_request(manner.thawing), catalog)?;
    let reader = extracting.reader(catalog)?;
    let size = extracting.extraction.chain.tree.size_of(file)?;
    let failed = |error| Error::file("write to", "stdout", error);
    let mut stdout = printing::file_out()?.lock();
    let mut at = 0;
    while at < size {
        extracting.interrupt.check()?;
        let data = reader.read(file, at..at + STEP)?;
        stdout.write_all(&data).map_err(failed)?;
        at += data.len() as u64;
    }
    stdout.flush().map_err(failed)
}
