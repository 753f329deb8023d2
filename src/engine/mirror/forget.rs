//! Mirrors that the catalog knows and the config no longer names.

use crate::catalog::{Catalog, MirrorRow};
use crate::config::Config;
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, MirrorError, RequestError};
use crate::model::{MirrorLocation, SourceName};

/// Returns the mirrors that the catalog knows and the config does not name.
pub fn unconfigured_mirrors(config: &Config, catalog: &Catalog) -> Result<Vec<MirrorRow>, Error> {
    let mut rows = catalog.mirrors()?;
    rows.retain(|row| !is_configured(config, &row.source, &row.location));
    Ok(rows)
}

/// Returns the warning about such a mirror.
pub fn warning_of_unconfigured_mirror(row: &MirrorRow) -> String {
    format!(
        "the config does not name its mirror {to} any more, so it gets no snapshot: put its [[mirror]] back, or run \
         `coldchain forget {source} --mirror {to}`",
        to = row.location,
        source = row.source,
    )
}

/// Returns a mirror that the config does not name, with the number of its copies as recorded.
pub fn remembered_mirror(
    config: &Config,
    source: &str,
    to: &MirrorLocation,
) -> Result<(MirrorRow, usize), Error> {
    let source_name: SourceName = source.parse()?;
    let to = Box::new(to.clone());
    if is_configured(config, &source_name, &to) {
        return Err(Error::Mirror(MirrorError::StillConfigured {
            source_name,
            to,
        }));
    }
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    if catalog
        .mirrors()?
        .iter()
        .all(|row| row.source != source_name)
    {
        return Err(RequestError::NeverSeen(source_name).into());
    }
    let row = catalog
        .mirror(&source_name, &to)?
        .ok_or(Error::Mirror(MirrorError::NeverSeen { source_name, to }))?;
    let copies = catalog.mirrored(row.id)?.len();
    Ok((row, copies))
}

/// Removes a mirror from the catalog. Removes nothing at the mirror.
pub fn forget_mirror(
    config: &Config,
    row: &MirrorRow,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let _lock = state_dir.lock_mirror(&row.source, &row.location, &context)?;
    Ok(context.catalog(&state_dir)?.forget_mirror(row.id)?)
}

fn is_configured(config: &Config, source: &SourceName, to: &MirrorLocation) -> bool {
    let mut mirrors = config.mirrors.iter();
    mirrors.any(|mirror| mirror.name == *source && mirror.to == *to)
}
