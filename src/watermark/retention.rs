//! How long the cloud still keeps what is not held.
//!
//! **Invariant**: pure; what is near is decided here alone.

use chrono::{DateTime, TimeDelta, Utc};

/// What is left of the time that the cloud keeps a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// From when on there may be recordings that are not held.
    pub oldest: DateTime<Utc>,
    /// How long the cloud keeps them.
    pub period: TimeDelta,
    /// When it deletes the first of them.
    pub deadline: DateTime<Utc>,
    /// How long that is from now; less than zero where it lies back.
    pub left: TimeDelta,
}

impl Retention {
    /// Tells what is left of a period for what is as old as this.
    pub fn of(oldest: DateTime<Utc>, period: TimeDelta, now: DateTime<Utc>) -> Retention {
        let deadline = oldest.checked_add_signed(period).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Retention { oldest, period, deadline, left: deadline - now }
    }

    /// Tells whether the last quarter of the period has begun.
    pub fn is_near(&self) -> bool {
        self.left <= self.period / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_is_near_and_what_lies_back_is_too() {
        let now = DateTime::from_timestamp(1_519_047_014, 0).unwrap();
        let days = TimeDelta::days;
        for (age, left, is_near) in [
            (days(0), days(30), false),
            (days(22), days(8), false),
            (days(22) + TimeDelta::hours(12) - TimeDelta::milliseconds(1), days(7), false),
            (days(22) + TimeDelta::hours(12), days(7), true),
            (days(30), days(0), true),
            (days(40), days(-10), true),
        ] {
            let found = Retention::of(now - age, days(30), now);
            assert_eq!(found.deadline, now - age + days(30));
            assert_eq!(
                (found.left.num_days(), found.is_near()),
                (left.num_days(), is_near),
                "{age}"
            );
        }
    }
}
