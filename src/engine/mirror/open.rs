//! Opens a mirror of the config, wherever it is.

use crate::config::{Config, MirrorConfig};
use crate::engine::context::RunContext;
use crate::engine::mirror::directory::{MirrorDirectory, MirrorRules};
use crate::engine::mirror::end::MirrorEnd;
use crate::engine::mirror::over_ssh::OverSsh;
use crate::error::Error;
use crate::model::MirrorLocation;

/// Opens a mirror, and takes its directory of one source. `confirmed` is the number of deletions that the user has
/// seen, if that was asked of them.
pub(in crate::engine) fn open_mirror<'a>(
    config: &Config,
    mirror: &MirrorConfig,
    confirmed: Option<usize>,
    context: RunContext<'a>,
) -> Result<Box<dyn MirrorEnd + 'a>, Error> {
    let rules = MirrorRules {
        keep: Some(mirror.keep),
        zone: config.timezone,
        links: mirror.links.clone(),
        confirmed,
        is_served: false,
    };
    match &mirror.to {
        MirrorLocation::Directory(path) => Ok(Box::new(MirrorDirectory::open(
            path,
            &mirror.name,
            rules,
            context,
        )?)),
        MirrorLocation::Ssh(location) => Ok(Box::new(OverSsh::open(
            mirror,
            location,
            config.timezone,
            confirmed,
            context,
        )?)),
    }
}
