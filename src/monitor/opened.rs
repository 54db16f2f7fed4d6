//! What the events of opening add up to.
//!
//! **Invariant**: every number reported is a fold of events, and memory does not grow with the
//! number of failures.

use serde::Serialize;

use super::{Event, MAX_NAMED_FAILURES};

/// What the events of opening add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// How many files there are to open.
    pub found_files: u64,
    /// What they weigh, sealed.
    pub found_bytes: u64,
    /// How many were opened.
    pub files: u64,
    /// What came out of them.
    pub bytes: u64,
    /// How many were there already.
    pub skipped: u64,
    /// How many could not be opened, or not be reached.
    pub failed: u64,
    /// How much has been dealt with, sealed.
    pub handled_bytes: u64,
    /// How many metadata files were copied.
    pub copied_metadata: u64,
    /// How many warnings there were.
    pub warnings: u64,
    /// The first failures, each with the path and the reason.
    pub failures: Vec<(String, String)>,
    /// How many more there were.
    pub unnamed_failures: u64,
}

impl Opened {
    /// Takes one more event into account.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::OpeningStarted { files, bytes } => {
                (self.found_files, self.found_bytes) = (*files, *bytes);
            }
            Event::SealedRead { bytes } => self.handled_bytes += bytes,
            Event::FileOpened { bytes, .. } => {
                self.files += 1;
                self.bytes += bytes;
            }
            Event::FileWasOpen { bytes, .. } => {
                self.skipped += 1;
                self.handled_bytes += bytes;
            }
            Event::OpeningFailed { path, reason } => {
                self.failed += 1;
                if self.failures.len() == MAX_NAMED_FAILURES {
                    self.unnamed_failures += 1;
                } else {
                    self.failures.push((path.clone(), reason.clone()));
                }
            }
            Event::MetadataCopied { .. } => self.copied_metadata += 1,
            Event::Warning { .. } => self.warnings += 1,
            _ => {}
        }
    }

    /// Tells whether nothing that was found is missing.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// Gives how much is done, in percent of what was found; nothing is while that is not known.
    pub fn percent(&self) -> u64 {
        if self.found_bytes == 0 {
            return 0;
        }
        let percent = u128::from(self.handled_bytes) * 100 / u128::from(self.found_bytes);
        u64::try_from(percent).unwrap_or(100).min(100)
    }

    /// Gives the last line of a run.
    pub fn closing_line(&self) -> String {
        let Opened { files, bytes, skipped, failed, .. } = self;
        format!("Opened: {files} files ({bytes} bytes), skipped: {skipped}, failed: {failed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_where_it_belongs() {
        let path = || "p".to_owned();
        let mut opened = Opened::default();
        for event in [
            Event::OpeningStarted { files: 4, bytes: 1000 },
            Event::SealedRead { bytes: 300 },
            Event::SealedRead { bytes: 100 },
            Event::FileOpened { path: path(), bytes: 390 },
            Event::FileWasOpen { path: path(), bytes: 150 },
            Event::OpeningFailed { path: path(), reason: "r".into() },
            Event::MetadataCopied { path: path() },
            Event::Warning { text: "w".into() },
        ] {
            assert!(
                opened.is_complete()
                    || matches!(event, Event::MetadataCopied { .. } | Event::Warning { .. })
            );
            opened.apply(&event);
        }
        let expected = Opened {
            found_files: 4,
            found_bytes: 1000,
            files: 1,
            bytes: 390,
            skipped: 1,
            failed: 1,
            handled_bytes: 550,
            copied_metadata: 1,
            warnings: 1,
            failures: vec![(path(), "r".into())],
            unnamed_failures: 0,
        };
        assert_eq!(opened, expected);
        assert_eq!(opened.percent(), 55);
        assert_eq!(opened.closing_line(), "Opened: 1 files (390 bytes), skipped: 1, failed: 1");
        assert!(!opened.is_complete());
    }

    #[test]
    fn failures_are_named_up_to_a_bound_and_nothing_found_is_nothing_done() {
        let mut opened = Opened::default();
        assert_eq!(opened.percent(), 0);
        let failed = Event::OpeningFailed { path: "p".into(), reason: "r".into() };
        (0..MAX_NAMED_FAILURES + 7).for_each(|_| opened.apply(&failed));
        assert_eq!((opened.failures.len(), opened.unnamed_failures), (MAX_NAMED_FAILURES, 7));
        opened.apply(&Event::OpeningStarted { files: 1, bytes: 10 });
        opened.apply(&Event::SealedRead { bytes: 11 });
        assert_eq!(opened.percent(), 100);
    }
}
