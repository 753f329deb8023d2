//! Signed entries that are not as coldchain writes them, and the page's script: they keep nothing from coming back.

use std::process::Output;

use coldchain::model::entry::{AttachEntry, Attachment, EntryKind};
use coldchain::model::{ArchiveId, ArchiveKind, ContentsRecord, SegmentRecord, Sha256};

use crate::common::by_hand::{by_hand, can_run, root_of};
use crate::common::forged::Forger;
use crate::common::loopfs::LoopFs;
use crate::common::machine::Machine;
use crate::common::stream_builder::StreamBuilder;

const DATE: &str = "2024-01-01";

/// Contents that were attached to an archive.
fn contents(archive: ArchiveId) -> EntryKind {
    let object = SegmentRecord {
        raw_bytes: 1,
        sealed_bytes: 1,
        sha256: Sha256([7; 32]),
    };
    EntryKind::Attach(AttachEntry {
        objects: vec![Attachment {
            archive,
            what: Attachment::CONTENTS.to_owned(),
            recipients: Sha256([0; 32]),
            sealed: String::new(),
            contents: Some(ContentsRecord {
                stream_bytes: 1,
                objects: vec![object],
            }),
            replaces: None,
        }],
    })
}

/// A machine whose store holds a full, and its forger.
fn archived() -> (Machine, Forger, ArchiveId) {
    let machine = Machine::fed(None);
    let forger = Forger::of(&machine);
    let stream = StreamBuilder::full(1).mkfile(b"x").finish();
    let id = forger.archive(DATE, ArchiveKind::Full, &stream, None);
    (machine, forger, id)
}

/// Restores by the page's script into a target of its own.
fn restored(machine: &Machine) -> Output {
    let fs = LoopFs::new(256);
    let target = fs.subvolume("target");
    let (source, kit) = (machine.path("store/home"), machine.path("kit"));
    let output = by_hand(&source, &kit, &root_of(machine), DATE, &target);
    assert!(output.status.success(), "{output:?}");
    assert!(target.join(DATE).join("x").exists(), "{output:?}");
    output
}

#[test]
fn contents_that_were_attached_are_no_damage() {
    if !can_run() {
        return;
    }
    let (machine, forger, id) = archived();
    forger.append(contents(id), |_| {});
    forger.append(contents(id), |_| {});
    let said = String::from_utf8(restored(&machine).stderr).unwrap();
    assert!(
        !said.contains("DAMAGED") && !said.contains("passed over"),
        "{said}"
    );
}

#[test]
fn an_entry_that_begins_with_something_else_than_an_object_is_passed_over() {
    if !can_run() {
        return;
    }
    let with = |start: &'static [u8]| move |line: Vec<u8>| [start, &line].concat();
    for (start, shown) in [
        (&b"\xef\xbb\xbf"[..], "ef bb bf"),
        (b"\x1e", "1e 7b 22"),
        (b" ", "20 7b 22"),
        (b"[]", "5b 5d 7b"),
    ] {
        let (machine, forger, id) = archived();
        forger.append_spoiled(contents(id), with(start));
        let said = String::from_utf8(restored(&machine).stderr).unwrap();
        let says = format!(
            "entry 3 is signed, but coldchain writes no such entry: it begins with {shown} in place of {{"
        );
        assert!(said.contains(&says), "{said}");
    }
    // An archive too, whose entry the script reads once more at its end.
    let (machine, forger, _) = archived();
    let stream = StreamBuilder::header(1)
        .subvol(b"other", [3; 16], 10)
        .finish();
    let other = forger.archive("2024-01-07", ArchiveKind::Full, &stream, None);
    forger.respoil(with(b"\xef\xbb\xbf"));
    let said = String::from_utf8(restored(&machine).stderr).unwrap();
    assert!(said.contains("entry 3 is signed, but"), "{other}: {said}");
}
