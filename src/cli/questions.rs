//! Looking for files in archives.

use std::ffi::OsString;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use crate::config::parse_size;
use crate::model::date_word::DateWord;
use crate::model::ids::parse_date;

/// `coldchain ls`
#[derive(Debug, Args)]
pub struct Ls {
    /// SOURCE:PATH; or a path in a source, in one of its snapshots or in a local mirror
    #[arg(value_name = "SOURCE:PATH")]
    pub path: PathBuf,
    /// As of the newest archive of this date or before, or of the archive of this id; the newest if left out
    #[arg(long, value_name = "DATE")]
    pub date: Option<DateWord>,
    /// Also show mode, owner, size and time of each, and where a link leads
    #[arg(short = 'l', long)]
    pub long: bool,
    /// The whole tree below it
    #[arg(long)]
    pub recursive: bool,
    /// Print only the paths, each with a NUL after it and byte for byte
    #[arg(short = '0', long = "null", conflicts_with = "long")]
    pub null: bool,
    /// What the index is brought up to date with.
    #[command(flatten)]
    pub to_index: ToIndex,
}

/// `coldchain find`
#[derive(Debug, Args)]
pub struct Find {
    /// SOURCE or SOURCE:PATH; or a path in a source, in one of its snapshots or in a local mirror
    #[arg(value_name = "SOURCE:PATH")]
    pub path: PathBuf,
    /// Only what has a name like this: `*`, `?` and `[a-z]` as in a shell
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true)]
    pub name: Option<OsString>,
    /// Only what has a path like this below the source's root, such as `*/mail/*`: `*` stands for slashes as well
    #[arg(long = "path", value_name = "GLOB", allow_hyphen_values = true)]
    pub path_like: Option<OsString>,
    /// Only files that are larger than this (+10MiB), smaller (-4KiB), or of this size
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub size: Option<SizeRange>,
    /// Only what was last modified on this date or later, in the config's `timezone`
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub newer: Option<NaiveDate>,
    /// Only what was last modified before this date
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub older: Option<NaiveDate>,
    /// Only this kind, by the letters that `find` has: f, d, l, p, s, b, c
    #[arg(long = "type", value_name = "KIND")]
    pub kind: Option<KindLetter>,
    /// Only what belongs to this user: a number, or a name of this machine
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    /// In the newest archive of this date or before, or in the archive of this id; the newest if left out
    #[arg(long, value_name = "DATE", conflicts_with = "all_dates")]
    pub date: Option<DateWord>,
    /// In all archives
    #[arg(long)]
    pub all_dates: bool,
    /// Only what older archives have, and that of --date does not have any more: neither there nor under another name
    #[arg(long, conflicts_with = "all_dates")]
    pub deleted: bool,
    /// Print only the paths, each with a NUL after it and byte for byte
    #[arg(short = '0', long = "null")]
    pub null: bool,
    /// Print at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// What the index is brought up to date with.
    #[command(flatten)]
    pub to_index: ToIndex,
}

/// `coldchain diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// SOURCE or SOURCE:PATH; or a path in a source, in one of its snapshots or in a local mirror
    #[arg(value_name = "SOURCE:PATH")]
    pub path: PathBuf,
    /// From the newest archive of this date or before, or the archive of this id
    #[arg(value_name = "DATE1")]
    pub from: DateWord,
    /// To the newest archive of this date or before, or the archive of this id
    #[arg(value_name = "DATE2")]
    pub to: DateWord,
    /// Show how many bytes each path took in the streams between them instead, the largest first
    #[arg(long)]
    pub stat: bool,
    /// Print at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// What the index is brought up to date with.
    #[command(flatten)]
    pub to_index: ToIndex,
}

/// `coldchain du`
#[derive(Debug, Args)]
pub struct Du {
    /// SOURCE or SOURCE:PATH; or a path in a source, in one of its snapshots or in a local mirror
    #[arg(value_name = "SOURCE:PATH")]
    pub path: PathBuf,
    /// In the newest archive of this date or before, or in the archive of this id; the newest if left out
    #[arg(long, value_name = "DATE", conflicts_with = "by_date")]
    pub date: Option<DateWord>,
    /// In each archive
    #[arg(long, conflicts_with = "depth")]
    pub by_date: bool,
    /// Show directories down to so many below it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub depth: u32,
    /// What the index is brought up to date with.
    #[command(flatten)]
    pub to_index: ToIndex,
}

/// What a question may use to bring the index up to date.
#[derive(Debug, Args)]
pub struct ToIndex {
    /// What opens the archives: first index those that are not indexed yet, from their contents. Nothing is thawed for it
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
}

/// A range of sizes in bytes, with both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeRange {
    /// The smallest.
    pub least: u64,
    /// The largest.
    pub most: u64,
}

impl std::str::FromStr for SizeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sign, number) = match text.as_bytes().first() {
            Some(sign @ (b'+' | b'-')) => (Some(*sign), &text[1..]),
            _ => (None, text),
        };
        let bytes = number.parse().ok().or_else(|| parse_size(number));
        let bytes: u64 = bytes
            .ok_or("a size is a whole number of bytes, KiB, MiB or GiB, with + or - before it")?;
        let range = match sign {
            Some(b'+') => bytes.checked_add(1).map(|least| (least, u64::MAX)),
            Some(_) => bytes.checked_sub(1).map(|most| (0, most)),
            None => Some((bytes, bytes)),
        };
        let (least, most) = range.ok_or("no file has such a size")?;
        Ok(Self { least, most })
    }
}

/// A kind of file, by the letter that `find -type` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindLetter {
    /// A regular file
    F,
    /// A directory
    D,
    /// A symbolic link
    L,
    /// A fifo
    P,
    /// A socket
    S,
    /// A block device
    B,
    /// A character device
    C,
}

impl KindLetter {
    /// Returns it as the bits of a mode.
    pub fn bits(self) -> u32 {
        match self {
            Self::F => 0o100_000,
            Self::D => 0o040_000,
            Self::L => 0o120_000,
            Self::P => 0o010_000,
            Self::S => 0o140_000,
            Self::B => 0o060_000,
            Self::C => 0o020_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_find_reads_it() {
        let range = |text: &str| text.parse::<SizeRange>().map(|it| (it.least, it.most));
        assert_eq!(range("+10"), Ok((11, u64::MAX)));
        assert_eq!(range("-4KiB"), Ok((0, 4095)));
        assert_eq!(range("0"), Ok((0, 0)));
        for text in ["", "+", "-0", "ten", "1kb", "+18446744073709551615", "--1"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
