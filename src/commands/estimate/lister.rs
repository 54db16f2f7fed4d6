//! Lists a period, and counts.
//!
//! **Invariant:** a record is let go as soon as it is counted; what is remembered beside the sums is
//! bounded.

use std::collections::HashSet;

use chrono::{SubsecRound, TimeDelta};
use tokio::task::block_in_place;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::Error;
use crate::estimate::{Listed, Tally, Wanted};
use crate::instance::Instance;
use crate::ledger::{LedgerError, Ledgers};
use crate::monitor::{Event, Monitor};
use crate::recording::Recording;
use crate::source::gws::{self, Gws, GwsError, Learned};
use crate::source::listing::Unlisted;
use crate::window::BackupWindow;

/// How many recordings there are from one sign of life to the next, which is some seconds.
const TOLD_EVERY: u64 = 20_000;

/// How many records that count apart are told from each other.
const APART: usize = 100_000;

/// The longest shard, as in an audit.
const LONGEST_SHARD: TimeDelta = TimeDelta::days(1);

/// What is counted, and how.
pub(super) struct Job<'j> {
    pub(super) window: BackupWindow,
    pub(super) shard_by: TimeDelta,
    pub(super) wanted: Wanted,
    pub(super) instance: Instance,
    /// What says what is held; none where nothing is.
    pub(super) ledger: Option<Ledgers>,
    pub(super) monitor: &'j dyn Monitor,
}

/// What came of it.
pub(super) struct Counted {
    pub(super) tally: Tally,
    /// What could not be listed.
    pub(super) unlisted: Vec<Unlisted>,
    /// Whether the metadata API answered any listing.
    pub(super) answered: bool,
    /// The last answer that the user may not list recordings, if there was one.
    pub(super) forbidden: Option<GwsError>,
}

/// Counts what is listed, shard by shard. Only a refused login and a ledger that cannot be read are
/// errors.
pub(super) async fn count(gws: &Gws, job: Job<'_>) -> Result<Counted, Error> {
    let learned = Learned::default();
    let mut tally = Tally::default();
    let (mut unlisted, mut forbidden, mut listed) = (Vec::new(), None, 0);
    // The listing of each shard has them again.
    let (mut rejected, mut outside) = (HashSet::new(), HashSet::new());
    for shard in job.window.shards(job.shard_by.min(LONGEST_SHARD)) {
        let mut pager = gws.list(shard.from, shard.to, &learned);
        while let Some(one) = pager.next().await? {
            match one {
                gws::Listed::Recording(recording) => {
                    listed += 1;
                    if listed % TOLD_EVERY == 0 {
                        let text = format!("counted so far: {listed} recordings");
                        job.monitor.on(&Event::Note { text });
                    }
                    count_one(&job, &recording, &mut tally)?;
                }
                // One of another shard of the window is counted there.
                gws::Listed::Outside(recording) if job.window.contains(recording.started_at) => {}
                gws::Listed::Outside(recording) => {
                    let at = recording.started_at.timestamp_millis();
                    let key = xxh3_128(format!("{} {at}", recording.id).as_bytes());
                    if outside.len() < APART && outside.insert(key) {
                        tally.outside += 1;
                    }
                }
                gws::Listed::Rejected(record) => {
                    let key = xxh3_128(record.json.get().as_bytes());
                    if rejected.len() < APART && rejected.insert(key) {
                        tally.rejected += 1;
                    }
                }
            }
        }
        forbidden = pager.forbidden.take().or(forbidden);
        unlisted.extend(pager.unlisted());
    }
    tally.unlisted = unlisted.len() as u64;
    job.monitor.on(&Event::Note { text: format!("counted: {listed} recordings") });
    Ok(Counted { tally, unlisted, answered: learned.answered(), forbidden })
}

fn count_one(job: &Job<'_>, recording: &Recording, tally: &mut Tally) -> Result<(), LedgerError> {
    let listed = Listed::of(recording, &job.wanted);
    let is_ours = job.instance.owns(&recording.id);
    let needed = match &job.ledger {
        _ if !is_ours => None,
        None => Some(listed.clone()),
        Some(ledger) => block_in_place(|| lacking(ledger, recording, &listed))?,
    };
    tally.count(&listed, is_ours, needed.as_ref());
    Ok(())
}

/// What of a recording is not held; nothing where all is.
fn lacking(
    ledger: &Ledgers,
    recording: &Recording,
    listed: &Listed,
) -> Result<Option<Listed>, LedgerError> {
    let entry = ledger.entry(&recording.id, recording.started_at.trunc_subsecs(3))?;
    let Some(entry) = entry else { return Ok(Some(listed.clone())) };
    let mut lacking = listed.clone();
    lacking.media.retain(|medium| !entry.media.iter().any(|held| held.media_id == medium.id));
    if entry.metadata.is_some() {
        lacking.metadata_bytes = 0;
    }
    let is_held = lacking.media.is_empty() && entry.metadata.is_some();
    Ok((!is_held).then_some(lacking))
}
