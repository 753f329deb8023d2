//! `[hooks]`: programs that run before and after a source's run.

use std::time::Duration;

use super::duration;
use super::error::ConfigError;
use super::section::{Field, Section};
use crate::hooks::{Hook, HookCommand, Hooks};

pub(super) const KEYS: &[&str] = &["before", "on_success", "on_failure", "after", "timeout"];

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// Returns the hooks of a config that has none.
pub(super) fn none() -> Hooks {
    Hooks {
        commands: Vec::new(),
        timeout: DEFAULT_TIMEOUT,
    }
}

pub(super) fn read(top: &Section<'_>) -> Result<Hooks, ConfigError> {
    let mut hooks = none();
    let Some(section) = top.read("hooks", |field| field.table(KEYS))? else {
        return Ok(hooks);
    };
    for hook in Hook::ALL {
        if let Some(found) = section.read(hook.as_str(), command)? {
            hooks.commands.push((hook, found));
        }
    }
    let timeout = section.read("timeout", |field| {
        duration::read(field, Duration::from_secs(1))
    })?;
    hooks.timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    Ok(hooks)
}

/// Reads a program and its arguments. A single string would have to be split, and so be read as a shell reads it.
fn command(field: &Field<'_>) -> Result<HookCommand, ConfigError> {
    let expected = "an array of strings, the first an absolute path";
    let items = field.array(expected)?;
    let (program, arguments) = items.split_first().ok_or_else(|| field.unfit(expected))?;
    let argument = |item: &Field<'_>| {
        // No program can be given a NUL byte.
        item.matching(|text| !text.contains('\0'), "an array of strings")?;
        let is_shown = |text: &str| !text.ends_with("***");
        item.matching(is_shown, "the word that `config show` has hidden")
    };
    argument(program)?;
    Ok(HookCommand {
        program: program.absolute_path()?,
        arguments: arguments.iter().map(argument).collect::<Result<_, _>>()?,
    })
}
