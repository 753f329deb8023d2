//! Compares the catalog with the ledger, and the ledger with the objects in the store. Changes nothing: it
//! reads the ledger into a catalog in memory, and compares the two row by row.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, ReplicatedRow};
use crate::engine::context::RunContext;
use crate::engine::context::inventory::renew_inventory;
use crate::engine::context::kit_file::heads_of;
use crate::engine::context::known_segments::know_segments;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::trust::Trusted;
use crate::engine::rebuild::{
    Earlier, ImportedLedger, LedgerPlace, ReadFrom, Survey, read_ledger, survey_of,
};
use crate::error::{Error, LedgerStateError, RebuildError, in_words};
use crate::ledger::PublicKey;

/// The result of comparing catalog, ledger and store of a source.
#[derive(Debug, Default)]
pub struct CheckedCatalog {
    /// How many entries the catalog has.
    pub entries: u64,
    /// How many archives are visible.
    pub archives: u64,
    /// Their differences.
    pub differences: Vec<Difference>,
    /// Further remarks for the user.
    pub remarks: Vec<String>,
}

/// A difference between catalog, ledger and store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its kind in JSON.
    pub kind: &'static str,
    /// The difference, in words.
    pub what: String,
}

/// Compares the catalog's copy of a ledger, up to its newest entry, with the store. Reads newer entries too,
/// as the next run will.
pub fn check(
    source: &OpenSource<'_>,
    trusted: &Trusted,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<CheckedCatalog, Error> {
    let ledger = &source.row.ledger;
    let mut checked = CheckedCatalog::default();
    know_segments(source, catalog)?;
    match renew_inventory(source, catalog) {
        Ok(inventory) => checked.remarks.extend(inventory.in_words()),
        Err(Error::Store(error)) => checked.remarks.push(format!(
            "could not ask for a newer inventory of the vault: {}",
            in_words(&error)
        )),
        Err(error) => return Err(error),
    }
    let head = catalog.head(ledger)?.map_or(0, |(seq, _)| seq);
    let earlier = Earlier::of(catalog, ledger)?;
    let mut survey = survey_of(source.store.as_ref(), &source.row.directory)?;
    survey.require_all_entries(source.store.as_ref(), &source.row.directory, &earlier)?;
    hold_against_kit(trusted, source, &survey, catalog, &mut checked)?;
    if head == 0 && survey.entries.is_empty() {
        return Ok(checked);
    }
    let read = read_by_any(source, &trusted.roots, &survey, &earlier, context);
    let (read, mut anew) = match read {
        Ok(read) => read,
        Err(
            error @ (Error::LedgerState(LedgerStateError::EntryRefused { .. })
            | Error::Rebuild(RebuildError::LedgerUntrusted { .. })),
        ) => {
            checked.differ("refused", in_words(&error));
            return Ok(checked);
        }
        Err(error) => return Err(error),
    };
    let seen = anew.head(ledger)?.map_or(0, |(seq, _)| seq);
    let mut missing = seen + 1..=head;
    // Entries that exist but can't be read are reported as flaws below.
    if let Some(first) = missing.find(|seq| survey.entries.binary_search(seq).is_err()) {
        checked.differ(
            "behind",
            format!("the ledger has gone back: entry {first} of {head} is missing"),
        );
    }
    for flaw in &read.flaws {
        if flaw.is_damage() {
            checked.differ(flaw.kind(), flaw.in_words());
        } else {
            checked.remarks.push(flaw.in_words());
        }
    }
    for (seq, entry) in &earlier.entries {
        if anew
            .entry_hash(ledger, *seq)?
            .is_some_and(|hash| hash != entry.hash)
        {
            checked.differ(
                "forked",
                format!("the ledger has forked: entry {seq} is not the one that was committed"),
            );
            break;
        }
    }
    let entries = anew.entries(ledger)?.into_iter();
    let newer = entries.filter(|entry| entry.seq > head).count();
    if newer > 0 {
        checked.remarks.push(format!(
            "the ledger has {newer} newer {}, which the next run reads",
            if newer == 1 { "entry" } else { "entries" }
        ));
    }
    if head == 0 {
        return Ok(checked);
    }
    checked.archives = read.archives;
    if survey.entries.last().is_some_and(|last| *last > head) {
        // Compare with the ledger as it was at the catalog's newest entry.
        survey.entries.retain(|seq| *seq <= head);
        let (read, until) = read_by_any(source, &trusted.roots, &survey, &earlier, context)?;
        (checked.archives, anew) = (read.archives, until);
    }
    let mut own = catalog.replicated(ledger)?;
    // The next run judges again what was quarantined after the newest entry.
    own.retain(|row| row.table != "quarantine" || row.key.parse().is_ok_and(|seq: u64| seq < head));
    checked.entries = own.iter().filter(|row| row.table == "entry").count() as u64;
    compare(&own, &anew.replicated(ledger)?, &mut checked);
    Ok(checked)
}

/// Notes what the kit knows of the ledger and the store or the catalog does not show.
fn hold_against_kit(
    trusted: &Trusted,
    source: &OpenSource<'_>,
    survey: &Survey,
    catalog: &Catalog,
    checked: &mut CheckedCatalog,
) -> Result<(), Error> {
    let ledger = &source.row.ledger;
    let newest = survey.entries.last().copied().unwrap_or(0);
    for head in heads_of(&trusted.sources, ledger) {
        let hash = catalog.entry_hash(ledger, head.seq)?;
        if head.seq > newest {
            checked.differ(
                "kit",
                format!(
                    "the recovery kit knows entry {}, and the ledger in the store ends with entry {newest}",
                    head.seq
                ),
            );
        } else if hash.is_some_and(|hash| hash != head.hash) {
            let what = format!(
                "entry {} is not the one that the recovery kit knows",
                head.seq
            );
            checked.differ("kit", what);
        }
    }
    Ok(())
}

impl CheckedCatalog {
    fn differ(&mut self, kind: &'static str, what: String) {
        self.differences.push(Difference { kind, what });
    }
}

/// Reads the ledger with the one of these root keys that has opened it.
fn read_by_any(
    source: &OpenSource<'_>,
    roots: &[PublicKey],
    survey: &Survey,
    earlier: &Earlier,
    context: RunContext<'_>,
) -> Result<(ImportedLedger, Catalog), Error> {
    let mut refused = Error::Rebuild(RebuildError::NobodyTrusted);
    for root in roots {
        let mut anew = Catalog::in_memory()?;
        anew.accept_lost_links()?;
        anew.add_source(&source.row)?;
        let place = LedgerPlace {
            source,
            root,
            survey,
            earlier,
            identities: None,
            until: None,
            reads: ReadFrom::Home,
        };
        match read_ledger(&place, &mut anew, context) {
            Ok(read) => return Ok((read, anew)),
            Err(
                error @ (Error::LedgerState(LedgerStateError::EntryRefused { .. })
                | Error::Rebuild(RebuildError::LedgerUntrusted { .. })),
            ) => {
                refused = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

/// Notes every row that only one of the two has, and every column that differs. If only one has an archive,
/// its segments are not noted too.
fn compare(own: &[ReplicatedRow], ledger: &[ReplicatedRow], checked: &mut CheckedCatalog) {
    type Key<'r> = (&'r str, &'r str);
    fn by_key(rows: &[ReplicatedRow]) -> BTreeMap<Key<'_>, &ReplicatedRow> {
        rows.iter()
            .map(|row| ((row.table, row.key.as_str()), row))
            .collect()
    }
    let (own, ledger) = (by_key(own), by_key(ledger));
    let keys: BTreeSet<&Key<'_>> = own.keys().chain(ledger.keys()).collect();
    let whole = |(table, key): &Key<'_>| {
        let Some((archive, _)) = key.split_once(' ').filter(|_| *table == "segment") else {
            return true;
        };
        own.contains_key(&("archive", archive)) && ledger.contains_key(&("archive", archive))
    };
    for key in keys.into_iter().filter(|key| whole(key)) {
        let name = name(key.0, key.1);
        match (own.get(key), ledger.get(key)) {
            (Some(_), None) => checked.differ(
                "catalog",
                format!("{name} is in the catalog, but not in the ledger"),
            ),
            (None, Some(_)) => checked.differ(
                "catalog",
                format!("{name} is in the ledger, but not in the catalog"),
            ),
            (Some(own), Some(ledger)) if own != ledger => {
                for ((column, own), (_, ledger)) in own.columns.iter().zip(&ledger.columns) {
                    // The object of an entry is too long to show. Its hash is compared too.
                    if own != ledger && column == "object" {
                        checked.differ("catalog", format!("{name}: its bytes differ"));
                    } else if own != ledger {
                        checked.differ(
                            "catalog",
                            format!("{name}: `{column}` is {own} in the catalog, and {ledger} by the ledger"),
                        );
                    }
                }
            }
            _ => {}
        }
    }
}

fn name(table: &str, key: &str) -> String {
    match (table, key.split_once(' ')) {
        ("segment", Some((archive, index))) => format!("segment {index} of {archive}"),
        ("quarantine", _) => format!("the note that entry {key} is passed over"),
        ("source", _) => format!("the ledger {key}"),
        _ => format!("{table} {key}"),
    }
}
