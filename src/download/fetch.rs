//! One media file: from its source, through every check, to its final name.

use std::ops::Range;
use std::sync::Arc;

use openssl::error::ErrorStack;

use super::filling::{Filled, Filling};
use super::handling::{Flaw, Handling, Refusal, handling};
use super::parts::{First, IN_PARTS_FROM, in_parts};
use super::plain::LOOK_BYTES;
use super::{Job, on_disk};
use crate::checksum::{Checker, Mismatch};
use crate::gate::Pass;
use crate::http::{Advice, Retry, chain};
use crate::layout;
use crate::monitor::Event;
use crate::recording::{Location, MediaFile};
use crate::source::{Object, OpenError};
use crate::tree::{Folder, Staged, TreeError};

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
    #[error("the answer is empty and names no object, and its record says {said} bytes")]
    Nothing { said: u64 },
    #[error("{flaw}")]
    Flawed { flaw: Flaw, staged: Staged },
    #[error("{why}; kept as `{name}`")]
    Raw { why: String, name: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(
        "it is not encrypted, and no encryptionCertificate says for whom to encrypt it; not written"
    )]
    Plain,
    #[error("cannot encrypt it")]
    Seal(#[from] ErrorStack),
}

impl From<OpenError> for FetchError {
    fn from(error: OpenError) -> Self {
        FetchError::Open(error)
    }
}

impl FetchError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            FetchError::Open(error) => error.kind.advice(),
            FetchError::Mismatch(_) | FetchError::Length { .. } | FetchError::Nothing { .. } => {
                Advice::Again
            }
            FetchError::Flawed { flaw, .. } => flaw.advice(),
            FetchError::Raw { .. }
            | FetchError::Tree(_)
            | FetchError::Refused(_)
            | FetchError::Plain
            | FetchError::Seal(_) => Advice::GiveUp,
        }
    }
}

/// A media file that came whole, checked, and is not in its place yet.
pub(super) struct Fetched {
    pub(super) filled: Filled,
    /// What the source calls its version.
    pub(super) etag: Option<String>,
    /// What it was checked against.
    pub(super) checked: String,
    /// What is odd about it.
    pub(super) warning: Option<String>,
}

/// Fetches a media file. What came in the place of one is kept as `.raw` beside the name that it
/// would have.
pub(super) async fn fetch(
    job: &Arc<Job>,
    media: &MediaFile,
    folder: &Arc<Folder>,
    name: &str,
) -> Result<Fetched, FetchError> {
    let mut retry = Retry::new(job.options.retries);
    let (flaw, staged) = loop {
        let error = match attempt(job, media).await {
            Ok(fetched) => return Ok(fetched),
            Err(error) => error,
        };
        let advice = error.advice();
        match retry.pause(error, advice).await {
            Ok(()) => {}
            // Ciphertext that nobody can open today is better than none tomorrow.
            Err(FetchError::Flawed { flaw, staged }) => break (flaw, staged),
            Err(error) => return Err(error),
        }
    };
    let _permit = job.finishing.acquire().await;
    let (job, folder, name) = (Arc::clone(job), Arc::clone(folder), layout::raw_name(name));
    on_disk(move || {
        job.tree.publish_once(staged, &folder, &name)?;
        Err(FetchError::Raw { why: chain(&flaw), name })
    })
    .await
}

async fn attempt(job: &Arc<Job>, media: &MediaFile) -> Result<Fetched, FetchError> {
    let (mut object, pass) = open(job, &media.location, None).await?;
    let mut head = Vec::new();
    while head.len() < LOOK_BYTES {
        let Some(chunk) = object.next_chunk().await? else { break };
        head.extend_from_slice(&chunk);
    }
    let handling = handling(&head, object.length, media)?;
    // What S3 itself sends has an ETag, also where it is empty; a proxy may answer with nothing.
    if let (Handling::Empty, None, Some(said @ 1..)) = (&handling, &object.etag, media.size_bytes) {
        return Err(FetchError::Nothing { said });
    }
    let warning = oddity(&handling, media);
    let filling = Filling::begin(job, handling, &head)?;
    let (etag, checked) = (object.etag.clone(), checked(&object));
    let filled = match (object.length, object.etag.clone()) {
        (Some(length), Some(etag)) if length >= IN_PARTS_FROM && filling.sealer.is_none() => {
            let first = First { object, head, pass };
            in_parts(job, &media.location, length, &etag, first, filling).await?
        }
        _ => in_one(job, object, pass, &head, filling).await?,
    };
    Ok(Fetched { filled, etag, checked, warning })
}

/// Names what an object will have been checked against when it is whole.
fn checked(object: &Object) -> String {
    let length = object.length.map(|_| "length");
    let sums = object.expected.iter().map(|expected| expected.algorithm.name());
    length.into_iter().chain(sums).collect::<Vec<_>>().join(" ")
}

fn oddity(handling: &Handling, media: &MediaFile) -> Option<String> {
    match handling {
        Handling::Empty => Some("is empty at the source".to_owned()),
        Handling::Keep { unread: Some(error), .. } => Some(format!("is held as it came: {error}")),
        Handling::Seal { plain_bytes } => {
            let said = media.size_bytes.filter(|said| said != plain_bytes)?;
            Some(format!("has {plain_bytes} bytes, and its record says {said}"))
        }
        _ => None,
    }
}

/// Opens an object, or a part of it, and tells the gate how that went.
pub(super) async fn open(
    job: &Job,
    location: &Location,
    part: Option<(Range<u64>, &str)>,
) -> Result<(Object, Pass), OpenError> {
    let mut pass = job.requests.pass().await;
    let opened = match part {
        Some((range, etag)) => job.source.open_range(location, range, etag).await,
        None => job.source.open(location).await,
    };
    match &opened {
        Ok(_) => pass.answered(),
        Err(error) if error.kind.asks_for_fewer() => pass.pushed_back(),
        Err(_) => {}
    }
    Ok((opened?, pass))
}

async fn in_one(
    job: &Job,
    mut object: Object,
    mut pass: Pass,
    head: &[u8],
    mut filling: Filling,
) -> Result<Filled, FetchError> {
    let mut checker = Checker::new(&object.expected);
    let mut received = 0;
    let mut take = |bytes: &[u8]| {
        received += bytes.len() as u64;
        job.monitor.on(&Event::BytesReceived { bytes: bytes.len() as u64 });
        checker.update(bytes);
        filling.put(bytes)?;
        Ok::<_, FetchError>(filling.has_too_much(received))
    };
    let mut is_endless = take(head)?;
    // Nobody says when it ends, and it does not end where it should: it could fill the disk.
    while !(is_endless && object.length.is_none())
        && let Some(chunk) = object.next_chunk().await?
    {
        is_endless = take(&chunk)?;
    }
    check_length(&object, received)?;
    pass.received(received);
    drop(pass);
    checker.finish()?;
    filling.finish(received)
}

fn check_length(object: &Object, received: u64) -> Result<(), FetchError> {
    match object.length {
        Some(promised) if promised != received => Err(FetchError::Length { received, promised }),
        _ => Ok(()),
    }
}
