//! Names and ids: of a source, a ledger, an archive, a subvolume.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::archive::ArchiveKind;
use super::digest::{HexError, from_hex, hex_value, to_hex};

/// Why a text is no name, date or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A source name outside `[a-z0-9][a-z0-9._-]{0,63}`.
    #[error(
        "`{0}` is not a source name: it takes 1 to 64 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit"
    )]
    SourceName(String),
    /// Not `DATE-full-HEX16` or `DATE-incr-HEX16`.
    #[error("`{0}` is not an archive id: ids look like 2026-11-21-full-5f0c9a12d4e6b801")]
    ArchiveId(String),
    /// Not a date of the calendar in the form `YYYY-MM-DD`.
    #[error("`{0}` is not a date: dates look like YYYY-MM-DD")]
    Date(String),
    /// Not a snapshot's name: a date, or a date and a time.
    #[error(
        "`{0}` is not a snapshot's name: names look like 2026-11-28, 2026-11-28T0300 or 2026-10-25T0200+0100"
    )]
    SnapshotName(String),
    /// Not a UUID in its lowercase form.
    #[error("`{0}` is not a uuid")]
    Uuid(String),
}

/// Whether a text has a form, in which `0` stands for any digit and every other character for itself. It is
/// written by hand because a catalog has several dates and moments for each archive, and a format string
/// would be parsed for each of them.
pub(super) fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                _ => byte == wanted,
            })
}

/// Returns the number that ASCII digits spell.
pub(super) fn number(digits: &str) -> u32 {
    digits
        .bytes()
        .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// Reads `YYYY-MM-DD`, four digits for the year, and nothing else.
pub fn parse_date(text: &str) -> Result<NaiveDate, IdError> {
    let refuse = || IdError::Date(text.to_owned());
    if !has_form(text, "0000-00-00") {
        return Err(refuse());
    }
    let year = number(&text[..4]).cast_signed();
    NaiveDate::from_ymd_opt(year, number(&text[5..7]), number(&text[8..])).ok_or_else(refuse)
}

/// Implements serde by way of `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use serde_as_text;

/// The name of a source: `[a-z0-9][a-z0-9._-]{0,63}`. Safe as a directory name and in a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(String);

serde_as_text!(SourceName);

impl SourceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Self> for SourceName {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl FromStr for SourceName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ok = (1..=64).contains(&text.len())
            && text.bytes().next().is_some_and(plain)
            && text
                .bytes()
                .all(|byte| plain(byte) || b"._-".contains(&byte));
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::SourceName(text.to_owned()))
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A ledger's random 128-bit id, made when the source is first seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub [u8; 16]);

hex_value!(LedgerId);

/// A copy's random 128-bit id, made when the copy is begun: it names a place of one ledger, wherever its store
/// may be moved to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(pub [u8; 16]);

hex_value!(PlaceId);

/// `DATE-full-HEX16` or `DATE-incr-HEX16`: 64 random bits, new for every attempt.
///
/// Ordered by date first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId {
    /// The archive's date.
    pub date: NaiveDate,
    /// Full or incremental.
    pub kind: ArchiveKind,
    /// 64 random bits that tell attempts apart.
    pub nonce: u64,
}

serde_as_text!(ArchiveId);

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ArchiveKind::Full => "full",
            ArchiveKind::Incremental => "incr",
        };
        write!(f, "{}-{kind}-{:016x}", self.date, self.nonce)
    }
}

impl FromStr for ArchiveId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError::ArchiveId(text.to_owned());
        let (date, rest) = text.split_at_checked(10).ok_or_else(refuse)?;
        let date = parse_date(date).map_err(|_| refuse())?;
        let (kind, nonce) = if let Some(nonce) = rest.strip_prefix("-full-") {
            (ArchiveKind::Full, nonce)
        } else if let Some(nonce) = rest.strip_prefix("-incr-") {
            (ArchiveKind::Incremental, nonce)
        } else {
            return Err(refuse());
        };
        let nonce = u64::from_be_bytes(from_hex(nonce).map_err(|_| refuse())?);
        Ok(Self { date, kind, nonce })
    }
}

/// A subvolume's uuid as btrfs has it. All zeros means "none" on disk; here that is an `Option`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

serde_as_text!(Uuid);

impl Uuid {
    /// `None` for btrfs's all-zero "no uuid".
    pub fn from_btrfs(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = to_hex(&self.0);
        write!(
            f,
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

impl FromStr for Uuid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError::Uuid(text.to_owned());
        let parts = text.split('-').map(str::len);
        if !parts.eq([8, 4, 4, 4, 12]) {
            return Err(refuse());
        }
        let hex = text.replace('-', "");
        from_hex(&hex).map(Self).map_err(|_: HexError| refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_id_reads_back_as_it_was_written() {
        for text in [
            "2026-11-21-full-5f0c9a12d4e6b801",
            "2024-02-29-incr-0000000000000000",
        ] {
            assert_eq!(text.parse::<ArchiveId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_that_is_almost_an_archive_id_is_refused() {
        for text in [
            "",
            "2026-11-21",
            "2026-02-30-full-5f0c9a12d4e6b801",
            "2026-11-21-full-5F0C9A12D4E6B801",
            "2026-11-21-full-5f0c9a12d4e6b80",
            "2026-11-21-diff-5f0c9a12d4e6b801",
            "2026-11-21-full-5f0c9a12d4e6b801/",
            "+026-11-21-full-5f0c9a12d4e6b801",
        ] {
            assert!(text.parse::<ArchiveId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_name_is_safe_as_a_path_component() {
        for good in ["home", "0", "a.b_c-d", &"x".repeat(64)] {
            assert!(good.parse::<SourceName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "Home",
            "a/b",
            "a b",
            "ü",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<SourceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_uuid_reads_back_and_zero_is_none() {
        let text = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
        assert!("6f9619ff8b86d011b42d00c04fc964ff".parse::<Uuid>().is_err());
        assert_eq!(Uuid::from_btrfs([0; 16]), None);
    }

    #[test]
    fn a_date_has_exactly_one_form() {
        assert!(parse_date("2026-11-21").is_ok());
        for bad in [
            "2026-11-31",
            "2026-1-21",
            "26-11-21",
            "20261121",
            "2026-11-21 ",
            "today",
            "+026-11-21",
        ] {
            assert!(parse_date(bad).is_err(), "{bad}");
        }
    }
}
