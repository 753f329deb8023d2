//! The edge to btrfs on a real one: what the kernel and btrfs-progs do is what the crate thinks.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::rng::Rng;
use crate::common::stream_builder::{CTRANSID, OWN, PARENT, StreamBuilder};
use crate::common::stub::write_script;
use crate::common::tree::{compare_trees, describe, make_rich_tree, mutate_tree, non_utf8_name};
use coldchain::btrfs::{
    BtrfsError, CompressedData, Confinement, Expect, ExpectParent, Guard, GuardError,
    HeldDirectory, ReadOnly, Receiver, SendRequest, Sender, SentBy, StreamSummary, Tools, estimate,
    identity, kernel_release, require_btrfs, require_root, snapshots, sync,
};
use coldchain::model::{Protocol, SubvolumeIdentity, Uuid};
use coldchain::process::ProcessError;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// The longest path of the send parent that can be cloned from.
const LONGEST_CLONED: usize = 4083;

fn tools() -> Tools {
    Tools::find().unwrap()
}

fn request(snapshot: &Path, send_parent: Option<&Path>, protocol: Protocol) -> SendRequest {
    SendRequest {
        by: SentBy::Btrfs,
        snapshot: snapshot.to_owned(),
        send_parent: send_parent.map(Path::to_owned),
        protocol,
    }
}

/// The whole output of a sender that ended well.
fn send(request: &SendRequest) -> Vec<u8> {
    let mut sender = Sender::spawn(&tools(), request).unwrap();
    let mut stream = Vec::new();
    sender.read_to_end(&mut stream).unwrap();
    sender.finish().unwrap();
    stream
}

fn guard(expect: Expect, stream: &[u8]) -> Result<StreamSummary, GuardError> {
    let mut guard = Guard::new(expect);
    for piece in stream.chunks(100_000) {
        guard.push(piece)?;
    }
    assert_eq!(guard.cleared(), stream.len() as u64);
    guard.finish()
}

/// A receiver that is confined to a directory.
fn receiver(directory: &Path) -> Receiver {
    let target = HeldDirectory::open(directory.parent().unwrap()).unwrap();
    let staging = target.enter(directory.file_name().unwrap()).unwrap();
    let confinement = Confinement::to(&staging.unwrap(), &target).unwrap();
    Receiver::spawn(&tools(), confinement).unwrap()
}

/// Receives a stream and makes it durable.
fn receive(directory: &Path, stream: &[u8]) -> Result<(), BtrfsError> {
    let mut receiver = receiver(directory);
    let written = receiver.write_all(stream);
    receiver.finish()?;
    written.unwrap();
    sync(directory)
}

fn snapshot(fs: &LoopFs, name: &str) -> (PathBuf, SubvolumeIdentity) {
    let path = fs.path(name);
    let made = snapshots::create(&tools(), &fs.path("live"), &path).unwrap();
    (path, made)
}

/// A filesystem with a subvolume `live` that holds only random data.
fn fs_with_data(mib: usize) -> LoopFs {
    let fs = LoopFs::new(512);
    let live = fs.subvolume("live");
    let mut rng = Rng::new(11);
    for number in 0..mib {
        fs::write(live.join(format!("{number}.bin")), rng.bytes(1 << 20)).unwrap();
    }
    fs
}

/// A chain of snapshots goes through send, guard and receive; each is held against its source.
fn round_trip(options: &str, protocol: Protocol, seed: u64) {
    let fs = LoopFs::with_options(512, options);
    let target = LoopFs::with_options(512, options);
    std::fs::create_dir(target.path("in")).unwrap();
    let live = fs.subvolume("live");
    let mut rng = Rng::new(seed);
    make_rich_tree(&live, &mut rng);
    let mut send_parent: Option<(PathBuf, SubvolumeIdentity)> = None;
    for number in 0..6 {
        if number > 0 {
            mutate_tree(&live, &mut rng);
        }
        let (path, made) = snapshot(&fs, &format!("s{number}"));
        let parent_path = send_parent.as_ref().map(|(path, _)| path.as_path());
        let stream = send(&request(&path, parent_path, protocol));
        let summary = guard(
            Expect {
                uuid: Some(made.stream_uuid()),
                ctransid: Some(made.ctransid),
                send_parent: match &send_parent {
                    None => ExpectParent::None,
                    Some((_, parent)) => ExpectParent::Uuid(parent.stream_uuid()),
                },
                // No other form carries any.
                compressed_data: match protocol {
                    Protocol::CompressedData => CompressedData::Allowed,
                    Protocol::V1 | Protocol::V2 => CompressedData::Refused,
                },
            },
            &stream,
        )
        .unwrap_or_else(|error| panic!("s{number}: {error}: {}", error.refusal));
        assert_eq!(summary.head.name, format!("s{number}").as_bytes());
        assert_eq!(summary.bytes, stream.len() as u64);
        assert_eq!(
            summary.head.send_parent,
            send_parent
                .as_ref()
                .map(|(_, parent)| (parent.uuid, parent.ctransid))
        );
        assert_eq!(summary.head.protocol, protocol.version());

        receive(&target.path("in"), &stream).unwrap();
        let received = target.path(format!("in/s{number}"));
        let back = identity(&received).unwrap();
        assert!(back.read_only);
        assert_eq!(back.received_uuid, Some(made.uuid));
        assert_eq!(back.stream_uuid(), made.uuid);
        compare_trees(&path, &received);
        send_parent = Some((path, made));
    }
}

#[test]
fn a_chain_of_version_one_passes_the_guard_and_comes_back_equal() {
    if real_btrfs_available() {
        round_trip("", Protocol::V1, 1);
        round_trip("", Protocol::V1, 2);
    }
}

#[test]
fn a_chain_of_version_two_passes_the_guard_and_comes_back_equal() {
    if real_btrfs_available() {
        round_trip("", Protocol::V2, 5);
        round_trip("compress-force=zstd", Protocol::V2, 6);
    }
}

#[test]
fn a_chain_of_compressed_data_passes_the_guard_and_comes_back_equal() {
    if real_btrfs_available() {
        tools().require_for(Protocol::CompressedData).unwrap();
        round_trip("compress-force=zstd", Protocol::CompressedData, 3);
        round_trip("compress=lzo", Protocol::CompressedData, 4);
    }
}

#[test]
fn a_sender_that_was_stopped_and_continued_exits_well_with_a_stream_that_the_guard_refuses() {
    if !real_btrfs_available() {
        return;
    }
    let fs = fs_with_data(16);
    let (path, _) = snapshot(&fs, "s");
    let mut sender = Sender::spawn(&tools(), &request(&path, None, Protocol::V1)).unwrap();
    let mut stream = vec![0; 1 << 20];
    sender.read_exact(&mut stream).unwrap();
    // 15 MiB are left and the pipes hold two at most: it is in the middle of sending.
    let pid = Pid::from_raw(i32::try_from(sender.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped());
    kill_process(pid, Signal::CONT).unwrap();
    sender.read_to_end(&mut stream).unwrap();
    sender.finish().unwrap();

    let mut guard = Guard::new(Expect::default());
    let verdict = guard.push(&stream);
    verdict.and_then(|()| guard.finish().map(drop)).unwrap_err();
}

#[test]
fn a_sender_that_was_killed_is_an_error() {
    if !real_btrfs_available() {
        return;
    }
    let fs = fs_with_data(8);
    let (path, _) = snapshot(&fs, "s");
    let mut sender = Sender::spawn(&tools(), &request(&path, None, Protocol::V1)).unwrap();
    let mut stream = vec![0; 1 << 20];
    sender.read_exact(&mut stream).unwrap();
    let pid = Pid::from_raw(i32::try_from(sender.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    sender.read_to_end(&mut stream).unwrap();
    let error = sender.finish().unwrap_err().to_string();
    assert!(error.contains("SIGKILL"), "{error}");
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(guard_refuses(&stream));
}

fn guard_refuses(stream: &[u8]) -> bool {
    let mut guard = Guard::new(Expect::default());
    guard.push(stream).is_err() || guard.finish().is_err()
}

#[test]
fn a_sender_that_is_finished_before_eof_is_an_error_and_a_dropped_one_is_gone() {
    if !real_btrfs_available() {
        return;
    }
    let fs = fs_with_data(8);
    let (path, _) = snapshot(&fs, "s");
    let request = request(&path, None, Protocol::V1);
    let mut sender = Sender::spawn(&tools(), &request).unwrap();
    sender.read_exact(&mut [0; 1000]).unwrap();
    assert!(matches!(
        sender.finish(),
        Err(BtrfsError::Process(ProcessError::Failed { .. }))
    ));

    let mut sender = Sender::spawn(&tools(), &request).unwrap();
    sender.read_exact(&mut [0; 1000]).unwrap();
    let process = PathBuf::from(format!("/proc/{}", sender.pid()));
    // A session of its own: the session's id is the sixth field of its stat, and is its own.
    let stat = fs::read_to_string(process.join("stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let session = after_name.split_whitespace().nth(3).unwrap();
    assert_eq!(session, sender.pid().to_string());
    drop(sender);
    assert!(!process.exists());
}

#[test]
fn what_send_says_on_stderr_is_in_the_error() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(128);
    let live = fs.subvolume("live");
    let mut sender = Sender::spawn(&tools(), &request(&live, None, Protocol::V1)).unwrap();
    let mut stream = Vec::new();
    sender.read_to_end(&mut stream).unwrap();
    let error = sender.finish().unwrap_err().to_string();
    assert!(error.contains("is not read-only"), "{error}");
    assert!(stream.is_empty());
    assert!(estimate(&tools(), &request(&live, None, Protocol::V1)).is_err());
}

#[test]
fn an_estimate_is_within_two_percent_of_the_stream() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(512);
    let live = fs.subvolume("live");
    let mut rng = Rng::new(5);
    make_rich_tree(&live, &mut rng);
    let (first, _) = snapshot(&fs, "s0");
    fs::write(live.join("added"), rng.bytes(3 << 20)).unwrap();
    mutate_tree(&live, &mut rng);
    let (second, _) = snapshot(&fs, "s1");
    for request in [
        request(&first, None, Protocol::V1),
        request(&second, None, Protocol::V1),
        request(&second, Some(&first), Protocol::V1),
        request(&second, Some(&first), Protocol::V2),
    ] {
        let real = send(&request).len() as u64;
        let estimated = estimate(&tools(), &request).unwrap();
        let off = real.abs_diff(estimated);
        assert!(off * 50 <= real, "{estimated} for {real}: {request:?}");
    }
}

#[test]
fn a_receiver_of_a_cut_stream_fails_and_leaves_what_can_be_deleted_by_its_id() {
    if !real_btrfs_available() {
        return;
    }
    let fs = fs_with_data(2);
    let (path, _) = snapshot(&fs, "s");
    let stream = send(&request(&path, None, Protocol::V1));
    let target = fs.path("in");
    fs::create_dir(&target).unwrap();
    let error = receive(&target, &stream[..stream.len() - 10]).unwrap_err();
    assert!(error.to_string().contains("unexpected EOF"), "{error}");
    let left = target.join("s");
    let found = identity(&left).unwrap();
    assert!(!found.read_only);
    assert_eq!(found.received_uuid, None);

    let refused = snapshots::delete(&tools(), &left, found.uuid, found.uuid).unwrap_err();
    assert!(matches!(refused, BtrfsError::NotReadOnly { .. }));
    let held = HeldDirectory::open(&target).unwrap();
    let name = OsStr::new("s");
    let refused = held.delete(name, found.subvolume_id + 1).unwrap_err();
    assert!(matches!(refused, BtrfsError::OtherId { .. }));
    held.delete(name, found.subvolume_id).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_dropped_receiver_is_gone_and_has_sealed_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let fs = fs_with_data(2);
    let (path, _) = snapshot(&fs, "s");
    let stream = send(&request(&path, None, Protocol::V1));
    let target = fs.path("in");
    fs::create_dir(&target).unwrap();
    let mut receiver = receiver(&target);
    receiver.write_all(&stream[..stream.len() - 10]).unwrap();
    let process = PathBuf::from(format!("/proc/{}", receiver.pid()));
    drop(receiver);
    assert!(!process.exists());
    if let Ok(left) = identity(&target.join("s")) {
        assert!(!left.read_only);
    }
}

/// A path of so many bytes whose directories are made first.
fn long_path(mut stream: StreamBuilder, length: usize) -> (StreamBuilder, Vec<u8>) {
    let mut path = Vec::new();
    while path.len() + 202 <= length {
        path.extend([b'd'; 200]);
        stream = stream.mkdir(&path);
        path.push(b'/');
    }
    path.extend(vec![b'f'; length - path.len()]);
    (stream, path)
}

#[test]
fn a_clone_from_the_send_parent_takes_as_long_a_path_as_the_guard_lets_pass() {
    if !real_btrfs_available() {
        return;
    }
    let received = |length: usize| {
        let fs = LoopFs::new(128);
        fs::create_dir(fs.path("in")).unwrap();
        let header = StreamBuilder::header(1).subvol(b"r", PARENT, 4000);
        let (stream, path) = long_path(header, length);
        let stream = stream.mkfile(&path).write(&path, 0, &[7; 4096]);
        receive(&fs.path("in"), &stream.finish()).unwrap();
        // Where a restore has it: beside the staging directory, under its date.
        let held = HeldDirectory::open(&fs.root()).unwrap();
        let staging = held.enter(OsStr::new("in")).unwrap().unwrap();
        let staged = staging.subvolume(OsStr::new("r")).unwrap().unwrap();
        held.snapshot(&staged, OsStr::new("2026-11-21"), ReadOnly::Yes)
            .unwrap();
        let id = staged.identity().unwrap().subvolume_id;
        staging.delete(OsStr::new("r"), id).unwrap();
        let stream = StreamBuilder::header(1)
            .snapshot(b"r", OWN, CTRANSID, PARENT, 4000)
            .mkfile(b"copy")
            .clone_range(b"copy", PARENT, &path)
            .finish();
        (
            guard(Expect::default(), &stream),
            receive(&fs.path("in"), &stream),
        )
    };
    let (passed, taken) = received(LONGEST_CLONED);
    passed.unwrap();
    taken.unwrap();
    let (passed, taken) = received(LONGEST_CLONED + 1);
    assert!(taken.is_err());
    let refused = passed.unwrap_err().source().unwrap().to_string();
    assert!(refused.contains("that a restore can"), "{refused}");
}

#[test]
fn the_guard_forwards_nothing_of_a_hostile_stream_that_receive_would_obey() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(128);
    let target = fs.path("in");
    fs::create_dir(&target).unwrap();
    let stream = StreamBuilder::full(1)
        .mkfile(b"good")
        .mkfile(b"../escaped")
        .finish();
    let mut guard = Guard::new(Expect::default());
    let error = guard.push(&stream).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("`..`"));
    let cleared = usize::try_from(guard.cleared()).unwrap();
    assert_eq!(
        stream[..cleared],
        StreamBuilder::full(1).mkfile(b"good").bytes
    );
    receive(&target, &stream[..cleared]).unwrap_err();
    assert!(target.join("2026-11-21/good").exists());
    assert!(!target.join("escaped").exists());
}

#[test]
fn a_snapshot_is_what_its_identity_says_and_only_it_is_deleted() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(128);
    let live = fs.subvolume("live");
    fs::write(live.join("file"), b"1").unwrap();
    let (path, made) = snapshot(&fs, "s");
    let source = identity(&live).unwrap();
    assert!(made.read_only && !source.read_only);
    assert_eq!(made.parent_uuid, Some(source.uuid));
    assert_eq!(made.received_uuid, None);
    assert_eq!(identity(&path).unwrap(), made);
    let shown = btrfs(["subvolume", "show"], &[&path]).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains(&made.uuid.to_string()), "{shown}");
    assert!(
        shown.contains(&format!("Subvolume ID: \t\t{}", made.subvolume_id)),
        "{shown}"
    );

    // A balance, and a snapshot of it, change its generation and nothing that is looked at.
    btrfs(["balance", "start", "--full-balance"], &[&fs.root()]);
    btrfs(["subvolume", "snapshot"], &[&path, &fs.path("copy")]);
    assert_eq!(identity(&path).unwrap(), made);

    let again = snapshots::create(&tools(), &live, &path).unwrap_err();
    assert!(matches!(again, BtrfsError::Exists { .. }));
    assert!(!path.join("live").exists());

    let wrong = snapshots::delete(&tools(), &path, source.uuid, source.uuid).unwrap_err();
    assert!(matches!(wrong, BtrfsError::OtherUuid { .. }));
    let foreign = snapshots::delete(&tools(), &path, made.uuid, made.uuid).unwrap_err();
    assert!(matches!(foreign, BtrfsError::OtherOrigin { .. }));
    let writable = snapshots::delete(&tools(), &live, source.uuid, source.uuid).unwrap_err();
    assert!(matches!(writable, BtrfsError::NotReadOnly { .. }));
    symlink(&path, fs.path("alias")).unwrap();
    let alias = snapshots::delete(&tools(), &fs.path("alias"), made.uuid, source.uuid).unwrap_err();
    assert!(matches!(alias, BtrfsError::NotASubvolume { .. }));
    assert!(path.exists() && live.exists());
    snapshots::delete(&tools(), &path, made.uuid, source.uuid).unwrap();
    assert!(!path.exists() && live.exists());
    let gone = snapshots::delete(&tools(), &path, made.uuid, source.uuid).unwrap_err();
    assert!(matches!(gone, BtrfsError::Missing { .. }));
}

#[test]
fn what_is_no_subvolume_is_told_apart() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(128);
    let directory = fs.path("directory");
    fs::create_dir(&directory).unwrap();
    fs::write(fs.path("file"), b"").unwrap();
    require_btrfs(&directory).unwrap();
    require_root().unwrap();
    assert!(!kernel_release().is_empty());
    for path in [directory, fs.path("file")] {
        let error = identity(&path).unwrap_err();
        assert!(matches!(error, BtrfsError::NotASubvolume { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()));
    }
    assert!(matches!(
        identity(&fs.path("nothing")),
        Err(BtrfsError::Missing { .. })
    ));
    assert!(matches!(
        snapshots::create(&tools(), Path::new("/proc"), &fs.path("s")),
        Err(BtrfsError::NotBtrfs { .. })
    ));
}

#[test]
fn nested_subvolumes_are_found_however_deep_and_whatever_their_names() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(128);
    let live = fs.subvolume("live");
    fs.subvolume("beside");
    assert!(snapshots::nested_subvolumes(&live).unwrap().is_empty());
    fs::create_dir_all(live.join("a/b")).unwrap();
    let mut expected = vec![
        fs.subvolume("live/direct"),
        fs.subvolume("live/a/b/deep"),
        fs.subvolume("live/a/b/deep/deeper"),
        fs.subvolume(Path::new("live/a").join(non_utf8_name())),
        fs.subvolume("live/line\nbreak"),
    ];
    // More than one answer of the kernel holds.
    for number in 0..300 {
        expected.push(fs.subvolume(format!("live/a/many {number}")));
    }
    expected.sort();
    assert_eq!(snapshots::nested_subvolumes(&live).unwrap(), expected);
}

#[test]
fn what_was_received_is_found_by_its_uuid_wherever_it_is() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(256);
    fs.subvolume("live");
    let (path, made) = snapshot(&fs, "s");
    let stream = send(&request(&path, None, Protocol::V1));
    let other = Uuid([7; 16]);
    let wanted = [other, made.uuid];
    let find =
        |below: &Path, uuids: &[Uuid]| snapshots::received_from(&tools(), below, uuids).unwrap();
    assert!(find(&fs.root(), &wanted).is_empty());
    let target = fs.subvolume("kept").join("deep");
    fs::create_dir(&target).unwrap();
    receive(&target, &stream).unwrap();
    let expected = [snapshots::ReceivedSubvolume {
        path: PathBuf::from("kept/deep/s"),
        subvolume_id: identity(&target.join("s")).unwrap().subvolume_id,
        received_uuid: made.uuid,
    }];
    // Asked of a plain directory, and of another subvolume.
    assert_eq!(find(&target, &wanted), expected);
    assert_eq!(find(&path, &wanted), expected);
    assert!(find(&fs.root(), &[other]).is_empty());
    // A read-only snapshot of it keeps the received uuid, and one that is deleted is found no more.
    let twin = fs.path("twin");
    btrfs(["subvolume", "snapshot", "-r"], &[&target.join("s"), &twin]);
    let ids = || {
        let found = find(&fs.root(), &wanted);
        let ids = found.into_iter().map(|found| found.subvolume_id);
        ids.collect::<Vec<_>>()
    };
    let twin_id = identity(&twin).unwrap().subvolume_id;
    assert_eq!(ids(), [expected[0].subvolume_id, twin_id]);
    btrfs(["subvolume", "delete"], &[&target.join("s")]);
    assert_eq!(ids(), [twin_id]);
}

/// Something done to one file.
type Change<'a> = &'a dyn Fn(&Path);

#[test]
fn a_comparison_of_trees_sees_every_kind_of_difference() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(256);
    let live = fs.subvolume("live");
    make_rich_tree(&live, &mut Rng::new(9));
    let changed = fs.path("changed");
    let set_mode = |file: &Path, mode| {
        fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
    };
    let keep_mtime = |file: &Path, change: &dyn Fn(&Path)| {
        let before = file.metadata().unwrap().modified().unwrap();
        change(file);
        File::open(file).unwrap().set_modified(before).unwrap();
    };
    let differences: [(&str, Change<'_>); 7] = [
        ("docs/00.txt", &|file| set_mode(file, 0o600)),
        ("docs/01.txt", &|file| {
            lchown(file, Some(7), Some(7)).unwrap();
        }),
        ("docs/02.txt", &|file| {
            File::open(file).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }),
        ("media/1.bin", &|file| {
            keep_mtime(file, &|file| {
                let open = File::options().write(true).open(file).unwrap();
                open.write_all_at(b"other", 1000).unwrap();
            });
        }),
        ("docs/04.txt", &|file| {
            run(Command::new("setfacl").arg("-b").arg(file)).unwrap();
        }),
        ("work/symlink", &|file| {
            fs::remove_file(file).unwrap();
            symlink("elsewhere", file).unwrap();
        }),
        ("linked as well", &|file| {
            keep_mtime(file, &|file| {
                let copy = file.with_extension("copy");
                run(Command::new("cp").arg("-a").arg(file).arg(&copy)).unwrap();
                fs::rename(&copy, file).unwrap();
            });
        }),
    ];
    for (file, change) in differences {
        btrfs(["subvolume", "snapshot"], &[&live, &changed]);
        compare_trees(&live, &changed);
        change(&changed.join(file));
        let (before, after) = (describe(&live), describe(&changed));
        assert_ne!(
            before.get(OsStr::new(file)),
            after.get(OsStr::new(file)),
            "{file}"
        );
        btrfs(["subvolume", "delete"], &[&changed]);
    }
}

#[test]
fn a_sender_that_floods_stderr_does_not_hang() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"
if [ "$1" = version ]; then echo "btrfs-progs v6.2"; exit 0; fi
i=0; while [ $i -lt 3000 ]; do echo "ERROR: line $i of a long complaint about something" >&2; i=$((i+1)); done
echo stream; exit 7"#;
    write_script(&directory.path().join("btrfs"), script);
    let tools = Tools::find_in(directory.path().as_os_str()).unwrap();
    let request = request(Path::new("/snapshot"), None, Protocol::V1);
    let mut sender = Sender::spawn(&tools, &request).unwrap();
    let mut stream = Vec::new();
    sender.read_to_end(&mut stream).unwrap();
    assert_eq!(stream, b"stream\n");
    let error = sender.finish().unwrap_err().to_string();
    assert!(error.contains("exit status: 7"));
    assert!(error.ends_with("line 2999 of a long complaint about something"));
    assert!(error.len() < 66_000);
}
