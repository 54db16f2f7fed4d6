//! `rcbs audit`: asks GWS again for a period, and tells what of it is not held.
//!
//! **Invariant:** nothing is written and nothing locked, so that it may run while a backup does; the
//! watermark is not read.

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::report::Report;
use super::{CommonArgs, Loader, World, document};
use crate::audit::{self, Audited, Job, Wanted};
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::ledger::Ledgers;
use crate::pipeline::Signal;
use crate::tree::{Tree, TreeOptions};

/// What an audit is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct AuditArgs {
    /// Audits recordings that started at this time or later; else as far back as maxAge
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Audits recordings that started before this time; 2018-01-04, epoch milliseconds or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// The targets of all instances; else targetDir alone
    #[arg(long, value_name = "DIR", value_delimiter = ',')]
    pub targets: Vec<PathBuf>,
    /// Prints one JSON document, which names everything that is not held
    #[arg(long)]
    pub json: bool,
}

const AFTER_HELP: &str = "\
Each recording of the period is one of: held; hidden (held, and not listed any more); waiting (held,
and media may still come); accepted (a loss, by `rcbs accept`); gone (failed, and not listed any
more); missing (listed, and never tried); failed (listed, tried, and not held).

Examples:
  rcbs audit                                           maxAge up to now, against targetDir
  rcbs audit --targets /srv/rec0,/srv/rec1             against both instances' targets
  rcbs audit --from 2018-01-01 --to 2018-02-01 --json  a month, for a program

Exit code 0 tells that nothing is gone, missing, failed, or could not be listed; else it is 3.";

/// Audits, until `shutdown` is done.
pub async fn run(
    args: &AuditArgs,
    common: &CommonArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    // Nothing has to be kept consistent, so it may end anywhere.
    tokio::select! {
        exit = audit(args, common, world) => exit,
        signal = shutdown => Ok(signal.into()),
    }
}

async fn audit(args: &AuditArgs, common: &CommonArgs, world: &World<'_>) -> Result<Exit, Error> {
    let mut loader = Loader::new(world, common, args.from.as_deref(), args.to.as_deref())?;
    let config = loader.load(&[], world.now)?;
    let roots = roots(&args.targets, &config, world);
    let targets =
        roots.iter().map(|root| ledgers(root, &config, world)).collect::<Result<_, _>>()?;
    let gws = super::gws(&config, world)?;
    let (config, now) = loader.ask_gws(&gws).await?;
    let plan = match super::asked_period(&config, &gws, now).await? {
        Ok(plan) => plan,
        Err(nothing) => return super::nothing_asked(nothing, args.json, "audit", world),
    };
    let job = Job {
        window: plan.window,
        shard_by: config.shard_by,
        targets,
        wanted: Wanted {
            media_type_pattern: config.media_type_pattern.clone(),
            metadata_only: config.metadata_only,
        },
        instances: config.instance.total,
        waiting_since: config.rescan.map_or(now, |age| age.before(now)),
        monitor: Arc::clone(&world.monitor),
    };
    let mut report = Report::new(args.json, plan.window, config.instance.total, &roots);
    if args.json {
        document::begun(world);
    }
    report.begin()?;
    let audited = audit::audit(&gws, job, |finding| report.found(finding)).await;
    let audited = audited.and_then(heard);
    match audited {
        Ok(Audited { tally, .. }) => {
            report.end(&tally)?;
            Ok(if tally.is_complete() { Exit::Complete } else { Exit::Incomplete })
        }
        Err(error) => {
            report.break_off(&error)?;
            Err(error)
        }
    }
}

/// Tells apart that nothing could be listed from that something could not.
fn heard(audited: Audited) -> Result<Audited, Error> {
    match audited {
        Audited { tally, answered: false, forbidden } if tally.unlisted > 0 => {
            Err(forbidden.map_or(Error::GwsSilent, Error::Gws))
        }
        audited => Ok(audited),
    }
}

fn roots(named: &[PathBuf], config: &Config, world: &World<'_>) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for path in named.iter().map(|path| world.current_dir.join(path)) {
        if !roots.contains(&path) {
            roots.push(path);
        }
    }
    if roots.is_empty() { vec![config.target_dir.clone()] } else { roots }
}

fn ledgers(root: &Path, config: &Config, world: &World<'_>) -> Result<Ledgers, Error> {
    let options = TreeOptions { root: root.to_owned(), ..super::tree_options(config, world) };
    super::ledgers_of(&Tree::peek(options))
}
