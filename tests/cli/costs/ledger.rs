//! A made-up catalog, without any store.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::NaiveDate;
use coldchain::catalog::{Catalog, Effect, NewEntry, SourceRow};
use coldchain::model::entry::{ArchiveEntry, Timestamp};
use coldchain::model::{
    ArchiveId, ArchiveKind, ContentsRecord, LedgerId, PlaceId, SegmentRecord, Sha256, StorageClass,
    Uuid,
};
use coldchain::seal::Recipients;
use serde_json::Value;

/// A recipient whose identity is not needed.
const RECIPIENT: &str = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

/// The length of each entry.
pub(crate) const ENTRY_BYTES: usize = 2000;

/// An archive of the made-up ledger.
#[derive(Debug, Clone)]
pub(crate) struct MadeUp {
    pub(crate) date: NaiveDate,
    pub(crate) kind: ArchiveKind,
    /// Raw and sealed bytes of each segment.
    pub(crate) segments: Vec<(u64, u64)>,
    /// Sealed bytes of each object of its contents.
    pub(crate) contents: Vec<u64>,
    /// What tells it from an archive of another source of that date.
    pub(crate) nonce: u64,
}

impl MadeUp {
    /// An archive in segments of `segment` raw bytes that seal to two thirds, with an object of contents.
    pub(crate) fn new(date: &str, raw: u64, segment: u64) -> Self {
        let (date, kind) = match date.split_once(' ') {
            Some((date, _)) => (date, ArchiveKind::Full),
            None => (date, ArchiveKind::Incremental),
        };
        let whole = (0..raw / segment).map(|_| segment);
        let rest = Some(raw % segment).filter(|rest| *rest > 0);
        let segments = whole.chain(rest).map(|raw| (raw, raw * 2 / 3 + 1));
        Self {
            date: date.parse().unwrap(),
            kind,
            segments: segments.collect(),
            contents: vec![raw / 10_000 + 100],
            nonce: 0x5f0c_9a12_d4e6_b801,
        }
    }

    pub(crate) fn id(&self) -> ArchiveId {
        ArchiveId {
            date: self.date,
            kind: self.kind,
            nonce: self.nonce,
        }
    }
}

/// A config, and a catalog that knows archives of sources.
pub(crate) struct CostMachine {
    directory: tempfile::TempDir,
    catalog: Catalog,
}

impl CostMachine {
    /// A machine with this config, in which `$T` stands for its directory; the recipients are added.
    pub(crate) fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        let catalog = Catalog::open(&state.join("catalog.db")).unwrap();
        let machine = Self { directory, catalog };
        machine.write_config(config);
        machine
    }

    pub(crate) fn write_config(&self, config: &str) {
        let config = format!(
            "timezone = \"UTC\"\nstate_dir = \"$T/state\"\n{config}\n[encryption]\nrecipients = [\"{RECIPIENT}\"]\n"
        );
        let config = config.replace("$T", &self.path("").display().to_string());
        fs::write(self.path("config.toml"), config).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its catalog.
    pub(crate) fn catalog(&mut self) -> &mut Catalog {
        &mut self.catalog
    }

    /// Adds a source whose home has that URL, with these archives, each incremental on the one before it.
    pub(crate) fn source(&mut self, name: &str, url: &str, archives: &[MadeUp]) -> LedgerId {
        let ledger = LedgerId(std::array::from_fn(|at| {
            name.as_bytes().get(at).copied().unwrap_or(7)
        }));
        let row = SourceRow {
            name: name.parse().unwrap(),
            directory: name.to_owned(),
            store: url.replace("$T", &self.path("").display().to_string()),
            ledger,
        };
        self.catalog.add_source(&row).unwrap();
        let recipients = Recipients::parse(&[RECIPIENT.to_owned()]).unwrap();
        let recipients = recipients.fingerprint(&ledger);
        let (mut chain, mut parent): (Option<ArchiveId>, Option<(ArchiveId, Uuid)>) = (None, None);
        for (seq, made_up) in (1_u64..).zip(archives) {
            let id = made_up.id();
            if id.kind == ArchiveKind::Full {
                (chain, parent) = (Some(id), None);
            }
            let uuid = Uuid(std::array::from_fn(|at| {
                if at < 2 {
                    seq.to_le_bytes()[at]
                } else {
                    ledger.0[at]
                }
            }));
            let entry = entry(made_up, (chain.unwrap(), parent), recipients, uuid);
            self.absorb(&ledger, seq, &entry);
            parent = Some((id, uuid));
        }
        ledger
    }

    fn absorb(&mut self, ledger: &LedgerId, seq: u64, archive: &ArchiveEntry) {
        let new = NewEntry {
            seq,
            kind: "archive",
            hash: Sha256::of(&seq.to_le_bytes()),
            object: &vec![b'x'; ENTRY_BYTES],
        };
        let locators = vec!["somewhere".to_owned(); archive.segments.len()];
        let effect = Effect::Archive {
            entry: archive,
            locators: &locators,
        };
        let at = noon(archive.date);
        self.catalog.absorb(ledger, &new, at, effect).unwrap();
        self.catalog.archive_verified(&archive.id, at).unwrap();
    }

    /// Puts the segments of all these archives into a class.
    pub(crate) fn in_class(&mut self, class: StorageClass, archives: &[MadeUp]) {
        for archive in archives {
            self.catalog.write_class(&archive.id(), class).unwrap();
        }
    }

    /// Makes a copy of these archives, which has them since that many days after each.
    pub(crate) fn copy(
        &mut self,
        ledger: &LedgerId,
        url: &str,
        class: StorageClass,
        (archives, days): (&[MadeUp], u64),
    ) {
        let url = url.replace("$T", &self.path("").display().to_string());
        let mark = PlaceId([9; 16]);
        let place = self.catalog.know_place(ledger, &url, mark).unwrap().id;
        for archive in archives {
            let id = archive.id();
            let at = noon(archive.date + chrono::Days::new(days));
            self.catalog.begin_placed(place, &id, Some(class)).unwrap();
            self.catalog.finish_placed(place, &id, at).unwrap();
            self.catalog.place_contents(place, &id).unwrap();
        }
        let head = archives.len() as u64;
        self.catalog.place_has_entries(place, head).unwrap();
    }

    /// The answer of `coldchain cost` with these words.
    pub(crate) fn cost(&self, words: &str) -> Ended {
        self.run(&format!("cost {words}"))
    }

    /// The program with these words, on this machine's config.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coldchain"));
        command
            .args(words.split_whitespace())
            .env("COLDCHAIN_CONFIG", self.path("config.toml"))
            .env_remove("COLDCHAIN_STATE_DIR")
            .current_dir(self.directory.path());
        command
    }

    /// How the program ends with these words.
    pub(crate) fn run(&self, words: &str) -> Ended {
        self.run_command(&mut self.command(words))
    }

    /// How a command of [`Self::command`] ends that was changed.
    pub(crate) fn run_command(&self, command: &mut Command) -> Ended {
        let run = command.output().unwrap();
        let here = self.directory.path().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&here, "$T");
        Ended {
            code: run.status.code(),
            stdout: text(&run.stdout),
            stderr: text(&run.stderr),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn noon(date: NaiveDate) -> Timestamp {
    format!("{date}T12:00:00Z").parse().unwrap()
}

fn entry(
    made_up: &MadeUp,
    (chain, parent): (ArchiveId, Option<(ArchiveId, Uuid)>),
    recipients: Sha256,
    uuid: Uuid,
) -> ArchiveEntry {
    let record = |at: usize, (raw_bytes, sealed_bytes): (u64, u64)| SegmentRecord {
        raw_bytes,
        sealed_bytes,
        sha256: Sha256::of(&at.to_le_bytes()),
    };
    let segments = made_up.segments.iter().enumerate();
    let segments: Vec<_> = segments.map(|(at, sizes)| record(at, *sizes)).collect();
    let contents = made_up.contents.iter().enumerate();
    let contents: Vec<_> = contents
        .map(|(at, bytes)| record(at, (*bytes, *bytes)))
        .collect();
    ArchiveEntry {
        id: made_up.id(),
        date: made_up.date,
        slot: made_up.date,
        kind: made_up.kind,
        send_parent: parent.map(|(id, _)| id),
        chain,
        stream_uuid: uuid,
        stream_ctransid: 9,
        send_parent_uuid: parent.map(|(_, uuid)| uuid),
        raw_bytes: segments.iter().map(|it| it.raw_bytes).sum(),
        sealed_bytes: segments.iter().map(|it| it.sealed_bytes).sum(),
        protocol: 1,
        compressed_data: None,
        kernel: None,
        btrfs_progs: None,
        segment_size: 128 << 20,
        frame_size: 4 << 20,
        key: String::new(),
        recipients,
        retain_until: None,
        segments,
        vault: None,
        contents: Some(ContentsRecord {
            stream_bytes: 100,
            objects: contents,
        }),
        private: String::new(),
    }
}

/// Where the program's own files lie.
pub(crate) fn readme_bytes() -> u64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/ledger/readme_restore.txt");
    fs::metadata(path).unwrap().len()
}
