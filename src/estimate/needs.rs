//! What a volume needs: on the disk, of the network, of the services.
//!
//! **Invariant:** everything is rounded up, because who plans for too little has too little.

use serde::Serialize;

use super::LEDGER_BYTES;

/// How many records a page of the listing is asked for. One of them was on the page before, so that
/// a page brings one less.
const PAGE: u128 = 100;

/// What an envelope adds to a media file: its head, a key for each recipient, and the padding.
const ENVELOPE: u128 = 1_024;

/// The block of the usual file systems. A file leaves half of its last one empty; a folder has one.
const BLOCK: u128 = 4_096;

/// Folders that a day adds besides those of its recordings: 24 hours and itself.
const CALENDAR: u128 = 25;

const DAY_HOURS: u128 = 24;
const DAY_SECONDS: u128 = 86_400;

/// Recordings and their bytes, of a day or of any other time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Volume {
    /// Recordings.
    pub recordings: u128,
    /// Their media files.
    pub media_files: u128,
    /// What these weigh before they are encrypted.
    pub media_bytes: u128,
    /// What the metadata files weigh.
    pub metadata_bytes: u128,
    /// What the metadata weigh as they are listed.
    pub listed_bytes: u128,
}

/// Under which circumstances recordings are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// How many days are held.
    pub days: u64,
    /// In which time a day is to be saved.
    pub within_seconds: u64,
    /// How often the backup runs.
    pub runs_per_day: u64,
    /// How far each run lists back.
    pub overlap_hours: u64,
    /// How far one run a day lists back.
    pub rescan_hours: u64,
    /// How many recordings one instance saves in a second.
    pub instance_recordings_per_second: u64,
    /// What the link of one instance carries.
    pub instance_bits_per_second: u64,
}

/// What a volume takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Footprint {
    /// Files: media and metadata.
    pub files: u128,
    /// Files and folders.
    pub inodes: u128,
    /// The part of the ledger.
    pub ledger_bytes: u128,
    /// All of it, the ledger too.
    pub disk_bytes: u128,
}

impl Footprint {
    /// Of recordings of so many days.
    pub fn of(volume: &Volume, days: u128) -> Footprint {
        let files = volume.recordings.saturating_add(volume.media_files);
        let folders = volume.recordings.saturating_add(CALENDAR.saturating_mul(days));
        let ledger_bytes = volume.recordings.saturating_mul(u128::from(LEDGER_BYTES));
        let parts = [
            volume.media_bytes,
            volume.metadata_bytes,
            volume.media_files.saturating_mul(ENVELOPE),
            files.saturating_mul(BLOCK / 2),
            folders.saturating_mul(BLOCK),
            ledger_bytes,
        ];
        Footprint {
            files,
            inodes: files.saturating_add(folders),
            ledger_bytes,
            disk_bytes: parts.into_iter().fold(0, u128::saturating_add),
        }
    }

    /// The same on each of so many days.
    pub fn times(self, days: u64) -> Footprint {
        let times = |count: u128| count.saturating_mul(u128::from(days));
        Footprint {
            files: times(self.files),
            inodes: times(self.inodes),
            ledger_bytes: times(self.ledger_bytes),
            disk_bytes: times(self.disk_bytes),
        }
    }
}

/// What a day needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Needs {
    /// On the disk, a day.
    pub day: Footprint,
    /// On the disk, for as many days as are held.
    pub held: Footprint,
    /// Pages of the listing that each instance asks for, a day.
    pub api_pages: u128,
    /// All requests to the metadata API, of each instance, a day.
    pub api_requests: u128,
    /// Requests to the storage by all instances, a day, at least.
    pub storage_requests: u128,
    /// The fewest instances that save a day in its time; none where no number does.
    pub instances: Option<u128>,
    /// What comes over the network in a day, for all these instances.
    pub received_bytes: u128,
    /// The bandwidth that saves a day in a day.
    pub day_bits_per_second: u128,
    /// The bandwidth that saves a day in its time.
    pub within_bits_per_second: u128,
}

impl Needs {
    /// Of one day.
    pub fn of(volume: &Volume, terms: &Terms) -> Needs {
        let [runs, overlap, rescan] =
            [terms.runs_per_day.max(1), terms.overlap_hours, terms.rescan_hours].map(u128::from);
        let hours = overlap.saturating_mul(runs).saturating_add(rescan).saturating_add(DAY_HOURS);
        let listed_again = |count: u128| count.saturating_mul(hours).div_ceil(DAY_HOURS);
        // A shard is a day at most, and its last page brings nothing new.
        let one_run = DAY_HOURS.div_ceil(runs).saturating_add(overlap).div_ceil(DAY_HOURS);
        let shards = one_run.saturating_mul(runs).saturating_add(rescan.div_ceil(DAY_HOURS));
        let full = listed_again(volume.recordings).div_ceil(PAGE - 1);
        let api_pages = full.saturating_add(shards);
        let listed_bytes = listed_again(volume.listed_bytes);
        let instances = instances(volume, listed_bytes, terms);
        let received_bytes = listed_bytes
            .saturating_mul(instances.unwrap_or(1))
            .saturating_add(volume.media_bytes)
            .saturating_add(volume.media_files.saturating_mul(ENVELOPE));
        let bits = received_bytes.saturating_mul(8);
        let day = Footprint::of(volume, 1);
        Needs {
            day,
            held: day.times(terms.days),
            api_pages,
            // One more a run, for the settings.
            api_requests: api_pages.saturating_add(runs),
            storage_requests: volume.media_files,
            instances,
            received_bytes,
            day_bits_per_second: bits.div_ceil(DAY_SECONDS),
            within_bits_per_second: bits.div_ceil(u128::from(terms.within_seconds.max(1))),
        }
    }
}

/// Media are shared between instances; the listing is not, because each lists everything.
fn instances(volume: &Volume, listed_bytes: u128, terms: &Terms) -> Option<u128> {
    let seconds = u128::from(terms.within_seconds);
    let carries = u128::from(terms.instance_bits_per_second).saturating_mul(seconds) / 8;
    let saves = u128::from(terms.instance_recordings_per_second).saturating_mul(seconds);
    let left = carries.checked_sub(listed_bytes)?;
    let media_bytes =
        volume.media_bytes.saturating_add(volume.media_files.saturating_mul(ENVELOPE));
    let by = |work: u128, each: u128| match (work, each) {
        (0, _) => Some(1),
        (_, 0) => None,
        (work, each) => Some(work.div_ceil(each)),
    };
    Some(by(media_bytes, left)?.max(by(volume.recordings, saves)?))
}

/// What is free where recordings are to be kept; nothing where the file system does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Free {
    /// Bytes, for this user.
    pub bytes: Option<u64>,
    /// Files and folders.
    pub inodes: Option<u64>,
}

/// Whether something will fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It will.
    Fits,
    /// So much is missing.
    Lacks {
        /// Of bytes.
        bytes: u128,
        /// Of inodes.
        inodes: u128,
    },
    /// The file system does not say how much is free.
    Unknown,
}

impl Fit {
    /// Compares what is needed with what is free.
    pub fn of(needed: &Footprint, free: &Free) -> Fit {
        let Some(free_bytes) = free.bytes else { return Fit::Unknown };
        let bytes = needed.disk_bytes.saturating_sub(u128::from(free_bytes));
        // File systems without a table of inodes make them as they go.
        let inodes =
            free.inodes.map_or(0, |inodes| needed.inodes.saturating_sub(u128::from(inodes)));
        match (bytes, inodes) {
            (0, 0) => Fit::Fits,
            (bytes, inodes) => Fit::Lacks { bytes, inodes },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        days: 30,
        within_seconds: 28_800,
        runs_per_day: 1,
        overlap_hours: 6,
        rescan_hours: 72,
        instance_recordings_per_second: 500,
        instance_bits_per_second: 1_000_000_000,
    };

    /// A day of recordings of a megabyte with one media file, and 10 kB of metadata.
    fn day(recordings: u128) -> Volume {
        Volume {
            recordings,
            media_files: recordings,
            media_bytes: recordings * 1_000_000,
            metadata_bytes: recordings * 12_000,
            listed_bytes: recordings * 10_000,
        }
    }

    #[test]
    fn a_footprint_has_all_its_parts() {
        let footprint = Footprint::of(&day(1_000), 2);
        let bytes = 1_000 * (1_000_000 + 12_000 + 1_024 + 2 * 2_048 + 4_096 + 684) + 50 * 4_096;
        let expected =
            Footprint { files: 2_000, inodes: 3_050, ledger_bytes: 684_000, disk_bytes: bytes };
        assert_eq!(footprint, expected);
        assert_eq!(footprint.times(3).inodes, 9_150);
        assert_eq!(Footprint::of(&Volume::default(), 0).disk_bytes, 0);
    }

    #[test]
    fn pages_and_requests_follow_from_what_is_listed_again() {
        for (recordings, runs, overlap, rescan, pages, requests) in [
            (0, 1, 0, 0, 1, 2),
            (99, 1, 0, 0, 2, 3),
            (100, 1, 0, 0, 3, 4),
            // The day and six hours are two shards; three days more are three.
            (99_000, 1, 6, 72, 4_250 + 5, 4_250 + 6),
            // Each hour seven hours.
            (99_000, 24, 6, 0, 7_000 + 24, 7_000 + 48),
            (99_000, 24, 6, 72, 10_000 + 27, 10_000 + 51),
        ] {
            let terms =
                Terms { runs_per_day: runs, overlap_hours: overlap, rescan_hours: rescan, ..TERMS };
            let needs = Needs::of(&day(recordings), &terms);
            let found = (needs.api_pages, needs.api_requests);
            assert_eq!(found, (pages, requests), "{recordings} {runs} {overlap} {rescan}");
            assert_eq!(needs.storage_requests, recordings);
        }
    }

    #[test]
    fn the_bandwidth_is_that_of_media_and_of_each_instance_s_listing() {
        let alone = Terms { overlap_hours: 0, rescan_hours: 0, ..TERMS };
        let needs = Needs::of(&day(100_000), &alone);
        assert_eq!(needs.instances, Some(1));
        assert_eq!(needs.received_bytes, 100_000 * (1_000_000 + 1_024 + 10_000));
        assert_eq!(needs.day_bits_per_second, (needs.received_bytes * 8).div_ceil(86_400));
        assert_eq!(needs.within_bits_per_second, (needs.received_bytes * 8).div_ceil(28_800));
        let slow = Terms { instance_recordings_per_second: 1, ..alone };
        let shared = Needs::of(&day(100_000), &slow);
        assert_eq!(shared.instances, Some(4));
        assert_eq!(shared.received_bytes - needs.received_bytes, 3 * 100_000 * 10_000);
    }

    #[test]
    fn there_are_as_many_instances_as_links_and_machines_ask_for() {
        // Of a day of 1,000 recordings 4,250 are listed, which is 42.5 MB; the media are 1,001 MB.
        for (megabits, recordings_a_second, seconds, expected) in [
            (1_000, 500, 28_800, Some(1)),
            (1_000, 1, 100, Some(10)),
            (1_000, 500, 1, Some(13)),
            (340, 500, 1, None),
            (341, 500, 1, Some(8_009)),
            (0, 500, 1, None),
            (1_000, 0, 1, None),
        ] {
            let terms = Terms {
                instance_bits_per_second: megabits * 1_000_000,
                instance_recordings_per_second: recordings_a_second,
                within_seconds: seconds,
                ..TERMS
            };
            let found = Needs::of(&day(1_000), &terms).instances;
            assert_eq!(found, expected, "{megabits} {recordings_a_second} {seconds}");
        }
        assert_eq!(Needs::of(&Volume::default(), &TERMS).instances, Some(1));
    }

    #[test]
    fn no_number_overflows() {
        let all = u128::MAX;
        let volume = Volume {
            recordings: all,
            media_files: all,
            media_bytes: all,
            metadata_bytes: all,
            listed_bytes: all,
        };
        let most = Terms {
            days: u64::MAX,
            within_seconds: 0,
            runs_per_day: u64::MAX,
            overlap_hours: u64::MAX,
            rescan_hours: u64::MAX,
            instance_recordings_per_second: u64::MAX,
            instance_bits_per_second: u64::MAX,
        };
        for terms in [TERMS, most, Terms { runs_per_day: 0, ..most }] {
            let needs = Needs::of(&volume, &terms);
            assert_eq!((needs.instances, needs.held.disk_bytes), (None, all));
            Needs::of(&day(1), &terms);
        }
    }

    #[test]
    fn what_is_needed_fits_or_lacks_so_much() {
        let needed = Footprint { files: 0, inodes: 100, ledger_bytes: 0, disk_bytes: 1_000 };
        let lacks = |bytes, inodes| Fit::Lacks { bytes, inodes };
        for (bytes, inodes, expected) in [
            (Some(1_000), Some(100), Fit::Fits),
            (Some(999), Some(100), lacks(1, 0)),
            (Some(1_000), Some(99), lacks(0, 1)),
            (Some(0), Some(0), lacks(1_000, 100)),
            (Some(1_000), None, Fit::Fits),
            (None, Some(0), Fit::Unknown),
        ] {
            assert_eq!(Fit::of(&needed, &Free { bytes, inodes }), expected, "{bytes:?} {inodes:?}");
        }
    }
}
