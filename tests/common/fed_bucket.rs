//! A machine whose source is fed through `decide` into a bucket, and what it says to that.

use std::process::Command;

use super::bucket::write_credentials;
use super::machine::{Machine, fed_config};
use super::s3_server::{ACCESS_KEY, BUCKET, SECRET_KEY};
use super::stream_builder::StreamBuilder;

/// Keys of the store's table, and what stands there instead; empty for nothing.
pub type Lines<'l> = &'l [(&'l str, &'l str)];

/// A config with a bucket of that server as its store, and these lines instead of or beside.
pub fn config(endpoint: &str, lines: Lines<'_>) -> String {
    let mut keys = vec![
        ("type", "\"s3\"".to_owned()),
        ("bucket", format!("\"{BUCKET}\"")),
        ("prefix", "\"some/prefix\"".to_owned()),
        ("region", "\"us-east-1\"".to_owned()),
        ("endpoint", format!("\"{endpoint}\"")),
        ("credentials_file", "\"$T/credentials\"".to_owned()),
        ("give_up_after", "\"2s\"".to_owned()),
    ];
    for (key, value) in lines {
        keys.retain(|(other, _)| other != key);
        if !value.is_empty() {
            keys.push((key, (*value).to_owned()));
        }
    }
    let table: String = keys.iter().fold(String::new(), |text, (key, value)| {
        text + key + " = " + value + "\n"
    });
    fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &table)
}

/// A machine that was set up with a directory, so that only its store is wrong.
pub fn machine() -> Machine {
    let machine = Machine::fed(None);
    std::fs::remove_file(machine.path("state/catalog.db")).unwrap();
    write_credentials(&machine.path("credentials"), ACCESS_KEY, SECRET_KEY);
    machine
}

fn stream() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"2024-01-01", [7; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, b"hello")
        .finish()
}

/// What the program says to a stream for that store: exit code, and stderr with `$E` for the
/// endpoint and without the numbers of requests.
pub fn said(machine: &Machine, endpoint: &str, lines: Lines<'_>) -> (Option<i32>, String) {
    said_with(machine, endpoint, lines, |command| {
        command.env("AWS_EC2_METADATA_DISABLED", "true");
    })
}

/// The same in another environment. It has no settings of the AWS tools but those that are added.
pub fn said_with(
    machine: &Machine,
    endpoint: &str,
    lines: Lines<'_>,
    change: impl FnOnce(&mut Command),
) -> (Option<i32>, String) {
    machine.write_config(&config(endpoint, lines));
    let mut command = machine.command("decide 2024-01-01");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env("HOME", machine.path("nobody"));
    change(&mut command);
    let input = machine.path("stream");
    std::fs::write(&input, stream()).unwrap();
    command.stdin(std::fs::File::open(&input).unwrap());
    let run = machine.run_command(&mut command);
    let mut text = run.stderr.replace(endpoint, "$E");
    while let Some((before, after)) = text.split_once(" (request ") {
        let (_, after) = after.split_once(')').unwrap();
        text = format!("{before}{after}");
    }
    (run.code, text)
}
