//! Colours: on a terminal, in a pipe, and by what flag and environment say.

use std::process::{Command, Stdio};

use crate::common::machine::Machine;

const VARIABLES: [&str; 3] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"];

/// What the program prints into pipes, both together.
fn piped(machine: &Machine, words: &str, variables: &[(&str, &str)]) -> String {
    let mut command = machine.command(words);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// What it prints on a terminal.
fn shown(machine: &Machine, words: &str, variables: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_coldchain");
    let mut command = Command::new("script");
    command
        .args([
            "--quiet",
            "--command",
            &format!("{program} {words}"),
            "/dev/null",
        ])
        .env("TERM", "xterm")
        .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
        .current_dir(machine.path("."))
        .stdin(Stdio::null());
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A failure of the program's own with its hint, one of the command line, and help.
const OUTPUTS: [&str; 3] = ["show today", "list --no-such-flag", "list --help"];

#[test]
fn colors_follow_flag_environment_and_terminal() {
    let machine = Machine::fed(None);
    for words in OUTPUTS {
        for (flag, variables, on_terminal, in_pipe) in [
            ("", &[][..], true, false),
            (" --color auto", &[], true, false),
            (" --color=never", &[], false, false),
            (" --color=always", &[], true, true),
            ("", &[("NO_COLOR", "1")], false, false),
            ("", &[("NO_COLOR", "")], true, false),
            ("", &[("CLICOLOR", "0")], false, false),
            ("", &[("CLICOLOR_FORCE", "1")], true, true),
            ("", &[("CLICOLOR_FORCE", "0")], true, false),
            (
                "",
                &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
                false,
                false,
            ),
            (" --color=always", &[("NO_COLOR", "1")], true, true),
            (" --color never", &[("CLICOLOR_FORCE", "1")], false, false),
            ("", &[("TERM", "dumb")], false, false),
        ] {
            // Before the words: a flag that is unknown ends the reading of the line.
            let typed = format!("{flag} {words}");
            let has_color = |text: &str| text.contains("\u{1b}[");
            let text = piped(&machine, &typed, variables);
            assert_eq!(has_color(&text), in_pipe, "{typed} {variables:?}: {text}");
            let text = shown(&machine, &typed, variables);
            assert_eq!(
                has_color(&text),
                on_terminal,
                "{typed} {variables:?}: {text}"
            );
        }
    }
}

#[test]
fn colors_change_no_word_and_never_get_into_json() {
    let machine = Machine::fed(None);
    for words in OUTPUTS {
        let plain = piped(&machine, words, &[]);
        let colored = piped(&machine, &format!("--color always {words}"), &[]);
        let mut pieces = colored.split("\u{1b}[");
        let mut stripped = pieces.next().unwrap().to_owned();
        for piece in pieces {
            stripped += piece.split_once('m').unwrap().1;
        }
        assert_eq!(stripped, plain, "{words}");
        let json = piped(&machine, &format!("--color always --json {words}"), &[]);
        let is_help = words.ends_with("--help");
        assert_eq!(json.contains('\u{1b}'), is_help, "{words}: {json}");
    }
    let answer = piped(&machine, "plan --json --color=always -q", &[]);
    assert!(!answer.contains('\u{1b}'), "{answer}");
    // What a file name or a flag brings along stays escaped.
    let hostile = piped(&machine, "--color=always list --\u{1b}[31mred", &[]);
    assert!(
        !hostile.contains("\u{1b}[31m") && hostile.contains("red"),
        "{hostile:?}"
    );
    let wrong = piped(&machine, "--color=sometimes list", &[]);
    assert!(
        wrong.contains("[possible values: auto, always, never]"),
        "{wrong}"
    );
}
