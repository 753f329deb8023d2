//! The options of btrbk, and what becomes of each.

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionUse {
    /// It is taken over.
    Used,
    /// It only has an effect in these sections, and is taken over.
    UsedIn(&'static [SectionLevel]),
    /// It has no counterpart, for this reason.
    Apart(&'static str),
    /// btrbk itself only knows it from before, and then keeps everything.
    KeepsAll,
    /// btrbk does not have it.
    Unknown,
}

/// The kinds of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SectionLevel {
    /// Before any section.
    Global,
    /// `volume`.
    Volume,
    /// `subvolume`.
    Subvolume,
    /// `target`.
    Target,
}

const OF_SNAPSHOTS: &[SectionLevel] = &[
    SectionLevel::Global,
    SectionLevel::Volume,
    SectionLevel::Subvolume,
];

const CHOSEN: &str = "coldchain chooses itself what each snapshot is sent against";
const STREAM: &str = "coldchain buffers streams itself; ssh's own config can compress them";
const RAW: &str = "it is for raw targets; a store takes their place";
const SSH: &str = "ssh's own config says it";

/// Returns what becomes of an option.
pub(super) fn use_of(name: &str) -> OptionUse {
    match name {
        "target_preserve"
        | "target_preserve_min"
        | "preserve_day_of_week"
        | "preserve_hour_of_day"
        | "ssh_user"
        | "ssh_identity"
        | "noauto"
        | "backend"
        | "backend_remote" => OptionUse::Used,
        "snapshot_dir" | "snapshot_preserve" | "snapshot_preserve_min" => {
            OptionUse::UsedIn(OF_SNAPSHOTS)
        }
        "snapshot_name" => OptionUse::UsedIn(&[SectionLevel::Subvolume]),
        "snapshot_preserve_daily"
        | "snapshot_preserve_weekly"
        | "snapshot_preserve_monthly"
        | "target_preserve_daily"
        | "target_preserve_weekly"
        | "target_preserve_monthly" => OptionUse::KeepsAll,
        "timestamp_format" => {
            OptionUse::Apart("coldchain names snapshots YYYY-MM-DD or YYYY-MM-DDTHHMM")
        }
        "snapshot_create" | "snapshot_create_always" => {
            OptionUse::Apart("coldchain takes a snapshot in each run")
        }
        "incremental"
        | "incremental_prefs"
        | "incremental_clones"
        | "incremental_resolve"
        | "resume_missing" => OptionUse::Apart(CHOSEN),
        "group" => OptionUse::Apart("there are no groups; commands take the name of a source"),
        "archive_preserve"
        | "archive_preserve_min"
        | "archive_exclude"
        | "archive_exclude_older"
        | "archive_qgroup_destroy" => {
            OptionUse::Apart("it is for `btrbk archive`; a [[mirror]] with `from` mirrors a mirror")
        }
        "ssh_compression" | "ssh_cipher_spec" => OptionUse::Apart(SSH),
        "ssh_port" => OptionUse::Apart("write the port into `to` of the [[mirror]]"),
        "rate_limit" | "rate_limit_remote" => {
            OptionUse::Apart("commands that send take --limit RATE")
        }
        "transaction_log" | "transaction_syslog" | "receive_log" => {
            OptionUse::Apart("set `log` for a log of coldchain's own")
        }
        "lockfile" => OptionUse::Apart("coldchain locks each source itself"),
        "btrfs_commit_delete" => OptionUse::Apart("`coldchain snapshots --sync` waits"),
        "send_protocol" | "send_compressed_data" => {
            OptionUse::Apart("see `protocol` in docs/configuration.md")
        }
        "gpg_keyring" | "gpg_recipient" => OptionUse::Apart(RAW),
        "backend_local"
        | "backend_local_user"
        | "compat"
        | "compat_local"
        | "compat_remote"
        | "btrfs_progs_compat"
        | "safe_commands"
        | "snapshot_qgroup_destroy"
        | "target_qgroup_destroy"
        | "cache_dir"
        | "ignore_extent_data_inline"
        | "warn_unknown_targets" => OptionUse::Apart("it has no counterpart"),
        other if other.starts_with("stream_") => OptionUse::Apart(STREAM),
        other
            if ["raw_target_", "openssl_", "kdf_"]
                .iter()
                .any(|start| other.starts_with(start)) =>
        {
            OptionUse::Apart(RAW)
        }
        _ => OptionUse::Unknown,
    }
}
