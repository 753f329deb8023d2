//! Archives in a Glacier vault, which are known by ids that the service gives.
//!
//! A vault has no keys. What coldchain stores there has the key that it would have in a bucket in its description,
//! and the ledger entry of an archive has the vault's id of each of its segments.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest::{HexError, Sha256, Sha256Hasher, from_hex, hex_value, to_hex};

/// The bytes of a leaf of a tree hash: 1 MiB.
pub const TREE_LEAF_BYTES: usize = 1 << 20;

/// The most characters of an id. AWS's own have 138.
const LONGEST_ID: usize = 256;

/// The id that the service gave to an archive in a vault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultArchiveId(String);

/// A text that is no id of an archive in a vault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the id of an archive in a vault: 1 to {LONGEST_ID} of A-Z, a-z, 0-9, `_` and `-`"
)]
pub struct NoVaultArchiveId(String);

impl VaultArchiveId {
    /// The id as the service writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VaultArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VaultArchiveId {
    type Err = NoVaultArchiveId;

    fn from_str(text: &str) -> Result<Self, NoVaultArchiveId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if text.is_empty() || text.len() > LONGEST_ID || !text.bytes().all(plain) {
            return Err(NoVaultArchiveId(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for VaultArchiveId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for VaultArchiveId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The SHA-256 tree hash by which a vault knows the content of an archive: the root of a binary tree whose leaves are
/// the SHA-256 of each MiB (<https://docs.aws.amazon.com/amazonglacier/latest/dev/checksum-calculations.html>).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash(pub [u8; 32]);

hex_value!(TreeHash);

impl TreeHash {
    /// The tree hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self(Sha256::of(bytes).0);
        }
        Self::of_parts(
            bytes
                .chunks(TREE_LEAF_BYTES)
                .map(|leaf| Self(Sha256::of(leaf).0))
                .collect(),
        )
    }

    /// The tree hash over the tree hashes of parts, all but the last of the same power of two of MiB. There is at least
    /// one part.
    pub fn of_parts(mut hashes: Vec<Self>) -> Self {
        while hashes.len() > 1 {
            hashes = hashes
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => Self(Sha256::of(&[left.0, right.0].concat()).0),
                    // One without a neighbour goes up as it is.
                    alone => alone[0],
                })
                .collect();
        }
        hashes[0]
    }
}

/// Computes the tree hash of bytes that come piece by piece.
#[derive(Default)]
pub struct TreeHasher {
    leaves: Vec<TreeHash>,
    leaf: Sha256Hasher,
    /// How many bytes the last leaf has.
    held: usize,
}

impl TreeHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.held == TREE_LEAF_BYTES {
                self.end_leaf();
            }
            let (now, rest) = bytes.split_at(bytes.len().min(TREE_LEAF_BYTES - self.held));
            self.leaf.update(now);
            self.held += now.len();
            bytes = rest;
        }
    }

    /// The tree hash of all bytes.
    pub fn finish(mut self) -> TreeHash {
        self.end_leaf();
        TreeHash::of_parts(self.leaves)
    }

    fn end_leaf(&mut self) {
        let leaf = std::mem::take(&mut self.leaf);
        self.leaves.push(TreeHash(leaf.finish().0));
        self.held = 0;
    }
}

/// A segment in a vault: what the vault knows it by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VaultSegment {
    /// The vault's id of it.
    pub id: VaultArchiveId,
    /// Its tree hash.
    #[serde(rename = "tree")]
    pub tree_hash: TreeHash,
}

/// Where the segments of an archive are, if they are in a vault: a field of its `archive` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultPlace {
    /// The vault's name.
    pub name: String,
    /// The region that the vault is in.
    pub region: String,
    /// What the vault knows each segment by, in order.
    pub segments: Vec<VaultSegment>,
}

impl VaultPlace {
    /// The most characters of a vault's name.
    const LONGEST_NAME: usize = 255;

    /// The most characters of a region's name.
    const LONGEST_REGION: usize = 64;

    /// Returns half of the SHA-256 of the id of each segment. An id has 138 characters, and there can be a million of
    /// them in memory.
    pub fn short_ids(&self) -> impl Iterator<Item = u128> {
        self.segments.iter().map(|segment| {
            let digest = Sha256::of(segment.id.as_str().as_bytes());
            let (half, _) = digest.0.split_first_chunk().expect("it has 32 bytes");
            u128::from_be_bytes(*half)
        })
    }

    /// Returns the vault whose URL this is, with these segments; `None` if it is not the URL of a vault.
    pub fn at(url: &str, segments: Vec<VaultSegment>) -> Option<Self> {
        // What comes after the `?` says how to reach it.
        let (place, _) = url.split_once('?').unwrap_or((url, ""));
        let (region, name) = place.strip_prefix("glacier-vault://")?.split_once('/')?;
        let place = Self {
            name: name.to_owned(),
            region: region.to_owned(),
            segments,
        };
        place.has_names().then_some(place)
    }

    /// Whether a store of this URL is the vault.
    pub fn is_at(&self, url: &str) -> bool {
        let at = Self::at(url, Vec::new());
        at.is_some_and(|at| at.name == self.name && at.region == self.region)
    }

    /// Whether its name is that of a vault, and its region that of a region.
    pub fn has_names(&self) -> bool {
        let is_of = |text: &str, longest: usize, marks: &[u8]| {
            !text.is_empty()
                && text.len() <= longest
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
        };
        is_of(&self.name, Self::LONGEST_NAME, b"_.-")
            && is_of(&self.region, Self::LONGEST_REGION, b"-")
    }
}

/// The locator of a segment in a vault. Its text is `KEY?ID?TREE`, which no key has a part of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VaultLocator {
    /// The key that it would have in a bucket.
    pub key: String,
    /// What the vault knows it by.
    pub segment: VaultSegment,
}

/// A text that is no locator of a segment in a vault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the locator of a segment in a vault")]
pub struct NoVaultLocator(String);

impl fmt::Display for VaultLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}?{}?{}",
            self.key, self.segment.id, self.segment.tree_hash
        )
    }
}

impl FromStr for VaultLocator {
    type Err = NoVaultLocator;

    fn from_str(text: &str) -> Result<Self, NoVaultLocator> {
        let refuse = || NoVaultLocator(text.to_owned());
        let parts: Vec<&str> = text.split('?').collect();
        let [key, id, tree_hash] = parts[..] else {
            return Err(refuse());
        };
        Ok(Self {
            key: key.to_owned(),
            segment: VaultSegment {
                id: id.parse().map_err(|_| refuse())?,
                tree_hash: tree_hash.parse().map_err(|_| refuse())?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_hash_of_at_most_a_leaf_is_its_sha256() {
        for bytes in [vec![], vec![7], vec![1; TREE_LEAF_BYTES]] {
            assert_eq!(TreeHash::of(&bytes).0, Sha256::of(&bytes).0);
        }
    }

    #[test]
    fn leaves_are_joined_in_pairs_and_one_left_over_goes_up() {
        let leaf = |byte: u8| Sha256::of(&vec![byte; TREE_LEAF_BYTES]).0;
        let join = |left: [u8; 32], right: [u8; 32]| Sha256::of(&[left, right].concat()).0;
        let mut bytes: Vec<u8> = (0..5)
            .flat_map(|byte| vec![byte; TREE_LEAF_BYTES])
            .collect();
        bytes.truncate(bytes.len() - 1);
        let last = Sha256::of(&vec![4; TREE_LEAF_BYTES - 1]).0;
        let four = join(join(leaf(0), leaf(1)), join(leaf(2), leaf(3)));
        assert_eq!(TreeHash::of(&bytes).0, join(four, last));
    }

    #[test]
    fn the_tree_hash_of_parts_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..(7 * TREE_LEAF_BYTES + 5))
            .map(|at| at.to_le_bytes()[0])
            .collect();
        for leaves in [1, 2, 4, 8] {
            let parts = bytes.chunks(leaves * TREE_LEAF_BYTES).map(TreeHash::of);
            assert_eq!(TreeHash::of_parts(parts.collect()), TreeHash::of(&bytes));
        }
    }

    #[test]
    fn a_vault_and_its_region_have_names_of_plain_characters() {
        let place = |name: &str, region: &str| VaultPlace {
            name: name.to_owned(),
            region: region.to_owned(),
            segments: Vec::new(),
        };
        let long = "a".repeat(VaultPlace::LONGEST_NAME);
        assert!(place("My_vault-2.old", "eu-central-1").has_names());
        assert!(place(&long, "eu-central-1").has_names());
        for (name, region) in [
            ("", "eu-central-1"),
            ("vault", ""),
            ("a/b", "eu-central-1"),
            ("a\u{1b}b", "eu-central-1"),
            ("vault", "eu central"),
            (&format!("{long}a"), "eu-central-1"),
            ("vault", &long),
        ] {
            assert!(!place(name, region).has_names(), "{name} {region}");
        }
    }

    #[test]
    fn a_vault_is_at_its_url_however_it_is_reached() {
        let place = VaultPlace {
            name: "archives".to_owned(),
            region: "eu-central-1".to_owned(),
            segments: Vec::new(),
        };
        for (url, is_at) in [
            ("glacier-vault://eu-central-1/archives", true),
            (
                "glacier-vault://eu-central-1/archives?endpoint=http://127.0.0.1:1",
                true,
            ),
            ("glacier-vault://eu-central-1/archives2", false),
            ("glacier-vault://eu-west-1/archives", false),
            ("glacier-vault://eu-central-1", false),
            ("glacier-vault://eu-central-1/archives/more", false),
            ("s3://archives", false),
            ("", false),
        ] {
            assert_eq!(place.is_at(url), is_at, "{url}");
        }
    }

    #[test]
    fn bytes_in_pieces_have_the_tree_hash_of_the_whole() {
        for length in [
            0,
            1,
            TREE_LEAF_BYTES,
            TREE_LEAF_BYTES + 1,
            3 * TREE_LEAF_BYTES,
        ] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect();
            for piece in [1 << 16, 999_999, TREE_LEAF_BYTES, 5 * TREE_LEAF_BYTES] {
                let mut hasher = TreeHasher::default();
                bytes.chunks(piece).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.finish(), TreeHash::of(&bytes), "{length} by {piece}");
            }
        }
    }

    #[test]
    fn a_locator_is_read_as_it_is_written() {
        let locator = VaultLocator {
            key: "home/archives/2026-11-21-full-5f0c9a12d4e6b801/000000-9c1e04b7a2d85f36.zst.age".to_owned(),
            segment: VaultSegment {
                id: "NkbByEejwEggmBz2fTHgJrg0XBoDfjP4q6iu87-TjhqG6eGoOY9Z8i1_AUyUsuhPAdTqLHy8pTl5nfCFJmDl2yEZONi5L26Omw12vcs01MNGntHEQL8MBfGlqrEXAMPLEArchiveId".parse().unwrap(),
                tree_hash: TreeHash::of(b"segment"),
            },
        };
        assert_eq!(locator.to_string().parse(), Ok(locator.clone()));
        for text in [
            "",
            "key",
            "key?id",
            "key?i d?00",
            "key??",
            &format!("{locator}?"),
        ] {
            assert!(text.parse::<VaultLocator>().is_err(), "{text}");
        }
        let long = "a".repeat(LONGEST_ID + 1);
        for id in ["", "a/b", "a?b", long.as_str()] {
            assert!(id.parse::<VaultArchiveId>().is_err(), "{id}");
        }
    }
}
