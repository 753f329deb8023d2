//! A mount, from its beginning to its end.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select, unbounded};
use fuser::{Config, MountOption, Session, SessionACL};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::requests::{FuseRequests, Job};
use super::{FuseError, NAME, ReadOnlyTree};

/// The device of FUSE.
const DEVICE: &str = "/dev/fuse";

/// Threads that answer what needs names alone.
const NAME_WORKERS: usize = 2;

/// How often a busy mount is tried again, and how long it is left alone before each try.
const BUSY_TRIES: u32 = 10;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// Who may enter a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhoMayEnter {
    /// The user who made it.
    Owner,
    /// Everyone, as far as modes and access control lists let them. The kernel checks these.
    Everyone,
}

/// How a tree is mounted.
#[derive(Debug, Clone, Copy)]
pub struct FuseOptions {
    /// Who may enter it.
    pub who: WhoMayEnter,
    /// Threads that answer what may need a store.
    pub data_workers: usize,
}

/// How a mount ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowEnded {
    /// Something else unmounted it.
    UnmountedElsewhere,
    /// This process did.
    Unmounted,
    /// This process did, while something was open in it: programs that have it get errors from now on.
    UnmountedWhileBusy,
}

/// A mounted tree, whose requests are not answered yet.
pub struct FuseMount {
    at: PathBuf,
    session: Session<FuseRequests>,
    names: Receiver<Job>,
    data: Receiver<Job>,
    data_workers: usize,
}

impl FuseMount {
    /// Mounts a tree: read-only, and without devices and set-user-id programs.
    pub fn new(at: &Path, options: FuseOptions) -> Result<Self, FuseError> {
        require_device()?;
        let (names, names_out) = unbounded();
        let (data, data_out) = unbounded();
        let checks = options.who == WhoMayEnter::Everyone;
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(NAME.to_owned()),
            // fuser gives `Subtype` to fusermount3 alone.
            MountOption::CUSTOM(format!("subtype={NAME}")),
            MountOption::RO,
            MountOption::NoDev,
            MountOption::NoSuid,
        ];
        if checks {
            config.acl = SessionACL::All;
            config.mount_options.push(MountOption::DefaultPermissions);
        }
        let requests = FuseRequests {
            names,
            data,
            checks,
        };
        let session = Session::new(requests, at, &config).map_err(|error| refused(at, &error))?;
        Ok(Self {
            at: at.to_owned(),
            session,
            names: names_out,
            data: data_out,
            data_workers: options.data_workers,
        })
    }

    /// Answers requests until the tree is unmounted, or until `goes_on` returns false: then it is unmounted. `goes_on` is
    /// called again and again, and takes its time. Calls `done` once it is unmounted; requests may still be answered then.
    pub fn serve(
        mut self,
        tree: &dyn ReadOnlyTree,
        goes_on: &mut dyn FnMut() -> bool,
        done: impl FnOnce(HowEnded),
    ) -> Result<(), FuseError> {
        let broke = |source| FuseError::Broke {
            at: self.at.clone(),
            source,
        };
        let mut unmounter = self.session.unmount_callable();
        let session = self.session;
        let (end, ended) = bounded(1);
        // If something is open in the mount at its end, this thread ends with the process.
        thread::Builder::new()
            .name("fuse".to_owned())
            .spawn(move || {
                let _ = end.send(session.run());
            })
            .map_err(broke)?;
        let (stop, stopped) = bounded::<()>(0);
        let (names, data) = (&self.names, &self.data);
        thread::scope(|scope| {
            let workers = [
                (names, NAME_WORKERS, "names"),
                (data, self.data_workers, "data"),
            ];
            for (jobs, number, name) in workers {
                for _ in 0..number {
                    let stopped = stopped.clone();
                    thread::Builder::new()
                        .name(name.to_owned())
                        .spawn_scoped(scope, move || work(jobs, &stopped, tree))
                        .map_err(broke)?;
                }
            }
            let how = loop {
                match ended.try_recv() {
                    Ok(Ok(())) | Err(TryRecvError::Disconnected) => {
                        break Ok(HowEnded::UnmountedElsewhere);
                    }
                    Ok(Err(source)) => break Err(broke(source)),
                    Err(TryRecvError::Empty) if goes_on() => {}
                    Err(TryRecvError::Empty) => {
                        break unmount_now(&self.at, || unmounter.unmount()).map_err(broke);
                    }
                }
            };
            drop::<Sender<()>>(stop);
            done(how?);
            Ok(())
        })
    }
}

impl std::fmt::Debug for FuseMount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FuseMount")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Answers requests until it is told to stop. Those that are left then get an error.
fn work(jobs: &Receiver<Job>, stopped: &Receiver<()>, tree: &dyn ReadOnlyTree) {
    loop {
        select! {
            recv(jobs) -> job => match job {
                Ok(job) => job(tree),
                Err(_) => return,
            },
            recv(stopped) -> _ => return,
        }
    }
}

fn unmount_now(at: &Path, plainly: impl FnOnce() -> io::Result<()>) -> io::Result<HowEnded> {
    match plainly() {
        Ok(()) => Ok(HowEnded::Unmounted),
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => unmount_busy(at),
        Err(error) => Err(error),
    }
}

/// Unmounts what was in use a moment ago. A program that was forked holds what its parent had open until it executes
/// another, so a mount may look busy though its readers are done.
fn unmount_busy(at: &Path) -> io::Result<HowEnded> {
    for _ in 0..BUSY_TRIES {
        thread::sleep(BUSY_WAIT);
        match unmount(at, UnmountFlags::empty()) {
            Err(Errno::BUSY) => {}
            other => return Ok(other.map(|()| HowEnded::Unmounted)?),
        }
    }
    unmount(at, UnmountFlags::DETACH)?;
    Ok(HowEnded::UnmountedWhileBusy)
}

/// Fails if FUSE can't be used at all.
fn require_device() -> Result<(), FuseError> {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(FuseError::DeviceDenied(error))
        }
        Err(_) => Err(FuseError::NoDevice),
    }
}

fn refused(at: &Path, error: &io::Error) -> FuseError {
    let why = error.to_string();
    if error.kind() == ErrorKind::NotFound {
        FuseError::NoHelper
    } else if why.contains("user_allow_other") {
        FuseError::OthersDenied
    } else {
        FuseError::Refused {
            at: at.to_owned(),
            why: why.trim_end().to_owned(),
        }
    }
}
