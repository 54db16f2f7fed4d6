//! A large object, fetched as concurrent ranges.
//!
//! Given the object as it was opened, gives the file once every range of it has come. Each range is
//! written in its place; what is there from the start on is summed up while the rest comes.
//!
//! **Invariant:** all ranges are of one version: each is asked for under the ETag of the first.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::fetch::{FetchError, open};
use super::filling::{Filled, Filling, Place};
use super::{Job, joined, on_disk};
use crate::checksum::Checker;
use crate::gate::Pass;
use crate::http::{Advice, Retry};
use crate::monitor::Event;
use crate::recording::Location;
use crate::source::{Object, OpenErrorKind};

/// From this size on an object is fetched in parts.
pub(super) const IN_PARTS_FROM: u64 = 64 << 20;

/// The size of a part.
const PART_BYTES: u64 = 16 << 20;

/// Parts of one object that are under way together.
const PARTS_AT_ONCE: usize = 4;

/// The object as it was opened, from which the first part comes.
pub(super) struct First {
    pub(super) object: Object,
    /// What of it was read already.
    pub(super) head: Vec<u8>,
    pub(super) pass: Pass,
}

/// A range of an object, and its place in the file.
struct Part {
    job: Arc<Job>,
    location: Location,
    etag: String,
    range: Range<u64>,
    place: Place,
}

/// Fetches an object of this length and ETag.
pub(super) async fn in_parts(
    job: &Arc<Job>,
    location: &Location,
    length: u64,
    etag: &str,
    first: First,
    filling: Filling,
) -> Result<Filled, FetchError> {
    let checker = Checker::new(&first.object.expected);
    let end_of = |start: u64| length.min(start + PART_BYTES);
    let place = filling.place();
    let mut parts = (0..length).step_by(PART_BYTES as usize).map(|start| Part {
        job: Arc::clone(job),
        location: location.clone(),
        etag: etag.to_owned(),
        range: start..end_of(start),
        place: place.clone(),
    });
    let mut under_way = JoinSet::new();
    if let Some(part) = parts.next() {
        under_way.spawn(first_part(part, first));
    }
    let (mut summed, mut arrived) = (0, BTreeSet::new());
    let (mut idle, mut summing) = (Some((filling, checker)), JoinSet::new());
    let (filling, checker) = loop {
        while under_way.len() < PARTS_AT_ONCE
            && let Some(next) = parts.next()
        {
            under_way.spawn(part(next));
        }
        if let Some((filling, checker)) = idle.take() {
            if summed == length {
                break (filling, checker);
            }
            let mut upto = summed;
            while arrived.remove(&upto) {
                upto = end_of(upto);
            }
            if upto > summed {
                summing.spawn(sum_up(Arc::clone(job), filling, checker, summed..upto));
                summed = upto;
            } else {
                idle = Some((filling, checker));
            }
        }
        tokio::select! {
            Some(done) = under_way.join_next() => {
                arrived.insert(joined(done)?);
            }
            Some(done) = summing.join_next() => idle = Some(joined(done)?),
        }
    };
    drop(parts);
    drop(place);
    on_disk(move || {
        checker.finish()?;
        filling.finish(length)
    })
    .await
}

/// Reads what has come of the file, and adds it to its sums.
async fn sum_up(
    job: Arc<Job>,
    mut filling: Filling,
    mut checker: Checker,
    range: Range<u64>,
) -> Result<(Filling, Checker), FetchError> {
    let _permit = job.finishing.acquire().await;
    on_disk(move || {
        filling.read_back(range, |bytes| checker.update(bytes))?;
        Ok((filling, checker))
    })
    .await
}

/// Takes the first part from the object as it was opened; if that fails, as the others.
async fn first_part(first: Part, opened: First) -> Result<u64, FetchError> {
    let First { mut object, head, mut pass } = opened;
    match take(&first, &mut object, &head).await {
        Ok(()) => {
            pass.received(first.range.end);
            Ok(first.range.start)
        }
        Err(error @ FetchError::Tree(_)) => Err(error),
        Err(_) => {
            drop((object, pass));
            part(first).await
        }
    }
}

/// Fetches a part; gives where it begins.
async fn part(part: Part) -> Result<u64, FetchError> {
    let mut retry = Retry::new(part.job.options.retries);
    loop {
        let Err(error) = part_once(&part).await else { return Ok(part.range.start) };
        let advice = match &error {
            // Only the whole object can be tried again.
            FetchError::Open(error) if error.kind == OpenErrorKind::Changed => Advice::GiveUp,
            error => error.advice(),
        };
        retry.pause(error, advice).await?;
    }
}

async fn part_once(part: &Part) -> Result<(), FetchError> {
    let Part { job, location, etag, range, .. } = part;
    let promised = range.end - range.start;
    let (mut object, mut pass) = open(job, location, Some((range.clone(), etag))).await?;
    if let Some(received) = object.length.filter(|length| *length != promised) {
        return Err(FetchError::Length { received, promised });
    }
    take(part, &mut object, &[]).await?;
    match object.next_chunk().await? {
        Some(more) => Err(FetchError::Length { received: promised + more.len() as u64, promised }),
        None => {
            pass.received(promised);
            Ok(())
        }
    }
}

/// Writes the bytes of a part in their place; what else the object has is left.
async fn take(part: &Part, object: &mut Object, head: &[u8]) -> Result<(), FetchError> {
    let promised = (part.range.end - part.range.start) as usize;
    let mut received = 0;
    let mut put = |bytes: &[u8]| {
        let bytes = &bytes[..bytes.len().min(promised - received)];
        part.place.put_at(part.range.start + received as u64, bytes)?;
        received += bytes.len();
        part.job.monitor.on(&Event::BytesReceived { bytes: bytes.len() as u64 });
        Ok::<_, FetchError>(received < promised)
    };
    let mut is_wanted = put(head)?;
    while is_wanted {
        match object.next_chunk().await? {
            Some(chunk) => is_wanted = put(&chunk)?,
            None => {
                let (received, promised) = (received as u64, promised as u64);
                return Err(FetchError::Length { received, promised });
            }
        }
    }
    Ok(())
}
