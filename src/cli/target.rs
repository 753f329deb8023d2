//! Which source, and which date: the same grammar in every command.

use clap::Args;

/// One source, or all.
#[derive(Debug, Args)]
#[group(id = "chosen", multiple = false)]
pub struct OneSource {
    /// Only this source
    #[arg(value_name = "SOURCE")]
    word: Option<String>,
    /// The same as SOURCE
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

impl OneSource {
    /// The name that was typed.
    pub fn name(&self) -> Option<&str> {
        self.word.as_deref().or(self.source.as_deref())
    }
}

/// A source and a night.
#[derive(Debug, Args)]
pub struct Night {
    /// The source; where it is left out, the date may come first
    #[arg(value_name = "SOURCE")]
    first: Option<String>,
    /// The date of the archive: YYYY-MM-DD, `today` or `yesterday`
    #[arg(value_name = "DATE")]
    second: Option<String>,
    /// The same as SOURCE
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The same as DATE
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
}

/// A source and one of its archives.
#[derive(Debug, Args)]
pub struct WhichArchive {
    /// The source; where it is left out, the date may come first
    #[arg(value_name = "SOURCE")]
    first: Option<String>,
    /// The archive: its date as YYYY-MM-DD, `today`, `yesterday`, `latest`, or its id; the newest if left out
    #[arg(value_name = "DATE")]
    second: Option<String>,
    /// The same as SOURCE
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The same as DATE
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
}

/// What was typed of a source and a date.
#[derive(Debug, Clone, Copy)]
pub struct Typed<'a> {
    /// The words whose places do not say what they are, in their order.
    pub words: [Option<&'a str>; 2],
    /// What `--source` names.
    pub source: Option<&'a str>,
    /// What `--date` names.
    pub date: Option<&'a str>,
}

impl Night {
    /// What was typed.
    pub fn typed(&self) -> Typed<'_> {
        Typed {
            words: [self.first.as_deref(), self.second.as_deref()],
            source: self.source.as_deref(),
            date: self.date.as_deref(),
        }
    }
}

impl WhichArchive {
    /// The same as `--source NAME --date DATE`.
    pub fn named(source: &str, date: Option<&str>) -> Self {
        Self {
            first: None,
            second: None,
            source: Some(source.to_owned()),
            date: date.map(str::to_owned),
        }
    }

    /// What was typed.
    pub fn typed(&self) -> Typed<'_> {
        Typed {
            words: [self.first.as_deref(), self.second.as_deref()],
            source: self.source.as_deref(),
            date: self.date.as_deref(),
        }
    }
}
