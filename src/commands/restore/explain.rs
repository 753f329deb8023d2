//! `restore --explain`: print a script that does the restore with public tools.
//!
//! Its digests and sealed keys come from the ledger in the catalog. It uses an object of the store only if
//! its SHA-256 is the signed one. It says whether a trusted root key vouches for the ledger.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::planned::Planned;
use serde_json::json;

use crate::btrfs::{Version, needs};
use crate::catalog::Catalog;
use crate::commands::output::{answer, count};
use crate::config::StoreConfig;
use crate::engine::{SealedArchive, sealed_archives, stands_at_own_word};
use crate::error::Error;
use crate::model::keys::ArchiveObject;
use crate::model::shell::quoted;
use crate::model::size::Bytes;
use crate::model::{Protocol, Sha256};

/// Receives a stream so that only the target can be reached. `docs/restore-without-coldchain.md` has the same
/// text.
const CONFINED: &str = include_str!("confined.sh");

/// The shell functions that open an archive's key and a segment.
const OPENERS: &str = r#"
# Opens the archive's key, by whichever of its sealed forms the kit opens.
unlock() {
    local sealed opened=''
    for sealed in "$@"; do
        if base64 -d <<< "$sealed" | age -d -i "$KIT" 2> "$work/why" | head -c 4096 > "$work/key"; then
            opened=yes
            break
        fi
    done
    [ "$opened" ] || die "$(head -c 4096 "$work/why")"
    # `age -i` would run a plugin, if it named one.
    [[ $(tr -d '\0' < "$work/key") =~ ^AGE-SECRET-KEY-1[A-Z0-9]{58}$ ]] || die "this is not an archive key of coldchain"
}

# Prints a segment's part of the stream, if the segment is the one that was signed.
segment() { # SHA-256, key in the store
    fetch "$2" > "$work/segment" &&
        sha256sum --quiet --strict -c - <<< "$1  $work/segment" >&2 &&
        age -d -i "$work/key" "$work/segment" | zstd -d -q
}
"#;

/// The text if a trusted root key vouches for the ledger.
const VOUCHED_FOR: &str = "\
# The digests come from the signed ledger. coldchain checked every signature in it; a root key that this
# machine trusts vouches for the keys that signed.
";

/// The text if the ledger was read with `--unauthenticated`.
const NOT_VOUCHED_FOR: &str = "\
# CAUTION: no trusted root key vouches for the ledger that the digests come from. The store itself names that root
# key, so anybody who could write to the store may have made all of this. Run `coldchain catalog rebuild` with the
# recovery kit or --trust to check it.
";

impl Planned<'_> {
    /// Prints the script.
    pub(super) fn explain(&self, catalog: &Catalog) -> Result<(), Error> {
        let archives = sealed_archives(&self.row.ledger, &self.plan.archives, catalog)?;
        let vouched_for = if stands_at_own_word(&self.row.name, catalog)? {
            NOT_VOUCHED_FOR
        } else {
            VOUCHED_FOR
        };
        let script = self.script(&archives, vouched_for);
        answer(&script)
    }

    fn script(&self, archives: &[SealedArchive], vouched_for: &str) -> String {
        let store = self.store;
        let (source, date) = (&self.plan.source, self.plan.date);
        let mut text = format!(
            "#!/bin/bash\n\
             # {date} of {source}, restored by other programs than coldchain: bash, coreutils, findutils, sed,\n\
             # util-linux, age, zstd, {}btrfs-progs. Run it as root. TARGET becomes a subvolume.\n\
             {vouched_for}\
             set -euo pipefail\n\
             {}\n\
             {}\n\
             target=$TARGET\n\
             \n\
             {CONFINED}\
             {OPENERS}\n\
             # Prints an object of the store.\n\
             fetch() {{ {}; }}\n\
             \n\
             # All of it is read before any of it runs.\n\
             main() {{\n",
            match store {
                StoreConfig::Dir { .. } => "",
                StoreConfig::S3 { .. } | StoreConfig::Vault { .. } => "aws, ",
            },
            variable("KIT", self.args.identity.as_deref(), "the recovery kit"),
            variable(
                "TARGET",
                self.args.to.as_deref(),
                "a directory on btrfs with nothing in it"
            ),
            fetch(store),
        );
        if let Some(oldest) = oldest_progs(archives) {
            writeln!(text, "require_progs {oldest}").expect("writing to a string does not fail");
        }
        text.push_str(&self.thaw(store, archives));
        text.push_str("prepare\n");
        for archive in archives {
            self.receive(&mut text, archive);
        }
        text.push_str("}\nmain \"$@\" < /dev/null\n");
        text
    }

    /// Returns the commands that thaw cold segments; none if no segment can be cold.
    fn thaw(&self, store: &StoreConfig, archives: &[SealedArchive]) -> String {
        let note = match store {
            StoreConfig::Dir { .. } => return String::new(),
            StoreConfig::S3 { .. } if !self.estimate.is_cold() => return String::new(),
            StoreConfig::S3 { .. } => "",
            StoreConfig::Vault { .. } => {
                "# What is thawed can be read for 24 hours: of more than the line fetches in that time, thaw a part.\n"
            }
        };
        let mut text = note.to_owned()
            + "\n\
             # Thaw what is cold first: run this script with the argument `thaw`. Hours later, run it again without it.\n\
             if [ \"${1-}\" = thaw ]; then\n";
        for archive in archives {
            for (_, name) in self.segments(archive) {
                let request = self.thaw_of(store, &name);
                writeln!(text, "    {request}").expect("writing to a string does not fail");
            }
        }
        text.push_str("    exit\nfi\n");
        text
    }

    /// Returns the command that thaws a segment.
    fn thaw_of(&self, store: &StoreConfig, name: &str) -> String {
        let thawing = &self.args.thawing;
        let tier = capitalised(&thawing.tier.to_string());
        match store {
            StoreConfig::Dir { .. } => String::new(),
            StoreConfig::S3 { settings, .. } => {
                let key = format!("{}{name}", slashed(&settings.prefix));
                let days = thawing.thaw_days;
                let request = format!("Days={days},GlacierJobParameters={{Tier={tier}}}");
                format!(
                    "{} s3api restore-object --bucket {} --key {} --restore-request {}",
                    aws(store),
                    quoted(settings.bucket.as_bytes()),
                    quoted(key.as_bytes()),
                    quoted(request.as_bytes()),
                )
            }
            StoreConfig::Vault { settings, .. } => {
                let job = json!({"Type": "archive-retrieval", "ArchiveId": name, "Tier": tier});
                format!(
                    "{} glacier initiate-job --account-id - --vault-name {} --job-parameters {}",
                    aws(store),
                    quoted(settings.vault.as_bytes()),
                    quoted(job.to_string().as_bytes()),
                )
            }
        }
    }

    fn receive(&self, text: &mut String, archive: &SealedArchive) {
        let entry = &archive.entry;
        let attached = archive.attached.iter().map(|attached| &attached.sealed);
        let sealed: Vec<String> = std::iter::once(&entry.key)
            .chain(attached)
            .map(|sealed| quoted(sealed.as_bytes()))
            .collect();
        write!(
            text,
            "\n# {id}: {}, {} of send stream\n\
             unlock {}\n\
             {{\n",
            count(entry.segments.len() as u64, "segment"),
            Bytes(entry.raw_bytes),
            sealed.join(" "),
            id = entry.id,
        )
        .expect("writing to a string does not fail");
        for (sha256, key) in self.segments(archive) {
            let key = quoted(key.as_bytes());
            writeln!(text, "    segment {sha256} {key} || exit 1")
                .expect("writing to a string does not fail");
        }
        writeln!(
            text,
            "}} | confined || die '{}: was not received; what was restored before it stays'\n\
             publish {} {}",
            entry.id, entry.date, entry.stream_uuid,
        )
        .expect("writing to a string does not fail");
    }

    /// Returns the digests of an archive's segments, and their keys in the store; in a vault their ids.
    fn segments<'a>(
        &'a self,
        archive: &'a SealedArchive,
    ) -> impl Iterator<Item = (Sha256, String)> + 'a {
        let place = archive.entry.vault.as_ref();
        let place = place.filter(|_| matches!(self.store, StoreConfig::Vault { .. }));
        ArchiveObject::of_entry(&self.row.directory, &archive.entry).filter_map(move |object| {
            let index = object.segment()?;
            let in_vault = place.and_then(|place| place.segments.get(index as usize));
            let name = in_vault.map_or(object.key, |segment| segment.id.to_string());
            Some((object.signed?.sha256, name))
        })
    }
}

/// Returns the oldest version of btrfs-progs that can receive all these archives; `None` if every version
/// can.
fn oldest_progs(archives: &[SealedArchive]) -> Option<Version> {
    let forms = archives.iter().map(|archive| archive.entry.form());
    let newer = forms.filter(|form| *form != Protocol::V1);
    newer.map(|form| needs(form).0).max()
}

/// Returns a shell line that sets a variable to the typed path, or that requires the user to set it.
fn variable(name: &str, typed: Option<&Path>, what: &str) -> String {
    match typed {
        Some(typed) => format!("{name}={}", quoted(typed.as_os_str().as_bytes())),
        None => format!(": \"${{{name}:?{what}}}\""),
    }
}

/// Returns the command that prints an object by its key, or from a vault by its id.
fn fetch(store: &StoreConfig) -> String {
    match store {
        StoreConfig::Dir { path, .. } => {
            format!("cat {}/\"$1\"", quoted(path.as_os_str().as_bytes()))
        }
        StoreConfig::S3 { settings, .. } => {
            let place = format!("s3://{}/{}", settings.bucket, slashed(&settings.prefix));
            format!(
                "{} s3 cp --quiet {}\"$1\" -",
                aws(store),
                quoted(place.as_bytes())
            )
        }
        StoreConfig::Vault { settings, .. } => {
            let (aws, vault) = (aws(store), quoted(settings.vault.as_bytes()));
            format!(
                "local job; job=$({aws} glacier list-jobs --account-id - --vault-name {vault} --statuscode Succeeded \
                 --query \"JobList[?ArchiveId=='$1'] | [0].JobId\" --output json | tr -d '\"') && \
                 {aws} glacier get-job-output --account-id - --vault-name {vault} --job-id=\"$job\" \
                 \"$work/output\" > /dev/null && cat \"$work/output\""
            )
        }
    }
}

/// Returns the `aws` command with the options that reach the bucket or the vault.
fn aws(store: &StoreConfig) -> String {
    let mut command = "aws".to_owned();
    let place = match store {
        StoreConfig::Dir { .. } => None,
        StoreConfig::S3 { settings, .. } => Some((
            settings.endpoint.as_deref(),
            settings.region.as_deref(),
            settings.profile.as_deref(),
        )),
        StoreConfig::Vault { settings, .. } => Some((
            settings.endpoint.as_deref(),
            Some(settings.region.as_str()),
            settings.profile.as_deref(),
        )),
    };
    if let Some((endpoint, region, profile)) = place {
        let options = ["--endpoint-url", "--region", "--profile"];
        for (option, value) in options.into_iter().zip([endpoint, region, profile]) {
            if let Some(value) = value {
                command = format!("{command} {option} {}", quoted(value.as_bytes()));
            }
        }
    }
    command
}

/// Returns a prefix with the slash that separates it from a key.
fn slashed(prefix: &str) -> String {
    if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
