//! An entry's body line: the head's fields, `kind`, and the kind's own object under its name.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::canonical::{check_canonical, to_canonical};
use super::error::EntryRefusal;
use crate::model::entry::{
    ArchiveEntry, AttachEntry, Entry, EntryHead, EntryKind, FORMAT, ROTATE_FORMAT, RotateEntry,
    VAULT_FORMAT,
};
use crate::model::{ContentsRecord, VaultPlace};

/// The body line of an entry, with its newline.
pub fn encode_body(entry: &Entry) -> Result<Vec<u8>, EntryRefusal> {
    let fields = |error: serde_json::Error| EntryRefusal::Fields(error.to_string());
    let mut members = match serde_json::to_value(&entry.head).map_err(fields)? {
        Value::Object(members) => members,
        other => unreachable!("a head is an object, not {other}"),
    };
    let kind = entry.kind.name().to_owned();
    let own = match &entry.kind {
        EntryKind::Open(open) => serde_json::to_value(open).map_err(fields)?,
        EntryKind::Archive(archive)
            if archive.vault.is_some() && entry.head.format < VAULT_FORMAT =>
        {
            let format = entry.head.format;
            return Err(EntryRefusal::Fields(format!(
                "archive: format {format} has no `vault`"
            )));
        }
        EntryKind::Archive(archive) => serde_json::to_value(archive).map_err(fields)?,
        EntryKind::Retire(retire) => serde_json::to_value(retire).map_err(fields)?,
        EntryKind::Revive(revive) => serde_json::to_value(revive).map_err(fields)?,
        EntryKind::Delete(delete) => serde_json::to_value(delete).map_err(fields)?,
        EntryKind::Rotate(rotate) => serde_json::to_value(rotate).map_err(fields)?,
        EntryKind::Attach(attach) => serde_json::to_value(attach).map_err(fields)?,
        EntryKind::Moved(moved) => serde_json::to_value(moved).map_err(fields)?,
        EntryKind::Unknown(name) => {
            return Err(EntryRefusal::Fields(format!(
                "the kind `{name}` is not one that is written"
            )));
        }
    };
    members.insert("kind".to_owned(), Value::String(kind.clone()));
    members.insert(kind, own);
    let mut line = to_canonical(&Value::Object(members))?;
    line.push(b'\n');
    Ok(line)
}

/// Reads a body line. Unknown fields are ignored. An entry whose kind is not known in its format becomes
/// [`EntryKind::Unknown`].
///
/// It builds no JSON value: for a hostile line of some megabytes that would take some hundred megabytes.
pub fn decode_body(line: &[u8]) -> Result<Entry, EntryRefusal> {
    let line = line
        .strip_suffix(b"\n")
        .ok_or(EntryRefusal::Shape("the body line has no newline"))?;
    check_canonical(line)?;
    let fields = |error: serde_json::Error| EntryRefusal::Fields(error.to_string());
    let head: EntryHead = serde_json::from_slice(line).map_err(fields)?;
    if head.format == 0 {
        return Err(EntryRefusal::Fields("there is no format 0".to_owned()));
    }
    let Kind { kind } = serde_json::from_slice(line)
        .map_err(|_| EntryRefusal::Fields("`kind` is not a string".to_owned()))?;
    let kind = match (head.format, kind.as_str()) {
        (FORMAT, "open") => EntryKind::Open(own(line, "open")?),
        (FORMAT, "archive") => EntryKind::Archive(Box::new(archive(line)?)),
        (VAULT_FORMAT, "archive") => {
            let archive = archive(line)?;
            let VaultField { vault } = own(line, "archive")?;
            EntryKind::Archive(Box::new(ArchiveEntry { vault, ..archive }))
        }
        (FORMAT | VAULT_FORMAT, "retire") => EntryKind::Retire(own(line, "retire")?),
        (FORMAT | VAULT_FORMAT, "revive") => EntryKind::Revive(own(line, "revive")?),
        (FORMAT | VAULT_FORMAT, "delete") => EntryKind::Delete(own(line, "delete")?),
        (FORMAT, "rotate") => {
            let rotate: RotateEntry = own(line, "rotate")?;
            // Format 1 has no such fields, so they have no effect in it.
            EntryKind::Rotate(RotateEntry {
                retires: Vec::new(),
                revives: Vec::new(),
                ..rotate
            })
        }
        (ROTATE_FORMAT, "rotate") => EntryKind::Rotate(own(line, "rotate")?),
        (FORMAT | VAULT_FORMAT, "attach") => EntryKind::Attach(attach(line)?),
        (FORMAT, "moved") => EntryKind::Moved(own(line, "moved")?),
        _ => EntryKind::Unknown(kind),
    };
    Ok(Entry { head, kind })
}

/// Reads what an `archive` entry has in both formats. Contents that can't be used are as good as none.
fn archive(line: &[u8]) -> Result<ArchiveEntry, EntryRefusal> {
    let archive: ArchiveEntry = own(line, "archive")?;
    let contents = if has_contents(line) {
        let field = own::<ContentsField>(line, "archive").ok();
        field.and_then(ContentsField::sound)
    } else {
        None
    };
    Ok(ArchiveEntry {
        contents,
        ..archive
    })
}

/// Reads what an `attach` entry has. Contents that can't be used are as good as none.
fn attach(line: &[u8]) -> Result<AttachEntry, EntryRefusal> {
    let mut attach: AttachEntry = own(line, "attach")?;
    if has_contents(line)
        && let Ok(AttachedField { objects }) = own::<AttachedField>(line, "attach")
    {
        for (object, field) in attach.objects.iter_mut().zip(objects) {
            object.contents = field.contents.filter(ContentsRecord::is_sound);
            object.replaces = field.replaces.filter(|_| object.contents.is_some());
        }
    }
    Ok(attach)
}

/// Whether a body may have contents. Nearly all have none, and need not be read twice.
fn has_contents(line: &[u8]) -> bool {
    const FIELD: &[u8] = b"\"contents\":{";
    line.windows(FIELD.len()).any(|window| window == FIELD)
}

/// The kind of a body. Its other fields are ignored.
#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// The field that an `archive` of format 2 has beside those of format 1.
#[derive(Deserialize)]
struct VaultField {
    vault: Option<VaultPlace>,
}

/// The contents in an `archive` entry.
#[derive(Deserialize)]
struct ContentsField {
    contents: Option<ContentsRecord>,
}

impl ContentsField {
    fn sound(self) -> Option<ContentsRecord> {
        self.contents.filter(ContentsRecord::is_sound)
    }
}

/// The contents of each object in an `attach` entry.
#[derive(Deserialize)]
struct AttachedField {
    objects: Vec<AttachedContentsField>,
}

/// The contents of one object, and whose place they take.
#[derive(Deserialize)]
struct AttachedContentsField {
    contents: Option<ContentsRecord>,
    replaces: Option<u64>,
}

/// Reads the kind's own object, which is the member of that name.
fn own<T: DeserializeOwned>(line: &[u8], kind: &'static str) -> Result<T, EntryRefusal> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let own = json.deserialize_map(Member::new(kind));
    let own = own.map_err(|error| EntryRefusal::Fields(format!("{kind}: {error}")))?;
    own.ok_or_else(|| EntryRefusal::Fields(format!("`{kind}` is missing")))
}

/// Reads one member of an object, and ignores the others.
struct Member<T> {
    name: &'static str,
    value: PhantomData<T>,
}

impl<T> Member<T> {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            value: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Member<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<T>, A::Error> {
        let mut own = None;
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            if name == self.name {
                own = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(own)
    }
}
