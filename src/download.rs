//! One recording: what of it is held, what is fetched, and what is ready to be committed.
//!
//! Given a recording it gives an [`Outcome`], the events that tell what became of each of its
//! files, and the staged files that must be committed before they are true. Only what concerns the
//! whole run, refused credentials or a target that cannot be written, is an error.
//!
//! **Invariant:** a file is ready only after its length, every sum that the source gave and its
//! envelope's own account agree; nothing gets its final name here.

mod fetch;
mod filling;
mod handling;
mod held;
mod parts;
mod plain;
mod record;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use regex::Regex;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use self::fetch::{FetchError, Fetched};
use self::held::{File, Held, State};
pub use self::parts::PARTS_AHEAD;
use crate::envelope::Sealing;
use crate::gate::Gate;
use crate::layout::FolderFormat;
use crate::ledger::{Change, Entry, Failing, Ledger, LedgerError, MediaEntry, SourceHash};
use crate::metadata::PropertyFilter;
use crate::monitor::{Event, FileCounts, Monitor};
use crate::recording::{MediaFile, Recording, matches};
use crate::source::{OpenError, OpenErrorKind, Source};
use crate::tree::{Placement, Tree, TreeError};

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
    /// Whether what was saved and then moved away is left alone.
    pub remember_moved: bool,
    /// What is fetched again although it was moved away.
    pub again: Again,
    /// Tries of a media file after the first.
    pub retries: u32,
    /// Whether to tell what would be fetched instead of fetching it.
    pub dry_run: bool,
}

/// Which recordings are fetched again although they were moved away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Again {
    /// None.
    #[default]
    Never,
    /// Those of these ids.
    Of(HashSet<String>),
    /// All.
    All,
}

/// What all downloads of a run share.
pub struct Job {
    /// Where media come from.
    pub source: Source,
    /// Where they go.
    pub tree: Arc<Tree>,
    /// What is held, as earlier runs wrote it down; none in a dry run over a target without one.
    pub ledger: Option<Arc<Ledger>>,
    /// What had failed when the run began.
    pub failing: Failing,
    /// Who is told of bytes as they come.
    pub monitor: Arc<dyn Monitor>,
    /// What is wanted.
    pub options: Options,
    /// What lets media requests pass, wherever they go.
    pub requests: Arc<Gate>,
    /// One permit for each part of a large object that may come ahead of its turn.
    pub ahead: Arc<Semaphore>,
    /// One permit for each file that may be checked and flushed at the same time.
    pub finishing: Semaphore,
    /// The time of the run.
    pub now: DateTime<Utc>,
}

/// Why the whole run has to stop.
#[derive(Debug)]
pub enum Halt {
    /// The credentials are refused.
    Denied(OpenError),
    /// The target cannot be written.
    Target(TreeError),
    /// The ledger cannot be read or written.
    Ledger(LedgerError),
}

impl From<TreeError> for Halt {
    fn from(error: TreeError) -> Halt {
        Halt::Target(error)
    }
}

impl From<LedgerError> for Halt {
    fn from(error: LedgerError) -> Halt {
        Halt::Ledger(error)
    }
}

/// What became of one recording, once what is [`Ready`] is committed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What to tell and to count.
    pub events: Vec<Event>,
    /// Its media files in numbers.
    pub files: FileCounts,
    /// What failed in earlier runs and is not listed any more.
    pub still_missing: u64,
    /// Failures because no service answered.
    pub unanswered: u64,
    /// Failures because the object is forbidden, or its whole bucket is missing.
    pub forbidden: u64,
}

/// What must be committed before the outcome of a recording is true.
#[derive(Debug)]
pub struct Ready {
    /// Its files, the media before the metadata that speak of them.
    pub placements: Vec<Placement>,
    /// Paths of what was kept as `.raw`, and is not needed any more.
    pub cured: Vec<String>,
    /// What to write down.
    pub change: Change,
}

/// Counts the media files of a recording that are wanted, and the bytes they are said to have.
pub fn wanted(options: &Options, recording: &Recording) -> (u64, u64) {
    let wanted = recording.media.iter().filter(|media| is_wanted(options, media));
    wanted.fold((0, 0), |(files, bytes), media| (files + 1, bytes + media.size_bytes.unwrap_or(0)))
}

fn is_wanted(options: &Options, media: &MediaFile) -> bool {
    !options.metadata_only && matches(&options.media_type_pattern, media.media_type.as_deref())
}

/// A recording that was looked at.
pub enum Looked {
    /// Nothing of it is to be fetched.
    Done(Done),
    /// Media of it are.
    Wanted(Wanted),
}

/// What became of a recording; there is nothing to commit where all is as it was.
pub type Done = (Outcome, Option<Ready>);

/// A recording of which something is to be fetched.
pub struct Wanted {
    recording: Recording,
    held: Held,
    files: Vec<File>,
}

/// Looks at what is held of recordings; waits for the disk, and for nothing else.
pub fn look(job: &Job, recordings: Vec<Recording>) -> Result<Vec<Looked>, Halt> {
    let entries = match &job.ledger {
        Some(ledger) => {
            let keys = recordings.iter().map(|one| (one.id.as_str(), one.started_at));
            ledger.entries_for(keys)?
        }
        None => recordings.iter().map(|_| None).collect(),
    };
    let all = recordings.into_iter().zip(entries);
    all.map(|(recording, entry)| look_at(job, recording, entry)).collect()
}

fn look_at(job: &Job, recording: Recording, entry: Option<Entry>) -> Result<Looked, Halt> {
    let (held, files) = held::look(job, &recording, entry)?;
    if !job.options.dry_run && files.iter().any(|file| matches!(file.state, State::Wanted)) {
        return Ok(Looked::Wanted(Wanted { recording, held, files }));
    }
    let mut work = Work::default();
    for file in &files {
        let event = as_it_is(&recording, &held, file, &mut work);
        work.outcome.tell(event);
    }
    finish(job, &recording, held, work).map(Looked::Done)
}

/// Fetches what is not held of a recording.
pub async fn download(job: &Arc<Job>, wanted: Wanted) -> Result<Done, Halt> {
    let Wanted { recording, held, files } = wanted;
    let mut work = Work::default();
    for file in &files {
        let event = match &file.state {
            State::Wanted => fetch(job, &recording, &held, file, &mut work).await?,
            _ => as_it_is(&recording, &held, file, &mut work),
        };
        work.outcome.tell(event);
    }
    let job = Arc::clone(job);
    on_disk(move || finish(&job, &recording, held, work)).await
}

fn finish(job: &Job, recording: &Recording, held: Held, mut work: Work) -> Result<Done, Halt> {
    work.outcome.miss(recording, &held);
    match job.options.dry_run {
        true => Ok((work.outcome, None)),
        false => record::record(job, recording, held, work),
    }
}

/// What is done about a recording so far.
#[derive(Debug, Default)]
struct Work {
    outcome: Outcome,
    placements: Vec<Placement>,
    cured: Vec<String>,
    /// The media files that are new in the ledger, or other than before.
    saved: Vec<MediaEntry>,
    /// The ids of all that are held.
    held: Vec<String>,
    failures: Vec<(String, String)>,
}

impl Outcome {
    fn tell(&mut self, event: Event) {
        self.files.apply(&event);
        self.events.push(event);
    }

    /// Tells what failed before and is not in the record any more.
    fn miss(&mut self, recording: &Recording, held: &Held) {
        let is_gone = |media: &str| {
            !media.is_empty() && recording.media.iter().all(|listed| listed.id != media)
        };
        for failure in &held.failures {
            if is_gone(&failure.media_id) && failure.accepted.is_none() {
                self.still_missing += 1;
                self.events.push(Event::StillMissing {
                    recording: recording.id.clone(),
                    media: Some(failure.media_id.clone()),
                    reason: format!(
                        "its record lists it no more; it failed with: {}",
                        failure.cause
                    ),
                });
            }
        }
    }
}

/// Runs work that waits for the disk where waiting holds nobody up.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(done: Result<T, JoinError>) -> T {
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Tells what a media file is that nobody fetches.
fn as_it_is(recording: &Recording, held: &Held, file: &File, work: &mut Work) -> Event {
    let media = &recording.media[file.index];
    match &file.state {
        State::LeftOut => left_out(recording, media),
        State::Held(adopted) => {
            work.saved.extend(adopted.as_deref().cloned());
            work.held.push(media.id.clone());
            skipped(recording, media)
        }
        State::Moved => moved(recording, media),
        State::Wanted => would_download(recording, media, held, file),
    }
}

async fn fetch(
    job: &Arc<Job>,
    recording: &Recording,
    held: &Held,
    file: &File,
    work: &mut Work,
) -> Result<Event, Halt> {
    let media = &recording.media[file.index];
    let expected = media.size_bytes.unwrap_or(0);
    let (id, media_id) = (recording.id.clone(), media.id.clone());
    job.monitor.on(&Event::MediaStarted {
        recording: id.clone(),
        media: media_id.clone(),
        bytes: expected,
    });
    let Fetched { filled, etag, checked, warning } =
        match fetch::fetch(job, media, &held.folder, &file.name).await {
            Ok(fetched) => fetched,
            Err(FetchError::Tree(error)) => return Err(Halt::Target(error)),
            Err(FetchError::Open(error)) if concerns_all(&error.kind) => {
                return Err(Halt::Denied(error));
            }
            Err(error) => return Ok(failed(id, media_id, &error, held, work)),
        };
    for warning in warning.iter().chain(&file.warning) {
        let text = format!("recording {id}: media file {media_id} {warning}");
        work.outcome.events.push(Event::Warning { text });
    }
    let (folder, bytes) = (held.folder.path.clone(), filled.bytes);
    work.cured.extend(file.raw.as_ref().map(|raw| format!("{folder}/{raw}")));
    work.saved.push(MediaEntry {
        name: file.name.clone(),
        media_id: media_id.clone(),
        source: SourceHash::of(&media.location),
        size: media.size_bytes,
        bytes,
        sha256: Some(filled.sha256),
        etag: etag.map(|etag| etag.trim_matches('"').to_owned()),
        checked,
        form: Some(filled.form.to_owned()),
        key_serial: filled.key_serial,
        saved_at: job.now,
    });
    work.held.push(media_id.clone());
    work.placements.push(Placement { staged: filled.staged, folder, name: file.name.clone() });
    Ok(Event::MediaSaved { recording: id, media: media_id, bytes })
}

fn failed(
    recording: String,
    media: String,
    error: &FetchError,
    held: &Held,
    work: &mut Work,
) -> Event {
    let reason = crate::http::chain(error);
    work.failures.push((media.clone(), reason.clone()));
    if held.has_accepted(&media) {
        return Event::LossAccepted { recording, media, reason };
    }
    if let FetchError::Open(error) = error {
        match error.kind {
            OpenErrorKind::Fault(_) => work.outcome.unanswered += 1,
            OpenErrorKind::AccessDenied | OpenErrorKind::NoSuchBucket => {
                work.outcome.forbidden += 1;
            }
            _ => {}
        }
    }
    Event::MediaFailed { recording, media, reason }
}

/// Whether an object's refusal would meet every other object as well.
fn concerns_all(kind: &OpenErrorKind) -> bool {
    match kind {
        OpenErrorKind::Credentials(_) | OpenErrorKind::NoCredentials | OpenErrorKind::ClockSkew => {
            true
        }
        OpenErrorKind::Fault(fault) => fault.is_login(),
        _ => false,
    }
}

fn left_out(recording: &Recording, media: &MediaFile) -> Event {
    Event::LeftOut {
        recording: recording.id.clone(),
        media: media.id.clone(),
        media_type: media.media_type.clone().unwrap_or_default(),
    }
}

fn skipped(recording: &Recording, media: &MediaFile) -> Event {
    Event::MediaSkipped {
        recording: recording.id.clone(),
        media: media.id.clone(),
        bytes: media.size_bytes.unwrap_or(0),
    }
}

fn moved(recording: &Recording, media: &MediaFile) -> Event {
    Event::MediaMoved {
        recording: recording.id.clone(),
        media: media.id.clone(),
        bytes: media.size_bytes.unwrap_or(0),
    }
}

fn would_download(recording: &Recording, media: &MediaFile, held: &Held, file: &File) -> Event {
    Event::WouldDownload {
        recording: recording.id.clone(),
        media: media.id.clone(),
        path: format!("{}/{}", held.folder.path, file.name),
        bytes: media.size_bytes.unwrap_or(0),
    }
}
