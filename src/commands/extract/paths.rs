//! Which source and which paths a command line means.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use crate::catalog::Catalog;
use crate::cli::Extract;
use crate::config::{Config, Source};
use crate::engine::{self, AllNames, FileIndex, LocatedFile, SelectError, WhichIndexed};
use crate::error::{Error, FilesError, RequestError};
use crate::model::date_word::DateWord;
use crate::model::{ArchiveId, SnapshotName};

/// The most bytes of a list of paths.
const LONGEST_LIST: u64 = 256 << 20;

/// What the command line asks for.
pub(in crate::commands) struct WantedPaths<'a> {
    pub(super) source: &'a Source,
    /// The snapshot that the first path leads into, if it leads into one.
    snapshot: Option<SnapshotName>,
    /// The paths below the source's root, as they were typed.
    typed: Vec<PathBuf>,
}

impl<'a> WantedPaths<'a> {
    /// Reads the words of the command line, and the list of paths if one is given.
    pub(super) fn read(args: &Extract, config: &'a Config) -> Result<Self, Error> {
        let first = &args.source;
        let is_name = |source: &&Source| first.as_os_str() == OsStr::new(source.name.as_str());
        let mut wanted = if let Some(source) = config.sources.iter().find(is_name) {
            Self {
                source,
                snapshot: None,
                typed: Vec::new(),
            }
        } else {
            let file = engine::locate(config, first)?;
            Self {
                source: file.source,
                snapshot: file.snapshot,
                typed: vec![Path::new("/").join(file.below)],
            }
        };
        wanted.typed.extend(args.paths.iter().cloned());
        if let Some(list) = &args.from_file {
            let end = if args.null { 0 } else { b'\n' };
            wanted.typed.extend(listed(list, end)?);
        }
        if wanted.typed.is_empty() {
            return Err(RequestError::CommandLine(
                "name what to bring back: a path below the source's root, or `/` for everything"
                    .to_owned(),
            )
            .into());
        }
        Ok(wanted)
    }

    /// Returns the date that is meant. A path in a snapshot means that of the snapshot.
    pub(super) fn date(&self, args: &Extract) -> Option<DateWord> {
        args.date.or(self.snapshot.map(DateWord::Snapshot))
    }

    /// Returns the paths of an archive that are meant. `too_many` makes the error of a pattern that matches too many.
    pub(super) fn resolve(
        &self,
        names: &AllNames<'_>,
        (config, archive): (&Config, ArchiveId),
        catalog: &Catalog,
        too_many: &impl Fn(SelectError) -> Error,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut resolved = Vec::new();
        for typed in &self.typed {
            let path = self.below_root(typed)?;
            if names.has(&path)? {
                resolved.push(path);
                continue;
            }
            if let Some(live) = self.below_live(typed)
                && names.has(&live)?
            {
                resolved.push(live);
                continue;
            }
            let is_pattern = path.iter().any(|byte| b"*?[".contains(byte));
            let matching = if is_pattern {
                names.matching(&path).map_err(too_many)?
            } else {
                Vec::new()
            };
            if matching.is_empty() {
                return Err(self.unknown(path, (config, archive), catalog));
            }
            resolved.extend(matching);
        }
        Ok(resolved)
    }

    /// Returns a path as bytes below the root.
    fn below_root(&self, typed: &Path) -> Result<Vec<u8>, Error> {
        let argument = typed.as_os_str().as_bytes();
        // `find` prints paths so.
        let prefix = format!("{}:", self.source.name);
        let typed = argument.strip_prefix(prefix.as_bytes());
        let typed = Path::new(OsStr::from_bytes(typed.unwrap_or(argument)));
        let mut names: Vec<&[u8]> = Vec::new();
        for component in typed.components() {
            match component {
                Component::Normal(name) => names.push(name.as_bytes()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => {
                    return Err(RequestError::CommandLine(format!(
                        "give {} without `..`: it is a path below the source's root",
                        typed.display()
                    ))
                    .into());
                }
            }
        }
        Ok(names.join(&b'/'))
    }

    /// Returns the path below the root of a path in the live subvolume.
    fn below_live(&self, typed: &Path) -> Option<Vec<u8>> {
        let live = self.source.live.as_ref()?;
        let below = typed.strip_prefix(&live.subvolume).ok()?;
        Some(below.as_os_str().as_bytes().to_vec())
    }

    /// Returns the error that an archive does not have a path, with the dates that have it, if an index knows them.
    fn unknown(
        &self,
        path: Vec<u8>,
        (config, archive): (&Config, ArchiveId),
        catalog: &Catalog,
    ) -> Error {
        let file = LocatedFile {
            source: self.source,
            below: PathBuf::from(std::ffi::OsString::from_vec(path)),
            snapshot: None,
        };
        // The index is only for the hint.
        let index = FileIndex::open_if_any(config, self.source, catalog)
            .ok()
            .flatten();
        if let Some(index) = index
            && let Ok(indexed) = index.archive(self.source, WhichIndexed::Archive(archive))
            && let Ok(error) = index.not_in_archive(&file, indexed)
        {
            return error;
        }
        FilesError::NotInArchive {
            file: file.as_argument().into(),
            date: archive.date,
            exists: None,
        }
        .into()
    }
}

/// Reads a list of paths.
fn listed(list: &Path, end: u8) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::file("read", list, error);
    let input: Box<dyn Read> = if list == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(list).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    input
        .take(LONGEST_LIST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LONGEST_LIST {
        return Err(failed(io::Error::other("it has more than 256 MiB")));
    }
    let paths = bytes
        .split(|byte| *byte == end)
        .filter(|path| !path.is_empty());
    Ok(paths
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
        .collect())
}
