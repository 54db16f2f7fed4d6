//! What the loop knows of a run: its shards, its counts, and why it has to stop.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::DateTime;

use super::lister::{Found, Key, Waiting, key};
use super::{Finished, Keeper, Run, Stop};
use crate::download::{self, Halt, Job, Outcome};
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
    /// What else failed in it.
    failures: u64,
    unlisted: Vec<Unlisted>,
}

pub(super) struct Engine {
    monitor: Arc<dyn Monitor>,
    summary: Summary,
    advance: Advance,
    shards: BTreeMap<u64, Open>,
    pub(super) waiting: VecDeque<Waiting>,
    in_flight: HashSet<Key>,
    gws_answered: bool,
    gws_forbids: Option<GwsError>,
    /// Media files that found no service, in all and since the last that was saved.
    unanswered: u64,
    in_a_row: u64,
    forbidden: u64,
    pub(super) stop: Option<Stop>,
}

impl Engine {
    pub(super) fn new(monitor: Arc<dyn Monitor>) -> Engine {
        Engine {
            monitor,
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

    /// The next recording whose folder nobody else is writing to.
    pub(super) fn next_startable(&mut self) -> Option<Waiting> {
        let free =
            self.waiting.iter().position(|one| !self.in_flight.contains(&key(&one.recording)))?;
        let waiting = self.waiting.remove(free)?;
        self.in_flight.insert(key(&waiting.recording));
        Some(waiting)
    }

    pub(super) fn found(&mut self, found: Found, job: &Job, run: &Run, keeper: &mut Keeper) {
        match found {
            Found::Begun(shard) => {
                self.shards.insert(shard.index, Open::new(shard));
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
            Found::Forbidden(error) => self.gws_forbids = Some(error),
            Found::Denied(error) => self.stop = Some(Stop::GwsDenied(error)),
        }
    }

    fn begin(&mut self, run: &Run, keeper: &mut Keeper) {
        self.gws_answered = true;
        if let Err(error) = keeper.begin(run) {
            self.stop = Some(Stop::Checkpoint(error));
        }
    }

    fn rejected(&mut self, shard: u64, rejected: &Rejected, job: &Job) {
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

    pub(super) fn saved(
        &mut self,
        shard: u64,
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
        self.in_a_row =
            if outcome.files.downloaded > 0 { 0 } else { self.in_a_row + outcome.unanswered };
        if self.in_a_row >= UNANSWERED_IN_A_ROW && self.stop.is_none() {
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
