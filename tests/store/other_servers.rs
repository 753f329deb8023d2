//! S3 servers that the suite does not install: two chains archived, verified, restored and pruned on each.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, TimeDelta, Utc};

use crate::common::rng::Rng;
use crate::common::sandbox::{Sandbox, Setup};
use crate::common::tree::{make_rich_tree, mutate_tree};

/// How many days ago the archives are made: a full and two incrementals whose time is over, and as many that
/// are kept for 60 days.
const DAYS_AGO: [i64; 6] = [90, 80, 70, 40, 33, 10];

const SCHEDULE: &str = "days = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, \
                        25, 26, 27, 28, 29, 30, 31]\nmax_incrementals = 2\nexpire_after_days = 60\n";

/// For the clock of the store to go on, which has whole seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// A date, by the day on which the test began.
fn date(days_ago: i64) -> String {
    static TODAY: LazyLock<NaiveDate> = LazyLock::new(|| Utc::now().date_naive());
    (*TODAY - TimeDelta::days(days_ago)).to_string()
}

/// `COLDCHAIN_OTHER_SERVERS` has a line for each: name, endpoint, access key, secret key and a bucket, and
/// further lines of the store's table behind them, each after a `;`. `scripts/soak servers` starts them.
#[test]
#[ignore = "`scripts/soak servers` starts the servers"]
fn two_chains_are_archived_verified_restored_and_pruned_on_each() {
    let servers = std::env::var("COLDCHAIN_OTHER_SERVERS").expect("it names the servers");
    let mut tried = 0;
    for line in servers.lines().filter(|line| !line.trim().is_empty()) {
        let mut lines = line.split(';');
        let words: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        let [name, endpoint, access_key, secret_key, bucket] = words[..] else {
            panic!("a server has five words: {line}");
        };
        let more: Vec<&str> = lines.map(str::trim).collect();
        let table = format!(
            "type = \"s3\"\nbucket = \"{bucket}\"\nprefix = \"some/prefix\"\nregion = \"us-east-1\"\n\
             endpoint = \"{endpoint}\"\ngive_up_after = \"20s\"\n{}\n",
            more.join("\n")
        );
        let env = [
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        println!("== {name}");
        try_all(&table, &env);
        tried += 1;
    }
    assert!(tried >= 2, "{tried} servers are named");
}

fn try_all(table: &str, env: &[(&str, &str)]) {
    let sandbox = Sandbox::with(&Setup {
        store: Some(table),
        schedule: SCHEDULE,
        env,
        ..Setup::default()
    });
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(
        sandbox.config(),
        format!("delete_after = \"0s\"\nprune = \"elsewhere\"\n{config}"),
    )
    .unwrap();
    println!("{}", sandbox.run(["doctor"]).ok().stdout);
    let mut rng = Rng::new(51);
    make_rich_tree(&sandbox.source(), &mut rng);
    for days_ago in DAYS_AGO {
        sandbox.backup(&date(days_ago));
        mutate_tree(&sandbox.source(), &mut rng);
    }
    let kit = sandbox.kit();
    let verified = sandbox
        .run(["verify", "--deep", "--identity", kit.to_str().unwrap()])
        .ok();
    println!("{}", verified.stdout);
    let dates = DAYS_AGO.map(date);
    let dates = dates.each_ref().map(String::as_str);
    sandbox.restores_equal(&dates[..3]);
    sandbox.restores_equal(&dates[3..]);

    fs::write(sandbox.config(), format!("delete_after = \"0s\"\n{config}")).unwrap();
    let retired = sandbox.run(["prune"]).ok().stdout;
    assert!(
        retired.starts_with("home: retired the chain of "),
        "{retired}"
    );
    let begun = Instant::now();
    loop {
        let pruned = sandbox.run(["prune"]).ok().stdout;
        if pruned.contains("home: deleted the chain of ") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is never deleted: {pruned}");
        std::thread::sleep(Duration::from_millis(500));
    }
    sandbox.run(["verify"]).ok();
    sandbox.restores_equal(&dates[3..]);
    let rebuilt = sandbox
        .run(["catalog", "rebuild", "--identity", kit.to_str().unwrap()])
        .ok();
    assert!(rebuilt.stdout.contains("3 archives"), "{rebuilt:?}");
}
