//! What `prune --dry-run` says of objects that go before the days that their class is paid for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{TimeDelta, Utc};

use crate::common::is_segment;
use crate::common::machine::{Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;
use coldchain::model::size::Bytes;

const DAY: Duration = Duration::from_hours(24);

/// Every archive is a full, and expires after 60 days. A GB costs as much as a house, so that the few
/// bytes here cost something.
const MORE: &str = r#"cold = "DEEP_ARCHIVE"
cold_delay = "1m"

[schedule]
days = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31]
max_incrementals = 0
expire_after_days = 60

[prices]
DEEP_ARCHIVE = { gb_month = 900000 }
"#;

fn decide(machine: &Machine, days_ago: i64, uuid: [u8; 16]) {
    let date = Utc::now().date_naive() - TimeDelta::days(days_ago);
    let stream = StreamBuilder::header(1)
        .subvol(date.to_string().as_bytes(), uuid, 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 1000])
        .finish();
    let run = machine.run_with(&format!("decide {date}"), &stream);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

fn segments_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("000000-") && is_segment(name)
        })
        .collect()
}

/// Sets back when everything in a directory was stored.
fn age(directory: &Path, days: u32) {
    for entry in fs::read_dir(directory).unwrap() {
        let file = File::options().write(true).open(entry.unwrap().path());
        let then = SystemTime::now() - DAY * days;
        file.unwrap().set_modified(then).unwrap();
    }
}

/// The first line that begins so, and what is told below it.
fn line(text: &str, begins: &str) -> [String; 2] {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(begins));
    [(); 2].map(|()| lines.next().unwrap_or_else(|| panic!("{text}")).to_owned())
}

#[test]
fn what_the_minimum_storage_duration_makes_of_a_prune_is_told_in_money() {
    let machine = Machine::new();
    let config = format!("delete_after = \"0s\"\n{}", fed_config());
    let config = config.replace("\n[encryption]", &format!("{MORE}\n[encryption]"));
    machine.write_config(&config);
    assert_eq!(machine.run("init --kit $T/kit --quiet").code, Some(0));
    // What expires is left to `prune`.
    machine.write_config(&format!("prune = \"elsewhere\"\n{config}"));
    decide(&machine, 75, *b"uuid of the old.");
    decide(&machine, 45, *b"uuid of the next");
    decide(&machine, 15, *b"uuid of the new.");
    machine.write_config(&config);
    let archives = machine.path("store/home/archives");
    let mut made: Vec<PathBuf> = fs::read_dir(&archives)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    made.sort();
    let [segment] = &segments_below(&made[0])[..] else {
        panic!("an archive has one segment");
    };
    let bytes = fs::metadata(segment).unwrap().len();
    age(&made[0], 50);
    // What another machine has begun, eight days ago.
    let stray = archives.join("2024-01-05-full-00000000000000aa");
    fs::create_dir(&stray).unwrap();
    let begun = "000000-00000000000000bb.zst.age";
    fs::write(stray.join(begun), [0; 5000]).unwrap();
    let class = r#"{"class":"DEEP_ARCHIVE","thaw":null}"#;
    fs::write(stray.join(format!(".cold-{begun}")), class).unwrap();
    age(&stray, 8);

    let begins = "home: to retire the chain of ";
    let [chain, early] = line(&dry(&machine), begins);
    assert!(
        chain.contains("its newest archive is 75 days old"),
        "{chain}"
    );
    assert_eq!(early, paid(bytes, 130));
    let retired = machine.run("prune");
    assert_eq!((retired.code, retired.stderr.as_str()), (Some(0), ""));
    let [_, early] = line(&retired.stdout, "home: retired the chain of ");
    assert_eq!(early, paid(bytes, 130));

    let [_, early] = line(&dry(&machine), "home: to delete the chain of ");
    assert_eq!(early, paid(bytes, 130));
    let [_, early] = line(&dry(&machine), "home: to remove 2024-01-05-full-");
    assert_eq!(early, paid(5000, 172));
    assert!(segment.exists());
}

fn dry(machine: &Machine) -> String {
    let dry = machine.run("prune --dry-run");
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""));
    dry.stdout
}

/// The line of so many bytes that lack so many days: 900,000 USD a month are 30,000 a day, the class bills 32 KiB beside
/// the object, and what is estimated is rounded up.
fn paid(bytes: u64, days: u64) -> String {
    let cents = ((bytes + (32 << 10)) * days * 30_000 * 100).div_ceil(1 << 30);
    let (usd, cents) = (cents / 100, cents % 100);
    let bytes = Bytes(bytes);
    format!(
        "home:   1 object in DEEP_ARCHIVE, {bytes}: deleted before the minimum of 180 days that is paid for; the missing days, up to {days}, cost USD {usd}.{cents:02} by estimate"
    )
}
