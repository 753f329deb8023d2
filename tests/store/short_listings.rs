//! Listings of a bucket that lack what it has: one that was cut is asked for again, and one that nothing
//! tells from a true one is not believed where that would call the ledger gone.

use std::process::Command;

use crate::common::machine::{Machine, Run, fed_config};
use crate::common::s3_server::{BUCKET, ENV, Fault, FaultKind, Operation, S3Server};
use crate::common::stream_builder::StreamBuilder;

const DATES: [&str; 3] = ["2024-01-01", "2024-01-07", "2024-01-14"];

const REBUILD: &str = "catalog rebuild --identity $T/kit";

const VERIFY: &str = "verify --deep --identity $T/kit";

/// A machine that has archived a full and two incrementals into a bucket.
struct Archived {
    machine: Machine,
    server: S3Server,
}

fn uuid(number: u8) -> [u8; 16] {
    [number; 16]
}

fn stream(number: u8, date: &str) -> Vec<u8> {
    let name = date.as_bytes();
    let stream = if number == 0 {
        StreamBuilder::header(1).subvol(name, uuid(1), 10)
    } else {
        StreamBuilder::header(1).snapshot(name, uuid(number + 1), 10, uuid(number), 10)
    };
    let stream = if number == 0 {
        stream.mkfile(b"file")
    } else {
        stream
    };
    stream.write(b"file", 0, &[number; 1000]).finish()
}

impl Archived {
    fn new() -> Self {
        let server = S3Server::new();
        let machine = Machine::fed(None);
        std::fs::remove_file(machine.path("state/catalog.db")).unwrap();
        let table = server.store_table("prefix = \"laptop\"\ngive_up_after = \"2s\"\n");
        machine
            .write_config(&fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &table));
        let archived = Self { machine, server };
        for (number, date) in (0..).zip(DATES) {
            archived.decide(number, date).code_is(0);
        }
        archived
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.machine.command(words);
        command.envs(ENV);
        command
    }

    fn run(&self, words: &str) -> Said {
        Said(self.machine.run_command(&mut self.command(words)))
    }

    fn decide(&self, number: u8, date: &str) -> Said {
        let input = self.machine.path("stream");
        std::fs::write(&input, stream(number, date)).unwrap();
        let mut command = self.command(&format!("decide {date}"));
        command.stdin(std::fs::File::open(&input).unwrap());
        Said(self.machine.run_command(&mut command))
    }

    fn fail(&self, fault: Fault) {
        self.server.clear_faults();
        self.server.fail(fault);
    }

    /// What the catalog knows is all that was archived.
    fn knows_all(&self) {
        self.server.clear_faults();
        let listed = self.run("list --json").code_is(0).stdout;
        for date in DATES {
            assert!(listed.contains(date), "{listed}");
        }
    }
}

struct Said(Run);

impl Said {
    fn code_is(self, code: i32) -> Run {
        assert_eq!(self.0.code, Some(code), "{:?}", self.0);
        self.0
    }
}

#[test]
fn a_listing_that_is_cut_once_is_listed_again() {
    let archived = Archived::new();
    for (strikes, fault) in (1..).zip([
        FaultKind::CutXml,
        FaultKind::FewerThanCounted,
        FaultKind::NoTruncation,
    ]) {
        archived.fail(Fault::on(Operation::List, fault.clone()));
        let rebuilt = archived.run(REBUILD).code_is(0);
        assert!(rebuilt.stdout.contains("3 archives"), "{rebuilt:?}");
        assert_eq!(archived.server.faults_struck(), strikes, "{fault:?}");
        archived.knows_all();
    }
}

#[test]
fn a_listing_that_is_always_cut_is_told_and_changes_nothing() {
    let archived = Archived::new();
    archived.fail(Fault::on(Operation::List, FaultKind::CutXml).always());
    for run in [archived.run(REBUILD), archived.decide(3, "2024-01-21")] {
        let run = run.code_is(1);
        let expected =
            "caused by: its answer was cut short: the XML in it has no end; tried 4 times";
        assert!(run.stderr.contains(expected), "{run:?}");
        assert!(run.stderr.contains("the store is not available"), "{run:?}");
    }
    archived.knows_all();
}

#[test]
fn a_ledger_is_not_called_gone_while_its_entries_can_be_had() {
    let archived = Archived::new();
    let objects: Vec<String> = archived.server.objects(BUCKET).into_keys().collect();
    let entries = objects
        .iter()
        .filter(|key| key.contains("/ledger/"))
        .count();
    let before_ledger = objects.len() - entries - 1;
    // Nothing at all, none of the ledger's entries, some of them, and all but the last.
    for shown in [
        0,
        before_ledger,
        before_ledger + 1,
        before_ledger + entries - 1,
    ] {
        archived.fail(Fault::on(Operation::List, FaultKind::LacksTheRest(shown)).always());
        let rebuilt = archived.run(REBUILD).code_is(1);
        let expected = "error: a listing of s3://archive/laptop?endpoint=";
        assert!(rebuilt.stderr.contains(expected), "{shown}: {rebuilt:?}");
        archived.knows_all();
    }
    for shown in 0..entries {
        let fault = Fault::on(Operation::List, FaultKind::LacksTheRest(shown));
        archived.fail(fault.key("/ledger/").always());
        let run = archived.decide(3, "2024-01-21").code_is(1);
        let expected = format!("lacks home/ledger/{:08}", shown + 1);
        assert!(run.stderr.contains(&expected), "{shown}: {run:?}");
        assert!(!run.stderr.contains("gone back"), "{run:?}");
        archived.knows_all();
    }
    // What is not there is gone.
    let last = objects.iter().rfind(|key| key.contains("/ledger/"));
    archived.server.lose(BUCKET, last.unwrap());
    let run = archived.decide(3, "2024-01-21").code_is(6);
    assert!(run.stderr.contains("has gone back"), "{run:?}");
}

#[test]
fn answers_without_a_length_and_a_gateway_s_own_damage_nothing() {
    let archived = Archived::new();
    for on in [Operation::Get, Operation::Head] {
        let fault = Fault::on(on, FaultKind::NoLength);
        archived.server.fail(fault.always());
    }
    archived.run("doctor").code_is(0);
    archived.run(VERIFY).code_is(0);
    archived.decide(3, "2024-01-21").code_is(0);
    let fault = Fault::on(Operation::Get, FaultKind::GatewayPage(520));
    archived.fail(fault.key("zst.age").always());
    let run = archived.run(VERIFY).code_is(1);
    assert!(!run.stdout.contains("DAMAGED"), "{run:?}");
    archived.server.clear_faults();
    let next = archived.decide(4, "2024-02-01").code_is(0);
    assert_eq!(
        next.stdout, "i 2024-01-21\n",
        "nothing was called damaged: {next:?}"
    );
}

#[test]
fn an_archive_is_not_called_damaged_while_its_objects_can_be_had() {
    let archived = Archived::new();
    let fault = Fault::on(Operation::List, FaultKind::LacksTheRest(1));
    archived.fail(fault.key("/archives/").always());
    let run = archived.decide(3, "2024-01-21").code_is(1);
    assert!(run.stderr.contains("a listing of s3://archive"), "{run:?}");
    archived.server.clear_faults();
    let again = archived.decide(3, "2024-01-21").code_is(0);
    assert_eq!(
        (again.stdout.as_str(), again.stderr.as_str()),
        ("i 2024-01-14\n", "")
    );
}
