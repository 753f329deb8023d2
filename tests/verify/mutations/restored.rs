//! Damage to each segment in each way, and a restore by the real program whose `btrfs receive` keeps
//! what it was given.

use std::fs;
use std::path::{Path, PathBuf};

use coldchain::btrfs::{EditedStream, HandedDown, ReceiveEdit};
use coldchain::ledger::{SigningKey, decode_body, encode_body, sign, split};
use coldchain::model::entry::EntryKind;
use coldchain::model::{Sha256, keys};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{Machine, fed_config};
use crate::common::stub::{Pipe, Stub};
use crate::common::whole::first_and_seventh;

/// A chain of two archives, the first of two segments.
struct Chain {
    machine: Machine,
    stub: Stub,
    /// What `btrfs receive` is given.
    received: Pipe,
    /// Both streams as it is given them, one after the other.
    streams: Vec<u8>,
    segments: Vec<PathBuf>,
    /// A whole segment that somebody else has made for the same recipients, and its sealed key.
    forged: [Vec<u8>; 2],
}

fn decide_both(machine: &Machine) -> Vec<u8> {
    let [full, _] = first_and_seventh(17 << 10);
    let [_, incremental] = first_and_seventh(100);
    for (date, stream) in [("2024-01-01", &full), ("2024-01-07", &incremental)] {
        let run = machine.run_with(&format!("decide {date}"), stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    [edited(&full), edited(&incremental)].concat()
}

/// A stream as a restore hands it to `btrfs receive`.
fn edited(stream: &[u8]) -> Vec<u8> {
    struct Edited(Vec<u8>);
    impl EditedStream for Edited {
        type Error = ();
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.0.extend(bytes);
            Ok(())
        }
        fn privileged_mode(&mut self, _: &[u8]) -> Result<Option<u32>, ()> {
            Ok(None)
        }
    }
    let mut edited = Edited(Vec::new());
    ReceiveEdit::new(None, HandedDown::default())
        .pass(stream, &mut edited)
        .unwrap();
    edited.0
}

impl Chain {
    fn new() -> Self {
        let machine = Machine::fed(Some(LoopFs::new(512)));
        let streams = decide_both(&machine);
        let stranger = Machine::fed(None);
        stranger.write_config(&fed_config().replace("$R", &machine.fill("$R")));
        decide_both(&stranger);
        let forged =
            [".zst.age", "key.age"].map(|ending| fs::read(&stranger.objects(ending)[0]).unwrap());
        let stub = Stub::new();
        let received = Pipe::new();
        let script = format!("tee {} | \"$real\" \"$@\"", received.path());
        stub.does("receive", &script);
        Self {
            segments: machine.objects(".zst.age"),
            machine,
            stub,
            received,
            streams,
            forged,
        }
    }

    /// Restores, and returns how that ended and what `btrfs receive` was given.
    fn restore(&self) -> (Option<i32>, String, Vec<u8>) {
        let to = self.machine.btrfs().path("to");
        fs::create_dir(&to).unwrap();
        let words =
            "restore home --from store --date 2024-01-07 --to $FS/to --identity $T/kit --yes";
        let mut command = self.machine.command(words);
        let run = self
            .machine
            .run_command(command.env("PATH", self.stub.path()));
        let received = self.received.drain();
        for date in ["2024-01-01", "2024-01-07"] {
            let path = to.join("home").join(date);
            if path.exists() {
                btrfs(["subvolume", "delete"], &[&path]);
            }
        }
        fs::remove_dir_all(&to).unwrap();
        (run.code, run.stderr, received)
    }

    /// Every way in which a segment may be damaged.
    fn strike(&self, segment: &Path, way: &str) {
        let bytes = fs::read(segment).unwrap();
        let other = self.segments.iter().find(|other| *other != segment);
        let other = fs::read(other.unwrap()).unwrap();
        fs::remove_file(segment).unwrap();
        let middle = bytes.len() / 2;
        let struck = match way {
            "delete" => return,
            "truncate" => bytes[..middle].to_vec(),
            "extend" => [bytes, b"more".to_vec()].concat(),
            "flip" => {
                let mut bytes = bytes;
                bytes[middle] ^= 0x10;
                bytes
            }
            "replay" => other,
            "forge" => {
                let key = segment.with_file_name("key.age");
                fs::remove_file(&key).unwrap();
                fs::write(&key, &self.forged[1]).unwrap();
                self.forged[0].clone()
            }
            _ => unreachable!(),
        };
        fs::write(segment, struck).unwrap();
    }
}

#[test]
fn damage_of_each_kind_stops_a_restore_before_btrfs_receive_sees_any_of_it() {
    if !real_btrfs_available() {
        return;
    }
    let chain = Chain::new();
    assert_eq!(chain.segments.len(), 3);
    let (code, stderr, received) = chain.restore();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(received.len(), chain.streams.len());
    assert!(received == chain.streams, "all of it was received");
    for segment in &chain.segments {
        let key = segment.with_file_name("key.age");
        let [true_bytes, true_key] = [segment, &key].map(|path| fs::read(path).unwrap());
        for way in ["delete", "truncate", "extend", "flip", "replay", "forge"] {
            let what = format!("{way} {}", segment.display());
            chain.strike(segment, way);
            let (code, stderr, received) = chain.restore();
            assert_eq!(code, Some(6), "{what}: {stderr}");
            assert!(stderr.contains(" is damaged: "), "{what}: {stderr}");
            assert!(
                chain.streams.starts_with(&received),
                "{what}: btrfs receive was given what was not archived"
            );
            assert!(received.len() < chain.streams.len(), "{what}");
            fs::write(segment, &true_bytes).unwrap();
            fs::write(&key, &true_key).unwrap();
        }
    }
    assert_eq!(chain.restore().0, Some(0), "all is as it was");
}

#[test]
fn a_segment_that_was_signed_and_cannot_be_opened_is_damage_to_a_restore() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(Some(LoopFs::new(256)));
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    // A writer that sealed it to somebody else: its sealed key, which is no segment, is signed as one.
    let key = fs::read_to_string(machine.path("state/signing.key")).unwrap();
    let key = SigningKey::from_file_text(&key).unwrap();
    let path = &machine.objects(".entry")[1];
    let mut entry = decode_body(split(&fs::read(path).unwrap()).unwrap().0).unwrap();
    let EntryKind::Archive(archive) = &mut entry.kind else {
        panic!("it is the archive's");
    };
    let wrong = fs::read(&machine.objects("key.age")[0]).unwrap();
    archive.segments[0].sha256 = Sha256::of(&wrong);
    archive.segments[0].sealed_bytes = wrong.len() as u64;
    archive.sealed_bytes = wrong.len() as u64;
    let segment = keys::segment("home", &archive.id, 0, &archive.segments[0].sha256);
    fs::write(machine.path("store").join(segment), &wrong).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, sign(&encode_body(&entry).unwrap(), &key).unwrap()).unwrap();

    let run = |words: &str| {
        let words = format!("{words} --identity $T/kit --state-dir $T/other");
        let mut command = machine.command(&words);
        machine.run_command(command.env("COLDCHAIN_CONFIG", machine.path("no-config")))
    };
    let rebuilt = run("catalog rebuild --store file://$T/store");
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    fs::create_dir(machine.btrfs().path("to")).unwrap();
    for words in [
        "restore home --from store --to $FS/to --yes",
        "verify --deep",
    ] {
        let run = run(words);
        assert_eq!(run.code, Some(6), "{run:?}");
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(told.contains("can't be opened"), "{told}");
    }
}
