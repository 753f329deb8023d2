//! The file of the activity log: several processes append whole lines to it, and rotate it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

/// A log that would get longer than this is rotated.
const LARGEST: u64 = 1 << 20;

/// How many rotated logs are kept: `LOG.1`, the newest, to `LOG.5`.
const KEPT: u32 = 5;

/// How long a line waits for another process, which writes or rotates. It is written without the lock then, since
/// everybody who can read the log can lock it.
const PATIENCE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(5);

/// How often a line looks for a log that is replaced all the time.
const TRIES: usize = 16;

/// Who keeps the log small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRotation {
    /// This program.
    Here,
    /// Another program, such as logrotate.
    Elsewhere,
}

/// Why a line is not in the log, or why the log can't be rotated.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogFault {
    #[error("it is {0}, and not a regular file")]
    Kind(&'static str),
    #[error("it belongs to the user with uid {0}")]
    Owner(u32),
    #[error("it has {0} names in its filesystem")]
    Names(u64),
    #[error("it could not be rotated: {0}")]
    Rotate(io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The log's file, which is opened when the first line comes.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: LogRotation,
    file: Option<File>,
}

/// The lock on an open log. It is given back explicitly: a child that is just being started may have a copy of the
/// file.
struct LogLock<'f>(&'f File);

impl Drop for LogLock<'_> {
    fn drop(&mut self) {
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

impl LogFile {
    pub(super) fn new(path: PathBuf, rotation: LogRotation) -> Self {
        Self {
            path,
            rotation,
            file: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line with its newline, whole or not at all. If the log can't be rotated, the line is in it all the
    /// same.
    pub(super) fn append(&mut self, line: &str) -> Result<(), LogFault> {
        let mut unrotated = Ok(());
        for _ in 0..TRIES {
            let file = match self.file.take() {
                Some(file) => file,
                None => open(&self.path)?,
            };
            let lock = lock(&file);
            // Another process has rotated it, or logrotate has, or somebody has removed it.
            if !is_at(&file, &self.path) {
                continue;
            }
            let length = file.metadata()?.len();
            let is_full = length > 0 && length + line.len() as u64 > LARGEST;
            if lock.is_some() && is_full && self.rotation == LogRotation::Here && unrotated.is_ok()
            {
                unrotated = rotate(&self.path).map_err(LogFault::Rotate);
                // Not rotated, it is found again.
                continue;
            }
            write(&file, line, lock.is_some().then_some(length))?;
            drop(lock);
            self.file = Some(file);
            return unrotated;
        }
        Err(LogFault::Io(io::Error::other(
            "another program replaces it all the time",
        )))
    }
}

/// Opens the log, or makes it. Nothing that others could have put there is written to, and nothing that this waits
/// for is opened.
fn open(path: &Path) -> Result<File, LogFault> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(i32::try_from(flags.bits()).expect("the flags fit"))
        .open(path);
    let metadata = match &opened {
        Ok(file) => file.metadata()?,
        // What the system says of a link or a pipe does not name it.
        Err(_) => match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(_) => return Err(opened.expect_err("it was not opened").into()),
        },
    };
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_symlink() => Some("a symbolic link"),
        () if kind.is_fifo() => Some("a named pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    };
    if let Some(what) = what {
        return Err(LogFault::Kind(what));
    }
    let file = opened?;
    let owner = metadata.uid();
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(LogFault::Owner(owner));
    }
    // A hard link of a file that only root can write to.
    if metadata.nlink() > 1 {
        return Err(LogFault::Names(metadata.nlink()));
    }
    Ok(file)
}

/// Locks the log, unless another process does not give it back.
fn lock(file: &File) -> Option<LogLock<'_>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(LogLock(file)),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < until => {
                std::thread::sleep(STEP);
            }
            // Also where the filesystem has no locks.
            Err(_) => return None,
        }
    }
}

/// Whether the open file is still the one at the path.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => id(open) == id(there),
        _ => false,
    }
}

/// Renames the log to `LOG.1`, and each rotated one to the next number. The log itself comes last: until then, no
/// other process sees a new one.
fn rotate(path: &Path) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..KEPT).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

/// Writes a line by a single call, so that lines of several processes never mix. On a full disk it may be written
/// in part: then it is taken back, if the log is locked and had that length.
fn write(mut file: &File, line: &str, length: Option<u64>) -> io::Result<()> {
    let written = loop {
        match file.write(line.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => break written?,
        }
    };
    if written == line.len() {
        return Ok(());
    }
    if let Some(length) = length {
        file.set_len(length)?;
    }
    Err(io::ErrorKind::StorageFull.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn log(directory: &tempfile::TempDir, rotation: LogRotation) -> LogFile {
        LogFile::new(directory.path().join("log"), rotation)
    }

    fn names(directory: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_log_can_be_read_by_its_group_alone() {
        let directory = directory();
        let mut log = log(&directory, LogRotation::Here);
        log.append("one\n").unwrap();
        log.append("two\n").unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "one\ntwo\n");
        let mode = fs::metadata(log.path()).unwrap().permissions().mode();
        // The umask may take more.
        assert_eq!(mode & 0o137, 0, "{mode:o}");
    }

    #[test]
    fn five_rotated_logs_are_kept_and_none_is_longer_than_a_mebibyte() {
        let directory = directory();
        let mut log = log(&directory, LogRotation::Here);
        let filler = "x".repeat(1000);
        let lines = 9 * 1024;
        for number in 0..lines {
            log.append(&format!("{number} {filler}\n")).unwrap();
        }
        let expected = ["log", "log.1", "log.2", "log.3", "log.4", "log.5"];
        assert_eq!(names(&directory), expected);
        let mut numbers = Vec::new();
        for name in expected.iter().rev().take(5).chain(&expected[..1]) {
            let text = fs::read_to_string(directory.path().join(name)).unwrap();
            assert!(text.len() as u64 <= LARGEST);
            numbers.extend(text.lines().map(|line| {
                let (number, rest) = line.split_once(' ').unwrap();
                assert_eq!(rest, filler);
                number.parse::<u32>().unwrap()
            }));
        }
        let first = numbers[0];
        assert!(first > 0, "the oldest are gone");
        assert!(numbers.iter().copied().eq(first..lines));
    }

    #[test]
    fn a_log_that_another_program_rotates_is_found_again() {
        let directory = directory();
        let mut log = log(&directory, LogRotation::Elsewhere);
        log.append(&("x".repeat(2 << 20) + "\n")).unwrap();
        log.append("still here\n").unwrap();
        assert_eq!(names(&directory), ["log"]);
        fs::rename(log.path(), directory.path().join("moved")).unwrap();
        log.append("new\n").unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "new\n");
        fs::remove_file(log.path()).unwrap();
        log.append("newer\n").unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "newer\n");
    }

    #[test]
    fn lines_of_several_writers_are_whole_and_all_there() {
        const WRITERS: usize = 4;
        const LINES: usize = 2000;
        let directory = directory();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let mut log = log(&directory, LogRotation::Here);
                scope.spawn(move || {
                    let filler = writer.to_string().repeat(500);
                    for number in 0..LINES {
                        log.append(&format!("{writer} {number} {filler}\n"))
                            .unwrap();
                    }
                });
            }
        });
        let mut seen = vec![0; WRITERS];
        for name in names(&directory).iter().rev() {
            let text = fs::read_to_string(directory.path().join(name)).unwrap();
            for line in text.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let writer: usize = words[0].parse().unwrap();
                assert_eq!(words[1].parse::<usize>().unwrap(), seen[writer]);
                assert_eq!(words[2], words[0].repeat(500));
                seen[writer] += 1;
            }
        }
        assert_eq!(seen, [LINES; WRITERS]);
    }

    #[test]
    fn a_log_that_somebody_keeps_locked_takes_lines_all_the_same() {
        let directory = directory();
        let mut log = log(&directory, LogRotation::Here);
        log.append("one\n").unwrap();
        let held = File::open(log.path()).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        log.append("two\n").unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn what_is_no_regular_file_of_one_name_is_refused() {
        let directory = directory();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("target"), "").unwrap();
        std::os::unix::fs::symlink(at("target"), at("link")).unwrap();
        fs::write(at("first"), "").unwrap();
        fs::hard_link(at("first"), at("second")).unwrap();
        for (path, why) in [
            (at("directory"), "it is a directory, and not a regular file"),
            (at("link"), "it is a symbolic link, and not a regular file"),
            ("/dev/full".into(), "it is a device, and not a regular file"),
            (at("second"), "it has 2 names in its filesystem"),
            (at("no/log"), "No such file or directory (os error 2)"),
        ] {
            let fault = LogFile::new(path, LogRotation::Here).append("x\n");
            assert_eq!(fault.unwrap_err().to_string(), why);
        }
        assert_eq!(fs::read(at("target")).unwrap(), b"");
        assert_eq!(fs::read(at("first")).unwrap(), b"");
    }
}
