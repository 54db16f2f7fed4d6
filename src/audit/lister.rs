//! Lists the shards one after the other, ahead of the comparison.
//!
//! **Invariant:** a record is let go as soon as its ids are read, and no more than the channel holds
//! is listed ahead.

use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::Wanted;
use super::verdict::Listed;
use crate::recording::Rejected;
use crate::source::gws::{self, Gws, GwsError, Learned};
use crate::source::listing::Unlisted;
use crate::window::{BackupWindow, Shard, Shards};

/// What the lister has to tell.
pub(super) enum Found {
    /// A recording, with the time that was asked for.
    Recording(BackupWindow, Listed),
    Rejected {
        /// Tells the record from others.
        key: u128,
        id: Option<String>,
        reason: &'static str,
    },
    ShardEnded {
        shard: Shard,
        unlisted: Vec<Unlisted>,
        has_answered: bool,
        is_forbidden: Option<GwsError>,
    },
    Denied(GwsError),
}

/// Lists all shards, for all instances. Ends early where nobody listens any more.
pub(super) async fn list(gws: Gws, shards: Shards, wanted: Wanted, found: mpsc::Sender<Found>) {
    let learned = Learned::default();
    for shard in shards {
        let mut pager = gws.list(shard.from, shard.to, &learned);
        loop {
            let one = match pager.next().await {
                Ok(Some(gws::Listed::Recording(recording) | gws::Listed::Outside(recording))) => {
                    let within = BackupWindow { from: shard.from, to: shard.to };
                    Found::Recording(within, Listed::of(recording, &wanted))
                }
                Ok(Some(gws::Listed::Rejected(Rejected { id, reason, json }))) => {
                    Found::Rejected { key: xxh3_128(json.get().as_bytes()), id, reason }
                }
                Ok(None) => break,
                Err(denied) => Found::Denied(denied),
            };
            let is_denied = matches!(one, Found::Denied(_));
            if found.send(one).await.is_err() || is_denied {
                return;
            }
        }
        let is_forbidden = pager.forbidden.take();
        let unlisted = pager.unlisted();
        let has_answered = learned.answered();
        let ended = Found::ShardEnded { shard, unlisted, has_answered, is_forbidden };
        if found.send(ended).await.is_err() {
            return;
        }
    }
}
