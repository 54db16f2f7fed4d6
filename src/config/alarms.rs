//! What sets off alarms and keeps a log: read apart, because it must work where the rest is wrong.
//!
//! **Invariant:** whatever is wrong with one property takes nothing from another, and the address
//! that is pinged is a secret.

use std::path::PathBuf;

use chrono::TimeDelta;

use super::layers::Reader;
use super::problem::{Bad, Problem};
use super::{Layers, checked_path, credentials, instance, period, proxy, value};
use crate::http::Proxy;
use crate::instance::Instance;
use crate::secret::Secret;

/// The least length of a log file: some lines must find room.
const LEAST_LOG_BYTES: u64 = 1024;

/// What a backup tells others about itself; what is bad or missing is none.
#[derive(Debug, Clone)]
pub struct Alarms {
    /// Whether this is a one-time export, which says nothing of the scheduled backup.
    pub is_one_shot: bool,
    /// Which share of the recordings it is about.
    pub instance: Option<Instance>,
    /// sharedTarget.
    pub is_shared: bool,
    /// targetDir.
    pub target_dir: Option<PathBuf>,
    /// stateDir, else targetDir.
    pub state_dir: Option<PathBuf>,
    /// retentionDays.
    pub retention: Option<TimeDelta>,
    /// metricsFile, with the instance's number in it.
    pub metrics_file: Option<PathBuf>,
    /// pingUrl.
    pub ping_url: Option<Secret>,
    /// logFile and what belongs to it.
    pub log: Option<LogSettings>,
    /// The proxy that pings go through, which is that of GWS.
    pub gws_proxy: Option<Proxy>,
    /// caBundle.
    pub ca_bundle: Option<PathBuf>,
    /// fileMode.
    pub file_mode: u32,
    /// folderMode.
    pub folder_mode: u32,
}

/// The file that messages are written to, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// logFile, with the instance's number in it.
    pub file: PathBuf,
    /// logFileMaxSize.
    pub max_bytes: u64,
    /// logFileKeep.
    pub keep: u32,
}

impl Alarms {
    /// Makes it of the same layers as a whole configuration, which tells what is wrong.
    pub fn load(layers: &Layers<'_>) -> Alarms {
        let mut reader = Reader::new(layers);
        let reader = &mut reader;
        let instance = instance::read(reader).map(|share| share.instance);
        let id = instance.map(|instance| instance.id);
        let current_dir = layers.current_dir.clone();
        let path = |text: &str| value::path(&current_dir, text);
        let target_dir = checked_path(reader, "targetDir", path).flatten();
        let state_dir = checked_path(reader, "stateDir", path).flatten();
        let Own { retention, metrics_file, ping_url, log } = read(reader, id);
        // The file of an instance that does not know which one it is would be another's.
        let is_known =
            |path: &PathBuf| id.is_some() || !path.display().to_string().contains("{id}");
        let mode = |text: &str, owner| value::permissions(text, owner);
        Alarms {
            is_one_shot: period::one_shot(reader).is_some(),
            instance,
            state_dir: state_dir.or_else(|| target_dir.clone()),
            target_dir,
            retention,
            metrics_file: metrics_file.filter(is_known),
            ping_url,
            log: log.filter(|log| is_known(&log.file)),
            is_shared: instance::shared_target(reader) == Some(true),
            gws_proxy: proxy::read(reader).and_then(|proxies| proxies.gws),
            ca_bundle: checked_path(reader, "caBundle", path).flatten(),
            file_mode: reader.required("fileMode", |text| mode(text, 0o600)).unwrap_or(0o640),
            folder_mode: reader.required("folderMode", |text| mode(text, 0o700)).unwrap_or(0o750),
        }
    }
}

/// Notes what is wrong or odd about it.
pub(super) fn check(reader: &mut Reader<'_>) {
    let Own { metrics_file, .. } = read(reader, None);
    if metrics_file.is_some_and(|file| file.extension().is_none_or(|end| end != "prom")) {
        let hint = "write such as `/var/lib/prometheus/node-exporter/rcbs.prom`".to_owned();
        let message = "node_exporter reads only files whose names end in `.prom`";
        reader.warn("metricsFile", message, hint);
    }
}

/// The properties that are about nothing else.
struct Own {
    retention: Option<TimeDelta>,
    metrics_file: Option<PathBuf>,
    ping_url: Option<Secret>,
    log: Option<LogSettings>,
}

fn read(reader: &mut Reader<'_>, id: Option<u32>) -> Own {
    let current_dir = reader.layers.current_dir.clone();
    let path = |text: &str| -> Result<PathBuf, Bad> {
        let id = id.map(|id| id.to_string());
        value::path(&current_dir, &text.replace("{id}", id.as_deref().unwrap_or("{id}")))
    };
    // A century is a slip of the finger.
    let retention =
        reader.optional("retentionDays", |text| value::number(text, 1..=36_500, 30)).flatten();
    let metrics_file = checked_path(reader, "metricsFile", path).flatten();
    let log_file = checked_path(reader, "logFile", path).flatten();
    let max_bytes = reader.required("logFileMaxSize", |text| value::bytes(text, LEAST_LOG_BYTES));
    let keep = reader.required("logFileKeep", |text| value::number(text, 1..=1_000, 5));
    let ping_url = match reader.is_set("pingUrl") {
        true => reader.optional("pingUrl", value::secret_address).flatten(),
        false => credentials::variable(reader, "RCBS_PING_URL").flatten(),
    };
    let ping_url = ping_url.filter(|url| match value::secret_address(url.expose()) {
        Ok(_) => true,
        Err(Bad { what, hint }) => {
            let place = "RCBS_PING_URL".to_owned();
            reader.problems.push(Problem { place, message: what, hint });
            false
        }
    });
    Own {
        retention: retention.map(TimeDelta::days),
        metrics_file,
        ping_url,
        log: log_file.zip(max_bytes.zip(keep)).map(|(file, (max_bytes, keep))| LogSettings {
            file,
            max_bytes,
            keep,
        }),
    }
}
