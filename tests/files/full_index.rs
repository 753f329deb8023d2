//! A disk that is full while the file index is made: the archive is whole, the run ends well, and the next question is right.

use std::fmt::Write as _;

use crate::common::machine::{Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;
use crate::common::tmpfs::Tmpfs;
use crate::common::whole::visible_streams;

const FILES: usize = 4_000;

/// A full with so many empty files that its index takes a megabyte.
fn stream() -> Vec<u8> {
    let full = StreamBuilder::header(1).subvol(b"2024-01-01", [1; 16], 10);
    let named = (0..FILES).fold(full, |stream, at| stream.mkfile(name(at).as_bytes()));
    named.finish()
}

fn name(at: usize) -> String {
    format!("a file with a name of some length, so that the index is large {at:05}")
}

/// A machine that indexes, whose state directory is a disk of its own, of 16 MiB.
fn with_state_disk() -> (Tmpfs, Machine) {
    let machine = Machine::new();
    let disk = Tmpfs::on(&machine.state(), 16 << 10);
    machine.write_config(&format!("contents = true\n{}", fed_config()));
    let init = machine.run("init --kit $T/kit --quiet");
    assert_eq!((init.code, init.stderr.as_str()), (Some(0), ""));
    (disk, machine)
}

#[test]
fn a_disk_that_is_full_while_the_index_is_made_costs_the_index_alone() {
    let stream = stream();
    let listed = (0..FILES).fold(String::new(), |mut text, at| {
        writeln!(text, "{}", name(at)).unwrap();
        text
    });
    let (mut warned, mut free) = (0, 768);
    loop {
        let (disk, machine) = with_state_disk();
        disk.leave_free(free);
        let run = machine.run_with("decide 2024-01-01", &stream);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(0), "c\n"),
            "{free}: {run:?}"
        );
        assert_eq!(visible_streams(&machine)["2024-01-01"], stream);
        let is_indexed = machine.run("ls -q home").code == Some(0);
        if run
            .stderr
            .contains("warning: home: cannot index the files: ")
        {
            assert!(
                run.stderr
                    .contains("its archives are whole, and can be indexed later"),
                "{run:?}"
            );
            assert!(!is_indexed, "{free}");
            warned += 1;
        } else {
            assert_eq!(run.stderr, "", "{free}");
        }
        disk.free_all();
        let asked = machine.run("ls -q home --identity $T/kit");
        assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""), "{free}");
        assert_eq!(asked.stdout, listed, "{free}");
        if is_indexed {
            break;
        }
        free += 384;
    }
    assert!(
        warned > 0,
        "it was full for other things alone, up to {free} KiB"
    );
}
