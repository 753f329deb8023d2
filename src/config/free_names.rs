//! Names of sources, and directories of snapshots, that no other source has.

use std::collections::BTreeSet;

use crate::model::SourceName;

/// The longest name of a source, in bytes.
const LONGEST_NAME: usize = 64;

/// The names and directories that are taken.
#[derive(Debug, Default)]
pub struct FreeNames {
    names: BTreeSet<String>,
    directories: Vec<String>,
}

impl FreeNames {
    /// Returns a name like the wanted one that is free and that a source may have.
    pub fn name(&mut self, wanted: &str) -> SourceName {
        let plain = plain(wanted);
        let mut number = 1_u32;
        loop {
            let suffix = match number {
                1 => String::new(),
                number => format!("-{number}"),
            };
            let kept = plain.len().min(LONGEST_NAME - suffix.len());
            let name = format!("{}{suffix}", &plain[..kept]);
            if !self.names.contains(&name)
                && let Ok(fits) = name.parse()
            {
                self.names.insert(name);
                return fits;
            }
            number += 1;
        }
    }

    /// Returns a directory for the snapshots of a source: below `.coldchain` in the volume, or `.coldchain` in the
    /// subvolume if there is no volume. None lies in another one.
    pub fn snapshots(
        &mut self,
        name: &SourceName,
        volume: Option<&str>,
        subvolume: &str,
    ) -> String {
        let base = volume.unwrap_or(subvolume).trim_end_matches('/');
        let usual = match volume {
            Some(_) => format!("{base}/.coldchain/{name}"),
            None => format!("{base}/.coldchain"),
        };
        let is_free = |path: &String| {
            path != subvolume
                && !self
                    .directories
                    .iter()
                    .any(|taken| is_in(taken, path) || is_in(path, taken))
        };
        let others = [
            usual,
            format!("{base}/.coldchain-{name}"),
            format!("{base}/.coldchain-snapshots-{name}"),
        ];
        let [.., last] = &others;
        let free = others.iter().find(|path| is_free(path)).unwrap_or(last);
        self.directories.push(free.clone());
        free.clone()
    }
}

/// Returns whether the path is that directory, or lies below it.
fn is_in(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Turns a text into small letters, digits, `.`, `_` and `-`, the first a letter or digit.
fn plain(wanted: &str) -> String {
    let mut name = String::new();
    for character in wanted.chars() {
        let lower = character.to_ascii_lowercase();
        if lower.is_ascii_lowercase() || lower.is_ascii_digit() || "._-".contains(lower) {
            name.push(lower);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches(['.', '_', '-']);
    match name {
        // `@` and `/`, as most systems call them.
        "" => "root".to_owned(),
        name => name.chars().take(LONGEST_NAME).collect(),
    }
}
