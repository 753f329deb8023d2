//! The description of an archive in a vault, by which it is recognised.

use crate::model::keys::{ArchivePart, archive_part};
use crate::model::{ArchiveId, LedgerId, Sha256};
use crate::store::is_key;

/// The word that every description of coldchain begins with, and the version of what follows.
const BEGIN: &str = "coldchain";
const VERSION: &str = "1";

/// Whose archive it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'d> {
    /// A segment of this ledger, with its key.
    Segment(LedgerId, &'d str),
    /// It says that it is coldchain's, and can't be read.
    Mangled,
    /// Another program's.
    Foreign,
}

/// Writes the description of a segment.
pub(super) fn describe(ledger: LedgerId, key: &str, sha256: &Sha256) -> String {
    format!("{BEGIN} {VERSION} {ledger} {key} {sha256}")
}

/// Reads a description.
pub(super) fn owner(description: &str) -> Owner<'_> {
    let parts: Vec<&str> = description.split(' ').collect();
    if parts[0] != BEGIN {
        return Owner::Foreign;
    }
    let [_, VERSION, ledger, key, sha256] = parts[..] else {
        return Owner::Mangled;
    };
    match (ledger.parse(), sha256.parse::<Sha256>()) {
        (Ok(ledger), Ok(_)) if is_segment(key) => Owner::Segment(ledger, key),
        _ => Owner::Mangled,
    }
}

/// Returns whether an object with this key belongs into the vault: `…/archives/ID/000000-….zst.age`.
pub(super) fn is_segment(key: &str) -> bool {
    let parts: Vec<&str> = key.rsplitn(4, '/').collect();
    let [name, archive, "archives", _] = parts[..] else {
        return false;
    };
    is_key(key)
        && archive.parse::<ArchiveId>().is_ok()
        && matches!(archive_part(name), Some(ArchivePart::Segment(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "home/archives/2026-11-21-full-5f0c9a12d4e6b801/000000-9c1e04b7a2d85f36.zst.age";

    #[test]
    fn a_description_is_read_as_it_is_written_and_nothing_else_is() {
        let ledger = LedgerId([0x5a; 16]);
        let sha256 = Sha256::of(b"segment");
        let text = describe(ledger, KEY, &sha256);
        assert_eq!(owner(&text), Owner::Segment(ledger, KEY));
        let longest = format!("{}/{KEY}", "s".repeat(255));
        assert!(describe(ledger, &longest, &sha256).len() <= 1024);
        for mangled in [
            text.replace(" 1 ", " 2 "),
            text.replace("home", "../home"),
            text.replace("home", "home\nhome"),
            text.replace(".zst.age", ".key"),
            text[..text.len() - 1].to_owned(),
            format!("{text} "),
            "coldchain".to_owned(),
        ] {
            assert_eq!(owner(&mangled), Owner::Mangled, "{mangled:?}");
        }
        for foreign in ["", "<m><v>4</v></m>", "coldchainage", " coldchain 1"] {
            assert_eq!(owner(foreign), Owner::Foreign, "{foreign:?}");
        }
    }

    #[test]
    fn only_segments_belong_into_the_vault() {
        assert!(is_segment(KEY));
        for key in [
            "home/archives/2026-11-21-full-5f0c9a12d4e6b801/key.age",
            "home/ledger/00000001.entry",
            "archives/2026-11-21-full-5f0c9a12d4e6b801/000000-9c1e04b7a2d85f36.zst.age",
            "home/archives/notes/000000-9c1e04b7a2d85f36.zst.age",
            "000000-9c1e04b7a2d85f36.zst.age",
        ] {
            assert!(!is_segment(key), "{key}");
        }
    }
}
