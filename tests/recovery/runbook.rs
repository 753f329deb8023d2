//! The walks of docs/runbook.md: each command runs as it stands there, on a machine to which that has happened.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use chrono::{Days, Utc};

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::Machine;

/// A second store, which only one walk needs.
const CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"
segment_size = "16MiB"
compression = 1
threads = 1

[[source]]
name = "home"
subvolume = "$FS/home"
snapshots = "$FS/home/.coldchain"
store = "shelf"

[store.shelf]
type = "dir"
path = "$T/shelf/archive"

[store.second]
type = "dir"
path = "$T/second"

[encryption]
recipients = ["$R"]
"#;

/// A machine on which a walk is gone.
struct Walk {
    machine: Machine,
    /// The public signing key at the beginning.
    key: String,
    /// What `editor` does to the config.
    edit: fn(&Machine, &str) -> String,
}

/// The commands of the page's section of that title.
fn commands(title: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md");
    let page = fs::read_to_string(page).unwrap();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(&format!("{title}\n")));
    let section = section.unwrap_or_else(|| panic!("the page has no section {title}"));
    let block = section
        .split_once("```sh\n")
        .unwrap()
        .1
        .split_once("```")
        .unwrap()
        .0;
    block.lines().map(str::to_owned).collect()
}

impl Walk {
    /// A machine with an archive of 40 days ago, and one of two days ago in which a letter is changed.
    fn after_two_nights() -> Self {
        let walk = Self::before_the_first_night();
        let letter = walk.machine.btrfs().root().join("home/letter.txt");
        for (ago, text) in [(40, "Dear Ann\n"), (2, "Dear Ann, thank you\n")] {
            fs::write(&letter, text).unwrap();
            let date = Utc::now().date_naive() - Days::new(ago);
            walk.run(&format!("coldchain backup home --date {date} --full"), 0);
        }
        // As on a machine that runs this every night.
        let catalog = rusqlite::Connection::open(walk.machine.state().join("catalog.db")).unwrap();
        let set = "UPDATE snapshot SET made_at = date || 'T03:17:00Z'";
        assert_eq!(catalog.execute(set, []).unwrap(), 2);
        walk
    }

    fn before_the_first_night() -> Self {
        let machine = Machine::with_config(LoopFs::new(256), CONFIG);
        let home = machine.btrfs().root().join("home");
        fs::create_dir(home.join("photos")).unwrap();
        fs::write(home.join("photos/one"), vec![7; 3 << 20]).unwrap();
        fs::create_dir(machine.btrfs().root().join("new")).unwrap();
        fs::create_dir(machine.path("bin")).unwrap();
        symlink(
            env!("CARGO_BIN_EXE_coldchain"),
            machine.path("bin/coldchain"),
        )
        .unwrap();
        let key = fs::read_to_string(machine.state().join("signing.pub")).unwrap();
        let key = key.lines().last().unwrap().to_owned();
        let edit = |_: &Machine, _: &str| panic!("nothing is to be edited");
        Self { machine, key, edit }
    }

    /// The line with the paths of this machine.
    fn here(&self, line: &str) -> String {
        let line = line
            .replace("mount /mnt/shelf", "mv $T/shelf.away $T/shelf")
            .replace("/etc/coldchain/config.toml", "$T/config.toml")
            .replace("/mnt/shelf", "$T/shelf")
            .replace("/mnt/new", "$FS/new")
            .replace("/home.new", "$FS/home_new")
            .replace("/root", "$T")
            .replace(" /home", " $FS/home")
            .replace("KIT", "$T/kit")
            .replace("RW…", &self.key);
        self.machine.fill(&line)
    }

    /// Runs a line of the page in a shell. Returns what it printed.
    fn run(&self, line: &str, code: i32) -> String {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["-c", &self.here(line)])
            .env(
                "PATH",
                format!(
                    "{}:{path}:/usr/sbin:/sbin",
                    self.machine.path("bin").display()
                ),
            )
            .env("COLDCHAIN_CONFIG", self.machine.path("config.toml"))
            .env_remove("COLDCHAIN_IDENTITY_FILE")
            .current_dir(self.machine.path(""))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}\n{said}");
        said
    }

    /// Runs the walk of that title. Returns what each command printed.
    fn go(&self, title: &str) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for line in commands(title) {
            let code = line.split_once("# exit code ").map_or(0, |(_, code)| {
                let digits = code.split(':').next().unwrap();
                digits.parse().unwrap()
            });
            let command = line.split(" #").next().unwrap().trim_end();
            if command.starts_with("systemctl ") {
                continue;
            }
            let printed = if command == "editor /etc/coldchain/config.toml" {
                let path = self.machine.path("config.toml");
                let text = fs::read_to_string(&path).unwrap();
                let edited = (self.edit)(&self.machine, &text);
                assert_ne!(edited, text);
                fs::write(path, edited).unwrap();
                String::new()
            } else {
                self.run(command, code)
            };
            said.push((command.to_owned(), printed));
        }
        assert!(said.len() >= 3, "{title}");
        said
    }
}

/// What a command of a walk printed.
#[track_caller]
fn said<'s>(said: &'s [(String, String)], command: &str) -> &'s str {
    let found = said.iter().rfind(|(line, _)| line.starts_with(command));
    &found
        .unwrap_or_else(|| panic!("{command} is no part of the walk"))
        .1
}

#[test]
fn a_first_backup_is_one_when_a_restore_has_shown_it() {
    if !real_btrfs_available() {
        return;
    }
    let walk = Walk::before_the_first_night();
    fs::copy(
        walk.machine.path("kit"),
        walk.machine.path("coldchain-recovery-kit.txt"),
    )
    .unwrap();
    let printed = walk.go("First backup");
    assert!(
        said(&printed, "coldchain list").contains("full"),
        "{printed:?}"
    );
    assert!(!walk.machine.path("coldchain-recovery-kit.txt").exists());
}

#[test]
fn a_failed_night_is_found_out_and_made_up_for() {
    if !real_btrfs_available() {
        return;
    }
    let walk = Walk::after_two_nights();
    fs::rename(walk.machine.path("shelf"), walk.machine.path("shelf.away")).unwrap();
    let failed = walk.run("coldchain backup home --full", 1);
    assert!(failed.contains("shelf"), "{failed}");
    let printed = walk.go("A failed night");
    assert!(
        said(&printed, "coldchain status").contains("home"),
        "{printed:?}"
    );
}

#[test]
fn a_file_that_is_gone_comes_back() {
    if !real_btrfs_available() {
        return;
    }
    let walk = Walk::after_two_nights();
    fs::remove_file(walk.machine.btrfs().root().join("home/letter.txt")).unwrap();
    // A file is known to be deleted from the next archive on.
    walk.run("coldchain backup home --full", 0);
    let printed = walk.go("One file is gone");
    assert!(
        said(&printed, "coldchain find").contains("letter.txt"),
        "{printed:?}"
    );
    let found = fs::read_to_string(walk.machine.path("letter.txt")).unwrap();
    assert_eq!(found, "Dear Ann, thank you\n");
}

/// Deletes the subvolume and its snapshots.
fn lose_the_disk(walk: &Walk) {
    walk.run(
        "btrfs -q subvolume delete /home/.coldchain/20* && btrfs -q subvolume delete /home",
        0,
    );
}

#[test]
fn a_lost_disk_is_restored_and_its_chain_continued() {
    if !real_btrfs_available() {
        return;
    }
    let walk = Walk::after_two_nights();
    lose_the_disk(&walk);
    let printed = walk.go("A lost disk");
    let letter = walk.machine.btrfs().root().join("home/letter.txt");
    assert_eq!(fs::read_to_string(letter).unwrap(), "Dear Ann, thank you\n");
    let plan = said(&printed, "coldchain plan");
    assert!(!plan.contains("  full"), "{plan}");
}

#[test]
fn a_lost_host_comes_back_from_the_kit_and_the_store() {
    if !real_btrfs_available() {
        return;
    }
    let walk = Walk::after_two_nights();
    lose_the_disk(&walk);
    fs::remove_dir_all(walk.machine.state()).unwrap();
    fs::remove_file(walk.machine.path("config.toml")).unwrap();
    let printed = walk.go("A lost host");
    let keys = said(&printed, "coldchain key rotate");
    assert!(
        keys.contains("(this machine)") && !keys.contains(&walk.key),
        "{keys}"
    );
    let restored = walk.run("cat /mnt/new/home/*/letter.txt", 0);
    assert_eq!(restored, "Dear Ann, thank you\n");
}

#[test]
fn a_leaked_key_signs_nothing_any_more() {
    if !real_btrfs_available() {
        return;
    }
    let walk = Walk::after_two_nights();
    walk.go("A leaked key");
    let keys = walk.run("coldchain key show", 0);
    assert!(keys.contains("(this machine)"), "{keys}");
    let own = fs::read_to_string(walk.machine.state().join("signing.pub")).unwrap();
    assert!(!own.contains(&walk.key));
}

#[test]
fn a_source_moves_house() {
    if !real_btrfs_available() {
        return;
    }
    let mut walk = Walk::after_two_nights();
    walk.edit = |_, config| config.replace("store = \"shelf\"", "store = \"second\"");
    walk.go("Moving house");
    let list = walk.run("coldchain list", 0);
    assert!(list.contains("/second"), "{list}");
}

#[test]
fn recipients_change() {
    if !real_btrfs_available() {
        return;
    }
    let mut walk = Walk::after_two_nights();
    walk.edit = |machine, config| {
        let new = fs::read_to_string(machine.path("new.txt")).unwrap();
        let key = new
            .lines()
            .find_map(|line| line.strip_prefix("# public key: "));
        config.replace(
            "recipients = [",
            &format!("recipients = [\"{}\", ", key.unwrap()),
        )
    };
    let printed = walk.go("Changing recipients");
    let check = said(&printed, "coldchain key check");
    assert!(!check.contains("not opened"), "{check}");
}

#[test]
fn a_machine_retires() {
    if !real_btrfs_available() {
        return;
    }
    let walk = Walk::after_two_nights();
    walk.go("Retiring a machine");
}
