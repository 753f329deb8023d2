//! A machine of its own: a real btrfs with a source, a config, keys, a store, and the real program
//! run on them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::NaiveDate;
use coldchain::btrfs::{SentBy, identity};
use coldchain::config::Config;
use coldchain::error::Error;
use coldchain::model::SubvolumeIdentity;
use coldchain::plan::{DateOverride, Request};
use serde_json::Value;

use super::loopfs::LoopFs;
use super::rng::Rng;
use super::tree::{compare_trees, make_rich_tree, mutate_tree};

/// The one source's name.
pub const SOURCE: &str = "home";

/// A full and its eleven incrementals, as the default schedule has them.
pub const CHAIN_OF_TWELVE: [&str; 12] = [
    "2026-01-01",
    "2026-01-07",
    "2026-01-14",
    "2026-01-21",
    "2026-02-01",
    "2026-02-07",
    "2026-02-14",
    "2026-02-21",
    "2026-03-01",
    "2026-03-07",
    "2026-03-14",
    "2026-03-21",
];

/// What a sandbox is made of, where it is not as usual.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The size of its btrfs.
    pub mib: u64,
    /// Further arguments to make its btrfs with.
    pub mkfs: &'static [&'static str],
    /// Mount options of its btrfs.
    pub mount: &'static str,
    /// Further lines before all tables.
    pub top: &'static str,
    /// Further lines of `[[source]]`; `keep_snapshots_days` must be among them.
    pub source: &'static str,
    /// The lines of `[schedule]`.
    pub schedule: &'a str,
    /// The lines of its store's table, and of tables after it; a directory of its own if left out.
    pub store: Option<&'a str>,
    /// What the program finds in its environment.
    pub env: &'a [(&'a str, &'a str)],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            mib: 256,
            mkfs: &[],
            mount: "",
            top: "",
            source: "keep_snapshots_days = 10000",
            schedule: "",
            store: None,
            env: &[],
        }
    }
}

/// How the program ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Panics unless it succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Its answer with `--json`.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its events with `--json`, one a line.
    pub fn events(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap();
        self.stdout.lines().map(parse).collect()
    }
}

/// A source on a btrfs of its own, and everything to archive it.
pub struct Sandbox {
    pub fs: LoopFs,
    mib: u64,
    directory: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Sandbox {
    pub fn new() -> Self {
        Self::with(&Setup::default())
    }

    /// Makes the filesystem and runs `coldchain init` twice, as an operator does.
    pub fn with(setup: &Setup<'_>) -> Self {
        let sandbox = Self {
            fs: LoopFs::made_with(setup.mib, setup.mkfs, setup.mount),
            mib: setup.mib,
            directory: tempfile::tempdir().unwrap(),
            env: setup
                .env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        sandbox.fs.subvolume(SOURCE);
        let init = || {
            let kit = sandbox.kit();
            let args = [OsStr::new("init"), OsStr::new("--kit"), kit.as_os_str()];
            sandbox.run(args).ok();
        };
        init();
        let recipient = fs::read_to_string(sandbox.kit()).unwrap();
        let recipient = recipient
            .split_whitespace()
            .find(|word| word.starts_with("age1"))
            .unwrap();
        let config = format!(
            r#"
                timezone = "UTC"
                state_dir = "{state}"
                segment_size = "16MiB"
                threads = 2
                {top}

                [[source]]
                name = "{SOURCE}"
                subvolume = "{subvolume}"
                snapshots = "{snapshots}"
                store = "shelf"
                {source}

                [schedule]
                {schedule}

                [store.shelf]
                {store}

                [encryption]
                recipients = ["{recipient}"]
            "#,
            state = sandbox.path("state").display(),
            subvolume = sandbox.source().display(),
            snapshots = sandbox.fs.path("snapshots").display(),
            store = match setup.store {
                Some(lines) => lines.to_owned(),
                None => format!("type = \"dir\"\npath = \"{}\"", sandbox.store().display()),
            },
            source = setup.source,
            top = setup.top,
            schedule = setup.schedule,
        );
        fs::write(sandbox.config(), config).unwrap();
        init();
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its config file.
    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// The recovery kit, which is the identity too.
    pub fn kit(&self) -> PathBuf {
        self.path("kit.txt")
    }

    /// The store's directory.
    pub fn store(&self) -> PathBuf {
        self.path("shelf")
    }

    /// The live subvolume.
    pub fn source(&self) -> PathBuf {
        self.fs.path(SOURCE)
    }

    /// The names in the directory of its snapshots, without the link to the newest.
    pub fn snapshot_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.fs.path("snapshots")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "current")
            .collect();
        names.sort();
        names
    }

    /// The snapshot of that name.
    pub fn snapshot(&self, date: &str) -> PathBuf {
        self.fs.path("snapshots").join(date)
    }

    /// The config as the engine takes it in this process, which can't be started as coldchain's sender.
    pub fn loaded_config(&self) -> Config {
        Config {
            sender: SentBy::Btrfs,
            ..Config::load(&self.config()).unwrap()
        }
    }

    /// Runs the program.
    pub fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        self.run_with_path(&std::env::var_os("PATH").unwrap(), args)
    }

    /// Runs the program with that `$PATH`.
    pub fn run_with_path(
        &self,
        path: &OsStr,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_coldchain"))
            .env_clear()
            .env("PATH", path)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("COLDCHAIN_CONFIG", self.config())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `coldchain backup DATE`, which must succeed.
    pub fn backup(&self, date: &str) -> Ran {
        self.run(["backup", date]).ok()
    }

    /// `coldchain restore home --date DATE --to DIR`
    pub fn restore(&self, date: &str, to: &Path) -> Ran {
        let (kit, to) = (self.kit(), to.as_os_str());
        let words = [
            "restore", SOURCE, "--from", "store", "--date", date, "--yes", "--to",
        ];
        let words = words.into_iter().map(OsStr::new);
        self.run(words.chain([to, OsStr::new("--identity"), kit.as_os_str()]))
    }

    /// Restores a date onto a new filesystem, and holds each date against its snapshot.
    pub fn restores_equal(&self, dates: &[&str]) {
        let other = LoopFs::new(self.mib.max(512));
        self.restore(dates.last().unwrap(), &other.root()).ok();
        for date in dates {
            compare_trees(&self.snapshot(date), &other.path(SOURCE).join(date));
        }
    }

    /// Archives a tree that changes on three dates, and compares what comes back.
    pub fn chain_comes_back(&self, rng: &mut Rng) {
        make_rich_tree(&self.source(), rng);
        let dates = ["2025-01-01", "2025-01-07", "2025-01-14"];
        for date in dates {
            let ran = self.backup(date);
            assert_eq!(ran.stderr, "", "{date}");
            mutate_tree(&self.source(), rng);
        }
        self.restores_equal(&dates);
    }

    /// What `list --json` says of the source.
    pub fn listed(&self) -> Value {
        self.run(["list", "--json"]).ok().json()["sources"][0].take()
    }

    /// The archives of `list --json` in that state.
    pub fn archives(&self, state: &str) -> Vec<Value> {
        let listed = self.listed();
        let chains = listed["chains"].as_array().unwrap();
        chains
            .iter()
            .flat_map(|chain| chain["archives"].as_array().unwrap())
            .filter(|archive| archive["state"] == state)
            .cloned()
            .collect()
    }

    /// The dates of the committed archives.
    pub fn committed(&self) -> Vec<String> {
        self.archives("committed")
            .iter()
            .map(|archive| archive["date"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything in the store: by path its content, its inode, and when it was written.
    pub fn stored(&self) -> BTreeMap<PathBuf, (blake3::Hash, u64, i64, i64)> {
        let mut stored = BTreeMap::new();
        let mut to_visit = vec![self.store()];
        while let Some(directory) = to_visit.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    to_visit.push(path);
                    continue;
                }
                let stat = path.metadata().unwrap();
                let content = blake3::hash(&fs::read(&path).unwrap());
                let facts = (content, stat.ino(), stat.mtime(), stat.mtime_nsec());
                stored.insert(path, facts);
            }
        }
        stored
    }

    /// The names of the ledger's entries in the store.
    pub fn ledger(&self) -> BTreeSet<PathBuf> {
        let ledger = self.store().join(SOURCE).join("ledger");
        self.stored()
            .into_keys()
            .filter(|path| path.starts_with(&ledger))
            .collect()
    }
}

/// What `coldchain backup DATE` asks of the engine on that day.
pub fn asked(date: &str) -> coldchain::engine::BackupRequest {
    let date: NaiveDate = date.parse().unwrap();
    coldchain::engine::BackupRequest {
        date,
        today: date,
        request: Request::Scheduled,
        override_date: DateOverride::Absent,
    }
}

/// Which subvolume it is, now.
pub fn which(path: &Path) -> SubvolumeIdentity {
    identity(path).unwrap()
}

/// The names of a JSON object's fields.
pub fn fields(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("{value}"));
    object.keys().map(String::as_str).collect()
}

/// The error that an engine run ended with.
pub fn error_of<T: std::fmt::Debug>(result: Result<T, Error>) -> Error {
    result.expect_err("it must not succeed")
}
