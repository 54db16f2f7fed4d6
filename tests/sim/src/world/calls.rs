//! When calls come in, how long they last, and what they are called.
//!
//! Given a seed and a number, gives starts, durations and ids. **Invariant**: pure; equal inputs give equal answers.

use super::spec::WorldSpec;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How busy each hour of a working day is, in UTC.
const BUSY: [u64; 24] =
    [2, 1, 1, 1, 1, 2, 5, 20, 55, 90, 100, 95, 70, 80, 95, 90, 80, 60, 35, 20, 12, 8, 5, 3];

/// The digits of an id.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// Mixes two numbers into one that looks random.
pub fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of numbers that follows from a seed.
#[derive(Clone, Debug)]
pub struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    /// Starts the stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, thrown: 0 }
    }

    /// Gives the next number.
    pub fn throw(&mut self) -> u64 {
        self.thrown += 1;
        mix(self.seed, self.thrown)
    }

    /// Gives the next number below `n`, which is at least 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.throw() % n
    }

    /// Gives the next number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.throw() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Spreads the recordings of a world over its hours; the starts are ascending.
pub fn starts(spec: &WorldSpec) -> Vec<i64> {
    let hours = hours(spec);
    let total: u128 = hours.iter().map(|hour| u128::from(hour.weight)).sum();
    let mut starts = Vec::with_capacity(spec.recordings);
    let mut dice = Dice::new(mix(spec.seed, 0xCA11));
    let mut passed: u128 = 0;
    for hour in &hours {
        passed += u128::from(hour.weight);
        // Rounding the running sum, not each hour, makes the parts add up to the whole.
        let due = (spec.recordings as u128 * passed / total.max(1)) as usize;
        let first = starts.len();
        while starts.len() < due {
            starts.push(hour.from_ms + dice.below(hour.length_ms) as i64);
        }
        starts[first..].sort_unstable();
    }
    for i in 1..starts.len() {
        if dice.unit() < spec.burst_share {
            starts[i] = starts[i - 1];
        }
    }
    starts
}

/// Gives the length of a call in milliseconds: 10 s to 20 min, each doubling equally likely.
pub fn duration_ms(dice: &mut Dice) -> i64 {
    let least = 10_000 << dice.below(7);
    (least + dice.below(least)).min(1_200_000) as i64
}

/// Gives the id of the recording with this number; [`number_of`] reads the number back.
pub fn recording_id(seed: u64, number: u32) -> String {
    let mut dice = Dice::new(mix(seed ^ 0x1D, u64::from(number)));
    let mut id = String::with_capacity(32);
    id.push_str("01");
    for _ in 0..20 {
        id.push(DIGITS[dice.below(32) as usize].into());
    }
    id.push_str("LAES");
    for place in (0..6).rev() {
        id.push(DIGITS[(number >> (5 * place)) as usize % 32].into());
    }
    id
}

/// Reads the number out of an id that [`recording_id`] may have made.
pub fn number_of(id: &str) -> Option<u32> {
    let digits = id.as_bytes().get(26..32)?;
    digits.iter().try_fold(0u32, |number, digit| {
        let value = DIGITS.iter().position(|d| d == digit)?;
        Some(number * 32 + value as u32)
    })
}

struct Hour {
    from_ms: i64,
    length_ms: u64,
    weight: u64,
}

fn hours(spec: &WorldSpec) -> Vec<Hour> {
    let mut hours = Vec::new();
    let mut from_ms = spec.from_ms;
    while from_ms < spec.to_ms {
        let end = (from_ms.div_euclid(HOUR_MS) + 1) * HOUR_MS;
        let length_ms = (end.min(spec.to_ms) - from_ms) as u64;
        let hour = from_ms.div_euclid(HOUR_MS).rem_euclid(24) as usize;
        // The epoch was a Thursday, so days 2 and 3 of each week from there are the weekend.
        let weekend = matches!(from_ms.div_euclid(DAY_MS).rem_euclid(7), 2 | 3);
        let weight = BUSY[hour] * length_ms / if weekend { 5 } else { 1 };
        hours.push(Hour { from_ms, length_ms, weight: weight.max(1) });
        from_ms = end;
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_ascending_within_the_world_and_busier_by_day() {
        let spec = WorldSpec { recordings: 5_000, ..WorldSpec::default() };
        let starts = starts(&spec);
        assert_eq!(starts.len(), 5_000);
        assert!(starts.is_sorted());
        assert!(starts.iter().all(|&at| at >= spec.from_ms && at < spec.to_ms));
        let within = |hour: i64| {
            starts.iter().filter(|&&at| at.rem_euclid(DAY_MS) / HOUR_MS == hour).count()
        };
        assert!(within(10) > 20 * within(3));

        let to_ms = spec.from_ms + 7 * DAY_MS;
        let week = super::starts(&WorldSpec { to_ms, ..spec.clone() });
        let on = |day: i64| week.iter().filter(|&&at| (at - spec.from_ms) / DAY_MS == day).count();
        assert!(on(0) > 4 * on(5) && on(4) > 4 * on(6), "the world begins on a Monday");
    }

    #[test]
    fn ids_have_32_characters_and_carry_their_number() {
        for number in [0, 1, 31, 32, 12_345, 999_999_999] {
            let id = recording_id(7, number);
            assert_eq!(id.len(), 32, "{id}");
            assert_eq!(number_of(&id), Some(number));
        }
        assert_eq!(number_of("short"), None);
    }
}
