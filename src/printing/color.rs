//! Whether output has colours: by `--color`, by what the environment asks for, and by where it goes.

use std::env;
use std::ffi::OsString;
use std::sync::OnceLock;

use clap::ValueEnum;

/// What `--color` says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise
    #[default]
    Auto,
    /// Also into a file or a pipe
    Always,
    /// Nowhere
    Never,
}

/// What was chosen for this process.
static CHOSEN: OnceLock<ColorChoice> = OnceLock::new();

/// Chooses for this process; the first choice counts.
pub fn choose_color(choice: ColorChoice) {
    let _ = CHOSEN.set(choice);
}

/// Whether what is written there has colours.
pub(super) fn is_colored(is_terminal: bool) -> bool {
    let choice = CHOSEN.get().copied().unwrap_or_default();
    decide(choice, |name| env::var_os(name), is_terminal)
}

/// The flag counts most. Then `NO_COLOR` if it is not empty, as <https://no-color.org> has it; then `CLICOLOR_FORCE` and
/// `CLICOLOR`, as <https://bixense.com/clicolors> has them; then whether it is a terminal that knows colours.
fn decide(
    choice: ColorChoice,
    variable: impl Fn(&str) -> Option<OsString>,
    is_terminal: bool,
) -> bool {
    match choice {
        ColorChoice::Always => return true,
        ColorChoice::Never => return false,
        ColorChoice::Auto => {}
    }
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    if variable("NO_COLOR").is_some() {
        return false;
    }
    if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    let is_off = variable("CLICOLOR").is_some_and(|value| value == "0");
    let is_dumb = variable("TERM").is_some_and(|value| value == "dumb");
    is_terminal && !is_off && !is_dumb
}

/// What a line on stderr begins with, and in which colour it is shown.
const LABELS: [(&str, &str); 4] = [
    ("error:", "\x1b[1;31m"),
    ("caused by:", "\x1b[31m"),
    ("warning:", "\x1b[1;33m"),
    ("hint:", "\x1b[1;36m"),
];

/// Returns lines with their labels in colour.
pub(super) fn with_colored_labels(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let label = LABELS.iter().find(|(label, _)| line.starts_with(label));
        match label {
            Some((label, color)) => format!("{color}{label}\x1b[0m{}", &line[label.len()..]),
            None => line.to_owned(),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_and_variables_and_terminal_decide_in_that_order() {
        use ColorChoice::{Always, Auto, Never};
        for (choice, variables, terminal, expected) in [
            (Auto, &[][..], true, true),
            (Auto, &[], false, false),
            (Auto, &[("NO_COLOR", "1")], true, false),
            (Auto, &[("NO_COLOR", "0")], true, false),
            (Auto, &[("NO_COLOR", "")], true, true),
            (Auto, &[("CLICOLOR", "0")], true, false),
            (Auto, &[("CLICOLOR", "1")], true, true),
            (Auto, &[("CLICOLOR", "1")], false, false),
            (Auto, &[("CLICOLOR_FORCE", "1")], false, true),
            (Auto, &[("CLICOLOR_FORCE", "0")], false, false),
            (Auto, &[("CLICOLOR_FORCE", "0")], true, true),
            (Auto, &[("CLICOLOR_FORCE", "")], false, false),
            (
                Auto,
                &[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")],
                false,
                true,
            ),
            (
                Auto,
                &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
                true,
                false,
            ),
            (Auto, &[("TERM", "dumb")], true, false),
            (
                Auto,
                &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")],
                true,
                true,
            ),
            (Always, &[("NO_COLOR", "1")], false, true),
            (Never, &[("CLICOLOR_FORCE", "1")], true, false),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(
                decide(choice, variable, terminal),
                expected,
                "{choice:?} {variables:?}"
            );
        }
    }

    #[test]
    fn a_label_is_colored_where_a_line_begins() {
        assert_eq!(
            with_colored_labels("error: no hint: here\nhint: x\n<3>error: y\n"),
            "\x1b[1;31merror:\x1b[0m no hint: here\n\x1b[1;36mhint:\x1b[0m x\n<3>error: y\n"
        );
    }
}
