//! What the loop knows of a run: its shards, its counts, and why it has to stop.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::DateTime;

use super::committer::{Committer, Ticket};
use super::lister::{ERRANDS, Found, Key, Waiting, key, text};
use super::{Finished, Keeper, Run, Stop};
use crate::download::{self, Halt, Job, Ready};
use crate::ledger::Ledger;
use crate::monitor::{Event, FileCounts, Monitor, Summary};
use crate::recording::Rejected;
use crate::source::gws::GwsError;
use crate::source::listing::Unlisted;
use crate::watermark::Advance;
use crate::window::{Shard, format_rfc3339};

/// How many media files in a row may find no service before the run ends.
const UNANSWERED_IN_A_ROW: u64 = 32;

/// How many forbidden media files speak of the credentials, where others are held already. Fewer
/// may be objects that are missing: S3 says the same of those.
const FORBIDDEN_MANY: u64 = 10;

/// How many ranges of a shard that could not be listed are named.
const UNLISTED_NAMED: usize = 3;

/// A shard that is not finished yet.
struct Open {
    shard: Shard,
    is_listed: bool,
    /// Recordings listed and not yet saved.
    recordings: u64,
    files: FileCounts,
    /// Records of it that cannot be read.
    rejected: u64,
    /// What failed in it in earlier runs, and is not listed any more.
    still_missing: u64,
    unlisted: Vec<Unlisted>,
}

/// A recording that was asked for before the window came to it.
enum OnErrand {
    /// Not saved yet; these shards have listed it meanwhile.
    UnderWay(Vec<u64>),
    /// Its files, and what of it is still missing.
    Done(FileCounts, u64),
}

pub(super) struct Engine {
    monitor: Arc<dyn Monitor>,
    summary: Summary,
    advance: Advance,
    shards: BTreeMap<u64, Open>,
    pub(super) waiting: VecDeque<Waiting>,
    in_flight: HashSet<Key>,
    /// By recording and record.
    on_errand: HashMap<(Key, u64), OnErrand>,
    /// What failed in earlier runs, and has not been listed so far.
    unseen: HashSet<Key>,
    ledger: Option<Arc<Ledger>>,
    gws_answered: bool,
    gws_forbids: Option<GwsError>,
    /// Media files that found no service, in all and since the last that was saved.
    unanswered: u64,
    in_a_row: u64,
    forbidden: u64,
    pub(super) stop: Option<Stop>,
}

impl Engine {
    pub(super) fn new(job: &Job, run: &mut Run) -> Engine {
        Engine {
            monitor: Arc::clone(&job.monitor),
            on_errand: HashMap::new(),
            unseen: std::mem::take(&mut run.failed_before).into_iter().collect(),
            ledger: job.ledger.clone(),
            summary: Summary::default(),
            advance: Advance::default(),
            shards: BTreeMap::new(),
            waiting: VecDeque::new(),
            in_flight: HashSet::new(),
            gws_answered: false,
            gws_forbids: None,
            unanswered: 0,
            in_a_row: 0,
            forbidden: 0,
            stop: None,
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.summary.apply(&event);
        self.monitor.on(&event);
    }

    /// The next few recordings whose folders nobody else is writing to.
    pub(super) fn next_startable(&mut self, most: usize) -> Vec<Waiting> {
        let mut startable = Vec::new();
        let mut at = 0;
        while startable.len() < most && at < self.waiting.len() {
            let key = key(&self.waiting[at].recording);
            if self.in_flight.contains(&key) {
                at += 1;
                continue;
            }
            self.in_flight.insert(key);
            startable.extend(self.waiting.remove(at));
        }
        startable
    }

    pub(super) fn found(&mut self, found: Found, job: &Job, run: &Run, keeper: &mut Keeper) {
        match found {
            Found::Begun(shard) => {
                self.shards.insert(shard.index, Open::new(shard));
                self.tell(Event::ShardStarted { shard });
            }
            Found::Recording(waiting) => {
                self.begin(run, keeper);
                self.unseen.remove(&key(&waiting.recording));
                if !self.was_on_errand(&waiting) {
                    self.wait_for(waiting, job);
                }
            }
            Found::ErrandListed { missing, unlisted, answered } => {
                if answered {
                    self.begin(run, keeper);
                }
                let trouble = unlisted.first().map(|part| part.reason.clone());
                for key in missing {
                    // What lies in the window may still be listed with its shard.
                    if !self.unseen.contains(&key) {
                        self.tell_missing(&key, trouble.as_deref());
                    }
                }
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
                let is_whole = unlisted.is_empty();
                open.unlisted = unlisted;
                let listed = open.shard;
                self.tell(Event::ShardListed { shard: listed, recordings, owned });
                if is_whole {
                    self.miss(listed);
                }
                self.close_if_done(shard, run, keeper);
            }
            Found::Forbidden(error) => self.gws_forbids = Some(error),
            Found::Denied(error) => self.stop = Some(Stop::GwsDenied(error)),
        }
    }

    fn wait_for(&mut self, waiting: Waiting, job: &Job) {
        let (media, bytes) = download::wanted(&job.options, &waiting.recording);
        let recording = waiting.recording.id.clone();
        self.tell(Event::RecordingFound { recording, media, bytes });
        if waiting.shard == ERRANDS {
            let on_errand = OnErrand::UnderWay(Vec::new());
            let record = (key(&waiting.recording), text(&waiting.recording));
            self.on_errand.insert(record, on_errand);
        } else if let Some(open) = self.shards.get_mut(&waiting.shard) {
            open.recordings += 1;
        }
        self.waiting.push_back(waiting);
    }

    /// Tells whether a recording was asked for already, which then counts for its shard.
    fn was_on_errand(&mut self, waiting: &Waiting) -> bool {
        if waiting.shard == ERRANDS || self.on_errand.is_empty() {
            return false;
        }
        let record = (key(&waiting.recording), text(&waiting.recording));
        let Some(on_errand) = self.on_errand.get_mut(&record) else { return false };
        let Some(open) = self.shards.get_mut(&waiting.shard) else { return true };
        match on_errand {
            OnErrand::UnderWay(shards) => {
                open.recordings += 1;
                shards.push(waiting.shard);
            }
            OnErrand::Done(files, still_missing) => {
                open.files.add(*files);
                open.still_missing += *still_missing;
            }
        }
        true
    }

    /// Tells what of a shard, listed to its end, failed before and is gone.
    fn miss(&mut self, shard: Shard) {
        let is_in = |key: &&Key| shard.from <= key.1 && key.1 < shard.to;
        let gone: Vec<Key> = self.unseen.iter().filter(is_in).cloned().collect();
        for key in gone {
            self.unseen.remove(&key);
            let missing = self.tell_missing(&key, None);
            if let Some(open) = self.shards.get_mut(&shard.index) {
                open.still_missing += missing;
            }
        }
    }

    /// Tells all that failed of a recording before, and why it was not tried again; gives how much
    /// that is.
    fn tell_missing(&mut self, (id, started_at): &Key, trouble: Option<&str>) -> u64 {
        let failures = match self.ledger.as_ref().map(|ledger| ledger.failures_of(id, *started_at))
        {
            Some(Ok(failures)) => failures,
            Some(Err(error)) => {
                self.halt(Halt::Ledger(error));
                return 0;
            }
            None => Vec::new(),
        };
        let mut missing = 0;
        for failure in failures.iter().filter(|failure| failure.accepted.is_none()) {
            missing += 1;
            let now = match trouble {
                Some(trouble) => format!("it cannot be listed again: {trouble}"),
                None => "it is listed no more".to_owned(),
            };
            self.tell(Event::StillMissing {
                recording: id.clone(),
                media: Some(failure.media_id.clone()).filter(|id| !id.is_empty()),
                reason: format!("{now}; it failed with: {}", failure.cause),
            });
        }
        missing
    }

    fn begin(&mut self, run: &Run, keeper: &mut Keeper) {
        self.gws_answered = true;
        if let Err(error) = keeper.begin(run) {
            self.stop = Some(Stop::Checkpoint(error));
        }
    }

    fn rejected(&mut self, shard: u64, rejected: &Rejected, job: &Job) {
        if let Some(open) = self.shards.get_mut(&shard) {
            open.rejected += 1;
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

    /// Takes a recording that is done but for what of it is to be committed.
    pub(super) fn done(
        &mut self,
        ticket: Ticket,
        ready: Option<Ready>,
        committer: &mut Committer,
        run: &Run,
        keeper: &mut Keeper,
    ) {
        match ready {
            Some(ready) => committer.submit(ticket, ready),
            None => self.saved(ticket, run, keeper),
        }
    }

    /// Takes note of a recording whose files are durable now, as far as it has any.
    pub(super) fn saved(&mut self, ticket: Ticket, run: &Run, keeper: &mut Keeper) {
        let Ticket { shard, key, text, outcome } = ticket;
        self.in_flight.remove(&key);
        for event in outcome.events {
            self.tell(event);
        }
        self.unanswered += outcome.unanswered;
        self.forbidden += outcome.forbidden;
        self.in_a_row =
            if outcome.files.downloaded > 0 { 0 } else { self.in_a_row + outcome.unanswered };
        if self.in_a_row >= UNANSWERED_IN_A_ROW && self.stop.is_none() {
            self.stop = Some(Stop::MediaSilent);
        }
        let shards = match self.on_errand.get_mut(&(key, text)) {
            Some(on_errand) if shard == ERRANDS => {
                let done = OnErrand::Done(outcome.files, outcome.still_missing);
                match std::mem::replace(on_errand, done) {
                    OnErrand::UnderWay(shards) => shards,
                    OnErrand::Done(..) => Vec::new(),
                }
            }
            _ => vec![shard],
        };
        for shard in shards {
            let Some(open) = self.shards.get_mut(&shard) else { continue };
            open.recordings -= 1;
            open.files.add(outcome.files);
            open.still_missing += outcome.still_missing;
            self.close_if_done(shard, run, keeper);
        }
    }

    pub(super) fn halt(&mut self, halt: Halt) {
        let stop = match halt {
            Halt::Target(error) => Stop::Target(error),
            Halt::Ledger(error) => Stop::Ledger(error),
            Halt::Denied(error) => Stop::MediaDenied(error),
        };
        // A target that cannot be written outranks what else went wrong; a signal came first.
        if self.stop.is_none()
            || matches!(
                (&self.stop, &stop),
                (Some(Stop::MediaDenied(_)), Stop::Target(_) | Stop::Ledger(_))
            )
        {
            self.stop = Some(stop);
        }
    }

    fn close_if_done(&mut self, index: u64, run: &Run, keeper: &mut Keeper) {
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
        let handled_to = self.advance.shard_done(index, shard.to, is_handled);
        let kept = handled_to.map_or(Ok(()), |to| keeper.advance(run, to));
        if let Err(error) = kept {
            self.stop = Some(Stop::Checkpoint(error));
        }
    }

    fn is_forbidden_throughout(&self) -> bool {
        let files = self.summary.files;
        self.forbidden == files.failed && (files.skipped == 0 || files.failed >= FORBIDDEN_MANY)
    }

    pub(super) fn finish(mut self) -> Finished {
        let files = self.summary.files;
        if self.stop.is_none() {
            let nothing_came = files.downloaded == 0 && files.failed > 0;
            self.stop = if !self.gws_answered && self.summary.failed_shards > 0 {
                Some(self.gws_forbids.take().map_or(Stop::GwsSilent, Stop::GwsDenied))
            } else if nothing_came && self.is_forbidden_throughout() {
                Some(Stop::NothingReadable)
            } else if nothing_came && self.unanswered == files.failed {
                Some(Stop::MediaSilent)
            } else {
                None
            };
        }
        self.monitor.on(&Event::RunFinished { summary: Box::new(self.summary.clone()) });
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
            rejected: 0,
            still_missing: 0,
            unlisted: Vec::new(),
        }
    }

    /// Why not everything of it is held, if so.
    fn failure(&self) -> Option<String> {
        let mut reasons = Vec::new();
        if self.files.failed > 0 {
            reasons.push(format!("media files that failed: {}", self.files.failed));
        }
        if self.rejected > 0 {
            reasons.push(format!("records that cannot be read: {}", self.rejected));
        }
        if self.still_missing > 0 {
            let missing = self.still_missing;
            reasons.push(format!("missing since earlier runs and not listed now: {missing}"));
        }
        for part in self.unlisted.iter().take(UNLISTED_NAMED) {
            let time = |ms| format_rfc3339(DateTime::from_timestamp_millis(ms).unwrap_or_default());
            let (from, to) = (time(part.from_ms), time(part.to_ms));
            reasons.push(format!("not listed from {from} to {to}: {}", part.reason));
        }
        if self.unlisted.len() > UNLISTED_NAMED {
            reasons.push(format!("ranges not listed in all: {}", self.unlisted.len()));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}
