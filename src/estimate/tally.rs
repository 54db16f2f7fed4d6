//! What was listed, in numbers.
//!
//! Is given recordings one by one; gives sums by day and by media type, and the bit rate of each
//! type, by which sizes that the records do not give are filled in.
//!
//! **Invariant:** what is remembered grows with days and media types, the latter bounded, and never
//! with recordings.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::listed::{Listed, Medium};
use super::needs::Volume;
use super::{SCREEN_KBPS, VOICE_KBPS};

/// How many media types are told apart; their names are a server's.
const KINDS: usize = 20;

/// What the others are counted as.
const OTHERS: &str = "other types";

/// Media files of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// How many.
    pub files: u64,
    /// How many of them have a size.
    pub sized_files: u64,
    /// What these weigh.
    pub sized_bytes: u128,
    /// How long those are of which the length is known.
    pub milliseconds: u128,
    /// What those weigh that have both a size and a length.
    pub rated_bytes: u128,
    /// How long these are.
    pub rated_ms: u128,
    /// How many have a length and no size.
    pub timed_files: u64,
    /// How long these are.
    pub timed_ms: u128,
    /// How many have neither.
    pub blind_files: u64,
}

/// What is known of the media of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bits a second.
    pub bits_per_second: u128,
    /// Whether that was measured; else it is the documented one.
    pub is_measured: bool,
    /// What a file of it weighs in the mean; none where no size is known.
    pub mean_bytes: Option<u128>,
}

/// What is known by type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rates(pub BTreeMap<String, Rate>);

/// Some of the recordings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// How many.
    pub recordings: u64,
    /// What their metadata files weigh.
    pub metadata_bytes: u128,
    /// What their records weigh as they are listed.
    pub listed_bytes: u128,
    /// Their media files, by type.
    pub kinds: BTreeMap<String, Sizes>,
}

/// Everything that was listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// All shares, by the day on which recordings began, in UTC; days without any are left out.
    pub days: BTreeMap<NaiveDate, Group>,
    /// The share of this instance.
    pub share: Group,
    /// What of that share is not held yet, and a backup would fetch.
    pub needed: Group,
    /// Media files that are not wanted, of all shares.
    pub left_out: u64,
    /// Recordings that were listed where they were not asked for, which count nowhere else.
    pub outside: u64,
    /// Records that cannot be understood.
    pub rejected: u64,
    /// Parts of the period that could not be listed.
    pub unlisted: u64,
}

impl Sizes {
    fn add(&mut self, medium: &Medium) {
        self.files += 1;
        let length = medium.milliseconds.map(u128::from);
        self.milliseconds += length.unwrap_or(0);
        match (medium.bytes.map(u128::from), length) {
            (Some(bytes), length) => {
                self.sized_files += 1;
                self.sized_bytes += bytes;
                if let Some(length) = length {
                    self.rated_bytes += bytes;
                    self.rated_ms += length;
                }
            }
            (None, Some(length)) => {
                self.timed_files += 1;
                self.timed_ms += length;
            }
            (None, None) => self.blind_files += 1,
        }
    }

    fn merge(&mut self, other: &Sizes) {
        self.files += other.files;
        self.sized_files += other.sized_files;
        self.sized_bytes += other.sized_bytes;
        self.milliseconds += other.milliseconds;
        self.rated_bytes += other.rated_bytes;
        self.rated_ms += other.rated_ms;
        self.timed_files += other.timed_files;
        self.timed_ms += other.timed_ms;
        self.blind_files += other.blind_files;
    }

    fn rate(&self, kind: &str, [voice_kbps, screen_kbps]: [u64; 2]) -> Rate {
        let bits = self.rated_bytes.saturating_mul(8_000);
        let documented = if kind.starts_with("video/") { screen_kbps } else { voice_kbps };
        let measured = bits.checked_div(self.rated_ms).filter(|rate| *rate > 0);
        Rate {
            bits_per_second: measured.unwrap_or(u128::from(documented) * 1_000),
            is_measured: measured.is_some(),
            mean_bytes: self.sized_bytes.checked_div(u128::from(self.sized_files)),
        }
    }

    /// What the files without a size are taken for: their length at the rate of their type; without
    /// a length the mean of their type; nothing where no file of it has a size.
    pub fn filled_bytes(&self, rate: Option<&Rate>) -> u128 {
        let Some(rate) = rate else { return 0 };
        let timed = self.timed_ms.saturating_mul(rate.bits_per_second).div_ceil(8_000);
        let blind = u128::from(self.blind_files).saturating_mul(rate.mean_bytes.unwrap_or(0));
        timed.saturating_add(blind)
    }
}

impl Group {
    fn add(&mut self, listed: &Listed) {
        self.recordings += 1;
        self.metadata_bytes += u128::from(listed.metadata_bytes);
        self.listed_bytes += u128::from(listed.listed_bytes);
        for medium in &listed.media {
            let is_room = self.kinds.len() < KINDS || self.kinds.contains_key(&medium.kind);
            let kind = if is_room { medium.kind.as_str() } else { OTHERS };
            self.kinds.entry(kind.to_owned()).or_default().add(medium);
        }
    }

    /// Adds all of another group.
    fn merge(&mut self, other: &Group) {
        self.recordings += other.recordings;
        self.metadata_bytes += other.metadata_bytes;
        self.listed_bytes += other.listed_bytes;
        for (kind, sizes) in &other.kinds {
            let is_room = self.kinds.len() < KINDS || self.kinds.contains_key(kind);
            let kind = if is_room { kind.as_str() } else { OTHERS };
            self.kinds.entry(kind.to_owned()).or_default().merge(sizes);
        }
    }

    /// The media of all types together.
    pub fn sizes(&self) -> Sizes {
        let mut sum = Sizes::default();
        self.kinds.values().for_each(|sizes| sum.merge(sizes));
        sum
    }

    /// The bit rates of the types; where nothing could be measured, those that are given, of voice
    /// and of screens, in kbit/s.
    pub fn rates(&self, otherwise: [u64; 2]) -> Rates {
        let rate = |(kind, sizes): (&String, &Sizes)| (kind.clone(), sizes.rate(kind, otherwise));
        Rates(self.kinds.iter().map(rate).collect())
    }

    /// What the files without a size are taken for.
    pub fn filled_bytes(&self, rates: &Rates) -> u128 {
        let filled = |(kind, sizes): (&String, &Sizes)| {
            // A day may know a type that all days together count among the others.
            sizes.filled_bytes(rates.0.get(kind).or_else(|| rates.0.get(OTHERS)))
        };
        self.kinds.iter().map(filled).fold(0, u128::saturating_add)
    }

    /// The group as it is counted, with what was filled in.
    pub fn volume(&self, rates: &Rates) -> Volume {
        let sizes = self.sizes();
        Volume {
            recordings: u128::from(self.recordings),
            media_files: u128::from(sizes.files),
            media_bytes: sizes.sized_bytes.saturating_add(self.filled_bytes(rates)),
            metadata_bytes: self.metadata_bytes,
            listed_bytes: self.listed_bytes,
        }
    }
}

impl Tally {
    /// Counts a recording; `needed` is what is not held of it, nothing where all is or where it is
    /// another instance's.
    pub fn count(&mut self, listed: &Listed, is_ours: bool, needed: Option<&Listed>) {
        self.left_out += listed.left_out;
        self.days.entry(listed.started_at.date_naive()).or_default().add(listed);
        if is_ours {
            self.share.add(listed);
        }
        if let Some(needed) = needed {
            self.needed.add(needed);
        }
    }

    /// All days together.
    pub fn totals(&self) -> Group {
        let mut totals = Group::default();
        self.days.values().for_each(|day| totals.merge(day));
        totals
    }

    /// The day that weighs most.
    pub fn busiest(&self, rates: &Rates) -> Option<(NaiveDate, Volume)> {
        let days = self.days.iter().map(|(day, group)| (*day, group.volume(rates)));
        days.max_by_key(|(_, volume)| volume.media_bytes.saturating_add(volume.metadata_bytes))
    }

    /// Whether all that was asked for could be listed and understood.
    pub fn is_complete(&self) -> bool {
        self.rejected == 0 && self.unlisted == 0
    }
}

impl Rates {
    /// The documented ones, of voice and of screens, in kbit/s.
    pub const DOCUMENTED: [u64; 2] = [VOICE_KBPS, SCREEN_KBPS];
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;

    fn medium(kind: &str, bytes: Option<u64>, milliseconds: Option<u64>) -> Medium {
        Medium { id: "m".to_owned(), kind: kind.to_owned(), bytes, milliseconds }
    }

    fn on_day(day: i64, media: Vec<Medium>) -> Listed {
        Listed {
            started_at: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(day),
            media,
            left_out: 1,
            metadata_bytes: 100,
            listed_bytes: 90,
        }
    }

    #[test]
    fn sizes_that_are_missing_are_filled_in_by_the_measured_rate_of_their_type() {
        let mut group = Group::default();
        group.add(&on_day(
            0,
            vec![
                // 4,000 bytes a second, measured over two files.
                medium("audio/mp3", Some(3_000), Some(1_000)),
                medium("audio/mp3", Some(5_000), Some(1_000)),
                // A size alone counts for the mean, which is 6,000, and not for the rate.
                medium("audio/mp3", Some(10_000), None),
                medium("audio/mp3", None, Some(500)),
                medium("audio/mp3", None, None),
                // Nothing is known of these but their lengths.
                medium("video/mp4", None, Some(1_000)),
                medium("", None, Some(1_000)),
                medium("", None, None),
            ],
        ));
        let rates = group.rates(Rates::DOCUMENTED);
        let audio = rates.0["audio/mp3"];
        let measured = Rate { bits_per_second: 32_000, is_measured: true, mean_bytes: Some(6_000) };
        assert_eq!(audio, measured);
        let filled = |kind: &str| group.kinds[kind].filled_bytes(rates.0.get(kind));
        assert_eq!(filled("audio/mp3"), 2_000 + 6_000);
        assert_eq!((filled("video/mp4"), rates.0["video/mp4"].is_measured), (32_000, false));
        assert_eq!(filled(""), 4_000);
        let volume = group.volume(&rates);
        assert_eq!(volume.media_bytes, 18_000 + 8_000 + 32_000 + 4_000);
        assert_eq!((volume.media_files, volume.recordings), (8, 1));
        assert_eq!((volume.metadata_bytes, volume.listed_bytes), (100, 90));
        assert_eq!(group.sizes().blind_files, 2);
        assert_eq!(group.filled_bytes(&Rates::default()), 0);
    }

    #[test]
    fn a_rate_that_makes_no_sense_is_not_measured() {
        let mut group = Group::default();
        group.add(&on_day(0, vec![medium("audio/mp3", Some(0), Some(1_000))]));
        let rate = group.rates([7, 8]).0["audio/mp3"];
        assert_eq!((rate.bits_per_second, rate.is_measured), (7_000, false));
        assert_eq!(rate.mean_bytes, Some(0));
    }

    #[test]
    fn recordings_count_for_their_day_and_their_share_and_what_is_needed_of_them() {
        let mut tally = Tally::default();
        let all = on_day(1, vec![medium("a", Some(10), None), medium("a", Some(1), None)]);
        let part = Listed { media: all.media[..1].to_vec(), ..all.clone() };
        tally.count(&all, true, Some(&part));
        tally.count(&all, true, None);
        tally.count(&on_day(3, vec![medium("a", Some(50), None)]), false, None);
        let rates = tally.totals().rates(Rates::DOCUMENTED);
        let of = |group: &Group| (group.recordings, group.volume(&rates).media_bytes);
        assert_eq!(of(&tally.totals()), (3, 72));
        assert_eq!((of(&tally.share), of(&tally.needed)), ((2, 22), (1, 10)));
        let days: Vec<_> = tally.days.values().map(of).collect();
        assert_eq!((days, tally.left_out), (vec![(2, 22), (1, 50)], 3));
        assert!(tally.is_complete());
        for spoil in
            [(|tally: &mut Tally| tally.rejected = 1) as fn(&mut Tally), |tally| tally.unlisted = 1]
        {
            let mut tally = tally.clone();
            spoil(&mut tally);
            assert!(!tally.is_complete());
        }
    }

    #[test]
    fn the_busiest_day_is_the_one_that_weighs_most_and_not_the_one_with_most_recordings() {
        let mut tally = Tally::default();
        assert_eq!(tally.busiest(&Rates::default()), None);
        for _ in 0..5 {
            tally.count(&on_day(0, vec![medium("a", Some(10), None)]), true, None);
        }
        tally.count(&on_day(4, vec![medium("a", Some(9_000), None)]), true, None);
        let (day, volume) = tally.busiest(&Rates::default()).unwrap();
        assert_eq!((day.to_string().as_str(), volume.recordings), ("1970-01-05", 1));
    }

    #[test]
    fn a_server_that_makes_up_types_costs_no_memory() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            let media = vec![medium(&format!("x/{number}"), Some(1), None), medium("", None, None)];
            tally.count(&on_day(number % 3, media), true, None);
        }
        let totals = tally.totals();
        for group in tally.days.values().chain([&totals, &tally.share]) {
            assert!(group.kinds.len() <= KINDS + 1, "{}", group.kinds.len());
        }
        assert_eq!((totals.sizes().files, totals.sizes().sized_bytes), (2_000, 1_000));
        let rates = totals.rates(Rates::DOCUMENTED);
        assert!(tally.days.values().all(|day| day.filled_bytes(&rates) < 1_000));
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let mut group = Group::default();
        for _ in 0..9 {
            let (most, long) = (Some(u64::MAX), Some(1));
            group.add(&on_day(0, vec![medium("a", most, long), medium("a", None, long)]));
        }
        let rates = group.rates(Rates::DOCUMENTED);
        assert!(group.volume(&rates).media_bytes >= u128::from(u64::MAX) * 18);
    }
}
