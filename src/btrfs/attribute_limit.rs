//! The limit on an extended attribute: it has to fit into a node.

/// Bytes of a tree block besides an attribute's name and value: its header (`struct btrfs_header`), and the
/// attribute's `struct btrfs_item` and `struct btrfs_dir_item`. `BTRFS_MAX_XATTR_SIZE` is computed in the
/// same way.
pub(super) const BESIDE_ATTRIBUTE: u64 = 101 + 25 + 30;

/// The size of the largest blocks in btrfs, `BTRFS_MAX_METADATA_BLOCKSIZE`.
const LARGEST_NODE: u64 = 64 << 10;

/// The limit on the sum of an attribute's name and value on a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeLimit {
    /// The limit in bytes.
    pub bytes: u64,
    /// The size of the filesystem's blocks, from which the limit follows.
    pub node_bytes: u64,
}

/// Returns the smallest block size that has room for an attribute; `None` if no size has.
pub(super) fn node_for(attribute_bytes: u64) -> Option<u64> {
    let least = attribute_bytes + BESIDE_ATTRIBUTE;
    Some(least.next_power_of_two().max(4096)).filter(|node| *node <= LARGEST_NODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_needs_blocks_that_hold_it_with_what_is_beside_it() {
        for (bytes, node) in [
            (1, Some(4096)),
            (4096 - 156, Some(4096)),
            (4096 - 155, Some(8192)),
            (16_384 - 156, Some(16_384)),
            (65_536 - 156, Some(65_536)),
            (65_536 - 155, None),
        ] {
            assert_eq!(node_for(bytes), node, "{bytes}");
        }
    }
}
