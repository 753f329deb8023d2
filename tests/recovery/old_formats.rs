//! Every format that was ever written is read by this version: from its frozen bytes, with nothing
//! but the ledger's id, its root key and the recovery kit.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use crate::common::formats::{self, Frozen};
use crate::common::loopfs::{self, LoopFs};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coldchain::catalog::{Catalog, SourceRow};
use coldchain::config::{Config, StoreConfig};
use coldchain::engine::{
    LedgerState, OpenSource, OpenStore, Rebuilding, RunContext, StateDir, Trusted, Unfinished,
    catch_up, open_store, read_kit, rebuild, store_url,
};
use coldchain::error::{Error, LedgerStateError};
use coldchain::ledger::{PublicKey, SigningKey, decode_body, encode_body, split};
use coldchain::model::entry::{ArchiveEntry, EntryKind, PrivateFacts};
use coldchain::model::{Blake3, LedgerId, Sha256, TreeHash, VaultLocator, keys};
use coldchain::progress::Quiet;
use coldchain::seal::{ArchiveKey, Identities, IdentityFile, open_segment};
use coldchain::store::{DEFAULT_LISTING_BYTES, DirStore, Layer, Store};
use serde_json::{Value, json};

/// An empty machine and a copy of a frozen store.
struct Machine<'f> {
    frozen: &'f Frozen,
    directory: tempfile::TempDir,
}

impl<'f> Machine<'f> {
    fn new(frozen: &'f Frozen) -> Self {
        let directory = tempfile::tempdir().unwrap();
        frozen.copy_store(&directory.path().join("store"));
        let config = format!(
            r#"
                timezone = "UTC"
                state_dir = "{at}/state"

                [[source]]
                name = "{name}"
                store = "shelf"

                [store.shelf]
                type = "dir"
                path = "{at}/store"

                [encryption]
                recipients = ["{recipient}"]
            "#,
            at = directory.path().display(),
            name = frozen.directory,
            recipient = recipient(&frozen.kit()),
        );
        fs::write(directory.path().join("config.toml"), config).unwrap();
        Self { frozen, directory }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Reads the ledger into an empty catalog.
    fn catch_up(&self, ledger: LedgerId, root: &PublicKey) -> Result<LedgerState, Error> {
        let config = Config::load(&self.path("config.toml")).unwrap();
        let source = &config.sources[0];
        let store = config.store_of(source).unwrap();
        let row = SourceRow {
            name: source.name.clone(),
            directory: self.frozen.directory.clone(),
            store: store_url(store),
            ledger,
        };
        self.catalog().add_source(&row).unwrap();
        self.catch_up_again(root)
    }

    /// Reads the ledger into a catalog that knows the source.
    fn catch_up_again(&self, root: &PublicKey) -> Result<LedgerState, Error> {
        let config = Config::load(&self.path("config.toml")).unwrap();
        let source = &config.sources[0];
        let store = config.store_of(source).unwrap();
        let mut catalog = self.catalog();
        let row = catalog.source(&source.name).unwrap().unwrap();
        let store = open_store(store, &Quiet).unwrap();
        let open = OpenSource {
            config: source,
            row,
            store: Box::new(store.as_ref()),
        };
        catch_up(&open, &mut catalog, root)
    }

    fn catalog(&self) -> Catalog {
        StateDir::new(&self.path("state")).catalog().unwrap()
    }

    /// The bodies of the entries of the archives that are visible, as the catalog copied them.
    fn archives(&self) -> Vec<ArchiveEntry> {
        let entries = self.catalog().entries(&self.frozen.ledger).unwrap();
        let rows = self.catalog().archives(&self.frozen.ledger).unwrap();
        let is_visible = |id| rows.iter().any(|row| row.id == id && row.is_visible());
        entries
            .iter()
            .filter_map(|entry| {
                let (body, _) = split(&entry.object).unwrap();
                match decode_body(body).unwrap().kind {
                    EntryKind::Archive(archive) if is_visible(archive.id) => Some(*archive),
                    _ => None,
                }
            })
            .collect()
    }

    fn object(&self, key: &str) -> Vec<u8> {
        fs::read(self.path("store").join(key)).unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    fn run(&self, args: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_coldchain"))
            .env("COLDCHAIN_CONFIG", self.path("config.toml"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        output
    }
}

fn recipient(kit: &Path) -> String {
    let kit = fs::read_to_string(kit).unwrap();
    let recipient = kit
        .lines()
        .find_map(|line| line.strip_prefix("# identity of "));
    recipient.unwrap().to_owned()
}

#[test]
fn every_old_ledger_is_verified_and_listed_by_this_version() {
    for frozen in formats::all() {
        let machine = Machine::new(&frozen);
        let state = machine.catch_up(frozen.ledger, &frozen.root).unwrap();
        assert!(state.replay.unknown().is_empty(), "{}", frozen.name);
        assert_eq!(state.warnings, Vec::<String>::new(), "{}", frozen.name);

        let listed = machine.run(&["list", "--json"]).stdout;
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        let chains = listed["sources"][0]["chains"].as_array().unwrap();
        let dates: Vec<&str> = chains
            .iter()
            .flat_map(|chain| {
                assert_eq!(chain["state"], "complete", "{}: {chain}", frozen.name);
                chain["archives"].as_array().unwrap()
            })
            .map(|archive| {
                assert_eq!(archive["state"], "committed", "{}", frozen.name);
                archive["date"].as_str().unwrap()
            })
            .collect();
        assert_eq!(dates, frozen.dates(), "{}", frozen.name);
    }
}

#[test]
fn every_field_of_an_old_entry_is_still_written_the_same_way() {
    let written = ["v1", "v1-contents", "v2-vault"];
    for frozen in formats::all()
        .iter()
        .filter(|frozen| written.contains(&frozen.name.as_str()))
    {
        let machine = Machine::new(frozen);
        machine.catch_up(frozen.ledger, &frozen.root).unwrap();
        for entry in machine.catalog().entries(&frozen.ledger).unwrap() {
            let (body, _) = split(&entry.object).unwrap();
            let again = encode_body(&decode_body(body).unwrap()).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&again),
                String::from_utf8_lossy(body),
                "a field was lost, or has another form"
            );
        }
    }
}

#[test]
fn what_was_in_a_vault_is_of_format_2_and_what_names_it_too() {
    let frozen = formats::all();
    let frozen = frozen.iter().find(|frozen| frozen.name == "v2-vault");
    let frozen = frozen.unwrap();
    let machine = Machine::new(frozen);
    let state = machine.catch_up(frozen.ledger, &frozen.root).unwrap();
    let mut formats = Vec::new();
    for entry in machine.catalog().entries(&frozen.ledger).unwrap() {
        let (body, _) = split(&entry.object).unwrap();
        let entry = decode_body(body).unwrap();
        formats.push((entry.head.format, entry.kind.name().to_owned()));
        // What this version would write now. An archive has no vault if it was made after the move.
        let format = match &entry.kind {
            EntryKind::Archive(archive) if archive.send_parent.is_none() => 2,
            kind => state.replay.format_for(kind),
        };
        assert_eq!(entry.head.format, format, "{:?}", formats.last());
        if let EntryKind::Archive(archive) = entry.kind {
            assert_eq!(
                archive.vault.is_some(),
                archive.date.to_string() != "2024-02-14"
            );
            let Some(vault) = &archive.vault else {
                continue;
            };
            assert!(vault.is_at("glacier-vault://eu-central-1/archives"));
            for (index, segment) in (0..).zip(&archive.segments) {
                let key = keys::segment(&frozen.directory, &archive.id, index, &segment.sha256);
                let tree_hash = TreeHash::of(&machine.object(&key));
                assert_eq!(vault.segments[index as usize].tree_hash, tree_hash);
            }
        }
    }
    let formats: Vec<(u32, &str)> = formats
        .iter()
        .map(|(format, kind)| (*format, kind.as_str()))
        .collect();
    assert_eq!(formats[0], (1, "open"));
    assert_eq!(formats[1..6], [(2, "archive"); 5]);
    assert_eq!(
        formats[6..],
        [(2, "retire"), (2, "revive"), (1, "moved"), (2, "archive")]
    );
    assert_eq!(
        state.replay.moved_to().map(|place| place.to_string().len()),
        Some(32)
    );
}

#[test]
fn a_catalog_that_an_earlier_version_has_left_entries_out_of_is_made_anew() {
    let frozen = formats::all();
    let frozen = frozen.iter().find(|frozen| frozen.name == "v2-vault");
    let frozen = frozen.unwrap();
    let machine = Machine::new(frozen);
    machine.catch_up(frozen.ledger, &frozen.root).unwrap();
    let note = "INSERT INTO told VALUES ('home', 'newer ledger', 'entry 10 has format 2')";
    let newest = "SELECT id FROM archive WHERE seq = 10";
    for sql in [
        // A note alone: the root key has voided what it was about.
        "",
        &format!(
            "DELETE FROM segment WHERE archive IN ({newest}); DELETE FROM archive WHERE seq = 10"
        ),
        "UPDATE archive SET state = 'retired' WHERE seq = 10",
    ] {
        let catalog = machine.path("state/catalog.db");
        let kept = fs::read(&catalog).unwrap();
        let edited = rusqlite::Connection::open(&catalog).unwrap();
        edited.execute_batch(&format!("{sql}; {note}")).unwrap();
        edited.close().unwrap();
        let state = machine.catch_up_again(&frozen.root);
        match state {
            Ok(_) => assert_eq!(sql, ""),
            Err(error) => {
                assert!(
                    matches!(error, Error::LedgerState(LedgerStateError::LeftOut { .. })),
                    "{error}"
                );
                // It stays so until the catalog is made anew.
                machine.catch_up_again(&frozen.root).unwrap_err();
            }
        }
        fs::write(&catalog, kept).unwrap();
    }
}

/// A store that says that it is the vault of the fixture.
struct AsVault(Arc<DirStore>);

impl Layer for AsVault {
    fn below(&self) -> &dyn Store {
        &*self.0
    }

    fn url(&self) -> String {
        "glacier-vault://eu-central-1/archives?endpoint=http://127.0.0.1:1".to_owned()
    }
}

#[test]
fn a_rebuild_finds_segments_by_the_ids_in_the_entries_in_their_vault_alone() {
    let frozen = formats::all();
    let frozen = frozen.iter().find(|frozen| frozen.name == "v2-vault");
    let frozen = frozen.unwrap();
    for in_vault in [true, false] {
        let machine = Machine::new(frozen);
        let path = machine.path("store");
        let below = Arc::new(DirStore::open(&path).unwrap());
        let stores: &OpenStore<'_> = &|_, _| {
            let below = Arc::clone(&below);
            let store: Box<dyn Store> = if in_vault {
                Box::new(AsVault(below))
            } else {
                Box::new(below)
            };
            Ok(store)
        };
        let file = IdentityFile::open(&frozen.kit(), &|_| None).unwrap();
        let state_dir = StateDir::new(&machine.path("state"));
        let rebuilding = Rebuilding {
            state_dir: &state_dir,
            stores: &[StoreConfig::Dir {
                path,
                cold: None,
                listing_bytes: DEFAULT_LISTING_BYTES,
            }],
            trusted: &Trusted::from(read_kit(&file).unwrap()),
            identities: None,
            config: None,
            unfinished: Unfinished::Keep,
            included: &[],
            as_of: None,
        };
        let context = RunContext {
            stores,
            ..RunContext::real(&Quiet)
        };
        let rebuilt = rebuild(&rebuilding, context).unwrap();
        assert_eq!(
            (rebuilt.read.len(), rebuilt.damage()),
            (1, 0),
            "{rebuilt:?}"
        );
        let archives = machine.archives();
        assert_eq!(archives.len(), 6);
        for archive in archives {
            let rows = machine.catalog().segments(&archive.id).unwrap();
            assert_eq!(rows.len(), archive.segments.len());
            for (index, row) in (0..).zip(&rows) {
                let key = keys::segment(&frozen.directory, &archive.id, index, &row.record.sha256);
                let expected = match &archive.vault {
                    Some(vault) if in_vault => VaultLocator {
                        key,
                        segment: vault.segments[index as usize].clone(),
                    }
                    .to_string(),
                    _ => key,
                };
                assert_eq!(row.locator, expected, "{in_vault} {}", archive.id);
            }
        }
    }
}

#[test]
fn the_format_page_shows_the_first_entry_as_it_is_stored() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let page = fs::read_to_string(page).unwrap();
    let frozen = formats::all();
    let v1 = frozen.iter().find(|frozen| frozen.name == "v1").unwrap();
    let entry = Machine::new(v1).object(&keys::ledger_entry(&v1.directory, 1));
    assert!(page.contains(str::from_utf8(&entry).unwrap()));
}

#[test]
fn an_old_ledger_is_refused_with_another_id_or_root_key() {
    for frozen in formats::all() {
        let stranger = SigningKey::generate().unwrap().public();
        let machine = Machine::new(&frozen);
        let error = machine.catch_up(frozen.ledger, &stranger).unwrap_err();
        assert!(matches!(
            error,
            Error::LedgerState(LedgerStateError::EntryRefused { seq: 1, .. })
        ));
        let machine = Machine::new(&frozen);
        let error = machine
            .catch_up(LedgerId([7; 16]), &frozen.root)
            .unwrap_err();
        assert!(matches!(
            error,
            Error::LedgerState(LedgerStateError::EntryRefused { seq: 1, .. })
        ));
    }
}

#[test]
fn every_old_segment_is_opened_with_the_kit() {
    for frozen in formats::all() {
        let machine = Machine::new(&frozen);
        machine.catch_up(frozen.ledger, &frozen.root).unwrap();
        let kit = Identities::from_file(&frozen.kit(), &|_| None).unwrap();
        let archives = machine.archives();
        assert_eq!(archives.len(), frozen.dates().len(), "{}", frozen.name);
        for archive in archives {
            let at = format!("{} {}", frozen.name, archive.id);
            let sealed_key = BASE64.decode(&archive.key).unwrap();
            let copy = machine.object(&keys::archive_key(&frozen.directory, &archive.id));
            assert_eq!(sealed_key, copy, "{at}");
            let key = ArchiveKey::unseal(&sealed_key, &kit).unwrap();

            let mut stream = Vec::new();
            let mut blake3 = Vec::new();
            for (index, segment) in (0..).zip(&archive.segments) {
                let name = keys::segment(&frozen.directory, &archive.id, index, &segment.sha256);
                let sealed = machine.object(&name);
                assert_eq!(sealed.len() as u64, segment.sealed_bytes, "{name}");
                assert_eq!(Sha256::of(&sealed), segment.sha256, "{name}");
                let mut raw = Vec::new();
                open_segment(&sealed, &key, segment.raw_bytes)
                    .unwrap()
                    .read_to_end(&mut raw)
                    .unwrap();
                assert_eq!(raw.len() as u64, segment.raw_bytes, "{name}");
                blake3.push(Blake3::of(&raw));
                stream.append(&mut raw);
            }
            assert_eq!(stream.len() as u64, archive.raw_bytes, "{at}");

            let private = key
                .open_private(&BASE64.decode(&archive.private).unwrap())
                .unwrap();
            let private: PrivateFacts = serde_json::from_slice(&private).unwrap();
            assert_eq!(private.raw_blake3, Blake3::of(&stream), "{at}");
            if archive.contents.is_none() {
                assert_eq!(private.segments_blake3, blake3, "{at}");
            } else {
                assert_eq!(frozen.name, "v1-contents", "it has digests of frames");
                assert!(private.segments_blake3.is_empty(), "{at}");
            }
            assert_eq!(private.host.as_deref(), Some("fixture"), "{at}");
        }
    }
}

#[test]
fn every_old_date_is_restored_as_it_was() {
    if !loopfs::real_btrfs_available() {
        return;
    }
    for frozen in formats::all() {
        let machine = Machine::new(&frozen);
        machine.catch_up(frozen.ledger, &frozen.root).unwrap();
        for date in frozen.dates() {
            let fs = LoopFs::new(256);
            let (to, kit) = (fs.root(), frozen.kit());
            let done = machine.run(&[
                "restore",
                &frozen.directory,
                "--date",
                &date,
                "--to",
                to.to_str().unwrap(),
                "--identity",
                kit.to_str().unwrap(),
                "--yes",
                "--json",
            ]);
            let done = String::from_utf8(done.stdout).unwrap();
            let done: Value = serde_json::from_str(done.lines().last().unwrap()).unwrap();
            assert_eq!(done["date"], json!(date));
            let restored = to.join(&frozen.directory).join(&date);
            assert_eq!(
                formats::listing(&restored),
                frozen.expected(&date),
                "{} {date}",
                frozen.name
            );
        }
    }
}
