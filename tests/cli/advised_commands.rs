//! Commands that the program advises to run: each works as it is printed, on the same config, kit and state
//! directory, also where these have spaces in their names.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::common::machine::{Machine, Run, fed_config};

/// The commands between backticks.
fn advised(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with("coldchain "))
        .collect()
}

/// Runs a command as a shell reads it, without anything in the environment that names a config.
fn paste(machine: &Machine, command: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_coldchain");
    let mut shell = Command::new("bash");
    shell
        .args([
            "-c",
            &machine.fill(command).replacen("coldchain", program, 1),
        ])
        .env_remove("COLDCHAIN_CONFIG")
        .env_remove("COLDCHAIN_IDENTITY_FILE")
        .current_dir(machine.path("."));
    machine.run_command(&mut shell)
}

#[test]
fn what_the_first_init_advises_completes_the_kit_that_it_began() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("my box")).unwrap();
    let config = "my box/my config.toml";
    let first = paste(
        &machine,
        &format!("coldchain --config '{config}' init --kit 'my box/my kit.txt'"),
    );
    assert_eq!(first.code, Some(0), "{first:?}");
    let template = fs::read_to_string(machine.path(config)).unwrap();
    let named = machine.path("my box/my kit.txt");
    assert!(
        template.contains(&format!("is in the recovery kit {}\n", named.display())),
        "{template}"
    );
    let recipients = template.lines().find(|line| line.starts_with("recipients"));
    let with_source = machine
        .fill(&fed_config())
        .replace(&machine.fill("recipients = [\"$R\"]"), recipients.unwrap());
    assert!(with_source.contains(recipients.unwrap()), "{with_source}");
    let comment = template
        .lines()
        .find(|line| line.starts_with("# The identity of"));
    fs::write(
        machine.path(config),
        format!("{with_source}\n{}\n", comment.unwrap()),
    )
    .unwrap();
    let [again] = advised(&first.stdout)[..] else {
        panic!("{first:?}");
    };
    // Another kit than the one that was begun would have no identity.
    let other = paste(&machine, &format!("coldchain --config '{config}' init"));
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(
        other.stderr.contains("would be a second recovery kit"),
        "{other:?}"
    );
    assert!(!machine.path("coldchain-recovery-kit.txt").exists());
    assert!(!machine.state().exists());
    let [instead] = advised(&other.stderr)[..] else {
        panic!("{other:?}");
    };
    for command in [again, instead] {
        let run = paste(&machine, command);
        assert_eq!(run.code, Some(0), "{command}: {run:?}");
    }
    let kit = fs::read_to_string(named).unwrap();
    assert!(
        kit.contains("AGE-SECRET-KEY-1") && kit.contains("untrusted comment: coldchain secret key"),
        "{kit}"
    );
    // A kit that was put away does not keep others from being made.
    fs::remove_file(machine.path("my box/my kit.txt")).unwrap();
    fs::remove_dir_all(machine.state()).unwrap();
    let run = paste(&machine, &format!("coldchain --config '{config}' init"));
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_hint_names_the_config_and_the_state_directory_that_were_typed() {
    let machine = Machine::fed(None);
    fs::rename(machine.path("config.toml"), machine.path("my config.toml")).unwrap();
    let typed = "--config 'my config.toml' --state-dir 'my state'";
    let run = paste(&machine, &format!("coldchain {typed} show today"));
    assert_eq!(run.code, Some(2), "{run:?}");
    let [hint] = advised(&run.stderr)[..] else {
        panic!("{run:?}");
    };
    assert!(
        hint.starts_with(&format!("coldchain {typed} list")),
        "{hint}"
    );
    let json = paste(&machine, &format!("coldchain --json {typed} show today"));
    let error: Value = serde_json::from_str(&json.stderr).unwrap();
    let text = error["error"]["hint"].as_str().unwrap();
    assert_eq!(advised(text), [hint]);
}

#[test]
fn a_variable_that_is_empty_is_as_good_as_unset() {
    let machine = Machine::fed(None);
    for (variable, words, code) in [
        ("COLDCHAIN_IDENTITY_FILE", "verify", 0),
        ("COLDCHAIN_IDENTITY_FILE", "key check", 2),
        ("COLDCHAIN_STATE_DIR", "list", 0),
    ] {
        let run = machine.run_command(machine.command(words).env(variable, ""));
        let unset = machine.run(words);
        assert_eq!(run.code, Some(code), "{variable}: {run:?}");
        assert_eq!((run.stdout, run.stderr), (unset.stdout, unset.stderr));
    }
}

#[test]
fn a_backup_without_keys_begins_no_catalog() {
    let machine = Machine::fed(None);
    fs::remove_dir_all(machine.state()).unwrap();
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let live = "subvolume = \"/nowhere\"\nsnapshots = \"/nowhere-else\"\n";
    let at = config.find("name = ").unwrap();
    fs::write(
        machine.path("config.toml"),
        format!("{}{live}{}", &config[..at], &config[at..]),
    )
    .unwrap();
    let run = machine.run("backup");
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(!machine.path("state/catalog.db").exists(), "{run:?}");
}

#[test]
fn warnings_and_one_source_have_the_same_place_in_json_as_several() {
    let machine = Machine::fed(None);
    let json = |words: &str| -> Value {
        let run = machine.run(words);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    };
    for words in ["doctor --json", "plan --json"] {
        let warnings = json(words)["warnings"].clone();
        let one = warnings.as_array().unwrap().iter();
        assert!(
            one.filter_map(Value::as_str)
                .any(|text| text.contains("there is one recipient")),
            "{words}: {warnings}"
        );
    }
    assert_eq!(json("verify --json")["sources"][0]["source"], "home");
    assert_eq!(json("verify home --json")["sources"][0]["source"], "home");
}
