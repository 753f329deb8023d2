//! `coldchain completions`: the script by which a shell completes command lines; and `coldchain complete`, which that
//! script asks.
//!
//! The answer begins with a line that says what follows: `words`, with `nospace` behind it if no space is to follow a
//! word; `files` or `directories` if the shell itself completes these too. After it comes a word a line, and behind a tab
//! what it means. Whatever goes wrong, there are just fewer words: a shell that waits for its user shows no error.

mod line;
mod names;

use line::TypedLine;
use names::LocalNames;

use super::output::answer;
use crate::cli::Everywhere;
use crate::cli::completion::{Complete, Completions, FittingWord, NameKind, NextWord, Shell};
use crate::error::Error;
use crate::model::quoted::is_unfit;

/// Prints the script.
pub(super) fn script(args: &Completions) -> Result<(), Error> {
    answer(match args.shell {
        Shell::Bash => include_str!("coldchain.bash"),
        Shell::Zsh => include_str!("coldchain.zsh"),
        Shell::Fish => include_str!("coldchain.fish"),
    })
}

/// Prints what fits.
pub(super) fn run(args: &Complete, everywhere: &Everywhere) -> Result<(), Error> {
    let mut words: Vec<String> = args
        .line
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let last = words.pop().unwrap_or_default();
    match args.shell {
        Shell::Bash => {
            let mut typed = TypedLine::parse(&last, &args.word_breaks);
            if !typed.words.is_empty() {
                typed.words.remove(0);
            }
            let found = if typed.is_redirection {
                FittingWords::files()
            } else {
                FittingWords::of(
                    &NextWord::after(&typed.words, &typed.last),
                    &typed.last,
                    everywhere,
                )
            };
            found.print(|word| typed.insertion(&word.text))
        }
        // Fish hands over the last word as it was typed, with its quotes.
        Shell::Fish => {
            let last = TypedLine::parse(&last, "").last;
            let found = FittingWords::of(&NextWord::after(&words, &last), &last, everywhere);
            found.print(|word| with_help(word, &last))
        }
        Shell::Zsh => {
            let found = FittingWords::of(&NextWord::after(&words, &last), &last, everywhere);
            found.print(|word| with_help(word, &last))
        }
    }
}

fn with_help(word: &FittingWord, last: &str) -> Option<String> {
    let fits = word.text.starts_with(last);
    fits.then(|| match word.help.as_str() {
        "" => word.text.clone(),
        help => format!("{}\t{help}", word.text),
    })
}

/// The words that fit, and how the shell is to take them.
struct FittingWords {
    directive: &'static str,
    words: Vec<FittingWord>,
}

impl FittingWords {
    fn files() -> Self {
        Self {
            directive: "files",
            words: Vec::new(),
        }
    }

    fn of(next: &NextWord, last: &str, everywhere: &Everywhere) -> Self {
        let directive = match next.names {
            Some(NameKind::SourceOrPath) if !last.contains(['/', '.']) => "words nospace",
            Some(NameKind::File | NameKind::SourceOrPath) => "files",
            Some(NameKind::Directory) => "directories",
            _ => "words",
        };
        let mut words = next.words.clone();
        if let Some(kind) = next.names {
            let local = LocalNames::open(&next.everywhere(everywhere));
            let typed = last.strip_prefix(&next.before).unwrap_or_default();
            words.extend(local.of(kind, next.source.as_deref(), typed));
        }
        for word in &mut words {
            word.text.insert_str(0, &next.before);
        }
        // No line can hold such a name, and no terminal should.
        words.retain(|word| !word.text.contains(is_unfit));
        Self { directive, words }
    }

    fn print(&self, line_of: impl Fn(&FittingWord) -> Option<String>) -> Result<(), Error> {
        let mut text = format!("{}\n", self.directive);
        for line in self.words.iter().filter_map(line_of) {
            text.push_str(&line);
            text.push('\n');
        }
        answer(&text)
    }
}
