//! `rcbs`: saves the recordings of the window.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};

use super::fleet::{self, Heard, Known, Sharing};
use super::saving::{self, Saving};
use super::{CommonArgs, Loader, World};
use crate::checkpoint::Checkpoint;
use crate::config::{Config, Older};
use crate::download::{Again, Job};
use crate::error::{Error, Exit, stopped};
use crate::http::chain;
use crate::keyring::expiry_warning;
use crate::ledger::{Ledger, LedgerError, LedgerErrorKind, Opened, RunEntry};
use crate::monitor::{Event, Monitor, Summary};
use crate::pipeline::{self, Errand, Finished, Keeper, Key, Run, Signal, errands};
use crate::rebuild::{self, Sums};
use crate::source::gws::Gws;
use crate::tree::Tree;
use crate::watermark::{self, Mode, Plan, PlanError};

/// What a backup is told on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BackupArgs {
    /// Covers the time from here on, once; the watermark is neither read nor written
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Covers the time up to, and without, here; 2018-01-04, epoch milliseconds or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Lists what would be downloaded, with its bytes, and writes nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Fetches what was moved away after it was saved, in spite of rememberMoved: of one
    /// recording, or `all`; may be repeated
    #[arg(long, value_name = "ID|all")]
    pub again: Vec<String>,
    /// Fetches no more bytes of media a second than this: 20M, or times of the day as they begin,
    /// "08:00,5M 19:00,off"; replaces the property of the same name
    #[arg(long, value_name = "RATE|TIMES", long_help = super::BANDWIDTH_HELP)]
    pub bandwidth: Option<String>,
    /// Takes the window from this file, which the first instance of a run writes; `{run}` in its
    /// name is the run's id
    #[arg(long, value_name = "FILE")]
    pub window_from: Option<PathBuf>,
}

/// Runs a backup until its window is covered or `shutdown` is done, and tells whom the
/// configuration names what becomes of it.
pub async fn run(
    common: &CommonArgs,
    args: &BackupArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    let (alarms, world) = super::alarms::begin(common, args, world);
    let ended = run_again_if_damaged(common, args, &world, shutdown).await;
    alarms.end(&ended, &world).await;
    ended
}

async fn run_again_if_damaged(
    common: &CommonArgs,
    args: &BackupArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    let mut shutdown = std::pin::pin!(shutdown);
    let is_damaged = |error: &Error| match error {
        Error::Ledger(error) => error.kind() == LedgerErrorKind::Damaged,
        _ => false,
    };
    match run_once(common, args, world, shutdown.as_mut(), Ledger::open).await {
        // What is held is in the tree, so a damaged ledger is no reason to save nothing.
        Err(error) if is_damaged(&error) && !args.dry_run => {
            world.monitor.on(&Event::Warning { text: chain(&error) });
            run_once(common, args, world, shutdown, Ledger::open_anew).await
        }
        ended => ended,
    }
}

/// How the ledger is opened.
type Open = fn(&Tree) -> Result<Opened, LedgerError>;

async fn run_once(
    common: &CommonArgs,
    args: &BackupArgs,
    world: &World<'_>,
    mut shutdown: Pin<&mut impl Future<Output = Signal>>,
    open: Open,
) -> Result<Exit, Error> {
    let prepared = tokio::select! {
        prepared = prepare(common, args, world, open) => prepared?,
        signal = &mut shutdown => return Ok(signal.into()),
    };
    let Some(Prepared { gws, job, run, keeper }) = prepared else {
        return Ok(Exit::Complete);
    };
    let sealing = job.options.sealing.as_ref();
    let expiry = sealing.and_then(|sealing| expiry_warning(sealing.certificate(), run.now));
    let ledger = job.ledger.clone().filter(|_| !args.dry_run);
    let begun = ledger.as_ref().map(|ledger| ledger.begin_run(&run_entry(&run), (world.clock)()));
    let begun = begun.transpose()?;
    let Finished { summary, stop } = pipeline::backup(&gws, job, run, keeper, shutdown).await;
    if let Some(text) = expiry {
        world.monitor.on(&Event::Warning { text });
    }
    let ended = match stop {
        Some(stop) => stopped(stop),
        None if summary.is_complete() => Ok(Exit::Complete),
        None => Ok(Exit::Incomplete),
    };
    if let (Some(ledger), Some(begun)) = (ledger, begun) {
        let exit = ended.as_ref().map_or_else(Error::exit, |exit| *exit);
        let noted = ledger.end_run(begun, &summary, exit as u8, (world.clock)());
        // Why the run has failed is worth more than that this cannot be written down.
        if ended.is_ok() {
            noted?;
        }
    }
    if args.dry_run {
        super::print(&format!("would download: {}", would_download(&summary)))?;
    } else {
        super::print(&summary.closing_line())?;
    }
    ended
}

fn run_entry(run: &Run) -> RunEntry {
    RunEntry {
        instance: run.instance.id,
        instances: run.instance.total,
        from: run.plan.window.from,
        to: run.plan.window.to,
    }
}

struct Prepared {
    gws: Gws,
    job: Arc<Job>,
    run: Run,
    keeper: Keeper,
}

/// Does all that comes before the first listing; nothing to run if the window is empty.
async fn prepare(
    common: &CommonArgs,
    args: &BackupArgs,
    world: &World<'_>,
    open: Open,
) -> Result<Option<Prepared>, Error> {
    let mut loader = Loader::new(world, common, args.from.as_deref(), args.to.as_deref())?
        .with_bandwidth(args.bandwidth.as_deref());
    let config = loader.load(&[], world.now)?;
    let sealing = saving::sealing(&config)?;
    // The lock comes before the first request, so that a second run costs the services nothing.
    let options = super::tree_options(&config, world);
    let tree = Arc::new(if args.dry_run { Tree::peek(options) } else { Tree::open(options)? });
    tree.refuse_if_shared()?;
    let checkpoint = Checkpoint::open(&tree, &config.state_dir)?;
    let mut known = fleet::known(&tree, &checkpoint, &super::watermark_folders(common, world))?;
    let ledger = ledger(&tree, &config, args, &mut known, world, open).await?;
    let gws = super::gws(&config, world)?;
    let (config, now) = loader.ask_gws(&gws).await?;

    let note = |text: String| world.monitor.on(&Event::Note { text });
    if tree.leftovers() > 0 {
        note(format!("removed unfinished files of an earlier run: {}", tree.leftovers()));
    }
    if let Some(adopted) = &known.adopted {
        note(format!("continuing from the watermark in `{}`", adopted.display()));
    }
    let asking = Asking { config: &config, args, now, gws_now: loader.gws_now };
    let planned = plan(&asking, &gws, &checkpoint, &mut known, world).await?;
    let Some(plan) = planned else { return Ok(None) };
    if !args.dry_run && known.is_joining() {
        fleet::join(&tree)?;
    }
    let stored = known.stored;
    let asked = match &ledger {
        Some(ledger) => asked(ledger, &config, args, &plan, now)?,
        None => Asked::default(),
    };
    if !asked.errands.is_empty() {
        let count: usize = asked.errands.iter().map(|errand| errand.wanted.len()).sum();
        note(format!("trying first what failed or was incomplete in earlier runs: {count}"));
    }
    let run = Run {
        plan,
        shard_by: config.shard_by,
        errands: asked.errands,
        failed_before: asked.failed_before,
        instance: config.instance,
        scope: super::scope(&config),
        now,
        clock: world.clock,
    };
    let monitor: Arc<dyn Monitor> = match args.dry_run {
        true => Arc::new(Listing { shown: Arc::clone(&world.monitor) }),
        false => Arc::clone(&world.monitor),
    };
    let saving = Saving { again: again(args), dry_run: args.dry_run, sealing, monitor, now };
    let job = saving.job(&config, tree, ledger, world)?;
    let checkpoint = (!args.dry_run).then_some(checkpoint);
    Ok(Some(Prepared { gws, job: Arc::new(job), run, keeper: Keeper { checkpoint, stored } }))
}

/// What decides about the window.
struct Asking<'a> {
    config: &'a Config,
    args: &'a BackupArgs,
    now: DateTime<Utc>,
    gws_now: Option<DateTime<Utc>>,
}

async fn plan(
    asking: &Asking<'_>,
    gws: &Gws,
    checkpoint: &Checkpoint,
    known: &mut Known,
    world: &World<'_>,
) -> Result<Option<Plan>, Error> {
    let Asking { config, args, now, gws_now } = *asking;
    let (mode, scope) = (super::mode(config), super::scope(config));
    let mut period = super::period(config, now, None);
    if known.go_back(&mut period, &scope) && !args.dry_run {
        checkpoint.save(&known.stored)?;
    }
    let any_age = matches!(config.period.older, Older::AnyAge) && period.ground.is_none();
    if any_age && !watermark::reads_watermark(mode, &known.stored) {
        period.older = watermark::Older::AnyAge(gws.oldest_before(period.newer).await?);
    }
    let mut planned = watermark::plan(&period, &known.stored, &scope, now);
    if let (Some(named), Ok(plan)) = (&args.window_from, &planned) {
        let (window, watermark) = (plan.window, known.stored.watermark);
        let is_dry_run = args.dry_run;
        let sharing = Sharing { named, config, mode, window, watermark, now, gws_now, is_dry_run };
        period.agreed = Some(fleet::agree(&sharing, world)?);
        planned = watermark::plan(&period, &known.stored, &scope, now);
    }
    match planned {
        Ok(plan) => {
            for note in &plan.notes {
                let text = note.to_string();
                world.monitor.on(&match note.is_warning() {
                    true => Event::Warning { text },
                    false => Event::Note { text },
                });
            }
            Ok(Some(plan))
        }
        Err(error @ PlanError::FutureWatermark { .. }) => {
            Err(Error::Plan { error, reset: checkpoint.reset_command(now) })
        }
        Err(nothing @ (PlanError::EmptyWindow { .. } | PlanError::NoRecordings)) => {
            super::print(&nothing.to_string())?;
            Ok(None)
        }
    }
}

/// Opens the ledger; one that no backup has written yet is told first what the tree holds. A dry
/// run does without one if there is none.
async fn ledger(
    tree: &Arc<Tree>,
    config: &Config,
    args: &BackupArgs,
    known: &mut Known,
    world: &World<'_>,
    open: Open,
) -> Result<Option<Arc<Ledger>>, Error> {
    if args.dry_run {
        return Ok(Ledger::open_to_read(tree)?.map(Arc::new));
    }
    let Opened { ledger, is_new, set_aside } = open(tree)?;
    let was_damaged = set_aside.is_some();
    if let Some(path) = set_aside {
        let text = format!(
            "the ledger was damaged, and is kept as `{path}`; a new one is made of what the tree \
             holds, without sums of the files: `rcbs rebuild` adds them"
        );
        world.monitor.on(&Event::Warning { text });
    }
    let ledger = Arc::new(ledger);
    // An instance without a past has nothing in the tree that another does not know.
    let had_one = was_damaged || known.stored.watermark.is_some();
    let (now, threads, instance) = (world.now, config.num_threads, config.instance);
    let (tree, monitor, its) = (Arc::clone(tree), Arc::clone(&world.monitor), Arc::clone(&ledger));
    let must_learn = is_new || !known.is_joined;
    let work = move || {
        let heard = match must_learn {
            true => fleet::inherit(&tree, &its, instance, now, &*monitor)?,
            false => Heard::All,
        };
        if is_new && (had_one || heard != Heard::All) {
            let share = tree.is_shared().then_some(instance);
            let job = rebuild::Job { sums: Sums::Skip, threads, now, share };
            rebuild::rebuild(&tree, &its, &job, &*monitor, &AtomicBool::new(false))?;
        }
        Ok::<_, Error>(heard)
    };
    let done = tokio::task::spawn_blocking(work).await;
    let heard = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    known.heard(heard);
    Ok(Some(ledger))
}

/// What a run has to look after besides its window.
#[derive(Default)]
struct Asked {
    errands: Vec<Errand>,
    failed_before: Vec<Key>,
}

fn asked(
    ledger: &Ledger,
    config: &Config,
    args: &BackupArgs,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<Asked, Error> {
    let is_ours = |key: &Key| config.instance.owns(&key.0);
    let failed: Vec<Key> = match config.metadata_only {
        true => Vec::new(),
        false => ledger.missing()?.into_iter().filter(is_ours).collect(),
    };
    let failed_before: Vec<Key> =
        failed.iter().filter(|key| plan.window.contains(key.1)).cloned().collect();
    let mut missing = Vec::new();
    for id in &args.again {
        let entries = ledger.entries_of(id)?.into_iter();
        missing.extend(entries.map(|entry| (entry.id, entry.started_at)));
    }
    // A one-shot range is what was asked for, and nothing else.
    if super::mode(config) == Mode::OneShot {
        return Ok(Asked { errands: errands(missing, Vec::new(), None), failed_before });
    }
    missing.extend(failed);
    let rescan = config.rescan.map_or(now, |age| age.before(now));
    let awaiting = ledger.awaiting(rescan)?.into_iter().filter(is_ours).collect();
    Ok(Asked { errands: errands(missing, awaiting, Some(plan.window)), failed_before })
}

fn again(args: &BackupArgs) -> Again {
    match args.again.iter().any(|id| id == "all") {
        true => Again::All,
        false if args.again.is_empty() => Again::Never,
        false => Again::Of(args.again.iter().cloned().collect()),
    }
}

fn would_download(summary: &Summary) -> String {
    format!(
        "{} of {} media files, {} bytes by their metadata; {} recordings listed, {} of this instance",
        summary.wanted_files,
        summary.found_files,
        summary.wanted_bytes,
        summary.listed_recordings,
        summary.owned_recordings
    )
}

/// Puts what a dry run finds on standard output, a line each: bytes and path.
struct Listing {
    shown: Arc<dyn Monitor>,
}

impl Monitor for Listing {
    fn on(&self, event: &Event) {
        if let Event::WouldDownload { path, bytes, .. } = event {
            // A closed pipe ends the list, not the run.
            let _ = super::print(&format!("{bytes:>12} {path}"));
        }
        self.shown.on(event);
    }
}
