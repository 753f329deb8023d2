use std::path::Path;

use proptest::prelude::*;

use super::btrbk_sources::read_btrbk;
use super::taken::{TakenOver, TakenSource};
use super::text::ForeignFault;
use crate::config::{Config, TemplateFacts, blocks, template};
use crate::plan::KeepSnapshots;

/// A whole file of a server: nearly everything that btrbk has.
const SERVER: &str = "\
# Backups of the server
timestamp_format        long
transaction_log         /var/log/btrbk.log
snapshot_preserve_min   2d
snapshot_preserve       14d 8w
target_preserve_min     no
target_preserve         20d 10w *m
ssh_identity            /etc/btrbk/ssh/id_ed25519
snapshot_dir            btrbk_snapshots
stream_buffer           256m

volume /mnt/btr_pool
  target /mnt/second/backups   # a disk in the house
  group servers
  subvolume @home
    snapshot_name  home
    target ssh://nas.example.org:2222/srv/backups
      target_preserve  30d *m
      ssh_user         backup
      backend_remote   btrfs-progs-sudo
  subvolume @
    snapshot_preserve_min  latest
    snapshot_preserve      no
    target raw /mnt/usb/raw
";

fn take(text: &str) -> TakenOver {
    taken_of(text).unwrap()
}

fn taken_of(text: &str) -> Result<TakenOver, ForeignFault> {
    let matches = |_: &str| vec!["/pool/a".to_owned(), "/pool/b".to_owned()];
    let taken = read_btrbk(text.as_bytes())?.take_over(matches)?;
    if !taken.sources.is_empty() {
        parsed(&taken);
    }
    Ok(taken)
}

/// Parses the config that comes of it, and compares it with what was taken.
fn parsed(taken: &TakenOver) -> Config {
    let text = template(&TemplateFacts {
        recipients: &["age1example"],
        kit: None,
        timezone: "UTC",
        state_dir: None,
        sources: Some(&blocks(taken, "/etc/btrbk/btrbk.conf")),
        store: None,
    });
    let config =
        Config::parse(&text, Path::new("c.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(config.sources.len(), taken.sources.len());
    let mut mirrors = config.mirrors.iter();
    for (read, source) in config.sources.iter().zip(&taken.sources) {
        let live = read.live.as_ref().unwrap();
        assert_eq!(read.name, source.name);
        assert_eq!(live.subvolume, Path::new(&source.subvolume));
        assert_eq!(live.snapshots, Path::new(&source.snapshots));
        assert_eq!(read.keep_snapshots, source.keep);
        for mirror in &source.mirrors {
            let read = mirrors.next().unwrap();
            assert_eq!(read.name, source.name);
            assert_eq!((&read.to, read.keep), (&mirror.to, mirror.keep));
        }
    }
    assert_eq!(mirrors.next(), None);
    config
}

fn one(text: &str) -> TakenSource {
    let mut taken = take(text);
    assert_eq!(taken.sources.len(), 1, "{taken:?}");
    taken.sources.remove(0)
}

fn kept(keep: KeepSnapshots) -> String {
    match keep {
        KeepSnapshots::Days(days) => format!("{days} days"),
        other => other.to_string(),
    }
}

#[test]
fn a_server_s_file_is_taken_over() {
    let taken = take(SERVER);
    let home = &taken.sources[0];
    assert_eq!(home.name.as_str(), "home");
    assert_eq!(home.subvolume, "/mnt/btr_pool/@home");
    assert_eq!(home.snapshots, "/mnt/btr_pool/.coldchain/home");
    assert_eq!(kept(home.keep), "73h 15d 10w");
    let mirrors: Vec<String> = home
        .mirrors
        .iter()
        .map(|mirror| format!("{} {}", mirror.to, kept(mirror.keep)))
        .collect();
    assert_eq!(
        mirrors,
        [
            "/mnt/second/backups 21d 12w 12001m",
            "ssh://backup@nas.example.org:2222/srv/backups 31d 12001m"
        ]
    );
    assert_eq!(home.mirrors[0].identity_file, None);
    assert_eq!(home.mirrors[0].command, None);
    let far = &home.mirrors[1];
    assert_eq!(
        far.identity_file.as_deref(),
        Some("/etc/btrbk/ssh/id_ed25519")
    );
    assert_eq!(far.command, Some(["sudo", "-n", "coldchain"]));
    let root = &taken.sources[1];
    assert_eq!(root.name.as_str(), "root");
    assert!(root.remarks.contains(&"btrbk calls it @.".to_owned()));
    assert_eq!(kept(root.keep), "1");
    assert_eq!(root.mirrors.len(), 1);
    let left = taken.left.join("\n");
    for part in [
        "line 24: target /mnt/usb/raw of root: it is raw",
        "line 2: timestamp_format:",
        "line 3: transaction_log:",
        "line 10: stream_buffer:",
        "line 14: group:",
    ] {
        assert!(left.contains(part), "{part}: {left}");
    }
    assert_eq!(taken.warnings, [""; 0]);
}

#[test]
fn a_target_inherits_from_its_subvolume_and_not_the_other_way_round() {
    let taken = take(
        "\
target_preserve_min no
target_preserve 5d
volume /pool
  target /mnt/a
    target_preserve 9d
  target /mnt/b
  subvolume x
  subvolume y
    target_preserve 30d
",
    );
    let keep = |source: usize, mirror: usize| kept(taken.sources[source].mirrors[mirror].keep);
    assert_eq!((keep(0, 0), keep(0, 1)), ("10d".into(), "6d".into()));
    // The target's own line counts, and then the subvolume's.
    assert_eq!((keep(1, 0), keep(1, 1)), ("10d".into(), "31d".into()));
}

#[test]
fn targets_are_of_each_section_and_each_place_once() {
    let taken = take(
        "\
target send-receive /mnt/all
volume /pool
  target /mnt/pool/
  subvolume x
    target send-receive \"/mnt/with space\"
    target nas:/backups
    target /mnt//all
",
    );
    let places = taken.sources[0].mirrors.iter();
    let places: Vec<String> = places.map(|mirror| mirror.to.to_string()).collect();
    assert_eq!(
        places,
        [
            "/mnt/pool",
            "/mnt/with space",
            "ssh://root@nas/backups",
            "/mnt/all"
        ]
    );
}

#[test]
fn ssh_user_no_is_no_user() {
    let source = one("ssh_user no\nssh_identity no\nsubvolume /home\ntarget ssh://[2001:db8::7]/b");
    assert_eq!(source.mirrors[0].to.to_string(), "ssh://[2001:db8::7]/b");
    assert_eq!(source.mirrors[0].identity_file, None);
}

#[test]
fn remote_volumes_and_noauto_are_left_out() {
    let taken = take(
        "\
volume ssh://web.example.org/mnt/pool
  subvolume www
volume host:/mnt/pool
  subvolume db
volume /pool
  noauto yes
  subvolume x
  subvolume y
    noauto no
    target /mnt/a
      noauto
    target /mnt/b
",
    );
    let names: Vec<&str> = taken.sources.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["y"]);
    assert_eq!(taken.sources[0].mirrors.len(), 1, "{taken:?}");
    assert!(taken.left[0].starts_with("line 2: subvolume ssh://web.example.org/mnt/pool/www:"));
    assert!(taken.left[1].starts_with("line 4: subvolume ssh://host/mnt/pool/db:"));
    assert_eq!(taken.left.len(), 4, "{taken:?}");
}

#[test]
fn names_fit_and_are_unique_and_so_are_directories() {
    let long = "x".repeat(100);
    let taken = take(&format!(
        "volume /\n subvolume .\nvolume /pool\n subvolume @Home\n subvolume other/@home\n subvolume Müller\n \
         subvolume {long}\n subvolume {long}1\nvolume /pool/@Home\n subvolume .\n subvolume /absolute\n"
    ));
    let found: Vec<String> = taken
        .sources
        .iter()
        .map(|it| format!("{} {}", it.name, it.snapshots))
        .collect();
    let cut = "x".repeat(62);
    assert_eq!(found[0], "root /.coldchain/root");
    assert_eq!(found[1], "home /pool/.coldchain/home");
    assert_eq!(found[2], "home-2 /pool/.coldchain/home-2");
    assert_eq!(found[3], "m-ller /pool/.coldchain/m-ller");
    assert_eq!(
        found[4],
        format!("{0} /pool/.coldchain/{0}", "x".repeat(64))
    );
    assert_eq!(found[5], format!("{cut}-2 /pool/.coldchain/{cut}-2"));
    assert_eq!(found[6], "home-3 /pool/@Home/.coldchain/home-3");
    assert_eq!(found[7], "absolute /absolute/.coldchain");
}

#[test]
fn a_pattern_is_expanded_and_one_without_a_match_warns() {
    let taken = take("volume /pool\n subvolume *\n  target /mnt/a\n");
    let found = taken.sources.iter().map(|it| it.subvolume.as_str());
    assert_eq!(found.collect::<Vec<_>>(), ["/pool/a", "/pool/b"]);
    assert_eq!(taken.sources[1].mirrors.len(), 1);
    let sources = read_btrbk(b"volume /pool\n subvolume @*\n").unwrap();
    let none = sources.take_over(|_| Vec::new()).unwrap();
    assert_eq!(
        none.warnings,
        ["line 2: no subvolume matches /pool/@*; is its filesystem mounted?"]
    );
}

#[test]
fn lines_are_read_as_btrbk_reads_them() {
    let source = one("\u{feff}VOLUME\t'/mnt/my pool'\t# a comment\r\n\r\n\
        \tsubvolume \"a # b\"  \r\n\tsnapshot_name it's # not \"quoted\r\n");
    assert_eq!(source.subvolume, "/mnt/my pool/a # b");
    assert_eq!(source.name.as_str(), "it-s");
    // A comment may be in any encoding.
    let latin = read_btrbk(b"# f\xfcr\nsubvolume /home # gr\xfc\xdfe\n").unwrap();
    assert_eq!(latin.take_over(|_| Vec::new()).unwrap().sources.len(), 1);
}

#[test]
fn what_btrbk_refuses_as_a_whole_is_a_fault() {
    for (text, fault) in [
        (
            &b"subvolume /home\n[[source]]"[..],
            "line 2: it does not begin with the name of an option",
        ),
        (b"volume pool", "line 1: it needs an absolute path"),
        (b"volume", "line 1: it needs an absolute path"),
        (b"subvolume home", "line 1: it needs an absolute path"),
        (b"volume /a/../b", "line 1: its path has `..`"),
        (b"volume /a\nsubvolume ../b", "line 2: its path has `..`"),
        (
            b"subvolume /a\ntarget rsync /b",
            "line 2: the kind of the target is neither send-receive nor raw",
        ),
        (b"subvolume /a\xff", "line 1: it is not UTF-8"),
        (b"subvolume /a\x1b[2J", "line 1: it has a control character"),
        (b"\xff\xfes\0u\0b\0", "line 1: it is not UTF-8"),
    ] {
        let error = read_btrbk(text).unwrap_err();
        assert_eq!(error.to_string(), fault);
    }
    let many = "target /a\n".repeat(3000) + "subvolume /x\nsubvolume /y\n";
    let error = taken_of(&many).unwrap_err();
    assert_eq!(error.line, 3002);
}

#[test]
fn unknown_and_misplaced_options_are_named() {
    let taken =
        take("include /etc/more.conf\nsubvolume /home\ntarget /mnt/a\nsnapshot_preserve 3d\n");
    assert_eq!(
        taken.warnings,
        [
            "line 1: btrbk has no option `include`; nothing is taken over from it",
            "line 4: btrbk does not accept `snapshot_preserve` in this section; nothing is taken over from it"
        ]
    );
}

/// Lines as they occur, and some that are odd.
fn line() -> impl Strategy<Value = String> {
    let path = "(/[ -~]{0,12}){1,3}|/pool|/pool/@home|nas:/b|ssh://h:22/p|/é/ü|@|\\.|home|\\*";
    let value =
        "all|latest|no|[0-9]{1,3}[hdwmy]|([0-9*]{1,2}[hdwmy] ?){1,3}|[ -~]{0,10}|sunday|yes";
    let key = "snapshot_preserve(_min)?|target_preserve(_min)?|snapshot_dir|snapshot_name|noauto|ssh_user|ssh_identity|\
               backend|preserve_hour_of_day|preserve_day_of_week|group|[a-z_]{1,8}";
    prop_oneof![
        3 => (prop_oneof!["volume", "subvolume", "target", "target raw"], path)
            .prop_map(|(key, path)| format!("{key} {path}")),
        3 => (key, value).prop_map(|(key, value)| format!("  {key}\t{value}")),
        1 => Just("subvolume /srv/data".to_owned()),
        1 => Just("# comment".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_config_that_comes_of_it_is_accepted(lines in prop::collection::vec(line(), 1..25)) {
        // `taken_of` parses it.
        let _ = taken_of(&lines.join("\n"));
        // Without the lines that are faults there is more to parse.
        let good = |line: &&String| read_btrbk(line.as_bytes()).is_ok();
        let lines: Vec<&str> = lines.iter().filter(good).map(String::as_str).collect();
        let _ = taken_of(&lines.join("\n"));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(sources) = read_btrbk(&bytes) {
            let _ = sources.take_over(|_| Vec::new());
        }
    }
}
