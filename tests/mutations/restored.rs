//! Damage to each segment in each way, and a restore by the real program whose `btrfs receive` keeps
//! what it was given.

use std::fs;
use std::path::{Path, PathBuf};

use super::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use super::common::machine::{Machine, fed_config};
use super::common::stub::Stub;
use super::common::whole::first_and_seventh;

/// A chain of two archives, the first of two segments.
struct Chain {
    machine: Machine,
    stub: Stub,
    /// Both streams, one after the other.
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
    [full, incremental].concat()
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
        stub.does("receive", "tee -a \"$stream\" | \"$real\" \"$@\"");
        Self {
            segments: machine.objects(".zst.age"),
            machine,
            stub,
            streams,
            forged,
        }
    }

    /// Restores, and returns how that ended and what `btrfs receive` was given.
    fn restore(&self) -> (Option<i32>, String, Vec<u8>) {
        fs::write(self.stub.stream(), b"").unwrap();
        let to = self.machine.btrfs().path("to");
        fs::create_dir(&to).unwrap();
        let words = "restore home --date 2024-01-07 --to $FS/to --identity $T/kit --yes";
        let mut command = self.machine.command(words);
        let run = self
            .machine
            .run_command(command.env("PATH", self.stub.path()));
        let received = fs::read(self.stub.stream()).unwrap();
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
