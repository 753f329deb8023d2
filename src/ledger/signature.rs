//! An entry's object: its body line, and the signature after it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::{LedgerError, Refusal};
use super::key::{PublicKey, SigningKey};
use crate::ledger::body::decode_body;
use crate::model::entry::Entry;

const UNTRUSTED: &str = "coldchain ledger entry";

/// What the signature's trusted comment has to be: the entry's meaning, bound a second time, and
/// shown by `minisign -V`.
fn trusted_comment(entry: &Entry) -> String {
    format!(
        "coldchain {} {} {}",
        entry.head.ledger,
        entry.head.seq,
        entry.kind.name()
    )
}

/// The whole object of an entry with that body.
pub fn sign(body: &[u8], key: &SigningKey) -> Result<Vec<u8>, LedgerError> {
    let entry = decode_body(body)?;
    let signature = key.sign(body, UNTRUSTED, &trusted_comment(&entry), "a ledger entry")?;
    let mut object = body.to_vec();
    object.extend(signature.bytes());
    Ok(object)
}

/// The body line with its newline, and the signature.
pub fn split(object: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let newline = object
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or(Refusal::Shape("it has no line"))?;
    Ok(object.split_at(newline + 1))
}

/// Whether one of the keys has signed the body, in the one form that a signature has.
pub fn verify(
    entry: &Entry,
    body: &[u8],
    signature: &[u8],
    keys: &[PublicKey],
) -> Result<(), Refusal> {
    let trusted = trusted_comment(entry);
    if !is_one_form(signature, UNTRUSTED, &trusted) {
        return Err(Refusal::OtherComment);
    }
    let signature =
        std::str::from_utf8(signature).map_err(|_| Refusal::Shape("the signature is no text"))?;
    if keys.iter().any(|key| key.verifies(body, signature)) {
        return Ok(());
    }
    Err(Refusal::Unsigned {
        kind: entry.kind.name().to_owned(),
    })
}

/// Whether a signature is four lines and nothing else, with these comments, and its base64 is
/// spelled as an encoder spells it. Otherwise one entry could have two objects.
pub(super) fn is_one_form(signature: &[u8], untrusted: &str, trusted: &str) -> bool {
    let Ok(text) = std::str::from_utf8(signature) else {
        return false;
    };
    let lines: Vec<&str> = text.split('\n').collect();
    let [first, signed, third, global, ""] = lines.as_slice() else {
        return false;
    };
    let canonical = |line: &str, bytes: usize| {
        BASE64
            .decode(line)
            .is_ok_and(|decoded| decoded.len() == bytes && BASE64.encode(decoded) == line)
    };
    *first == format!("untrusted comment: {untrusted}")
        // Algorithm, key number, signature; and the signature over signature and trusted comment.
        && canonical(signed, 2 + 8 + 64)
        && *third == format!("trusted comment: {trusted}")
        && canonical(global, 64)
}
