//! The spool: a directory where archives come together part by part, and stay until they are restored.
//!
//! A part has its name only when it is whole: its number and the tree hash of its bytes. While it is fetched it is
//! appended to, so that a run that was cut off loses no more than a MiB.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, ImportError};
use crate::model::vault::TREE_LEAF_BYTES;
use crate::model::{ArchiveId, SourceName, TreeHash};
use crate::owned;
use crate::plan::RetrievalPart;

/// The end of the name of a part that is being fetched.
const PARTIAL: &str = "partial";

/// The directory of one import in a spool.
#[derive(Debug, Clone)]
pub struct Spool {
    directory: PathBuf,
}

impl Spool {
    /// Takes the directory of an import below `root`, which must exist and belong to this user. Makes it if it is missing.
    pub fn open(root: &Path, name: &SourceName) -> Result<Self, Error> {
        let refuse = |what: &str| {
            Error::from(ImportError::Spool {
                path: root.to_owned(),
                what: what.to_owned(),
            })
        };
        if !root.is_dir() {
            return Err(refuse("it is not a directory"));
        }
        owned::require_way(root)?;
        let directory = Self::look(root, name).directory;
        make(&directory)?;
        let found = fs::symlink_metadata(&directory)
            .map_err(|error| Error::file("look at", &directory, error))?;
        if !found.is_dir() {
            return Err(refuse("something else has the name of its directory there"));
        }
        owned::require(&directory)?;
        Ok(Self { directory })
    }

    /// Returns the directory of an import below `root`, which need not exist. Makes nothing, and judges nothing.
    pub fn look(root: &Path, name: &SourceName) -> Self {
        Self {
            directory: root.join(format!("coldchain-import-{name}")),
        }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Returns an archive in it, of which there may be nothing yet.
    pub(super) fn archive(&self, id: &ArchiveId) -> SpooledArchive {
        SpooledArchive {
            directory: self.directory.join(id.to_string()),
        }
    }

    /// Removes its directory if it is empty.
    pub(super) fn clear_away(&self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

fn make(directory: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Error::file("create", directory, error))
        }
        _ => Ok(()),
    }
}

/// The parts of one archive.
#[derive(Debug, Clone)]
pub(super) struct SpooledArchive {
    directory: PathBuf,
}

impl SpooledArchive {
    /// Returns the file of a part that is here whole, and its tree hash.
    pub(super) fn part(&self, part: RetrievalPart) -> Result<Option<(PathBuf, TreeHash)>, Error> {
        let failed = |error| Error::file("read", &self.directory, error);
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some((index, end)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let Ok(tree) = end.parse::<TreeHash>() else {
                continue;
            };
            let length = entry.metadata().map_err(failed)?.len();
            if index.parse() == Ok(part.index) && length == part.bytes {
                return Ok(Some((entry.path(), tree)));
            }
        }
        Ok(None)
    }

    /// Returns how many bytes of a part are here that is not whole.
    pub(super) fn partial_bytes(&self, part: RetrievalPart) -> u64 {
        fs::metadata(self.partial(part)).map_or(0, |found| found.len().min(part.bytes))
    }

    fn partial(&self, part: RetrievalPart) -> PathBuf {
        self.directory.join(format!("{:06}.{PARTIAL}", part.index))
    }

    /// Begins a part, or goes on with it.
    pub(super) fn begin(&self, part: RetrievalPart) -> Result<PartialPart, Error> {
        make(&self.directory)?;
        let path = self.partial(part);
        let open = || -> io::Result<(File, Vec<TreeHash>, u64)> {
            let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            let mut file = options.mode(0o600).custom_flags(flags).open(&path)?;
            let mut length = file.metadata()?.len().min(part.bytes);
            if length < part.bytes {
                length -= length % TREE_LEAF_BYTES as u64;
            }
            file.set_len(length)?;
            let mut leaves = Vec::new();
            let mut leaf = Vec::with_capacity(TREE_LEAF_BYTES);
            let mut rest = (&mut file).take(length);
            loop {
                leaf.clear();
                let one = TREE_LEAF_BYTES as u64;
                if (&mut rest).take(one).read_to_end(&mut leaf)? == 0 {
                    break;
                }
                leaves.push(TreeHash::of(&leaf));
            }
            file.seek(SeekFrom::Start(length))?;
            Ok((file, leaves, length))
        };
        let (file, leaves, length) = open().map_err(|error| Error::file("open", &path, error))?;
        Ok(PartialPart {
            archive: self.clone(),
            part,
            path,
            file,
            leaves,
            length,
        })
    }

    /// Returns all parts, one after the other; `None` if one is missing.
    pub(super) fn reader(&self, parts: &[RetrievalPart]) -> Result<Option<PartsReader>, Error> {
        let mut files = Vec::new();
        for part in parts {
            match self.part(*part)? {
                Some((path, _)) => files.push(path),
                None => return Ok(None),
            }
        }
        files.reverse();
        Ok(Some(PartsReader { files, open: None }))
    }

    /// Removes the first part whose bytes are not those that it had when it got its name, and returns its number.
    pub(super) fn remove_changed(&self, parts: &[RetrievalPart]) -> Result<Option<u64>, Error> {
        for part in parts {
            let Some((path, tree)) = self.part(*part)? else {
                continue;
            };
            let failed = |error| Error::file("read", &path, error);
            let mut file = File::open(&path).map_err(failed)?;
            let mut leaves = Vec::new();
            let mut leaf = Vec::with_capacity(TREE_LEAF_BYTES);
            loop {
                leaf.clear();
                let one = (&mut file)
                    .take(TREE_LEAF_BYTES as u64)
                    .read_to_end(&mut leaf);
                if one.map_err(failed)? == 0 {
                    break;
                }
                leaves.push(TreeHash::of(&leaf));
            }
            if TreeHash::of_parts(leaves) != tree {
                fs::remove_file(&path).map_err(|error| Error::file("remove", &path, error))?;
                return Ok(Some(part.index));
            }
        }
        Ok(None)
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::file("remove", &self.directory, error))
            }
            _ => Ok(()),
        }
    }
}

/// A part that is being fetched.
pub(super) struct PartialPart {
    archive: SpooledArchive,
    part: RetrievalPart,
    path: PathBuf,
    file: File,
    /// The hashes of its MiB so far.
    leaves: Vec<TreeHash>,
    length: u64,
}

impl PartialPart {
    /// Its bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes: a multiple of MiB, unless they are the last.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(bytes)
            .map_err(|error| Error::file("write", &self.path, error))?;
        let leaves = bytes.chunks(TREE_LEAF_BYTES).map(TreeHash::of);
        self.leaves.extend(leaves);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives it its name, durably, if its bytes have the tree hash that the vault says. Otherwise removes it and returns
    /// false.
    pub(super) fn complete(self, expected: Option<TreeHash>) -> Result<bool, Error> {
        let tree = TreeHash::of_parts(self.leaves);
        if expected.is_some_and(|expected| expected != tree) {
            fs::remove_file(&self.path)
                .map_err(|error| Error::file("remove", &self.path, error))?;
            return Ok(false);
        }
        let name = format!("{:06}.{tree}", self.part.index);
        let placed = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, self.archive.directory.join(name)))
            .and_then(|()| File::open(&self.archive.directory)?.sync_all());
        placed.map_err(|error| Error::file("write", &self.path, error))?;
        Ok(true)
    }
}

/// Reads all parts of an archive, one after the other.
#[derive(Debug)]
pub(super) struct PartsReader {
    /// The files that are not opened yet, the last first.
    files: Vec<PathBuf>,
    open: Option<File>,
}

impl Read for PartsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(open) = &mut self.open {
                let length = open.read(buffer)?;
                if length > 0 || buffer.is_empty() {
                    return Ok(length);
                }
            }
            match self.files.pop() {
                Some(next) => self.open = Some(File::open(next)?),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parts;

    fn spool(root: &Path) -> Spool {
        Spool::open(root, &"btrsend".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_part_has_its_name_only_when_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let archive =
            spool(root.path()).archive(&"2014-01-01-full-0123456789abcdef".parse().unwrap());
        let mib = TREE_LEAF_BYTES;
        let bytes: Vec<u8> = (0..(5 * mib + 7))
            .map(|n| (n >> 9).to_le_bytes()[0])
            .collect();
        let parts = parts(bytes.len() as u64, 4 * mib as u64);
        assert_eq!(parts.len(), 2);
        let mut begun = archive.begin(parts[0]).unwrap();
        begun.append(&bytes[..mib]).unwrap();
        begun.append(&bytes[mib..2 * mib]).unwrap();
        // The run dies within the next MiB.
        begun
            .file
            .write_all(&bytes[2 * mib..2 * mib + 100])
            .unwrap();
        drop(begun);
        assert!(archive.part(parts[0]).unwrap().is_none());
        assert!(archive.reader(&parts).unwrap().is_none());
        let mut again = archive.begin(parts[0]).unwrap();
        assert_eq!(again.length(), 2 * mib as u64);
        again.append(&bytes[2 * mib..4 * mib]).unwrap();
        let tree = TreeHash::of(&bytes[..4 * mib]);
        assert!(again.complete(Some(tree)).unwrap());
        assert_eq!(archive.part(parts[0]).unwrap().unwrap().1, tree);
        let mut last = archive.begin(parts[1]).unwrap();
        last.append(&bytes[4 * mib..]).unwrap();
        drop(last);
        // All of its bytes are here, and it has no name.
        let last = archive.begin(parts[1]).unwrap();
        assert_eq!(last.length(), parts[1].bytes);
        assert!(last.complete(None).unwrap());
        assert_eq!(archive.remove_changed(&parts).unwrap(), None);
        let mut read = Vec::new();
        let mut reader = archive.reader(&parts).unwrap().unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        let (path, _) = archive.part(parts[1]).unwrap().unwrap();
        fs::write(path, vec![9; mib + 7]).unwrap();
        assert_eq!(archive.remove_changed(&parts).unwrap(), Some(1));
        assert!(archive.part(parts[1]).unwrap().is_none());
        archive.remove().unwrap();
        assert!(archive.part(parts[0]).unwrap().is_none());
    }

    #[test]
    fn other_bytes_get_no_name() {
        let root = tempfile::tempdir().unwrap();
        let archive =
            spool(root.path()).archive(&"2014-01-01-full-0123456789abcdef".parse().unwrap());
        let part = parts(5, 1 << 20)[0];
        let mut begun = archive.begin(part).unwrap();
        begun.append(b"12345").unwrap();
        assert!(!begun.complete(Some(TreeHash::of(b"12346"))).unwrap());
        assert_eq!(archive.partial_bytes(part), 0);
        assert!(archive.part(part).unwrap().is_none());
    }

    #[test]
    fn a_spool_is_a_directory_of_this_user() {
        let root = tempfile::tempdir().unwrap();
        let name = "btrsend".parse().unwrap();
        assert!(Spool::open(&root.path().join("missing"), &name).is_err());
        std::os::unix::fs::symlink("/tmp", root.path().join("coldchain-import-btrsend")).unwrap();
        let linked = Spool::open(root.path(), &name).unwrap_err();
        assert!(
            matches!(linked, Error::Import(ImportError::Spool { .. })),
            "{linked}"
        );
    }
}
