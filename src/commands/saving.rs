//! What saving recordings needs of a configuration.

use std::sync::Arc;

use chrono::{DateTime, Local, Utc};
use tokio::sync::Semaphore;

use super::World;
use crate::bandwidth::{Limiter, Timetable};
use crate::config::{Config, DownloadMode};
use crate::download::{self, Again, Job, PARTS_AHEAD};
use crate::envelope::Sealing;
use crate::error::Error;
use crate::gate::Gate;
use crate::gate::control::Bounds;
use crate::ledger::Ledger;
use crate::metadata::PropertyFilter;
use crate::monitor::Monitor;
use crate::source::Source;
use crate::tree::Tree;

/// How many media requests are in flight where the configuration does not say. Near by the first
/// ones keep two processors busy; where an answer takes 50 ms, 96 are 1,900 a second. Each has a
/// buffer of up to 400 KB, and all together stay below 64 MiB.
const REQUESTS: Bounds = Bounds { least: 4, first: 16, most: 96 };

/// What a command decides about the recordings that it saves.
pub(super) struct Saving {
    /// What is fetched although it was moved away.
    pub(super) again: Again,
    /// Whether it is only told what would be.
    pub(super) dry_run: bool,
    /// For whom plaintext is encrypted.
    pub(super) sealing: Option<Sealing>,
    /// Who is told what happens.
    pub(super) monitor: Arc<dyn Monitor>,
    /// The time of the run.
    pub(super) now: DateTime<Utc>,
}

impl Saving {
    pub(super) fn job(
        self,
        config: &Config,
        tree: Arc<Tree>,
        ledger: Option<Arc<Ledger>>,
        world: &World<'_>,
    ) -> Result<Job, Error> {
        let Saving { again, dry_run, sealing, monitor, now } = self;
        let source = Source {
            s3: if config.metadata_only { None } else { super::s3(config, world)? },
            web: super::web(config, world)?,
            limiter: config.bandwidth.clone().map(|timetable| limiter(timetable, world.clock)),
        };
        let single = config.download_mode == DownloadMode::Single;
        let failing = ledger.as_ref().map(|ledger| ledger.failing()).transpose()?;
        Ok(Job {
            source,
            tree,
            failing: failing.unwrap_or_default(),
            ledger,
            monitor,
            options: download::Options {
                media_type_pattern: config.media_type_pattern.clone(),
                metadata_only: config.metadata_only,
                metadata_filter: PropertyFilter {
                    include: config.metadata_include.clone(),
                    exclude: config.metadata_exclude.clone(),
                },
                folder_format: config.recording_folder_format.clone(),
                sealing,
                remember_moved: config.remember_moved,
                again,
                retries: config.s3_max_error_retry,
                dry_run,
            },
            requests: requests(config),
            ahead: Arc::new(Semaphore::new(PARTS_AHEAD)),
            finishing: Semaphore::new(if single { 1 } else { config.num_threads }),
            now,
        })
    }
}

/// Limits by the time that a clock on the wall shows here.
fn limiter(timetable: Timetable, clock: fn() -> DateTime<Utc>) -> Arc<Limiter> {
    let wall_clock = move || clock().with_timezone(&Local).naive_local();
    Arc::new(Limiter::new(timetable, Box::new(wall_clock)))
}

/// Reads the certificate that plaintext is sealed for, if there is one.
pub(super) fn sealing(config: &Config) -> Result<Option<Sealing>, Error> {
    let Some(path) = &config.encryption_certificate else { return Ok(None) };
    let pem = super::read("encryptionCertificate", path)?;
    match Sealing::for_certificate(&pem, config.encryption_format) {
        Ok(sealing) => Ok(Some(sealing)),
        Err(source) => Err(Error::Certificate { path: path.clone(), source }),
    }
}

/// The gate of media requests, wherever they go.
fn requests(config: &Config) -> Arc<Gate> {
    if config.download_mode == DownloadMode::Single {
        return Gate::fixed("media", 1);
    }
    let Bounds { least, first, most } = REQUESTS;
    let most = config.max_connections.unwrap_or(most.min(by_open_files()));
    let bounds = Bounds { least: least.min(most), first: first.min(most), most };
    Gate::adaptive("media", bounds)
}

/// How many requests the system's limit of open files has room for.
fn by_open_files() -> usize {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit};

        /// How many files are open besides a connection and a file for each request: those that
        /// wait to be committed, the listing's connections, the ledger.
        const OTHER_FILES: usize = 640;
        if let Some(files) = getrlimit(Resource::Nofile).current {
            let files = usize::try_from(files).unwrap_or(usize::MAX);
            return (files.saturating_sub(OTHER_FILES) / 2).max(REQUESTS.first);
        }
    }
    REQUESTS.most
}
