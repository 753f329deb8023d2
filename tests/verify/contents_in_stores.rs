//! Contents that are made later where segments are cold or locked: in a bucket and in a vault.

use chrono::TimeDelta;

use crate::common::bucket::write_credentials;
use crate::common::fed_bucket;
use crate::common::is_segment;
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::s3_server::{BUCKET, Bucket, Config, Locking, Operation, S3Server};
use crate::common::vault_server::{self, ACCESS_KEY, SECRET_KEY, VaultServer};
use crate::common::whole::first_and_seventh;

/// Runs the program with words that follow each other, as a user does until it is done.
#[track_caller]
fn ends(machine: &Machine, words: &str, code: i32) -> Run {
    let mut command = machine.command(words);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let run = machine.run_command(&mut command);
    assert_eq!(run.code, Some(code), "{words}: {run:?}");
    run
}

/// Archives two dates with this line at the top of the config.
fn archive(machine: &Machine, line: &str, config: &str) {
    machine.write_config(&format!("{line}\n{config}"));
    for (date, stream) in ["2024-01-01", "2024-01-07"]
        .into_iter()
        .zip(first_and_seventh(100))
    {
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

fn is_contents(key: &str) -> bool {
    key.contains("/contents-")
}

/// How many requests for a thaw the bucket got.
fn thaws(server: &S3Server) -> usize {
    let requests = server.requests();
    let thaws = requests
        .iter()
        .filter(|one| one.operation == Operation::Restore);
    thaws.count()
}

#[test]
fn contents_of_cold_archives_are_made_after_a_thaw_that_is_asked_for_once() {
    let server = S3Server::new();
    let machine = fed_bucket::machine();
    let endpoint = server.endpoint();
    let cold = [("storage_class", "\"DEEP_ARCHIVE\"")];
    let config = fed_bucket::config(&endpoint, &cold);
    archive(&machine, "contents = false", &config);
    let contents = || -> Vec<String> {
        let objects = server.objects(BUCKET).into_iter();
        let contents = objects.filter(|(key, _)| is_contents(key));
        contents
            .map(|(key, version)| format!("{key} {}", version.storage_class))
            .collect()
    };
    let plan = ends(&machine, "index --plan", 0);
    assert!(plan.stdout.contains("of which 2 cold"), "{plan:?}");
    let run = ends(&machine, "index --identity $T/kit", 5);
    assert!(run.stderr.contains("add --thaw"), "{run:?}");
    assert_eq!(thaws(&server), 0);

    let thaw = "index --thaw --yes --identity $T/kit";
    let run = ends(&machine, thaw, 5);
    assert!(run.stdout.contains("2 cold"), "{run:?}");
    ends(&machine, thaw, 5);
    assert_eq!((thaws(&server), contents().len()), (2, 0));
    server.clock().advance(TimeDelta::hours(13));
    let run = ends(&machine, thaw, 0);
    assert!(
        run.stdout.contains("made the contents of 2 archives"),
        "{run:?}"
    );
    let made = contents();
    assert_eq!(made.len(), 2);
    assert!(
        made.iter().all(|object| object.ends_with(" STANDARD")),
        "{made:?}"
    );
    let ls = ends(&machine, "ls home:", 0);
    assert!(ls.stdout.contains("a file"), "{ls:?}");
    ends(&machine, thaw, 0);
    assert_eq!((thaws(&server), contents()), (2, made.clone()));

    // What is lost is made again, also from what is cold.
    let (lost, _) = made[0].split_once(' ').unwrap();
    server.lose(BUCKET, lost);
    server.clock().advance(TimeDelta::days(30));
    ends(&machine, "index --identity $T/kit", 5);
    ends(&machine, thaw, 5);
    assert_eq!(thaws(&server), 3);
    server.clock().advance(TimeDelta::hours(13));
    ends(&machine, thaw, 0);
    let again = contents();
    assert_eq!(again.len(), 2);
    assert!(!again[0].starts_with(lost));
    ends(&machine, "verify", 0);
}

#[test]
fn contents_are_locked_as_long_as_their_segments() {
    let bucket = Bucket::new(BUCKET).locking(Locking::On);
    let server = S3Server::start(Config::with_bucket(bucket));
    let machine = fed_bucket::machine();
    let endpoint = server.endpoint();
    let locked = [("object_lock", "\"governance\"")];
    let config = fed_bucket::config(&endpoint, &locked);
    // So long that a chain of 2024 is still locked.
    let config = format!("{config}\n[schedule]\nmax_chain_days = 36500\n");
    archive(&machine, "contents = true", &config);
    let locks = |of: &dyn Fn(&str) -> bool| -> Vec<String> {
        let objects = server.objects(BUCKET).into_iter();
        let of = objects.filter(|(key, _)| of(key));
        of.map(|(_, version)| format!("{:?}", version.lock))
            .collect()
    };
    let of_segments = locks(&|key| is_segment(key));
    assert_eq!(of_segments.len(), 2);
    assert!(of_segments.iter().all(|lock| lock != "None"));
    assert_eq!(locks(&is_contents), of_segments);

    // Contents that are made again are locked alike.
    for key in server
        .objects(BUCKET)
        .into_keys()
        .filter(|key| is_contents(key))
    {
        server.lose(BUCKET, &key);
    }
    ends(&machine, "index --identity $T/kit", 0);
    assert_eq!(locks(&is_contents), of_segments);
    ends(&machine, "verify", 0);
}

#[test]
fn contents_of_archives_in_a_vault_are_in_the_ledger_store() {
    let server = VaultServer::new();
    let machine = Machine::new();
    write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
    let vault = server.store_table(
        "ledger_store = \"ledger\"\ncredentials_file = \"$T/credentials\"\ngive_up_after = \"4s\"\n\n\
         [store.ledger]\ntype = \"dir\"\npath = \"$T/ledger\"\n",
    );
    let config = fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &vault);
    machine.write_config(&format!("contents = false\n{config}"));
    let run = machine.run("init --kit $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    archive(&machine, "contents = false", &config);
    let in_vault = server.archives().len();
    assert_eq!(in_vault, 2);
    let contents = || {
        let mut objects = Vec::new();
        for archive in std::fs::read_dir(machine.path("ledger/home/archives")).unwrap() {
            let names = std::fs::read_dir(archive.unwrap().path()).unwrap();
            objects.extend(names.map(|name| name.unwrap().path()));
        }
        objects.retain(|path| is_contents(&path.to_string_lossy()));
        objects.sort();
        objects
    };
    ends(&machine, "index --identity $T/kit", 5);
    let jobs = || server.count(vault_server::Operation::InitiateJob);
    assert_eq!(jobs(), 0);
    let thaw = "index --thaw --yes --identity $T/kit";
    ends(&machine, thaw, 5);
    ends(&machine, thaw, 5);
    assert_eq!((jobs(), contents().len()), (2, 0));
    server.clock().advance(TimeDelta::hours(6));
    ends(&machine, thaw, 0);
    assert_eq!(contents().len(), 2);
    let ls = ends(&machine, "ls home:", 0);
    assert!(ls.stdout.contains("a file"), "{ls:?}");

    // A backup stores them there at once.
    machine.write_config(&format!("contents = true\n{config}"));
    let stream = crate::common::stream_builder::StreamBuilder::header(1)
        .snapshot(b"2024-01-14", [14; 16], 10, [7; 16], 10)
        .write(b"a file", 0, b"later")
        .finish();
    let run = machine.run_with("decide 2024-01-14", &stream);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        (contents().len(), server.archives().len()),
        (3, in_vault + 1)
    );
    // Lost ones are made again after another retrieval, and only of that archive.
    std::fs::remove_file(&contents()[0]).unwrap();
    let before = jobs();
    server.clock().advance(TimeDelta::hours(48));
    ends(&machine, thaw, 5);
    assert_eq!(jobs() - before, 1, "{:?}", server.jobs());
    server.clock().advance(TimeDelta::hours(6));
    ends(&machine, thaw, 0);
    assert_eq!(contents().len(), 3);
}
