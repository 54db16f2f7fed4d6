//! The files of one folder, and what the ledger has of them.
//!
//! **Invariant**: what the ledger does not know is no damage as long as it is whole: a backup gives
//! files their names before it writes them down.

use std::collections::HashSet;

use super::{Job, Scope, tell_read};
use crate::examine::{self, Buffer};
use crate::http::chain;
use crate::layout::metadata_name;
use crate::ledger::{Entry, LedgerError, Ledgers};
use crate::monitor::{Event, Monitor};
use crate::recording::Recording;
use crate::tree::{Found, Tree, TreeError, Walked, joined, on_disk};

/// The only file of ours that lies among the recordings.
const WATERMARK: &str = "last_recording_endtime.txt";

const UNKNOWN: &str = "it is not in the ledger: run `rcbs rebuild`";

/// What is needed to look at a folder.
pub(super) struct Strays<'a> {
    pub(super) tree: &'a Tree,
    /// None where there is none that can be read.
    pub(super) ledger: Option<&'a Ledgers>,
    pub(super) job: &'a Job,
    pub(super) monitor: &'a dyn Monitor,
}

impl Strays<'_> {
    /// Looks at the files of a folder, and reads those of its media that are to be read and that
    /// the ledger does not know.
    pub(super) fn of(
        &self,
        folder: Result<(Walked, Vec<bool>), TreeError>,
        buffer: &mut Buffer,
    ) -> Vec<Event> {
        match folder {
            Ok((folder, read)) => match self.files(&folder, &read, buffer) {
                Ok(events) => events,
                Err(error) => vec![Event::Blind { reason: chain(&error) }],
            },
            Err(error) => {
                let path = self.tree.options().root.display().to_string();
                vec![Event::Damaged { path, reason: chain(&error) }]
            }
        }
    }

    fn files(
        &self,
        folder: &Walked,
        read: &[bool],
        buffer: &mut Buffer,
    ) -> Result<Vec<Event>, LedgerError> {
        let scope = &self.job.scope;
        let (entries, known) = self.known(&folder.path)?;
        let mut events = Vec::new();
        let mut described = None;
        if let Some(found) = folder.metadata.as_ref().filter(|found| !known.contains(&found.name)) {
            let path = joined(&folder.path, &found.name);
            let (event, recording) = self.metadata(path, &folder.path)?;
            events.extend(event);
            described = recording;
        }
        let is_meant = match &described {
            Some(recording) => scope.has_time(recording.started_at),
            None => entries.is_empty() || entries.iter().any(|one| scope.has_time(one.started_at)),
        };
        if !is_meant {
            return Ok(Vec::new());
        }
        let strays = folder.media.iter().zip(read).filter(|(file, _)| !known.contains(&file.name));
        let mut files = 0;
        for (file, is_read) in strays {
            files += 1;
            let path = joined(&folder.path, &file.name);
            if scope.covers(&path) {
                events.extend(self.media(path, folder, file, *is_read, buffer)?);
            }
        }
        if self.ledger.is_none() && (files > 0 || folder.metadata.is_some()) {
            let recording = described.map_or_else(|| folder.path.clone(), |one| one.id);
            events.push(Event::RecordingLookedAt { recording, files });
        }
        let path = |file: &Found| joined(&folder.path, &file.name);
        events.extend(folder.raw.iter().map(|file| Event::KeptRaw { path: path(file) }));
        for path in folder.others.iter().map(path).filter(|path| path != WATERMARK) {
            if !known.contains(path.rsplit('/').next().unwrap_or(&path)) {
                let reason = "it is no file of a recording".to_owned();
                events.push(Event::Unexplained { path, reason });
            }
        }
        events.retain(|event| is_covered(event, scope));
        Ok(events)
    }

    /// Gives the recordings that are said to be in a folder, and the names of their files.
    fn known(&self, folder: &str) -> Result<(Vec<Entry>, HashSet<String>), LedgerError> {
        let entries = match self.ledger {
            Some(ledger) => ledger.entries_in(folder)?,
            None => Vec::new(),
        };
        let mut names = HashSet::new();
        for entry in &entries {
            names.extend(entry.media.iter().map(|file| file.name.clone()));
            names.extend(entry.metadata.map(|_| metadata_name(&entry.id)));
        }
        Ok((entries, names))
    }

    fn metadata(
        &self,
        path: String,
        folder: &str,
    ) -> Result<(Option<Event>, Option<Recording>), LedgerError> {
        let recording = match examine::metadata(&on_disk(&self.tree.options().root, &path)) {
            Err(error) if super::look::is_gone(&error) => return Ok((None, None)),
            Err(error) => {
                return Ok((Some(Event::Damaged { path, reason: chain(&error) }), None));
            }
            Ok(read) => read.recording,
        };
        let recording = match recording {
            Ok(recording) => recording,
            Err(reason) => {
                let reason = format!("these metadata cannot be read: {reason}");
                return Ok((Some(Event::Damaged { path, reason }), None));
            }
        };
        let Some(ledger) = self.ledger else { return Ok((None, Some(recording))) };
        let event = match ledger.entry(&recording.id, recording.started_at)? {
            // It came while we were reading.
            Some(entry) if entry.folder == folder && entry.metadata.is_some() => None,
            Some(entry) if entry.folder == folder => {
                Some(Event::Unexplained { path, reason: UNKNOWN.to_owned() })
            }
            Some(entry) => {
                let other = joined(&entry.folder, &metadata_name(&entry.id));
                Some(match self.tree.held(&other) {
                    Ok(Some(_)) => {
                        let reason = format!("the recording is held in `{}` too", entry.folder);
                        Event::Doubled { path, reason }
                    }
                    Ok(None) | Err(_) => {
                        let reason = format!(
                            "the ledger has this recording in `{}`: run `rcbs rebuild`",
                            entry.folder
                        );
                        Event::Unexplained { path, reason }
                    }
                })
            }
            None => Some(Event::Unexplained { path, reason: UNKNOWN.to_owned() }),
        };
        Ok((event, Some(recording)))
    }

    fn media(
        &self,
        path: String,
        folder: &Walked,
        file: &Found,
        is_read: bool,
        buffer: &mut Buffer,
    ) -> Result<Vec<Event>, LedgerError> {
        let mut events = Vec::new();
        if is_read {
            let on_disk = on_disk(&self.tree.options().root, &path);
            match examine::media(&on_disk, buffer, &mut tell_read(self.monitor)) {
                Err(error) if super::look::is_gone(&error) => return Ok(events),
                Err(error) => {
                    return Ok(vec![Event::Damaged { path, reason: chain(&error) }]);
                }
                Ok(examined) => {
                    let bytes = examined.bytes;
                    events.push(Event::FileRead { path: path.clone(), bytes });
                    if let Err(flaw) = examined.structure {
                        return Ok(vec![Event::Damaged { path, reason: chain(&flaw) }]);
                    }
                }
            }
        }
        // Without a ledger nothing else is to be expected; with one it may know the file by now.
        if self.ledger.is_some() && !self.known(&folder.path)?.1.contains(&file.name) {
            events.push(Event::Unexplained { path, reason: UNKNOWN.to_owned() });
        }
        Ok(events)
    }
}

fn is_covered(event: &Event, scope: &Scope) -> bool {
    match event {
        Event::Damaged { path, .. }
        | Event::Unexplained { path, .. }
        | Event::Doubled { path, .. }
        | Event::KeptRaw { path } => scope.covers(path),
        _ => true,
    }
}
