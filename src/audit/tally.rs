//! An audit in numbers: by day, by share, by target.
//!
//! **Invariant:** every recording counts once for its day and once for its share, so both add up to
//! the same.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Index};

use chrono::{DateTime, NaiveDate, Utc};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::finding::State;

/// Recordings by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; State::ALL.len()]);

/// Everything in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// By the day on which they began, in UTC; days without recordings are left out.
    pub days: BTreeMap<NaiveDate, Counts>,
    /// By the instance whose share they are; those without recordings are left out.
    pub instances: BTreeMap<u32, Counts>,
    /// How many of the recordings each target has something of, in the order of the ledgers.
    pub targets: Vec<u64>,
    /// Records that cannot be understood.
    pub rejected: u64,
    /// Parts of the period that could not be listed.
    pub unlisted: u64,
}

impl Counts {
    /// How many there are in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many are held, whatever else is known of them.
    pub fn held(&self) -> u64 {
        State::ALL.into_iter().filter(|state| state.is_held()).map(|state| self[state]).sum()
    }

    /// Whether none is unsettled.
    pub fn is_complete(&self) -> bool {
        State::ALL.into_iter().all(|state| state.is_settled() || self[state] == 0)
    }
}

impl Index<State> for Counts {
    type Output = u64;

    fn index(&self, state: State) -> &u64 {
        &self.0[state as usize]
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(State::ALL.len()))?;
        for state in State::ALL {
            map.serialize_entry(state.name(), &self[state])?;
        }
        map.end()
    }
}

impl Tally {
    /// Counts a recording; one that was counted before in another state moves.
    pub(super) fn count(
        &mut self,
        started_at: DateTime<Utc>,
        instance: u32,
        state: State,
        before: Option<State>,
    ) {
        let day = self.days.entry(started_at.date_naive()).or_default();
        for counts in [day, self.instances.entry(instance).or_default()] {
            counts.0[state as usize] += 1;
            if let Some(before) = before {
                counts.0[before as usize] -= 1;
            }
        }
    }

    /// All recordings.
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.days.values().for_each(|counts| totals += *counts);
        totals
    }

    /// Whether all there is was listed, and is held, waited for or accepted.
    pub fn is_complete(&self) -> bool {
        self.rejected == 0 && self.unlisted == 0 && self.totals().is_complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(states: &[State]) -> Tally {
        let mut tally = Tally::default();
        for (n, state) in states.iter().enumerate() {
            let at = DateTime::from_timestamp(n as i64 * 86_000, 0).expect("in range");
            tally.count(at, n as u32 % 2, *state, None);
        }
        tally
    }

    #[test]
    fn days_and_shares_add_up_to_the_same() {
        let tally = tally(&[State::ALL, State::ALL].concat());
        let mut shares = Counts::default();
        tally.instances.values().for_each(|counts| shares += *counts);
        assert_eq!(tally.totals(), shares);
        assert_eq!((shares.total(), shares.held()), (14, 6));
        assert_eq!(tally.days.len(), 13);
        assert!(State::ALL.iter().all(|state| shares[*state] == 2));
    }

    #[test]
    fn what_turns_out_worse_moves() {
        let mut tally = tally(&[State::Held]);
        tally.count(DateTime::UNIX_EPOCH, 0, State::Failed, Some(State::Held));
        let counts = tally.totals();
        assert_eq!((counts.total(), counts[State::Failed]), (1, 1));
    }

    #[test]
    fn anything_unsettled_makes_it_incomplete() {
        use State::*;
        for (states, is_complete) in [
            (&[][..], true),
            (&[Held, Hidden, Waiting, Accepted], true),
            (&[Held, Gone], false),
            (&[Held, Missing], false),
            (&[Held, Failed], false),
        ] {
            assert_eq!(tally(states).is_complete(), is_complete, "{states:?}");
        }
        assert!(!Tally { rejected: 1, ..tally(&[Held]) }.is_complete());
        assert!(!Tally { unlisted: 1, ..tally(&[Held]) }.is_complete());
    }
}
