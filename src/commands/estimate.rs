//! `rcbs estimate`: what recordings need, planned or as GWS lists them, and whether they will fit.
//!
//! **Invariant:** nothing is written and nothing locked; the storage of media is not asked; a
//! planned volume asks nobody and reads no configuration.

mod free;
mod lister;
mod report;
mod words;

use chrono::{DateTime, TimeDelta, Utc};

use self::lister::{Counted, Job};
use self::report::{Listing, Plans, Room};
use super::{CommonArgs, Loader, World, document};
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::estimate::{
    Fit, Footprint, METADATA_KB, Milli, Planned, SCREEN_KBPS, Terms, Usual, VOICE_KBPS, Wanted,
    hours, milli,
};
use crate::ledger::Ledgers;
use crate::metadata::PropertyFilter;
use crate::monitor::Event;
use crate::pipeline::Signal;
use crate::tree::Tree;
use crate::window::Age;

/// What an estimate is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct EstimateArgs {
    /// Counts recordings that started at this time or later; else as far back as maxAge
    #[arg(long, value_name = "TIME", conflicts_with = "recordings_per_day")]
    from: Option<String>,
    /// Counts recordings that started before this time; 2018-01-04, epoch milliseconds or RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "recordings_per_day")]
    to: Option<String>,
    /// Plans for so many recordings, and asks nobody; several with commas between give a table
    #[arg(long, value_name = "N", value_delimiter = ',', requires = "minutes",
          value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    recordings_per_day: Vec<u64>,
    /// Their mean length in minutes, such as 4 or 3.5
    #[arg(long, value_name = "M", requires = "recordings_per_day", value_parser = minutes)]
    minutes: Option<Milli>,
    /// How many of a hundred have a screen recording, such as 10 or 2.5%
    #[arg(long, value_name = "PERCENT", default_value = "0", requires = "recordings_per_day",
          value_parser = percent)]
    screen: Milli,
    /// Voice files of a recording in the mean; calls that are transferred have several
    #[arg(long, value_name = "N", default_value = "1.1", requires = "recordings_per_day",
          value_parser = voice_files)]
    voice_files: Milli,
    /// What the metadata of a recording weigh, in kB; the documents say only that it is below 1,000
    #[arg(long, value_name = "KB", default_value_t = METADATA_KB, requires = "recordings_per_day",
          value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    metadata_kb: u64,
    /// Bit rate of voice in kbit/s; from GWS, where none can be measured
    #[arg(long, value_name = "KBPS", default_value_t = VOICE_KBPS,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    voice_kbps: u64,
    /// Bit rate of a screen recording with its voice in kbit/s; likewise
    #[arg(long, value_name = "KBPS", default_value_t = SCREEN_KBPS,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    screen_kbps: u64,
    /// For how many days the disk is to suffice
    #[arg(long, value_name = "D", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// In which time a day is to be saved, such as 8h or 90m
    #[arg(long, value_name = "TIME", default_value = "8h", value_parser = hours)]
    within: u64,
    /// How often a day the backup runs; each run lists the overlap again
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=1_440))]
    runs_per_day: u64,
    /// How many recordings one instance saves in a second
    #[arg(long, value_name = "N", default_value_t = INSTANCE_RECORDINGS,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    instance_recordings: u64,
    /// What the link of one instance carries, in Mbit/s
    #[arg(long, value_name = "MBIT", default_value_t = INSTANCE_MBIT,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    instance_mbit: u64,
    /// Prints one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Half of what was measured on two cores that the cloud shared; docs/performance.md.
const INSTANCE_RECORDINGS: u64 = 500;

/// An ordinary port; half of what was measured.
const INSTANCE_MBIT: u64 = 1_000;

/// What the overlap and the rescan are where no configuration says otherwise.
const OVERLAP_HOURS: u64 = 6;
const RESCAN_HOURS: u64 = 72;

const AFTER_HELP: &str = "\
With --recordings-per-day it calculates for a planned volume. Without, it lists the recordings of a
time at GWS, and tells what they weigh by their metadata, what of it this instance has yet to save,
and whether that will fit on the disk of targetDir. docs/planning.md has the formulas.

Examples:
  rcbs estimate --recordings-per-day 100000 --minutes 4 --screen 10
  rcbs estimate --recordings-per-day 1000,10000,100000 --minutes 4     a table
  rcbs estimate                                                        maxAge up to now, from GWS
  rcbs estimate --from 2018-01-01 --to 2018-02-01 --json               a month, for a program

Exit code 0 tells that it fits; 6 that it does not; 3 that not everything could be listed.";

fn minutes(text: &str) -> Result<Milli, String> {
    milli(text, Milli(1), Milli(100_000_000))
}

fn percent(text: &str) -> Result<Milli, String> {
    milli(text.strip_suffix('%').unwrap_or(text), Milli(0), Milli(100_000))
}

fn voice_files(text: &str) -> Result<Milli, String> {
    milli(text, Milli(0), Milli(1_000_000))
}

/// Estimates, until `shutdown` is done.
pub async fn run(
    args: &EstimateArgs,
    common: &CommonArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    if let Some(minutes) = args.minutes {
        return plan_volumes(args, minutes, world);
    }
    // Nothing has to be kept consistent, so it may end anywhere.
    tokio::select! {
        exit = list(args, common, world) => exit,
        signal = shutdown => Ok(signal.into()),
    }
}

fn plan_volumes(args: &EstimateArgs, minutes: Milli, world: &World<'_>) -> Result<Exit, Error> {
    let usual = Usual {
        minutes,
        screen_percent: args.screen,
        voice_files: args.voice_files,
        voice_kbps: args.voice_kbps,
        screen_kbps: args.screen_kbps,
        metadata_bytes: args.metadata_kb * 1_000,
    };
    let terms = terms(args, OVERLAP_HOURS, RESCAN_HOURS);
    let days = args.recordings_per_day.iter().map(|recordings| Planned::of(*recordings, &usual));
    let plans = Plans::of(usual, terms, days);
    match (args.json, &plans.volumes[..]) {
        (true, _) => document::tell(world, "estimate-plan", &plans)?,
        (false, [one]) => plans.text(one).iter().try_for_each(|line| super::print(line))?,
        (false, _) => plans.table().iter().try_for_each(|line| super::print(line))?,
    }
    Ok(Exit::Complete)
}

fn terms(args: &EstimateArgs, overlap_hours: u64, rescan_hours: u64) -> Terms {
    Terms {
        days: args.days,
        within_seconds: args.within,
        runs_per_day: args.runs_per_day,
        overlap_hours,
        rescan_hours,
        instance_recordings_per_second: args.instance_recordings,
        instance_bits_per_second: args.instance_mbit * 1_000_000,
    }
}

async fn list(args: &EstimateArgs, common: &CommonArgs, world: &World<'_>) -> Result<Exit, Error> {
    let mut loader = Loader::new(world, common, args.from.as_deref(), args.to.as_deref())?;
    let config = loader.load(&[], world.now)?;
    let ledger = ledger(&config, world)?;
    let gws = super::gws(&config, world)?;
    let (config, now) = loader.ask_gws(&gws).await?;
    let plan = match super::asked_period(&config, &gws, now).await? {
        Ok(plan) => plan,
        Err(nothing) => return super::nothing_asked(nothing, args.json, "estimate", world),
    };
    let job = Job {
        window: plan.window,
        shard_by: config.shard_by,
        wanted: Wanted {
            media_type_pattern: config.media_type_pattern.clone(),
            metadata_only: config.metadata_only,
            filter: PropertyFilter {
                include: config.metadata_include.clone(),
                exclude: config.metadata_exclude.clone(),
            },
        },
        instance: config.instance,
        ledger,
        monitor: world.monitor.as_ref(),
    };
    let counted = lister::count(&gws, job).await?;
    let Counted { tally, unlisted, answered, forbidden } = counted;
    if !answered && !unlisted.is_empty() {
        return Err(forbidden.map_or(Error::GwsSilent, Error::Gws));
    }
    let totals = tally.totals();
    let rates = totals.rates([args.voice_kbps, args.screen_kbps]);
    let days = tally.days.len() as u128;
    let footprint = Footprint::of(
        &tally.needed.volume(&rates),
        if tally.needed.recordings > 0 { days } else { 0 },
    );
    let share = Footprint::of(&tally.share.volume(&rates), days);
    let free = free::free(&config.target_dir);
    let fit = Fit::of(&footprint, &free);
    let span = (plan.window.to - plan.window.from).num_seconds();
    let room = Room::of(&config.target_dir, footprint, share, free, fit, span);
    let age = |age: Age| age_hours(age, now);
    let terms = terms(args, age(config.overlap), config.rescan.map_or(0, age));
    let listing =
        Listing::of(plan.window, config.instance, &tally, unlisted, &totals, &rates, terms, room);
    if args.json {
        document::tell(world, "estimate", &listing)?;
    } else {
        listing.text().iter().try_for_each(|line| super::print(line))?;
    }
    warn(&listing, world);
    Ok(match fit {
        Fit::Lacks { .. } => Exit::Target,
        Fit::Fits | Fit::Unknown if tally.is_complete() => Exit::Complete,
        Fit::Fits | Fit::Unknown => Exit::Incomplete,
    })
}

/// Says aloud what makes the exit code what it is.
fn warn(listing: &Listing, world: &World<'_>) {
    for text in listing.warnings() {
        world.monitor.on(&Event::Warning { text });
    }
}

fn age_hours(age: Age, now: DateTime<Utc>) -> u64 {
    let length = now - age.before(now);
    let hours = (length + TimeDelta::minutes(59)).num_hours();
    u64::try_from(hours).unwrap_or(0)
}

/// The ledger of the target, where there is one; else nothing counts as held.
fn ledger(config: &Config, world: &World<'_>) -> Result<Option<Ledgers>, Error> {
    Ok(Ledgers::open_to_read(&Tree::peek(super::tree_options(config, world)))?)
}
