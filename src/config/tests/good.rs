//! Configs that are good, and what becomes of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono_tz::Tz;

use super::{parse, with};
use crate::config::*;
use crate::hooks::{Hook, HookCommand};
use crate::model::Protocol;
use crate::notify::NotifyWhen;
use crate::plan::{AlarmKind, KeepSnapshots};
use crate::store::DEFAULT_LISTING_BYTES;

#[test]
fn the_smallest_config_gets_the_documented_defaults() {
    let config = parse(&with("", "")).unwrap();
    let source = Source {
        name: "home".parse().unwrap(),
        origin: SourceOrigin::File,
        directory: "home".parse().unwrap(),
        live: None,
        pull: None,
        keep_snapshots: KeepSnapshots::Within {
            days: Some(60),
            newest: None,
        },
        held_for: Vec::new(),
        links: vec!["current".to_owned()],
        store: Some("main".to_owned()),
        copies: Vec::new(),
        protocol: Protocol::V1,
        segment_bytes: 128 << 20,
        contents: true,
        index: true,
        schedule: ScheduleConfig {
            days: vec![1, 7, 14, 21],
            max_incrementals: 11,
            max_chain_days: None,
            expire_after_days: 90,
            catch_up: true,
        },
    };
    let expected = Config {
        path: "c.toml".into(),
        timezone: system_timezone(),
        state_dir: "/var/lib/coldchain".into(),
        compression: Compression::Level(3),
        threads: system_threads(),
        memory_limit: 512 << 20,
        priority: Priority::Normal,
        sender: SentBy::Kernel,
        self_check: SelfCheckMode::On,
        prune: PruneMode::AfterBackup,
        delete_after: Duration::from_hours(168),
        sources: vec![source],
        mirrors: Vec::new(),
        stores: BTreeMap::from([(
            "main".to_owned(),
            StoreConfig::Dir {
                path: "/srv".into(),
                cold: None,
                listing_bytes: DEFAULT_LISTING_BYTES,
            },
        )]),
        prices: Prices::built_in(),
        recipients: Vec::new(),
        log: None,
        log_rotation: LogRotation::Here,
        hooks: Hooks {
            commands: Vec::new(),
            timeout: Duration::from_mins(10),
        },
        metrics: None,
        notify: Notify::default(),
        alarms: AlarmSettings::default(),
    };
    assert_eq!(config, expected);
}

#[test]
fn who_is_told_and_what_is_an_alarm_are_heard() {
    let top = r#"metrics = "/m.prom"
notify = { ping = "https://hc/a", pings = { verify = "https://hc/b", decide = "http://hc:1/c" }, webhook = "https://ntfy/x", webhook_body = "{title}", mail = "root", when = "always", log = true }
alarms = { verify = "10d", drill = "36h", off = ["archive-small", "cost-rises"] }"#;
    let config = parse(&with(top, "")).unwrap();
    let ping = |command: &str, url: &str| (command.to_owned(), url.to_owned());
    let expected = [
        ping("backup", "https://hc/a"),
        ping("decide", "http://hc:1/c"),
        ping("verify", "https://hc/b"),
    ];
    let mut pings = config.notify.pings.clone();
    pings.sort();
    assert_eq!(pings, expected);
    let webhook = config.notify.webhook.as_ref().unwrap();
    assert_eq!(webhook.content_type, "text/plain; charset=utf-8");
    assert_eq!(config.notify.mail.as_deref(), Some("root"));
    assert_eq!(config.notify.when, NotifyWhen::Always);
    assert!(config.notify.with_log);
    assert_eq!(config.alarms.limits.verify_days, Some(10));
    assert_eq!(config.alarms.limits.drill_days, Some(1));
    assert_eq!(
        config.alarms.off,
        [AlarmKind::ArchiveSmall, AlarmKind::CostRises]
    );
    // What is read of a faulty config is the same.
    let outputs = RunOutputs::of_faulty(&with(top, "broken = "), Path::new("c.toml"));
    assert_eq!(outputs, config.run_outputs());
}

#[test]
fn a_source_without_a_store_needs_no_store_and_no_recipient() {
    let alone = "[[source]]\nname = 'docs'\nsubvolume = '/docs'\nsnapshots = '/snapshots'\n";
    let config = parse(alone).unwrap();
    let docs = &config.sources[0];
    assert_eq!(
        (&docs.store, docs.keep_snapshots),
        (&None, KeepSnapshots::DEFAULT)
    );
    assert!(matches!(
        config.store_of(docs),
        Err(ConfigError::NoStore { source_name }) if source_name == docs.name
    ));
    assert!(matches!(
        config.sources_with_store(),
        Err(ConfigError::NoSourceWithStore { .. })
    ));
    // Beside one with a store, even its name may be that source's directory.
    let both = parse(&with("", &format!("archive_as = 'docs'\n{alone}"))).unwrap();
    let archived: Vec<_> = both
        .archived()
        .map(|(source, _)| source.name.as_str())
        .collect();
    assert_eq!(archived, ["home"]);
    assert_eq!(both.sources.len(), 2);
}

#[test]
fn log_and_hooks_are_heard() {
    let text = with(
        "log = '/var/log/c.log'
log_rotate = false
hooks = { after = ['/bin/after', '', 'a b'], before = ['/bin/before'], timeout = '90s' }",
        "",
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.log.as_deref(), Some(Path::new("/var/log/c.log")));
    assert_eq!(config.log_rotation, LogRotation::Elsewhere);
    let command = |program: &str, arguments: &[&str]| HookCommand {
        program: program.into(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
    };
    let commands = vec![
        (Hook::Before, command("/bin/before", &[])),
        (Hook::After, command("/bin/after", &["", "a b"])),
    ];
    let timeout = Duration::from_secs(90);
    assert_eq!(config.hooks, Hooks { commands, timeout });
}

#[test]
fn every_key_is_heard() {
    let text = "
timezone = \"America/St_Johns\"
state_dir = \"/srv/state\"
segment_size = \"16MiB\"
compression = 19
threads = 256
memory_limit = '3GiB'
priority = 'low'
sender = 'btrfs'
self_check = false
prune = \"elsewhere\"
delete_after = \"36h\"
[[source]]
name = \"home\"
subvolume = \"/home\"
snapshots = \"/home/.coldchain\"
keep_snapshots_days = 1
keep_snapshots = 2
store = \"disk\"
archive_as = \"old-home\"
compressed_data = \"inexact\"
segment_size = \"1GiB\"
[source.schedule]
days = [31, 1, 31]
catch_up = true

[[source]]
name = \"vm\"
store = \"disk\"
schedule = { max_chain_days = 30, max_incrementals = 0, expire_after_days = 1 }

[store.disk]
type = \"dir\"
path = \"/mnt/disk\"

[encryption]
recipients = [\"age1a\", \"age1b\"]

[schedule]
days = [15]
max_incrementals = 5
max_chain_days = 100
expire_after_days = 400
catch_up = false
";
    let config = parse(text).unwrap();
    assert_eq!(config.timezone, Tz::America__St_Johns);
    assert_eq!(config.state_dir, Path::new("/srv/state"));
    assert_eq!(config.compression, Compression::Level(19));
    assert_eq!(config.threads, 256);
    assert_eq!(config.memory_limit, 3 << 30);
    assert_eq!(config.priority, Priority::Low);
    assert_eq!(config.sender, SentBy::Btrfs);
    assert_eq!(config.self_check, SelfCheckMode::Off);
    assert_eq!(config.prune, PruneMode::Elsewhere);
    assert_eq!(config.delete_after, Duration::from_hours(36));
    assert_eq!(config.recipients().unwrap(), ["age1a", "age1b"]);

    let home = config.source("home").unwrap();
    assert_eq!(home.directory.as_str(), "old-home");
    let live = home.live.as_ref().unwrap();
    assert_eq!(live.subvolume, Path::new("/home"));
    assert_eq!(live.snapshots, Path::new("/home/.coldchain"));
    let both = KeepSnapshots::Within {
        days: Some(1),
        newest: Some(2),
    };
    assert_eq!(home.keep_snapshots, both);
    assert_eq!(home.protocol, Protocol::CompressedData);
    assert_eq!(home.segment_bytes, 1 << 30);
    let general = ScheduleConfig {
        days: vec![15],
        max_incrementals: 5,
        max_chain_days: Some(100),
        expire_after_days: 400,
        catch_up: false,
    };
    assert_eq!(
        home.schedule,
        ScheduleConfig {
            days: vec![1, 31],
            catch_up: true,
            ..general.clone()
        }
    );

    let vm = config.source("vm").unwrap();
    assert_eq!(vm.segment_bytes, 16 << 20);
    assert_eq!(
        vm.schedule,
        ScheduleConfig {
            max_incrementals: 0,
            max_chain_days: Some(30),
            expire_after_days: 1,
            ..general
        }
    );
}

#[test]
fn what_is_nearly_a_fault_is_accepted() {
    for (top, source) in [
        ("compression = 1", ""),
        ("delete_after = '0d'", ""),
        ("threads = 0x10", ""),
        ("segment_size = '20 MiB'", ""),
        ("timezone = 'UTC'", ""),
        ("encryption = {}\nschedule = {}", ""),
        ("encryption.recipients = []", ""),
        // One store for two sources, and one directory in two stores.
        ("", "[[source]]\nname = 'b'\nstore = 'main'"),
        (
            "store.other = { type = 'dir', path = '/srv2' }",
            "[[source]]\nname = 'b'\nstore = 'other'\narchive_as = 'home'",
        ),
        // Copies of two sources in one store.
        (
            "store.b = { type = 'dir', path = '/b' }",
            "copies = ['b']\n[[source]]\nname = 'b'\nstore = 'main'\ncopies = ['b']",
        ),
        ("", "copies = []"),
        // One subvolume archived twice.
        (
            "",
            "subvolume = '/h'\nsnapshots = '/s'\n[[source]]\nname = 'b'\nstore = 'main'\n\
             subvolume = '/h'\nsnapshots = '/s2'",
        ),
    ] {
        let text = with(top, source);
        if let Err(error) = parse(&text) {
            panic!("{error}\n{text}");
        }
    }
}

#[test]
fn a_number_of_snapshots_alone_sets_no_limit_of_days_and_latest_only_keeps_none() {
    let keep = |keys| parse(&with("", keys)).unwrap().sources[0].keep_snapshots;
    let days = Some(60);
    let newest = Some(9);
    for (keys, expected) in [
        ("", KeepSnapshots::Within { days, newest: None }),
        (
            "latest_only = false",
            KeepSnapshots::Within { days, newest: None },
        ),
        (
            "keep_snapshots = 9",
            KeepSnapshots::Within { days: None, newest },
        ),
        ("latest_only = true", KeepSnapshots::None),
    ] {
        assert_eq!(keep(keys), expected, "{keys}");
    }
}

#[test]
fn auto_chooses_among_the_levels_that_are_named() {
    let levels = |top| parse(&with(top, "")).unwrap().compression;
    let of = |lowest, highest| Compression::Auto { lowest, highest };
    assert_eq!(levels("compression = 'auto'"), of(1, 12));
    let named = "compression = 'auto'\ncompression_levels = [3, 19]";
    assert_eq!(levels(named), of(3, 19));
    for bad in [
        "[]",
        "[3]",
        "[4, 3]",
        "[1, 20]",
        "[1, 2, 3]",
        "3",
        "['a', 'b']",
    ] {
        let text = format!("compression = 'auto'\ncompression_levels = {bad}");
        let error = parse(&with(&text, "")).unwrap_err().to_string();
        assert!(error.contains(":2: `compression_levels"), "{error}");
    }
}

#[test]
fn large_segments_and_high_levels_raise_the_limit_that_nobody_set() {
    let limit = |top| parse(&with(top, "")).unwrap().memory_limit >> 20;
    assert_eq!(limit("segment_size = '128MiB'"), 512);
    assert_eq!(limit("segment_size = '1GiB'"), 2173);
    let config = parse(&with("segment_size = '1GiB'", "")).unwrap();
    assert_eq!(config.archiving(1 << 30).threads, 1);
    // An attempt that began with larger segments than there are now.
    let config = parse(&with("memory_limit = '300MiB'", "")).unwrap();
    assert_eq!(config.archiving(1 << 30).threads, 1);
    assert!(config.archiving(1 << 30).held_bytes >= 1 << 30);
}

#[test]
fn a_mirror_gets_the_documented_defaults() {
    let live = "subvolume = '/home'\nsnapshots = '/home/.coldchain'\n[[mirror]]\nsource = 'home'\nto = '/mnt//second/'";
    let config = parse(&with("", live)).unwrap();
    let expected = MirrorConfig {
        of: MirrorOf::Source,
        name: "home".parse().unwrap(),
        to: "/mnt/second".parse().unwrap(),
        keep: KeepSnapshots::parse("60d").unwrap(),
        hold: Duration::from_hours(90 * 24),
        links: vec!["current".to_owned()],
        stall: Duration::from_mins(30),
        identity_file: None,
        command: vec!["coldchain".to_owned()],
    };
    assert_eq!(config.mirrors, [expected]);
    let held = HeldFor {
        to: "/mnt/second".parse().unwrap(),
        hold: Duration::from_hours(90 * 24),
    };
    assert_eq!(config.sources[0].held_for, [held]);
    assert_eq!(config.mirrors_of(&config.sources[0]).count(), 1);
}

#[test]
fn every_key_of_a_mirror_is_taken() {
    let mirror = "subvolume = '/home'\nsnapshots = '/home/.coldchain'\n[[mirror]]\nsource = 'home'
        to = 'ssh://mirror@[fd00::1]:2222/srv/copies'\nkeep = '14d 8w'\nhold = '200d'\nlinks = ['newest', 'cur']
        stall = '5m'\nidentity_file = '/root/.ssh/mirror'\ncommand = ['sudo', 'coldchain']";
    let config = parse(&with("", mirror)).unwrap();
    let expected = MirrorConfig {
        of: MirrorOf::Source,
        name: "home".parse().unwrap(),
        to: "ssh://mirror@[fd00::1]:2222/srv/copies".parse().unwrap(),
        keep: KeepSnapshots::parse("14d 8w").unwrap(),
        hold: Duration::from_hours(200 * 24),
        links: vec!["newest".to_owned(), "cur".to_owned()],
        stall: Duration::from_mins(5),
        identity_file: Some("/root/.ssh/mirror".into()),
        command: vec!["sudo".to_owned(), "coldchain".to_owned()],
    };
    assert_eq!(config.mirrors, [expected]);
}

#[test]
fn a_mirror_of_a_mirror_needs_no_source() {
    let config = parse("mirror = [{ from = '/mnt/second/home/', to = '/mnt/third' }]").unwrap();
    assert!(config.sources.is_empty());
    let mirror = &config.mirrors[0];
    assert_eq!(mirror.of, MirrorOf::Directory("/mnt/second/home".into()));
    assert_eq!(mirror.name.as_str(), "home");
}
