//! All questions beside answers that are found in the plainest way, over random histories of trees.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use coldchain::engine::{FileIndex, FindRequest, FindWhen, Glob, PathChangeKind};
use coldchain::files_db::{IndexedArchive, NodeFilter};
use coldchain::model::file_node::FileNode;

use super::fill::{DATA, DIRECTORY, FILE, LINK, Past};
use crate::common::rng::Rng;

const NAMES: [&[u8]; 12] = [
    b"a",
    b"A",
    b"b.rs",
    b"c",
    b"-x",
    b"*",
    b"[a]",
    b"\xff\xfe",
    b"new\nline",
    b"e.rs",
    b"\\",
    b".h",
];

/// A change as it is compared: what, path, path before.
type Line = (PathChangeKind, Vec<u8>, Option<Vec<u8>>);

fn is_directory(node: &FileNode) -> bool {
    node.mode & 0o170_000 == DIRECTORY
}

/// A history of so many archives.
fn random_past(seed: u64, archives: usize) -> Past {
    let mut rng = Rng::new(seed);
    let mut past = Past::new();
    for at in 0..archives {
        for _ in 0..rng.length(0, 30) {
            step(&mut past, &mut rng);
        }
        past.archive();
        if rng.below(5) == 0 && at + 1 < archives {
            past.hidden.insert(at);
        }
    }
    past
}

fn step(past: &mut Past, rng: &mut Rng) {
    let paths: Vec<(Vec<u8>, i64)> = past.tree().paths().into_iter().collect();
    let (path, object) = rng.pick(&paths).clone();
    let node = past.tree().nodes[&object].clone();
    let directories = paths
        .iter()
        .filter(|(_, object)| is_directory(&past.tree().nodes[object]));
    let directories: Vec<Vec<u8>> = directories.map(|(path, _)| path.clone()).collect();
    let above = rng.pick(&directories).clone();
    let name = rng.pick(&NAMES[..]);
    let free = if above.is_empty() {
        name.to_vec()
    } else {
        [above.as_slice(), b"/", name].concat()
    };
    let is_free = past.tree().find(&free).is_none();
    let is_below =
        |path: &[u8], above: &[u8]| path == above || path.starts_with(&[above, b"/"].concat());
    match rng.below(12) {
        0..=2 if is_free => {
            past.make(&free, FILE | 0o644, rng.below(5000));
        }
        3 | 4 if is_free => {
            past.make(&free, DIRECTORY | 0o755, 0);
        }
        5 if is_free => {
            let link = past.make(&free, LINK | 0o777, 0);
            past.change(link).target = Some(rng.pick(&NAMES[..]).to_vec());
        }
        6 if node.mode & 0o170_000 == FILE => past.write_to(object, rng.below(5000)),
        7 => past.touch(object),
        8 => past.chmod(object, *rng.pick(&[0o700, 0o755, 0o644])),
        9 if is_free && !path.is_empty() && !is_below(&free, &path) => past.rename(&path, &free),
        10 if is_free && !is_directory(&node) => past.name(object, &free),
        11 if !path.is_empty() => {
            past.remove(&path);
            if rng.below(2) == 0 {
                // Replaced, as an editor saves a file.
                past.make(&path, FILE | 0o644, rng.below(5000));
            }
        }
        _ => {}
    }
}

fn visible(index: &FileIndex) -> Vec<(usize, IndexedArchive)> {
    let archives = index.archives().iter();
    archives
        .map(|archive| (usize::try_from(archive.number).unwrap() - 1, *archive))
        .collect()
}

fn globs() -> Vec<Option<Glob>> {
    let patterns: [&[u8]; 6] = [b"*.rs", b"[aA]", b"\\*", b"?", b"*\xff*", b"new*"];
    let globs = patterns.map(|pattern| Some(Glob::new(pattern)));
    std::iter::once(None).chain(globs).collect()
}

fn filters(past: &Past) -> Vec<NodeFilter> {
    let times: Vec<i64> = past
        .trees
        .iter()
        .flat_map(|tree| tree.nodes.values().map(|it| it.mtime))
        .collect();
    let middle = times[times.len() / 2];
    vec![
        NodeFilter::ALL,
        NodeFilter {
            kind: Some(DIRECTORY),
            ..NodeFilter::ALL
        },
        NodeFilter {
            size: Some((1000, 3000)),
            ..NodeFilter::ALL
        },
        NodeFilter {
            mtime: (middle, i64::MAX),
            ..NodeFilter::ALL
        },
        NodeFilter {
            uid: Some(0),
            ..NodeFilter::ALL
        },
    ]
}

fn fits(filter: &NodeFilter, node: &FileNode) -> bool {
    let kind = node.mode & 0o170_000;
    filter.kind.is_none_or(|wanted| wanted == kind)
        && filter
            .size
            .is_none_or(|(least, most)| kind == FILE && (least..=most).contains(&node.size))
        && (filter.mtime.0..=filter.mtime.1).contains(&node.mtime)
        && filter.uid.is_none_or(|uid| uid == node.uid)
}

fn is_in(path: &[u8], above: &[u8]) -> bool {
    above.is_empty() || path == above || path.starts_with(&[above, b"/"].concat())
}

#[test]
fn lists_and_finds_are_those_of_the_trees() {
    for seed in 0..25 {
        let directory = tempfile::tempdir().unwrap();
        let past = random_past(seed, 7);
        let index = past.index(directory.path());
        let mut rng = Rng::new(seed);
        for (at, archive) in visible(&index) {
            let tree = &past.trees[at];
            let paths = tree.paths();
            for (path, object) in &paths {
                let found = index.resolve(path, archive).unwrap().unwrap();
                let is_below = |it: &&Vec<u8>| is_in(it, path) && *it != path;
                let below = paths.keys().filter(is_below);
                let rest = |it: &[u8]| it.len() - path.len() - usize::from(!path.is_empty());
                let is_child = |it: &&Vec<u8>| !it[it.len() - rest(it)..].contains(&b'/');
                let children: Vec<&Vec<u8>> = below.clone().filter(is_child).collect();
                let all: Vec<&Vec<u8>> = below.collect();
                if is_directory(&tree.nodes[object]) {
                    for (is_recursive, expected) in [(false, &children), (true, &all)] {
                        let listed = index.list((path, found), archive, is_recursive).unwrap();
                        let listed_paths: Vec<&Vec<u8>> =
                            listed.iter().map(|it| &it.path).collect();
                        assert_eq!(&listed_paths, expected, "seed {seed}, {path:?}");
                        for it in &listed {
                            assert_eq!(it.version.node, tree.nodes[&paths[&it.path]]);
                        }
                    }
                }
            }
            let all: Vec<&Vec<u8>> = paths.keys().collect();
            for name in globs() {
                for node in filters(&past) {
                    let below = if rng.below(2) == 0 {
                        &Vec::new()
                    } else {
                        *rng.pick(&all)
                    };
                    let request = FindRequest {
                        below,
                        name: name.clone(),
                        path: None,
                        node,
                        when: FindWhen::At(archive),
                    };
                    let found = index.find(&request).unwrap();
                    let found: Vec<&Vec<u8>> = found.iter().map(|it| &it.path).collect();
                    let expected = paths.iter().filter(|(path, object)| {
                        let last = path.rsplit(|byte| *byte == b'/').next().unwrap();
                        !path.is_empty()
                            && is_in(path, below)
                            && name.as_ref().is_none_or(|glob| glob.matches(last))
                            && fits(&node, &tree.nodes[object])
                    });
                    let expected: Vec<&Vec<u8>> = expected.map(|(path, _)| path).collect();
                    assert_eq!(found, expected, "seed {seed}, {request:?}");
                }
            }
        }
    }
}

/// Every path that fits at some date: its first date, its last, and what was there then.
fn ever(
    past: &Past,
    archives: &[(usize, IndexedArchive)],
    fits: impl Fn(&[u8], i64, &FileNode) -> bool,
) -> BTreeMap<Vec<u8>, (NaiveDate, NaiveDate, FileNode)> {
    let mut found: BTreeMap<Vec<u8>, (NaiveDate, NaiveDate, FileNode)> = BTreeMap::new();
    for (at, archive) in archives {
        let tree = &past.trees[*at];
        for (path, object) in tree.paths() {
            let node = &tree.nodes[&object];
            if path.is_empty() || !fits(&path, object, node) {
                continue;
            }
            let entry = found
                .entry(path)
                .or_insert((archive.date, archive.date, node.clone()));
            entry.1 = archive.date;
            entry.2 = node.clone();
        }
    }
    found
}

#[test]
fn finds_over_all_dates_and_deleted_files_are_those_of_the_trees() {
    for seed in 100..125 {
        let directory = tempfile::tempdir().unwrap();
        let mut past = random_past(seed, 7);
        past.newest_first = seed % 2 == 1;
        let index = past.index(directory.path());
        let archives = visible(&index);
        let patterns: [&[u8]; 4] = [b"*", b"*/*.rs", b"*a*", b"*/c"];
        for pattern in patterns {
            let glob = Glob::new(pattern);
            for node in filters(&past) {
                let request = |when| FindRequest {
                    below: b"",
                    name: None,
                    path: Some(glob.clone()),
                    node,
                    when,
                };
                let found = |when| -> BTreeMap<Vec<u8>, (NaiveDate, NaiveDate, FileNode)> {
                    let found = index.find(&request(when)).unwrap().into_iter();
                    found
                        .map(|it| (it.path, (it.first, it.archive.date, it.version.node)))
                        .collect()
                };
                let expected = ever(&past, &archives, |path, _, it| {
                    glob.matches(path) && fits(&node, it)
                });
                assert_eq!(found(FindWhen::Any), expected, "seed {seed}");
                for (number, (at, archive)) in archives.iter().enumerate() {
                    let tree = &past.trees[*at];
                    let (paths, objects) = (
                        tree.paths(),
                        tree.paths().into_values().collect::<BTreeSet<_>>(),
                    );
                    let expected = ever(&past, &archives[..=number], |path, object, it| {
                        glob.matches(path)
                            && fits(&node, it)
                            && !paths.contains_key(path)
                            && !objects.contains(&object)
                    });
                    assert_eq!(
                        found(FindWhen::DeletedBefore(*archive)),
                        expected,
                        "seed {seed}"
                    );
                }
            }
        }
    }
}

/// What changed between two archives, from the trees alone.
fn changed(past: &Past, one: usize, other: usize) -> Vec<Line> {
    let (old, new) = (&past.trees[one], &past.trees[other]);
    let (old_paths, new_paths) = (old.paths(), new.paths());
    let mut lines: Vec<Line> = Vec::new();
    let (mut made, mut deleted) = (BTreeMap::new(), BTreeMap::new());
    let objects: BTreeSet<i64> = old_paths
        .values()
        .chain(new_paths.values())
        .copied()
        .collect();
    let attributes = |node: &FileNode| (node.mode, node.uid, node.gid, node.xattrs.clone());
    for object in objects {
        // A name that stays in its directory is no change, even if the directory moved.
        let places = |tree: &super::fill::Tree| -> BTreeSet<(i64, Vec<u8>)> {
            let names = tree.names.iter().filter(|(_, named)| **named == object);
            names.map(|(place, _)| place.clone()).collect()
        };
        let (old_places, new_places) = (places(old), places(new));
        let moved = |paths: &BTreeMap<Vec<u8>, i64>,
                     from: &BTreeSet<(i64, Vec<u8>)>,
                     others: &BTreeSet<(i64, Vec<u8>)>|
         -> BTreeSet<Vec<u8>> {
            let gone: BTreeSet<_> = from.difference(others).collect();
            let all = paths
                .iter()
                .filter(|(path, named)| **named == object && !path.is_empty());
            all.map(|(path, _)| path.clone())
                .filter(|path| {
                    let slash = path.iter().rposition(|byte| *byte == b'/');
                    let above = paths[&path[..slash.unwrap_or(0)]];
                    gone.contains(&(above, path[slash.map_or(0, |at| at + 1)..].to_vec()))
                })
                .collect()
        };
        let left = moved(&old_paths, &old_places, &new_places);
        let came = moved(&new_paths, &new_places, &old_places);
        let mut from: Vec<Vec<u8>> = left.difference(&came).cloned().collect();
        let mut to: Vec<Vec<u8>> = came.difference(&left).cloned().collect();
        let (before, now) = (old.nodes.get(&object), new.nodes.get(&object));
        if let (Some(before), Some(now)) = (before, now) {
            let pairs = from.len().min(to.len());
            for (from, to) in from.drain(..pairs).zip(to.drain(..pairs)) {
                lines.push((PathChangeKind::Renamed, to, Some(from)));
            }
            let span = one.min(other) + 1..=one.max(other);
            let has_data =
                |acts: &super::fill::Acts| acts.get(&object).is_some_and(|act| act.0 & DATA != 0);
            let has_data = if past.newest_first && *span.start() == 1 {
                // What the streams did since the date before is not known.
                let facts = |node: &FileNode| (node.size, node.mtime, node.target.clone());
                !is_directory(now) && facts(before) != facts(now)
            } else {
                past.acts[span].iter().any(has_data)
            };
            let kind = if has_data {
                Some(PathChangeKind::Changed)
            } else {
                (attributes(before) != attributes(now)).then_some(PathChangeKind::AttributesChanged)
            };
            if let Some(kind) = kind {
                // The name that comes first by its directory's number.
                let place = new_places.iter().next();
                let path = new_paths.iter().find(|(path, named)| {
                    let slash = path.iter().rposition(|byte| *byte == b'/');
                    **named == object
                        && place.is_none_or(|place| {
                            new_paths[&path[..slash.unwrap_or(0)]] == place.0
                                && path[slash.map_or(0, |at| at + 1)..] == place.1
                        })
                });
                lines.push((kind, path.unwrap().0.clone(), None));
            }
        }
        deleted.extend(
            from.into_iter()
                .map(|path| (path, old.nodes[&object].clone())),
        );
        made.extend(
            to.into_iter()
                .map(|path| (path, new.nodes[&object].clone())),
        );
    }
    for (path, now) in made {
        let Some(before) = deleted.remove(&path) else {
            lines.push((PathChangeKind::Made, path, None));
            continue;
        };
        let facts = |node: &FileNode| (node.size, node.mtime, node.target.clone());
        if before.mode & 0o170_000 != now.mode & 0o170_000 {
            lines.push((PathChangeKind::TypeChanged, path, None));
        } else if !is_directory(&now) && facts(&before) != facts(&now) {
            lines.push((PathChangeKind::Changed, path, None));
        } else if attributes(&before) != attributes(&now) {
            lines.push((PathChangeKind::AttributesChanged, path, None));
        }
    }
    lines.extend(
        deleted
            .into_keys()
            .map(|path| (PathChangeKind::Deleted, path, None)),
    );
    lines.sort_by(|one, other| (&one.1, one.0).cmp(&(&other.1, other.0)));
    lines
}

#[test]
fn differences_are_those_of_the_trees() {
    for seed in 200..208 {
        let directory = tempfile::tempdir().unwrap();
        let mut past = random_past(seed, 7);
        past.newest_first = seed % 2 == 1;
        let index = past.index(directory.path());
        let archives = visible(&index);
        for (one, first) in &archives {
            for (other, second) in &archives {
                let changes = index.diff((*first, *second), b"").unwrap().into_iter();
                let lines: Vec<Line> = changes.map(|it| (it.kind, it.path, it.from)).collect();
                let expected = changed(&past, *one, *other);
                assert_eq!(lines, expected, "seed {seed}, {one} to {other}");
                for path in past.trees[*one].paths().keys() {
                    let changes = index.diff((*first, *second), path).unwrap();
                    let from = |line: &&Line| line.2.as_ref().is_some_and(|from| is_in(from, path));
                    let expected = expected
                        .iter()
                        .filter(|line| is_in(&line.1, path) || from(line));
                    assert_eq!(changes.len(), expected.count(), "seed {seed}, {path:?}");
                }
            }
        }
    }
}

#[test]
fn weights_and_costs_are_those_of_the_trees() {
    for seed in 300..325 {
        let directory = tempfile::tempdir().unwrap();
        let past = random_past(seed, 7);
        let index = past.index(directory.path());
        let archives = visible(&index);
        let weight = |at: usize, above: &[u8]| {
            let tree = &past.trees[at];
            let nodes = tree
                .paths()
                .into_iter()
                .filter(|(path, _)| is_in(path, above));
            let nodes = nodes.map(|(_, object)| tree.nodes[&object].clone());
            let files: Vec<u64> = nodes
                .filter(|it| !is_directory(it))
                .map(|it| it.size)
                .collect();
            (files.iter().sum::<u64>(), files.len() as u64)
        };
        for (at, archive) in &archives {
            for path in past.trees[*at].paths().keys() {
                let object = index.resolve(path, *archive).unwrap().unwrap();
                for found in index.weigh((path, object), *archive, 3).unwrap() {
                    let totals = (found.totals.bytes, found.totals.files);
                    assert_eq!(totals, weight(*at, &found.path), "seed {seed} {path:?}");
                }
                let dates = index.weigh_by_date(path).unwrap().into_iter();
                let dates: Vec<_> = dates
                    .map(|(archive, it)| (archive.date, it.bytes))
                    .collect();
                let expected = archives
                    .iter()
                    .filter(|(at, _)| past.trees[*at].find(path).is_some());
                let expected: Vec<_> = expected
                    .map(|(at, it)| (it.date, weight(*at, path).0))
                    .collect();
                assert_eq!(dates, expected, "seed {seed}");
            }
        }
        let (first, last) = (archives[0], archives[archives.len() - 1]);
        let costs = index.costs((first.1, last.1), b"", usize::MAX).unwrap();
        assert!(costs.is_sorted_by_key(|cost| std::cmp::Reverse(cost.bytes)));
        // What was made and deleted between two archives is in no tree, and costs nothing here.
        let acts = past.acts[first.0 + 1..=last.0].iter();
        let expected: u64 = acts
            .flat_map(|acts| acts.values().map(|(_, bytes)| bytes))
            .sum();
        assert_eq!(
            costs.iter().map(|cost| cost.bytes).sum::<u64>(),
            expected,
            "seed {seed}"
        );
        let most = index.costs((last.1, first.1), b"", 3).unwrap();
        assert_eq!(most, costs[..costs.len().min(3)]);
    }
}
