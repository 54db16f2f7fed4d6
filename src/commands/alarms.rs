//! Who is told what becomes of a backup: the log file, the metrics file, the service that watches.
//!
//! **Invariant:** none of them decides anything: whatever goes wrong with them is a warning, and
//! the exit code is that of the backup. A dry run tells nobody; a one-time export, and a run that
//! found another one at work, have a log and nothing else.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;

use super::backup::BackupArgs;
use super::{CommonArgs, World};
use crate::checkpoint::Checkpoint;
use crate::config::{Alarms, LogSettings};
use crate::error::{Error, Exit};
use crate::http::{self, ClientOptions, Purpose, chain};
use crate::ledger::{Ledger, Totals};
use crate::metrics::{self, Report};
use crate::monitor::{Event, Monitor, Summary};
use crate::ping::{self, Moment, Ping, PingError};
use crate::progress::{LastLines, LogFile};
use crate::secret::Secret;
use crate::sidefile::{self, Log};
use crate::tree::{Holder, Modes, Share, Tree, TreeOptions};
use crate::watermark::Retention;

/// What monitors run as users of their own must be able to read.
const READABLE_TO_ALL: u32 = 0o644;

/// The alarms of a run that is under way.
pub(super) struct Alarmed {
    settings: Option<Alarms>,
    heard: Arc<Heard>,
}

/// Makes ready whatever the configuration names; gives the surroundings in which all is heard.
///
/// What is wrong with the configuration is told by the backup itself.
pub(super) fn begin<'w>(
    common: &CommonArgs,
    args: &BackupArgs,
    world: &World<'w>,
) -> (Alarmed, World<'w>) {
    let settings = if args.dry_run { None } else { settings(common, args, world) };
    let shown = &world.monitor;
    let log = settings.as_ref().and_then(|settings| {
        let LogSettings { file, max_bytes, keep } = settings.log.clone()?;
        let log = Log { path: file, max_bytes, keep, mode: settings.file_mode };
        Some(LogFile::new(log, world.log_format, world.clock, Arc::clone(shown)))
    });
    let heard = Heard {
        shown: Arc::clone(shown),
        log,
        last_lines: LastLines::default(),
        ping: None,
        state: Mutex::default(),
    };
    let ping = settings.as_ref().filter(|settings| !settings.is_one_shot).and_then(|settings| {
        let address = settings.ping_url.as_ref()?;
        ping(settings, address, world).map_err(|error| heard.warn(&error)).ok()
    });
    let heard = Arc::new(Heard { ping, ..heard });
    let monitor = Arc::clone(&heard) as Arc<dyn Monitor>;
    let World { now, clock, env, current_dir, host, log_format, trust, document, .. } = world;
    let (now, clock, env, log_format) = (*now, *clock, *env, *log_format);
    let (current_dir, host) = (current_dir.clone(), host.clone());
    let (trust, document) = (trust.clone(), document.clone());
    let world = World { now, clock, env, current_dir, host, monitor, log_format, trust, document };
    (Alarmed { settings, heard }, world)
}

fn settings(common: &CommonArgs, args: &BackupArgs, world: &World<'_>) -> Option<Alarms> {
    let file = fs::read(&common.config).ok()?;
    let edges = [args.from.as_deref(), args.to.as_deref()];
    Some(Alarms::load(&super::layers(world, common, Some(file), edges)))
}

fn ping(settings: &Alarms, address: &Secret, world: &World<'_>) -> Result<Ping, String> {
    let client = || -> Result<_, Error> {
        Ok(http::client(&ClientOptions {
            // The service lies where GWS does: out there.
            proxy: settings.gws_proxy.clone(),
            trust: super::trust(settings.ca_bundle.as_deref(), world)?,
            connect_timeout: ping::CONNECT_TIMEOUT,
            read_timeout: ping::TIMEOUT,
            purpose: Purpose::Api,
        })?)
    };
    let client = client().map_err(|error| format!("cannot tell pingUrl: {}", chain(&error)))?;
    Ping::at(client, address).ok_or_else(|| "cannot tell pingUrl: it is no address".to_owned())
}

/// Everything that hears what happens in a run.
struct Heard {
    shown: Arc<dyn Monitor>,
    log: Option<LogFile>,
    last_lines: LastLines,
    ping: Option<Ping>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    summary: Summary,
    /// The service is told of the start while the run goes on.
    start: Option<JoinHandle<Result<(), PingError>>>,
}

impl Monitor for Heard {
    fn on(&self, event: &Event) {
        self.shown.on(event);
        if let Some(log) = &self.log {
            log.on(event);
        }
        if self.ping.is_some() {
            self.last_lines.on(event);
        }
        match (event, &self.ping) {
            (Event::RunStarted { .. }, Some(ping)) => {
                let ping = ping.clone();
                // A run that begins once more, with a new ledger, has begun already.
                self.state().start.get_or_insert_with(|| {
                    tokio::spawn(async move { ping.tell(Moment::Start, "").await })
                });
            }
            (Event::RunFinished { summary }, _) => self.state().summary = Summary::clone(summary),
            _ => {}
        }
    }
}

impl Heard {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, text: &str) {
        self.on(&Event::Warning { text: text.to_owned() });
    }
}

impl Alarmed {
    /// Tells everybody how the run has ended.
    pub(super) async fn end(self, ended: &Result<Exit, Error>, world: &World<'_>) {
        let Alarmed { settings: Some(settings), heard } = self else { return };
        let exit = ended.as_ref().map_or_else(Error::exit, |exit| *exit);
        // A run that found another one at work has nothing to say about the backup.
        let is_told = exit != Exit::Locked && !settings.is_one_shot;
        if is_told {
            let now = (world.clock)();
            let held = look(&settings, world, now);
            if let Some(near) = held.retention.filter(Retention::is_near) {
                heard.on(&Event::RetentionNears {
                    oldest: near.oldest,
                    deadline: near.deadline,
                    hours_left: near.left.num_hours(),
                    retention_days: near.period.num_days(),
                });
            }
            if let Some(path) = &settings.metrics_file
                && let Err(error) =
                    write_metrics(path, &settings, &heard, held, exit, world.now, now)
            {
                heard.warn(&format!("cannot write metricsFile `{}`: {error}", path.display()));
            }
        }
        if let Err(error) = ended {
            for (text, hint) in error.lines() {
                heard.last_lines.report(&text);
                if let Some(log) = &heard.log {
                    log.report(&text, hint.as_deref());
                }
            }
        }
        let last = format!("exit code {}", exit as u8);
        if let Some(log) = &heard.log {
            log.on(&Event::Note { text: last.clone() });
        }
        if is_told && let Some(ping) = &heard.ping {
            heard.last_lines.add(last);
            heard.tell(ping, exit).await;
        }
    }
}

impl Heard {
    async fn tell(&self, ping: &Ping, exit: Exit) {
        let start = self.state().start.take();
        let started = match start {
            // It gives up by itself after some seconds.
            Some(start) => start.await.unwrap_or(Ok(())),
            None => Ok(()),
        };
        let moment = match exit {
            Exit::Complete => Moment::Success,
            exit => Moment::Failure(exit as u8),
        };
        let told = ping.tell(moment, &self.last_lines.text()).await;
        for (told, what) in [(started, "the start"), (told, "the end")] {
            if let Err(error) = told {
                self.warn(&format!("cannot tell pingUrl {what} of the run: {error}"));
            }
        }
    }
}

/// What is held when a run has ended, as far as that can be read.
#[derive(Default)]
struct Held {
    totals: Option<Totals>,
    failing: Option<u64>,
    watermark: Option<DateTime<Utc>>,
    succeeded_at: Option<DateTime<Utc>>,
    retention: Option<Retention>,
}

/// Looks at the target without touching it; the run has let go of it.
fn look(settings: &Alarms, world: &World<'_>, now: DateTime<Utc>) -> Held {
    let (Some(root), Some(state_dir)) = (&settings.target_dir, &settings.state_dir) else {
        return Held::default();
    };
    let share = match (settings.is_shared, settings.instance) {
        (true, Some(instance)) => Share::One(instance),
        (true, None) => return Held::default(),
        (false, _) => Share::Alone,
    };
    let tree = Arc::new(Tree::peek(TreeOptions {
        root: root.clone(),
        modes: Modes { file: settings.file_mode, folder: settings.folder_mode },
        holder: Holder { host: world.host.clone(), since: world.now },
        share,
    }));
    let loaded = Checkpoint::open(&tree, state_dir).and_then(|checkpoint| checkpoint.load(&[]));
    let watermark = loaded.ok().and_then(|loaded| loaded.stored.watermark);
    let ledger = Ledger::open_to_read(&tree).ok().flatten();
    let ledger = ledger.as_ref();
    let is_ours = |id: &str| settings.instance.is_none_or(|instance| instance.owns(id));
    let failing = ledger.and_then(|ledger| ledger.missing().ok()).map(|mut failing| {
        failing.retain(|(id, _)| is_ours(id));
        failing
    });
    // All before the watermark is handled, but for what failed there later on.
    let oldest_failing = failing.as_ref().and_then(|failing| failing.first()).map(|(_, at)| *at);
    let oldest =
        watermark.map(|watermark| oldest_failing.map_or(watermark, |at| at.min(watermark)));
    Held {
        // To count them takes a while where there are millions, and only the metrics have them.
        totals: settings.metrics_file.as_ref().and(ledger).and_then(|it| it.totals().ok()),
        failing: failing.map(|failing| failing.len() as u64),
        watermark,
        succeeded_at: ledger.and_then(|ledger| ledger.last_success().ok()).flatten(),
        retention: oldest
            .zip(settings.retention)
            .map(|(oldest, period)| Retention::of(oldest, period, now)),
    }
}

fn write_metrics(
    path: &Path,
    settings: &Alarms,
    heard: &Heard,
    held: Held,
    exit: Exit,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
) -> std::io::Result<()> {
    // The ledger knows one-time exports too, which are no successes of the scheduled backup.
    let before = fs::read_to_string(path).ok();
    let before = before.map_or(held.succeeded_at, |text| metrics::succeeded_at(&text));
    let report = Report {
        instance: settings.instance,
        exit_code: exit as u8,
        started_at,
        ended_at,
        succeeded_at: if exit == Exit::Complete { Some(ended_at) } else { before },
        summary: heard.state().summary.clone(),
        held: held.totals,
        failing: held.failing,
        watermark: held.watermark,
        retention: held.retention,
    };
    sidefile::replace(path, metrics::text(&report).as_bytes(), READABLE_TO_ALL)
}
