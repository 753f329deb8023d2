//! Tests of the special files, some against a plain list of paths.

use super::*;

fn make(files: &mut SpecialFiles, path: &[u8]) {
    files
        .make(Command::Symlink, path, SpecialKind::Symlink)
        .unwrap();
}

fn refused(files: &SpecialFiles, path: &str) -> bool {
    files.look(path.as_bytes()).is_err()
}

#[test]
fn a_path_through_a_symlink_is_refused_and_one_beside_it_is_not() {
    let mut files = SpecialFiles::default();
    make(&mut files, b"a/l");
    assert!(refused(&files, "a/l/x"));
    assert!(refused(&files, "a/l/x/y"));
    for path in ["a/l", "a/lx/y", "a/x", "l/x", "a", "b/a/l/x"] {
        assert!(!refused(&files, path), "{path}");
    }
    assert_eq!(files.look(b"a/l").unwrap(), Some(SpecialKind::Symlink));
    assert_eq!(files.look(b"a").unwrap(), None);
    assert_eq!(files.look(b"").unwrap(), None);
}

#[test]
fn a_symlink_moves_with_the_directory_that_holds_it() {
    let mut files = SpecialFiles::default();
    make(&mut files, b"a/b/l");
    files.rename(b"a", b"c/d").unwrap();
    assert!(refused(&files, "c/d/b/l/x"));
    assert!(!refused(&files, "a/b/l/x"));
    files.rename(b"c/d/b/l", b"m").unwrap();
    assert!(refused(&files, "m/x"));
    assert!(!refused(&files, "c/d/b/l/x"));
}

#[test]
fn a_hard_link_of_a_symlink_is_one_too_and_outlives_it() {
    let mut files = SpecialFiles::default();
    make(&mut files, b"l");
    files.link(b"d/m", b"l").unwrap();
    files.remove(Command::Unlink, b"l").unwrap();
    assert!(!refused(&files, "l/x"));
    assert!(refused(&files, "d/m/x"));
}

#[test]
fn renaming_a_symlink_onto_its_own_hard_link_leaves_both() {
    let mut files = SpecialFiles::default();
    make(&mut files, b"l");
    files.link(b"m", b"l").unwrap();
    files.rename(b"l", b"m").unwrap();
    assert!(refused(&files, "l/x"));
    assert!(refused(&files, "m/x"));
}

#[test]
fn a_file_renamed_onto_a_symlink_takes_its_place() {
    let mut files = SpecialFiles::default();
    make(&mut files, b"l");
    files.rename(b"file", b"l").unwrap();
    assert!(!refused(&files, "l/x"));
}

#[test]
fn a_directory_that_holds_a_symlink_is_not_removed_nor_replaced() {
    let mut files = SpecialFiles::default();
    make(&mut files, b"d/l");
    assert!(files.remove(Command::Rmdir, b"d").is_err());
    assert!(files.rename(b"e", b"d").is_err());
    assert!(files.rename(b"d", b"d/e").is_err());
    assert!(refused(&files, "d/l/x"));
}

/// Does the same operations on a tree and on a plain list of paths, thousands of them, with random numbers of
/// splitmix64.
#[test]
fn it_agrees_with_a_plain_list_of_paths() {
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % below
    };
    let mut files = SpecialFiles::default();
    let mut list: Vec<String> = Vec::new();
    for _ in 0..5_000 {
        let mut path = || {
            let names: Vec<&str> = (0..=random(3))
                .map(|_| ["a", "b", "c"][random(3)])
                .collect();
            names.join("/")
        };
        let (one, other) = (path(), path());
        let below = |prefix: &str, path: &str| path.starts_with(&format!("{prefix}/"));
        let through = |path: &str| list.iter().any(|link| below(link, path));
        assert_eq!(refused(&files, &one), through(&one), "{one}");
        if through(&one) || through(&other) {
            continue;
        }
        let holds = |path: &str| list.iter().any(|link| below(path, link));
        match random(3) {
            0 if !list.contains(&one) && !holds(&one) => {
                make(&mut files, one.as_bytes());
                list.push(one);
            }
            1 => {
                let removed = files.remove(Command::Unlink, one.as_bytes());
                assert_eq!(removed.is_err(), holds(&one));
                list.retain(|link| *link != one);
            }
            2 if one != other && !below(&one, &other) => {
                let renamed = files.rename(one.as_bytes(), other.as_bytes());
                assert_eq!(renamed.is_err(), holds(&other));
                if renamed.is_ok() {
                    list.retain(|link| *link != other);
                    for link in &mut list {
                        if *link == one || below(&one, link) {
                            *link = format!("{other}{}", &link[one.len()..]);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}
