//! Answers of an S3 service: any status, headers and body, or any bytes at all, to each operation of the
//! store. They come from a socket of this machine, so the SDK reads them as it reads a service's.
//!
//! A listing is sorted, and has only keys in it that begin as was asked. What was asked for in so many bytes has so many, or is an
//! error. Every failure can be said.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::IntoRawFd as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use coldchain::model::{Sha256, Tier};
use coldchain::store::{
    Addressing, Deleted, LockMode, NewObject, ObjectKind, RetryPolicy, S3Settings, S3Store, Store,
    StoreError, ThawRequest, is_key,
};

use super::Outcome;
use super::input::{Input, seed};

const LIST: u8 = 0;
const STAT: u8 = 1;
const READABILITY: u8 = 2;
const GET: u8 = 3;
const GET_RANGE: u8 = 4;
const DELETE: u8 = 5;
const THAW: u8 = 6;
const NOW: u8 = 7;
const EXAMINE: u8 = 8;
const PUT: u8 = 9;
const OPERATIONS: u8 = 10;

const KEY: &str = "home/ledger/00000001.entry";
const MOST: u64 = 64 << 10;

/// What a service answers, one after the other; the last one to all that is asked after it.
#[derive(Default)]
struct Script {
    answers: Vec<Answer>,
    given: usize,
}

#[derive(Clone)]
enum Answer {
    Http {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// Not even HTTP, maybe; then the connection ends.
    Bytes(Vec<u8>),
}

/// A server that says what it is told to, and the store that asks it.
struct Service {
    script: Arc<Mutex<Script>>,
    store: S3Store<'static>,
}

fn service() -> &'static Service {
    static SERVICE: LazyLock<Service> = LazyLock::new(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let script = Arc::new(Mutex::new(Script::default()));
        let told = Arc::clone(&script);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let script = Arc::clone(&told);
                // It fails when the client has had enough.
                thread::spawn(move || serve(connection, &script).ok());
            }
        });
        Service {
            script,
            store: store(&format!("http://{address}")),
        }
    });
    &SERVICE
}

fn store(endpoint: &str) -> S3Store<'static> {
    let mut credentials = tempfile::tempfile().expect("a temporary file can be made");
    credentials
        .write_all(b"[default]\naws_access_key_id = fuzz\naws_secret_access_key = fuzz\n")
        .expect("it can be written");
    // It stays open, without a name: an answer that they have expired has them read again.
    let path = format!("/proc/self/fd/{}", credentials.into_raw_fd());
    let settings = S3Settings {
        endpoint: Some(endpoint.to_owned()),
        addressing: Addressing::Path,
        region: Some("us-east-1".to_owned()),
        credentials_file: Some(path.into()),
        object_lock: Some(LockMode::Governance),
        patience: RetryPolicy {
            give_up_after: Duration::ZERO,
            // What was announced and does not come; the server itself always goes on.
            stall: Duration::from_secs(2),
            ..RetryPolicy::default()
        },
        ..S3Settings::new("my-archives", "some/prefix")
    };
    S3Store::open(settings, Box::new(|_| {})).expect("it opens")
}

fn serve(mut connection: TcpStream, script: &Mutex<Script>) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_head = line.starts_with("HEAD ");
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        reader.by_ref().take(length).read_to_end(&mut Vec::new())?;
        let answer = {
            let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
            script.given += 1;
            let at = script.given.min(script.answers.len());
            at.checked_sub(1).map(|at| script.answers[at].clone())
        };
        match answer {
            Some(Answer::Http {
                status,
                headers,
                body,
            }) => {
                let mut head = format!("HTTP/1.1 {status} Answer\r\n{headers}");
                let says_length = headers.contains("content-length:");
                if !says_length {
                    write!(head, "content-length: {}\r\n", body.len()).expect("a string takes it");
                }
                head += "\r\n";
                let mut bytes = head.into_bytes();
                if !is_head {
                    bytes.extend(body);
                }
                connection.write_all(&bytes)?;
                if says_length {
                    return connection.shutdown(Shutdown::Both);
                }
            }
            Some(Answer::Bytes(bytes)) => {
                connection.write_all(&bytes)?;
                return connection.shutdown(Shutdown::Both);
            }
            None => return Ok(()),
        }
    }
}

const STATUS: [u16; 16] = [
    200, 200, 200, 206, 204, 301, 307, 400, 403, 404, 409, 412, 416, 500, 501, 503,
];

/// A header for each bit of a choice. Where it has no value here, the input has one.
const HEADERS: [(&str, Option<&str>); 16] = [
    ("etag", Some("\"abc\"")),
    ("content-type", Some("application/xml")),
    ("x-amz-version-id", None),
    ("last-modified", None),
    ("x-amz-restore", None),
    ("x-amz-checksum-sha256", None),
    ("x-amz-storage-class", None),
    ("x-amz-delete-marker", Some("true")),
    ("content-range", None),
    ("retry-after", None),
    ("x-amz-object-lock-retain-until-date", None),
    ("date", None),
    ("x-amz-bucket-region", None),
    ("content-length", None),
    ("x-amz-request-id", None),
    ("x-amz-checksum-type", None),
];

fn answer(input: &mut Input<'_>, is_last: bool) -> Answer {
    let choice = input.byte();
    if choice & 0xf0 == 0xf0 {
        let bytes = if is_last { input.rest() } else { input.long() };
        return Answer::Bytes(bytes.to_vec());
    }
    let wanted = input.u16();
    let mut headers = String::new();
    for (bit, (name, value)) in HEADERS.iter().enumerate() {
        if wanted & 1 << bit == 0 {
            continue;
        }
        let value = value.map_or_else(|| printable(input.short()), str::to_owned);
        write!(headers, "{name}: {value}\r\n").expect("a string takes it");
    }
    let body = if is_last { input.rest() } else { input.long() };
    Answer::Http {
        status: STATUS[usize::from(choice % 16)],
        headers,
        body: body.to_vec(),
    }
}

fn printable(bytes: &[u8]) -> String {
    let printable = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    bytes.iter().map(printable).collect()
}

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let operation = input.byte() % OPERATIONS;
    let count = 1 + input.byte() % 4;
    let answers = (1..=count)
        .map(|at| answer(&mut input, at == count))
        .collect();
    let service = service();
    *service
        .script
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Script { answers, given: 0 };
    let asked = ask(&service.store, operation);
    if let Err(error) = &asked {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            assert!(!error.to_string().is_empty());
            cause = error.source();
        }
    }
    Outcome::of(&asked)
}

fn ask(store: &S3Store<'_>, operation: u8) -> Result<(), StoreError> {
    let at = store.locate(KEY);
    match operation {
        LIST => {
            let listed = store.list("home/ledger/")?;
            assert!(listed.is_sorted_by(|one, next| one.key <= next.key));
            for object in listed {
                assert!(is_key(&object.key), "{}", object.key);
                assert!(object.key.starts_with("home/ledger/"), "{}", object.key);
            }
        }
        STAT => {
            store.stat(&at)?;
        }
        READABILITY => {
            store.readability(&at)?;
        }
        GET => assert!(store.get(&at, MOST)?.len() as u64 <= MOST),
        GET_RANGE => assert_eq!(store.get_range(&at, 3, 7)?.len(), 7),
        DELETE => {
            if let Deleted::Retained { until } = store.delete(&at)? {
                assert!(!until.to_string().is_empty());
            }
        }
        THAW => {
            let tier = Tier::Bulk;
            store.thaw(&at, ThawRequest { tier, days: 3 })?;
        }
        NOW => {
            store.now()?;
        }
        EXAMINE => {
            for finding in store.examine()? {
                assert!(!format!("{finding:?}").is_empty());
            }
        }
        _ => {
            let mut object =
                NewObject::new(KEY, &b"entry"[..], Sha256::of(b"entry"), ObjectKind::Ledger);
            object.retain_until = "2027-02-19T03:00:07Z".parse().ok();
            store.put_if_absent(&object)?;
        }
    }
    Ok(())
}

/// What the last page of a listing says.
const LAST: &str = "<IsTruncated>false</IsTruncated>";

fn listing(more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>my-archives</Name>\
         <Prefix>some/prefix/home/ledger/</Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>\
         <EncodingType>url</EncodingType>{more}\
         <Contents><Key>some%2Fprefix%2Fhome%2Fledger%2F00000002.entry</Key>\
         <LastModified>2026-11-21T03:00:07.000Z</LastModified><ETag>&quot;abc&quot;</ETag>\
         <Size>1234</Size><StorageClass>STANDARD</StorageClass></Contents>\
         <Contents><Key>some/prefix/home/ledger/00000001.entry</Key>\
         <LastModified>2026-11-21T03:00:07.000Z</LastModified><Size>9</Size>\
         <StorageClass>DEEP_ARCHIVE</StorageClass></Contents></ListBucketResult>"
    )
}

fn error(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>Why &lt;not&gt;</Message>\
         <Key>k</Key><RequestId>4442587FB7D0A2F9</RequestId><HostId>h</HostId></Error>"
    )
}

/// One answer to an operation.
fn one(operation: u8, status: u8, headers: &[(u16, &str)], body: &str) -> Vec<u8> {
    seed(&[operation, 0], &scripted(status, headers, body))
}

/// Headers by their bits, in order; those with a value of their own take none.
fn scripted(status: u8, headers: &[(u16, &str)], body: &str) -> Vec<u8> {
    let wanted = headers.iter().fold(0, |wanted, (bit, _)| wanted | 1 << bit);
    let mut bytes = vec![status];
    bytes.extend(u16::to_le_bytes(wanted));
    for (bit, value) in headers {
        if HEADERS[usize::from(*bit)].1.is_none() {
            bytes.push(u8::try_from(value.len()).expect("a value is short"));
            bytes.extend(value.bytes());
        }
    }
    bytes.extend(body.bytes());
    bytes
}

pub fn seeds() -> Vec<Vec<u8>> {
    let modified = "Sat, 21 Nov 2026 03:00:07 GMT";
    let thawed = "ongoing-request=\"false\", expiry-date=\"Wed, 23 Dec 2126 00:00:00 GMT\"";
    let digest = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let object: &[(u16, &str)] = &[
        (0, ""),
        (2, "3sL4kqtJlcpXroDTDmJ"),
        (3, modified),
        (4, thawed),
        (5, digest),
        (6, "GLACIER"),
        (10, "2027-02-19T03:00:07Z"),
        (11, modified),
        (15, "FULL_OBJECT"),
    ];
    let versions = "<ListVersionsResult><Name>my-archives</Name><IsTruncated>false</IsTruncated>\
        <Version><Key>some%2Fprefix%2Fhome%2Fledger%2F00000001.entry</Key><VersionId>v1</VersionId>\
        <IsLatest>true</IsLatest><Size>9</Size></Version><DeleteMarker>\
        <Key>some/prefix/home/ledger/00000001.entry</Key><VersionId>v2</VersionId>\
        <IsLatest>false</IsLatest></DeleteMarker></ListVersionsResult>";
    let mut seeds = vec![
        one(LIST, 0, &[(1, "")], &listing(LAST)),
        one(STAT, 0, object, ""),
        one(READABILITY, 0, object, ""),
        one(GET, 0, &[(0, "")], "content"),
        one(GET_RANGE, 3, &[(0, ""), (8, "bytes 3-9/12")], "content"),
        one(DELETE, 4, &[(0, "")], ""),
        one(THAW, 0, &[], ""),
        one(NOW, 0, &[(11, modified)], ""),
        one(PUT, 11, &[], ""),
        one(
            EXAMINE,
            0,
            &[],
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        ),
        one(
            EXAMINE,
            0,
            &[],
            "<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>some</Prefix></Filter>\
             <Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>",
        ),
        one(
            EXAMINE,
            0,
            &[],
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
        ),
        one(
            LIST,
            0,
            &[],
            &listing(LAST).replace("2Fledger", "2Farchives"),
        ),
        // A lock that refuses, and a clock and times at the end of all time.
        one(NOW, 0, &[(11, "Mon, 31 Dec 262142 23:59:59 +0000")], ""),
        one(DELETE, 0, &[(0, ""), (2, "v1")], versions),
        seed(
            &[LIST, 0],
            &[
                &[0xf0][..],
                b"HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>",
                LAST.as_bytes(),
                b"</ListBucketResult>",
            ]
            .concat(),
        ),
    ];
    // Two pages.
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    let first = listing(more);
    let mut pages = vec![LIST, 1, 0, 0, 0];
    pages.extend(
        u16::try_from(first.len())
            .expect("a page is short")
            .to_le_bytes(),
    );
    pages.extend(first.bytes());
    pages.extend(scripted(0, &[], &listing(LAST)));
    seeds.push(pages);
    for (operation, status, code) in [
        (LIST, 9, "NoSuchBucket"),
        (GET, 8, "InvalidObjectState"),
        (GET, 7, "ExpiredToken"),
        (THAW, 10, "RestoreAlreadyInProgress"),
        (DELETE, 8, "AccessDenied"),
        (PUT, 15, "SlowDown"),
        (PUT, 7, "InvalidRequest"),
        (LIST, 0, "InternalError"),
    ] {
        let headers = [(9, "3"), (12, "eu-central-1"), (14, "4442587FB7D0A2F9")];
        seeds.push(one(operation, status, &headers, &error(code)));
    }
    seeds
}
