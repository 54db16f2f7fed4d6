//! Asks the metadata API again what there is, and compares it with what the ledgers say is held.
//!
//! Is given a period, the ledgers of all targets, and which media are wanted; gives what is not
//! held by name, while it goes on, and the rest as a [`Tally`] by day and by share.
//!
//! **Invariant:** every recording, listed or in a ledger, is counted once, in exactly one [`State`];
//! nothing is written and nothing locked; what is remembered is what one day or shard lists, in
//! hashes.

mod compare;
mod finding;
mod lister;
mod tally;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, block_in_place, yield_now};

pub use finding::{Finding, Loss, State};
pub use tally::{Counts, Tally};
pub use verdict::{Known, Listed, Verdict, of_listed, of_unlisted};

use self::compare::Comparer;
use self::lister::{Found, list};
use crate::ledger::{LedgerError, Ledgers};
use crate::monitor::{Event, Monitor};
use crate::source::gws::{Gws, GwsError};
use crate::window::BackupWindow;

/// How much may be listed ahead of the comparison, in recordings.
const AHEAD: usize = 256;

/// How many recordings there are from one sign of life to the next, which is some seconds.
const TOLD_EVERY: u64 = 20_000;

/// The longest shard: what it lists is remembered, in hashes, until it is listed to the end.
const LONGEST_SHARD: TimeDelta = TimeDelta::days(1);

/// What is compared with what.
pub struct Job {
    /// The period, for all shares.
    pub window: BackupWindow,
    /// How long a shard is; a day at most is listed at once.
    pub shard_by: TimeDelta,
    /// The ledgers of all targets.
    pub targets: Vec<Ledgers>,
    /// What a backup would save.
    pub wanted: Wanted,
    /// How many instances share the recordings.
    pub instances: u32,
    /// Recordings that began before are no longer waited for.
    pub waiting_since: DateTime<Utc>,
    /// Who is told how far it is.
    pub monitor: Arc<dyn Monitor>,
}

/// Which media files a backup saves.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The media types that are wanted; anchored at both ends.
    pub media_type_pattern: Regex,
    /// Whether media are left out altogether.
    pub metadata_only: bool,
}

/// What came of an audit.
#[derive(Debug)]
pub struct Audited {
    /// Everything in numbers.
    pub tally: Tally,
    /// Whether the metadata API answered any listing.
    pub answered: bool,
    /// The last answer that the user may not list recordings, if there was one.
    pub forbidden: Option<GwsError>,
}

/// Compares; what is not held is told by name as soon as it is known.
///
/// It ends early only where the login is refused, a ledger cannot be read, or `tell` fails. It
/// needs a runtime of several threads, because SQLite waits for the disk.
pub async fn audit<E>(
    gws: &Gws,
    job: Job,
    mut tell: impl FnMut(Finding) -> Result<(), E>,
) -> Result<Audited, E>
where
    E: From<LedgerError> + From<GwsError>,
{
    let shards = job.window.shards(job.shard_by.min(LONGEST_SHARD));
    let (found, mut listing) = mpsc::channel(AHEAD);
    let mut lister = JoinSet::new();
    lister.spawn(list(gws.clone(), shards, job.wanted, found));
    let mut comparer = Comparer::new(&job.targets, job.instances, job.waiting_since);
    let (mut answered, mut forbidden, mut listed) = (false, None, 0);
    while let Some(found) = listing.recv().await {
        let findings = match found {
            Found::Recording(within, recording) => {
                listed += 1;
                if listed % TOLD_EVERY == 0 {
                    let text = format!("compared so far: {listed} recordings");
                    job.monitor.on(&Event::Note { text });
                }
                block_in_place(|| comparer.listed(within, &recording))?.into_iter().collect()
            }
            Found::Rejected { key, id, reason } => {
                comparer.rejected(key, id, reason).into_iter().collect()
            }
            Found::ShardEnded { shard, unlisted, has_answered, is_forbidden } => {
                answered |= has_answered;
                forbidden = is_forbidden.or(forbidden);
                comparer.shard_ended(&shard, unlisted);
                Vec::new()
            }
            Found::Denied(error) => return Err(error.into()),
        };
        findings.into_iter().try_for_each(&mut tell)?;
        while let Some(findings) = block_in_place(|| comparer.go_on())? {
            findings.into_iter().try_for_each(&mut tell)?;
            // A signal is heard between two pages.
            yield_now().await;
        }
    }
    if let Some(Err(died)) = lister.join_next().await
        && died.is_panic()
    {
        std::panic::resume_unwind(died.into_panic());
    }
    job.monitor.on(&Event::Note { text: format!("compared: {listed} recordings") });
    Ok(Audited { tally: comparer.into_tally(), answered, forbidden })
}
