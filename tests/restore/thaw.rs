//! Restores from cold classes: asked for once, waited for, fetched while it lasts; and their price.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::common::is_segment;
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::s3_server::{BUCKET, Config, ENV, Mode, Operation, S3Server};
use crate::common::sandbox::{Ran, SOURCE, Sandbox, Setup};
use crate::common::tree::compare_trees;

const DATE: &str = "2025-01-01";
const NEXT: &str = "2025-01-07";

/// Prices that make sums easy to follow: only requests to thaw cost anything.
const PRICES: &str = r"
    [prices]
    date = 2026-12-01
    egress = [{ per_gb = 0 }]
    STANDARD = { gb_month = 0 }
    DEEP_ARCHIVE = { get_per_1000 = 0, standard = { per_gb = 0, per_1000_requests = 2000 }, bulk = { per_gb = 0, per_1000_requests = 500 } }
";

/// A source with some segments' worth of files, and a bucket with a clock that only tests move.
struct Cold {
    server: S3Server,
    sandbox: Sandbox,
}

impl Cold {
    fn new(class: &str, tables: &str) -> Self {
        Self::on(S3Server::new(), class, tables)
    }

    fn on(server: S3Server, class: &str, tables: &str) -> Self {
        server.clock().set(start());
        let store = server.store_table(&format!(
            "storage_class = \"{class}\"\ngive_up_after = \"30s\"\n{tables}"
        ));
        let sandbox = Sandbox::with(&Setup {
            store: Some(&store),
            env: &ENV,
            ..Setup::default()
        });
        let cold = Self { server, sandbox };
        cold.grow("first", 31);
        cold.sandbox.backup(DATE);
        cold
    }

    /// A file that nothing compresses, longer than a segment.
    fn grow(&self, name: &str, seed: u64) {
        let bytes = Rng::new(seed).bytes(20 << 20);
        fs::write(self.sandbox.source().join(name), bytes).unwrap();
    }

    fn advance(&self, hours: i64) {
        self.server.clock().advance(TimeDelta::hours(hours));
    }

    fn segments(&self) -> usize {
        let objects = self.server.objects(BUCKET);
        let names = objects.keys();
        names.filter(|key| is_segment(key)).count()
    }

    /// How many requests for a thaw came.
    fn asked(&self) -> usize {
        self.sent(Operation::Restore)
    }

    /// How many segments were read.
    fn fetched(&self) -> usize {
        let requests = self.server.requests();
        let of_segments = requests
            .iter()
            .filter(|one| one.operation == Operation::Get && is_segment(&one.key));
        of_segments.count()
    }

    fn sent(&self, operation: Operation) -> usize {
        let requests = self.server.requests();
        let of = requests.iter().filter(|one| one.operation == operation);
        of.count()
    }

    fn restore(&self, to: &Path, more: &[&str]) -> Ran {
        let kit = self.sandbox.kit();
        let words = ["restore", SOURCE, "--from", "store", "--yes", "--to"].map(OsStr::new);
        let words = words.into_iter();
        let words = words.chain([to.as_os_str(), OsStr::new("--identity"), kit.as_os_str()]);
        self.sandbox.run(words.chain(more.iter().map(OsStr::new)))
    }

    fn thaw(&self, more: &[&str]) -> Ran {
        self.sandbox
            .run(["thaw", SOURCE, "--yes"].iter().chain(more))
    }

    /// What `thaw --status --json` says of the only archive, and the code that it exits with.
    fn status(&self) -> (Value, Option<i32>) {
        let ran = self.thaw(&["--status", "--json"]);
        (ran.json()["archives"][0].take(), ran.code)
    }

    fn is_restored(&self, to: &LoopFs, date: &str) {
        compare_trees(&self.sandbox.snapshot(date), &to.path(SOURCE).join(date));
    }
}

/// Far from any time at which this runs: only the server's clock counts.
fn start() -> DateTime<Utc> {
    "2099-11-21T03:00:00Z".parse().unwrap()
}

#[test]
fn what_can_be_read_is_received_while_what_comes_after_it_thaws() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", "");
    let of_full = cold.segments();
    cold.grow("second", 32);
    cold.sandbox.backup(NEXT);
    let of_both = cold.segments();
    assert_eq!(cold.thaw(&["--date", DATE]).code, Some(5));
    assert_eq!(cold.asked(), of_full);
    cold.advance(13);
    let to = LoopFs::new(256);
    let ran = cold.restore(&to.root(), &[]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    let rest = of_both - of_full;
    let said = format!("error: home: 0 of {rest} segments are readable, {rest} are thawing");
    assert!(ran.stderr.starts_with(&said), "{}", ran.stderr);
    cold.is_restored(&to, DATE);
    assert!(!to.path(SOURCE).join(NEXT).exists());

    let fetched = cold.fetched();
    cold.advance(13);
    let ran = cold.restore(&to.root(), &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    cold.is_restored(&to, NEXT);
    assert_eq!(cold.asked(), of_both, "nothing was asked for twice");
    assert_eq!(cold.fetched(), fetched + rest, "nor fetched twice");
}

#[test]
fn a_restore_asks_once_waits_and_goes_on_when_all_is_readable() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", "");
    let segments = cold.segments();
    assert!(segments >= 2);
    let to = LoopFs::new(256);
    let expected = format!(
        "error: home: 0 of {segments} segments are readable, {segments} are thawing \
         (DEEP_ARCHIVE, bulk)\n\
         hint: the last of them is due by 2099-11-23T03:00:00Z; then run the same command again: \
         it continues where it stopped\n"
    );
    for _ in 0..2 {
        let ran = cold.restore(&to.root(), &["--tier", "bulk"]);
        assert_eq!((ran.code, ran.stderr), (Some(5), expected.clone()));
        assert_eq!(ran.stdout, "");
        assert_eq!(cold.asked(), segments, "nothing is asked for twice");
    }
    assert!(!to.path(SOURCE).join(DATE).exists());

    let (archive, code) = cold.status();
    assert_eq!(code, Some(5));
    let id = archive["id"].as_str().unwrap();
    assert_eq!(
        archive,
        json!({
            "id": id, "segments": segments, "readable": 0, "thawing": segments, "cold": 0,
            "readable_until": null, "due": "2099-11-23T03:00:00Z",
        })
    );
    let table = cold.thaw(&["--status"]);
    assert_eq!(table.code, Some(5));
    assert_eq!(
        table.stdout,
        format!(
            "archive                           segments  readable  thawing   cold\n\
             {id}  {segments:>8}         0  {segments:>7}      0  due by 2099-11-23T03:00:00Z\n"
        )
    );
    // A standard thaw would have ended by now, and the other tier is not asked for either.
    cold.advance(47);
    assert_eq!(cold.restore(&to.root(), &[]).code, Some(5));
    assert_eq!(cold.asked(), segments);

    cold.advance(1);
    let (archive, code) = cold.status();
    assert_eq!(code, Some(0));
    assert_eq!(archive["readable"], segments);
    assert_eq!(archive["readable_until"], "2099-12-01T00:00:00Z");
    cold.restore(&to.root(), &["--tier", "bulk"]).ok();
    assert_eq!(cold.asked(), segments);
    cold.is_restored(&to, DATE);
    // Cold again, and nobody needs it any more.
    cold.advance(24 * 30);
    cold.restore(&to.root(), &["--tier", "bulk"]).ok();
    assert_eq!(cold.asked(), segments);
}

#[test]
fn what_is_cold_again_before_it_was_fetched_is_asked_for_again() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", "");
    let segments = cold.segments();
    let to = LoopFs::new(256);
    assert_eq!(cold.thaw(&["--thaw-days", "1"]).code, Some(5));
    assert_eq!(cold.asked(), segments);
    cold.advance(12);
    let readable = cold.thaw(&["--thaw-days", "1"]).ok();
    assert_eq!(
        readable.stdout,
        format!(
            "home: {DATE}: all {segments} segments are readable, until 2099-11-23T00:00:00Z at least\n"
        )
    );
    cold.advance(48);
    let (archive, code) = cold.status();
    assert_eq!((&archive["cold"], code), (&json!(segments), Some(5)));
    assert_eq!(cold.asked(), segments, "--status asks for nothing");
    let again = cold.restore(&to.root(), &["--thaw-days", "1"]);
    assert_eq!(again.code, Some(5), "{again:?}");
    assert!(
        again.stderr.contains("due by 2099-11-24T03:00:00Z"),
        "{again:?}"
    );
    assert_eq!(cold.asked(), 2 * segments);
    // Readable from 03:00 on, until the midnight after the next 03:00.
    cold.advance(50);
    let (archive, _) = cold.status();
    assert_eq!(archive["readable_until"], "2099-11-26T00:00:00Z");
    cold.thaw(&[]).ok();
    assert_eq!(cold.asked(), 2 * segments, "7 hours are enough");
    cold.advance(2);
    cold.restore(&to.root(), &[]).ok();
    assert_eq!(cold.asked(), 3 * segments, "5 hours are not");
    cold.is_restored(&to, DATE);
}

#[test]
fn only_what_does_not_stand_yet_is_asked_for() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", "");
    let full = cold.segments();
    let to = LoopFs::new(512);
    assert_eq!(cold.restore(&to.root(), &[]).code, Some(5));
    cold.advance(12);
    cold.restore(&to.root(), &[]).ok();
    cold.grow("second", 32);
    cold.sandbox.backup(NEXT);
    let incremental = cold.segments() - full;
    assert!(incremental > 0);
    cold.advance(24 * 30);
    let waiting = cold.restore(&to.root(), &[]);
    assert!(
        waiting
            .stderr
            .contains(&format!("0 of {incremental} segments are readable")),
        "{waiting:?}"
    );
    assert_eq!(cold.asked(), full + incremental);
    cold.advance(12);
    cold.restore(&to.root(), &[]).ok();
    cold.is_restored(&to, DATE);
    cold.is_restored(&to, NEXT);
}

#[test]
fn where_nobody_can_be_asked_a_thaw_has_to_be_agreed_to_beforehand() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", "");
    let ran = cold.sandbox.run(["thaw", SOURCE]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("add --yes"), "{ran:?}");
    assert_eq!(cold.asked(), 0);
}

#[test]
fn a_restore_beyond_its_limit_sends_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", PRICES);
    let segments = cold.segments();
    let to = LoopFs::new(256);
    cold.server.forget_requests();
    let refused = cold.restore(&to.root(), &["--max-cost", "0.00"]);
    assert_eq!(refused.code, Some(2));
    assert_eq!(
        refused.stderr,
        format!(
            "error: the restore would cost USD {}.00 by estimate, more than the limit of USD 0.00\n\
             hint: nothing was asked for; raise --max-cost, or choose a cheaper --tier\n",
            2 * segments
        )
    );
    let refused = cold.thaw(&["--max-cost", "0.00"]);
    assert_eq!(refused.code, Some(2));
    for tier_refused in [
        cold.thaw(&["--tier", "expedited"]),
        cold.restore(&to.root(), &["--tier", "expedited"]),
    ] {
        assert_eq!(tier_refused.code, Some(2));
        assert!(
            tier_refused.stderr.starts_with(
                "error: DEEP_ARCHIVE has no tier `expedited`, only `standard` and `bulk`\n"
            ),
            "{tier_refused:?}"
        );
    }
    assert_eq!(cold.server.requests(), []);
    assert!(!to.path(SOURCE).exists());
    let limit = format!("{}.00", 2 * segments);
    assert_eq!(cold.thaw(&["--max-cost", &limit]).code, Some(5));
    assert_eq!(cold.asked(), segments);
}

#[test]
fn a_plan_says_what_the_thaw_costs_and_how_long_it_takes() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", PRICES);
    let segments = cold.segments();
    cold.server.forget_requests();
    let plan = |more: &[&str]| {
        let words = ["restore", SOURCE, "--from", "store", "--plan", "--json"];
        cold.sandbox.run(words.iter().chain(more)).ok().json()
    };
    let usd = |each: f64| each * f64::from(u32::try_from(segments).unwrap());
    let thaw = json!({
        "segments": segments,
        "tiers": [
            {"tier": "standard", "usd": usd(2.0), "hours": 12.0},
            {"tier": "bulk", "usd": usd(0.5), "hours": 48.0},
        ],
    });
    let planned = plan(&[]);
    assert_eq!(planned["thaw"], thaw);
    assert_eq!(planned["usd_total"], usd(2.0));
    assert_eq!(planned["segments"], segments);
    assert_eq!(plan(&["--tier", "bulk"])["usd_total"], usd(0.5));
    let words = cold
        .sandbox
        .run(["restore", SOURCE, "--from", "store", "--plan"])
        .ok()
        .stdout;
    for part in [
        format!("  to thaw     {segments} segments"),
        format!("  bulk        48 hours   USD {:.2} to thaw", usd(0.5)),
        "for us-east-1, with those that the config gives".to_owned(),
    ] {
        assert!(words.contains(&part), "{part}: {words}");
    }
    assert_eq!(cold.server.requests(), [], "a plan asks nothing");

    // What is known to be readable costs nothing more.
    cold.thaw(&[]);
    cold.advance(12);
    cold.thaw(&[]).ok();
    let planned = plan(&["--tier", "expedited"]);
    assert_eq!(planned["thaw"], json!({"segments": 0, "tiers": []}));
    assert_eq!(planned["usd_total"], 0.0);
}

#[test]
fn a_store_without_known_prices_has_none_in_its_plan_and_takes_no_limit() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", "");
    let words = ["restore", SOURCE, "--from", "store", "--plan", "--json"];
    let planned = cold.sandbox.run(words).ok().json();
    assert_eq!(
        (&planned["thaw"], &planned["usd_total"]),
        (&Value::Null, &Value::Null)
    );
    let words = cold
        .sandbox
        .run(["restore", SOURCE, "--from", "store", "--plan"])
        .ok()
        .stdout;
    assert!(
        words.contains("the prices of this store are not known"),
        "{words}"
    );
    let refused = cold.thaw(&["--max-cost", "100"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("no prices are known for"),
        "{refused:?}"
    );
    assert_eq!(cold.asked(), 0);
}

#[test]
fn a_tier_without_capacity_is_told_and_another_takes_over() {
    if !real_btrfs_available() {
        return;
    }
    let config = Config::default().with_mode(Mode::ExpeditedUnavailable);
    let cold = Cold::on(S3Server::start(config), "GLACIER", "");
    let segments = cold.segments();
    let refused = cold.thaw(&["--tier", "expedited"]);
    assert_eq!(refused.code, Some(1));
    let expected = format!(
        "error: the tier `expedited` has no capacity now: only 0 of {segments} segments were requested\n"
    );
    assert!(refused.stderr.starts_with(&expected), "{refused:?}");
    assert!(refused.stderr.contains("--tier standard"), "{refused:?}");
    let taken = cold.thaw(&["--tier", "standard"]);
    assert_eq!(taken.code, Some(5));
    assert!(
        taken
            .stderr
            .contains("(GLACIER, standard)\nhint: the last of them is due by 2099-11-21T08:00:00Z"),
        "{taken:?}"
    );
}

#[test]
fn a_segment_that_is_missing_is_found_before_anything_is_asked_for() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("DEEP_ARCHIVE", "");
    let objects = cold.server.objects(BUCKET);
    let lost = objects.keys().rfind(|key| is_segment(key));
    cold.server.lose(BUCKET, lost.unwrap());
    let ran = cold.thaw(&[]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.stderr.contains("is damaged: it is missing"), "{ran:?}");
    assert_eq!(cold.asked(), 0);
}

#[test]
fn a_warm_class_needs_no_thaw_and_is_not_asked() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("STANDARD_IA", "");
    cold.server.forget_requests();
    for words in [&[][..], &["--tier", "expedited"], &["--status"]] {
        let ran = cold.thaw(words).ok();
        let last = ran.stdout.lines().last();
        assert_eq!(
            last,
            Some("home: 2025-01-01: nothing needs thawing"),
            "{ran:?}"
        );
    }
    let asked = [Operation::Head, Operation::Restore];
    let asked = asked.map(|operation| cold.sent(operation));
    assert_eq!(asked, [0, 0]);
    let to = LoopFs::new(256);
    cold.restore(&to.root(), &[]).ok();
    cold.is_restored(&to, DATE);
}

/// Classes that a rule of the bucket, or the bucket by itself, has moved segments into.
const MOVED: [(&str, Option<&str>, &str); 3] = [
    ("GLACIER", None, "GLACIER"),
    ("INTELLIGENT_TIERING", Some("ARCHIVE_ACCESS"), "GLACIER"),
    (
        "INTELLIGENT_TIERING",
        Some("DEEP_ARCHIVE_ACCESS"),
        "DEEP_ARCHIVE",
    ),
];

#[test]
fn what_the_bucket_has_made_cold_by_itself_is_thawed() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("STANDARD", "");
    let segments = cold.segments();
    assert!(cold.thaw(&[]).ok().stdout.contains("nothing needs thawing"));
    for (class, tier, thawed_as) in MOVED {
        cold.server.transition(BUCKET, ".zst.age", class, tier);
        let to = LoopFs::new(256);
        let before = cold.asked();
        let ran = cold.restore(&to.root(), &["--tier", "standard"]);
        let expected = format!(
            "error: home: 0 of {segments} segments are readable, {segments} are thawing \
             ({thawed_as}, standard)\n"
        );
        assert_eq!(ran.code, Some(5), "{}", ran.stderr);
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
        assert!(cold.asked() >= before + segments);
        let asked = cold.asked();
        assert_eq!(cold.thaw(&["--tier", "standard"]).code, Some(5));
        assert_eq!(cold.asked(), asked, "nothing is asked for twice");
        cold.advance(13);
        cold.restore(&to.root(), &["--tier", "standard"]).ok();
        cold.is_restored(&to, DATE);
        assert_eq!(cold.asked(), asked);
    }
}

#[test]
fn what_the_bucket_has_made_cold_is_paid_for_only_as_far_as_was_agreed() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("STANDARD", "");
    fs::write(
        cold.sandbox.config(),
        fs::read_to_string(cold.sandbox.config()).unwrap() + PRICES,
    )
    .unwrap();
    cold.server
        .transition(BUCKET, ".zst.age", "DEEP_ARCHIVE", None);
    let to = LoopFs::new(256);
    let ran = cold.restore(&to.root(), &["--max-cost", "0.01"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let ran = cold.thaw(&["--max-cost", "0.01"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert_eq!(cold.asked(), 0);
}

#[test]
fn a_ledger_that_was_made_cold_is_told_with_what_to_do() {
    if !real_btrfs_available() {
        return;
    }
    let cold = Cold::new("STANDARD", "");
    cold.server.transition(BUCKET, "/ledger/", "GLACIER", None);
    let kit = cold.sandbox.kit();
    let words = ["catalog", "rebuild", "--identity"].map(OsStr::new);
    let ran = cold.sandbox.run(words.into_iter().chain([kit.as_os_str()]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr
            .starts_with("error: could not read home/ledger/00000001.entry in s3://archive"),
        "{}",
        ran.stderr
    );
    let hint = "hint: remove the rule of the bucket that moved it into a cold class, and thaw";
    assert!(ran.stderr.contains(hint), "{}", ran.stderr);
}

#[test]
fn a_cold_class_that_is_a_mere_name_is_read() {
    if !real_btrfs_available() {
        return;
    }
    let server = S3Server::start(Config::default().with_mode(Mode::NoThaws));
    let cold = Cold::on(server, "DEEP_ARCHIVE", "");
    let to = LoopFs::new(256);
    cold.restore(&to.root(), &[]).ok();
    cold.is_restored(&to, DATE);
}
