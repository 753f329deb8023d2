//! What each directory's tree weighs: worked out from what an archive changed, from the deepest directory up.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::rows::OPEN;
use crate::model::file_node::ObjectId;

/// The most directories whose parent is remembered.
const MOST_PARENTS: usize = 200_000;

/// Writes the totals of the directories whose tree weighs something else since this archive. `is_first` if there is no other.
pub(super) fn write(connection: &Connection, number: i64, is_first: bool) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM aside.delta")?;
    note_names(connection, number, is_first)?;
    if !is_first {
        note_sizes(connection, number)?;
    }
    note_depths(connection)?;
    let deepest: Option<i64> =
        connection.query_row("SELECT max(depth) FROM aside.delta", [], |row| row.get(0))?;
    for depth in (0..=deepest.unwrap_or(-1)).rev() {
        write_depth(connection, number, depth)?;
    }
    Ok(())
}

/// Adds what directories gained and lost by names that began or ended.
fn note_names(connection: &Connection, number: i64, is_first: bool) -> rusqlite::Result<()> {
    // The condition on each index of the table is repeated, or SQLite does not use it.
    let began = if is_first {
        "e.since = 1".to_owned()
    } else {
        format!("e.since = {number} AND e.since > 1")
    };
    connection.execute_batch(&format!(
        "INSERT INTO aside.delta
         SELECT e.parent, NULL, 0, v.size, 1 FROM main.entry e
         CROSS JOIN main.version v ON v.object = e.object AND v.till = {OPEN}
         CROSS JOIN main.attr a ON a.id = v.attr
         WHERE {began} AND (a.mode & 0xf000) <> 0x4000
         ON CONFLICT (directory) DO UPDATE
         SET bytes = bytes + excluded.bytes, files = files + excluded.files;
         INSERT INTO aside.delta
         SELECT e.object, NULL, 1, 0, 0 FROM main.entry e
         CROSS JOIN main.version v ON v.object = e.object AND v.till = {OPEN}
         CROSS JOIN main.attr a ON a.id = v.attr
         WHERE {began} AND (a.mode & 0xf000) = 0x4000
         ON CONFLICT (directory) DO UPDATE SET is_moved = 1;
         INSERT OR IGNORE INTO aside.delta
         SELECT 1, NULL, 1, 0, 0 WHERE {first};",
        first = i64::from(is_first),
    ))?;
    if is_first {
        return Ok(());
    }
    // Before this archive, a version was there that began earlier and ends now or later.
    connection.execute_batch(&format!(
        "INSERT INTO aside.delta
         SELECT e.parent, NULL, 0, -v.size, -1 FROM main.entry e
         CROSS JOIN main.version v ON v.object = e.object AND v.since < {number} AND v.till >= {number}
         CROSS JOIN main.attr a ON a.id = v.attr
         WHERE e.till = {number} AND e.till < {OPEN} AND (a.mode & 0xf000) <> 0x4000
         ON CONFLICT (directory) DO UPDATE
         SET bytes = bytes + excluded.bytes, files = files + excluded.files;
         INSERT INTO aside.delta
         SELECT e.parent, NULL, 0, -s.bytes, -s.files FROM main.entry e
         CROSS JOIN main.subtree s ON s.object = e.object AND s.since =
             (SELECT max(since) FROM main.subtree WHERE object = e.object AND since < {number})
         WHERE e.till = {number} AND e.till < {OPEN}
         ON CONFLICT (directory) DO UPDATE
         SET bytes = bytes + excluded.bytes, files = files + excluded.files;"
    ))
}

/// Adds what directories gained and lost by files of another size, under names that stayed.
fn note_sizes(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "INSERT INTO aside.delta
         SELECT e.parent, NULL, 0, n.size - o.size, 0 FROM main.version n
         CROSS JOIN main.version o ON o.object = n.object AND o.till = {number}
         CROSS JOIN main.entry e ON e.object = n.object AND e.till = {OPEN} AND e.since < {number}
         WHERE n.since = {number} AND n.since > 1 AND n.size <> o.size
         ON CONFLICT (directory) DO UPDATE SET bytes = bytes + excluded.bytes;"
    ))
}

/// Notes how deep each directory is; those that are gone have no depth.
fn note_depths(connection: &Connection) -> rusqlite::Result<()> {
    let mut parents = Parents::default();
    let mut all = connection.prepare("SELECT directory FROM aside.delta NOT INDEXED")?;
    let mut set = connection.prepare("UPDATE aside.delta SET depth = ?2 WHERE directory = ?1")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let directory: i64 = row.get(0)?;
        if let Some(depth) = parents.depth(connection, directory)? {
            set.execute((directory, depth))?;
        }
    }
    Ok(())
}

/// Writes the totals of the directories of one depth, and passes what changed on to the directories above.
fn write_depth(connection: &Connection, number: i64, depth: i64) -> rusqlite::Result<()> {
    let mut all = connection.prepare_cached(
        "SELECT directory, is_moved, bytes, files FROM aside.delta WHERE depth = ?1",
    )?;
    let mut rows = all.query([depth])?;
    while let Some(row) = rows.next()? {
        let (directory, is_moved): (i64, bool) = (row.get(0)?, row.get(1)?);
        let (bytes, files): (i64, i64) = (saturated(row, 2)?, row.get(3)?);
        // A directory that was not there before this archive begins with nothing, whatever it once had.
        let was_there = !is_moved
            || connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM main.entry WHERE object = ?1 AND till = ?2)",
                )?
                .query_row((directory, number), |row| row.get(0))?;
        let before: Option<(i64, i64)> = if was_there {
            connection
                .prepare_cached(
                    "SELECT bytes, files FROM main.subtree WHERE object = ?1 AND since < ?2
                     ORDER BY since DESC LIMIT 1",
                )?
                .query_row((directory, number), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
        } else {
            None
        };
        let (old_bytes, old_files) = before.unwrap_or_default();
        // Sizes of a hostile stream may add up to anything.
        let now = (
            old_bytes.saturating_add(bytes),
            old_files.saturating_add(files),
        );
        if before != Some(now) {
            connection
                .prepare_cached(
                    "INSERT INTO main.subtree (object, since, bytes, files) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((directory, number, now.0, now.1))?;
        }
        if directory == ObjectId::ROOT.0 {
            continue;
        }
        let parent = parent_of(connection, directory)?;
        let gained = if is_moved { now } else { (bytes, files) };
        if let Some(parent) = parent {
            connection
                .prepare_cached(
                    "INSERT INTO aside.delta VALUES (?1, ?2, 0, ?3, ?4)
                     ON CONFLICT (directory) DO UPDATE
                     SET bytes = bytes + excluded.bytes, files = files + excluded.files",
                )?
                .execute((parent, depth - 1, gained.0, gained.1))?;
        }
    }
    Ok(())
}

/// Reads a sum. SQLite makes a floating-point number of one that is too large, as sizes in a hostile stream may add up to.
fn saturated(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    match row.get_ref(column)? {
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        ValueRef::Real(sum) => Ok(sum as i64),
        _ => row.get(column),
    }
}

fn parent_of(connection: &Connection, directory: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT parent FROM main.entry WHERE object = ?1 AND till = ?2 LIMIT 1")?
        .query_row((directory, OPEN), |row| row.get(0))
        .optional()
}

/// Depths of directories that were looked up.
#[derive(Default)]
struct Parents {
    depths: HashMap<i64, i64>,
}

impl Parents {
    fn depth(&mut self, connection: &Connection, directory: i64) -> rusqlite::Result<Option<i64>> {
        if self.depths.len() > MOST_PARENTS {
            self.depths.clear();
        }
        let mut way = Vec::new();
        let mut current = directory;
        let mut depth = loop {
            if current == ObjectId::ROOT.0 {
                break 0;
            }
            if let Some(depth) = self.depths.get(&current) {
                break *depth;
            }
            way.push(current);
            match parent_of(connection, current)? {
                Some(parent) => current = parent,
                None => return Ok(None),
            }
        };
        for directory in way.into_iter().rev() {
            depth += 1;
            self.depths.insert(directory, depth);
        }
        Ok(Some(depth))
    }
}
