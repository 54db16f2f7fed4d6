//! Lists the shards one after the other, ahead of the downloads.
//!
//! **Invariant:** what is listed and not yet saved never weighs more than [`AHEAD_KIB`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::instance::Instance;
use crate::recording::{Recording, Rejected};
use crate::source::gws::{Gws, GwsError, Listed};
use crate::source::listing::{Habits, Unlisted};
use crate::window::{Shard, Shards};

/// How much text of recordings may wait for its download, in KiB.
const AHEAD_KIB: u32 = 16 * 1024;

/// A recording is its id and its startTime.
pub(super) type Key = (String, DateTime<Utc>);

pub(super) fn key(recording: &Recording) -> Key {
    (recording.id.clone(), recording.started_at)
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
    /// A range that the user may not list; others may be open to them.
    Forbidden(GwsError),
    Denied(GwsError),
}

/// Lists the shards one after the other, as far ahead as the budget allows.
pub(super) async fn list(
    gws: Gws,
    shards: Shards,
    instance: Instance,
    found: mpsc::UnboundedSender<Found>,
) {
    let budget = Arc::new(Semaphore::new(AHEAD_KIB as usize));
    let mut habits = Habits::default();
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
            let weight = (recording.json.get().len() / 1024 + 1).min(AHEAD_KIB as usize) as u32;
            let permit = Arc::clone(&budget).acquire_many_owned(weight).await;
            let permit = permit.expect("the budget is never closed");
            let _ = found.send(Found::Recording(Waiting { shard: index, recording, permit }));
        }
        if let Some(forbidden) = pager.forbidden.take() {
            let _ = found.send(Found::Forbidden(forbidden));
        }
        let unlisted = pager.unlisted();
        let answered = habits.answered;
        let _ = found.send(Found::Listed { shard: index, recordings, owned, unlisted, answered });
    }
}
