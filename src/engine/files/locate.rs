//! Which file of which source a path on the command line means.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::plain_copies::PlainCopy;
use crate::btrfs;
use crate::config::{Config, Source};
use crate::engine::restore::look_for_copies::mirrors_of;
use crate::error::{Error, FilesError};
use crate::model::{MirrorLocation, SnapshotName};

/// A file of a source. It may be gone by now.
#[derive(Debug, Clone)]
pub struct LocatedFile<'a> {
    /// The source.
    pub source: &'a Source,
    /// The path below the subvolume's root; empty for the root itself.
    pub below: PathBuf,
    /// The snapshot that the path leads into, if it leads into one.
    pub snapshot: Option<SnapshotName>,
}

impl LocatedFile<'_> {
    /// Returns it in the form `source:path`.
    pub fn as_argument(&self) -> OsString {
        let mut text = OsString::from(self.source.name.as_str());
        text.push(":");
        text.push(Path::new("/").join(&self.below));
        text
    }

    /// Returns its path in a copy.
    pub fn in_copy(&self, copy: &PlainCopy) -> PathBuf {
        below(&copy.path, &self.below)
    }

    /// Returns where it is, or was, in the live subvolume.
    pub fn live(&self) -> Option<PathBuf> {
        let live = self.source.live.as_ref()?;
        Some(below(&live.subvolume, &self.below))
    }

    /// Returns the nested subvolume of the live one that it is in, if it is in one: no snapshot holds it.
    pub fn nested_in(&self) -> Option<PathBuf> {
        let live = &self.source.live.as_ref()?.subvolume;
        let above: Vec<&Path> = self.below.ancestors().collect();
        let is_nested = |path: &PathBuf| !path.is_symlink() && btrfs::identity(path).is_ok();
        let inner = above
            .into_iter()
            .rev()
            .filter(|it| !it.as_os_str().is_empty());
        inner.map(|it| live.join(it)).find(is_nested)
    }
}

/// Joins a path below a root, which may be the root itself.
pub(super) fn below(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(below)
    }
}

/// A place where files of a source are.
struct FileRoot<'a> {
    source: &'a Source,
    path: PathBuf,
    kind: RootKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RootKind {
    /// The live subvolume.
    Live,
    /// A directory of snapshots or copies, each with its name.
    Dated,
}

/// Returns the file that was typed: `source:path`, or a path below a source's subvolume, in one of its snapshots, or in
/// a mirror on this machine. The deepest of these counts.
///
/// Links in the directories above the file are followed, but not the file itself; `..` takes away the name before it.
pub fn locate<'a>(config: &'a Config, typed: &Path) -> Result<LocatedFile<'a>, Error> {
    if let Some(located) = with_source(config, typed) {
        return Ok(located);
    }
    let here = std::env::current_dir();
    let here = here.map_err(|error| Error::file("find", "the working directory", error))?;
    let typed_whole = lexically(&here.join(typed));
    let resolved = resolve_above(&typed_whole);
    let roots = roots(config);
    let mut best: Option<(usize, LocatedFile<'a>)> = None;
    // What is resolved first: on the same depth it wins.
    for path in [&resolved, &typed_whole] {
        for root in &roots {
            let Some(found) = in_root(root, path) else {
                continue;
            };
            let depth = root.path.components().count();
            if best.as_ref().is_none_or(|(most, _)| depth > *most) {
                best = Some((depth, found));
            }
        }
    }
    let (_, located) = best.ok_or_else(|| {
        let names = config.sources.iter().map(|source| match &source.live {
            Some(live) => format!("`{}` ({})", source.name, live.subvolume.display()),
            None => format!("`{}`", source.name),
        });
        FilesError::OfNoSource {
            path: typed_whole,
            sources: names.collect::<Vec<_>>().join(", "),
        }
    })?;
    Ok(located)
}

/// Reads `source:path`. A path that has another form, or names no source, is for the filesystem: `./a:b` always is.
fn with_source<'a>(config: &'a Config, typed: &Path) -> Option<LocatedFile<'a>> {
    let bytes = typed.as_os_str().as_bytes();
    let at = bytes.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&bytes[..at]).ok()?;
    let source = config.sources.iter().find(|it| it.name.as_str() == name)?;
    let rest = Path::new(OsStr::from_bytes(&bytes[at + 1..]));
    let whole = lexically(&Path::new("/").join(rest));
    Some(LocatedFile {
        source,
        below: whole.strip_prefix("/").unwrap_or(&whole).to_owned(),
        snapshot: None,
    })
}

/// Takes away `.`, and each `..` with the name before it.
fn lexically(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            component => whole.push(component),
        }
    }
    whole
}

/// Follows the links in what exists of the directories above a path.
fn resolve_above(path: &Path) -> PathBuf {
    let mut rest: Vec<&OsStr> = Vec::new();
    let mut above = path;
    while let (Some(parent), Some(name)) = (above.parent(), above.file_name()) {
        rest.push(name);
        if let Ok(mut resolved) = parent.canonicalize() {
            resolved.extend(rest.iter().rev());
            return resolved;
        }
        above = parent;
    }
    path.to_owned()
}

fn roots(config: &Config) -> Vec<FileRoot<'_>> {
    let mut roots = Vec::new();
    for source in &config.sources {
        let mut add = |path: &Path, kind| {
            let path = lexically(path);
            if let Ok(resolved) = path.canonicalize()
                && resolved != path
            {
                roots.push(FileRoot {
                    source,
                    path: resolved,
                    kind,
                });
            }
            roots.push(FileRoot { source, path, kind });
        };
        if let Some(live) = &source.live {
            add(&live.subvolume, RootKind::Live);
            add(&live.snapshots, RootKind::Dated);
        }
        for mirror in mirrors_of(config, source) {
            if let MirrorLocation::Directory(path) = &mirror.to {
                add(&path.join(mirror.name.as_str()), RootKind::Dated);
            }
        }
    }
    roots
}

fn in_root<'a>(root: &FileRoot<'a>, path: &Path) -> Option<LocatedFile<'a>> {
    let inside = path.strip_prefix(&root.path).ok()?;
    let (below, snapshot) = match root.kind {
        RootKind::Live => (inside, None),
        RootKind::Dated => {
            let first = inside.components().next()?;
            let name = dated(&root.path, first.as_os_str())?;
            (inside.strip_prefix(first).ok()?, Some(name))
        }
    };
    Some(LocatedFile {
        source: root.source,
        below: below.to_owned(),
        snapshot,
    })
}

/// Returns the snapshot that a name in a directory of snapshots means: its own, or that of a link to it.
fn dated(directory: &Path, name: &OsStr) -> Option<SnapshotName> {
    let parse = |name: &OsStr| name.to_str()?.parse::<SnapshotName>().ok();
    parse(name).or_else(|| {
        let target = directory.join(name).read_link().ok()?;
        let is_beside = target.components().count() == 1 || target.parent() == Some(directory);
        parse(target.file_name().filter(|_| is_beside)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_plain_without_looking() {
        for (path, plain) in [
            ("/a/b/../c", "/a/c"),
            ("/../a", "/a"),
            ("/a/./b//c/", "/a/b/c"),
            ("/a/../..", "/"),
        ] {
            assert_eq!(lexically(Path::new(path)), Path::new(plain));
        }
    }
}
