//! Brings archives from the vault into the spool: asks for their parts, and fetches those that are there.

use std::collections::BTreeSet;

use super::foreign_vault::ForeignVault;
use super::known::as_archive;
use super::spool::Spool;
use crate::btrfs::Space;
use crate::catalog::ImportedArchiveRow;
use crate::error::{Error, ImportError};
use crate::interrupt::Interrupt;
use crate::model::{SourceName, Tier};
use crate::plan::{ImportedArchive, PartStep, RetrievalJob, RetrievalPart, part_step, parts};
use crate::progress::{Event, Observer};
use crate::store::ErrorKind;

/// Bytes that are read of a job's output at once: a power of two of MiB, so that the vault gives their tree hash.
const CHUNK: u64 = 8 << 20;

/// How many parts are asked for and not fetched yet: an output is kept for a day, and must have come by then.
const AT_ONCE: usize = 64;

/// A request to bring archives into the spool.
pub(super) struct Retrieving<'a> {
    pub(super) name: &'a SourceName,
    pub(super) vault: &'a dyn ForeignVault,
    pub(super) spool: &'a Spool,
    pub(super) tier: Tier,
    /// The bytes of a part.
    pub(super) part_bytes: u64,
    pub(super) observer: &'a dyn Observer,
    pub(super) interrupt: &'a Interrupt,
}

/// How far they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct AskedParts {
    awaited: usize,
    later: usize,
}

/// A part that is not in the spool.
struct LackingPart<'a> {
    archive: &'a ImportedArchive,
    part: RetrievalPart,
}

/// Returns the bytes of archives that are not in a spool, and how many parts they are.
pub(super) fn lacking_bytes(
    archives: &[ImportedArchiveRow],
    spool: &Spool,
    part_bytes: u64,
) -> Result<(u64, u64), Error> {
    let (mut bytes, mut count) = (0, 0);
    for archive in archives.iter().map(as_archive) {
        let spooled = spool.archive(&archive.id());
        for part in parts(archive.bytes, part_bytes) {
            if spooled.part(part)?.is_none() {
                bytes += part.bytes;
                count += 1;
            }
        }
    }
    Ok((bytes, count))
}

impl Retrieving<'_> {
    /// Asks for what is missing, fetches what the vault has ready, and returns an error while anything is missing.
    pub(super) fn run(&self, archives: &[ImportedArchiveRow]) -> Result<(), Error> {
        let archives: Vec<ImportedArchive> = archives.iter().map(as_archive).collect();
        let of = archives
            .iter()
            .map(|archive| parts(archive.bytes, self.part_bytes).len())
            .sum();
        if self.lacking(&archives)?.is_empty() {
            return Ok(());
        }
        self.require_room(&archives)?;
        let mut gone = BTreeSet::new();
        loop {
            self.interrupt.check()?;
            let lacking = self.lacking(&archives)?;
            if lacking.is_empty() {
                return Ok(());
            }
            let jobs = self.vault.retrievals()?;
            let standing = self.ask(&lacking, &jobs, &gone)?;
            if !self.fetch(&lacking, &jobs, &mut gone)? {
                return Err(ImportError::Retrieving {
                    name: self.name.clone(),
                    here: of - lacking.len(),
                    of,
                    awaited: standing.awaited,
                    later: standing.later,
                }
                .into());
            }
        }
    }

    fn lacking<'a>(&self, archives: &'a [ImportedArchive]) -> Result<Vec<LackingPart<'a>>, Error> {
        let mut lacking = Vec::new();
        for archive in archives {
            let spooled = self.spool.archive(&archive.id());
            for part in parts(archive.bytes, self.part_bytes) {
                if spooled.part(part)?.is_none() {
                    lacking.push(LackingPart { archive, part });
                }
            }
        }
        Ok(lacking)
    }

    /// Refuses before anything is asked for, because each request costs money.
    fn require_room(&self, archives: &[ImportedArchive]) -> Result<(), Error> {
        let lacking = self.lacking(archives)?;
        let needed = lacking.iter().map(|lacking| {
            let spooled = self.spool.archive(&lacking.archive.id());
            lacking.part.bytes - spooled.partial_bytes(lacking.part)
        });
        let (needed, free) = (needed.sum(), Space::of(self.spool.path())?.free);
        if needed <= free {
            return Ok(());
        }
        Err(ImportError::NoRoom {
            path: self.spool.path().to_owned(),
            needed,
            free,
        }
        .into())
    }

    /// Starts the jobs that are missing, the first parts first.
    fn ask(
        &self,
        lacking: &[LackingPart<'_>],
        jobs: &[RetrievalJob],
        gone: &BTreeSet<String>,
    ) -> Result<AskedParts, Error> {
        let mut standing = AskedParts::default();
        let mut begun = 0;
        let steps: Vec<PartStep<'_>> = lacking
            .iter()
            .map(|lacking| Self::step(lacking, jobs, gone))
            .collect::<Result<_, _>>()?;
        for step in &steps {
            begun += usize::from(!matches!(step, PartStep::Start { .. }));
            standing.awaited += usize::from(matches!(step, PartStep::Await));
        }
        for (lacking, step) in lacking.iter().zip(&steps) {
            let PartStep::Start { again } = step else {
                continue;
            };
            if begun >= AT_ONCE {
                standing.later += 1;
                continue;
            }
            self.interrupt.check()?;
            if *again {
                self.warn(format!(
                    "a retrieval of {} failed and is asked for again",
                    lacking.archive.id()
                ));
            }
            let is_whole = lacking.part.bytes == lacking.archive.bytes;
            let range = (!is_whole).then(|| lacking.part.range());
            let id = &lacking.archive.vault_id;
            self.vault.retrieve(id, range, self.tier)?;
            begun += 1;
            standing.awaited += 1;
        }
        Ok(standing)
    }

    fn step<'j>(
        lacking: &LackingPart<'_>,
        jobs: &'j [RetrievalJob],
        gone: &BTreeSet<String>,
    ) -> Result<PartStep<'j>, Error> {
        let LackingPart { archive, part } = lacking;
        let step = part_step(&archive.vault_id, archive.bytes, *part, jobs, gone);
        if let PartStep::Fetch(job) = step
            && let Some(found) = job.bytes.filter(|bytes| *bytes != part.bytes)
        {
            return Err(ImportError::OtherSize {
                archive: archive.id(),
                recorded: part.bytes,
                found,
            }
            .into());
        }
        Ok(step)
    }

    /// Fetches the parts that the vault has ready. Returns whether there may be more to do at once: some were fetched, or
    /// their output is gone.
    fn fetch(
        &self,
        lacking: &[LackingPart<'_>],
        jobs: &[RetrievalJob],
        gone: &mut BTreeSet<String>,
    ) -> Result<bool, Error> {
        let mut ready = Vec::new();
        for lacking in lacking {
            if let PartStep::Fetch(job) = Self::step(lacking, jobs, gone)? {
                ready.push((lacking, job));
            }
        }
        if ready.is_empty() {
            return Ok(false);
        }
        self.observer.event(Event::CopyingBegun {
            source: self.name.clone(),
            to: self.spool.path().display().to_string(),
            archives: ready.len(),
            sealed_bytes: ready.iter().map(|(lacking, _)| lacking.part.bytes).sum(),
        });
        let mut moved = 0;
        for (lacking, job) in ready {
            match self.fetch_part(lacking, job, &mut moved) {
                Err(Error::Store(error)) if error.kind == ErrorKind::Cold => {
                    gone.insert(job.id.clone());
                }
                fetched => fetched?,
            }
        }
        Ok(true)
    }

    fn fetch_part(
        &self,
        lacking: &LackingPart<'_>,
        job: &RetrievalJob,
        moved: &mut u64,
    ) -> Result<(), Error> {
        let LackingPart { archive, part } = lacking;
        let mut begun = self.spool.archive(&archive.id()).begin(*part)?;
        while begun.length() < part.bytes {
            self.interrupt.check()?;
            let length = CHUNK.min(part.bytes - begun.length());
            let bytes = self.vault.output(&job.id, begun.length(), length)?;
            if bytes.len() as u64 != length {
                return Err(Self::damaged(lacking));
            }
            begun.append(&bytes)?;
            *moved += length;
            self.observer.event(Event::CopyingProgress {
                source: self.name.clone(),
                sealed_bytes: *moved,
            });
        }
        if begun.complete(job.tree_hash)? {
            return Ok(());
        }
        Err(Self::damaged(lacking))
    }

    fn damaged(lacking: &LackingPart<'_>) -> Error {
        ImportError::PartDamaged {
            archive: lacking.archive.id(),
            part: lacking.part.index,
        }
        .into()
    }

    fn warn(&self, message: String) {
        self.observer.event(Event::Warning {
            source: self.name.clone(),
            message,
        });
    }
}
