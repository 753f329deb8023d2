//! The recovery kit, with the real program: what `init` and `key kit` never do to a file, and that
//! everything comes back with what stands in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{Machine, fed_config};
use crate::common::passphrase::{armored, encrypted};
use crate::common::stream_builder::StreamBuilder;
use coldchain::kit::Kit;

/// A machine with a config, a kit with nothing but an identity, and no state.
fn configured() -> Machine {
    let machine = Machine::new();
    machine.write_config(&fed_config());
    machine
}

fn kit_text(machine: &Machine) -> String {
    fs::read_to_string(machine.path("kit")).unwrap()
}

fn kit(machine: &Machine) -> Kit {
    Kit::parse(kit_text(machine).as_bytes()).unwrap()
}

fn feed(machine: &Machine, date: &str) {
    let stream = StreamBuilder::header(1)
        .subvol(date.as_bytes(), [b'a'; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, date.as_bytes())
        .finish();
    let run = machine.run_with(&format!("decide {date}"), &stream);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_kit_that_is_encrypted_or_none_is_neither_changed_by_init_nor_by_key_kit() {
    let machine = configured();
    let plain = kit_text(&machine);
    let ssh =
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n";
    let files = [
        encrypted("wild goose", &plain),
        armored("wild goose", &plain),
        ssh.to_vec(),
        fed_config().into_bytes(),
        vec![0; 100],
    ];
    let refused = |words: &str| {
        for bytes in &files {
            fs::write(machine.path("kit"), bytes).unwrap();
            let before = machine.standing();
            let run = machine.run(words);
            assert_eq!(run.code, Some(2), "{words}: {}", run.stderr);
            assert!(
                run.stderr
                    .starts_with("error: could not understand the recovery kit $T/kit\n"),
                "{}",
                run.stderr
            );
            assert_eq!(&fs::read(machine.path("kit")).unwrap(), bytes, "{words}");
            assert_eq!(machine.standing(), before, "{words}");
        }
    };
    refused("init --kit $T/kit");
    assert!(!machine.state().join("signing.key").exists());

    fs::write(machine.path("kit"), plain).unwrap();
    assert_eq!(machine.run("init --kit $T/kit").code, Some(0));
    let whole = kit_text(&machine);
    refused("init --kit $T/kit");
    refused("key kit --kit $T/kit");
    // Any identity file is no kit.
    let identity: String = whole
        .lines()
        .filter(|line| line.starts_with("AGE-SECRET-KEY-"))
        .collect();
    fs::write(machine.path("kit"), &identity).unwrap();
    machine.run("key kit --kit $T/kit").is(
        2,
        "",
        "error: could not understand the recovery kit $T/kit\ncaused by: it names no root key\n\
         hint: nothing was changed; give the recovery kit that `coldchain init` has written\n",
    );
    assert_eq!(kit_text(&machine), identity);
}

#[test]
fn a_kit_gets_no_second_root_key() {
    let lost = Machine::fed(None);
    let machine = configured();
    // A machine with ledgers of its own writes nothing into the kit of others.
    assert_eq!(machine.run("init --kit $T/own").code, Some(0));
    fs::copy(lost.path("kit"), machine.path("kit")).unwrap();
    let run = machine.run("init --kit $T/kit");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("belongs to the root key"),
        "{}",
        run.stderr
    );
    assert_eq!(kit_text(&machine), kit_text(&lost));

    // One that has none yet takes the root key of the kit that it is given.
    let machine = configured();
    fs::copy(lost.path("kit"), machine.path("kit")).unwrap();
    let run = machine.run("init --kit $T/kit");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(kit(&machine).root, kit(&lost).root);
    assert_eq!(kit(&machine).sources.len(), 2);
}

#[test]
fn an_init_that_was_cut_short_goes_on_with_the_root_key_in_the_kit() {
    for left in [
        &[][..],
        &["root.pub"],
        &["root.pub", "signing.pub", "signing.grant"],
    ] {
        let machine = Machine::fed(None);
        let whole = kit_text(&machine);
        // So far it came: the root key is in the kit, and no source; no signing key is here.
        let (begun, _) = whole.split_once("#\n# source home").unwrap();
        fs::write(machine.path("kit"), begun).unwrap();
        for file in fs::read_dir(machine.state()).unwrap() {
            let file = file.unwrap();
            if !left.contains(&file.file_name().to_str().unwrap()) {
                fs::remove_file(file.path()).unwrap();
            }
        }
        let run = machine.run("init --kit $T/kit");
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let kit = kit(&machine);
        assert!(kit_text(&machine).starts_with(begun));
        assert_eq!(kit.sources.len(), 1);
        feed(&machine, "2024-01-01");
        let rebuild =
            "catalog rebuild --store file://$T/store --identity $T/kit --state-dir $T/new";
        let run = machine.run(rebuild);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    }
}

/// Whoever finds a kit that they did not expect must learn that it counts.
#[test]
fn init_says_where_the_root_key_comes_from() {
    let machine = configured();
    let run = machine.run("init --kit $T/kit");
    let root = kit(&machine).root.unwrap();
    let made = format!("made the root key {root}: its secret is in $T/kit alone\n");
    assert!(run.stdout.contains(&made), "{run:?}");
    assert_eq!(run.code, Some(0));

    let another = || {
        let another = configured();
        fs::copy(machine.path("kit"), another.path("kit")).unwrap();
        another
    };
    let run = another().run("init --kit $T/kit");
    let found = format!("the root key {root} was in $T/kit already, and is trusted now\n");
    assert!(run.stdout.contains(&found), "{run:?}");
    assert!(!run.stdout.contains("made the root key"), "{run:?}");

    let root_key = |machine: &Machine, kit: &str| {
        let run = machine.run(&format!("init --kit $T/{kit} --json"));
        assert_eq!(run.code, Some(0), "{run:?}");
        let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        told["root_key"].clone()
    };
    let another = another();
    let expected = serde_json::json!({"key": root.to_string(), "origin": "kit"});
    assert_eq!(root_key(&another, "kit"), expected);
    // From then on it is trusted, and nothing is new.
    assert_eq!(root_key(&another, "kit"), serde_json::Value::Null);

    // With a kit that has no root key yet, and without any.
    for kit in ["kit", "new"] {
        let machine = configured();
        let told = root_key(&machine, kit);
        let text = fs::read(machine.path(kit)).unwrap();
        let root = Kit::parse(&text).unwrap().root.unwrap();
        let expected = serde_json::json!({"key": root.to_string(), "origin": "new"});
        assert_eq!(told, expected);
    }
}

#[test]
fn a_kit_is_private_after_init_and_its_last_line_stays_whole() {
    let machine = configured();
    let identity = kit_text(&machine).trim_end().to_owned();
    assert!(!identity.lines().last().unwrap().starts_with('#'));
    fs::write(machine.path("kit"), &identity).unwrap();
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(machine.path("kit"), mode).unwrap();
    let run = machine.run("init --kit $T/kit --json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(told["done"].as_array().unwrap().len() >= 3, "{told}");
    assert_eq!(told["to_add"], serde_json::Value::Null);

    let text = kit_text(&machine);
    assert!(text.starts_with(&format!("{identity}\n#\n# root public key: ")));
    let mode = machine.path("kit").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    feed(&machine, "2024-01-01");
    let run = machine.run("key check --identity $T/kit");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_commands_in_the_kit_bring_everything_back_on_an_empty_machine() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(Some(LoopFs::new(256)));
    let config = fed_config()
        + "\n[[source]]\nname = \"work\"\nstore = \"shelf\"\n\n[store.shelf]\ntype = \"dir\"\npath = \"$T/o'clock shelf\"\n";
    machine.write_config(&config);
    let run = machine.run("init --kit $T/kit");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for (source, uuid) in [("home", b'a'), ("work", b'b')] {
        let stream = StreamBuilder::header(1)
            .subvol(b"2024-01-01", [uuid; 16], 10)
            .mkfile(b"file")
            .write(b"file", 0, source.as_bytes())
            .finish();
        let run = machine.run_with(&format!("decide 2024-01-01 --source {source}"), &stream);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    fs::remove_dir_all(machine.state()).unwrap();
    fs::remove_file(machine.path("config.toml")).unwrap();

    // As the kit says how: its command lines alone, given to a shell.
    let kit = kit_text(&machine);
    let extract = kit
        .lines()
        .find_map(|line| line.strip_prefix("#   These lines alone: "))
        .unwrap();
    let in_shell = |script: &str| {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_coldchain"));
        let path = std::env::var("PATH").unwrap();
        let directory = program.parent().unwrap().display().to_string();
        let output = Command::new("sh")
            .args(["-ec", script])
            .env("PATH", format!("{directory}:{path}"))
            .env("COLDCHAIN_STATE_DIR", machine.state())
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .env_remove("COLDCHAIN_IDENTITY_FILE")
            .current_dir(machine.path(""))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{stderr}");
        String::from_utf8(output.stdout).unwrap()
    };
    let script = in_shell(extract);
    assert_eq!(script.lines().count(), 3, "{script}");
    let target = machine.btrfs().root().display().to_string();
    in_shell(&script.replace("DIRECTORY\n", &format!("{target} --yes\n")));
    for source in ["home", "work"] {
        let restored = machine.btrfs().path(format!("{source}/2024-01-01/file"));
        assert_eq!(fs::read_to_string(restored).unwrap(), source);
    }
}

#[test]
fn a_kit_that_is_missing_is_a_usage_error() {
    let machine = Machine::fed(None);
    for words in [
        "key kit --kit $T/missing",
        "key rotate --kit $T/missing --new-signing-key",
        "key check --identity $T/missing",
        "catalog rebuild --identity $T/missing",
    ] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(2), "{words}: {}", run.stderr);
        assert!(
            run.stderr
                .starts_with("error: cannot read the identity file $T/missing\n"),
            "{words}: {}",
            run.stderr
        );
    }
}

/// The calls that change what stands on the disk, but for the catalog's own.
const CALLS: [&str; 6] = ["write", "fsync", "linkat", "rename", "unlink", "mkdir"];

/// Kills a command at each call that changes a file. Whatever it leaves, `holds` must be true of it, and
/// the same command run once more ends well.
fn killed_everywhere(begin: &Machine, words: &str, holds: impl Fn(&Machine)) {
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(!ci, "CI=true, but nothing can be traced");
        eprintln!("skipped: nothing can be traced");
        return;
    }
    let copy = |from: &str, to: &str| {
        let path = |name: &str| begin.path(name);
        let _ = fs::remove_dir_all(path(to));
        let _ = fs::remove_file(path(to));
        if path(from).exists() {
            let mut cp = Command::new("cp");
            assert!(
                cp.arg("-a")
                    .args([path(from), path(to)])
                    .status()
                    .unwrap()
                    .success()
            );
        }
    };
    for what in ["state", "store", "kit"] {
        copy(what, &format!("{what}-before"));
    }
    let mut killed = 0;
    for call in CALLS {
        for n in 1.. {
            for what in ["state", "store", "kit"] {
                copy(&format!("{what}-before"), what);
            }
            let program = begin.command(words);
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let mut strace = begin.command_of("strace", "-f -qq -o /dev/null");
            strace
                .args(["-e", &format!("trace={call}"), "-e", &inject])
                .arg(program.get_program())
                .args(program.get_args());
            let run = begin.run_command(&mut strace);
            if run.code == Some(0) {
                break;
            }
            killed += 1;
            let at = format!("{words} killed at {call} {n}");
            let again = begin.run(words);
            assert_eq!(again.code, Some(0), "{at}: {}", again.stderr);
            let left = fs::read_dir(begin.path(""))
                .unwrap()
                .chain(fs::read_dir(begin.state()).unwrap());
            for entry in left {
                let name = entry.unwrap().file_name();
                let name = name.to_string_lossy();
                assert!(
                    !name.contains(".coldchain-") && !name.ends_with(".new"),
                    "{at}: {name}"
                );
            }
            holds(begin);
        }
    }
    assert!(killed > 3, "nothing was hit");
}

/// Panics unless the kit opens and vouches for what this machine archives.
fn kit_is_good(machine: &Machine, identity: &str) {
    assert!(kit_text(machine).starts_with(identity));
    let kit = kit(machine);
    assert!(kit.root_secret.is_some());
    assert_eq!(kit.sources.len(), 1);
    if !machine.path("store/home/ledger/00000002.entry").exists() {
        feed(machine, "2024-01-01");
    }
    let _ = fs::remove_dir_all(machine.path("new"));
    let run = machine.run(
        "catalog rebuild --store file://$T/store --identity $T/kit --state-dir $T/new --quiet",
    );
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let run = machine.run("key check --identity $T/kit");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn an_init_that_is_killed_anywhere_is_gone_on_with_by_the_same_command() {
    let machine = configured();
    let identity = kit_text(&machine);
    killed_everywhere(&machine, "init --kit $T/kit", |machine| {
        kit_is_good(machine, &identity);
    });
}

#[test]
fn a_change_of_kit_or_keys_that_is_killed_anywhere_is_gone_on_with_by_the_same_command() {
    let machine = Machine::fed(None);
    feed(&machine, "2024-01-01");
    let whole = kit_text(&machine);
    let (identity, _) = whole.split_once("#\n# source home").unwrap();
    killed_everywhere(&machine, "key kit --kit $T/kit", |machine| {
        kit_is_good(machine, identity);
    });
    killed_everywhere(
        &machine,
        "key rotate --kit $T/kit --new-signing-key",
        |machine| {
            kit_is_good(machine, identity);
            let stream = StreamBuilder::header(1)
                .snapshot(b"2024-01-07", [b'b'; 16], 10, [b'a'; 16], 10)
                .mkfile(b"other")
                .finish();
            let run = machine.run_with("decide 2024-01-07", &stream);
            assert_eq!(run.code, Some(0), "{}", run.stderr);
        },
    );
}

#[test]
fn a_machine_that_takes_over_begins_with_the_kit_and_the_config_in_it() {
    let machine = configured();
    let commented = fed_config() + "# why it is so\n";
    machine.write_config(&commented);
    assert_eq!(machine.run("init --kit $T/kit -q").code, Some(0));
    feed(&machine, "2024-01-01");
    assert_eq!(kit(&machine).configs[0].text, machine.fill(&commented));
    let before = kit_text(&machine);

    fs::remove_dir_all(machine.state()).unwrap();
    fs::remove_file(machine.path("config.toml")).unwrap();
    let store = machine.path("store").display().to_string();
    let words =
        format!("catalog rebuild --identity $T/kit --store file://{store} --state-dir $T/state");
    assert_eq!(machine.run(&words).code, Some(0));
    let begun = machine.run("init --kit $T/kit");
    assert_eq!((begun.code, begun.stderr.as_str()), (Some(0), ""));
    assert!(
        begun
            .stdout
            .contains(", as $T/kit has it; check that it fits this machine\n"),
        "{begun:?}"
    );
    assert!(
        begun.stdout.contains("$T/kit is used as it is\n"),
        "{begun:?}"
    );
    assert_eq!(
        fs::read_to_string(machine.path("config.toml")).unwrap(),
        machine.fill(&commented)
    );
    assert_eq!(kit_text(&machine), before);
    let rotated = machine.run("key rotate --kit $T/kit --new-signing-key");
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    assert_eq!(machine.run("init --kit $T/kit -q").code, Some(0));
    let stream = StreamBuilder::header(1)
        .snapshot(b"2024-01-07", [b'b'; 16], 12, [b'a'; 16], 10)
        .write(b"file", 0, b"more")
        .finish();
    let run = machine.run_with("decide 2024-01-07", &stream);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "i 2024-01-01\n"),
        "{run:?}"
    );

    // What is edited later gets into the kit by either command, and is said.
    machine.write_config(&(commented.clone() + "# once more\n"));
    let run = machine.run("init --kit $T/kit");
    assert_eq!(
        run.stdout,
        "brought the config in $T/kit up to date: print it again\n"
    );
    machine.write_config(&(commented + "# and again\n"));
    assert_eq!(machine.run("key kit --kit $T/kit").code, Some(0));
    assert!(kit_text(&machine).contains("#   | # and again\n"));
    assert_eq!(kit(&machine).configs.len(), 1);
}

#[test]
fn a_kit_without_a_config_gives_its_recipient() {
    let machine = Machine::new();
    let before = kit_text(&machine);
    let begun = machine.run("init --kit $T/kit");
    assert_eq!((begun.code, begun.stderr.as_str()), (Some(0), ""));
    assert!(
        begun
            .stdout
            .starts_with("made $T/config.toml: describe what to archive"),
        "{begun:?}"
    );
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    assert!(config.contains(&machine.fill("\"$R\"")), "{config}");
    assert_eq!(kit_text(&machine), before);
    // What is no kit is not taken for one, and nothing is made.
    fs::remove_file(machine.path("config.toml")).unwrap();
    fs::write(machine.path("kit"), "a letter\n").unwrap();
    let refused = machine.run("init --kit $T/kit");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(!machine.path("config.toml").exists());
    assert_eq!(kit_text(&machine), "a letter\n");
}
