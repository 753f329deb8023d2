//! RFC 8785 canonical JSON, for the values that entries have: no floating-point numbers.

use serde_json::Value;

use super::error::Refusal;

/// Integers beyond this have no exact double, so RFC 8785 has no form for them (I-JSON, RFC 7493).
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Nothing in an entry is nested deeper; a hostile one must not exhaust the stack.
const MAX_DEPTH: usize = 32;

/// The canonical form of a value, without a newline.
pub fn to_canonical(value: &Value) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    write(value, &mut out, 0)?;
    Ok(out)
}

/// Parses a line that is in canonical form. Any other spelling of the same value is refused:
/// spaces, another order, a key twice, needless escapes.
pub fn parse_canonical(line: &[u8]) -> Result<Value, Refusal> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| Refusal::NotCanonical(error.to_string()))?;
    if to_canonical(&value)? != line {
        return Err(Refusal::NotCanonical(
            "the same value has another canonical form".to_owned(),
        ));
    }
    Ok(value)
}

fn write(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), Refusal> {
    if depth > MAX_DEPTH {
        return Err(Refusal::NotCanonical("it is nested too deeply".to_owned()));
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
                return Err(Refusal::NotCanonical(format!(
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
        ] {
            assert!(parse_canonical(line.as_bytes()).is_err(), "{line}");
        }
        assert!(parse_canonical(br#"{"a":-9007199254740991}"#).is_ok());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let line = "[".repeat(100) + &"]".repeat(100);
        assert!(parse_canonical(line.as_bytes()).is_err());
    }
}
