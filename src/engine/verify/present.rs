//! Checks whether the objects of archives exist, by a listing and by asking the store for each.

use std::collections::{BTreeMap, BTreeSet};

use super::progress::Progress;
use super::unreadable::unreadable;
use super::vault::{ListingDate, is_in_inventory};
use super::{Archive, ListingResults, VerifyReport, Verifying, seen};
use crate::engine::restore::thaw::ask_all;
use crate::error::Error;
use crate::model::aside::aside_prefix;
use crate::model::keys::{self, ArchiveObject};
use crate::model::{ArchiveId, VerifyLevel};
use crate::plan::{CheckedObject, LevelReport, Unchecked, Verdict, judge_digest, judge_listed};
use crate::progress::Counted;
use crate::store::{Stat, StoreError};

/// How many objects are asked for between two checks of the interrupt.
const BATCH: usize = 256;

/// Compares every object with one listing. Asks the store for an object that is missing or different there
/// before calling it damaged: listings have been known to be old.
pub(super) fn listing(
    verifying: &Verifying<'_>,
    (archives, as_of): (&[Archive], &ListingDate),
    is_known: &dyn Fn(&ArchiveId) -> bool,
    report: &mut VerifyReport,
) -> Result<(LevelReport, ListingResults), Error> {
    let source = verifying.source;
    let prefix = keys::source_prefix(&source.row.directory);
    let listed: BTreeMap<String, Stat> = source
        .store
        .list(&prefix)?
        .into_iter()
        .map(|listed| (listed.key, listed.stat))
        .collect();
    let mut shown = ListingResults::default();
    let mut checked = Vec::new();
    let mut doubtful = Vec::new();
    let mut named = BTreeSet::new();
    for archive in archives {
        for object in &archive.objects {
            let stat = listed.get(&object.key);
            let verdict = judge_listed(object, stat.map(seen));
            if verdict != Verdict::Sound {
                doubtful.push((checked.len(), archive, object));
            }
            if let Some(class) = stat.and_then(|stat| stat.class) {
                shown.classes.insert(object.key.clone(), class);
            }
            named.insert(object.key.as_str());
            checked.push(CheckedObject::new(object, verdict));
        }
    }
    let mut unlisted = 0_u64;
    for (asked, (place, archive, object)) in stats(verifying, &doubtful)?.iter().zip(&doubtful) {
        let verdict = match asked {
            Asked::There(stat) => judge_listed(object, Some(seen(stat))),
            Asked::Missing => judge_listed(object, None),
            Asked::Unreadable(error) => match unreadable(verifying, error) {
                Some(what) => Verdict::Damaged(what),
                // The verdict from the listing is enough.
                None => checked[*place].verdict.clone(),
            },
        };
        checked[*place].verdict = match verdict {
            Verdict::Damaged(what) => {
                shown.damaged.insert(object.key.clone());
                Verdict::Damaged(archive.hidden(source, object, what))
            }
            verdict => {
                unlisted += 1;
                verdict
            }
        };
    }
    for checked in &mut checked {
        if checked.verdict == Verdict::Sound && checked.segment.is_some() {
            checked.verdict = as_of.judge(source, &checked.archive, &checked.key)?;
        }
        if matches!(checked.verdict, Verdict::Damaged(_)) {
            shown.damaged.insert(checked.key.clone());
        }
    }
    if unlisted > 0 {
        report.notes.push(format!(
            "the listing is wrong: it lacks {unlisted} objects that the store has, or shows them changed"
        ));
    }
    let visible: BTreeSet<_> = archives.iter().map(|archive| archive.entry().id).collect();
    let directory = &source.row.directory;
    let mut unnamed: BTreeMap<ArchiveId, u64> = BTreeMap::new();
    let mut kept_aside = 0_u64;
    for key in listed
        .into_keys()
        .filter(|key| !named.contains(key.as_str()))
    {
        match keys::archive_of(directory, &key) {
            Some((archive, _)) if visible.contains(&archive) => report.strays.push(key),
            // `prune` judges the objects of retired archives and of attempts.
            Some((archive, _)) if is_known(&archive) => {}
            Some((archive, _)) => *unnamed.entry(archive).or_default() += 1,
            None if key == keys::readme(directory) => {}
            // Objects of the ledger were checked with the ledger.
            None if key.starts_with(&keys::ledger_prefix(directory)) => {}
            None if key.starts_with(&aside_prefix(directory)) => kept_aside += 1,
            None => report.strays.push(key),
        }
    }
    let second = source.store.second_uploads(&prefix)?.into_iter();
    let second: Vec<String> = second.map(|(locator, _)| locator.to_string()).collect();
    report.strays.extend(second);
    if kept_aside > 0 {
        report.notes.push(format!(
            "repairs have kept {kept_aside} damaged {} below {}, which nothing needs",
            if kept_aside == 1 { "object" } else { "objects" },
            aside_prefix(directory)
        ));
    }
    for (archive, objects) in unnamed {
        report.notes.push(format!(
            "no ledger entry names what lies below {} ({objects} {}): it may be another machine's attempt, the rest of one, or a copy; `coldchain prune` decides about it",
            keys::archive_prefix(directory, &archive),
            if objects == 1 { "object" } else { "objects" }
        ));
    }
    let level = LevelReport {
        objects: checked,
        ..LevelReport::new(VerifyLevel::Listing)
    };
    Ok((level, shown))
}

/// Asks the store for the SHA-256 that it keeps of every object: one request each, also for cold objects. If
/// the check breaks off, its results so far stay valid.
pub(super) fn checksums(
    verifying: &Verifying<'_>,
    archives: &[Archive],
    shown: &ListingResults,
) -> (LevelReport, Result<(), Error>) {
    let mut report = LevelReport::new(VerifyLevel::Checksums);
    let mut to_ask = Vec::new();
    for archive in archives {
        for object in &archive.objects {
            let verdict = if shown.damaged.contains(&object.key) {
                Unchecked::FoundDamaged
            } else {
                to_ask.push((report.objects.len(), archive, object));
                Unchecked::BrokenOff
            };
            report
                .objects
                .push(CheckedObject::new(object, Verdict::Unchecked(verdict)));
        }
    }
    let level = VerifyLevel::Checksums.as_str();
    let of = to_ask.len() as u64;
    let mut progress = Progress::begin(verifying, level, Counted::Objects, of);
    let mut answered = false;
    let mut unreadable_last = None;
    for batch in to_ask.chunks(BATCH) {
        let asked = match stats(verifying, batch) {
            Ok(asked) => asked,
            Err(error) => return (report, Err(error)),
        };
        for (asked, (place, archive, object)) in asked.into_iter().zip(batch) {
            answered |= !matches!(asked, Asked::Unreadable(_));
            let verdict = match asked {
                Asked::There(stat) => match judge_digest(object, Some(seen(&stat))) {
                    // The vault's inventory has the tree hash that the ledger signs.
                    Verdict::Unchecked(Unchecked::NoDigest)
                        if is_in_inventory(verifying.source, object) =>
                    {
                        Verdict::Sound
                    }
                    verdict => verdict,
                },
                Asked::Missing => judge_digest(object, None),
                Asked::Unreadable(error) => match unreadable(verifying, &error) {
                    Some(what) => {
                        unreadable_last = Some(error);
                        Verdict::Damaged(what)
                    }
                    None => return (report, Err(error.into())),
                },
            };
            report.objects[*place].verdict = match verdict {
                Verdict::Damaged(what) => {
                    Verdict::Damaged(archive.hidden(verifying.source, object, what))
                }
                verdict => verdict,
            };
        }
        progress.add(batch.len() as u64);
    }
    match unreadable_last {
        // No object could be read at all: this does not show that any of them is damaged.
        Some(error) if !answered => (LevelReport::new(VerifyLevel::Checksums), Err(error.into())),
        _ => (report, Ok(())),
    }
}

/// The store's answer about an object.
enum Asked {
    There(Stat),
    Missing,
    Unreadable(StoreError),
}

/// An object of an archive, and its place in the report.
type Placed<'a> = (usize, &'a Archive, &'a ArchiveObject);

/// Asks the store about each object, and returns the answers in the same order.
fn stats(verifying: &Verifying<'_>, objects: &[Placed<'_>]) -> Result<Vec<Asked>, Error> {
    let source = verifying.source;
    let mut all = Vec::with_capacity(objects.len());
    for batch in objects.chunks(BATCH) {
        verifying.interrupt.check()?;
        let (mut answers, failed) = ask_all(batch, |(_, _, object)| {
            match source.store.stat(&Archive::locator(source, object)) {
                Ok(stat) => Ok(Asked::There(stat)),
                Err(error) if error.is_not_found() => Ok(Asked::Missing),
                Err(error) if error.is_of_one_object() => Ok(Asked::Unreadable(error)),
                Err(error) => Err(error),
            }
        });
        if let Some((_, error)) = failed {
            return Err(error.into());
        }
        answers.sort_by_key(|(place, _)| *place);
        all.extend(answers.into_iter().map(|(_, asked)| asked));
    }
    Ok(all)
}
