//! How long an extended attribute may be: it has to fit into a node.

/// What a block of a tree has besides an attribute's name and value: its header (`struct btrfs_header`), and of the
/// attribute `struct btrfs_item` and `struct btrfs_dir_item`. So `BTRFS_MAX_XATTR_SIZE` has it.
pub(super) const BESIDE_ATTRIBUTE: u64 = 101 + 25 + 30;

/// The largest blocks that btrfs knows, `BTRFS_MAX_METADATA_BLOCKSIZE`.
const LARGEST_NODE: u64 = 64 << 10;

/// What name and value of one attribute may have together on a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeLimit {
    /// In bytes.
    pub bytes: u64,
    /// The size of the filesystem's blocks, which that follows from.
    pub node_bytes: u64,
}

/// The least size of blocks on which an attribute has room; `None` if there is none.
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
