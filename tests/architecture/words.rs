//! What the program says is said in the words of `docs/glossary.md`, and plainly.

use super::{Source, root, sources};

/// Words and turns that made readers guess, and what to say instead.
const RETIRED: [(&str, &str); 13] = [
    ("whoever", "anybody who"),
    ("nobody", "no key, no program, not"),
    ("amiss", "wrong"),
    ("is told", "name who says what"),
    ("are told", "name who says what"),
    ("was told", "name who says what"),
    ("gone on with", "continued"),
    ("makes it good", "fixes it"),
    ("made good", "fixed"),
    ("stands there", "is there"),
    ("stood there", "was there"),
    ("stray", "orphaned object"),
    ("strays", "orphaned objects"),
];

/// The texts in quotes, and what `--help` shows of the command line's types.
fn texts(source: &Source) -> Vec<String> {
    let mut texts = Vec::new();
    if source.module() == "cli" {
        let shown = source.text.lines().map(str::trim_start);
        texts.extend(
            shown
                .filter_map(|line| line.strip_prefix("///"))
                .map(str::to_owned),
        );
    }
    let code = super::circles::without_tests(&source.code);
    let mut rest = code;
    while let Some(at) = rest.find('"') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        if before.ends_with('\'') && after.starts_with('\'') {
            rest = after;
            continue;
        }
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before.trim_end_matches('#').ends_with('r');
        let end = if is_raw {
            after.find(&format!("\"{}", "#".repeat(hashes)))
        } else {
            let mut escaped = false;
            after.find(|letter| {
                let ends = letter == '"' && !escaped;
                escaped = letter == '\\' && !escaped;
                ends
            })
        };
        let end = end.expect("a text ends");
        texts.push(after[..end].to_owned());
        rest = &after[end + 1..];
    }
    texts
}

fn has_word(text: &str, word: &str) -> bool {
    let text = text.to_lowercase();
    text.match_indices(word).any(|(at, _)| {
        let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '{';
        !text[..at].ends_with(is_letter) && !text[at + word.len()..].starts_with(is_letter)
    })
}

#[test]
fn retired_words_are_in_no_text_that_a_user_reads() {
    let (mut seen, mut found) = (0, Vec::new());
    for source in sources() {
        if source.is_for_tests() {
            continue;
        }
        for text in texts(&source) {
            seen += 1;
            // A single word is a name: of a column, of a key in JSON.
            if !text.trim().contains(' ') {
                continue;
            }
            for (word, instead) in RETIRED {
                if has_word(&text, word) {
                    let path = &source.path;
                    found.push(format!("src/{path}: `{word}`, say {instead}: {text}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(seen > 3000, "{seen}");
}

/// The pages for users. Those for developers and for auditors are still to be gone through.
const PAGES: &[&str] = &[
    "README.md",
    "docs/api.md",
    "docs/aws.md",
    "docs/backup-and-resume.md",
    "docs/commands.md",
    "docs/configuration.md",
    "docs/disaster-recovery.md",
    "docs/files.md",
    "docs/from/archive-scripts.md",
    "docs/from/btrbk.md",
    "docs/from/btrfs-backup.md",
    "docs/from/btrsend.md",
    "docs/from/dump.md",
    "docs/from/rsbtbackup.md",
    "docs/from/snapper.md",
    "docs/hooks-and-log.md",
    "docs/keys.md",
    "docs/mirrors-ssh.md",
    "docs/pull.md",
    "docs/restore-and-thaw.md",
    "docs/retention-and-prune.md",
    "docs/snapshots.md",
    "docs/vault.md",
    "docs/verify-and-drill.md",
    "packaging/btrsend/README.md",
];

#[test]
fn retired_words_are_on_no_page_for_users() {
    let mut found = Vec::new();
    for name in PAGES {
        let page = std::fs::read_to_string(root().join(name)).unwrap();
        for (number, line) in page.lines().enumerate() {
            for (word, instead) in RETIRED {
                if has_word(line, word) {
                    found.push(format!("{name}:{}: `{word}`, say {instead}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn texts_are_found() {
    let source = Source {
        path: "cli/mod.rs".to_owned(),
        text: "/// What a user reads\n".to_owned(),
        code: "x('\"', \"a \\\" b\", r#\"c \" d\"#);\n#[cfg(test)]\nmod tests {\n    \"not this\"\n}\n"
            .to_owned(),
    };
    assert_eq!(texts(&source), [" What a user reads", "a \\\" b", "c \" d"]);
    assert!(has_word("Nobody may", "nobody") && !has_word("astray", "stray"));
}
