//! Quantities as people read them.
//!
//! **Invariant:** three digits that count, rounded to the nearest; units of 1,000, as disks and
//! links are sold.

use crate::check::grouped;

/// Bytes, such as `1.23 GB`.
pub(super) fn bytes(count: u128) -> String {
    scaled(count, "B", "kB")
}

/// Bits a second, such as `12.3 Mbit/s`.
pub(super) fn rate(bits_per_second: u128) -> String {
    scaled(bits_per_second, "bit/s", "kbit/s")
}

fn scaled(count: u128, unit: &str, kilo: &str) -> String {
    let mut size: u128 = 1;
    for (power, prefix) in ["", "k", "M", "G", "T", "P", "E", "Z"].iter().enumerate() {
        // Rounded up to the next power it would have four digits.
        let is_last = power == 7;
        let rounded = (count.saturating_mul(10).saturating_add(size * 5)) / (size * 10);
        if rounded < 1_000 || is_last {
            let unit = if power == 0 { unit.to_owned() } else { kilo.replacen('k', prefix, 1) };
            return format!("{} {unit}", digits(count, size));
        }
        size *= 1_000;
    }
    unreachable!("the last prefix takes everything")
}

/// Three digits that count, of a number over a power of 1,000.
fn digits(count: u128, size: u128) -> String {
    if size == 1 {
        return grouped(count);
    }
    let thousandths = (count / size).saturating_mul(1_000) + count % size * 1_000 / size;
    match thousandths {
        0..9_995 => format!("{:.2}", hundredths(thousandths, 10) as f64 / 100.0),
        9_995..99_950 => format!("{:.1}", hundredths(thousandths, 100) as f64 / 10.0),
        _ => grouped(hundredths(thousandths, 1_000)),
    }
}

fn hundredths(thousandths: u128, by: u128) -> u128 {
    thousandths.saturating_add(by / 2) / by
}

/// A length of time, such as `8 h` or `1 h 30 min`.
pub(super) fn length(seconds: u64) -> String {
    let parts = [(seconds / 3_600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// Minutes, rounded up, of milliseconds.
pub(super) fn minutes(milliseconds: u128) -> String {
    grouped(milliseconds.div_ceil(60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_three_digits_and_the_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (9_994, "9.99 kB"),
            (9_996, "10.0 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (1_234_567_890, "1.23 GB"),
            (5_310_000_000_000, "5.31 TB"),
            (7_000_000_000_000_000_000_000, "7.00 ZB"),
            (7_000_000_000_000_000_000_000_000_000, "7,000,000 ZB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
        assert_eq!(rate(31_805), "31.8 kbit/s");
        assert_eq!(rate(12), "12 bit/s");
        assert!(bytes(u128::MAX).ends_with(" ZB"));
    }

    #[test]
    fn counts_and_lengths_are_read_at_a_glance() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
        for (seconds, text) in
            [(0, "0 s"), (28_800, "8 h"), (5_400, "1 h 30 min"), (61, "1 min 1 s")]
        {
            assert_eq!(length(seconds), text);
        }
        assert_eq!((minutes(60_000), minutes(60_001)), ("1".to_owned(), "2".to_owned()));
    }
}
