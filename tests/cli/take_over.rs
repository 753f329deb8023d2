//! `init --from-btrbk` and `--from-snapper` on the real program.

use std::fs;

use serde_json::Value;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{Machine, Run};

const BTRBK: &str = "\
# Latin-1 in a comment does no harm.
transaction_log        /var/log/btrbk.log
snapshot_preserve_min  2d
snapshot_preserve      14d 8w
target_preserve_min    no
target_preserve        30d *m
incremental_preferences x

volume $FS
  snapshot_dir btrbk_snapshots
  target $T/second
  subvolume @*
  subvolume data
    snapshot_preserve_min all
";

const SNAPPER: &str = "\
SUBVOLUME=\"$FS/data\"
FSTYPE=\"btrfs\"
NUMBER_LIMIT=\"50\"
TIMELINE_CREATE=\"yes\"
TIMELINE_CLEANUP=\"yes\"
TIMELINE_LIMIT_HOURLY=\"5\"
TIMELINE_LIMIT_DAILY=\"2-7\"
TIMELINE_LIMIT_MONTHLY=\"0\"
TIMELINE_LIMIT_YEARLY=\"0\"
";

/// Writes a file below the machine's directory, with its paths in it.
fn write(machine: &Machine, name: &str, text: &str) {
    let fs = machine.btrfs().root().display().to_string();
    let here = machine.path("").display().to_string();
    let text = text
        .replace("$FS", &fs)
        .replace("$T", here.trim_end_matches('/'));
    fs::create_dir_all(machine.path(name).parent().unwrap()).unwrap();
    fs::write(machine.path(name), text).unwrap();
}

/// A machine without a config, with the subvolumes `@home`, `@srv` and `data`, and a snapshot that btrbk took.
fn machine() -> Machine {
    let machine = Machine::with_subvolume_on(LoopFs::new(256));
    fs::remove_file(machine.path("config.toml")).unwrap();
    for name in ["@home", "@srv", "data"] {
        machine.btrfs().subvolume(name);
        fs::write(machine.btrfs().path(name).join("letter"), name).unwrap();
    }
    fs::create_dir(machine.btrfs().path("@no-subvolume")).unwrap();
    fs::create_dir(machine.btrfs().path("btrbk_snapshots")).unwrap();
    let old = machine.btrfs().path("btrbk_snapshots/@home.20261101");
    let home = machine.btrfs().path("@home");
    btrfs(["subvolume", "snapshot", "-r"], &[&home, &old]);
    machine
}

/// Runs a command with a state directory of the machine's own: the config that `init` writes names none.
fn run_here(machine: &Machine, words: &str) -> Run {
    let mut command = machine.command(words);
    command.env("COLDCHAIN_STATE_DIR", machine.path("new-state"));
    machine.run_command(&mut command)
}

#[test]
fn a_btrbk_conf_becomes_a_config_that_snapshots_at_once() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let second = LoopFs::new(256);
    let place = second.root().display().to_string();
    write(&machine, "btrbk.conf", &BTRBK.replace("$T/second", &place));
    let run = machine.run("init --from-btrbk $T/btrbk.conf");
    assert_eq!(run.code, Some(0), "{run:?}");
    for part in [
        "taken over from $T/btrbk.conf: 3 sources, 3 mirrors\n",
        "  home: $FS/@home, snapshots in $FS/.coldchain/home, keep 73h 15d 10w\n",
        &*format!("    mirror {place}, keep 31d 12001m\n"),
        "  srv: $FS/@srv, snapshots in $FS/.coldchain/srv, keep 73h 15d 10w\n",
        "  data: $FS/data, snapshots in $FS/.coldchain/data, keep everything\n",
        "not taken over:\n",
        "  line 2: transaction_log: set `log`",
        "systemctl disable --now btrbk.timer",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert_eq!(
        run.stderr,
        "warning: line 7: btrbk has no option `incremental_preferences`; nothing is taken over from it\n"
    );
    assert_eq!(run_here(&machine, "config check").code, Some(0));
    let again = run_here(&machine, "init");
    assert_eq!(again.code, Some(0), "{again:?}");
    let snapshot = run_here(&machine, "snapshot home");
    assert_eq!(snapshot.code, Some(0), "{snapshot:?}");
    let snapshot = run_here(&machine, "--quiet snapshot srv");
    assert_eq!(snapshot.code, Some(0), "{snapshot:?}");
    let snapshot = run_here(&machine, "snapshot data");
    assert_eq!(snapshot.code, Some(0), "{snapshot:?}");
    for (subvolume, name) in [("@home", "home"), ("@srv", "srv"), ("data", "data")] {
        let letter = machine
            .btrfs()
            .path(format!(".coldchain/{name}/current/letter"));
        assert_eq!(fs::read_to_string(letter).unwrap(), subvolume);
    }
    let mirrored = run_here(&machine, "mirror home");
    assert_eq!(mirrored.code, Some(0), "{mirrored:?}");
    let copy = second.path("home/current/letter");
    assert_eq!(fs::read_to_string(copy).unwrap(), "@home");
    let old = machine
        .btrfs()
        .path("btrbk_snapshots/@home.20261101/letter");
    assert_eq!(fs::read_to_string(old).unwrap(), "@home");
}

#[test]
fn a_config_that_exists_is_not_touched() {
    let machine = Machine::fed(None);
    let before = fs::read_to_string(machine.path("config.toml")).unwrap();
    fs::write(machine.path("btrbk.conf"), "subvolume /home\n").unwrap();
    let refused = "error: cannot take over another tool's config: $T/config.toml exists already\n\
                   hint: nothing was changed; name a new config with --config, and copy from it what you need\n";
    for words in ["--from-btrbk $T/btrbk.conf", "--from-snapper"] {
        machine.run(&format!("init {words}")).is(2, "", refused);
    }
    // Also one with a fault.
    fs::write(machine.path("config.toml"), "nonsense").unwrap();
    machine
        .run("init --from-btrbk $T/btrbk.conf")
        .is(2, "", refused);
    fs::write(machine.path("config.toml"), before).unwrap();
    let both = machine.run("init --from-btrbk $T/btrbk.conf --from-snapper");
    assert_eq!(both.code, Some(2), "{both:?}");
}

#[test]
fn what_can_t_be_taken_over_writes_nothing() {
    let machine = Machine::new();
    let large = format!("# {}\nsubvolume /home\n", "x".repeat(1 << 20));
    let many = "target /a\n".repeat(5000) + "subvolume /home\n";
    for (text, error) in [
        (large.as_str(), "it has more than 1.00 MiB"),
        (
            &*many,
            "line 5001: subvolumes and targets make more than 4096 blocks",
        ),
        (
            "volume ssh://nas/pool\nsubvolume x\n",
            "it has no subvolume that can be a source here",
        ),
        ("", "it has no subvolume that can be a source here"),
        (
            "[[source]]\n",
            "line 1: it does not begin with the name of an option",
        ),
    ] {
        fs::write(machine.path("btrbk.conf"), text).unwrap();
        let run = machine.run("init --kit $T/new-kit --from-btrbk $T/btrbk.conf");
        assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{run:?}");
        let whole = format!("error: cannot take over $T/btrbk.conf: {error}\n");
        assert!(run.stderr.contains(&whole), "{run:?}");
    }
    let missing = machine.run("init --kit $T/new-kit --from-btrbk $T/none");
    assert_eq!(missing.code, Some(1), "{missing:?}");
    fs::create_dir(machine.path("snapper")).unwrap();
    let none = machine.run("init --kit $T/new-kit --from-snapper $T/snapper");
    assert_eq!(none.code, Some(2), "{none:?}");
    for name in ["new-kit", "config.toml"] {
        assert!(!machine.path(name).exists(), "{name}");
    }
}

#[test]
fn snapper_s_configs_become_a_config() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    write(&machine, "snapper/data", SNAPPER);
    write(
        &machine,
        "snapper/lvm",
        "SUBVOLUME=/srv\nFSTYPE=lvm(ext4)\n",
    );
    write(&machine, "snapper/data.rpmsave", "nonsense");
    let run = machine.run("--json init --from-snapper $T/snapper");
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    let source = &answer["taken_over"]["sources"][0];
    assert_eq!(source["name"], "data");
    assert_eq!(source["snapshots"], "$FS/data/.coldchain");
    assert_eq!(source["keep"], "6h 7d");
    let left = answer["taken_over"]["left"].as_array().unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    let again = run_here(&machine, "init");
    assert_eq!(again.code, Some(0), "{again:?}");
    let snapshot = run_here(&machine, "snapshot data");
    assert_eq!(snapshot.code, Some(0), "{snapshot:?}");
    let letter = machine.btrfs().path("data/.coldchain/current/letter");
    assert_eq!(fs::read_to_string(letter).unwrap(), "data");
}

#[test]
fn a_kit_that_is_there_gives_its_recipient_and_not_its_config() {
    let machine = Machine::fed(None);
    fs::remove_file(machine.path("config.toml")).unwrap();
    fs::write(machine.path("btrbk.conf"), "subvolume /nowhere/home\n").unwrap();
    let run = machine.run("init --kit $T/kit --from-btrbk $T/btrbk.conf");
    assert_eq!(run.code, Some(0), "{run:?}");
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    assert!(config.contains("subvolume = \"/nowhere/home\""), "{config}");
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    let recipient = kit.lines().find_map(|it| it.strip_prefix("# identity of "));
    assert!(config.contains(recipient.unwrap()), "{config}");
    assert!(run.stderr.starts_with("warning: home: "), "{run:?}");
}
