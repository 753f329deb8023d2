//! Warns of holes that were sent as zeros.

use crate::btrfs::StreamSummary;
use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::error::Error;
use crate::model::Line;
use crate::model::size::Bytes;
use crate::progress::{Event, Observer};

/// Up to this many bytes of zeros, there is no warning.
const MANY: u64 = 1 << 30;

/// Warns of the file with the most zeros, if an incremental has many of them. Each file is named once.
pub(in crate::engine) fn warn_of_zeros(
    source: &OpenSource<'_>,
    stream: &StreamSummary,
    observer: &dyn Observer,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let zeros = &stream.zeros;
    if stream.head.send_parent.is_none() || zeros.bytes <= MANY {
        return Ok(());
    }
    let path = String::from_utf8_lossy(&zeros.path);
    let advice = match stream.head.protocol {
        1 => {
            "if these are holes of a sparse file, `protocol = 2` (`btrfs send --proto 2` where `decide` \
              archives) sends them as holes, from Linux 6.17 on"
        }
        _ => {
            "Linux 6.17 and newer sends holes as holes, and `fallocate --dig-holes` makes holes of zeros"
        }
    };
    if catalog.tell(source.name(), "zeros", &path)? {
        observer.event(Event::Warning {
            source: source.name().clone(),
            message: format!(
                "this incremental carries {} of zeros, {} of them in `{}`, and a restore takes as much room on \
                 disk: {advice}",
                Bytes(zeros.bytes),
                Bytes(zeros.path_bytes),
                Line(&path),
            ),
        });
    }
    Ok(())
}
