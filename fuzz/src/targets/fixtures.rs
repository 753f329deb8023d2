//! The frozen archives of `fixtures/formats` in pieces: kits, ledger entries, segments and streams. Their
//! keys are published, so they serve as the fixed keys of the targets too.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use coldchain::kit::Kit;
use coldchain::ledger::{Trust, decode_body, split};
use coldchain::model::entry::EntryKind;
use coldchain::seal::{ArchiveKey, Identities, IdentityFile, open_segment};

/// One store that was written once.
pub struct Fixture {
    pub kit_text: String,
    pub kit: Kit,
    pub identities: Identities,
    pub trust: Trust,
    /// The ledger's objects from number 1 on.
    pub entries: Vec<Vec<u8>>,
    pub archives: Vec<Archive>,
}

/// An archive of it.
pub struct Archive {
    pub key: ArchiveKey,
    /// `key.age`.
    pub sealed_key: Vec<u8>,
    /// Raw lengths and sealed bytes, in order.
    pub segments: Vec<(u64, Vec<u8>)>,
}

impl Archive {
    /// The archived send stream.
    pub fn stream(&self) -> Vec<u8> {
        let mut stream = Vec::new();
        for (raw_bytes, sealed) in &self.segments {
            let mut reader = open_segment(sealed, &self.key, *raw_bytes).expect("it opens");
            reader.read_to_end(&mut stream).expect("it is whole");
        }
        stream
    }
}

/// The two of them, `v1` first.
pub fn all() -> &'static [Fixture; 2] {
    static ALL: LazyLock<[Fixture; 2]> = LazyLock::new(|| ["v1", "v1-life"].map(read));
    &ALL
}

fn read(name: &str) -> Fixture {
    let path = directory().join(name);
    let home = path.join("store/home");
    let kit_path = path.join("kit.txt");
    let kit_text = fs::read_to_string(&kit_path).expect("a fixture has a kit");
    let kit = Kit::parse(kit_text.as_bytes()).expect("a kit reads");
    let identities = IdentityFile::open(&kit_path, &|_| None)
        .and_then(|file| file.identities(&|_| None))
        .expect("a kit has an identity");
    let trust = Trust {
        ledger: kit.sources[0].ledger,
        source_directory: "home".to_owned(),
        root: kit.root.clone().expect("a kit has a root key"),
    };
    let entries: Vec<Vec<u8>> = sorted(&home.join("ledger")).iter().map(bytes).collect();
    let archives = entries
        .iter()
        .filter_map(|object| archive(object, &home, &identities))
        .collect();
    Fixture {
        kit_text,
        kit,
        identities,
        trust,
        entries,
        archives,
    }
}

/// The archive of an entry, if it has not been deleted since.
fn archive(object: &[u8], home: &Path, identities: &Identities) -> Option<Archive> {
    let (body, _) = split(object).expect("an entry has a body");
    let EntryKind::Archive(archive) = decode_body(body).expect("a body reads").kind else {
        return None;
    };
    let directory = home.join("archives").join(archive.id.to_string());
    if !directory.exists() {
        return None;
    }
    let mut files = sorted(&directory);
    files.retain(|path| path.file_name().is_some_and(|name| name != "key.age"));
    let sealed_key = bytes(directory.join("key.age"));
    let lengths = archive.segments.iter().map(|segment| segment.raw_bytes);
    Some(Archive {
        key: ArchiveKey::unseal(&sealed_key, identities).expect("the kit opens it"),
        sealed_key,
        segments: lengths.zip(files.iter().map(bytes)).collect(),
    })
}

/// It lies beside the manifest of the program, and one above that of the fuzzer.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("fixtures/formats"))
        .find(|path| path.exists())
        .expect("the fixtures are in the repository")
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .expect("a fixture has it")
        .map(|entry| entry.expect("a directory reads").path())
        .collect();
    paths.sort();
    paths
}

fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path).expect("a fixture has it")
}
