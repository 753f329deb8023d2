//! The inventory that is kept in a file: the service's own text after a line of ours.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::deleted_notes::DeletedNotes;
use super::description::{Owner, owner};
use crate::model::{LedgerId, Sha256, TreeHash, VaultArchiveId};
use crate::store::listing::TooMany;

/// The most bytes of our own line.
const MAX_LINE: u64 = 4096;

/// The memory of an archive besides its key and its id, in bytes.
const ARCHIVE: usize = size_of::<Shown>() + 32;

/// An archive of our ledger in an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) key: String,
    pub(super) id: VaultArchiveId,
    pub(super) tree_hash: TreeHash,
    pub(super) bytes: u64,
    pub(super) created: DateTime<Utc>,
}

/// What an inventory shows of one ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Showing {
    /// What the vault had at this time.
    pub(super) date: DateTime<Utc>,
    /// The date by which the service announced it.
    pub(super) announced: DateTime<Utc>,
    /// Sorted by key, then by id.
    pub(super) archives: Vec<Shown>,
    /// How many archives say that they are coldchain's and can't be read.
    pub(super) mangled: usize,
}

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct FileHead {
    announced: DateTime<Utc>,
}

/// The files of a vault's inventory.
#[derive(Debug)]
pub(super) struct KeptInventory {
    directory: PathBuf,
    name: String,
    /// What was deleted, although it may still show it.
    pub(super) deleted: DeletedNotes,
}

impl KeptInventory {
    /// Names the files of the vault with this URL below `directory`. Makes none yet.
    pub(super) fn of(directory: PathBuf, url: &str) -> Self {
        let name = format!("vault-{}", Sha256::of(url.as_bytes()).prefix16());
        Self {
            deleted: DeletedNotes::at(directory.join(format!("{name}.deleted"))),
            directory,
            name,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(format!("{}.inventory", self.name))
    }

    /// Reads what it shows of a ledger, in at most so many bytes of memory. Returns `None` if none is kept.
    pub(super) fn read(&self, ledger: LedgerId, limit: u64) -> io::Result<Option<Showing>> {
        match File::open(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(file) => parse(file, ledger, limit).map(Some),
        }
    }

    /// Keeps what `fill` writes in place of what was kept, if it is an inventory. Returns what it shows.
    pub(super) fn replace<E>(
        &self,
        ledger: LedgerId,
        limit: u64,
        announced: DateTime<Utc>,
        fill: impl FnOnce(&mut Incoming) -> Result<(), E>,
    ) -> Result<Showing, E>
    where
        E: From<io::Error>,
    {
        fs::create_dir_all(&self.directory)?;
        self.remove_leftovers()?;
        let path = self.temporary(std::process::id());
        let temporary = NewInventory(&path);
        let mut new = File::create(&path)?;
        let mut head = serde_json::to_vec(&FileHead { announced }).expect("it has text keys");
        head.push(b'\n');
        new.write_all(&head)?;
        let mut incoming = Incoming {
            file: new,
            begin: head.len() as u64,
        };
        fill(&mut incoming)?;
        incoming.file.sync_all()?;
        let showing = parse(File::open(&path)?, ledger, limit)?;
        fs::rename(&path, self.path())?;
        std::mem::forget(temporary);
        File::open(&self.directory)?.sync_all()?;
        self.deleted.forget(showing.date)?;
        Ok(showing)
    }

    fn temporary(&self, process: u32) -> PathBuf {
        self.directory
            .join(format!("{}.inventory.{process}.new", self.name))
    }

    /// Removes what processes have left that ended while they wrote.
    fn remove_leftovers(&self) -> io::Result<()> {
        let begin = format!("{}.inventory.", self.name);
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let process = name
                .to_str()
                .and_then(|name| name.strip_prefix(&begin))
                .and_then(|rest| rest.strip_suffix(".new"));
            if let Some(process) = process
                && !Path::new("/proc").join(process).exists()
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A new file, which is removed unless it gets its name.
struct NewInventory<'p>(&'p Path);

impl Drop for NewInventory<'_> {
    fn drop(&mut self) {
        // What can't be removed is removed by a later run.
        drop(fs::remove_file(self.0));
    }
}

/// The service's text on its way into the file, after our line.
pub(super) struct Incoming {
    file: File,
    begin: u64,
}

impl crate::store::OutputSink for Incoming {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(self.begin)?;
        self.file.seek(SeekFrom::Start(self.begin)).map(drop)
    }
}

fn damaged(what: &impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

fn parse(file: File, ledger: LedgerId, limit: u64) -> io::Result<Showing> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
    let head: FileHead = serde_json::from_slice(&line).map_err(|error| damaged(&error))?;
    let mut gathered = Gathered {
        ledger,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        bytes: 0,
        archives: Vec::new(),
        mangled: 0,
        is_over: false,
    };
    let mut json = serde_json::Deserializer::from_reader(reader);
    let read = WholeText(&mut gathered)
        .deserialize(&mut json)
        .and_then(|date| json.end().map(|()| date));
    if gathered.is_over {
        let keys = gathered.archives.iter().map(|shown| shown.key.as_str());
        return Err(io::Error::other(TooMany::of(keys, gathered.limit)));
    }
    let date = read.map_err(|error| match error.classify() {
        serde_json::error::Category::Io => io::Error::from(error),
        _ => damaged(&format!("the inventory can't be read: {error}")),
    })?;
    let mut archives = gathered.archives;
    archives.sort_unstable_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    archives.dedup();
    let mut ids: Vec<&VaultArchiveId> = archives.iter().map(|shown| &shown.id).collect();
    ids.sort_unstable();
    if let Some([twice, _]) = ids.array_windows().find(|[one, next]| one == next) {
        return Err(damaged(&format!(
            "the inventory has the id {twice} twice, with different contents"
        )));
    }
    Ok(Showing {
        date,
        announced: head.announced,
        archives,
        mangled: gathered.mangled,
    })
}

/// What was read so far.
struct Gathered {
    ledger: LedgerId,
    limit: usize,
    bytes: usize,
    archives: Vec<Shown>,
    mangled: usize,
    is_over: bool,
}

/// An archive in the service's text.
#[derive(Deserialize)]
struct Item {
    #[serde(rename = "ArchiveId")]
    id: String,
    #[serde(rename = "ArchiveDescription", default)]
    description: Option<String>,
    #[serde(rename = "CreationDate")]
    created: DateTime<Utc>,
    #[serde(rename = "Size")]
    bytes: u64,
    #[serde(rename = "SHA256TreeHash")]
    tree_hash: String,
}

impl Gathered {
    fn add(&mut self, item: &Item) -> Result<(), String> {
        let key = match owner(item.description.as_deref().unwrap_or_default()) {
            Owner::Segment(ledger, key) if ledger == self.ledger => key.to_owned(),
            Owner::Mangled => {
                self.mangled += 1;
                return Ok(());
            }
            Owner::Segment(..) | Owner::Foreign => return Ok(()),
        };
        let id: VaultArchiveId = item
            .id
            .parse()
            .map_err(|error| format!("{error}, in the inventory"))?;
        let tree_hash = item
            .tree_hash
            .parse()
            .map_err(|_| format!("`{}` is no tree hash", item.tree_hash))?;
        self.bytes += ARCHIVE + key.len() + id.as_str().len();
        if self.bytes > self.limit {
            self.is_over = true;
            return Err("it has too many archives".to_owned());
        }
        self.archives.push(Shown {
            key,
            id,
            tree_hash,
            bytes: item.bytes,
            created: item.created,
        });
        Ok(())
    }
}

/// Reads the whole text; gives its date.
struct WholeText<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for WholeText<'_> {
    type Value = DateTime<Utc>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WholeText<'_> {
    type Value = DateTime<Utc>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an inventory")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut date = None;
        let mut is_listed = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "InventoryDate" => date = Some(map.next_value()?),
                "ArchiveList" if is_listed => {
                    return Err(A::Error::custom("it has two lists of archives"));
                }
                "ArchiveList" => {
                    is_listed = true;
                    map.next_value_seed(List(self.0))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if !is_listed {
            return Err(A::Error::missing_field("ArchiveList"));
        }
        date.ok_or_else(|| A::Error::missing_field("InventoryDate"))
    }
}

struct List<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of archives")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<Item>()? {
            self.0.add(&item).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
