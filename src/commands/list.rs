//! `coldchain list`: chains and their archives, as a tree.

pub(super) mod copies;
mod graph;
pub(super) mod mirrors;
mod row;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::age::LastVerified;
use super::file_counts::file_counts;
use super::fold::push_folded;
use super::imported::list as imported;
use super::output::{answer, answer_json, count, stdout_columns};
use super::{load_to_read, require_catalog, today};
use crate::catalog::{self, Catalog, ListedRow};
use crate::cli::{Everywhere, List};
use crate::config::{Config, Source, SourceOrigin, StoreConfig};
use crate::engine::{
    Clock, KnownCopy, KnownMirror, MovedAway, RunContext, StateDir, SystemClock, history, is_place,
    known_copies, known_imports, known_mirrors, moved_away, schedule, store_url,
};
use crate::error::Error;
use crate::model::archive::ArchiveState;
use crate::model::{ArchiveId, Line, SourceName};
use crate::plan::{Chain, ChainExpiry, Schedule, awaiting_inventory, expiry_dates, unfilled_slots};
use crate::progress::Quiet;
use row::RowWidths;

/// A source for the list.
pub(crate) struct ListedSource<'a> {
    /// Its name.
    pub(crate) name: SourceName,
    /// `None` if it keeps snapshots alone.
    pub(crate) store: Option<String>,
    /// `None` if it has no schedule in a config.
    pub(crate) next_slot: Option<NaiveDate>,
    /// By date.
    pub(crate) chains: Vec<ListedChain<'a>>,
    /// As of the last runs.
    pub(crate) mirrors: Vec<KnownMirror>,
    /// As of the last runs.
    pub(crate) copies: Vec<KnownCopy>,
    /// Where home is, if the config names a home of before.
    pub(crate) moved: Option<MovedAway>,
    /// `None` without a store, and if the config does not name it.
    pub(super) schedule: Option<Schedule>,
    /// How many files archives have, as far as the file index knows it.
    pub(crate) files: BTreeMap<ArchiveId, u64>,
}

/// When a chain expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    On(NaiveDate),
    /// It does not expire while it is the newest.
    Never,
    /// There is no config with the schedule.
    Unknown,
}

impl Expiry {
    fn of(date: Option<NaiveDate>) -> Self {
        date.map_or(Self::Never, Self::On)
    }

    pub(crate) fn date(self) -> Option<NaiveDate> {
        match self {
            Self::On(date) => Some(date),
            Self::Never | Self::Unknown => None,
        }
    }
}

/// A chain for the list.
pub(crate) struct ListedChain<'a> {
    pub(crate) id: ArchiveId,
    pub(crate) state: &'static str,
    pub(crate) expiry: Expiry,
    /// All its archives, by date.
    archives: &'a [ListedRow],
    shown: catalog::WhichArchives,
    verified: LastVerified,
    inventory: AwaitedInventory,
}

/// What of a chain waits for the inventory of a vault.
#[derive(Debug, Default)]
struct AwaitedInventory {
    /// How many of its archives none has shown.
    archives: u64,
    /// Why it does not expire, although its time is over.
    holds_back: Option<String>,
}

pub(super) fn run(args: &List, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let chosen: Vec<&Source> = match args.source.name() {
        Some(name) => vec![config.source(name)?],
        None => config.sources.iter().collect(),
    };
    require_catalog(&config, &chosen)?;
    let asked = if args.all {
        catalog::WhichArchives::Everything
    } else {
        catalog::WhichArchives::Current
    };
    let rows = chosen.iter().map(|source| rows(source, asked, &catalog));
    let rows: Vec<_> = rows.collect::<Result<_, Error>>()?;
    let context = RunContext::real(&Quiet);
    let listed = chosen.iter().zip(&rows);
    let listed = listed.map(|(source, rows)| list_source((&config, source), rows, asked, &catalog));
    let listed: Vec<_> = listed.collect::<Result<_, Error>>()?;
    let (further, imports) = match args.source.name() {
        Some(_) => (Vec::new(), Vec::new()),
        None => (
            mirrors::of_mirrors(&config, &catalog, context)?,
            known_imports(&catalog)?,
        ),
    };
    if everywhere.json {
        let sources: Vec<Value> = listed.iter().map(ListedSource::to_json).collect();
        let further: Vec<Value> = further.iter().map(mirrors::to_json).collect();
        let mut document = json!({ "sources": sources, "mirrors": further });
        if !imports.is_empty() {
            let imports = imports.iter().map(|it| imported::to_json(it, args.all));
            document["imported"] = imports.collect();
        }
        return answer_json(&document);
    }
    if args.graph {
        let canvas = graph::Canvas::of_stdout();
        return answer(&graph::in_words(&listed, canvas, today(&config)));
    }
    let now = SystemClock.now();
    let columns = stdout_columns();
    let widths = Widths::of(&listed, columns);
    let mut text = String::new();
    for (at, listed) in listed.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        listed.write_text(&mut text, &widths, now);
    }
    mirrors::write_further(&mut text, &further, now, columns);
    for import in &imports {
        imported::write_text(&mut text, import, args.all);
    }
    answer(&text)
}

/// Returns the rows of a source's archives, by chain and date.
pub(crate) fn rows(
    source: &Source,
    asked: catalog::WhichArchives,
    catalog: &Catalog,
) -> Result<Vec<ListedRow>, Error> {
    let mut archives = match catalog.source(&source.name)? {
        Some(row) => catalog.listed(&row.ledger, asked)?,
        None => Vec::new(),
    };
    // The sort is stable: the archives of a chain stay in order.
    archives.sort_by_key(|archive| archive.link.chain);
    Ok(archives)
}

/// Returns all that a list has of a source.
pub(super) fn list_source<'a>(
    (config, source): (&Config, &Source),
    rows: &'a [ListedRow],
    asked: catalog::WhichArchives,
    catalog: &Catalog,
) -> Result<ListedSource<'a>, Error> {
    let context = RunContext::real(&Quiet);
    let mirrors = known_mirrors(config, source, catalog, context)?;
    let listed = gather(config, source, rows, asked, mirrors);
    Ok(ListedSource {
        copies: known_copies(config, source, catalog)?,
        moved: moved_away(config, source, catalog)?,
        files: file_counts(config, source, catalog),
        ..listed
    })
}

/// Returns a source for the list.
pub(crate) fn gather<'a>(
    config: &Config,
    source: &Source,
    archives: &'a [ListedRow],
    shown: catalog::WhichArchives,
    mirrors: Vec<KnownMirror>,
) -> ListedSource<'a> {
    let store = config.store_of(source).ok();
    let schedule = match source.origin {
        SourceOrigin::File => store.map(|_| schedule(source)),
        SourceOrigin::Catalog => None,
    };
    let seen = archives.iter().filter(|archive| archive.is_visible());
    let history = history(seen.map(|archive| archive.link));
    let visible = history.chains();
    let expiries = schedule
        .as_ref()
        .map(|schedule| expiry_dates(&visible, schedule));
    let is_vault = matches!(config.store_of(source), Ok(StoreConfig::Vault { .. }));
    // A list knows no date of the inventory.
    let held_back: Vec<ChainExpiry> = match &schedule {
        Some(schedule) if is_vault => awaiting_inventory(&history, today(config), schedule, None),
        _ => Vec::new(),
    };
    let chains = archives.chunk_by(|one, next| one.link.chain == next.link.chain);
    let chains = chains.map(|archives| {
        let id = archives[0].link.chain;
        let at = visible.binary_search_by_key(&id, |chain| chain.id).ok();
        let seen = archives.iter().filter(|archive| archive.is_visible());
        ListedChain {
            inventory: if is_vault {
                AwaitedInventory::of(id, archives, &held_back)
            } else {
                AwaitedInventory::default()
            },
            id,
            state: state(id, archives, at.map(|at| &visible[at])),
            expiry: match &expiries {
                Some(dates) => Expiry::of(at.and_then(|at| dates[at])),
                None => Expiry::Unknown,
            },
            verified: LastVerified::all(seen.map(|archive| LastVerified {
                at: archive.sound_at,
                deep: archive.deep_sound_at,
            })),
            archives,
            shown,
        }
    });
    ListedSource {
        name: source.name.clone(),
        store: store.map(store_url),
        chains: chains.collect(),
        mirrors,
        copies: Vec::new(),
        moved: None,
        files: BTreeMap::new(),
        next_slot: schedule
            .as_ref()
            .map(|schedule| schedule.next_slot_after(today(config))),
        schedule,
    }
}

impl AwaitedInventory {
    fn of(chain: ArchiveId, archives: &[ListedRow], held_back: &[ChainExpiry]) -> Self {
        let seen = archives.iter().filter(|archive| archive.is_visible());
        let waits = seen.filter(|archive| !archive.link.is_verified && !archive.link.is_damaged);
        let held_back = held_back.iter().find(|held| held.id == chain);
        Self {
            archives: waits.count() as u64,
            holds_back: held_back.map(|held| held.reason.clone()),
        }
    }

    fn write_text(&self, text: &mut String, columns: usize) {
        let mut line = |words: String| push_folded(text, &format!("    {words}"), 6, columns);
        if let Some(why) = &self.holds_back {
            line(format!("does not expire yet: {}", Line(why)));
        }
        match self.archives {
            0 => {}
            1 => line("1 archive is not in the vault's inventory yet".to_owned()),
            many => line(format!(
                "{many} archives are not in the vault's inventory yet"
            )),
        }
    }
}

/// Returns the state of a chain, which follows from its archives. It is unfinished while its full is
/// unfinished.
fn state(id: ArchiveId, archives: &[ListedRow], visible: Option<&Chain<'_>>) -> &'static str {
    let full = archives.iter().find(|archive| archive.link.id == id);
    match full.map(|full| full.state) {
        Some(ArchiveState::Unfinished | ArchiveState::Committing) => "unfinished",
        Some(ArchiveState::Retired) => "retired",
        Some(ArchiveState::Committed) | None if visible.is_some_and(Chain::is_restorable) => {
            "complete"
        }
        Some(ArchiveState::Committed) | None => "damaged",
    }
}

/// Returns the state in the words that other programs rely on. An archive is unfinished until the PUT of its
/// entry is answered.
pub(crate) fn archive_state(archive: &ListedRow) -> &'static str {
    match archive.state {
        ArchiveState::Committed => "committed",
        ArchiveState::Retired => "retired",
        ArchiveState::Unfinished | ArchiveState::Committing => "unfinished",
    }
}

/// The column widths over all sources, so that the columns line up.
struct Widths {
    name: usize,
    store: usize,
    row: RowWidths,
}

impl Widths {
    fn of(listed: &[ListedSource<'_>], columns: usize) -> Self {
        let mut widths = Self {
            name: 0,
            store: 0,
            row: RowWidths::new(columns),
        };
        let width = |text: &str| text.chars().count();
        for source in listed {
            widths.name = widths.name.max(width(source.name.as_str()));
            widths.store = widths.store.max(width(&source.store_in_words()));
            for archive in source.chains.iter().flat_map(ListedChain::shown) {
                widths.row.cover(archive);
            }
        }
        widths
    }
}

impl ListedSource<'_> {
    pub(super) fn to_json(&self) -> Value {
        let chains: Vec<Value> = self.chains.iter().map(|it| it.to_json(self)).collect();
        let mirrors: Vec<Value> = self.mirrors.iter().map(mirrors::to_json).collect();
        let mut source = json!({
            "name": self.name, "store": self.store, "next_slot": self.next_slot, "chains": chains,
            "mirrors": mirrors,
        });
        if !self.copies.is_empty() {
            source["copies"] = self.copies.iter().map(copies::to_json).collect();
        }
        if let Some(moved) = &self.moved {
            source["moved_to"] = moved.to.as_str().into();
        }
        source
    }

    /// Returns the scheduled dates since the first archive in sight that no archive in sight fills, by the schedule of
    /// today.
    pub(super) fn gaps(&self, today: NaiveDate) -> Vec<NaiveDate> {
        let Some(schedule) = &self.schedule else {
            return Vec::new();
        };
        let archives = self.chains.iter().flat_map(|chain| chain.archives);
        let mut dates: Vec<NaiveDate> = archives.map(|archive| archive.link.id.date).collect();
        dates.sort_unstable();
        unfilled_slots(schedule, &dates, today)
    }

    /// Returns the places that have an archive; `None` if there is home alone.
    pub(super) fn places_of(&self, archive: &ListedRow) -> Option<Vec<String>> {
        if self.copies.is_empty() || !archive.is_visible() {
            return None;
        }
        let store = self.store.as_deref().unwrap_or_default();
        // After a rebuild from a copy alone, that copy has the place of home.
        let mut copies = self.copies.iter();
        let is_home = !copies.any(|copy| is_place(&copy.store, store));
        Some(copies::places_of(&archive.link.id, is_home, &self.copies))
    }

    /// Says how many archives have no contents, if others have some: their files can't be listed.
    fn unlisted_in_words(&self) -> Option<String> {
        let archives = self.chains.iter().flat_map(|chain| chain.archives);
        let visible = archives.filter(|archive| archive.is_visible());
        let (with, without): (Vec<&ListedRow>, Vec<&ListedRow>) =
            visible.partition(|archive| archive.contents_bytes > 0);
        let without = without.len() as u64;
        (!with.is_empty() && without > 0).then(|| {
            format!(
                "{} without contents: `coldchain index {}` makes them, and then their files can be listed",
                count(without, "archive"),
                self.name
            )
        })
    }

    fn store_in_words(&self) -> String {
        match &self.store {
            Some(store) => Line(store).to_string(),
            None => "snapshots alone".to_owned(),
        }
    }

    fn write_text(&self, text: &mut String, widths: &Widths, now: DateTime<Utc>) {
        let next_slot = self
            .next_slot
            .map(|date| format!("  next slot {date}"))
            .unwrap_or_default();
        let (name, store) = (self.name.as_str(), self.store_in_words());
        let columns = widths.row.columns;
        let line = format!(
            "{name:0$}  {store:1$}{next_slot}",
            widths.name, widths.store
        );
        let line = line.trim_end();
        if line.chars().count() <= columns {
            push_folded(text, line, 2, columns);
        } else {
            push_folded(text, &format!("{name}  {store}"), 2, columns);
            push_folded(text, &next_slot, 4, columns);
        }
        let mut further = |line: String| push_folded(text, &format!("  {line}"), 4, columns);
        if let Some(moved) = &self.moved {
            further(copies::moved_in_words(moved));
        }
        match (&self.store, self.chains.as_slice()) {
            (None, _) => further("`coldchain snapshots` shows them".to_owned()),
            (Some(_), []) => further("nothing archived yet".to_owned()),
            (Some(_), _) => {}
        }
        for chain in &self.chains {
            chain.write_text(text, widths, now, self);
        }
        if let Some(line) = self.unlisted_in_words() {
            push_folded(text, &format!("  {line}"), 4, columns);
        }
        copies::write_text(text, &self.copies, now, columns);
        mirrors::write_text(text, &self.mirrors, now, columns);
    }
}

impl ListedChain<'_> {
    /// Returns the archives to show: without retired ones, unless everything was requested.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &ListedRow> {
        self.archives.iter().filter(|archive| {
            self.shown == catalog::WhichArchives::Everything
                || archive.state != ArchiveState::Retired
        })
    }

    fn to_json(&self, source: &ListedSource<'_>) -> Value {
        let archives: Vec<Value> = self
            .shown()
            .map(|archive| {
                let mut shown = json!({
                    "id": archive.link.id, "date": archive.link.id.date, "kind": archive.link.id.kind,
                    "send_parent": archive.link.send_parent.map(|parent| parent.date),
                    "state": archive_state(archive), "raw_bytes": archive.raw_bytes,
                    "sealed_bytes": archive.sealed_bytes, "segments": archive.segments,
                    "contents_bytes": archive.contents_bytes,
                    "damaged": archive.link.is_damaged,
                });
                if let Some(files) = source.files.get(&archive.link.id) {
                    shown["files"] = json!(files);
                }
                if let Some(places) = source.places_of(archive) {
                    shown["places"] = json!(places);
                }
                shown
            })
            .collect();
        json!({
            "id": self.id.date, "state": self.state, "expires_on": self.expiry.date(),
            "verified_at": self.verified.at, "deep_verified_at": self.verified.deep,
            "not_in_inventory": self.inventory.archives, "held_back": self.inventory.holds_back,
            "deletion_begun": self.deletion_has_begun(), "archives": archives,
        })
    }

    /// Returns whether it can no longer be revived.
    pub(super) fn deletion_has_begun(&self) -> bool {
        self.shown().any(|archive| archive.deletion_has_begun)
    }

    fn write_text(
        &self,
        text: &mut String,
        widths: &Widths,
        now: DateTime<Utc>,
        source: &ListedSource<'_>,
    ) {
        let expiry = match self.expiry {
            _ if self.state == "unfinished" => ", the next backup continues it".to_owned(),
            _ if self.deletion_has_begun() => ", being deleted or gone".to_owned(),
            _ if self.state == "retired" => ", deleted after the grace period".to_owned(),
            Expiry::On(date) => format!(", expires {date}"),
            Expiry::Never => ", does not expire while it is the newest".to_owned(),
            Expiry::Unknown => String::new(),
        };
        let verified = match self.state {
            "complete" | "damaged" => format!(", {}", self.verified.in_words(now)),
            _ => String::new(),
        };
        let line = format!(
            "  chain of {}  {}{expiry}{verified}",
            self.id.date, self.state
        );
        push_folded(text, &line, 4, widths.row.columns);
        self.inventory.write_text(text, widths.row.columns);
        let mut archives = self.shown().peekable();
        let mut before = None;
        while let Some(archive) = archives.next() {
            let branch = if archives.peek().is_some() {
                "├─"
            } else {
                "└─"
            };
            // An incremental normally builds on the archive before it. Any other parent is shown.
            let parent = match archive.link.send_parent {
                Some(parent) if Some(parent) != before => format!("  on {}", parent.date),
                _ => String::new(),
            };
            before = Some(archive.link.id);
            let so_far = match (archive_state(archive), archive.segments) {
                ("unfinished", 1) => ", 1 segment so far".to_owned(),
                ("unfinished", segments) => format!(", {segments} segments so far"),
                _ => String::new(),
            };
            let damaged = if archive.link.is_damaged {
                ", damaged"
            } else {
                ""
            };
            let places = match source.places_of(archive) {
                None => String::new(),
                Some(places) if places.is_empty() => "  not copied".to_owned(),
                Some(places) => format!("  {}", Line(places.join(", "))),
            };
            let row = widths.row.line(archive, archive_state(archive));
            let line = format!("  {branch} {row}{damaged}{so_far}{parent}{places}");
            push_folded(text, &line, 5, widths.row.columns);
        }
    }
}
