//! When a job runs: at a time of the day, and from then on at equal distances around the clock.
//!
//! **Invariant**: what can be read here, each scheduler can do exactly.

use std::str::FromStr;

const DAY: u32 = 24 * 60;

/// The minutes of a day at which a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    every: u32,
    at: u32,
}

/// Why a text says no times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EveryError {
    /// It is no distance that a day or an hour can be cut into.
    #[error(
        "write minutes that an hour, or hours that a day, can be cut into: 15m, 30m, 1h, 6h, 24h"
    )]
    Every,
    /// It is no time of the day.
    #[error("write a time of the day, such as 04:30")]
    At,
}

/// A distance, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(u32);

/// A minute of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(u32);

impl FromStr for Every {
    type Err = EveryError;

    fn from_str(text: &str) -> Result<Self, EveryError> {
        let (number, unit) =
            text.split_at_checked(text.len().saturating_sub(1)).unwrap_or_default();
        let number = whole(number).ok_or(EveryError::Every)?;
        match unit {
            "m" if number > 0 && 60 % number == 0 => Ok(Every(number)),
            "h" if number > 0 && 24 % number == 0 => Ok(Every(number * 60)),
            _ => Err(EveryError::Every),
        }
    }
}

impl FromStr for At {
    type Err = EveryError;

    fn from_str(text: &str) -> Result<Self, EveryError> {
        let (hours, minutes) = text.split_once(':').ok_or(EveryError::At)?;
        match (whole(hours), whole(minutes)) {
            (Some(hours @ 0..24), Some(minutes @ 0..60)) if minutes_are_two(text) => {
                Ok(At(hours * 60 + minutes))
            }
            _ => Err(EveryError::At),
        }
    }
}

fn minutes_are_two(text: &str) -> bool {
    text.rsplit(':').next().is_some_and(|minutes| minutes.len() == 2)
}

fn whole(text: &str) -> Option<u32> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.parse().ok()).flatten()
}

impl Times {
    /// Begins at a time of the day and goes on at a distance, which a day is cut into.
    pub fn new(Every(every): Every, At(at): At) -> Times {
        Times { every, at }
    }

    /// How far apart the runs are, in minutes.
    pub(super) fn minutes_apart(&self) -> u32 {
        self.every
    }

    /// The first minute of the day that is one of its own.
    pub(super) fn first(&self) -> (u32, u32) {
        let first = self.at % self.every;
        (first / 60, first % 60)
    }

    /// The minutes of an hour and the hours of a day, in order; none: all of them.
    pub(super) fn minutes_and_hours(&self) -> (Vec<u32>, Vec<u32>) {
        let first = self.at % self.every;
        match self.every {
            1 => (Vec::new(), Vec::new()),
            every @ ..60 => ((first..60).step_by(every as usize).collect(), Vec::new()),
            60 => (vec![first], Vec::new()),
            every => {
                let hours = (first..DAY).step_by(every as usize).map(|minute| minute / 60);
                (vec![first % 60], hours.collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spread_over_the_day_from_the_one_given() {
        for (every, at, minutes, hours) in [
            ("6h", "04:30", &[30][..], &[4, 10, 16, 22][..]),
            ("6h", "22:05", &[5], &[4, 10, 16, 22]),
            ("24h", "0:00", &[0], &[0]),
            ("12h", "13:59", &[59], &[1, 13]),
            ("1h", "04:30", &[30], &[]),
            ("60m", "04:30", &[30], &[]),
            ("20m", "04:30", &[10, 30, 50], &[]),
            ("1m", "04:30", &[], &[]),
        ] {
            let times = Times::new(every.parse().unwrap(), at.parse().unwrap());
            assert_eq!(
                times.minutes_and_hours(),
                (minutes.to_vec(), hours.to_vec()),
                "{every} {at}"
            );
        }
    }

    #[test]
    fn what_a_day_cannot_be_cut_into_is_refused() {
        for text in
            ["", "m", "h", "0m", "7m", "90m", "120m", "0h", "5h", "48h", "6", "6d", "-1h", "ü"]
        {
            assert_eq!(text.parse::<Every>(), Err(EveryError::Every), "{text}");
        }
        for text in ["", ":", "24:00", "4", "04:60", "04:3", "+4:30", "4:30:00", "-1:00", "04:300"]
        {
            assert_eq!(text.parse::<At>(), Err(EveryError::At), "{text}");
        }
    }
}
