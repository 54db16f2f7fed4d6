//! What saving recordings needs of a configuration.

use std::sync::Arc;

use chrono::{DateTime, Local, Utc};
use tokio::sync::Semaphore;

use crate::bandwidth::{Limiter, Timetable};
use crate::config::{Config, DownloadMode};
use crate::download::{self, Again, Job};
use crate::envelope::Sealing;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::metadata::PropertyFilter;
use crate::monitor::Monitor;
use crate::source::Source;
use crate::tree::Tree;

/// How many media requests are under way where the configuration does not say.
const CONNECTIONS: usize = 32;

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
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Job, Error> {
        let Saving { again, dry_run, sealing, monitor, now } = self;
        let source = Source {
            s3: if config.metadata_only { None } else { super::s3(config)? },
            web: super::web(config)?,
            limiter: config.bandwidth.clone().map(|timetable| limiter(timetable, clock)),
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
            requests: Arc::new(Semaphore::new(connections(config))),
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

/// Tells how many media requests may be under way.
pub(super) fn connections(config: &Config) -> usize {
    match config.download_mode {
        DownloadMode::Single => 1,
        DownloadMode::Multithread => config.max_connections.unwrap_or(CONNECTIONS),
    }
}
