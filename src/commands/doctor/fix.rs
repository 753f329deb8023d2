//! `doctor --fix`: repairs what loses nothing.

use crate::cli::{Doctor, Everywhere};
use crate::commands::output::answer_lines;
use crate::commands::prompt::{Agreed, confirm};
use crate::config::Config;
use crate::engine::{RunContext, safe_repairs};
use crate::error::{Error, RequestError};

/// Repairs what the user agrees to, and returns what was done, one line each.
pub(super) fn run(
    args: &Doctor,
    config: &Config,
    everywhere: &Everywhere,
    context: RunContext<'_>,
) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    let say = |line: &str| {
        if everywhere.json {
            Ok(())
        } else {
            answer_lines([line])
        }
    };
    let repairs = safe_repairs(config);
    if repairs.is_empty() && !everywhere.quiet {
        say("nothing can be repaired here without a loss")?;
    }
    for repair in repairs {
        let what = repair.in_words();
        match confirm(Agreed::by(args.yes), &format!("{what}?")) {
            Ok(()) => {
                repair.apply(config, context)?;
                say(&format!("done: {what}"))?;
                done.push(what);
            }
            Err(Error::Request(RequestError::NotConfirmed)) => {
                say(&format!("not done: {what}"))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
