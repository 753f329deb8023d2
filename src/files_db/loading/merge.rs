//! Merging a tree that was built aside into the index.
//!
//! Objects of both are one and the same if they have the same path and kind; else, if they have the same inode number, kind,
//! size and time of modification: that is a rename between two fulls. A directory that was renamed counts with all that is
//! below it. What is equal in both stays as it is, so a full that follows another one costs only its differences.
//!
//! What changed is worked out from the difference. A file of another size or time of modification has other data; one of
//! which nothing but the time of change differs was touched or renamed. A tree built aside knows what its stream cost, but of
//! what is equal no version is made, and so its cost is not kept.

use rusqlite::Connection;

/// The tables of a tree aside, and what a loading notes.
pub(super) const TABLES: &str = "
    CREATE TABLE aside.entry (
        parent INTEGER, name BLOB, since INTEGER, till INTEGER, object INTEGER,
        PRIMARY KEY (parent, name, since)
    ) WITHOUT ROWID;
    CREATE TABLE aside.version (
        object INTEGER, since INTEGER, till INTEGER, attr INTEGER, size INTEGER, mtime INTEGER,
        ctime INTEGER, inode INTEGER, target BLOB, changed INTEGER, cost INTEGER,
        PRIMARY KEY (object, since)
    ) WITHOUT ROWID;
    CREATE TABLE aside.nameless (object INTEGER PRIMARY KEY);
    CREATE TABLE aside.spent (object INTEGER PRIMARY KEY, bytes INTEGER);
    CREATE TABLE aside.matched (
        new INTEGER PRIMARY KEY, old INTEGER UNIQUE, level INTEGER, directory INTEGER
    );
    CREATE INDEX aside.matched_directory ON matched (level) WHERE directory;
    CREATE TABLE aside.frontier (new INTEGER PRIMARY KEY, old INTEGER);
    CREATE TABLE aside.left_over (
        inode INTEGER, object INTEGER, PRIMARY KEY (inode, object)
    ) WITHOUT ROWID;
    CREATE TABLE aside.different (old INTEGER PRIMARY KEY, new INTEGER, changed INTEGER);
    CREATE TABLE aside.mapped (
        parent INTEGER, name BLOB, object INTEGER, PRIMARY KEY (parent, name)
    ) WITHOUT ROWID;
    CREATE TABLE aside.added (
        parent INTEGER, name BLOB, object INTEGER, PRIMARY KEY (parent, name)
    ) WITHOUT ROWID;
    CREATE TABLE aside.delta (
        directory INTEGER PRIMARY KEY, depth INTEGER, is_moved INTEGER, bytes INTEGER, files INTEGER
    );
    CREATE INDEX aside.delta_depth ON delta (depth);
";

/// Begins a tree aside with the state of an archive.
pub(super) fn seed(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO aside.entry
         SELECT parent, name, 0, 9223372036854775807, object FROM main.entry
         WHERE since <= ?1 AND till > ?1",
        [number],
    )?;
    connection.execute(
        "INSERT INTO aside.version
         SELECT object, 0, 9223372036854775807, attr, size, mtime, ctime, inode, target, 0, 0
         FROM main.version WHERE since <= ?1 AND till > ?1",
        [number],
    )?;
    Ok(())
}

/// Merges the tree aside as the archive of this number. Objects from `first_new` on are not of the index.
pub(super) fn merge(connection: &Connection, number: i64, first_new: i64) -> rusqlite::Result<()> {
    connection.execute("INSERT INTO aside.matched VALUES (1, 1, 0, 1)", [])?;
    // A tree that began with the state of an archive has the objects of that.
    connection.execute(
        "INSERT OR IGNORE INTO aside.matched
         SELECT n.object, n.object, 0, (na.mode & 0xf000) = 0x4000
         FROM aside.version n CROSS JOIN main.version o ON o.object = n.object AND o.till = 9223372036854775807
         CROSS JOIN main.attr na ON na.id = n.attr CROSS JOIN main.attr oa ON oa.id = o.attr
         WHERE n.till = 9223372036854775807 AND n.object < ?1 AND (na.mode & 0xf000) = (oa.mode & 0xf000)",
        [first_new],
    )?;
    let level = match_paths(connection, 0)?;
    connection.execute_batch(
        "INSERT INTO aside.left_over
         SELECT inode, object FROM main.version WHERE till = 9223372036854775807
         AND NOT EXISTS (SELECT 1 FROM aside.matched WHERE old = version.object)",
    )?;
    // Directories first: what is below a renamed one has its path again.
    match_inodes(connection, level + 1, true)?;
    let level = match_paths(connection, level + 1)?;
    match_inodes(connection, level + 1, false)?;
    versions(connection, number)?;
    names(connection, number)
}

/// Matches what has the same path below the directories of a level, and below what this matches. Returns the last level.
fn match_paths(connection: &Connection, from: i64) -> rusqlite::Result<i64> {
    let mut level = from;
    loop {
        connection.execute("DELETE FROM aside.frontier", [])?;
        let directories = connection.execute(
            "INSERT INTO aside.frontier SELECT new, old FROM aside.matched
             WHERE level = ?1 AND directory",
            [level],
        )?;
        if directories == 0 {
            return Ok(level);
        }
        connection.execute(
            "INSERT OR IGNORE INTO aside.matched
             SELECT ne.object, oe.object, ?1, (na.mode & 0xf000) = 0x4000
             FROM aside.frontier f
             CROSS JOIN aside.entry ne ON ne.parent = f.new AND ne.till = 9223372036854775807
             CROSS JOIN main.entry oe
                 ON oe.parent = f.old AND oe.name = ne.name AND oe.till = 9223372036854775807
             CROSS JOIN aside.version nv
                 ON nv.object = ne.object AND nv.till = 9223372036854775807
             CROSS JOIN main.version ov
                 ON ov.object = oe.object AND ov.till = 9223372036854775807
             CROSS JOIN main.attr na ON na.id = nv.attr CROSS JOIN main.attr oa ON oa.id = ov.attr
             WHERE (na.mode & 0xf000) = (oa.mode & 0xf000)",
            [level + 1],
        )?;
        level += 1;
    }
}

/// Matches what is left by inode number, kind, size and time of modification.
fn match_inodes(connection: &Connection, level: i64, directories: bool) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR IGNORE INTO aside.matched
         SELECT nv.object, ov.object, ?1, ?2
         FROM aside.version nv CROSS JOIN aside.left_over l ON l.inode = nv.inode
         CROSS JOIN main.version ov ON ov.object = l.object AND ov.till = 9223372036854775807
         CROSS JOIN main.attr na ON na.id = nv.attr CROSS JOIN main.attr oa ON oa.id = ov.attr
         WHERE nv.till = 9223372036854775807 AND nv.size = ov.size AND nv.mtime = ov.mtime
         AND (na.mode & 0xf000) = (oa.mode & 0xf000) AND ((na.mode & 0xf000) = 0x4000) = ?2",
        (level, directories),
    )?;
    Ok(())
}

/// Ends and begins versions.
fn versions(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    // Bits: 2 data, 4 attributes, 8 times only.
    connection.execute_batch(
        "INSERT INTO aside.different
         SELECT m.old, m.new, CASE
             WHEN (na.mode & 0xf000) <> 0x4000 AND (nv.size <> ov.size OR nv.mtime <> ov.mtime
                 OR nv.target IS NOT ov.target)
             THEN 2 | (CASE WHEN nv.attr <> ov.attr THEN 4 ELSE 0 END)
             WHEN nv.attr <> ov.attr THEN 4 ELSE 8 END
         FROM aside.matched m
         CROSS JOIN aside.version nv ON nv.object = m.new AND nv.till = 9223372036854775807
         CROSS JOIN main.version ov ON ov.object = m.old AND ov.till = 9223372036854775807
         CROSS JOIN main.attr na ON na.id = nv.attr
         WHERE nv.attr <> ov.attr OR nv.size <> ov.size OR nv.mtime <> ov.mtime
             OR nv.ctime <> ov.ctime OR nv.target IS NOT ov.target",
    )?;
    connection.execute(
        "UPDATE main.version SET till = ?1 WHERE till = 9223372036854775807 AND (
             NOT EXISTS (SELECT 1 FROM aside.matched WHERE old = version.object)
             OR EXISTS (SELECT 1 FROM aside.different WHERE old = version.object))",
        [number],
    )?;
    connection.execute(
        "INSERT INTO main.version
         SELECT d.old, ?1, 9223372036854775807, v.attr, v.size, v.mtime, v.ctime, v.inode, v.target,
             d.changed, v.cost
         FROM aside.different d
         CROSS JOIN aside.version v ON v.object = d.new AND v.till = 9223372036854775807",
        [number],
    )?;
    connection.execute(
        "INSERT INTO main.version
         SELECT v.object, ?1, 9223372036854775807, v.attr, v.size, v.mtime, v.ctime, v.inode, v.target,
             1, v.cost
         FROM aside.version v WHERE v.till = 9223372036854775807
         AND NOT EXISTS (SELECT 1 FROM aside.matched WHERE new = v.object)",
        [number],
    )?;
    Ok(())
}

/// Ends and begins names.
fn names(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.execute_batch(
        "INSERT INTO aside.mapped
         SELECT coalesce(p.old, e.parent), e.name, coalesce(o.old, e.object)
         FROM aside.entry e LEFT JOIN aside.matched p ON p.new = e.parent
         LEFT JOIN aside.matched o ON o.new = e.object
         WHERE e.till = 9223372036854775807",
    )?;
    connection.execute(
        "UPDATE main.entry SET till = ?1 WHERE till = 9223372036854775807 AND NOT EXISTS
             (SELECT 1 FROM aside.mapped m
              WHERE m.parent = entry.parent AND m.name = entry.name AND m.object = entry.object)",
        [number],
    )?;
    connection.execute_batch(
        "INSERT INTO aside.added
         SELECT m.parent, m.name, m.object FROM aside.mapped m WHERE NOT EXISTS
             (SELECT 1 FROM main.entry e
              WHERE e.parent = m.parent AND e.name = m.name AND e.till = 9223372036854775807)",
    )?;
    connection.execute(
        "INSERT INTO main.entry
         SELECT parent, name, ?1, 9223372036854775807, object FROM aside.added",
        [number],
    )?;
    Ok(())
}
