//! What the questions about files in archives have in common: which source, which archive, and where the answer says that the
//! nearest copy is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, TimeZone as _};
use chrono_tz::Tz;
use rustix::fs::FileType;
use serde_json::{Value, json};

use super::identity::ask_for_identities;
use super::output::observer;
use super::{load_to_read, today};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, ToIndex};
use crate::config::{Config, Source};
use crate::engine::{
    self, Clock, FileIndex, LocatedFile, NearestCopy, PlainCopies, RunContext, StateDir,
    SystemClock, Whereabouts, WhichIndexed, bring_index_up_to_date, kind_of,
};
use crate::error::{Error, FilesError};
use crate::files_db::IndexedArchive;
use crate::model::date_word::DateWord;
use crate::model::entry::Timestamp;
use crate::model::file_node::FileNode;
use crate::model::{Line, SourceName};
use crate::printing::{say, shown, warn};
use crate::progress::{Observer, Quiet};

/// The config and the catalog, for questions about archives.
pub(super) struct ArchivedFiles {
    pub(super) config: Config,
    pub(super) catalog: Catalog,
}

/// A file of a source that has an index.
pub(super) struct AskedFile<'a> {
    pub(super) file: LocatedFile<'a>,
    pub(super) index: FileIndex,
}

impl ArchivedFiles {
    pub(super) fn load(everywhere: &Everywhere) -> Result<Self, Error> {
        let config = load_to_read(everywhere)?;
        let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
        Ok(Self { config, catalog })
    }

    /// Returns the file that was typed, with the index of its source; the name of a source alone means all of it. Warns of
    /// archives that are not indexed.
    pub(super) fn ask_source(
        &self,
        typed: &Path,
        to_index: &ToIndex,
        everywhere: &Everywhere,
    ) -> Result<AskedFile<'_>, Error> {
        let is_source = |name: &SourceName| typed.as_os_str() == OsStr::new(name.as_str());
        let named = self.config.sources.iter().find(|it| is_source(&it.name));
        let file = match named {
            Some(source) => LocatedFile {
                source,
                below: PathBuf::new(),
                snapshot: None,
            },
            None => engine::locate(&self.config, typed)?,
        };
        let at = (&self.config, file.source, &self.catalog);
        bring_up_to_date(at, to_index, everywhere)?;
        let index = FileIndex::open(&self.config, file.source, &self.catalog)?;
        if let Some(warning) = missing_in_words(&file.source.name, &index) {
            warn(warning);
        }
        Ok(AskedFile { file, index })
    }

    /// Returns the archive that is meant. A path in a snapshot means its date.
    pub(super) fn archive(
        &self,
        asked: &AskedFile<'_>,
        date: Option<DateWord>,
    ) -> Result<IndexedArchive, Error> {
        let in_snapshot = asked.file.snapshot.map(DateWord::Snapshot);
        let which = match date.or(in_snapshot) {
            None | Some(DateWord::Latest) => WhichIndexed::Newest,
            Some(DateWord::Archive(id)) => WhichIndexed::Archive(id),
            Some(DateWord::Snapshot(name)) => WhichIndexed::Of(name.date),
            Some(word) => {
                let today = today(&self.config);
                WhichIndexed::Of(word.day(today).unwrap_or(today))
            }
        };
        asked.index.archive(asked.file.source, which)
    }

    /// Returns the plain copies of the source. What can't be looked at is no concern of a question about archives.
    pub(super) fn copies(&self, asked: &AskedFile<'_>) -> Result<PlainCopies, Error> {
        engine::plain_copies(&self.config, asked.file.source, Some(&self.catalog))
    }

    pub(super) fn whereabouts<'c>(
        &self,
        asked: &AskedFile<'_>,
        copies: &'c PlainCopies,
    ) -> Result<Whereabouts<'c>, Error> {
        let now = SystemClock.now();
        Whereabouts::gather(&self.config, asked.file.source, &self.catalog, copies, now)
    }

    /// Says on stderr of which archive an answer is, and where that is nearest.
    pub(super) fn say_as_of(
        &self,
        asked: &AskedFile<'_>,
        archive: &IndexedArchive,
        everywhere: &Everywhere,
    ) -> Result<(), Error> {
        if everywhere.quiet || everywhere.json {
            return Ok(());
        }
        let copies = self.copies(asked)?;
        let nearest = self.whereabouts(asked, &copies)?.of(archive);
        let source = &asked.file.source.name;
        say(format_args!(
            "{source}: as of the archive of {}: {}",
            archive.date,
            in_words(nearest.as_ref())
        ));
        Ok(())
    }

    /// Returns the archive of an answer, and where it is nearest, for JSON.
    pub(super) fn as_of_json(
        &self,
        asked: &AskedFile<'_>,
        archive: &IndexedArchive,
    ) -> Result<Value, Error> {
        let copies = self.copies(asked)?;
        let nearest = self.whereabouts(asked, &copies)?.of(archive);
        Ok(archive_json(archive, nearest.as_ref()))
    }
}

/// Indexes the archives of a source that are not indexed yet, if there are any and an identity was given.
pub(super) fn bring_up_to_date(
    (config, source, catalog): (&Config, &Source, &Catalog),
    to_index: &ToIndex,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let Some(path) = &to_index.identity else {
        return Ok(());
    };
    let is_whole = match FileIndex::open_if_any(config, source, catalog) {
        Ok(Some(index)) => index.missing().is_empty(),
        // An index that can't be read is made anew.
        Ok(None) | Err(Error::Files(FilesError::Index(_))) => false,
        Err(error) => return Err(error),
    };
    if is_whole {
        return Ok(());
    }
    let identities = ask_for_identities(path)?;
    let observer: Box<dyn Observer> = if everywhere.json {
        // The answer is one document.
        Box::new(Quiet)
    } else {
        observer(everywhere)
    };
    let name = path.display().to_string();
    let context = RunContext::real(observer.as_ref());
    bring_index_up_to_date(config, source, (&identities, &name), catalog, context)?;
    Ok(())
}

/// Returns which archives are not indexed; `None` if all are.
pub(super) fn missing_in_words(source: &SourceName, index: &FileIndex) -> Option<String> {
    let missing = index.missing();
    let (first, last) = (missing.first()?, missing.last()?);
    Some(match missing.len() {
        1 => format!(
            "{source}: the archive of {} is not indexed, so its files are not known here; add --identity FILE to index it",
            first.date
        ),
        number => format!(
            "{source}: {number} archives from {} to {} are not indexed, so their files are not known here; add --identity FILE to index them",
            first.date, last.date
        ),
    })
}

/// Returns the archives that are not indexed, for JSON.
pub(super) fn missing_json(index: &FileIndex) -> Value {
    json!(index.missing())
}

/// Returns where an archive is nearest.
pub(super) fn in_words(nearest: Option<&NearestCopy>) -> String {
    match nearest {
        None => "no place is known that has it".to_owned(),
        Some(NearestCopy::Snapshot(path)) => format!("snapshot {}", path.display()),
        Some(NearestCopy::Mirror(path)) => format!("mirror {}", path.display()),
        Some(NearestCopy::Readable { place, class }) => match class {
            Some(class) => format!("archive, readable now ({place}, {class})"),
            None => format!("archive, readable now ({place})"),
        },
        Some(NearestCopy::Thawed {
            place,
            class,
            until,
        }) => format!(
            "archive, readable until {} ({place}, {class})",
            Timestamp(*until)
        ),
        Some(NearestCopy::Cold { place, class }) => format!("archive, cold ({place}, {class})"),
    }
}

/// Returns an archive, and where it is nearest, for JSON.
pub(super) fn archive_json(archive: &IndexedArchive, nearest: Option<&NearestCopy>) -> Value {
    let nearest = nearest.map(|nearest| match nearest {
        NearestCopy::Snapshot(path) => json!({ "kind": "snapshot", "path": shown(path) }),
        NearestCopy::Mirror(path) => json!({ "kind": "mirror", "path": shown(path) }),
        NearestCopy::Readable { place, class } => {
            json!({ "kind": "readable", "place": place, "class": class })
        }
        NearestCopy::Thawed {
            place,
            class,
            until,
        } => json!({
            "kind": "thawed", "place": place, "class": class, "until": Timestamp(*until),
        }),
        NearestCopy::Cold { place, class } => {
            json!({ "kind": "cold", "place": place, "class": class })
        }
    });
    json!({ "id": archive.id, "date": archive.date, "nearest": nearest })
}

/// Returns a path below the root with a slash in front.
pub(super) fn rooted(path: &[u8]) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(path))
}

/// Returns a path as `SOURCE:/PATH`, byte for byte.
pub(super) fn as_argument(source: &SourceName, path: &[u8]) -> Vec<u8> {
    let mut text = OsString::from(source.as_str());
    text.push(":");
    text.push(rooted(path));
    text.into_vec()
}

/// Returns a path as `SOURCE:/PATH` for people: on one line, and nothing in it controls a terminal.
pub(super) fn argument_shown(source: &SourceName, path: &[u8]) -> String {
    Line(format_args!("{source}:{}", rooted(path).display())).to_string()
}

/// Returns the beginning of a date in nanoseconds since 1970; the nearest that there is, if the number has no room for it.
pub(super) fn begin_of(date: NaiveDate, zone: Tz) -> i64 {
    let moment = crate::model::SnapshotName::from(date).moment(&zone);
    moment.timestamp_nanos_opt().unwrap_or_else(|| {
        if moment.timestamp() < 0 {
            i64::MIN
        } else {
            i64::MAX
        }
    })
}

/// Returns a time in nanoseconds since 1970 as the config's zone has it.
pub(super) fn time_in(nanoseconds: i64, zone: Tz) -> DateTime<Tz> {
    zone.timestamp_nanos(nanoseconds)
}

/// Returns the letter of a kind of file, and its permission bits, as `ls -l` shows them.
pub(super) fn mode_in_words(mode: u32) -> String {
    let kind = match kind_of(mode) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::BlockDevice => 'b',
        FileType::CharacterDevice => 'c',
        FileType::Unknown => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, letters) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        let (is_special, is_executable) = (mode & special != 0, bits & 1 != 0);
        text.push(match (is_special, is_executable) {
            (true, true) => letters.as_bytes()[0].into(),
            (true, false) => letters.as_bytes()[1].into(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Returns what kind of file it is.
pub(super) fn kind_in_words(mode: u32) -> &'static str {
    type_name(kind_of(mode))
}

/// Returns the word for a kind of file in JSON.
pub(super) fn type_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Unknown => "unknown",
    }
}

/// Returns what is known of a file for JSON.
pub(super) fn node_json(node: &FileNode, zone: Tz) -> Value {
    let target = node.target.as_ref();
    json!({
        "type": kind_in_words(node.mode), "size": node.size,
        "mode": format!("{:04o}", node.mode & 0o7777), "uid": node.uid, "gid": node.gid,
        "mtime": time_in(node.mtime, zone).to_rfc3339(), "inode": node.inode,
        "target": target.map(|target| shown(Path::new(OsStr::from_bytes(target)))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_shows_them() {
        for (mode, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o104_755, "-rwsr-xr-x"),
            (0o104_644, "-rwSr--r--"),
            (0o042_775, "drwxrwsr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o041_776, "drwxrwxrwT"),
            (0o120_777, "lrwxrwxrwx"),
            (0o020_600, "crw-------"),
        ] {
            assert_eq!(mode_in_words(mode), text);
        }
    }

    #[test]
    fn a_date_that_no_number_has_room_for_is_the_nearest_one() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(begin_of(date("0001-01-01"), Tz::UTC), i64::MIN);
        assert_eq!(begin_of(date("9999-12-31"), Tz::UTC), i64::MAX);
        assert_eq!(begin_of(date("1970-01-02"), Tz::UTC), 86_400_000_000_000);
        let before_1970 = begin_of(date("1969-12-31"), chrono_tz::Europe::Berlin);
        assert_eq!(before_1970, -25 * 3_600_000_000_000);
    }
}
