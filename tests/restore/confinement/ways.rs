//! The ways in which an archive comes back, each run to its end or killed if that does not come.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::ground::Ground;
use crate::common::machine::Machine;

/// How an archive comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Restore,
    Drill,
    Explain,
    ByHand,
}

pub(crate) const WAYS: [Way; 4] = [Way::Restore, Way::Drill, Way::Explain, Way::ByHand];

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) hung: bool,
    pub(crate) said: String,
}

/// The codes that the program may exit with.
const DOCUMENTED: [i32; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 130];

impl Ended {
    /// What is wrong with the end itself: a hang, a signal, a panic.
    pub(crate) fn fault(&self, way: Way) -> Option<String> {
        match way {
            // They have no guard: the page says that an archive can make them wait at a fifo.
            Way::Explain | Way::ByHand if self.hung => return None,
            _ if self.hung => return Some("hung".to_owned()),
            _ => {}
        }
        let panicked = self.said.contains("panicked at");
        match self.code {
            Some(code) if DOCUMENTED.contains(&code) && !panicked => None,
            other => Some(format!("ended with {other:?}")),
        }
    }

    /// Who ended it.
    pub(crate) fn by(&self) -> &'static str {
        let says = |words: &str| self.said.contains(words);
        if self.code == Some(0) {
            "carried out"
        } else if says("the send stream is refused") || says("the stream is refused") {
            "refused by the guard"
        } else if says("btrfs receive")
            || says("`btrfs` ended")
            || says("ERROR: ")
            || says("was not received")
        {
            "refused by receive"
        } else {
            "refused otherwise"
        }
    }
}

impl Way {
    /// Restores the newest archive. Nothing of a restore before may be there.
    pub(crate) fn run(self, machine: &Machine, ground: &Ground, date: &str) -> Ended {
        let to = ground.to().display().to_string();
        match self {
            Self::Restore => bounded(&mut machine.command(&format!(
                "restore home --from store --date {date} --to {to} --identity $T/kit --yes"
            ))),
            Self::Drill => {
                let drills = machine.path("drills");
                fs::create_dir_all(&drills).unwrap();
                // It drills what the catalog knows, and a plan takes in what is new.
                explained(machine, None, date);
                let words = "verify --drill --drill-dir $T/drills --identity $T/kit";
                let ended = bounded(&mut machine.command(words));
                let left = fs::read_dir(&drills).unwrap().count();
                assert!(left == 0 || ended.hung, "left by a drill: {left}");
                ended
            }
            Self::Explain => {
                ground.make_by_hand();
                let script = explained(machine, Some(&ground.by_hand()), date);
                bounded(Command::new("bash").args(["-c", &script]))
            }
            Self::ByHand => {
                ground.make_by_hand();
                by_hand(machine, date, &ground.by_hand())
            }
        }
    }
}

/// The script that the program prints.
fn explained(machine: &Machine, target: Option<&Path>, date: &str) -> String {
    let words = format!("restore home --date {date} --explain --identity $T/kit");
    let mut command = machine.command(&words);
    if let Some(target) = target {
        command.arg("--to").arg(target);
    }
    let explained = command.output().unwrap();
    assert!(explained.status.success(), "{explained:?}");
    String::from_utf8(explained.stdout).unwrap()
}

/// The script of the page.
fn by_hand(machine: &Machine, date: &str, target: &Path) -> Ended {
    let page = include_str!("../../../docs/restore-without-coldchain.md");
    let script = page.split("```bash\n").nth(1).unwrap();
    let script = script.split("```\n").next().unwrap();
    let kit = machine.path("kit");
    let root = fs::read_to_string(&kit).unwrap();
    let mut lines = root.lines();
    let root = lines.find_map(|line| line.strip_prefix("# root public key: "));
    bounded(
        Command::new("bash")
            .args(["-c", script, "restore-by-hand"])
            .args([machine.path("store/home"), kit])
            .args([root.unwrap(), date])
            .arg(target),
    )
}

/// A program that takes longer than this, in seconds, has stopped for good.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("COLDCHAIN_PATIENCE").ok();
    Duration::from_secs(seconds.map_or(180, |seconds| seconds.parse().unwrap()))
}

/// Runs a program, with all that it starts in its process group, and kills that in the end.
pub(crate) fn bounded(command: &mut Command) -> Ended {
    bounded_by(patience(), Stdio::null(), command)
}

/// The same with another bound, and something on stdin.
pub(crate) fn bounded_by(patience: Duration, stdin: Stdio, command: &mut Command) -> Ended {
    let mut output = tempfile::tempfile().unwrap();
    let handle = |file: &File| Stdio::from(file.try_clone().unwrap());
    let mut child = command
        .stdin(stdin)
        .stdout(handle(&output))
        .stderr(handle(&output))
        .process_group(0)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut hung = false;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > patience && !hung {
            hung = true;
            let group = Pid::from_child(&child);
            // What receives has a session of its own, and waits where nothing will come.
            kill_receivers(child.id());
            kill_process_group(group, Signal::KILL).unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    output.rewind().unwrap();
    let mut said = Vec::new();
    output.read_to_end(&mut said).unwrap();
    Ended {
        code: status.code(),
        hung,
        said: String::from_utf8_lossy(&said).into_owned(),
    }
}

/// Kills the descendants of a process that was started here.
fn kill_receivers(parent: u32) {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let Ok(children) = fs::read_to_string(children) else {
        return;
    };
    for child in children.split_whitespace() {
        kill_receivers(child.parse().unwrap());
        if let Some(pid) = Pid::from_raw(child.parse().unwrap()) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}
