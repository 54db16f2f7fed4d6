//! The page to read first: how recordings are listed, fetched, published, and remembered.
//!
//! Given a plan it lists the window shard by shard, deals each recording of this instance to a
//! download, and moves the watermark over the shards that are held entirely.
//!
//! **Invariant:** the one loop in [`backup`] alone owns the summary and the watermark. Listing runs
//! ahead of downloading, but what is listed and not yet saved never weighs more than [`AHEAD_KIB`].

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::download::{self, Halt, Job, Outcome};
use crate::instance::Instance;
use crate::monitor::{Event, FileCounts, Monitor, Summary};
use crate::recording::{Recording, Rejected};
use crate::source::OpenError;
use crate::source::gws::{Gws, GwsError, Listed};
use crate::source::listing::{Habits, Unlisted};
use crate::tree::TreeError;
use crate::watermark::{Advance, Plan, Scope, Stored};
use crate::window::Shard;

/// How much text of recordings may wait for its download, in KiB.
const AHEAD_KIB: u32 = 16 * 1024;
/// How many media files in a row may find no service before the run ends.
const UNANSWERED_IN_A_ROW: u64 = 16;
/// What whoever sent the first signal is told.
const STOPPING: &str =
    "stopping: what is under way is finished first; a second signal ends the run at once";

/// What a run covers and how.
pub struct Run {
    /// The window, and what becomes of the watermark.
    pub plan: Plan,
    /// How long a shard is.
    pub shard_by: TimeDelta,
    /// Which share of the recordings is ours.
    pub instance: Instance,
    /// What the ground is covered under.
    pub scope: Scope,
    /// How many recordings are saved at the same time.
    pub recordings_at_once: usize,
    /// The time of the run.
    pub now: DateTime<Utc>,
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
    /// GWS refuses the login.
    GwsDenied(GwsError),
    /// The source of media refuses the credentials.
    MediaDenied(OpenError),
    /// Not one object was readable.
    NothingReadable,
    /// GWS never answered.
    GwsSilent,
    /// No source of media ever answered.
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
/// `checkpoint` and what is stored in it are left alone where the plan says so, and in a dry run.
pub async fn backup(
    gws: &Gws,
    job: Arc<Job>,
    run: Run,
    mut keeper: Keeper,
    shutdown: impl Future<Output = Signal>,
) -> Finished {
    let mut engine = Engine::new(Arc::clone(&job.monitor));
    let shards = run.plan.window.shards(run.shard_by);
    engine.tell(Event::RunStarted {
        from: run.plan.window.from,
        to: run.plan.window.to,
        shards: shards.len() as u64,
    });

    let (found, mut listing) = mpsc::unbounded_channel();
    let mut lister = JoinSet::new();
    lister.spawn(list(gws.clone(), shards.collect(), run.instance, found));
    let mut downloads: JoinSet<(usize, Key, Result<Outcome, Halt>)> = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut is_listing = true;

    while is_listing || !downloads.is_empty() || !engine.waiting.is_empty() {
        while engine.stop.is_none() && downloads.len() < run.recordings_at_once {
            let Some(waiting) = engine.next_startable() else { break };
            let job = Arc::clone(&job);
            downloads.spawn(async move {
                let key = key(&waiting.recording);
                let outcome = download::download(&job, waiting.recording).await;
                drop(waiting.permit);
                (waiting.shard, key, outcome)
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
                let (shard, key, outcome) = done
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                engine.saved(shard, &key, outcome, &run, &mut keeper);
            }
        }
        if engine.stop.is_some() {
            // What is in flight is finished; nothing new begins.
            lister.abort_all();
            is_listing = false;
            engine.waiting.clear();
        }
    }
    engine.finish()
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

/// A recording is its id and its startTime.
type Key = (String, DateTime<Utc>);

fn key(recording: &Recording) -> Key {
    (recording.id.clone(), recording.started_at)
}

/// A recording that is listed and not yet saved.
struct Waiting {
    shard: usize,
    recording: Recording,
    permit: OwnedSemaphorePermit,
}

/// What the lister has to tell.
enum Found {
    Begun(Shard),
    Recording(Waiting),
    Outside { recording: String },
    Rejected { shard: usize, rejected: Rejected },
    Listed { shard: usize, recordings: u64, owned: u64, unlisted: Vec<Unlisted>, answered: bool },
    Denied(GwsError),
}

/// Lists the shards one after the other, as far ahead as the budget allows.
async fn list(
    gws: Gws,
    shards: Vec<Shard>,
    instance: Instance,
    found: mpsc::UnboundedSender<Found>,
) {
    let budget = Arc::new(Semaphore::new(AHEAD_KIB as usize));
    let mut habits = Habits::default();
    for shard in shards {
        let index = shard.index as usize;
        let _ = found.send(Found::Begun(shard));
        let (mut recordings, mut owned) = (0, 0);
        let mut pager = gws.list(shard.from, shard.to, &mut habits);
        loop {
            let recording = match pager.next().await {
                Ok(None) => break,
                Ok(Some(Listed::Recording(recording))) => recording,
                Ok(Some(Listed::Outside(recording))) => {
                    if instance.owns(&recording.id) {
                        let _ = found.send(Found::Outside { recording: recording.id.clone() });
                    }
                    recording
                }
                Ok(Some(Listed::Rejected(rejected))) => {
                    recordings += 1;
                    if instance.id == 0 {
                        let _ = found.send(Found::Rejected { shard: index, rejected });
                    }
                    continue;
                }
                Err(denied) => {
                    let _ = found.send(Found::Denied(denied));
                    return;
                }
            };
            recordings += 1;
            if !instance.owns(&recording.id) {
                continue;
            }
            owned += 1;
            let weight = (recording.json.get().len() / 1024 + 1).min(AHEAD_KIB as usize) as u32;
            let permit = Arc::clone(&budget).acquire_many_owned(weight).await;
            let permit = permit.expect("the budget is never closed");
            let _ = found.send(Found::Recording(Waiting { shard: index, recording, permit }));
        }
        let unlisted = pager.unlisted();
        let answered = habits.answered;
        let _ = found.send(Found::Listed { shard: index, recordings, owned, unlisted, answered });
    }
}

/// A shard that is not finished yet.
struct Open {
    shard: Shard,
    is_listed: bool,
    /// Recordings listed and not yet saved.
    recordings: u64,
    files: FileCounts,
    /// What else failed in it.
    failures: u64,
    unlisted: Vec<Unlisted>,
}

struct Engine {
    monitor: Arc<dyn Monitor>,
    summary: Summary,
    advance: Advance,
    shards: BTreeMap<usize, Open>,
    waiting: VecDeque<Waiting>,
    in_flight: HashSet<Key>,
    gws_answered: bool,
    unanswered: u64,
    forbidden: u64,
    stop: Option<Stop>,
}

impl Engine {
    fn new(monitor: Arc<dyn Monitor>) -> Engine {
        Engine {
            monitor,
            summary: Summary::default(),
            advance: Advance::default(),
            shards: BTreeMap::new(),
            waiting: VecDeque::new(),
            in_flight: HashSet::new(),
            gws_answered: false,
            unanswered: 0,
            forbidden: 0,
            stop: None,
        }
    }

    fn tell(&mut self, event: Event) {
        self.summary.apply(&event);
        self.monitor.on(&event);
    }

    /// The next recording whose folder nobody else is writing to.
    fn next_startable(&mut self) -> Option<Waiting> {
        let free =
            self.waiting.iter().position(|one| !self.in_flight.contains(&key(&one.recording)))?;
        let waiting = self.waiting.remove(free)?;
        self.in_flight.insert(key(&waiting.recording));
        Some(waiting)
    }

    fn found(&mut self, found: Found, job: &Job, run: &Run, keeper: &mut Keeper) {
        match found {
            Found::Begun(shard) => {
                self.shards.insert(shard.index as usize, Open::new(shard));
                self.tell(Event::ShardStarted { shard });
            }
            Found::Recording(waiting) => {
                self.begin(run, keeper);
                let (media, bytes) = download::wanted(&job.options, &waiting.recording);
                let recording = waiting.recording.id.clone();
                self.tell(Event::RecordingFound { recording, media, bytes });
                if let Some(open) = self.shards.get_mut(&waiting.shard) {
                    open.recordings += 1;
                }
                self.waiting.push_back(waiting);
            }
            Found::Outside { recording } => self.tell(Event::Warning {
                text: format!("recording {recording} began outside the time asked for; it is kept"),
            }),
            Found::Rejected { shard, rejected } => self.rejected(shard, &rejected, job),
            Found::Listed { shard, recordings, owned, unlisted, answered } => {
                self.gws_answered |= answered;
                if answered {
                    self.begin(run, keeper);
                }
                let Some(open) = self.shards.get_mut(&shard) else { return };
                open.is_listed = true;
                open.unlisted = unlisted;
                let listed = open.shard;
                self.tell(Event::ShardListed { shard: listed, recordings, owned });
                self.close_if_done(shard, run, keeper);
            }
            Found::Denied(error) => self.stop = Some(Stop::GwsDenied(error)),
        }
    }

    fn begin(&mut self, run: &Run, keeper: &mut Keeper) {
        self.gws_answered = true;
        if let Err(error) = keeper.begin(run) {
            self.stop = Some(Stop::Checkpoint(error));
        }
    }

    fn rejected(&mut self, shard: usize, rejected: &Rejected, job: &Job) {
        if let Some(open) = self.shards.get_mut(&shard) {
            open.failures += 1;
        }
        let record = if job.options.dry_run {
            rejected.id.clone().unwrap_or_else(|| "a record without id".to_owned())
        } else {
            match job.tree.reject(rejected.json.get().as_bytes()) {
                Ok(kept) => kept.path,
                Err(error) => {
                    self.stop = Some(Stop::Target(error));
                    return;
                }
            }
        };
        self.tell(Event::RecordRejected { record, reason: rejected.reason.to_owned() });
    }

    fn saved(
        &mut self,
        shard: usize,
        key: &Key,
        outcome: Result<Outcome, Halt>,
        run: &Run,
        keeper: &mut Keeper,
    ) {
        self.in_flight.remove(key);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(halt) => {
                self.halt(halt);
                return;
            }
        };
        for event in outcome.events {
            self.tell(event);
        }
        self.unanswered += outcome.unanswered;
        self.forbidden += outcome.forbidden;
        let nothing_came = self.summary.files.downloaded == 0;
        if nothing_came && self.unanswered >= UNANSWERED_IN_A_ROW && self.stop.is_none() {
            self.stop = Some(Stop::MediaSilent);
        }
        let Some(open) = self.shards.get_mut(&shard) else { return };
        open.recordings -= 1;
        open.files.add(outcome.files);
        self.close_if_done(shard, run, keeper);
    }

    fn halt(&mut self, halt: Halt) {
        let stop = match halt {
            Halt::Target(error) => Stop::Target(error),
            Halt::Denied(error) => Stop::MediaDenied(error),
        };
        // A target that cannot be written outranks what else went wrong; a signal came first.
        if self.stop.is_none()
            || matches!((&self.stop, &stop), (Some(Stop::MediaDenied(_)), Stop::Target(_)))
        {
            self.stop = Some(stop);
        }
    }

    fn close_if_done(&mut self, index: usize, run: &Run, keeper: &mut Keeper) {
        let is_done = |open: &Open| open.is_listed && open.recordings == 0;
        if !self.shards.get(&index).is_some_and(is_done) {
            return;
        }
        let Some(open) = self.shards.remove(&index) else { return };
        let Open { shard, files, .. } = open;
        let failure = open.failure();
        let is_handled = failure.is_none();
        self.tell(match failure {
            None => Event::ShardFinished { shard, files },
            Some(reason) => Event::ShardFailed { shard, files, reason },
        });
        if let Some(handled_to) = self.advance.shard_done(index, shard.to, is_handled) {
            if let Err(error) = keeper.advance(run, handled_to) {
                self.stop = Some(Stop::Checkpoint(error));
            }
        }
    }

    fn finish(mut self) -> Finished {
        let files = self.summary.files;
        if self.stop.is_none() {
            let nothing_came = files.downloaded == 0 && files.failed > 0;
            self.stop = if !self.gws_answered && self.summary.failed_shards > 0 {
                Some(Stop::GwsSilent)
            } else if nothing_came && self.forbidden == files.failed {
                Some(Stop::NothingReadable)
            } else if nothing_came && self.unanswered == files.failed {
                Some(Stop::MediaSilent)
            } else {
                None
            };
        }
        self.monitor.on(&Event::RunFinished { summary: self.summary.clone() });
        Finished { summary: self.summary, stop: self.stop }
    }
}

impl Open {
    fn new(shard: Shard) -> Open {
        Open {
            shard,
            is_listed: false,
            recordings: 0,
            files: FileCounts::default(),
            failures: 0,
            unlisted: Vec::new(),
        }
    }

    /// Why not everything of it is held, if so.
    fn failure(&self) -> Option<String> {
        let mut reasons = Vec::new();
        if self.files.failed > 0 {
            reasons.push(format!("media files that failed: {}", self.files.failed));
        }
        if self.failures > 0 {
            reasons.push(format!("records that cannot be read: {}", self.failures));
        }
        if let Some(first) = self.unlisted.first() {
            let missing: i64 = self.unlisted.iter().map(|part| part.to_ms - part.from_ms).sum();
            let from = DateTime::from_timestamp_millis(first.from_ms).unwrap_or_default();
            reasons.push(format!(
                "not listed: {} ms in {} ranges, the first from {}: {}",
                missing,
                self.unlisted.len(),
                from.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
                first.reason
            ));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}
