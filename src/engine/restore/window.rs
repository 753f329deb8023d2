//! The window of a source's store: how much of it is thawed at once.

use std::time::Duration;

use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::error::Error;
use crate::plan::ThawWindow;

/// The subject under which the catalog notes the rate of downloads, in bytes a second.
const SUBJECT: &str = "download rate";

/// A shorter download says little of the line.
const LEAST_BYTES: u64 = 64 << 20;

/// Returns how much can be thawed at once; `None` if the store sets no limit.
pub(in crate::engine) fn thaw_window(
    source: &OpenSource<'_>,
    catalog: &Catalog,
) -> Result<Option<ThawWindow>, Error> {
    let Some(time) = source.store.thaw_window() else {
        return Ok(None);
    };
    let measured = catalog.told(source.name(), SUBJECT)?;
    let rate = measured.and_then(|rate| rate.parse().ok());
    Ok(Some(ThawWindow::new(time, rate)))
}

/// Notes how fast segments were fetched, if the store sets a limit that depends on it and they were enough.
pub(in crate::engine) fn note_download(
    source: &OpenSource<'_>,
    bytes: u64,
    took: Duration,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    if source.store.thaw_window().is_some() && bytes >= LEAST_BYTES {
        let rate = u128::from(bytes) * 1000 / took.as_millis().max(1);
        catalog.tell(source.name(), SUBJECT, &rate.to_string())?;
    }
    Ok(())
}
