//! What a user sees of a vault: `init`, `doctor`, a store that is not there, copies that lead into it, and its URL.

use std::fs;

use chrono::TimeDelta;

use crate::common::bucket::write_credentials;
use crate::common::machine::{Machine, Run};
use crate::common::stream_builder::StreamBuilder;
use crate::common::vault_server::{
    ACCESS_KEY, Config, ENV, Fault, FaultKind, Operation, SECRET_KEY, VAULT, VaultServer,
};

const CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"
segment_size = "16MiB"
compression = 1
threads = 1

[[source]]
name = "home"
store = "deep"

[[source]]
name = "work"
store = "shelf"

[store.deep]
$V
ledger_store = "ledger"
credentials_file = "$T/credentials"
give_up_after = "2s"

[store.ledger]
type = "dir"
path = "$T/ledger"

[store.shelf]
type = "dir"
path = "$T/shelf"

[encryption]
recipients = ["$R"]
"#;

/// What `init` says of each source in a vault.
const CLOSED: &str = "warning: home: it is archived into a vault, for which Amazon takes no new customers since 2025-12-15; docs/vault.md tells how to get out\n";

/// A machine that has run `init` for a server's vault.
pub(super) struct Owner {
    pub(super) server: VaultServer,
    pub(super) machine: Machine,
    told: Run,
}

impl Owner {
    pub(super) fn new(server: VaultServer) -> Self {
        let machine = Machine::new();
        write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
        machine.write_config(&CONFIG.replace("$V", &server.store_table("")));
        let told = machine.run("init --kit $T/kit");
        assert_eq!(told.code, Some(0), "{told:?}");
        Self {
            server,
            machine,
            told,
        }
    }

    pub(super) fn run(&self, words: &str) -> Run {
        let mut command = self.machine.command(words);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        self.machine.run_command(&mut command)
    }

    /// Archives a made-up stream.
    pub(super) fn archive(&self, date: &str) {
        let run = self.try_to_archive(date, None);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// Archives an incremental on an earlier date.
    pub(super) fn archive_on(&self, date: &str, parent: &str) {
        let run = self.try_to_archive(date, Some(parent));
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// Archives a full, or an incremental on that date, whatever comes of it.
    pub(super) fn try_to_archive(&self, date: &str, parent: Option<&str>) -> Run {
        let head = StreamBuilder::header(1);
        let stream = match parent {
            None => head.subvol(date.as_bytes(), uuid(date), 10).mkfile(b"file"),
            Some(parent) => head.snapshot(date.as_bytes(), uuid(date), 10, uuid(parent), 10),
        };
        let stream = stream.write(b"file", 0, date.as_bytes()).finish();
        let words = format!("decide {date} --source home");
        self.machine.run_with(&words, &stream)
    }

    /// The words in which `deep` is shown.
    fn url(&self) -> String {
        format!(
            "glacier-vault://us-east-1/{VAULT}?endpoint={}&ledger=file://$T/ledger",
            self.server.endpoint()
        )
    }
}

fn uuid(date: &str) -> [u8; 16] {
    format!("uuid {date:>11}").into_bytes().try_into().unwrap()
}

/// The lines of a diagnosis of the store `deep`, each as verdict, subject and text.
fn findings(run: &Run) -> Vec<(&str, &str, &str)> {
    let mut lines = run.stdout.lines();
    lines.find(|line| line.starts_with("deep: "));
    let own = lines.take_while(|line| line.starts_with("  "));
    own.map(|line| {
        let (verdict, rest) = line[2..].split_once(' ').unwrap();
        let (subject, text) = rest.trim_start().split_once("  ").unwrap();
        (verdict, subject, text.trim_start())
    })
    .collect()
}

#[test]
fn init_makes_the_ledger_store_and_says_that_vaults_are_closed() {
    let owner = Owner::new(VaultServer::new());
    assert!(owner.machine.path("ledger").is_dir());
    assert!(owner.told.stderr.starts_with(CLOSED), "{:?}", owner.told);
    let kit = fs::read_to_string(owner.machine.path("kit")).unwrap();
    let address = owner.machine.fill(&owner.url());
    assert!(kit.contains(&address), "{kit}");
}

#[test]
fn a_good_vault_is_examined_and_nothing_is_stored_in_it() {
    let policy = r#"{"Statement": {"Effect": "Deny", "Action": "glacier:DeleteArchive"}}"#;
    let owner = Owner::new(VaultServer::start(Config {
        vault_lock: Some((policy.to_owned(), "Locked")),
        ..Config::default()
    }));
    let run = owner.run("doctor");
    assert_eq!(run.code, Some(0), "{run:?}");
    let heading = format!("deep: {}\n", owner.url());
    assert!(run.stdout.contains(&heading), "{run:?}");
    let found = findings(&run);
    for subject in [
        "reach",
        "put",
        "put if absent",
        "read",
        "range",
        "list",
        "delete",
        "vault",
        "new customers",
        "vault lock",
        "access policy",
        "data retrieval policy",
    ] {
        let is_fine = |(verdict, its, _): &&(&str, &str, &str)| *verdict == "ok" && *its == subject;
        assert!(found.iter().any(|it| is_fine(&it)), "{subject}: {run:?}");
    }
    // The try of a cold class is billed for months.
    assert!(
        found
            .iter()
            .all(|(_, subject, _)| *subject != "storage class")
    );
    for operation in [Operation::Upload, Operation::InitiateJob] {
        assert_eq!(owner.server.count(operation), 0, "{operation:?}");
    }
    let left = fs::read_dir(owner.machine.path("ledger")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_diagnosis_has_the_inventory_renewed_and_says_of_when_it_is() {
    let owner = Owner::new(VaultServer::new());
    owner.archive("2026-01-01");
    let inventory = |verdict: &str| {
        let run = owner.run("doctor");
        assert_eq!(run.code, Some(0), "{run:?}");
        let found = findings(&run);
        let of_it: Vec<_> = found
            .iter()
            .filter(|(_, it, _)| *it == "inventory")
            .collect();
        let [(its, _, text)] = of_it[..] else {
            panic!("{run:?}");
        };
        assert_eq!(*its, verdict, "{text}");
        assert!(
            text.starts_with("home: "),
            "`work` has another store: {text}"
        );
        (*text).to_owned()
    };
    let clock = owner.server.clock();
    assert!(inventory("ok").contains("the vault has no inventory yet"));
    clock.advance(TimeDelta::hours(30));
    for _ in 0..2 {
        assert!(inventory("ok").contains("the service is making one"));
        assert_eq!(owner.server.count(Operation::InitiateJob), 1);
    }
    clock.advance(TimeDelta::hours(5));
    for _ in 0..2 {
        assert!(inventory("ok").contains("the listing is the vault's inventory of"));
        assert_eq!(owner.server.count(Operation::Output), 1);
    }
    // A run that archives nothing verifies by what was read.
    let run = owner.run("verify home");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(owner.server.count(Operation::Output), 1);
}

#[test]
fn an_inventory_that_can_t_be_asked_for_is_a_warning_with_what_to_do() {
    let owner = Owner::new(VaultServer::new());
    owner.archive("2026-01-01");
    owner.server.clock().advance(TimeDelta::hours(30));
    let denied = FaultKind::Refusal(403, "AccessDeniedException", "denied");
    let fault = Fault::on(Operation::ListJobs, denied);
    owner.server.fail(fault.always());
    let run = owner.run("doctor");
    assert_eq!(run.code, Some(0), "{run:?}");
    let found = findings(&run).into_iter();
    let mut of_it = found.filter(|(_, it, _)| *it == "inventory");
    let (verdict, _, text) = of_it.next().unwrap();
    assert_eq!(verdict, "warn");
    assert!(
        text.contains("see docs/vault.md for the permission"),
        "{text}"
    );
}

#[test]
fn a_vault_that_can_t_be_used_is_said_with_what_to_do() {
    let gone = Owner::new(VaultServer::without_vault(Config::default()));
    let denied = Owner::new(VaultServer::new());
    denied.server.fail(
        Fault::on(
            Operation::DescribeVault,
            FaultKind::Refusal(403, "AccessDeniedException", "denied"),
        )
        .always(),
    );
    for (owner, why, hint) in [
        (
            &gone,
            "the vault does not exist in this region and account",
            "check `vault` and `region` of this store, and whose credentials these are, or make the vault",
        ),
        (
            &denied,
            "access is denied",
            "see docs/vault.md for the permission that each operation needs",
        ),
    ] {
        let run = owner.run("doctor");
        assert_eq!(run.code, Some(1), "{run:?}");
        let found = findings(&run);
        let failed: Vec<_> = found
            .iter()
            .filter(|(verdict, ..)| *verdict == "FAIL")
            .collect();
        let [(_, "settings", text)] = failed[..] else {
            panic!("{run:?}");
        };
        assert!(text.contains(why) && text.contains(hint), "{text}");
    }
}

#[test]
fn no_copy_and_no_move_leads_into_a_vault_or_onto_its_ledger() {
    let owner = Owner::new(VaultServer::new());
    let url = owner.url();
    for (words, message, hint) in [
        (
            "copy work --to deep",
            format!("cannot copy `work` to {url}: a vault can't have copies"),
            "name a store of the config with --to that is a directory or a bucket",
        ),
        (
            "copy work --to deep --plan",
            format!("cannot copy `work` to {url}: a vault can't have copies"),
            "name a store of the config with --to that is a directory or a bucket",
        ),
        (
            "move work --to deep --yes",
            format!(
                "cannot move `work` to {url}: a vault can't have copies, so none can become home"
            ),
            "name the store of a copy with --to, in a directory or a bucket",
        ),
        (
            "copy home --to ledger",
            "cannot copy `home` to file://$T/ledger: the vault that is its home keeps the ledger there".to_owned(),
            "describe another prefix or directory in a [store.NAME], and name that with --to",
        ),
        (
            "copy home --to deep",
            format!("cannot copy `home` to {url}: that is where its archives already are"),
            "name another store of the config with --to",
        ),
    ] {
        let run = owner.run(words);
        run.is(2, "", &format!("error: {message}\nhint: {hint}\n"));
    }
    assert_eq!(owner.server.requests(), []);
}

#[test]
fn the_url_alone_leads_to_ledger_and_vault() {
    let owner = Owner::new(VaultServer::new());
    owner.archive("2024-01-01");
    assert_eq!(owner.server.archives().len(), 1);
    fs::remove_file(owner.machine.path("config.toml")).unwrap();
    let url = format!("{}&credentials_file=$T/credentials", owner.url());
    let rebuilt = owner.run(&format!(
        "catalog rebuild --state-dir $T/other --identity $T/kit --store {url}"
    ));
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    let listed = owner.run("list --state-dir $T/other");
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.contains(&owner.url()), "{listed:?}");
    assert!(listed.stdout.contains("2024-01-01"), "{listed:?}");
    // The id of the segment is in the entry. The catalog keeps no credentials.
    let run = |words: &str| {
        let mut command = owner.machine.command(words);
        command.envs(ENV).arg("--state-dir");
        command.arg(owner.machine.path("other"));
        owner.machine.run_command(&mut command)
    };
    let thawed = run("thaw home --yes --tier expedited");
    assert_eq!(thawed.code, Some(5), "{thawed:?}");
    assert_eq!(owner.server.jobs().len(), 1);
    // The inventory is kept below the state directory that was named.
    owner.server.clock().advance(TimeDelta::hours(60));
    run("verify home");
    owner.server.clock().advance(TimeDelta::hours(5));
    let verified = run("verify home");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let kept = fs::read_dir(owner.machine.path("other/inventories")).unwrap();
    assert_ne!(kept.count(), 0);
}
