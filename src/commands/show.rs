//! `coldchain show`: print all that the catalog knows of one archive.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use super::age::ago;
use super::file_counts::file_counts;
use super::list::copies::places_of;
use super::output::{answer, answer_json, count, sealed_percent};
use super::target::{WantedArchive, chosen};
use super::{load_to_read, require_catalog};
use crate::catalog::{ArchiveRow, Catalog, SegmentRow, SourceRow, VerificationRow};
use crate::cli::{Everywhere, Show};
use crate::config::{Config, StoreConfig};
use crate::engine::{
    Clock, ReadablePlace, StateDir, SystemClock, is_place, known_copies, store_url,
};
use crate::error::{Error, RequestError, RestoreError};
use crate::model::size::Bytes;
use crate::model::{ContentsRecord, Line, Protocol, Quoted, VerifyOutcome, keys};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Show, everywhere: &Everywhere) -> Result<(), Error> {
    match &args.imported {
        Some(name) => super::imported::show::run(args, name, everywhere),
        None => of_source(args, everywhere),
    }
}

/// Shows an archive of a source.
fn of_source(args: &Show, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let target = chosen(args.target.typed(), &config)?;
    let sources = target.sources_with_store()?;
    require_catalog(&config, &sources)?;
    let wanted = target.archive()?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let mut found: Vec<(SourceRow, ArchiveRow)> = Vec::new();
    let mut places = BTreeMap::new();
    for source in sources {
        let Some(row) = catalog.source(&source.name)? else {
            continue;
        };
        let place = match &args.place.place {
            Some(name) => match ReadablePlace::named(&config, source, name, &catalog) {
                // Another source may have one.
                Err(Error::Restore(RestoreError::NoCopyAt { .. })) if target.source.is_none() => {
                    continue;
                }
                place => place?,
            },
            None => None,
        };
        let row = match &place {
            Some(place) => place.row_of(row),
            None => row,
        };
        let place = place.map(|place| place.row.id);
        places.insert(row.name.clone(), place);
        catalog.turn_to(place);
        let mut archives = catalog.archives(&row.ledger)?;
        let newest = archives.iter().filter(|archive| archive.is_visible());
        let newest = newest.map(|archive| archive.id).max();
        archives.retain(|archive| match wanted {
            WantedArchive::Newest => Some(archive.id) == newest,
            WantedArchive::Of(date) => archive.date == date,
            WantedArchive::Archive(id) => archive.id == id,
        });
        found.extend(archives.into_iter().map(|archive| (row.clone(), archive)));
    }
    // A date means its visible archive. If there is none, show the last of its retired archives or attempts.
    if found.iter().any(|(_, archive)| archive.is_visible()) {
        found.retain(|(_, archive)| archive.is_visible());
    } else if !matches!(wanted, WantedArchive::Archive(_)) {
        found.dedup_by(|later, kept| {
            let is_one_source = later.0.name == kept.0.name;
            if is_one_source {
                std::mem::swap(later, kept);
            }
            is_one_source
        });
    }
    let several: Vec<String> = found
        .iter()
        .map(|(source, _)| source.name.to_string())
        .collect();
    match found.len() {
        0 => Err(match (wanted, target.source) {
            (WantedArchive::Of(date), _) => {
                Error::Request(RequestError::NoSuchArchive(date.to_string()))
            }
            (WantedArchive::Archive(id), _) => {
                Error::Request(RequestError::NoSuchArchive(id.to_string()))
            }
            (WantedArchive::Newest, Some(source)) => {
                Error::Request(RequestError::NeverArchived(source.name.clone()))
            }
            (WantedArchive::Newest, None) => Error::Request(RequestError::NothingArchived),
        }),
        1 => {
            let (source, archive) = found.remove(0);
            catalog.turn_to(places.get(&source.name).copied().flatten());
            print_one(&source, &archive, &config, &catalog, everywhere)
        }
        _ => Err(RequestError::Ambiguous {
            which: wanted.to_string(),
            sources: several.join(", "),
        }
        .into()),
    }
}

/// Prints the one archive that was found.
fn print_one(
    source: &SourceRow,
    archive: &ArchiveRow,
    config: &Config,
    catalog: &Catalog,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let segments = catalog.segments(&archive.id)?;
    let contents = catalog.contents(&archive.id)?.map(|record| ShownContents {
        record,
        files: config
            .source(source.name.as_str())
            .ok()
            .and_then(|source| file_counts(config, source, catalog).remove(&archive.id)),
    });
    let mut checks = catalog.verifications(&source.ledger)?;
    checks.retain(|check| check.archive == archive.id);
    let copies = known_copies(config, config.source(source.name.as_str())?, catalog)?;
    let mut is_copy = copies
        .iter()
        .map(|copy| is_place(&copy.store, &source.store));
    let is_home = !is_copy.any(|is_copy| is_copy);
    let places = (!copies.is_empty() && archive.is_visible())
        .then(|| places_of(&archive.id, is_home, &copies));
    let awaits_inventory = awaits_inventory(config, source, archive);
    if everywhere.json {
        let mut shown = to_json(source, archive, (&segments, contents.as_ref()), &checks);
        shown["awaits_inventory"] = json!(awaits_inventory);
        if let Some(places) = places {
            shown["places"] = json!(places);
        }
        answer_json(&shown)
    } else {
        let mut text = to_text(source, archive, (&segments, contents.as_ref()), &checks);
        if awaits_inventory {
            let waits = "the vault's inventory does not show it yet";
            writeln!(text, "{:14}{waits}", "waits").expect(NO_FAILURE);
        }
        if let Some(places) = places {
            let places = Line(places.join(", "));
            writeln!(text, "{:14}{places}", "lies in").expect(NO_FAILURE);
        }
        answer(&text)
    }
}

/// The contents of an archive, and how many files it has if the file index knows it.
struct ShownContents {
    record: ContentsRecord,
    files: Option<u64>,
}

/// Returns whether it lies in a vault, and no inventory has shown it yet.
fn awaits_inventory(config: &Config, source: &SourceRow, archive: &ArchiveRow) -> bool {
    let vaults = config.stores.values();
    let mut vaults = vaults.filter(|store| matches!(store, StoreConfig::Vault { .. }));
    let is_in_vault = vaults.any(|vault| is_place(&store_url(vault), &source.store));
    is_in_vault
        && archive.is_visible()
        && archive.verified_at.is_none()
        && archive.damaged_at.is_none()
}

fn to_json(
    source: &SourceRow,
    archive: &ArchiveRow,
    (segments, contents): (&[SegmentRow], Option<&ShownContents>),
    checks: &[VerificationRow],
) -> serde_json::Value {
    let contents = contents.map(
        |ShownContents {
             record: contents,
             files,
         }| {
            let objects: Vec<_> = (0..)
            .zip(&contents.objects)
            .map(|(index, object)| {
                json!({
                    "key": keys::contents(&source.directory, &archive.id, index, &object.sha256),
                    "raw_bytes": object.raw_bytes, "sealed_bytes": object.sealed_bytes,
                    "sha256": object.sha256,
                })
            })
            .collect();
            json!({
                "stream_bytes": contents.stream_bytes, "sealed_bytes": contents.sealed_bytes(),
                "objects": objects, "files": files,
            })
        },
    );
    let checks: Vec<_> = checks
        .iter()
        .map(|check| {
            json!({
                "level": check.level.as_str(), "outcome": check.outcome.as_str(), "at": check.at,
            })
        })
        .collect();
    let objects = SegmentRow::objects(&source.directory, &archive.id, segments);
    let segments: Vec<_> = segments
        .iter()
        .zip(objects)
        .map(|(segment, object)| {
            json!({
                "key": object.key,
                "raw_bytes": segment.record.raw_bytes, "sealed_bytes": segment.record.sealed_bytes,
                "sha256": segment.record.sha256,
            })
        })
        .collect();
    json!({
        "source": source.name, "store": source.store, "ledger": source.ledger, "seq": archive.seq,
        "id": archive.id, "date": archive.date, "slot": archive.slot, "kind": archive.kind,
        "chain": archive.chain, "send_parent": archive.send_parent, "state": archive.state, "deletion": archive.deletion,
        "stream_uuid": archive.stream_uuid, "protocol": archive.protocol,
        "compressed_data": archive.compressed_data, "kernel": archive.kernel,
        "btrfs_progs": archive.btrfs_progs, "raw_bytes": archive.raw_bytes,
        "sealed_bytes": archive.sealed_bytes, "begun_at": archive.begun_at,
        "verified_at": archive.verified_at, "damaged_at": archive.damaged_at, "checks": checks,
        "segments": segments, "contents": contents,
    })
}

fn to_text(
    source: &SourceRow,
    archive: &ArchiveRow,
    (segments, contents): (&[SegmentRow], Option<&ShownContents>),
    checks: &[VerificationRow],
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:14}{}", Line(value)).expect(NO_FAILURE);
    };
    line("archive", archive.id.to_string());
    line("source", source.name.to_string());
    line(
        "date",
        format!("{} (slot of {})", archive.date, archive.slot),
    );
    line("kind", archive.kind.to_string());
    match archive.send_parent {
        Some(parent) => {
            line("send parent", parent.to_string());
            line("chain", archive.chain.to_string());
        }
        None => line("chain", "its own".to_owned()),
    }
    let entry = archive
        .seq
        .map(|seq| format!(", ledger entry {seq}"))
        .unwrap_or_default();
    let deletion = archive
        .deletion
        .map(|seq| format!("; deletion begun by ledger entry {seq}"))
        .unwrap_or_default();
    line("state", format!("{}{entry}{deletion}", archive.state));
    line(
        "size",
        format!(
            "{} raw, {} sealed{}, {}",
            Bytes(archive.raw_bytes),
            Bytes(archive.sealed_bytes),
            sealed_percent(archive.sealed_bytes, archive.raw_bytes)
                .map(|percent| format!(" ({percent})"))
                .unwrap_or_default(),
            count(segments.len() as u64, "segment"),
        ),
    );
    match contents {
        Some(ShownContents { record, files }) => {
            let objects = count(record.objects.len() as u64, "object");
            let sealed = Bytes(record.sealed_bytes());
            let files = match files {
                Some(files) => count(*files, "file"),
                None => "files can be listed".to_owned(),
            };
            line("contents", format!("{sealed} sealed, {objects}; {files}"));
        }
        None if archive.is_visible() => {
            let none = "none: `coldchain index` makes them, and then files can be listed";
            line("contents", none.to_owned());
        }
        None => {}
    }
    if let (Some(uuid), Some(protocol)) = (archive.stream_uuid, archive.protocol) {
        let compressed = match archive.form() {
            Some(Protocol::CompressedData) => ", with compressed data: bytes of it may be wrong",
            _ => "",
        };
        line("stream", format!("{uuid}, version {protocol}{compressed}"));
    }
    if let (Some(kernel), Some(progs)) = (&archive.kernel, &archive.btrfs_progs) {
        line(
            "sent by",
            format!("Linux {}, btrfs-progs {}", Quoted(kernel), Quoted(progs)),
        );
    }
    line("begun", archive.begun_at.to_string());
    if checks.is_empty() {
        line("verified", "not yet".to_owned());
    }
    let now = SystemClock.now();
    for check in checks {
        let (level, at) = (check.level, check.at);
        let words = format!("{} ({level}, {at})", ago(at, now));
        match check.outcome {
            VerifyOutcome::Sound => line("verified", words),
            VerifyOutcome::Partial => line("verified", format!("{words}, not all of it")),
            VerifyOutcome::Damaged => line("damaged", format!("found {words}")),
        }
    }
    line(
        "stored in",
        format!(
            "{}/{}",
            source.store,
            keys::archive_prefix(&source.directory, &archive.id)
        ),
    );
    text
}
