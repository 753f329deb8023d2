use std::path::Path;

use super::snapper::read_snapper;
use super::taken::TakenOver;
use crate::config::{Config, TemplateFacts, blocks, template};

/// What `snapper create-config` writes, in short.
const USUAL: &str = r#"
# subvolume to snapshot
SUBVOLUME="/"

# filesystem type
FSTYPE="btrfs"
QGROUP=""
SPACE_LIMIT="0.5"
NUMBER_CLEANUP="yes"
NUMBER_MIN_AGE="3600"
NUMBER_LIMIT="50"
TIMELINE_CREATE="yes"
TIMELINE_CLEANUP="yes"
TIMELINE_MIN_AGE="3600"
TIMELINE_LIMIT_HOURLY="10"
TIMELINE_LIMIT_DAILY="10"
TIMELINE_LIMIT_WEEKLY="0"
TIMELINE_LIMIT_MONTHLY="10"
TIMELINE_LIMIT_QUARTERLY="0"
TIMELINE_LIMIT_YEARLY="10"
"#;

fn take(configs: &[(&str, &str)]) -> TakenOver {
    let configs: Vec<(String, Vec<u8>)> = configs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect();
    let taken = read_snapper(&configs).unwrap();
    if !taken.sources.is_empty() {
        let text = template(&TemplateFacts {
            recipients: &[],
            kit: None,
            timezone: "UTC",
            state_dir: None,
            sources: Some(&blocks(&taken, "/etc/snapper/configs/root")),
            store: None,
        });
        let config = Config::parse(&text, Path::new("c.toml")).unwrap();
        assert_eq!(config.sources.len(), taken.sources.len());
        for (read, source) in config.sources.iter().zip(&taken.sources) {
            assert_eq!(read.keep_snapshots, source.keep);
        }
    }
    taken
}

fn keeps(more: &str) -> String {
    let taken = take(&[("root", &format!("{USUAL}{more}"))]);
    taken.sources[0].keep.to_string()
}

#[test]
fn the_usual_config_is_taken_over() {
    let taken = take(&[
        ("root", USUAL),
        ("Home", &USUAL.replace("\"/\"", "'/home/'")),
    ]);
    let [root, home] = &taken.sources[..] else {
        panic!("{taken:?}");
    };
    assert_eq!((root.name.as_str(), root.subvolume.as_str()), ("root", "/"));
    assert_eq!(root.snapshots, "/.coldchain");
    assert_eq!(root.keep.to_string(), "11h 10d 10m 10y");
    assert!(root.remarks[1].contains("snapper rollback"));
    assert_eq!(
        (home.name.as_str(), home.subvolume.as_str()),
        ("home", "/home")
    );
    assert_eq!(home.snapshots, "/home/.coldchain");
    assert_eq!(home.remarks.len(), 1);
    assert_eq!(taken.left.len(), 2, "{taken:?}");
    assert!(taken.left[0].starts_with("root: NUMBER_LIMIT 50:"));
    assert_eq!(taken.warnings, [""; 0]);
}

#[test]
fn limits_are_never_less() {
    for (more, keep) in [
        ("TIMELINE_LIMIT_HOURLY=\"2-24\"", "25h 10d 10m 10y"),
        ("TIMELINE_LIMIT_DAILY=30-7", "11h 30d 10m 10y"),
        (
            "TIMELINE_LIMIT_WEEKLY=8\nTIMELINE_LIMIT_QUARTERLY='4'",
            "11h 10d 8w 10m 4q 10y",
        ),
        (
            "TIMELINE_LIMIT_HOURLY=0\nTIMELINE_LIMIT_DAILY=0\nTIMELINE_LIMIT_MONTHLY=0\nTIMELINE_LIMIT_YEARLY=0",
            "1",
        ),
        (
            "TIMELINE_LIMIT_DAILY=99999999999999",
            "11h 4294967295d 10m 10y",
        ),
        ("TIMELINE_LIMIT_DAILY=", "11h 10d 10m 10y"),
        ("TIMELINE_MIN_AGE=604800", "170h 10d 10m 10y"),
        ("TIMELINE_CLEANUP=\"no\"", "1000000"),
    ] {
        assert_eq!(keeps(more), keep, "{more}");
    }
    // What is not set is snapper's own default, and without a cleanup it deletes nothing.
    let few = take(&[("few", "SUBVOLUME=/srv\nTIMELINE_CLEANUP=yes\n")]);
    assert_eq!(few.sources[0].keep.to_string(), "11h 10d 10m 10y");
    let none = take(&[("none", "SUBVOLUME=/srv\n")]);
    assert_eq!(none.sources[0].keep.to_string(), "1000000");
}

#[test]
fn what_is_not_on_btrfs_is_left_out() {
    let lvm = USUAL.replace("\"btrfs\"", "\"lvm(ext4)\"");
    let taken = take(&[("data", &lvm), ("empty", "# nothing\n")]);
    assert_eq!(taken.sources, []);
    assert_eq!(
        taken.left,
        [
            "data: it is on lvm(ext4), and coldchain needs btrfs",
            "empty: it names no SUBVOLUME"
        ]
    );
}

#[test]
fn what_is_unknown_or_no_number_is_named() {
    let taken = take(&[(
        "root",
        &format!("{USUAL}NEW_KEY=1\nTIMELINE_LIMIT_DAILY=many\n"),
    )]);
    assert_eq!(
        taken.warnings,
        [
            "root: line 21: NEW_KEY is not known; nothing is taken over from it",
            "root: line 22: TIMELINE_LIMIT_DAILY is no number; snapper takes 10, and so does this config"
        ]
    );
}

#[test]
fn a_line_that_can_t_be_read_is_a_fault() {
    for (text, fault) in [
        (
            &b"SUBVOLUME=/\nnonsense"[..],
            "line 2: it is not KEY=\"VALUE\"",
        ),
        (b"=x", "line 1: it is not KEY=\"VALUE\""),
        (
            b"SUBVOLUME=home",
            "line 1: SUBVOLUME needs an absolute path without `..`",
        ),
        (
            b"SUBVOLUME=/a/../b",
            "line 1: SUBVOLUME needs an absolute path without `..`",
        ),
        (b"SUBVOLUME=/\xff", "line 1: it is not UTF-8"),
        (b"SUBVOLUME=/a\x07", "line 1: it has a control character"),
    ] {
        let (name, error) = read_snapper(&[("root".to_owned(), text.to_vec())]).unwrap_err();
        assert_eq!(
            (name.as_str(), error.to_string()),
            ("root", fault.to_owned())
        );
    }
}
