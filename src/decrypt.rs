//! Opening what is held, into another tree of the same layout.
//!
//! Is given what to open ([`Source`]), the keys, and a tree for the output; gives what it came to.
//! One thread counts, one walks, some open, and the one that called gives names, in groups.
//!
//! **Invariant**: the originals are only read. A file in the output is whole, and was sealed with
//! one of the keys. Memory does not grow with the number of recordings nor with the size of a file.

mod folder;
mod open;
mod record;
mod source;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::keyring::Keyring;
use crate::monitor::{Event, Monitor, Opened};
use crate::threads::end;
use crate::tree::{Placement, Tree, TreeError, Unsettled};

pub use record::Filter;
pub use source::{Source, SourceError, output};

use folder::Work;
use open::Hands;

/// How many files are given their names together: enough that the disk is waited for seldom.
const GROUP_FILES: usize = 256;

/// How much of plaintext is given its names together, at the least.
const GROUP_BYTES: u64 = 64 << 20;

/// How many folders wait for the next ones to be put on stable storage with.
const MOST_UNSETTLED: usize = 4096;

/// How long a file waits for others to get its name with.
const LINGER: Duration = Duration::from_millis(200);

/// More threads would not open more, but take more memory.
const MOST_THREADS: usize = 16;

/// What is opened, and how.
#[derive(Debug)]
pub struct Job {
    /// Where the sealed files are.
    pub sources: Vec<Source>,
    /// Which recordings are opened.
    pub filter: Filter,
    /// Whether the metadata stays behind.
    pub media_only: bool,
    /// Whether plaintext of another size than the metadata says is written all the same.
    pub any_size: bool,
}

/// What the threads that open tell the one that gives names.
enum Report {
    /// Something happened.
    Event(Event),
    /// A file can be given its name; then the event is true.
    Ready(Ready),
    /// The output cannot be written.
    Output(TreeError),
}

/// A file that can be given its name.
struct Ready {
    file: Placement,
    /// What is true once it has it.
    event: Event,
    /// Its length.
    bytes: u64,
    /// How much of the sealed file nobody was told of yet.
    read: u64,
}

/// Opens all that is asked for, or what is under way when `stop` becomes true.
pub fn decrypt(
    job: &Job,
    keyring: &Keyring,
    out: &Tree,
    monitor: &dyn Monitor,
    stop: &AtomicBool,
) -> Result<Opened, DecryptError> {
    let mut teller = Teller { monitor, opened: Opened::default(), told_percent: 0 };
    // What two sources would bring to one place is refused before anything is opened.
    let is_counted = job.sources.len() > 1;
    if is_counted {
        teller.tell(&folder::count(job, stop)?);
    }
    let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let threads = threads.min(MOST_THREADS);
    let (give, works) = sync_channel(4 * threads);
    let (report, reports) = sync_channel(2 * GROUP_FILES);
    // Nobody else holds its end: when the last thread goes, the one that walks need not wait.
    let works = Arc::new(Mutex::new(works));
    let named = std::thread::scope(|scope| {
        let told = report.clone();
        let mut started = vec![scope.spawn(move || plan(job, &give, &told, stop))];
        if !is_counted {
            let told = report.clone();
            started.push(scope.spawn(move || {
                if let Ok(counted) = folder::count(job, stop) {
                    // Whoever listens no more needs no number.
                    let _ = told.send(Report::Event(counted));
                }
            }));
        }
        for _ in 0..threads {
            let (works, report) = (Arc::clone(&works), report.clone());
            let hands = Hands::new(keyring, out);
            started.push(scope.spawn(move || open(job, &works, &report, hands, stop)));
        }
        drop((works, report));
        // Whatever it returns, it gives up its end, so that nobody waits for it.
        let named = name(reports, out, &mut teller);
        end(started);
        named
    });
    named?;
    let summary = Box::new(teller.opened.clone());
    teller.tell(&Event::OpeningFinished { summary });
    Ok(teller.opened)
}

/// Why opening came to an end before all was tried.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// It cannot be opened into there.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] TreeError),
}

/// Walks the sources and hands out the work.
fn plan(job: &Job, give: &SyncSender<Work>, report: &SyncSender<Report>, stop: &AtomicBool) {
    for work in folder::plan(job) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Who does not listen any more has a reason, which is told elsewhere.
        let is_heard = match work {
            Ok(work) => give.send(work).is_ok(),
            Err(trouble) => report.send(Report::Event(trouble.into())).is_ok(),
        };
        if !is_heard {
            return;
        }
    }
}

/// Does work until there is no more.
fn open(
    job: &Job,
    works: &Mutex<Receiver<Work>>,
    report: &SyncSender<Report>,
    mut hands: Hands<'_>,
    stop: &AtomicBool,
) {
    loop {
        let next = works.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        if folder::open(&work, job, &mut hands, report, stop).is_none() {
            return;
        }
    }
}

/// Gives names to what is ready, many at a time, and tells what happened.
fn name(reports: Receiver<Report>, out: &Tree, teller: &mut Teller<'_>) -> Result<(), TreeError> {
    let mut group = Group::default();
    loop {
        let next = match group.since {
            None => reports.recv().map_err(RecvTimeoutError::from),
            Some(since) => reports.recv_timeout(LINGER.saturating_sub(since.elapsed())),
        };
        match next {
            Ok(Report::Event(event)) => teller.tell(&event),
            Ok(Report::Output(error)) => return Err(error),
            Ok(Report::Ready(Ready { file, event, bytes, read })) => {
                teller.tell(&Event::SealedRead { bytes: read });
                group.files.push(file);
                group.events.push(event);
                group.bytes += bytes;
                group.since.get_or_insert_with(Instant::now);
                if group.files.len() >= GROUP_FILES || group.bytes >= GROUP_BYTES {
                    group.publish(out, teller)?;
                }
            }
            Err(RecvTimeoutError::Timeout) => group.publish(out, teller)?,
            Err(RecvTimeoutError::Disconnected) => {
                group.publish(out, teller)?;
                return out.settle(group.unsettled);
            }
        }
    }
}

/// Files that get their names together.
#[derive(Default)]
struct Group {
    files: Vec<Placement>,
    events: Vec<Event>,
    bytes: u64,
    /// When the first of them came.
    since: Option<Instant>,
    /// The names of earlier groups. Should the machine fail, those that are lost are given again.
    unsettled: Unsettled,
}

impl Group {
    fn publish(&mut self, out: &Tree, teller: &mut Teller<'_>) -> Result<(), TreeError> {
        (self.bytes, self.since) = (0, None);
        out.name_all(std::mem::take(&mut self.files), &mut self.unsettled)?;
        self.events.drain(..).for_each(|event| teller.tell(&event));
        if self.unsettled.folders() >= MOST_UNSETTLED {
            out.settle(std::mem::take(&mut self.unsettled))?;
        }
        Ok(())
    }
}

/// Adds up what happens, and tells it.
struct Teller<'a> {
    monitor: &'a dyn Monitor,
    opened: Opened,
    told_percent: u64,
}

impl Teller<'_> {
    fn tell(&mut self, event: &Event) {
        self.opened.apply(event);
        self.monitor.on(event);
        let percent = self.opened.percent() / 10 * 10;
        if percent > self.told_percent {
            self.told_percent = percent;
            let Opened { files, bytes, skipped, failed, .. } = self.opened;
            self.monitor.on(&Event::OpeningProgress { percent, files, bytes, skipped, failed });
        }
    }
}
