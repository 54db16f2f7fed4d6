//! The period a run covers, its shards, and the ages and edges an operator writes.
//!
//! Given texts and the time that counts as now, gives times in UTC.
//!
//! **Invariant:** no clock is read; every time that depends on now is told what now is.

use chrono::{DateTime, Months, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use serde::{Serialize, Serializer};

/// A period of time: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupWindow {
    /// The older edge.
    pub from: DateTime<Utc>,
    /// The newer edge.
    pub to: DateTime<Utc>,
}

/// A slice of a window: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shard {
    /// The place among the window's shards, from 0.
    pub index: u64,
    /// How many shards the window has.
    pub count: u64,
    /// The older edge.
    #[serde(serialize_with = "serialize_time")]
    pub from: DateTime<Utc>,
    /// The newer edge.
    #[serde(serialize_with = "serialize_time")]
    pub to: DateTime<Utc>,
}

impl BackupWindow {
    /// Tells whether no time lies in the window.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// Tells whether a time lies in the window.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.to
    }

    /// Cuts the window into exact steps from its older edge, the last cut at its newer one.
    ///
    /// A step longer than the window, or one that leads nowhere, gives one shard.
    pub fn shards(&self, step: TimeDelta) -> Shards {
        let length = nanoseconds(self.to - self.from).max(0);
        let step_ns = if step > TimeDelta::zero() { nanoseconds(step) } else { length.max(1) };
        let count = u64::try_from((length + step_ns - 1) / step_ns).unwrap_or(u64::MAX);
        Shards { index: 0, count, from: self.from, to: self.to, step }
    }
}

/// The shards of a window, oldest first.
#[derive(Debug, Clone)]
pub struct Shards {
    index: u64,
    count: u64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: TimeDelta,
}

impl Iterator for Shards {
    type Item = Shard;

    fn next(&mut self) -> Option<Shard> {
        if self.index >= self.count {
            return None;
        }
        let last = self.index + 1 == self.count;
        let stepped = self.from.checked_add_signed(self.step).filter(|_| !last);
        let to = stepped.unwrap_or(self.to);
        let shard = Shard { index: self.index, count: self.count, from: self.from, to };
        self.from = to;
        self.index += 1;
        Some(shard)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.count - self.index).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Shards {}

fn nanoseconds(delta: TimeDelta) -> i128 {
    i128::from(delta.num_seconds()) * 1_000_000_000 + i128::from(delta.subsec_nanos())
}

/// How long before now something lies: calendar months, and an exact time on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// Calendar months; a year is twelve.
    pub months: u32,
    /// The rest, exact; a day is 24 hours.
    pub exact: TimeDelta,
}

impl Age {
    /// Steps back from now, months first: P1M before 31 March is 28 or 29 February.
    ///
    /// Nothing was recorded before 1970, so that is as far as it goes.
    pub fn before(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_months(Months::new(self.months))
            .and_then(|at| at.checked_sub_signed(self.exact))
            .map_or(DateTime::UNIX_EPOCH, |at| at.max(DateTime::UNIX_EPOCH))
    }

    /// Tells whether the age is no time at all.
    pub fn is_zero(&self) -> bool {
        self.months == 0 && self.exact.is_zero()
    }
}

/// What a bare whole number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Days of 24 hours.
    Days,
    /// Hours.
    Hours,
}

impl Unit {
    fn plural(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Hours => "hours",
        }
    }
}

/// Why a text is no age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// It is neither form.
    #[error("not a number of {} or an ISO 8601 duration", .0.plural())]
    Malformed(Unit),
    /// It is longer than a calendar reaches.
    #[error("longer than can be counted")]
    TooLong,
    /// A number in it is larger than the durations' parser counts exactly.
    #[error("a number above 16777215 in a duration is not counted exactly; use larger units")]
    Inexact,
}

/// Up to here the parser of durations, which counts in `f32`, is exact.
const EXACT: f32 = 16_777_216.0;

/// Reads a whole number of `unit`, or the duration `P[n]Y[n]M[n]DT[n]H[n]M[n]S`.
///
/// The numbers are whole and without sign, as documented; each part may be left out, but not all.
/// Weeks are not documented.
pub fn parse_age(text: &str, unit: Unit) -> Result<Age, AgeError> {
    if text.starts_with('P') {
        return parse_duration(text, unit);
    }
    let number = whole_number(text).ok_or(AgeError::Malformed(unit))?;
    let seconds = match unit {
        Unit::Days => 86_400,
        Unit::Hours => 3_600,
    };
    Ok(Age { months: 0, exact: exact(&[(number?, seconds)])? })
}

fn parse_duration(text: &str, unit: Unit) -> Result<Age, AgeError> {
    let malformed = AgeError::Malformed(unit);
    // The crate also takes weeks, fractions, signs and exponents, which have other characters.
    let is_documented = text.chars().all(|c| c.is_ascii_digit() || "PYMDTHS".contains(c));
    if !is_documented || text.ends_with(['P', 'T']) {
        return Err(malformed);
    }
    let parsed = iso8601_duration::Duration::parse(text).map_err(|_| malformed)?;
    let whole = |count: f32| if count < EXACT { Ok(count as i64) } else { Err(AgeError::Inexact) };
    let months = whole(parsed.year)? * 12 + whole(parsed.month)?;
    Ok(Age {
        months: u32::try_from(months).map_err(|_| AgeError::TooLong)?,
        exact: exact(&[
            (whole(parsed.day)?, 86_400),
            (whole(parsed.hour)?, 3_600),
            (whole(parsed.minute)?, 60),
            (whole(parsed.second)?, 1),
        ])?,
    })
}

fn whole_number(text: &str) -> Option<Result<i64, AgeError>> {
    let whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| text.parse().map_err(|_| AgeError::TooLong))
}

fn exact(parts: &[(i64, i64)]) -> Result<TimeDelta, AgeError> {
    parts
        .iter()
        .try_fold(0_i64, |sum, (number, seconds)| sum.checked_add(number.checked_mul(*seconds)?))
        .and_then(TimeDelta::try_seconds)
        .ok_or(AgeError::TooLong)
}

/// Why a text is no edge of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// It is none of the forms.
    #[error("not a date (`YYYY-MM-DD`), 13-digit epoch milliseconds or an RFC 3339 time")]
    Malformed,
    /// It has the form of a date, but the calendar has no such day.
    #[error("not a day of the calendar")]
    NoSuchDay,
}

/// Reads an absolute edge: `YYYY-MM-DD` is 00:00 UTC; 13 digits are epoch milliseconds; RFC 3339.
pub fn parse_edge(text: &str) -> Result<DateTime<Utc>, EdgeError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.len() == 13 {
        return text
            .parse()
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .ok_or(EdgeError::Malformed);
    }
    if is_date(text) {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| EdgeError::NoSuchDay)?;
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    // chrono alone would take a blank for the `T`, and so would take two values on one line.
    DateTime::parse_from_rfc3339(text)
        .ok()
        .filter(|_| text.contains(['T', 't']))
        .map(|at| at.to_utc())
        .ok_or(EdgeError::Malformed)
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Writes a time as the original's log lines do: `02/19/2018 13:30:14`, in UTC.
pub fn format_java(at: DateTime<Utc>) -> String {
    at.format("%m/%d/%Y %H:%M:%S").to_string()
}

/// Writes a time for machines: RFC 3339, to the millisecond.
pub fn format_rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Serialises a time as [`format_rfc3339`] writes it.
pub fn serialize_time<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_rfc3339(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        parse_edge(text).expect(text)
    }

    fn millis(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(ms).unwrap()
    }

    #[test]
    fn shards_are_those_of_the_published_log() {
        let window = BackupWindow { from: millis(1519047014000), to: at("2018-02-22T16:24:58Z") };
        let shards = window.shards(TimeDelta::days(1));
        assert_eq!(shards.len(), 4);
        let lines: Vec<_> = shards
            .map(|shard| {
                let (from, to) = (format_java(shard.from), format_java(shard.to));
                format!("{}/{} {from} to {to}", shard.index, shard.count)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "0/4 02/19/2018 13:30:14 to 02/20/2018 13:30:14",
                "1/4 02/20/2018 13:30:14 to 02/21/2018 13:30:14",
                "2/4 02/21/2018 13:30:14 to 02/22/2018 13:30:14",
                "3/4 02/22/2018 13:30:14 to 02/22/2018 16:24:58",
            ]
        );
    }

    #[test]
    fn shards_cover_the_window_without_gap_or_overlap() {
        for (length_ms, step_ms, count) in [
            (0, 10, 0),
            (-5, 10, 0),
            (1, 10, 1),
            (10, 10, 1),
            (11, 10, 2),
            (19, 10, 2),
            (20, 10, 2),
            (7, 0, 1),
            (7, -3, 1),
            (0, 0, 0),
        ] {
            let window = BackupWindow { from: millis(1_000), to: millis(1_000 + length_ms) };
            assert_eq!(window.is_empty(), count == 0, "{length_ms}");
            let shards: Vec<_> = window.shards(TimeDelta::milliseconds(step_ms)).collect();
            assert_eq!(shards.len(), count, "{length_ms} by {step_ms}");
            let mut from = window.from;
            for shard in &shards {
                assert_eq!(shard.from, from);
                assert!(window.contains(shard.from) && !window.contains(window.to));
                from = shard.to;
            }
            assert!(count == 0 || from == window.to, "{length_ms} by {step_ms}");
        }
    }

    #[test]
    fn the_number_of_shards_is_right_for_the_longest_window() {
        let longest = BackupWindow { from: DateTime::<Utc>::MIN_UTC, to: DateTime::<Utc>::MAX_UTC };
        let seconds = (longest.to - longest.from).num_seconds() + 1;
        let mut shards = longest.shards(TimeDelta::seconds(1));
        assert_eq!(shards.len(), usize::try_from(seconds).unwrap());
        let first = shards.next().unwrap();
        assert_eq!(
            (first.to - first.from, shards.len()),
            (TimeDelta::seconds(1), usize::try_from(seconds - 1).unwrap())
        );
        assert_eq!(longest.shards(TimeDelta::MAX).next().unwrap().to, longest.to);
    }

    #[test]
    fn an_age_is_a_whole_number_or_an_iso_8601_duration() {
        let seconds = |s| Ok(Age { months: 0, exact: TimeDelta::seconds(s) });
        for (text, age) in [
            ("0", seconds(0)),
            ("2", seconds(172_800)),
            ("007", seconds(7 * 86_400)),
            ("PT30M", seconds(1_800)),
            ("P30D", seconds(30 * 86_400)),
            ("PT0S", seconds(0)),
            ("P1DT2H3M4S", seconds(93_784)),
            ("P16777215D", seconds(16_777_215 * 86_400)),
            ("P16777216D", Err(AgeError::Inexact)),
            ("PT31536001S", Err(AgeError::Inexact)),
            ("P1M", Ok(Age { months: 1, exact: TimeDelta::zero() })),
            ("P1Y2DT4H30M", Ok(Age { months: 12, exact: TimeDelta::minutes(2 * 1440 + 270) })),
            ("P6MT12H", Ok(Age { months: 6, exact: TimeDelta::hours(12) })),
            ("99999999999999999999", Err(AgeError::TooLong)),
            ("99999999999999999", Err(AgeError::TooLong)),
            ("P999999999Y", Err(AgeError::Inexact)),
            ("PT9223372036854775807S", Err(AgeError::Inexact)),
        ] {
            assert_eq!(parse_age(text, Unit::Days), age, "{text}");
        }
        assert_eq!(parse_age("6", Unit::Hours), seconds(6 * 3_600));
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "1.5",
            "1d",
            "30 days",
            "P",
            "PT",
            "P1DT",
            "P1",
            "PD",
            "P1H",
            "PT1D",
            "P1W",
            "P1.5D",
            "P0,5D",
            "P-1D",
            "-P1D",
            "P+1D",
            "P1e3D",
            "PTinfS",
            "p1d",
            "P1d",
            "P1D1Y",
            "PT1S1H",
            "P1M1M",
            "P1DT1M1M",
            "P1D ",
            "P 1D",
            "P1DT1HT1M",
            "٣",
            "P٣D",
        ] {
            assert_eq!(parse_age(text, Unit::Days), Err(AgeError::Malformed(Unit::Days)), "{text}");
        }
        let told = parse_age("x", Unit::Hours).unwrap_err().to_string();
        assert_eq!(told, "not a number of hours or an ISO 8601 duration");
    }

    #[test]
    fn months_are_calendar_steps_and_days_are_exact() {
        for (age, now, before) in [
            ("P1M", "2023-03-31T10:00:00Z", "2023-02-28T10:00:00Z"),
            ("P1M", "2024-03-31T10:00:00Z", "2024-02-29T10:00:00Z"),
            ("P1Y", "2024-02-29T00:00:00Z", "2023-02-28T00:00:00Z"),
            ("P1M1D", "2024-03-31T10:00:00Z", "2024-02-28T10:00:00Z"),
            ("2", "2024-03-01T10:00:00Z", "2024-02-28T10:00:00Z"),
            ("PT30M", "2024-01-01T00:00:00Z", "2023-12-31T23:30:00Z"),
            ("0", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
            ("P100Y", "2024-01-01T00:00:00Z", "1970-01-01"),
            ("99999999", "2024-01-01T00:00:00Z", "1970-01-01"),
            ("P16000000Y", "2024-01-01T00:00:00Z", "1970-01-01"),
        ] {
            assert_eq!(parse_age(age, Unit::Days).unwrap().before(at(now)), at(before), "{age}");
        }
    }

    #[test]
    fn an_edge_is_a_date_epoch_milliseconds_or_rfc_3339() {
        for (text, ms) in [
            ("2015-07-31", 1438300800000),
            ("1438300800000", 1438300800000),
            ("2024-02-29", 1709164800000),
            ("2018-01-02T03:04:05Z", 1514862245000),
            ("2018-01-02T03:04:05.678+01:00", 1514858645678),
        ] {
            assert_eq!(parse_edge(text), Ok(millis(ms)), "{text}");
        }
        for text in [
            "",
            "2018",
            "2018-1-2",
            "20180102",
            "2018/01/02",
            "02.01.2018",
            "2018-01-02 ",
            "+2018-01-0",
            "143830080000",
            "14383008000000",
            "-143830080000",
            "2018-01-02T03:04:05",
            "today",
            "2018-01-02 03:04:05Z",
            "１438300800",
        ] {
            assert_eq!(parse_edge(text), Err(EdgeError::Malformed), "{text}");
        }
        for text in ["2023-02-29", "2018-13-01", "2018-00-10", "2018-04-31"] {
            assert_eq!(parse_edge(text), Err(EdgeError::NoSuchDay), "{text}");
        }
    }
}
