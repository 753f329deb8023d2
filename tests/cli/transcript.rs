//! The transcript in README: its commands run, and print what it shows but for sizes and the next slot.

use std::fs;
use std::path::Path;

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::Machine;

/// The commands of README's `console` block, each with what it prints.
fn transcript() -> Vec<(String, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, block) = readme.split_once("```console\n").unwrap();
    let (block, rest) = block.split_once("```").unwrap();
    assert!(!rest.contains("```console"), "this test knows of one block");
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(words) = line.strip_prefix("# coldchain ") {
            commands.push((words.to_owned(), String::new()));
        } else {
            let (_, printed) = commands.last_mut().expect("a command comes first");
            printed.push_str(line);
            printed.push('\n');
        }
    }
    commands
}

/// The text without what differs from run to run: sizes, shares, the next slot, and the blanks that they take.
fn essence(text: &str) -> Vec<String> {
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kept = words.iter().enumerate().filter(|(at, word)| {
            let before = at.checked_sub(1).map_or("", |before| words[before]);
            let after = words.get(at + 1).copied().unwrap_or("");
            let unit = |word: &str| matches!(word.trim_end_matches(','), "B" | "KiB" | "MiB" | "%");
            !(is_number(word) && unit(after)
                || unit(word) && is_number(before)
                || before == "slot" && at == &4)
        });
        lines.push(kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" "));
    }
    lines
}

#[test]
fn the_transcript_in_readme_is_what_the_program_prints() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let root = machine.btrfs().root();
    fs::create_dir(root.join("new")).unwrap();
    for date in ["2026-11-01", "2026-11-07"] {
        fs::write(root.join("home/letter"), date).unwrap();
        let run = machine.run(&format!("backup home {date}"));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let here = |text: &str| {
        let text = text
            .replace("/mnt/new", "$FS/new")
            .replace("kit.txt", "$T/kit");
        machine.fill(&text.replace("/mnt/shelf/archive", "$T/store"))
    };
    let commands = transcript();
    assert_eq!(commands.len(), 3);
    for (words, shown) in commands {
        let run = machine.run(&here(&words));
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
        let printed = machine.fill(&run.stdout);
        assert_eq!(
            essence(&printed),
            essence(&here(&shown)),
            "{words}: {printed}"
        );
    }
}
