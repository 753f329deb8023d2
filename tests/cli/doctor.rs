//! `doctor` on good buckets and on each kind that is not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::Value;

use crate::common::machine::{Machine, ONE_RECIPIENT, Run};
use crate::common::s3_server::{
    ACCESS_KEY, BUCKET, Bucket, Config, Fault, FaultKind, Locking, Mode, Operation, S3Server,
    SECRET_KEY,
};
use crate::common::servers::{Moto, ObjectLock, Server, Versioning, Weed};

/// Two sources in one bucket.
const CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"

[[source]]
name = "home"
store = "cloud"

[[source]]
name = "vm"
store = "cloud"

[store.cloud]
type = "s3"
bucket = "archive"
prefix = "laptop"
region = "us-east-1"
endpoint = "$E"
give_up_after = "2s"
storage_class = "DEEP_ARCHIVE"

[encryption]
recipients = ["$R"]

[schedule]
max_chain_days = 200
"#;

/// A machine that archives into a server's bucket.
struct Patient {
    server: S3Server,
    machine: Machine,
}

/// What was found: verdict and text by subject, and the exit code.
struct Diagnosis {
    code: i32,
    findings: BTreeMap<String, (String, String)>,
}

impl Patient {
    fn new(server: S3Server) -> Self {
        let machine = Machine::new();
        machine.write_config(&CONFIG.replace("$E", &server.endpoint()));
        Self { server, machine }
    }

    fn of(config: Config) -> Self {
        Self::new(S3Server::start(config))
    }

    fn with_mode(mode: Mode) -> Self {
        Self::of(Config::default().with_mode(mode))
    }

    fn with_bucket(bucket: Bucket) -> Self {
        Self::of(Config::with_bucket(bucket))
    }

    fn with_fault(fault: Fault) -> Self {
        let patient = Self::new(S3Server::new());
        patient.server.fail(fault);
        patient
    }

    /// With these lines in front of the config, or in its store.
    fn told(self, top: &str, store: &str) -> Self {
        let config = CONFIG.replace("$E", &self.server.endpoint());
        let config = config.replace(
            "storage_class = \"DEEP_ARCHIVE\"\n",
            &format!("storage_class = \"DEEP_ARCHIVE\"\n{store}"),
        );
        self.machine.write_config(&format!("{top}{config}"));
        self
    }

    fn diagnosis(&self) -> Diagnosis {
        diagnosis(&self.machine)
    }

    /// Keys that are there, with their random part blanked.
    fn left(&self) -> Vec<String> {
        let keys = self.server.objects(BUCKET).into_keys();
        keys.map(|key| {
            let (before, after) = key.split_once(".coldchain-doctor-").unwrap();
            let (random, name) = after.split_once('-').unwrap();
            assert!(random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()));
            format!("{before}{name}")
        })
        .collect()
    }

    /// Nothing at all is left, no older version and no delete marker either.
    fn is_as_before(&self) {
        let puts = self.server.put_counts(BUCKET);
        for key in puts.keys() {
            assert_eq!(self.server.versions(BUCKET, key), [], "{key}");
        }
    }
}

/// What every machine of these tests is warned of.
fn warnings() -> String {
    format!(
        "{ONE_RECIPIENT}warning: $T/kit holds a secret key: keep it away from this machine, and delete it here\n"
    )
}

fn run(machine: &Machine, words: &str) -> Run {
    run_as(machine, words, (ACCESS_KEY, SECRET_KEY))
}

fn run_as(machine: &Machine, words: &str, (access_key, secret_key): (&str, &str)) -> Run {
    let mut command = machine.command(words);
    command
        .env("AWS_ACCESS_KEY_ID", access_key)
        .env("AWS_SECRET_ACCESS_KEY", secret_key)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE");
    machine.run_command(&mut command)
}

/// A run without what it says of the machine, in front of the store's section.
fn about_store(run: Run) -> Run {
    let at = run.stdout.find("cloud: ").unwrap();
    let stdout = run.stdout[at..].to_owned();
    Run { stdout, ..run }
}

fn diagnosis(machine: &Machine) -> Diagnosis {
    diagnosis_as(machine, (ACCESS_KEY, SECRET_KEY))
}

fn diagnosis_as(machine: &Machine, keys: (&str, &str)) -> Diagnosis {
    let run = run_as(machine, "doctor --json", keys);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    let stores = answer["stores"].as_array().unwrap();
    assert_eq!(stores.len(), 1, "one store for both sources");
    assert_eq!(stores[0]["name"], "cloud");
    let url = stores[0]["url"].as_str().unwrap();
    assert!(url.contains("/laptop?endpoint="), "{url}");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = stores[0]["findings"].as_array().unwrap().iter();
    let findings: BTreeMap<_, _> = findings
        .map(|finding| {
            let found = (text(finding, "verdict"), text(finding, "text"));
            (text(finding, "subject"), found)
        })
        .collect();
    let failures = findings
        .values()
        .filter(|(verdict, _)| verdict == "failure")
        .count();
    let code = run.code.unwrap();
    assert_eq!(code, i32::from(failures > 0), "{}", run.stderr);
    if failures > 0 {
        let error: Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!(error["error"]["code"], 1);
    } else {
        assert_eq!(run.stderr, "");
    }
    Diagnosis { code, findings }
}

impl Diagnosis {
    /// These subjects have these verdicts, and every other one is fine.
    #[track_caller]
    fn is(&self, expected: &[(&str, &str)]) {
        let found: Vec<(&str, &str)> = self
            .findings
            .iter()
            .filter(|(_, (verdict, _))| verdict != "fine")
            .map(|(subject, (verdict, _))| (subject.as_str(), verdict.as_str()))
            .collect();
        assert_eq!(found, expected, "{:#?}", self.findings);
        let fails = expected.iter().any(|(_, verdict)| *verdict == "failure");
        assert_eq!(self.code, i32::from(fails));
    }

    #[track_caller]
    fn says(&self, subject: &str, part: &str) {
        let (_, text) = &self.findings[subject];
        assert!(text.contains(part), "{subject}: {text}");
    }
}

/// What every bucket without versions or a lock is warned of.
const PLAIN: [(&str, &str); 2] = [("object lock", "warning"), ("versioning", "warning")];

/// A finding among those, in the order of their subjects.
fn plain_and(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut all = [&PLAIN, more].concat();
    all.sort_unstable();
    all
}

#[test]
fn a_good_bucket_is_told_line_by_line() {
    let bucket = Bucket::new(BUCKET).locking(Locking::On);
    let patient = Patient::with_bucket(bucket).told("", "object_lock = \"governance\"\n");
    let stdout = format!(
        "cloud: s3://archive/laptop?endpoint={}
  ok    reach          it answers
  ok    clock          it differs from this machine's by less than a minute
  ok    put            an object can be stored
  ok    put if absent  an existing object is not replaced
  ok    read           what was stored comes back
  ok    range          a part of an object can be read
  ok    checksum       it keeps the SHA-256 of what it has
  ok    list           a listing shows what was just stored
  ok    storage class  segments go into DEEP_ARCHIVE; AWS bills this try for 180 days, a few hundredths of a cent at most
  ok    thaw           what lies in DEEP_ARCHIVE can be thawed
  ok    delete         an object can be deleted
  ok    versioning     the bucket keeps versions
  ok    object lock    the bucket locks objects, and archives are locked in governance mode
  ok    lifecycle      no rule deletes archives or makes them cold
1 store: 14 fine, 0 unknown, 0 warned of, 0 failed
",
        patient.server.endpoint()
    );
    about_store(run(&patient.machine, "doctor")).is(0, &stdout, &warnings());
    about_store(run(&patient.machine, "doctor --quiet")).is(0, &stdout, "");
    patient.diagnosis().is(&[]);
    patient.is_as_before();
}

#[test]
fn what_fails_is_told_with_its_cause_and_what_to_do() {
    let patient = Patient::of(Config {
        buckets: Vec::new(),
        ..Config::default()
    });
    let url = format!("s3://archive/laptop?endpoint={}", patient.server.endpoint());
    let stdout = format!(
        "cloud: {url}
  FAIL  reach  could not list home/.coldchain-doctor-$HEX16- in {url}: the bucket does not exist: it answered 404 NoSuchBucket: The specified bucket does not exist (request $HEX16); check bucket, region and endpoint, or make the bucket; waiting does not help
1 store: 0 fine, 0 unknown, 0 warned of, 1 failed
"
    );
    let stderr = format!(
        "{}error: 1 failure found\nhint: fix each failure above, then run `coldchain doctor` again\n",
        warnings()
    );
    about_store(run(&patient.machine, "doctor")).is(1, &stdout, &stderr);
}

#[test]
fn a_plain_bucket_is_warned_of_what_it_lacks() {
    let patient = Patient::new(S3Server::new());
    patient.diagnosis().is(&PLAIN);
    patient.is_as_before();
    let keys = patient.server.put_counts(BUCKET).into_keys();
    let keys: Vec<String> = keys.collect();
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert!(key.starts_with("laptop/home/.coldchain-doctor-"), "{key}");
    }
}

#[test]
fn nothing_is_left_of_what_a_bucket_with_versions_kept() {
    let patient = Patient::with_bucket(Bucket::new(BUCKET).versioned());
    patient.diagnosis().is(&[("object lock", "warning")]);
    patient.is_as_before();
    // One that replaces objects has several versions of one key.
    let config = Config::with_bucket(Bucket::new(BUCKET).versioned());
    let patient = Patient::of(config.with_mode(Mode::IgnoreIfNoneMatch));
    patient
        .diagnosis()
        .is(&[("object lock", "warning"), ("put if absent", "warning")]);
    patient.is_as_before();
}

#[test]
fn a_service_that_ignores_what_it_is_asked_for_is_found_out() {
    for (mode, subject, text) in [
        (
            Mode::IgnoreIfNoneMatch,
            "put if absent",
            "ignores If-None-Match",
        ),
        (
            Mode::RefuseIfNoneMatch,
            "put if absent",
            "refuses If-None-Match",
        ),
        (
            Mode::IgnoreStorageClass,
            "storage class",
            "into STANDARD, although DEEP_ARCHIVE was asked for: prices",
        ),
        (Mode::IgnoreChecksums, "checksum", "keeps none"),
    ] {
        let patient = Patient::with_mode(mode);
        let diagnosis = patient.diagnosis();
        diagnosis.is(&plain_and(&[(subject, "warning")]));
        diagnosis.says(subject, text);
        patient.is_as_before();
    }
}

#[test]
fn a_service_that_refuses_checksums_is_told_which_setting_helps() {
    let refusing = || {
        Patient::with_fault(Fault::on(Operation::Put, FaultKind::RefusedChecksumHeader).always())
    };
    let patient = refusing();
    let diagnosis = patient.diagnosis();
    diagnosis.is(&plain_and(&[
        ("put", "failure"),
        ("storage class", "failure"),
    ]));
    diagnosis.says("put", "set `checksum` of this store to \"md5\"");
    patient.is_as_before();
    let patient = refusing().told("", "checksum = \"md5\"\n");
    let diagnosis = patient.diagnosis();
    diagnosis.is(&PLAIN);
    assert!(!diagnosis.findings.contains_key("checksum"));
}

#[test]
fn a_lock_that_the_bucket_can_t_hold_is_a_failure() {
    let patient = Patient::new(S3Server::new()).told("", "object_lock = \"compliance\"\n");
    let diagnosis = patient.diagnosis();
    diagnosis.is(&[("object lock", "failure"), ("versioning", "warning")]);
    diagnosis.says("object lock", "was not made with Object Lock");
    patient.is_as_before();
}

#[test]
fn a_bucket_that_locks_by_default_keeps_the_try_and_that_is_no_failure() {
    let patient = Patient::with_bucket(Bucket::new(BUCKET).locking(Locking::ByDefault {
        mode: "COMPLIANCE".to_owned(),
        days: 1,
    }));
    let diagnosis = patient.diagnosis();
    diagnosis.is(&[]);
    diagnosis.says(
        "delete",
        "the bucket's own lock holds every new object; left: home/",
    );
    assert_eq!(
        patient.left(),
        ["laptop/home/ledger", "laptop/home/segment"]
    );
}

#[test]
fn a_rule_that_expires_archives_is_a_failure_and_one_elsewhere_is_not() {
    let rule = |prefix: &str| {
        format!(
            "<LifecycleConfiguration><Rule><ID>tidy</ID><Status>Enabled</Status>\
             <Filter><Prefix>{prefix}</Prefix></Filter>\
             <Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>"
        )
    };
    for prefix in ["", "lap", "laptop/home/"] {
        let patient = Patient::with_bucket(Bucket::new(BUCKET).lifecycle(&rule(prefix)));
        let diagnosis = patient.diagnosis();
        diagnosis.is(&plain_and(&[("lifecycle", "failure")]));
        diagnosis.says("lifecycle", "(tidy)");
    }
    for prefix in ["logs/", "laptop2/"] {
        let patient = Patient::with_bucket(Bucket::new(BUCKET).lifecycle(&rule(prefix)));
        patient.diagnosis().is(&PLAIN);
    }
}

#[test]
fn a_rule_that_makes_archives_cold_is_a_failure() {
    for (class, verdict, text) in [
        ("GLACIER", "failure", "into a cold class (tidy)"),
        ("DEEP_ARCHIVE", "failure", "into a cold class (tidy)"),
        ("INTELLIGENT_TIERING", "warning", "archive tiers"),
        ("GLACIER_IR", "fine", "no rule"),
    ] {
        let rule = format!(
            "<LifecycleConfiguration><Rule><ID>tidy</ID><Status>Enabled</Status>\
             <Filter><Prefix>laptop/</Prefix></Filter><Transition><Days>3</Days>\
             <StorageClass>{class}</StorageClass></Transition></Rule></LifecycleConfiguration>"
        );
        let patient = Patient::with_bucket(Bucket::new(BUCKET).lifecycle(&rule));
        let diagnosis = patient.diagnosis();
        match verdict {
            "fine" => diagnosis.is(&PLAIN),
            verdict => diagnosis.is(&plain_and(&[("lifecycle", verdict)])),
        }
        diagnosis.says("lifecycle", text);
    }
}

#[test]
fn a_cold_class_that_can_t_be_thawed_is_a_failure_and_one_that_may_not_be_is_none() {
    let patient = Patient::with_mode(Mode::NoThaws);
    let diagnosis = patient.diagnosis();
    diagnosis.is(&plain_and(&[("thaw", "failure")]));
    diagnosis.says("thaw", "405 MethodNotAllowed");
    diagnosis.says("thaw", "set another `storage_class`");
    patient.is_as_before();
    for (fault, verdict) in [
        (FaultKind::Status(501), "failure"),
        (FaultKind::AccessDenied, "unknown"),
    ] {
        let patient = Patient::with_fault(Fault::on(Operation::Restore, fault).always());
        patient.diagnosis().is(&plain_and(&[("thaw", verdict)]));
        patient.is_as_before();
    }
}

#[test]
fn credentials_that_can_t_delete_are_good_if_somebody_else_prunes() {
    let denied =
        || Patient::with_fault(Fault::on(Operation::Delete, FaultKind::AccessDenied).always());
    let patient = denied().told("prune = \"elsewhere\"\n", "");
    let diagnosis = patient.diagnosis();
    diagnosis.is(&PLAIN);
    diagnosis.says(
        "delete",
        "these credentials can't delete: good for `prune = \"elsewhere\"`",
    );
    diagnosis.says("delete", "-segment");
    assert_eq!(
        patient.left(),
        ["laptop/home/ledger", "laptop/home/segment"]
    );

    let diagnosis = denied().diagnosis();
    diagnosis.is(&plain_and(&[("prune", "warning")]));
    diagnosis.says("prune", "expired archives would stay");

    let patient = Patient::new(S3Server::new()).told("prune = \"elsewhere\"\n", "");
    let diagnosis = patient.diagnosis();
    diagnosis.is(&plain_and(&[("prune", "warning")]));
    diagnosis.says("prune", "remove that permission from them");
    patient.is_as_before();
}

#[test]
fn a_step_that_fails_ends_neither_the_others_nor_the_clean_up() {
    for (operation, failing) in [
        (Operation::Put, &["put", "storage class"][..]),
        (Operation::Get, &["put if absent", "range", "read"]),
        (Operation::List, &["list"]),
    ] {
        let patient = Patient::with_fault(Fault::on(operation, FaultKind::AccessDenied).always());
        let failing: Vec<_> = failing
            .iter()
            .map(|subject| (*subject, "failure"))
            .collect();
        let diagnosis = patient.diagnosis();
        diagnosis.is(&plain_and(&failing));
        diagnosis.says(failing[0].0, "see docs/aws.md for the permission");
        patient.is_as_before();
    }
}

#[test]
fn what_may_not_be_asked_is_unknown_and_no_failure() {
    // The bucket itself may be asked for: it is, at first and for each object that is not there.
    let fault = Fault::on(Operation::Other, FaultKind::AccessDenied);
    let patient = Patient::with_fault(fault.skip(4).always());
    patient.diagnosis().is(&[
        ("lifecycle", "unknown"),
        ("object lock", "unknown"),
        ("versioning", "unknown"),
    ]);
    patient.is_as_before();
}

#[test]
fn clocks_that_are_apart_are_a_warning() {
    for (ahead, text) in [
        (
            TimeDelta::minutes(20),
            "a signature is valid for only 15 minutes",
        ),
        (TimeDelta::days(3), "no archive is retired"),
    ] {
        let patient = Patient::new(S3Server::new());
        patient.server.clock().advance(ahead);
        let diagnosis = patient.diagnosis();
        diagnosis.is(&plain_and(&[("clock", "warning")]));
        diagnosis.says("clock", text);
    }
    // One that minds refuses the first question; what follows is dated by its clock.
    let patient = Patient::with_mode(Mode::CheckSkew);
    patient.server.clock().advance(TimeDelta::minutes(20));
    let diagnosis = patient.diagnosis();
    diagnosis.is(&plain_and(&[("clock", "warning")]));
}

#[test]
fn a_store_that_can_t_be_used_at_all_is_one_failure_that_says_why() {
    let wrong_region = Config {
        region: "eu-central-1".to_owned(),
        ..Config::default()
    };
    let moved = Config {
        moved_to: Some("eu-central-1".to_owned()),
        ..Config::default()
    };
    let nothing = Config {
        buckets: Vec::new(),
        ..Config::default()
    };
    for (config, text) in [
        (wrong_region, "the bucket is in eu-central-1"),
        (moved, "the bucket is in eu-central-1"),
        (nothing, "the bucket does not exist"),
    ] {
        let patient = Patient::of(config);
        let diagnosis = patient.diagnosis();
        diagnosis.is(&[("reach", "failure")]);
        diagnosis.says("reach", text);
    }
    let patient = Patient::new(S3Server::new());
    let diagnosis = diagnosis_as(&patient.machine, ("AKIANOBODY", SECRET_KEY));
    diagnosis.is(&[("reach", "failure")]);
    diagnosis.says("reach", "InvalidAccessKeyId");
    diagnosis.says(
        "reach",
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    );
    let patient = Patient::with_fault(Fault::on_any(FaultKind::HtmlAnswer).always());
    let diagnosis = patient.diagnosis();
    diagnosis.is(&[("reach", "failure")]);
    diagnosis.says("reach", "the service that answers there is not S3");
}

#[test]
fn a_store_that_does_not_answer_is_given_up_soon() {
    let machine = Machine::new();
    // Nothing listens there any more.
    let endpoint = S3Server::new().endpoint();
    machine.write_config(&CONFIG.replace("$E", &endpoint));
    let began = Instant::now();
    let found = diagnosis(&machine);
    assert!(began.elapsed() < Duration::from_secs(20));
    found.is(&[("reach", "failure")]);
    found.says("reach", "the store is not available");
}

#[test]
fn a_store_that_stops_answering_is_not_asked_for_the_rest() {
    let fault = Fault::on(Operation::Put, FaultKind::SlowDown { retry_after: None });
    let patient = Patient::with_fault(fault.always());
    let diagnosis = patient.diagnosis();
    diagnosis.is(&[("put", "failure")]);
    assert!(!diagnosis.findings.contains_key("storage class"));
    assert!(!diagnosis.findings.contains_key("lifecycle"));
}

#[test]
fn a_directory_is_tried_as_well() {
    let machine = Machine::new();
    let config = CONFIG.replace("$E", "http://127.0.0.1:1");
    let (before, _) = config.split_once("[store.cloud]").unwrap();
    let config = format!(
        "{before}[store.cloud]\ntype = \"dir\"\npath = \"$T/store\"\n\n[store.unused]\n\
         type = \"dir\"\npath = \"/nonexistent\"\n"
    );
    machine.write_config(&config);
    about_store(run(&machine, "doctor --quiet")).is(
        1,
        "cloud: file://$T/store
  FAIL  reach  could not open file://$T/store: the store's directory does not exist; mount it; for a new store, run `coldchain init`, which makes it
1 store: 0 fine, 0 unknown, 0 warned of, 1 failed
",
        "error: 1 failure found\nhint: fix each failure above, then run `coldchain doctor` again\n",
    );
    std::fs::create_dir(machine.path("store")).unwrap();
    let before = machine.standing();
    about_store(run(&machine, "doctor --quiet")).is(
        0,
        "cloud: file://$T/store
  ok    reach          it answers
  ok    clock          it differs from this machine's by less than a minute
  ok    put            an object can be stored
  ok    put if absent  an existing object is not replaced
  ok    read           what was stored comes back
  ok    range          a part of an object can be read
  ok    list           a listing shows what was just stored
  ok    delete         an object can be deleted
1 store: 8 fine, 0 unknown, 0 warned of, 0 failed
",
        "",
    );
    assert_eq!(machine.standing(), before);
}

/// Buckets on a server that other people wrote: a plain one, one with versions, and one that locks;
/// and what is found amiss with each.
fn buckets_of(server: Option<&'static Server>, expected: [&[(&str, &str)]; 3]) {
    let Some(server) = server else {
        return;
    };
    let machine = Machine::new();
    let kinds = [
        (ObjectLock::Off, Versioning::Off),
        (ObjectLock::Off, Versioning::On),
        (ObjectLock::On, Versioning::On),
    ];
    for ((lock, versioning), expected) in kinds.into_iter().zip(expected) {
        let bucket = server.new_bucket(lock, versioning);
        let mut config = CONFIG
            .replace("$E", server.endpoint())
            .replace("bucket = \"archive\"", &format!("bucket = \"{bucket}\""))
            .replace("\"2s\"", "\"30s\"");
        if lock == ObjectLock::On {
            config = config.replace("prefix =", "object_lock = \"governance\"\nprefix =");
        }
        machine.write_config(&config);
        let found = diagnosis_as(&machine, (server.access_key(), server.secret_key()));
        found.is(expected);
        let left = server.request("GET", &format!("/{bucket}?versions"), &[], b"");
        let left = String::from_utf8_lossy(&left.body).into_owned();
        assert!(!left.contains("coldchain-doctor"), "{left}");
    }
}

#[test]
fn buckets_of_seaweedfs_are_good() {
    // It takes every class, and reads what lies in it without a thaw.
    let no_thaw = ("thaw", "failure");
    buckets_of(
        Weed::shared(),
        [
            &[PLAIN[0], no_thaw, PLAIN[1]],
            &[PLAIN[0], no_thaw],
            &[no_thaw],
        ],
    );
}

#[test]
fn buckets_of_moto_are_good() {
    // What it answers about versions, the client can't read.
    let versions = ("versioning", "unknown");
    buckets_of(
        Moto::shared(),
        [&[PLAIN[0], versions], &[PLAIN[0], versions], &[versions]],
    );
}
