//! `[source.pull]`.

use std::path::Path;
use std::time::Duration;

use super::{parse, with};
use crate::config::PullConfig;

const SOURCE: &str = "[[source]]
name = 'home'
subvolume = '/backup/home'
snapshots = '/backup/snapshots'
[source.pull]
";

fn pulled(more: &str) -> PullConfig {
    let config = parse(&format!("{SOURCE}{more}")).unwrap();
    config.sources[0].pull.clone().unwrap()
}

#[track_caller]
fn fault(more: &str) -> String {
    let error = parse(&format!("{SOURCE}{more}")).unwrap_err();
    let says = ["must be ", "is missing"].map(|part| error.to_string().contains(part));
    assert!(error.hint().is_some() || says.contains(&true), "{error}");
    error.to_string().split_once(": ").unwrap().1.to_owned()
}

#[test]
fn the_smallest_pull_gets_the_documented_defaults() {
    let pull = pulled("from = '/srv'");
    let expected = PullConfig {
        from: "/srv".parse().unwrap(),
        identity_file: None,
        exclude: Vec::new(),
        exclude_from: None,
        rsync_path: None,
        options: Vec::new(),
        inplace: false,
        max_delete: 50,
        allow_unreadable: false,
        timeout: Duration::from_mins(30),
    };
    assert_eq!(pull, expected);
    assert!(pull.host().is_none() && !pull.stays_on_one_filesystem());
}

#[test]
fn keys_and_the_place_itself_say_the_same() {
    let expected = "ann@nas%%2222:/srv";
    for text in [
        "from = 'ann@nas%%2222:/srv'",
        "from = 'nas:/srv'\nuser = 'ann'\nport = 2222",
        "from = 'ann@nas:/srv'\nuser = 'ann'\nport = 2222",
        "from = 'nas%%2222:/srv'\nuser = 'ann'\nport = 2222",
    ] {
        assert_eq!(pulled(text).from.to_string(), expected, "{text}");
    }
    let all = pulled(
        "from = 'nas:/srv'\nidentity_file = '/k'\nexclude = ['*.o', '/x']\nexclude_from = '/e'\nrsync_path = 'sudo rsync'\n\
         options = ['-x', '--bwlimit=2m']\ninplace = true\nmax_delete = '7%'\nallow_unreadable = true\ntimeout = '5s'",
    );
    assert_eq!(all.identity_file.as_deref(), Some(Path::new("/k")));
    assert_eq!((all.max_delete, all.timeout), (7, Duration::from_secs(5)));
    assert!(all.inplace && all.allow_unreadable && all.stays_on_one_filesystem());
}

#[test]
fn a_fault_in_a_pull_says_what_it_takes() {
    for (text, expected) in [
        ("", "`source.pull.from` is missing"),
        (
            "from = '-e'",
            "`source.pull.from` can't be pulled from: it is neither an absolute path",
        ),
        ("from = 'nas::module'", "it names an rsync daemon"),
        ("from = 'nas:/srv/*'", "its path has one of the characters"),
        (
            "from = '/backup/home/x'",
            "`source.pull.from` is inside the source's own subvolume",
        ),
        (
            "from = '/srv'\nport = 22",
            "`source.pull.port` has no effect unless `from` is on another machine",
        ),
        (
            "from = 'ann@nas:/srv'\nuser = 'bob'",
            "`source.pull.user` is also set in another way",
        ),
        (
            "from = 'nas%%22:/srv'\nport = 23",
            "`source.pull.port` is also set in another way",
        ),
        (
            "from = 'nas:/srv'\nport = 0",
            "must be a port from 1 to 65535",
        ),
        (
            "from = 'nas:/srv'\nuser = '-l'",
            "must be a user's name that does not begin with `-`",
        ),
        (
            "from = '/srv'\nmax_delete = '101%'",
            "must be a share like \"50%\"",
        ),
        (
            "from = '/srv'\nmax_delete = 50",
            "must be a share like \"50%\"",
        ),
        (
            "from = '/srv'\nmax_delete = '+5%'",
            "must be a share like \"50%\"",
        ),
        (
            "from = '/srv'\noptions = ['--delete-excluded']",
            "rsync's `--delete-excluded` can't be used for a pull: it is not among",
        ),
        (
            "from = '/srv'\noptions = ['--filter=!']",
            "rsync's `--filter=!` can't be used for a pull: it clears the list",
        ),
        (
            "from = '/srv'\nexclude = ['a', '!']",
            "rsync's `!` can't be used for a pull: it clears the list",
        ),
        (
            "from = '/srv'\noptions = ['--timeout=5']\ntimeout = '5s'",
            "`source.pull.timeout` is also set in another way",
        ),
        ("from = 'nas:/srv'\nrsync_path = ''", "must be a command"),
        (
            "from = '/srv'\ntimeout = '0s'",
            "must be a duration of 1s or more",
        ),
    ] {
        let found = fault(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
    let twice = fault(
        "from = '/srv'\n[[source]]\nname = 'b'\nsubvolume = '/backup/home'\nsnapshots = '/backup/b'\npull.from = '/srv'",
    );
    assert!(
        twice.contains("source `home` is pulled into the same subvolume"),
        "{twice}"
    );
    let none = parse(&with("", "pull.from = '/srv'")).unwrap_err();
    assert!(
        none.to_string().contains("has a `pull` and no `subvolume`"),
        "{none}"
    );
}
