//! Tests of the symlink tree, against a plain list of paths where that says more.

use super::*;

fn refused(symlinks: &Symlinks, path: &str) -> bool {
    symlinks.refuse_through(path.as_bytes()).is_err()
}

#[test]
fn a_path_through_a_symlink_is_refused_and_one_beside_it_is_not() {
    let mut symlinks = Symlinks::default();
    symlinks.make(b"a/l");
    assert!(refused(&symlinks, "a/l/x"));
    assert!(refused(&symlinks, "a/l/x/y"));
    for path in ["a/l", "a/lx/y", "a/x", "l/x", "a", "b/a/l/x"] {
        assert!(!refused(&symlinks, path), "{path}");
    }
    assert!(symlinks.refuse_on(Command::Write, b"a/l").is_err());
    assert!(symlinks.refuse_on(Command::Write, b"a").is_ok());
}

#[test]
fn a_symlink_moves_with_the_directory_that_holds_it() {
    let mut symlinks = Symlinks::default();
    symlinks.make(b"a/b/l");
    symlinks.rename(b"a", b"c/d").unwrap();
    assert!(refused(&symlinks, "c/d/b/l/x"));
    assert!(!refused(&symlinks, "a/b/l/x"));
    symlinks.rename(b"c/d/b/l", b"m").unwrap();
    assert!(refused(&symlinks, "m/x"));
    assert!(!refused(&symlinks, "c/d/b/l/x"));
}

#[test]
fn a_hard_link_of_a_symlink_is_one_too_and_outlives_it() {
    let mut symlinks = Symlinks::default();
    symlinks.make(b"l");
    symlinks.link(b"d/m", b"l");
    symlinks.remove(Command::Unlink, b"l").unwrap();
    assert!(!refused(&symlinks, "l/x"));
    assert!(refused(&symlinks, "d/m/x"));
}

#[test]
fn renaming_a_symlink_onto_its_own_hard_link_leaves_both() {
    let mut symlinks = Symlinks::default();
    symlinks.make(b"l");
    symlinks.link(b"m", b"l");
    symlinks.rename(b"l", b"m").unwrap();
    assert!(refused(&symlinks, "l/x"));
    assert!(refused(&symlinks, "m/x"));
}

#[test]
fn a_file_renamed_onto_a_symlink_takes_its_place() {
    let mut symlinks = Symlinks::default();
    symlinks.make(b"l");
    symlinks.rename(b"file", b"l").unwrap();
    assert!(!refused(&symlinks, "l/x"));
}

#[test]
fn a_directory_that_holds_a_symlink_is_not_removed_nor_replaced() {
    let mut symlinks = Symlinks::default();
    symlinks.make(b"d/l");
    assert!(symlinks.remove(Command::Rmdir, b"d").is_err());
    assert!(symlinks.rename(b"e", b"d").is_err());
    assert!(symlinks.rename(b"d", b"d/e").is_err());
    assert!(refused(&symlinks, "d/l/x"));
}

#[test]
fn nothing_is_left_when_the_last_symlink_is_gone() {
    let mut symlinks = Symlinks::default();
    for round in 0..100 {
        symlinks.make(b"a/b/c/l");
        symlinks.rename(b"a/b", b"x").unwrap();
        symlinks.remove(Command::Unlink, b"x/c/l").unwrap();
        assert!(symlinks.nodes[ROOT].children.is_empty());
        assert_eq!(
            symlinks.nodes.len(),
            symlinks.free.len() + 1,
            "round {round}"
        );
    }
    assert!(symlinks.nodes.len() < 10);
}

#[test]
fn a_tree_nested_without_end_does_not_overflow_the_stack() {
    let mut symlinks = Symlinks::default();
    symlinks.make(b"a/l");
    for _ in 0..50_000 {
        symlinks.rename(b"a", b"b/a").unwrap();
        symlinks.rename(b"b", b"a").unwrap();
    }
    drop(symlinks);
}

/// The same operations on a tree and on a plain list of paths, thousands of them, by splitmix64.
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
    let mut symlinks = Symlinks::default();
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
        assert_eq!(refused(&symlinks, &one), through(&one), "{one}");
        if through(&one) || through(&other) {
            continue;
        }
        let holds = |path: &str| list.iter().any(|link| below(path, link));
        match random(3) {
            0 if !list.contains(&one) && !holds(&one) => {
                symlinks.make(one.as_bytes());
                list.push(one);
            }
            1 => {
                let removed = symlinks.remove(Command::Unlink, one.as_bytes());
                assert_eq!(removed.is_err(), holds(&one));
                list.retain(|link| *link != one);
            }
            2 if one != other && !below(&one, &other) => {
                let renamed = symlinks.rename(one.as_bytes(), other.as_bytes());
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
