//! What `config show` prints must parse to the same config.

use std::path::Path;

use crate::config::{
    Config, SettingsTable, TemplateFacts, ValueOrigin, in_toml, settings, template,
};

/// A config, and the TOML that shows it.
fn shown(text: &str) -> (Config, Vec<SettingsTable>) {
    let config =
        Config::parse(text, Path::new("c.toml")).unwrap_or_else(|it| panic!("{it}: {text}"));
    let tables = settings(&config, text, None);
    (config, tables)
}

fn toml(tables: &[SettingsTable]) -> String {
    let lines = tables.iter().flat_map(|table| {
        let settings = table.settings.iter();
        let settings = settings.map(|it| format!("{} = {}", it.key, in_toml(&it.value)));
        std::iter::once(table.header.clone()).chain(settings)
    });
    // The config has no value for what every machine calls it.
    let lines = lines.filter(|line| line != "rsync_path = \"rsync\"");
    lines.collect::<Vec<_>>().join("\n")
}

const SMALL: &str = "[[source]]\nname = 'home'\nsubvolume = '/home'\nsnapshots = '/s'\n";
const ARCHIVED: &str = "store = 'a.b'\n[store.'a.b']\ntype = 'dir'\npath = '/p'\n";

#[test]
fn what_is_shown_is_a_config_that_amounts_to_the_same() {
    let whole: String = template(&TemplateFacts {
        recipients: &["age1x"],
        kit: None,
        timezone: "Asia/Tokyo",
        state_dir: Some(Path::new("/srv/a \"b\" \\ c\n\u{7f}ü")),
        sources: None,
        store: None,
    })
    .lines()
    .map(|line| {
        line.strip_prefix('#')
            .filter(|it| !it.starts_with(' '))
            .unwrap_or(line)
    })
    .filter(|line| !line.starts_with("compression_levels"))
    .fold(String::new(), |text, line| text + line + "\n")
    // What looks like a secret in a hook is hidden, and so another value.
    .replace("https://example.org/", "");
    let archived = format!("{SMALL}{ARCHIVED}");
    let pulled = |more: &str| format!("{SMALL}[source.pull]\n{more}\n");
    let texts = [
        whole,
        SMALL.to_owned(),
        archived.clone(),
        format!("compression = 'auto'\nsegment_size = '1GiB'\nkeep = '7d'\n{archived}"),
        format!(
            "compression = 'auto'\ncompression_levels = [2, 9]\ncontents = false\nkeep = 3\n{archived}"
        ),
        format!("schedule.days = [5]\nschedule.max_chain_days = 9\n{archived}"),
        archived.replace(
            "store = 'a.b'",
            "store = 'a.b'\nschedule = { days = [2, 0x3], catch_up = false }",
        ),
        archived.replace(
            "store = 'a.b'",
            "store = 'a.b'\ncompressed_data = 'inexact'",
        ),
        archived.replace(
            "store = 'a.b'",
            "store = 'a.b'\nprotocol = 2\nlatest_only = true",
        ),
        archived.replace("store = 'a.b'", "store = 'a.b'\nkeep_snapshots = 3"),
        pulled("from = '/elsewhere'"),
        pulled("from = 'ann@host:/elsewhere'\nmax_delete = '7%'"),
        pulled("from = '/elsewhere'\noptions = ['--timeout=60']"),
        format!("{SMALL}[[mirror]]\nsource = 'home'\nto = '/m'\n"),
        format!("{SMALL}[[mirror]]\nsource = 'home'\nto = 'ssh://h/m'\nkeep = 3\n"),
        format!(
            "{archived}[store.s]\ntype = 's3'\nbucket = 'abc'\nendpoint = 'https://h'\ntags = {{ 'a b' = 'c' }}\n\
             [hooks]\nafter = ['/bin/x', '--name', 'y']\n[notify]\nmail = 'root'\n[alarms]\noff = ['drill-old']\n\
             [prices]\ndate = 2026-11-21\nDEEP_ARCHIVE = {{ gb_month = 0.5, bulk = {{ per_gb = 2 }} }}\n\
             egress = [{{ per_gb = 0.09 }}]\n"
        ),
    ];
    for text in texts {
        let (config, tables) = shown(&text);
        let mut tables = tables;
        // What is hidden is another value.
        tables.retain(|table| table.header != "[notify]");
        let again = shown(&toml(&tables)).0;
        let config = Config {
            notify: again.notify.clone(),
            ..config
        };
        assert_eq!(again, config, "{text}\n---\n{}", toml(&tables));
    }
}

#[test]
fn each_value_has_its_origin() {
    let text = "segment_size = '64MiB'\n[schedule]\ndays = [3]\n[[source]]\nname = 'home'\nstore = 'd'\n\
                schedule.max_incrementals = 2\n[store.d]\ntype = 'dir'\npath = '/p'\n";
    let config = Config::parse(text, Path::new("c.toml")).unwrap();
    let tables = settings(&config, text, Some("--state-dir"));
    let origin = |header: &str, key: &str| {
        let table = tables.iter().find(|table| table.header == header).unwrap();
        table
            .settings
            .iter()
            .find(|it| it.key == key)
            .map(|it| it.origin)
    };
    for (header, key, expected) in [
        ("", "segment_size", Some(ValueOrigin::File(1))),
        ("", "state_dir", Some(ValueOrigin::Replaced("--state-dir"))),
        ("", "threads", Some(ValueOrigin::Machine)),
        ("", "self_check", Some(ValueOrigin::Default)),
        ("", "log", None),
        ("[schedule]", "days", Some(ValueOrigin::File(3))),
        ("[[source]]", "name", Some(ValueOrigin::File(5))),
        (
            "[[source]]",
            "segment_size",
            Some(ValueOrigin::AllSources(1)),
        ),
        ("[[source]]", "archive_as", Some(ValueOrigin::Default)),
        (
            "[source.schedule]",
            "days",
            Some(ValueOrigin::AllSources(3)),
        ),
        (
            "[source.schedule]",
            "max_incrementals",
            Some(ValueOrigin::File(7)),
        ),
        ("[source.schedule]", "catch_up", Some(ValueOrigin::Default)),
        ("[store.d]", "path", Some(ValueOrigin::File(10))),
    ] {
        assert_eq!(origin(header, key), expected, "{header} {key}");
    }
}

#[test]
fn secrets_are_hidden() {
    let text = format!(
        "{SMALL}[hooks]\nafter = ['/bin/x', '--token', 'SECRET', 'https://h/SECRET', 'key=SECRET']\n[notify]\n\
         ping = 'https://h/SECRET'\npings = {{ verify = 'https://h/SECRET' }}\nwebhook = 'https://u:SECRET@h/SECRET'\n\
         webhook_body = 'SECRET'\n[store.s]\ntype = 's3'\nbucket = 'abc'\nendpoint = 'https://h'\n"
    );
    let shown = toml(&shown(&text).1);
    assert!(!shown.contains("SECRET"), "{shown}");
    assert!(
        shown.contains("pings = { verify = \"https://h/***\" }"),
        "{shown}"
    );
}
