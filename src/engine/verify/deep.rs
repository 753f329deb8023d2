//! Fetching segments and opening them: what a restore does, up to where `btrfs receive` would begin.
//!
//! Segments are fetched several at once and opened one after the other, so memory is bounded by
//! those on their way. Nothing is thawed: what is cold is told as such.

use std::collections::BTreeMap;

use super::contents::{Contents, Opens};
use super::{Archive, Shown, Verifying};
use crate::engine::fetch::{Fetched, Wanted, fetch_ahead};
use crate::engine::thaw::ask_all;
use crate::engine::unlock::opens_nothing;
use crate::error::{Error, in_words};
use crate::model::{ArchiveId, StorageClass, VerifyLevel, keys};
use crate::plan::{
    Checked, LevelReport, Seen, SignedObject, Unchecked, Verdict, choose, judge_listed,
};
use crate::store::{ErrorKind, Locator, Readability};

/// Questions between two looks at whether to stop.
const BATCH: usize = 256;

/// Why objects are not fetched, by their keys.
type LeftOut<'a> = BTreeMap<&'a str, Unchecked>;

/// Fetches every sealed key, and every segment that can be read and is in the sample.
pub(super) fn deep(
    verifying: &Verifying<'_>,
    archives: &[Archive],
    shown: &Shown,
) -> Result<LevelReport, Error> {
    let source = verifying.source;
    let opens = open_all(verifying, archives)?;
    let left_out = left_out(verifying, archives, shown)?;
    let mut wanted = Vec::new();
    for archive in archives {
        let all = Wanted::of(source, archive.entry(), &archive.rows);
        wanted.extend(
            all.into_iter()
                .filter(|segment| !left_out.contains_key(segment.key.as_str())),
        );
    }
    let mut checked = Vec::new();
    fetch_ahead(source.store, &wanted, verifying.at_once, |fetched| {
        for (archive, opens) in archives.iter().zip(&opens) {
            check_archive(verifying, archive, opens, &left_out, fetched, &mut checked)?;
        }
        Ok(())
    })?;
    Ok(LevelReport {
        level: VerifyLevel::Deep,
        objects: checked,
    })
}

fn check_archive(
    verifying: &Verifying<'_>,
    archive: &Archive,
    opens: &Opens,
    left_out: &LeftOut<'_>,
    fetched: &mut Fetched<'_>,
    checked: &mut Vec<Checked>,
) -> Result<(), Error> {
    let mut contents = Contents::begin(archive.entry(), opens);
    for object in &archive.objects {
        verifying.interrupt.check()?;
        let verdict = match (left_out.get(object.key.as_str()), object.segment) {
            (Some(reason), _) => Verdict::Unchecked(*reason),
            (None, None) => sealed_key(verifying, archive, object)?,
            (None, Some(index)) => match fetched.next() {
                Ok(sealed) => contents.segment(index, &sealed),
                Err(error) => not_fetched(error)?,
            },
        };
        if object.segment.is_some() && !matches!(verdict, Verdict::Sound | Verdict::Hashed) {
            contents.lacks_a_segment();
        }
        checked.push(Checked::new(object, verdict));
    }
    if let Some(what) = contents.end() {
        checked.push(Checked {
            archive: archive.entry().id,
            segment: None,
            key: keys::archive_prefix(&verifying.source.row.directory, &archive.entry().id),
            verdict: Verdict::Damaged(what),
        });
    }
    Ok(())
}

/// What a failed fetch says of the object; the error itself if it says nothing.
fn not_fetched(error: Error) -> Result<Verdict, Error> {
    match error {
        Error::SegmentDamaged { what, .. } => Ok(Verdict::Damaged(what)),
        Error::Store(error) => match error.kind {
            // It went cold again, or no listing told its class.
            ErrorKind::Cold => Ok(Verdict::Unchecked(Unchecked::Cold)),
            ErrorKind::Corrupted | ErrorKind::NotAnObject => Ok(Verdict::Damaged(in_words(&error))),
            _ => Err(error.into()),
        },
        other => Err(other),
    }
}

/// Holds an archive's sealed key against the one in its entry.
fn sealed_key(
    verifying: &Verifying<'_>,
    archive: &Archive,
    object: &SignedObject,
) -> Result<Verdict, Error> {
    let store = verifying.source.store;
    let locator = archive.locator(verifying.source, object);
    match store.get(&locator, object.bytes) {
        Ok(bytes) => Ok(judge_listed(
            object,
            Some(Seen {
                bytes: bytes.len() as u64,
                sha256: Some(crate::model::Sha256::of(&bytes)),
            }),
        )),
        Err(error) if error.is_not_found() => Ok(judge_listed(object, None)),
        Err(error) if error.kind == ErrorKind::TooLarge => Ok(Verdict::Damaged(format!(
            "it is longer than the {} bytes that were stored",
            object.bytes
        ))),
        Err(error) => not_fetched(error.into()),
    }
}

/// What opens each archive. An identity that opens none at all is the wrong one.
fn open_all(verifying: &Verifying<'_>, archives: &[Archive]) -> Result<Vec<Opens>, Error> {
    let Some((identities, name)) = verifying.identities else {
        return Ok(archives.iter().map(|_| Opens::Nothing).collect());
    };
    let directory = &verifying.source.row.directory;
    let mut locked = None;
    let mut opens = Vec::new();
    for archive in archives {
        opens.push(match archive.sealed.unlock(directory, identities, name) {
            Ok(key) => Opens::with(archive.entry(), key),
            Err(error) if opens_nothing(&error) => {
                locked = Some(error);
                Opens::Nothing
            }
            Err(error) => Opens::Unusable(in_words(&error)),
        });
    }
    match locked {
        Some(error) if opens.iter().all(|opens| matches!(opens, Opens::Nothing)) => Err(error),
        _ => Ok(opens),
    }
}

/// What is not fetched: what is known to be damaged, what the sample does not have, what is cold.
fn left_out<'a>(
    verifying: &Verifying<'_>,
    archives: &'a [Archive],
    shown: &Shown,
) -> Result<LeftOut<'a>, Error> {
    let objects = || archives.iter().flat_map(|archive| &archive.objects);
    let segments: Vec<(ArchiveId, u32)> = objects()
        .filter_map(|object| Some((object.archive, object.segment?)))
        .collect();
    let chosen = verifying.sample.map(|sample| choose(&segments, sample));
    let mut left_out = LeftOut::new();
    let mut maybe_cold: Vec<(&str, Locator)> = Vec::new();
    for archive in archives {
        for object in &archive.objects {
            let key = object.key.as_str();
            let is_chosen = match (&chosen, object.segment) {
                (Some(chosen), Some(index)) => chosen.contains(&(object.archive, index)),
                _ => true,
            };
            let class = shown.classes.get(key).copied();
            if shown.damaged.contains(key) {
                left_out.insert(key, Unchecked::FoundDamaged);
            } else if !is_chosen {
                left_out.insert(key, Unchecked::NotSampled);
            } else if class.is_some_and(StorageClass::is_cold) {
                maybe_cold.push((key, archive.locator(verifying.source, object)));
            }
        }
    }
    let store = verifying.source.store;
    for batch in maybe_cold.chunks(BATCH) {
        verifying.interrupt.check()?;
        let (answers, failed) = ask_all(batch, |(_, locator)| store.readability(locator));
        if let Some((_, error)) = failed {
            return Err(error.into());
        }
        for (at, readability) in answers {
            if matches!(readability, Readability::Cold(_) | Readability::Thawing(_)) {
                left_out.insert(batch[at].0, Unchecked::Cold);
            }
        }
    }
    Ok(left_out)
}
