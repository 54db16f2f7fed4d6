//! Making the ledger know what the tree holds.
//!
//! Is given a tree and its ledger, perhaps a new one; gives what it came to. One thread walks,
//! some look at folders, and the one that called enters what they saw, in groups.
//!
//! **Invariant**: what the ledger knows of a file is never replaced by what the file has become: a
//! difference is damage, and named. Only what a record speaks of is entered, and nothing that is
//! known not to be whole. Memory does not grow with the number of recordings.

mod accepted;
mod enter;
mod seen;

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

use crate::examine::Buffer;
use crate::instance::Instance;
use crate::ledger::{Ledger, LedgerError};
use crate::monitor::{Checked, Event, Monitor, Teller};
use crate::threads::in_order;
use crate::tree::{Tree, walk};
use enter::Entering;

/// How many recordings are entered together.
const GROUP_RECORDINGS: usize = 500;

/// Whether media files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    /// To their ends: sums, keys, and whether they are whole, are known then.
    Read,
    /// At their ends only: whether they were cut off is known then.
    Skip,
}

/// What is entered, and how.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Whether media files are read.
    pub sums: Sums,
    /// How many folders are looked at side by side.
    pub threads: usize,
    /// The time of the run.
    pub now: DateTime<Utc>,
    /// Whose recordings are entered; none: all.
    pub share: Option<Instance>,
}

impl Job {
    fn is_meant(&self, id: &str) -> bool {
        self.share.is_none_or(|share| share.owns(id))
    }
}

/// Enters in the ledger what the tree holds and it does not know, or what is under way when `stop`
/// becomes true.
pub fn rebuild(
    tree: &Tree,
    ledger: &Ledger,
    job: &Job,
    monitor: &dyn Monitor,
    stop: &AtomicBool,
) -> Result<Checked, LedgerError> {
    let mut teller = Teller::of(monitor);
    let root = &tree.options().root;
    let walked = || walk(root, "").take_while(|_| !stop.load(Ordering::Relaxed));
    if job.sums == Sums::Read {
        let media = walked().flatten().flat_map(|folder| folder.media);
        let (files, bytes) =
            media.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.bytes));
        teller.tell(Event::ReadingStarted { what: "Reading", files, bytes });
    }
    let mut entering = Entering { tree, ledger, now: job.now, group: Vec::new() };
    accepted::enter(tree, ledger, job, &mut teller)?;
    in_order(
        job.threads,
        walked(),
        Buffer::default,
        |buffer, folder| match folder {
            Ok(folder) => seen::look(root, folder, job, buffer, monitor),
            Err(error) => seen::unread(root, &error),
        },
        |seen| entering.take(seen, &mut teller),
    )?;
    entering.flush(&mut teller)?;
    Ok(teller.finish())
}
