//! No file depends on itself by way of others.
//!
//! A file depends on those whose items it names: by `use`, or by a path in its code. A name that a `mod.rs` passes on
//! (`pub use`) is followed to the file that has it; passing on is no dependence, and neither is what tests name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, is_word, sources};

type Module = Vec<String>;

/// What a file says of others.
#[derive(Default)]
struct Names {
    /// Paths that it uses.
    used: Vec<Vec<String>>,
    /// What it passes on under a name.
    passed_on: BTreeMap<String, Vec<String>>,
}

fn module_of(path: &str) -> Module {
    let mut names: Module = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
        names.pop();
    }
    names
}

/// A file's code without its tests, which stand last.
pub(crate) fn without_tests(code: &str) -> &str {
    let tests = code.match_indices("#[cfg(test)]").find(|(at, mark)| {
        let after = code[at + mark.len()..].trim_start();
        after
            .lines()
            .next()
            .is_some_and(|line| line.contains("mod "))
    });
    tests.map_or(code, |(at, _)| &code[..at])
}

/// The paths of a `use`, its braces opened.
fn opened(text: &str) -> Vec<String> {
    let text = text.trim();
    let Some((before, list)) = text.split_once('{') else {
        let path = text.split(" as ").next().unwrap();
        return vec![path.replace(char::is_whitespace, "")];
    };
    let list = list.rsplit_once('}').unwrap().0;
    let mut paths = Vec::new();
    let (mut depth, mut begun) = (0, 0);
    for (at, letter) in list.char_indices().chain([(list.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = list[begun..at].trim();
                begun = (at + 1).min(list.len());
                if !item.is_empty() {
                    paths.extend(opened(item).iter().map(|path| format!("{before}{path}")));
                }
            }
            _ => {}
        }
    }
    paths
        .iter()
        .map(|path| path.replace(char::is_whitespace, ""))
        .collect()
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

fn names_of(source: &Source) -> Names {
    let mut names = Names::default();
    let mut rest = String::new();
    let mut code = without_tests(&source.code);
    while let Some(line) = code.split_inclusive('\n').next() {
        let trimmed = line.trim_start();
        let is_public = trimmed.starts_with("pub");
        let statement = match trimmed.split_once("use ") {
            Some(("", _)) => Some(trimmed),
            Some((before, _)) if is_public && before.trim_end().ends_with([')', 'b']) => {
                Some(&trimmed[before.len()..])
            }
            _ => None,
        };
        let Some(statement) = statement else {
            rest += line;
            code = &code[line.len()..];
            continue;
        };
        let begins = code.len() - code[line.len() - statement.len()..].len();
        let ends = begins + code[begins..].find(';').unwrap();
        for path in opened(&code[begins + "use ".len()..ends]) {
            let path = segments(&path);
            if is_public {
                names.passed_on.insert(path.last().unwrap().clone(), path);
            } else {
                names.used.push(path);
            }
        }
        code = &code[ends + 1..];
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in rest.match_indices(start) {
            let before = &rest[..at];
            let is_start = before
                .bytes()
                .next_back()
                .is_none_or(|byte| !is_word(byte) && byte != b':');
            // `pub(in crate::…)`, and types of calls as `collect::<…>`.
            if !is_start || before.ends_with("pub(in ") {
                continue;
            }
            let end = rest[at..].find(|letter: char| {
                !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':')
            });
            let path = &rest[at..end.map_or(rest.len(), |end| at + end)];
            names.used.push(segments(path.trim_end_matches(':')));
        }
    }
    names
}

/// The file that has what a path in `from` names; `None` if that is no file of this crate.
fn file_of(
    files: &BTreeMap<Module, Names>,
    from: &Module,
    path: &[String],
    followed: u8,
) -> Option<Module> {
    let mut at: Module = from.clone();
    let mut path = path;
    if path[0] == "crate" {
        at.clear();
        path = &path[1..];
    } else if path[0] == "super" || path[0] == "self" {
        while let Some(climb) = path
            .first()
            .filter(|name| *name == "super" || *name == "self")
        {
            if climb == "super" {
                at.pop();
            }
            path = &path[1..];
        }
    } else {
        let mut child = from.clone();
        child.push(path[0].clone());
        files.get(&child)?;
    }
    while let Some(name) = path.first() {
        let mut child = at.clone();
        child.push(name.clone());
        if !files.contains_key(&child) {
            break;
        }
        at = child;
        path = &path[1..];
    }
    let passed_on = path
        .first()
        .and_then(|name| files.get(&at)?.passed_on.get(name));
    if let Some(passed_on) = passed_on.filter(|_| followed < 10)
        && let Some(further) = file_of(files, &at, passed_on, followed + 1)
    {
        return Some(further);
    }
    files.contains_key(&at).then_some(at)
}

/// The files that a file depends on, directly or by way of others.
fn reachable<'f>(
    edges: &'f BTreeMap<Module, BTreeSet<Module>>,
    from: &Module,
) -> BTreeSet<&'f Module> {
    let mut found = BTreeSet::new();
    let mut ahead: Vec<&Module> = edges[from].iter().collect();
    while let Some(next) = ahead.pop() {
        if found.insert(next) {
            ahead.extend(&edges[next]);
        }
    }
    found
}

fn circles(sources: &[Source]) -> Vec<String> {
    let files: BTreeMap<Module, Names> = sources
        .iter()
        .filter(|source| !source.is_for_tests() && source.path != "main.rs")
        .map(|source| (module_of(&source.path), names_of(source)))
        .collect();
    let edges: BTreeMap<Module, BTreeSet<Module>> = files
        .iter()
        .map(|(from, names)| {
            let named = names.used.iter();
            let named = named.filter_map(|path| file_of(&files, from, path, 0));
            (from.clone(), named.filter(|to| to != from).collect())
        })
        .collect();
    let reachable: BTreeMap<&Module, BTreeSet<&Module>> = edges
        .keys()
        .map(|from| (from, reachable(&edges, from)))
        .collect();
    edges
        .iter()
        .flat_map(|(from, named)| named.iter().map(move |to| (from, to)))
        .filter(|(from, to)| reachable[to].contains(from))
        .map(|(from, to)| format!("{} -> {}", from.join("/"), to.join("/")))
        .collect()
}

#[test]
fn no_file_depends_on_itself_by_way_of_others() {
    let edges = circles(&sources());
    assert!(edges.is_empty(), "edges of circles: {edges:#?}");
}

#[test]
fn circles_are_found() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        text: code.to_owned(),
        code: code.to_owned(),
    };
    let with = |one: &str, two: &str| {
        circles(&[
            source(
                "room/mod.rs",
                "mod one;\nmod two;\npub use one::{First, Other};\n",
            ),
            source("room/one.rs", one),
            source("room/two.rs", two),
        ])
    };
    let there = "use super::two::Second;\n";
    let both = ["room/one -> room/two", "room/two -> room/one"];
    for back in [
        "use super::one::First;\n",
        "use super::First;\n",
        "use crate::room::{\n    First,\n    two::Second,\n};\n",
        "fn it() -> crate::room::one::First {}\n",
        "pub(super) fn it() -> super::Other {}\n",
    ] {
        assert_eq!(with(there, back), both, "{back}");
    }
    for none in [
        "pub(in crate::room::one) fn it() {}\n",
        "fn it() {}\n#[cfg(test)]\nmod tests {\n    use super::super::one::First;\n}\n",
        "use std::fmt;\n",
    ] {
        assert_eq!(with(there, none), [""; 0], "{none}");
    }
}
