//! An entry's body line: the head's fields, `kind`, and the kind's own object under its name.

use serde_json::{Map, Value};

use super::canonical::{parse_canonical, to_canonical};
use super::error::Refusal;
use crate::model::entry::{Entry, EntryHead, EntryKind, FORMAT};

/// The body line of an entry, with its newline.
pub fn encode_body(entry: &Entry) -> Result<Vec<u8>, Refusal> {
    let fields = |error: serde_json::Error| Refusal::Fields(error.to_string());
    let mut members = match serde_json::to_value(&entry.head).map_err(fields)? {
        Value::Object(members) => members,
        other => unreachable!("a head is an object, not {other}"),
    };
    let kind = entry.kind.name().to_owned();
    let own = match &entry.kind {
        EntryKind::Open(open) => serde_json::to_value(open).map_err(fields)?,
        EntryKind::Archive(archive) => serde_json::to_value(archive).map_err(fields)?,
        EntryKind::Retire(retire) => serde_json::to_value(retire).map_err(fields)?,
        EntryKind::Revive(revive) => serde_json::to_value(revive).map_err(fields)?,
        EntryKind::Delete(delete) => serde_json::to_value(delete).map_err(fields)?,
        EntryKind::Rotate(rotate) => serde_json::to_value(rotate).map_err(fields)?,
        EntryKind::Attach(attach) => serde_json::to_value(attach).map_err(fields)?,
        EntryKind::Unknown(name) => {
            return Err(Refusal::Fields(format!(
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

/// Reads a body line. Unknown fields are ignored; an unknown kind, or any kind of a higher format,
/// becomes [`EntryKind::Unknown`].
pub fn decode_body(line: &[u8]) -> Result<Entry, Refusal> {
    let line = line
        .strip_suffix(b"\n")
        .ok_or(Refusal::Shape("the body line has no newline"))?;
    let value = parse_canonical(line)?;
    let fields = |error: serde_json::Error| Refusal::Fields(error.to_string());
    let head: EntryHead = serde_json::from_value(value.clone()).map_err(fields)?;
    if head.format == 0 {
        return Err(Refusal::Fields("there is no format 0".to_owned()));
    }
    let Value::Object(mut members) = value else {
        return Err(Refusal::Fields("it is not an object".to_owned()));
    };
    let kind = match members.get("kind") {
        Some(Value::String(kind)) => kind.clone(),
        _ => return Err(Refusal::Fields("`kind` is not a string".to_owned())),
    };
    let kind = match kind.as_str() {
        _ if head.format > FORMAT => EntryKind::Unknown(kind),
        "open" => EntryKind::Open(own(&mut members, "open")?),
        "archive" => EntryKind::Archive(Box::new(own(&mut members, "archive")?)),
        "retire" => EntryKind::Retire(own(&mut members, "retire")?),
        "revive" => EntryKind::Revive(own(&mut members, "revive")?),
        "delete" => EntryKind::Delete(own(&mut members, "delete")?),
        "rotate" => EntryKind::Rotate(own(&mut members, "rotate")?),
        "attach" => EntryKind::Attach(own(&mut members, "attach")?),
        _ => EntryKind::Unknown(kind),
    };
    Ok(Entry { head, kind })
}

fn own<T: serde::de::DeserializeOwned>(
    members: &mut Map<String, Value>,
    kind: &str,
) -> Result<T, Refusal> {
    let own = members
        .remove(kind)
        .ok_or_else(|| Refusal::Fields(format!("`{kind}` is missing")))?;
    serde_json::from_value(own).map_err(|error| Refusal::Fields(format!("{kind}: {error}")))
}
