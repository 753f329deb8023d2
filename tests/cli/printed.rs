//! Nothing raw reaches a terminal: whatever a name, a store or an entry says, the program prints its own lines
//! and characters that show themselves, and JSON that means the same.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use coldchain::model::ArchiveKind;
use coldchain::model::entry::{EntryKind, RetireEntry};
use serde_json::{Value, json};

use crate::common::bucket::write_credentials;
use crate::common::forged::Forger;
use crate::common::loopfs::{btrfs, real_btrfs_available};
use crate::common::machine::{Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;

/// What clears a screen, overwrites a line, forges two, turns the direction of writing and shows nothing.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\r\nerror: forged\nhome: forged\t\u{9b}31m\u{85}\u{7f}\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}y";

/// How it begins where it is shown.
const SHOWN: &str =
    "x\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\r\\nerror: forged\\nhome: forged\\t\\u{9b}31m";

/// The same in JSON.
const IN_JSON: &str =
    "x\\u001b[2J\\u001b]0;owned\\u0007\\r\\nerror: forged\\nhome: forged\\t\\u009b31m";

/// A run of the real program, its output to the byte.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a command, and panics if it prints anything raw.
#[track_caller]
fn said(command: &mut Command) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    for (name, text) in [("stdout", &stdout), ("stderr", &stderr)] {
        let raw = text
            .chars()
            .find(|character| *character != '\n' && is_raw(*character));
        assert_eq!(raw, None, "{command:?}: {name}: {text}");
        for line in text.lines() {
            let forged = line.starts_with("error: forged") || line.starts_with("home: forged");
            assert!(!forged, "{command:?}: {name}: {text}");
        }
    }
    Said {
        code: status.code(),
        stdout,
        stderr,
    }
}

/// Whether a terminal obeys a character, or does not show it. Told again here, for a rule that forgets one
/// must not excuse it.
fn is_raw(character: char) -> bool {
    character.is_control()
        || [
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{feff}'..='\u{feff}',
            '\u{e0000}'..='\u{e007f}',
        ]
        .iter()
        .any(|range| range.contains(&character))
}

impl Said {
    #[track_caller]
    fn has(&self, words: &str) {
        assert!(
            self.stdout.contains(words) || self.stderr.contains(words),
            "{words}\nstdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
    }

    /// Each line of JSON that was printed.
    fn documents(&self) -> Vec<Value> {
        let lines = self.stdout.lines().chain(self.stderr.lines());
        let documents = lines.filter(|line| line.starts_with('{'));
        documents
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The value's texts, however deep.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_nested_subvolume_is_named_on_one_line_that_shows_its_name() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let nest = |name: &str| machine.btrfs().subvolume(Path::new("home").join(name));
    nest(HOSTILE);
    for (words, is_text) in [
        ("plan", true),
        ("plan -v", true),
        ("plan --json", false),
        ("doctor", true),
        ("doctor -v", true),
        ("doctor --json", false),
        ("backup 2024-01-01 --dry-run", false),
        ("backup 2024-01-01", true),
        ("list", false),
    ] {
        let run = said(&mut machine.command(words));
        assert_eq!(run.code, Some(0), "{words}: {}", run.stderr);
        if is_text {
            run.has(SHOWN);
        }
    }
    // A backup names them when they are others than before.
    nest(&format!("{HOSTILE} too"));
    let run = said(&mut machine.command("backup 2024-01-07 -v"));
    run.has(SHOWN);
    nest(&format!("{HOSTILE} as well"));
    let run = said(&mut machine.command("backup 2024-01-14 --json"));
    run.has(IN_JSON);
    let documents = run.documents();
    let whole = |text: &str| text.contains(HOSTILE);
    assert!(
        documents.iter().flat_map(texts).any(whole),
        "{}",
        run.stdout
    );
}

#[test]
fn an_ordinary_name_is_shown_as_it_is() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    // Composed, decomposed, with an emoji of two parts, and all the signs of a keyboard.
    let name = "Größe Gro\u{308}ße 日本語 \u{2764}\u{fe0f} it's \"a\\b\" $x `y` ~!@#%^&*()";
    machine.btrfs().subvolume(Path::new("home").join(name));
    said(&mut machine.command("plan")).has(&format!("home/{name}\n"));
    // Not one that is cut: what has to be typed has to be whole.
    let long = "é".repeat(120);
    let nested = Path::new("home").join(&long);
    machine.btrfs().subvolume(&nested);
    machine.btrfs().subvolume(nested.join(&long));
    said(&mut machine.command("plan")).has(&format!("/{long}/{long}"));
}

#[test]
fn what_ends_a_command_is_said_on_lines_of_its_own() {
    let machine = Machine::fed(None);
    for words in ["plan", "list", "backup", "key show"] {
        let path = Path::new("/nowhere").join(HOSTILE);
        let run = said(machine.command(words).env("COLDCHAIN_CONFIG", &path));
        assert_eq!(run.code, Some(2));
        run.has(SHOWN);
        assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
        let run = said(
            machine
                .command(words)
                .arg("--json")
                .env("COLDCHAIN_CONFIG", &path),
        );
        run.has(IN_JSON);
        let documents = run.documents();
        let message = documents[0]["error"]["message"].as_str().unwrap();
        assert!(message.contains(HOSTILE), "{message}");
    }
    // A hint that can be pasted.
    let config = machine.path(HOSTILE);
    fs::copy(machine.path("config.toml"), &config).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&config, mode).unwrap();
    let run = said(machine.command("list").env("COLDCHAIN_CONFIG", &config));
    let (_, command) = run.stderr.split_once("then run `chmod go-w ").unwrap();
    let (word, _) = command.split_once("`\n").unwrap();
    assert_eq!(as_bash_reads(word), config.as_os_str().as_bytes());
    // What is typed, and what a config says.
    for words in ["show", "restore", "plan --date", "verify --source"] {
        let run = said(machine.command(words).arg(HOSTILE));
        assert_ne!(run.code, Some(0), "{words}");
    }
    let text = fed_config().replace("name = \"home\"", &format!("name = {}", in_toml(HOSTILE)));
    machine.write_config(&text);
    said(&mut machine.command("list")).has(SHOWN);
}

/// A text for a config: as JSON has it, but for the one control character that TOML escapes and JSON does not.
fn in_toml(text: &str) -> String {
    json!(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The bytes that bash makes of a word.
fn as_bash_reads(word: &str) -> Vec<u8> {
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("printf %s {word}")]);
    bash.output().unwrap().stdout
}

/// A server that answers everything with that status and an error whose code and message are hostile.
fn hostile_server(status: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let text = HOSTILE
        .chars()
        // XML has no other control characters, not even as references.
        .filter(|character| *character >= ' ' || matches!(character, '\n' | '\r' | '\t'))
        .fold(String::new(), |text, character| {
            text + "&#" + &u32::from(character).to_string() + ";"
        });
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>Hostile{text}</Code>\
         <Message>{text}</Message><RequestId>{text}</RequestId></Error>"
    );
    let answer = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/xml\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while head.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    endpoint
}

#[test]
fn what_a_store_answers_is_said_on_one_line() {
    // What is asked again, and what is not.
    for status in [503, 403] {
        let machine = Machine::fed(None);
        write_credentials(&machine.path("credentials"), "key", "secret");
        let table = format!(
            "type = \"s3\"\nbucket = \"archive\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\n\
             credentials_file = \"$T/credentials\"\ngive_up_after = \"1s\"\n",
            hostile_server(status)
        );
        let config = fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &table);
        machine.write_config(&config);
        fs::remove_file(machine.path("state/catalog.db")).unwrap();
        let stream = machine.path("stream");
        fs::write(&stream, full_stream([7; 16])).unwrap();
        for words in [
            "decide 2024-01-01",
            "decide 2024-01-01 -v",
            "decide 2024-01-01 --json",
            "doctor",
            "doctor -v",
            "doctor --json",
            "catalog rebuild --identity $T/kit",
            "catalog rebuild --identity $T/kit -v",
            "catalog rebuild --identity $T/kit --json",
        ] {
            let mut command = machine.command(words);
            command.stdin(fs::File::open(&stream).unwrap());
            command.env("AWS_EC2_METADATA_DISABLED", "true");
            let run = said(&mut command);
            assert_ne!(run.code, Some(0), "{words}");
            // It asks for the time first, by a request whose answer has no body.
            if words.starts_with("doctor") && status == 503 {
                continue;
            }
            let shown = if words.ends_with("--json") {
                "error: forged\\nhome: forged\\t\\u009b31m"
            } else {
                "error: forged\\nhome: forged\\t\\u{9b}31m"
            };
            run.has(shown);
        }
    }
}

fn full_stream(uuid: [u8; 16]) -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"2024-01-01", uuid, 10)
        .mkfile(b"file")
        .write(b"file", 0, b"hello")
        .finish()
}

/// Every command that reads a ledger and says something of it.
const READERS: [&str; 11] = [
    "catalog rebuild --identity $T/kit",
    "catalog check",
    "list --all",
    "show 2024-01-01 --source home",
    "verify",
    "verify --deep --identity $T/kit",
    "restore home --from store --plan",
    "restore home --explain",
    "prune --dry-run",
    "key show",
    "key kit",
];

/// Lets all of them say what they have to.
#[track_caller]
fn read_by_all(machine: &Machine) {
    for words in READERS {
        said(&mut machine.command(words));
        let run = said(machine.command(words).arg("--json"));
        // Whatever is said is valid JSON, but for a script.
        if !words.contains("--explain") {
            run.documents();
        }
    }
}

#[test]
fn what_a_signed_entry_says_is_shown_on_one_line() {
    let machine = Machine::fed(None);
    let forger = Forger::of(&machine);
    let full = forger.archive_changed(
        "2024-01-01",
        ArchiveKind::Full,
        &full_stream([7; 16]),
        None,
        |body| {
            body["archive"]["kernel"] = json!(HOSTILE);
            body["archive"]["btrfs_progs"] = json!(HOSTILE);
        },
    );
    read_by_all(&machine);
    said(&mut machine.command("show 2024-01-01")).has("Linux x\\u{1b}[2J");
    let run = said(&mut machine.command("show 2024-01-01 --json"));
    assert_eq!(run.documents()[0]["kernel"], HOSTILE);
    // Every text of an archive's entry and of its head, one by one.
    let newest = forger.last();
    let object = fs::read(forger.entry_path(newest)).unwrap();
    let line = object.split(|byte| *byte == b'\n').next().unwrap();
    let sound: Value = serde_json::from_slice(line).unwrap();
    let fields = fields_of(&sound);
    assert!(fields.len() > 15, "{fields:?}");
    for field in fields {
        let mut body = sound.clone();
        *body.pointer_mut(&field).unwrap() = json!(HOSTILE);
        fs::write(forger.entry_path(newest), forger.signed(&body)).unwrap();
        for words in ["catalog rebuild --identity $T/kit", "verify", "list"] {
            said(&mut machine.command(words));
            said(machine.command(words).arg("--json"));
        }
    }
    fs::write(forger.entry_path(newest), &object).unwrap();
    said(&mut machine.command("catalog rebuild --identity $T/kit"));
    forger.append(
        EntryKind::Retire(RetireEntry {
            archives: vec![full],
            reason: HOSTILE.to_owned(),
        }),
        |_| {},
    );
    read_by_all(&machine);
}

/// The texts in a body, as JSON pointers.
fn fields_of(body: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::String(_) => found.push(at.to_owned()),
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    walk(value, &format!("{at}/{index}"), found);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(value, &format!("{at}/{name}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(body, "", &mut found);
    found
}

#[test]
fn a_script_has_nothing_raw_and_means_the_path_that_was_typed() {
    let machine = Machine::fed(None);
    let store = format!(
        "path = {}",
        in_toml(&machine.path(HOSTILE).display().to_string())
    );
    machine.write_config(&fed_config().replace("path = \"$T/store\"", &store));
    said(&mut machine.command("init --kit $T/kit"));
    let store = machine.path(HOSTILE);
    assert!(store.is_dir());
    let forger = Forger::new(&store, "home", &machine.state(), &machine.path("kit"));
    forger.archive("2024-01-01", ArchiveKind::Full, &full_stream([7; 16]), None);
    said(&mut machine.command("catalog rebuild --identity $T/kit"));
    let to = machine.path("to").join(HOSTILE);
    let mut command = machine.command("restore home --explain --to");
    let script = said(command.arg(&to).arg("--identity").arg(&to));
    assert_eq!(script.code, Some(0), "{}", script.stderr);
    for (start, end, meant) in [
        ("KIT=", "\n", &to),
        ("TARGET=", "\n", &to),
        ("cat ", "/\"$1\"", &store),
    ] {
        let mut words = script.stdout.match_indices(start).map(|(at, _)| {
            let word = &script.stdout[at + start.len()..];
            word.split(end).next().unwrap()
        });
        let is_meant = |word: &str| as_bash_reads(word) == meant.as_os_str().as_bytes();
        assert!(
            words.any(|word| word.starts_with("$'") && is_meant(word)),
            "{}",
            script.stdout
        );
    }
    // The same of the commands in a kit, and of what a list shows.
    said(&mut machine.command("key kit")).has("$'file://");
    said(&mut machine.command("list")).has(SHOWN);
}

#[test]
fn a_path_that_is_no_text_does_not_end_the_program() {
    let machine = Machine::fed(None);
    let path = machine
        .path("")
        .join(std::ffi::OsStr::from_bytes(b"kit\xff\x9b\n"));
    fs::copy(machine.path("kit"), &path).unwrap();
    for words in ["key kit --kit", "key kit --json --kit"] {
        let run = said(machine.command(words).arg(&path));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.has("kit\u{fffd}\u{fffd}\\n");
    }
}

#[test]
fn a_list_of_subvolumes_is_not_read_by_lines_that_a_name_forges() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let uuid = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
    let name = format!("a\nID 257 gen 9 top level 5 received_uuid {uuid} path somebody's");
    btrfs(["subvolume", "create"], &[&machine.btrfs().path(&name)]);
    let tools = coldchain::btrfs::Tools::find().unwrap();
    let wanted = [uuid.parse().unwrap()];
    let found =
        coldchain::btrfs::snapshots::received_from(&tools, &machine.btrfs().root(), &wanted);
    assert_eq!(found.unwrap(), []);
}
