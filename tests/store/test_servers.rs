//! The S3 servers that other tests start are there, do what those rely on, and go away.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::servers::{Moto, ObjectLock, Server, Versioning, Weed, until};

fn error(code: &str) -> String {
    format!("<Code>{code}</Code>")
}

fn is_listening(endpoint: &str) -> bool {
    TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).is_ok()
}

fn what_is_stored_comes_back(server: &Server) {
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let other = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let object = format!("/{bucket}/some/k%20y%2B1");
    let headers = [("x-amz-meta-kind", "segment"), ("content-type", "a/b")];
    let put = server.request("PUT", &object, &headers, b"stored");
    assert_eq!(put.status, 200, "{put:?}");
    let got = server.request("GET", &object, &[("range", "bytes=1-3")], b"");
    assert_eq!((got.status, got.text()), (206, "tor"));
    assert_eq!(got.header("X-Amz-Meta-Kind"), Some("segment"));
    let head = server.request("HEAD", &object, &[], b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("6"))
    );

    let query = "list-type=2&prefix=some%2F&encoding-type=url";
    let listed = server.request("GET", &format!("/{bucket}?{query}"), &[], b"");
    assert!(listed.text().contains("<Key>some/k"), "{listed:?}");
    let empty = server.request("GET", &format!("/{other}?{query}"), &[], b"");
    assert!(empty.text().contains("<KeyCount>0<"), "{empty:?}");

    let gone = server.request("DELETE", &object, &[], b"");
    assert_eq!(gone.status, 204, "{gone:?}");
    let missing = server.request("GET", &object, &[], b"");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains(&error("NoSuchKey")), "{missing:?}");
    let deleted = server.request("DELETE", &format!("/{bucket}"), &[], b"");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    let late = server.request("PUT", &object, &[], b"late");
    assert_eq!(late.status, 404, "{late:?}");
    assert!(late.text().contains(&error("NoSuchBucket")), "{late:?}");
}

fn versions_and_locks_are_as_asked_for(server: &Server) {
    for (lock, versioning, versioned) in [
        (ObjectLock::Off, Versioning::Off, false),
        (ObjectLock::Off, Versioning::On, true),
        (ObjectLock::On, Versioning::Off, true),
        (ObjectLock::On, Versioning::On, true),
    ] {
        let bucket = server.new_bucket(lock, versioning);
        let put = server.request("PUT", &format!("/{bucket}/k"), &[], b"1");
        let version = put.header("x-amz-version-id");
        assert_eq!(version.is_some(), versioned, "{lock:?}, {versioning:?}");
        let status = server.request("GET", &format!("/{bucket}?versioning"), &[], b"");
        assert_eq!(status.text().contains("Enabled"), versioned, "{status:?}");
        let locking = server.request("GET", &format!("/{bucket}?object-lock"), &[], b"");
        let status = if lock == ObjectLock::On { 200 } else { 404 };
        assert_eq!(locking.status, status, "{lock:?}, {versioning:?}");
    }

    let bucket = server.new_bucket(ObjectLock::On, Versioning::On);
    let object = format!("/{bucket}/kept");
    let lock = [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        (
            "x-amz-object-lock-retain-until-date",
            "2099-01-01T00:00:00Z",
        ),
        ("content-md5", "xMpCOKC5I4INzFCab3WEmw=="),
    ];
    let put = server.request("PUT", &object, &lock, b"1");
    assert_eq!(put.status, 200, "{put:?}");
    let version = put.header("x-amz-version-id").unwrap();
    let path = format!("{object}?versionId={version}");
    let refused = server.request("DELETE", &path, &[], b"");
    assert_eq!(refused.status, 403, "{refused:?}");
}

#[test]
fn what_weed_stores_comes_back() {
    if let Some(server) = Weed::shared() {
        what_is_stored_comes_back(server);
    }
}

#[test]
fn what_moto_stores_comes_back() {
    if let Some(server) = Moto::shared() {
        what_is_stored_comes_back(server);
    }
}

#[test]
fn buckets_of_weed_keep_versions_and_locks_as_asked_for() {
    if let Some(server) = Weed::shared() {
        versions_and_locks_are_as_asked_for(server);
    }
}

#[test]
fn buckets_of_moto_keep_versions_and_locks_as_asked_for() {
    if let Some(server) = Moto::shared() {
        versions_and_locks_are_as_asked_for(server);
    }
}

#[test]
fn weed_takes_no_signature_but_the_right_one_and_no_wrong_checksum() {
    let Some(server) = Weed::shared() else { return };
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let object = format!("/{bucket}/k");
    let mut stranger = server.client();
    stranger.secret_key.push('x');
    let refused = stranger.signed_request("PUT", &object, &[], b"1").unwrap();
    assert_eq!(refused.status, 403);
    let code = error("SignatureDoesNotMatch");
    assert!(refused.text().contains(&code), "{refused:?}");
    let spoiled = [("x-amz-checksum-crc32c", "AAAAAA==")];
    let refused = server.request("PUT", &object, &spoiled, b"1");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(server.request("HEAD", &object, &[], b"").status, 404);
}

#[test]
fn moto_gives_a_cold_object_back_only_when_it_is_thawed() {
    let Some(server) = Moto::shared() else { return };
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let object = format!("/{bucket}/k");
    let cold = [("x-amz-storage-class", "DEEP_ARCHIVE")];
    assert_eq!(server.request("PUT", &object, &cold, b"cold").status, 200);
    let frozen = server.request("GET", &object, &[], b"");
    assert_eq!(frozen.status, 403);
    let code = error("InvalidObjectState");
    assert!(frozen.text().contains(&code), "{frozen:?}");
    let days = b"<RestoreRequest><Days>1</Days></RestoreRequest>";
    let thaw = server.request("POST", &format!("{object}?restore"), &[], days);
    assert_eq!(thaw.status, 202, "{thaw:?}");
    assert_eq!(server.request("GET", &object, &[], b"").text(), "cold");
}

#[test]
fn two_of_weed_run_side_by_side_and_one_that_is_dropped_is_gone() {
    let (Some(shared), Some(own)) = (Weed::shared(), Weed::start()) else {
        return;
    };
    let bucket = own.new_bucket(ObjectLock::Off, Versioning::Off);
    let put = own.request("PUT", &format!("/{bucket}/k"), &[], b"own");
    assert_eq!(put.status, 200, "{put:?}");
    let (endpoint, directory) = (own.endpoint().to_owned(), own.directory().to_owned());
    drop(own);
    assert!(!is_listening(&endpoint));
    assert!(!directory.exists());
    assert!(is_listening(shared.endpoint()));
}

/// What the next test runs as another process.
#[test]
#[ignore = "it stands for a program of tests, and says where its servers are"]
fn a_program_of_tests_that_ends_as_it_is_told() {
    let servers = [Weed::shared(), Moto::shared()].map(Option::unwrap);
    for server in servers {
        println!("at {} {}", server.endpoint(), server.directory().display());
    }
    println!("at end");
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).unwrap();
    assert_ne!(told, "panic\n", "as told");
}

#[test]
fn the_servers_go_with_the_process_that_started_them_however_it_ends() {
    if Weed::shared().is_none() {
        return;
    }
    for end in ["return", "panic", "kill"] {
        let mut program = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "test_servers::a_program_of_tests_that_ends_as_it_is_told",
            ])
            .args(["--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let servers: Vec<(String, PathBuf)> = lines
            .map(Result::unwrap)
            .skip_while(|line| !line.contains("at http"))
            .take_while(|line| !line.contains("at end"))
            .map(|line| {
                let (_, words) = line.split_once("at ").unwrap();
                let (endpoint, directory) = words.split_once(' ').unwrap();
                (endpoint.to_owned(), PathBuf::from(directory))
            })
            .collect();
        assert_eq!(servers.len(), 2, "{servers:?}");
        for (endpoint, directory) in &servers {
            assert!(is_listening(endpoint) && directory.exists(), "{servers:?}");
        }
        let mut stdin = program.stdin.take().unwrap();
        match end {
            "kill" => program.kill().unwrap(),
            told => std::io::Write::write_all(&mut stdin, format!("{told}\n").as_bytes()).unwrap(),
        }
        program.wait().unwrap();
        for (endpoint, directory) in &servers {
            until("the end of a server whose process ended", || {
                !is_listening(endpoint) && !directory.exists()
            });
        }
    }
}
