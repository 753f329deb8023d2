//! ENOSPC and EIO at the N-th system call of a run: it says so, what is visible is whole, and the next
//! run makes it good.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;

use crate::common::loopfs::run;
use crate::common::machine::{Machine, Run};
use crate::common::whole::{first_and_seventh, visible_streams};

/// What a disk can refuse.
const WRITES: &str = "write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,ftruncate,fallocate,openat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,flock";
/// A failing disk refuses these too.
const READS: &str = "read,pread64,readv,getdents64,statx,newfstatat";

/// An error, and the calls that may answer it.
fn errors() -> [(&'static str, String); 2] {
    [
        ("ENOSPC", WRITES.to_owned()),
        ("EIO", format!("{WRITES},{READS}")),
    ]
}

/// Whether programs can be traced here. If not, it says so; in CI that is a failure.
fn can_run() -> bool {
    let tried = run(Command::new("strace").args(["-f", "-o", "/dev/null", "true"]));
    let Err(why) = tried else {
        return true;
    };
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI=true, but nothing can be traced: {why}");
    eprintln!("skipped: nothing can be traced: {why}");
    false
}

/// A machine to be put back as it was before each run, and the stream that it is fed.
struct Subject {
    machine: Machine,
    date: &'static str,
    stream: Vec<u8>,
    /// What is archived already.
    before: Vec<&'static str>,
}

impl Subject {
    /// `before` are the dates that are archived first.
    fn new(date: &'static str, before: Vec<&'static str>) -> Self {
        let machine = Machine::fed(None);
        // Two segments: what is at work at the same time may fail at the same time.
        let [first, seventh] = first_and_seventh(18 << 10);
        for date in &before {
            let run = machine.run_with(&format!("decide {date}"), &first);
            assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        }
        let stream = if before.is_empty() { first } else { seventh };
        fs::write(machine.path("stream"), &stream).unwrap();
        let subject = Self {
            machine,
            date,
            stream,
            before,
        };
        for directory in ["state", "store"] {
            subject.copy(directory, &format!("{directory}-before"));
        }
        subject
    }

    fn copy(&self, from: &str, to: &str) {
        let _ = fs::remove_dir_all(self.machine.path(to));
        let (from, to) = (self.machine.path(from), self.machine.path(to));
        run(Command::new("cp").arg("-a").arg(from).arg(to)).unwrap();
    }

    fn put_back(&self) {
        for directory in ["state", "store"] {
            self.copy(&format!("{directory}-before"), directory);
        }
    }

    /// A run as `strace` lets it be.
    fn traced(&self, options: &[&str]) -> Run {
        let decide = self.machine.command(&format!("decide {}", self.date));
        let mut strace = self.machine.command_of("strace", "-f --seccomp-bpf -qq");
        strace
            .args(options)
            .arg(decide.get_program())
            .args(decide.get_args())
            .stdin(File::open(self.machine.path("stream")).unwrap());
        self.machine.run_command(&mut strace)
    }

    /// The calls that a run makes that is let alone: each kind, and how often the thread makes it that
    /// makes it most often. `strace` counts the calls of a kind and thread.
    fn calls(&self, kinds: &str) -> Vec<Call> {
        self.put_back();
        let log = self.machine.path("log");
        let trace = format!("trace={kinds}");
        let run = self.traced(&["-o", log.to_str().unwrap(), "-e", &trace]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in fs::read_to_string(log).unwrap().lines() {
            // As in `4711  openat(AT_FDCWD, …`.
            let Some((thread, call)) = line.split_once(' ') else {
                continue;
            };
            if let Some((kind, _)) = call.trim_start().split_once('(')
                && kinds.split(',').any(|known| known == kind)
            {
                let key = (kind.to_owned(), thread.to_owned());
                *made.entry(key).or_default() += 1;
            }
        }
        let mut most: BTreeMap<String, usize> = BTreeMap::new();
        for ((kind, _), times) in made {
            let most = most.entry(kind).or_default();
            *most = times.max(*most);
        }
        most.into_iter()
            .flat_map(|(kind, times)| {
                (1..=times).map(move |n| Call {
                    kind: kind.clone(),
                    n,
                })
            })
            .collect()
    }

    /// The `n`-th call of that kind of each thread fails.
    fn fails_at(&self, error: &str, Call { kind, n }: &Call) -> Option<i32> {
        self.put_back();
        let what = format!("{error} at {kind} {n} of {}", self.date);
        let inject = format!("inject={kind}:error={error}:when={n}");
        let trace = format!("trace={kind}");
        let run = self.traced(&["-o", "/dev/null", "-e", &trace, "-e", &inject]);
        let visible = visible_streams(&self.machine);
        match run.code {
            // What it says it did, it did.
            Some(0 | 4) => assert_eq!(visible[self.date], self.stream, "{what}"),
            Some(1 | 2 | 6 | 8) => {}
            // Nothing of it ran: its libraries could not be loaded.
            Some(127) if run.stderr.contains("error while loading shared libraries") => {}
            _ => panic!("{what}: {run:?}"),
        }
        let silent = matches!(run.code, Some(0 | 127));
        // The line that was refused may be one of these.
        assert!(silent || !run.stderr.is_empty(), "{what}: {run:?}");
        for date in &self.before {
            assert!(visible.contains_key(*date), "{what}");
        }

        let next = self.traced(&["-o", "/dev/null", "-e", "trace=none"]);
        assert_eq!(next.code, Some(0), "{what}: {next:?}");
        let visible = visible_streams(&self.machine);
        assert_eq!(visible[self.date], self.stream, "{what}");
        assert_eq!(visible.len(), 1 + self.before.len(), "{what}");
        assert_eq!(self.machine.archived().len(), visible.len(), "{what}");
        run.code
    }

    /// Some calls, spread over all that there are.
    fn fails_everywhere(&self) {
        let wanted: usize =
            std::env::var("COLDCHAIN_INJECT").map_or(8, |number| number.parse().unwrap());
        for (error, kinds) in errors() {
            let all = self.calls(&kinds);
            let wanted = wanted.min(all.len());
            let chosen: Vec<&Call> = (0..wanted)
                .map(|at| &all[at * all.len() / wanted])
                .collect();
            let mut ends: BTreeMap<Option<i32>, usize> = BTreeMap::new();
            for call in &chosen {
                *ends.entry(self.fails_at(error, call)).or_default() += 1;
            }
            println!(
                "{}: {error} at {} of {} calls: exit codes and how often: {ends:?}",
                self.date,
                chosen.len(),
                all.len(),
            );
            let silent = ends.get(&Some(0)).copied().unwrap_or_default();
            assert!(silent < chosen.len(), "nothing was hit");
        }
    }
}

/// A system call of a run.
struct Call {
    kind: String,
    /// The how manieth of its kind in its thread, from 1.
    n: usize,
}

#[test]
fn a_disk_that_refuses_any_call_of_the_first_archive_costs_nothing() {
    if can_run() {
        Subject::new("2024-01-01", vec![]).fails_everywhere();
    }
}

#[test]
fn a_disk_that_refuses_any_call_of_an_incremental_costs_nothing() {
    if can_run() {
        Subject::new("2024-01-07", vec!["2024-01-01"]).fails_everywhere();
    }
}
