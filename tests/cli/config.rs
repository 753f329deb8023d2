//! `coldchain config`: a file's faults, what it amounts to, and its schema, which is held against the parser.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use coldchain::config::{Config, schema, tables};
use serde_json::{Value, json};

use crate::common::machine::{Machine, ONE_RECIPIENT, fed_config};

#[test]
fn a_config_is_checked_and_nothing_is_made() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.state()).ok();
    machine.write_config(&fed_config());
    let run = machine.run("config check");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (
            Some(0),
            "$T/config.toml: no fault found: 1 source, 1 store\n"
        ),
        "{run:?}"
    );
    assert!(run.stderr.starts_with(ONE_RECIPIENT), "{run:?}");
    let quiet = machine.run("config check --quiet");
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    let run = machine.run("config check --json");
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["sources"], 1);
    assert_eq!(
        document["warnings"].as_array().unwrap().len(),
        2,
        "{document}"
    );
    for (text, says) in [
        ("segment_sise = \"1GiB\"\n", "segment_size"),
        ("[[source]]\n", "name"),
        (
            "index = true\nindex = false\n",
            ":2: not valid TOML: `index` is there twice",
        ),
        (
            "[hooks]\n[hooks]\n",
            ":2: not valid TOML: `hooks` is there twice",
        ),
        ("", "source"),
    ] {
        machine.write_config(text);
        let run = machine.run("config check");
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.stderr.contains(says), "{run:?}");
    }
    machine.write_config(&fed_config().replace("$R", "age1nonsense"));
    let run = machine.run("config check");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        !machine.state().exists(),
        "a check makes no state directory"
    );
}

#[test]
fn what_holds_is_shown_with_where_it_comes_from() {
    let machine = Machine::new();
    machine.write_config(&format!(
        "{}[notify]\nping = \"https://hc.example.org/uuid\"\n",
        fed_config()
    ));
    let run = machine.run("config show");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert!(!run.stdout.contains("uuid"), "{run:?}");
    for line in [
        "# $T/config.toml",
        "timezone = \"UTC\" # line 1",
        "prune = \"after-backup\" # default",
        "[source.schedule]",
        "max_incrementals = 11 # default",
        "segment_size = \"16MiB\" # line 3, for all sources",
        "ping = \"https://hc.example.org/***\" # line 18",
    ] {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_there = run.stdout.lines().any(|it| words(it) == line);
        assert!(is_there, "{line}\n{}", run.stdout);
    }
    // What is shown can be used as a config, once what is hidden is put in again.
    machine.write_config(&run.stdout);
    let hidden = machine.run("config check --quiet");
    assert_eq!(hidden.code, Some(2), "{hidden:?}");
    assert!(hidden.stderr.contains("`notify.ping`"), "{hidden:?}");
    machine.write_config(&run.stdout.replace("/***", "/uuid"));
    let again = machine.run("config check --quiet");
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));

    machine.write_config(&fed_config());
    let state_dir = |words: &str, variable: Option<&str>| -> Value {
        let mut command = machine.command(words);
        if let Some(variable) = variable {
            command.env("COLDCHAIN_STATE_DIR", variable);
        }
        let run = machine.run_command(&mut command);
        let document: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        let settings = document["tables"][0]["settings"].as_array().unwrap();
        let found = settings.iter().find(|it| it["key"] == "state_dir");
        found.unwrap().clone()
    };
    for (words, variable, value, origin) in [
        ("config show --json", None, "$T/state", "file"),
        (
            "config show --json --state-dir /typed",
            None,
            "/typed",
            "--state-dir",
        ),
        (
            "config show --json",
            Some("/set"),
            "/set",
            "COLDCHAIN_STATE_DIR",
        ),
        (
            "config show --json --state-dir /typed",
            Some("/set"),
            "/typed",
            "--state-dir",
        ),
    ] {
        let setting = state_dir(words, variable);
        assert_eq!(
            (&setting["value"], &setting["origin"]),
            (&json!(value), &json!(origin)),
            "{words}"
        );
    }
}

/// What a table needs besides the key that is tried.
fn beside(table: &str) -> &'static [(&'static str, &'static str)] {
    match table {
        "source" => &[
            ("name", "'home'"),
            ("store", "'main'"),
            ("subvolume", "'/home'"),
            ("snapshots", "'/s'"),
        ],
        "source.pull" => &[("from", "'ann@laptop:/home'")],
        "mirror" => &[("source", "'home'"), ("to", "'ssh://h/m'")],
        "store.DIR" => &[("type", "'dir'"), ("path", "'/d'")],
        "store.BUCKET" => &[("type", "'s3'"), ("bucket", "'my-archives'")],
        "store.VAULT" => &[
            ("type", "'glacier-vault'"),
            ("vault", "'v'"),
            ("region", "'eu-central-1'"),
            ("ledger_store", "'ledger'"),
        ],
        _ => &[],
    }
}

/// A config with that value of a key. All else in it is as small as can be.
fn config_with(table: &str, key: &str, value: &str) -> String {
    let mut keys: BTreeMap<&str, &str> = beside(table).iter().copied().collect();
    keys.insert(key, value);
    // These go with others alone.
    match (table, key) {
        ("store.DIR", "cold_delay") => drop(keys.insert("cold", "'GLACIER'")),
        ("store.BUCKET", "kms_key") => drop(keys.insert("encryption", "'aws:kms'")),
        ("store.BUCKET", "path_style") => drop(keys.insert("endpoint", "'https://h'")),
        ("", "compression_levels") => drop(keys.insert("compression", "'auto'")),
        ("mirror", "from") => drop(keys.remove("source")),
        _ => {}
    }
    let text = |keys: &BTreeMap<&str, &str>| {
        let lines: Vec<String> = keys
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect();
        lines.concat()
    };
    let of = |name: &str| {
        let needed: BTreeMap<&str, &str> = beside(name).iter().copied().collect();
        text(if name == table { &keys } else { &needed })
    };
    let top = of("");
    let source = of("source");
    let dir = of("store.DIR");
    let other = match table {
        "source.pull" | "schedule" | "encryption" | "hooks" | "notify" | "alarms" | "prices" => {
            format!("[{table}]\n{}", text(&keys))
        }
        "mirror" => format!("[[mirror]]\n{}", text(&keys)),
        "store.BUCKET" | "store.VAULT" => format!("[store.other]\n{}", text(&keys)),
        _ => String::new(),
    };
    format!(
        "{top}[[source]]\n{source}{other}[store.main]\n{dir}[store.ledger]\ntype = 'dir'\npath = '/l'\n[store.offsite]\ntype = 'dir'\npath = '/o'\n"
    )
}

/// Returns for each text whether the schema accepts it, as a validator says that is not ours.
fn accepted_by_schema(texts: &[String]) -> Vec<bool> {
    const SCRIPT: &str = "
import datetime, json, sys, tomllib
import jsonschema
given = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(given['schema'])
validator = jsonschema.Draft202012Validator(given['schema'])
def plain(value):
    if isinstance(value, dict): return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list): return [plain(v) for v in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value
print(json.dumps([validator.is_valid(plain(tomllib.loads(text))) for text in given['texts']]))
";
    // Debian's own, for which scripts/install-dependencies installs the validator.
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = json!({"schema": schema(), "texts": texts}).to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(given.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "is python3-jsonschema installed?");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_schema_accepts_what_the_parser_accepts_and_refuses_other_keys_and_types() {
    let path = Path::new("c.toml");
    let mut texts = Vec::new();
    let mut examples = Vec::new();
    let mut wrong = Vec::new();
    for table in tables() {
        for key in &table.keys {
            // The values of `source` and the like would be tables.
            examples.push(texts.len());
            texts.push(config_with(table.name, key.name, key.example));
            for value in [
                "true",
                "false",
                "0",
                "1",
                "-1",
                "2.5",
                "1000001",
                "''",
                "'x'",
                "'/x'",
                "'1GiB'",
                "'7d'",
                "'50%'",
                "2026-11-21",
                "[]",
                "['x']",
                "[1]",
                "[32]",
                "{}",
                "{ x = 'y' }",
                "'https://h/x'",
                "[{ per_gb = 1 }]",
            ] {
                texts.push(config_with(table.name, key.name, value));
            }
            // A table in an array of arrays fits nothing.
            wrong.push(texts.len());
            texts.push(config_with(table.name, key.name, "[[{ x = 1 }]]"));
        }
        wrong.push(texts.len());
        texts.push(config_with(table.name, "no_such_key", "1"));
    }
    assert!(texts.len() > 2000, "{}", texts.len());
    let by_schema = accepted_by_schema(&texts);
    let by_parser: Vec<bool> = texts
        .iter()
        .map(|text| Config::parse(text, path).is_ok())
        .collect();
    for (text, accepted) in texts.iter().zip(by_parser.iter().zip(&by_schema)) {
        if let (true, false) = accepted {
            panic!("the parser accepts it, and the schema does not:\n{text}");
        }
    }
    for example in examples {
        assert!(
            by_parser[example],
            "an example of the page:\n{}\n{:?}",
            texts[example],
            Config::parse(&texts[example], path)
        );
    }
    for number in wrong {
        assert!(
            !by_schema[number],
            "the schema accepts it:\n{}",
            texts[number]
        );
        assert!(
            !by_parser[number],
            "the parser accepts it:\n{}",
            texts[number]
        );
    }
    // Most of what the parser refuses is of the wrong form, and the schema sees that.
    let count = |which: &[bool]| which.iter().filter(|accepted| !**accepted).count();
    let (parser, schema) = (count(&by_parser), count(&by_schema));
    assert!(
        schema * 10 > parser * 8,
        "the parser refuses {parser}, the schema {schema}"
    );
}
