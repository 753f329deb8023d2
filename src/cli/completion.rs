//! What can come next on a command line: found in the command line's own types, so that it has all that `--help` has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Args, Command, ValueEnum};

use super::{Everywhere, program};

/// `coldchain completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell that reads it
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `coldchain complete`
#[derive(Debug, Args)]
pub struct Complete {
    /// The shell that asks
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
    /// The characters at which bash breaks words besides blanks
    #[arg(
        long,
        value_name = "CHARACTERS",
        allow_hyphen_values = true,
        default_value = ""
    )]
    pub word_breaks: String,
    /// The command line up to the cursor: as it was typed for bash, word for word without the program's name for others
    #[arg(last = true)]
    pub line: Vec<std::ffi::OsString>,
}

/// A shell that completes command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash, 4.4 or later
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell, 3.4 or later
    Fish,
}

/// A word that fits, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FittingWord {
    /// The word.
    pub text: String,
    /// What it is, in one line; empty if its name says so.
    pub help: String,
}

impl FittingWord {
    /// A name that says what it is.
    pub fn name(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            help: String::new(),
        }
    }
}

/// What a word may be that only this machine's config, catalog or directories know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A source.
    Source,
    /// A source with a colon behind it, or a path.
    SourceOrPath,
    /// A source, or in its place already the date of an archive.
    SourceOrDate,
    /// The date of an archive.
    Date,
    /// The date of an archive that was retired.
    RetiredDate,
    /// A store of the config.
    Store,
    /// A store of the config, or the word `home`.
    Place,
    /// What was imported from another tool.
    Imported,
    /// The place of a mirror.
    Mirror,
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// What the last word of a command line may be.
#[derive(Debug, Default)]
pub struct NextWord {
    /// What of the word is there already, and belongs to no name: `--source=`.
    pub before: String,
    /// The words that every machine has.
    pub words: Vec<FittingWord>,
    /// The names that this machine has.
    pub names: Option<NameKind>,
    /// The source that the line names.
    pub source: Option<String>,
    /// The config and the state directory that the line names.
    pub config: Option<PathBuf>,
    /// The state directory that the line names.
    pub state_dir: Option<PathBuf>,
}

impl NextWord {
    /// Reads a command line without the program's name; `last` is as much of its last word as is there.
    pub fn after(words: &[String], last: &str) -> Self {
        let mut root = program();
        root.build();
        let mut line = Line::new(&root);
        for word in words {
            line.read(word);
        }
        line.next(last)
    }

    /// The options of the line that say where config and state lie; those of `outer` where it says nothing.
    pub fn everywhere(&self, outer: &Everywhere) -> Everywhere {
        Everywhere {
            config: self.config.clone().or_else(|| outer.config.clone()),
            state_dir: self.state_dir.clone().or_else(|| outer.state_dir.clone()),
            ..Everywhere::quietly(PathBuf::new())
        }
    }
}

/// A command line that is being read from its beginning.
struct Line<'c> {
    command: &'c Command,
    /// The option whose value comes next.
    awaits: Option<&'c Arg>,
    /// The number of the next word that is no option.
    position: usize,
    /// Whether `--` has ended the options.
    only_positions: bool,
    /// What was given, by the argument's id.
    given: BTreeMap<String, String>,
}

impl<'c> Line<'c> {
    fn new(root: &'c Command) -> Self {
        Self {
            command: root,
            awaits: None,
            position: 0,
            only_positions: false,
            given: BTreeMap::new(),
        }
    }

    fn read(&mut self, word: &str) {
        if let Some(option) = self.awaits.take() {
            self.give(option, word);
        } else if !self.only_positions && word == "--" {
            self.only_positions = true;
        } else if let Some(long) = word.strip_prefix("--").filter(|_| !self.only_positions) {
            let (name, value) = long.split_once('=').unzip();
            if let Some(option) = self.long(name.unwrap_or(long)) {
                self.give(option, value.unwrap_or_default());
                self.awaits = Some(option).filter(|option| value.is_none() && awaits_value(option));
            }
        } else if word.len() > 1 && word.starts_with('-') && !self.only_positions {
            self.read_short(&word[1..]);
        } else if let Some(command) = self.subcommand(word) {
            self.command = command;
        } else {
            if let Some(argument) = self.positional() {
                self.give(argument, word);
            }
            self.position += 1;
        }
    }

    /// Reads options of one letter in one word: `-qc FILE`, `-cFILE`.
    fn read_short(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let mut options = self.command.get_arguments();
            let Some(option) = options.find(|option| option.get_short() == Some(letter)) else {
                return;
            };
            let rest = &letters[at + letter.len_utf8()..];
            self.give(option, rest.trim_start_matches('='));
            if awaits_value(option) {
                self.awaits = Some(option).filter(|_| rest.is_empty());
                return;
            }
        }
    }

    fn give(&mut self, argument: &Arg, value: &str) {
        self.given
            .insert(argument.get_id().to_string(), value.to_owned());
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        let mut options = self.command.get_arguments();
        options.find(|option| option.get_long() == Some(name))
    }

    fn subcommand(&self, word: &str) -> Option<&'c Command> {
        let is_first = self.position == 0 && !self.only_positions;
        self.command
            .find_subcommand(word)
            .filter(|command| is_first && !command.is_hide_set())
    }

    /// The argument whose place the next word has.
    fn positional(&self) -> Option<&'c Arg> {
        let mut positionals = self.command.get_positionals();
        let is_repeated =
            |argument: &&Arg| argument.get_num_args().is_some_and(|n| n.max_values() > 1);
        positionals.nth(self.position).or_else(|| {
            let last = self.command.get_positionals().last();
            last.filter(is_repeated)
        })
    }

    fn next(self, last: &str) -> NextWord {
        let mut next = self.expected(last);
        let path = |id: &str| self.given.get(id).map(|path| PathBuf::from(expanded(path)));
        next.config = path("config");
        next.state_dir = path("state_dir");
        next.source = self.source();
        next
    }

    fn expected(&self, last: &str) -> NextWord {
        if let Some(option) = self.awaits {
            return self.value_of(option);
        }
        let long = last.strip_prefix("--").filter(|_| !self.only_positions);
        if let Some((name, _)) = long.and_then(|long| long.split_once('=')) {
            let value = self.long(name).filter(|option| takes_value(option));
            return NextWord {
                before: format!("--{name}="),
                ..value.map_or_else(NextWord::default, |option| self.value_of(option))
            };
        }
        if last.starts_with('-') && !self.only_positions {
            return NextWord {
                words: self.options(),
                ..NextWord::default()
            };
        }
        if self.command.has_subcommands() {
            let commands = self.command.get_subcommands();
            let shown = commands.filter(|command| !command.is_hide_set());
            let words = shown.map(|command| FittingWord {
                text: command.get_name().to_owned(),
                help: first_line(command.get_about()),
            });
            return NextWord {
                words: words.collect(),
                ..NextWord::default()
            };
        }
        let argument = self.positional();
        argument.map_or_else(NextWord::default, |argument| self.value_of(argument))
    }

    /// The options that the command has and that were not given yet.
    fn options(&self) -> Vec<FittingWord> {
        let may_come = |option: &&Arg| {
            let is_repeated = matches!(option.get_action(), ArgAction::Append | ArgAction::Count);
            let is_new = !self.given.contains_key(option.get_id().as_str());
            !option.is_hide_set() && (is_new || is_repeated)
        };
        let options = self.command.get_arguments().filter(may_come);
        options
            .filter_map(|option| {
                Some(FittingWord {
                    text: format!("--{}", option.get_long()?),
                    help: first_line(option.get_help()),
                })
            })
            .collect()
    }

    fn value_of(&self, argument: &Arg) -> NextWord {
        let values = argument.get_possible_values();
        if takes_value(argument) && !values.is_empty() {
            let words = values.iter().filter(|value| !value.is_hide_set());
            let words = words.map(|value| FittingWord {
                text: value.get_name().to_owned(),
                help: first_line(value.get_help()),
            });
            return NextWord {
                words: words.collect(),
                ..NextWord::default()
            };
        }
        if value_is(argument, "TOPIC") {
            let topics = crate::explain::topics().into_iter();
            let words = topics.map(|topic| FittingWord {
                text: topic.name.to_owned(),
                help: topic.title.to_owned(),
            });
            return NextWord {
                words: words.collect(),
                ..NextWord::default()
            };
        }
        let name = argument.get_value_names().and_then(|names| names.first());
        let name = name.map_or("", clap::builder::Str::as_str);
        let words: &[&str] = match (name, argument.get_id().as_str()) {
            ("TIER", _) => &["expedited", "standard", "bulk"],
            ("KIND", "from") => &["snapshot", "mirror", "store"],
            ("RIGHTS", _) => &["list", "receive", "send"],
            _ => &[],
        };
        NextWord {
            words: words.iter().copied().map(FittingWord::name).collect(),
            names: self.names(name, argument),
            ..NextWord::default()
        }
    }

    /// What the value of an argument names, by how `--help` calls it.
    fn names(&self, value_name: &str, argument: &Arg) -> Option<NameKind> {
        let takes_date = |command: &Command| {
            let mut positionals = command.get_positionals();
            positionals.any(|argument| value_is(argument, "DATE"))
        };
        Some(match (value_name, argument.get_id().as_str()) {
            ("SOURCE", _) if takes_date(self.command) => NameKind::SourceOrDate,
            ("SOURCE", _) | ("NAME", "source") => NameKind::Source,
            ("SOURCE:PATH", _) => NameKind::SourceOrPath,
            ("DATE", "revive") => NameKind::RetiredDate,
            ("DATE" | "DATE1" | "DATE2", _) => NameKind::Date,
            ("STORE", "place" | "repair_from") => NameKind::Place,
            ("STORE", _) | ("NAME", "copy") => NameKind::Store,
            ("NAME", "imported") => NameKind::Imported,
            ("TO", _) => NameKind::Mirror,
            ("DIR" | "DIRECTORY", _) => NameKind::Directory,
            ("FILE" | "PATH" | "DEST", _) => NameKind::File,
            _ => return None,
        })
    }

    /// The source that was named: by `--source`, or by the first word that is no option.
    fn source(&self) -> Option<String> {
        let ids = ["source", "first", "word", "path"];
        let named = ids.iter().find_map(|id| self.given.get(*id))?;
        let name = named.split(':').next().unwrap_or_default();
        Some(name.to_owned()).filter(|name| !name.is_empty())
    }
}

fn value_is(argument: &Arg, name: &str) -> bool {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().any(|value| value.as_str() == name)
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

/// Whether the word after an option is its value.
fn awaits_value(option: &Arg) -> bool {
    takes_value(option) && !option.is_require_equals_set()
}

/// A shell has not yet replaced the `~` of a word that it is still to run.
fn expanded(path: &str) -> String {
    match (path.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(below), Ok(home)) => format!("{home}/{below}"),
        _ => path.to_owned(),
    }
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(line: &str) -> NextWord {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let last = words.pop().unwrap();
        NextWord::after(&words, &last)
    }

    fn texts(line: &str) -> Vec<String> {
        let next = after(line);
        next.words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn verbs_and_their_options_are_those_of_the_help() {
        let verbs = texts("");
        for verb in ["backup", "restore", "key", "completions", "help"] {
            assert!(verbs.iter().any(|word| word == verb), "{verbs:?}");
        }
        for hidden in ["complete", "send-stream"] {
            assert!(!verbs.iter().any(|word| word == hidden), "{hidden}");
        }
        assert!(texts("key ").contains(&"rotate".to_owned()));
        let options = texts("list --all -");
        assert!(options.contains(&"--source".to_owned()), "{options:?}");
        assert!(options.contains(&"--config".to_owned()), "{options:?}");
        assert!(!options.contains(&"--all".to_owned()), "{options:?}");
        assert!(texts("index --date 2026-01-01 -").contains(&"--date".to_owned()));
        assert_eq!(texts("completions "), ["bash", "zsh", "fish"]);
        assert_eq!(texts("thaw --tier "), ["expedited", "standard", "bulk"]);
        assert_eq!(texts("list -- -"), [""; 0]);
        assert_eq!(texts("no-such-verb "), texts(""));
    }

    #[test]
    fn each_place_knows_what_it_names() {
        for (line, expected) in [
            ("list ", Some(NameKind::Source)),
            ("list --source ", Some(NameKind::Source)),
            ("list --source=ho", Some(NameKind::Source)),
            ("forget ", Some(NameKind::Source)),
            ("show ", Some(NameKind::SourceOrDate)),
            ("show home ", Some(NameKind::Date)),
            ("show home 2026-01-01 ", None),
            ("diff home: ", Some(NameKind::Date)),
            ("diff home: 2026-01-01 ", Some(NameKind::Date)),
            ("-q -c f restore home --date ", Some(NameKind::Date)),
            ("prune home --revive ", Some(NameKind::RetiredDate)),
            ("get ", Some(NameKind::SourceOrPath)),
            ("copy home --to ", Some(NameKind::Store)),
            ("verify --place ", Some(NameKind::Place)),
            ("prune --imported ", Some(NameKind::Imported)),
            ("forget home --mirror ", Some(NameKind::Mirror)),
            ("-c ", Some(NameKind::File)),
            ("-qc ", Some(NameKind::File)),
            ("restore home --to ", Some(NameKind::Directory)),
            ("extract home a b ", Some(NameKind::File)),
            ("status --check ", Some(NameKind::Source)),
            ("catalog check ", Some(NameKind::Source)),
        ] {
            assert_eq!(after(line).names, expected, "{line}");
        }
    }

    #[test]
    fn the_line_says_where_config_and_source_are() {
        let next = after("-qc a.toml --state-dir=b extract home:etc --date ");
        assert_eq!(next.config, Some("a.toml".into()));
        assert_eq!(next.state_dir, Some("b".into()));
        assert_eq!(next.source.as_deref(), Some("home"));
        assert_eq!(after("list --source=ho").before, "--source=");
        let next = after("-ca.toml show --source mail ");
        assert_eq!(next.config, Some("a.toml".into()));
        assert_eq!(next.source.as_deref(), Some("mail"));
    }
}
