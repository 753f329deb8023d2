//! A bucket that is not there, not ours, or not what the config says: the message, the exit code,
//! and that nothing is written.

mod common;

use std::net::TcpListener;

use common::bucket::write_credentials;
use common::machine::{Machine, fed_config};
use common::s3_server::{
    ACCESS_KEY, BUCKET, Bucket, Config, Fault, FaultKind, Operation, S3Server, SECRET_KEY,
};
use common::stream_builder::StreamBuilder;

/// Keys of the store's table, and what stands there instead; empty for nothing.
type Lines<'l> = &'l [(&'l str, &'l str)];

/// A config with a bucket of that server as its store, and these lines instead of or beside.
fn config(endpoint: &str, lines: Lines<'_>) -> String {
    let mut keys = vec![
        ("type", "\"s3\"".to_owned()),
        ("bucket", format!("\"{BUCKET}\"")),
        ("prefix", "\"some/prefix\"".to_owned()),
        ("region", "\"us-east-1\"".to_owned()),
        ("endpoint", format!("\"{endpoint}\"")),
        ("credentials_file", "\"$T/credentials\"".to_owned()),
        ("give_up_after", "\"2s\"".to_owned()),
    ];
    for (key, value) in lines {
        keys.retain(|(other, _)| other != key);
        if !value.is_empty() {
            keys.push((key, (*value).to_owned()));
        }
    }
    let table: String = keys.iter().fold(String::new(), |text, (key, value)| {
        text + key + " = " + value + "\n"
    });
    fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &table)
}

/// What the first archive of a source says whose store is another than `init` has seen.
const NOT_IN_KIT: &str = "warning: home: no recovery kit was told of its ledger, and none would find it again: \
                          run `coldchain key kit`\n";

/// A machine that was set up with a directory, so that only its store is wrong.
fn machine() -> Machine {
    let machine = Machine::fed(None);
    std::fs::remove_file(machine.path("state/catalog.db")).unwrap();
    write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
    machine
}

fn stream() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"2024-01-01", [7; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, b"hello")
        .finish()
}

/// What the program says to a stream for that store: exit code, and stderr with `$E` for the
/// endpoint and without the numbers of requests.
fn said(machine: &Machine, endpoint: &str, lines: Lines<'_>) -> (Option<i32>, String) {
    machine.write_config(&config(endpoint, lines));
    let mut command = machine.command("decide 2024-01-01");
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", machine.path("nobody"))
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let input = machine.path("stream");
    std::fs::write(&input, stream()).unwrap();
    command.stdin(std::fs::File::open(&input).unwrap());
    let run = machine.run_command(&mut command);
    let mut text = run.stderr.replace(endpoint, "$E");
    while let Some((before, after)) = text.split_once(" (request ") {
        let (_, after) = after.split_once(')').unwrap();
        text = format!("{before}{after}");
    }
    (run.code, text)
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_and_nothing_is_written() {
    let server = S3Server::new();
    let endpoint = server.endpoint();
    let machine = machine();
    let cases: &[(Lines<'_>, i32, &str)] = &[
        (
            &[("bucket", "\"my-archive\"")],
            1,
            "error: could not list home/ledger/ in s3://my-archive/some/prefix?endpoint=$E: the bucket does not exist\n\
             caused by: it answered 404 NoSuchBucket: The specified bucket does not exist\n\
             hint: waiting does not help: check bucket, region and endpoint, or make the bucket\n",
        ),
        (
            &[("region", "\"eu-central-1\"")],
            1,
            "error: could not list home/ledger/ in s3://archive/some/prefix?endpoint=$E: the bucket is in another region\n\
             caused by: it answered 400 AuthorizationHeaderMalformed: The authorization header is malformed; the region 'eu-central-1' is wrong; expecting 'us-east-1'; the bucket is in us-east-1\n\
             hint: set `region` of this store; waiting does not help\n",
        ),
        (
            &[("credentials_file", "")],
            1,
            "error: could not list home/ledger/ in s3://archive/some/prefix?endpoint=$E: there are no credentials that it knows\n\
             caused by: none are in the environment, in profile files, or with an identity of this machine\n\
             hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile`; see docs/aws.md\n",
        ),
        (
            &[("storage_class", "\"DEEP_ARCHIV\"")],
            2,
            "error: $T/config.toml:19: unknown storage class `DEEP_ARCHIV`, did you mean `DEEP_ARCHIVE`?\n\
             hint: known: `STANDARD`, `STANDARD_IA`, `ONEZONE_IA`, `GLACIER_IR`, `GLACIER`, `DEEP_ARCHIVE`\n",
        ),
        (
            &[("prefix", "\"a b/../ü\"")],
            2,
            "error: $T/config.toml:18: `store.disk.prefix` must be a key prefix of A-Z, a-z, 0-9, `.`, `_`, `-`, its parts joined by `/`, none at its ends, found the string \"a b/../ü\"\n",
        ),
        (
            &[("bucket", "\"My_Archive\""), ("endpoint", "")],
            2,
            "error: $T/config.toml:17: `store.disk.bucket` must be a bucket's name: 3 to 63 of a-z, 0-9, `.` and `-`, the first and last no `.` or `-`, found the string \"My_Archive\"\n",
        ),
        (
            &[("bucket", "\"tenant:My_Archive\""), ("path_style", "false")],
            2,
            "error: $T/config.toml:19: `store.disk.path_style` must be true or left out: no host can have the bucket's name, found false\n",
        ),
        (
            &[("bucket", "\"-archive\"")],
            2,
            "error: $T/config.toml:18: `store.disk.bucket` must be a bucket's name: 3 to 255 of A-Z, a-z, 0-9, `.`, `_`, `:` and `-`, the first and last a letter or digit, found the string \"-archive\"\n",
        ),
        (
            &[("object_lock", "\"governance\"")],
            2,
            "error: $T/config.toml:9: store `disk` locks objects, and this source has no `max_chain_days`\n",
        ),
        (
            &[("endpoint", "\"archive.example.org\"")],
            2,
            "error: $T/config.toml:18: `store.disk.endpoint` must be a URL that begins with https:// or http:// and names a host, found the string \"archive.example.org\"\n",
        ),
    ];
    for (lines, code, expected) in cases {
        let (got, text) = said(&machine, &endpoint, lines);
        assert_eq!((got, text.as_str()), (Some(*code), *expected));
    }
    assert!(server.objects(BUCKET).is_empty());
}

#[test]
fn a_bucket_may_be_called_as_its_service_lets_it_be() {
    for bucket in ["tenant:archive", "My_Archive", "Laptop.Archive-2", "a:b:c"] {
        let server = S3Server::start(Config::with_bucket(Bucket::new(bucket)));
        let name = format!("\"{bucket}\"");
        let machine = machine();
        let (code, text) = said(&machine, &server.endpoint(), &[("bucket", &name)]);
        assert_eq!((code, text.as_str()), (Some(0), NOT_IN_KIT));
        assert_eq!(server.objects(bucket).len(), 5);
        // The address that the catalog has leads there.
        let listed = machine.run("list");
        let place = format!(
            "home  s3://{bucket}/some/prefix?endpoint={}  ",
            server.endpoint()
        );
        assert!(listed.stdout.starts_with(&place), "{listed:?}");
    }
}

#[test]
fn an_endpoint_where_nobody_listens_is_given_up_soon() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let (code, text) = said(&machine(), &endpoint, &[]);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("error: could not list home/ledger/ in s3://archive/some/prefix?endpoint=$E: the store is not available\ncaused by: "),
        "{text}"
    );
    assert!(text.contains("times in"), "{text}");
    assert!(
        text.ends_with("hint: waiting helps: nothing is lost, run the same command again later\n"),
        "{text}"
    );
}

#[test]
fn a_backup_needs_no_permission_to_delete() {
    let server = S3Server::new();
    server.fail(Fault::on(Operation::Delete, FaultKind::AccessDenied).always());
    let (code, text) = said(&machine(), &server.endpoint(), &[]);
    assert_eq!((code, text.as_str()), (Some(0), NOT_IN_KIT));
    assert_eq!(
        server.objects(BUCKET).len(),
        5,
        "signpost, key, segment, two entries"
    );
}

#[test]
fn a_ledger_that_another_key_opened_is_left_alone() {
    let server = S3Server::start(Config::with_bucket(Bucket::new(BUCKET)));
    let endpoint = server.endpoint();
    let (code, text) = said(&machine(), &endpoint, &[]);
    assert_eq!((code, text.as_str()), (Some(0), NOT_IN_KIT));
    let before = server.put_counts(BUCKET);
    let (code, text) = said(&machine(), &endpoint, &[]);
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("ledger"), "{text}");
    assert_eq!(server.put_counts(BUCKET), before);
}
