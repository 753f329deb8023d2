//! Parses the command line, runs the command, prints the error chain, and exits.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Once;

use clap::ValueEnum as _;
use coldchain::allocator;
use coldchain::cli::{Cli, Command};
use coldchain::commands;
use coldchain::core_dumps;
use coldchain::error::{Error, VerifyError};
use coldchain::interrupt;
use coldchain::printing::{self, ColorChoice};

fn main() -> ExitCode {
    if let Err(error) = core_dumps::turn_off() {
        // A sandbox may forbid this. That is no reason to make no archive.
        printing::warn(format_args!(
            "a crash may write secrets to a core dump, which could not be turned off: {error}"
        ));
    }
    allocator::give_back_large_buffers();
    let cli = match Cli::of_this_process() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    printing::choose_color(cli.everywhere.color);
    let json = cli.everywhere.json;
    printing::name_in_commands(cli.everywhere.as_words());
    let is_check = matches!(cli.command, Command::Verify(_));
    let last_words = move |error: &Error| {
        match error {
            // It begins anew, and says so also where it can't end by itself.
            Error::Interrupted(signal) if is_check => {
                report(&Error::Verify(VerifyError::CheckInterrupted(*signal)), json);
            }
            error => report(error, json),
        }
        if let Error::Interrupted(signal) = error {
            commands::end_run(&Err(Error::Interrupted(*signal)));
        }
    };
    let ran = interrupt::listen(last_words).and_then(|()| commands::run(cli));
    let code = match &ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, Error::Answered(_)) {
                report(error, json);
            }
            ExitCode::from(error.exit_code() as u8)
        }
    };
    commands::end_run(&ran);
    code
}

/// Answers `--help` and `--version`, and reports any other command line that can't be parsed.
fn usage(error: &clap::Error) -> ExitCode {
    printing::choose_color(typed_color(env::args_os().skip(1)));
    let text = error.render();
    if !error.use_stderr() {
        printing::help(&text.to_string(), &text.ansi().to_string());
        return ExitCode::SUCCESS;
    }
    let json = env::args_os().skip(1).any(|word| word == "--json");
    printing::usage(&text.to_string(), json);
    ExitCode::from(coldchain::error::ExitCode::Usage as u8)
}

/// What `--color` says on a command line that can't be parsed, or that asks for help.
fn typed_color(words: impl Iterator<Item = OsString>) -> ColorChoice {
    let mut chosen = None;
    let mut words = words.filter_map(|word| word.into_string().ok());
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(value) => value.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        chosen = value
            .and_then(|value| ColorChoice::from_str(&value, false).ok())
            .or(chosen);
    }
    chosen.unwrap_or_default()
}

/// Prints why the program ends. It does so only once, even if the run ends by itself at the moment of a
/// signal.
fn report(error: &Error, json: bool) {
    static SAID: Once = Once::new();
    SAID.call_once(|| printing::last_words(error, json));
}
