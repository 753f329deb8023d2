//! The ways out of the box that were found: each alone, in every way of restoring.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use super::ground::{Aims, Ground};
use super::hostile_chain::{BLOCK, HostileChain, Writing, mknod};
use super::moves::{Journey, Seed, Strike};
use super::plots::Plot;
use super::shelf::Shelf;
use super::ways::{WAYS, Way};
use super::{can_run, number};
use crate::common::stream_builder::StreamBuilder;

/// Makes a chain of two archives at those dates.
type Maker<'a> = &'a dyn Fn(&[String], &Aims) -> HostileChain;

/// Restores chains in each way, and panics once if one of them touched anything.
fn none_touches(chains: &[Maker<'_>]) {
    none_touches_by(&WAYS, chains);
}

fn none_touches_by(ways: &[Way], chains: &[Maker<'_>]) {
    let mut failures = Vec::new();
    let mut ground = Ground::new();
    let mut before = ground.look();
    let in_every_way = number("COLDCHAIN_HOSTILE_CHAINS").is_some();
    for (at, chain) in chains.iter().enumerate() {
        // The page's script takes seconds: in the suite it restores the first of them.
        let taken = ways
            .iter()
            .copied()
            .filter(|way| in_every_way || at == 0 || *way != Way::ByHand);
        for way in taken {
            let mut shelf = Shelf::new();
            let hostile = chain(&shelf.dates()[..2], &ground.aims());
            shelf.put(&hostile);
            let ended = way.run(shelf.machine(), &ground, &hostile.archives[1].date);
            let touched = ground.touched(&before);
            if !touched.is_empty() || ended.fault(way).is_some() {
                failures.push(format!(
                    "{way:?} of {}: touched {touched:?}, {:?}: {}",
                    hostile.kinds.join("; "),
                    ended.fault(way),
                    ended.said.trim()
                ));
                ground = Ground::new();
                before = ground.look();
            }
            ground.clear();
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn none_of_the_plots_touches(plots: &[Plot]) {
    none_of_the_plots_touches_by(&WAYS, plots);
}

fn none_of_the_plots_touches_by(ways: &[Way], plots: &[Plot]) {
    let chains: Vec<_> = plots
        .iter()
        .map(|plot| {
            let plot = *plot;
            move |dates: &[String], aims: &Aims| HostileChain::of(&[plot], dates, aims)
        })
        .collect();
    let chains: Vec<Maker<'_>> = chains.iter().map(|chain| chain as _).collect();
    none_touches_by(ways, &chains);
}

const fn plot(seed: Seed, journey: Journey, strike: Strike, at: [usize; 3]) -> Plot {
    Plot {
        seed,
        journey,
        strike,
        at,
    }
}

/// A chain whose plot needs paths of its own.
fn written(
    kind: &'static str,
    more: impl Fn(&mut Writing<'_>),
) -> impl Fn(&[String], &Aims) -> HostileChain {
    move |dates, aims| {
        let seed = dates[0]
            .bytes()
            .fold(7, |seed, byte| seed * 31 + u64::from(byte));
        HostileChain::written(seed, dates, aims, |writing| {
            writing.note(kind);
            more(writing);
        })
    }
}

/// On the second of the archives.
fn incremental(writing: &mut Writing<'_>, more: impl FnOnce(StreamBuilder) -> StreamBuilder) {
    writing.on(1, more);
}

#[test]
fn no_disk_is_written_that_an_archive_has_a_node_of() {
    if !can_run() {
        return;
    }
    none_of_the_plots_touches(&[
        plot(Seed::Disk, Journey::Stays, Strike::Write, [0, 0, 0]),
        plot(Seed::Disk, Journey::Stays, Strike::Write, [0, 0, 1]),
        plot(Seed::Disk, Journey::Stays, Strike::EncodedWrite, [0, 0, 1]),
        plot(Seed::Disk, Journey::Stays, Strike::Fallocate, [0, 0, 1]),
        plot(Seed::Disk, Journey::Stays, Strike::Truncate, [0, 0, 1]),
    ]);
}

#[test]
fn no_disk_is_written_whose_node_was_renamed_linked_or_carried_elsewhere() {
    if !can_run() {
        return;
    }
    none_of_the_plots_touches(&[
        plot(Seed::Disk, Journey::Renamed, Strike::Write, [0, 1, 1]),
        plot(Seed::Disk, Journey::Linked, Strike::Write, [0, 1, 1]),
        plot(Seed::Disk, Journey::Carried, Strike::Write, [0, 1, 1]),
        plot(Seed::Disk, Journey::RenamedOver, Strike::Write, [0, 1, 1]),
        plot(
            Seed::Disk,
            Journey::LinkedAndRenamed,
            Strike::Write,
            [0, 1, 1],
        ),
    ]);
}

#[test]
fn no_disk_is_written_through_links_to_its_node() {
    if !can_run() {
        return;
    }
    none_of_the_plots_touches(&[
        plot(Seed::ToNode, Journey::Stays, Strike::Write, [0, 0, 1]),
        plot(
            Seed::ToNode,
            Journey::Renamed,
            Strike::EncodedWrite,
            [0, 1, 1],
        ),
    ]);
    // Beside the subvolume, where a link of the parent leads.
    let beside = written("a disk's node beside the subvolume", |writing| {
        let rdev = writing.aims.rdev;
        writing.on(0, |stream| stream.symlink(b"up", b".."));
        incremental(writing, |stream| {
            mknod(stream, b"up/node", BLOCK, rdev).write(b"up/node", 0, &[b'!'; 4096])
        });
    });
    none_touches(&[&beside]);
}

#[test]
fn a_link_up_and_a_link_beside_the_mark_overwrite_no_file() {
    if !can_run() {
        return;
    }
    let to = |up: &'static str, name: &'static str| {
        move |writing: &mut Writing<'_>| {
            let canary = writing.aims.files[0].clone();
            writing.on(0, |stream| stream.symlink(b"up", up.as_bytes()));
            let path = format!("up/{name}");
            incremental(writing, |stream| {
                stream.symlink(path.as_bytes(), canary.as_bytes())
            });
        }
    };
    none_touches(&[
        &written(
            "a link beside the mark",
            to("..", ".coldchain-restore.json.new"),
        ),
        &written(
            "the same further up",
            to("../..", ".coldchain-restore.json.new"),
        ),
        &written(
            "the same by the root",
            to("/", ".coldchain-restore.json.new"),
        ),
        &written(
            "a link in a directory like the staging's",
            to("..", ".coldchain-staging"),
        ),
    ]);
}

#[test]
fn the_reader_of_a_fifo_elsewhere_gets_no_byte_of_the_mark() {
    if !can_run() {
        return;
    }
    let fifo = written("a link beside the mark to a fifo", |writing| {
        let fifos = &writing.aims.files;
        let fifo = fifos.iter().find(|path| path.ends_with("/fifo")).unwrap();
        let fifo = fifo.clone().into_bytes();
        writing.on(0, |stream| stream.symlink(b"up", b".."));
        incremental(writing, |stream| {
            stream.symlink(b"up/.coldchain-restore.json.new", &fifo)
        });
    });
    none_touches(&[&fifo]);
}

#[test]
fn a_mark_that_is_removed_and_replaced_through_a_link_overwrites_and_deletes_nothing() {
    if !can_run() {
        return;
    }
    let replaced = written("the mark replaced by a link", |writing| {
        let canary = writing.aims.files[0].clone();
        writing.on(0, |stream| stream.symlink(b"up", b".."));
        incremental(writing, |stream| {
            stream
                .unlink(b"up/.coldchain-restore.json")
                .symlink(b"up/.coldchain-restore.json", canary.as_bytes())
        });
    });
    let moved = written("the mark moved away", |writing| {
        writing.on(0, |stream| stream.symlink(b"up", b".."));
        incremental(writing, |stream| {
            stream.rename(b"up/.coldchain-restore.json", b"taken")
        });
    });
    let fifo = written("a fifo beside the mark", |writing| {
        writing.on(0, |stream| stream.symlink(b"up", b".."));
        incremental(writing, |stream| {
            stream.make(6, b"up/.coldchain-restore.json.new")
        });
    });
    none_touches(&[&replaced, &moved, &fifo]);
}

#[test]
fn nested_symlinked_directories_lead_nowhere() {
    if !can_run() {
        return;
    }
    let nested = written("links in links", |writing| {
        let canary = writing.aims.files[0].clone();
        writing.on(0, |stream| {
            stream
                .mkdir(b"a")
                .mkdir(b"a/b")
                .symlink(b"a/b/up", b"../../..")
                .symlink(b"to-b", b"a/b")
                .symlink(b"to-up", b"to-b/up")
        });
        incremental(writing, |stream| {
            stream
                .rename(b"a", b"c")
                .symlink(b"a", b"c")
                .symlink(b"c/b/up/.coldchain-restore.json.new", canary.as_bytes())
        });
    });
    let by_link = written("a link to a link", |writing| {
        let canary = writing.aims.files[0].clone();
        writing.on(0, |stream| {
            stream.symlink(b"first", b"..").symlink(b"second", b"first")
        });
        incremental(writing, |stream| {
            stream.symlink(b"second/.coldchain-restore.json.new", canary.as_bytes())
        });
    });
    none_touches(&[&nested, &by_link]);
}

#[test]
fn a_clone_through_a_link_of_the_parent_reads_nothing_out() {
    if !can_run() {
        return;
    }
    let clone = |up: &'static str, path: &'static str| {
        move |writing: &mut Writing<'_>| {
            let parent = writing.uuid(0);
            writing.on(0, |stream| stream.symlink(b"up", up.as_bytes()));
            incremental(writing, |stream| {
                stream
                    .mkfile(b"read-out")
                    .clone_range(b"read-out", parent, path.as_bytes())
            });
        }
    };
    none_touches(&[
        &written(
            "a clone from beside the target",
            clone("../../..", "up/canary/secret"),
        ),
        &written(
            "a clone from further up",
            clone("../../../..", "up/canary/secret"),
        ),
        &written(
            "a clone from the target's directory",
            clone("../..", "up/canary.txt"),
        ),
        &written(
            "a clone from the staging's directory",
            clone("../../..", "up/canary.txt"),
        ),
    ]);
}

#[test]
fn a_fifo_of_an_archive_takes_no_byte_and_holds_nothing_up() {
    if !can_run() {
        return;
    }
    none_of_the_plots_touches(&[
        plot(Seed::Fifo, Journey::Stays, Strike::Write, [0, 0, 1]),
        plot(Seed::Fifo, Journey::Linked, Strike::EncodedWrite, [0, 1, 1]),
        plot(Seed::Socket, Journey::Stays, Strike::Write, [0, 0, 1]),
    ]);
}

#[test]
fn a_restore_that_opens_a_fifo_does_not_wait_for_its_other_end() {
    if !can_run() {
        return;
    }
    let plots = [
        plot(Seed::Fifo, Journey::Stays, Strike::CloneFrom, [0, 0, 0]),
        plot(Seed::Fifo, Journey::Stays, Strike::CloneFrom, [0, 0, 1]),
        plot(
            Seed::Fifo,
            Journey::Stays,
            Strike::CloneFromParent,
            [0, 0, 1],
        ),
        plot(Seed::Fifo, Journey::Stays, Strike::Mkfile, [0, 0, 1]),
    ];
    // The scripts wait, as their page says.
    none_of_the_plots_touches_by(&[Way::Restore, Way::Drill], &plots);
}

#[test]
fn a_fifo_that_lies_deeper_than_a_path_can_be_is_known_when_it_comes_up_again() {
    if !can_run() {
        return;
    }
    // At no moment is a path of the streams too long: what is deep is moved below a directory, and back.
    let deep = format!("a/{}", ["x"; 20].map(|name| name.repeat(200)).join("/"));
    let (fifo, below) = (format!("{deep}/fifo"), format!("{}/a", "b".repeat(255)));
    let chain = written("a fifo below a deep directory", |writing| {
        writing.on(0, |mut stream| {
            stream = stream.mkdir(below.strip_suffix("/a").unwrap().as_bytes());
            for (slash, _) in fifo.match_indices('/') {
                stream = stream.mkdir(&fifo.as_bytes()[..slash]);
            }
            let stream = stream.make(6, fifo.as_bytes());
            stream.rename(b"a", below.as_bytes())
        });
        incremental(writing, |stream| {
            let stream = stream.rename(below.as_bytes(), b"a");
            stream.mkfile(fifo.as_bytes())
        });
    });
    none_touches_by(&[Way::Restore], &[&chain]);
}

#[test]
fn a_reader_of_a_restored_fifo_gets_no_byte_of_the_next_archive() {
    if !can_run() {
        return;
    }
    let (ground, mut shelf) = (Ground::new(), Shelf::new());
    let date = shelf.dates()[0].clone();
    let through = format!("up/{date}/pipe");
    let staged = format!("up/../{date}/pipe");
    let hostile = written("a fifo of the archive before", |writing| {
        writing.on(0, |stream| stream.symlink(b"up", b"..").make(6, b"pipe"));
        incremental(writing, |stream| {
            stream
                .write(b"pipe", 0, b"a byte")
                .write(through.as_bytes(), 0, b"a byte")
                .write(staged.as_bytes(), 0, b"a byte")
        });
    })(&shelf.dates()[..2], &ground.aims());
    shelf.put(&hostile);
    let ended = Way::Restore.run(shelf.machine(), &ground, &date);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(ground.restored().join(&date).join("pipe"))
        .unwrap();
    let ended = Way::Restore.run(shelf.machine(), &ground, &hostile.archives[1].date);
    assert!(
        ended.fault(Way::Restore).is_none() && ended.code != Some(0),
        "{}",
        ended.said
    );
    let read = reader.read(&mut [0; 64]);
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    ground.clear();
}

#[test]
fn a_subvolume_of_this_machine_is_no_parent() {
    if !can_run() {
        return;
    }
    let foreign = |dates: &[String], aims: &Aims| {
        let mut chain = HostileChain::of(&[], dates, aims);
        let archive = &mut chain.archives[1];
        archive.stream = StreamBuilder::header(1)
            .snapshot(
                archive.date.as_bytes(),
                archive.uuid,
                10,
                super::ground::CANARY,
                9,
            )
            .finish();
        chain
            .kinds
            .push("a snapshot of a subvolume of this machine".to_owned());
        chain
    };
    let claimed = |dates: &[String], aims: &Aims| {
        let mut chain = foreign(dates, aims);
        chain.archives[0].uuid = super::ground::CANARY;
        chain.archives[0].stream = StreamBuilder::header(1)
            .subvol(chain.archives[0].date.as_bytes(), super::ground::CANARY, 9)
            .finish();
        chain.archives[1].parent = Some(super::ground::CANARY);
        chain.kinds = vec!["a full that claims the uuid of a subvolume here".to_owned()];
        chain
    };
    none_touches(&[&foreign, &claimed]);
}
