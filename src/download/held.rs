//! What of a recording is held: by the ledger, by the files that stand there, and where there is
//! no ledger's word, by the metadata saved with them.
//!
//! Given a recording as listed now, gives its folder and, for each of its media files, the name
//! and whether it is held.
//!
//! **Invariant:** a file counts as held only if it stands under its final name, with the length
//! that the ledger has, or where that knows nothing of it, with its envelope's end at its own;
//! only what was moved away may be left alone, and only if that is wished.

use std::sync::Arc;

use super::{Again, Halt, Job, is_wanted};
use crate::examine::{self, Buffer, Examined, Flaw};
use crate::http::chain;
use crate::layout;
use crate::ledger::{Entry, FailureEntry, MediaEntry, SourceHash};
use crate::metadata;
use crate::recording::{Location, MediaFile, Recording};
use crate::tree::{Folder, TreeError, joined, on_disk};

/// What is held of a recording.
pub(super) struct Held {
    pub(super) folder: Arc<Folder>,
    /// What the ledger knows.
    pub(super) entry: Option<Entry>,
    /// What had failed of it when the run began.
    pub(super) failures: Vec<FailureEntry>,
}

/// A media file's place, and what is there.
pub(super) struct File {
    /// Its place in the record.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) state: State,
    /// What was kept in its place, if something was.
    pub(super) raw: Option<String>,
    /// What is odd about what was there.
    pub(super) warning: Option<String>,
}

/// Whether a media file is held.
pub(super) enum State {
    LeftOut,
    /// It is; what the ledger is to learn of it, if it does not know it.
    Held(Option<Box<MediaEntry>>),
    /// It was, and has been moved away since.
    Moved,
    Wanted,
}

impl Held {
    /// Tells whether an operator has accepted that a media file is lost.
    pub(super) fn has_accepted(&self, media_id: &str) -> bool {
        let accepted = |failure: &FailureEntry| {
            failure.accepted.is_some()
                && (failure.media_id == media_id || failure.media_id.is_empty())
        };
        self.failures.iter().any(accepted)
    }
}

/// Looks at what is there, given what the ledger knows.
pub(super) fn look(
    job: &Job,
    recording: &Recording,
    entry: Option<Entry>,
) -> Result<(Held, Vec<File>), Halt> {
    let (id, started_at) = (recording.id.as_str(), recording.started_at);
    let ledger = job.ledger.as_deref();
    let failures = match ledger.filter(|_| job.failing.has(id, started_at)) {
        Some(ledger) => ledger.failures_of(id, started_at)?,
        None => Vec::new(),
    };
    let known = entry.as_ref().map(|entry| job.tree.known_folder(&entry.folder, started_at));
    let folder = match known.transpose()?.flatten() {
        Some(folder) => folder,
        None => {
            let parent = job.options.folder_format.format(started_at);
            job.tree.folder(&parent, id, started_at, |text| {
                metadata::started_at(text) == Some(started_at)
            })?
        }
    };
    let named = match &entry {
        Some(entry) => by_ledger(&folder, entry, &recording.media)?,
        None => by_metadata(&folder, &recording.media)?,
    };
    let mut files = Vec::with_capacity(named.len());
    for (index, Named { name, before }) in named.into_iter().enumerate() {
        let media = &recording.media[index];
        let (state, warning) = match is_wanted(&job.options, media) {
            true => state(job, recording, media, &folder, &name, before)?,
            false => (State::LeftOut, None),
        };
        let raw = match state {
            State::Wanted => Some(layout::raw_name(&name)),
            _ => None,
        };
        let is_there = raw.as_ref().map(|raw| folder.held(raw)).transpose()?.flatten().is_some();
        files.push(File { index, name, state, raw: raw.filter(|_| is_there), warning });
    }
    Ok((Held { folder: Arc::new(folder), entry, failures }, files))
}

/// A media file's name, and what is known of the file that was saved under it.
struct Named<'e> {
    name: String,
    before: Before<'e>,
}

enum Before<'e> {
    /// Nothing.
    Unknown,
    /// What the ledger says.
    Ledger(&'e MediaEntry),
    /// That it came from these places, with these sizes, as the saved metadata say.
    Metadata(Vec<MediaFile>),
}

fn state(
    job: &Job,
    recording: &Recording,
    media: &MediaFile,
    folder: &Folder,
    name: &str,
    before: Before<'_>,
) -> Result<(State, Option<String>), TreeError> {
    let there = folder.held(name)?;
    Ok(match (before, there) {
        (Before::Ledger(_), None) if is_left_alone(job, recording) => (State::Moved, None),
        (Before::Ledger(entry), Some(bytes)) if bytes != entry.bytes => {
            let warning = format!("had {bytes} bytes on the disk instead of {}", entry.bytes);
            (State::Wanted, Some(kept_aside(warning)))
        }
        (Before::Ledger(entry), Some(_)) if is_other(media, entry.source, entry.size) => {
            (State::Wanted, None)
        }
        (Before::Ledger(_), Some(_)) => (State::Held(None), None),
        (Before::Metadata(saved), Some(_))
            if was_replaced(job, recording, media, folder, &saved)? =>
        {
            (State::Wanted, None)
        }
        (Before::Unknown | Before::Metadata(_), Some(_)) => {
            match job.ledger.as_ref().filter(|_| !job.options.dry_run) {
                None => (State::Held(None), None),
                Some(_) => match adopt(job, media, folder, name)? {
                    Ok(entry) => (State::Held(Some(Box::new(entry))), None),
                    Err(flaw) => (State::Wanted, Some(kept_aside(chain(&flaw)))),
                },
            }
        }
        (_, None) => (State::Wanted, None),
    })
}

fn kept_aside(warning: String) -> String {
    format!("{warning}; what was there is kept in `.rcbs/old`")
}

/// Whether what was moved away is not to be fetched again.
pub(super) fn is_left_alone(job: &Job, recording: &Recording) -> bool {
    job.options.remember_moved
        && match &job.options.again {
            Again::Never => true,
            Again::Of(ids) => !ids.contains(&recording.id),
            Again::All => false,
        }
}

/// Whether the record now points elsewhere, or to another size, than when the file was saved.
fn is_other(media: &MediaFile, source: SourceHash, size: Option<u64>) -> bool {
    !matches!(media.location, Location::Unusable { .. })
        && (SourceHash::of(&media.location) != source || media.size_bytes != size)
}

/// The same, by the metadata that were saved with it.
fn was_replaced(
    job: &Job,
    recording: &Recording,
    media: &MediaFile,
    folder: &Folder,
    saved: &[MediaFile],
) -> Result<bool, TreeError> {
    let is_other =
        |before: &MediaFile| is_other(media, SourceHash::of(&before.location), before.size_bytes);
    if saved.is_empty() || !saved.iter().all(is_other) {
        return Ok(false);
    }
    // A record that was put beside the better one does not become the saved one, but its media came.
    let text = metadata::render(recording.json.get(), &job.options.metadata_filter);
    let name = layout::metadata_name(&recording.id);
    Ok(!job.tree.is_beside(folder, &name, text.as_bytes())?)
}

/// Learns of a file that got its name before the ledger was written, or from another program,
/// which may have been stopped in the middle of it.
fn adopt(
    job: &Job,
    media: &MediaFile,
    folder: &Folder,
    name: &str,
) -> Result<Result<MediaEntry, Flaw>, TreeError> {
    let path = joined(&folder.path, name);
    let on_disk = on_disk(&job.tree.options().root, &path);
    let Examined { bytes, sha256, structure } =
        examine::media(&on_disk, &mut Buffer::default(), &mut |_| {})?;
    Ok(structure.map(|whole| MediaEntry {
        name: name.to_owned(),
        media_id: media.id.clone(),
        source: SourceHash::of(&media.location),
        size: media.size_bytes,
        bytes,
        sha256: Some(sha256),
        etag: None,
        checked: String::new(),
        form: whole.form.map(str::to_owned),
        key_serial: whole.key_serial,
        saved_at: job.now,
    }))
}

/// Names the media of a recording that the ledger knows: each file keeps its name, and what is new
/// gets one beside them.
fn by_ledger<'e>(
    folder: &Folder,
    entry: &'e Entry,
    media: &[MediaFile],
) -> Result<Vec<Named<'e>>, TreeError> {
    // The same id may stand twice in a record, for two files; then their places tell them apart.
    let mut known: Vec<Option<&'e MediaEntry>> = entry.media.iter().map(Some).collect();
    let mut take = |is_it: &dyn Fn(&MediaEntry) -> bool| {
        let at = known.iter().position(|one| one.is_some_and(is_it))?;
        known[at].take()
    };
    let mut found: Vec<Option<&'e MediaEntry>> = media
        .iter()
        .map(|one| {
            let source = SourceHash::of(&one.location);
            take(&|before| before.media_id == one.id && before.source == source)
        })
        .collect();
    for (one, found) in media.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
        *found = take(&|before| before.media_id == one.id);
    }
    let mut new: Vec<(usize, &MediaFile)> =
        media.iter().enumerate().filter(|(index, _)| found[*index].is_none()).collect();
    new.sort_by_key(|(_, one)| &one.id);
    let ids: Vec<_> =
        new.iter().map(|(_, one)| (one.id.as_str(), one.media_type.as_deref())).collect();
    let taken: Vec<_> = entry.media.iter().map(|one| one.name.as_str()).collect();
    let names = layout::media_names(&ids, &taken, |name| Ok(folder.held(name)?.is_some()))?;
    let mut names: Vec<_> = new.iter().map(|(index, _)| *index).zip(names).collect();
    names.sort_by_key(|(index, _)| *index);
    let mut names = names.into_iter().map(|(_, name)| name);
    let named = |found: Option<&'e MediaEntry>| match found {
        Some(entry) => Named { name: entry.name.clone(), before: Before::Ledger(entry) },
        None => Named { name: names.next().unwrap_or_default(), before: Before::Unknown },
    };
    Ok(found.into_iter().map(named).collect())
}

/// Names the media of a recording that the ledger does not know, so that each file keeps the name
/// it has: those that were saved come first, then the new ones by their ids.
fn by_metadata(folder: &Folder, media: &[MediaFile]) -> Result<Vec<Named<'static>>, TreeError> {
    let saved = folder.metadata.as_deref().map(metadata::saved_media).unwrap_or_default();
    // The same id twice in one record is two files, so ids are matched one to one.
    let mut new: Vec<&MediaFile> = media.iter().collect();
    for before in &saved {
        if let Some(again) = new.iter().position(|one| one.id == before.id) {
            new.remove(again);
        }
    }
    new.sort_by_key(|one| &one.id);
    let all: Vec<_> =
        saved.iter().chain(new).map(|one| (one.id.as_str(), one.media_type.as_deref())).collect();
    let names = layout::media_names(&all, &[], |name| Ok(folder.held(name)?.is_some()))?;
    let mut named: Vec<_> = all.iter().map(|(id, _)| *id).zip(names).collect();
    let take = |one: &MediaFile| {
        let place = named.iter().position(|(id, _)| *id == one.id)?;
        let name = named.remove(place).1;
        let before = saved.iter().filter(|before| before.id == one.id).cloned().collect();
        Some(Named { name, before: Before::Metadata(before) })
    };
    Ok(media.iter().filter_map(take).collect())
}
