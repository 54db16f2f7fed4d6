//! What the operator asks for: the layers of settings made one, checked, and typed.
//!
//! Given the command line, the file's bytes, the settings API's answer and the environment, gives a
//! [`Config`] and what was odd, or everything that is wrong with it at once.
//!
//! **Invariant:** nothing here reads a clock, a network or a file, but for the files that hold
//! credentials; and no text it gives away holds a secret.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;
use reqwest::Url;

use self::layers::Reader;
use self::problem::bad;
use self::proxy::Proxies;
use crate::bandwidth::Timetable;
use crate::envelope::SealFormat;
use crate::http::Proxy;
use crate::instance::Instance;
use crate::layout::FolderFormat;
use crate::window::{Age, Unit};

mod alarms;
mod credentials;
mod instance;
mod layers;
mod local;
mod period;
mod problem;
mod property;
mod proxy;
#[cfg(test)]
mod tests;
mod value;

pub use self::alarms::{Alarms, LogSettings};
pub use self::credentials::Credentials;
pub use self::local::Local;
pub use self::period::{Newer, Older, OneShot, Period};
pub use self::problem::{ConfigErrors, Problem};
pub use self::property::{PROPERTIES, Property};

/// Where settings come from, the strongest first.
pub struct Layers<'a> {
    /// `--from`: replaces maxDate.
    pub from: Option<String>,
    /// `--to`: replaces minDate.
    pub to: Option<String>,
    /// `--bandwidth`: replaces the property.
    pub bandwidth: Option<String>,
    /// Names and values of `--set`, in the order typed.
    pub set: Vec<(String, String)>,
    /// The `.properties` file, named as the operator named it, and its bytes.
    pub file: Option<(PathBuf, Vec<u8>)>,
    /// Names and values of the settings API; empty before it was asked.
    pub settings: Vec<(String, String)>,
    /// Looks up a variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// What relative paths are relative to.
    pub current_dir: PathBuf,
    /// The time that counts as now.
    pub now: DateTime<Utc>,
}

/// The effective configuration; the fields have the names of the properties.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the table PROPERTIES says what each property means")]
pub struct Config {
    pub gws_uri_prefix: Url,
    pub gws_recordings_uri: String,
    pub gws_settings_uri: String,
    pub target_dir: PathBuf,
    pub state_dir: PathBuf,
    pub period: Period,
    pub shard_by: TimeDelta,
    pub overlap: Age,
    /// `None`: never.
    pub rescan: Option<Age>,
    /// Matches a whole media type, case ignored.
    pub media_type_pattern: Regex,
    /// The pattern as it was written.
    pub media_type_pattern_text: String,
    pub recording_folder_format: FolderFormat,
    pub encryption_format: SealFormat,
    pub encryption_certificate: Option<PathBuf>,
    pub metadata_only: bool,
    pub use_payload_signing: bool,
    pub download_mode: DownloadMode,
    pub num_threads: usize,
    /// `None`: adaptive.
    pub max_connections: Option<usize>,
    /// `None`: no limit at any time.
    pub bandwidth: Option<Timetable>,
    pub remember_moved: bool,
    pub instance: Instance,
    /// Which variables of an engine the share comes from; none where both numbers were written.
    pub instance_told: Option<String>,
    /// What the engine, or RCBS_RUN_ID, calls the run that all instances are part of.
    pub run_id: Option<String>,
    pub shared_target: bool,
    /// With the hosts of proxyBypass.
    pub aws_proxy: Option<Proxy>,
    /// With the hosts of proxyBypass.
    pub gws_proxy: Option<Proxy>,
    pub s3_connection_timeout: Duration,
    pub s3_socket_timeout: Duration,
    pub s3_max_error_retry: u32,
    pub metadata_include: Vec<String>,
    pub metadata_exclude: Vec<String>,
    /// Buckets and the prefixes in them, without slashes at their ends.
    pub bucket_verify: Vec<(String, String)>,
    pub media_origins: Vec<Url>,
    pub aws_region: Option<String>,
    pub aws_endpoint_url: Option<Url>,
    pub aws_force_path_style: bool,
    pub ca_bundle: Option<PathBuf>,
    pub file_mode: u32,
    pub folder_mode: u32,
    pub credentials: Credentials,
    /// Every property as it counts, in the order of [`PROPERTIES`], fit to be printed.
    pub settings: Vec<Setting>,
}

/// Whether recordings are downloaded one by one or side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they have the names of the property's values")]
pub enum DownloadMode {
    Single,
    Multithread,
}

/// A property as it counts, fit to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The property's name.
    pub name: &'static str,
    /// Its text, without any login in it; empty if there is none.
    pub value: String,
    /// Where the text came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An option of its own, such as `--from`.
    CommandLine(&'static str),
    /// `--set`.
    Set,
    /// The file.
    File {
        /// The line in which the entry starts, from 1.
        line: usize,
    },
    /// The settings API.
    SettingsApi,
    /// A variable of the environment.
    Environment(&'static str),
    /// Nobody set it.
    Default,
}

impl Origin {
    /// Names the place, given how the operator named the file.
    pub fn place(&self, file_name: &str) -> String {
        match self {
            Self::CommandLine(option) => (*option).to_owned(),
            Self::Set => "--set".to_owned(),
            Self::File { line } => format!("{file_name}:{line}"),
            Self::SettingsApi => "settings API".to_owned(),
            Self::Environment(variable) => (*variable).to_owned(),
            Self::Default => file_name.to_owned(),
        }
    }
}

impl Config {
    /// Makes one configuration of all layers, and tells what was odd about it.
    pub fn load(layers: &Layers<'_>) -> Result<(Self, Vec<Problem>), ConfigErrors> {
        let mut reader = Reader::new(layers);
        let config = read(&mut reader);
        let Reader { problems, warnings, .. } = reader;
        match config {
            Some(config) if problems.is_empty() => Ok((config, warnings)),
            _ => Err(ConfigErrors { problems, warnings }),
        }
    }
}

/// Reads everything before it gives up on anything, so that all problems are noted.
fn read(reader: &mut Reader<'_>) -> Option<Config> {
    let current_dir = reader.layers.current_dir.clone();
    let path = |text: &str| value::path(&current_dir, text);
    let texts = |text: &str| Ok(value::list(text));
    let days = |text: &str| value::age(text, Unit::Days);

    let gws_uri_prefix = prefix(reader);
    let gws_recordings_uri = reader.required("gwsRecordingsUri", value::uri_path);
    let gws_settings_uri = reader.required("gwsSettingsUri", value::uri_path);
    let target_dir = checked_path(reader, "targetDir", path);
    let state_dir = checked_path(reader, "stateDir", path);
    let period = period::read(reader);
    let shard_by = reader.required("shardBy", value::shard);
    let overlap = reader.required("overlap", |text| value::age(text, Unit::Hours));
    let rescan = reader.required("rescan", days);
    let media_type_pattern = reader.required("mediaTypePattern", value::media_type_pattern);
    let media_type_pattern_text = reader.value("mediaTypePattern").map(str::to_owned);
    let recording_folder_format = checked_path(reader, "recordingFolderFormat", |text| {
        FolderFormat::parse(text)
            .map_err(|error| bad(error.to_string(), "write such as `yyyy/MM/dd/HH`"))
    });
    let encryption_format = reader.required("encryptionFormat", encryption_format);
    let encryption_certificate = checked_path(reader, "encryptionCertificate", path);
    let metadata_only = reader.required("metadataOnly", value::boolean);
    let use_payload_signing = reader.required("usePayloadSigning", value::boolean);
    let download_mode = reader.required("downloadMode", download_mode);
    let num_threads = reader.required("numThreads", |text| value::number(text, 1..=1_000, 4));
    let max_connections = reader.required("maxConnections", max_connections);
    let bandwidth = reader.required("bandwidth", |text| {
        Timetable::parse(text).map_err(|error| bad(error.to_string(), error.hint))
    });
    let remember_moved = reader.required("rememberMoved", value::boolean);
    let share = instance::read(reader);
    let shared_target = instance::shared_target(reader);
    let proxies = proxy::read(reader);
    let s3_connection_timeout = reader.required("s3ConnectionTimeout", value::milliseconds);
    let s3_socket_timeout = reader.required("s3SocketTimeout", value::milliseconds);
    let s3_max_error_retry =
        reader.required("s3MaxErrorRetry", |text| value::number(text, 0..=100, 3));
    let metadata_include = reader.optional("metadataPropertiesInclude", texts);
    let metadata_exclude = reader.optional("metadataPropertiesExclude", texts);
    let bucket_verify = reader.optional("bucketVerify", value::buckets);
    let media_origins = reader.optional("mediaOrigins", value::origins);
    let aws_region = reader.optional("awsRegion", value::region);
    let aws_endpoint_url = reader.optional("awsEndpointUrl", value::address);
    let aws_force_path_style = reader.required("awsForcePathStyle", value::boolean);
    let ca_bundle = checked_path(reader, "caBundle", path);
    let file_mode = reader.required("fileMode", |text| value::permissions(text, 0o600));
    let folder_mode = reader.required("folderMode", |text| value::permissions(text, 0o700));
    let credentials = credentials::read(reader, metadata_only);
    // Whoever sets off the alarms reads them alone: they must go off where the rest is wrong.
    alarms::check(reader);
    warn_of_kept_metadata(reader);

    let target_dir = target_dir??;
    let instance::Share { instance, told, run } = share?;
    let Proxies { aws: aws_proxy, gws: gws_proxy } = proxies?;
    Some(Config {
        gws_uri_prefix: gws_uri_prefix?,
        gws_recordings_uri: gws_recordings_uri?,
        gws_settings_uri: gws_settings_uri?,
        state_dir: state_dir?.unwrap_or_else(|| target_dir.clone()),
        target_dir,
        period: period?,
        shard_by: shard_by?,
        overlap: overlap?,
        rescan: Some(rescan?).filter(|age| !age.is_zero()),
        media_type_pattern: media_type_pattern?,
        media_type_pattern_text: media_type_pattern_text?,
        recording_folder_format: recording_folder_format??,
        encryption_format: encryption_format?,
        encryption_certificate: encryption_certificate?,
        metadata_only: metadata_only?,
        use_payload_signing: use_payload_signing?,
        download_mode: download_mode?,
        num_threads: num_threads?,
        max_connections: max_connections?,
        bandwidth: bandwidth?,
        remember_moved: remember_moved?,
        instance,
        instance_told: told,
        run_id: run,
        shared_target: shared_target?,
        aws_proxy,
        gws_proxy,
        s3_connection_timeout: s3_connection_timeout?,
        s3_socket_timeout: s3_socket_timeout?,
        s3_max_error_retry: s3_max_error_retry?,
        metadata_include: metadata_include?.unwrap_or_default(),
        metadata_exclude: metadata_exclude?.unwrap_or_default(),
        bucket_verify: bucket_verify?.unwrap_or_default(),
        media_origins: media_origins?.unwrap_or_default(),
        aws_region: aws_region?,
        aws_endpoint_url: aws_endpoint_url?,
        aws_force_path_style: aws_force_path_style?,
        ca_bundle: ca_bundle?,
        file_mode: file_mode?,
        folder_mode: folder_mode?,
        credentials: credentials?,
        settings: reader.settings(),
    })
}

fn prefix(reader: &mut Reader<'_>) -> Option<Url> {
    let url = reader.optional("gwsUriPrefix", value::address)?;
    let Some(url) = url else {
        // A file that could not be read at all has nothing in it, and that has been noted.
        if reader.file_is_sound() {
            let hint = "write such as `gwsUriPrefix=https://example.com/api/v2`".to_owned();
            reader.contradiction("gwsUriPrefix", "not set", hint);
        }
        return None;
    };
    let at_home = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "http" && !at_home {
        let hint = "write `https://` if the service has it".to_owned();
        reader.warn("gwsUriPrefix", "the password travels unencrypted over `http://`", hint);
    }
    Some(url)
}

/// Reads a property that is a path, and whose backslashes Java has eaten.
fn checked_path<T>(
    reader: &mut Reader<'_>,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, problem::Bad>,
) -> Option<Option<T>> {
    let written = reader.written(name).unwrap_or_default();
    reader.optional(name, |text| match value::backslash(text, &written) {
        Some(meant) => {
            let hint = format!("write `{name}={meant}`");
            Err(bad("a backslash is no separator, on no system", hint))
        }
        None => parse(text),
    })
}

fn warn_of_kept_metadata(reader: &mut Reader<'_>) {
    let name = "metadataPropertiesExclude";
    let excluded = value::list(reader.value(name).unwrap_or_default());
    for kept in ["id", "startTime", "mediaFiles"] {
        if excluded.iter().any(|excluded| excluded == kept) {
            let hint = "leave it out of the list".to_owned();
            reader.warn(name, &format!("kept, as it cannot be dropped: `{kept}`"), hint);
        }
    }
}

fn encryption_format(text: &str) -> Result<SealFormat, problem::Bad> {
    match text.to_ascii_uppercase().as_str() {
        "AES-128" => Ok(SealFormat::Aes128),
        "AES-256" => Ok(SealFormat::Aes256),
        _ => Err(bad("not a cipher that is known", "write `AES-128` or `AES-256`")),
    }
}

fn download_mode(text: &str) -> Result<DownloadMode, problem::Bad> {
    match text.to_ascii_lowercase().as_str() {
        "single" => Ok(DownloadMode::Single),
        "multithread" => Ok(DownloadMode::Multithread),
        _ => Err(bad("not a mode that is known", "write `single` or `multithread`")),
    }
}

fn max_connections(text: &str) -> Result<Option<usize>, problem::Bad> {
    match text {
        "adaptive" => Ok(None),
        _ => value::number(text, 1..=10_000, 64)
            .map(Some)
            .map_err(|_| bad("not a number from 1 to 10000", "write such as `64`, or `adaptive`")),
    }
}
