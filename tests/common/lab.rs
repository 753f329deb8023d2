//! A machine in process: its state in a directory, its store in memory. It can be copied, so that
//! the same run can fail in many ways from one beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::NaiveDate;
use coldchain::catalog::{Catalog, SourceRow};
use coldchain::config::Config;
use coldchain::engine::{
    self, Clock, OpenCatalog, OpenSource, OpenStore, Outcome, RunContext, StateDir, StreamSource,
    catch_up,
};
use coldchain::error::Error;
use coldchain::ledger::{SigningKey, decode_body, split};
use coldchain::model::entry::{ArchiveEntry, EntryKind};
use coldchain::model::{ArchiveId, LedgerId, Sha256, TreeHash, keys};
use coldchain::progress::Quiet;
use coldchain::seal::{ArchiveKey, Identities, generate_identity, open_segment};
use coldchain::store::{MemoryStore, NewObject, ObjectKind, Put, Store};

use super::faults::{Faults, FaultyStore};
use super::lab_contents::{contents_are_there, contents_are_whole};
use super::lab_vault::{LabVault, OpenLabVault};
use super::loopfs::in_memory;
use super::replicated::replicated;
use super::sandbox::asked;

/// The one source's name.
pub const SOURCE: &str = "home";

/// One frame a segment: the least that there is.
const SEGMENT_BYTES: u64 = 4 << 20;

/// How often a source is found locked before that is an error.
const TRIES: usize = 10_000;

pub struct Lab {
    directory: tempfile::TempDir,
    pub config: Config,
    /// The store; of a machine with a vault, the store of its ledger and keys.
    pub store: Arc<MemoryStore>,
    /// The vault that has its segments.
    pub vault: Option<Arc<LabVault>>,
    /// Archives whose streams were compared already. What is stored is never changed, which is
    /// looked at each time.
    compared: Mutex<BTreeSet<ArchiveId>>,
}

/// A send stream, as if it came on stdin.
pub struct Printed<'a>(pub &'a [u8]);

impl Read for Printed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl StreamSource for Printed<'_> {
    fn name(&self) -> &'static str {
        "stdin"
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

impl Lab {
    /// A machine with keys and an empty store.
    pub fn new() -> Self {
        Self::at(DIRECTORY)
    }

    /// A machine with keys and an empty vault.
    pub fn with_vault() -> Self {
        let mut lab = Self::at(VAULT);
        lab.vault = Some(LabVault::new(Arc::clone(&lab.store)));
        lab
    }

    fn at(store: &'static str) -> Self {
        let directory = in_memory();
        let (identity, recipient) = generate_identity();
        fs::write(directory.path().join("identity"), identity).unwrap();
        let config = config(&directory, &recipient, store);
        let state_dir = StateDir::new(&config.state_dir);
        state_dir.create().unwrap();
        let keys = state_dir.new_keys(config.prune).unwrap();
        state_dir.write_keys(&keys).unwrap();
        write_empty_catalog(&config.state_dir);
        let root = keys.root.to_file_text();
        fs::write(directory.path().join("root"), root).unwrap();
        Self {
            directory,
            config,
            store: Arc::default(),
            vault: None,
            compared: Mutex::default(),
        }
    }

    /// Its store, as one run opens it.
    pub fn open(&self) -> Box<dyn Store> {
        match &self.vault {
            None => Box::new(Arc::clone(&self.store)),
            Some(vault) => Box::new(OpenLabVault::new(vault)),
        }
    }

    /// The lines of its store's table.
    fn table(&self) -> &'static str {
        match &self.vault {
            None => DIRECTORY,
            Some(_) => VAULT,
        }
    }

    /// The same machine, once more: what is done to it is not done to this one.
    pub fn copy(&self) -> Self {
        let directory = in_memory();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        for file in fs::read_dir(&self.config.state_dir).unwrap() {
            let file = file.unwrap();
            // The file index is made anew where it is wanted.
            if file.file_type().unwrap().is_file() {
                fs::copy(file.path(), state.join(file.file_name())).unwrap();
            }
        }
        for file in ["identity", "root"] {
            fs::copy(self.path(file), directory.path().join(file)).unwrap();
        }
        let store = MemoryStore::default();
        for (key, bytes) in self.objects_in_store() {
            let sha256 = Sha256::of(&bytes);
            let object = NewObject::new(&key, bytes, sha256, ObjectKind::Segment);
            assert!(matches!(store.put_if_absent(&object), Ok(Put::Created(_))));
        }
        let store = Arc::new(store);
        let vault = self.vault.as_ref();
        Self {
            config: config(&directory, &self.config.recipients[0], self.table()),
            directory,
            vault: vault.map(|vault| vault.copy(Arc::clone(&store))),
            store,
            compared: Mutex::new(self.compared.lock().unwrap().clone()),
        }
    }

    /// The same machine at the same store, once more: each has a catalog of its own.
    pub fn twin(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            vault: self.vault.clone(),
            ..self.copy()
        }
    }

    /// Another machine that archives for the same recipients and claims the same ledger, with keys of
    /// its own and a store of its own.
    pub fn with_other_keys(&self) -> Self {
        let mut other = Self::new();
        other.config = config(&other.directory, &self.config.recipients[0], DIRECTORY);
        let row = self.catalog().source(&SOURCE.parse().unwrap()).unwrap();
        other.catalog().add_source(&row.unwrap()).unwrap();
        other
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn identities(&self) -> Identities {
        Identities::from_file(&self.path("identity"), &|_| None).unwrap()
    }

    /// The root key, as the recovery kit has it.
    pub fn root(&self) -> SigningKey {
        SigningKey::from_file_text(&fs::read_to_string(self.path("root")).unwrap()).unwrap()
    }

    pub fn catalog(&self) -> Catalog {
        StateDir::new(&self.config.state_dir).catalog().unwrap()
    }

    /// `coldchain decide DATE`, with that on stdin.
    pub fn decide(
        &self,
        date: &str,
        stream: &[u8],
        faults: &Arc<Faults>,
    ) -> Result<Outcome, Error> {
        let source = &self.config.sources[0];
        self.in_context(faults, |context| {
            let stdin = Printed(stream);
            engine::decide(
                &self.config,
                source,
                asked(date),
                context,
                stdin,
                |_| Ok(()),
            )
        })
    }

    /// Does something on this machine, whose store and catalog these faults may strike.
    pub fn in_context<T>(
        &self,
        faults: &Arc<Faults>,
        act: impl Fn(RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let catalogs: &OpenCatalog<'_> =
            &|state_dir| Ok(state_dir.catalog()?.watched(Arc::clone(faults) as _));
        let stores: &OpenStore<'_> = &|_, _| {
            let faults = Arc::clone(faults);
            Ok(match &self.vault {
                None => Box::new(FaultyStore::new(Arc::clone(&self.store), faults)),
                Some(vault) => Box::new(FaultyStore::new(OpenLabVault::new(vault), faults)),
            })
        };
        let context = RunContext {
            catalogs,
            stores,
            // Starting `systemd-inhibit` takes as long as the rest of a small archive.
            stay_awake: false,
            ..RunContext::real(&Quiet)
        };
        // A child that another test of this process has just forked has the lock until it is the
        // program that it is to be.
        for _ in 0..TRIES {
            match act(context) {
                Err(Error::Busy(_)) => std::thread::yield_now(),
                other => return other,
            }
        }
        panic!("the source is locked for good")
    }

    /// The same by that clock.
    pub fn in_context_at<T>(
        &self,
        clock: &dyn Clock,
        faults: &Arc<Faults>,
        act: impl Fn(RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.in_context(faults, |context| act(RunContext { clock, ..context }))
    }

    /// Everything in the store, and in the vault under the keys that it would have there.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = self.objects_in_store();
        objects.extend(self.vault.iter().flat_map(|vault| vault.objects()));
        objects
    }

    fn objects_in_store(&self) -> BTreeMap<String, Vec<u8>> {
        let listed = self.store.list("").unwrap();
        let read = |key: String| {
            let bytes = self.store.get(&self.store.locate(&key), u64::MAX).unwrap();
            (key, bytes)
        };
        listed.into_iter().map(|object| read(object.key)).collect()
    }

    /// Reads the store's ledger into an empty catalog, and holds all that it shows against what was
    /// sent, by date. Returns the dates that are visible.
    pub fn holds(&self, sent: &BTreeMap<&str, &[u8]>) -> BTreeSet<NaiveDate> {
        let Some(row) = self.catalog().source(&SOURCE.parse().unwrap()).unwrap() else {
            assert!(
                self.objects().is_empty(),
                "stored before the source was known"
            );
            return BTreeSet::new();
        };
        let mut rebuilt = self.rebuild(&row);
        let archives = rebuilt.archives(&row.ledger).unwrap();
        let entries = archive_entries(&mut rebuilt, row.ledger);
        assert_eq!(
            archives.len(),
            entries.len(),
            "one archive for each of its entries"
        );
        let visible = archives.iter().filter(|archive| archive.is_visible());
        let visible: BTreeSet<ArchiveId> = visible.map(|archive| archive.id).collect();
        for entry in entries.iter().filter(|entry| visible.contains(&entry.id)) {
            for link in entry.send_parent.iter().chain([&entry.chain]) {
                assert!(
                    visible.contains(link),
                    "{} hangs on {link}, which is not there",
                    entry.id
                );
            }
            self.is_whole(entry, sent[entry.date.to_string().as_str()]);
        }
        visible.iter().map(|id| id.date).collect()
    }

    /// Panics unless an archive is all there, and its stream the one that was sent.
    fn is_whole(&self, entry: &ArchiveEntry, sent: &[u8]) {
        let id = &entry.id;
        if self.vault.is_some() {
            return self.is_whole_in_vault(entry, sent);
        }
        let listed: BTreeMap<_, _> = self
            .store
            .list(&keys::archive_prefix(SOURCE, id))
            .unwrap()
            .into_iter()
            .map(|listed| (listed.key, listed.stat))
            .collect();
        let sealed_key = BASE64.decode(&entry.key).unwrap();
        let key_stat = listed
            .get(&keys::archive_key(SOURCE, id))
            .unwrap_or_else(|| panic!("{id} has no key.age"));
        assert_eq!(
            key_stat.sha256,
            Some(Sha256::of(&sealed_key)),
            "{id}: key.age"
        );
        let segments = (0..).zip(&entry.segments);
        let objects: Vec<_> = segments
            .map(|(index, record)| {
                let key = keys::segment(SOURCE, id, index, &record.sha256);
                let stat = listed
                    .get(&key)
                    .unwrap_or_else(|| panic!("{key} is missing"));
                let expected = (record.sealed_bytes, Some(record.sha256));
                assert_eq!((stat.bytes, stat.sha256), expected, "{key}");
                (key, record)
            })
            .collect();
        contents_are_there(&self.store, entry);
        if self.compared.lock().unwrap().contains(id) {
            return;
        }
        let archive_key = ArchiveKey::unseal(&sealed_key, &self.identities()).unwrap();
        let mut stream = Vec::with_capacity(sent.len());
        for (key, record) in objects {
            let sealed = self.store.get(&self.store.locate(&key), u64::MAX).unwrap();
            open_segment(&sealed, &archive_key, record.raw_bytes)
                .unwrap()
                .read_to_end(&mut stream)
                .unwrap();
        }
        assert!(stream == sent, "{id} is not the stream that was sent");
        contents_are_whole(&self.store, entry, &archive_key, sent);
        self.compared.lock().unwrap().insert(*id);
    }

    /// The same of an archive whose segments are in the vault, where its entry says.
    fn is_whole_in_vault(&self, entry: &ArchiveEntry, sent: &[u8]) {
        let id = &entry.id;
        let sealed_key = BASE64.decode(&entry.key).unwrap();
        let key = self.store.locate(&keys::archive_key(SOURCE, id));
        let stored = self.store.get(&key, u64::MAX);
        assert!(
            stored.is_ok_and(|stored| stored == sealed_key),
            "{id}: key.age"
        );
        let vault = self.vault.as_ref().unwrap();
        let place = entry
            .vault
            .as_ref()
            .unwrap_or_else(|| panic!("{id} names no vault"));
        assert_eq!(place.segments.len(), entry.segments.len(), "{id}");
        let sealed: Vec<Vec<u8>> = place
            .segments
            .iter()
            .map(|segment| {
                let body = vault.body(segment.id.as_str());
                let body = body.unwrap_or_else(|| panic!("{id}: {} is missing", segment.id));
                assert_eq!(TreeHash::of(&body), segment.tree_hash, "{id}");
                body
            })
            .collect();
        contents_are_there(&self.store, entry);
        if self.compared.lock().unwrap().contains(id) {
            return;
        }
        let archive_key = ArchiveKey::unseal(&sealed_key, &self.identities()).unwrap();
        let mut stream = Vec::with_capacity(sent.len());
        for (sealed, record) in sealed.iter().zip(&entry.segments) {
            assert_eq!(Sha256::of(sealed), record.sha256, "{id}");
            open_segment(sealed, &archive_key, record.raw_bytes)
                .unwrap()
                .read_to_end(&mut stream)
                .unwrap();
        }
        assert!(stream == sent, "{id} is not the stream that was sent");
        contents_are_whole(&self.store, entry, &archive_key, sent);
        self.compared.lock().unwrap().insert(*id);
    }

    /// Panics unless the catalog says of the ledger what the store's ledger says.
    pub fn can_be_rebuilt(&self) {
        let name = SOURCE.parse().unwrap();
        let row = self.catalog().source(&name).unwrap().unwrap();
        drop(self.rebuild(&row));
        let own = replicated(&self.path("state/catalog.db"), row.ledger);
        let rebuilt = replicated(&self.path("rebuilt/catalog.db"), row.ledger);
        assert_eq!(own, rebuilt, "the catalog and the one read from the store");
    }

    /// Panics unless a listing has shown every segment of each visible archive since its commit: a
    /// chain may expire only after that.
    pub fn all_are_verified(&self) {
        let catalog = self.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        for archive in catalog.archives(&row.ledger).unwrap() {
            if archive.is_visible() {
                assert!(
                    archive.verified_at.is_some(),
                    "{} was never verified",
                    archive.id
                );
            }
        }
    }

    /// A catalog that knows nothing but what the store's ledger says.
    fn rebuild(&self, row: &SourceRow) -> Catalog {
        let directory = self.path("rebuilt");
        let _ = fs::remove_dir_all(&directory);
        write_empty_catalog(&directory);
        let mut catalog = StateDir::new(&directory).catalog().unwrap();
        catalog.add_source(row).unwrap();
        let source = OpenSource {
            config: &self.config.sources[0],
            row: row.clone(),
            store: self.open(),
        };
        let root = StateDir::new(&self.config.state_dir).root_key().unwrap();
        let state = catch_up(&source, &mut catalog, &root).unwrap();
        assert_eq!(state.warnings, [""; 0]);
        catalog
    }
}

/// Writes a catalog without rows into a state directory. It is made once: all its migrations take ten times as long as
/// to open one, and a catalog is read from the ledger some times in each of thousands of cases.
fn write_empty_catalog(state_dir: &Path) {
    static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();
    let empty = EMPTY.get_or_init(|| {
        let directory = in_memory();
        drop(StateDir::new(directory.path()).catalog().unwrap());
        fs::read(directory.path().join("catalog.db")).unwrap()
    });
    StateDir::new(state_dir).create().unwrap();
    let catalog = state_dir.join("catalog.db");
    let mut file = OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600);
    file.open(catalog).unwrap().write_all(empty).unwrap();
}

/// What the entries of a catalog that are about archives say.
pub fn archive_entries(catalog: &mut Catalog, ledger: LedgerId) -> Vec<ArchiveEntry> {
    let entries = catalog.entries(&ledger).unwrap().into_iter();
    let kinds = entries.map(|entry| {
        let (body, _) = split(&entry.object).unwrap();
        decode_body(body).unwrap().kind
    });
    kinds
        .filter_map(|kind| match kind {
            EntryKind::Archive(archive) => Some(*archive),
            _ => None,
        })
        .collect()
}

/// The table of a machine's store.
const DIRECTORY: &str = r#"
            type = "dir"
            path = "/in/memory"
"#;

/// The tables of a machine's vault.
const VAULT: &str = r#"
            type = "glacier-vault"
            vault = "archives"
            region = "us-east-1"
            ledger_store = "ledger"
            uploads = 1

            [store.ledger]
            type = "dir"
            path = "/in/memory"
"#;

fn config(directory: &tempfile::TempDir, recipient: &str, store: &str) -> Config {
    let at = directory.path();
    let text = format!(
        r#"
            timezone = "UTC"
            state_dir = "{at}/state"
            compression = 1
            threads = 1

            [[source]]
            name = "{SOURCE}"
            store = "shelf"

            [store.shelf]
            {store}

            [encryption]
            recipients = ["{recipient}"]
        "#,
        at = at.display(),
    );
    let mut config = Config::parse(&text, &at.join("config.toml")).unwrap();
    config.sources[0].segment_bytes = SEGMENT_BYTES;
    // Its streams are made up: not each of them fits the files of its send parent.
    config.sources[0].index = false;
    config
}
