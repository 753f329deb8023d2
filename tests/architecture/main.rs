//! The rings hold: who may name whom, who may print, where `unsafe` stands. Read from the sources.

mod book;
mod circles;
mod dependencies;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file, its comments left out.
struct Source {
    /// Below `src`, with `/`.
    path: String,
    text: String,
    code: String,
}

impl Source {
    /// The top-level module that it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules deep its code is: 1 in `store.rs` and `store/mod.rs`.
    fn depth(&self) -> usize {
        let names = self.path.split('/').count();
        names - usize::from(self.path.ends_with("/mod.rs"))
    }

    fn is_for_tests(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap();
        self.path.contains("/tests/")
            || name == "tests.rs"
            || name == "test_data.rs"
            || name.ends_with("_tests.rs")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let code = without_comments(&text);
            let path = path.strip_prefix(&src).unwrap().to_str().unwrap();
            Source {
                path: path.to_owned(),
                text,
                code,
            }
        })
        .collect()
}

/// Leaves out what stands after `//` where a line, or its code, ends.
fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| {
            let code = line.trim_start();
            if code.starts_with("//") {
                return "";
            }
            line.split(" // ").next().unwrap()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where a path or macro begins with that text: not in the middle of a word or of a longer path.
fn starts_of<'c>(code: &'c str, text: &'c str) -> impl Iterator<Item = &'c str> {
    code.match_indices(text).filter_map(move |(at, _)| {
        let before = code[..at].bytes().next_back();
        let begins = before.is_none_or(|byte| !is_word(byte) && byte != b':');
        begins.then(|| &code[at + text.len()..])
    })
}

fn first_word(text: &str) -> &str {
    let end = text
        .bytes()
        .position(|byte| !is_word(byte))
        .unwrap_or(text.len());
    &text[..end]
}

/// The crate's modules that a file names: by `crate::`, by its own name, or by climbing with `super::`.
fn named_modules(source: &Source) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut add = |after: &str| {
        let paths = match after.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap();
                assert!(!list.contains('{'), "{}: nested `use`", source.path);
                list.split(',').map(str::trim).collect()
            }
            None => vec![after],
        };
        named.extend(
            paths
                .into_iter()
                .map(first_word)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        );
    };
    for start in ["crate::", "coldchain::"] {
        for after in starts_of(&source.code, start) {
            add(after);
        }
    }
    // A file's own `mod tests` stands last, and is one module deeper.
    let tests = source.code.find("\nmod tests {");
    let (top, tests) = source.code.split_at(tests.unwrap_or(source.code.len()));
    for (code, depth) in [(top, source.depth()), (tests, source.depth() + 1)] {
        for after in starts_of(code, "super::") {
            let mut climbed = 1;
            let mut rest = after;
            while let Some(further) = rest.strip_prefix("super::") {
                climbed += 1;
                rest = further;
            }
            if climbed >= depth {
                add(rest);
            }
        }
    }
    named
}

/// Panics if files of the module name other modules of the crate than these.
fn names_only(module: &str, allowed: &[&str]) {
    let mut files = 0;
    for source in sources() {
        if source.module() != module {
            continue;
        }
        files += 1;
        for named in named_modules(&source) {
            assert!(
                named == module || allowed.contains(&named.as_str()),
                "src/{} names `{named}`, but {module} may name only {allowed:?}",
                source.path
            );
        }
    }
    assert!(files > 0, "there is no module {module}");
}

#[test]
fn model_names_no_other_module() {
    names_only("model", &[]);
}

#[test]
fn plan_names_model_alone() {
    names_only("plan", &["model"]);
}

#[test]
fn the_edges_name_model_and_process_and_never_each_other() {
    for edge in [
        "btrfs", "seal", "store", "ledger", "catalog", "files_db", "fuse", "gpg", "rsync",
    ] {
        names_only(edge, &["model", "mounts", "process"]);
    }
    // Its programs are the user's, and judged by their owner.
    names_only("hooks", &["model", "owned", "process"]);
    names_only("process", &["model"]);
    names_only("mounts", &[]);
}

#[test]
fn nothing_below_commands_names_commands_or_the_command_line() {
    for source in sources() {
        // The library's face stands beside the commands, and shares with them what they do before they print it.
        if ["api", "commands", "cli", "main", "lib"].contains(&source.module()) {
            continue;
        }
        for above in ["commands", "cli"] {
            assert!(
                !named_modules(&source).contains(above),
                "src/{} names `{above}`",
                source.path
            );
        }
    }
}

#[test]
fn the_documentation_shows_the_library_s_face_alone() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut hidden = false;
    let mut shown = Vec::new();
    for line in text.lines() {
        let name = line.strip_prefix("pub mod ").filter(|_| !hidden);
        shown.extend(name);
        hidden = line == "#[cfg_attr(not(developer_docs), doc(hidden))]";
    }
    assert_eq!(shown, ["api;"]);
}

#[test]
fn each_foreign_crate_is_named_by_its_one_module() {
    for (crate_name, modules) in [
        ("rusqlite", &["catalog", "files_db"][..]),
        ("zstd", &["btrfs", "seal"]),
        ("age", &["seal"]),
        ("minisign", &["ledger"]),
        ("flate2", &["btrfs", "gpg"]),
        ("fuser", &["fuse"]),
    ] {
        let mut users = BTreeSet::new();
        for source in sources() {
            for end in ["::", ";", " as "] {
                // `age::…` anywhere, and `use age;`.
                let start = if end == "::" { "" } else { "use " };
                let text = format!("{start}{crate_name}{end}");
                if starts_of(&source.code, &text).next().is_some() {
                    users.insert(source.module().to_owned());
                }
            }
        }
        let allowed: BTreeSet<String> = modules.iter().map(|module| (*module).into()).collect();
        assert_eq!(users, allowed, "only {allowed:?} may name {crate_name}");
    }
    for source in sources() {
        let names_aws = starts_of(&source.code, "aws_").next().is_some();
        assert!(
            !names_aws || source.module() == "store" || names_the_http_client_alone(&source.code),
            "src/{} names aws",
            source.path
        );
    }
}

/// Whether code names of AWS only the HTTP client that its SDK uses.
fn names_the_http_client_alone(code: &str) -> bool {
    starts_of(code, "aws_").all(|rest| rest.starts_with("smithy_"))
}

/// What reaches a terminal, and the files that may have it.
const PRINTERS: [(&str, &[&str]); 15] = [
    ("print!", &[]),
    ("println!", &[]),
    ("eprint!", &[]),
    ("eprintln!", &[]),
    ("dbg!", &[]),
    ("stdout()", &["printing.rs"]),
    ("stderr()", &["printing.rs"]),
    ("io::stdout", &["printing.rs"]),
    ("io::stderr", &["printing.rs"]),
    ("Stdout", &["printing.rs"]),
    ("Stderr", &[]),
    // What a child prints is read, and told like all else.
    ("Stdio::inherit", &[]),
    // A question, by `printing`.
    ("/dev/tty", &["commands/prompt.rs"]),
    ("/dev/std", &[]),
    // Its bars show names of sources, dates and numbers.
    ("indicatif", &["progress/bar.rs"]),
];

/// Whether some code has a printer: as a word of its own, be it at the end of a path.
fn has_printer(code: &str, printer: &str) -> bool {
    code.match_indices(printer).any(|(at, _)| {
        let before = code[..at].bytes().next_back();
        let after = code[at + printer.len()..].bytes().next();
        let open_end = printer.ends_with(['!', ')']);
        before.is_none_or(|byte| !is_word(byte))
            && (open_end || printer.starts_with('/') || after.is_none_or(|byte| !is_word(byte)))
    })
}

#[test]
fn nothing_is_printed_but_by_the_module_that_escapes_it() {
    let sources = sources();
    for (printer, allowed) in PRINTERS {
        let mut users = BTreeSet::new();
        for source in &sources {
            if !source.is_for_tests() && has_printer(&source.code, printer) {
                users.insert(source.path.as_str());
            }
        }
        // Also that the file which may print does: a printer that is written otherwise would be overlooked.
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(users, allowed, "{printer}");
    }
}

#[test]
fn unsafe_is_in_five_files() {
    for source in sources() {
        let is_unsafe = starts_of(&source.code, "unsafe")
            .any(|after| !after.bytes().next().is_some_and(is_word));
        assert_eq!(
            is_unsafe,
            [
                "allocator.rs",
                "btrfs/sys.rs",
                "btrfs/sys/mounts.rs",
                "btrfs/sys/trees.rs",
                "process/session.rs"
            ]
            .contains(&&*source.path),
            "src/{}",
            source.path
        );
    }
}

/// The types that a file defines, without its own tests.
fn types_of(source: &Source) -> BTreeSet<&str> {
    let code = source.code.split("\nmod tests {").next().unwrap();
    ["struct ", "enum ", "trait "]
        .into_iter()
        .flat_map(|keyword| starts_of(code, keyword))
        .map(first_word)
        .filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()))
        .collect()
}

#[test]
fn a_type_name_stands_for_one_thing() {
    let sources = sources();
    let mut defined: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    // `cli` names an arguments type after its verb.
    let files = sources
        .iter()
        .filter(|source| !source.is_for_tests() && !source.path.starts_with("cli/"));
    for source in files {
        for name in types_of(source) {
            defined.entry(name).or_default().push(&source.path);
        }
    }
    assert!(defined["Catalog"] == ["catalog/mod.rs"], "{defined:?}");
    defined.retain(|_, files| files.len() > 1);
    assert!(defined.is_empty(), "two types have one name: {defined:#?}");
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    for source in sources() {
        assert!(
            source.is_for_tests() || source.text.starts_with("//! "),
            "src/{} has no `//!` in its first line",
            source.path
        );
    }
}

/// The numbers of `pub enum ExitCode`, and 0.
fn exit_codes() -> BTreeSet<u8> {
    let sources = sources();
    let body = sources
        .iter()
        .find_map(|source| Some(source.text.split_once("pub enum ExitCode {")?.1));
    let body = body.expect("there is an enum of exit codes");
    let (body, _) = body.split_once("\n}").unwrap();
    let mut codes: BTreeSet<u8> = without_comments(body)
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "))
        .map(|(_, code)| code.parse().unwrap())
        .collect();
    assert!(codes.len() >= 8, "{codes:?}");
    codes.insert(0);
    codes
}

#[test]
fn the_page_on_commands_lists_just_the_exit_codes_that_there_are() {
    let page = fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let (_, section) = page.split_once("\n## Exit codes\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let listed: BTreeSet<u8> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(listed, exit_codes());
}

#[test]
fn the_help_lists_just_the_exit_codes_that_there_are() {
    let cli = fs::read_to_string(root().join("src/cli/mod.rs")).unwrap();
    let (_, help) = cli.split_once("Exit codes: ").unwrap();
    let (help, _) = help.split_once(". An unknown code").unwrap();
    let listed: BTreeSet<u8> = help
        .split('·')
        .map(|code| code.trim_start_matches(|c: char| !c.is_ascii_digit()))
        .map(|code| code.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(listed, exit_codes());
}

/// A test that is named in the threat model and is gone would be a promise that nobody keeps.
#[test]
fn the_threat_model_names_tests_that_there_are() {
    let page = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let mut code = String::new();
    let mut directories = vec![root().join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let mut tests = 0;
    for (at, text) in page.split('`').enumerate() {
        let is_code = at % 2 == 1;
        if is_code && text.starts_with("tests/") {
            assert!(root().join(text).exists(), "there is no {text}");
        } else if is_code && text.matches('_').count() > 2 {
            assert!(
                code.contains(&format!("#[test]\nfn {text}() {{")),
                "there is no test {text}"
            );
            tests += 1;
        }
    }
    assert!(tests > 50, "{tests}");
}

/// A file that is named and is gone would lead nowhere who has to change something.
#[test]
fn the_page_on_architecture_names_files_that_there_are() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut files = 0;
    for (at, text) in page.split('`').enumerate() {
        let is_file = text.contains('/') || text.contains(".rs");
        if at % 2 == 1 && is_file && !text.contains("NAME") {
            let is_there = root().join(text).exists() || root().join("src").join(text).exists();
            assert!(is_there, "there is no {text}");
            files += 1;
        }
    }
    assert!(files > 60, "{files}");
}

#[test]
fn what_is_looked_for_is_found() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        text: code.to_owned(),
        code: without_comments(code),
    };
    let named = |path, code| {
        named_modules(&source(path, code))
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(named("plan/due.rs", "use crate::model::X;"), ["model"]);
    assert_eq!(
        named("plan/due.rs", "use crate::{\n    model::X,\n    store,\n};"),
        ["model", "store"]
    );
    assert_eq!(
        named("plan/due.rs", "let x = crate::store::get();"),
        ["store"]
    );
    assert_eq!(named("plan/mod.rs", "use super::store::X;"), ["store"]);
    assert_eq!(
        named("plan/due.rs", "use super::super::store::X;"),
        ["store"]
    );
    assert_eq!(named("plan/due.rs", "use super::slot;"), [""; 0]);
    assert_eq!(
        named(
            "plan/due.rs",
            "\nmod tests {\n    use super::super::sample;\n}"
        ),
        [""; 0]
    );
    assert_eq!(named("plan/due.rs", "/// See `crate::store`."), [""; 0]);
    assert!(starts_of("let x = age::x();", "age::").next().is_some());
    assert!(starts_of("let x = storage::x();", "age::").next().is_none());
    assert!(starts_of("seal::age::x()", "age::").next().is_none());
    for (code, printer) in [
        ("std::io::stderr().lock()", "stderr()"),
        ("use std::io::{self, stdout};\nstdout()", "stdout()"),
        ("write_all(io::stdout)", "io::stdout"),
        ("    eprintln!(", "eprintln!"),
        ("std::println!(", "println!"),
        (".stderr(Stdio::inherit())", "Stdio::inherit"),
        ("open(\"/dev/stderr\")", "/dev/std"),
    ] {
        assert!(has_printer(code, printer), "{code}");
    }
    for (code, printer) in [
        ("eprintln!()", "println!"),
        (".stdout(Stdio::piped())", "stdout()"),
        ("ChildStdout", "Stdout"),
    ] {
        assert!(!has_printer(code, printer), "{code}");
    }
}
