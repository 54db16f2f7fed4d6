//! One recording of the ledger, and what of it is on the disk.
//!
//! **Invariant**: nothing is called damaged or missing by a row that a backup has replaced since.

use std::io;

use super::rows::{Reading, Row};
use super::{Broken, Job, tell_read};
use crate::examine::{self, Buffer, difference, was_replaced};
use crate::http::chain;
use crate::layout::metadata_name;
use crate::ledger::{Entry, Ledgers, MediaEntry, MetadataEntry, Sum};
use crate::monitor::{Event, Monitor};
use crate::tree::{Tree, TreeError, joined, on_disk};

/// How often the ledger is asked again for a recording that changes while it is looked at.
const MOST_LOOKS: usize = 3;

/// What is needed to look at a recording.
pub(super) struct Look<'a> {
    pub(super) tree: &'a Tree,
    pub(super) ledger: &'a Ledgers,
    pub(super) job: &'a Job,
    pub(super) monitor: &'a dyn Monitor,
}

/// What came of it.
pub(super) enum Looked {
    /// This.
    At { events: Vec<Event>, broken: Vec<Broken> },
    /// Something may be on its way to its place.
    Later(Row),
}

/// What is on the disk in the place of one file.
enum Found {
    /// What should be; how much of it was read, if it was.
    AsItWas(Option<u64>),
    /// Nothing.
    Nothing,
    /// Another one than the ledger has, which was set aside for it.
    Newer,
    Damaged(String),
}

/// How a file compares with its row.
enum Here {
    Same(Option<u64>),
    Nothing,
    /// Whole, as far as was looked, but not the one that the row speaks of.
    Other(String),
    Broken(String),
}

impl Look<'_> {
    /// Looks at a recording, for the last time or not.
    pub(super) fn at(&self, mut row: Row, is_last: bool, buffer: &mut Buffer) -> Looked {
        let mut found = self.files(&row, buffer);
        for _ in 1..MOST_LOOKS {
            let is_fine = |(_, found): &(String, Found)| matches!(found, Found::AsItWas(_));
            if found.iter().all(is_fine) {
                break;
            }
            let Entry { id, started_at, .. } = &row.entry;
            let Ok(Some(now)) = self.ledger.entry(id, *started_at) else { break };
            if now == row.entry {
                break;
            }
            row.entry = now;
            found = self.files(&row, buffer);
        }
        let may_come = |found: &Found| match found {
            Found::Nothing => !self.job.remember_moved,
            Found::Newer => true,
            Found::AsItWas(_) | Found::Damaged(_) => false,
        };
        if !is_last && found.iter().any(|(_, found)| may_come(found)) {
            return Looked::Later(row);
        }
        self.tell(&row.entry, found)
    }

    fn tell(&self, entry: &Entry, found: Vec<(String, Found)>) -> Looked {
        let (mut events, mut broken) = (Vec::new(), Vec::new());
        let files = entry.media.len() as u64;
        events.push(Event::RecordingLookedAt { recording: entry.id.clone(), files });
        for (path, found) in found {
            let is_broken = match &found {
                Found::Damaged(_) => true,
                Found::Nothing => !self.job.remember_moved,
                Found::AsItWas(_) | Found::Newer => false,
            };
            if is_broken {
                let (id, started_at) = (entry.id.clone(), entry.started_at);
                broken.push(Broken { id, started_at, path: path.clone() });
            }
            events.extend(self.event(entry, path, found));
        }
        events.extend(doubles(entry));
        Looked::At { events, broken }
    }

    fn event(&self, entry: &Entry, path: String, found: Found) -> Option<Event> {
        Some(match found {
            Found::AsItWas(read) => return read.map(|bytes| Event::FileRead { path, bytes }),
            Found::Nothing if self.job.remember_moved => Event::MovedAway { path },
            Found::Nothing => Event::Missing { path, recording: entry.id.clone() },
            Found::Newer => {
                let reason = "it was replaced, and the ledger does not know it yet: run `rcbs \
                              rebuild`";
                Event::Unexplained { path, reason: reason.to_owned() }
            }
            Found::Damaged(reason) => Event::Damaged { path, reason },
        })
    }

    fn files(&self, row: &Row, buffer: &mut Buffer) -> Vec<(String, Found)> {
        let Row { entry, read } = row;
        let mut found = Vec::new();
        for file in &entry.media {
            let path = joined(&entry.folder, &file.name);
            if self.job.scope.covers(&path) {
                let here = self.media(&path, file, read.has(&file.name), buffer);
                let here = self.found(here, &path, file.bytes, file.sha256, buffer);
                found.push((path, here));
            }
        }
        if let Some(metadata) = entry.metadata {
            let path = joined(&entry.folder, &metadata_name(&entry.id));
            if self.job.scope.covers(&path) {
                let here = self.metadata(&path, entry, metadata, read);
                let here = self.found(here, &path, metadata.bytes, metadata.sha256, buffer);
                found.push((path, here));
            }
        }
        found
    }

    /// Tells what has become of a file that is not as the ledger has it.
    fn found(
        &self,
        here: Here,
        path: &str,
        bytes: u64,
        sha256: Option<Sum>,
        buffer: &mut Buffer,
    ) -> Found {
        match here {
            Here::Same(read) => Found::AsItWas(read),
            Here::Nothing => Found::Nothing,
            Here::Broken(reason) => Found::Damaged(reason),
            Here::Other(reason) => match was_replaced(self.tree, path, bytes, sha256, buffer) {
                Ok(true) => Found::Newer,
                Ok(false) | Err(_) => Found::Damaged(reason),
            },
        }
    }

    fn media(&self, path: &str, file: &MediaEntry, is_read: bool, buffer: &mut Buffer) -> Here {
        let bytes = match self.tree.held(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Here::Nothing,
            Err(error) => return Here::Broken(chain(&error)),
        };
        if !is_read {
            return difference(file, bytes, None).map_or(Here::Same(None), Here::Other);
        }
        let on_disk = on_disk(&self.tree.options().root, path);
        match examine::media(&on_disk, buffer, &mut tell_read(self.monitor)) {
            Err(error) if is_gone(&error) => Here::Nothing,
            Err(error) => Here::Broken(chain(&error)),
            Ok(examined) => match examined.structure {
                Err(flaw) => Here::Broken(
                    difference(file, examined.bytes, None).unwrap_or_else(|| chain(&flaw)),
                ),
                Ok(_) => difference(file, examined.bytes, Some(examined.sha256))
                    .map_or(Here::Same(Some(examined.bytes)), Here::Other),
            },
        }
    }

    fn metadata(&self, path: &str, entry: &Entry, row: MetadataEntry, reading: &Reading) -> Here {
        let bytes = match self.tree.held(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Here::Nothing,
            Err(error) => return Here::Broken(chain(&error)),
        };
        let other_length = || format!("it has {bytes} bytes instead of {}", row.bytes);
        if !reading.has_metadata() {
            return if bytes == row.bytes { Here::Same(None) } else { Here::Other(other_length()) };
        }
        let read = match examine::metadata(&on_disk(&self.tree.options().root, path)) {
            Err(error) if is_gone(&error) => return Here::Nothing,
            Err(error) => return Here::Broken(chain(&error)),
            Ok(read) => read,
        };
        match read.recording {
            Err(reason) => Here::Broken(format!("these metadata cannot be read: {reason}")),
            Ok(one)
                if one.id != entry.id
                    || one.started_at.timestamp_millis() != entry.started_at.timestamp_millis() =>
            {
                Here::Broken(format!("these metadata are of another recording, `{}`", one.id))
            }
            Ok(_) if read.bytes != row.bytes => Here::Other(other_length()),
            Ok(_) if row.sha256.is_some_and(|sum| sum != read.sha256) => {
                Here::Other("these metadata are not those that were saved".to_owned())
            }
            Ok(_) => Here::Same(None),
        }
    }
}

/// Names the media files of a recording that have the bytes of an earlier one.
fn doubles(entry: &Entry) -> Vec<Event> {
    let mut events = Vec::new();
    for (at, file) in entry.media.iter().enumerate().filter(|(_, file)| file.bytes > 0) {
        let Some(sum) = file.sha256 else { continue };
        let first = entry.media[..at].iter().find(|earlier| earlier.sha256 == Some(sum));
        if let Some(first) = first {
            let path = joined(&entry.folder, &file.name);
            let reason = format!("it has the same bytes as `{}`", first.name);
            events.push(Event::Doubled { path, reason });
        }
    }
    events
}

pub(super) fn is_gone(error: &TreeError) -> bool {
    matches!(error, TreeError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
