//! Byte counts as the config writes them: `128MiB`.

/// Bytes of a whole number of KiB, MiB or GiB. No other unit: `MB` means two things.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim_start_matches(' ') {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_and_a_binary_unit() {
        for (text, bytes) in [
            ("1KiB", Some(1024)),
            ("128MiB", Some(128 << 20)),
            ("128 MiB", Some(128 << 20)),
            ("1GiB", Some(1 << 30)),
            ("18014398509481984KiB", None),
            ("99999999999999999999MiB", None),
            ("128", None),
            ("128MB", None),
            ("128mib", None),
            ("1.5GiB", None),
            ("-1GiB", None),
            ("MiB", None),
            ("", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }
}
