use super::*;
use crate::ledger::{Head, SigningKey};
use crate::model::{LedgerId, Sha256};

const IDENTITY: &str =
    "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SPTDNUP\n";

fn source(name: &str, ledger: u8, entries: Option<u64>) -> KitSource {
    KitSource {
        name: name.parse().unwrap(),
        store: "s3://my-archives/laptop?region=eu-central-1".to_owned(),
        directory: name.to_owned(),
        ledger: LedgerId([ledger; 16]),
        copies: Vec::new(),
        head: entries.map(|seq| Head {
            seq,
            hash: Sha256([0xab; 32]),
        }),
    }
}

fn kit(root: &SigningKey, sources: &[KitSource]) -> String {
    let text = format!("# coldchain recovery kit\n# identity of age1…\n{IDENTITY}");
    update(&add_root(&text, root).unwrap(), sources, None, "kit.txt").unwrap()
}

#[test]
fn a_kit_names_the_copies_of_a_source_and_keeps_their_order() {
    let root = SigningKey::generate().unwrap();
    let home = KitSource {
        copies: vec![
            "file:///mnt/shelf two".to_owned(),
            "s3://offsite/laptop".to_owned(),
        ],
        ..source("home", 1, Some(41))
    };
    let text = kit(&root, std::slice::from_ref(&home));
    assert!(
        text.contains("#   copy    file:///mnt/shelf two\n#   copy    s3://offsite/laptop\n"),
        "{text}"
    );
    assert!(
        text.contains("#   if the store is gone, give --store the URL of a copy instead\n"),
        "{text}"
    );
    assert_eq!(Kit::parse(text.as_bytes()).unwrap().sources, [home]);
    // A copy that was forgotten is not in the next kit.
    let without = source("home", 1, Some(42));
    let text = update(&text, std::slice::from_ref(&without), None, "kit.txt").unwrap();
    assert!(!text.contains("copy"), "{text}");
}

#[test]
fn a_kit_says_what_was_written_into_it() {
    let root = SigningKey::generate().unwrap();
    let sources = [source("home", 1, Some(41)), source("work", 2, None)];
    let read = Kit::parse(kit(&root, &sources).as_bytes()).unwrap();
    assert_eq!(read.root, Some(root.public()));
    assert_eq!(
        read.root_secret.unwrap().to_file_text(),
        root.to_file_text()
    );
    assert_eq!(read.sources, sources);
}

#[test]
fn a_kit_of_the_first_version_reads_as_well() {
    let root = SigningKey::generate().unwrap();
    let secret = root.to_file_text();
    let mut lines = secret.lines();
    let text = format!(
        "\
# coldchain recovery kit
{IDENTITY}#
# root public key: {}
# Ledger entries are signed by keys that this one vouches for. Its secret, in minisign's format:
#
#   {}
#   {}
#
# source home
#   store   file:///mnt/shelf
#   prefix  home/
#   ledger  01010101010101010101010101010101
#   restore with coldchain, on a machine with its config and state:
#     coldchain restore home --to DIRECTORY --identity THIS-FILE
#   restore without coldchain: home/README-RESTORE.txt in the store says how.
",
        root.public(),
        lines.next().unwrap(),
        lines.next().unwrap(),
    );
    let kit = Kit::parse(text.as_bytes()).unwrap();
    assert_eq!(kit.root_secret.unwrap().public(), root.public());
    assert_eq!(kit.sources.len(), 1);
    assert_eq!(kit.sources[0].head, None);
    assert_eq!(kit.sources[0].store, "file:///mnt/shelf");

    let updated = update(&text, &[source("home", 1, Some(3))], None, "kit.txt").unwrap();
    let (before, _) = text.split_once("# source home").unwrap();
    let after = updated.strip_prefix(before).unwrap();
    assert_eq!(
        after,
        addition(&[source("home", 1, Some(3))])[2..].to_owned()
            + "#\n# on an empty machine everything comes back with\n\
               #   $ coldchain catalog rebuild --identity kit.txt --store 's3://my-archives/laptop?region=eu-central-1'\n\
               #   $ coldchain restore home --identity kit.txt --to DIRECTORY\n\
               #   These lines alone: sed -n 's/^#   [$] //p' kit.txt\n"
    );
}

#[test]
fn a_kit_is_brought_up_to_date_again_and_again_without_growing() {
    let root = SigningKey::generate().unwrap();
    let first = kit(
        &root,
        &[source("home", 1, None), source("work", 2, Some(3))],
    );
    // Text that a user wrote into it stays, also between the sections.
    let first = first.replace("#\n# source work", "# safe 4, drawer 2\r\n#\n# source work");
    let now = [source("work", 2, Some(5)), source("home", 1, Some(9))];
    let second = update(&first, &now, None, "kit.txt").unwrap();
    assert_eq!(second, update(&second, &now, None, "kit.txt").unwrap());
    assert!(second.contains("# safe 4, drawer 2\r\n"));
    let kit = Kit::parse(second.as_bytes()).unwrap();
    assert_eq!(kit.source("home"), Some(&now[1]));
    assert_eq!(kit.source("work"), Some(&now[0]));
    let secrets = |text: &str| {
        let (before, _) = text.split_once("# source home").unwrap();
        before.to_owned()
    };
    assert_eq!(secrets(&first), secrets(&second));
}

#[test]
fn a_section_that_somebody_added_gives_way_to_the_newest() {
    let root = SigningKey::generate().unwrap();
    let printed = kit(
        &root,
        &[source("home", 1, Some(2)), source("work", 2, Some(3))],
    );
    // A user added this by hand, while the machine had no kit.
    let added = printed + &addition(&[source("home", 1, Some(5))]);
    let now = source("home", 1, Some(9));
    let updated = update(&added, std::slice::from_ref(&now), None, "kit.txt").unwrap();
    let kit = Kit::parse(updated.as_bytes()).unwrap();
    assert_eq!(kit.source("home"), Some(&now));
    assert_eq!(kit.source("work"), Some(&source("work", 2, Some(3))));
    assert_eq!(updated.matches("# source home").count(), 1);
    assert_eq!(update(&updated, &[now], None, "kit.txt").unwrap(), updated);
}

#[test]
fn a_comment_of_blanks_in_a_section_says_nothing() {
    let root = SigningKey::generate().unwrap();
    let text = kit(&root, &[source("home", 1, Some(2))]);
    let text = text.replace("#   ledger", "#   \n#     \n#   ledger");
    let read = Kit::parse(text.as_bytes()).unwrap();
    assert_eq!(read.sources, [source("home", 1, Some(2))]);
}

#[test]
fn what_a_kit_says_of_other_ledgers_stays() {
    let root = SigningKey::generate().unwrap();
    let first = kit(&root, &[source("home", 1, Some(2))]);
    let other = KitSource {
        ledger: LedgerId([3; 16]),
        copies: Vec::new(),
        ..source("home", 1, Some(1))
    };
    let both = update(&first, std::slice::from_ref(&other), None, "kit.txt").unwrap();
    let kit = Kit::parse(both.as_bytes()).unwrap();
    assert_eq!(kit.sources, [source("home", 1, Some(2)), other]);
}

#[test]
fn a_secret_in_the_wrong_place_is_never_lost() {
    let root = SigningKey::generate().unwrap();
    let text = kit(&root, &[source("home", 1, None)]);
    let text = text + "#   AGE-SECRET-KEY-1SPARE\n";
    assert_eq!(
        update(&text, &[source("home", 1, Some(2))], None, "kit.txt"),
        Err(KitFault::SecretInSection)
    );
    // The root's secret right after a section is not part of the section.
    let (before, section) = text.split_once("# source home").unwrap();
    let (text, secret) = before.split_once("#   untrusted").unwrap();
    let text = format!(
        "{text}# source home{}#   untrusted{secret}",
        section.replace("#   AGE-SECRET-KEY-1SPARE\n", "")
    );
    let updated = update(&text, &[source("home", 1, Some(2))], None, "kit.txt").unwrap();
    let kit = Kit::parse(updated.as_bytes()).unwrap();
    assert_eq!(kit.root_secret.unwrap().public(), root.public());
}

#[test]
fn an_identity_file_that_is_no_kit_says_nothing() {
    for bytes in [
        IDENTITY.as_bytes(),
        b"",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
        b"age-encryption.org/v1\n-> scrypt \xff\xfe\n",
    ] {
        let kit = Kit::parse(bytes).unwrap();
        assert!(kit.root.is_none() && kit.root_secret.is_none() && kit.sources.is_empty());
    }
    // A last line without a newline gets one before anything is added.
    let root = SigningKey::generate().unwrap();
    let added = add_root(IDENTITY.trim_end(), &root).unwrap();
    assert!(added.starts_with(IDENTITY), "{added}");
    let updated = update(added.trim_end(), &[source("home", 1, None)], None, "kit").unwrap();
    assert!(updated.starts_with(&added), "{updated}");
}

#[test]
fn only_a_kit_is_changed() {
    let root = SigningKey::generate().unwrap();
    let sources = [source("home", 1, None)];
    let armored = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";
    for (text, fault) in [
        (IDENTITY.to_owned(), KitFault::NoRoot),
        (armored.to_owned(), KitFault::NoText),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(),
            KitFault::NoText,
        ),
        (
            format!("# root public key: {}\n[[source]]\n", root.public()),
            KitFault::Line {
                line: 2,
                what: "it is neither a comment nor a secret key, so this is no recovery kit",
            },
        ),
    ] {
        assert_eq!(
            update(&text, &sources, None, "kit.txt"),
            Err(fault),
            "{text}"
        );
    }
    let text = kit(&root, &sources);
    assert_eq!(add_root(&text, &root), Err(KitFault::HasRoot));
}

#[test]
fn the_commands_of_a_kit_are_whole_and_of_all_its_sources() {
    let root = SigningKey::generate().unwrap();
    let elsewhere = KitSource {
        store: "file:///mnt/o'clock shelf".to_owned(),
        ..source("work", 2, None)
    };
    let text = kit(&root, &[source("home", 1, None), elsewhere]);
    // Another run knows only one of the sources.
    let text = update(&text, &[source("home", 1, Some(4))], None, "my kit").unwrap();
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#   $ "))
        .collect();
    assert_eq!(
        commands,
        [
            "coldchain catalog rebuild --identity 'my kit' --store 's3://my-archives/laptop?region=eu-central-1' \
             --store 'file:///mnt/o'\\''clock shelf'",
            "coldchain restore home --identity 'my kit' --to DIRECTORY",
            "coldchain restore work --identity 'my kit' --to DIRECTORY",
        ]
    );
    assert_eq!(update(&text, &[], None, "my kit").unwrap(), text);
    let note = text.clone() + "# paid until 2031\n";
    let again = update(&note, &[], None, "my kit").unwrap();
    assert_eq!(again.matches("everything comes back").count(), 1);
    assert_eq!(update(&again, &[], None, "my kit").unwrap(), again);
}

#[test]
fn a_kit_that_contradicts_itself_is_refused_by_line() {
    let root = SigningKey::generate().unwrap();
    let other = SigningKey::generate().unwrap();
    let text = kit(&root, &[source("home", 1, Some(41))]);
    let refused = |text: String| Kit::parse(text.as_bytes()).unwrap_err().to_string();
    let line = |what: &str| {
        text.lines()
            .position(|line| line.starts_with(what))
            .unwrap()
            + 1
    };
    let public = |key: &SigningKey| format!("# root public key: {}", key.public());
    let section = line("# source ");
    assert_eq!(
        refused(text.replace(&public(&root), &public(&other))),
        "its root secret does not belong to its root public key"
    );
    assert_eq!(
        refused(format!("{text}{}\n", public(&other))),
        format!("line {} names a second root key", text.lines().count() + 1)
    );
    assert_eq!(
        refused(text.replace(&public(&root), "# root public key: RWQ")),
        format!("line {}: it is no minisign public key", line("# root"))
    );
    assert_eq!(
        refused(text.replace("#   ledger  01", "#   ledger  0")),
        format!("line {}: it is no ledger id", section + 3)
    );
    assert_eq!(
        refused(text.replace("#   entries 41\n", "")),
        format!("line {section}: the source `home` has no `entries` beside its `head`")
    );
    assert_eq!(
        refused(text.replace("#   store ", "#   shop ")),
        format!("line {section}: the source `home` has no `store`")
    );
    assert_eq!(
        refused(text.replace("# source home", "# source Home/..")),
        format!("line {section}: it is no name of a source")
    );
    let secret = root.to_file_text();
    let secret = &secret.lines().nth(1).unwrap()[..40];
    assert_eq!(
        refused(text.replace(secret, &"A".repeat(40))),
        "its root secret is damaged"
    );
}

#[test]
fn a_kit_fits_on_paper() {
    let root = SigningKey::generate().unwrap();
    let text = kit(&root, &[source("home", 1, Some(1234))]);
    // The commands are left out, because a user who joins lines by hand makes mistakes.
    let lines = text.lines().filter(|line| !line.starts_with("#   $ "));
    let widest = lines.map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{text}");
}

#[test]
fn a_supplement_says_how_far_the_ledgers_went_and_no_secret() {
    let root = SigningKey::generate().unwrap();
    let text = supplement(
        &root.public().to_string(),
        &[source("home", 1, Some(7))],
        None,
        "kit.txt",
    );
    let kit = Kit::parse(text.as_bytes()).unwrap();
    assert_eq!(kit.root, Some(root.public()));
    assert!(kit.root_secret.is_none());
    assert_eq!(kit.sources, [source("home", 1, Some(7))]);
    assert!(text.lines().all(|line| line.starts_with('#')));
}

#[test]
fn each_machine_s_config_is_kept_as_it_was_last() {
    let root = SigningKey::generate().unwrap();
    let text = kit(&root, &[source("home", 1, Some(3))]);
    let laptop = MachineConfig::of(
        "laptop.example",
        "timezone = \"UTC\"\n\n  # two\r\n#   store   file:///evil\n",
    );
    let sources = [source("home", 1, Some(4))];
    let once = update(&text, &sources, Some(&laptop), "kit.txt").unwrap();
    let read = Kit::parse(once.as_bytes()).unwrap();
    assert_eq!(read.configs.as_slice(), std::slice::from_ref(&laptop));
    assert_eq!(read.sources, sources);
    assert_eq!(
        laptop.text,
        "timezone = \"UTC\"\n\n  # two\n#   store   file:///evil\n"
    );
    assert_eq!(
        update(&once, &sources, Some(&laptop), "kit.txt").unwrap(),
        once
    );
    // An update without a config leaves it as it is, and another machine's config is kept beside it.
    assert_eq!(update(&once, &sources, None, "kit.txt").unwrap(), once);
    let server = MachineConfig::of("server", "state_dir = \"/s\"\n");
    let both = update(&once, &sources, Some(&server), "kit.txt").unwrap();
    let newer = MachineConfig::of("laptop.example", "timezone = \"Europe/Berlin\"");
    let both = update(&both, &sources, Some(&newer), "kit.txt").unwrap();
    let read = Kit::parse(both.as_bytes()).unwrap();
    assert_eq!(read.configs, [server, newer]);
    assert_eq!(both.matches("# on an empty machine").count(), 1);
    assert!(!both.contains("#\n#\n"), "{both}");
}

#[test]
fn a_config_makes_no_secret_and_no_name_of_another_kind() {
    let config = MachineConfig::of(
        "lap top\n# source x",
        "AGE-SECRET-KEY-1QQQ\nuntrusted comment: coldchain secret key\n",
    );
    assert_eq!(config.host, "laptopsourcex");
    assert!(!config.text.contains("AGE-SECRET"), "{config:?}");
    let root = SigningKey::generate().unwrap();
    let text = kit(&root, &[]);
    let with = update(&text, &[], Some(&config), "kit.txt").unwrap();
    let read = Kit::parse(with.as_bytes()).unwrap();
    assert_eq!(read.configs, [config]);
    assert_eq!(read.sources, []);
    assert_eq!(
        read.root_secret.unwrap().to_file_text(),
        root.to_file_text()
    );
}

#[test]
fn the_commands_of_a_restore_take_a_source_for_no_date_and_a_kit_for_no_option() {
    let sources = [
        source("today", 1, None),
        source("2026-11-01", 2, None),
        source("home", 3, None),
    ];
    let commands = restore_commands(&sources, "-my kit");
    for command in [
        "coldchain restore --source today --identity ./'-my kit' --to DIRECTORY\n",
        "coldchain restore --source 2026-11-01 --identity ./'-my kit' --to DIRECTORY\n",
        "coldchain restore home --identity ./'-my kit' --to DIRECTORY\n",
    ] {
        assert!(commands.contains(command), "{commands}");
    }
}
