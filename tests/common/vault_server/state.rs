//! What a server holds: vaults, archives and jobs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ring::digest;

#[derive(Debug, Default, Clone)]
pub struct State {
    pub vaults: BTreeMap<String, Vault>,
    /// How many ids were given.
    given: u64,
}

#[derive(Debug, Clone)]
pub struct Vault {
    pub created: DateTime<Utc>,
    /// Those that were deleted too: an inventory of before has them.
    pub archives: Vec<Archive>,
    pub jobs: Vec<Job>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub id: String,
    pub description: String,
    pub body: Vec<u8>,
    pub tree_hash: [u8; 32],
    pub created: DateTime<Utc>,
    pub deleted: Option<DateTime<Utc>>,
    /// No inventory shows it, whatever its age.
    pub hidden: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    pub kind: JobKind,
    pub description: Option<String>,
    pub tier: Tier,
    pub created: DateTime<Utc>,
    /// When it completes, or has completed.
    pub completes: DateTime<Utc>,
    /// It fails when it completes.
    pub fails: bool,
    /// From then on nobody finds it any more.
    pub expires: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobKind {
    Archive {
        archive: String,
        /// The first byte and the last.
        range: (u64, u64),
        body: Vec<u8>,
    },
    Inventory {
        json: Vec<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    Expedited,
    Standard,
    Bulk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    InProgress,
    Succeeded,
    Failed,
}

impl Tier {
    pub fn name(self) -> &'static str {
        match self {
            Self::Expedited => "Expedited",
            Self::Standard => "Standard",
            Self::Bulk => "Bulk",
        }
    }
}

impl JobStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

impl Job {
    pub fn status(&self, now: DateTime<Utc>) -> JobStatus {
        match () {
            () if now < self.completes => JobStatus::InProgress,
            () if self.fails => JobStatus::Failed,
            () => JobStatus::Succeeded,
        }
    }
}

impl State {
    /// Panics if there is none of that name.
    pub fn vault(&mut self, name: &str) -> &mut Vault {
        let vault = self.vaults.get_mut(name);
        vault.unwrap_or_else(|| panic!("there is no vault {name}"))
    }

    pub fn create(&mut self, name: &str, now: DateTime<Utc>) {
        self.vaults.entry(name.to_owned()).or_insert(Vault {
            created: now,
            archives: Vec::new(),
            jobs: Vec::new(),
        });
    }

    /// An id as Amazon gives them: 138 characters for an archive, 92 for a job. Some of Amazon's begin with a minus.
    pub fn new_id(&mut self, length: usize) -> String {
        self.given += 1;
        let mut id = format!("-{:019}-_", self.given);
        while id.len() < length {
            let digest = digest::digest(&digest::SHA256, id.as_bytes());
            let letters = digest.as_ref().iter().map(|byte| byte % 26 + b'a');
            id.extend(letters.map(char::from));
        }
        id.truncate(length);
        id
    }

    /// Stores an archive and returns its id.
    pub fn keep(
        &mut self,
        vault: &str,
        description: &str,
        body: Vec<u8>,
        now: DateTime<Utc>,
    ) -> String {
        let id = self.new_id(138);
        self.vault(vault).archives.push(Archive {
            id: id.clone(),
            description: description.to_owned(),
            tree_hash: tree_hash(&body),
            body,
            created: now,
            deleted: None,
            hidden: false,
        });
        id
    }
}

/// The root of a binary tree of SHA-256 whose leaves are those of each MiB. Written from Amazon's description, so that
/// what is tested is not what tests it.
pub fn tree_hash(bytes: &[u8]) -> [u8; 32] {
    let sha256 = |parts: &[&[u8]]| -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().try_into().unwrap()
    };
    let mib = 1 << 20;
    if bytes.len() <= mib {
        return sha256(&[bytes]);
    }
    // The left half is the largest power of two of MiB that leaves something to the right.
    let mut left = mib;
    while left * 2 < bytes.len() {
        left *= 2;
    }
    let (left, right) = bytes.split_at(left);
    sha256(&[&tree_hash(left), &tree_hash(right)])
}
