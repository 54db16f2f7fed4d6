//! What the events of reading again what is held add up to: a check, and the making anew of the
//! ledger.
//!
//! **Invariant**: every number reported is a fold of events, and memory does not grow with the
//! number of findings.

use serde::Serialize;

use super::{Event, MAX_NAMED_FAILURES};

/// What the events of a check, or of the making anew of the ledger, add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How many media files there are to read.
    pub found_files: u64,
    /// What they weigh.
    pub found_bytes: u64,
    /// How many recordings were looked at.
    pub recordings: u64,
    /// How many media files were looked at.
    pub files: u64,
    /// How many of those were read to their end.
    pub read_files: u64,
    /// How much of them was read.
    pub read_bytes: u64,
    /// How many recordings were entered in the ledger, or completed there.
    pub entered: u64,
    /// How many files are damaged, or cannot be read.
    pub damaged: u64,
    /// How many files are missing.
    pub missing: u64,
    /// How many files were moved away, which is no loss.
    pub moved: u64,
    /// How many files nothing explains, or the ledger does not know yet.
    pub unexplained: u64,
    /// How many files are there twice.
    pub doubled: u64,
    /// How many files are kept although they are no envelopes.
    pub raw: u64,
    /// How many damaged or missing files are held again.
    pub repaired: u64,
    /// Whether something could not be checked at all.
    pub is_blind: bool,
    /// The first that are damaged or missing, each with the path and the reason.
    pub failures: Vec<(String, String)>,
    /// How many more there were.
    pub unnamed_failures: u64,
}

impl Checked {
    /// Takes one more event into account.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::ReadingStarted { files, bytes, .. } => {
                (self.found_files, self.found_bytes) = (*files, *bytes);
            }
            Event::RecordingLookedAt { files, .. } => {
                self.recordings += 1;
                self.files += files;
            }
            Event::KeptRaw { .. } => self.raw += 1,
            Event::FileRead { bytes, .. } => {
                self.read_files += 1;
                self.read_bytes += bytes;
            }
            Event::RecordingEntered { .. } => self.entered += 1,
            Event::Damaged { path, reason } => {
                self.damaged += 1;
                self.name(path, reason);
            }
            Event::Missing { path, .. } => {
                self.missing += 1;
                self.name(path, "missing");
            }
            Event::MovedAway { .. } => self.moved += 1,
            Event::Unexplained { .. } => self.unexplained += 1,
            Event::Doubled { .. } => self.doubled += 1,
            Event::Repaired { .. } => self.repaired += 1,
            Event::Blind { .. } => self.is_blind = true,
            _ => {}
        }
    }

    fn name(&mut self, path: &str, reason: &str) {
        if self.failures.len() == MAX_NAMED_FAILURES {
            self.unnamed_failures += 1;
        } else {
            self.failures.push((path.to_owned(), reason.to_owned()));
        }
    }

    /// Adds what the events of another part of the same target add up to.
    pub fn with(mut self, other: Checked) -> Checked {
        self.found_files += other.found_files;
        self.found_bytes += other.found_bytes;
        self.recordings += other.recordings;
        self.files += other.files;
        self.read_files += other.read_files;
        self.read_bytes += other.read_bytes;
        self.entered += other.entered;
        self.damaged += other.damaged;
        self.missing += other.missing;
        self.moved += other.moved;
        self.unexplained += other.unexplained;
        self.doubled += other.doubled;
        self.raw += other.raw;
        self.repaired += other.repaired;
        self.is_blind |= other.is_blind;
        self.unnamed_failures += other.unnamed_failures;
        other.failures.iter().for_each(|(path, reason)| self.name(path, reason));
        self
    }

    /// Tells whether all is there and as it should be, or is again.
    pub fn is_sound(&self) -> bool {
        !self.is_blind && self.repaired >= self.damaged + self.missing
    }

    /// Gives how much is read, in percent of what is to be read; nothing is while that is not
    /// known.
    pub fn percent(&self) -> u64 {
        if self.found_bytes == 0 {
            return 0;
        }
        let percent = u128::from(self.read_bytes) * 100 / u128::from(self.found_bytes);
        u64::try_from(percent).unwrap_or(100).min(100)
    }

    /// Gives the last line of a check.
    pub fn closing_line(&self) -> String {
        let Checked { recordings, files, read_files, read_bytes, damaged, missing, .. } = self;
        let repaired = match self.repaired {
            0 => String::new(),
            repaired => format!(", repaired: {repaired}"),
        };
        format!(
            "Checked: {recordings} recordings, {files} media files, read: {read_files} \
             ({read_bytes} bytes); damaged: {damaged}, missing: {missing}{repaired}; moved away: \
             {}, not in the ledger: {}, twice: {}, raw: {}",
            self.moved, self.unexplained, self.doubled, self.raw
        )
    }

    /// Gives the last line of the making anew of the ledger.
    pub fn rebuilt_line(&self) -> String {
        let Checked { recordings, files, read_bytes, entered, damaged, .. } = self;
        format!(
            "Rebuilt: {entered} of {recordings} recordings entered, {files} media files \
             ({read_bytes} bytes read); damaged: {damaged}, unexplained: {}, twice: {}, raw: {}",
            self.unexplained, self.doubled, self.raw
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged() -> Event {
        Event::Damaged { path: "d".into(), reason: "r".into() }
    }

    #[test]
    fn every_event_is_counted_where_it_belongs() {
        let path = || "p".to_owned();
        let mut checked = Checked::default();
        for event in [
            Event::ReadingStarted { what: "Checking", files: 4, bytes: 1000 },
            Event::RecordingLookedAt { recording: path(), files: 3 },
            Event::KeptRaw { path: path() },
            Event::FileRead { path: path(), bytes: 400 },
            Event::FileRead { path: path(), bytes: 150 },
            Event::RecordingEntered { recording: path() },
            Event::MovedAway { path: path() },
            Event::Unexplained { path: path(), reason: path() },
            Event::Doubled { path: path(), reason: path() },
        ] {
            checked.apply(&event);
            assert!(checked.is_sound(), "{event:?}");
        }
        checked.apply(&damaged());
        checked.apply(&Event::Missing { path: path(), recording: path() });
        checked.apply(&Event::Repaired { path: path() });
        assert!(!checked.is_sound());
        assert_eq!(checked.percent(), 55);
        let failures = vec![("d".to_owned(), "r".to_owned()), (path(), "missing".to_owned())];
        assert_eq!(checked.failures, failures);
        assert_eq!(
            checked.closing_line(),
            "Checked: 1 recordings, 3 media files, read: 2 (550 bytes); damaged: 1, missing: 1, \
             repaired: 1; moved away: 1, not in the ledger: 1, twice: 1, raw: 1"
        );
        assert_eq!(
            checked.rebuilt_line(),
            "Rebuilt: 1 of 1 recordings entered, 3 media files (550 bytes read); damaged: 1, \
             unexplained: 1, twice: 1, raw: 1"
        );
        checked.apply(&Event::Repaired { path: path() });
        assert!(checked.is_sound());
        checked.apply(&Event::Blind { reason: path() });
        assert!(!checked.is_sound());
    }

    #[test]
    fn findings_are_named_up_to_a_bound() {
        let mut checked = Checked::default();
        (0..MAX_NAMED_FAILURES + 7).for_each(|_| checked.apply(&damaged()));
        assert_eq!((checked.failures.len(), checked.unnamed_failures), (MAX_NAMED_FAILURES, 7));
        assert_eq!(checked.percent(), 0);
    }
}
