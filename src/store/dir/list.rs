//! Lists objects: the files whose names are keys.

use std::io;

use rustix::fs::FileType;

use super::cold::Cold;
use super::directory::{Directory, LinkInTheWay, is_link};
use super::{DirStore, told};
use crate::store::Listed;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::key::check_key;
use crate::store::listing::Listing;

/// Memory in bytes for a directory that is still to be walked, besides its two names: its entry in a vector
/// that has doubled, and the overhead of the allocator.
const BELOW: usize = 128;

/// The result of a walk.
struct Found {
    objects: Listing,
    /// The first symbolic link where an object or a directory could be.
    link: Option<String>,
}

impl DirStore {
    pub(super) fn list_all(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let failed = |error| {
            let error = StoreError::from_io(Operation::List, prefix, &self.url, error);
            // This holds even if the directory vanished while it was read: a listing is complete or an error.
            if error.is_not_found() {
                StoreError {
                    kind: ErrorKind::MissingRoot,
                    ..error
                }
            } else {
                error
            }
        };
        // Walk only the directory that the prefix names, not the whole store.
        let directory = prefix
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        if !directory.is_empty() {
            check_key(Operation::List, &self.url, directory)?;
        }
        let root = Directory::root(&self.root).map_err(failed)?;
        let mut found = Found {
            objects: Listing::within(self.listing_bytes),
            link: None,
        };
        match root.below(directory) {
            Ok(start) => {
                let above = &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)];
                self.list_directory(&start, above, prefix, &mut found)
                    .map_err(failed)?;
            }
            // There is nothing below a path that does not exist or is an object.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(failed(error)),
        }
        if let (true, Some(link)) = (found.objects.is_empty(), found.link) {
            // coldchain does not follow the link. But it must not call a store empty that may have objects.
            return Err(failed(LinkInTheWay::at(&link)));
        }
        Ok(found.objects.sorted())
    }

    /// Lists a directory. All keys in it begin with `above`.
    fn list_directory(
        &self,
        directory: &Directory,
        above: &str,
        prefix: &str,
        found: &mut Found,
    ) -> io::Result<()> {
        let mut below = Vec::new();
        let mut held = 0;
        for item in directory.names()? {
            let (name, kind) = item?;
            let key = format!("{above}{name}");
            // A file whose name is no key is no object.
            if check_key(Operation::List, &self.url, &key).is_err() {
                continue;
            }
            if kind == FileType::Directory {
                let inside = format!("{key}/");
                if inside.starts_with(prefix) || prefix.starts_with(&inside) {
                    let bytes = BELOW + name.capacity() + inside.capacity();
                    found.objects.hold(bytes).map_err(io::Error::other)?;
                    held += bytes;
                    below.push((name, inside));
                }
            } else if kind == FileType::RegularFile && key.starts_with(prefix) {
                let stat = directory.stat(&name)?;
                let cold = Cold::read(directory, &key)?;
                let listed = Listed {
                    key,
                    stat: told(&stat, cold),
                };
                found.objects.add(listed).map_err(io::Error::other)?;
            } else if kind == FileType::Symlink && key.starts_with(prefix) {
                found.link.get_or_insert(key);
            }
        }
        // The directory is closed by now, so that few files are open at any depth.
        for (name, inside) in below {
            let child = match directory.child(&name) {
                Err(error) if is_link(&error) => return Err(LinkInTheWay::at(&inside)),
                child => child?,
            };
            self.list_directory(&child, &inside, prefix, found)?;
        }
        found.objects.release(held);
        Ok(())
    }
}
