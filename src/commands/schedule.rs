//! `rcbs schedule`: prints an entry for a scheduler, with the paths of this installation.
//!
//! **Invariant:** nothing is installed and nothing is written; no login and no other secret is in
//! the entry, only the name of the file that has them.

use std::path::{Path, PathBuf};

use super::{CommonArgs, World};
use crate::config::Alarms;
use crate::error::{Error, Exit};
use crate::monitor::Event;
use crate::schedule::{self, At, Every, Job, ScheduleError, Times};

/// The schedulers.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ScheduleCommand {
    /// A line for cron
    Cron(ScheduleArgs),
    /// A service and a timer for systemd
    Systemd {
        /// When and as whom.
        #[command(flatten)]
        args: ScheduleArgs,
        /// Prints one of the two only, as it stands in its file
        #[arg(long, value_name = "UNIT")]
        unit: Option<Unit>,
    },
    /// A task for the Task Scheduler of Windows, as XML
    Windows(ScheduleArgs),
}

/// The units of systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Unit {
    /// What runs.
    Service,
    /// When.
    Timer,
}

/// What all entries are told.
#[derive(Debug, Clone, clap::Args)]
pub struct ScheduleArgs {
    /// How often: 15m, 30m, 1h, 6h, 24h
    #[arg(long, value_name = "TIME", default_value = "6h")]
    every: Every,
    /// A time of the day at which it runs, by this machine's clock
    #[arg(long, value_name = "HH:MM", default_value = "04:30")]
    at: At,
    /// The file with the variables of the credentials, GWS_USERNAME=… a line [default: `environment`
    /// beside the configuration]
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
    /// The user that the recordings belong to
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Prints the entry.
pub fn run(
    command: &ScheduleCommand,
    common: &CommonArgs,
    world: &World<'_>,
) -> Result<Exit, Error> {
    let (ScheduleCommand::Cron(args)
    | ScheduleCommand::Systemd { args, .. }
    | ScheduleCommand::Windows(args)) = command;
    let job = job(args, common, world)?;
    let text = match command {
        ScheduleCommand::Cron(_) => schedule::crontab(&job)?,
        ScheduleCommand::Systemd { unit: Some(Unit::Service), .. } => schedule::service(&job)?,
        ScheduleCommand::Systemd { unit: Some(Unit::Timer), .. } => schedule::timer(&job)?,
        ScheduleCommand::Systemd { unit: None, .. } => {
            format!("{}\n{}", schedule::service(&job)?, schedule::timer(&job)?)
        }
        ScheduleCommand::Windows(_) => schedule::task(&job)?,
    };
    super::print(text.trim_end())?;
    Ok(Exit::Complete)
}

fn job(args: &ScheduleArgs, common: &CommonArgs, world: &World<'_>) -> Result<Job, Error> {
    let config = world.current_dir.join(&common.config);
    let file = super::read("the configuration", &config)?;
    let alarms = Alarms::load(&super::layers(world, common, Some(file), [None; 2]));
    let beside = || config.with_file_name("environment");
    let environment = args.environment.clone().unwrap_or_else(beside);
    let environment = world.current_dir.join(environment);
    let warn = |text: String| world.monitor.on(&Event::Warning { text });
    if !environment.is_file() {
        warn(format!(
            "the file with the credentials is not there yet: `{}`",
            environment.display()
        ));
    }
    let program = std::env::current_exe();
    let program = program.map_err(|source| Error::File {
        what: "the path of this program",
        path: PathBuf::new(),
        source,
    })?;
    let mut arguments = vec!["--config".to_owned(), text(&config)?];
    for (name, value) in &common.set {
        if name == "pingUrl" {
            warn(
                "pingUrl is a secret and not in the entry: set it in the configuration".to_owned(),
            );
            continue;
        }
        arguments.extend(["--set".to_owned(), format!("{name}={value}")]);
    }
    let folder_of = |path: PathBuf| path.parent().map(Path::to_owned);
    let beside_log = alarms.log.and_then(|log| folder_of(log.file));
    let beside_metrics = alarms.metrics_file.and_then(folder_of);
    let mut writes: Vec<String> = Vec::new();
    for folder in [alarms.target_dir, alarms.state_dir, beside_log, beside_metrics] {
        let Some(folder) = folder else { continue };
        if !folder.is_dir() {
            warn(format!("the folder is not there yet: `{}`", folder.display()));
        }
        let folder = text(&folder)?;
        if !writes.contains(&folder) {
            writes.push(folder);
        }
    }
    Ok(Job {
        program: text(&program)?,
        arguments,
        folder: text(&world.current_dir)?,
        environment: text(&environment)?,
        user: args.user.clone(),
        times: Times::new(args.every, args.at),
        writes,
        umask: 0o777 & !(alarms.folder_mode | alarms.file_mode),
    })
}

fn text(path: &Path) -> Result<String, ScheduleError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| ScheduleError::NotText(path.display().to_string()))
}
