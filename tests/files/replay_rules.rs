//! What single commands do to a tree, and which are refused.

use coldchain::btrfs::Command;
use coldchain::engine::{ReplayError, ReplayRefusal};
use coldchain::model::Blake3;
use coldchain::model::file_node::{Changed, ObjectId};

use super::contents::apply;
use crate::common::memory_tree::{MemoryObject, MemoryTree};
use crate::common::stream_builder::{OWN, StreamBuilder, attr};

/// A tree with a directory, a file in it of 100 bytes with a hard link, a symlink and a directory that is empty.
fn tree() -> MemoryTree {
    let stream = StreamBuilder::full(2)
        .mkdir(b"dir")
        .mkfile(b"dir/file")
        .write(b"dir/file", 0, &[1; 100])
        .set_xattr(b"dir/file", b"user.x", b"value")
        .link(b"linked", b"dir/file")
        .symlink(b"symlink", b"dir/file")
        .mkdir(b"empty")
        .finish();
    let mut tree = MemoryTree::default();
    apply(&stream, &mut tree).unwrap();
    tree
}

/// Applies an incremental stream to that tree.
fn changed(commands: impl Fn(StreamBuilder) -> StreamBuilder) -> MemoryTree {
    let mut tree = tree();
    let stream = commands(StreamBuilder::incremental(2)).finish();
    apply(&stream, &mut tree).unwrap();
    tree
}

fn object<'t>(tree: &'t MemoryTree, path: &[u8]) -> &'t MemoryObject {
    &tree.objects[&tree.paths()[path]]
}

fn names(tree: &MemoryTree) -> Vec<String> {
    let paths = tree.paths().into_keys();
    paths
        .map(|path| path.escape_ascii().to_string())
        .filter(|path| !path.is_empty())
        .collect()
}

/// Returns why a stream is refused, and the number of the command.
fn refusal(commands: impl Fn(StreamBuilder) -> StreamBuilder) -> (ReplayRefusal, u64) {
    let mut tree = tree();
    let stream = commands(StreamBuilder::incremental(2)).finish();
    match apply(&stream, &mut tree).unwrap_err() {
        ReplayError::Refused {
            refusal,
            command,
            offset,
        } => {
            assert!(offset > 0);
            (refusal, command)
        }
        other => panic!("{other:?}"),
    }
}

fn numbers(
    path: &[u8],
    number: u16,
    values: &[(u16, u64)],
) -> impl Fn(StreamBuilder) -> StreamBuilder + use<> {
    let values: Vec<(u16, [u8; 8])> = values
        .iter()
        .map(|(attribute, value)| (*attribute, value.to_le_bytes()))
        .collect();
    let path = path.to_vec();
    move |stream| {
        let mut attributes = vec![(attr::PATH, &path[..])];
        attributes.extend(
            values
                .iter()
                .map(|(attribute, value)| (*attribute, &value[..])),
        );
        stream.command(number, &attributes)
    }
}

fn chmod(path: &[u8], mode: u64) -> impl Fn(StreamBuilder) -> StreamBuilder + use<> {
    numbers(path, 18, &[(attr::MODE, mode)])
}

fn chown(path: &[u8], uid: u64, gid: u64) -> impl Fn(StreamBuilder) -> StreamBuilder + use<> {
    numbers(path, 19, &[(attr::UID, uid), (attr::GID, gid)])
}

fn fallocate(
    mode: u32,
    offset: u64,
    length: u64,
) -> impl Fn(StreamBuilder) -> StreamBuilder + use<> {
    move |stream| {
        stream.command(
            23,
            &[
                (attr::PATH, b"linked"),
                (attr::FALLOCATE_MODE, &mode.to_le_bytes()),
                (attr::FILE_OFFSET, &offset.to_le_bytes()),
                (attr::SIZE, &length.to_le_bytes()),
            ],
        )
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "case after case")]
fn every_command_that_does_not_fit_is_refused_where_it_is() {
    use ReplayRefusal as Refusal;
    type Commands = Box<dyn Fn(StreamBuilder) -> StreamBuilder>;
    let missing = |command, path: &[u8]| Refusal::Missing {
        command,
        path: path.to_vec(),
    };
    let taken = |command, path: &[u8]| Refusal::Taken {
        command,
        path: path.to_vec(),
    };
    let is_directory = |command, path: &[u8]| Refusal::IsDirectory {
        command,
        path: path.to_vec(),
    };
    let no_directory = |command, path: &[u8]| Refusal::NoDirectory {
        command,
        path: path.to_vec(),
    };
    let not_empty = |command, path: &[u8]| Refusal::NotEmpty {
        command,
        path: path.to_vec(),
    };
    let no_file = |command, path: &[u8]| Refusal::NoRegularFile {
        command,
        path: path.to_vec(),
    };
    let through = |path: &[u8]| Refusal::ThroughFile {
        path: path.to_vec(),
    };
    let cases: Vec<(Commands, Refusal)> = vec![
        (
            Box::new(|s| s.mkfile(b"linked")),
            taken(Command::Mkfile, b"linked"),
        ),
        (Box::new(|s| s.mkdir(b"dir")), taken(Command::Mkdir, b"dir")),
        (
            Box::new(|s| s.symlink(b"linked", b"x")),
            taken(Command::Symlink, b"linked"),
        ),
        (
            Box::new(|s| s.mkfile(b"x").mkfile(b"x")),
            taken(Command::Mkfile, b"x"),
        ),
        (
            Box::new(|s| s.mkfile(b"none/x")),
            missing(Command::Mkfile, b"none/x"),
        ),
        (Box::new(|s| s.mkfile(b"linked/x")), through(b"linked/x")),
        (Box::new(|s| s.mkfile(b"symlink/x")), through(b"symlink/x")),
        (Box::new(|s| s.mkfile(b"x").mkfile(b"x/y")), through(b"x/y")),
        (
            Box::new(|s| s.mkfile(b"x").chmod(b"x/y")),
            missing(Command::Chmod, b"x/y"),
        ),
        (
            Box::new(|s| s.rename(b"none", b"x")),
            missing(Command::Rename, b"none"),
        ),
        (
            Box::new(|s| s.rename(b"dir", b"none/x")),
            missing(Command::Rename, b"none/x"),
        ),
        (
            Box::new(|s| s.rename(b"linked", b"dir")),
            is_directory(Command::Rename, b"dir"),
        ),
        (
            Box::new(|s| s.rename(b"empty", b"linked")),
            no_directory(Command::Rename, b"linked"),
        ),
        (
            Box::new(|s| s.rename(b"empty", b"dir")),
            not_empty(Command::Rename, b"dir"),
        ),
        (
            Box::new(|s| s.rename(b"dir/file", b"dir")),
            is_directory(Command::Rename, b"dir"),
        ),
        (
            Box::new(|s| s.link(b"x", b"dir")),
            is_directory(Command::Link, b"dir"),
        ),
        (
            Box::new(|s| s.mkdir(b"n").link(b"x", b"n")),
            is_directory(Command::Link, b"n"),
        ),
        (
            Box::new(|s| s.link(b"x", b"none")),
            missing(Command::Link, b"none"),
        ),
        (
            Box::new(|s| s.link(b"empty", b"linked")),
            taken(Command::Link, b"empty"),
        ),
        (
            Box::new(|s| s.unlink(b"none")),
            missing(Command::Unlink, b"none"),
        ),
        (
            Box::new(|s| s.unlink(b"empty")),
            is_directory(Command::Unlink, b"empty"),
        ),
        (
            Box::new(|s| s.rmdir(b"dir")),
            not_empty(Command::Rmdir, b"dir"),
        ),
        (
            Box::new(|s| s.rmdir(b"linked")),
            no_directory(Command::Rmdir, b"linked"),
        ),
        (
            Box::new(|s| s.rmdir(b"none")),
            missing(Command::Rmdir, b"none"),
        ),
        (
            Box::new(|s| s.write(b"dir", 0, b"x")),
            no_file(Command::Write, b"dir"),
        ),
        (
            Box::new(|s| s.truncate(b"symlink", 0)),
            no_file(Command::Truncate, b"symlink"),
        ),
        (
            Box::new(|s| s.write(b"none", 0, b"x")),
            missing(Command::Write, b"none"),
        ),
        (
            Box::new(|s| s.utimes(b"none")),
            missing(Command::Utimes, b"none"),
        ),
        (
            Box::new(chmod(b"symlink", 0o644)),
            Refusal::IsSymlink {
                command: Command::Chmod,
                path: b"symlink".to_vec(),
            },
        ),
        (
            Box::new(chown(b"dir", 1 << 32, 0)),
            Refusal::TooLarge {
                command: Command::Chown,
                path: b"dir".to_vec(),
                number: 1 << 32,
            },
        ),
        (
            Box::new(|s| s.write(b"linked", i64::MAX as u64, b"x")),
            Refusal::TooLarge {
                command: Command::Write,
                path: b"linked".to_vec(),
                number: i64::MAX as u64,
            },
        ),
        (
            Box::new(|s| s.truncate(b"linked", 1 << 63)),
            Refusal::TooLarge {
                command: Command::Truncate,
                path: b"linked".to_vec(),
                number: 1 << 63,
            },
        ),
        (
            Box::new(|s| s.mknod(b"x")),
            Refusal::NodeMode {
                path: b"x".to_vec(),
                mode: 300,
            },
        ),
    ];
    for (commands, expected) in cases {
        let count = commands(StreamBuilder::header(2)).commands() as u64;
        let (found, at) = refusal(commands);
        assert!(!found.to_string().is_empty());
        assert_eq!(found, expected);
        assert_eq!(at, 1 + count, "{found}: it is the last command");
    }
}

#[test]
fn a_full_stream_is_refused_by_a_tree_that_has_something() {
    let stream = StreamBuilder::full(1).utimes(b"").finish();
    let error = apply(&stream, &mut tree()).unwrap_err();
    assert!(matches!(
        error,
        ReplayError::Refused {
            refusal: ReplayRefusal::NotEmptyTree,
            command: 2,
            ..
        }
    ));
}

#[test]
fn sizes_come_from_the_ranges_of_data() {
    let size = |commands: &dyn Fn(StreamBuilder) -> StreamBuilder| {
        let tree = changed(commands);
        let object = object(&tree, b"linked");
        (object.node.size, object.changed)
    };
    let data = Changed::DATA;
    let none = Changed::default();
    assert_eq!(size(&|s| s.write(b"linked", 10, b"within")), (100, data));
    assert_eq!(size(&|s| s.write(b"linked", 200, b"beyond")), (206, data));
    assert_eq!(size(&|s| s.write(b"linked", 200, b"")), (100, none));
    assert_eq!(
        size(&|s| s.clone_range(b"linked", OWN, b"linked")),
        (4096, data)
    );
    assert_eq!(
        size(&|s| s.encoded_write(b"linked", [300, 10, 400], b"z")),
        (300, data)
    );
    assert_eq!(size(&|s| s.truncate(b"linked", 7)), (7, data));
    assert_eq!(size(&|s| s.truncate(b"linked", 100)), (100, none));
    // What was cut off is a hole afterwards.
    assert_eq!(
        size(&|s| s.truncate(b"linked", 7).truncate(b"linked", 100)),
        (100, data)
    );
    assert_eq!(size(&fallocate(3, 50, 4096)), (100, data));
    assert_eq!(size(&fallocate(1, 50, 4096)), (100, none));
    assert_eq!(size(&fallocate(0, 50, 4096)), (4146, data));
}

#[test]
fn only_what_differs_counts_as_changed() {
    let changes = |commands: &dyn Fn(StreamBuilder) -> StreamBuilder| {
        object(&changed(commands), b"linked").changed
    };
    let attributes = Changed::ATTRIBUTES;
    let none = Changed::default();
    assert_eq!(changes(&chmod(b"linked", 0o600)), attributes);
    assert_eq!(changes(&chmod(b"dir/file", 0)), none);
    assert_eq!(
        changes(&|s| chmod(b"linked", 0)(chmod(b"linked", 0o600)(s))),
        none
    );
    assert_eq!(changes(&chown(b"linked", 0, 9)), attributes);
    assert_eq!(changes(&chown(b"linked", 0, 0)), none);
    assert_eq!(
        changes(&|s| s.set_xattr(b"linked", b"user.x", b"value")),
        none
    );
    assert_eq!(
        changes(&|s| s.set_xattr(b"linked", b"user.x", b"")),
        attributes
    );
    assert_eq!(
        changes(&|s| s.set_xattr(b"linked", b"user.y", b"")),
        attributes
    );
    assert_eq!(changes(&|s| s.utimes(b"linked")), Changed::TIMES);
    assert_eq!(
        changes(&|s| s.utimes(b"linked").write(b"linked", 0, b"x")),
        Changed::DATA
    );
    assert_eq!(changes(&|s| s.fileattr(b"linked")), none);
    let removed = changed(|s| {
        let name = (attr::XATTR_NAME, &b"user.x"[..]);
        s.command(14, &[(attr::PATH, b"linked"), name])
    });
    assert_eq!(object(&removed, b"linked").changed, attributes);
    assert!(object(&removed, b"linked").node.xattrs.is_empty());
    let digest = Blake3::of(b"value");
    let xattrs = [&b"\x06user.x"[..], &digest.0[..16]].concat();
    assert_eq!(object(&tree(), b"linked").node.xattrs, xattrs);
}

#[test]
fn a_change_of_owner_leaves_setuid_bits_as_the_snapshot_has_them() {
    let tree = changed(|s| chown(b"linked", 5, 6)(chmod(b"linked", 0o4755)(s)));
    let node = &object(&tree, b"linked").node;
    assert_eq!((node.mode, node.uid, node.gid), (0o104_755, 5, 6));
}

#[test]
fn the_root_has_attributes_of_its_own() {
    let tree = changed(|s| chmod(b"", 0o1777)(s).utimes(b""));
    assert_eq!(tree.objects[&ObjectId::ROOT].node.mode, 0o041_777);
    assert_eq!(tree.objects[&ObjectId::ROOT].changed, Changed::ATTRIBUTES);
}

#[test]
fn directories_move_with_what_is_in_them() {
    // `dir` and `empty` change places by way of a third name.
    let tree = changed(|s| {
        s.utimes(b"dir/file")
            .rename(b"dir", b"o257-9-0")
            .rename(b"empty", b"dir")
            .rename(b"o257-9-0", b"dir/dir")
            .mkfile(b"dir/dir/new")
            .rename(b"dir", b"up")
            .utimes(b"up/dir/file")
    });
    let expected = [
        "linked",
        "symlink",
        "up",
        "up/dir",
        "up/dir/file",
        "up/dir/new",
    ];
    assert_eq!(names(&tree), expected);
    assert_eq!(object(&tree, b"linked").changed, Changed::TIMES);
    assert_eq!(object(&tree, b"linked").names, 2);
}

#[test]
fn a_rename_replaces_what_is_there_unless_it_is_the_same_file() {
    let tree = changed(|s| {
        s.rename(b"linked", b"dir/file")
            .rename(b"symlink", b"symlink")
    });
    assert_eq!(
        names(&tree),
        ["dir", "dir/file", "empty", "linked", "symlink"]
    );
    let tree = changed(|s| s.rename(b"symlink", b"linked"));
    assert_eq!(names(&tree), ["dir", "dir/file", "empty", "linked"]);
    assert_eq!(object(&tree, b"dir/file").names, 1);
    assert!(object(&tree, b"linked").node.target.is_some());
    let tree = changed(|s| s.mkdir(b"new").rename(b"new", b"empty").mkfile(b"empty/x"));
    assert!(names(&tree).contains(&"empty/x".to_owned()));
    assert_eq!(object(&tree, b"empty").changed, Changed::MADE);
}

#[test]
fn a_name_is_used_again_after_its_object_is_gone() {
    let tree = changed(|s| {
        s.write(b"linked", 0, b"lost")
            .unlink(b"linked")
            .unlink(b"dir/file")
            .rmdir(b"dir")
            .mkfile(b"dir")
            .write(b"dir", 0, b"a file now")
            .rmdir(b"empty")
            .mkdir(b"empty")
            .mkfile(b"empty/in it")
    });
    assert_eq!(names(&tree), ["dir", "empty", "empty/in it", "symlink"]);
    assert_eq!(object(&tree, b"dir").node.size, 10);
    assert_eq!(object(&tree, b"empty").changed, Changed::MADE);
}

#[test]
fn times_beyond_what_a_number_holds_become_the_farthest() {
    let at = |seconds: i64| {
        let time = [&seconds.to_le_bytes()[..], &5_u32.to_le_bytes()].concat();
        let tree = changed(|s| {
            s.command(
                20,
                &[
                    (attr::PATH, b"dir"),
                    (attr::ATIME, &time),
                    (attr::MTIME, &time),
                    (attr::CTIME, &time),
                ],
            )
        });
        object(&tree, b"dir").node.mtime
    };
    assert_eq!(at(-1), -999_999_995);
    assert_eq!(at(i64::MAX), i64::MAX);
    assert_eq!(at(i64::MIN), i64::MIN + 5);
}

#[test]
fn many_commands_on_one_object_cost_the_tree_a_few_calls() {
    let mut stream = StreamBuilder::incremental(2).mkfile(b"dir/new");
    for at in 0..1000 {
        stream = stream.write(b"dir/new", at, b"x").utimes(b"dir");
    }
    let mut tree = tree();
    tree.calls = 0;
    apply(&stream.finish(), &mut tree).unwrap();
    assert!(tree.calls < 40, "{}", tree.calls);
}
