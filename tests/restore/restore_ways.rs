//! The ways to have a date back: as a writable snapshot, without what lies between, as a stream, by hand
//! from the commands that are printed, and from a plan that was made elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, Run};
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use coldchain::btrfs::identity;

const DATES: [&str; 3] = ["2024-01-01", "2024-01-07", "2024-01-14"];

/// A machine with a full and two incrementals.
fn archived() -> Machine {
    let machine = Machine::with_subvolume(512);
    let home = machine.btrfs().path("home");
    let mut rng = Rng::new(0x00d0_0f1e);
    make_rich_tree(&home, &mut rng);
    for date in DATES {
        let run = machine.run(&format!("backup {date}"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        mutate_tree(&home, &mut rng);
    }
    machine
}

fn snapshot(machine: &Machine, date: &str) -> std::path::PathBuf {
    machine.btrfs().path("snapshots").join(date)
}

fn restore(machine: &Machine, to: &Path, more: &str) -> Run {
    let to = to.display();
    machine.run(&format!(
        "restore home --from store --to {to} --identity $T/kit --yes {more}"
    ))
}

/// The dates that stand in a restore's directory.
fn standing(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_called_restored_is_there_although_the_power_goes_at_that_moment() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    let other = LoopFs::new(512);
    let run = restore(&machine, &other.root(), "--writable live");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let found = other.after_power_cut();
    for date in DATES {
        let restored = found.path("home").join(date);
        compare_trees(&snapshot(&machine, date), &restored);
        let identity = identity(&restored).unwrap();
        assert!(identity.read_only && identity.received_uuid.is_some());
    }
    compare_trees(&snapshot(&machine, DATES[2]), &found.path("home/live"));
}

#[test]
fn a_writable_snapshot_is_made_once_and_what_has_its_name_is_never_touched() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    let other = LoopFs::new(512);
    let directory = other.path("home");
    let run = restore(&machine, &other.root(), "--writable live");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let live = directory.join("live");
    assert!(
        run.stdout
            .contains(&format!("writable in {}", live.display()))
    );
    assert!(!identity(&live).unwrap().read_only);
    compare_trees(&snapshot(&machine, DATES[2]), &live);
    fs::write(live.join("since then"), "mine").unwrap();

    // The second run finds it made, and leaves it as it has become.
    let run = restore(&machine, &other.root(), "--writable live");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(fs::read(live.join("since then")).unwrap(), b"mine");

    // Another date's would be another snapshot: the name is taken.
    let run = restore(&machine, &other.root(), "--writable live --date 2024-01-07");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("the writable snapshot needs that name"));

    // It stands in the way before anything is fetched.
    let third = LoopFs::new(512);
    let run = restore(&machine, &third.root(), "--date 2024-01-01");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    fs::create_dir(third.path("home/live")).unwrap();
    fs::write(third.path("home/live/letter"), "mine").unwrap();
    let run = restore(&machine, &third.root(), "--writable live");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(standing(&third.path("home")), ["2024-01-01", "live"]);
    assert_eq!(fs::read(third.path("home/live/letter")).unwrap(), b"mine");

    for name in ["2024-01-01", "a/b", "..", ".hidden"] {
        let run = restore(&machine, &third.root(), &format!("--writable {name}"));
        assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
    }
}

#[test]
fn what_lies_between_goes_once_the_next_stands_and_what_was_asked_for_stays() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    let other = LoopFs::new(512);
    let directory = other.path("home");
    let run = restore(&machine, &other.root(), "--delete-intermediate");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(standing(&directory), ["2024-01-14"]);
    compare_trees(&snapshot(&machine, DATES[2]), &directory.join(DATES[2]));
    // All of it stands: nothing is fetched a second time.
    fs::rename(machine.path("store/home/archives"), machine.path("aside")).unwrap();
    let run = restore(&machine, &other.root(), "--delete-intermediate");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = restore(&machine, &other.root(), "--plan --json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let plan: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&plan["disk_bytes"], &plan["standing"]),
        (&0.into(), &3.into())
    );
    fs::rename(machine.path("aside"), machine.path("store/home/archives")).unwrap();

    // A date that was restored for its own sake is nobody's intermediate.
    let third = LoopFs::new(512);
    let run = restore(&machine, &third.root(), "--date 2024-01-01");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = restore(&machine, &third.root(), "--delete-intermediate");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(standing(&third.path("home")), ["2024-01-01", "2024-01-14"]);
}

/// A restore that dies at the N-th of such a system call.
fn restore_killed_at(machine: &Machine, to: &Path, more: &str, call: &str, at: u32) {
    let words = format!(
        "restore home --from store --to {} --identity $T/kit --yes {more}",
        to.display()
    );
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:signal=KILL:when={at}"))
        .arg(env!("CARGO_BIN_EXE_coldchain"))
        .args(words.split_whitespace().map(|word| machine.fill(word)))
        .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
        .stdin(Stdio::null());
    assert_ne!(machine.run_command(&mut command).code, Some(0));
}

/// Each rename makes a mark valid: one of them is the last that is done before what lies between is noted.
#[test]
fn what_lies_between_goes_although_the_restore_that_made_it_was_killed() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    for at in 1..=8 {
        let other = LoopFs::new(512);
        let more = "--delete-intermediate";
        restore_killed_at(&machine, &other.root(), more, "renameat", at);
        let run = restore(&machine, &other.root(), more);
        assert_eq!(run.code, Some(0), "{at}: {}", run.stderr);
        assert_eq!(standing(&other.path("home")), DATES[2..], "{at}");
        compare_trees(
            &snapshot(&machine, DATES[2]),
            &other.path("home").join(DATES[2]),
        );
    }
}

#[test]
fn a_directory_that_was_only_just_made_is_private_and_no_hindrance() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    let other = LoopFs::new(512);
    restore_killed_at(&machine, &other.root(), "", "fchmod", 1);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&other.path("home")), 0o700);
    // Also where it is not: an empty subvolume that root made.
    fs::set_permissions(other.path("home"), Permissions::from_mode(0o755)).unwrap();
    let run = restore(&machine, &other.root(), "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(mode(&other.path("home")), 0o700);
    assert_eq!(standing(&other.path("home")), DATES);
}

#[test]
fn a_stream_comes_out_as_it_was_archived_and_a_file_is_never_half_of_one() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    let other = LoopFs::new(512);
    for date in DATES {
        let words =
            format!("restore home --yes --date {date} --identity $T/kit --stream $T/{date}.stream");
        let run = machine.run(&words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let stream = machine.path(&format!("{date}.stream"));
        let received = Command::new("btrfs")
            .args(["receive", "-q", "-e", "-f"])
            .args([&stream, &other.root()])
            .status()
            .unwrap();
        assert!(received.success());
        compare_trees(&snapshot(&machine, date), &other.path(date));

        // The same to stdout.
        let mut command = machine.command(&format!(
            "restore home --yes --date {date} --identity $T/kit --stream -"
        ));
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout, fs::read(&stream).unwrap());
        // What stands there is not replaced.
        let run = machine.run(&words);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert_eq!(output.stdout, fs::read(&stream).unwrap());
    }
    // A damaged segment: what came before it may be on stdout, and no file appears.
    let segment = machine
        .objects(".zst.age")
        .into_iter()
        .find(|path| path.to_string_lossy().contains("2024-01-07-incr"))
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let run =
        machine.run("restore home --yes --date 2024-01-07 --identity $T/kit --stream $T/damaged");
    assert_eq!(run.code, Some(6), "{}", run.stderr);
    assert!(!machine.path("damaged").exists() && !machine.path("damaged.part").exists());
}

#[test]
fn the_commands_that_are_printed_restore_the_date() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    let other = LoopFs::new(512);
    let target = other.path("it's here");
    fs::create_dir(&target).unwrap();
    let explained = machine
        .command("restore home --explain --identity $T/kit --to")
        .arg(&target)
        .output()
        .unwrap();
    assert!(explained.status.success());
    let script = String::from_utf8(explained.stdout).unwrap();
    let run = |script: &str| {
        let run = Command::new("bash").args(["-c", script]).output().unwrap();
        (
            run.status.success(),
            String::from_utf8_lossy(&run.stderr).into_owned(),
        )
    };
    let (done, said) = run(&script);
    assert!(done, "{said}\n{script}");
    for date in DATES {
        compare_trees(&snapshot(&machine, date), &target.join(date));
        btrfs(["subvolume", "delete"], &[&target.join(date)]);
    }
    // Nothing that has changed reaches btrfs receive.
    let segment = &machine.objects(".zst.age")[0];
    let mut bytes = fs::read(segment).unwrap();
    bytes[100] ^= 1;
    fs::write(segment, bytes).unwrap();
    let (done, said) = run(&script);
    assert!(!done && said.contains("FAILED"), "{said}");
    assert_eq!(standing(&target), Vec::<String>::new());

    // Without an identity or a target they have to be given.
    let run = machine.run("restore home --explain");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains(": \"${KIT:?the recovery kit}\"\n"));
}

#[test]
fn a_plan_that_was_made_elsewhere_is_followed_to_the_letter_or_not_at_all() {
    if !real_btrfs_available() {
        return;
    }
    let machine = archived();
    let plan = machine
        .command("restore home --from store --date 2024-01-07 --plan --json")
        .output()
        .unwrap();
    assert!(plan.status.success());
    let plan = String::from_utf8(plan.stdout).unwrap();
    let file = machine.path("plan.json");
    fs::write(&file, &plan).unwrap();
    let other = LoopFs::new(512);
    let to = other.root();
    let words = format!(
        "restore --from-plan $T/plan.json --to {} --identity $T/kit --yes",
        to.display()
    );
    let run = machine.run(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(standing(&other.path("home")), DATES[..2]);

    // One that names other archives, another source, none or is no plan.
    let other_id = plan.replace("2024-01-07-incr-", "2024-01-07-incr-0");
    for (text, says) in [
        (
            plan.replace("2024-01-01-full-", "2024-01-01-incr-"),
            "by the ledger here, 2024-01-07 needs other archives: ",
        ),
        (other_id, "it is not what `restore --plan --json` writes"),
        (
            "{\"source\":\"home\",\"archives\":[]}".to_owned(),
            "it names no archive",
        ),
        (
            "once upon a time".to_owned(),
            "it is not what `restore --plan --json` writes",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let run = machine.run(&words);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(says), "{says}: {}", run.stderr);
    }
    fs::write(&file, &plan).unwrap();
    machine.write_config(
        &(LIVE_CONFIG.to_owned() + "\n[[source]]\nname = \"mail\"\nstore = \"disk\"\n"),
    );
    for (words, says) in [
        ("mail", "it is for `home`, not for `mail`"),
        ("post", "unknown source `post`"),
        ("home latest", "--from-plan says which date to restore"),
    ] {
        let run = machine.run(&format!("restore {words} --from-plan $T/plan.json --plan"));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(says), "{says}: {}", run.stderr);
    }
    machine.write_config(LIVE_CONFIG);
    fs::remove_file(&file).unwrap();
    let run = machine.run(&words);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}
