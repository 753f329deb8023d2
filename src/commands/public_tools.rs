//! What the scripts that `--explain` prints have in common: they open archives with public tools.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::json;

use crate::catalog::Catalog;
use crate::cli::Thawing;
use crate::config::StoreConfig;
use crate::engine::{SealedArchive, stands_at_own_word};
use crate::error::Error;
use crate::model::keys::ArchiveObject;
use crate::model::shell::quoted;
use crate::model::{Sha256, SourceName};

/// The shell functions that open an archive's key and a segment.
pub(super) const OPENERS: &str = r#"
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

/// Returns the digests of an archive's segments, and their keys in the store; in a vault their ids.
pub(super) fn segments<'a>(
    directory: &'a str,
    store: &'a StoreConfig,
    archive: &'a SealedArchive,
) -> impl Iterator<Item = (Sha256, String)> + 'a {
    let place = archive.entry.vault.as_ref();
    let place = place.filter(|_| matches!(store, StoreConfig::Vault { .. }));
    ArchiveObject::of_entry(directory, &archive.entry).filter_map(move |object| {
        let index = object.segment()?;
        let in_vault = place.and_then(|place| place.segments.get(index as usize));
        let name = in_vault.map_or(object.key, |segment| segment.id.to_string());
        Some((object.signed?.sha256, name))
    })
}

/// Returns the sealed forms of an archive's key, as arguments of `unlock`.
pub(super) fn sealed_keys(archive: &SealedArchive) -> String {
    let attached = archive.attached.iter().map(|attached| &attached.sealed);
    let sealed = std::iter::once(&archive.entry.key).chain(attached);
    let sealed: Vec<String> = sealed.map(|sealed| quoted(sealed.as_bytes())).collect();
    sealed.join(" ")
}

/// Returns who vouches for the digests of a source, as a comment.
pub(super) fn vouched_for(source: &SourceName, catalog: &Catalog) -> Result<&'static str, Error> {
    Ok(if stands_at_own_word(source, catalog)? {
        NOT_VOUCHED_FOR
    } else {
        VOUCHED_FOR
    })
}

/// Returns the command that thaws a segment.
pub(super) fn thaw(store: &StoreConfig, name: &str, thawing: &Thawing) -> String {
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

/// Returns a shell line that sets a variable to the typed path, or that requires the user to set it.
pub(super) fn variable(name: &str, typed: Option<&Path>, what: &str) -> String {
    match typed {
        Some(typed) => format!("{name}={}", quoted(typed.as_os_str().as_bytes())),
        None => format!(": \"${{{name}:?{what}}}\""),
    }
}

/// Returns the command that prints an object by its key, or from a vault by its id.
pub(super) fn fetch(store: &StoreConfig) -> String {
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
