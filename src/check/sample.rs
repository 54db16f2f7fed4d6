//! A random part of the media files, and what it says of all.
//!
//! **Invariant**: pure. Exactly as many are taken as were asked for, each as likely as any other,
//! and the same ones from the same seed.

/// How much of the media files is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// A share of them, in percent.
    Percent(f64),
    /// So many.
    Count(u64),
}

/// What was taken for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// How many media files.
    pub taken: u64,
    /// Of how many.
    pub all: u64,
    /// By which seed.
    pub seed: u64,
}

impl Sample {
    /// Reads what was typed: `5%`, `0.1%` or `1000`.
    pub fn parse(text: &str) -> Result<Sample, String> {
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.');
        let sample = match text.strip_suffix('%') {
            Some(percent) if digits(percent) => percent
                .parse()
                .ok()
                .filter(|percent| *percent > 0.0 && *percent <= 100.0)
                .map(Sample::Percent),
            _ => text.parse().ok().filter(|count| *count > 0).map(Sample::Count),
        };
        sample
            .ok_or_else(|| "write a share such as `5%` or `0.1%`, or a number of files".to_owned())
    }

    /// Gives how many that are of so many files.
    pub fn of(self, files: u64) -> u64 {
        match self {
            Sample::Percent(percent) => ((files as f64 * percent / 100.0).ceil() as u64).min(files),
            Sample::Count(count) => count.min(files),
        }
    }
}

/// Draws a sample from files that come one after the other.
#[derive(Debug)]
pub(super) struct Sampler {
    random: fastrand::Rng,
    /// How many are still to be taken.
    wanted: u64,
    /// How many are still to come.
    left: u64,
    sampled: Sampled,
}

impl Sampler {
    /// Begins to take `taken` of `all`.
    pub(super) fn of(taken: u64, all: u64, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Sampler { random, wanted: taken, left: all, sampled: Sampled { taken, all, seed } }
    }

    /// Tells whether the next one is taken.
    pub(super) fn takes_next(&mut self) -> bool {
        // More may come than were counted, from a backup that is at work.
        if self.left == 0 {
            return false;
        }
        let is_taken = self.random.u64(0..self.left) < self.wanted;
        self.left -= 1;
        self.wanted -= u64::from(is_taken);
        is_taken
    }

    pub(super) fn sampled(&self) -> Sampled {
        self.sampled
    }
}

impl Sampled {
    /// Gives the chance that at least one damaged file was among those taken, if so many are
    /// damaged: one minus the chance that all taken came from the others.
    pub fn chance_to_meet(&self, damaged: u64) -> f64 {
        let Sampled { taken, all, .. } = *self;
        if damaged.min(all) + taken > all {
            return if damaged == 0 || taken == 0 { 0.0 } else { 1.0 };
        }
        // Each damaged one in turn is among those that were not taken.
        let mut missed = 1.0;
        for met in 0..damaged {
            missed *= (all - taken - met) as f64 / (all - met) as f64;
            if missed < 1e-12 {
                break;
            }
        }
        1.0 - missed
    }

    /// Says what the sample can tell.
    pub fn sentence(&self) -> String {
        let Sampled { taken, all, seed } = *self;
        let (taken_text, all_text) = (grouped(taken.into()), grouped(all.into()));
        let begin = format!("Sampled {taken_text} of {all_text} media files (seed {seed})");
        if all == 0 {
            return begin;
        }
        let few = if all < 100 { 1 } else { 10 };
        let many = all.div_ceil(100);
        let were = if few == 1 { "was" } else { "were" };
        let few_chance = percent(self.chance_to_meet(few));
        let first = format!("if {few} {were} damaged, this would have met one with {few_chance}");
        if many <= few {
            return format!("{begin}: {first}");
        }
        let many_chance = percent(self.chance_to_meet(many));
        format!("{begin}: {first}; if 1 % were damaged, with {many_chance}")
    }
}

/// Writes a chance so that certainty is claimed only where it is.
fn percent(chance: f64) -> String {
    match chance * 100.0 {
        percent if chance >= 1.0 || percent <= 0.0 => format!("{percent:.0} %"),
        percent if percent > 99.9 => "> 99.9 %".to_owned(),
        percent if percent < 0.1 => "< 0.1 %".to_owned(),
        percent if !(9.95..99.0).contains(&percent) => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// Writes a number in groups of three digits, such as `1,234,567`.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(taken: u64, all: u64) -> Sampled {
        Sampled { taken, all, seed: 7 }
    }

    /// The same chance by counting all ways to take so many.
    fn by_counting(taken: u64, all: u64, damaged: u64) -> f64 {
        let (mut ways, mut meets) = (0, 0);
        for taken_ones in (0_u64..1 << all).filter(|set| u64::from(set.count_ones()) == taken) {
            ways += 1;
            meets += u32::from(taken_ones & ((1 << damaged) - 1) != 0);
        }
        f64::from(meets) / f64::from(ways)
    }

    #[test]
    fn the_chance_to_meet_damage_is_that_of_counting_all_ways() {
        for all in 1..=10 {
            for taken in 0..=all {
                for damaged in 0..=all {
                    let (told, counted) = (
                        sampled(taken, all).chance_to_meet(damaged),
                        by_counting(taken, all, damaged),
                    );
                    assert!((told - counted).abs() < 1e-9, "{taken} {all} {damaged}: {told}");
                }
            }
        }
        assert!((sampled(5_000, 100_000).chance_to_meet(10) - 0.401_3).abs() < 0.000_1);
    }

    #[test]
    fn the_sentence_claims_certainty_only_where_it_is() {
        for (taken, all, sentence) in [
            (
                5_000,
                100_000,
                "Sampled 5,000 of 100,000 media files (seed 7): if 10 were damaged, this would \
                 have met one with 40 %; if 1 % were damaged, with > 99.9 %",
            ),
            (
                1,
                1_000_000,
                "Sampled 1 of 1,000,000 media files (seed 7): if 10 were damaged, this would have \
                 met one with < 0.1 %; if 1 % were damaged, with 1.0 %",
            ),
            (
                100,
                100,
                "Sampled 100 of 100 media files (seed 7): if 10 were damaged, this would have met \
                 one with 100 %",
            ),
            (
                5,
                50,
                "Sampled 5 of 50 media files (seed 7): if 1 was damaged, this would have met one \
                 with 10 %",
            ),
            (0, 0, "Sampled 0 of 0 media files (seed 7)"),
        ] {
            assert_eq!(sampled(taken, all).sentence(), sentence);
        }
    }

    #[test]
    fn shares_and_numbers_are_read_and_nothing_else() {
        for (text, files, expected) in [
            ("5%", 100_000, Some(5_000)),
            ("0.1%", 1_001, Some(2)),
            ("100%", 7, Some(7)),
            ("1000", 100_000, Some(1_000)),
            ("1000", 10, Some(10)),
            ("0%", 1, None),
            ("101%", 1, None),
            ("-1%", 1, None),
            ("nan%", 1, None),
            ("inf%", 1, None),
            ("0", 1, None),
            ("1.5", 1, None),
            ("%", 1, None),
            ("", 1, None),
        ] {
            assert_eq!(Sample::parse(text).ok().map(|one| one.of(files)), expected, "{text}");
        }
    }

    #[test]
    fn exactly_as_many_are_taken_as_were_asked_for_and_each_as_likely_as_any_other() {
        let mut taken = [0; 20];
        for seed in 0..2_000 {
            let mut sampler = Sampler::of(5, 20, seed);
            let picks: Vec<bool> = (0..25).map(|_| sampler.takes_next()).collect();
            assert_eq!(picks.iter().filter(|pick| **pick).count(), 5);
            assert!(picks[20..].iter().all(|pick| !pick));
            let mut again = Sampler::of(5, 20, seed);
            assert!(picks.iter().all(|pick| *pick == again.takes_next()), "the same from a seed");
            taken.iter_mut().zip(picks).for_each(|(count, pick)| *count += u32::from(pick));
        }
        assert!(taken.iter().all(|count| (400..600).contains(count)), "{taken:?}");
    }
}
