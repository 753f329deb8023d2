//! Notes of what was deleted: an inventory of before shows it nevertheless.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::VaultArchiveId;

/// An archive that is newer than this before an inventory need not be in it yet.
pub(super) const LAG: TimeDelta = TimeDelta::hours(48);

/// The notes of one vault, of all sources in it.
#[derive(Debug)]
pub(super) struct DeletedNotes {
    path: PathBuf,
}

impl DeletedNotes {
    /// Names the file. Makes none yet.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Opens the notes and keeps other runs away from them: those of all sources in the vault are in one file, and each
    /// source has a lock of its own. Returns `None` if there are none and none are to be made.
    fn lock(&self, makes: bool) -> io::Result<Option<File>> {
        let path = &self.path;
        loop {
            let mut options = File::options();
            let file = match options.read(true).append(true).create(makes).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            file.lock()?;
            // Another run may have put a new file in its place meanwhile.
            let locked = file.metadata()?;
            match fs::metadata(path) {
                Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => {
                    return Ok(Some(file));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Notes that an archive was deleted. An inventory of before shows it nevertheless.
    pub(super) fn add(&self, id: &VaultArchiveId, at: DateTime<Utc>) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = self.lock(true)?.expect("it is made");
        let mut text = line(id, at);
        if !ends_a_line(&mut file)? {
            // A full disk has cut the last note short.
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())
    }

    /// Returns what was deleted, and when. A line that was cut short is left out.
    pub(super) fn read(&self) -> io::Result<Vec<(VaultArchiveId, DateTime<Utc>)>> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let read = |line: &str| {
            let (id, at) = line.split_once(' ')?;
            Some((
                id.parse().ok()?,
                DateTime::from_timestamp(at.parse().ok()?, 0)?,
            ))
        };
        Ok(text.lines().filter_map(read).collect())
    }

    /// Drops the notes that an inventory of this date makes needless.
    pub(super) fn forget(&self, date: DateTime<Utc>) -> io::Result<()> {
        let Some(_locked) = self.lock(false)? else {
            return Ok(());
        };
        let all = self.read()?;
        let lag = LAG;
        let left: Vec<String> = all
            .iter()
            .filter(|(_, at)| at.checked_add_signed(lag).is_none_or(|until| until > date))
            .map(|(id, at)| line(id, *at))
            .collect();
        if left.len() == all.len() {
            return Ok(());
        }
        let path = self.path.with_extension("deleted.new");
        fs::write(&path, left.concat())?;
        fs::rename(&path, &self.path)
    }
}

/// Returns whether a file is empty or ends with the end of a line.
fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The note that an archive was deleted at a time.
fn line(id: &VaultArchiveId, at: DateTime<Utc>) -> String {
    format!("{id} {}\n", at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(at: &str) -> VaultArchiveId {
        at.parse().unwrap()
    }

    #[test]
    fn a_note_that_a_full_disk_cut_short_spoils_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let notes = DeletedNotes::at(directory.path().join("vault.deleted"));
        let now: DateTime<Utc> = "2026-11-30T03:00:00Z".parse().unwrap();
        notes.add(&id("whole"), now).unwrap();
        let mut file = File::options().append(true).open(&notes.path).unwrap();
        file.write_all(b"cut-short 17").unwrap();
        notes.add(&id("next"), now).unwrap();
        let found = notes.read().unwrap();
        assert_eq!(found.first(), Some(&(id("whole"), now)));
        assert_eq!(found.last(), Some(&(id("next"), now)));
    }

    #[test]
    fn no_note_of_a_delete_is_lost_while_another_run_drops_old_ones() {
        const NOTES: usize = 300;
        let directory = tempfile::tempdir().unwrap();
        let notes = || DeletedNotes::at(directory.path().join("vault.deleted"));
        let now: DateTime<Utc> = "2026-11-30T03:00:00Z".parse().unwrap();
        std::thread::scope(|scope| {
            let noting = scope.spawn(|| {
                for at in 0..NOTES {
                    notes().add(&id(&format!("new-{at}")), now).unwrap();
                }
            });
            while !noting.is_finished() {
                notes().add(&id("old"), now - LAG * 2).unwrap();
                notes().forget(now).unwrap();
            }
        });
        let found = notes().read().unwrap();
        let new = found
            .iter()
            .filter(|(id, _)| id.as_str().starts_with("new-"));
        assert_eq!(new.count(), NOTES);
    }
}
