//! The rows of a tree that is being loaded: in the index, or aside in tables of the same form.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row};

use super::cache::{Cache, CachedName, CachedObject};
use crate::files_db::error::{FilesDbError, WhileDoing as _};
use crate::model::file_node::{Changed, FileNode, ObjectId};

/// The end of an interval that is open.
pub(super) const OPEN: i64 = i64::MAX;

/// The most attributes that are remembered.
const MOST_ATTRIBUTES: usize = 4096;

/// The most bytes of extended attributes among them: one object may have a mebibyte.
const MOST_XATTR_BYTES: usize = 4 << 20;

/// The tables, and the number of the archive.
#[derive(Debug)]
pub(super) struct Rows {
    schema: &'static str,
    number: i64,
    /// Nothing was in these tables before this archive.
    is_new: bool,
    attributes: HashMap<NodeAttributes, i64>,
    /// Bytes of extended attributes in them.
    xattr_bytes: usize,
}

/// A row of `attr`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NodeAttributes {
    mode: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
    xattrs: Vec<u8>,
}

/// A row of `version`, without its object.
#[derive(Debug)]
struct VersionRow {
    since: i64,
    till: i64,
    attr: i64,
    size: i64,
    mtime: i64,
    ctime: i64,
    target: Option<Vec<u8>>,
    changed: u8,
    cost: i64,
}

impl Rows {
    pub(super) fn new(schema: &'static str, number: i64, is_new: bool) -> Self {
        Self {
            schema,
            number,
            is_new,
            attributes: HashMap::new(),
            xattr_bytes: 0,
        }
    }

    fn statement<'c>(
        &self,
        connection: &'c Connection,
        sql: &str,
    ) -> rusqlite::Result<CachedStatement<'c>> {
        connection.prepare_cached(&sql.replace("tree.", &format!("{}.", self.schema)))
    }

    /// Returns what a name names now.
    pub(super) fn child(
        &self,
        connection: &Connection,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<Option<ObjectId>, FilesDbError> {
        let sql =
            "SELECT object FROM tree.entry WHERE parent = ?1 AND name = ?2 AND till = ?3 LIMIT 1";
        self.statement(connection, sql)
            .and_then(|mut statement| {
                statement
                    .query_row((directory.0, name, OPEN), |row| row.get(0))
                    .optional()
            })
            .map(|object| object.map(ObjectId))
            .while_doing("look for a name")
    }

    /// Returns what is known of an object now.
    pub(super) fn node(
        &self,
        connection: &Connection,
        object: ObjectId,
    ) -> Result<FileNode, FilesDbError> {
        let sql = "SELECT a.mode, a.uid, a.gid, a.rdev, v.size, v.mtime, v.ctime, v.inode, v.target, a.xattrs
             FROM tree.version v CROSS JOIN main.attr a ON a.id = v.attr
             WHERE v.object = ?1 AND v.till = ?2 LIMIT 1";
        self.statement(connection, sql)
            .and_then(|mut statement| statement.query_row((object.0, OPEN), read_node).optional())
            .while_doing("look for an object")?
            .ok_or(FilesDbError::Damaged("a name leads to no object"))
    }

    /// Returns whether a directory has no names but those that are `gone`.
    pub(super) fn is_empty(
        &self,
        connection: &Connection,
        directory: ObjectId,
        gone: impl Fn(&[u8]) -> bool,
    ) -> Result<bool, FilesDbError> {
        let look = || -> rusqlite::Result<bool> {
            let sql = "SELECT name FROM tree.entry WHERE parent = ?1 AND till = ?2";
            let mut statement = self.statement(connection, sql)?;
            let mut rows = statement.query((directory.0, OPEN))?;
            while let Some(row) = rows.next()? {
                if !gone(row.get_ref(0)?.as_blob().unwrap_or_default()) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        look().while_doing("look into a directory")
    }

    /// Writes all that is in memory.
    pub(super) fn write(
        &mut self,
        connection: &Connection,
        cache: Cache,
    ) -> Result<(), FilesDbError> {
        // In the order of the tables, which keeps their pages full.
        let mut objects: Vec<(ObjectId, CachedObject)> = cache.objects.into_iter().collect();
        objects.sort_unstable_by_key(|(object, _)| *object);
        for (object, cached) in objects {
            self.write_object(connection, object, cached)
                .while_doing("write an object")?;
        }
        let mut directories: Vec<_> = cache.directories.into_iter().collect();
        directories.sort_unstable_by_key(|(directory, _)| *directory);
        for (directory, cached) in directories {
            for (bytes, name) in cached.names {
                if name.stored != name.now {
                    self.write_name(connection, directory, &bytes, name)
                        .while_doing("write a name")?;
                }
            }
        }
        Ok(())
    }

    fn write_object(
        &mut self,
        connection: &Connection,
        object: ObjectId,
        cached: CachedObject,
    ) -> rusqlite::Result<()> {
        if cached.names < 0 || (cached.is_new && cached.names <= 0) {
            connection
                .prepare_cached("INSERT OR IGNORE INTO aside.nameless (object) VALUES (?1)")?
                .execute([object.0])?;
        }
        let cost = i64::try_from(cached.cost).unwrap_or(i64::MAX);
        let Some(node) = cached.node.filter(|_| cached.is_changed) else {
            if cost > 0 {
                connection
                    .prepare_cached(
                        "INSERT INTO aside.spent (object, bytes) VALUES (?1, ?2)
                         ON CONFLICT (object) DO UPDATE SET bytes = bytes + excluded.bytes",
                    )?
                    .execute((object.0, cost))?;
            }
            return Ok(());
        };
        let mut new = VersionRow {
            since: self.number,
            till: OPEN,
            attr: self.attributes(connection, &node)?,
            size: i64::try_from(node.size).unwrap_or(i64::MAX),
            mtime: node.mtime,
            ctime: node.ctime,
            target: node.target,
            changed: cached.changed.0,
            cost,
        };
        let inode = node.inode.cast_signed();
        if !cached.is_new {
            let before = self.versions(connection, object)?;
            let (ours, base): (Vec<_>, Vec<_>) = before
                .into_iter()
                .partition(|version| version.since == self.number);
            if let Some(ours) = ours.first() {
                new.changed |= ours.changed;
                new.cost = new.cost.saturating_add(ours.cost);
            }
            let base = base
                .first()
                .filter(|base| base.till == OPEN || base.till == self.number);
            let is_as_before = base
                .is_some_and(|base| base.is_like(&new) && !Changed(new.changed).has(Changed::DATA));
            if !ours.is_empty() {
                self.statement(
                    connection,
                    "DELETE FROM tree.version WHERE object = ?1 AND since = ?2",
                )?
                .execute((object.0, self.number))?;
            }
            if let Some(base) = base {
                let till = if is_as_before { OPEN } else { self.number };
                if base.till != till {
                    self.statement(
                        connection,
                        "UPDATE tree.version SET till = ?3 WHERE object = ?1 AND since = ?2",
                    )?
                    .execute((object.0, base.since, till))?;
                }
            }
            if is_as_before {
                return Ok(());
            }
        }
        self.statement(
            connection,
            "INSERT INTO tree.version
             (object, since, till, attr, size, mtime, ctime, inode, target, changed, cost)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            object.0,
            new.since,
            new.till,
            new.attr,
            new.size,
            new.mtime,
            new.ctime,
            inode,
            new.target,
            new.changed,
            new.cost,
        ))?;
        Ok(())
    }

    /// Returns the last two versions of an object, the newest first.
    fn versions(
        &self,
        connection: &Connection,
        object: ObjectId,
    ) -> rusqlite::Result<Vec<VersionRow>> {
        let sql = "SELECT since, till, attr, size, mtime, ctime, target, changed, cost
             FROM tree.version WHERE object = ?1 ORDER BY since DESC LIMIT 2";
        let mut statement = self.statement(connection, sql)?;
        let rows = statement.query_map([object.0], |row| {
            Ok(VersionRow {
                since: row.get(0)?,
                till: row.get(1)?,
                attr: row.get(2)?,
                size: row.get(3)?,
                mtime: row.get(4)?,
                ctime: row.get(5)?,
                target: row.get(6)?,
                changed: row.get(7)?,
                cost: row.get(8)?,
            })
        })?;
        rows.collect()
    }

    /// Returns the row of `attr` with the attributes of an object, which is made if it is missing. Aside or not, there is one
    /// table of them.
    fn attributes(&mut self, connection: &Connection, node: &FileNode) -> rusqlite::Result<i64> {
        let attributes = NodeAttributes {
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            rdev: node.rdev,
            xattrs: node.xattrs.clone(),
        };
        if let Some(id) = self.attributes.get(&attributes) {
            return Ok(*id);
        }
        let values = (
            node.mode,
            node.uid,
            node.gid,
            node.rdev.cast_signed(),
            &node.xattrs,
        );
        let known = connection
            .prepare_cached(
                "SELECT id FROM main.attr
                 WHERE mode = ?1 AND uid = ?2 AND gid = ?3 AND rdev = ?4 AND xattrs = ?5",
            )?
            .query_row(values, |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => connection
                .prepare_cached(
                    "INSERT INTO main.attr (mode, uid, gid, rdev, xattrs)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .insert(values)?,
        };
        self.xattr_bytes += attributes.xattrs.len();
        if self.attributes.len() == MOST_ATTRIBUTES || self.xattr_bytes > MOST_XATTR_BYTES {
            self.attributes.clear();
            self.xattr_bytes = attributes.xattrs.len();
        }
        self.attributes.insert(attributes, id);
        Ok(id)
    }

    fn write_name(
        &self,
        connection: &Connection,
        directory: ObjectId,
        bytes: &[u8],
        name: CachedName,
    ) -> rusqlite::Result<()> {
        if name.stored.is_some() {
            // A name that began in this archive leaves nothing.
            let deleted = self
                .statement(
                    connection,
                    "DELETE FROM tree.entry WHERE parent = ?1 AND name = ?2 AND since = ?3",
                )?
                .execute((directory.0, bytes, self.number))?;
            if deleted == 0 {
                self.statement(
                    connection,
                    "UPDATE tree.entry SET till = ?3
                     WHERE parent = ?1 AND name = ?2 AND till = ?4",
                )?
                .execute((directory.0, bytes, self.number, OPEN))?;
            }
        }
        let Some(object) = name.now else {
            return Ok(());
        };
        if !self.is_new {
            // A name that was removed and made again was there all the time.
            let reopened = self
                .statement(
                    connection,
                    "UPDATE tree.entry SET till = ?5
                     WHERE parent = ?1 AND name = ?2 AND till = ?3 AND object = ?4",
                )?
                .execute((directory.0, bytes, self.number, object.0, OPEN))?;
            if reopened > 0 {
                return Ok(());
            }
        }
        self.statement(
            connection,
            "INSERT INTO tree.entry (parent, name, since, till, object)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((directory.0, bytes, self.number, OPEN, object.0))?;
        Ok(())
    }

    /// Ends the versions of objects that have no name any more, and adds what was spent on objects that were not in memory
    /// any more.
    pub(super) fn settle(&self, connection: &Connection) -> Result<(), FilesDbError> {
        let any: bool = connection
            .query_row("SELECT EXISTS (SELECT 1 FROM aside.nameless)", [], |row| {
                row.get(0)
            })
            .while_doing("look for objects without a name")?;
        if any {
            self.end_nameless(connection)
                .while_doing("end the versions of what is deleted")?;
        }
        self.add_spent(connection).while_doing("add what was spent")
    }

    /// One by one: no index leads from an archive and an object to a version as fast as the key of the table.
    fn add_spent(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut all =
            connection.prepare("SELECT object, bytes FROM aside.spent ORDER BY object")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let spent: (i64, i64) = (row.get(0)?, row.get(1)?);
            self.statement(
                connection,
                "UPDATE tree.version SET cost = cost + ?2 WHERE object = ?1 AND since = ?3",
            )?
            .execute((spent.0, spent.1, self.number))?;
        }
        Ok(())
    }

    fn end_nameless(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.schema == "aside" {
            connection.execute_batch(
                "CREATE INDEX IF NOT EXISTS aside.entry_of_object ON entry (object)",
            )?;
        }
        let mut all = connection.prepare("SELECT object FROM aside.nameless ORDER BY object")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let object: i64 = row.get(0)?;
            let has_name: bool = self
                .statement(
                    connection,
                    "SELECT EXISTS (SELECT 1 FROM tree.entry WHERE object = ?1 AND till = ?2)",
                )?
                .query_row((object, OPEN), |row| row.get(0))?;
            if has_name || object == ObjectId::ROOT.0 {
                continue;
            }
            self.statement(
                connection,
                "DELETE FROM tree.version WHERE object = ?1 AND since = ?2",
            )?
            .execute((object, self.number))?;
            // A version that this archive has ended already ends here too.
            self.statement(
                connection,
                "UPDATE tree.version SET till = ?2 WHERE object = ?1 AND till = ?3",
            )?
            .execute((object, self.number, OPEN))?;
        }
        Ok(())
    }
}

impl VersionRow {
    /// Returns whether two versions differ in nothing but when they were.
    fn is_like(&self, other: &Self) -> bool {
        let of = |version: &Self| (version.attr, version.size, version.mtime, version.ctime);
        of(self) == of(other) && self.target == other.target
    }
}

fn read_node(row: &Row<'_>) -> rusqlite::Result<FileNode> {
    Ok(FileNode {
        mode: row.get(0)?,
        uid: row.get(1)?,
        gid: row.get(2)?,
        rdev: row.get::<_, i64>(3)?.cast_unsigned(),
        size: row.get::<_, i64>(4)?.cast_unsigned(),
        mtime: row.get(5)?,
        ctime: row.get(6)?,
        inode: row.get::<_, i64>(7)?.cast_unsigned(),
        target: row.get(8)?,
        xattrs: row.get(9)?,
    })
}
