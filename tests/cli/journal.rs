//! Levels for systemd's journal, and none where stderr is anything else.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use crate::common::machine::{Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;

/// What a command prints on stderr, with a variable that names stderr or another file as the journal.
fn stderr(machine: &Machine, words: &str, names_stderr: bool) -> String {
    let path = machine.path("stderr");
    let file = File::create(&path).unwrap();
    let metadata = file.metadata().unwrap();
    let inode = metadata.ino() + u64::from(!names_stderr);
    let status = machine
        .command(words)
        .env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()))
        .stdout(Stdio::null())
        .stderr(file)
        .status();
    assert!(status.is_ok());
    fs::read_to_string(path).unwrap()
}

#[test]
fn lines_have_their_level_where_stderr_is_the_journal() {
    let machine = Machine::fed(None);
    let stream = StreamBuilder::header(1)
        .subvol(b"home", *b"uuid of the 1st.", 10)
        .finish();
    machine
        .run_with("decide 2024-01-01", &stream)
        .is(0, "c\n", "");
    machine.write_config(&format!("log = \"/dev/null\"\n{}", fed_config()));
    for (words, levels) in [
        ("decide --no", vec![3; 7]),
        ("restore nothing --to /tmp", vec![3, 3]),
        // A log that can't be written, and what -v has to say.
        ("decide 2024-01-02 --verbose", vec![4, 6]),
        // A warning, and an error with its cause and its hint.
        ("decide 2024-01-07", vec![4, 3, 3, 3, 3]),
    ] {
        let marked = stderr(&machine, words, true);
        let bare = stderr(&machine, words, false);
        let mut found = Vec::new();
        let mut unmarked = String::new();
        for line in marked.split_inclusive('\n') {
            let (level, line) = line.strip_prefix('<').unwrap().split_once('>').unwrap();
            found.push(level.parse::<u8>().unwrap());
            unmarked += line;
        }
        assert_eq!(unmarked, bare);
        assert_eq!(found, levels, "{bare}");
    }
    let json = stderr(&machine, "restore nothing --to /tmp --json", true);
    assert!(json.starts_with("<3>{\"error\":{\"code\":2,"), "{json}");
}
