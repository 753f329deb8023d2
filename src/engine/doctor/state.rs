//! Checks of the state directory.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::local_check::{LocalCheck, SectionChecks};
use super::repair::{is_open, is_private, temporary_files};
use crate::btrfs::Space;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, in_words};
use crate::model::shell;
use crate::model::size::Bytes;
use crate::run_records::RunFile;
use crate::store::Severity;

/// With less, the catalog and the records of runs may soon not be writable.
const LITTLE_SPACE: u64 = 64 << 20;

/// What mends each of these with a question.
const FIX: &str = "run `coldchain doctor --fix`";

pub(super) fn checks(
    config: &Config,
    state_dir: &StateDir,
    catalog: Result<&Catalog, &Error>,
    unread: Option<&Error>,
) -> Vec<LocalCheck> {
    let mut checks = SectionChecks::of("state");
    let Ok(found) = fs::metadata(state_dir.path()) else {
        let text = format!("{} does not exist yet", state_dir.path().display());
        if config.archived().next().is_some() {
            checks.warning("directory", text, "run `coldchain init`");
        } else {
            checks.fine("directory", text);
        }
        return checks.checks();
    };
    directory(state_dir.path(), &found, &mut checks);
    if let Err(error) = fs::read_dir(state_dir.path()) {
        // What can't be seen must not be called missing.
        let error = Error::file("read", state_dir.path(), error);
        let mend = format!("run it as root, or as the user with uid {}", found.uid());
        checks.failure("files", in_words(&error), mend);
        return checks.checks();
    }
    files(state_dir.path(), &mut checks);
    self::catalog(state_dir, catalog, unread, &mut checks);
    runs(config, &mut checks);
    locks(config, state_dir, &mut checks);
    space(state_dir.path(), &mut checks);
    checks.checks()
}

fn directory(path: &Path, found: &Metadata, checks: &mut SectionChecks) {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let text = format!("{}, owner {owner}, mode {mode:04o}", path.display());
    if is_open(mode) {
        let mend = format!(
            "run `chmod 700 {}`, or `coldchain doctor --fix`",
            shell::path(path)
        );
        checks.warning(
            "directory",
            format!("{text}: other users can look into it"),
            mend,
        );
    } else {
        checks.fine("directory", text);
    }
}

/// Looks at the modes of files, and for files that a run left.
fn files(path: &Path, checks: &mut SectionChecks) {
    let (mut private, mut open) = (0_u64, 0_u64);
    let mut entries: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(found) = entry.metadata() else {
            continue;
        };
        let name = entry.file_name();
        let Some(name) = name
            .to_str()
            .filter(|name| found.is_file() && !is_of_sqlite(name))
        else {
            continue;
        };
        if is_private(name, &found) {
            private += 1;
            continue;
        }
        open += 1;
        let mode = found.mode() & 0o7777;
        let text = format!(
            "{}: other users can read it (mode {mode:04o})",
            entry.path().display()
        );
        let path = shell::path(&entry.path());
        let mend = format!("run `chmod 600 {path}`, or `coldchain doctor --fix`");
        if name == "signing.key" {
            // No run signs with a key that others may have.
            checks.failure("files", text, mend);
        } else {
            checks.warning("files", text, mend);
        }
    }
    if open == 0 {
        let text = format!("{private}, of which other users can read at most public keys");
        checks.fine("files", text);
    }
    for left in temporary_files(path) {
        let text = format!("{} is left of a run that was killed", left.display());
        checks.warning("leftover", text, FIX);
    }
}

/// Whether SQLite makes the file while a catalog is open, with the catalog's mode.
fn is_of_sqlite(name: &str) -> bool {
    name.ends_with(".db-wal") || name.ends_with(".db-shm")
}

fn catalog(
    state_dir: &StateDir,
    catalog: Result<&Catalog, &Error>,
    unread: Option<&Error>,
    checks: &mut SectionChecks,
) {
    const SUBJECT: &str = "catalog";
    let path = state_dir.catalog_path();
    let error = catalog.as_ref().err().copied().or(unread);
    if let Some(error) = error {
        checks.error(SUBJECT, Severity::Failure, error);
    } else if !path.exists() {
        if state_dir.has_keys() {
            let text = format!("{} does not exist", path.display());
            checks.unknown(SUBJECT, text);
        } else {
            checks.fine(SUBJECT, "there is none yet");
        }
    } else if catalog.is_ok_and(Catalog::is_copy) {
        let text = format!("{} can't be written to", path.display());
        let mend = "make its filesystem writable, and free space on it";
        checks.warning(SUBJECT, text, mend);
    } else {
        let schema = Catalog::SCHEMA;
        checks.fine(SUBJECT, format!("{}, schema {schema}", path.display()));
    }
}

fn runs(config: &Config, checks: &mut SectionChecks) {
    const SUBJECT: &str = "runs";
    let file = RunFile::new(&config.state_dir);
    match file.read() {
        Ok(records) => {
            let commands: Vec<&str> = records.commands().collect();
            checks.fine(
                SUBJECT,
                match &commands[..] {
                    [] => "none is recorded yet".to_owned(),
                    commands => format!("recorded: {}", commands.join(", ")),
                },
            );
        }
        Err(error) => {
            let text = format!("cannot read {}: {error}", file.path().display());
            checks.warning(SUBJECT, text, FIX);
        }
    }
}

/// Looks who holds locks, without taking one: that would refuse a run that begins just now.
fn locks(config: &Config, state_dir: &StateDir, checks: &mut SectionChecks) {
    const SUBJECT: &str = "locks";
    let Ok(held) = fs::read_to_string("/proc/locks") else {
        return checks.unknown(SUBJECT, "the kernel does not say which are held");
    };
    let mut busy = Vec::new();
    for source in &config.sources {
        let inode = fs::metadata(state_dir.lock_path(&source.name)).map(|found| found.ino());
        let holder = inode.ok().and_then(|inode| holder(&held, inode));
        busy.extend(holder.map(|process| format!("{} by process {process}", source.name)));
    }
    checks.fine(
        SUBJECT,
        if busy.is_empty() {
            "none is held".to_owned()
        } else {
            format!("held: {}", busy.join(", "))
        },
    );
}

/// Returns the process that holds the lock of a file: `1: FLOCK  ADVISORY  WRITE 71 00:2f:305 0 EOF`.
fn holder(locks: &str, inode: u64) -> Option<&str> {
    let inode = inode.to_string();
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = words[..] else {
            return None;
        };
        (file.rsplit(':').next() == Some(&inode)).then_some(process)
    })
}

fn space(path: &Path, checks: &mut SectionChecks) {
    const SUBJECT: &str = "space";
    match Space::of(path) {
        Ok(space) if space.read_only => {
            let text = format!("the filesystem of {} is read-only", path.display());
            checks.warning(
                SUBJECT,
                text,
                "look into the kernel's log, and mount it writable",
            );
        }
        Ok(space) => {
            let text = format!("{} are free", Bytes(space.free));
            if space.free < LITTLE_SPACE {
                let mend = "free space on the filesystem of the state directory";
                checks.warning(SUBJECT, text, mend);
            } else {
                checks.fine(SUBJECT, text);
            }
        }
        Err(error) => checks.error(SUBJECT, Severity::Unknown, &error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_by_the_file() {
        let locks = "1: FLOCK  ADVISORY  WRITE 71 00:2f:305 0 EOF\n\
                     2: POSIX  ADVISORY  READ 72 00:2f:306 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 73 00:2f:307 0 EOF\n";
        assert_eq!(holder(locks, 305), Some("71"));
        for inode in [5, 306, 307] {
            assert_eq!(holder(locks, inode), None);
        }
    }
}
