//! The drop-in of the systemd units: what a backup may write to on this machine.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::DEFAULT_CONFIG;
use crate::config::{Config, StoreConfig};
use crate::engine::replace_private_file;
use crate::error::Error;
use crate::model::MirrorLocation;

/// The services that work on sources and stores.
const SERVICES: [&str; 3] = [
    "coldchain.service",
    "coldchain-verify.service",
    "coldchain-snapshot@.service",
];

/// Where packages put units.
const INSTALLED: [&str; 3] = [
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "usr/local/lib/systemd/system",
];

/// Where the administrator's drop-ins are.
const ADMINISTRATORS: &str = "etc/systemd/system";

const FILE: &str = "paths.conf";

/// The first line of each file that is ours to replace.
const HEAD: &str =
    "# Made by `coldchain init` from the config; run it again after a change of the config.";

/// Writes the drop-ins of those units that are installed, if they are not up to date. Returns their paths. The units read
/// the default config, so another one is none of theirs.
pub(super) fn write_drop_ins(config: &Config) -> Result<Vec<PathBuf>, Error> {
    if config.path != Path::new(DEFAULT_CONFIG) {
        return Ok(Vec::new());
    }
    write_below(Path::new("/"), config)
}

/// Returns warnings of units that do not know what this config writes to: a run that they start would fail there.
pub(super) fn warnings_of_units(config: &Config) -> Vec<String> {
    if config.path != Path::new(DEFAULT_CONFIG) {
        return Vec::new();
    }
    let units = out_of_date(Path::new("/"), config).into_iter();
    units
        .map(|unit| {
            format!("{unit} may not write to all that the config names: run `coldchain init`")
        })
        .collect()
}

/// Returns the installed units without the drop-in, or with that of another config.
fn out_of_date(root: &Path, config: &Config) -> Vec<&'static str> {
    let text = drop_in(config);
    let is_behind = |service: &&str| {
        let directory = root.join(ADMINISTRATORS).join(format!("{service}.d"));
        let found = fs::read_to_string(directory.join(FILE)).ok();
        is_installed(root, service)
            && found.is_none_or(|found| found.starts_with(HEAD) && found != text)
    };
    SERVICES.into_iter().filter(is_behind).collect()
}

fn is_installed(root: &Path, service: &str) -> bool {
    let mut directories = INSTALLED.iter();
    directories.any(|directory| root.join(directory).join(service).exists())
}

fn write_below(root: &Path, config: &Config) -> Result<Vec<PathBuf>, Error> {
    let text = drop_in(config);
    let mut written = Vec::new();
    for service in SERVICES {
        let directory = root.join(ADMINISTRATORS).join(format!("{service}.d"));
        let path = directory.join(FILE);
        let found = fs::read_to_string(&path).ok();
        let is_ours = found.as_ref().is_none_or(|found| found.starts_with(HEAD));
        if !is_installed(root, service) || !is_ours || found.as_ref() == Some(&text) {
            continue;
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&directory)
            .map_err(|source| Error::file("create", &directory, source))?;
        replace_private_file(&path, &text)?;
        // `systemctl cat` shows it to everybody.
        fs::set_permissions(&path, Permissions::from_mode(0o644))
            .map_err(|source| Error::file("set the mode of", &path, source))?;
        written.push(path);
    }
    Ok(written)
}

/// Returns the file.
fn drop_in(config: &Config) -> String {
    let mut text = format!(
        "{HEAD}\n# Hooks can write to these paths alone too. `systemctl edit coldchain.service` adds more of them.\n[Service]\n"
    );
    for path in written_paths(config) {
        for part in ["ReadWritePaths=", &word(&path), "\n"] {
            text.push_str(part);
        }
    }
    text
}

/// Returns the paths that runs of this config write to.
fn written_paths(config: &Config) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::from([config.state_dir.clone()]);
    for source in &config.sources {
        let Some(live) = &source.live else { continue };
        paths.insert(live.snapshots.clone());
        if source.pull.is_some() {
            // The first pull makes the subvolume itself.
            let parent = live.subvolume.parent().unwrap_or(&live.subvolume);
            paths.insert(parent.to_owned());
        }
    }
    for mirror in &config.mirrors {
        if let MirrorLocation::Directory(path) = &mirror.to {
            paths.insert(path.clone());
        }
    }
    for store in config.stores.values() {
        if let StoreConfig::Dir { path, .. } = store {
            paths.insert(path.clone());
        }
    }
    // They are renamed and replaced, so it is their directory that is written to.
    let files = [config.log.as_deref(), config.metrics.as_deref()];
    let directories = files.into_iter().flatten().filter_map(Path::parent);
    paths.extend(directories.map(Path::to_owned));
    if config.notify.mail.is_some() {
        paths.insert("/var/spool".into());
    }
    paths
}

/// Returns a path as a word of a unit file. The minus is for a disk that is not there: then it is not written to.
fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut word = "\"-".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => word.extend(['\\', character]),
            '%' => word.push_str("%%"),
            '\n' => word.push_str("\\n"),
            other => word.push(other),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_write_to_is_listed() {
        let text = "timezone = 'UTC'\nstate_dir = '/s'\nlog = '/var/log/coldchain.log'\nmetrics = '/prom/c.prom'\n\
            [[source]]\nname = 'home'\nsubvolume = '/home'\nsnapshots = '/home/.snap shots'\nstore = 'd'\n\
            [[source]]\nname = 'web'\nsubvolume = '/pulled/web'\nsnapshots = '/pulled/.web'\n\
            [source.pull]\nfrom = 'ann@host:/srv'\n\
            [[mirror]]\nsource = 'home'\nto = '/mnt/50%'\n\
            [[mirror]]\nsource = 'home'\nto = 'ssh://host/mnt'\n\
            [store.d]\ntype = 'dir'\npath = '/off\"site'\n\
            [store.s]\ntype = 's3'\nbucket = 'abc'\n[notify]\nmail = 'root'\n";
        let config = Config::parse(text, Path::new("c.toml")).unwrap();
        assert_eq!(
            drop_in(&config).lines().skip(3).collect::<Vec<_>>(),
            [
                "ReadWritePaths=\"-/home/.snap shots\"",
                "ReadWritePaths=\"-/mnt/50%%\"",
                "ReadWritePaths=\"-/off\\\"site\"",
                "ReadWritePaths=\"-/prom\"",
                "ReadWritePaths=\"-/pulled\"",
                "ReadWritePaths=\"-/pulled/.web\"",
                "ReadWritePaths=\"-/s\"",
                "ReadWritePaths=\"-/var/log\"",
                "ReadWritePaths=\"-/var/spool\"",
            ]
        );
    }

    #[test]
    fn installed_units_get_a_drop_in_which_follows_the_config() {
        let root = tempfile::tempdir().unwrap();
        let config = |store: &str| {
            let text = format!(
                "timezone = 'UTC'\n[[source]]\nname = 'a'\nstore = 'd'\n[store.d]\ntype = 'dir'\npath = '{store}'\n"
            );
            Config::parse(&text, Path::new("c.toml")).unwrap()
        };
        let written = |store: &str| write_below(root.path(), &config(store)).unwrap();
        let nothing: [PathBuf; 0] = [];
        assert_eq!(written("/one"), nothing, "no unit is installed");
        let units = root.path().join(INSTALLED[0]);
        fs::create_dir_all(&units).unwrap();
        for service in SERVICES {
            fs::write(units.join(service), "").unwrap();
        }
        let behind = |store: &str| out_of_date(root.path(), &config(store)).len();
        assert_eq!(behind("/one"), 3);
        let made = written("/one");
        assert_eq!((behind("/one"), behind("/two")), (0, 3));
        assert_eq!(made.len(), 3);
        let permissions = fs::metadata(&made[0]).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o644);
        assert_eq!(written("/one"), nothing, "a second run changes nothing");
        assert_eq!(written("/two"), made);
        let text = fs::read_to_string(&made[0]).unwrap();
        assert!(text.contains("/two") && !text.contains("/one"), "{text}");
        fs::write(&made[1], "[Service]\n").unwrap();
        assert_eq!(
            written("/three").len(),
            2,
            "a file of somebody else's is kept"
        );
    }
}
