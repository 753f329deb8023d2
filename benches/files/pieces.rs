//! How long the pieces of all files take to find, in how much memory.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

use coldchain::btrfs::{ContentsReader, Expect};
use coldchain::engine::{AllNames, PiecesTree, TreeFilePlaces, replay_pieces};

use super::contents::MadeUpTree;
use super::{highest_memory, megabytes, processor_time};

/// Replays a full and an incremental, within so many MiB of memory, and then selects everything.
pub(super) fn replay(tree: &MadeUpTree, limit: u64, directory: &Path) {
    let contents = directory.join("contents");
    let mut pieces = PiecesTree::new(limit << 20, TreeFilePlaces::at(directory));
    println!("{} paths, pieces within {limit} MiB", tree.files);
    for (archive, what) in [(0, "a full"), (1, "an incremental")] {
        if archive == 0 {
            tree.full(&contents, 0);
        } else {
            tree.incremental(&contents, 1);
        }
        timed(what, || {
            let input = BufReader::new(File::open(&contents).unwrap());
            let mut reader = ContentsReader::open(input, Expect::default()).unwrap();
            replay_pieces(&mut reader, archive, &mut pieces).unwrap();
        });
        println!(
            "    contents {:.1} MB; pieces on disk: {}, in memory: {} MiB",
            megabytes(&contents),
            pieces.is_on_disk(),
            pieces.memory() >> 20
        );
    }
    let selection = timed("everything is selected", || {
        AllNames::within(&pieces, u64::MAX)
            .select(&[Vec::new()])
            .unwrap()
    });
    timed("the pieces of all files are read", || {
        for file in &selection.files {
            assert!(pieces.data(*file).unwrap().pieces().count() > 0);
        }
    });
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    // The highest memory of the process is counted from here.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (began, cpu) = (Instant::now(), processor_time());
    let made = run();
    println!(
        "{what}: {:.2} s of the processor, {:.2} s, at most {} MiB of memory",
        processor_time().saturating_sub(cpu).as_secs_f64(),
        began.elapsed().as_secs_f64(),
        highest_memory(),
    );
    made
}
