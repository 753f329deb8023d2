//! A client that has stolen the key against `mirror-server`: nothing but its source's directory is touched, and nothing
//! half-made is there as a copy.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use coldchain::btrfs::identity;
use coldchain::model::Uuid;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::ground::Ground;
use super::hostile_chain::{HostileArchive, HostileChain};
use super::raw_client::{MAX_FRAME, RawClient, failure, frame};
use crate::common::from_env;
use crate::common::loopfs::real_btrfs_available;
use crate::disks::names;

const DATES: [&str; 3] = ["2024-01-01", "2024-01-02", "2024-01-03"];

fn dates() -> [String; 3] {
    DATES.map(str::to_owned)
}

fn uuid(bytes: [u8; 16]) -> String {
    Uuid(bytes).to_string()
}

/// What a client asks for to send an archive on a copy.
fn wanted(archive: &HostileArchive, on: Option<&Value>) -> Value {
    let parent = on.map(|copy| {
        json!({
            "uuid": copy["uuid"], "stream_uuid": uuid(archive.parent.unwrap()), "ctransid": 10,
        })
    });
    json!({"receive": {
        "name": archive.date, "stream_uuid": uuid(archive.uuid), "ctransid": archive.ctransid, "parent": parent,
    }})
}

/// Sends archives, each on the one before, until one is refused. Returns how many were received.
fn send(client: &mut RawClient, archives: &[HostileArchive]) -> usize {
    let mut on: Option<Value> = None;
    for (number, archive) in archives.iter().enumerate() {
        client.message(&wanted(archive, on.as_ref()));
        client.stream(&archive.stream);
        client.frame(b'e', b"");
        match client.answer() {
            Some(answer) if answer["received"].is_object() => on = Some(answer["received"].clone()),
            _ => return number,
        }
    }
    archives.len()
}

/// Each copy is whole: read-only, and with the uuid of a stream that was answered. Nothing else is left.
#[track_caller]
fn require_whole(own: &Path, archives: &[HostileArchive], received: usize) {
    let there: BTreeSet<String> = names(own).into_keys().collect();
    let due = archives[..received].iter().map(|it| it.date.clone());
    assert_eq!(there, due.collect());
    for archive in &archives[..received] {
        let found = identity(&own.join(&archive.date)).unwrap();
        assert!(found.read_only);
        assert_eq!(found.received_uuid, Some(Uuid(archive.uuid)));
    }
    let staging = own.join(".coldchain-staging");
    assert!(
        !staging.exists(),
        "something is left in {}",
        staging.display()
    );
}

#[test]
fn whatever_a_stream_says_nothing_around_the_mirror_is_touched() {
    if !real_btrfs_available() {
        return;
    }
    let mut ground = Ground::new();
    let (mut whole, mut refused) = (0, 0);
    for seed in 0..from_env("COLDCHAIN_HOSTILE_MIRRORS", 24) {
        let chain = match seed {
            0 => HostileChain::of(&[], &dates(), &ground.aims()),
            seed => HostileChain::random(seed, &dates(), &ground.aims()),
        };
        let before = ground.look();
        let mut client = RawClient::open(&ground.to(), &[]);
        let made = client.ask(&json!("make"));
        assert!(made["made"].is_string(), "{made}");
        let received = send(&mut client, &chain.archives);
        let end = client.end();
        let kinds = chain.kinds.join(", ");
        assert_eq!(end.code, Some(0), "{seed}: {kinds}: {}", end.stderr);
        let touched = ground.touched(&before);
        assert!(touched.is_empty(), "{seed}: {kinds}: {touched:?}");
        require_whole(&ground.restored(), &chain.archives, received);
        if seed == 0 {
            assert_eq!(
                received,
                chain.archives.len(),
                "an honest chain is received"
            );
        }
        whole += received;
        refused += usize::from(received < chain.archives.len());
        ground.clear();
    }
    assert!(
        whole > 0 && refused > 0,
        "{whole} received, {refused} refused"
    );
}

#[test]
fn what_is_not_the_protocol_ends_the_session_and_does_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let mut ground = Ground::new();
    let before = ground.look();
    let source = |name: &str| json!({"open": {"protocol": 1, "source": name}}).to_string();
    let mut first: Vec<(Vec<u8>, String)> = [
        "../home", "a/b", "/etc", ".", "..", "", "home/", "h\0me", "-home", "home\n",
    ]
    .map(|name| {
        let message = frame(b'm', source(name).as_bytes());
        (message, "a message that can't be read".to_owned())
    })
    .into();
    let giant = [b"m", &u32::MAX.to_le_bytes()[..]].concat();
    let longer = u32::try_from(MAX_FRAME + 1).unwrap().to_le_bytes();
    let part = frame(b'p', &vec![b' '; MAX_FRAME]);
    let unread = "a message that can't be read";
    let before_open = "a request before it named a source";
    first.extend(
        [
            (giant, "a frame of 4294967295 bytes"),
            ([b"d", &longer[..]].concat(), "a frame of 262145 bytes"),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "a frame of the kind 71"),
            (frame(b'd', b"stream"), "a frame where a message was due"),
            (frame(b'e', b""), "a frame where a message was due"),
            (frame(b'm', b"\"make\""), before_open),
            (frame(b'm', br#"{"standing":[]}"#), before_open),
            (frame(b'm', br#"{"delete":"2024-01-01"}"#), unread),
            (frame(b'm', "[".repeat(100_000).as_bytes()), unread),
            (
                frame(b'm', br#"{"open":{"protocol":2,"source":"home"}}"#),
                "version 2 of the protocol",
            ),
            (part.repeat(5), "a message of more than 1048576 bytes"),
        ]
        .map(|(bytes, what)| (bytes, what.to_owned())),
    );
    for (bytes, what) in first {
        let mut client = RawClient::start(&ground.to(), &[]);
        client.bytes(&bytes);
        let end = client.end();
        assert_eq!(end.code, Some(6), "{what}: {}", end.stderr);
        let (code, message) = failure(&end.last.expect("it says why"));
        assert_eq!(code, 6);
        let begin = format!("the client broke the mirror protocol: it sent {what}");
        assert!(message.starts_with(&begin), "{message}");
        assert!(end.stderr.contains(&what), "{}", end.stderr);
        let touched = ground.touched(&before);
        assert!(
            touched.is_empty() && !ground.restored().exists(),
            "{what}: {touched:?}"
        );
    }
}

#[test]
fn what_comes_out_of_order_in_a_session_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let ground = Ground::new();
    let chain = HostileChain::of(&[], &dates(), &ground.aims());
    let archive = &chain.archives[0];
    let ask = wanted(archive, None);
    let begun = [
        frame(b'm', ask.to_string().as_bytes()),
        frame(b'd', &archive.stream[..2000]),
    ]
    .concat();
    for (bytes, what) in [
        (
            frame(b'm', br#"{"open":{"protocol":1,"source":"home"}}"#),
            "a second source",
        ),
        (frame(b'd', b"stream"), "a frame where a message was due"),
        (frame(b'x', b""), "a frame where a message was due"),
        (
            [&begun[..], &frame(b'm', b"\"make\"")].concat(),
            "a message inside a stream",
        ),
        (
            [&begun[..], &frame(b'k', b"")].concat(),
            "a message inside a stream",
        ),
        (
            [&begun[..], b"d\xff\xff\xff\xff"].concat(),
            "a frame of 4294967295 bytes",
        ),
        (
            [&begun[..], b"?\x01\x00\x00\x00?"].concat(),
            "a frame of the kind 63",
        ),
    ] {
        let mut client = RawClient::open(&ground.to(), &[]);
        client.ask(&json!("make"));
        client.bytes(&bytes);
        let end = client.end();
        assert_eq!(end.code, Some(6), "{what}: {}", end.stderr);
        let (_, message) = failure(&end.last.expect("it says why"));
        assert!(message.ends_with(what), "{message}");
        require_whole(&ground.restored(), &chain.archives, 0);
    }
}

#[test]
fn a_client_may_do_what_its_owner_allows_and_nothing_else() {
    if !real_btrfs_available() {
        return;
    }
    let ground = Ground::new();
    let chain = HostileChain::of(&[], &dates(), &ground.aims());
    let mut client = RawClient::open(&ground.to(), &["--allow", "list,receive,send"]);
    client.ask(&json!("make"));
    assert_eq!(send(&mut client, &chain.archives[..1]), 1);
    let standing = client.ask(&json!({"standing": []}));
    let copy = standing["standing"]["copies"][0]["uuid"].clone();
    let get = json!({"send": {"uuid": copy, "parent": null, "protocol": "v1"}});
    assert_eq!(client.ask(&get), json!("sent"));
    assert_eq!(client.end().code, Some(0));

    let asks = [
        (json!({"standing": []}), "see which copies there are"),
        (json!("make"), "send copies to it"),
        (json!({"prune": []}), "send copies to it"),
        (get, "get copies from it"),
        (wanted(&chain.archives[0], None), "send copies to it"),
    ];
    for (allowed, refused) in [
        ("list,receive", &["get copies from it"][..]),
        ("list", &["get copies from it", "send copies to it"]),
        ("send", &["see which copies there are", "send copies to it"]),
    ] {
        let mut client = RawClient::open(&ground.to(), &["--allow", allowed]);
        let mut said = BTreeSet::new();
        for (ask, what) in &asks {
            client.message(ask);
            if ask["receive"].is_object() {
                client.stream(&chain.archives[0].stream);
                client.frame(b'e', b"");
            }
            let answer = client.answer().unwrap();
            if !refused.contains(what) {
                continue;
            }
            let (code, message) = failure(&answer);
            assert_eq!(
                message,
                format!("this mirror does not allow its client to {what}")
            );
            assert_eq!(code, 2);
            said.insert(*what);
        }
        assert_eq!(said, refused.iter().copied().collect(), "{allowed}");
        assert_eq!(client.end().code, Some(0));
        require_whole(&ground.restored(), &chain.archives, 1);
    }
    // This is the default.
    let mut client = RawClient::open(&ground.to(), &[]);
    assert_eq!(failure(&client.ask(&asks[3].0)).0, 2);
    client.end();
}

#[test]
fn a_client_deletes_nothing_that_the_owner_keeps() {
    if !real_btrfs_available() {
        return;
    }
    let ground = Ground::new();
    let chain = HostileChain::of(&[], &dates(), &ground.aims());
    let own = ground.restored();
    let mut client = RawClient::open(&ground.to(), &[]);
    client.ask(&json!("make"));
    assert_eq!(send(&mut client, &chain.archives), 3);
    let none = json!({"pruned": {"deleted": [], "warnings": []}});
    assert_eq!(client.ask(&json!({"prune": []})), none);
    // The name is taken, whatever the client says.
    client.message(&wanted(&chain.archives[0], None));
    client.frame(b'e', b"");
    let (code, message) = failure(&client.answer().unwrap());
    assert_eq!(code, 2);
    assert!(
        message.ends_with("2024-01-01 is in the way of the mirrored snapshot"),
        "{message}"
    );
    client.end();
    require_whole(&own, &chain.archives, 3);
    // The owner's rule deletes; the client may only spare more.
    let spared = json!({"prune": [uuid(chain.archives[0].uuid)]});
    let mut client = RawClient::open(&ground.to(), &["--keep", "1"]);
    let pruned = client.ask(&spared)["pruned"].clone();
    client.end();
    assert_eq!(pruned["deleted"].as_array().unwrap().len(), 1, "{pruned}");
    assert_eq!(pruned["deleted"][0][0], "2024-01-02");
    let left: Vec<String> = names(&own).into_keys().collect();
    assert_eq!(left, ["2024-01-01", "2024-01-03"]);
}

#[test]
fn a_stream_that_is_given_up_or_is_another_leaves_nothing_and_the_session_goes_on() {
    if !real_btrfs_available() {
        return;
    }
    let ground = Ground::new();
    let chain = HostileChain::of(&[], &dates(), &ground.aims());
    let archive = &chain.archives[0];
    let mut client = RawClient::open(&ground.to(), &[]);
    client.ask(&json!("make"));
    client.message(&wanted(archive, None));
    client.stream(&archive.stream[..3000]);
    client.frame(b'x', b"");
    let (code, message) = failure(&client.answer().unwrap());
    assert_eq!(
        (code, message.as_str()),
        (1, "the client gave up the snapshot that it was sending")
    );
    require_whole(&ground.restored(), &chain.archives, 0);
    // Its stream is that of another snapshot, and is long: the answer comes before its end.
    let other = HostileArchive {
        stream: chain.archives[1].stream.clone(),
        ..archive.clone()
    };
    assert_eq!(send(&mut client, &[other]), 0);
    require_whole(&ground.restored(), &chain.archives, 0);
    assert_eq!(send(&mut client, &chain.archives), 3);
    assert_eq!(client.end().code, Some(0));
    require_whole(&ground.restored(), &chain.archives, 3);
}

#[test]
fn a_connection_that_is_cut_anywhere_leaves_nothing_half_made() {
    if !real_btrfs_available() {
        return;
    }
    let ground = Ground::new();
    let chain = HostileChain::of(&[], &dates(), &ground.aims());
    let archive = &chain.archives[0];
    let mut session = frame(b'm', wanted(archive, None).to_string().as_bytes());
    for piece in archive.stream.chunks(1000) {
        session.extend(frame(b'd', piece));
    }
    let cuts = from_env("COLDCHAIN_MIRROR_CUTS", 8);
    for cut in 0..=cuts {
        let at = usize::try_from(session.len() as u64 * cut / cuts).unwrap();
        for kills in [false, true] {
            let mut client = RawClient::open(&ground.to(), &[]);
            client.ask(&json!("make"));
            client.bytes(&session[..at]);
            if kills {
                let id = Pid::from_raw(client.id().cast_signed()).unwrap();
                kill_process(id, Signal::KILL).unwrap();
            }
            let end = client.end();
            match (kills, at) {
                (true, _) => assert_eq!(end.code, None),
                (false, 0) => assert_eq!(end.code, Some(0)),
                (false, _) => {
                    assert_eq!(end.code, Some(1));
                    let gone = "the client went away before the end of what it asked for";
                    assert_eq!(failure(&end.last.unwrap()).1, gone);
                }
            }
            if !kills {
                require_whole(&ground.restored(), &chain.archives, 0);
            }
            assert!(names(&ground.restored()).is_empty());
        }
    }
    // A signal ends it in order.
    let mut client = RawClient::open(&ground.to(), &[]);
    client.bytes(&session[..2000]);
    let id = Pid::from_raw(client.id().cast_signed()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(failure(&answer), (143, "interrupted by SIGTERM".to_owned()));
    assert_eq!(client.end().code, Some(143));
    require_whole(&ground.restored(), &chain.archives, 0);
    // The next session ends well.
    let mut client = RawClient::open(&ground.to(), &[]);
    assert_eq!(send(&mut client, &chain.archives), 3);
    assert_eq!(client.end().code, Some(0));
    require_whole(&ground.restored(), &chain.archives, 3);
    let left = fs::read_dir(ground.restored()).unwrap().count();
    // The copies, the mark and what locks the directory.
    assert!(left <= 3 + 2, "{left}");
}
