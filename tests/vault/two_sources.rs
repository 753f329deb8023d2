//! Two sources of one machine in one vault: each has a ledger of its own, and one inventory serves both.

use std::collections::BTreeSet;
use std::fs::{self, File};

use chrono::{TimeDelta, Utc};

use crate::common::bucket::write_credentials;
use crate::common::machine::{Machine, Run};
use crate::common::two_chains::stream_of;
use crate::common::vault_server::{ACCESS_KEY, Operation, SECRET_KEY, VaultServer};

const CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"
segment_size = "16MiB"
compression = 1
threads = 1
delete_after = "0s"

[schedule]
max_incrementals = 1

[[source]]
name = "home"
store = "deep"

[[source]]
name = "work"
store = "deep"

[store.deep]
$V
ledger_store = "ledger"
credentials_file = "$T/credentials"

[store.ledger]
type = "dir"
path = "$T/ledger"

[encryption]
recipients = ["$R"]
"#;

const SOURCES: [&str; 2] = ["home", "work"];

/// A machine with both chains of both sources in the vault.
struct Both {
    server: VaultServer,
    machine: Machine,
    /// The chain whose time is over, by its dates.
    old: [String; 2],
    /// The one that stays.
    new: [String; 2],
}

impl Both {
    fn new() -> Self {
        let server = VaultServer::new();
        let machine = Machine::new();
        write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
        machine.write_config(&CONFIG.replace("$V", &server.store_table("")));
        let today = Utc::now().date_naive();
        // More than the eleven days that the longest part of a month has: each date calls for an archive, whatever today is.
        let ago = |days| (today - TimeDelta::days(days)).to_string();
        let both = Self {
            server,
            machine,
            old: [200, 180].map(ago),
            new: [20, 3].map(ago),
        };
        both.run("init --kit $T/kit");
        for [full, incremental] in [&both.old, &both.new] {
            for (date, parent) in [(full, None), (incremental, Some(full.as_str()))] {
                for source in SOURCES {
                    let words = format!("decide {date} --source {source}");
                    let run = both.machine.run_with(&words, &stream_of(date, parent));
                    assert_eq!(run.code, Some(0), "{run:?}");
                    let said = parent.map_or("c\n".to_owned(), |parent| format!("i {parent}\n"));
                    assert_eq!(run.stdout, said, "{run:?}");
                }
            }
        }
        both
    }

    /// Runs the program, which must succeed.
    fn run(&self, words: &str) -> Run {
        let run = self.machine.run(words);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
        run
    }

    fn hours(&self, hours: i64) {
        self.server.clock().advance(TimeDelta::hours(hours));
    }

    /// Ids of the source's archives in the vault.
    fn ids(&self, source: &str) -> BTreeSet<String> {
        let begin = format!("{source}/archives/");
        let archives = self.server.archives().into_iter();
        let key = |description: &str| description.split(' ').nth(3).unwrap().to_owned();
        archives
            .filter(|archive| key(&archive.description).starts_with(&begin))
            .map(|archive| archive.id)
            .collect()
    }

    /// What `list --json` says of each archive of a source: its date, its state, whether it is verified.
    fn archives(&self, source: &str) -> BTreeSet<(String, String, bool)> {
        let listed = self.machine.listed();
        let mut sources = listed["sources"].as_array().unwrap().iter();
        let own = sources.find(|listed| listed["name"] == source).unwrap();
        let chains = own["chains"].as_array().unwrap().iter();
        let archives = chains.flat_map(|chain| {
            let is_verified = !chain["verified_at"].is_null();
            let archives = chain["archives"].as_array().unwrap().iter();
            archives.map(move |archive| (archive, is_verified))
        });
        archives
            .map(|(archive, is_verified)| {
                let text = |name: &str| archive[name].as_str().unwrap().to_owned();
                (text("date"), text("state"), is_verified)
            })
            .collect()
    }

    /// Has an inventory made and read.
    fn take_inventory(&self) {
        let asked = self.server.count(Operation::InitiateJob);
        let read = self.server.count(Operation::Output);
        self.hours(36);
        self.run("verify");
        self.hours(5);
        self.run("verify");
        assert_eq!(self.server.count(Operation::InitiateJob), asked + 1);
        assert_eq!(self.server.count(Operation::Output), read + 1);
    }

    /// The stream of a date, from jobs.
    fn restored(&self, source: &str, date: &str) -> Vec<u8> {
        let path = self.machine.path("stream");
        let words = format!("restore {source} --date {date} --stream - --identity $T/kit --yes");
        let run = self.machine.run(&words);
        assert_eq!(run.code, Some(5), "{run:?}");
        self.hours(13);
        let mut command = self.machine.command(&words);
        let status = command.stdout(File::create(&path).unwrap()).status();
        assert!(status.unwrap().success());
        fs::read(&path).unwrap()
    }
}

#[test]
fn two_sources_share_a_vault_and_its_inventory_and_a_prune_of_one_is_none_of_the_other() {
    let both = Both::new();
    let [home, work] = SOURCES.map(|source| both.ids(source));
    assert_eq!((home.len(), work.len()), (4, 4));
    both.take_inventory();
    for source in SOURCES {
        let archives = both.archives(source);
        assert_eq!(archives.len(), 4);
        assert!(
            archives
                .iter()
                .all(|(_, state, verified)| state == "committed" && *verified)
        );
    }
    let of_work = both.archives("work");

    // Retired, then deleted.
    for _ in 0..2 {
        both.run("prune home");
    }
    let left = both.ids("home");
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.is_subset(&home));
    assert_eq!(both.ids("work"), work, "none of the other's");
    assert_eq!(both.archives("work"), of_work);

    // The inventory still has what home has deleted, and shows neither of them the other's.
    both.run("catalog check");
    let plan = both.run("prune home --dry-run").stdout;
    assert!(
        plan.contains("nothing to retire, delete or remove"),
        "{plan}"
    );
    let plan = both.run("prune work --dry-run").stdout;
    let retires = format!("work: to retire the chain of {}, 2 archives", both.old[0]);
    assert!(plan.contains(&retires), "{plan}");
    assert!(!plan.contains("to remove"), "{plan}");
    both.run("verify");
    both.take_inventory();
    let run = both.run("prune home");
    assert_eq!(both.ids("home"), left, "{run:?}");
    assert_eq!(both.ids("work"), work);

    let [full, incremental] = &both.new;
    for source in SOURCES {
        let stream = both.restored(source, incremental);
        assert_eq!(stream, stream_of(incremental, Some(full)), "{source}");
    }
    let [full, _] = &both.old;
    assert_eq!(both.restored("work", full), stream_of(full, None));
}
