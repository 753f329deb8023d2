//! `init --from-btrbk` and `--from-snapper`: what another tool's config says, as sources and mirrors.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::expand::expand;
use crate::btrfs;
use crate::cli::Init;
use crate::commands::output::count;
use crate::config::{
    ForeignFault, LARGEST_FOREIGN, TakenOver, TakenSource, blocks, read_btrbk, read_snapper,
};
use crate::error::{Error, TakeOverError};
use crate::plan::KeepSnapshots;
use crate::printing::warn;

/// Where snapper has its configs.
const SNAPPER_CONFIGS: &str = "/etc/snapper/configs";

/// What is taken over.
pub(super) enum ForeignOrigin<'a> {
    /// A btrbk.conf.
    Btrbk(&'a Path),
    /// Configs of snapper, by name or path; all if there are none.
    Snapper(&'a [PathBuf]),
}

impl<'a> ForeignOrigin<'a> {
    /// Returns what the command line names.
    pub(super) fn of(args: &'a Init) -> Option<Self> {
        match (&args.from_btrbk, &args.from_snapper) {
            (Some(path), _) => Some(Self::Btrbk(path)),
            (None, Some(configs)) => Some(Self::Snapper(configs)),
            (None, None) => None,
        }
    }
}

/// What was read of another tool's config.
pub(super) struct ForeignImport {
    taken: TakenOver,
    /// Where it was read, for a comment.
    from: String,
    /// How both tools go on.
    beside: &'static str,
}

/// Reads the other tool's config, and fails if no source comes of it.
pub(super) fn read(origin: &ForeignOrigin<'_>) -> Result<ForeignImport, Error> {
    let (import, path) = match origin {
        ForeignOrigin::Btrbk(path) => (of_btrbk(path)?, path.to_path_buf()),
        ForeignOrigin::Snapper(configs) => of_snapper(configs)?,
    };
    if import.taken.sources.is_empty() {
        import.warn();
        import.taken.left.iter().for_each(warn);
        return Err(TakeOverError::NoSubvolume { path }.into());
    }
    Ok(import)
}

fn of_btrbk(path: &Path) -> Result<ForeignImport, Error> {
    let unreadable = |fault: ForeignFault| TakeOverError::Unreadable {
        path: path.to_owned(),
        fault,
    };
    let sources = read_btrbk(&bytes_of(path)?).map_err(unreadable)?;
    let taken = sources.take_over(expand).map_err(unreadable)?;
    Ok(ForeignImport {
        taken: with_missing(taken),
        from: path.display().to_string(),
        beside: "btrbk's config, snapshots and backups are as they were. Both can run side by side; \
                 `systemctl disable --now btrbk.timer` stops btrbk, or take its line out of cron",
    })
}

fn of_snapper(configs: &[PathBuf]) -> Result<(ForeignImport, PathBuf), Error> {
    let mut files = Vec::new();
    let all = [PathBuf::from(SNAPPER_CONFIGS)];
    let (given, directory) = match configs {
        [] => (&all[..], &all[0]),
        [only] => (configs, only),
        several => (several, &all[0]),
    };
    for config in given {
        // A name, as snapper has it.
        let is_name = config.components().count() == 1 && config.is_relative();
        let path = if is_name {
            Path::new(SNAPPER_CONFIGS).join(config)
        } else {
            config.clone()
        };
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else {
            files.push(path);
        }
    }
    let mut texts = Vec::new();
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        texts.push((name.into_owned(), bytes_of(path)?));
    }
    let taken = read_snapper(&texts).map_err(|(name, fault)| {
        let of_name = |path: &&PathBuf| path.file_name().is_some_and(|it| *it == *name);
        TakeOverError::Unreadable {
            path: files.iter().find(of_name).unwrap_or(directory).clone(),
            fault,
        }
    })?;
    let shown = files.iter().map(|path| path.display().to_string());
    let import = ForeignImport {
        taken: with_missing(taken),
        from: shown.collect::<Vec<_>>().join(", "),
        beside: "snapper's configs and snapshots are as they were. Both can run side by side; \
                 `systemctl disable --now snapper-timeline.timer` stops snapper's timeline, and leaves its snapshots of \
                 installations",
    };
    Ok((import, directory.clone()))
}

/// Returns the configs of a directory, sorted. What editors and package managers leave there is none.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::file("list", directory, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_leftover = name.starts_with('.')
            || name.ends_with('~')
            || [
                ".bak",
                ".rpmnew",
                ".rpmsave",
                ".dpkg-old",
                ".dpkg-dist",
                ".pacnew",
                ".pacsave",
            ]
            .iter()
            .any(|end| name.ends_with(end));
        if !is_leftover && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(TakeOverError::NoSnapperConfig {
            path: directory.to_owned(),
        }
        .into());
    }
    files.sort();
    Ok(files)
}

/// Reads a whole file that is not too large.
fn bytes_of(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::file("read", path, source);
    let limit = u64::try_from(LARGEST_FOREIGN).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > LARGEST_FOREIGN {
        return Err(TakeOverError::TooLarge {
            path: path.to_owned(),
            limit,
        }
        .into());
    }
    Ok(bytes)
}

/// Adds a warning for each source that is no subvolume now: the next `init` refuses it.
fn with_missing(mut taken: TakenOver) -> TakenOver {
    for source in &taken.sources {
        if let Err(error) = btrfs::identity(Path::new(&source.subvolume)) {
            taken.warnings.push(format!("{}: {error}", source.name));
        }
    }
    taken
}

impl ForeignImport {
    /// Returns the blocks for the config.
    pub(super) fn blocks(&self) -> String {
        blocks(&self.taken, &self.from)
    }

    /// Warns of what the user should look at.
    pub(super) fn warn(&self) {
        self.taken.warnings.iter().for_each(warn);
    }

    /// Returns what is taken over, what is not, and how both tools go on, as lines.
    pub(super) fn summary(&self) -> Vec<String> {
        let mirrors: usize = self.taken.sources.iter().map(|it| it.mirrors.len()).sum();
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let mut lines = vec![format!(
            "taken over from {}: {}, {}",
            self.from,
            count(number(self.taken.sources.len()), "source"),
            count(number(mirrors), "mirror"),
        )];
        for source in &self.taken.sources {
            let TakenSource {
                name,
                subvolume,
                snapshots,
                ..
            } = source;
            lines.push(format!(
                "  {name}: {subvolume}, snapshots in {snapshots}, keep {}",
                in_words(source.keep)
            ));
            for mirror in &source.mirrors {
                let keep = in_words(mirror.keep);
                lines.push(format!("    mirror {}, keep {keep}", mirror.to));
            }
        }
        if !self.taken.left.is_empty() {
            lines.push("not taken over:".to_owned());
        }
        lines.extend(self.taken.left.iter().map(|left| format!("  {left}")));
        lines.push(self.beside.to_owned());
        lines
    }

    /// Returns the same for `--json`.
    pub(super) fn as_json(&self) -> Value {
        let sources = self.taken.sources.iter().map(|source| {
            let mirrors = source
                .mirrors
                .iter()
                .map(|mirror| json!({"to": mirror.to.to_string(), "keep": in_words(mirror.keep)}));
            json!({
                "name": source.name.as_str(),
                "subvolume": source.subvolume,
                "snapshots": source.snapshots,
                "keep": in_words(source.keep),
                "mirrors": mirrors.collect::<Vec<_>>(),
            })
        });
        json!({
            "from": self.from,
            "sources": sources.collect::<Vec<_>>(),
            "left": self.taken.left,
            "warnings": self.taken.warnings,
        })
    }
}

fn in_words(keep: KeepSnapshots) -> String {
    match keep {
        KeepSnapshots::Newest(1) => "the newest".to_owned(),
        KeepSnapshots::Newest(1_000_000..) => "everything".to_owned(),
        other => other.to_string(),
    }
}
