//! `rcbs check`: reads again what is held, and tells what is damaged or missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::document::{self, Read};
use super::repair::Repair;
use super::{CommonArgs, World};
use crate::check::{self, Done, Job, Sample, Scope};
use crate::config::Local;
use crate::error::{Error, Exit};
use crate::http::chain;
use crate::ledger::{LedgerError, LedgerErrorKind, Ledgers};
use crate::monitor::{Event, Teller};
use crate::pipeline::{STOPPING, Signal};
use crate::tree::Tree;

/// What a check is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CheckArgs {
    /// Reads a random part of the media files only, such as 5%, 0.1% or 1000
    #[arg(long, value_name = "SHARE|COUNT", value_parser = Sample::parse)]
    sample: Option<Sample>,
    /// Draws the same sample again; the number that an earlier check has printed
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    seed: Option<u64>,
    /// Downloads what is damaged or missing again, while the cloud still has it
    #[arg(long)]
    repair: bool,
    /// Fetches no more bytes of media a second than this, such as 20M; with --repair
    #[arg(long, value_name = "RATE|TIMES", requires = "repair", long_help = super::BANDWIDTH_HELP)]
    bandwidth: Option<String>,
    /// Checks recordings that started at this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Checks recordings that started before this time; 2018-01-04, epoch milliseconds or RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Prints one JSON document, besides the messages
    #[arg(long)]
    pub json: bool,
    /// Folders or files below targetDir, from there or from the current folder; none: all
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Every file of the ledger is looked for, and every file of the target for what the ledger has of it.
Nothing is locked or written, and a backup may be at work meanwhile. No key is needed.
With --repair the target is locked, and the whole configuration with its credentials is needed;
of a shared target it is the share of the configured instance that is repaired, and no other.

Examples:
  rcbs check                       read all that is held
  rcbs check --sample 5%           read one media file in twenty, and look for all others
  rcbs check 2018/02 2018/03       read two months
  rcbs check --repair              read all, and fetch again what is damaged or missing

Exit code 3 tells that something is damaged or missing; each file is named.";

/// Checks what was asked for, or until `shutdown` is done.
pub async fn run(
    args: &CheckArgs,
    common: &CommonArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    let local = super::local(world, common, args.from.as_deref(), args.to.as_deref())?;
    let mut options = super::local_tree(&local, world)?;
    let repair = match args.repair {
        true => Some(Repair::prepare(common, args.bandwidth.as_deref(), world)?),
        false => None,
    };
    if let Some(repair) = &repair {
        options.share = repair.share();
    }
    let tree = if args.repair { Tree::open(options)? } else { Tree::peek(options) };
    let job = Arc::new(job(args, &local, &tree, world)?);
    let tree = Arc::new(tree);
    let mut shutdown = std::pin::pin!(shutdown);
    let stop = Arc::new(AtomicBool::new(false));
    let (monitor, is_stopped) = (Arc::clone(&world.monitor), Arc::clone(&stop));
    let (checked_tree, checked_job) = (Arc::clone(&tree), Arc::clone(&job));
    let mut work = tokio::task::spawn_blocking(move || {
        let mut teller = Teller::of(&*monitor);
        let done = checked(&checked_tree, &checked_job, &mut teller, &is_stopped)?;
        Ok::<_, LedgerError>((teller.checked, done))
    });
    let (done, signal) = tokio::select! {
        done = &mut work => (done, None),
        signal = &mut shutdown => {
            world.monitor.on(&Event::Note { text: STOPPING.to_owned() });
            stop.store(true, Ordering::Relaxed);
            (work.await, Some(signal))
        }
    };
    let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let (checked, done) = done?;
    let mut teller = Teller::behind(&*world.monitor, checked);
    let mut ended = Ok((0, signal));
    if let (Some(repair), false, None) = (repair, done.broken.is_empty(), signal) {
        ended = repair.run(&tree, &job, &done.broken, &mut teller, shutdown, world).await;
    }
    let checked = teller.finish();
    let exit = match &ended {
        Ok((_, Some(signal))) => (*signal).into(),
        Ok((_, None)) if checked.is_sound() => Exit::Complete,
        Ok((_, None)) => Exit::Incomplete,
        Err(error) => error.exit(),
    };
    if args.json {
        document::tell(world, "check", &Read::of(checked, done.sampled, exit))?;
    } else {
        if let Some(sampled) = done.sampled {
            super::print(&sampled.sentence())?;
        }
        let left = match &ended {
            Ok((left, _)) if *left > 0 => format!("; left to other instances: {left}"),
            _ => String::new(),
        };
        super::print(&format!("{}{left}", checked.closing_line()))?;
    }
    ended.map(|_| exit)
}

fn checked(
    tree: &Tree,
    job: &Job,
    teller: &mut Teller<'_>,
    stop: &AtomicBool,
) -> Result<Done, LedgerError> {
    let ledger = match sound(tree) {
        Ok(Some(ledger)) => Some(ledger),
        Ok(None) => {
            let reason = "there is no ledger, so nothing tells what should be here: run `rcbs \
                          rebuild`";
            teller.tell(Event::Blind { reason: reason.to_owned() });
            None
        }
        Err(error) if error.kind() == LedgerErrorKind::Damaged => {
            let reason = format!("{}: run `rcbs rebuild`", chain(&error));
            teller.tell(Event::Blind { reason });
            None
        }
        Err(error) => return Err(error),
    };
    Ok(check::check(tree, ledger.as_ref(), job, teller, stop))
}

/// Opens the ledgers for reading, if there are any; one whose structure is damaged is an error.
fn sound(tree: &Tree) -> Result<Option<Ledgers>, LedgerError> {
    let Some(ledgers) = Ledgers::open_to_read(tree)? else { return Ok(None) };
    for ledger in ledgers.each() {
        if !ledger.is_sound()? {
            return Err(ledger.damaged());
        }
    }
    Ok(Some(ledgers))
}

fn job(args: &CheckArgs, local: &Local, tree: &Tree, world: &World<'_>) -> Result<Job, Error> {
    let root = &tree.options().root;
    let below = args.paths.iter().map(|path| below(path, root, world));
    let scope = Scope { below: below.collect::<Result<_, _>>()?, from: local.from, to: local.to };
    let sample = match args.sample {
        Some(sample) => Some((sample, args.seed.map_or_else(seed, Ok)?)),
        None => None,
    };
    Ok(Job { scope, sample, remember_moved: local.remember_moved, threads: local.num_threads })
}

/// Gives the path below the target of what was named, there or in the current folder.
fn below(path: &Path, root: &Path, world: &World<'_>) -> Result<String, Error> {
    let real = world.current_dir.join(path).canonicalize().ok();
    let from_here = root.canonicalize().ok().zip(real);
    let from_here =
        from_here.and_then(|(root, real)| Some(real.strip_prefix(root).ok()?.to_owned()));
    // What is missing cannot be found where it should be.
    let to_be = world.current_dir.join(path);
    let to_be = to_be.strip_prefix(root).ok().or_else(|| path.is_relative().then_some(path));
    let below = from_here.or_else(|| to_be.map(Path::to_owned));
    let foreign = || Error::NotBelow { path: path.to_owned(), target: root.to_owned() };
    let below = below.ok_or_else(foreign)?;
    let parts = below.components().map(|part| match part {
        std::path::Component::Normal(part) => part.to_str().ok_or_else(foreign),
        _ => Err(foreign()),
    });
    Ok(parts.collect::<Result<Vec<_>, _>>()?.join("/"))
}

/// Makes up a seed that is easy to type.
fn seed() -> Result<u64, Error> {
    let mut bytes = [0; 4];
    openssl::rand::rand_bytes(&mut bytes).map_err(|error| Error::Random(error.into()))?;
    Ok(u32::from_be_bytes(bytes).into())
}
