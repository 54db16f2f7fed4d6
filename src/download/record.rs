//! What is to be committed of a recording: its metadata, and what the ledger learns.
//!
//! **Invariant:** the metadata file speaks only of media that are held with it; a record that lost
//! something never replaces the better one.

use chrono::SubsecRound;
use openssl::sha::sha256;

use super::held::{Held, is_left_alone};
use super::{Halt, Job, Outcome, Ready, Work};
use crate::layout;
use crate::ledger::{self, Change, Entry, MetadataEntry};
use crate::metadata;
use crate::monitor::Event;
use crate::recording::Recording;
use crate::tree::{Placement, TreeError};

/// Puts together what is to be committed; nothing if all is as it was.
pub(super) fn record(
    job: &Job,
    recording: &Recording,
    held: Held,
    mut work: Work,
) -> Result<(Outcome, Option<Ready>), Halt> {
    let hash = ledger::record_hash(recording.json.get(), &job.options.metadata_filter.rules());
    let metadata = metadata_now(job, recording, &held, hash, &mut work)?;
    let started_at = recording.started_at.trunc_subsecs(3);
    let entry = Entry {
        id: recording.id.clone(),
        started_at,
        folder: held.folder.path.clone(),
        record_hash: if metadata.is_current {
            Some(hash)
        } else {
            held.entry.as_ref().and_then(|entry| entry.record_hash)
        },
        metadata: metadata.entry,
        awaits: recording.awaits,
        media: work.saved,
    };
    let is_known = held.entry.as_ref().is_some_and(|known| {
        entry.media.is_empty() && Entry { media: Vec::new(), ..known.clone() } == entry
    });
    let is_cured = held.failures.iter().any(|failure| work.held.contains(&failure.media_id));
    if is_known && !is_cured && work.failures.is_empty() && work.placements.is_empty() {
        return Ok((work.outcome, None));
    }
    let change = Change {
        id: recording.id.clone(),
        started_at,
        held: Some(entry),
        cured: work.held,
        failures: work.failures,
    };
    let ready = Ready { placements: work.placements, cured: work.cured, change };
    Ok((work.outcome, Some(ready)))
}

/// The metadata file as it will be.
struct Metadata {
    entry: Option<MetadataEntry>,
    /// Whether all was done that the record of now asks for.
    is_current: bool,
}

fn metadata_now(
    job: &Job,
    recording: &Recording,
    held: &Held,
    hash: [u8; 16],
    work: &mut Work,
) -> Result<Metadata, TreeError> {
    let name = layout::metadata_name(&recording.id);
    let known = held.entry.as_ref();
    let entry = known.and_then(|entry| entry.metadata);
    let there = held.folder.held(&name)?;
    if known.is_some_and(|known| known.record_hash == Some(hash)) {
        let is_as_it_was = there.is_some() && there == entry.map(|entry| entry.bytes);
        let is_moved = there.is_none() && is_left_alone(job, recording);
        if is_as_it_was || is_moved {
            return Ok(Metadata { entry, is_current: true });
        }
    }
    // Beside media that could not be had, the record they were saved from is the better one.
    if there.is_some() && work.outcome.files.failed > 0 {
        return Ok(Metadata { entry, is_current: false });
    }
    let filter = &job.options.metadata_filter;
    let text = metadata::render(recording.json.get(), filter);
    let before = match &held.folder.metadata {
        Some(text) => Some(text.clone()),
        None => {
            let bytes = job.tree.read(&format!("{}/{name}", held.folder.path))?;
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
    };
    let id = recording.id.clone();
    let is_current = true;
    match before {
        Some(before) if before == text => Ok(Metadata { entry: Some(entry_of(&text)), is_current }),
        // A property that is now excluded is no loss.
        Some(before) if metadata::loses(&metadata::render(&before, filter), &text) => {
            let kept = job.tree.put_beside(&held.folder, &name, text.as_bytes())?;
            if kept.is_new {
                let path = kept.path;
                work.outcome.events.push(Event::MetadataKeptBeside { recording: id, path });
            }
            Ok(Metadata { entry: Some(entry_of(&before)), is_current })
        }
        _ => {
            let mut staged = job.tree.stage()?;
            staged.write_all(text.as_bytes())?;
            let folder = held.folder.path.clone();
            work.placements.push(Placement { staged, folder, name });
            work.outcome.events.push(Event::MetadataSaved { recording: id });
            Ok(Metadata { entry: Some(entry_of(&text)), is_current })
        }
    }
}

fn entry_of(text: &str) -> MetadataEntry {
    MetadataEntry { bytes: text.len() as u64, sha256: Some(sha256(text.as_bytes())) }
}
