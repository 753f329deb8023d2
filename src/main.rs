//! Parse, run, print the error chain, exit.

use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Once;

use clap::Parser;
use coldchain::allocator;
use coldchain::cli::{Cli, Command};
use coldchain::error::Error;
use coldchain::interrupt;
use coldchain::model::quoted::told;

fn main() -> ExitCode {
    allocator::give_back_large_buffers();
    let cli = Cli::parse();
    let json = cli.everywhere.json;
    let is_check = matches!(cli.command, Command::Verify(_));
    let last_words = move |error: &Error| match error {
        // It begins anew, and says so also where it can't end by itself.
        Error::Interrupted(signal) if is_check => report(&Error::CheckInterrupted(*signal), json),
        error => report(error, json),
    };
    let ran = interrupt::listen(last_words).and_then(|()| coldchain::commands::run(cli));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, json);
            ExitCode::from(error.exit_code() as u8)
        }
    }
}

/// Says why the program ends: once, although a run may end by itself just when a signal ends it.
fn report(error: &Error, json: bool) {
    static SAID: Once = Once::new();
    SAID.call_once(|| say(error, json));
}

fn say(error: &Error, json: bool) {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    if json {
        let message = std::iter::once(error.to_string())
            .chain(causes)
            .collect::<Vec<_>>()
            .join(": ");
        let code = error.exit_code() as u8;
        let _ = writeln!(
            std::io::stderr(),
            "{}",
            serde_json::json!({"error": {"code": code, "message": message, "hint": error.hint()}})
        );
        return;
    }
    // What stores and programs say is told, and commands no terminal.
    let _ = writeln!(std::io::stderr(), "error: {}", told(&error.to_string()));
    for cause in causes {
        let _ = writeln!(std::io::stderr(), "caused by: {}", told(&cause));
    }
    if let Some(hint) = error.hint() {
        let _ = writeln!(std::io::stderr(), "hint: {hint}");
    }
}
