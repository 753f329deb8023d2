//! The commented config that `coldchain init` writes.
//!
//! Prose is `# text`; a setting that is not in force is `#key = value`, without the space. A test
//! removes those marks and parses what comes out, so the examples cannot rot.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::toml_value::basic_string as quoted;
use crate::model::Line;

/// What `init` knows when it writes the config.
#[derive(Debug, Clone, Copy)]
pub struct TemplateFacts<'a> {
    /// The recipients: first the one whose identity it has just made.
    pub recipients: &'a [&'a str],
    /// The recovery kit that has this identity.
    pub kit: Option<&'a Path>,
    /// IANA name.
    pub timezone: &'a str,
    /// `None` for the default. It must be UTF-8, because TOML can contain no other path.
    pub state_dir: Option<&'a Path>,
    /// The blocks of sources and mirrors, in place of an example of them.
    pub sources: Option<&'a str>,
    /// The block of the store, in place of examples of stores.
    pub store: Option<&'a str>,
}

/// A comment that tells a later `init` which kit the first one made; the kit's path follows.
const KIT: &str = "# The identity of this recipient is in the recovery kit ";

/// Returns the recovery kit that a config's comment names.
pub fn kit_of_template(config: &str) -> Option<PathBuf> {
    let path = config.lines().find_map(|line| line.strip_prefix(KIT))?;
    Some(PathBuf::from(path))
}

const HEAD: &str = "\
# coldchain: what is archived, when, and where to.
#
# A line that begins with `#` and no space after it is a setting that is switched off. It shows the default,
# if there is one. `coldchain plan` shows what this file would do, and changes nothing.
";

const TOP: &str = r#"
# Raw bytes in a segment: one object, one request. 16MiB to 1GiB; 512MiB suits a source over 1 TiB.
#segment_size = "128MiB"

# Store with each archive what files it has: its stream without the data, sealed, 50 to 80 MB for a million files. The
# questions about files of any date need it.
#contents = true

# Keep an index of the files in all archives here, below `files` in the state directory: about 150 MB for a million files.
# It is made after each archive, and answers `ls`, `find`, `history`, `diff` and `du`.
#index = true

# zstd level, 1 to 19, or "auto". With "auto", coldchain chooses a level between the two below, so that the
# upload does not wait: a slow upload gets smaller archives.
# ("auto" has zstd's levels 1 to 9, 18 and 19, and at 11 and 12 steps of its own that save more than zstd's.)
#compression = 3
#compression_levels = [1, 12]

# Threads that compress. If not set: one for each core, or fewer if memory_limit is too small for that.
#threads = 2

# The most memory that archiving or restoring takes. With more, more threads compress, and more segments
# are fetched at once.
#memory_limit = "512MiB"

# "low" gives backup, decide, prune and verify the processor and the disks when no other program wants them.
#priority = "normal"

# Who makes a send stream: the kernel, asked by coldchain ("kernel") or by `btrfs send` ("btrfs", which takes more
# processor time), or the kernel without the data of files, which coldchain reads in several threads ("parallel"). What a
# restore brings back is the same.
#sender = "kernel"

# Open every sealed segment again and compare, before it is uploaded.
#self_check = true

# Who deletes what has expired: the backups of this machine ("after-backup"), or another machine with its own
# credentials ("elsewhere"). With "elsewhere", this machine's credentials need no permission to delete.
#prune = "after-backup"

# How long the objects of retired archives are kept, by the store's clock.
#delete_after = "7d"

# Which snapshots a source keeps that does not say it: see `keep` in [[source]].
#keep = 14

# A file with a line for each thing that was done or went wrong. None unless set.
#log = "/var/log/coldchain.log"
# Rename it when it reaches 1 MiB, and keep five old ones; false if logrotate does that.
#log_rotate = true
# A file for Prometheus (node_exporter's textfile collector), written at the end of each run.
#metrics = "/var/lib/prometheus/node-exporter/coldchain.prom"
"#;

pub(super) const SOURCE: &str = r#"
# What is archived, one such block for each subvolume. Remove the `#` marks and put in your own values.
#[[source]]
#name = "home"
#subvolume = "/home"
# Read-only snapshots, on the same filesystem: the nightly ones are named YYYY-MM-DD, those of `coldchain snapshot`
# YYYY-MM-DDTHHMM.
#snapshots = "/home/.coldchain"
# Which snapshots are kept: so many of the newest (14), or one of each of the newest hours, days, weeks, months,
# quarters and years that have any. What the next incremental needs is always kept.
#keep = "24h 14d 8w 12m"
# In its place: how many days old they are at most; or only those that the next run needs; or, from before, one or
# both of the last two.
# or: keep_days = 60
# or: latest_only = true
# or: keep_snapshots_days = 60
# or: keep_snapshots = 30
# The names of links to the newest snapshot, in the same directory.
#links = ["current"]
# The name of a [store.NAME]. A source without a store keeps its snapshots alone: nothing of it is archived. If
# no source has a store, no [encryption] and no recovery kit is needed.
#store = "main"
# More stores, which get a copy of the archives each night, byte for byte.
#copies = []
# The directory in the store; keep it when you rename the source.
#archive_as = "home"
# The version of the send streams. From Linux 6.17 on, version 2 sends a punched hole as a hole; a restore then
# takes btrfs-progs 5.19 or newer.
#protocol = 1
# Send data as it is compressed on disk, in streams of version 2. The kernel's sender loses bytes of such data,
# without an error: only "inexact" switches this on.
#compressed_data = false
# This source's own segment size, and its own values for single keys of [schedule].
#segment_size = "128MiB"
#contents = true
#index = true
#schedule = { max_incrementals = 11 }
# The subvolume gets its content by rsync, before each snapshot: for machines and filesystems without btrfs;
# docs/pull.md. The block belongs to the [[source]] above it.
#[source.pull]
# A directory of this machine, or [USER@]HOST[%%PORT]:/PATH by ssh.
#from = "ann@laptop:/home"
# Over ssh: the user, the port, the key to log in with, and what starts rsync there.
#user = "ann"
#port = 22
#identity_file = "/root/.ssh/pull"
#rsync_path = "sudo rsync"
# What is neither pulled nor deleted, in rsync's patterns: here, and in a file with one a line.
#exclude = ["/ann/.cache/", "*.tmp"]
#exclude_from = "/etc/coldchain/exclude-laptop"
# More of rsync's options.
#options = ["--compress", "--bwlimit=2m"]
# Write changed blocks into the files themselves: small incrementals of large files, but no hard links.
#inplace = false
# The share of the entries of the last good run that one run may delete.
#max_delete = "50%"
# Do without files that can't be read there.
#allow_unreadable = false
# How long nothing may move before rsync gives up.
#timeout = "30m"

# Another btrfs that gets the snapshots of a source by send and receive, one such block for each; docs/mirrors.md.
#[[mirror]]
#source = "home"
# A directory of this machine, or ssh://[USER@]HOST[:PORT]/PATH; the copies lie in its directory of the source's name.
#to = "/mnt/second"
# Which copies it keeps, as a source's `keep`; what the next run needs is always kept.
#keep = "60d"
# How long after the last success a snapshot here is kept for it: for so long it may be away.
#hold = "90d"
# The names of links to the newest copy.
#links = ["current"]
# Over ssh: how long no byte may move, the key to log in with, and what starts coldchain there.
# or: stall = "30m"
# or: identity_file = "/root/.ssh/mirror"
# or: command = ["coldchain"]
# In place of `source`: another mirror's directory of one source, to mirror the mirror.
# or: from = "/mnt/second/home"
"#;

pub(super) const STORES: &str = r#"
# Where it is archived to.
#[store.main]
#type = "dir"
#path = "/mnt/offsite/coldchain"
# Act like a cold storage class, to rehearse a restore: a thaw takes as long as cold_delay says.
#cold = "GLACIER"
#cold_delay = "5h"

# A bucket of Amazon S3, or of another service with the same protocol.
#[store.aws]
#type = "s3"
#bucket = "my-archives"
#prefix = "laptop"
# Credentials, region and profile as for the AWS CLI; these take precedence.
#region = "eu-central-1"
#profile = "archiver"
#credentials_file = "/etc/coldchain/aws-credentials"
# For what is not AWS: its URL, and a file of certificates to trust.
#endpoint = "https://s3.example.org"
#path_style = true
#ca_file = "/etc/coldchain/ca.pem"
# Where segments go: STANDARD, STANDARD_IA, ONEZONE_IA, GLACIER_IR, GLACIER or DEEP_ARCHIVE.
# The ledger and the keys are always in STANDARD.
#storage_class = "DEEP_ARCHIVE"
# What the service checks an upload by: sha256, crc64nvme, md5 or none.
#checksum = "sha256"
# How many segments are uploaded at once; each takes its size in memory.
#uploads = 2
# How long a run waits for a service that does not answer.
#give_up_after = "6h"
# Lock objects, "governance" or "compliance"; the source then needs max_chain_days.
#object_lock = "governance"
#tags = { owner = "backup" }
# Encryption by the service, in addition to that of coldchain: "AES256" or "aws:kms".
#encryption = "aws:kms"
#kms_key = "alias/archives"

# A Glacier vault with its own API, which takes no new customers since 2025-12-15; docs/vault.md.
#[store.vault]
#type = "glacier-vault"
#vault = "my-vault"
#region = "eu-central-1"
# The store of the ledger and the keys, a directory or a bucket without a cold class; segments go to the vault.
#ledger_store = "ledger"
# As of a bucket.
#profile = "archiver"
#credentials_file = "/etc/coldchain/aws-credentials"
#endpoint = "https://glacier.example.org"
#ca_file = "/etc/coldchain/ca.pem"
#uploads = 2
#give_up_after = "6h"

#[store.ledger]
#type = "s3"
#bucket = "my-ledgers"
"#;

const SCHEDULE: &str = "
[schedule]
# Days of the month on which an archive is due; a day that a month lacks is skipped.
#days = [1, 7, 14, 21]
# A chain is one full archive and at most this many incrementals; 0 means always full.
#max_incrementals = 11
# Begin a new chain when the newest is older than this. No limit unless set.
#max_chain_days = 365
# A chain expires this many days after its newest archive, and never before a newer one is verified.
#expire_after_days = 90
# If a scheduled night was missed, archive on the next night. (The first archive is made on any night.)
#catch_up = true
";

const HOOKS: &str = "
# Programs that run around each source's run; docs/hooks-and-log.md has what they learn. The first word is an
# absolute path. No user but you and root may be able to change the program or to replace it.
[hooks]
#before = [\"/usr/local/bin/mount-shelf\"]
#on_success = [\"/usr/local/bin/ping\", \"https://example.org/ok\"]
#on_failure = [\"/usr/local/bin/ping\", \"https://example.org/failed\"]
#after = [\"/usr/local/bin/unmount-shelf\"]
# How long each may take before it is killed.
#timeout = \"10m\"
";

const NOTIFY: &str = "
# Whom coldchain tells how runs end; docs/watching.md has what is sent. No message names a path unless `log` is on.
[notify]
# A check at Healthchecks.io, or a server that speaks its protocol: pinged when a backup begins and ends.
#ping = \"https://hc-ping.com/a-uuid-of-yours\"
# Checks for other commands.
#pings = { verify = \"https://hc-ping.com/another-uuid\" }
# A URL that gets a POST: JSON, or what `webhook_body` says. Small letters in braces are filled in.
#webhook = \"https://ntfy.example.org/backups\"
#webhook_body = \"{title}: {text}\"
#webhook_type = \"text/plain; charset=utf-8\"
# Mail through the system's sendmail.
#mail = \"root\"
#sendmail = \"/usr/sbin/sendmail\"
# When webhook and mail are used: problems (and their ends), or always.
#when = \"problems\"
# Add errors and the last lines that the run printed. They may name paths.
#log = false

# What `status` and messages raise an alarm for.
[alarms]
# How old a check and a drill may become.
#verify = \"45d\"
#drill = \"190d\"
# Kinds that are no alarm here; `coldchain status --json` names the kinds.
#off = [\"archive-small\"]
";

const PRICES: &str = "
# The store's prices in US dollars, if they are not AWS's list prices in us-east-1. Only estimates use
# them.
#[prices]
#date = 2026-11-21
#region = \"us-east-1\"
#DEEP_ARCHIVE = { gb_month = 0.00099, bulk = { per_gb = 0.0025 } }
#egress = [{ up_to_gb = 100, per_gb = 0 }, { up_to_gb = 10240, per_gb = 0.09 }, { up_to_gb = 51200, per_gb = 0.085 }, { up_to_gb = 153600, per_gb = 0.07 }, { per_gb = 0.05 }]
";

/// Returns the text of a new config. It parses if the facts have sources, or once it gets one.
pub fn template(facts: &TemplateFacts<'_>) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n# What \"today\" means, and so which date an archive gets.\n");
    let _ = writeln!(text, "timezone = {}", quoted(facts.timezone));
    text.push_str("\n# Catalog and signing keys; readable by its owner alone.\n");
    match facts.state_dir {
        Some(path) => {
            let _ = writeln!(text, "state_dir = {}", quoted(&path.to_string_lossy()));
        }
        None => text.push_str("#state_dir = \"/var/lib/coldchain\"\n"),
    }
    text.push_str(TOP);
    match facts.sources {
        Some(blocks) => {
            text.push('\n');
            text.push_str(blocks);
        }
        None => text.push_str(SOURCE),
    }
    text.push_str(facts.store.unwrap_or(STORES));
    text.push_str(
        "\n[encryption]\n# Public keys, age or ssh. One alone is a risk: keep a spare.\n",
    );
    if let Some(kit) = facts.kit {
        let _ = writeln!(text, "{KIT}{}", Line(kit.display()));
    }
    if facts.recipients.is_empty() {
        text.push_str("#recipients = [\"age1...\", \"age1...\"]\n");
    } else {
        let quoted = facts.recipients.iter().map(|recipient| quoted(recipient));
        let quoted: Vec<String> = quoted.collect();
        let _ = writeln!(text, "recipients = [{}]", quoted.join(", "));
    }
    text.push_str(SCHEDULE);
    text.push_str(HOOKS);
    text.push_str(NOTIFY);
    text.push_str(PRICES);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Config, ConfigError, hooks, mirror, notify, prices, pull, schedule, source, stores, vault,
    };

    fn facts() -> TemplateFacts<'static> {
        TemplateFacts {
            recipients: &["age1example"],
            kit: Some(Path::new("/root/kit.txt")),
            timezone: "Europe/Berlin",
            state_dir: None,
            sources: None,
            store: None,
        }
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("c.toml"))
    }

    /// Removes the marks of settings.
    fn unmark(text: &str) -> String {
        let unmarked = text.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
            _ => line,
        });
        unmarked.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_new_config_says_that_it_has_no_source_yet() {
        for recipients in [&[][..], &["age1example"]] {
            let text = template(&TemplateFacts {
                recipients,
                kit: None,
                ..facts()
            });
            let error = parse(&text).unwrap_err();
            assert_eq!(error.to_string(), "c.toml: no source is configured");
            assert_eq!(
                error.hint().unwrap(),
                "edit c.toml: describe what to archive in a [[source]], and where to in its [store.NAME]"
            );
        }
    }

    #[test]
    fn the_example_of_a_source_and_a_store_is_all_that_a_new_config_lacks() {
        let text = template(&facts())
            .replace(SOURCE, &unmark(SOURCE))
            .replace(STORES, &unmark(STORES));
        let config = parse(&text).unwrap();
        assert_eq!(config.sources[0].name.as_str(), "home");
        assert_eq!(config.recipients().unwrap(), ["age1example"]);
        assert_eq!(config.timezone, chrono_tz::Europe::Berlin);
    }

    #[test]
    fn what_is_marked_as_not_in_force_is_the_default() {
        let all = unmark(&template(&facts()))
            .replace("threads = 2\n", "")
            .replace("compression_levels = [1, 12]\n", "")
            .replace("max_chain_days = 365\n", "")
            // A bucket has a default, and a vault has none.
            .replacen("region = \"eu-central-1\"\n", "", 1);
        // A key without a default has an example that shows its form.
        let examples = [
            "keep = ",
            "cold = ",
            "cold_delay",
            "prefix",
            "credentials_file",
            "profile",
            "endpoint",
            "path_style",
            "ca_file",
            "storage_class",
            "object_lock",
            "tags",
            "encryption = ",
            "kms_key",
            "log = ",
            "metrics = ",
            "ping",
            "webhook",
            "mail = ",
            "sendmail = ",
            "off = ",
            "before",
            "on_success",
            "on_failure",
            "after",
            "user = ",
            "port = ",
            "identity_file",
            "exclude",
            "rsync_path",
            "options",
        ];
        let all: Vec<&str> = all
            .lines()
            .filter(|line| !examples.iter().any(|key| line.starts_with(key)))
            .collect();
        let all = all.join("\n");
        let few = "
            timezone = 'Europe/Berlin'
            source = [{ name = 'home', subvolume = '/home', snapshots = '/home/.coldchain', store = 'main', pull = { from = 'ann@laptop:/home' } }]
            mirror = [{ source = 'home', to = '/mnt/second' }]
            store.main = { type = 'dir', path = '/mnt/offsite/coldchain' }
            store.aws = { type = 's3', bucket = 'my-archives' }
            store.vault = { type = 'glacier-vault', vault = 'my-vault', region = 'eu-central-1', ledger_store = 'ledger' }
            store.ledger = { type = 's3', bucket = 'my-ledgers' }
            encryption.recipients = ['age1example']";
        assert_eq!(parse(&all).unwrap(), parse(few).unwrap());
    }

    #[test]
    fn every_known_key_is_in_the_template() {
        let text = unmark(&template(&facts()));
        // `compression_levels` only goes with "auto".
        let text = text.replace("compression = 3", "compression = \"auto\"");
        let config = parse(&text).unwrap();
        assert_eq!(*config.compression.levels().end(), 12, "the default");
        let tables = [
            "source",
            "mirror",
            "store",
            "encryption",
            "schedule",
            "prices",
            "hooks",
            "notify",
            "alarms",
            "pull",
        ];
        let known = super::super::KEYS
            .iter()
            .filter(|key| !tables.contains(key))
            .chain(super::super::ENCRYPTION_KEYS)
            .chain(source::KEYS.iter().filter(|key| !tables.contains(key)))
            .chain(pull::KEYS)
            .chain(mirror::KEYS)
            .chain(stores::DIR_KEYS)
            .chain(stores::S3_KEYS)
            .chain(vault::KEYS)
            .chain(schedule::KEYS)
            .chain(hooks::KEYS)
            .chain(notify::KEYS)
            .chain(notify::ALARM_KEYS)
            .chain(prices::KEYS);
        for key in known {
            let setting = format!("{key} = ");
            // What excludes the setting before it is only named.
            let is_named = |line: &str| line.trim_start_matches("# or: ").starts_with(&setting);
            assert!(text.lines().any(is_named), "{key}");
        }
    }

    /// The packages have it as an example.
    #[test]
    fn the_example_is_the_template_without_a_recipient() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/config.toml");
        let text = template(&TemplateFacts {
            recipients: &[],
            kit: None,
            timezone: "Etc/UTC",
            state_dir: None,
            sources: None,
            store: None,
        });
        if std::env::var_os("COLDCHAIN_WRITE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let example = std::fs::read_to_string(path).unwrap();
        assert!(
            text == example,
            "`COLDCHAIN_WRITE_GOLDEN=1 cargo test --lib template` writes {path}"
        );
    }

    #[test]
    fn a_state_directory_with_odd_characters_reads_back() {
        let odd = Path::new("/srv/a \"b\" \\ c\n\u{7f}ü");
        let text = unmark(&template(&TemplateFacts {
            state_dir: Some(odd),
            ..facts()
        }));
        let text = text.replace("compression_levels = [1, 12]\n", "");
        assert_eq!(parse(&text).unwrap().state_dir, odd);
    }
}
