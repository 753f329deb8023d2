//! What the packages bring. `scripts/try-on-debian` installs one and lives with it; this holds its parts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::asked::asked;
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::Machine;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The units, in a directory of their own, with the program that is tested.
fn units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(packaging().join("systemd")).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        let text = text.replace("/usr/bin/coldchain", env!("CARGO_BIN_EXE_coldchain"));
        let path = directory.path().join(entry.file_name());
        fs::write(&path, text).unwrap();
        units.push(path);
    }
    units.sort();
    assert_eq!(units.len(), 6);
    (directory, units)
}

fn systemd_analyze() -> Command {
    let mut command = Command::new("systemd-analyze");
    // It would look for a bus of the user who runs the tests.
    command
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .env_remove("XDG_RUNTIME_DIR");
    command
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    let (_directory, units) = units();
    let output = systemd_analyze()
        .args(["verify", "--man=no"])
        .args(&units)
        .output()
        .unwrap();
    let said = text_of(&output);
    let of_ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("coldchain"))
        .collect();
    assert!(of_ours.is_empty(), "{said}");
}

/// 4.4 is what snapshots, send, receive and files of any mode and owner leave.
#[test]
fn the_services_are_as_confined_as_their_work_permits() {
    let (_directory, units) = units();
    for unit in units
        .iter()
        .filter(|unit| unit.extension().unwrap() == "service")
    {
        let output = systemd_analyze()
            .args(["security", "--offline=true", "--no-pager", "--threshold=44"])
            .arg(unit)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text_of(&output));
        let text = fs::read_to_string(unit).unwrap();
        let settings: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for unfit in ["ProtectHome=", "PrivateDevices=", "RestrictSUIDSGID="] {
            assert!(
                !settings.iter().any(|line| line.starts_with(unfit)),
                "{unfit} in {}",
                unit.display()
            );
        }
    }
}

#[test]
fn what_the_timers_start_is_a_command() {
    let (_directory, units) = units();
    for unit in units
        .iter()
        .filter(|unit| unit.extension().unwrap() == "service")
    {
        let text = fs::read_to_string(unit).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        let mut words = line.split(' ').map(|word| word.replace("%i", "home"));
        let mut command = Command::new(words.next().unwrap());
        // A config that is not there: the words themselves are understood.
        let output = command
            .args(words)
            .args(["--config", "/nonexistent/config.toml"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text_of(&output));
        assert!(
            text_of(&output).contains("/nonexistent/config.toml does not exist"),
            "{}",
            text_of(&output)
        );
        let timer = unit.with_extension("timer");
        assert!(timer.exists(), "{}", timer.display());
    }
}

#[test]
fn the_package_lists_files_that_are_there_and_scripts_that_a_shell_reads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let assets = manifest
        .split_once("assets = [")
        .unwrap()
        .1
        .split_once("\n]")
        .unwrap()
        .0;
    let mut checked = 0;
    for line in assets.lines().filter(|line| line.contains('"')) {
        let path = line.split('"').nth(1).unwrap();
        // `scripts/package` makes these.
        if path.starts_with("target/") {
            continue;
        }
        let directory = root.join(path).parent().unwrap().to_owned();
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let is_there = fs::read_dir(&directory).unwrap().any(|entry| {
            let found = entry.unwrap().file_name().into_string().unwrap();
            match name.split_once('*') {
                Some((begin, end)) => found.starts_with(begin) && found.ends_with(end),
                None => found == name,
            }
        });
        assert!(is_there, "{path}");
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
    for script in [
        "install.sh",
        "debian/postinst",
        "debian/prerm",
        "debian/postrm",
    ] {
        let path = packaging().join(script);
        let output = Command::new("sh").arg("-n").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", text_of(&output));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o111,
            0o111,
            "{script}"
        );
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let output = Command::new("find")
        .arg(directory)
        .args(["-type", "f"])
        .output()
        .unwrap();
    let mut files: Vec<PathBuf> = text_of(&output).lines().map(PathBuf::from).collect();
    files.sort();
    files
}

#[test]
fn the_tarball_installs_and_removes_itself_without_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    let unpacked = directory.path().join("unpacked with spaces");
    for part in ["man", "completions", "systemd"] {
        fs::create_dir_all(unpacked.join(part)).unwrap();
    }
    let copied = [
        ("install.sh", packaging().join("install.sh")),
        ("coldchain", env!("CARGO_BIN_EXE_coldchain").into()),
        ("config.toml", packaging().join("config.toml")),
        ("README.md", packaging().join("../README.md")),
    ];
    for (name, from) in copied {
        fs::copy(from, unpacked.join(name)).unwrap();
    }
    for name in [
        "man/coldchain.1.gz",
        "man/coldchain.toml.5.gz",
        "completions/coldchain.bash",
        "completions/_coldchain",
        "completions/coldchain.fish",
    ] {
        fs::write(unpacked.join(name), name).unwrap();
    }
    for entry in fs::read_dir(packaging().join("systemd")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(
            entry.path(),
            unpacked.join("systemd").join(entry.file_name()),
        )
        .unwrap();
    }
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    let install = |words: &[&str]| {
        let mut command = Command::new(unpacked.join("install.sh"));
        command.args(words).env("DESTDIR", &root).output().unwrap()
    };
    let output = install(&["--prefix", "/opt/cold"]);
    assert!(output.status.success(), "{}", text_of(&output));
    let to = root.join("opt/cold");
    let version = Command::new(to.join("bin/coldchain"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(
        text_of(&version).starts_with("coldchain "),
        "{}",
        text_of(&version)
    );
    let unit = fs::read_to_string(to.join("lib/systemd/system/coldchain.service")).unwrap();
    assert!(
        unit.contains("ExecStart=/opt/cold/bin/coldchain backup"),
        "{unit}"
    );
    assert!(to.join("share/man/man5/coldchain.toml.5.gz").exists());
    // A second time is an upgrade.
    let installed = files(&root);
    assert!(install(&["--prefix", "/opt/cold"]).status.success());
    assert_eq!(files(&root), installed);
    let output = install(&["--remove", "--prefix", "/opt/cold"]);
    assert!(output.status.success(), "{}", text_of(&output));
    assert_eq!(files(&root), Vec::<PathBuf>::new());
    for words in [&["--prefix", "relative"][..], &["--what"]] {
        assert_eq!(install(words).status.code(), Some(2));
    }
}

/// At most six commands lead from the package to the first archive, and the short config of the README is one.
#[test]
fn the_quick_start_of_the_readme_leads_to_an_archive() {
    if !real_btrfs_available() {
        return;
    }
    let readme = fs::read_to_string(packaging().join("../README.md")).unwrap();
    let install = readme.split_once("\n## Install\n").unwrap().1;
    let block = |text: &str, fence: &str| {
        let text = text.split_once(fence).unwrap().1;
        text.split_once("\n```").unwrap().0.to_owned()
    };
    let commands = block(install, "\n```\n");
    let commands: Vec<&str> = commands
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .collect();
    assert!(commands.len() <= 6, "{commands:?}");

    let machine = Machine::with_subvolume(256);
    for path in [
        machine.state(),
        machine.path("config.toml"),
        machine.path("kit"),
    ] {
        fs::remove_dir_all(&path)
            .or_else(|_| fs::remove_file(&path))
            .ok();
    }
    let home = machine.fill("$FS/home");
    let shelf = LoopFs::new(256);
    let mut inits = 0;
    for command in commands {
        let Some(words) = command.strip_prefix("coldchain ") else {
            assert!(
                command.starts_with("apt install ")
                    || command == "systemctl enable --now coldchain.timer"
            );
            continue;
        };
        if words == "init" {
            inits += 1;
            let before = format!("COLDCHAIN_STATE_DIR='{}'", machine.state().display());
            let mut terminal = asked(&machine, &shelf, &before, words);
            terminal.answer("Numbers or paths [", &format!("{home}\n"));
            let place = shelf.path("archive").display().to_string();
            terminal.answer("Where do archives go?", &format!("{place}\n"));
            terminal.answer("Where does the recovery kit go?", &machine.fill("$T/kit\n"));
            terminal.answer("A second public key", "\n");
            let shown = terminal.end();
            assert!(shown.contains("code 0\n"), "{shown}");
            continue;
        }
        let mut command = machine.command(words);
        let run = machine.run_command(command.env("COLDCHAIN_STATE_DIR", machine.state()));
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
    }
    assert_eq!(inits, 1);
    // Also `init` has used the state directory of the environment.
    assert!(machine.state().join("signing.key").exists());
    let mut list = machine.command("list");
    let listed = machine.run_command(list.env("COLDCHAIN_STATE_DIR", machine.state()));
    assert!(
        listed.stdout.contains("full") && listed.stdout.contains("committed"),
        "{listed:?}"
    );
    let short = block(install, "\n```toml\n");
    let short = short.replace("[\"age1…\", \"age1…\"]", &machine.fill("[\"$R\"]"));
    fs::write(machine.path("short.toml"), short).unwrap();
    let run = machine.run("--config $T/short.toml config check");
    assert_eq!(run.code, Some(0), "{run:?}");
}
