//! The replay of contents on a tree of files.
//!
//! Whatever the commands are, the tree stays one: it checks itself that no name is linked twice, that what is removed is
//! there, and that a directory that goes is empty. Of a stream that fits, all bytes are counted.

use coldchain::btrfs::{ContentsReader, Expect};
use coldchain::engine::replay;

use super::Outcome;
use super::contents::kept;
use super::guard::{self, stream_builder::StreamBuilder};
use super::input::{Input, seed};
use memory_tree::MemoryTree;

#[path = "../../../tests/common/memory_tree.rs"]
mod memory_tree;

const AS_IT_IS: u8 = 0;
const WRITTEN: u8 = 1;

/// Magic and version.
const STREAM_HEADER: u64 = 17;
/// What the end command takes.
const END: u64 = 10;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    match input.byte() % 2 {
        AS_IT_IS => apply(input.rest(), &mut parent()),
        _ => apply(&kept(&guard::written(&mut input)).0, &mut parent()),
    }
}

/// A tree with the names that streams are written for.
fn parent() -> MemoryTree {
    let stream = StreamBuilder::full(1)
        .mkdir(b"a")
        .mkfile(b"a/a")
        .mkdir(b"a/b")
        .symlink(b"a/b/l", b"target")
        .link(b"b", b"a/a")
        .make(6, b"l")
        .finish();
    let mut tree = MemoryTree::default();
    assert_eq!(apply(&kept(&stream).0, &mut tree), Outcome::Accepted);
    tree
}

fn apply(contents: &[u8], tree: &mut MemoryTree) -> Outcome {
    let Ok(mut reader) = ContentsReader::open(contents, Expect::default()) else {
        return Outcome::Refused;
    };
    if reader.head().send_parent.is_none() {
        *tree = MemoryTree::default();
    }
    let begun = reader.offset();
    tree.next_stream();
    let replayed = replay(&mut reader, tree);
    // Every object has a path, however far the stream fitted.
    let paths = tree.paths();
    assert!(paths.len() >= tree.objects.len());
    match &replayed {
        Ok(replayed) => {
            assert!(begun >= STREAM_HEADER);
            // The end command has no object. It may have attributes, which nothing reads.
            let end = replayed.stream_bytes - begun - tree.cost;
            let payload = u32::try_from(end - END).unwrap().to_le_bytes();
            let header = [&payload[..], &21_u16.to_le_bytes()].concat();
            assert!(contents.windows(header.len()).any(|it| it == header));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    Outcome::of(&replayed)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![seed(&[AS_IT_IS], b"")];
    for stream in guard::streams() {
        seeds.push(seed(&[AS_IT_IS], &kept(&stream).0));
    }
    for protocol in [1, 2] {
        let mut stream = StreamBuilder::incremental(protocol)
            .utimes(b"")
            .rename(b"a", b"o257-9-0")
            .mkfile(b"o260-9-0")
            .rename(b"o260-9-0", b"a")
            .write(b"a", 0, b"content of a file")
            .set_xattr(b"a", b"user.x", b"")
            .chown(b"a")
            .chmod(b"a")
            .utimes(b"a")
            .unlink(b"b")
            .rename(b"o257-9-0/b", b"b")
            .unlink(b"b/l")
            .unlink(b"o257-9-0/a")
            .rmdir(b"o257-9-0")
            .link(b"b/l", b"l")
            .truncate(b"a", 5);
        if protocol == 2 {
            stream = stream.fallocate(b"a").fileattr(b"b");
        }
        seeds.push(seed(&[AS_IT_IS], &kept(&stream.finish()).0));
    }
    for script in guard::scripts() {
        seeds.push(seed(&[WRITTEN], &script));
    }
    seeds
}
