//! A volume that is planned.
//!
//! Is given recordings a day and what one is like; gives the bytes of a day.
//!
//! **Invariant:** the bytes of media follow from the bit rates and the length alone, as documented;
//! the number of files changes nothing about them.

use serde::Serialize;

use super::needs::Volume;
use super::quantity::Milli;
use super::{METADATA_BOUND, SCREEN_METADATA_BOUND};

/// What a recording is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// Its mean length, in minutes.
    pub minutes: Milli,
    /// How many of a hundred have a screen recording too.
    pub screen_percent: Milli,
    /// How many voice files it has; a call that is transferred has several.
    pub voice_files: Milli,
    /// The bit rate of voice, in kbit/s.
    pub voice_kbps: u64,
    /// The bit rate of a screen recording with its voice, in kbit/s.
    pub screen_kbps: u64,
    /// What its metadata are taken for.
    pub metadata_bytes: u64,
}

/// A day, by what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Recordings.
    pub recordings: u128,
    /// How many of them have a screen recording.
    pub screen_recordings: u128,
    /// Voice files.
    pub voice_files: u128,
    /// What they weigh.
    pub voice_bytes: u128,
    /// What the screen recordings weigh, with the voice in them.
    pub screen_bytes: u128,
    /// What the metadata are taken for.
    pub metadata_bytes: u128,
    /// The most that the documents allow the metadata.
    pub metadata_bound_bytes: u128,
}

impl Planned {
    /// A day of so many recordings.
    pub fn of(recordings: u64, usual: &Usual) -> Planned {
        let recordings = u128::from(recordings);
        let screens = times(recordings, usual.screen_percent.0).div_ceil(100_000);
        Planned {
            recordings,
            screen_recordings: screens,
            voice_files: times(recordings, usual.voice_files.0).div_ceil(1_000),
            voice_bytes: media_bytes(recordings, usual.minutes, usual.voice_kbps),
            screen_bytes: media_bytes(screens, usual.minutes, usual.screen_kbps),
            metadata_bytes: times(recordings, usual.metadata_bytes),
            metadata_bound_bytes: times(recordings, METADATA_BOUND)
                .saturating_add(times(screens, SCREEN_METADATA_BOUND)),
        }
    }

    /// The day as it is counted; a metadata file is taken for as large as its listing.
    pub fn volume(&self) -> Volume {
        Volume {
            recordings: self.recordings,
            media_files: self.voice_files.saturating_add(self.screen_recordings),
            media_bytes: self.voice_bytes.saturating_add(self.screen_bytes),
            metadata_bytes: self.metadata_bytes,
            listed_bytes: self.metadata_bytes,
        }
    }

    /// The same day where the metadata are as large as the documents allow.
    pub fn at_most(&self) -> Volume {
        Volume { metadata_bytes: self.metadata_bound_bytes, ..self.volume() }
    }
}

/// A kilobit has 1,000 bits, so 32 kbit/s are 4,000 bytes a second.
fn media_bytes(recordings: u128, minutes: Milli, kbps: u64) -> u128 {
    let milliseconds = times(recordings, minutes.0).saturating_mul(60);
    times(milliseconds, kbps).saturating_mul(125).div_ceil(1_000)
}

fn times(count: u128, each: u64) -> u128 {
    count.saturating_mul(u128::from(each))
}

#[cfg(test)]
mod tests {
    use super::super::{SCREEN_KBPS, VOICE_KBPS};
    use super::*;

    fn usual(minutes: u64, screen_percent: u64) -> Usual {
        Usual {
            minutes: Milli(minutes),
            screen_percent: Milli(screen_percent),
            voice_files: Milli(1_100),
            voice_kbps: VOICE_KBPS,
            screen_kbps: SCREEN_KBPS,
            metadata_bytes: 30_000,
        }
    }

    #[test]
    fn media_weigh_their_length_times_their_rate() {
        for (recordings, minutes, percent, voice, screen) in [
            // 32 kbit/s are 4,000 bytes a second; 256 are 32,000.
            (1, 1_000, 0, 240_000, 0),
            (1, 1_000, 100_000, 240_000, 1_920_000),
            (1_000, 4_000, 0, 960_000_000, 0),
            (1_000, 4_000, 10_000, 960_000_000, 768_000_000),
            (100_000, 500, 500, 12_000_000_000, 480_000_000),
            // Less than a recording with a screen is one.
            (10, 1_000, 500, 2_400_000, 1_920_000),
            (3, 1, 0, 720, 0),
            (0, 4_000, 50_000, 0, 0),
        ] {
            let planned = Planned::of(recordings, &usual(minutes, percent));
            let found = (planned.voice_bytes, planned.screen_bytes);
            assert_eq!(found, (voice, screen), "{recordings} {minutes} {percent}");
        }
    }

    #[test]
    fn the_documented_bound_of_the_metadata_counts_once_a_recording_whatever_its_length() {
        let short = Planned::of(1_000, &usual(1_000, 10_000));
        let long = Planned::of(1_000, &usual(60_000, 10_000));
        assert_eq!(short.metadata_bound_bytes, 1_000_000_000 + 100 * 8_000);
        assert_eq!(long.metadata_bound_bytes, short.metadata_bound_bytes);
        assert_eq!((short.metadata_bytes, long.metadata_bytes), (30_000_000, 30_000_000));
        let (usual, most) = (short.volume(), short.at_most());
        assert_eq!(most.metadata_bytes - usual.metadata_bytes, 970_000_000 + 800_000);
        assert_eq!((most.media_bytes, most.recordings), (usual.media_bytes, 1_000));
    }

    #[test]
    fn files_are_counted_by_the_recording() {
        let planned = Planned::of(1_001, &usual(4_000, 10_000));
        assert_eq!((planned.voice_files, planned.screen_recordings), (1_102, 101));
        assert_eq!(planned.volume().media_files, 1_203);
    }

    #[test]
    fn the_largest_numbers_stay_at_the_largest_number() {
        let all = u64::MAX;
        let usual = Usual {
            minutes: Milli(all),
            screen_percent: Milli(100_000),
            voice_files: Milli(all),
            voice_kbps: all,
            screen_kbps: all,
            metadata_bytes: all,
        };
        let planned = Planned::of(all, &usual);
        assert_eq!(planned.voice_bytes, u128::MAX.div_ceil(1_000));
        assert!(planned.at_most().media_bytes >= planned.voice_bytes);
    }
}
