//! The transcripts in README: their commands run, and print what it shows but for sizes and the next slot.

use std::fs;
use std::path::Path;

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{LIVE_CONFIG, Machine};

/// A command, and what it prints.
type Command = (String, String);

/// The commands of README's `console` blocks: those of the nights, those that find a lost file, and the one that extracts it.
fn transcripts() -> [Vec<Command>; 3] {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let blocks = readme.split("```console\n").skip(1);
    let blocks = blocks.map(|block| commands(block.split_once("```").unwrap().0));
    let blocks: Vec<_> = blocks.collect();
    blocks.try_into().expect("this test knows of three blocks")
}

fn commands(block: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in block.lines() {
        if let Some(words) = line.strip_prefix("# coldchain ") {
            commands.push((words.replace('"', ""), String::new()));
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

/// Lets every snapshot be taken at 03:17 of its date, as on a machine that runs this every night.
fn set_clock_back(machine: &Machine) {
    let catalog = rusqlite::Connection::open(machine.state().join("catalog.db")).unwrap();
    let set = "UPDATE snapshot SET made_at = date || 'T03:17:00Z'";
    assert_eq!(catalog.execute(set, []).unwrap(), 3);
}

#[test]
fn the_transcripts_in_readme_are_what_the_program_prints() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let config = format!("contents = true\n{LIVE_CONFIG}");
    machine.write_config(&config);
    let root = machine.btrfs().root();
    fs::create_dir(root.join("new")).unwrap();
    let letter = root.join("home/letter.txt");
    for (date, text) in [
        ("2026-11-01", "Dear Ann\n"),
        ("2026-11-07", "Dear Ann, thank you\n"),
    ] {
        fs::write(&letter, text).unwrap();
        let run = machine.run(&format!("backup home {date}"));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    fs::remove_file(letter).unwrap();
    let here = |text: &str| {
        let text = text
            .replace("/mnt/new", "$FS/new")
            .replace("/mnt/usb", "$T/usb")
            .replace("kit.txt", "$T/kit")
            .replace("/home/.coldchain/", "$FS/snapshots/")
            .replace("/home/letter.txt", "$FS/home/letter.txt")
            .replace("--to /home", "--to $FS/home");
        machine.fill(&text.replace("/mnt/shelf/archive", "$T/store"))
    };
    let [nights, lost, extracted] = transcripts();
    assert_eq!((nights.len(), lost.len(), extracted.len()), (3, 4, 1));
    for (at, (words, shown)) in nights.into_iter().chain(lost).chain(extracted).enumerate() {
        if at == 3 {
            set_clock_back(&machine);
        }
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
