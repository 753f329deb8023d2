//! `restore --explain`: the same with public tools, as a script.
//!
//! The digests and the sealed keys in it come from the ledger that coldchain has verified. What the store
//! holds is believed only if its SHA-256 is the signed one.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Planned;
use crate::catalog::Catalog;
use crate::commands::output::{answer, count};
use crate::config::StoreConfig;
use crate::engine::{SealedArchive, sealed_archives};
use crate::error::Error;
use crate::model::keys;
use crate::model::size::Bytes;

impl Planned<'_> {
    /// Prints the script.
    pub(super) fn explain(&self, catalog: &Catalog) -> Result<(), Error> {
        let archives = sealed_archives(&self.row.ledger, &self.plan.archives, catalog)?;
        let script = self.script(&archives);
        answer(&script)
    }

    fn script(&self, archives: &[SealedArchive]) -> String {
        let store = &self.config.stores[&self.source.store];
        let (source, date) = (&self.plan.source, self.plan.date);
        let mut text = format!(
            "#!/bin/bash\n\
             # {date} of {source}, restored by other programs than coldchain: bash, coreutils, age, zstd,\n\
             # {}btrfs-progs. Run it as root. The digests are those of the ledger, which was verified.\n\
             set -euo pipefail\n\
             umask 077\n\
             {}\n\
             {}\n\
             fetch() {{ {}; }}\n\
             work=$(mktemp -d)\n\
             trap 'rm -rf \"$work\"' EXIT\n",
            match store {
                StoreConfig::Dir { .. } => "",
                StoreConfig::S3 { .. } => "aws, ",
            },
            variable("KIT", self.args.identity.as_deref(), "the recovery kit"),
            variable(
                "TARGET",
                self.args.to.as_deref(),
                "a directory on btrfs with nothing in it"
            ),
            fetch(store),
        );
        text.push_str(&self.thaw(store, archives));
        for archive in archives {
            self.receive(&mut text, archive);
        }
        text
    }

    /// Asking for what is cold, if anything may be.
    fn thaw(&self, store: &StoreConfig, archives: &[SealedArchive]) -> String {
        let StoreConfig::S3 { settings, .. } = store else {
            return String::new();
        };
        if !self.estimate.is_cold() {
            return String::new();
        }
        let thawing = &self.args.thawing;
        let request = format!(
            "Days={},GlacierJobParameters={{Tier={}}}",
            thawing.thaw_days,
            capitalised(&thawing.tier.to_string())
        );
        let mut text = format!(
            "\n# What is cold is asked for first: with the argument `thaw`. Run it again, without, hours later.\n\
             if [ \"${{1-}}\" = thaw ]; then\n    \
             while read -r key; do\n        \
             {} s3api restore-object --bucket {} --key {}\"$key\" --restore-request {}\n    \
             done <<'KEYS'\n",
            aws(store),
            quoted(settings.bucket.as_bytes()),
            quoted(slashed(&settings.prefix).as_bytes()),
            quoted(request.as_bytes()),
        );
        for archive in archives {
            let entry = &archive.entry;
            for (index, segment) in (0..).zip(&entry.segments) {
                let key = keys::segment(&self.row.directory, &entry.id, index, &segment.sha256);
                writeln!(text, "{key}").expect("writing to a string does not fail");
            }
        }
        text.push_str("KEYS\n    exit\nfi\n");
        text
    }

    fn receive(&self, text: &mut String, archive: &SealedArchive) {
        let entry = &archive.entry;
        let mut sealed = entry.key.clone();
        for attached in &archive.attached {
            sealed.push(' ');
            sealed.push_str(&attached.sealed);
        }
        write!(
            text,
            "\n# {}: {}, {} of send stream\n\
             opened=\n\
             for sealed in {sealed}; do\n    \
             if base64 -d <<< \"$sealed\" | age -d -i \"$KIT\" > \"$work/key\" 2> \"$work/why\"; then opened=yes; break; fi\n\
             done\n\
             [ \"$opened\" ] || {{ cat \"$work/why\" >&2; exit 1; }}\n\
             while read -r digest key; do\n    \
             fetch \"$key\" > \"$work/segment\"\n    \
             sha256sum --quiet --strict -c - <<< \"$digest  $work/segment\" >&2\n    \
             age -d -i \"$work/key\" \"$work/segment\" | zstd -d -q\n\
             done <<'SEGMENTS' | btrfs receive -q -C -e \"$TARGET\"\n",
            entry.id,
            count(entry.segments.len() as u64, "segment"),
            Bytes(entry.raw_bytes),
        )
        .expect("writing to a string does not fail");
        for (index, segment) in (0..).zip(&entry.segments) {
            let key = keys::segment(&self.row.directory, &entry.id, index, &segment.sha256);
            writeln!(text, "{} {key}", segment.sha256).expect("writing to a string does not fail");
        }
        text.push_str("SEGMENTS\nsync -f \"$TARGET\"\n");
    }
}

/// A variable with what was typed, or one that has to be given.
fn variable(name: &str, typed: Option<&Path>, what: &str) -> String {
    match typed {
        Some(typed) => format!("{name}={}", quoted(typed.as_os_str().as_bytes())),
        None => format!(": \"${{{name}:?{what}}}\""),
    }
}

/// What prints an object by its key.
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
    }
}

/// The program that reaches the bucket, and how.
fn aws(store: &StoreConfig) -> String {
    let mut command = "aws".to_owned();
    if let StoreConfig::S3 { settings, .. } = store {
        let endpoint = settings.endpoint.as_deref();
        let region = settings.region.as_deref();
        let profile = settings.profile.as_deref();
        let options = ["--endpoint-url", "--region", "--profile"];
        for (option, value) in options.into_iter().zip([endpoint, region, profile]) {
            if let Some(value) = value {
                command = format!("{command} {option} {}", quoted(value.as_bytes()));
            }
        }
    }
    command
}

/// A prefix with the slash that parts it from a key.
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

/// A word for a shell that stands for just these bytes.
fn quoted(bytes: &[u8]) -> String {
    format!(
        "'{}'",
        String::from_utf8_lossy(bytes).replace('\'', "'\\''")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_quoted_as_it_was() {
        for word in ["plain", "with space", "it's", "$HOME `x` \\ \"", "a\nb"] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word.as_bytes()))])
                .output()
                .unwrap();
            assert_eq!(output.stdout, word.as_bytes());
        }
    }
}
