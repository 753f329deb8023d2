//! Tests of the name tree: what it holds, what it frees, and its limits.

use super::*;

const LIMITS: Limits = Limits {
    nodes: 100_000,
    name_bytes: 1_000_000,
};

impl<T: Copy> NameTree<T> {
    fn live(&self) -> usize {
        let mut free = 0;
        let mut node = self.free;
        while node != ROOT {
            free += 1;
            node = self.node(node).parent;
        }
        assert_eq!(self.nodes.len() - free, self.index.len() + 1);
        self.index.len()
    }
}

fn value(tree: &NameTree<u32>, path: &[u8]) -> Option<u32> {
    tree.find(path).and_then(|node| tree.value(node))
}

#[test]
fn a_node_is_small() {
    assert_eq!(size_of::<Node<(u32, bool)>>(), 40);
}

#[test]
fn what_a_directory_holds_moves_with_it() {
    let mut tree = NameTree::new(LIMITS);
    tree.insert(b"a/b/c", 1).unwrap();
    tree.insert(b"a/d", 2).unwrap();
    tree.rename(tree.find(b"a").unwrap(), b"x/y").unwrap();
    assert_eq!(value(&tree, b"x/y/b/c"), Some(1));
    assert_eq!(value(&tree, b"x/y/d"), Some(2));
    assert_eq!(tree.find(b"a"), None);
    assert_eq!(tree.live(), 5);
}

#[test]
fn nothing_is_left_when_the_last_value_is_gone() {
    let mut tree = NameTree::new(LIMITS);
    for _ in 0..100 {
        tree.insert(b"a/b/c/l", 1).unwrap();
        tree.rename(tree.find(b"a/b").unwrap(), b"x").unwrap();
        tree.remove(tree.find(b"x/c/l").unwrap());
        assert_eq!((tree.live(), tree.name_bytes), (0, 0));
        assert!(!tree.has_children(ROOT));
    }
    assert_eq!(tree.nodes.len(), 5);
}

#[test]
fn a_tree_nested_without_end_does_not_overflow_the_stack() {
    let mut tree = NameTree::new(LIMITS);
    tree.insert(b"a/l", 1).unwrap();
    for _ in 0..50_000 {
        tree.rename(tree.find(b"a").unwrap(), b"b/a").unwrap();
        tree.rename(tree.find(b"b").unwrap(), b"a").unwrap();
    }
    assert_eq!(tree.live(), 50_002);
    // Removing the last value removes everything above it.
    let mut node = tree.find(b"a").unwrap();
    while tree.has_children(node) {
        let a = tree.child(node, b"a");
        node = a.or_else(|| tree.child(node, b"l")).unwrap();
    }
    tree.remove(node);
    assert_eq!(tree.live(), 0);
}

#[test]
fn nodes_and_names_are_bounded_and_what_is_freed_is_room_again() {
    for limits in [
        Limits {
            nodes: 10,
            ..LIMITS
        },
        Limits {
            name_bytes: 1000,
            ..LIMITS
        },
    ] {
        let name = |number: usize| format!("{number:0100}").into_bytes();
        let mut tree = NameTree::new(limits);
        for number in 0..10 {
            tree.insert(&name(number), 0).unwrap();
        }
        assert_eq!(tree.insert(&name(10), 0), Err(Full));
        let mut tree = NameTree::new(limits);
        for number in 0..100 {
            tree.insert(&name(number), 0).unwrap();
            tree.rename(tree.find(&name(number)).unwrap(), b"d/short")
                .unwrap();
            tree.remove(tree.find(b"d/short").unwrap());
        }
        assert_eq!((tree.live(), tree.name_bytes), (0, 0));
    }
}
