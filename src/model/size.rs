//! Byte counts as people read and write them.

use std::fmt;

/// A byte count, shown in binary units with three digits: `1.21 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let bytes = u128::from(self.0);
        if bytes < 1024 {
            return f.pad(&format!("{bytes} B"));
        }
        let mut unit = 0;
        // 1023.5 KiB would be rounded to "1024 KiB".
        while unit + 1 < units.len() && 2 * bytes >= 2047 << (10 * (unit + 1)) {
            unit += 1;
        }
        // Computed in integers: a list shows very many of these, and formatting a float is slow.
        let one = 1 << (10 * (unit + 1));
        let in_parts = |parts: u128| (bytes * parts + one / 2) / one;
        let name = units[unit];
        match (in_parts(100), in_parts(10), in_parts(1)) {
            (parts @ ..1000, _, _) => f.pad(&format!("{}.{:02} {name}", parts / 100, parts % 100)),
            (_, parts @ ..1000, _) => f.pad(&format!("{}.{} {name}", parts / 10, parts % 10)),
            (_, _, whole) => f.pad(&format!("{whole} {name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_binary_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10_235, "10.0 KiB"),
            (10 * 1024, "10.0 KiB"),
            (9 * 1024 + 1018, "9.99 KiB"),
            (9 * 1024 + 1019, "10.0 KiB"),
            (99 * 1024 + 972, "99.9 KiB"),
            (99 * 1024 + 973, "100 KiB"),
            (1023 * 1024 + 511, "1023 KiB"),
            (1023 * 1024 + 512, "1.00 MiB"),
            (1024 * 1024 - 1, "1.00 MiB"),
            (128 << 20, "128 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            let shown = Bytes(bytes).to_string();
            assert_eq!(shown, text, "{bytes}");
        }
    }
}
