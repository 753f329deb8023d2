//! The table of an archive's segments, which follows the stream in its contents.

use crate::seal::{ContentsSealer, SealError, SegmentLayout};

/// Adds the table to contents, and seals the end of them. `layouts` are those of all segments in order.
pub(in crate::engine) fn finish_with_table(
    mut sealer: ContentsSealer,
    layouts: impl IntoIterator<Item = SegmentLayout>,
) -> Result<(), SealError> {
    let mut encoded = Vec::new();
    for layout in layouts {
        encoded.clear();
        layout.encode(&mut encoded);
        sealer.write(&encoded)?;
    }
    sealer.finish()
}
