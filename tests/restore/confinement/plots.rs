//! Plots: something dangerous is made, goes elsewhere in the tree, and is used, each in an archive of
//! its own or in the same one.

use super::ground::CANARY;
use super::hostile_chain::{BLOCK, CHARACTER, Writing, mknod};
use super::moves::{JOURNEYS, Journey, ON_NODES, SEEDS, Seed, Strike, THROUGH_LINKS};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;

/// A plot, and in which archives its three steps are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plot {
    pub(crate) seed: Seed,
    pub(crate) journey: Journey,
    pub(crate) strike: Strike,
    pub(crate) at: [usize; 3],
}

impl Plot {
    pub(crate) fn random(rng: &mut Rng, last: usize) -> Self {
        let seed = *rng.pick(&SEEDS);
        let made = if rng.below(4) == 0 { last } else { 0 };
        let moved = if rng.below(2) == 0 { made } else { last };
        // A link that the parent brought is where the guard is blind, and the kernel must not be.
        let strikes = match seed.leads_to_a_directory() {
            true if rng.below(3) == 0 => &[Strike::Symlink][..],
            true => &THROUGH_LINKS[..],
            false => &ON_NODES[..],
        };
        Self {
            seed,
            journey: *rng.pick(&JOURNEYS),
            strike: *rng.pick(strikes),
            at: [made, moved, last],
        }
    }

    pub(crate) fn carry_out(self, writing: &mut Writing<'_>, number: u64) {
        let Self {
            seed,
            journey,
            strike,
            at,
        } = self;
        let archives = at.map(|at| at.to_string()).join(",");
        writing.note(format!("{seed:?} {journey:?} {strike:?} in {archives}"));
        let place = self.make_and_move(writing, number);
        let place = if seed.leads_to_a_directory() {
            self.below(writing, &place)
        } else {
            place.into_bytes()
        };
        self.strike(writing, number, &place);
    }

    /// Makes it, moves it, and returns where it then is.
    fn make_and_move(self, writing: &mut Writing<'_>, number: u64) -> String {
        let [made, moved, _] = self.at;
        let (here, there) = (format!("here-{number}"), format!("there-{number}"));
        match self.journey {
            Journey::Stays => {
                self.make(writing, made, &here);
                here
            }
            Journey::Renamed => {
                self.make(writing, made, &here);
                writing.on(moved, |stream| {
                    stream.rename(here.as_bytes(), there.as_bytes())
                });
                there
            }
            Journey::Linked | Journey::LinkedAndRenamed => {
                self.make(writing, made, &here);
                writing.on(moved, |stream| {
                    stream.link(there.as_bytes(), here.as_bytes())
                });
                if self.journey == Journey::Linked {
                    return there;
                }
                let end = format!("docs/{there}");
                writing.on(moved, |stream| {
                    stream.rename(there.as_bytes(), end.as_bytes())
                });
                end
            }
            Journey::Carried => {
                writing.on(made, |stream| stream.mkdir(here.as_bytes()));
                self.make(writing, made, &format!("{here}/inner"));
                writing.on(moved, |stream| {
                    stream.rename(here.as_bytes(), there.as_bytes())
                });
                format!("{there}/inner")
            }
            Journey::Replaces => {
                writing.on(made, |stream| stream.mkfile(here.as_bytes()));
                writing.on(moved, |stream| stream.unlink(here.as_bytes()));
                self.make(writing, moved, &here);
                here
            }
            Journey::RenamedOver => {
                writing.on(made, |stream| stream.mkfile(there.as_bytes()));
                self.make(writing, made, &here);
                writing.on(moved, |stream| {
                    stream.rename(here.as_bytes(), there.as_bytes())
                });
                there
            }
        }
    }

    fn make(self, writing: &mut Writing<'_>, at: usize, place: &str) {
        let up = "../".repeat(place.matches('/').count());
        let rdev = writing.aims.rdev;
        let file = writing.rng.pick(&writing.aims.files).clone();
        let directory = writing.rng.pick(&writing.aims.directories).clone();
        let path = place.as_bytes();
        let link = |to: &str| {
            let to = to.as_bytes().to_vec();
            move |stream: StreamBuilder| stream.symlink(path, &to)
        };
        match self.seed {
            Seed::Disk => writing.on(at, |stream| mknod(stream, path, BLOCK, rdev)),
            Seed::Null => writing.on(at, |stream| mknod(stream, path, CHARACTER, 0x103)),
            Seed::Fifo => writing.on(at, |stream| stream.make(6, path)),
            Seed::Socket => writing.on(at, |stream| stream.make(7, path)),
            Seed::Up => writing.on(at, link(&format!("{up}.."))),
            Seed::UpUp => writing.on(at, link(&format!("{up}../.."))),
            Seed::FarUp => writing.on(at, link(&format!("{up}../../.."))),
            Seed::ToFile => writing.on(at, link(&file)),
            Seed::ToDirectory => writing.on(at, link(&directory)),
            Seed::ToMark => writing.on(at, link(&format!("{up}../.coldchain-restore.json"))),
            Seed::ToNewMark => writing.on(at, link(&format!("{up}../.coldchain-restore.json.new"))),
            Seed::Chained => {
                let first = format!("{place}-first");
                writing.on(at, |stream| {
                    stream.symlink(first.as_bytes(), format!("{up}..").as_bytes())
                });
                writing.on(at, link(first.rsplit('/').next().unwrap()));
            }
            Seed::ToNode => {
                let node = format!("{place}-node");
                writing.on(at, |stream| mknod(stream, node.as_bytes(), BLOCK, rdev));
                writing.on(at, link(node.rsplit('/').next().unwrap()));
            }
            Seed::Odd => writing.on(at, |stream| stream.mkdir(path)),
        }
    }

    /// A path below what leads to a directory.
    fn below(self, writing: &mut Writing<'_>, place: &str) -> Vec<u8> {
        let rng = &mut writing.rng;
        if self.seed == Seed::Odd {
            let canary = rng.pick(&writing.aims.files).clone();
            let odd = [
                canary,
                format!("{place}/../../escaped"),
                format!("{place}//escaped"),
                format!("{place}/./escaped"),
                format!("{place}/"),
                "../escaped".to_owned(),
                "..".to_owned(),
                "/escaped".to_owned(),
                "/".to_owned(),
                format!("{place}/{}", "n".repeat(256)),
                format!("{place}/{}", "deep/".repeat(818)),
                format!("{place}/a\0b"),
            ];
            return rng.pick(&odd).clone().into_bytes();
        }
        let date = writing.date(0).to_owned();
        let rng = &mut writing.rng;
        let there = [
            ".coldchain-restore.json",
            ".coldchain-restore.json",
            "canary.txt",
            "canaries/canary.txt",
            "canary/secret",
            "fifo",
            "link",
            &date,
        ];
        let new = [
            ".coldchain-restore.json.new",
            ".coldchain-restore.json.new",
            ".coldchain-staging",
            ".staging/escaped",
            "escaped",
            "canaries/escaped",
            "home",
        ];
        let name = match self.strike {
            // The known way out of the box is a link beside the mark.
            Strike::Symlink if rng.below(2) == 0 => new[0],
            Strike::Mkfile
            | Strike::Mkdir
            | Strike::Mknod
            | Strike::Symlink
            | Strike::LinkIn
            | Strike::RenameIn => *rng.pick(&new),
            _ => *rng.pick(&there),
        };
        format!("{place}/{name}").into_bytes()
    }

    fn strike(self, writing: &mut Writing<'_>, number: u64, place: &[u8]) {
        let at = self.at[2];
        let own = writing.uuid(at);
        let parent = at.checked_sub(1).map_or(own, |at| writing.uuid(at));
        let file = writing.rng.pick(&writing.aims.files).clone().into_bytes();
        let rdev = writing.aims.rdev;
        let inside = format!("inside-{number}");
        let inside = inside.as_bytes();
        let version_2 = writing.protocol >= 2;
        let data = b"written by an archive".repeat(200);
        writing.on(at, |stream| match self.strike {
            Strike::EncodedWrite if version_2 => {
                let extent = [b'e'; 4096];
                let packed = zstd::bulk::compress(&extent, 1).unwrap();
                stream.encoded_write(place, [4096, 0, 4096], &packed)
            }
            Strike::Write | Strike::EncodedWrite => stream.write(place, 0, &data),
            Strike::CloneTo => stream.clone_range(place, own, b"docs/letter"),
            Strike::CloneFrom => stream.mkfile(inside).clone_range(inside, own, place),
            Strike::CloneFromParent => stream.mkfile(inside).clone_range(inside, parent, place),
            Strike::CloneFromForeign => {
                stream.mkfile(inside).clone_range(inside, CANARY, b"secret")
            }
            Strike::Truncate => stream.truncate(place, 1),
            Strike::Fallocate if version_2 => stream.fallocate(place),
            Strike::Fallocate => stream.truncate(place, 0),
            Strike::Chmod => stream.chmod(place),
            Strike::Chown => stream.chown(place),
            Strike::Utimes => stream.utimes(place),
            Strike::SetXattr => stream.set_xattr(place, b"user.hostile", b"x"),
            Strike::Mkfile => stream.mkfile(place).write(place, 0, &data),
            Strike::Mkdir => stream.mkdir(place),
            Strike::Mknod => mknod(stream, place, BLOCK, rdev).write(place, 0, &data),
            Strike::Symlink => stream.symlink(place, &file),
            Strike::LinkIn => stream.link(place, b"docs/letter"),
            Strike::LinkOut => stream.link(inside, place).write(inside, 0, &data),
            Strike::RenameIn => stream.mkfile(inside).rename(inside, place),
            Strike::RenameOut => stream.rename(place, inside),
            Strike::Unlink => stream.unlink(place),
            Strike::Rmdir => stream.rmdir(place),
        });
    }
}
