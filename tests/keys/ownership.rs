//! What the program trusts belongs to who runs it or to root, and nobody else may write to it. And a
//! root who lacks what makes it root is told so.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{Machine, fed_config};

/// A user who is not root.
const MALLORY: u32 = 4242;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path, owner: u32) {
    chown(path, Some(owner), None).unwrap();
}

/// Whether owners can be changed here.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var_os("CI").is_none(), "not root");
    if !is_root {
        eprintln!("skipped: only root can give files away");
    }
    is_root
}

/// Runs each command, and expects that it refuses with this.
#[track_caller]
fn refuses(machine: &Machine, commands: &[&str], path: &str, why: &str, mend: &str) {
    let expected = format!("error: cannot trust {path}: {why}\nhint: {mend}\n");
    for words in commands {
        machine.run(words).is(2, "", &expected);
    }
}

const READS_CONFIG: [&str; 4] = ["list", "plan", "doctor", "backup"];
const READS_KIT: [&str; 3] = [
    "catalog check --identity $T/kit",
    "key check --identity $T/kit",
    "key kit --kit $T/kit",
];

fn chmod(path: &str) -> String {
    format!("check that it was not changed, then run `chmod go-w {path}`")
}

fn chown_to_root(path: &str) -> String {
    format!("check that it was not changed, then run `chown root: {path}`")
}

#[test]
fn what_others_can_write_to_is_refused() {
    let machine = Machine::fed(None);
    for (file, modes, commands) in [
        (
            "config.toml",
            [(0o666, 0o644), (0o664, 0o600)],
            &READS_CONFIG[..],
        ),
        ("kit", [(0o666, 0o600), (0o620, 0o600)], &READS_KIT[..]),
        (
            "state",
            [(0o777, 0o700), (0o1770, 0o755)],
            &READS_CONFIG[..],
        ),
    ] {
        let path = format!("$T/{file}");
        for (bad, good) in modes {
            set_mode(&machine.path(file), bad);
            let why = format!("others can write to it (mode {bad:04o})");
            refuses(&machine, commands, &path, &why, &chmod(&path));
            set_mode(&machine.path(file), good);
        }
    }
    assert_eq!(machine.run("list").code, Some(0));
    assert_eq!(machine.run("key kit --kit $T/kit").code, Some(0));

    // Without a config the state directory is asked for all the same, and so are the keys in it.
    fs::remove_file(machine.path("config.toml")).unwrap();
    set_mode(&machine.state(), 0o707);
    let rebuild = "catalog rebuild --identity $T/kit --store file://$T/store --state-dir $T/state";
    let why = "others can write to it (mode 0707)";
    refuses(
        &machine,
        &["list --state-dir $T/state", rebuild],
        "$T/state",
        why,
        &chmod("$T/state"),
    );
    set_mode(&machine.state(), 0o700);
    set_mode(&machine.state().join("root.pub"), 0o666);
    let path = "$T/state/root.pub";
    let why = "others can write to it (mode 0666)";
    let show = "key show --state-dir $T/state";
    machine.write_config(&fed_config());
    refuses(&machine, &[show], path, why, &chmod(path));
}

#[test]
fn what_is_another_users_is_refused_and_told_of_under_sudo() {
    if !is_root() {
        return;
    }
    let machine = Machine::fed(None);
    for (file, commands) in [
        ("config.toml", &READS_CONFIG[..]),
        ("kit", &READS_KIT[..]),
        ("state", &READS_CONFIG[..]),
    ] {
        let path = format!("$T/{file}");
        give(&machine.path(file), MALLORY);
        let why = format!("it belongs to the user with uid {MALLORY}");
        refuses(&machine, commands, &path, &why, &chown_to_root(&path));

        // Whoever may become root anyhow is warned, once.
        let words = commands[commands.len() - 1];
        let words = if file == "kit" { words } else { "list" };
        let mut sudo = machine.command(words);
        let ran = machine.run_command(sudo.env("SUDO_UID", MALLORY.to_string()));
        let warning = format!(
            "warning: {path} belongs to the user who ran sudo: every program of that user can change it\n"
        );
        assert_eq!((ran.code, &*ran.stderr), (Some(0), &*warning), "{file}");
        give(&machine.path(file), MALLORY);
        let mut other = machine.command(words);
        let ran = machine.run_command(other.env("SUDO_UID", "4243"));
        assert_eq!(ran.code, Some(2), "sudo by somebody else: {ran:?}");
        give(&machine.path(file), 0);
    }
}

#[test]
fn a_link_of_another_user_is_not_followed() {
    if !is_root() {
        return;
    }
    let machine = Machine::fed(None);
    let sticky = machine.path("tmp");
    fs::create_dir(&sticky).unwrap();
    set_mode(&sticky, 0o1777);
    for (name, target) in [
        ("file", "../config.toml"),
        ("directory", ".."),
        ("kit", "../kit"),
        ("state", "../state"),
    ] {
        symlink(target, sticky.join(name)).unwrap();
    }
    let all = [
        ("file", "list --config $T/tmp/file"),
        ("directory", "list --config $T/tmp/directory/config.toml"),
        ("kit", "key kit --kit $T/tmp/kit"),
        ("state", "list --state-dir $T/tmp/state"),
    ];
    for (name, words) in all {
        assert_eq!(machine.run(words).code, Some(0), "{words}");
        let link = sticky.join(name);
        lchown(&link, Some(MALLORY), None).unwrap();
        let path = format!("$T/tmp/{name}");
        let why = format!("it is a symbolic link that belongs to the user with uid {MALLORY}");
        let mend = format!("give the path that the link leads to, or run `chown -h root: {path}`");
        refuses(&machine, &[words], &path, &why, &mend);
    }
    // A chain of root's own, as a store of packages makes it.
    symlink("config.toml", machine.path("second")).unwrap();
    symlink(machine.path("second"), machine.path("first")).unwrap();
    assert_eq!(machine.run("list --config $T/first").code, Some(0));
    symlink("circle", machine.path("circle")).unwrap();
    let ran = machine.run("list --config $T/circle");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = machine.run("list --config $T/tmp/nothing");
    assert!(ran.stderr.contains("does not exist"), "{ran:?}");
}

/// What is read from a kit is judged when it is open. But a kit is written to as well, and found by its
/// path once more.
#[test]
fn a_kit_that_others_could_swap_is_not_written_to() {
    let machine = Machine::new();
    let shared = machine.path("shared");
    fs::create_dir(&shared).unwrap();
    symlink("shared/kit", machine.path("link")).unwrap();
    let refused = |words: &str, directory: &str, mode: u32| {
        let before = machine.standing();
        let expected = format!(
            "error: cannot trust {directory}: others can write to it (mode {mode:04o})\n\
             hint: put the file into a directory that only you can write to, or run `chmod go-w {directory}`\n"
        );
        machine.run(words).is(2, "", &expected);
        assert_eq!(machine.standing(), before, "{words}");
        assert!(!machine.state().exists(), "{words}");
    };
    // The first run, and the second, without a kit and with one that was planted by root's own hand.
    for mode in [0o777, 0o775, 0o2775] {
        set_mode(&shared, mode);
        refused("init --kit $T/shared/kit", "$T/shared", mode);
    }
    machine.write_config(&fed_config());
    refused("init --kit $T/shared/kit", "$T/shared", 0o2775);
    fs::copy(machine.path("kit"), shared.join("kit")).unwrap();
    for words in [
        "init --kit $T/shared/kit",
        "init --kit shared/kit",
        "init --kit shared/../shared/kit",
        "init --kit $T/link",
    ] {
        refused(words, "$T/shared", 0o2775);
    }

    // As in /tmp, nobody takes away there what is another's.
    set_mode(&shared, 0o1777);
    let run = machine.run("init --kit $T/shared/kit --quiet");
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    assert_eq!(machine.run("key kit --kit $T/link").code, Some(0));
    set_mode(&shared, 0o777);
    let ran = machine.run("key kit --kit $T/link");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    // Where no kit is written nobody minds.
    let run = machine.run("init --kit $T/shared/another --quiet");
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    assert!(!shared.join("another").exists());
}

#[test]
fn a_kit_below_a_directory_of_another_user_is_not_written_to() {
    if !is_root() {
        return;
    }
    let machine = Machine::fed(None);
    let (home, below) = (machine.path("home"), machine.path("home/kits"));
    fs::create_dir_all(&below).unwrap();
    fs::rename(machine.path("kit"), below.join("kit")).unwrap();
    give(&home, MALLORY);
    let kit = fs::read(below.join("kit")).unwrap();
    let expected = format!(
        "error: cannot trust $T/home: it belongs to the user with uid {MALLORY}\n\
         hint: put the file into a directory that only you can write to\n"
    );
    for words in [
        "init --kit $T/home/kits/kit",
        "key kit --kit $T/home/kits/kit",
    ] {
        machine.run(words).is(2, "", &expected);
        let mut sudo = machine.command(words);
        let ran = machine.run_command(sudo.env("SUDO_UID", MALLORY.to_string()));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            ran.stderr
                .contains("warning: $T/home belongs to the user who ran sudo: "),
            "{ran:?}"
        );
    }
    assert_eq!(fs::read(below.join("kit")).unwrap(), kit);
    // It is read all the same: what was judged is open then.
    let ran = machine.run("key check --identity $T/home/kits/kit");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// `init` in `/tmp`, where somebody else has put a kit before.
#[test]
fn a_planted_kit_is_never_the_one_of_init() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write_config(&fed_config());
    let other = Machine::fed(None);
    let tmp = machine.path("tmp");
    fs::create_dir(&tmp).unwrap();
    set_mode(&tmp, 0o1777);
    let kit = tmp.join("coldchain-recovery-kit.txt");
    let words = "init --kit $T/tmp/coldchain-recovery-kit.txt";
    let path = "$T/tmp/coldchain-recovery-kit.txt";
    fs::copy(other.path("kit"), &kit).unwrap();
    let planted = fs::read(&kit).unwrap();
    let refuses = |why: &str, mend: &str| {
        refuses(&machine, &[words], path, why, mend);
        assert_eq!(fs::read(&kit).unwrap(), planted);
        assert!(!machine.state().join("signing.key").exists());
        assert!(!machine.state().join("root.pub").exists());
    };
    give(&kit, MALLORY);
    set_mode(&kit, 0o600);
    let theirs = format!("it belongs to the user with uid {MALLORY}");
    refuses(&theirs, &chown_to_root(path));
    give(&kit, 0);
    set_mode(&kit, 0o666);
    refuses("others can write to it (mode 0666)", &chmod(path));
    fs::remove_file(&kit).unwrap();
    symlink(other.path("kit"), &kit).unwrap();
    lchown(&kit, Some(MALLORY), None).unwrap();
    refuses(
        &format!("it is a symbolic link that belongs to the user with uid {MALLORY}"),
        &format!("give the path that the link leads to, or run `chown -h root: {path}`"),
    );
}

/// A pipe has an owner, but whoever gave it chose what is in it.
#[test]
fn a_pipe_is_taken_as_it_is() {
    let machine = Machine::fed(None);
    for words in [
        "list --config /dev/stdin",
        "key check --identity /dev/stdin",
        "key check --identity /proc/self/fd/0",
    ] {
        let file = if words.contains("config") {
            "config.toml"
        } else {
            "kit"
        };
        let text = fs::read(machine.path(file)).unwrap();
        let ran = machine.run_with(words, &text);
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{words}: {ran:?}");
    }
    let mut shell = Command::new("bash")
        .args(["-c", "\"$0\" key check --identity <(cat kit)"])
        .arg(env!("CARGO_BIN_EXE_coldchain"))
        .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
        .current_dir(machine.path(""))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(b"").unwrap();
    assert!(shell.wait().unwrap().success());
    // A file is one also there.
    set_mode(&machine.path("config.toml"), 0o666);
    let mut command = machine.command("list --config /dev/stdin");
    command.stdin(fs::File::open(machine.path("config.toml")).unwrap());
    assert_eq!(machine.run_command(&mut command).code, Some(2));
}

#[test]
fn a_user_trusts_what_is_their_own_and_what_is_roots() {
    if !is_root() {
        return;
    }
    let machine = Machine::fed(None);
    let everything = machine.path("");
    let as_mallory = |words: &str| {
        let mut command = Command::new("setpriv");
        let (uid, gid) = (format!("--reuid={MALLORY}"), format!("--regid={MALLORY}"));
        command
            .args([uid.as_str(), gid.as_str(), "--clear-groups"])
            .arg(env!("CARGO_BIN_EXE_coldchain"))
            .args(words.split_whitespace().map(|word| machine.fill(word)))
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .current_dir("/")
            .stdin(Stdio::null());
        machine.run_command(&mut command)
    };
    let given = Command::new("chown")
        .args(["-R", &MALLORY.to_string()])
        .arg(&everything)
        .status();
    assert!(given.unwrap().success());
    if as_mallory("--version").code != Some(0) {
        eprintln!("skipped: the program lies where another user can't run it");
        return;
    }
    assert_eq!(as_mallory("list").code, Some(0));
    let config = machine.path("config.toml");
    give(&config, 0);
    assert_eq!(as_mallory("list").code, Some(0), "root may do it anyhow");
    give(&config, 4243);
    let expected = format!(
        "error: cannot trust $T/config.toml: it belongs to the user with uid 4243\n\
         hint: check that it was not changed, then run `sudo chown {MALLORY}: $T/config.toml`\n"
    );
    as_mallory("list").is(2, "", &expected);
    give(&config, MALLORY);
    set_mode(&config, 0o666);
    let ran = as_mallory("list");
    assert!(
        ran.stderr.ends_with("`chmod go-w $T/config.toml`\n"),
        "{ran:?}"
    );
}

#[test]
fn a_root_without_its_capability_or_in_a_user_namespace_is_told_so() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let ran = machine.run("backup --date-override 2024-01-01");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let run_under = |wrapper: &[&str], words: &str| {
        let mut command = Command::new(wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(env!("CARGO_BIN_EXE_coldchain"))
            .args(words.split_whitespace().map(|word| machine.fill(word)))
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .current_dir(machine.path(""))
            .stdin(Stdio::null());
        machine.run_command(&mut command)
    };
    fs::create_dir(machine.btrfs().root().join("back")).unwrap();
    for words in [
        "backup --date-override 2024-01-07",
        "restore home --from store --to $FS/back --identity $T/kit --yes",
        "verify --drill --identity $T/kit",
    ] {
        for (wrapper, why) in [
            (
                &["setpriv", "--bounding-set=-sys_admin"][..],
                "root lacks the capability CAP_SYS_ADMIN",
            ),
            (
                &["unshare", "--user", "--map-root-user"][..],
                "root of a user namespace cannot send or receive subvolumes",
            ),
        ] {
            let ran = run_under(wrapper, words);
            assert_eq!(ran.code, Some(8), "{words}: {ran:?}");
            assert!(ran.stderr.contains(why), "{words}: {ran:?}");
            assert!(ran.stderr.contains("\nhint: "), "{words}: {ran:?}");
        }
    }
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
}

/// Each of these was found out by `btrfs receive`, after hours of it; without `CAP_FSETID` it was found out by
/// nobody, and setgid bits were lost.
#[test]
fn a_root_that_may_not_restore_all_of_a_file_is_told_so_before_anything_is_made() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let ran = machine.run("backup --date-override 2024-01-01");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let to = machine.btrfs().root().join("back");
    fs::create_dir(&to).unwrap();
    let run_under = |wrapper: &[&str]| {
        let words = "restore home --from store --to $FS/back --identity $T/kit --yes";
        let mut command = Command::new(wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(env!("CARGO_BIN_EXE_coldchain"))
            .args(words.split_whitespace().map(|word| machine.fill(word)))
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .stdin(Stdio::null());
        machine.run_command(&mut command)
    };
    let refuses = |wrapper: &[&str], why: &str| {
        let ran = run_under(wrapper);
        assert_eq!(ran.code, Some(8), "{wrapper:?}: {ran:?}");
        assert!(ran.stderr.contains(why), "{wrapper:?}: {ran:?}");
        assert!(ran.stderr.contains("\nhint: "), "{wrapper:?}: {ran:?}");
        let made: Vec<_> = fs::read_dir(&to).unwrap().collect();
        assert!(made.is_empty(), "{wrapper:?}: {made:?}");
    };
    for one in [
        "chown",
        "dac_override",
        "fowner",
        "fsetid",
        "setfcap",
        "mknod",
        "sys_chroot",
    ] {
        let name = format!("needs: CAP_{}\n", one.to_uppercase());
        refuses(&["setpriv", &format!("--bounding-set=-{one}")], &name);
    }
    let confine = "cannot confine `btrfs receive` to $FS/back\n";
    refuses(&["setpriv", "--bounding-set=-setpcap"], confine);
    for call in [
        "openat2",
        "open_tree",
        "mount_setattr",
        "move_mount",
        "unshare",
    ] {
        let inject = format!("inject={call}:error=ENOSYS");
        let trace = format!("trace={call}");
        let words = [
            "strace",
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &trace,
            "-e",
            &inject,
        ];
        refuses(&words, confine);
    }
    // No more than it needs will do.
    let all = "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+setfcap,+mknod,+sys_admin,+sys_chroot,+setpcap";
    let ran = run_under(&["setpriv", all]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_restore_reads_a_piped_kit_once() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let ran = machine.run("backup --date-override 2024-01-01");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    fs::create_dir(machine.btrfs().root().join("back")).unwrap();
    let kit = fs::read(machine.path("kit")).unwrap();
    let words = "restore home --from store --to $FS/back --identity /dev/stdin --yes";
    let ran = machine.run_with(words, &kit);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// A directory on the way to what root trusts, which others can change.
fn open_to_others(machine: &Machine) -> std::path::PathBuf {
    let way = machine.path("way");
    fs::create_dir_all(way.join("further")).unwrap();
    set_mode(&way, 0o777);
    way.join("further")
}

#[test]
fn root_reads_no_config_that_others_could_swap() {
    if !is_root() {
        return;
    }
    let machine = Machine::fed(None);
    let config = open_to_others(&machine).join("config.toml");
    fs::copy(machine.path("config.toml"), &config).unwrap();
    let line = "--config $T/way/further/config.toml list";
    let why = "others can write to it (mode 0777)";
    let hint =
        "put the file into a directory that only you can write to, or run `chmod go-w $T/way`";
    refuses(&machine, &[line], "$T/way", why, hint);
    // As in /tmp, others can't replace what is not theirs in a sticky directory.
    set_mode(&machine.path("way"), 0o1777);
    assert_eq!(machine.run(line).code, Some(0));
    set_mode(&machine.path("way"), 0o755);
    give(&machine.path("way"), MALLORY);
    let why = format!("it belongs to the user with uid {MALLORY}");
    let hint = "put the file into a directory that only you can write to";
    refuses(&machine, &[line], "$T/way", &why, hint);
}

#[test]
fn root_is_warned_of_a_program_that_others_could_swap() {
    if !is_root() {
        return;
    }
    let machine = Machine::fed(None);
    let program = open_to_others(&machine).join("coldchain");
    fs::copy(env!("CARGO_BIN_EXE_coldchain"), &program).unwrap();
    let doctor = |words: &str| {
        let mut command = Command::new(&program);
        let config = machine.path("config.toml");
        command.arg("--config").arg(config).args(words.split(' '));
        let output = command.output().unwrap();
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
    };
    let warning =
        "others can write to it (mode 0777); a user who changes it becomes root when it runs";
    assert!(
        doctor("doctor --offline").contains(warning),
        "{}",
        doctor("doctor --offline")
    );
    set_mode(&machine.path("way"), 0o755);
    assert!(!doctor("doctor --offline").contains("becomes root"));
}
