//! Lists the shards, several at the same time and ahead of the downloads.
//!
//! A page is the unit of work: the oldest range that waits gets the next one, and what is left of a
//! large range is shared out in pieces where somebody is free.
//!
//! **Invariant:** what is listed and not yet saved never weighs more than [`AHEAD_KIB`], and what
//! is being read about [`PARSED_KIB`]; one page can always be asked for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;

use super::errand::{Errand, Reason};
use crate::instance::Instance;
use crate::recording::{Recording, Rejected};
use crate::source::gws::{Gws, GwsError, Learned, Listed, Pager};
use crate::source::listing::{Unlisted, joined};
use crate::window::{Shard, Shards};

/// How much recordings that wait for their download may weigh, in KiB.
const AHEAD_KIB: u32 = 8 * 1024;

/// How much may be in memory of pages that are being read, in KiB.
const PARSED_KIB: usize = 4 * 1024;

/// How many records of a page are in memory at most while it is read.
const PARSED_RECORDS: usize = 10;

/// What a recording weighs besides its text, in KiB: what was read from it, and its place in line.
const BESIDES_KIB: usize = 3;

/// The place of errands among the shards.
pub(super) const ERRANDS: u64 = u64::MAX;

/// A recording is its id and its startTime, to the millisecond.
pub type Key = (String, DateTime<Utc>);

/// Tells records of one recording apart.
pub(super) fn text(recording: &Recording) -> u64 {
    xxh3_64(recording.json.get().as_bytes())
}

pub(super) fn key(recording: &Recording) -> Key {
    (recording.id.clone(), recording.started_at.trunc_subsecs(3))
}

/// A recording that is listed and not yet saved.
pub(super) struct Waiting {
    pub(super) shard: u64,
    pub(super) recording: Recording,
    /// Its part of the budget, given back when it is saved.
    pub(super) permit: OwnedSemaphorePermit,
}

/// What the lister has to tell.
pub(super) enum Found {
    Begun(Shard),
    Recording(Waiting),
    Outside {
        recording: String,
    },
    Rejected {
        shard: u64,
        rejected: Rejected,
    },
    Listed {
        shard: u64,
        recordings: u64,
        owned: u64,
        unlisted: Vec<Unlisted>,
        answered: bool,
    },
    /// An errand is done; these of what it asked for are not listed, or could not be.
    ErrandListed {
        missing: Vec<Key>,
        unlisted: Vec<Unlisted>,
        answered: bool,
    },
    /// A range that the user may not list; others may be open to them.
    Forbidden(GwsError),
    Denied(GwsError),
}

/// What all that list at the same time share.
struct Desk {
    gws: Gws,
    learned: Learned,
    instance: Instance,
    /// What waits for its download is taken from it, by weight.
    budget: Arc<Semaphore>,
    found: mpsc::UnboundedSender<Found>,
}

/// Lists the errands and then the shards, several ranges at the same time, as far ahead as the
/// budget allows.
pub(super) async fn list(
    gws: Gws,
    errands: Vec<Errand>,
    shards: Shards,
    instance: Instance,
    found: mpsc::UnboundedSender<Found>,
) {
    let budget = Arc::new(Semaphore::new(AHEAD_KIB as usize));
    let desk = Arc::new(Desk { gws, learned: Learned::default(), instance, budget, found });
    // What is on an errand has to be known by the time it is listed with its shard.
    let errands = (0..).zip(errands).map(|(index, errand)| Piece::errand(&desk, index, errand));
    let done = match Crew::new(&desk, errands).work().await {
        Ok(()) => Crew::new(&desk, shards.map(|shard| Piece::shard(&desk, shard))).work().await,
        denied => denied,
    };
    if let Err(denied) = done {
        let _ = desk.found.send(Found::Denied(denied));
    }
}

/// A range that is being listed, or a piece of one.
struct Piece {
    index: u64,
    purpose: Purpose,
    pager: Pager,
    /// Records of its last page.
    recordings: u64,
    /// Those of them that are ours.
    owned: u64,
    /// What the heaviest of them weighs, in KiB.
    heaviest_kib: usize,
}

enum Purpose {
    Shard,
    Errand { wanted: HashMap<Key, Reason>, listed: HashSet<Key> },
}

impl Piece {
    fn shard(desk: &Desk, shard: Shard) -> Piece {
        let _ = desk.found.send(Found::Begun(shard));
        let pager = desk.gws.list(shard.from, shard.to, &desk.learned);
        Piece::new(shard.index, Purpose::Shard, pager)
    }

    fn errand(desk: &Desk, index: u64, Errand { from, to, wanted }: Errand) -> Piece {
        let pager = desk.gws.list(from, to, &desk.learned);
        Piece::new(index, Purpose::Errand { wanted, listed: HashSet::new() }, pager)
    }

    fn new(index: u64, purpose: Purpose, pager: Pager) -> Piece {
        Piece { index, purpose, pager, recordings: 0, owned: 0, heaviest_kib: 0 }
    }

    /// Lists one page of it.
    async fn page(mut self, desk: Arc<Desk>) -> Result<Piece, GwsError> {
        (self.recordings, self.owned, self.heaviest_kib) = (0, 0, 0);
        while let Some(listed) = self.pager.next_of_page().await? {
            let recording = match &mut self.purpose {
                Purpose::Shard => self.of_shard(listed, &desk),
                Purpose::Errand { wanted, listed: before } => of_errand(listed, wanted, before),
            };
            if let Some((shard, recording)) = recording {
                let waiting = waiting(shard, recording, &desk.budget).await;
                self.heaviest_kib = self.heaviest_kib.max(waiting.permit.num_permits());
                let _ = desk.found.send(Found::Recording(waiting));
            }
        }
        Ok(self)
    }

    /// Gives what of a shard is ours.
    fn of_shard(&mut self, listed: Listed, desk: &Desk) -> Option<(u64, Recording)> {
        self.recordings += 1;
        let recording = match listed {
            Listed::Recording(recording) => recording,
            Listed::Outside(recording) => {
                if desk.instance.owns(&recording.id) {
                    let _ = desk.found.send(Found::Outside { recording: recording.id.clone() });
                }
                recording
            }
            Listed::Rejected(rejected) => {
                if desk.instance.id == 0 {
                    let _ = desk.found.send(Found::Rejected { shard: self.index, rejected });
                }
                return None;
            }
        };
        let is_ours = desk.instance.owns(&recording.id);
        self.owned += u64::from(is_ours);
        is_ours.then_some((self.index, recording))
    }
}

/// Gives what was asked for.
fn of_errand(
    listed: Listed,
    wanted: &mut HashMap<Key, Reason>,
    before: &mut HashSet<Key>,
) -> Option<(u64, Recording)> {
    match listed {
        // What cannot be read is told by the shard in which it lies.
        Listed::Rejected(_) => None,
        Listed::Recording(recording) | Listed::Outside(recording) => {
            // One that is listed twice has the media of both.
            let key = key(&recording);
            (wanted.remove(&key).is_some() || before.contains(&key)).then(|| {
                before.insert(key);
                (ERRANDS, recording)
            })
        }
    }
}

async fn waiting(shard: u64, recording: Recording, budget: &Arc<Semaphore>) -> Waiting {
    let weight = recording.json.get().len() / 1024 + 1 + BESIDES_KIB;
    let weight = weight.min(AHEAD_KIB as usize) as u32;
    let permit = Arc::clone(budget).acquire_many_owned(weight).await;
    let permit = permit.expect("the budget is never closed");
    Waiting { shard, recording, permit }
}

/// What is known of a range while pieces of it are listed.
#[derive(Default)]
struct Range {
    pieces: usize,
    recordings: u64,
    owned: u64,
    unlisted: Vec<Unlisted>,
    forbidden: Option<GwsError>,
}

/// Those that list, a page each, the oldest ranges first.
struct Crew<'d, I> {
    desk: &'d Arc<Desk>,
    to_come: I,
    /// Pieces whose next page nobody has asked for yet, in order of time.
    queue: BTreeMap<(u64, i64), Piece>,
    ranges: HashMap<u64, Range>,
    at_work: JoinSet<Result<Piece, GwsError>>,
    /// What the heaviest record weighed lately, in KiB.
    heaviest_kib: usize,
}

impl<'d, I: Iterator<Item = Piece>> Crew<'d, I> {
    fn new(desk: &'d Arc<Desk>, to_come: I) -> Self {
        let (queue, ranges, at_work) = Default::default();
        Crew { desk, to_come, queue, ranges, at_work, heaviest_kib: 1 }
    }

    async fn work(mut self) -> Result<(), GwsError> {
        loop {
            while self.has_room()
                && let Some(piece) = self.next()
            {
                self.at_work.spawn(piece.page(Arc::clone(self.desk)));
            }
            let Some(done) = self.at_work.join_next().await else { return Ok(()) };
            let piece =
                done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
            self.take_back(piece);
        }
    }

    /// Tells whether another page may be asked for. One always may.
    fn has_room(&self) -> bool {
        let pages =
            (PARSED_KIB / (PARSED_RECORDS * self.heaviest_kib)).min(self.desk.gws.gate.limit());
        // Where downloads lag behind, pages would only wait for them, and hold what they have read.
        let is_behind = self.desk.budget.available_permits() < AHEAD_KIB as usize / 2;
        // A login that is refused is refused once.
        let has_answered = self.desk.learned.answered();
        self.at_work.is_empty() || (self.at_work.len() < pages && has_answered && !is_behind)
    }

    fn next(&mut self) -> Option<Piece> {
        if let Some((_, piece)) = self.queue.pop_first() {
            return Some(piece);
        }
        let piece = self.to_come.next()?;
        self.ranges.insert(piece.index, Range { pieces: 1, ..Range::default() });
        Some(piece)
    }

    /// Takes note of a page, and shares out what is left of its range where somebody is free.
    fn take_back(&mut self, mut piece: Piece) {
        self.heaviest_kib = piece.heaviest_kib.max(self.heaviest_kib / 2).max(1);
        let has_room = self.has_room();
        let busy = self.at_work.len() + self.queue.len() + 1;
        let Some(range) = self.ranges.get_mut(&piece.index) else { return };
        range.recordings += piece.recordings;
        range.owned += piece.owned;
        if let Some(forbidden) = piece.pager.forbidden.take() {
            range.forbidden = Some(forbidden);
        }
        if !piece.pager.has_more() {
            self.end(piece);
            return;
        }
        if matches!(piece.purpose, Purpose::Shard) && has_room {
            let given = piece.pager.split(self.desk.gws.gate.limit().saturating_sub(busy));
            range.pieces += given.len();
            let given =
                given.into_iter().map(|pager| Piece::new(piece.index, Purpose::Shard, pager));
            self.queue.extend(given.map(|piece| (piece.place(), piece)));
        }
        self.queue.insert(piece.place(), piece);
    }

    fn end(&mut self, piece: Piece) {
        let Piece { index, purpose, pager, .. } = piece;
        let Some(mut range) = self.ranges.remove(&index) else { return };
        range.unlisted.extend(pager.unlisted());
        range.pieces -= 1;
        if range.pieces > 0 {
            self.ranges.insert(index, range);
            return;
        }
        let Range { recordings, owned, unlisted, forbidden, .. } = range;
        let found = &self.desk.found;
        if let Some(forbidden) = forbidden {
            let _ = found.send(Found::Forbidden(forbidden));
        }
        let (unlisted, answered) = (joined(unlisted), self.desk.learned.answered());
        let _ = found.send(match purpose {
            Purpose::Shard => Found::Listed { shard: index, recordings, owned, unlisted, answered },
            Purpose::Errand { wanted, .. } => {
                let missing = wanted.into_iter().filter(|(_, reason)| *reason == Reason::Missing);
                let missing = missing.map(|(key, _)| key).collect();
                Found::ErrandListed { missing, unlisted, answered }
            }
        });
    }
}

impl Piece {
    /// Its place in line.
    fn place(&self) -> (u64, i64) {
        (self.index, self.pager.next_ms())
    }
}
