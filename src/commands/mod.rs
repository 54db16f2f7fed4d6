//! What the operator can ask for: one module a command, and what they have in common.
//!
//! **Invariant:** commands do not call each other; results go to standard output, all else to
//! standard error.

pub mod accept;
mod alarms;
pub mod audit;
pub mod backup;
pub mod check;
pub mod completions;
pub mod config;
pub mod decrypt;
pub mod document;
pub mod estimate;
mod fleet;
pub mod help;
mod keyfiles;
pub mod keys;
pub mod man;
pub mod rebuild;
mod repair;
mod saving;
pub mod schedule;
pub mod verify;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::{Config, DownloadMode, Layers, Local, OneShot, Problem};
use crate::error::{Error, Exit};
use crate::gate::Gate;
use crate::gate::control::Bounds;
use crate::http::{self, ClientOptions, Proxy, Purpose, Trust};
use crate::ledger::Ledgers;
use crate::monitor::{Event, Monitor};
use crate::progress::Format;
use crate::source::gws::Gws;
use crate::source::s3::{S3, S3Options};
use crate::source::web::Web;
use crate::tree::{Holder, Modes, Share, Tree, TreeError, TreeOptions};
use crate::watermark::{self, Mode, Older, Period, Plan, PlanError, Scope, Stored};

/// How far the clocks of GWS and of this machine may differ without a word.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);

/// How many pages GWS is asked for at the same time.
const PAGES: Bounds = Bounds { least: 1, first: 1, most: 8 };

/// The configuration that is read where none is named.
const CONFIG: &str = "config.properties";

/// What `--help` says of `--bandwidth`.
const BANDWIDTH_HELP: &str = "\
Fetches no more bytes of media a second than this, over all connections together: 500K, 20M, 1.5G, \
or off. K, M and G are 1024, 1024² and 1024³ bytes. It is bytes that are counted, not bits: of a \
line of 100 Mbit/s, 6M is half. Metadata pages do not count.

Or times of the day by this machine's clock, each with what counts from then on, such as
\"08:00,5M 19:00,off\" or \"Mon-Fri-08:00,5M 19:00,off\"; an entry that names its days comes before \
one of the same time that does not.

It replaces the property of the same name.";

/// What every command is told on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct CommonArgs {
    /// The configuration, a Java .properties file
    #[arg(long, value_name = "FILE", global = true, default_value = CONFIG)]
    pub config: PathBuf,
    /// Sets a property for this run, whatever the file says; may be repeated
    #[arg(long, value_name = "NAME=VALUE", global = true, value_parser = name_and_value)]
    pub set: Vec<(String, String)>,
}

/// What every command is told of its surroundings.
pub struct World<'w> {
    /// The time that counts as now.
    pub now: DateTime<Utc>,
    /// Tells the time, where it must be later than that.
    pub clock: fn() -> DateTime<Utc>,
    /// Looks up a variable of the environment.
    pub env: &'w dyn Fn(&str) -> Option<OsString>,
    /// What relative paths are relative to.
    pub current_dir: PathBuf,
    /// The name of this machine, for the lock.
    pub host: String,
    /// Who is told what happens.
    pub monitor: Arc<dyn Monitor>,
    /// How messages are written.
    pub log_format: Format,
    /// Whose certificates are trusted, once that was read.
    pub trust: OnceLock<Trust>,
    /// Whether a JSON document was begun.
    pub document: OnceLock<()>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as `maxAge=P7D`".to_owned()),
    }
}

/// The configuration as it is being put together.
struct Loader<'w> {
    world: &'w World<'w>,
    args: &'w CommonArgs,
    from: Option<&'w str>,
    to: Option<&'w str>,
    bandwidth: Option<&'w str>,
    file: Vec<u8>,
    warned: Vec<String>,
    /// What GWS's clock has said, once it was asked.
    gws_now: Option<DateTime<Utc>>,
}

impl<'w> Loader<'w> {
    fn new(
        world: &'w World<'w>,
        args: &'w CommonArgs,
        from: Option<&'w str>,
        to: Option<&'w str>,
    ) -> Result<Self, Error> {
        let file = read("the configuration", &args.config)?;
        Ok(Loader {
            world,
            args,
            from,
            to,
            bandwidth: None,
            file,
            warned: Vec::new(),
            gws_now: None,
        })
    }

    /// Takes the text of `--bandwidth`, where it was typed.
    fn with_bandwidth(self, bandwidth: Option<&'w str>) -> Self {
        Loader { bandwidth, ..self }
    }

    /// Makes one configuration of all layers; what is odd is said once.
    fn load(&mut self, settings: &[(String, String)], now: DateTime<Utc>) -> Result<Config, Error> {
        let layers = Layers {
            bandwidth: self.bandwidth.map(str::to_owned),
            settings: settings.to_vec(),
            now,
            ..layers(self.world, self.args, Some(self.file.clone()), [self.from, self.to])
        };
        let loaded = Config::load(&layers);
        let warnings = match &loaded {
            Ok((_, warnings)) => warnings,
            Err(errors) => &errors.warnings,
        };
        for text in warnings.iter().map(warning) {
            if !self.warned.contains(&text) {
                self.world.monitor.on(&Event::Warning { text: text.clone() });
                self.warned.push(text);
            }
        }
        Ok(loaded?.0)
    }

    /// Asks GWS for its settings and its time, and puts both in their places.
    async fn ask_gws(&mut self, gws: &Gws) -> Result<(Config, DateTime<Utc>), Error> {
        let settings = gws.settings().await?;
        self.gws_now = settings.answered_at;
        let here = self.world.now;
        // A clock that runs ahead would put the watermark where nothing was recorded yet.
        let now = settings.answered_at.map_or(here, |there| here.min(there));
        if let Some(there) =
            settings.answered_at.filter(|there| (here - there).abs() > CLOCKS_DIFFER)
        {
            let text = format!(
                "this machine's clock says {here:.0?}, GWS's {there:?}; the earlier one counts"
            );
            self.world.monitor.on(&Event::Warning { text });
        }
        let config = self.load(&settings.entries, now)?;
        Ok((config, now))
    }
}

/// Gives what a configuration is made of, as far as this machine has it: what was typed, from where
/// on and up to when, the text of the file, and the variables.
fn layers<'w>(
    world: &World<'w>,
    args: &CommonArgs,
    file: Option<Vec<u8>>,
    [from, to]: [Option<&str>; 2],
) -> Layers<'w> {
    Layers {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        bandwidth: None,
        set: args.set.clone(),
        file: file.map(|file| (args.config.clone(), file)),
        settings: Vec::new(),
        env: world.env,
        current_dir: world.current_dir.clone(),
        now: world.now,
    }
}

/// Loads the part of the configuration that is about this machine; the file need not be there
/// where none is named.
fn local(
    world: &World<'_>,
    args: &CommonArgs,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Local, Error> {
    let file = match read("the configuration", &args.config) {
        Err(Error::File { source, .. })
            if source.kind() == io::ErrorKind::NotFound && args.config == Path::new(CONFIG) =>
        {
            None
        }
        file => Some(file?),
    };
    let (local, warnings) = Local::load(&layers(world, args, file, [from, to]))?;
    for text in warnings.iter().map(warning) {
        world.monitor.on(&Event::Warning { text });
    }
    Ok(local)
}

fn warning(problem: &Problem) -> String {
    let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}: {}{hint}", problem.place, problem.message)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { what, path: path.to_owned(), source })
}

/// Writes a line of results to standard output.
fn print(line: &str) -> Result<(), Error> {
    match writeln!(io::stdout(), "{line}") {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::Output),
    }
}

/// Finds the period that is asked for, whatever the watermark says, or why it is empty.
async fn asked_period(
    config: &Config,
    gws: &Gws,
    now: DateTime<Utc>,
) -> Result<Result<Plan, PlanError>, Error> {
    let newer = config.period.newer.at(now);
    let oldest = match config.period.older {
        crate::config::Older::AnyAge => gws.oldest_before(newer).await?,
        crate::config::Older::Age(_) | crate::config::Older::At(_) => None,
    };
    let period = Period { mode: Mode::OneShot, ..period(config, now, oldest) };
    Ok(watermark::plan(&period, &Stored::default(), &scope(config), now))
}

/// Tells that there is nothing to ask for, which is no failure.
fn nothing_asked(
    nothing: PlanError,
    is_json: bool,
    name: &str,
    world: &World<'_>,
) -> Result<Exit, Error> {
    let nothing = nothing.to_string();
    match is_json {
        true => document::tell(
            world,
            name,
            &serde_json::json!({ "nothingAsked": nothing, "isComplete": true }),
        )?,
        false => print(&nothing)?,
    }
    Ok(Exit::Complete)
}

/// Whose certificates are trusted, as it was read first.
fn trust(ca_bundle: Option<&Path>, world: &World<'_>) -> Result<Trust, Error> {
    if let Some(trust) = world.trust.get() {
        return Ok(trust.clone());
    }
    let bundle = ca_bundle.map(|path| read("caBundle", path)).transpose()?;
    let trust = Trust::roots(bundle.as_deref())?;
    Ok(world.trust.get_or_init(|| trust).clone())
}

fn client(
    config: &Config,
    world: &World<'_>,
    proxy: Option<&Proxy>,
    purpose: Purpose,
) -> Result<http::Client, Error> {
    Ok(http::client(&ClientOptions {
        proxy: proxy.cloned(),
        trust: trust(config.ca_bundle.as_deref(), world)?,
        connect_timeout: config.s3_connection_timeout,
        read_timeout: config.s3_socket_timeout,
        purpose,
    })?)
}

fn gws(config: &Config, world: &World<'_>) -> Result<Gws, Error> {
    Ok(Gws {
        http: client(config, world, config.gws_proxy.as_ref(), Purpose::Api)?,
        prefix: config.gws_uri_prefix.clone(),
        recordings_uri: config.gws_recordings_uri.clone(),
        settings_uri: config.gws_settings_uri.clone(),
        login: config.credentials.gws.clone(),
        retries: config.s3_max_error_retry,
        gate: match config.download_mode {
            DownloadMode::Single => Gate::fixed("GWS", 1),
            DownloadMode::Multithread => Gate::adaptive("GWS", PAGES),
        },
    })
}

/// The reader of media over plain HTTP(S).
fn web(config: &Config, world: &World<'_>) -> Result<Web, Error> {
    Ok(Web {
        // No API: what is unpacked would not be kept as it came, and a cookie knows no port.
        http: client(config, world, config.gws_proxy.as_ref(), Purpose::Objects)?,
        gws: config.gws_uri_prefix.clone(),
        login: config.credentials.gws.clone(),
        origins: config.media_origins.clone(),
        silence: config.s3_socket_timeout,
    })
}

/// The reader of S3; none where the configuration has no keys because it needs none.
fn s3(config: &Config, world: &World<'_>) -> Result<Option<S3>, Error> {
    let Some(keys) = config.credentials.aws.clone() else { return Ok(None) };
    let http = client(config, world, config.aws_proxy.as_ref(), Purpose::Objects)?;
    let options = S3Options {
        keys,
        region: config.aws_region.clone(),
        endpoint: config.aws_endpoint_url.as_ref().map(|url| url.as_str().to_owned()),
        force_path_style: config.aws_force_path_style,
        sign_payload: config.use_payload_signing,
        silence: config.s3_socket_timeout,
    };
    Ok(Some(S3::new(options, http)))
}

fn tree_options(config: &Config, world: &World<'_>) -> TreeOptions {
    TreeOptions {
        root: config.target_dir.clone(),
        modes: Modes { file: config.file_mode, folder: config.folder_mode },
        holder: Holder { host: world.host.clone(), since: world.now },
        share: match config.shared_target {
            true => Share::One(config.instance),
            false => Share::Alone,
        },
    }
}

/// Opens the ledgers of a target for reading only.
fn ledgers_of(tree: &Tree) -> Result<Ledgers, Error> {
    let root = &tree.options().root;
    if fs::metadata(root).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(Error::NoTarget(root.clone()));
    }
    Ledgers::open_to_read(tree)?.ok_or_else(|| Error::NoLedger(root.clone()))
}

/// The target, which must be there, of a command that needs nothing but this machine.
fn local_tree(local: &Local, world: &World<'_>) -> Result<TreeOptions, Error> {
    let root = local.target_dir.clone().ok_or(Error::NothingNamed)?;
    if let Err(source) = fs::metadata(&root) {
        return Err(TreeError::Io { doing: "look at the target", path: root, source }.into());
    }
    Ok(TreeOptions {
        root,
        modes: Modes { file: local.file_mode, folder: local.folder_mode },
        holder: Holder { host: world.host.clone(), since: world.now },
        share: Share::Whole,
    })
}

fn scope(config: &Config) -> Scope {
    Scope {
        metadata_only: config.metadata_only,
        media_type_pattern: config.media_type_pattern_text.clone(),
        gws_uri_prefix: config.gws_uri_prefix.as_str().trim_end_matches('/').to_owned(),
        total: config.instance.total,
        id: config.instance.id,
    }
}

fn mode(config: &Config) -> Mode {
    let period = &config.period;
    match period.one_shot {
        Some(OneShot::File | OneShot::CommandLine) => Mode::OneShot,
        None if matches!(period.older, crate::config::Older::At(_)) => Mode::Override,
        None if period.skip_last_recording_check => Mode::Override,
        None => Mode::Continue,
    }
}

/// The period asked for, in resolved instants; `oldest` is the answer where any age counts.
fn period(config: &Config, now: DateTime<Utc>, oldest: Option<DateTime<Utc>>) -> Period {
    let older = match config.period.older.at(now) {
        Some(at) => Older::At(at),
        None => Older::AnyAge(oldest),
    };
    Period {
        mode: mode(config),
        older,
        newer: config.period.newer.at(now),
        overlap: now - config.overlap.before(now),
        rescan: config.rescan.map_or(TimeDelta::zero(), |age| now - age.before(now)),
        ground: None,
        agreed: None,
    }
}

/// The name of this machine, for the lock.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("COMPUTERNAME").ok());
    name.map_or_else(|| "this machine".to_owned(), |name| name.trim().to_owned())
}

/// Where the original tool's watermark may stand.
fn watermark_folders(args: &CommonArgs, world: &World<'_>) -> Vec<PathBuf> {
    let beside_config = world.current_dir.join(&args.config);
    let beside_config = beside_config.parent().map(Path::to_owned);
    beside_config.into_iter().chain([world.current_dir.clone()]).collect()
}
