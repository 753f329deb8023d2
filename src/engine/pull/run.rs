//! One pull of one source.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::btrfs::{self, Confinement};
use crate::catalog::{Catalog, PullRow};
use crate::config::{Config, Live, PullConfig, Source};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::pull::exclude_file;
use crate::engine::pull::outcome::{PullAsked, PullRan};
use crate::engine::pull::place::{self, PullPlace};
use crate::engine::pull::standing::STAGING;
use crate::error::{Error, PullError, PullFailure};
use crate::model::SnapshotName;
use crate::model::entry::Timestamp;
use crate::progress::Event;
use crate::rsync::{Rsync, RsyncEnding, RsyncFigures, RsyncRequest};

/// rsync's exit code if it has come to `--max-delete`.
const DELETED_ENOUGH: i32 = 25;
/// Some files vanished while they were pulled.
const VANISHED: i32 = 24;
/// Some files were not pulled.
const PARTLY: i32 = 23;

/// Pulls a source: makes the content of its subvolume that of `from`.
pub fn pull(
    config: &Config,
    source: &Source,
    asked: PullAsked,
    context: RunContext<'_>,
) -> Result<PullRan, Error> {
    let pulling = Pulling::new(config, source, asked, context)?;
    // First the catalog: on a new machine this makes the directory of the lock too.
    let mut catalog = context.catalog(&pulling.state_dir)?;
    let _lock = pulling.state_dir.lock_pull(&source.name, &context)?;
    let _awake = context.keep_awake("coldchain is pulling a source");
    pulling.run(&mut catalog)
}

/// Returns what a pull would do. Changes nothing but a missing state directory, which the lock needs.
pub fn foresee_pull(
    config: &Config,
    source: &Source,
    asked: PullAsked,
    context: RunContext<'_>,
) -> Result<PullRan, Error> {
    let pulling = Pulling::new(config, source, asked, context)?;
    pulling.state_dir.create()?;
    let _lock = pulling.state_dir.lock_pull(&source.name, &context)?;
    let catalog = pulling.state_dir.catalog_to_read()?;
    let place = place::look(source, pulling.live, pulling.pull, &catalog)?;
    pulling.require_fit(place.as_ref())?;
    let seen = pulling.look(place.as_ref())?;
    Ok(ran(&seen.figures))
}

/// Pulls a source that is pulled at all, unless its snapshot of that date is there already: then the night goes on with
/// that.
pub fn pull_for_the_night(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    context: RunContext<'_>,
) -> Result<Option<PullRan>, Error> {
    let (Some(_), Some(live)) = (&source.pull, &source.live) else {
        return Ok(None);
    };
    let name = SnapshotName::of_date(date).to_string();
    if live.snapshots.join(name).symlink_metadata().is_ok() {
        return Ok(None);
    }
    pull(config, source, PullAsked::default(), context).map(Some)
}

struct Pulling<'a> {
    source: &'a Source,
    live: &'a Live,
    pull: &'a PullConfig,
    rsync: Rsync,
    state_dir: StateDir,
    asked: PullAsked,
    context: RunContext<'a>,
}

impl<'a> Pulling<'a> {
    fn new(
        config: &'a Config,
        source: &'a Source,
        asked: PullAsked,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        let (Some(pull), Some(live)) = (&source.pull, &source.live) else {
            return Err(PullError::NothingToPull {
                source_name: Some(source.name.clone()),
            }
            .into());
        };
        btrfs::require_root()?;
        if let Some(file) = &pull.exclude_from {
            exclude_file::require_fit(file)?;
        }
        Ok(Self {
            source,
            live,
            pull,
            rsync: Rsync::find().map_err(PullError::from)?,
            state_dir: StateDir::new(&config.state_dir),
            asked,
            context,
        })
    }

    fn run(&self, catalog: &mut Catalog) -> Result<PullRan, Error> {
        let found = place::look(self.source, self.live, self.pull, catalog)?;
        self.require_fit(found.as_ref())?;
        let seen = self.look(found.as_ref())?;
        self.require_few_deletions(&seen, found.as_ref())?;
        let place = self.begin(found, catalog)?;
        self.context.observer.event(Event::PullBegun {
            source: self.source.name.clone(),
            from: self.pull.from.to_string(),
            expected: seen.figures.transferred_bytes,
        });
        let limit = self.limit(place.row.as_ref());
        let ended = self.rsync(place.directory.as_fd(), RsyncTask::Pull, limit)?;
        self.judge(&ended, limit)?;
        self.warn_of(&ended);
        place::end(self.live, &place)?;
        catalog.pull_ended(place.identity.uuid, ended.figures.entries, self.now())?;
        self.context.observer.event(Event::Pulled {
            source: self.source.name.clone(),
            from: self.pull.from.to_string(),
            entries: ended.figures.entries,
            deleted: ended.figures.deleted,
            files: ended.figures.transferred,
            raw_bytes: ended.figures.transferred_bytes,
        });
        Ok(ran(&ended.figures))
    }

    /// Refuses what rsync should not even be asked.
    fn require_fit(&self, place: Option<&PullPlace>) -> Result<(), Error> {
        let cover = match place {
            Some(place) => self.confinement(place.directory.as_fd())?.root().to_owned(),
            None => PathBuf::from("/sys"),
        };
        place::require_apart(self.live, self.pull, &cover)?;
        let Some(place) = place else {
            return Ok(());
        };
        if !self.asked.accept_deletions {
            place::require_ours(self.source, self.live, place)?;
        }
        if self.pull.inplace
            && let Some(linked) = place.directory.linked_file()?
        {
            return Err(PullError::LinkedFile {
                path: self.live.subvolume.join(OsStr::from_bytes(&linked)),
            }
            .into());
        }
        Ok(())
    }

    /// Lets rsync say what it would do. Refuses a source that is empty.
    fn look(&self, place: Option<&PullPlace>) -> Result<RsyncEnding, Error> {
        let ended = if let Some(place) = place {
            self.rsync(place.directory.as_fd(), RsyncTask::Look, None)?
        } else {
            let nothing = self.state_dir.file("pull-trial");
            let failed = |error| Error::file("make an empty directory at", &nothing, error);
            match fs::create_dir(&nothing) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => {}
            }
            let opened = File::open(&nothing).map_err(failed)?;
            let ended = self.rsync(opened.as_fd(), RsyncTask::Look, None);
            // The next run uses it if it stays.
            let _ = fs::remove_dir(&nothing);
            ended?
        };
        // A path that is not there is an error of its own, also where unreadable files are none.
        if ended.figures.entries == 0 && ended.code != Some(0) {
            return Err(self.failed(&ended));
        }
        // rsync may stumble over a link that it would have replaced by a directory. What it can't read is an error.
        let has_stumbled = ended.code == Some(PARTLY) && !ended.said.contains("[sender]");
        if !has_stumbled {
            self.judge(&ended, None)?;
        }
        // The directory itself counts.
        if ended.figures.entries <= 1 {
            return Err(PullError::Empty {
                from: Box::new(self.pull.from.clone()),
                path: self.live.subvolume.clone(),
            }
            .into());
        }
        Ok(ended)
    }

    fn require_few_deletions(
        &self,
        seen: &RsyncEnding,
        place: Option<&PullPlace>,
    ) -> Result<(), Error> {
        let row = place.and_then(|place| place.row.as_ref());
        let (Some(limit), Some(entries)) = (self.limit(row), row.and_then(|row| row.entries))
        else {
            return Ok(());
        };
        let mut deleted = seen.figures.deleted;
        if place.is_some_and(|place| place.is_unfinished) {
            // The runs that were cut have deleted too.
            let left = seen.figures.entries.saturating_sub(seen.figures.created);
            deleted = deleted.max(entries.saturating_sub(left));
        }
        if deleted <= limit {
            return Ok(());
        }
        Err(PullError::ManyDeletions {
            source_name: self.source.name.clone(),
            from: Box::new(self.pull.from.clone()),
            path: self.live.subvolume.clone(),
            deleted,
            entries,
            limit,
        }
        .into())
    }

    /// Returns how many entries a run may delete; `None` for no limit.
    fn limit(&self, row: Option<&PullRow>) -> Option<u64> {
        let share = self.pull.max_delete;
        if self.asked.accept_deletions || share >= 100 {
            return None;
        }
        let entries = row.and_then(|row| row.entries)?;
        Some(entries.saturating_mul(u64::from(share)) / 100)
    }

    /// Makes what is missing, and notes in the subvolume and in the catalog that its content changes from now on. No
    /// snapshot is being made meanwhile.
    fn begin(&self, found: Option<PullPlace>, catalog: &mut Catalog) -> Result<PullPlace, Error> {
        let _locked = self
            .state_dir
            .lock_snapshots(&self.source.name, &self.context)?;
        let place = match found {
            Some(place) => place,
            None => place::make(self.live, self.pull)?,
        };
        place::make_snapshots_directory(self.live)?;
        catalog.pull_begins(place.identity.uuid, &self.source.name, self.now())?;
        place::begin(self.live, &place)?;
        Ok(place)
    }

    fn confinement(&self, directory: impl AsFd + Copy) -> Result<Confinement, Error> {
        Ok(Confinement::of(directory, &self.live.subvolume)?)
    }

    /// Runs rsync, confined to the directory.
    fn rsync(
        &self,
        directory: impl AsFd + Copy,
        task: RsyncTask,
        max_delete: Option<u64>,
    ) -> Result<RsyncEnding, Error> {
        let confinement = self.confinement(directory)?;
        let request = self.request(confinement.root(), task, max_delete)?;
        let mut command = request.command(&self.rsync);
        confinement.apply(&mut command);
        let action = match task {
            RsyncTask::Look => format!("look what there is to pull from {}", self.pull.from),
            RsyncTask::Pull => format!("pull {}", self.pull.from),
        };
        let ended = RsyncEnding::of(command, action, &mut |raw_bytes| {
            self.context.observer.event(Event::Progress {
                source: self.source.name.clone(),
                raw_bytes,
            });
        });
        self.context.interrupt.check()?;
        Ok(ended.map_err(PullError::from)?)
    }

    fn request(
        &self,
        to: &Path,
        task: RsyncTask,
        max_delete: Option<u64>,
    ) -> Result<RsyncRequest, Error> {
        let protected = if self.live.subvolume.exists() {
            place::protected(self.live)?
        } else {
            Vec::new()
        };
        let pull = self.pull;
        Ok(RsyncRequest {
            from: pull.from.clone(),
            to: to.to_owned(),
            staging: STAGING.into(),
            protected,
            identity_file: pull.identity_file.clone(),
            exclude: pull.exclude.clone(),
            exclude_from: pull.exclude_from.clone(),
            rsync_path: pull.rsync_path.clone(),
            options: pull.options.clone(),
            inplace: pull.inplace,
            timeout: pull.timeout,
            max_delete,
            is_trial: task == RsyncTask::Look,
        })
    }

    /// Judges how rsync ended.
    fn judge(&self, ended: &RsyncEnding, limit: Option<u64>) -> Result<(), Error> {
        match ended.code {
            Some(0 | VANISHED) => Ok(()),
            Some(PARTLY) if self.pull.allow_unreadable => Ok(()),
            Some(DELETED_ENOUGH) => Err(PullError::StoppedDeleting {
                source_name: self.source.name.clone(),
                path: self.live.subvolume.clone(),
                limit: limit.unwrap_or_default(),
            }
            .into()),
            _ => Err(self.failed(ended)),
        }
    }

    fn failed(&self, ended: &RsyncEnding) -> Error {
        PullError::Failed {
            from: Box::new(self.pull.from.clone()),
            why: PullFailure::of(ended.code, &ended.said),
            code: ended.code,
            said: ended.said.clone().into(),
        }
        .into()
    }

    fn warn_of(&self, ended: &RsyncEnding) {
        let what = match ended.code {
            Some(VANISHED) => "some files vanished while they were pulled",
            Some(PARTLY) => "some files could not be pulled",
            _ => return,
        };
        self.context.observer.event(Event::Warning {
            source: self.source.name.clone(),
            message: format!("{what}: {}", ended.said),
        });
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.context.clock.now())
    }
}

/// What rsync is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RsyncTask {
    /// It only says what it would do.
    Look,
    Pull,
}

fn ran(figures: &RsyncFigures) -> PullRan {
    PullRan {
        entries: figures.entries,
        created: figures.created,
        deleted: figures.deleted,
        files: figures.transferred,
        bytes: figures.transferred_bytes,
    }
}
