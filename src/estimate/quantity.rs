//! Quantities as they are typed.
//!
//! **Invariant:** what is read is exact: decimal fractions become whole thousandths, and are never
//! a floating-point number.

use crate::window::{Unit, parse_age};

/// Thousandths of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(pub u64);

impl Milli {
    /// So many, with up to three decimals, as it would be typed.
    pub fn text(self) -> String {
        let text = format!("{}.{:03}", self.0 / 1_000, self.0 % 1_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Reads a number with up to three decimals, from `least` to `most`.
pub fn milli(text: &str, least: Milli, most: Milli) -> Result<Milli, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let read = || {
        if !is_digits(whole) || !is_digits(part) || part.len() > 3 {
            return None;
        }
        let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(thousandths).map(Milli)
    };
    read().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        format!("write a number from {} to {}, with at most 3 decimals", least.text(), most.text())
    })
}

/// Reads a length of time up to a day, such as `8h`, `90m`, `8` (hours) or `PT8H`; gives seconds.
pub fn hours(text: &str) -> Result<u64, String> {
    const DAY: i64 = 86_400;
    let iso = match (text.strip_suffix('h'), text.strip_suffix('m')) {
        (Some(number), _) => format!("PT{number}H"),
        (_, Some(number)) => format!("PT{number}M"),
        _ => text.to_owned(),
    };
    let age = parse_age(&iso, Unit::Hours).ok().filter(|age| age.months == 0);
    let seconds = age.map(|age| age.exact.num_seconds()).filter(|s| (1..=DAY).contains(s));
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.ok_or_else(|| "write such as `8h`, `90m` or `PT8H`, a day at most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_and_within_their_bounds() {
        let read = |text: &str| milli(text, Milli(1), Milli(100_000)).ok().map(|milli| milli.0);
        for (text, expected) in [
            ("4", Some(4_000)),
            ("4.5", Some(4_500)),
            ("0.1", Some(100)),
            ("1.005", Some(1_005)),
            ("0.001", Some(1)),
            ("100", Some(100_000)),
            ("100.001", None),
            ("0", None),
            ("0.0001", None),
            ("", None),
            (".5", None),
            ("5.", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1,5", None),
            ("NaN", None),
            ("99999999999999999999", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        let told = milli("x", Milli(100), Milli(100_000)).unwrap_err();
        assert_eq!(told, "write a number from 0.1 to 100, with at most 3 decimals");
    }

    #[test]
    fn a_number_is_written_as_it_would_be_typed() {
        for (milli, text) in [(0, "0"), (1, "0.001"), (1_100, "1.1"), (4_000, "4"), (10, "0.01")] {
            assert_eq!(Milli(milli).text(), text);
        }
    }

    #[test]
    fn lengths_of_time_are_read_as_they_are_said() {
        for (text, seconds) in [
            ("8h", Some(28_800)),
            ("90m", Some(5_400)),
            ("8", Some(28_800)),
            ("PT8H30M", Some(30_600)),
            ("P1D", Some(86_400)),
            ("24h", Some(86_400)),
            ("25h", None),
            ("0h", None),
            ("0", None),
            ("-8h", None),
            ("8 h", None),
            ("8d", None),
            ("P1M", None),
            ("h", None),
            ("", None),
            ("99999999999h", None),
        ] {
            assert_eq!(hours(text).ok(), seconds, "{text}");
        }
    }
}
