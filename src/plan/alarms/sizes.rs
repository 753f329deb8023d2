//! Archives that are far from their usual size.

use chrono::NaiveDate;

use super::bytes;
use super::kind::AlarmKind;

/// How many archives of the same kind say what is usual, at most and at least.
const USUAL_OF: usize = 12;
const USUAL_FROM: usize = 3;
/// Differences below this are no news, in bytes: incrementals of quiet weeks differ by any factor.
const NEWS_BYTES: u64 = 64 << 20;
/// An archive is large or small if it is by this factor.
const FAR: u64 = 10;
/// A full is small at this part of the full before.
const SMALL_FULL: u64 = 2;
/// An incremental is nearly a full at this part of it, in percent.
const NEARLY_PERCENT: u64 = 80;
/// Files have vanished if fewer than one in so many is left, of at least [`FILES_FROM`].
const VANISHED: u64 = 2;
const FILES_FROM: u64 = 10;

/// A visible archive with its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredArchive {
    /// Its date.
    pub date: NaiveDate,
    /// Whether it is a full.
    pub is_full: bool,
    /// Bytes of its stream.
    pub raw_bytes: u64,
    /// Bytes of its segments as stored.
    pub sealed_bytes: u64,
    /// How many files the snapshot has, where the index knows it.
    pub files: Option<u64>,
}

/// Returns the usual size of the newest archive's kind: the median of up to twelve before it, in bytes of the stream.
/// `None` if there are fewer than three.
pub fn usual_bytes(archives: &[MeasuredArchive]) -> Option<u64> {
    let (newest, before) = archives.split_last()?;
    let same = before
        .iter()
        .rev()
        .filter(|it| it.is_full == newest.is_full);
    let mut sizes: Vec<u64> = same.take(USUAL_OF).map(|it| it.raw_bytes).collect();
    sizes.sort_unstable();
    (sizes.len() >= USUAL_FROM).then(|| sizes[sizes.len() / 2])
}

/// Returns what is unusual about the newest archive.
pub(super) fn alarms(archives: &[MeasuredArchive]) -> Vec<(AlarmKind, String)> {
    let Some((newest, before)) = archives.split_last() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let (date, raw) = (newest.date, newest.raw_bytes);
    if let (Some(now), Some(then)) = (newest.files, before.last().and_then(|it| it.files))
        && then >= FILES_FROM
        && now.saturating_mul(VANISHED) < then
    {
        let text = format!(
            "the archive of {date} has {now} files, the one before it had {then}: is the subvolume mounted?"
        );
        found.push((AlarmKind::FilesVanished, text));
    }
    let last_full = before.iter().rev().find(|it| it.is_full);
    if let (true, Some(full)) = (newest.is_full, last_full) {
        let lost = full.raw_bytes.saturating_sub(raw);
        if lost >= NEWS_BYTES && raw.saturating_mul(SMALL_FULL) < full.raw_bytes {
            let text = format!(
                "the full of {date} has {}, the one of {} had {}",
                bytes(raw),
                full.date,
                bytes(full.raw_bytes)
            );
            found.push((AlarmKind::ArchiveSmall, text));
        }
    }
    if let Some(usual) = usual_bytes(archives) {
        let usually = |size| {
            format!(
                "the archive of {date} has {}, {size} than usual ({})",
                bytes(raw),
                bytes(usual)
            )
        };
        if raw >= usual.saturating_add(NEWS_BYTES) && raw >= usual.saturating_mul(FAR) {
            found.push((AlarmKind::ArchiveLarge, usually("far more")));
        } else if !newest.is_full
            && usual >= raw.saturating_add(NEWS_BYTES)
            && usual >= raw.saturating_mul(FAR)
        {
            found.push((AlarmKind::ArchiveSmall, usually("far less")));
        }
    }
    if let (false, Some(full)) = (newest.is_full, last_full)
        && raw >= NEWS_BYTES
        && u128::from(raw) * 100 >= u128::from(full.raw_bytes) * u128::from(NEARLY_PERCENT)
    {
        let text = format!(
            "the incremental of {date} has {}, nearly as much as its full ({}): see `coldchain diff --stat`",
            bytes(raw),
            bytes(full.raw_bytes)
        );
        found.push((AlarmKind::NearlyFull, text));
    }
    found
}
