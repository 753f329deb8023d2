//! Whether the objects of archives are there, by a listing and by what the store says of each.

use std::collections::{BTreeMap, BTreeSet};

use super::{Archive, Shown, VerifyReport, Verifying};
use crate::engine::thaw::ask_all;
use crate::error::Error;
use crate::model::{VerifyLevel, keys};
use crate::plan::{
    Checked, LevelReport, Seen, SignedObject, Unchecked, Verdict, judge_digest, judge_listed,
};
use crate::store::{Locator, Stat};

/// Questions between two looks at whether to stop.
const BATCH: usize = 256;

/// Holds every object against one listing. What the listing lacks or shows otherwise is asked for
/// once more before it is called damaged: listings have been known to be old.
pub(super) fn listing(
    verifying: &Verifying<'_>,
    archives: &[Archive],
    report: &mut VerifyReport,
) -> Result<(LevelReport, Shown), Error> {
    let source = verifying.source;
    let prefix = keys::archives_prefix(&source.row.directory);
    let listed: BTreeMap<String, Stat> = source
        .store
        .list(&prefix)?
        .into_iter()
        .map(|listed| (listed.key, listed.stat))
        .collect();
    let mut shown = Shown::default();
    let mut checked = Vec::new();
    let mut doubtful = Vec::new();
    let mut named = BTreeSet::new();
    for archive in archives {
        for object in &archive.objects {
            let stat = listed.get(&object.key);
            let verdict = judge_listed(object, stat.map(seen));
            if verdict != Verdict::Sound {
                doubtful.push((checked.len(), archive.locator(source, object), object));
            }
            if let Some(class) = stat.and_then(|stat| stat.class) {
                shown.classes.insert(object.key.clone(), class);
            }
            named.insert(object.key.as_str());
            checked.push(Checked::new(object, verdict));
        }
    }
    let mut unlisted = 0_u64;
    for (at, stat) in stats(verifying, &doubtful)? {
        let (place, _, object) = &doubtful[at];
        let verdict = judge_listed(object, stat.as_ref().map(seen));
        match verdict {
            Verdict::Sound => unlisted += 1,
            _ => drop(shown.damaged.insert(object.key.clone())),
        }
        checked[*place].verdict = verdict;
    }
    if unlisted > 0 {
        report.notes.push(format!(
            "the listing is not true: it lacks, or shows otherwise, {unlisted} of the objects that the store has when asked for them"
        ));
    }
    // What lies in the directories of retired archives and of attempts is for `prune` to judge.
    let visible: BTreeSet<_> = archives.iter().map(|archive| archive.entry().id).collect();
    let directory = &source.row.directory;
    report.strays = listed
        .into_keys()
        .filter(|key| {
            let of = keys::archive_of(directory, key);
            let beside = of.is_none_or(|(archive, _)| visible.contains(&archive));
            beside && !named.contains(key.as_str())
        })
        .collect();
    let level = LevelReport {
        level: VerifyLevel::Listing,
        objects: checked,
    };
    Ok((level, shown))
}

/// Asks the store of every object for the SHA-256 that it keeps: one request each, also of what is
/// cold.
pub(super) fn checksums(
    verifying: &Verifying<'_>,
    archives: &[Archive],
    shown: &Shown,
) -> Result<LevelReport, Error> {
    let source = verifying.source;
    let mut checked = Vec::new();
    let mut to_ask = Vec::new();
    for archive in archives {
        for object in &archive.objects {
            if shown.damaged.contains(&object.key) {
                let found = Verdict::Unchecked(Unchecked::FoundDamaged);
                checked.push(Checked::new(object, found));
            } else {
                to_ask.push((checked.len(), archive.locator(source, object), object));
                let no_digest = Verdict::Unchecked(Unchecked::NoDigest);
                checked.push(Checked::new(object, no_digest));
            }
        }
    }
    for (at, stat) in stats(verifying, &to_ask)? {
        let (place, _, object) = &to_ask[at];
        checked[*place].verdict = judge_digest(object, stat.as_ref().map(seen));
    }
    Ok(LevelReport {
        level: VerifyLevel::Checksums,
        objects: checked,
    })
}

fn seen(stat: &Stat) -> Seen {
    Seen {
        bytes: stat.bytes,
        sha256: stat.sha256,
    }
}

/// What the store says of each, by its place here; `None` if it is not there.
fn stats(
    verifying: &Verifying<'_>,
    objects: &[(usize, Locator, &SignedObject)],
) -> Result<Vec<(usize, Option<Stat>)>, Error> {
    let store = verifying.source.store;
    let mut stats = Vec::with_capacity(objects.len());
    for (batch, at) in objects.chunks(BATCH).zip((0..).step_by(BATCH)) {
        verifying.interrupt.check()?;
        let (answers, failed) = ask_all(batch, |(_, locator, _)| match store.stat(locator) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        });
        if let Some((_, error)) = failed {
            return Err(error.into());
        }
        stats.extend(answers.into_iter().map(|(place, stat)| (at + place, stat)));
    }
    Ok(stats)
}
