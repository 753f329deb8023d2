//! The S3 server of the other tests does what they rely on, as seen on the wire.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};

use crate::common::s3_server::{
    ACCESS_KEY, BUCKET, Bucket, Config, Fault, FaultKind, Locking, Mode, Operation, PutCount,
    REGION, S3Server,
};

type Headers<'h> = &'h [(&'h str, &'h str)];

struct Client {
    stream: BufReader<TcpStream>,
    access_key: String,
    region: String,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// As they came.
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&start))
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// The text inside each element of that name.
    fn all(&self, name: &str) -> Vec<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let after = self.text().split(&open).skip(1);
        after
            .map(|rest| rest.split(&close).next().unwrap())
            .collect()
    }

    /// Status and error code.
    fn error(&self) -> (u16, &str) {
        (self.status, self.all("Code").first().unwrap_or(&""))
    }
}

impl Client {
    fn new(server: &S3Server) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        Self {
            stream: BufReader::new(stream),
            access_key: ACCESS_KEY.to_owned(),
            region: REGION.to_owned(),
        }
    }

    fn send(&mut self, call: &str, headers: Headers, body: &[u8]) -> io::Result<()> {
        let (key, region) = (&self.access_key, &self.region);
        let mut head = vec![
            format!("{call} HTTP/1.1"),
            "Host: localhost".to_owned(),
            format!(
                "Authorization: AWS4-HMAC-SHA256 Credential={key}/20261201/{region}/s3/aws4_request, \
                 SignedHeaders=host, Signature=00"
            ),
        ];
        if !body.is_empty() || call.starts_with("PUT ") {
            head.push(format!("Content-Length: {}", body.len()));
        }
        head.extend(
            headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        let mut bytes = (head.join("\r\n") + "\r\n\r\n").into_bytes();
        bytes.extend(body);
        self.stream.get_mut().write_all(&bytes)
    }

    /// The next answer. What `Content-Length` promises has to come.
    fn receive(&mut self, call: &str) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if !call.starts_with("HEAD ") {
            let length = answer.header("Content-Length").unwrap_or("0");
            answer.body.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn try_ask(&mut self, call: &str, headers: Headers, body: &[u8]) -> io::Result<Answer> {
        self.send(call, headers, body)?;
        self.receive(call)
    }

    fn ask(&mut self, call: &str, headers: Headers, body: &[u8]) -> Answer {
        self.try_ask(call, headers, body).unwrap()
    }

    fn get(&mut self, target: &str) -> Answer {
        self.ask(&format!("GET {target}"), &[], b"")
    }

    fn put(&mut self, target: &str, headers: Headers, body: &[u8]) -> Answer {
        self.ask(&format!("PUT {target}"), headers, body)
    }

    fn head_restore(&mut self, target: &str) -> Option<String> {
        let answer = self.ask(&format!("HEAD {target}"), &[], b"");
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        answer.header("x-amz-restore").map(str::to_owned)
    }

    fn restore(&mut self, target: &str, days: u32, tier: &str) -> Answer {
        let body = format!(
            "<RestoreRequest><Days>{days}</Days><GlacierJobParameters><Tier>{tier}</Tier>\
             </GlacierJobParameters></RestoreRequest>"
        );
        let call = format!("POST {target}?restore");
        self.ask(&call, &[], body.as_bytes())
    }
}

fn at(instant: &str) -> DateTime<Utc> {
    instant.parse().unwrap()
}

const DEEP: (&str, &str) = ("x-amz-storage-class", "DEEP_ARCHIVE");
const IF_ABSENT: (&str, &str) = ("If-None-Match", "*");

#[test]
fn a_cold_object_can_be_read_from_the_end_of_its_thaw_until_it_expires() {
    let server = S3Server::new();
    server.clock().set(at("2026-12-01T10:00:00Z"));
    let mut client = Client::new(&server);
    client.put("/archive/k", &[DEEP], b"cold");

    let cold = client.get("/archive/k");
    assert_eq!(cold.error(), (403, "InvalidObjectState"));
    assert_eq!(cold.all("StorageClass"), ["DEEP_ARCHIVE"]);
    assert_eq!(client.head_restore("/archive/k"), None);
    let refused = client.restore("/archive/k", 3, "Expedited");
    assert_eq!(refused.error(), (400, "InvalidArgument"));

    assert_eq!(client.restore("/archive/k", 3, "Bulk").status, 202);
    server
        .clock()
        .advance(TimeDelta::hours(48) - TimeDelta::seconds(1));
    assert_eq!(client.get("/archive/k").status, 403);
    let ongoing = client.head_restore("/archive/k");
    assert_eq!(ongoing.unwrap(), r#"ongoing-request="true""#);

    server.clock().advance(TimeDelta::seconds(1));
    let thawed = client.get("/archive/k");
    assert_eq!((thawed.status, thawed.text()), (200, "cold"));
    assert_eq!(thawed.header("Date"), Some("Thu, 03 Dec 2026 10:00:00 GMT"));
    let until = |date| format!(r#"ongoing-request="false", expiry-date="{date} 00:00:00 GMT""#);
    let restored = client.head_restore("/archive/k");
    assert_eq!(restored.unwrap(), until("Mon, 07 Dec 2026"));
    assert_eq!(client.restore("/archive/k", 9, "Bulk").status, 200);
    let restored = client.head_restore("/archive/k");
    assert_eq!(restored.unwrap(), until("Sun, 13 Dec 2026"));

    server.clock().set(at("2026-12-13T00:00:00Z"));
    assert_eq!(client.get("/archive/k").status, 403);
    assert_eq!(client.head_restore("/archive/k"), None);
}

#[test]
fn a_faster_tier_speeds_a_thaw_up_and_any_other_finds_it_under_way() {
    let server = S3Server::new();
    server.clock().set(at("2026-12-01T10:00:00Z"));
    let mut client = Client::new(&server);
    client.put("/archive/k", &[("x-amz-storage-class", "GLACIER")], b"cold");
    client.put("/archive/warm", &[], b"warm");
    let warm = client.restore("/archive/warm", 1, "Bulk");
    assert_eq!(warm.error(), (403, "InvalidObjectState"));

    assert_eq!(client.restore("/archive/k", 1, "Standard").status, 202);
    for tier in ["Standard", "Bulk"] {
        let running = client.restore("/archive/k", 1, tier);
        assert_eq!(running.error(), (409, "RestoreAlreadyInProgress"));
    }
    server.configure(|config| {
        config.modes.insert(Mode::ExpeditedUnavailable);
    });
    let unavailable = client.restore("/archive/k", 1, "Expedited");
    assert_eq!(
        unavailable.error(),
        (503, "GlacierExpeditedRetrievalNotAvailable")
    );
    server.configure(|config| config.modes.clear());
    assert_eq!(client.restore("/archive/k", 1, "Expedited").status, 202);
    server.clock().advance(TimeDelta::minutes(5));
    assert_eq!(client.get("/archive/k").text(), "cold");
}

#[test]
fn of_conditional_puts_at_once_exactly_one_is_kept() {
    let server = S3Server::new();
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let puts: Vec<_> = (0..8)
            .map(|number: u8| {
                let mut client = Client::new(&server);
                scope.spawn(move || client.put("/archive/k", &[IF_ABSENT], &[number]).status)
            })
            .collect();
        puts.into_iter().map(|put| put.join().unwrap()).collect()
    });
    let kept = statuses.iter().position(|status| *status == 200).unwrap();
    let refused = statuses.iter().filter(|status| **status == 412).count();
    assert_eq!(refused, 7, "{statuses:?}");
    let object = &server.objects(BUCKET)["k"];
    assert_eq!(usize::from(object.body[0]), kept);
    let count = PutCount { sent: 8, kept: 1 };
    assert_eq!(server.put_counts(BUCKET)["k"], count);

    server.configure(|config| {
        config.modes.insert(Mode::IgnoreIfNoneMatch);
    });
    let mut client = Client::new(&server);
    assert_eq!(client.put("/archive/k", &[IF_ABSENT], b"again").status, 200);
    assert_eq!(server.put_counts(BUCKET)["k"].kept, 2);
}

#[test]
fn a_listing_comes_in_pages_in_the_order_of_the_keys() {
    let server = S3Server::start(Config {
        page_size: 2,
        ..Config::default()
    });
    let mut client = Client::new(&server);
    for key in ["p/b", "p/%C3%BC%20%26", "p/a", "p/B", "q", "p/c"] {
        client.put(&format!("/archive/{key}"), &[], b"x");
    }
    let first = "/archive?list-type=2&prefix=p%2F&encoding-type=url&x-id=ListObjectsV2";
    let mut target = first.to_owned();
    let mut pages = Vec::new();
    loop {
        let page = client.get(&target);
        pages.push(page.all("Key").join(" "));
        let Some(token) = page.all("NextContinuationToken").pop() else {
            assert_eq!(page.all("IsTruncated"), ["false"]);
            break;
        };
        target = format!("{first}&continuation-token={token}");
    }
    assert_eq!(pages, ["p/B p/a", "p/b p/c", "p/%C3%BC+%26"]);

    server.fail(Fault::on(Operation::List, FaultKind::LaterPagesFail));
    assert_eq!(client.get(first).all("Key").len(), 2);
    assert_eq!(client.get(&target).error(), (500, "InternalError"));
    server.fail(Fault::on(Operation::List, FaultKind::TruncatedList));
    let endless = client.get(first);
    assert_eq!(endless.all("IsTruncated"), ["true"]);
    assert!(endless.all("NextContinuationToken").is_empty());
}

#[test]
fn a_reset_is_a_reset_wherever_it_strikes() {
    use FaultKind::{ResetAfter, ResetBefore, ResetInBody};
    let server = S3Server::new();
    let body = vec![7; 300_000];
    Client::new(&server).put("/archive/there", &[], &body);
    for (call, sent, fault, kept) in [
        ("PUT /archive/a", &body[..], ResetBefore, false),
        ("PUT /archive/b", &body, ResetInBody, false),
        ("PUT /archive/c", &body, ResetAfter, true),
        ("PUT /archive/d", b"", ResetAfter, true),
        ("GET /archive/there", b"", ResetBefore, true),
        ("GET /archive/there", b"", ResetInBody, true),
        ("HEAD /archive/there", b"", ResetInBody, true),
        ("HEAD /archive/there", b"", ResetAfter, true),
    ] {
        server.fail(Fault::on_any(fault.clone()));
        let error = Client::new(&server).try_ask(call, &[], sent).unwrap_err();
        // What is still being sent when it strikes may meet a closed pipe instead.
        let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(reset.contains(&error.kind()), "{call}, {fault:?}: {error}");
        let key = call.rsplit('/').next().unwrap();
        let found = server.objects(BUCKET).contains_key(key);
        assert_eq!(found, kept, "{call}, {fault:?}");
    }
    assert_eq!(server.faults_struck(), 8);
}

#[test]
fn answers_are_cut_shortened_and_spoiled_as_ordered() {
    let server = S3Server::new();
    let mut client = Client::new(&server);
    client.put("/archive/k", &[], b"0123456789");
    let range = |from_to| [("Range", from_to)];

    let middle = client.ask("GET /archive/k", &range("bytes=2-4"), b"");
    assert_eq!((middle.status, middle.text()), (206, "234"));
    assert_eq!(middle.header("Content-Range"), Some("bytes 2-4/10"));
    let beyond = client.ask("GET /archive/k", &range("bytes=10-"), b"");
    assert_eq!(beyond.error(), (416, "InvalidRange"));

    server.fail(Fault::on(Operation::Get, FaultKind::ShortAnswer));
    assert_eq!(client.get("/archive/k").text(), "01234");
    server.fail(Fault::on(Operation::Get, FaultKind::FlippedByte));
    assert_eq!(client.get("/archive/k").text(), "0123446789");
    server.fail(Fault::on(Operation::Get, FaultKind::ErrorIn200));
    assert_eq!(client.get("/archive/k").error(), (200, "InternalError"));
    let retry_after = Some(7);
    server.fail(Fault::on(
        Operation::Get,
        FaultKind::SlowDown { retry_after },
    ));
    let slow = client.get("/archive/k");
    assert_eq!(slow.error(), (503, "SlowDown"));
    assert_eq!(slow.header("Retry-After"), Some("7"));
    assert_eq!(client.get("/archive/k").text(), "0123456789");
    server.fail(Fault::on(Operation::Get, FaultKind::ShortBody));
    let short = client.try_ask("GET /archive/k", &[], b"").unwrap_err();
    assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_byte_flipped_on_its_way_in_is_found_by_a_checksum_and_kept_without() {
    let server = S3Server::new();
    let mut client = Client::new(&server);
    let body = b"0123456789";
    let sha256 = BASE64.encode(ring::digest::digest(&ring::digest::SHA256, body));
    let crc32c = BASE64.encode(crc32c::crc32c(body).to_be_bytes());
    let content_md5 = BASE64.encode(0x781e_5e24_5d69_b566_979b_86e2_8d23_f2c7_u128.to_be_bytes());
    let honest = S3Server::new();
    server.fail(Fault::on(Operation::Put, FaultKind::FlippedByte).times(4));
    for header in [
        ("x-amz-checksum-sha256", sha256.as_str()),
        ("x-amz-checksum-crc32c", &crc32c),
        ("Content-MD5", &content_md5),
    ] {
        let refused = client.put("/archive/k", &[header], body);
        assert_eq!(refused.error(), (400, "BadDigest"), "{header:?}");
        assert!(server.objects(BUCKET).is_empty());
        let unspoiled = Client::new(&honest).put("/archive/k", &[header], body);
        assert_eq!(unspoiled.status, 200, "{header:?}");
    }
    assert_eq!(client.put("/archive/k", &[], body).status, 200);
    assert_eq!(*server.objects(BUCKET)["k"].body, b"0123446789");
}

#[test]
fn checksums_come_back_only_to_those_who_ask() {
    let server = S3Server::new();
    let mut client = Client::new(&server);
    let sha256 = BASE64.encode(ring::digest::digest(&ring::digest::SHA256, b"abc"));
    let sent = [("x-amz-checksum-sha256", sha256.as_str())];
    let asking = [("x-amz-checksum-mode", "ENABLED")];
    let name = "x-amz-checksum-sha256";
    let put = client.put("/archive/k", &sent, b"abc");
    assert_eq!(put.header(name), Some(sha256.as_str()));
    assert_eq!(client.ask("HEAD /archive/k", &[], b"").header(name), None);
    let head = client.ask("HEAD /archive/k", &asking, b"");
    assert_eq!(head.header(name), Some(sha256.as_str()));
    assert_eq!(head.header("Content-Length"), Some("3"));

    server.configure(|config| {
        config.modes.insert(Mode::IgnoreChecksums);
    });
    client.put("/archive/k", &sent, b"something else");
    let head = client.ask("HEAD /archive/k", &asking, b"");
    assert_eq!((head.status, head.header(name)), (200, None));
    server.fail(Fault::on_any(FaultKind::RefusedChecksumHeader).always());
    let refused = client.put("/archive/k", &sent, b"abc");
    assert_eq!(refused.error(), (400, "InvalidArgument"));
    assert_eq!(client.put("/archive/k", &[], b"abc").status, 200);
}

#[test]
fn an_etag_is_the_md5_of_the_object_whatever_its_length() {
    let server = S3Server::new();
    let mut client = Client::new(&server);
    for (length, md5) in [
        (0, "d41d8cd98f00b204e9800998ecf8427e"),
        (55, "ef1772b6dff9a122358552954ad0df65"),
        (56, "3b0c8ac703f828b04c6c197006d17218"),
        (64, "014842d480b571495a4a0363793f7367"),
        (120, "5f61c0ccad4cac44c75ff505e1f1e537"),
    ] {
        let put = client.put("/archive/k", &[], &vec![b'a'; length]);
        let etag = format!("\"{md5}\"");
        assert_eq!(put.header("ETag"), Some(etag.as_str()), "{length}");
    }
}

#[test]
fn a_locked_version_outlasts_every_delete_before_its_date() {
    let bucket = Bucket::new("safe").locking(Locking::On);
    let server = S3Server::start(Config::with_bucket(bucket));
    server.clock().set(at("2026-12-01T10:00:00Z"));
    let mut client = Client::new(&server);
    let lock = [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        (
            "x-amz-object-lock-retain-until-date",
            "2026-12-02T00:00:00Z",
        ),
        ("Content-MD5", "kAFQmDzST7DWlj99KOF/cg=="),
    ];
    assert_eq!(client.put("/safe/k", &lock[..2], b"abc").status, 400);
    let put = client.put("/safe/k", &lock, b"abc");
    let version = format!(
        "/safe/k?versionId={}",
        put.header("x-amz-version-id").unwrap()
    );
    let delete = format!("DELETE {version}");

    assert_eq!(client.ask("DELETE /safe/k", &[], b"").status, 204);
    assert_eq!(client.get("/safe/k").error(), (404, "NoSuchKey"));
    assert_eq!(client.get(&version).text(), "abc");
    let refused = client.ask(&delete, &[], b"");
    assert_eq!(refused.error(), (403, "AccessDenied"));
    assert_eq!(client.get("/safe?versions").all("VersionId").len(), 2);

    server.clock().advance(TimeDelta::hours(14));
    assert_eq!(client.ask(&delete, &[], b"").status, 204);
    assert_eq!(client.get(&version).error(), (404, "NoSuchVersion"));
}

#[test]
fn strangers_are_turned_away_and_told_why() {
    let server = S3Server::start(Config::default().with_mode(Mode::CheckSkew));
    server.clock().set(at("2026-12-01T10:00:00Z"));
    server.configure(|config| {
        config.expired_keys.insert("OLD".to_owned());
    });
    let mut client = Client::new(&server);
    let mut ask = |key: &str, region: &str, date: &str| {
        (client.access_key, client.region) = (key.to_owned(), region.to_owned());
        client.ask("GET /archive?location", &[("x-amz-date", date)], b"")
    };
    let now = "20261201T100000Z";
    assert_eq!(ask(ACCESS_KEY, REGION, now).status, 200);
    assert_eq!(
        ask("NOBODY", REGION, now).error(),
        (403, "InvalidAccessKeyId")
    );
    assert_eq!(ask("OLD", REGION, now).error(), (400, "ExpiredToken"));
    let elsewhere = ask(ACCESS_KEY, "eu-west-1", now);
    assert_eq!(elsewhere.error(), (400, "AuthorizationHeaderMalformed"));
    assert_eq!(elsewhere.all("Region"), [REGION]);
    assert_eq!(ask(ACCESS_KEY, REGION, "20261201T101500Z").status, 200);
    let late = ask(ACCESS_KEY, REGION, "20261201T101501Z");
    assert_eq!(late.error(), (403, "RequestTimeTooSkewed"));
    assert_eq!(late.all("ServerTime"), ["2026-12-01T10:00:00.000Z"]);
}

#[test]
fn a_fault_counts_only_the_requests_that_it_is_for() {
    let server = S3Server::new();
    let mut client = Client::new(&server);
    let fault = Fault::on(Operation::Put, FaultKind::Conflict);
    server.fail(fault.key("segment").skip(1).times(2));
    let targets = ["segment-1", "other", "segment-2", "segment-3", "segment-4"];
    let statuses = targets.map(|key| {
        client.get(&format!("/archive/{key}"));
        client.put(&format!("/archive/{key}"), &[], b"x").status
    });
    assert_eq!(statuses, [200, 200, 409, 409, 200]);
    let requests = server.requests();
    let puts = requests
        .iter()
        .filter(|seen| seen.operation == Operation::Put);
    let seen: Vec<_> = puts.map(|seen| (seen.key.as_str(), seen.status)).collect();
    let wanted: Vec<_> = targets.into_iter().zip(statuses.map(Some)).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_stalled_client_is_let_go_when_the_server_ends() {
    for (fault, read) in [
        (FaultKind::Stall(None), 0),
        (FaultKind::StallInBody(None), 5),
    ] {
        let server = S3Server::new();
        server.fail(Fault::on(Operation::Put, fault));
        let mut client = Client::new(&server);
        let expecting = [("Expect", "100-continue")];
        client
            .send("PUT /archive/k", &expecting, b"0123456789")
            .unwrap();
        if read > 0 {
            let begun = client.receive("PUT").unwrap();
            assert_eq!(begun.status, 100);
        }
        let has_read = || Some(server.requests().last()?.body_bytes);
        while has_read() != Some(read) {
            std::thread::yield_now();
        }
        let silence = Some(Duration::from_millis(50));
        client.stream.get_mut().set_read_timeout(silence).unwrap();
        let waited = client.receive("PUT").unwrap_err();
        assert_eq!(waited.kind(), ErrorKind::WouldBlock);
        let logged = server.requests().pop().unwrap();
        assert_eq!((logged.status, logged.body_bytes), (None, read));

        client.stream.get_mut().set_read_timeout(None).unwrap();
        drop(server);
        let ended = client.receive("PUT").unwrap_err();
        let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(ends.contains(&ended.kind()), "{ended}");
    }
}

#[test]
fn a_stall_with_an_end_is_only_slow() {
    let server = S3Server::new();
    let length = Some(Duration::from_millis(20));
    server.fail(Fault::on_any(FaultKind::Stall(length)));
    server.fail(Fault::on_any(FaultKind::StallInBody(length)).times(2));
    let mut client = Client::new(&server);
    assert_eq!(client.put("/archive/k", &[], b"abc").status, 200);
    assert_eq!(client.put("/archive/k", &[], b"abcd").status, 200);
    assert_eq!(client.get("/archive/k").text(), "abcd");
    assert_eq!(server.faults_struck(), 3);
}
