//! Reads a row's columns one after another, by position: to look up a name in each of many rows costs more
//! than to read the value.

use std::cell::Cell;
use std::error::Error;
use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::{FromSql, Type};

/// The columns of a row, taken in the order in which the statement names them.
pub(super) struct Columns<'row, 'stmt> {
    row: &'row Row<'stmt>,
    next: Cell<usize>,
}

impl<'row, 'stmt> Columns<'row, 'stmt> {
    /// Starts at the first column.
    pub(super) fn of(row: &'row Row<'stmt>) -> Self {
        Self {
            row,
            next: Cell::new(0),
        }
    }

    fn advance(&self) -> usize {
        self.next.replace(self.next.get() + 1)
    }

    /// Reads the next column as SQLite stores it.
    pub(super) fn value<T: FromSql>(&self) -> rusqlite::Result<T> {
        self.row.get(self.advance())
    }

    /// Reads the next column, which holds the text form of a value.
    pub(super) fn parsed<T>(&self) -> rusqlite::Result<T>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        let at = self.advance();
        parse(self.row.get_ref(at)?.as_str()?, at)
    }

    /// Reads the next column, which holds the text form of a value that the row before probably had too.
    pub(super) fn parsed_again<T>(&self, last: &mut Last<T>) -> rusqlite::Result<T>
    where
        T: FromStr<Err: Error + Send + Sync + 'static> + Copy,
    {
        let at = self.advance();
        last.parse(self.row.get_ref(at)?.as_str()?, at)
    }

    /// Reads as [`Self::parsed_again`] does; the column may be null.
    pub(super) fn parsed_again_or_null<T>(&self, last: &mut Last<T>) -> rusqlite::Result<Option<T>>
    where
        T: FromStr<Err: Error + Send + Sync + 'static> + Copy,
    {
        let at = self.advance();
        let text = self.row.get_ref(at)?.as_str_or_null()?;
        text.map(|text| last.parse(text, at)).transpose()
    }

    /// Reads the next column, which holds the text form of a value, or null.
    pub(super) fn parsed_or_null<T>(&self) -> rusqlite::Result<Option<T>>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        let at = self.advance();
        let text = self.row.get_ref(at)?.as_str_or_null()?;
        text.map(|text| parse(text, at)).transpose()
    }
}

/// The value that was read last, and its text. Many rows repeat a value, and comparing texts takes less time
/// than parsing each.
pub(super) struct Last<T> {
    text: String,
    value: Option<T>,
}

impl<T> Last<T> {
    /// Nothing yet.
    pub(super) const NONE: Self = Self {
        text: String::new(),
        value: None,
    };

    fn parse(&mut self, text: &str, at: usize) -> rusqlite::Result<T>
    where
        T: FromStr<Err: Error + Send + Sync + 'static> + Copy,
    {
        if let Some(value) = self.value
            && self.text == text
        {
            return Ok(value);
        }
        let value = parse(text, at)?;
        self.text.clear();
        self.text.push_str(text);
        self.value = Some(value);
        Ok(value)
    }
}

fn parse<T>(text: &str, at: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}
