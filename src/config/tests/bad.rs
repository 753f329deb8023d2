//! Faults, each with its exact words.
//!
//! In the tables, an indented line holds the line number and the message for the TOML above it.

use super::{STORE, parse, with};

fn message(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("{text} is accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// Checks a table; `config` makes a whole config of each case.
fn check(table: &str, config: impl Fn(&str) -> String) {
    let mut case = Vec::new();
    let mut checked = 0;
    for line in table.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("    ") {
            let text = config(&case.join("\n"));
            assert_eq!(
                message(&text),
                format!("c.toml:{}", line.trim_start()),
                "{text}"
            );
            case.clear();
            checked += 1;
        } else {
            case.push(line);
        }
    }
    assert!(case.is_empty() && checked > 0, "a case has no message");
}

#[test]
fn a_fault_at_the_top_level_names_line_key_and_what_it_takes() {
    let table = r#"
timezone = 1
    1: `timezone` must be a string, found 1
timezone = 'Europe/Berln'
    1: unknown time zone `Europe/Berln`, did you mean `Europe/Berlin`?
state_dir = 'state'
    1: `state_dir` must be an absolute path without `..`, found the string "state"
compression = 'best'
    1: unknown value `best`
compression = 'aut'
    1: unknown value `aut`, did you mean `auto`?
compression = true
    1: `compression` must be "auto" or a zstd level from 1 to 19, found true
compression = 20
    1: `compression` must be "auto" or a zstd level from 1 to 19, found 20
compression = -1
    1: `compression` must be "auto" or a zstd level from 1 to 19, found -1
compression_levels = [1, 12]
    1: `compression_levels` has no effect unless `compression` is "auto"
memory_limit = 512
    1: `memory_limit` must be a size like "512MiB", found 512
memory_limit = '100MiB'
    1: `memory_limit` must be 231MiB or more for segments of 128MiB at compression level 3
log = 'coldchain.log'
    1: `log` must be an absolute path without `..`, found the string "coldchain.log"
log_rotate = 'no'
    1: `log_rotate` must be true or false, found the string "no"
hooks = { befor = ['/bin/true'] }
    1: unknown key `hooks.befor`, did you mean `before`?
hooks = { before = '/bin/true' }
    1: `hooks.before` must be an array of strings, the first an absolute path, found the string "/bin/true"
hooks = { before = [] }
    1: `hooks.before` must be an array of strings, the first an absolute path, found an empty array
hooks = { before = ['true'] }
    1: `hooks.before` must be an absolute path without `..`, found the string "true"
hooks = { before = ['/bin/true', 1] }
    1: `hooks.before` must be an array of strings, found 1
hooks = { before = ['/bin/true', "a\u0000"] }
    1: `hooks.before` must be an array of strings, found the string "a\0"
hooks = { timeout = '0s' }
    1: `hooks.timeout` must be a duration of 1s or more, found the string "0s"
metrics = 'm.prom'
    1: `metrics` must be an absolute path without `..`, found the string "m.prom"
notify = { pin = 'https://h/x' }
    1: unknown key `notify.pin`, did you mean `ping`?
notify = { ping = 'hc-ping.com/x' }
    1: `notify.ping` must be a URL that begins with https:// or http://, found the string "hc-ping.com/x"
notify = { ping = 'https://' }
    1: `notify.ping` must be a URL that begins with https:// or http://, found the string "https://"
notify = { pings = { bakup = 'https://h/x' } }
    1: unknown key `notify.pings.bakup`, did you mean `backup`?
notify = { webhook = 'https://h/ x' }
    1: `notify.webhook` must be a URL that begins with https:// or http://, found the string "https://h/ x"
notify = { webhook_body = '{titel}' }
    1: `notify.webhook_body` must be a text with known placeholders; there is no placeholder {titel}; there are {title}, {text}, {host}, {command}, {result}, {exit_code}, {state}, {run}, found the string "{titel}"
notify = { webhook_type = 'json' }
    1: `notify.webhook_type` must be a content type like "application/json", found the string "json"
notify = { mail = 'a b' }
    1: `notify.mail` must be one mail address, or the name of a user here, found the string "a b"
notify = { when = 'never' }
    1: unknown value `never`
alarms = { off = ['overdu'] }
    1: unknown value `overdu`, did you mean `overdue`?
alarms = { verify = '12h' }
    1: `alarms.verify` must be a duration of 1d or more, found the string "12h"
priority = 'lowest'
    1: unknown value `lowest`
priority = 1
    1: `priority` must be a string, found 1
threads = 0
    1: `threads` must be an integer from 1 to 256, found 0
threads = 1.5
    1: `threads` must be an integer from 1 to 256, found the float 1.5
threads = 99999999999999999999
    1: `threads` must be an integer from 1 to 256, found 99999999999999999999
delete_after = 7
    1: `delete_after` must be a string, found 7
delete_after = '1 week'
    1: `delete_after` must be a duration like "6h", in s, m, h or d, found the string "1 week"
self_check = 'yes'
    1: `self_check` must be true or false, found the string "yes"
segment_size = 134217728
    1: `segment_size` must be a size like "128MiB", from 16MiB to 1GiB in steps of 4MiB, found 134217728
segment_size = '12MiB'
    1: `segment_size` must be a size like "128MiB", from 16MiB to 1GiB in steps of 4MiB, found the string "12MiB"
segment_size = '18MiB'
    1: `segment_size` must be a size like "128MiB", from 16MiB to 1GiB in steps of 4MiB, found the string "18MiB"
segment_size = '2GiB'
    1: `segment_size` must be a size like "128MiB", from 16MiB to 1GiB in steps of 4MiB, found the string "2GiB"
"#;
    check(table, |top| with(top, ""));
}

#[test]
fn a_fault_in_a_table_names_its_path() {
    let table = r#"
encryption = 2026-08-07
    1: `encryption` must be a table, found the date 2026-08-07
encryption.recipients = 'age1a'
    1: `encryption.recipients` must be an array of strings, found the string "age1a"
encryption = { recipients = ['age1a', true] }
    1: `encryption.recipients` must be a string, found true
schedule.days = []
    1: `schedule.days` must be a list of at least one day of the month, found an empty array
schedule.days = 1
    1: `schedule.days` must be a list of at least one day of the month, found 1
schedule.days = [
  1,
  32,
]
    3: `schedule.days` must be days of the month from 1 to 31, found 32
schedule.max_incrementals = -1
    1: `schedule.max_incrementals` must be an integer from 0 to 1000000, found -1
schedule.max_chain_days = 0
    1: `schedule.max_chain_days` must be an integer from 1 to 1000000, found 0
schedule.expire_after_days = 0
    1: `schedule.expire_after_days` must be an integer from 1 to 1000000, found 0
store.aws = { bucket = 'b', type = 's4' }
    1: unknown store type `s4`, did you mean `s3`?
store.disk = { path = '/a' }
    1: `store.disk.type` is missing
store.disk = { type = 'dir' }
    1: `store.disk.path` is missing
store.disk = { type = 'dir', path = '/a/../b' }
    1: `store.disk.path` must be an absolute path without `..`, found the string "/a/../b"
store.disk = '/a'
    1: `store.disk` must be a table, found the string "/a"
"#;
    check(table, |top| with(top, ""));
}

#[test]
fn a_fault_in_a_source_names_line_key_and_what_it_takes() {
    let table = r#"
archive_as = 'Home'
    6: `source.archive_as` must be 1 to 64 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit, found the string "Home"
compressed_data = 0
    6: `source.compressed_data` must be false or "inexact", found 0
compressed_data = 'yes'
    6: `source.compressed_data` must be false or "inexact", found the string "yes"
compressed_data = true
    6: `source.compressed_data` must not be true: the kernel's sender loses bytes of compressed data, without an error, so that a restore can differ from what was archived
protocol = 1
compressed_data = 'inexact'
    6: `source.protocol` is 1, and only version 2 carries compressed data
protocol = 3
    6: `source.protocol` must be a version from 1 to 2, found 3
protocol = "2"
    6: `source.protocol` must be a version from 1 to 2, found the string "2"
keep_snapshots_days = 0
    6: `source.keep_snapshots_days` must be an integer from 1 to 1000000, found 0
keep_snapshots = 0
    6: `source.keep_snapshots` must be an integer from 1 to 1000000, found 0
latest_only = 1
    6: `source.latest_only` must be true or false, found 1
subvolume = 'home'
    6: `source.subvolume` must be an absolute path without `..`, found the string "home"
snapshots = ''
    6: `source.snapshots` must be an absolute path without `..`, found the string ""
subvolume = '/home'
    3: `source.subvolume` is set and `source.snapshots` is not
snapshots = '/home'
    3: `source.snapshots` is set and `source.subvolume` is not
subvolume = '/home'
snapshots = '/home/'
    7: `source.snapshots` must not be the subvolume itself
[source.schedule]
catch_up = 1
    7: `source.schedule.catch_up` must be true or false, found 1
schedule = 1
    6: `source.schedule` must be a table, found 1
[[source]]
store = 'main'
    6: `source.name` is missing
[[source]]
name = 'b'
    6: the source has neither a `store` nor a `subvolume`
[[source]]
name = 'b'
stor = 'main'
    8: unknown key `source.stor`, did you mean `store`?
[[source]]
name = 'b'
store = 'man'
    8: unknown store `man`, did you mean `main`?
"#;
    check(table, |source| with("", source));
}

#[test]
fn two_sources_must_not_be_mistaken_for_each_other() {
    let table = r"
[[source]]
name = 'home'
store = 'main'
    7: two sources are named `home`
[[source]]
name = 'b'
store = 'main'
archive_as = 'home'
    9: the directory `home` in store `main` is already that of source `home`
archive_as = 'b'
[[source]]
name = 'b'
store = 'main'
    8: the directory `b` in store `main` is already that of source `home`
[store.same]
type = 'dir'
path = '/srv/.'
[[source]]
name = 'b'
store = 'same'
archive_as = 'home'
    12: the directory `home` in store `same` is already that of source `home`
subvolume = '/a'
snapshots = '/s'
[[source]]
name = 'b'
store = 'main'
subvolume = '/b'
snapshots = '/s'
    12: `source.snapshots` is also where source `home` keeps its snapshots
";
    check(table, |source| with("", source));
}

#[test]
fn two_sources_of_one_subvolume_keep_their_snapshots_apart_too() {
    // Each would find the other's snapshots in its directory.
    let table = "
subvolume = '/a'
snapshots = '/s'
[[source]]
name = 'b'
store = 'main'
subvolume = '/a'
snapshots = '/s/'
    12: `source.snapshots` is also where source `home` keeps its snapshots
";
    check(table, |source| with("", source));
}

#[test]
fn an_unknown_key_names_its_table_and_the_nearest_known_one() {
    let top = r"
timezon = 'UTC'
    1: unknown key `timezon`, did you mean `timezone`?
upload_window = '1GiB'
    1: unknown key `upload_window`
encryption.recipient = []
    1: unknown key `encryption.recipient`, did you mean `recipients`?
store.disk = { type = 'dir', sold = 'GLACIER' }
    1: unknown key `store.disk.sold`, did you mean `cold`?
schedule.day = [1]
    1: unknown key `schedule.day`, did you mean `days`?
";
    check(top, |top| with(top, ""));
    let source = r"
keep_snapshot_days = 9
    6: unknown key `source.keep_snapshot_days`, did you mean `keep_snapshots_days`?
schedule = { catchup = true }
    6: unknown key `source.schedule.catchup`, did you mean `catch_up`?
";
    check(source, |source| with("", source));
}

#[test]
fn the_first_unknown_key_is_named_before_what_is_missing_or_malformed() {
    let table = "
[[source]]
nmae = 'b'
bucket = 1
store = 2
    7: unknown key `source.nmae`, did you mean `name`?
";
    check(table, |source| with("", source));
}

#[test]
fn what_is_not_toml_gets_the_line_and_one_line_of_the_parsers_words() {
    let table = "
threads = 1
threads = 2
    2: not valid TOML: `threads` is there twice
# a comment
threads
    2: not valid TOML: key with no value, expected `=`
threads =
    1: not valid TOML: string values must be quoted, expected literal string
";
    check(table, str::to_owned);
    check(table, |text| format!("{text}\n"));
    assert_eq!(
        message("# ü\r\n[store\r\n"),
        "c.toml:2: not valid TOML: unclosed table, expected `]`"
    );
}

#[test]
fn a_config_without_a_source_is_refused_after_all_else_is_right() {
    for text in ["", "threads = 1\n", "source = []\n", STORE] {
        assert_eq!(message(text), "c.toml: no source is configured");
    }
    let table = "
[source]
name = 'home'
    1: `source` must be an array of tables ([[source]]), found a table
source = [1]
    1: `source` must be a table, found 1
";
    check(table, str::to_owned);
}

#[test]
fn a_copy_that_is_no_other_place_is_refused() {
    let stores = "store.same = { type = 'dir', path = '/srv/./' }
store.b = { type = 'dir', path = '/b' }
store.second = { type = 'dir', path = '/b/', cold = 'GLACIER' }
store.locked = { type = 's3', bucket = 'abc', object_lock = 'governance' }
";
    let table = r"
copies = 'b'
    10: `source.copies` must be an array of names of stores, found the string 'b'
copies = [1]
    10: `source.copies` must be a string, found 1
copies = ['b', 'secnd']
    10: unknown store `secnd`, did you mean `second`?
copies = ['b', 'main']
    10: `main` in `source.copies` is the place of the source's own `store`
copies = ['same']
    10: `same` in `source.copies` is the place of the source's own `store`
copies = [
  'b',
  'second',
]
    12: `second` in `source.copies` is the place of `b` before it
copies = ['b', 'b']
    10: `b` in `source.copies` is the place of `b` before it
copies = ['locked']
    10: store `locked` locks objects, so this source needs `max_chain_days`
";
    let table = table.replace("string 'b'", "string \"b\"");
    check(&table, |source| with(stores, source));
}

#[test]
fn only_what_can_be_read_at_once_is_copied_each_night() {
    let cold = "store.b = { type = 'dir', path = '/b' }
[store.main]
type = 'dir'
path = '/srv'
cold = 'DEEP_ARCHIVE'
[[source]]
name = 'home'
store = 'main'
copies = ['b']
";
    let text = "c.toml:9: store `main` keeps segments in DEEP_ARCHIVE, which must be thawed first, so nothing copies them \
                each night";
    let error = parse(cold).unwrap_err();
    assert_eq!(error.to_string(), text);
    assert_eq!(
        error.hint().unwrap(),
        "remove it from `copies`; run `coldchain copy home --to b --plan` to see what a copy costs"
    );
    // A copy may be cold.
    let cold_copy = cold
        .replace("cold =", "#")
        .replace("'/b'", "'/b', cold = 'GLACIER'");
    assert_eq!(parse(&cold_copy).unwrap().sources[0].copies, ["b"]);
}

#[test]
fn a_copy_never_lies_in_the_directory_of_another_source() {
    let stores =
        "store.b = { type = 'dir', path = '/b' }\nstore.c = { type = 'dir', path = '/b/.' }\n";
    let table = r"
copies = ['b']
[[source]]
name = 'docs'
store = 'b'
archive_as = 'home'
    12: the directory `home` in store `b` is already that of source `home`
copies = ['b']
[[source]]
name = 'docs'
store = 'c'
archive_as = 'home'
    12: the directory `home` in store `c` is already that of source `home`
archive_as = 'docs'
copies = ['b']
[[source]]
name = 'docs'
store = 'b'
    11: the directory `docs` in store `b` is already that of source `home`
[store.d]
type = 'dir'
path = '/d'
[[source]]
name = 'docs'
store = 'b'
copies = ['d', 'main']
archive_as = 'home'
    14: the directory `home` in store `main` is already that of source `home`
copies = ['b']
[store.d]
type = 'dir'
path = '/d'
[[source]]
name = 'docs'
store = 'd'
copies = ['c']
archive_as = 'home'
    15: the directory `home` in store `c` is already that of source `home`
";
    check(table, |source| with(stores, source));
}

/// A config with these mirrors, and with a second source that has a subvolume.
fn mirrors(mirrors: &str) -> String {
    let more = "subvolume = '/home'\nsnapshots = '/home/.coldchain'\n[[source]]\nname = 'vault'\nstore = 'main'\n";
    with("", &format!("{more}{mirrors}"))
}

#[test]
fn a_fault_in_a_mirror_names_line_key_and_what_it_takes() {
    let table = "
[[mirror]]
to = '/mnt/second'
    11: neither `mirror.source` nor `mirror.from` is set
[[mirror]]
source = 'home'
    11: `mirror.to` is missing
[[mirror]]
source = 'home'
from = '/mnt/second/home'
to = '/mnt/third'
    13: `mirror.source` and `mirror.from` are both set, and both say whose snapshots it gets
[[mirror]]
source = 'hone'
to = '/mnt/second'
    12: unknown source `hone`, did you mean `home`?
";
    check(table, mirrors);
}

#[test]
fn a_fault_in_a_key_of_a_mirror_names_line_key_and_what_it_takes() {
    let table = r#"
[[mirror]]
source = 'vault'
to = '/mnt/second'
    12: source `vault` has no `subvolume`, so it has no snapshots to mirror
[[mirror]]
source = 'home'
to = 'second'
    13: `mirror.to` must be an absolute path without `..`, or ssh://[USER@]HOST[:PORT]/PATH, found the string "second"
[[mirror]]
source = 'home'
to = '/mnt/../second'
    13: `mirror.to` must be an absolute path without `..`, or ssh://[USER@]HOST[:PORT]/PATH, found the string "/mnt/../second"
[[mirror]]
source = 'home'
to = 'ssh://nas'
    13: `mirror.to` must be an absolute path without `..`, or ssh://[USER@]HOST[:PORT]/PATH, found the string "ssh://nas"
[[mirror]]
source = 'home'
to = 'ssh://-oProxyCommand=x/srv'
    13: `mirror.to` must be an absolute path without `..`, or ssh://[USER@]HOST[:PORT]/PATH, found the string "ssh://-oProxyCommand=x/srv"
[[mirror]]
source = 'home'
to = 'ssh://nas:0/srv'
    13: `mirror.to` must be an absolute path without `..`, or ssh://[USER@]HOST[:PORT]/PATH, found the string "ssh://nas:0/srv"
[[mirror]]
source = 'home'
to = '/mnt/second'
[[mirror]]
source = 'home'
to = '/mnt/second/'
    16: two mirrors of `home` are at /mnt/second
[[mirror]]
from = '/mnt/second/home/'
to = '/mnt/third'
[[mirror]]
source = 'home'
to = '/mnt/third'
    16: two mirrors of `home` are at /mnt/third
[[mirror]]
from = '/'
to = '/mnt/third'
    12: `mirror.from` must be a mirror's directory of one source, whose last part is the source's name, as /mnt/second/home, found the string "/"
[[mirror]]
source = 'home'
to = '/mnt/second'
keep = 0
    14: `mirror.keep` must be a number of snapshots from 1 to 1000000, or terms like "24h 14d 8w 12m 4q 2y", each unit once and at least 1, found 0
[[mirror]]
source = 'home'
to = '/mnt/second'
hold = '23h'
    14: `mirror.hold` must be a duration of 1d or more, found the string "23h"
[[mirror]]
source = 'home'
to = '/mnt/second'
links = ['2026-11-28']
    14: `mirror.links` must be a file name that is no date, such as "current", found the string "2026-11-28"
[[mirror]]
source = 'home'
to = '/mnt/second'
stall = '5m'
    14: `mirror.stall` has no effect unless `to` is an ssh:// location
[[mirror]]
source = 'home'
to = '/mnt/second'
identity_file = '/root/.ssh/mirror'
    14: `mirror.identity_file` has no effect unless `to` is an ssh:// location
[[mirror]]
source = 'home'
to = '/mnt/second'
command = ['coldchain']
    14: `mirror.command` has no effect unless `to` is an ssh:// location
[[mirror]]
source = 'home'
to = 'ssh://nas/srv'
command = []
    14: `mirror.command` must be an array of words, the first a program, found an empty array
[[mirror]]
source = 'home'
to = 'ssh://nas/srv'
identity_file = 'id_ed25519'
    14: `mirror.identity_file` must be an absolute path without `..`, found the string "id_ed25519"
[[mirror]]
source = 'home'
to = '/mnt/second'
hodl = '90d'
    14: unknown key `mirror.hodl`, did you mean `hold`?
"#;
    check(table, mirrors);
    check(
        "
mirror = 1
    1: `mirror` must be an array of tables ([[mirror]]), found 1
",
        |top| with(top, ""),
    );
}

#[test]
fn each_fault_in_a_mirror_says_what_to_do() {
    let more = "subvolume = '/home'\nsnapshots = '/home/.coldchain'\n[[source]]\nname = 'vault'\nstore = 'main'\n";
    let hints = [
        (
            "to = '/mnt/second'",
            "set `source` to a source's name, or `from` to the directory of another mirror's copies",
        ),
        (
            "source = 'home'\nfrom = '/mnt/second/home'\nto = '/mnt/third'",
            "remove `source` to mirror another mirror's copies, or `from` to mirror the source's snapshots",
        ),
        (
            "source = 'hone'\nto = '/mnt/second'",
            "known: `home`, `vault`",
        ),
        (
            "source = 'vault'\nto = '/mnt/second'",
            "set `subvolume` and `snapshots` in its [[source]], or remove the [[mirror]]",
        ),
        (
            "source = 'home'\nto = '/mnt'\n[[mirror]]\nsource = 'home'\nto = '/mnt'",
            "remove one of them, or set its `to` to another directory",
        ),
        (
            "source = 'home'\nto = '/mnt'\nstall = '5m'",
            "remove the line, or set `to` to ssh://[USER@]HOST[:PORT]/PATH",
        ),
    ];
    for (mirror, hint) in hints {
        let text = with("", &format!("{more}[[mirror]]\n{mirror}\n"));
        assert_eq!(
            parse(&text).unwrap_err().hint().as_deref(),
            Some(hint),
            "{mirror}"
        );
    }
}
