//! The contents of archives: the stream without its file data, and the table of its segments.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldchain::btrfs::{ContentsReader, Expect, Guard};
use coldchain::model::{Blake3, ContentsRecord, Sha256, keys};
use coldchain::seal::{ArchiveKey, SegmentLayout, open_segment};

use crate::common::by_hand::can_run;
use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::rng::Rng;
use crate::common::tree::{make_rich_tree, mutate_tree};
use crate::common::whole::{WholeArchive, visible_archives};

const FIRST: &str = "2025-01-01";
const SECOND: &str = "2025-01-07";

/// A machine whose source has this line in its config.
fn machine(line: &str) -> Machine {
    let machine = Machine::with_subvolume(512);
    let store = "store = \"disk\"\n\n";
    let with_line = format!("store = \"disk\"\n{line}\n\n");
    let config = LIVE_CONFIG.replacen(store, &with_line, 1);
    machine.write_config(&format!("contents = true\n{config}"));
    machine
}

fn source(machine: &Machine) -> PathBuf {
    machine.btrfs().path("home")
}

fn back_up(machine: &Machine, date: &str) {
    let ran = machine.run(&format!("backup {date}"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// Where the objects of an archive's contents are, in order.
fn objects(machine: &Machine, archive: &WholeArchive) -> Vec<PathBuf> {
    let contents = archive.entry.contents.as_ref().unwrap();
    let name = |(index, object): (u32, &coldchain::model::SegmentRecord)| {
        let key = keys::contents("home", &archive.entry.id, index, &object.sha256);
        machine.path("store").join(key)
    };
    (0..).zip(&contents.objects).map(name).collect()
}

/// Opens the contents of an archive: the stream part and the table.
fn opened(machine: &Machine, archive: &WholeArchive) -> (Vec<u8>, Vec<u8>) {
    let ContentsRecord {
        stream_bytes,
        objects: records,
    } = archive.entry.contents.as_ref().unwrap();
    let mut raw = Vec::new();
    for (path, record) in objects(machine, archive).iter().zip(records) {
        let sealed = fs::read(path).unwrap();
        assert_eq!(sealed.len() as u64, record.sealed_bytes);
        assert_eq!(Sha256::of(&sealed), record.sha256);
        let mut reader = open_segment(&sealed, &archive.key, record.raw_bytes).unwrap();
        reader.read_to_end(&mut raw).unwrap();
    }
    let table = raw.split_off(usize::try_from(*stream_bytes).unwrap());
    (raw, table)
}

/// What the guard keeps of a stream, and how many commands it has.
fn cut(stream: &[u8]) -> (Vec<u8>, u64) {
    let mut guard = Guard::new(Expect {
        compressed_data: coldchain::btrfs::CompressedData::Allowed,
        ..Expect::default()
    });
    guard.keep_contents();
    guard.push(stream).unwrap();
    let contents = std::mem::take(guard.contents().unwrap());
    (contents, guard.finish().unwrap().commands)
}

/// Compares a segment with its layout, frame by frame.
fn check_layout(layout: &SegmentLayout, sealed: &[u8], key: &ArchiveKey, raw: &[u8]) {
    assert!(sealed.starts_with(&layout.header));
    let plain = key.open_private(sealed).unwrap();
    let mut at = 0;
    let frames = raw.chunks(4 << 20);
    assert_eq!(layout.frames.len(), frames.len());
    for (frame, raw) in layout.frames.iter().zip(frames) {
        let compressed = &plain[at..][..frame.compressed_bytes as usize];
        assert!(zstd::decode_all(compressed).unwrap() == raw);
        assert_eq!(frame.blake3, Blake3::of(raw));
        at += compressed.len();
    }
    // The seek table follows.
    assert_eq!(plain[at..][..4], 0x184D_2A5E_u32.to_le_bytes());
}

#[test]
fn the_contents_of_each_form_of_stream_are_the_stream_without_its_data_and_its_segments() {
    if !real_btrfs_available() {
        return;
    }
    for line in ["", "protocol = 2", "compressed_data = \"inexact\""] {
        let machine = machine(line);
        let mut rng = Rng::new(71);
        make_rich_tree(&source(&machine), &mut rng);
        // A second segment, whose frames do not compress.
        fs::write(source(&machine).join("noise"), rng.bytes(20 << 20)).unwrap();
        back_up(&machine, FIRST);
        mutate_tree(&source(&machine), &mut rng);
        back_up(&machine, SECOND);
        let archives = visible_archives(&machine);
        assert_eq!(archives.len(), 2);
        for archive in &archives {
            let (stream, mut table) = opened(&machine, archive);
            let (expected, commands) = cut(&archive.stream);
            assert!(stream == expected, "{line}");
            assert!(stream.len() < archive.stream.len());
            let expect = Expect {
                compressed_data: coldchain::btrfs::CompressedData::Allowed,
                ..Expect::default()
            };
            let mut reader = ContentsReader::open(&*stream, expect).unwrap();
            // The first and the last are not handed out.
            let mut read = 2;
            while reader.next_command().unwrap().is_some() {
                read += 1;
            }
            assert_eq!(read, commands, "{line}");
            assert_eq!(reader.offset(), archive.stream.len() as u64);
            let segments = archive.stream.chunks(16 << 20);
            assert_eq!(segments.len(), archive.entry.segments.len());
            for (index, raw) in (0..).zip(segments) {
                let record = &archive.entry.segments[index as usize];
                let key = keys::segment("home", &archive.entry.id, index, &record.sha256);
                let sealed = fs::read(machine.path("store").join(key)).unwrap();
                let (layout, rest) = SegmentLayout::decode(&table).unwrap();
                check_layout(&layout, &sealed, &archive.key, raw);
                table = rest.to_vec();
            }
            assert!(table.is_empty(), "nothing follows the table");
        }
        // Nothing of it stays in the catalog once it is committed.
        let catalog = rusqlite::Connection::open(machine.state().join("catalog.db")).unwrap();
        let layouts: i64 = catalog
            .query_row("SELECT count(layout) FROM segment", [], |row| row.get(0))
            .unwrap();
        assert_eq!(layouts, 0);
    }
}

#[test]
fn a_night_without_changes_stores_little_more() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine("");
    make_rich_tree(&source(&machine), &mut Rng::new(72));
    back_up(&machine, FIRST);
    back_up(&machine, SECOND);
    let archives = visible_archives(&machine);
    let contents = archives[1].entry.contents.as_ref().unwrap();
    let sealed: u64 = contents.objects.iter().map(|it| it.sealed_bytes).sum();
    assert!(sealed < 4096, "{contents:?}");
    let bodies = machine.objects(".entry");
    let entry = fs::metadata(bodies.last().unwrap()).unwrap().len();
    assert!(entry + sealed < 3 * 4096, "{entry} {sealed}");
}

#[test]
fn a_source_that_wants_no_contents_gets_none() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine("contents = false");
    fs::write(source(&machine).join("file"), "some").unwrap();
    back_up(&machine, FIRST);
    assert_eq!(visible_archives(&machine)[0].entry.contents, None);
    let sealed = machine.objects(".zst.age");
    assert_eq!(sealed.len(), 1, "{sealed:?}");
}

/// The script in `docs/format.md`.
fn script() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let page = fs::read_to_string(page).unwrap();
    let mut scripts = page.split("```python\n").skip(1);
    let script = scripts.next().unwrap().split("```\n").next().unwrap();
    assert!(script.lines().count() <= 40);
    script.to_owned()
}

/// All paths below a directory, relative to it.
fn paths(root: &Path) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let below = entry.path();
            let below = below.strip_prefix(root).unwrap();
            found.insert(below.as_os_str().as_bytes().to_vec());
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn public_tools_and_a_few_lines_list_the_files_of_an_archive_and_open_one_frame() {
    if !can_run() {
        return;
    }
    for line in ["", "protocol = 2"] {
        let machine = machine(line);
        let mut rng = Rng::new(73);
        make_rich_tree(&source(&machine), &mut rng);
        fs::write(source(&machine).join("noise"), rng.bytes(20 << 20)).unwrap();
        back_up(&machine, FIRST);
        let archive = &visible_archives(&machine)[0];
        let entry = &archive.entry;
        let key = machine.path("archive-key");
        let open = format!(
            "age -d -i {} {} > {}",
            machine.path("kit").display(),
            machine
                .path("store")
                .join(keys::archive_key("home", &entry.id))
                .display(),
            key.display()
        );
        let ran = Command::new("sh").args(["-c", &open]).status().unwrap();
        assert!(ran.success());
        let first = keys::segment("home", &entry.id, 0, &entry.segments[0].sha256);
        let (list, frame) = (machine.path("list"), machine.path("frame"));
        let ran = Command::new("python3")
            .args(["-c", &script()])
            .args([&key, &machine.path("store").join(first), &list, &frame])
            .args(objects(&machine, archive))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let listed = fs::read(list).unwrap();
        let listed: BTreeSet<Vec<u8>> = listed
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        let snapshot = machine.btrfs().path("snapshots").join(FIRST);
        assert_eq!(listed, paths(&snapshot));
        let frame = fs::read(frame).unwrap();
        assert!(frame == archive.stream[..4 << 20]);
        let digest = format!("{}\n", Blake3::of(&frame));
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), digest);
    }
}
