//! Where a repair keeps the bytes of a damaged object: `<source>/aside/`, below a prefix of its own, so that no
//! listing of archives or of the ledger shows them.
//!
//! ```text
//! <source>/aside/<archive id>/key.age.0f343b0931126a20
//! <source>/aside/<archive id>/000000-9c1e04b7a2d85f36.zst.age.0f343b0931126a20
//! <source>/aside/ledger/00000001.entry.0f343b0931126a20
//! ```

use super::digest::Sha256;
use super::keys::{archives_prefix, source_prefix};

/// Returns the prefix of what repairs of a source have kept; it ends in `/`.
pub fn aside_prefix(directory: &str) -> String {
    format!("{directory}/aside/")
}

/// Returns the key under which a repair keeps the bytes of a damaged object of a source, by their digest: other
/// damage of the same object gets another key.
pub fn aside(directory: &str, key: &str, damaged: &Sha256) -> String {
    let archives = archives_prefix(directory);
    let source = source_prefix(directory);
    let below = key.strip_prefix(&archives).or(key.strip_prefix(&source));
    format!(
        "{}{}.{}",
        aside_prefix(directory),
        below.unwrap_or(key),
        damaged.prefix16()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys;

    #[test]
    fn a_kept_object_is_below_its_archive_or_the_ledger_and_is_neither() {
        let digest = Sha256([0xab; 32]);
        let archive = "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap();
        for (key, kept) in [
            (
                keys::archive_key("home", &archive),
                "home/aside/2026-11-21-full-5f0c9a12d4e6b801/key.age.abababababababab",
            ),
            (
                keys::ledger_entry("home", 3),
                "home/aside/ledger/00000003.entry.abababababababab",
            ),
        ] {
            let aside = aside("home", &key, &digest);
            assert_eq!(aside, kept);
            assert!(aside.starts_with(&aside_prefix("home")));
            assert_eq!(keys::ledger_seq("home", &aside), None);
            assert_eq!(keys::ledger_seq("home/aside", &aside), None);
            assert_eq!(keys::archive_of("home", &aside), None);
        }
    }
}
