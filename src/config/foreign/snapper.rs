//! A config of snapper: a subvolume, and how many snapshots of its timeline are kept.

use std::collections::BTreeMap;

use super::taken::{TakenOver, TakenSource};
use super::text::{ForeignFault, is_blank, lines_of, unquoted};
use crate::config::free_names::FreeNames;
use crate::plan::{KeepSnapshots, Terms};

/// More than there will ever be: everything.
const EVERYTHING: KeepSnapshots = KeepSnapshots::Newest(1_000_000);

/// The limits of the timeline, with coldchain's units and what snapper takes if one is not set.
const LIMITS: [(&str, char, u32); 6] = [
    ("TIMELINE_LIMIT_HOURLY", 'h', 10),
    ("TIMELINE_LIMIT_DAILY", 'd', 10),
    ("TIMELINE_LIMIT_WEEKLY", 'w', 0),
    ("TIMELINE_LIMIT_MONTHLY", 'm', 10),
    ("TIMELINE_LIMIT_QUARTERLY", 'q', 0),
    ("TIMELINE_LIMIT_YEARLY", 'y', 10),
];

/// What is taken over.
const USED: [&str; 5] = [
    "SUBVOLUME",
    "FSTYPE",
    "TIMELINE_CREATE",
    "TIMELINE_CLEANUP",
    "TIMELINE_MIN_AGE",
];

/// What is known, and has no counterpart worth a word.
const OF_SNAPPER: [&str; 11] = [
    "ALLOW_GROUPS",
    "ALLOW_USERS",
    "BACKGROUND_COMPARISON",
    "COMPRESSION",
    "EMPTY_PRE_POST_CLEANUP",
    "EMPTY_PRE_POST_MIN_AGE",
    "FREE_LIMIT",
    "QGROUP",
    "SPACE_LIMIT",
    "SYNC_ACL",
    "UNIQUE_NUMBERS",
];

/// The keys of a config, each with the line that sets it last.
type Settings = BTreeMap<String, (usize, String)>;

/// Reads configs of snapper, each with its name. A fault says in which one it is.
pub fn read_snapper(configs: &[(String, Vec<u8>)]) -> Result<TakenOver, (String, ForeignFault)> {
    let mut taken = TakenOver::default();
    let mut names = FreeNames::default();
    for (name, bytes) in configs {
        let in_this = |fault| (name.clone(), fault);
        let settings = settings(bytes).map_err(in_this)?;
        match subvolume(&settings).map_err(in_this)? {
            Err(why) => taken.left.push(format!("{name}: {why}")),
            Ok(subvolume) => {
                let source = source(name, &settings, subvolume, &mut names, &mut taken);
                taken.sources.push(source);
            }
        }
    }
    Ok(taken)
}

fn settings(bytes: &[u8]) -> Result<Settings, ForeignFault> {
    let mut settings = Settings::new();
    for (line, code) in lines_of(bytes)? {
        let Some((key, value)) = code.split_once('=') else {
            return Err(ForeignFault::new(line, "it is not KEY=\"VALUE\""));
        };
        let key = key.trim_matches(is_blank);
        let is_key = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if key.is_empty() || !key.bytes().all(is_key) {
            return Err(ForeignFault::new(line, "it is not KEY=\"VALUE\""));
        }
        let value = unquoted(value.trim_matches(is_blank));
        settings.insert(key.to_owned(), (line, value.to_owned()));
    }
    Ok(settings)
}

/// Returns the subvolume, or why the config is left out.
fn subvolume(settings: &Settings) -> Result<Result<String, String>, ForeignFault> {
    if let Some((_, kind)) = settings.get("FSTYPE").filter(|(_, kind)| kind != "btrfs") {
        return Ok(Err(format!("it is on {kind}, and coldchain needs btrfs")));
    }
    let Some((line, path)) = settings.get("SUBVOLUME") else {
        return Ok(Err("it names no SUBVOLUME".to_owned()));
    };
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        let what = "SUBVOLUME needs an absolute path without `..`";
        return Err(ForeignFault::new(*line, what));
    }
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    Ok(Ok(format!("/{}", parts.collect::<Vec<_>>().join("/"))))
}

fn source(
    name: &str,
    settings: &Settings,
    subvolume: String,
    names: &mut FreeNames,
    taken: &mut TakenOver,
) -> TakenSource {
    let wanted = names.name(name);
    let snapshots = names.snapshots(&wanted, None, &subvolume);
    let mut remarks = vec![format!("From the config {name}.")];
    if subvolume == "/" {
        remarks.push(
            "After `snapper rollback`, / is another subvolume, and these snapshots stay in the old one.".to_owned(),
        );
    }
    let is_yes = |key: &str| settings.get(key).is_some_and(|(_, value)| value == "yes");
    if !is_yes("TIMELINE_CREATE") {
        taken.left.push(format!(
            "{name}: TIMELINE_CREATE is not yes: snapper takes no hourly snapshots, and `coldchain backup` takes one a night"
        ));
    }
    leave_out(name, settings, taken);
    let (keep, keep_remarks) = if is_yes("TIMELINE_CLEANUP") {
        keep(name, settings, taken)
    } else {
        let remark = "snapper: TIMELINE_CLEANUP is not yes, so it deletes none of the timeline.";
        (EVERYTHING, vec![remark.to_owned()])
    };
    TakenSource {
        name: wanted,
        subvolume,
        snapshots,
        keep,
        remarks,
        keep_remarks,
        mirrors: Vec::new(),
    }
}

/// Says what is not taken over.
fn leave_out(name: &str, settings: &Settings, taken: &mut TakenOver) {
    for (key, (line, value)) in settings {
        if key.starts_with("NUMBER_") {
            if key == "NUMBER_LIMIT" {
                taken.left.push(format!(
                    "{name}: NUMBER_LIMIT {value}: it counts snapshots before and after an installation, which snapper goes \
                     on to take"
                ));
            }
            continue;
        }
        let is_limit = LIMITS.iter().any(|(limit, ..)| limit == key);
        if !is_limit && !USED.contains(&key.as_str()) && !OF_SNAPPER.contains(&key.as_str()) {
            taken.warnings.push(format!(
                "{name}: line {line}: {key} is not known; nothing is taken over from it"
            ));
        }
    }
}

/// Returns as many of each unit as snapper keeps, and the hours of its least age.
fn keep(name: &str, settings: &Settings, taken: &mut TakenOver) -> (KeepSnapshots, Vec<String>) {
    let mut said = Vec::new();
    let mut counts = LIMITS.map(|(key, _, default)| {
        let Some((line, value)) = settings.get(key) else {
            return default;
        };
        said.push(format!("{key} {value}"));
        largest(value).unwrap_or_else(|| {
            taken.warnings.push(format!(
                "{name}: line {line}: {key} is no number; snapper takes {default}, and so does this config"
            ));
            default
        })
    });
    let missing = if said.len() < LIMITS.len() {
        " What is not set is snapper's default."
    } else {
        ""
    };
    let mut remarks = vec![format!("snapper: {}.{missing}", said.join(", "))];
    // The hour that comes twice when summer time ends is one of snapper's, and two of coldchain's.
    if counts[0] > 0 {
        counts[0] = counts[0].saturating_add(1);
    }
    let least_age = settings.get("TIMELINE_MIN_AGE");
    if let Some(seconds) = least_age.and_then(|(_, value)| value.parse::<u64>().ok()) {
        let hours = u32::try_from(seconds.div_ceil(3600).saturating_add(2)).unwrap_or(u32::MAX);
        // By default it is an hour, which the newest snapshots cover.
        if seconds > 3600 && hours > counts[0] {
            counts[0] = hours;
            remarks.push(format!(
                "snapper: TIMELINE_MIN_AGE {seconds}, in seconds. Of several snapshots in one hour the last is kept."
            ));
        }
    }
    let terms = LIMITS.iter().zip(counts).filter(|(_, count)| *count > 0);
    let terms = terms.map(|((_, unit, _), count)| format!("{count}{unit} "));
    let keep = match Terms::parse(&terms.collect::<String>()) {
        Some(terms) => KeepSnapshots::Terms(terms),
        None => KeepSnapshots::Newest(1),
    };
    (keep, remarks)
}

/// Reads a limit, or the larger end of a range such as `2-10`.
fn largest(value: &str) -> Option<u32> {
    let number = |text: &str| {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse().unwrap_or(u32::MAX))
    };
    match value.split_once('-') {
        None => number(value),
        Some((least, most)) => Some(number(least)?.max(number(most)?)),
    }
}
