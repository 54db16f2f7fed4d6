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

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::committer::{Committer, Ticket};
use self::engine::Engine;
use self::lister::{key, list, text};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::download::{self, Halt, Job, Ready};
use crate::instance::Instance;
use crate::ledger::LedgerError;
use crate::monitor::{Event, Summary};
use crate::source::OpenError;
use crate::source::gws::{Gws, GwsError};
use crate::tree::TreeError;
use crate::watermark::{Plan, Scope, Stored};

pub use self::errand::{Errand, Reason, errands};
pub use self::lister::Key;

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

    let (found, mut listing) = mpsc::unbounded_channel();
    let mut lister = JoinSet::new();
    let errands = std::mem::take(&mut run.errands);
    lister.spawn(list(gws.clone(), errands, shards, run.instance, found));
    let mut downloads: JoinSet<Download> = JoinSet::new();
    let mut committer = Committer::start(Arc::clone(&job.tree), job.ledger.clone(), run.clock);
    let mut shutdown = std::pin::pin!(shutdown);
    let mut is_listing = true;

    while is_listing || !downloads.is_empty() || !committer.is_idle() || !engine.waiting.is_empty()
    {
        while engine.stop.is_none()
            && downloads.len() < job.requests.ready_at_once()
            && committer.has_room()
        {
            let Some(waiting) = engine.next_startable() else { break };
            let job = Arc::clone(&job);
            downloads.spawn(async move {
                let (shard, recording) = (waiting.shard, &waiting.recording);
                let (key, text) = (key(recording), text(recording));
                let downloaded = download::download(&job, waiting.recording).await;
                drop(waiting.permit);
                let (outcome, ready) = downloaded?;
                Ok((Ticket { shard, key, text, outcome }, ready))
            });
        }
        tokio::select! {
            signal = &mut shutdown, if !matches!(engine.stop, Some(Stop::Signal(_))) => {
                engine.stop = Some(Stop::Signal(signal));
                engine.tell(Event::Note { text: STOPPING.to_owned() });
            }
            found = listing.recv(), if is_listing => match found {
                Some(found) => engine.found(found, &job, &run, &mut keeper),
                None => is_listing = false,
            },
            Some(done) = downloads.join_next(), if !downloads.is_empty() => {
                match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                    Ok((ticket, Some(ready))) => committer.submit(ticket, ready),
                    Ok((ticket, None)) => engine.saved(ticket, &run, &mut keeper),
                    Err(halt) => engine.halt(halt),
                }
            }
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
        }
    }
    committer.end();
    engine.finish()
}

/// What a download gives: what is true once something is committed, if anything is to be.
type Download = Result<(Ticket, Option<Ready>), Halt>;

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
