//! What is held, read again and held against the ledger.
//!
//! Is given a tree and its ledger, both for reading only, and how much is to be read; tells what is
//! damaged, missing, there twice or explained by nothing. First every recording of the ledger is
//! looked for, then every file of the tree for what the ledger has of it.
//!
//! **Invariant**: nothing is written or locked, and a backup may be at work: what it is replacing
//! is looked at again before it is called missing. Memory does not grow with the number of
//! recordings nor with the size of a file.

mod look;
mod rows;
mod sample;
mod strays;

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

use crate::examine::Buffer;
use crate::http::chain;
use crate::ledger::{LedgerError, Ledgers};
use crate::monitor::{Event, Monitor, Teller};
use crate::threads::in_order;
use crate::tree::{Tree, TreeError, walk, walk_all};
use look::{Look, Looked};
use rows::{Row, rows};
use sample::Sampler;

pub use sample::{Sample, Sampled, grouped};

/// How many recordings wait for a second look at the end.
const MOST_LATER: usize = 1_000;

/// How many damaged or missing files are remembered for whoever repairs them.
const MOST_BROKEN: usize = 100_000;

/// What is checked, and how.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Which part of what is held.
    pub scope: Scope,
    /// How much of it is read; all, if this is none.
    pub sample: Option<(Sample, u64)>,
    /// Whether what is missing was moved away.
    pub remember_moved: bool,
    /// How many files are read side by side.
    pub threads: usize,
}

/// A part of what is held.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Paths below the target, with `/`; all, if there are none.
    pub below: Vec<String>,
    /// Recordings that started at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Recordings that started before this time.
    pub to: Option<DateTime<Utc>>,
}

/// A file of a recording that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The recording's id.
    pub id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// The file's path below the target.
    pub path: String,
}

/// What is known after a check, besides what was told.
#[derive(Debug, Default)]
pub struct Done {
    /// What is damaged or missing, as far as the ledger knows it.
    pub broken: Vec<Broken>,
    /// What of it was read, if not all was to be.
    pub sampled: Option<Sampled>,
}

impl Scope {
    fn is_open(&self) -> bool {
        self.below.is_empty() && !self.has_times()
    }

    fn has_times(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// Tells whether a recording that started at a time is part of it.
    fn has_time(&self, at: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// Tells whether a file is part of it, or something in a folder may be.
    fn covers(&self, path: &str) -> bool {
        let is_at = |below: &String| below.is_empty() || is_in(path, below);
        self.below.is_empty() || self.below.iter().any(is_at)
    }

    /// Tells whether something in a folder may be part of it.
    fn meets(&self, folder: &str) -> bool {
        self.covers(folder) || self.below.iter().any(|below| is_in(below, folder))
    }
}

fn is_in(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks what is held, or what is under way when `stop` becomes true.
///
/// Without a ledger only the structure of what is there can be checked; why there is none is for
/// the caller to tell.
pub fn check(
    tree: &Tree,
    ledger: Option<&Ledgers>,
    job: &Job,
    teller: &mut Teller<'_>,
    stop: &AtomicBool,
) -> Done {
    let mut done = Done::default();
    let mut readable = ledger;
    if let Some(ledger) = ledger
        && let Err(error) = held(tree, ledger, job, teller, &mut done, stop)
    {
        let reason = format!("{}; what follows is checked without it", chain(&error));
        teller.tell(Event::Blind { reason });
        readable = None;
    }
    strays(tree, readable, job, teller, &mut done, stop);
    done
}

/// Looks for every recording of the ledger.
fn held(
    tree: &Tree,
    ledger: &Ledgers,
    job: &Job,
    teller: &mut Teller<'_>,
    done: &mut Done,
    stop: &AtomicBool,
) -> Result<(), LedgerError> {
    let (files, bytes) = rows::count(ledger, &job.scope)?;
    let sampler = job.sample.map(|(sample, seed)| Sampler::of(sample.of(files), files, seed));
    teller.tell(started(files, bytes, sampler.as_ref()));
    done.sampled = sampler.as_ref().map(Sampler::sampled);
    let monitor = teller.monitor();
    let look = Look { tree, ledger, job, monitor };
    let mut later: Vec<Row> = Vec::new();
    let rows = rows(ledger, &job.scope, sampler);
    in_order(
        job.threads,
        rows.take_while(|_| !stop.load(Ordering::Relaxed)),
        Buffer::default,
        |buffer, row| Ok(look.at(row?, false, buffer)),
        |looked: Result<_, LedgerError>| {
            match looked? {
                Looked::At { events, broken } => told(events, broken, teller, done),
                Looked::Later(row) => later.push(row),
            }
            // A disk that is gone is told as it is met.
            if later.len() > MOST_LATER {
                again(&look, std::mem::take(&mut later), teller, done);
            }
            Ok::<_, LedgerError>(())
        },
    )?;
    again(&look, later, teller, done);
    Ok(())
}

/// Looks again at what was damaged or missing, and tells what of it is held again.
pub fn repaired(
    tree: &Tree,
    ledger: &Ledgers,
    job: &Job,
    broken: &[Broken],
    teller: &mut Teller<'_>,
) -> Result<(), LedgerError> {
    let whole = Job { scope: Scope::default(), ..job.clone() };
    let look = Look { tree, ledger, job: &whole, monitor: teller.monitor() };
    let mut buffer = Buffer::default();
    for files in broken.chunk_by(|one, two| one.id == two.id && one.started_at == two.started_at) {
        let Some(entry) = ledger.entry(&files[0].id, files[0].started_at)? else { continue };
        let row = Row { entry, read: rows::Reading::All };
        let Looked::At { broken: still, .. } = look.at(row, true, &mut buffer) else { continue };
        let is_held = |file: &&Broken| still.iter().all(|other| other.path != file.path);
        for file in files.iter().filter(is_held) {
            teller.tell(Event::Repaired { path: file.path.clone() });
        }
    }
    Ok(())
}

/// Looks a second time at what was not there, or was another than before.
fn again(look: &Look<'_>, later: Vec<Row>, teller: &mut Teller<'_>, done: &mut Done) {
    let mut buffer = Buffer::default();
    for row in later {
        if let Looked::At { events, broken } = look.at(row, true, &mut buffer) {
            told(events, broken, teller, done);
        }
    }
}

fn told(events: Vec<Event>, broken: Vec<Broken>, teller: &mut Teller<'_>, done: &mut Done) {
    events.into_iter().for_each(|event| teller.tell(event));
    let room = MOST_BROKEN.saturating_sub(done.broken.len());
    done.broken.extend(broken.into_iter().take(room));
}

/// Looks at every file of the tree for what the ledger has of it.
fn strays(
    tree: &Tree,
    ledger: Option<&Ledgers>,
    job: &Job,
    teller: &mut Teller<'_>,
    done: &mut Done,
    stop: &AtomicBool,
) {
    let root = &tree.options().root;
    let mut sampler = None;
    if ledger.is_none() {
        let media = starts(job).flat_map(|below| walk(root, &below)).flatten();
        let media = media.flat_map(|folder| folder.media);
        let (files, bytes) =
            media.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.bytes));
        sampler = job.sample.map(|(sample, seed)| Sampler::of(sample.of(files), files, seed));
        teller.tell(started(files, bytes, sampler.as_ref()));
        done.sampled = sampler.as_ref().map(Sampler::sampled);
    }
    // What the ledger does not know is no part of the sample that was drawn from it.
    let mut is_read = |_: &_| match &mut sampler {
        Some(sampler) => sampler.takes_next(),
        None => job.sample.is_none(),
    };
    let folders = starts(job).flat_map(|below| walk_all(root, &below));
    let folders = folders.take_while(|_| !stop.load(Ordering::Relaxed)).map(move |folder| {
        let folder = folder?;
        let read: Vec<bool> = folder.media.iter().map(&mut is_read).collect();
        Ok::<_, TreeError>((folder, read))
    });
    let monitor = teller.monitor();
    let strays = strays::Strays { tree, ledger, job, monitor };
    let never: Result<(), std::convert::Infallible> = in_order(
        job.threads,
        folders,
        Buffer::default,
        |buffer, folder| strays.of(folder, buffer),
        |events| {
            events.into_iter().for_each(|event| teller.tell(event));
            Ok(())
        },
    );
    let Ok(()) = never;
}

/// Gives the folders to walk from. A file that was named is found by its folder.
fn starts(job: &Job) -> impl Iterator<Item = String> + Send + '_ {
    let below = job.scope.below.iter().map(|path| match path.rsplit_once('/') {
        Some((folder, name)) if is_file_name(name) => folder.to_owned(),
        None if is_file_name(path) => String::new(),
        _ => path.clone(),
    });
    let all = job.scope.below.is_empty().then(String::new);
    below.chain(all)
}

fn is_file_name(name: &str) -> bool {
    [".bin", ".raw", "_metadata.json"].iter().any(|end| name.ends_with(end))
}

fn started(files: u64, bytes: u64, sampler: Option<&Sampler>) -> Event {
    let what = "Checking";
    let Some(sampler) = sampler else { return Event::ReadingStarted { what, files, bytes } };
    let Sampled { taken, .. } = sampler.sampled();
    // What the sample will weigh is not known before it is drawn.
    let bytes = u128::from(bytes) * u128::from(taken) / u128::from(files.max(1));
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Event::ReadingStarted { what, files: taken, bytes }
}

/// Tells how much of a file was read, to whoever draws bars.
fn tell_read(monitor: &dyn Monitor) -> impl FnMut(u64) + '_ {
    move |bytes| monitor.on(&Event::SealedRead { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_what_lies_below_its_paths_and_nothing_beside_them() {
        let scope = |below: &[&str]| Scope {
            below: below.iter().map(|path| (*path).to_owned()).collect(),
            ..Scope::default()
        };
        for (below, path, covers, meets) in [
            (&[][..], "2018/A/a.bin", true, true),
            (&[""], "2018/A", true, true),
            (&["2018"], "2018", true, true),
            (&["2018"], "2018/A/a.bin", true, true),
            (&["2018"], "20181/A", false, false),
            (&["2018/A"], "2018", false, true),
            (&["2018/A"], "2018/B", false, false),
            (&["2017", "2018/A/a.bin"], "2018/A/a.bin", true, true),
            (&["2018/A/a.bin"], "2018/A", false, true),
            (&["2018/A/a.bin"], "2018/A/b.bin", false, false),
        ] {
            let scope = scope(below);
            assert_eq!(
                (scope.covers(path), scope.meets(path)),
                (covers, meets),
                "{below:?} {path}"
            );
        }
        let at = |millis| DateTime::from_timestamp_millis(millis);
        let times = Scope { from: at(10), to: at(20), ..Scope::default() };
        for (millis, expected) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(times.has_time(at(millis).unwrap()), expected, "{millis}");
        }
    }
}
