//! The subvolumes and targets of a btrbk.conf, as sources and mirrors.

use std::collections::{BTreeMap, BTreeSet};

use super::btrbk::{BtrbkFile, BtrbkScope, BtrbkUrl};
use super::btrbk_keep::{EVERYTHING, Preserved};
use super::taken::{TakenMirror, TakenOver, TakenSource};
use super::text::ForeignFault;
use crate::config::free_names::FreeNames;
use crate::model::{MirrorLocation, SourceName};
use crate::plan::KeepSnapshots;

/// How many blocks a config may get: more than a real one, and few enough to read.
const MOST_BLOCKS: usize = 4096;

/// A btrbk.conf that was read.
#[derive(Debug)]
pub struct BtrbkSources {
    file: BtrbkFile,
}

/// What is found in the file of a subvolume.
struct FoundSubvolume<'a> {
    place: usize,
    url: &'a BtrbkUrl,
    volume: Option<&'a BtrbkUrl>,
    line: usize,
}

/// Reads a btrbk.conf.
pub fn read_btrbk(bytes: &[u8]) -> Result<BtrbkSources, ForeignFault> {
    let file = BtrbkFile::parse(bytes)?;
    Ok(BtrbkSources { file })
}

impl BtrbkSources {
    /// Returns what is taken over. `expand` returns the subvolumes that a path with `*` matches.
    pub fn take_over(
        &self,
        mut expand: impl FnMut(&str) -> Vec<String>,
    ) -> Result<TakenOver, ForeignFault> {
        let mut taken = TakenOver {
            warnings: self.file.warnings.clone(),
            ..TakenOver::default()
        };
        let own_targets = self.file.targets();
        let mut names = FreeNames::default();
        let mut blocks = 0;
        for found in self.subvolumes() {
            if let Some(reason) = self.reason_to_leave(&found) {
                let (line, shown) = (found.line, found.url.shown());
                taken
                    .left
                    .push(format!("line {line}: subvolume {shown}: {reason}"));
                continue;
            }
            let is_pattern = found.url.path.contains('*');
            let paths = if is_pattern {
                expand(&found.url.path)
            } else {
                vec![found.url.path.clone()]
            };
            if paths.is_empty() {
                taken.warnings.push(format!(
                    "line {}: no subvolume matches {}; is its filesystem mounted?",
                    found.line, found.url.path
                ));
            }
            let (targets, written) = self.file.targets_of(found.place, &own_targets);
            for path in paths {
                blocks += 1 + written;
                if blocks > MOST_BLOCKS {
                    let what =
                        format!("subvolumes and targets make more than {MOST_BLOCKS} blocks");
                    return Err(ForeignFault::new(found.line, what));
                }
                let source = self.source(&found, path, &targets, &mut names, &mut taken);
                taken.sources.push(source);
            }
        }
        taken.left.extend(self.options_apart());
        Ok(taken)
    }

    fn subvolumes(&self) -> impl Iterator<Item = FoundSubvolume<'_>> {
        let sections = self.file.sections.iter().enumerate();
        sections.filter_map(|(place, section)| {
            let BtrbkScope::Subvolume(url) = &section.scope else {
                return None;
            };
            let volume = match &self.file.around(place).scope {
                BtrbkScope::Volume(volume) => volume.as_ref(),
                _ => None,
            };
            Some(FoundSubvolume {
                place,
                url,
                volume,
                line: section.line,
            })
        })
    }

    fn reason_to_leave(&self, found: &FoundSubvolume<'_>) -> Option<&'static str> {
        if found.url.host.is_some() {
            return Some(
                "it is on another machine; run coldchain there, or pull it by rsync (docs/pull.md)",
            );
        }
        (self.file.option_of(found.place, "noauto") == Some("yes"))
            .then_some("it is noauto, so btrbk leaves it out too")
    }

    fn source(
        &self,
        found: &FoundSubvolume<'_>,
        path: String,
        targets: &[usize],
        names: &mut FreeNames,
        taken: &mut TakenOver,
    ) -> TakenSource {
        let is_pattern = found.url.path.contains('*');
        let last = path.rsplit('/').next().filter(|last| !last.is_empty());
        let wanted = self
            .file
            .option_of(found.place, "snapshot_name")
            .filter(|_| !is_pattern)
            .or(last)
            .unwrap_or("root")
            .to_owned();
        let name = names.name(&wanted);
        // A subvolume may be named by its whole path in the section of another volume.
        let volume = found
            .volume
            .filter(|volume| volume.host.is_none())
            .map(|volume| volume.path.as_str())
            .filter(|volume| is_below(&path, volume));
        let snapshots = names.snapshots(&name, volume, &path);
        let remark = if is_pattern {
            format!(
                "From line {}: {} matches it now; a later subvolume needs a block of its own.",
                found.line, found.url.path
            )
        } else {
            format!("From line {}.", found.line)
        };
        let mut remarks = vec![remark];
        if name.as_str() != wanted {
            remarks.push(format!("btrbk calls it {wanted}."));
        }
        let (keep, keep_remarks) = self.keep("snapshot", true, |key| {
            self.file.option_of(found.place, key)
        });
        let mirrors = self.mirrors(found, targets, &name, taken);
        TakenSource {
            name,
            subvolume: path,
            snapshots,
            keep,
            remarks,
            keep_remarks,
            mirrors,
        }
    }

    fn keep<'a>(
        &'a self,
        of: &'static str,
        takes_days: bool,
        option: impl Fn(&str) -> Option<&'a str>,
    ) -> (KeepSnapshots, Vec<String>) {
        let preserved = Preserved {
            of,
            policy: option(&format!("{of}_preserve")),
            min: option(&format!("{of}_preserve_min")),
            day_of_week: option("preserve_day_of_week"),
            hour_of_day: option("preserve_hour_of_day"),
        };
        if self.file.keeps_all {
            let remark = "btrbk keeps everything, because of options from before 0.23.";
            return (EVERYTHING, vec![remark.to_owned()]);
        }
        preserved.keep(takes_days)
    }

    fn mirrors(
        &self,
        found: &FoundSubvolume<'_>,
        targets: &[usize],
        name: &SourceName,
        taken: &mut TakenOver,
    ) -> Vec<TakenMirror> {
        let mut mirrors: Vec<TakenMirror> = Vec::new();
        let mut places = BTreeSet::new();
        for &target in targets {
            let section = &self.file.sections[target];
            let BtrbkScope::Target { is_raw, url } = &section.scope else {
                continue;
            };
            let option = |key: &str| self.file.option_of_target(target, found.place, key);
            let mut leave = |why: &str| {
                let shown = url.shown();
                let line = section.line;
                taken
                    .left
                    .push(format!("line {line}: target {shown} of {name}: {why}"));
            };
            if *is_raw {
                leave("it is raw; archives go to a [store.NAME] instead");
                continue;
            }
            if option("noauto") == Some("yes") {
                leave("it is noauto, so btrbk leaves it out too");
                continue;
            }
            let user = match option("ssh_user") {
                None => Some("root"),
                Some("no") => None,
                user => user,
            };
            let Some(to) = location(url, user) else {
                leave("its host, user or path has characters that a mirror's location can't have");
                continue;
            };
            if !places.insert(to.clone()) {
                continue;
            }
            let (keep, keep_remarks) = self.keep("target", false, option);
            let is_remote = to.is_remote();
            let identity_file = option("ssh_identity").filter(|path| {
                is_remote && path.starts_with('/') && !path.split('/').any(|part| part == "..")
            });
            mirrors.push(TakenMirror {
                to,
                keep,
                keep_remarks,
                identity_file: identity_file.map(str::to_owned),
                command: option("backend_remote")
                    .or_else(|| option("backend"))
                    .filter(|_| is_remote)
                    .and_then(elevation),
            });
        }
        mirrors
    }

    /// Returns a sentence for each option that has no counterpart.
    fn options_apart(&self) -> impl Iterator<Item = String> {
        let options: &BTreeMap<_, _> = &self.file.apart;
        options.iter().map(|(key, (lines, reason))| {
            let first = lines.iter().take(3).map(ToString::to_string);
            let mut shown = first.collect::<Vec<_>>().join(", ");
            if lines.len() > 3 {
                shown.push_str(", …");
            }
            let noun = if lines.len() == 1 { "line" } else { "lines" };
            format!("{noun} {shown}: {key}: {reason}")
        })
    }
}

/// Returns what starts coldchain on the other machine, where btrbk starts `btrfs` that way.
fn elevation(backend: &str) -> Option<[&'static str; 3]> {
    match backend {
        "btrfs-progs-sudo" => Some(["sudo", "-n", "coldchain"]),
        "btrfs-progs-doas" => Some(["doas", "-n", "coldchain"]),
        _ => None,
    }
}

fn location(url: &BtrbkUrl, user: Option<&str>) -> Option<MirrorLocation> {
    let text = match (&url.host, user) {
        (None, _) => url.path.clone(),
        (Some(host), Some(user)) if !host.contains('@') => {
            format!("ssh://{user}@{host}{}", url.path)
        }
        (Some(host), _) => format!("ssh://{host}{}", url.path),
    };
    text.parse().ok()
}

fn is_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
