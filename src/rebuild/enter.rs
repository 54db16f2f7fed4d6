//! What was seen in folders, entered in the ledger beside what it knows already.
//!
//! **Invariant**: a row whose file stands with its length stays as it is, but that it gets the sum
//! that it lacked; a file that is not whole gets none, and is a failure that the next backup mends.

use chrono::{DateTime, Utc};

use super::GROUP_RECORDINGS;
use super::seen::Seen;
use crate::examine::{Buffer, difference, was_replaced};
use crate::layout::metadata_name;
use crate::ledger::{Change, Entry, Ledger, LedgerError, MediaEntry, MetadataEntry, Sum};
use crate::monitor::{Event, Teller};
use crate::tree::{Tree, joined};

/// Recordings that are entered together.
pub(super) struct Entering<'a> {
    pub(super) tree: &'a Tree,
    pub(super) ledger: &'a Ledger,
    pub(super) now: DateTime<Utc>,
    pub(super) group: Vec<Change>,
}

impl Entering<'_> {
    /// Takes what was seen in one folder.
    pub(super) fn take(&mut self, seen: Seen, teller: &mut Teller<'_>) -> Result<(), LedgerError> {
        seen.events.into_iter().for_each(|event| teller.tell(event));
        let Some(entry) = seen.entry else { return Ok(()) };
        // The same recording a second time must meet the first in the ledger.
        let is_same = |other: &Change| {
            let (one, two) = (other.started_at, entry.started_at);
            other.id == entry.id && one.timestamp_millis() == two.timestamp_millis()
        };
        if self.group.iter().any(is_same) {
            self.flush(teller)?;
        }
        if let Some(entry) = self.merge(entry, teller)? {
            self.group.push(Change { failures: seen.flawed, ..Change::from(entry) });
        }
        if self.group.len() >= GROUP_RECORDINGS {
            self.flush(teller)?;
        }
        Ok(())
    }

    /// Writes down what was taken.
    pub(super) fn flush(&mut self, teller: &mut Teller<'_>) -> Result<(), LedgerError> {
        let changes = std::mem::take(&mut self.group);
        if changes.is_empty() {
            return Ok(());
        }
        self.ledger.record(&changes, self.now)?;
        for change in changes {
            teller.tell(Event::RecordingEntered { recording: change.id });
        }
        Ok(())
    }

    /// Gives what is to be entered; nothing if the ledger knows it all.
    fn merge(&self, seen: Entry, teller: &mut Teller<'_>) -> Result<Option<Entry>, LedgerError> {
        let Some(known) = self.ledger.entry(&seen.id, seen.started_at)? else {
            return Ok(self.has_room(&seen, teller)?.then_some(seen));
        };
        if known.folder != seen.folder && is_there(self.tree, &known) {
            let path = joined(&seen.folder, &metadata_name(&seen.id));
            let reason = format!("the recording is held in `{}` already", known.folder);
            teller.tell(Event::Doubled { path, reason });
            return Ok(None);
        }
        let metadata = self.metadata(&known, &seen, teller);
        let rows: Vec<_> =
            seen.media.iter().filter_map(|file| self.row(&known, &seen, file, teller)).collect();
        let is_known = rows.is_empty() && metadata == known.metadata && known.folder == seen.folder;
        // Whether it still awaits something stands in the record that was listed last.
        let entry = Entry { folder: seen.folder, metadata, media: rows, ..known };
        Ok((!is_known).then_some(entry))
    }

    /// Tells whether no other recording is said to be in the folder.
    fn has_room(&self, seen: &Entry, teller: &mut Teller<'_>) -> Result<bool, LedgerError> {
        let others = self.ledger.entries_in(&seen.folder)?;
        if let Some(other) = others.first() {
            let path = joined(&seen.folder, &metadata_name(&seen.id));
            let reason = format!(
                "it describes a recording of {}, and the ledger has `{}` of {} in this folder",
                seen.started_at, other.id, other.started_at
            );
            teller.tell(Event::Damaged { path, reason });
        }
        Ok(others.is_empty())
    }

    fn metadata(
        &self,
        known: &Entry,
        seen: &Entry,
        teller: &mut Teller<'_>,
    ) -> Option<MetadataEntry> {
        let (Some(before), Some(now)) = (known.metadata, seen.metadata) else {
            return seen.metadata.or(known.metadata);
        };
        let is_same = before.bytes == now.bytes
            && before.sha256.is_none_or(|before| Some(before) == now.sha256);
        let path = joined(&seen.folder, &metadata_name(&seen.id));
        if is_same || self.was_replaced(&path, before.bytes, before.sha256) {
            return Some(now);
        }
        let reason = "these metadata are not those that were saved".to_owned();
        teller.tell(Event::Damaged { path, reason });
        Some(before)
    }

    /// Gives the row of a file if it is new or another than before.
    fn row(
        &self,
        known: &Entry,
        seen: &Entry,
        file: &MediaEntry,
        teller: &mut Teller<'_>,
    ) -> Option<MediaEntry> {
        let Some(before) = known.media.iter().find(|row| row.name == file.name) else {
            return Some(file.clone());
        };
        let path = joined(&seen.folder, &file.name);
        if let Some(reason) = difference(before, file.bytes, file.sha256) {
            if self.was_replaced(&path, before.bytes, before.sha256) {
                return Some(file.clone());
            }
            teller.tell(Event::Damaged { path, reason });
            return None;
        }
        if before.sha256.is_some() || file.sha256.is_none() {
            return None;
        }
        Some(MediaEntry {
            sha256: file.sha256,
            form: before.form.clone().or_else(|| file.form.clone()),
            key_serial: before.key_serial.clone().or_else(|| file.key_serial.clone()),
            ..before.clone()
        })
    }

    fn was_replaced(&self, path: &str, bytes: u64, sha256: Option<Sum>) -> bool {
        let mut buffer = Buffer::default();
        was_replaced(self.tree, path, bytes, sha256, &mut buffer).unwrap_or(false)
    }
}

fn is_there(tree: &Tree, entry: &Entry) -> bool {
    let metadata = metadata_name(&entry.id);
    let mut names = entry.media.iter().map(|media| media.name.as_str()).chain([metadata.as_str()]);
    names.any(|name| matches!(tree.held(&joined(&entry.folder, name)), Ok(Some(_))))
}
