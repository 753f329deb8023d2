//! The file itself, and the methods of a config and of its errors.

use std::error::Error;

use super::{SOURCE, parse, with};
use crate::config::Config;

#[test]
fn a_hint_says_what_to_do_next() {
    let hint = |text: &str| parse(text).unwrap_err().hint();
    for (text, expected) in [
        (
            with("schedule.every = 1", ""),
            "known: `days`, `max_incrementals`, `max_chain_days`, `expire_after_days`, `catch_up`",
        ),
        (
            with("", "[[source]]\nname = 'b'\nstore = 'aws'"),
            "known: `main`",
        ),
        (SOURCE.to_owned(), "describe it in a [store.NAME]"),
        (
            with("", "subvolume = '/h'"),
            "set both, or neither for a source that only `coldchain decide` serves",
        ),
        (
            with("timezone = 'CET+1'", ""),
            "it takes a name of the IANA database, like `Europe/Berlin`",
        ),
    ] {
        assert_eq!(hint(&text).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(hint(&with("threads = 0", "")), None);
}

#[test]
fn an_unknown_source_is_answered_with_the_known_ones() {
    let config = parse(&with("", "[[source]]\nname = 'work'\nstore = 'main'")).unwrap();
    let error = config.source("hme").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown source `hme`, did you mean `home`?"
    );
    assert_eq!(error.hint().unwrap(), "known: `home`, `work`");
}

#[test]
fn no_recipient_is_an_error_only_where_one_is_needed() {
    let config = parse(&with("", "")).unwrap();
    let error = config.recipients().unwrap_err();
    assert_eq!(error.to_string(), "c.toml: no recipient is configured");
    assert_eq!(
        error.hint().unwrap(),
        "edit c.toml: name at least one in `recipients` of [encryption]; keep a spare"
    );
}

#[test]
fn a_file_that_is_not_there_points_at_init() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let error = Config::load(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the config file {} does not exist", path.display())
    );
    assert!(error.hint().unwrap().contains("`coldchain init`"));
    assert!(error.source().is_none());
}

#[test]
fn a_file_that_cannot_be_read_carries_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, b"# \xff\n").unwrap();
    let error = Config::load(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot read the config file {}", path.display())
    );
    assert!(error.source().is_some());
}

#[test]
fn a_file_that_is_there_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, with("", "")).unwrap();
    assert_eq!(Config::load(&path).unwrap().path, path);
}
