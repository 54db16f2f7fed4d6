//! The ledgers of all instances that share a target, read as one.
//!
//! Is given a tree; gives each recording once, as whoever saved something of it last has it.
//!
//! **Invariant**: nothing is written; a single ledger is read as if it stood alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Entry, Ledger, LedgerError};
use crate::instance::Instance;
use crate::tree::Tree;

/// The ledgers of a target.
#[derive(Debug)]
pub struct Ledgers {
    /// By the instance that each is of; none for one that had the target alone.
    ledgers: Vec<(Option<u32>, Arc<Ledger>)>,
    /// How many instances there are now.
    instances: u32,
}

impl From<Arc<Ledger>> for Ledgers {
    fn from(ledger: Arc<Ledger>) -> Self {
        Ledgers { ledgers: vec![(None, ledger)], instances: 1 }
    }
}

impl Ledgers {
    /// Opens all there are for reading only, without a lock; none if there is none.
    pub fn open_to_read(tree: &Tree) -> Result<Option<Ledgers>, LedgerError> {
        let mut ledgers = Vec::new();
        for part in tree.parts()? {
            let ledger = Ledger::open_to_read(&part)?;
            ledgers.extend(ledger.map(|ledger| (part.instance(), Arc::new(ledger))));
        }
        let instances = tree.fleet()?.map_or(1, |fleet| fleet.instances);
        Ok((!ledgers.is_empty()).then_some(Ledgers { ledgers, instances }))
    }

    /// Gives each by itself.
    pub fn each(&self) -> impl ExactSizeIterator<Item = &Arc<Ledger>> {
        self.ledgers.iter().map(|(_, ledger)| ledger)
    }

    /// Gives the only one, where there is no other.
    pub fn only(&self) -> Option<&Ledger> {
        match &self.ledgers[..] {
            [(_, ledger)] => Some(ledger),
            _ => None,
        }
    }

    /// Gives a recording as it is held, if one of them knows it.
    pub fn entry(&self, id: &str, started_at: DateTime<Utc>) -> Result<Option<Entry>, LedgerError> {
        // Whose share it is now has seen it last, if nothing else tells.
        let owner = Some(Instance::owner(id, self.instances));
        let (owners, others): (Vec<_>, Vec<_>) =
            self.ledgers.iter().partition(|(instance, _)| *instance == owner);
        let mut newest: Option<Entry> = None;
        for (_, ledger) in owners.into_iter().chain(others) {
            let entry = ledger.entry(id, started_at)?;
            newest = match (newest, entry) {
                (Some(one), Some(other)) => Some(one.or_newer(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(newest)
    }

    /// Gives the recordings that are said to be in a folder, below the target.
    pub fn entries_in(&self, folder: &str) -> Result<Vec<Entry>, LedgerError> {
        if let Some(only) = self.only() {
            return only.entries_in(folder);
        }
        let mut keys = BTreeSet::new();
        for ledger in self.each() {
            let entries = ledger.entries_in(folder)?;
            keys.extend(entries.into_iter().map(|entry| (entry.started_at, entry.id)));
        }
        let mut entries = Vec::new();
        for (started_at, id) in keys {
            entries.extend(self.entry(&id, started_at)?.filter(|entry| entry.folder == folder));
        }
        Ok(entries)
    }

    /// Gives a recording that was read from one of them, counted from 0, as all know it; nothing
    /// if one before that one knows it, so that each recording comes once.
    pub fn once(&self, from: usize, entry: Entry) -> Result<Option<Entry>, LedgerError> {
        if self.only().is_some() {
            return Ok(Some(entry));
        }
        for ledger in self.each().take(from) {
            if ledger.entry(&entry.id, entry.started_at)?.is_some() {
                return Ok(None);
            }
        }
        self.entry(&entry.id, entry.started_at)
    }
}

impl Entry {
    /// Puts two words on the same recording together: of each file the later one counts, and of
    /// equal age this one.
    pub fn or_newer(self, other: Entry) -> Entry {
        let saved_at = |entry: &Entry| entry.media.iter().map(|file| file.saved_at).max();
        let is_newer = saved_at(&other) > saved_at(&self);
        let (newer, older) = if is_newer { (other, self) } else { (self, other) };
        if newer.folder != older.folder {
            return newer;
        }
        let mut all = newer;
        for file in older.media {
            match all.media.iter_mut().find(|known| known.name == file.name) {
                Some(known) if known.saved_at >= file.saved_at => {}
                Some(known) => *known = file,
                None => all.media.push(file),
            }
        }
        all.media.sort_by(|one, other| one.name.cmp(&other.name));
        all.metadata = all.metadata.or(older.metadata);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{MediaEntry, MetadataEntry, SourceHash};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_518_462_191 + seconds, 0).expect("in range")
    }

    /// Files by name, time and length, and the length of the metadata.
    fn entry(folder: &str, files: &[(&str, i64, u64)], metadata: Option<u64>) -> Entry {
        let file = |(name, saved_at, bytes): &(&str, i64, u64)| MediaEntry {
            name: (*name).to_owned(),
            media_id: (*name).to_owned(),
            source: SourceHash([0; 16]),
            size: None,
            bytes: *bytes,
            sha256: None,
            etag: None,
            checked: String::new(),
            form: None,
            key_serial: None,
            saved_at: at(*saved_at),
        };
        Entry {
            id: "R".to_owned(),
            started_at: at(0),
            folder: folder.to_owned(),
            record_hash: None,
            metadata: metadata.map(|bytes| MetadataEntry { bytes, sha256: None }),
            awaits: None,
            media: files.iter().map(file).collect(),
        }
    }

    #[test]
    fn of_two_words_on_a_recording_the_later_one_counts_file_by_file() {
        for (one, other, expected) in [
            (
                entry("f", &[("a", 5, 1), ("b", 1, 1)], Some(1)),
                entry("f", &[("a", 3, 2), ("b", 4, 2), ("c", 2, 2)], Some(2)),
                entry("f", &[("a", 5, 1), ("b", 4, 2), ("c", 2, 2)], Some(1)),
            ),
            (
                entry("f", &[("a", 1, 1)], None),
                entry("f", &[("a", 2, 2)], Some(2)),
                entry("f", &[("a", 2, 2)], Some(2)),
            ),
            (
                entry("f", &[], Some(1)),
                entry("f", &[("a", 2, 2)], None),
                entry("f", &[("a", 2, 2)], Some(1)),
            ),
            // Of equal age the first.
            (
                entry("f", &[("a", 2, 1)], Some(1)),
                entry("f", &[("a", 2, 2)], Some(2)),
                entry("f", &[("a", 2, 1)], Some(1)),
            ),
            // It has moved since.
            (
                entry("f", &[("a", 1, 1), ("b", 1, 1)], Some(1)),
                entry("g", &[("a", 2, 1)], Some(2)),
                entry("g", &[("a", 2, 1)], Some(2)),
            ),
        ] {
            assert_eq!(one.or_newer(other), expected);
        }
    }
}
