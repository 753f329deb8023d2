//! An entry's object: its body line, and the signature after it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::{EntryRefusal, LedgerError};
use super::key::{PublicKey, SigningKey};
use crate::ledger::body::decode_body;
use crate::model::entry::Entry;

const UNTRUSTED: &str = "coldchain ledger entry";

/// More bytes than a signature with its comments has.
const LONGEST_SIGNATURE: usize = 4096;

/// Returns the trusted comment that the signature must have. It repeats ledger, number and kind, and
/// `minisign -V` shows it.
fn trusted_comment(entry: &Entry) -> String {
    format!(
        "coldchain {} {} {}",
        entry.head.ledger,
        entry.head.seq,
        entry.kind.name()
    )
}

/// Signs a body, and returns the entry's whole object.
pub fn sign(body: &[u8], key: &SigningKey) -> Result<Vec<u8>, LedgerError> {
    let entry = decode_body(body)?;
    let signature = key.sign(body, UNTRUSTED, &trusted_comment(&entry), "a ledger entry")?;
    let mut object = body.to_vec();
    object.extend(signature.bytes());
    Ok(object)
}

/// Splits an object into the body line, with its newline, and the signature.
pub fn split(object: &[u8]) -> Result<(&[u8], &[u8]), EntryRefusal> {
    let newline = memchr::memchr(b'\n', object).ok_or(EntryRefusal::Shape("it has no line"))?;
    Ok(object.split_at(newline + 1))
}

/// A body that a key has signed, before its content is read.
#[derive(Debug)]
pub(super) struct Signed<'o> {
    /// The line, with its newline.
    pub(super) body: &'o [u8],
    /// The index of the key among those that [`open`] was given.
    pub(super) by: usize,
    comment: &'o str,
}

/// Checks that one of the keys has signed the object's body, in the one form that a signature has.
/// [`Signed::is_of`] checks the signature's comment, once the body is read.
pub(super) fn open<'o>(
    object: &'o [u8],
    keys: &[PublicKey],
    check: Check,
) -> Result<Signed<'o>, EntryRefusal> {
    let (body, signature) = split(object)?;
    let signature = text(signature)?;
    let comment = comment_in(signature).ok_or(EntryRefusal::OtherComment)?;
    if !is_one_form(signature.as_bytes(), UNTRUSTED, comment) {
        return Err(EntryRefusal::OtherComment);
    }
    let named = |(_, key): &(usize, &PublicKey)| key.is_named_by(signature);
    let mut named = keys.iter().enumerate().filter(named).peekable();
    let by = match check {
        Check::Checked if keys.iter().filter(|key| key.is_named_by(signature)).count() == 1 => {
            named.next()
        }
        Check::Check | Check::Checked => named.find(|(_, key)| key.verifies(body, signature)),
    };
    let (by, _) = by.ok_or_else(|| EntryRefusal::Unsigned {
        kind: comment.rsplit(' ').next().unwrap_or_default().to_owned(),
    })?;
    Ok(Signed { body, by, comment })
}

/// Whether a signature is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Check,
    /// It was checked when the object was first read.
    Checked,
}

impl Signed<'_> {
    /// Refuses the signature if it was made for another entry than this body's.
    pub(super) fn is_of(&self, entry: &Entry) -> Result<(), EntryRefusal> {
        if self.comment == trusted_comment(entry) {
            return Ok(());
        }
        Err(EntryRefusal::OtherComment)
    }
}

fn text(signature: &[u8]) -> Result<&str, EntryRefusal> {
    if signature.len() > LONGEST_SIGNATURE {
        return Err(EntryRefusal::Shape("what follows its line is no signature"));
    }
    std::str::from_utf8(signature).map_err(|_| EntryRefusal::Shape("the signature is no text"))
}

fn comment_in(signature: &str) -> Option<&str> {
    signature.lines().nth(2)?.strip_prefix("trusted comment: ")
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
