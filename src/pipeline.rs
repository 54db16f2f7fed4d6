//! The page to read first: how recordings are listed, fetched, published, and remembered.
//!
//! Given a plan it lists the window shard by shard, deals each recording of this instance to a
//! download, commits what these have ready in groups, and moves the watermark over the shards that
//! are held entirely.
//!
//! **Invariant:** the one loop in [`backup`] alone owns the summary and the watermark. Listing runs
//! ahead of downloading, and downloading ahead of committing, each within a budget.

mod committer;
mod engine;
mod errand;
mod lister;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinError, JoinSet};

use self::committer::{Committer, Ticket};
use self::engine::Engine;
use self::lister::{Waiting, key, list, text};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::download::{self, Halt, Job, Looked, Outcome, Ready, Wanted};
use crate::instance::Instance;
use crate::ledger::LedgerError;
use crate::monitor::{Event, Summary};
use crate::source::OpenError;
use crate::source::gws::{Gws, GwsError};
use crate::tree::TreeError;
use crate::watermark::{Plan, Scope, Stored};

pub use self::errand::{Errand, Reason, errands};
pub use self::lister::Key;

/// How many recordings are looked at in one go: less than that costs more in changing threads than
/// in looking.
const LOOKED_AT_TOGETHER: usize = 32;

/// How much of what the lister has found is taken in one go.
const FOUND_TOGETHER: usize = 64;

/// How many goes are under way, so that a disk that answers slowly is asked several things at once.
const LOOKS_AT_ONCE: usize = 4;

/// What whoever sent the first signal is told.
pub const STOPPING: &str =
    "stopping: what is under way is finished first; a second signal ends the run at once";

/// What a run covers and how.
pub struct Run {
    /// The window, and what becomes of the watermark.
    pub plan: Plan,
    /// How long a shard is.
    pub shard_by: TimeDelta,
    /// What is tried before the window.
    pub errands: Vec<Errand>,
    /// What failed in earlier runs and began in the window, of this share and not given up.
    pub failed_before: Vec<Key>,
    /// Which share of the recordings is ours.
    pub instance: Instance,
    /// What the ground is covered under.
    pub scope: Scope,
    /// The time of the run.
    pub now: DateTime<Utc>,
    /// Tells the time at which something is written down.
    pub clock: fn() -> DateTime<Utc>,
}

/// A wish of the operator that the run should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// The system or a scheduler.
    Terminate,
}

/// Why a run ended before its window was covered.
#[derive(Debug)]
pub enum Stop {
    /// The operator wished it.
    Signal(Signal),
    /// The target cannot be written.
    Target(TreeError),
    /// The watermark cannot be kept.
    Checkpoint(CheckpointError),
    /// The ledger cannot be read or written.
    Ledger(LedgerError),
    /// GWS refuses the login.
    GwsDenied(GwsError),
    /// The source of media refuses the credentials.
    MediaDenied(OpenError),
    /// Not one object was readable.
    NothingReadable,
    /// GWS never answered.
    GwsSilent,
    /// The source of media does not answer, or does so no longer.
    MediaSilent,
}

/// What came of a run.
#[derive(Debug)]
pub struct Finished {
    /// What its events add up to.
    pub summary: Summary,
    /// Why it ended early, if it did.
    pub stop: Option<Stop>,
}

/// Saves the recordings of a window.
///
/// A failure of a single recording or shard is an event; what ends the run is [`Finished::stop`].
/// What the `keeper` has stored is left alone where the plan says so, and in a dry run.
pub async fn backup(
    gws: &Gws,
    job: Arc<Job>,
    mut run: Run,
    mut keeper: Keeper,
    shutdown: impl Future<Output = Signal>,
) -> Finished {
    let mut engine = Engine::new(&job, &mut run);
    let shards = run.plan.window.shards(run.shard_by);
    engine.tell(Event::RunStarted {
        from: run.plan.window.from,
        to: run.plan.window.to,
        shards: shards.len() as u64,
    });

    let (sender, mut listing) = mpsc::unbounded_channel();
    let mut lister = JoinSet::new();
    let errands = std::mem::take(&mut run.errands);
    lister.spawn(list(gws.clone(), errands, shards, run.instance, sender));
    let mut found = Vec::new();
    let mut looks: JoinSet<Result<Vec<Look>, Halt>> = JoinSet::new();
    let mut wanted: VecDeque<(UnderWay, Wanted)> = VecDeque::new();
    let mut downloads: JoinSet<Result<(Ticket, Option<Ready>), Halt>> = JoinSet::new();
    let mut committer = Committer::start(Arc::clone(&job.tree), job.ledger.clone(), run.clock);
    let mut shutdown = std::pin::pin!(shutdown);
    let mut is_listing = true;

    while is_listing
        || !looks.is_empty()
        || !downloads.is_empty()
        || !committer.is_idle()
        || !engine.waiting.is_empty()
        || !wanted.is_empty()
    {
        while engine.stop.is_none()
            && looks.len() < LOOKS_AT_ONCE
            && wanted.len() < job.requests.ready_at_once()
            && committer.has_room()
        {
            let batch = engine.next_startable(LOOKED_AT_TOGETHER);
            if batch.is_empty() {
                break;
            }
            let job = Arc::clone(&job);
            looks.spawn_blocking(move || look(&job, batch));
        }
        while downloads.len() < job.requests.ready_at_once()
            && committer.has_room()
            && let Some((UnderWay { mut ticket, permit }, wanted)) = wanted.pop_front()
        {
            let job = Arc::clone(&job);
            downloads.spawn(async move {
                let downloaded = download::download(&job, wanted).await;
                drop(permit);
                let (outcome, ready) = downloaded?;
                ticket.outcome = outcome;
                Ok((ticket, ready))
            });
        }
        tokio::select! {
            signal = &mut shutdown, if !matches!(engine.stop, Some(Stop::Signal(_))) => {
                engine.stop = Some(Stop::Signal(signal));
                engine.tell(Event::Note { text: STOPPING.to_owned() });
            }
            count = listing.recv_many(&mut found, FOUND_TOGETHER), if is_listing => {
                is_listing = count > 0;
                found.drain(..).for_each(|found| engine.found(found, &job, &run, &mut keeper));
            }
            Some(looked) = looks.join_next(), if !looks.is_empty() => match joined(looked) {
                Ok(looks) => for (mut under_way, looked) in looks {
                    match looked {
                        Looked::Wanted(one) => wanted.push_back((under_way, one)),
                        Looked::Done((outcome, ready)) => {
                            under_way.ticket.outcome = outcome;
                            engine.done(under_way.ticket, ready, &mut committer, &run, &mut keeper);
                        }
                    }
                },
                Err(halt) => engine.halt(halt),
            },
            Some(done) = downloads.join_next(), if !downloads.is_empty() => match joined(done) {
                Ok((ticket, ready)) => {
                    engine.done(ticket, ready, &mut committer, &run, &mut keeper);
                }
                Err(halt) => engine.halt(halt),
            },
            committed = committer.next(), if !committer.is_idle() => match committed.result {
                Ok(()) => {
                    for ticket in committed.tickets {
                        engine.saved(ticket, &run, &mut keeper);
                    }
                }
                Err(halt) => halt.into_iter().for_each(|halt| engine.halt(halt)),
            },
        }
        if engine.stop.is_some() {
            // What is in flight is finished; nothing new begins.
            lister.abort_all();
            is_listing = false;
            engine.waiting.clear();
            wanted.clear();
        }
    }
    committer.end();
    engine.finish()
}

/// A recording that is looked at or downloaded.
struct UnderWay {
    ticket: Ticket,
    /// Its part of the budget.
    permit: OwnedSemaphorePermit,
}

/// What looking at a recording has shown.
type Look = (UnderWay, Looked);

fn look(job: &Job, waiting: Vec<Waiting>) -> Result<Vec<Look>, Halt> {
    let (mut under_way, mut recordings) = (Vec::new(), Vec::new());
    for Waiting { shard, recording, permit } in waiting {
        let outcome = Outcome::default();
        let ticket = Ticket { shard, key: key(&recording), text: text(&recording), outcome };
        under_way.push(UnderWay { ticket, permit });
        recordings.push(recording);
    }
    Ok(under_way.into_iter().zip(download::look(job, recordings)?).collect())
}

fn joined<T>(done: Result<T, JoinError>) -> T {
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// What remembers how far the recordings are handled.
pub struct Keeper {
    /// The file; none in a dry run.
    pub checkpoint: Option<Checkpoint>,
    /// What earlier runs left, and this one adds to.
    pub stored: Stored,
}

impl Keeper {
    /// Writes the first watermark, before anything is downloaded.
    fn begin(&mut self, run: &Run) -> Result<(), CheckpointError> {
        match &self.checkpoint {
            Some(checkpoint) if self.stored.begin(&run.plan) => checkpoint.save(&self.stored),
            _ => Ok(()),
        }
    }

    /// Remembers that all from the window's start up to a time is handled.
    fn advance(&mut self, run: &Run, to: DateTime<Utc>) -> Result<(), CheckpointError> {
        match &self.checkpoint {
            Some(checkpoint) if self.stored.handled(&run.plan, &run.scope, to, run.now) => {
                checkpoint.save(&self.stored)
            }
            _ => Ok(()),
        }
    }
}
