//! One recording: what of it is held, what is fetched, and what is written.
//!
//! Given a recording it gives an [`Outcome`]: the events that tell what became of each of its
//! files. Only what concerns the whole run, refused credentials or a target that cannot be
//! written, is an error.
//!
//! **Invariant:** a file is published only after its length, every sum that the source gave and
//! its envelope's own account agree; metadata are written after the media they speak of.

mod fetch;
mod filling;
mod handling;
mod plain;

use std::sync::Arc;

use regex::Regex;
use tokio::sync::Semaphore;

use crate::envelope::Sealing;
use crate::layout::{self, FolderFormat};
use crate::metadata::{self, PropertyFilter};
use crate::monitor::{Event, FileCounts, Monitor};
use crate::recording::{Location, MediaFile, Recording, matches};
use crate::source::{OpenError, OpenErrorKind, Source};
use crate::tree::{Folder, Tree, TreeError};

/// What decides how recordings are saved.
pub struct Options {
    /// The media types that are wanted; anchored at both ends.
    pub media_type_pattern: Regex,
    /// Whether media are left out altogether.
    pub metadata_only: bool,
    /// Which metadata properties are kept.
    pub metadata_filter: PropertyFilter,
    /// The folders that recordings are sorted into.
    pub folder_format: FolderFormat,
    /// For whom media are encrypted that come as plaintext; none: they are refused.
    pub sealing: Option<Sealing>,
    /// Tries of a media file after the first.
    pub retries: u32,
    /// Whether to tell what would be fetched instead of fetching it.
    pub dry_run: bool,
}

/// What all downloads of a run share.
pub struct Job {
    /// Where media come from.
    pub source: Source,
    /// Where they go.
    pub tree: Arc<Tree>,
    /// Who is told of bytes as they come.
    pub monitor: Arc<dyn Monitor>,
    /// What is wanted.
    pub options: Options,
    /// One permit for each media request that may be under way.
    pub requests: Semaphore,
    /// One permit for each file that may be checked and flushed at the same time.
    pub finishing: Semaphore,
}

/// Why the whole run has to stop.
#[derive(Debug)]
pub enum Halt {
    /// The credentials are refused.
    Denied(OpenError),
    /// The target cannot be written.
    Target(TreeError),
}

/// What became of one recording.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What to tell and to count.
    pub events: Vec<Event>,
    /// Its media files in numbers.
    pub files: FileCounts,
    /// Failures because no service answered.
    pub unanswered: u64,
    /// Failures because the object is forbidden, or its whole bucket is missing.
    pub forbidden: u64,
}

/// Counts the media files of a recording that are wanted, and the bytes they are said to have.
pub fn wanted(options: &Options, recording: &Recording) -> (u64, u64) {
    let wanted = recording.media.iter().filter(|media| is_wanted(options, media));
    wanted.fold((0, 0), |(files, bytes), media| (files + 1, bytes + media.size_bytes.unwrap_or(0)))
}

fn is_wanted(options: &Options, media: &MediaFile) -> bool {
    !options.metadata_only && matches(&options.media_type_pattern, media.media_type.as_deref())
}

/// Saves what is not held of a recording.
pub async fn download(job: &Arc<Job>, recording: Recording) -> Result<Outcome, Halt> {
    let recording = Arc::new(recording);
    let looking = (Arc::clone(job), Arc::clone(&recording));
    let (folder, files) =
        on_disk(move || look(&looking.0, &looking.1)).await.map_err(Halt::Target)?;
    let folder = Arc::new(folder);

    let mut outcome = Outcome::default();
    for file in files {
        let media = &recording.media[file.index];
        let event = match file.state {
            State::LeftOut => left_out(&recording, media),
            State::Held => Event::MediaSkipped {
                recording: recording.id.clone(),
                media: media.id.clone(),
                bytes: media.size_bytes.unwrap_or(0),
            },
            State::Wanted if job.options.dry_run => {
                would_download(&recording, media, &folder, &file)
            }
            State::Wanted => {
                save(job, &recording, media, &folder, &file.name, &mut outcome).await?
            }
        };
        outcome.tell(event);
    }
    if !job.options.dry_run {
        let is_first = folder.metadata.is_none();
        // Beside media that could not be had, the record they were saved from is the better one.
        if is_first || outcome.files.failed == 0 {
            let (job, recording) = (Arc::clone(job), Arc::clone(&recording));
            let written = on_disk(move || write_metadata(&job, &recording, &folder)).await;
            outcome.events.extend(written.map_err(Halt::Target)?);
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn tell(&mut self, event: Event) {
        self.files.apply(&event);
        self.events.push(event);
    }
}

/// Runs work that waits for the disk where waiting holds nobody up.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

struct File {
    /// Its place in the record.
    index: usize,
    name: String,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    LeftOut,
    Held,
    Wanted,
}

fn look(job: &Job, recording: &Recording) -> Result<(Folder, Vec<File>), TreeError> {
    let parent = job.options.folder_format.format(recording.started_at);
    let folder = job.tree.folder(&parent, &recording.id, recording.started_at, |text| {
        metadata::started_at(text) == Some(recording.started_at)
    })?;
    let saved = folder.metadata.as_deref().map(metadata::saved_media).unwrap_or_default();
    let names = names(&folder, &saved, &recording.media)?;
    // A record that was put beside the better one does not become the saved one, but its media came.
    let is_known = || {
        let text = metadata::render(recording.json.get(), &job.options.metadata_filter);
        job.tree.is_beside(&folder, &layout::metadata_name(&recording.id), text.as_bytes())
    };
    let mut files = Vec::with_capacity(names.len());
    for (index, (media, name)) in recording.media.iter().zip(names).enumerate() {
        let state = if !is_wanted(&job.options, media) {
            State::LeftOut
        } else if folder.held(&name)?.is_some() && (!was_replaced(media, &saved) || is_known()?) {
            State::Held
        } else {
            State::Wanted
        };
        files.push(File { index, name, state });
    }
    Ok((folder, files))
}

/// Whether the record now points elsewhere, or to another size, than when the file was saved.
fn was_replaced(media: &MediaFile, saved: &[MediaFile]) -> bool {
    if matches!(media.location, Location::Unusable { .. }) {
        return false;
    }
    let mut same = saved.iter().filter(|before| before.id == media.id).peekable();
    same.peek().is_some()
        && same.all(|before| {
            before.location != media.location || before.size_bytes != media.size_bytes
        })
}

/// Decides the file names of a recording's media, so that each file keeps the name it has: those
/// that were saved come first, then the new ones by their ids.
fn names(
    folder: &Folder,
    saved: &[MediaFile],
    media: &[MediaFile],
) -> Result<Vec<String>, TreeError> {
    // The same id twice in one record is two files, so ids are matched one to one.
    let mut new: Vec<&MediaFile> = media.iter().collect();
    for before in saved {
        if let Some(again) = new.iter().position(|one| one.id == before.id) {
            new.remove(again);
        }
    }
    new.sort_by_key(|one| &one.id);
    let all: Vec<_> =
        saved.iter().chain(new).map(|one| (one.id.as_str(), one.media_type.as_deref())).collect();
    let names = layout::media_names(&all, |name| Ok(folder.held(name)?.is_some()))?;
    let mut named: Vec<_> = all.iter().map(|(id, _)| *id).zip(names).collect();
    let take = |one: &MediaFile| {
        let place = named.iter().position(|(id, _)| *id == one.id)?;
        Some(named.remove(place).1)
    };
    Ok(media.iter().filter_map(take).collect())
}

async fn save(
    job: &Arc<Job>,
    recording: &Recording,
    media: &MediaFile,
    folder: &Arc<Folder>,
    name: &str,
    outcome: &mut Outcome,
) -> Result<Event, Halt> {
    let expected = media.size_bytes.unwrap_or(0);
    let (id, media_id) = (recording.id.clone(), media.id.clone());
    job.monitor.on(&Event::MediaStarted {
        recording: id.clone(),
        media: media_id.clone(),
        bytes: expected,
    });
    let fetched = match fetch::fetch(job, media, folder, name).await {
        Ok(fetched) => fetched,
        Err(fetch::FetchError::Tree(error)) => return Err(Halt::Target(error)),
        Err(fetch::FetchError::Open(error)) if concerns_all(&error.kind) => {
            return Err(Halt::Denied(error));
        }
        Err(error) => {
            if let fetch::FetchError::Open(error) = &error {
                match error.kind {
                    OpenErrorKind::Fault(_) => outcome.unanswered += 1,
                    OpenErrorKind::AccessDenied | OpenErrorKind::NoSuchBucket => {
                        outcome.forbidden += 1;
                    }
                    _ => {}
                }
            }
            let reason = crate::http::chain(&error);
            return Ok(Event::MediaFailed { recording: id, media: media_id, reason });
        }
    };
    if let Some(warning) = fetched.warning {
        let text = format!("recording {id}: media file {media_id} {warning}");
        outcome.events.push(Event::Warning { text });
    }
    Ok(Event::MediaSaved { recording: id, media: media_id, bytes: fetched.bytes })
}

/// Whether an object's refusal would meet every other object as well.
fn concerns_all(kind: &OpenErrorKind) -> bool {
    matches!(
        kind,
        OpenErrorKind::Credentials(_) | OpenErrorKind::NoCredentials | OpenErrorKind::ClockSkew
    )
}

fn left_out(recording: &Recording, media: &MediaFile) -> Event {
    Event::LeftOut {
        recording: recording.id.clone(),
        media: media.id.clone(),
        media_type: media.media_type.clone().unwrap_or_default(),
    }
}

fn would_download(recording: &Recording, media: &MediaFile, folder: &Folder, file: &File) -> Event {
    Event::WouldDownload {
        recording: recording.id.clone(),
        media: media.id.clone(),
        path: format!("{}/{}", folder.path, file.name),
        bytes: media.size_bytes.unwrap_or(0),
    }
}

fn write_metadata(
    job: &Job,
    recording: &Recording,
    folder: &Folder,
) -> Result<Option<Event>, TreeError> {
    let filter = &job.options.metadata_filter;
    let text = metadata::render(recording.json.get(), filter);
    let name = layout::metadata_name(&recording.id);
    let id = recording.id.clone();
    match &folder.metadata {
        Some(before) if *before == text => Ok(None),
        // A property that is now excluded is no loss.
        Some(before) if metadata::loses(&metadata::render(before, filter), &text) => {
            let kept = job.tree.put_beside(folder, &name, text.as_bytes())?;
            let path = kept.path;
            Ok(kept.is_new.then_some(Event::MetadataKeptBeside { recording: id, path }))
        }
        _ => {
            let mut staged = job.tree.stage()?;
            staged.write_all(text.as_bytes())?;
            job.tree.publish(staged, folder, &name)?;
            Ok(Some(Event::MetadataSaved { recording: id }))
        }
    }
}
