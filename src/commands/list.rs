//! `coldchain list`: chains and their archives, as a tree.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use super::age::Verified;
use super::output::{answer, answer_json, percent};
use super::{load_to_read, sources, today};
use crate::catalog::{ArchiveRow, Catalog};
use crate::cli::{Everywhere, List};
use crate::config::{Config, Origin, Source};
use crate::engine::{Clock, StateDir, SystemClock, history, schedule, store_url};
use crate::error::Error;
use crate::model::archive::ArchiveState;
use crate::model::size::Bytes;
use crate::model::{ArchiveId, SourceName};
use crate::plan::{Chain, expiry_dates};

/// Archives of a chain that became as long as the default schedule lets it.
const USUAL_CHAIN: usize = 12;

/// A source as it is listed.
struct Listed {
    name: SourceName,
    store: String,
    /// `None` where no config says what is scheduled.
    next_slot: Option<NaiveDate>,
    chains: Vec<ListedChain>,
}

/// What of a source is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Retired archives too.
    Everything,
    /// Without what only a revive could bring back into sight.
    Current,
}

/// When a chain's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    On(NaiveDate),
    /// Not while it is the newest.
    Never,
    /// No config says.
    Unknown,
}

impl Expiry {
    fn of(date: Option<NaiveDate>) -> Self {
        date.map_or(Self::Never, Self::On)
    }

    fn date(self) -> Option<NaiveDate> {
        match self {
            Self::On(date) => Some(date),
            Self::Never | Self::Unknown => None,
        }
    }
}

struct ListedChain {
    id: ArchiveId,
    state: &'static str,
    expiry: Expiry,
    archives: Vec<ArchiveRow>,
    verified: Verified,
}

pub(super) fn run(args: &List, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let mut listed = Vec::new();
    for source in sources(&config, args.source.as_deref())? {
        let store = store_url(&config.stores[&source.store]);
        let asked = if args.all {
            Asked::Everything
        } else {
            Asked::Current
        };
        listed.push(gather(&config, source, store, asked, &catalog)?);
    }
    if everywhere.json {
        let sources: Vec<Value> = listed.iter().map(Listed::to_json).collect();
        return answer_json(&json!({ "sources": sources }));
    }
    let now = SystemClock.now();
    let texts: Vec<String> = listed.iter().map(|listed| listed.to_text(now)).collect();
    answer(&texts.join("\n"))
}

fn gather(
    config: &Config,
    source: &Source,
    store: String,
    asked: Asked,
    catalog: &Catalog,
) -> Result<Listed, Error> {
    let schedule = match source.origin {
        Origin::File => Some(schedule(source)),
        Origin::Catalog => None,
    };
    let (archives, checks) = match catalog.source(&source.name)? {
        Some(row) => (
            match asked {
                Asked::Everything => catalog.archives(&row.ledger)?,
                Asked::Current => catalog.current(&row.ledger)?,
            },
            catalog.visible_verifications(&row.ledger)?,
        ),
        None => (Vec::new(), Vec::new()),
    };
    let history = history(&archives);
    let visible = history.chains();
    let expiries = schedule
        .as_ref()
        .map(|schedule| expiry_dates(&visible, schedule));
    let mut chains: BTreeMap<ArchiveId, Vec<ArchiveRow>> = BTreeMap::new();
    for archive in archives {
        let chain = chains.entry(archive.chain);
        chain
            .or_insert_with(|| Vec::with_capacity(USUAL_CHAIN))
            .push(archive);
    }
    let verified = Verified::each(&checks);
    let chains = chains.into_iter().map(|(id, mut archives)| {
        let at = visible.binary_search_by_key(&id, |chain| chain.id).ok();
        let state = state(id, &archives, at.map(|at| &visible[at]));
        if asked == Asked::Current {
            archives.retain(|archive| archive.state != ArchiveState::Retired);
        }
        let seen = archives.iter().filter(|archive| archive.is_visible());
        ListedChain {
            id,
            state,
            expiry: match &expiries {
                Some(dates) => Expiry::of(at.and_then(|at| dates[at])),
                None => Expiry::Unknown,
            },
            verified: Verified::all(seen.map(|archive| archive.id), &verified),
            archives,
        }
    });
    Ok(Listed {
        name: source.name.clone(),
        store,
        chains: chains.collect(),
        next_slot: schedule.map(|schedule| schedule.next_slot_after(today(config))),
    })
}

/// A chain is what its archives are: unfinished while its full is.
fn state(id: ArchiveId, archives: &[ArchiveRow], visible: Option<&Chain<'_>>) -> &'static str {
    let full = archives.iter().find(|archive| archive.id == id);
    match full.map(|full| full.state) {
        Some(ArchiveState::Unfinished | ArchiveState::Committing) => "unfinished",
        Some(ArchiveState::Retired) => "retired",
        Some(ArchiveState::Committed) | None if visible.is_some_and(Chain::is_restorable) => {
            "complete"
        }
        Some(ArchiveState::Committed) | None => "damaged",
    }
}

/// The words that other programs rely on: an entry on its way is not committed yet.
fn archive_state(archive: &ArchiveRow) -> &'static str {
    match archive.state {
        ArchiveState::Committed => "committed",
        ArchiveState::Retired => "retired",
        ArchiveState::Unfinished | ArchiveState::Committing => "unfinished",
    }
}

impl Listed {
    fn to_json(&self) -> Value {
        let chains: Vec<Value> = self.chains.iter().map(ListedChain::to_json).collect();
        json!({"name": self.name, "store": self.store, "next_slot": self.next_slot, "chains": chains})
    }

    fn to_text(&self, now: DateTime<Utc>) -> String {
        let next_slot = self
            .next_slot
            .map(|date| format!("  next slot {date}"))
            .unwrap_or_default();
        let mut text = format!("{}  {}{next_slot}\n", self.name, self.store);
        if self.chains.is_empty() {
            text.push_str("  nothing archived yet\n");
        }
        for chain in &self.chains {
            text.push_str(&chain.to_text(now));
        }
        text
    }
}

impl ListedChain {
    fn to_json(&self) -> Value {
        let archives: Vec<Value> = self
            .archives
            .iter()
            .map(|archive| {
                json!({
                    "id": archive.id, "date": archive.date, "kind": archive.kind,
                    "send_parent": archive.send_parent.map(|parent| parent.date),
                    "state": archive_state(archive), "raw_bytes": archive.raw_bytes,
                    "sealed_bytes": archive.sealed_bytes, "segments": archive.segments,
                })
            })
            .collect();
        json!({
            "id": self.id.date, "state": self.state, "expires_on": self.expiry.date(),
            "verified_at": self.verified.at, "deep_verified_at": self.verified.deep,
            "deletion_begun": self.deletion_has_begun(), "archives": archives,
        })
    }

    /// Whether it can't be revived any more.
    fn deletion_has_begun(&self) -> bool {
        let mut archives = self.archives.iter();
        archives.any(|archive| archive.deletion.is_some())
    }

    fn to_text(&self, now: DateTime<Utc>) -> String {
        let expiry = match self.expiry {
            _ if self.state == "unfinished" => ", the next backup goes on with it".to_owned(),
            _ if self.deletion_has_begun() => ", being deleted or gone".to_owned(),
            _ if self.state == "retired" => ", deleted after its time of grace".to_owned(),
            Expiry::On(date) => format!(", expires {date}"),
            Expiry::Never => ", does not expire while it is the newest".to_owned(),
            Expiry::Unknown => String::new(),
        };
        let verified = match self.state {
            "complete" | "damaged" => format!(", {}", self.verified.in_words(now)),
            _ => String::new(),
        };
        let mut text = format!(
            "  chain of {}  {}{expiry}{verified}\n",
            self.id.date, self.state
        );
        let last = self.archives.len().saturating_sub(1);
        for (at, archive) in self.archives.iter().enumerate() {
            let branch = if at == last { "└─" } else { "├─" };
            // An incremental is on the archive before it; only another parent is worth a word.
            let before = at.checked_sub(1).map(|at| self.archives[at].id);
            let parent = match archive.send_parent {
                Some(parent) if Some(parent) != before => format!("  on {}", parent.date),
                _ => String::new(),
            };
            let so_far = match (archive_state(archive), archive.segments) {
                ("unfinished", 1) => ", 1 segment so far".to_owned(),
                ("unfinished", segments) => format!(", {segments} segments so far"),
                _ => String::new(),
            };
            writeln!(
                text,
                "  {branch} {}  {:11}  raw {:>9}  sealed {:>9}  {:>5}  {}{so_far}{parent}",
                archive.date,
                archive.kind,
                Bytes(archive.raw_bytes),
                Bytes(archive.sealed_bytes),
                percent(archive.sealed_bytes, archive.raw_bytes),
                archive_state(archive),
            )
            .expect("writing to a string does not fail");
        }
        text
    }
}
