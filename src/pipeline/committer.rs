//! Files and their ledger entries, made durable in groups.
//!
//! Given what downloads have ready, in the order it comes, gives each back once it is on stable
//! storage under its final name and written down. A thread does the work, because it waits for the
//! disk; what comes meanwhile makes the next group.
//!
//! **Invariant**: staged files are flushed before any of them is renamed, their folders before the
//! ledger is written, and nothing is given back before that. After a failure nothing more is
//! committed.

use std::sync::Arc;
use std::sync::mpsc as threads;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::lister::Key;
use crate::download::{Halt, Outcome, Ready};
use crate::ledger::Ledger;
use crate::tree::Tree;

/// How many files a group has at most.
const MOST_FILES: usize = 256;

/// How many files may be ready and not committed, so that some are always waiting while a group
/// is under way. Each is an open file.
const MOST_PENDING: usize = 2 * MOST_FILES;

/// How long a group waits for more.
const GATHERING: Duration = Duration::from_millis(10);

/// A recording on its way through the committer.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) shard: u64,
    pub(super) key: Key,
    /// Which of its records.
    pub(super) text: u64,
    pub(super) outcome: Outcome,
}

/// A group that has gone through.
pub(super) struct Committed {
    pub(super) tickets: Vec<Ticket>,
    files: usize,
    /// Whether it is durable now; of the groups behind a failure none is tried.
    pub(super) result: Result<(), Option<Halt>>,
}

/// The thread, as the loop sees it.
pub(super) struct Committer {
    ready: threads::Sender<(Ticket, Ready)>,
    done: mpsc::UnboundedReceiver<Committed>,
    thread: Option<JoinHandle<()>>,
    recordings: usize,
    files: usize,
}

impl Committer {
    pub(super) fn start(
        tree: Arc<Tree>,
        ledger: Option<Arc<Ledger>>,
        clock: fn() -> DateTime<Utc>,
    ) -> Committer {
        let (ready, receiver) = threads::channel();
        let (sender, done) = mpsc::unbounded_channel();
        let work = move || {
            let mut desk = Desk { tree, ledger, clock, has_failed: false };
            while let Some(group) = gather(&receiver) {
                if sender.send(desk.commit(group)).is_err() {
                    break;
                }
            }
        };
        let thread = Some(std::thread::spawn(work));
        Committer { ready, done, thread, recordings: 0, files: 0 }
    }

    /// Tells whether more may be made ready.
    pub(super) fn has_room(&self) -> bool {
        self.files < MOST_PENDING
    }

    /// Tells whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.recordings == 0
    }

    pub(super) fn submit(&mut self, ticket: Ticket, ready: Ready) {
        self.recordings += 1;
        self.files += ready.placements.len();
        // If the thread has died, waiting for it will tell.
        let _ = self.ready.send((ticket, ready));
    }

    /// Waits for the next group; only if something is under way.
    pub(super) async fn next(&mut self) -> Committed {
        let Some(committed) = self.done.recv().await else {
            let died = self.thread.take().and_then(|thread| thread.join().err());
            std::panic::resume_unwind(died.unwrap_or_else(|| Box::new("the committer ended")));
        };
        self.recordings -= committed.tickets.len();
        self.files -= committed.files;
        committed
    }

    /// Waits until the thread, with nothing under way, has let go of the tree and the ledger.
    pub(super) fn end(mut self) {
        drop(self.ready);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Waits for something that is ready, and takes what else comes within a moment.
fn gather(ready: &threads::Receiver<(Ticket, Ready)>) -> Option<Vec<(Ticket, Ready)>> {
    let first = ready.recv().ok()?;
    let until = Instant::now() + GATHERING;
    let mut files = first.1.placements.len();
    let mut group = vec![first];
    while files < MOST_FILES {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(next) = ready.recv_timeout(left) else { break };
        files += next.1.placements.len();
        group.push(next);
    }
    Some(group)
}

/// Where groups are committed.
struct Desk {
    tree: Arc<Tree>,
    ledger: Option<Arc<Ledger>>,
    clock: fn() -> DateTime<Utc>,
    has_failed: bool,
}

impl Desk {
    fn commit(&mut self, group: Vec<(Ticket, Ready)>) -> Committed {
        let (tickets, ready): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let files = ready.iter().map(|ready| ready.placements.len()).sum();
        let result = match self.has_failed {
            true => Err(None),
            false => self.make_durable(ready).map_err(Some),
        };
        self.has_failed |= result.is_err();
        Committed { tickets, files, result }
    }

    fn make_durable(&self, ready: Vec<Ready>) -> Result<(), Halt> {
        let (mut placements, mut cured, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for one in ready {
            placements.extend(one.placements);
            cured.extend(one.cured);
            changes.push(one.change);
        }
        self.tree.publish_all(placements)?;
        for path in cured {
            self.tree.set_aside(&path)?;
        }
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let now = (self.clock)();
        for change in &mut changes {
            for media in change.held.iter_mut().flat_map(|held| &mut held.media) {
                media.saved_at = now;
            }
        }
        Ok(ledger.record(&changes, now)?)
    }
}
