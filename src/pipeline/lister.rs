//! Lists the shards one after the other, ahead of the downloads.
//!
//! **Invariant:** what is listed and not yet saved never weighs more than [`AHEAD_KIB`].

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use xxhash_rust::xxh3::xxh3_64;

use super::errand::{Errand, Reason};
use crate::instance::Instance;
use crate::recording::{Recording, Rejected};
use crate::source::gws::{Gws, GwsError, Listed};
use crate::source::listing::{Habits, Unlisted};
use crate::window::{Shard, Shards};

/// How much recordings that wait for their download may weigh, in KiB.
const AHEAD_KIB: u32 = 8 * 1024;

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

/// Lists the errands and then the shards one after the other, as far ahead as the budget allows.
pub(super) async fn list(
    gws: Gws,
    errands: Vec<Errand>,
    shards: Shards,
    instance: Instance,
    found: mpsc::UnboundedSender<Found>,
) {
    let budget = Arc::new(Semaphore::new(AHEAD_KIB as usize));
    let mut habits = Habits::default();
    for errand in errands {
        if run_errand(&gws, errand, &mut habits, &budget, &found).await.is_err() {
            return;
        }
    }
    for shard in shards {
        let index = shard.index;
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
            let _ = found.send(Found::Recording(waiting(index, recording, &budget).await));
        }
        if let Some(forbidden) = pager.forbidden.take() {
            let _ = found.send(Found::Forbidden(forbidden));
        }
        let unlisted = pager.unlisted();
        let answered = habits.answered;
        let _ = found.send(Found::Listed { shard: index, recordings, owned, unlisted, answered });
    }
}

async fn run_errand(
    gws: &Gws,
    errand: Errand,
    habits: &mut Habits,
    budget: &Arc<Semaphore>,
    found: &mpsc::UnboundedSender<Found>,
) -> Result<(), ()> {
    let Errand { from, to, mut wanted } = errand;
    let mut listed = HashSet::new();
    let mut pager = gws.list(from, to, habits);
    loop {
        match pager.next().await {
            Ok(None) => break,
            // What cannot be read is told by the shard in which it lies.
            Ok(Some(Listed::Rejected(_))) => {}
            Ok(Some(Listed::Recording(recording) | Listed::Outside(recording))) => {
                // One that is listed twice has the media of both.
                let key = key(&recording);
                if wanted.remove(&key).is_some() || listed.contains(&key) {
                    listed.insert(key);
                    let waiting = waiting(ERRANDS, recording, budget).await;
                    let _ = found.send(Found::Recording(waiting));
                }
            }
            Err(denied) => {
                let _ = found.send(Found::Denied(denied));
                return Err(());
            }
        }
    }
    let unlisted = pager.unlisted();
    let missing = wanted.into_iter().filter(|(_, reason)| *reason == Reason::Missing);
    let missing = missing.map(|(key, _)| key).collect();
    let _ = found.send(Found::ErrandListed { missing, unlisted, answered: habits.answered });
    Ok(())
}

async fn waiting(shard: u64, recording: Recording, budget: &Arc<Semaphore>) -> Waiting {
    let weight = recording.json.get().len() / 1024 + 1 + BESIDES_KIB;
    let weight = weight.min(AHEAD_KIB as usize) as u32;
    let permit = Arc::clone(budget).acquire_many_owned(weight).await;
    let permit = permit.expect("the budget is never closed");
    Waiting { shard, recording, permit }
}
