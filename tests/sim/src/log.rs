//! What was asked and what was answered.
//!
//! Each request gets a number when its head has arrived; its status and its bytes are filled in as it goes on.
//! **Invariant**: no secret is ever in it: a user's name, but no password, signature or token.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// The listing of recordings.
    Listing,
    /// The settings API.
    Settings,
    /// A media file that the metadata API's own server holds.
    Media,
    /// Anything else asked of the metadata API.
    OtherGws,
    /// S3.
    S3,
}

/// One request and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Its number, from 1, in the order of arrival.
    pub number: u64,
    /// What it is for.
    pub route: Route,
    /// Its method.
    pub method: String,
    /// Its path and query, as sent.
    pub target: String,
    /// Where an object is meant: bucket and key with a slash between, decoded.
    pub key: Option<String>,
    /// The `Range` asked for.
    pub range: Option<String>,
    /// The `If-Match` asked for.
    pub if_match: Option<String>,
    /// The `x-amz-content-sha256` that was signed: a hash, or that there is none.
    pub payload_hash: Option<String>,
    /// The user or the access key that it names.
    pub user: Option<String>,
    /// The status of the answer; 0: none was given.
    pub status: u16,
    /// How many bytes of the answer's body have been handed to the socket.
    pub bytes_sent: u64,
    /// The faults that struck it.
    pub faults: Vec<String>,
}

impl Request {
    /// Says whether it opened a media file: a GET of an object.
    pub fn opens_media(&self) -> bool {
        matches!(self.route, Route::S3 | Route::Media)
            && self.method == "GET"
            && self.key.as_deref().is_some_and(has_object)
    }
}

/// The log of one simulator.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<Entries>,
    changed: Condvar,
    file: Mutex<Option<File>>,
}

#[derive(Debug)]
struct Entries {
    kept: VecDeque<(Request, Arc<AtomicU64>)>,
    limit: usize,
    opened: u64,
}

impl Default for Entries {
    fn default() -> Self {
        Self { kept: VecDeque::new(), limit: 1_000_000, opened: 0 }
    }
}

impl Log {
    /// Keeps only the last `limit` requests in memory; without this, the last million.
    pub fn limited(limit: usize) -> Self {
        let log = Self::default();
        lock(&log.entries).limit = limit;
        log
    }

    /// Writes each finished request to `file` as a line of JSON, and keeps only the last `limit` in memory.
    pub fn to_file(file: File, limit: usize) -> Self {
        let log = Self::limited(limit);
        *lock(&log.file) = Some(file);
        log
    }

    /// Gives the requests that are kept, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        let with_bytes = |(request, sent): &(Request, Arc<AtomicU64>)| Request {
            bytes_sent: sent.load(Ordering::Relaxed),
            ..request.clone()
        };
        lock(&self.entries).kept.iter().map(with_bytes).collect()
    }

    /// Gives how many requests there ever were.
    pub(crate) fn opened(&self) -> u64 {
        lock(&self.entries).opened
    }

    /// Forgets all requests; numbers go on.
    pub fn clear(&self) {
        lock(&self.entries).kept.clear();
    }

    /// Waits until a request satisfies a condition; says whether one did in time.
    pub(crate) fn wait_for(&self, is_it: impl Fn(&Request) -> bool, most: Duration) -> bool {
        let none = |entries: &mut Entries| !entries.kept.iter().any(|(request, _)| is_it(request));
        let waited = self.changed.wait_timeout_while(lock(&self.entries), most, none);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Enters a request and gives the ticket that fills in the rest.
    pub(crate) fn enter(self: &Arc<Self>, mut request: Request) -> Ticket {
        let sent = Arc::new(AtomicU64::new(0));
        let mut entries = lock(&self.entries);
        entries.opened += 1;
        let number = entries.opened;
        request.number = number;
        if entries.kept.len() >= entries.limit {
            entries.kept.pop_front();
        }
        entries.kept.push_back((request, Arc::clone(&sent)));
        self.changed.notify_all();
        Ticket { log: Arc::clone(self), number, sent }
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Request)) {
        let mut entries = lock(&self.entries);
        let Some(first) = entries.kept.front().map(|(request, _)| request.number) else { return };
        let place = number.checked_sub(first).map(|place| place as usize);
        if let Some((request, _)) = place.and_then(|place| entries.kept.get_mut(place)) {
            change(request);
            self.changed.notify_all();
        }
    }
}

/// The open entry of a request; dropping it says that the answer has ended.
#[derive(Debug)]
pub(crate) struct Ticket {
    log: Arc<Log>,
    number: u64,
    sent: Arc<AtomicU64>,
}

impl Ticket {
    pub(crate) fn status(&self, status: u16) {
        self.log.change(self.number, |request| request.status = status);
    }

    pub(crate) fn fault(&self, name: String) {
        self.log.change(self.number, |request| request.faults.push(name));
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut file = lock(&self.log.file);
        let Some(file) = file.as_mut() else { return };
        let mut line = None;
        self.log.change(self.number, |request| {
            line = serde_json::to_string(&Request {
                bytes_sent: self.sent.load(Ordering::Relaxed),
                ..request.clone()
            })
            .ok()
        });
        if let Some(line) = line {
            // A log that cannot be written is no reason to stop the service that it describes.
            let _ = writeln!(file, "{line}");
        }
    }
}

/// Locks, also after another thread panicked: what is inside is never left half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_object(key: &str) -> bool {
    key.split_once('/').is_some_and(|(_, key)| !key.is_empty())
}
