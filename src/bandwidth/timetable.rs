//! Rates, and the times of the week at which they begin to count.
//!
//! Given a text such as `20M` or `08:00,5M 19:00,off`, gives what it means, or what is wrong with it;
//! given the time on the wall, the rate that counts, and for how long.
//!
//! **Invariant:** pure. A text that could be meant in two ways, such as a number without a unit or
//! bits, is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{Datelike, NaiveDateTime, NaiveTime, Timelike, Weekday};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

const SUCH: &str = "write bytes a second, such as `20M`, `1.5M` or `500K`, or `off`";
const SUCH_TABLE: &str = "write such as `08:00,5M 19:00,off` or `Mon-Fri-08:00,5M 19:00,off`";
const NO_ENTRY: &str = "no time and rate with `,` between";

/// A number of bytes a second, above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// Below it, what comes over one connection alone counts as broken.
    const LEAST: f64 = KIB;
    const MOST: f64 = 1000.0 * GIB;

    /// Gives the number.
    pub fn bytes_a_second(self) -> u64 {
        self.0
    }
}

/// As it would be typed, to two decimals.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&typed(self.0 as f64))
    }
}

/// Writes bytes as they would be typed; never more than they are.
fn typed(bytes: f64) -> String {
    let units = [("G", GIB), ("M", MIB), ("K", KIB)];
    let (letter, unit) = units.into_iter().find(|(_, unit)| bytes >= *unit).unwrap_or(("K", KIB));
    let number = format!("{:.2}", (bytes / unit * 100.0).floor() / 100.0);
    format!("{}{letter}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// What is wrong with a bandwidth, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadBandwidth {
    what: String,
    /// What to write instead.
    pub hint: String,
}

fn bad(what: impl Into<String>, hint: impl Into<String>) -> BadBandwidth {
    BadBandwidth { what: what.into(), hint: hint.into() }
}

/// Which rate counts at which time of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// By the minute of the week, from Monday on, at which each begins to count; never empty.
    entries: BTreeMap<u32, Option<Rate>>,
}

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

impl Timetable {
    /// Reads a rate or a timetable; none if there is no limit at any time.
    pub fn parse(text: &str) -> Result<Option<Timetable>, BadBandwidth> {
        let table = if text.contains([',', ':']) {
            timetable(text)?
        } else {
            Timetable { entries: BTreeMap::from([(0, rate(text.trim())?)]) }
        };
        let has_limit = table.entries.values().any(Option::is_some);
        Ok(has_limit.then_some(table))
    }

    /// The rate that counts at all times, if it is the same one.
    pub fn only_rate(&self) -> Option<Rate> {
        let mut rates = self.entries.values();
        let first = rates.next().copied().flatten();
        first.filter(|_| rates.all(|other| *other == first))
    }

    /// The rate that counts at a time, and how long it will.
    ///
    /// Before the first entry of the week the last one counts. The time is what a clock on the wall
    /// shows, so an hour that comes twice has its entries twice, and one that is left out is over.
    pub fn at(&self, wall: NaiveDateTime) -> (Option<Rate>, Duration) {
        let minute = wall.weekday().num_days_from_monday() * DAY + wall.hour() * 60 + wall.minute();
        let before = self.entries.range(..=minute).next_back();
        let rate = before.or_else(|| self.entries.last_key_value());
        let later = self.entries.range(minute + 1..).next().map(|(next, _)| *next);
        let first = self.entries.first_key_value().map_or(minute, |(first, _)| *first);
        let minutes = later.unwrap_or(first + WEEK) - minute;
        // A second that is put in counts as the one before.
        let nanos = u64::from(wall.nanosecond()).min(999_999_999);
        let gone = Duration::from_secs(wall.second().into()) + Duration::from_nanos(nanos);
        (rate.and_then(|(_, rate)| *rate), Duration::from_secs(u64::from(minutes) * 60) - gone)
    }
}

fn timetable(text: &str) -> Result<Timetable, BadBandwidth> {
    // Whether an entry names its days: then it counts before one that does not.
    let mut found: BTreeMap<u32, (bool, Option<Rate>)> = BTreeMap::new();
    for entry in text.split([' ', '\t', ';']).filter(|entry| !entry.is_empty()) {
        let in_entry = |BadBandwidth { what, hint }| bad(format!("{what} in `{entry}`"), hint);
        let Entry { names_days, minutes, rate } = Entry::parse(entry).map_err(in_entry)?;
        for minute in minutes {
            match found.get(&minute) {
                Some((named, _)) if *named == names_days => {
                    return Err(in_entry(bad("a time that stands twice", SUCH_TABLE)));
                }
                Some((true, _)) => {}
                _ => drop(found.insert(minute, (names_days, rate))),
            }
        }
    }
    if found.is_empty() {
        return Err(bad(NO_ENTRY, SUCH_TABLE));
    }
    let entries = found.into_iter().map(|(minute, (_, rate))| (minute, rate)).collect();
    Ok(Timetable { entries })
}

struct Entry {
    names_days: bool,
    minutes: Vec<u32>,
    rate: Option<Rate>,
}

impl Entry {
    fn parse(text: &str) -> Result<Entry, BadBandwidth> {
        let (when, what) = text.split_once(',').ok_or_else(|| bad(NO_ENTRY, SUCH_TABLE))?;
        let (days, time) = match when.rsplit_once('-') {
            Some((days, time)) => (Some(days), time),
            None => (None, when),
        };
        let minute = minute_of_day(time)?;
        let minutes = weekdays(days)?.into_iter().map(|day| day * DAY + minute).collect();
        Ok(Entry { names_days: days.is_some(), minutes, rate: rate(what)? })
    }
}

fn minute_of_day(text: &str) -> Result<u32, BadBandwidth> {
    let time = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| text.len() == 5);
    let time = time.ok_or_else(|| bad("no time of the day from 00:00 to 23:59", SUCH_TABLE))?;
    Ok(time.hour() * 60 + time.minute())
}

/// Reads a day or two with all between; none is every day.
fn weekdays(text: Option<&str>) -> Result<Vec<u32>, BadBandwidth> {
    let Some(text) = text else { return Ok((0..7).collect()) };
    let day = |text: &str| match text.parse::<Weekday>() {
        Ok(day) => Ok(day.num_days_from_monday()),
        Err(_) => Err(bad("no day of the week", SUCH_TABLE)),
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (day(from)?, day(to)?);
    let days = if to < from { to + 7 - from } else { to - from };
    Ok((from..=from + days).map(|day| day % 7).collect())
}

fn rate(text: &str) -> Result<Option<Rate>, BadBandwidth> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    // `parse` alone would take `.5` and `5.`, which are slips.
    let is_number = !digits.starts_with('.') && !digits.ends_with('.');
    let number = digits.parse::<f64>().ok().filter(|_| is_number);
    let number = number.ok_or_else(|| bad("no rate", SUCH))?;
    if number == 0.0 {
        return Err(bad("not above 0", "write `off` for no limit, and stop the run for no media"));
    }
    let bytes = match unit.to_ascii_uppercase().as_str() {
        "K" => number * KIB,
        "M" => number * MIB,
        "G" => number * GIB,
        "" => {
            let hint = format!("write `{digits}K`, `{digits}M` or `{digits}G`: bytes a second");
            return Err(bad("a number without a unit", hint));
        }
        _ => return Err(other_unit(digits, number, unit)),
    };
    if !(Rate::LEAST..=Rate::MOST).contains(&bytes) {
        return Err(bad("not from `1K` to `1000G`, bytes a second", SUCH));
    }
    Ok(Some(Rate(bytes as u64)))
}

/// Guesses what was meant by a unit that is none here.
fn other_unit(digits: &str, number: f64, unit: &str) -> BadBandwidth {
    let lower = unit.trim_start().to_ascii_lowercase();
    let unknown = |hint: &str| bad("a unit that is not known", hint);
    let Some(letter) = lower.chars().next() else { return unknown(SUCH) };
    let (scale, rest) = match letter {
        'k' => (1e3, &lower[1..]),
        'm' => (1e6, &lower[1..]),
        'g' => (1e9, &lower[1..]),
        _ => (1.0, lower.as_str()),
    };
    let of_bits = ["bit", "bits", "bit/s", "bits/s", "bps", "b/s", "b"];
    // `MB` is often bytes, and `Mb` bits.
    let has_large_b = unit.contains('B');
    if of_bits.contains(&rest) && !has_large_b {
        let hint = format!("write `{}`, which is as much", typed(number * scale / 8.0));
        return bad("bits, and it is bytes that are counted", hint);
    }
    if scale > 1.0 && ["", "b", "i", "ib", "b/s", "ib/s", "/s", "bps"].contains(&rest) {
        return unknown(&format!("write `{digits}{}`", letter.to_ascii_uppercase()));
    }
    unknown(SUCH)
}
