//! Fetches segments and opens them: all that a restore does before `btrfs receive`.
//!
//! Several segments are fetched at once and opened one after the other, so memory is bounded by those being
//! fetched. Nothing is thawed: cold segments are reported as cold.

use std::collections::BTreeMap;
use std::thread;

use super::contents::{Contents, Opens};
use super::progress::Progress;
use super::record::Recorder;
use super::unreadable::unreadable;
use super::{Archive, ListingResults, Verifying};
use crate::engine::ledger::archive_keys::opens_nothing;
use crate::engine::restore::fetch::{Fetched, WantedSegment, fetch_ahead};
use crate::engine::restore::thaw::ask_all;
use crate::error::{Error, RestoreError, in_words};
use crate::model::keys::{self, ArchiveObject, ArchivePart};
use crate::model::{ArchiveId, Sha256, StorageClass, VerifyLevel, VerifyOutcome};
use crate::plan::{CheckedObject, LevelReport, Seen, Unchecked, Verdict, choose, judge_listed};
use crate::progress::Counted;
use crate::store::{ErrorKind, Locator, Readability, StoreError};

/// How many objects are asked for between two checks of the interrupt.
const BATCH: usize = 256;

/// The reason for each object that is not fetched, by key.
type LeftOut<'a> = BTreeMap<&'a str, Unchecked>;

/// Fetches every sealed key, and every readable segment of the sample. If the check breaks off, its results
/// so far stay valid.
pub(super) fn deep(
    verifying: &Verifying<'_>,
    archives: &[Archive],
    shown: &ListingResults,
    recorder: &mut Recorder<'_>,
) -> (LevelReport, Result<(), Error>) {
    let mut reading = DeepCheck {
        verifying,
        recorder,
        report: LevelReport::new(VerifyLevel::Deep),
        come_to: 0,
        answered: false,
        unreadable: None,
    };
    let mut ended = reading.read(archives, shown);
    let objects = archives.iter().flat_map(|archive| &archive.objects);
    for object in objects.skip(reading.come_to) {
        let broken_off = Verdict::Unchecked(Unchecked::BrokenOff);
        reading
            .report
            .objects
            .push(CheckedObject::new(object, broken_off));
    }
    if reading.answered {
        reading.recorder.level(&reading.report);
    } else if let Some(error) = reading.unreadable.take() {
        // No object could be read at all: this does not show that any of them is damaged.
        for checked in &mut reading.report.objects {
            checked.verdict = Verdict::Unchecked(Unchecked::BrokenOff);
        }
        ended = ended.and(Err(error.into()));
    }
    (reading.report, ended)
}

/// A deep check in progress.
struct DeepCheck<'a, 'r, 'c> {
    verifying: &'a Verifying<'a>,
    recorder: &'r mut Recorder<'c>,
    report: LevelReport,
    /// How many objects have a verdict.
    come_to: usize,
    /// Whether the store has returned an object, or said that it has none.
    answered: bool,
    /// The error for the last object that it could not read.
    unreadable: Option<StoreError>,
}

impl DeepCheck<'_, '_, '_> {
    fn read(&mut self, archives: &[Archive], shown: &ListingResults) -> Result<(), Error> {
        let source = self.verifying.source;
        let opens = open_all(self.verifying, archives)?;
        let left_out = left_out(self.verifying, archives, shown)?;
        let mut wanted = Vec::new();
        for (archive, opens) in archives.iter().zip(&opens) {
            // Use their keys, and not the locators in the catalog.
            let all = WantedSegment::of(source, archive.entry(), &[]);
            wanted.extend(
                all.into_iter()
                    .filter(|segment| !left_out.contains_key(segment.key.as_str())),
            );
            if matches!(opens, Opens::Nothing) {
                self.report.unopened.insert(archive.entry().id);
            }
        }
        let bytes = wanted.iter().map(|segment| segment.record.sealed_bytes);
        let mut progress = Progress::begin(
            self.verifying,
            VerifyLevel::Deep.as_str(),
            Counted::Bytes,
            bytes.sum(),
        );
        thread::scope(|scope| {
            let at_once = self.verifying.at_once;
            let mut fetched = fetch_ahead(scope, source.store.as_ref(), wanted, at_once);
            for (archive, opens) in archives.iter().zip(&opens) {
                self.archive(archive, opens, &left_out, &mut fetched, &mut progress)?;
                if self.answered {
                    let outcome = self.report.outcome(&archive.entry().id);
                    self.recorder.write(outcome);
                }
            }
            Ok(())
        })
    }

    fn archive(
        &mut self,
        archive: &Archive,
        opens: &Opens,
        left_out: &LeftOut<'_>,
        fetched: &mut Fetched,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let mut contents = Contents::begin(archive.entry(), opens);
        for object in &archive.objects {
            self.verifying.interrupt.check()?;
            let verdict = match (left_out.get(object.key.as_str()), object.part) {
                (Some(reason), _) => Verdict::Unchecked(*reason),
                (None, ArchivePart::Key) => match self.whole(object) {
                    Ok((verdict, _)) => self.answered(archive, object, verdict),
                    Err(error) => self.not_fetched(archive, object, error)?,
                },
                (None, ArchivePart::Contents(index)) => match self.whole(object) {
                    Ok((verdict, sealed)) => {
                        let verdict = match verdict {
                            Verdict::Sound => contents.object(index, &sealed),
                            verdict => verdict,
                        };
                        self.answered(archive, object, verdict)
                    }
                    Err(error) => self.not_fetched(archive, object, error)?,
                },
                (None, ArchivePart::Segment(index)) => {
                    match fetched.next().expect("it is wanted") {
                        Ok(sealed) => {
                            progress.add(object.bytes());
                            let verdict = contents.segment(index, &sealed);
                            self.answered(archive, object, verdict)
                        }
                        Err(error) => self.not_fetched(archive, object, error)?,
                    }
                }
            };
            if object.segment().is_some() && !matches!(verdict, Verdict::Sound | Verdict::Hashed) {
                contents.lacks_a_segment();
            }
            self.report
                .objects
                .push(CheckedObject::new(object, verdict));
            self.come_to += 1;
        }
        if let Some(what) = contents.end() {
            let directory = &self.verifying.source.row.directory;
            self.report.objects.push(CheckedObject {
                archive: archive.entry().id,
                segment: None,
                key: keys::archive_prefix(directory, &archive.entry().id),
                verdict: Verdict::Damaged(what),
            });
        }
        Ok(())
    }

    /// A verdict on what the store has said. Damage is recorded at once.
    fn answered(&mut self, archive: &Archive, object: &ArchiveObject, verdict: Verdict) -> Verdict {
        self.answered = true;
        let Verdict::Damaged(what) = verdict else {
            return verdict;
        };
        // An archive is sound without its contents.
        if !matches!(object.part, ArchivePart::Contents(_)) {
            let level = self.report.level_of(&object.archive);
            self.recorder
                .write([(object.archive, level, VerifyOutcome::Damaged)]);
        }
        Verdict::Damaged(archive.hidden(self.verifying.source, object, what))
    }

    /// Returns what a failed fetch shows about the object, or the error if it shows nothing.
    fn not_fetched(
        &mut self,
        archive: &Archive,
        object: &ArchiveObject,
        error: Error,
    ) -> Result<Verdict, Error> {
        match error {
            Error::Restore(RestoreError::SegmentDamaged { what, .. }) => {
                Ok(self.answered(archive, object, Verdict::Damaged(what)))
            }
            // It went cold again, or no listing had its class.
            Error::Store(error) if error.kind == ErrorKind::Cold => {
                Ok(Verdict::Unchecked(Unchecked::Cold))
            }
            Error::Store(error) => match unreadable(self.verifying, &error) {
                Some(what) => {
                    self.unreadable = Some(error);
                    Ok(Verdict::Damaged(what))
                }
                None => Err(error.into()),
            },
            other => Err(other),
        }
    }

    /// Compares an object that is read at once, a sealed key or one of the contents, with what the entry signs, and returns
    /// its bytes.
    fn whole(&self, object: &ArchiveObject) -> Result<(Verdict, Vec<u8>), Error> {
        let source = self.verifying.source;
        match source
            .store
            .get(&Archive::locator(source, object), object.bytes())
        {
            Ok(bytes) => {
                let seen = Seen {
                    bytes: bytes.len() as u64,
                    sha256: Some(Sha256::of(&bytes)),
                };
                Ok((judge_listed(object, Some(seen)), bytes))
            }
            Err(error) if error.is_not_found() => Ok((judge_listed(object, None), Vec::new())),
            Err(error) if error.kind == ErrorKind::TooLarge => {
                let stored = object.bytes();
                let longer = format!("it is longer than the {stored} bytes that were stored");
                Ok((Verdict::Damaged(longer), Vec::new()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Opens the key of each archive. Fails if the identity opens none at all: it is the wrong one.
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

/// Returns the objects that are not fetched: the damaged ones, those outside the sample, and the cold ones.
fn left_out<'a>(
    verifying: &Verifying<'_>,
    archives: &'a [Archive],
    shown: &ListingResults,
) -> Result<LeftOut<'a>, Error> {
    let objects = || archives.iter().flat_map(|archive| &archive.objects);
    let segments: Vec<(ArchiveId, u32)> = objects()
        .filter_map(|object| Some((object.archive, object.segment()?)))
        .collect();
    let chosen = verifying.sample.map(|sample| choose(&segments, sample));
    let mut left_out = LeftOut::new();
    let mut maybe_cold: Vec<(&str, Locator)> = Vec::new();
    for archive in archives {
        for object in &archive.objects {
            let key = object.key.as_str();
            let is_chosen = match (&chosen, object.segment()) {
                (Some(chosen), Some(index)) => chosen.contains(&(object.archive, index)),
                _ => true,
            };
            let class = shown.classes.get(key).copied();
            if shown.damaged.contains(key) {
                left_out.insert(key, Unchecked::FoundDamaged);
            } else if !is_chosen {
                left_out.insert(key, Unchecked::NotSampled);
            } else if class.is_some_and(StorageClass::is_cold) {
                maybe_cold.push((key, Archive::locator(verifying.source, object)));
            }
        }
    }
    let store = verifying.source.store.as_ref();
    for batch in maybe_cold.chunks(BATCH) {
        verifying.interrupt.check()?;
        let (answers, failed) = ask_all(batch, |(_, locator)| match store.readability(locator) {
            // DeepCheck it will show the problem.
            Err(error) if error.is_of_one_object() => Ok(Readability::Always),
            other => other,
        });
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
