//! The file of the records.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::RunRecords;

const NAME: &str = "runs.json";
const NEW_NAME: &str = "runs.json.new";
const LOCK: &str = "runs.lock";
/// Where a file goes that can't be read.
const DAMAGED: &str = "runs.json.damaged";

/// How long to wait for another run that is just writing, and how often to try.
const LOCKED_FOR: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(5);

/// The file in a state directory.
#[derive(Debug, Clone)]
pub struct RunFile {
    state_dir: PathBuf,
}

impl RunFile {
    /// Returns the file in that directory. Neither need exist.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
        }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.state_dir.join(NAME)
    }

    /// Reads it. Without a file there are no records.
    pub fn read(&self) -> io::Result<RunRecords> {
        let text = match fs::read(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RunRecords::default()),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&text).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Changes the records, and replaces the file. One that can't be read is moved aside. The state directory must exist.
    pub fn update<T>(&self, change: impl FnOnce(&mut RunRecords) -> T) -> io::Result<T> {
        let _lock = self.lock()?;
        let mut records = match self.read() {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                fs::rename(self.path(), self.state_dir.join(DAMAGED))?;
                RunRecords::default()
            }
            read => read?,
        };
        let changed = change(&mut records);
        self.write(&records)?;
        Ok(changed)
    }

    fn write(&self, records: &RunRecords) -> io::Result<()> {
        let text = serde_json::to_vec(records)?;
        let new = self.state_dir.join(NEW_NAME);
        let mut file = private().truncate(true).open(&new)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&new, self.path())
    }

    /// Waits for the lock, which ends with the file or the process.
    fn lock(&self) -> io::Result<File> {
        let file = private().open(self.state_dir.join(LOCK))?;
        let since = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) if since.elapsed() < LOCKED_FOR => {
                    std::thread::sleep(STEP);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
