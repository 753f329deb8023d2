//! `history` and `yesterday` beside an answer that was found in the plainest way: read everything, compare everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use coldchain::config::Config;
use coldchain::engine;
use coldchain::plan::LookBack;

use super::places::{Places, days_ago};
use crate::common::from_env;
use crate::common::rng::Rng;

/// All that counts of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    kind: &'static str,
    content: Vec<u8>,
    attributes: (u32, u32, u32),
}

/// Every path of a tree, the root as the empty one.
fn all_of(root: &Path) -> BTreeMap<PathBuf, Fact> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let path = root.join(&below);
        let stat = fs::symlink_metadata(&path).unwrap();
        let (kind, content) = if stat.is_dir() {
            for entry in fs::read_dir(&path).unwrap() {
                waiting.push(below.join(entry.unwrap().file_name()));
            }
            ("directory", Vec::new())
        } else if stat.is_symlink() {
            (
                "link",
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
            )
        } else {
            ("file", fs::read(&path).unwrap())
        };
        let attributes = (stat.mode() & 0o7777, stat.uid(), stat.gid());
        let fact = Fact {
            kind,
            content,
            attributes,
        };
        found.insert(below, fact);
    }
    found
}

/// The names right below a directory, with what each is.
fn names(tree: &BTreeMap<PathBuf, Fact>, directory: &Path) -> BTreeMap<OsString, &'static str> {
    let inside = tree
        .iter()
        .filter(|(path, _)| path.parent() == Some(directory));
    inside
        .map(|(path, fact)| (path.file_name().unwrap().to_owned(), fact.kind))
        .collect()
}

/// What happened to a path: when, what, and to which name in it.
fn expected(trees: &[(String, BTreeMap<PathBuf, Fact>)], path: &Path) -> Vec<[String; 3]> {
    let mut events = Vec::new();
    for (at, (when, tree)) in trees.iter().enumerate() {
        let mut add = |what: &str, name: &OsStr| {
            let name = name.to_string_lossy().into_owned();
            events.push([when.clone(), what.to_owned(), name]);
        };
        let none = OsStr::new("");
        let before = at.checked_sub(1).map(|before| &trees[before].1);
        match (before.and_then(|tree| tree.get(path)), tree.get(path)) {
            (None, None) => {}
            (None, Some(_)) => add(if at == 0 { "exists" } else { "created" }, none),
            (Some(_), None) => add("deleted", none),
            (Some(one), Some(other)) if one.kind != other.kind => add("type changed", none),
            (Some(one), Some(other)) => {
                if one.content != other.content {
                    add("changed", none);
                } else if one.attributes != other.attributes {
                    add("attributes changed", none);
                }
                if one.kind == "directory" {
                    let (old, new) = (names(before.unwrap(), path), names(tree, path));
                    let all: BTreeSet<&OsString> = old.keys().chain(new.keys()).collect();
                    for name in all {
                        match (old.get(name), new.get(name)) {
                            (None, _) => add("created", name),
                            (_, None) => add("deleted", name),
                            (Some(one), Some(other)) if one != other => add("type changed", name),
                            _ => {}
                        }
                    }
                }
            }
        }
    }
    events
}

fn shown(places: &Places, path: &Path) -> Vec<[String; 3]> {
    let mut typed = OsString::from("home:");
    typed.push(path);
    let answer = places.json(&[Path::new("history"), Path::new(&typed)]);
    let events = answer["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            ["snapshot", "what", "name"].map(|key| {
                let otherwise = if key == "snapshot" { "now" } else { "" };
                event[key].as_str().unwrap_or(otherwise).to_owned()
            })
        })
        .collect()
}

/// Does something to a small tree, so that paths come, go and come back as something else.
fn change(root: &Path, rng: &mut Rng) {
    for _ in 0..rng.length(0, 6) {
        let directory = root.join(rng.pick(&["", "a", "b", "a/c"]));
        let _ = fs::create_dir_all(&directory);
        let path = directory.join(rng.pick(&["f", "g", "a", "c"]));
        match rng.below(9) {
            0..=2 => {
                let content = rng.text(rng.clone().length(0, 12));
                let _ = fs::write(&path, content);
            }
            3 => {
                let _ = fs::remove_dir_all(&path);
                let _ = fs::remove_file(&path);
            }
            4 => {
                let _ = fs::remove_file(&path);
                let _ = symlink(rng.pick(&["f", "nowhere"]), &path);
            }
            5 => {
                let mode = *rng.pick(&[0o644, 0o700, 0o755]);
                if path.exists() && !path.is_symlink() {
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            6 => {
                // The same content in another inode, at another time.
                if let Ok(content) = fs::read(&path)
                    && !path.is_symlink()
                {
                    let mode = path.metadata().unwrap().permissions();
                    fs::remove_file(&path).unwrap();
                    fs::write(&path, content).unwrap();
                    fs::set_permissions(&path, mode).unwrap();
                }
            }
            7 => {
                let _ = fs::rename(&path, directory.join("g"));
            }
            _ => {
                let _ = fs::remove_file(&path);
                let _ = fs::create_dir(&path);
            }
        }
    }
}

#[test]
fn histories_are_those_of_an_oracle() {
    let mut rng = Rng::new(from_env("COLDCHAIN_SEED", 20_261_129));
    let places = Places::new();
    let mut trees = Vec::new();
    let nights = 14;
    for number in (0..nights).rev() {
        change(&places.live(), &mut rng);
        let date = days_ago(number + 1).to_string();
        places.night(&date);
        trees.push((date, all_of(&places.live())));
    }
    // Some are left at the mirror alone, some here alone.
    for (date, _) in &trees {
        match rng.below(3) {
            0 => places.drop(date),
            1 if *date != days_ago(1).to_string() => {
                crate::common::loopfs::btrfs(["subvolume", "delete"], &[&places.copy(date)]);
            }
            _ => {}
        }
    }
    change(&places.live(), &mut rng);
    trees.push(("now".to_owned(), all_of(&places.live())));
    let paths: BTreeSet<&PathBuf> = trees.iter().flat_map(|(_, tree)| tree.keys()).collect();
    assert!(paths.len() > 8, "{paths:?}");
    let mut seen = BTreeSet::new();
    for path in paths {
        let expected = expected(&trees, path);
        seen.extend(expected.iter().map(|[_, what, _]| what.clone()));
        assert_eq!(shown(&places, path), expected, "{}", path.display());
    }
    assert!(seen.len() >= 5, "{seen:?}");
}

/// The days of a month in a year.
fn length(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, counted one year and one month at a time.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| 337 + length(year, 2)).sum();
    let months: i64 = (1..month).map(|month| length(year, month)).sum();
    years + months + day - 1
}

/// The offset of Berlin from UTC in minutes at a local time of 2026, counted in minutes since 1970. Of a time that comes
/// twice it is the later; a time in the gap is moved behind it.
fn berlin(local: i64) -> (i64, i64) {
    let begin = day_number(2026, 3, 29) * 1440 + 120;
    let end = day_number(2026, 10, 25) * 1440 + 120;
    if (begin..begin + 60).contains(&local) {
        (begin + 60, 120)
    } else if (begin + 60..end).contains(&local) {
        (local, 120)
    } else {
        (local, 60)
    }
}

/// Names of snapshots, oldest first, each with its minutes since 1970 in UTC.
fn names_of_2026() -> Vec<(String, i64)> {
    // Month ends, both changes of the clock, and the hour that comes twice.
    let mut names: Vec<(String, i64)> = Vec::new();
    for (month, day) in [
        (1, 31),
        (2, 27),
        (2, 28),
        (3, 1),
        (3, 28),
        (3, 29),
        (3, 30),
        (3, 31),
        (4, 30),
        (8, 31),
        (9, 30),
        (10, 24),
        (10, 25),
        (10, 26),
    ] {
        for hour in [0, 1, 2, 3, 12] {
            let local = day_number(2026, month, day) * 1440 + hour * 60;
            if (month, day, hour) == (3, 29, 2) {
                continue;
            }
            let stem = format!("2026-{month:02}-{day:02}T{hour:02}00");
            if (month, day, hour) == (10, 25, 2) {
                names.push((stem.clone(), local - 120));
                names.push((format!("{stem}+0100"), local - 60));
            } else {
                names.push((stem, local - berlin(local).1));
            }
        }
    }
    names.sort_by_key(|(_, at)| *at);
    names
}

/// The moment so many months, days and hours before a local time of 2026, in minutes since 1970 in UTC.
fn moment_before([month, day, minute]: [i64; 3], [months, days, hours]: [i64; 3]) -> i64 {
    let (now_local, offset) = berlin(day_number(2026, month, day) * 1440 + minute);
    if months == 0 && days == 0 {
        return now_local - offset - hours * 60;
    }
    let month = month - months;
    let (year, month) = if month < 1 {
        (2025, month + 12)
    } else {
        (2026, month)
    };
    let day = day.min(length(year, month));
    let local = (day_number(year, month, day) - days) * 1440 + now_local.rem_euclid(1440);
    let (local, offset) = berlin(local);
    local - offset - hours * 60
}

#[test]
fn versions_of_some_time_ago_are_those_of_an_oracle() {
    let mut rng = Rng::new(from_env("COLDCHAIN_SEED", 20_261_129));
    let places = Places::new();
    places.config("");
    let text = fs::read_to_string(places.machine.path("config.toml")).unwrap();
    let text = text.replace("timezone = \"UTC\"", "timezone = \"Europe/Berlin\"");
    fs::write(places.machine.path("config.toml"), &text).unwrap();
    let names = names_of_2026();
    // The file is there in some of them alone.
    let mut has = BTreeSet::new();
    for (name, _) in &names {
        let file = places.live().join("f");
        if rng.below(4) > 0 {
            fs::write(&file, name).unwrap();
            has.insert(name.clone());
        } else {
            let _ = fs::remove_file(&file);
        }
        places.take(name);
    }
    let config = Config::parse(&text, Path::new("config.toml")).unwrap();
    let file = engine::locate(&config, Path::new("home:f")).unwrap();
    let copies = engine::plain_copies(&config, file.source, None).unwrap();
    assert_eq!(copies.copies.len(), names.len());
    let (mut found, mut missing) = (0, 0);
    for _ in 0..400 {
        let (month, day) = *rng.pick(&[
            (2_i64, 28_i64),
            (3, 29),
            (3, 30),
            (3, 31),
            (4, 30),
            (5, 31),
            (10, 25),
            (10, 26),
            (11, 24),
            (11, 25),
            (12, 31),
        ]);
        let minute = i64::try_from(rng.below(1440)).unwrap();
        let [months, days, hours] = [3, 3, 30].map(|most| i64::try_from(rng.below(most)).unwrap());
        let (now_local, offset) = berlin(day_number(2026, month, day) * 1440 + minute);
        let now = now_local - offset;
        let at = moment_before([month, day, minute], [months, days, hours]);
        let expected = names
            .iter()
            .rev()
            .find(|(name, moment)| *moment <= at && has.contains(name));
        let back = LookBack {
            years: 0,
            months: u32::try_from(months).unwrap(),
            days: u32::try_from(days).unwrap(),
            hours: u32::try_from(hours).unwrap(),
        };
        let now: DateTime<Utc> = DateTime::from_timestamp(now * 60, 0).unwrap();
        let moment = back.before(now, config.timezone).unwrap();
        let newest = engine::newest_at(&config, &file, &copies, moment);
        let newest = newest.ok().map(|copy| copy.name.to_string());
        assert_eq!(
            newest.as_ref(),
            expected.map(|(name, _)| name),
            "{now} {back:?}"
        );
        match newest {
            Some(_) => found += 1,
            None => missing += 1,
        }
    }
    assert!(found > 200 && missing > 0, "{found} {missing}");
}
