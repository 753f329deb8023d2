//! Tables and values of the file with their places, so that every message names line and key.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

use chrono::NaiveDate;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Fault, Unknown};
use super::size;
use crate::model::SourceName;
use crate::model::ids::parse_date;
use crate::model::segment::is_segment_size;

/// The file.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Document<'_> {
    /// Returns the parser's message, without its picture of the line.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let offset = error.span().map_or(0, |span| span.start);
        let mut message = error
            .message()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        if message == "duplicate key"
            && let Some(key) = error.span().and_then(|span| self.text.get(span))
        {
            message = format!("`{}` is there twice", key.trim());
        }
        self.fault(offset, Fault::Syntax(message))
    }

    fn fault(&self, offset: usize, fault: Fault) -> ConfigError {
        // A key that is missing at the end of the file is reported on the last line, not on the one after.
        let before = offset.min(self.text.len().saturating_sub(1));
        let newlines = self.text.as_bytes()[..before]
            .iter()
            .filter(|byte| **byte == b'\n');
        ConfigError::Invalid {
            path: self.path.to_owned(),
            line: 1 + newlines.count(),
            fault: Box::new(fault),
        }
    }
}

/// A table of the file in which every key is a known one.
pub(super) struct Section<'a> {
    document: Document<'a>,
    /// The table path with a dot behind it, or nothing for the top level.
    prefix: String,
    table: &'a DeTable<'a>,
    offset: usize,
}

impl<'a> Section<'a> {
    /// The top level.
    pub(super) fn top(
        document: Document<'a>,
        table: &'a DeTable<'a>,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        Self {
            document,
            prefix: String::new(),
            table,
            offset: 0,
        }
        .knowing(known)
    }

    /// Refuses unknown keys. This comes before any value is read: a misspelt key is also a missing one, and
    /// "missing" would not say why.
    fn knowing(self, known: &[&str]) -> Result<Self, ConfigError> {
        let unknown = self
            .table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        let Some(key) = unknown else {
            return Ok(self);
        };
        let mut unknown = Unknown::among("key", key.get_ref(), known.iter().copied());
        unknown.name.insert_str(0, &self.prefix);
        Err(self
            .document
            .fault(key.span().start, Fault::Unknown(unknown)))
    }

    /// The value of a key, if it is set.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let value = self.table.get(key)?;
        Some(self.field(key, value))
    }

    /// The value of a key that must be set.
    pub(super) fn require(&self, key: &str) -> Result<Field<'a>, ConfigError> {
        self.get(key).ok_or_else(|| {
            self.fault(Fault::Missing {
                key: format!("{}{key}", self.prefix),
            })
        })
    }

    /// Reads the value of a key, if it is set.
    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Field<'a>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(key).as_ref().map(read).transpose()
    }

    /// Every key with its value, for a table whose keys are names.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.table.iter().map(|(key, value)| {
            let key = key.get_ref().as_ref();
            (key, self.field(key, value))
        })
    }

    /// Returns a fault of the table as a whole.
    pub(super) fn fault(&self, fault: Fault) -> ConfigError {
        self.document.fault(self.offset, fault)
    }

    fn field(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Field<'a> {
        Field {
            document: self.document,
            key: format!("{}{key}", self.prefix),
            value: value.get_ref(),
            offset: value.span().start,
        }
    }
}

/// A value of the file.
pub(super) struct Field<'a> {
    document: Document<'a>,
    /// With its table path.
    key: String,
    value: &'a DeValue<'a>,
    offset: usize,
}

impl<'a> Field<'a> {
    pub(super) fn string(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.unfit("a string"))
    }

    /// The value, if it is a string.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub(super) fn owned_string(&self) -> Result<String, ConfigError> {
        self.string().map(ToOwned::to_owned)
    }

    /// Reads a string that `fits` accepts; messages describe such a string as `expected`.
    pub(super) fn matching(
        &self,
        fits: impl FnOnce(&str) -> bool,
        expected: &str,
    ) -> Result<String, ConfigError> {
        let text = self.value.as_str().filter(|text| fits(text));
        text.map(ToOwned::to_owned)
            .ok_or_else(|| self.unfit(expected))
    }

    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.unfit("true or false"))
    }

    /// Reads `false`, or "inexact", by which the user accepts archives that are not exact.
    pub(super) fn inexact(&self) -> Result<bool, ConfigError> {
        match self.value {
            DeValue::Boolean(false) => Ok(false),
            DeValue::Boolean(true) => Err(self.fault(Fault::CompressedData)),
            DeValue::String(word) if word == "inexact" => Ok(true),
            _ => Err(self.unfit("false or \"inexact\"")),
        }
    }

    /// Reads an integer in a range; messages call it `noun`, which includes the article.
    pub(super) fn integer<T>(&self, noun: &str, range: RangeInclusive<T>) -> Result<T, ConfigError>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        self.value
            .as_integer()
            .and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok())
            .and_then(|integer| T::try_from(integer).ok())
            .filter(|integer| range.contains(integer))
            .ok_or_else(|| self.unfit(&format!("{noun} from {} to {}", range.start(), range.end())))
    }

    /// Reads a number with or without a fraction; `None` if it is none. It may be infinite or NaN.
    pub(super) fn number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_) => {
                let integer: i32 = self.integer("an integer", i32::MIN..=i32::MAX).ok()?;
                Some(integer.into())
            }
            _ => None,
        }
    }

    /// Reads a date in TOML's own notation, or the same in a string.
    pub(super) fn date(&self) -> Result<NaiveDate, ConfigError> {
        let text = match self.value {
            DeValue::Datetime(moment) => moment.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => String::new(),
        };
        parse_date(&text).map_err(|_| self.unfit("a date like 2026-11-21"))
    }

    /// Reads an absolute path. Refuses `..`, so that two paths can be compared as they are written.
    pub(super) fn absolute_path(&self) -> Result<PathBuf, ConfigError> {
        self.value
            .as_str()
            .map(Path::new)
            .filter(|path| path.is_absolute())
            .filter(|path| !path.components().any(|part| part == Component::ParentDir))
            // Normalized, because an additional slash makes no other directory.
            .map(|path| path.components().collect())
            .ok_or_else(|| self.unfit("an absolute path without `..`"))
    }

    pub(super) fn source_name(&self) -> Result<SourceName, ConfigError> {
        let name = self.value.as_str().and_then(|text| text.parse().ok());
        name.ok_or_else(|| {
            self.unfit("1 to 64 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit")
        })
    }

    /// Reads a size; messages describe a size as `expected`.
    pub(super) fn size(&self, expected: &str) -> Result<u64, ConfigError> {
        let size = self.value.as_str().and_then(size::parse);
        size.ok_or_else(|| self.unfit(expected))
    }

    /// Reads one of some names, and returns its value.
    pub(super) fn one_of<T: Copy>(&self, names: &[(&'static str, T)]) -> Result<T, ConfigError> {
        let text = self.string()?;
        let found = names.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known = names.iter().map(|(name, _)| *name);
            self.fault(Fault::Unknown(Unknown::among("value", text, known)))
        })
    }

    /// Reads a segment size, which is a whole number of frames.
    pub(super) fn segment_bytes(&self) -> Result<u64, ConfigError> {
        self.value
            .as_str()
            .and_then(size::parse)
            .filter(|bytes| is_segment_size(*bytes))
            .ok_or_else(|| {
                self.unfit("a size like \"128MiB\", from 16MiB to 1GiB in steps of 4MiB")
            })
    }

    /// Reads an array; messages call it `noun`, which includes the article.
    pub(super) fn array(&self, noun: &str) -> Result<Vec<Field<'a>>, ConfigError> {
        let items = self.value.as_array().ok_or_else(|| self.unfit(noun))?;
        let items = items.iter().map(|item| Field {
            document: self.document,
            key: self.key.clone(),
            value: item.get_ref(),
            offset: item.span().start,
        });
        Ok(items.collect())
    }

    /// Reads a table that may have these keys and no other.
    pub(super) fn table(&self, known: &[&str]) -> Result<Section<'a>, ConfigError> {
        self.named_table()?.knowing(known)
    }

    /// Reads a table whose keys are names, or whose keys are not known yet.
    pub(super) fn named_table(&self) -> Result<Section<'a>, ConfigError> {
        let table = self.value.as_table().ok_or_else(|| self.unfit("a table"))?;
        Ok(Section {
            document: self.document,
            prefix: format!("{}.", self.key),
            table,
            offset: self.offset,
        })
    }

    pub(super) fn unfit(&self, expected: &str) -> ConfigError {
        let found = match self.value {
            DeValue::String(text) => format!("the string {text:?}"),
            DeValue::Integer(integer) => integer.to_string(),
            DeValue::Float(float) => format!("the float {float}"),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Datetime(moment) => format!("the date {moment}"),
            DeValue::Array(items) if items.is_empty() => "an empty array".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.fault(Fault::Unfit {
            key: self.key.clone(),
            expected: expected.to_owned(),
            found,
        })
    }

    pub(super) fn fault(&self, fault: Fault) -> ConfigError {
        self.document.fault(self.offset, fault)
    }
}
