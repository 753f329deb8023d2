//! Canonical JSON, and the bodies of ledger entries that are written in it.
//!
//! A value has one spelling: what is parsed is written again to the same bytes, and what is written is
//! parsed again to the same value. A body that was read, written and read again says the same.

use coldchain::ledger::{
    EntryRefusal, decode_body, encode_body, parse_canonical, split, to_canonical,
};
use coldchain::model::entry::{EntryKind, FORMAT, ROTATE_FORMAT};
use serde_json::Value;

use super::Outcome;
use super::fixtures;
use super::input::{Input, seed};

const LINE: u8 = 0;
const ANY_SPELLING: u8 = 1;
const BODY: u8 = 2;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        LINE => line(input.rest()),
        ANY_SPELLING => any_spelling(input.rest()),
        _ => body(input.rest()),
    }
}

fn line(line: &[u8]) -> Outcome {
    let parsed = parse_canonical(line);
    if let Ok(value) = &parsed {
        assert_eq!(to_canonical(value).as_deref(), Ok(line));
        assert_eq!(
            serde_json::from_slice::<Value>(line).ok().as_ref(),
            Some(value)
        );
    }
    told(parsed)
}

fn any_spelling(text: &[u8]) -> Outcome {
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return Outcome::Refused;
    };
    let written = to_canonical(&value);
    if let Ok(line) = &written {
        assert_eq!(parse_canonical(line).as_ref(), Ok(&value));
    }
    told(written)
}

fn body(line: &[u8]) -> Outcome {
    let line = [line, b"\n"].concat();
    let decoded = decode_body(&line);
    if let Ok(entry) = &decoded {
        let newest = match entry.kind {
            EntryKind::Rotate(_) => ROTATE_FORMAT,
            _ => FORMAT,
        };
        let known = entry.head.format <= newest && !matches!(entry.kind, EntryKind::Unknown(_));
        match encode_body(entry) {
            Ok(written) => {
                assert!(known);
                let again = decode_body(&written).expect("what is written is read");
                // Not the entry that was read: a moment loses what is less than a second.
                assert_eq!(encode_body(&again).as_ref(), Ok(&written));
                assert_eq!(again.head.seq, entry.head.seq);
                assert_eq!(again.kind, moments_to_the_second(&entry.kind));
            }
            Err(refusal) => assert!(!known || beyond_json(&refusal), "{refusal}"),
        }
    }
    told(decoded)
}

fn moments_to_the_second(kind: &EntryKind) -> EntryKind {
    let mut kind = kind.clone();
    if let EntryKind::Archive(archive) = &mut kind
        && let Some(until) = &mut archive.retain_until
    {
        *until = until
            .to_string()
            .parse()
            .expect("a moment reads as written");
    }
    kind
}

/// What can be read and not be written: nothing that is read is beyond it.
fn beyond_json(refusal: &EntryRefusal) -> bool {
    matches!(refusal, EntryRefusal::NotCanonical(_))
}

fn told<T>(result: Result<T, EntryRefusal>) -> Outcome {
    let outcome = Outcome::of(&result);
    if let Err(refusal) = result {
        assert!(!refusal.to_string().is_empty());
    }
    outcome
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        seed(
            &[ANY_SPELLING],
            br#"{"b": [null, true, -9007199254740991], "a\u00fc\u001f": {"\ud83d\ude00": "\/"}}"#,
        ),
        seed(&[LINE], br#"{"a":[1,{"b":"\u001f"}],"z":""}"#),
        seed(&[LINE], br#"{"z":1.5, "a":"\u0061"}"#),
    ];
    for entry in fixtures::all().iter().flat_map(|it| &it.entries) {
        let (body, _) = split(entry).expect("an entry has a body");
        let line = body.strip_suffix(b"\n").expect("a body is a line");
        seeds.extend([LINE, BODY].map(|mode| seed(&[mode], line)));
    }
    seeds
}
