//! Object keys, relative to the store's prefix.
//!
//! ```text
//! <source>/README-RESTORE.txt
//! <source>/ledger/00000001.entry
//! <source>/archives/<archive id>/key.age
//! <source>/archives/<archive id>/000000-9c1e04b7a2d85f36.zst.age
//! ```

use super::digest::Sha256;
use super::ids::ArchiveId;

/// The signpost for a person who finds the store and nothing else.
pub fn readme(directory: &str) -> String {
    format!("{directory}/README-RESTORE.txt")
}

/// Where a source's ledger entries lie; ends in `/`.
pub fn ledger_prefix(directory: &str) -> String {
    format!("{directory}/ledger/")
}

/// The entry of that number, counted from 1.
pub fn ledger_entry(directory: &str, seq: u64) -> String {
    format!("{directory}/ledger/{seq:08}.entry")
}

/// The number of a ledger entry's key; `None` if the key is no entry of this ledger.
pub fn ledger_seq(directory: &str, key: &str) -> Option<u64> {
    let digits = key
        .strip_prefix(&ledger_prefix(directory))?
        .strip_suffix(".entry")?;
    let seq = digits.parse().ok()?;
    (key == ledger_entry(directory, seq)).then_some(seq)
}

/// Where an archive's objects lie; ends in `/`.
pub fn archive_prefix(directory: &str, archive: &ArchiveId) -> String {
    format!("{directory}/archives/{archive}/")
}

/// The archive key, sealed to the recipients.
pub fn archive_key(directory: &str, archive: &ArchiveId) -> String {
    format!("{}key.age", archive_prefix(directory, archive))
}

/// A segment. Its name holds the digest, so no key is ever written with different bytes.
pub fn segment(directory: &str, archive: &ArchiveId, index: u32, sha256: &Sha256) -> String {
    format!(
        "{}{index:06}-{}.zst.age",
        archive_prefix(directory, archive),
        sha256.prefix16()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_the_format_says() {
        let archive = "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap();
        let mut digest = Sha256([0; 32]);
        digest.0[..8].copy_from_slice(&0x9c1e_04b7_a2d8_5f36_u64.to_be_bytes());
        assert_eq!(
            segment("home", &archive, 0, &digest),
            "home/archives/2026-11-21-full-5f0c9a12d4e6b801/000000-9c1e04b7a2d85f36.zst.age"
        );
        assert_eq!(ledger_entry("home", 1), "home/ledger/00000001.entry");
    }

    #[test]
    fn only_an_entry_of_this_ledger_has_a_number() {
        assert_eq!(ledger_seq("home", "home/ledger/00000041.entry"), Some(41));
        assert_eq!(
            ledger_seq("home", "home/ledger/123456789.entry"),
            Some(123_456_789)
        );
        for key in [
            "home/ledger/41.entry",
            "home/ledger/000000041.entry",
            "work/ledger/00000041.entry",
            "home/ledger/x",
        ] {
            assert_eq!(ledger_seq("home", key), None, "{key}");
        }
    }
}
