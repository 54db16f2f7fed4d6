//! One media file: from its source, through every check, to its final name.

use std::ops::Range;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Job, on_disk};
use crate::checksum::{Checker, Expected, Mismatch};
use crate::envelope::{self, Form, HEAD_BYTES};
use crate::http::{Advice, Retry};
use crate::monitor::Event;
use crate::recording::{Location, MediaFile};
use crate::source::{Object, OpenError, OpenErrorKind};
use crate::tree::{Folder, Staged, TreeError};

/// From this size on an object is fetched in parts.
const IN_PARTS_FROM: u64 = 64 << 20;
/// The size of a part.
const PART_BYTES: u64 = 16 << 20;
/// Parts of one object that are under way together.
const PARTS_AT_ONCE: usize = 4;

/// Why a media file could not be saved.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Open(OpenError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error("{received} bytes came instead of {promised}")]
    Length { received: u64, promised: u64 },
    #[error("the envelope has {envelope} bytes by its own account, and {received} came")]
    Envelope { envelope: u64, received: u64 },
    #[error("the envelope does not end where the object ends")]
    Unended,
    #[error("it is ciphertext without its envelope, which this version cannot join; not written")]
    Detached,
    #[error("it is not encrypted, or in no known envelope; not written")]
    Bare,
}

impl From<OpenError> for FetchError {
    fn from(error: OpenError) -> Self {
        FetchError::Open(error)
    }
}

impl FetchError {
    fn advice(&self) -> Advice {
        match self {
            FetchError::Open(error) => error.kind.advice(),
            FetchError::Mismatch(_) | FetchError::Length { .. } => Advice::Again,
            FetchError::Envelope { .. } | FetchError::Unended => Advice::Again,
            FetchError::Tree(_) | FetchError::Detached | FetchError::Bare => Advice::GiveUp,
        }
    }
}

/// Fetches a media file and gives it its final name; gives its length.
pub(super) async fn fetch(
    job: &Arc<Job>,
    media: &MediaFile,
    folder: &Arc<Folder>,
    name: &str,
) -> Result<u64, FetchError> {
    let mut retry = Retry::new(job.options.retries);
    let (staged, bytes) = loop {
        match attempt(job, media).await {
            Ok(whole) => break whole,
            Err(error) => {
                let advice = error.advice();
                retry.pause(error, advice).await?;
            }
        }
    };
    let _permit = job.finishing.acquire().await;
    let (job, folder, name) = (Arc::clone(job), Arc::clone(folder), name.to_owned());
    on_disk(move || job.tree.publish(staged, &folder, &name)).await?;
    Ok(bytes)
}

async fn attempt(job: &Arc<Job>, media: &MediaFile) -> Result<(Staged, u64), FetchError> {
    let permit = job.requests.acquire().await;
    let mut object = job.source.open(&media.location).await?;
    let (length, etag) = match (object.length, object.etag.clone()) {
        (Some(length), Some(etag)) if length >= IN_PARTS_FROM => (length, etag),
        _ => return in_one(job, media, object).await,
    };
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES {
        let Some(chunk) = object.next_chunk().await? else { break };
        head.extend_from_slice(&chunk);
    }
    let form = form_of(&head, media)?;
    let expected = std::mem::take(&mut object.expected);
    drop((object, permit));
    in_parts(job, &media.location, length, &etag, expected, form).await
}

async fn in_one(
    job: &Job,
    media: &MediaFile,
    mut object: Object,
) -> Result<(Staged, u64), FetchError> {
    let mut checker = Checker::new(&object.expected);
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut staged = None;
    let mut received = 0;
    while let Some(chunk) = object.next_chunk().await? {
        received += chunk.len() as u64;
        job.monitor.on(&Event::BytesReceived { bytes: chunk.len() as u64 });
        checker.update(&chunk);
        match &mut staged {
            Some(staged) => Staged::write_all(staged, &chunk)?,
            None => {
                head.extend_from_slice(&chunk);
                if head.len() >= HEAD_BYTES {
                    staged = Some(begin(job, media, &head)?);
                }
            }
        }
    }
    if let Some(promised) = object.length.filter(|promised| *promised != received) {
        return Err(FetchError::Length { received, promised });
    }
    checker.finish()?;
    let staged = match staged {
        Some(staged) => staged,
        None => begin(job, media, &head)?,
    };
    check_envelope(form_of(&head, media)?, &staged, received)?;
    Ok((staged, received))
}

/// Begins to write, once the first bytes show that there is something to write.
fn begin(job: &Job, media: &MediaFile, head: &[u8]) -> Result<Staged, FetchError> {
    form_of(head, media)?;
    let mut staged = job.tree.stage()?;
    staged.write_all(head)?;
    Ok(staged)
}

/// Tells the form by the first bytes, and refuses what is in no envelope.
fn form_of(head: &[u8], media: &MediaFile) -> Result<Form, FetchError> {
    match envelope::form(&head[..head.len().min(HEAD_BYTES)]) {
        Form::Bare if media.pkcs7.is_some() => Err(FetchError::Detached),
        Form::Bare => Err(FetchError::Bare),
        form => Ok(form),
    }
}

/// Holds the envelope's own account against what came.
fn check_envelope(form: Form, staged: &Staged, received: u64) -> Result<(), FetchError> {
    match form {
        Form::Attached { bytes } if bytes != received => {
            Err(FetchError::Envelope { envelope: bytes, received })
        }
        Form::AttachedIndefinite if !staged.ends_with(&[0, 0, 0, 0])? => Err(FetchError::Unended),
        _ => Ok(()),
    }
}

/// Fetches an object as concurrent ranges, all of the version that has this ETag.
async fn in_parts(
    job: &Arc<Job>,
    location: &Location,
    length: u64,
    etag: &str,
    expected: Vec<Expected>,
    form: Form,
) -> Result<(Staged, u64), FetchError> {
    let staged = Arc::new(job.tree.stage()?);
    let mut parts = (0..length.div_ceil(PART_BYTES)).map(|n| Part {
        job: Arc::clone(job),
        location: location.clone(),
        etag: etag.to_owned(),
        range: n * PART_BYTES..length.min((n + 1) * PART_BYTES),
        staged: Arc::clone(&staged),
    });
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < PARTS_AT_ONCE {
            let Some(next) = parts.next() else { break };
            under_way.spawn(part(next));
        }
        let Some(done) = under_way.join_next().await else { break };
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    }
    drop(parts);
    let staged = Arc::into_inner(staged).expect("every part that shared it has ended");
    let _permit = job.finishing.acquire().await;
    on_disk(move || {
        let mut checker = Checker::new(&expected);
        staged.read_back(|bytes| checker.update(bytes))?;
        checker.finish()?;
        check_envelope(form, &staged, length)?;
        Ok((staged, length))
    })
    .await
}

/// A range of an object, and the file in which it has its place.
struct Part {
    job: Arc<Job>,
    location: Location,
    etag: String,
    range: Range<u64>,
    staged: Arc<Staged>,
}

async fn part(part: Part) -> Result<(), FetchError> {
    let mut retry = Retry::new(part.job.options.retries);
    loop {
        let Err(error) = part_once(&part).await else { return Ok(()) };
        let advice = match &error {
            // Only the whole object can be tried again.
            FetchError::Open(error) if error.kind == OpenErrorKind::Changed => Advice::GiveUp,
            error => error.advice(),
        };
        retry.pause(error, advice).await?;
    }
}

async fn part_once(part: &Part) -> Result<(), FetchError> {
    let Part { job, location, etag, range, staged } = part;
    let _permit = job.requests.acquire().await;
    let promised = range.end - range.start;
    let mut object = job.source.open_range(location, range.clone(), etag).await?;
    if let Some(received) = object.length.filter(|length| *length != promised) {
        return Err(FetchError::Length { received, promised });
    }
    let mut received = 0;
    while let Some(chunk) = object.next_chunk().await? {
        let at = range.start + received;
        received += chunk.len() as u64;
        if received > promised {
            break;
        }
        staged.write_all_at(at, &chunk)?;
        job.monitor.on(&Event::BytesReceived { bytes: chunk.len() as u64 });
    }
    if received != promised {
        return Err(FetchError::Length { received, promised });
    }
    Ok(())
}
