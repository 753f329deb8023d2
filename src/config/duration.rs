//! Spans of time as the config writes them: `6h`.

use std::time::Duration;

use super::error::ConfigError;
use super::section::Field;

/// Parses a whole number of s, m, h or d.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let total = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    // More than a century is a mistake, and would not fit a date.
    (total <= 36_500 * 24 * 60 * 60).then(|| Duration::from_secs(total))
}

/// Reads a duration of at least `least`.
pub(super) fn read(field: &Field<'_>, least: Duration) -> Result<Duration, ConfigError> {
    match parse(field.string()?) {
        None => Err(field.unfit("a duration like \"6h\", in s, m, h or d")),
        Some(short) if short < least => {
            let least = match least.as_secs() {
                seconds if seconds.is_multiple_of(24 * 60 * 60) => format!("{}d", seconds / 86_400),
                seconds => format!("{seconds}s"),
            };
            Err(field.unfit(&format!("a duration of {least} or more")))
        }
        Some(duration) => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, seconds) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("6h", Some(21_600)),
            ("7d", Some(604_800)),
            ("36501d", None),
            ("99999999999999999999s", None),
            ("6", None),
            ("6 h", None),
            ("6H", None),
            ("1.5h", None),
            ("h", None),
            ("", None),
        ] {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
