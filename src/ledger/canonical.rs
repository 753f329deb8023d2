//! RFC 8785 canonical JSON, for the values that entries have: no floating-point numbers.

use std::borrow::Cow;

use serde_json::Value;

use super::error::EntryRefusal;
use crate::model::Quoted;

/// Integers beyond this have no exact double, so RFC 8785 has no form for them (I-JSON, RFC 7493).
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Nothing in an entry is nested deeper; a hostile one must not exhaust the stack.
const MAX_DEPTH: usize = 32;

/// The canonical form of a value, without a newline.
pub fn to_canonical(value: &Value) -> Result<Vec<u8>, EntryRefusal> {
    let mut out = Vec::new();
    write(value, &mut out, 0)?;
    Ok(out)
}

/// Checks that a line is in canonical form, and parses it.
pub fn parse_canonical(line: &[u8]) -> Result<Value, EntryRefusal> {
    check_canonical(line)?;
    serde_json::from_slice(line).map_err(|error| EntryRefusal::NotCanonical(error.to_string()))
}

/// Checks that a line is in canonical form. Any other spelling of the same value is refused: spaces, another
/// order, a key twice, needless escapes.
///
/// It reads the line once and builds no value, which would take many times the memory of its line.
pub(super) fn check_canonical(line: &[u8]) -> Result<(), EntryRefusal> {
    let text = std::str::from_utf8(line).map_err(|_| not("it is not UTF-8"))?;
    let mut line = LineReader { text, at: 0 };
    line.value(0)?;
    if line.at != text.len() {
        return Err(not("something follows the value"));
    }
    Ok(())
}

fn not(why: impl Into<String>) -> EntryRefusal {
    EntryRefusal::NotCanonical(why.into())
}

/// A line, and how far it has been read.
struct LineReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> LineReader<'a> {
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips that byte if it comes next, and returns whether it did.
    fn takes(&mut self, byte: u8) -> bool {
        let takes = self.next() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    fn expect(&mut self, byte: u8) -> Result<(), EntryRefusal> {
        if self.takes(byte) {
            return Ok(());
        }
        let (byte, at) = (char::from(byte), self.at);
        Err(not(format!("`{byte}` is missing at byte {at}")))
    }

    fn value(&mut self, depth: usize) -> Result<(), EntryRefusal> {
        if depth > MAX_DEPTH {
            return Err(not("it is nested too deeply"));
        }
        match self.next() {
            Some(b'{') => self.object(depth),
            Some(b'[') => {
                self.at += 1;
                if self.takes(b']') {
                    return Ok(());
                }
                loop {
                    self.value(depth + 1)?;
                    if self.takes(b']') {
                        return Ok(());
                    }
                    self.expect(b',')?;
                }
            }
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let rest = &self.text[self.at..];
                let words = ["null", "true", "false"];
                let word = words.iter().find(|word| rest.starts_with(**word));
                let word = word.ok_or_else(|| not(format!("no value at byte {}", self.at)))?;
                self.at += word.len();
                Ok(())
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), EntryRefusal> {
        self.at += 1;
        if self.takes(b'}') {
            return Ok(());
        }
        let mut before: Option<Cow<'a, str>> = None;
        loop {
            let name = self.string()?;
            // By UTF-16 code units, which differs from byte order beyond the basic plane.
            if before.is_some_and(|before| before.encode_utf16().ge(name.encode_utf16())) {
                return Err(not(format!(
                    "a member before byte {} is out of order, or there twice",
                    self.at
                )));
            }
            before = Some(name);
            self.expect(b':')?;
            self.value(depth + 1)?;
            if self.takes(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads a string and returns its content. Refuses escapes that are not needed.
    fn string(&mut self) -> Result<Cow<'a, str>, EntryRefusal> {
        self.expect(b'"')?;
        let rest = &self.text[self.at..];
        let mut end = 0;
        let mut escapes = false;
        loop {
            match rest.as_bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escapes = true;
                    end += 2;
                }
                Some(_) => end += 1,
                None => return Err(not("a string has no end")),
            }
        }
        let spelled = rest.get(..end).ok_or_else(|| not("a string has no end"))?;
        let whole = &self.text[self.at - 1..=self.at + end];
        self.at += end + 1;
        if !escapes && spelled.bytes().all(|byte| byte >= b' ') {
            return Ok(Cow::Borrowed(spelled));
        }
        let said: String = serde_json::from_str(whole).map_err(|error| not(error.to_string()))?;
        let mut again = Vec::with_capacity(whole.len());
        write_string(&said, &mut again);
        if again != whole.as_bytes() {
            return Err(not("a string has another canonical form"));
        }
        Ok(Cow::Owned(said))
    }

    fn number(&mut self) -> Result<(), EntryRefusal> {
        let rest = &self.text[self.at..];
        let end = rest
            .bytes()
            .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
        let spelled = &rest[..end.unwrap_or(rest.len())];
        let number: Option<i64> = spelled.parse().ok();
        let is_safe = number.is_some_and(|number| number.unsigned_abs() <= MAX_SAFE);
        // `-0`, leading zeros and a plus have another form.
        if !is_safe || number.is_none_or(|number| number.to_string() != spelled) {
            return Err(not(format!(
                "{} is not an integer within ±(2^53−1) as it is written",
                Quoted(spelled)
            )));
        }
        self.at += spelled.len();
        Ok(())
    }
}

fn write(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), EntryRefusal> {
    if depth > MAX_DEPTH {
        return Err(EntryRefusal::NotCanonical(
            "it is nested too deeply".to_owned(),
        ));
    }
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(true) => out.extend(b"true"),
        Value::Bool(false) => out.extend(b"false"),
        Value::Number(number) => {
            let safe = number.as_u64().is_some_and(|n| n <= MAX_SAFE)
                || number
                    .as_i64()
                    .is_some_and(|n| n.unsigned_abs() <= MAX_SAFE);
            if !safe {
                return Err(EntryRefusal::NotCanonical(format!(
                    "{number} is not an integer within ±(2^53−1)"
                )));
            }
            out.extend(number.to_string().bytes());
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            // By UTF-16 code units, which differs from byte order beyond the basic plane.
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write(member, out, depth + 1)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// `serde_json` escapes just what RFC 8785 §3.2.2.2 asks for, in the same spelling.
fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing to a vector does not fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_are_sorted_by_utf16_and_strings_escaped_as_the_rfc_says() {
        // RFC 8785 §3.2.3, its example of sorting.
        let value: Value = serde_json::from_str(
            "{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\
             \"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\",\"\\u00f6\":\"o\"}",
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(to_canonical(&value).unwrap()).unwrap(),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"o\",\"€\":\"Euro Sign\",\
             \"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        );
        // RFC 8785 §3.2.2, its example's string and literals.
        let value: Value = serde_json::from_str(
            r#"{"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(to_canonical(&value).unwrap()).unwrap(),
            r#"{"literals":[null,true,false],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
    }

    #[test]
    fn a_line_has_exactly_one_spelling() {
        assert!(parse_canonical(br#"{"a":1,"b":[]}"#).is_ok());
        for line in [
            r#"{"b":[],"a":1}"#,
            r#"{"a":1, "b":[]}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":[]} "#,
            r#"{"\u0061":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-0}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":18446744073709551616}"#,
            "",
            r#"{"a":1"#,
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "[1,]",
            "[1",
            "[1 ]",
            "+1",
            "01",
            "-",
            "1-1",
            "nul",
            r#"""#,
            r#""\"#,
            r#""\""#,
            r#""\/""#,
            r#""\u00e9""#,
            r#""\u000A""#,
            "\"\u{1}\"",
            r#""\ud800""#,
            r#"{"\u20ac":1,"€":2}"#,
            r#"{"€":1,"\u20ac":2}"#,
        ] {
            assert!(parse_canonical(line.as_bytes()).is_err(), "{line}");
        }
        assert!(check_canonical(b"\"\xff\"").is_err());
        for line in [
            r#""\n\u0001\"\\é""#,
            "[[],{},[null,true,false,\"\"]]",
            "-1",
            "0",
        ] {
            assert!(parse_canonical(line.as_bytes()).is_ok(), "{line}");
        }
        assert!(parse_canonical(br#"{"a":-9007199254740991}"#).is_ok());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse_canonical(nested(MAX_DEPTH + 1).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 2, 1_000_000] {
            assert!(parse_canonical(nested(depth).as_bytes()).is_err());
        }
    }

    proptest! {
        /// The check, which builds no value, accepts exactly what writing the value again gives.
        #[test]
        fn a_line_is_canonical_just_if_its_value_is_written_so(line in any_line()) {
            let value: Option<Value> = serde_json::from_slice(&line).ok();
            let again = value.and_then(|value| to_canonical(&value).ok());
            prop_assert_eq!(
                check_canonical(&line).is_ok(),
                again.as_ref() == Some(&line),
                "{}",
                String::from_utf8_lossy(&line)
            );
        }
    }

    /// Makes lines of pieces of JSON. Many of the lines are valid JSON.
    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"b\":",
            "\"a\":1",
            "1",
            "0",
            "-0",
            "-1",
            "12",
            "1.5",
            "null",
            "true",
            "false",
            " ",
            "\\n",
            "\\u0001",
            "é",
            "\u{10000}",
            "\u{fb33}",
            "9007199254740992",
        ];
        let jumble = proptest::collection::vec(proptest::sample::select(PIECES), 0..12)
            .prop_map(|pieces| pieces.concat().into_bytes());
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 54)..1 << 54).prop_map(Value::from),
            "[a-c\u{1}\n\"\\\\é\u{fb33}\u{1F600}]{0,4}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-c\u{fb33}\u{1F600}]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        let written = (value, any::<bool>()).prop_map(|(value, plain)| {
            if plain {
                return serde_json::to_vec(&value).unwrap();
            }
            to_canonical(&value).unwrap_or_default()
        });
        prop_oneof![jumble, written]
    }
}
