//! What the events of a run add up to.
//!
//! **Invariant**: this is the only accounting: every number reported is a fold of events, and
//! memory does not grow with the number of failures.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Event;
use crate::window::Shard;

/// How many failures, and how many failed shards, are remembered by name.
pub const MAX_NAMED_FAILURES: usize = 1_000;

/// What became of media files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileCounts {
    /// Saved in this run.
    pub downloaded: u64,
    /// Held already.
    pub skipped: u64,
    /// Saved once, and moved away since; not downloaded again.
    pub moved: u64,
    /// Not saved, which an operator has accepted.
    pub accepted: u64,
    /// Not saved.
    pub failed: u64,
}

/// One thing that was not saved, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The recording's id, or what else there is to name a record by.
    pub recording: String,
    /// The media file's id; `None` where it is about the recording.
    pub media: Option<String>,
    /// Why.
    pub reason: String,
}

/// One shard that is not held entirely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardFailure {
    /// Which one.
    pub shard: Shard,
    /// Why.
    pub reason: String,
}

/// What the events of a run add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many shards the window was cut into.
    pub shards: u64,
    /// How many of them are held entirely.
    pub finished_shards: u64,
    /// How many are not.
    pub failed_shards: u64,
    /// The first of those by name.
    pub shard_failures: Vec<ShardFailure>,
    /// How many recordings were listed.
    pub listed_recordings: u64,
    /// How many of them are this instance's share.
    pub owned_recordings: u64,
    /// The media files of this instance's share that match the pattern.
    pub found_files: u64,
    /// What became of them.
    pub files: FileCounts,
    /// Those that a dry run would have fetched.
    pub wanted_files: u64,
    /// What they are said to weigh.
    pub wanted_bytes: u64,
    /// What the saved files weigh.
    pub saved_bytes: u64,
    /// How many media files were left out, by type.
    pub left_out: BTreeMap<String, u64>,
    /// How many metadata files were written.
    pub saved_metadata: u64,
    /// How many recordings' new metadata was kept beside the old.
    pub metadata_kept_beside: u64,
    /// How many records were no recordings.
    pub rejected_records: u64,
    /// How much that failed in earlier runs is still not saved, and no longer listed.
    pub still_missing: u64,
    /// How many warnings there were.
    pub warnings: u64,
    /// The first failures by name.
    pub failures: Vec<Failure>,
    /// How many more there were.
    pub unnamed_failures: u64,
}

impl FileCounts {
    /// Adds others to these.
    pub fn add(&mut self, others: FileCounts) {
        self.downloaded += others.downloaded;
        self.skipped += others.skipped;
        self.moved += others.moved;
        self.accepted += others.accepted;
        self.failed += others.failed;
    }

    /// Takes one more event into account.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::MediaSaved { .. } => self.downloaded += 1,
            Event::MediaSkipped { .. } => self.skipped += 1,
            Event::MediaMoved { .. } => self.moved += 1,
            Event::LossAccepted { .. } => self.accepted += 1,
            Event::MediaFailed { .. } => self.failed += 1,
            _ => {}
        }
    }
}

impl Summary {
    /// Takes one more event into account.
    pub fn apply(&mut self, event: &Event) {
        self.files.apply(event);
        match event {
            Event::RunStarted { shards, .. } => self.shards = *shards,
            Event::ShardListed { recordings, owned, .. } => {
                self.listed_recordings += recordings;
                self.owned_recordings += owned;
            }
            Event::RecordingFound { media, .. } => self.found_files += media,
            Event::LeftOut { media_type, .. } => {
                *self.left_out.entry(media_type.clone()).or_default() += 1;
            }
            Event::RecordRejected { record, reason } => {
                self.rejected_records += 1;
                self.name_failure(record, None, reason);
            }
            Event::WouldDownload { bytes, .. } => {
                self.wanted_files += 1;
                self.wanted_bytes += bytes;
            }
            Event::MediaSaved { bytes, .. } => self.saved_bytes += bytes,
            Event::MediaFailed { recording, media, reason } => {
                self.name_failure(recording, Some(media), reason);
            }
            Event::StillMissing { recording, media, reason } => {
                self.still_missing += 1;
                self.name_failure(recording, media.as_ref(), reason);
            }
            Event::MetadataSaved { .. } => self.saved_metadata += 1,
            Event::MetadataKeptBeside { .. } => self.metadata_kept_beside += 1,
            Event::ShardFinished { .. } => self.finished_shards += 1,
            Event::ShardFailed { shard, reason, .. } => {
                self.failed_shards += 1;
                if self.shard_failures.len() < MAX_NAMED_FAILURES {
                    self.shard_failures
                        .push(ShardFailure { shard: *shard, reason: reason.clone() });
                }
            }
            Event::Warning { .. } | Event::RetentionNears { .. } => self.warnings += 1,
            Event::ShardStarted { .. }
            | Event::MediaStarted { .. }
            | Event::BytesReceived { .. }
            | Event::MediaSkipped { .. }
            | Event::MediaMoved { .. }
            | Event::LossAccepted { .. }
            | Event::Note { .. }
            | Event::RunFinished { .. }
            | Event::OpeningStarted { .. }
            | Event::SealedRead { .. }
            | Event::FileOpened { .. }
            | Event::FileWasOpen { .. }
            | Event::OpeningFailed { .. }
            | Event::MetadataCopied { .. }
            | Event::OpeningProgress { .. }
            | Event::OpeningFinished { .. }
            | Event::ReadingStarted { .. }
            | Event::RecordingLookedAt { .. }
            | Event::KeptRaw { .. }
            | Event::FileRead { .. }
            | Event::RecordingEntered { .. }
            | Event::Damaged { .. }
            | Event::Missing { .. }
            | Event::MovedAway { .. }
            | Event::Unexplained { .. }
            | Event::Doubled { .. }
            | Event::Repaired { .. }
            | Event::Blind { .. }
            | Event::ReadingProgress { .. }
            | Event::ReadingFinished { .. } => {}
        }
    }

    /// Tells whether nothing that was found or asked for is missing.
    pub fn is_complete(&self) -> bool {
        self.failed_shards + self.files.failed + self.rejected_records + self.still_missing == 0
    }

    /// Gives the last line of a run, as the original prints it. It knows nothing of files that were
    /// moved or given up, so these are among the skipped ones.
    pub fn closing_line(&self) -> String {
        let FileCounts { downloaded, skipped, moved, accepted, failed } = self.files;
        let skipped = skipped + moved + accepted;
        format!(
            "Finished handling current batch: (number downloaded files: {downloaded} + number of \
             skipped files: {skipped} + number of failed download: {failed}) out of total: {}",
            self.found_files
        )
    }

    fn name_failure(&mut self, recording: &str, media: Option<&String>, reason: &str) {
        if self.failures.len() == MAX_NAMED_FAILURES {
            self.unnamed_failures += 1;
            return;
        }
        self.failures.push(Failure {
            recording: recording.to_owned(),
            media: media.cloned(),
            reason: reason.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn span(index: u64) -> Shard {
        let time = |hours| DateTime::from_timestamp(hours as i64 * 3600, 0).unwrap();
        Shard { index, count: 3, from: time(index), to: time(index + 1) }
    }

    fn summary(events: &[Event]) -> Summary {
        let mut summary = Summary::default();
        events.iter().for_each(|event| summary.apply(event));
        summary
    }

    fn found(media: u64) -> Event {
        Event::RecordingFound { recording: "r".into(), media, bytes: 10 }
    }

    fn saved(bytes: u64) -> Event {
        Event::MediaSaved { recording: "r".into(), media: "m".into(), bytes }
    }

    fn failed() -> Event {
        Event::MediaFailed { recording: "r".into(), media: "m".into(), reason: "gone".into() }
    }

    #[test]
    fn closing_line_is_the_one_of_the_original() {
        let mut events = vec![found(46)];
        events.extend((0..46).map(|_| saved(1)));
        assert_eq!(
            summary(&events).closing_line(),
            "Finished handling current batch: (number downloaded files: 46 + number of skipped \
             files: 0 + number of failed download: 0) out of total: 46"
        );
    }

    #[test]
    fn every_event_is_counted_where_it_belongs() {
        let (recording, media) = ("r".to_owned(), "m".to_owned());
        let left_out = |media_type: &str| Event::LeftOut {
            recording: "r".into(),
            media: "m".into(),
            media_type: media_type.into(),
        };
        let summary = summary(&[
            Event::RunStarted { from: span(0).from, to: span(2).to, shards: 3 },
            Event::ShardStarted { shard: span(0) },
            Event::ShardListed { shard: span(0), recordings: 7, owned: 3 },
            Event::ShardListed { shard: span(1), recordings: 1, owned: 1 },
            found(2),
            found(1),
            left_out("text/plain"),
            left_out("audio/ogg"),
            left_out("text/plain"),
            saved(100),
            Event::BytesReceived { bytes: 60 },
            Event::MediaSkipped { recording, media, bytes: 5 },
            failed(),
            Event::MetadataSaved { recording: "r".into() },
            Event::MetadataKeptBeside { recording: "r".into(), path: "p".into() },
            Event::ShardFinished { shard: span(1), files: FileCounts::default() },
            Event::Warning { text: "w".into() },
            Event::Note { text: "n".into() },
        ]);
        let expected = Summary {
            shards: 3,
            finished_shards: 1,
            listed_recordings: 8,
            owned_recordings: 4,
            found_files: 3,
            files: FileCounts { downloaded: 1, skipped: 1, failed: 1, ..FileCounts::default() },
            saved_bytes: 100,
            left_out: [("audio/ogg".to_owned(), 1), ("text/plain".to_owned(), 2)].into(),
            saved_metadata: 1,
            metadata_kept_beside: 1,
            warnings: 1,
            failures: vec![Failure {
                recording: "r".into(),
                media: Some("m".into()),
                reason: "gone".into(),
            }],
            ..Summary::default()
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn anything_missing_makes_a_run_incomplete() {
        let reason = || "x".to_owned();
        let files = FileCounts::default();
        assert!(summary(&[found(1), saved(1), Event::Warning { text: reason() }]).is_complete());
        for event in [
            failed(),
            Event::RecordRejected { record: "r".into(), reason: reason() },
            Event::StillMissing { recording: "r".into(), media: None, reason: reason() },
            Event::ShardFailed { shard: span(0), files, reason: reason() },
        ] {
            assert!(!summary(&[found(1), saved(1), event.clone()]).is_complete(), "{event:?}");
        }
    }

    #[test]
    fn failures_are_named_up_to_a_bound_and_counted_beyond() {
        let summary = summary(&vec![failed(); MAX_NAMED_FAILURES + 5]);
        assert_eq!(summary.failures.len(), MAX_NAMED_FAILURES);
        assert_eq!((summary.files.failed, summary.unnamed_failures), (1005, 5));
    }
}
