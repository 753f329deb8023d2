//! The mirrors in the list: what the catalog knows of them. Nothing here looks at a mirror.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::commands::fold::push_folded;
use crate::commands::output::{copies, count};
use crate::config::{Config, MirrorOf};
use crate::engine::{KnownMirror, RunContext, known_mirror};
use crate::error::Error;

/// Returns the mirrors that get another mirror's copies: no source has them.
pub(super) fn of_mirrors(
    config: &Config,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Vec<KnownMirror>, Error> {
    let of_mirrors = config
        .mirrors
        .iter()
        .filter(|mirror| matches!(mirror.of, MirrorOf::Directory(_)));
    of_mirrors
        .map(|mirror| known_mirror(config, mirror, catalog, context))
        .collect()
}

/// Writes a line for each mirror of a source.
pub(super) fn write_text(
    text: &mut String,
    mirrors: &[KnownMirror],
    now: DateTime<Utc>,
    columns: usize,
) {
    for mirror in mirrors {
        let line = format!("  mirror {}  {}", mirror.to, in_words(mirror, now));
        push_folded(text, &line, 4, columns);
    }
}

/// Writes the mirrors that get another mirror's copies.
pub(super) fn write_further(
    text: &mut String,
    mirrors: &[KnownMirror],
    now: DateTime<Utc>,
    columns: usize,
) {
    for mirror in mirrors {
        if !text.is_empty() {
            text.push('\n');
        }
        if let MirrorOf::Directory(from) = &mirror.of {
            let line = format!("{}  copies in {}", mirror.name, from.display());
            push_folded(text, &line, 2, columns);
        }
        write_text(text, std::slice::from_ref(mirror), now, columns);
    }
}

/// Returns what the last run knew of a mirror.
pub(in crate::commands) fn in_words(mirror: &KnownMirror, now: DateTime<Utc>) -> String {
    let Some(newest) = mirror.newest() else {
        let waits = match mirror.behind() {
            None | Some(0) => String::new(),
            Some(dates) => format!(", {} to send", count(dates as u64, "date")),
        };
        return format!("nothing was sent yet{waits}");
    };
    let behind = match mirror.behind() {
        None => String::new(),
        Some(0) => ", up to date".to_owned(),
        Some(dates) => format!(", {} behind", count(dates as u64, "date")),
    };
    let reached = match mirror.reached_at {
        None => "never complete".to_owned(),
        Some(at) => match (now - at.0).num_days() {
            ..=0 => "complete today".to_owned(),
            days => format!("complete {} ago", count(days.unsigned_abs(), "day")),
        },
    };
    format!(
        "as of the last run {}, the newest {}{behind}, {reached}",
        copies(mirror.copies.len() as u64),
        newest.name
    )
}

/// Returns what other programs learn of a mirror.
pub(in crate::commands) fn to_json(mirror: &KnownMirror) -> Value {
    let from = match &mirror.of {
        MirrorOf::Source => None,
        MirrorOf::Directory(from) => Some(from.to_string_lossy()),
    };
    json!({
        "source": mirror.name, "to": mirror.to, "from": from,
        "copies": mirror.copies.iter().map(|copy| copy.name).collect::<Vec<_>>(),
        "newest": mirror.newest().map(|copy| copy.name), "behind": mirror.behind(),
        "waiting": mirror.waiting, "reached_at": mirror.reached_at, "sending": mirror.sending,
        "held": mirror.held.map(|held| held.name), "held_until": mirror.held.map(|held| held.until),
    })
}
