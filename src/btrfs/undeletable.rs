//! What prevents the deletion of a subvolume.

use std::path::{Path, PathBuf};

use crate::model::shell;

/// What keeps a subvolume from being deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undeletable {
    /// It is the default subvolume, which a mount without `subvol=` shows.
    #[error("it is the default subvolume of its filesystem")]
    Default,
    /// Another subvolume is in it.
    #[error("the subvolume {} lies in it", .0.display())]
    Holds(PathBuf),
    /// It, or its directory, has an attribute from `chattr +i` or `+a`.
    #[error("{} has the attribute `{attribute}`", .path.display())]
    Protected {
        /// The directory.
        path: PathBuf,
        /// The attribute's letter in `chattr`.
        attribute: char,
    },
    /// A `btrfs send` reads it, or uses it as a send parent.
    #[error("a `btrfs send` is reading it")]
    Sent,
}

impl Undeletable {
    /// Returns what to do about it before the next run.
    pub(super) fn hint(&self, subvolume: &Path) -> String {
        match self {
            Self::Default => format!(
                "set another default with `btrfs subvolume set-default`, such as `btrfs subvolume set-default 5 {}`",
                shell::path(subvolume.parent().unwrap_or(subvolume))
            ),
            Self::Holds(path) => {
                let delete = format!("btrfs subvolume delete {}", shell::path(path));
                format!("if you don't need that, {}", run_within(subvolume, &delete))
            }
            Self::Protected { path, attribute } => {
                let chattr = format!("chattr -{attribute} {}", shell::path(path));
                if path == subvolume {
                    run_within(subvolume, &chattr)
                } else {
                    format!("run `{chattr}`")
                }
            }
            Self::Sent => "wait until that `btrfs send` ends, or stop it".to_owned(),
        }
    }
}

/// Returns how to run a command that changes something in a read-only subvolume.
fn run_within(subvolume: &Path, command: &str) -> String {
    let set = format!("btrfs property set {} ro", shell::path(subvolume));
    format!("run `{set} false`, `{command}` and `{set} true`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_no_other_path_where_there_are_blanks() {
        let subvolume = Path::new("/mnt/home snapshots/2026-11-01");
        let within = subvolume.join("in it");
        for (why, command) in [
            (
                Undeletable::Default,
                "`btrfs subvolume set-default 5 '/mnt/home snapshots'`",
            ),
            (
                Undeletable::Holds(within.clone()),
                "`btrfs subvolume delete '/mnt/home snapshots/2026-11-01/in it'`",
            ),
            (
                Undeletable::Holds(within.clone()),
                "`btrfs property set '/mnt/home snapshots/2026-11-01' ro false`",
            ),
            (
                Undeletable::Protected {
                    path: within,
                    attribute: 'i',
                },
                "`chattr -i '/mnt/home snapshots/2026-11-01/in it'`",
            ),
        ] {
            let hint = why.hint(subvolume);
            assert!(hint.contains(command), "{hint}");
        }
    }
}
