//! A bucket that is not there, not ours, or not what the config says: the message, the exit code,
//! and that nothing is written.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::common::answering::{answering, http};
use crate::common::fed_bucket::{Lines, machine, said};
use crate::common::s3_server::{BUCKET, Bucket, Config, Fault, FaultKind, Operation, S3Server};

/// What the first archive of a source says whose store is another than `init` has seen.
const NOT_IN_KIT: &str = "warning: home: no recovery kit names its ledger, so a restore on an empty machine would not find it: run `coldchain key kit`\n";

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
             hint: check bucket, region and endpoint, or make the bucket; waiting does not help\n",
        ),
        (
            &[("region", "\"eu-central-1\"")],
            2,
            "error: could not list home/ledger/ in s3://archive/some/prefix?endpoint=$E: the bucket is in another region\n\
             caused by: it answered 400 AuthorizationHeaderMalformed: The authorization header is malformed; the region 'eu-central-1' is wrong; expecting 'us-east-1'; the bucket is in us-east-1\n\
             hint: set `region` of this store; waiting does not help\n",
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
            "error: $T/config.toml:19: `store.disk.path_style` must be true or left out: the bucket's name cannot be the name of a host, found false\n",
        ),
        (
            &[("bucket", "\"-archive\"")],
            2,
            "error: $T/config.toml:18: `store.disk.bucket` must be a bucket's name: 3 to 255 of A-Z, a-z, 0-9, `.`, `_`, `:` and `-`, the first and last a letter or digit, found the string \"-archive\"\n",
        ),
        (
            &[("object_lock", "\"governance\"")],
            2,
            "error: $T/config.toml:9: store `disk` locks objects, so this source needs `max_chain_days`\n",
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
fn what_is_no_s3_service_is_told_as_that_at_once() {
    let machine = machine();
    let page = "<!DOCTYPE html>\n<html><body>Sign in<br></body></html>\n";
    let redirect = "HTTP/1.1 302 Found\r\nLocation: https://login.example.org/\r\nContent-Length: 0\r\n\
                    Connection: close\r\n\r\n";
    let elsewhere = "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n";
    let no_service = "the service that answers there is not S3";
    for (answer, kind, cause) in [
        (
            redirect.to_owned(),
            no_service,
            "it answered 302 and refers to https://login.example.org/",
        ),
        (
            redirect.replace("302 Found", "301 Moved"),
            no_service,
            "it answered 301 and refers to https://login.example.org/",
        ),
        (
            elsewhere.to_owned(),
            "the bucket is in another region",
            "it answered 301; the bucket is in eu-west-1",
        ),
        (
            http("200 OK", page),
            no_service,
            "it answered 200 with a web page",
        ),
        (
            http("404 Not Found", page),
            no_service,
            "it answered 404 with a web page",
        ),
        (
            http("200 OK", "{\"status\":\"ok\"}"),
            no_service,
            "it answered 200 with `{\"status\":\"ok\"}`",
        ),
        (
            http(
                "400 Bad Request",
                "Client sent an HTTP request to an HTTPS server.\n",
            ),
            no_service,
            "it answered 400 with `Client sent an HTTP request to an HTTPS server.`",
        ),
        (
            "SSH-2.0-OpenSSH_10.0\r\n".to_owned(),
            no_service,
            "it does not speak HTTP here: ",
        ),
    ] {
        let endpoint = answering(move |_| answer.clone());
        let began = Instant::now();
        let (code, text) = said(&machine, &endpoint, &[("give_up_after", "\"1h\"")]);
        let expected = format!(
            "error: could not list home/ledger/ in s3://archive/some/prefix?endpoint=$E: {kind}\n\
             caused by: {cause}"
        );
        assert_eq!(code, Some(2), "{text}");
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.ends_with("; waiting does not help\n"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
    }
}

#[test]
fn a_page_before_a_service_that_has_answered_is_waited_for() {
    let server = S3Server::new();
    server.fail(Fault::on(Operation::Put, FaultKind::GatewayPage(302)));
    let (code, text) = said(&machine(), &server.endpoint(), &[]);
    assert_eq!((code, text.as_str()), (Some(0), NOT_IN_KIT));
    assert_eq!(server.faults_struck(), 1);
}

#[test]
fn a_bucket_may_be_called_as_its_service_lets_it_be() {
    for bucket in ["tenant:archive", "My_Archive", "Laptop.Archive-2", "a:b:c"] {
        let server = S3Server::start(Config::with_bucket(Bucket::new(bucket)));
        let name = format!("\"{bucket}\"");
        let machine = machine();
        let (code, text) = said(&machine, &server.endpoint(), &[("bucket", &name)]);
        assert_eq!((code, text.as_str()), (Some(0), NOT_IN_KIT));
        assert_eq!(server.objects(bucket).len(), 6);
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
        text.ends_with("hint: run the same command again later; nothing is lost\n"),
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
        6,
        "signpost, key, segment, contents, two entries"
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
