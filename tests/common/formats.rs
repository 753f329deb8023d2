//! The frozen archives in `fixtures/formats`, and what is known of them: see `fixtures/README.md`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use coldchain::ledger::PublicKey;
use coldchain::model::{LedgerId, Sha256};
use serde_json::Value;

/// One format version's store.
pub struct Frozen {
    pub name: String,
    pub directory: String,
    pub ledger: LedgerId,
    pub root: PublicKey,
    path: PathBuf,
}

/// Every format version that there is a fixture of.
pub fn all() -> Vec<Frozen> {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/formats");
    let mut paths: Vec<PathBuf> = fs::read_dir(formats)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(Frozen::open).collect()
}

impl Frozen {
    fn open(path: PathBuf) -> Self {
        let trust: Value =
            serde_json::from_slice(&fs::read(path.join("trust.json")).unwrap()).unwrap();
        let text = |field: &str| trust[field].as_str().unwrap().to_owned();
        Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            directory: text("directory"),
            ledger: text("ledger").parse().unwrap(),
            root: text("root").parse().unwrap(),
            path,
        }
    }

    /// The recovery kit.
    pub fn kit(&self) -> PathBuf {
        self.path.join("kit.txt")
    }

    /// A copy of the store, so that nothing can happen to what is frozen.
    pub fn copy_store(&self, to: &Path) {
        copy(&self.path.join("store"), to);
    }

    /// The archived dates in their order.
    pub fn dates(&self) -> Vec<String> {
        let mut dates: Vec<String> = fs::read_dir(self.path.join("expected"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_suffix(".txt").unwrap().to_owned())
            .collect();
        dates.sort();
        dates
    }

    /// What a date's tree looked like.
    pub fn expected(&self, date: &str) -> String {
        fs::read_to_string(self.path.join("expected").join(format!("{date}.txt"))).unwrap()
    }
}

/// Copies a directory of files and directories.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A tree as `fixtures/README.md` says that it is listed.
pub fn listing(root: &Path) -> String {
    let mut paths = Vec::new();
    walk(root, b".", &mut paths);
    paths.sort();
    let mut text = String::new();
    for (name, path) in &paths {
        let stat = path.symlink_metadata().unwrap();
        let (kind, digest) = if stat.is_symlink() {
            let target = fs::read_link(path).unwrap();
            (
                "symlink",
                Sha256::of(target.as_os_str().as_bytes()).to_string(),
            )
        } else if stat.is_dir() {
            ("directory", "-".to_owned())
        } else {
            ("file", Sha256::of(&fs::read(path).unwrap()).to_string())
        };
        writeln!(
            text,
            "{kind} {:o} {}:{} {}.{:09} {digest} {}",
            stat.mode() & 0o7777,
            stat.uid(),
            stat.gid(),
            stat.mtime(),
            stat.mtime_nsec(),
            escape(name)
        )
        .unwrap();
    }
    for (name, path) in &paths {
        let mut names = vec![0; 4096];
        let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
        let mut xattrs: Vec<&[u8]> = names[..length].split(|byte| *byte == 0).collect();
        xattrs.retain(|xattr| !xattr.is_empty());
        xattrs.sort_unstable();
        for xattr in xattrs {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(path, xattr, &mut value[..]).unwrap();
            let digest = Sha256::of(&value[..length]);
            writeln!(text, "xattr {} {digest} {}", escape(xattr), escape(name)).unwrap();
        }
    }
    text
}

fn walk(path: &Path, name: &[u8], paths: &mut Vec<(Vec<u8>, PathBuf)>) {
    paths.push((name.to_vec(), path.to_owned()));
    if !path.symlink_metadata().unwrap().is_dir() {
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let below = [name, b"/", entry.file_name().as_bytes()].concat();
        walk(&entry.path(), &below, paths);
    }
}

fn escape(name: &[u8]) -> String {
    let escaped = name.iter().map(|byte| match byte {
        b'\\' => "\\\\".to_owned(),
        b'!'..=b'~' => char::from(*byte).to_string(),
        byte => format!("\\{byte:03o}"),
    });
    escaped.collect()
}
