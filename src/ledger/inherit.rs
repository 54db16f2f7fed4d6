//! What an instance learns from the ledgers of others when the shares are dealt anew.
//!
//! **Invariant**: what was held stays held and what had failed stays failed, whoever looks after it
//! now; nothing is taken from the others, and doing it once more changes nothing.

use chrono::{DateTime, Utc};
use openssl::sha::sha256;

use super::{Change, Entry, FailureEntry, Key, Ledger, LedgerError, MediaEntry};
use crate::layout::metadata_name;
use crate::tree::{Tree, joined};

/// How many rows are read at a stroke.
const PAGE: usize = 500;

/// What was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inherited {
    /// Recordings that another ledger knew, or knew better.
    pub recordings: u64,
    /// Failures that nobody has cured.
    pub failures: u64,
}

impl Ledger {
    /// Learns from other ledgers of the same tree what they know of the recordings that are ours
    /// now.
    pub fn inherit(
        &self,
        tree: &Tree,
        others: &[Ledger],
        is_ours: impl Fn(&str) -> bool,
        now: DateTime<Utc>,
    ) -> Result<Inherited, LedgerError> {
        let mut inherited = Inherited::default();
        for other in others {
            let mut behind = Key::default();
            loop {
                let page = other.page(behind, PAGE)?;
                let Some((last, _)) = page.last() else { break };
                behind = *last;
                let ours = page.into_iter().map(|(_, entry)| entry);
                let ours: Vec<_> = ours.filter(|entry| is_ours(&entry.id)).collect();
                inherited.recordings += self.take_entries(tree, ours, now)?;
            }
        }
        for other in others {
            each_failure(other, |page| {
                let ours = page.into_iter().filter(|failure| is_ours(&failure.id));
                let ours = self.uncured(ours.collect())?;
                inherited.failures += ours.len() as u64;
                self.take_failures(&ours)
            })?;
        }
        // What had failed here may have been held by another since.
        each_failure(self, |page| {
            let still = self.uncured(page.clone())?;
            let is_cured = |one: &FailureEntry| one.accepted.is_none() && !still.contains(one);
            let cured: Vec<_> = page.into_iter().filter(is_cured).map(cure).collect();
            self.record(&cured, now)
        })?;
        Ok(inherited)
    }

    fn take_entries(
        &self,
        tree: &Tree,
        entries: Vec<Entry>,
        now: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let keys = entries.iter().map(|entry| (entry.id.as_str(), entry.started_at));
        let known = self.entries_for(keys)?;
        let mut changes = Vec::new();
        for (entry, known) in entries.into_iter().zip(known) {
            let better = match &known {
                None => entry,
                Some(known) => {
                    let mut all = known.clone().or_newer(entry.clone());
                    if all.metadata != entry.metadata && stands(tree, &entry)? {
                        (all.metadata, all.record_hash) = (entry.metadata, entry.record_hash);
                        all.awaits = entry.awaits;
                    }
                    all
                }
            };
            if known.as_ref() != Some(&better) {
                let is_known = |file: &MediaEntry| {
                    known.as_ref().is_some_and(|known| known.media.contains(file))
                };
                let media = better.media.iter().filter(|file| !is_known(file)).cloned().collect();
                changes.push(Change::from(Entry { media, ..better }));
            }
        }
        self.record(&changes, now)?;
        Ok(changes.len() as u64)
    }

    /// Leaves out what is held in spite of having failed.
    fn uncured(&self, failures: Vec<FailureEntry>) -> Result<Vec<FailureEntry>, LedgerError> {
        let keys = failures.iter().map(|one| (one.id.as_str(), one.started_at));
        let entries = self.entries_for(keys)?;
        let is_held = |failure: &FailureEntry, entry: &Entry| {
            let is_of = |file: &&MediaEntry| {
                failure.media_id.is_empty() || file.media_id == failure.media_id
            };
            entry.metadata.is_some()
                && entry.media.iter().filter(is_of).any(|f| f.saved_at >= failure.last_failed_at)
        };
        let all = failures.into_iter().zip(entries);
        let left = all.filter(|(failure, entry)| {
            !entry.as_ref().is_some_and(|entry| is_held(failure, entry))
        });
        Ok(left.map(|(failure, _)| failure).collect())
    }
}

/// Tells whether the metadata file is the one that an entry speaks of.
fn stands(tree: &Tree, entry: &Entry) -> Result<bool, LedgerError> {
    let Some(metadata) = entry.metadata else { return Ok(false) };
    let path = joined(&entry.folder, &metadata_name(&entry.id));
    if tree.held(&path)? != Some(metadata.bytes) {
        return Ok(false);
    }
    let bytes = tree.read(&path)?.unwrap_or_default();
    Ok(metadata.sha256.is_none_or(|sum| sum == sha256(&bytes)))
}

fn each_failure(
    ledger: &Ledger,
    mut take: impl FnMut(Vec<FailureEntry>) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let mut last: Option<FailureEntry> = None;
    loop {
        let behind = last.as_ref();
        let behind = behind.map(|one| (one.started_at, one.id.as_str(), one.media_id.as_str()));
        let page = ledger.failures(from, to, behind, PAGE)?;
        let Some(end) = page.last().cloned() else { return Ok(()) };
        last = Some(end);
        take(page)?;
    }
}

fn cure(failure: FailureEntry) -> Change {
    Change {
        held: None,
        id: failure.id,
        started_at: failure.started_at,
        cured: vec![failure.media_id],
        failures: Vec::new(),
    }
}
