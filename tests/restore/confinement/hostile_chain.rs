//! Random chains of archives as somebody with a stolen writer's key would make them: a plausible tree,
//! and plots against the machine that restores it, spread over the archives.

use super::ground::{Aims, CANARY};
use super::plots::Plot;
use crate::common::rng::Rng;
use crate::common::stream_builder::{StreamBuilder, attr};

/// A hostile archive: a stream, and what its signed entry says of it.
#[derive(Clone)]
pub(crate) struct HostileArchive {
    pub(crate) date: String,
    pub(crate) uuid: [u8; 16],
    pub(crate) ctransid: u64,
    pub(crate) parent: Option<[u8; 16]>,
    pub(crate) stream: Vec<u8>,
}

/// A full and its incrementals.
#[derive(Clone)]
pub(crate) struct HostileChain {
    pub(crate) archives: Vec<HostileArchive>,
    /// What is hostile in it, in words.
    pub(crate) kinds: Vec<String>,
}

/// A chain in the making.
pub(crate) struct Writing<'a> {
    pub(crate) rng: Rng,
    pub(crate) aims: &'a Aims,
    pub(crate) protocol: u32,
    dates: &'a [String],
    uuids: Vec<[u8; 16]>,
    streams: Vec<StreamBuilder>,
    kinds: Vec<String>,
}

impl HostileChain {
    /// Two or three archives; the same seed makes the same, but for what the aims are called.
    pub(crate) fn random(seed: u64, dates: &[String; 3], aims: &Aims) -> Self {
        let mut rng = Rng::new(seed);
        let count = rng.length(2, 4);
        let mut writing = Writing::new(rng, &dates[..count], aims);
        // What is wrong with a stream as such mostly ends the chain: it is rarer than plots.
        let twisted = writing.rng.below(4) == 0;
        let last = count - 1;
        let at = if writing.rng.below(4) == 0 { 0 } else { last };
        writing.begin(twisted.then_some(at));
        for number in 0..writing.rng.below(3) + u64::from(!twisted) {
            Plot::random(&mut writing.rng, last).carry_out(&mut writing, number);
        }
        for at in 0..count {
            writing.on(at, |stream| stream.utimes(b"docs").chmod(b"docs/letter"));
        }
        writing.end(twisted.then_some(at))
    }

    /// An honest chain with those plots in it, in the newest protocol.
    pub(crate) fn of(plots: &[Plot], dates: &[String], aims: &Aims) -> Self {
        let seed = u64::from_le_bytes(
            blake3::hash(format!("{plots:?}{dates:?}").as_bytes()).as_bytes()[..8]
                .try_into()
                .unwrap(),
        );
        Self::written(seed, dates, aims, |writing| {
            for (number, plot) in (0..).zip(plots) {
                plot.carry_out(writing, number);
            }
        })
    }

    /// An honest chain with something written into it.
    pub(crate) fn written(
        seed: u64,
        dates: &[String],
        aims: &Aims,
        more: impl FnOnce(&mut Writing<'_>),
    ) -> Self {
        let mut writing = Writing::new(Rng::new(seed), dates, aims);
        writing.protocol = 2;
        writing.begin(None);
        more(&mut writing);
        writing.end(None)
    }
}

impl<'a> Writing<'a> {
    /// A chain of so many archives as there are dates.
    pub(crate) fn new(mut rng: Rng, dates: &'a [String], aims: &'a Aims) -> Self {
        let uuid = |rng: &mut Rng| rng.bytes(16).try_into().unwrap();
        Self {
            protocol: 1 + u32::from(rng.below(2) == 0),
            uuids: dates.iter().map(|_| uuid(&mut rng)).collect(),
            streams: Vec::new(),
            kinds: Vec::new(),
            rng,
            aims,
            dates,
        }
    }

    /// The first command of each archive, and the tree that the plots hide in.
    pub(crate) fn begin(&mut self, twisted: Option<usize>) {
        for at in 0..self.dates.len() {
            let stream = StreamBuilder::header(self.protocol);
            self.streams.push(stream);
            if twisted == Some(at) {
                self.twist_the_head(at);
            } else {
                let name = self.dates[at].clone().into_bytes();
                self.head(at, &name);
            }
            self.honest(at);
        }
    }

    /// Writes to one of the streams.
    pub(crate) fn on(&mut self, at: usize, more: impl FnOnce(StreamBuilder) -> StreamBuilder) {
        let stream = std::mem::replace(&mut self.streams[at], StreamBuilder::header(1));
        self.streams[at] = more(stream);
    }

    /// Notes what is hostile.
    pub(crate) fn note(&mut self, kind: impl Into<String>) {
        self.kinds.push(kind.into());
    }

    pub(crate) fn uuid(&self, at: usize) -> [u8; 16] {
        self.uuids[at]
    }

    pub(crate) fn date(&self, at: usize) -> &str {
        &self.dates[at]
    }

    fn head(&mut self, at: usize, name: &[u8]) {
        let (uuid, parent) = (self.uuids[at], at.checked_sub(1).map(|at| self.uuids[at]));
        self.on(at, |stream| match parent {
            None => stream.subvol(name, uuid, 10),
            Some(parent) => stream.snapshot(name, uuid, 10, parent, 10),
        });
    }

    /// Something wrong at the start of a stream.
    fn twist_the_head(&mut self, at: usize) {
        let kind = self.rng.below(12);
        let date = self.dates[at].clone().into_bytes();
        let uuid = self.uuids[at];
        match kind {
            0 => {
                self.note("a command before the subvolume");
                self.on(at, |stream| {
                    stream.mkfile(b"early").write(b"early", 0, b"x")
                });
                self.head(at, &date);
            }
            1 => {
                self.note("a snapshot of a subvolume of this machine");
                self.on(at, |stream| stream.snapshot(&date, uuid, 10, CANARY, 9));
            }
            _ => {
                let other = self.dates[self.dates.len() - 1 - at].clone().into_bytes();
                let names: [&[u8]; 16] = [
                    b"..",
                    b".",
                    b"",
                    b"a/b",
                    b"../beside",
                    b"/absolute",
                    b"../../outer/canaries",
                    b".coldchain-restore.json",
                    b".coldchain-restore.json.new",
                    b".coldchain-staging",
                    b"home",
                    b"canaries",
                    b"a\nb",
                    &[b'n'; 255],
                    &[b'n'; 256],
                    &other,
                ];
                let name = *self.rng.pick(&names);
                let shown = String::from_utf8_lossy(&name[..name.len().min(30)]);
                let shown = shown.replace('\n', " ");
                let shown = if name == other {
                    "another date"
                } else {
                    &shown
                };
                self.note(format!("a subvolume named `{shown}`"));
                self.head(at, name);
            }
        }
    }

    /// Something wrong at the end of a stream.
    fn twist_the_end(&mut self, at: usize) -> Vec<u8> {
        let stream = self.streams[at].clone();
        let uuid = self.uuids[at];
        let more = StreamBuilder::header(self.protocol)
            .subvol(b"second", CANARY, 3)
            .mkfile(b"more");
        let (kind, bytes) = match self.rng.below(6) {
            0 => (
                "a second subvolume",
                stream.subvol(b"second", uuid, 4).mkfile(b"more").finish(),
            ),
            1 => (
                "a second snapshot",
                stream
                    .snapshot(b"second", uuid, 4, CANARY, 9)
                    .mkfile(b"more")
                    .finish(),
            ),
            2 => (
                "a command after the end",
                stream.end().mkfile(b"late").finish(),
            ),
            3 => (
                "a stream after the stream",
                [stream.finish(), more.finish()].concat(),
            ),
            4 => ("no end", stream.bytes),
            _ => return stream.finish(),
        };
        self.note(kind);
        bytes
    }

    /// What any source has.
    fn honest(&mut self, at: usize) {
        let content = self.rng.text(8192);
        let is_first = at == 0;
        self.on(at, |stream| {
            let stream = if is_first {
                stream
                    .mkdir(b"docs")
                    .mkdir(b"docs/deep")
                    .mkfile(b"docs/letter")
                    .set_xattr(b"docs/letter", b"user.note", b"mine")
                    .link(b"docs/deep/same", b"docs/letter")
                    .symlink(b"docs/latest", b"letter")
            } else {
                stream.mkfile(format!("docs/of-{at}").as_bytes())
            };
            stream.write(b"docs/letter", 0, &content)
        });
    }

    /// Ends every stream.
    pub(crate) fn end(mut self, twisted: Option<usize>) -> HostileChain {
        let archives = (0..self.dates.len())
            .map(|at| HostileArchive {
                stream: if twisted == Some(at) {
                    self.twist_the_end(at)
                } else {
                    self.streams[at].clone().finish()
                },
                date: self.dates[at].clone(),
                uuid: self.uuids[at],
                ctransid: 10,
                parent: at.checked_sub(1).map(|at| self.uuids[at]),
            })
            .collect();
        HostileChain {
            archives,
            kinds: self.kinds,
        }
    }
}

/// mknod of any kind of file: `mode` is its type.
pub(crate) fn mknod(stream: StreamBuilder, path: &[u8], mode: u64, rdev: u64) -> StreamBuilder {
    let mode = (mode | 0o600).to_le_bytes();
    stream.command(
        5,
        &[
            (attr::PATH, path),
            (attr::INO, &300_u64.to_le_bytes()),
            (attr::RDEV, &rdev.to_le_bytes()),
            (attr::MODE, &mode),
        ],
    )
}

/// The type of a block device and that of a character device.
pub(crate) const BLOCK: u64 = 0o060_000;
pub(crate) const CHARACTER: u64 = 0o020_000;
