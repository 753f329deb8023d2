//! Expands a path with `*` as btrbk does: to the writable subvolumes that it matches.

use std::fs;
use std::path::{Path, PathBuf};

use crate::btrfs;
use crate::printing::warn;

/// How many names are looked at: a `*` for each level of a large filesystem would never end.
const MOST_NAMES: usize = 200_000;

/// Returns the writable subvolumes that match, sorted, and warns if it did not look at all names. A `*` stands for any text without a slash. What can't be read
/// or is not UTF-8 matches nothing.
pub(super) fn expand(pattern: &str) -> Vec<String> {
    let mut found = vec![PathBuf::from("/")];
    let mut seen = 0;
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for directory in &found {
            if part.contains('*') {
                next.extend(matches_in(directory, part, &mut seen));
            } else {
                next.push(directory.join(part));
            }
        }
        found = next;
    }
    if seen > MOST_NAMES {
        warn(format_args!(
            "{pattern}: only the first {MOST_NAMES} names were looked at; add a [[source]] for each subvolume that is missing"
        ));
    }
    let is_source =
        |path: &PathBuf| btrfs::identity(path).is_ok_and(|identity| !identity.read_only);
    found.retain(is_source);
    let mut paths: Vec<String> = found
        .into_iter()
        .filter_map(|path| path.into_os_string().into_string().ok())
        .collect();
    paths.sort();
    paths
}

fn matches_in(directory: &Path, pattern: &str, seen: &mut usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for entry in entries.flatten() {
        *seen += 1;
        if *seen > MOST_NAMES {
            break;
        }
        // A link is not followed: it would make a source of a place that is another one's.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        if is_directory && name.to_str().is_some_and(|name| fits(name, pattern)) {
            found.push(entry.path());
        }
    }
    found
}

/// Returns whether a name matches a pattern with any number of `*`.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match name.find(piece) {
            Some(at) => name = &name[at + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (name, pattern) in [
            ("home", "*"),
            ("", "*"),
            ("@home", "@*"),
            ("@home", "*home"),
            ("@home", "@h*e"),
            ("a.b.c", "a*b*c"),
            ("aXbc", "a*b*c"),
            ("home", "**"),
            ("home", "home"),
        ] {
            assert!(fits(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [
            ("home", "@*"),
            ("ab", "ab*b"),
            ("abc", "a*b"),
            ("home", "hom"),
            ("acb", "a*b*c"),
        ] {
            assert!(!fits(name, pattern), "{name} {pattern}");
        }
    }
}
