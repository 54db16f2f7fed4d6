//! A large object, fetched as concurrent ranges.
//!
//! Given the object as it was opened, gives the file once every range of it has come. What comes in
//! order is summed up as it comes; what comes ahead of that is written in its place, and read back
//! when its turn has come.
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

/// Parts that come ahead of their turn, of all objects of a run together: where several objects
/// come side by side they fill the line without, and nothing need be read back.
pub const PARTS_AHEAD: usize = 4;

/// The object as it was opened, from which the first part comes.
pub(super) struct First {
    pub(super) object: Object,
    /// What of it was read already.
    pub(super) head: Vec<u8>,
    pub(super) pass: Pass,
}

/// What is summed up of an object so far.
struct Sums {
    filling: Filling,
    checker: Checker,
}

/// A range of an object that is still to come, and where it goes.
struct Part {
    job: Arc<Job>,
    location: Location,
    etag: String,
    range: Range<u64>,
    to: Sink,
}

enum Sink {
    /// Behind what is summed up, because it is next.
    Next(Box<Sums>),
    /// In its place.
    Ahead(Place),
}

/// What was done.
enum Done {
    /// The part that begins here has come.
    Arrived(u64),
    /// All before this offset is summed up.
    Summed(Box<Sums>, u64),
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
    let end_of = |start: u64| length.min(start + PART_BYTES);
    let part = |start: u64, to: Sink| Part {
        job: Arc::clone(job),
        location: location.clone(),
        etag: etag.to_owned(),
        range: start..end_of(start),
        to,
    };
    let place = filling.place();
    let checker = Checker::new(&first.object.expected);
    let (mut idle, mut first) = (Some(Box::new(Sums { filling, checker })), Some(first));
    let (mut summed, mut asked, mut arrived) = (0, 0, BTreeSet::new());
    let mut under_way = JoinSet::new();
    let sums = loop {
        if let Some(sums) = idle.take() {
            let mut upto = summed;
            while arrived.remove(&upto) {
                upto = end_of(upto);
            }
            if upto > summed {
                under_way.spawn(sum_up(Arc::clone(job), sums, summed..upto));
            } else if summed == length {
                break sums;
            } else if summed == asked {
                under_way.spawn(next(part(asked, Sink::Next(sums)), first.take()));
                asked = end_of(asked);
            } else {
                idle = Some(sums);
            }
        }
        while asked < length
            && let Ok(permit) = Arc::clone(&job.ahead).try_acquire_owned()
        {
            let part = part(asked, Sink::Ahead(place.clone()));
            under_way.spawn(async move {
                let done = fetch(part).await;
                drop(permit);
                done
            });
            asked = end_of(asked);
        }
        match under_way.join_next().await.map(joined).transpose()? {
            Some(Done::Arrived(start)) => drop(arrived.insert(start)),
            Some(Done::Summed(sums, upto)) => (idle, summed) = (Some(sums), upto),
            None => unreachable!("the sums wait for a part that is under way"),
        }
    };
    drop(place);
    on_disk(move || {
        sums.checker.finish()?;
        sums.filling.finish(length)
    })
    .await
}

/// Reads what has come of the file, and adds it to its sums.
async fn sum_up(job: Arc<Job>, mut sums: Box<Sums>, range: Range<u64>) -> Result<Done, FetchError> {
    let _permit = job.finishing.acquire().await;
    on_disk(move || {
        let (Sums { filling, checker }, upto) = (&mut *sums, range.end);
        filling.read_back(range, |bytes| checker.update(bytes))?;
        Ok(Done::Summed(sums, upto))
    })
    .await
}

/// Takes the next part, the first from the object as it was opened.
async fn next(mut part: Part, first: Option<First>) -> Result<Done, FetchError> {
    if let Some(First { mut object, head, mut pass }) = first {
        let promised = part.range.end;
        match part.take(&mut object, &head).await {
            Ok(()) => pass.received(promised),
            Err(error @ FetchError::Tree(_)) => return Err(error),
            // The rest is asked for as other parts are.
            Err(_) => {}
        }
    }
    fetch(part).await
}

/// Fetches what is still to come of a part.
async fn fetch(mut part: Part) -> Result<Done, FetchError> {
    let mut retry = Retry::new(part.job.options.retries);
    let start = part.range.start;
    while !part.range.is_empty() {
        let Err(error) = part.try_once().await else { break };
        let advice = match &error {
            // Only the whole object can be tried again.
            FetchError::Open(error) if error.kind == OpenErrorKind::Changed => Advice::GiveUp,
            // More came than was asked for, so what came is not what was asked for.
            _ if part.range.is_empty() => Advice::GiveUp,
            error => error.advice(),
        };
        retry.pause(error, advice).await?;
    }
    Ok(match part.to {
        Sink::Next(sums) => Done::Summed(sums, part.range.end),
        Sink::Ahead(_) => Done::Arrived(start),
    })
}

impl Part {
    async fn try_once(&mut self) -> Result<(), FetchError> {
        let promised = self.range.end - self.range.start;
        let range = Some((self.range.clone(), &*self.etag));
        let (mut object, mut pass) = open(&self.job, &self.location, range).await?;
        if let Some(received) = object.length.filter(|length| *length != promised) {
            return Err(FetchError::Length { received, promised });
        }
        self.take(&mut object, &[]).await?;
        match object.next_chunk().await? {
            Some(more) => {
                Err(FetchError::Length { received: promised + more.len() as u64, promised })
            }
            None => {
                pass.received(promised);
                Ok(())
            }
        }
    }

    /// Takes the bytes of the part; what else the object has is left.
    async fn take(&mut self, object: &mut Object, head: &[u8]) -> Result<(), FetchError> {
        let promised = self.range.end - self.range.start;
        self.put(head)?;
        while !self.range.is_empty() {
            let Some(chunk) = object.next_chunk().await? else {
                let received = promised - (self.range.end - self.range.start);
                return Err(FetchError::Length { received, promised });
            };
            self.put(&chunk)?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let wanted = (self.range.end - self.range.start) as usize;
        let bytes = &bytes[..bytes.len().min(wanted)];
        match &mut self.to {
            Sink::Next(sums) => {
                sums.checker.update(bytes);
                sums.filling.put(bytes)?;
            }
            Sink::Ahead(place) => place.put_at(self.range.start, bytes)?,
        }
        self.range.start += bytes.len() as u64;
        self.job.monitor.on(&Event::BytesReceived { bytes: bytes.len() as u64 });
        Ok(())
    }
}
