//! What stands in one folder, as the ledger would have it.
//!
//! **Invariant**: reads only, and asks no ledger.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use chrono::{DateTime, Utc};

use super::{Job, Sums};
use crate::examine::{self, Buffer, Examined};
use crate::http::chain;
use crate::layout::{media_names, metadata_name};
use crate::ledger::{Entry, MediaEntry, MetadataEntry, SourceHash};
use crate::monitor::{Event, Monitor};
use crate::recording::{MediaFile, Recording};
use crate::tree::{Found, TreeError, Walked, joined, on_disk};

/// What stands in one folder.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The recording, with the media files that are there and whole; none where no record says
    /// what it is.
    pub(super) entry: Option<Entry>,
    /// The media, by their ids, whose files are not whole, and why.
    pub(super) flawed: Vec<(String, String)>,
    /// What is to be told.
    pub(super) events: Vec<Event>,
}

/// Looks at the files of a folder.
pub(super) fn look(
    root: &Path,
    folder: Walked,
    job: &Job,
    buffer: &mut Buffer,
    monitor: &dyn Monitor,
) -> Seen {
    let mut seen = Seen::default();
    let folder_on_disk = on_disk(root, &folder.path);
    let described = folder.metadata.as_ref().map(|found| {
        let path = joined(&folder.path, &found.name);
        (path, examine::metadata(&folder_on_disk.join(&found.name)), &found.name)
    });
    let mut recording = None;
    let mut metadata_entry = None;
    match described {
        None => {}
        Some((path, Err(error), _)) => seen.damaged(path, chain(&error)),
        Some((path, Ok(metadata), name)) => match metadata.recording {
            Err(reason) => {
                let reason = format!("these metadata cannot be read: {reason}");
                seen.damaged(path, reason);
            }
            Ok(described) if metadata_name(&described.id) != *name => {
                let reason = format!("it describes the recording `{}`", described.id);
                seen.events.push(Event::Unexplained { path, reason });
            }
            Ok(described) => {
                let (bytes, sha256) = (metadata.bytes, Some(metadata.sha256));
                metadata_entry = Some(MetadataEntry { bytes, sha256 });
                recording = Some(described);
            }
        },
    }
    // Whoever looks after its recording tells what is odd about a folder.
    if recording.as_ref().is_some_and(|recording| !job.is_meant(&recording.id)) {
        return Seen::default();
    }
    let files = folder.media.len() as u64;
    let raw = folder.raw.iter().map(|file| joined(&folder.path, &file.name));
    seen.events.extend(raw.map(|path| Event::KeptRaw { path }));
    let name = recording.as_ref().map_or(&folder.path, |recording| &recording.id).clone();
    seen.events.push(Event::RecordingLookedAt { recording: name, files });
    let Some(recording) = recording else {
        for file in &folder.media {
            let reason = "no metadata say what it is".to_owned();
            seen.unexplained(&folder, file, reason);
        }
        return seen;
    };
    let named = named(&recording, &folder);
    let mut media = Vec::new();
    for file in &folder.media {
        let Some((_, of)) = named.iter().find(|(name, _)| *name == file.name) else {
            seen.unexplained(&folder, file, "its metadata do not speak of it".to_owned());
            continue;
        };
        let path = folder_on_disk.join(&file.name);
        match entry(&path, file, of, job.sums, buffer, monitor) {
            Ok((entry, read)) => {
                let path = joined(&folder.path, &file.name);
                seen.events.extend(read.map(|bytes| Event::FileRead { path, bytes }));
                media.push(entry);
            }
            Err(reason) => {
                seen.flawed.push((of.id.clone(), reason.clone()));
                seen.damaged(joined(&folder.path, &file.name), reason);
            }
        }
    }
    seen.entry = Some(Entry {
        id: recording.id,
        started_at: recording.started_at,
        folder: folder.path,
        record_hash: None,
        metadata: metadata_entry,
        awaits: recording.awaits,
        media,
    });
    seen
}

/// Tells that a folder, or something in it, cannot be looked at.
pub(super) fn unread(root: &Path, error: &TreeError) -> Seen {
    let path = root.display().to_string();
    let events = vec![Event::Damaged { path, reason: chain(error) }];
    Seen { events, ..Seen::default() }
}

impl Seen {
    fn damaged(&mut self, path: String, reason: String) {
        self.events.push(Event::Damaged { path, reason });
    }

    fn unexplained(&mut self, folder: &Walked, file: &Found, reason: String) {
        let path = joined(&folder.path, &file.name);
        self.events.push(Event::Unexplained { path, reason });
    }
}

/// Gives the name of each media file that the record speaks of.
fn named<'a>(recording: &'a Recording, folder: &Walked) -> Vec<(String, &'a MediaFile)> {
    let ids: Vec<_> =
        recording.media.iter().map(|one| (one.id.as_str(), one.media_type.as_deref())).collect();
    let is_there = |name: &str| folder.media.iter().any(|file| file.name == name);
    let Ok(names) = media_names(&ids, &[], |name| Ok::<_, Infallible>(is_there(name)));
    names.into_iter().zip(&recording.media).collect()
}

/// Gives what the ledger would know of a file, and how much of it was read; or why it is not whole.
fn entry(
    path: &Path,
    file: &Found,
    media: &MediaFile,
    sums: Sums,
    buffer: &mut Buffer,
    monitor: &dyn Monitor,
) -> Result<(MediaEntry, Option<u64>), String> {
    let mut entry = MediaEntry {
        name: file.name.clone(),
        media_id: media.id.clone(),
        source: SourceHash::of(&media.location),
        size: media.size_bytes,
        bytes: file.bytes,
        sha256: None,
        etag: None,
        checked: String::new(),
        form: None,
        key_serial: None,
        saved_at: written_at(path),
    };
    if sums == Sums::Skip {
        let ends = examine::ends(path).map_err(|error| chain(&error))?;
        return ends.map(|()| (entry, None)).map_err(|flaw| chain(&flaw));
    }
    let read = examine::media(path, buffer, &mut |bytes| monitor.on(&Event::SealedRead { bytes }));
    let Examined { bytes, sha256, structure } = read.map_err(|error| chain(&error))?;
    let whole = structure.map_err(|flaw| chain(&flaw))?;
    entry.bytes = bytes;
    entry.sha256 = Some(sha256);
    entry.form = whole.form.map(str::to_owned);
    entry.key_serial = whole.key_serial;
    Ok((entry, Some(bytes)))
}

/// Gives the time at which a file was written, as the file system has it.
fn written_at(path: &Path) -> DateTime<Utc> {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    millis.and_then(DateTime::from_timestamp_millis).unwrap_or_default()
}
