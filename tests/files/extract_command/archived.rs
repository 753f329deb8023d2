//! Two archives in a bucket whose clock is turned by hand, and what their files hold.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::common::bucket::write_credentials;
use crate::common::is_segment;
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::rng::Rng;
use crate::common::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use crate::common::stream_builder::StreamBuilder;

const FULL: [u8; 16] = *b"uuid of the full";
pub(crate) const INCREMENTAL: [u8; 16] = *b"uuid of the incr";

/// Bytes of a write command.
const STEP: usize = 48 << 10;

/// Bytes of each large file: more than a frame.
const LARGE: usize = 5 << 20;

/// A machine without btrfs, whose source `home` has a full of 2024-01-01 and an incremental of 2024-01-07.
pub(crate) struct Archived {
    pub(crate) machine: Machine,
    pub(crate) server: S3Server,
    /// The regular files of the full, by path.
    pub(crate) full: BTreeMap<&'static str, Vec<u8>>,
    /// Those of the incremental.
    pub(crate) newest: BTreeMap<&'static str, Vec<u8>>,
}

/// Writes a file as the kernel does: a run of commands.
fn write(mut stream: StreamBuilder, path: &str, data: &[u8]) -> StreamBuilder {
    stream = stream.mkfile(path.as_bytes());
    for (at, part) in (0..).zip(data.chunks(STEP)) {
        stream = stream.write(path.as_bytes(), at * STEP as u64, part);
    }
    stream
}

impl Archived {
    /// Archives with these further lines in the table of the store.
    pub(crate) fn new(lines: &str) -> Self {
        Self::with_lines(lines, "")
    }

    /// The same with further lines of the source.
    pub(crate) fn with_lines(lines: &str, of_source: &str) -> Self {
        let server = S3Server::new();
        let machine = Machine::fed(None);
        fs::remove_file(machine.path("state/catalog.db")).unwrap();
        write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
        let lines = format!(
            "prefix = \"p\"\ncredentials_file = \"$T/credentials\"\ngive_up_after = \"5s\"\n{lines}"
        );
        let config = fed_config()
            .replace(
                "type = \"dir\"\npath = \"$T/store\"\n",
                &server.store_table(&lines),
            )
            .replace(
                "store = \"disk\"\n",
                &format!("store = \"disk\"\n{of_source}\n"),
            );
        machine.write_config(&config);
        Self::fed(machine, server)
    }

    /// Archives in a directory.
    pub(crate) fn in_directory() -> Self {
        Self::fed(Machine::fed(None), S3Server::new())
    }

    fn fed(machine: Machine, server: S3Server) -> Self {
        let mut archived = Self {
            machine,
            server,
            full: BTreeMap::new(),
            newest: BTreeMap::new(),
        };
        archived.feed_full();
        archived.feed_incremental();
        archived
    }

    fn feed_full(&mut self) {
        let mut rng = Rng::new(27);
        let mut stream = StreamBuilder::header(1).subvol(b"2024-01-01", FULL, 10);
        stream = stream.mkdir(b"album").mkdir(b"notes");
        for path in [
            "album/a", "album/b", "album/c", "album/d", "album/e", "album/f",
        ] {
            let data = rng.bytes(LARGE);
            stream = write(stream, path, &data);
            self.full.insert(path, data);
        }
        let note = b"a note\n".to_vec();
        stream = write(stream, "notes/one", &note).symlink(b"notes/link", b"one");
        stream = stream.link(b"notes/same", b"notes/one");
        self.full.insert("notes/one", note.clone());
        self.full.insert("notes/same", note);
        self.feed("2024-01-01", &stream.finish());
    }

    fn feed_incremental(&mut self) {
        let mut newest = self.full.clone();
        let patch = vec![b'x'; STEP];
        newest.get_mut("album/a").unwrap()[..STEP].copy_from_slice(&patch);
        let gone = newest.remove("album/f").unwrap();
        newest.insert("album/moved", gone);
        newest.insert("notes/two", b"another\n".to_vec());
        newest.remove("notes/one");
        let stream = StreamBuilder::header(1)
            .snapshot(b"2024-01-07", INCREMENTAL, 20, FULL, 10)
            .write(b"album/a", 0, &patch)
            .rename(b"album/f", b"album/moved")
            .unlink(b"notes/one");
        let stream = write(stream, "notes/two", b"another\n");
        self.newest = newest;
        self.feed("2024-01-07", &stream.finish());
    }

    fn feed(&self, date: &str, stream: &[u8]) {
        let file = self.machine.path("stream");
        fs::write(&file, stream).unwrap();
        let mut command = self.machine.command(&format!("decide {date} --quiet"));
        command.stdin(File::open(&file).unwrap());
        let run = self.machine.run_command(&mut command);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.machine.path(name)
    }

    /// Runs `extract` with the kit.
    pub(crate) fn extract(&self, words: &str) -> Run {
        self.machine
            .run(&format!("extract home --identity $T/kit {words}"))
    }

    /// The keys of segments, in order.
    pub(crate) fn segments(&self) -> Vec<String> {
        let keys = self.server.objects(BUCKET);
        let keys = keys.into_keys();
        keys.filter(|key| is_segment(key)).collect()
    }
}

/// Requires that a directory has these regular files, with their data, and returns all paths in it.
pub(crate) fn holds(directory: &Path, files: &BTreeMap<&str, Vec<u8>>) {
    for (path, data) in files {
        let found =
            fs::read(directory.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(found == *data, "{path}");
    }
}
