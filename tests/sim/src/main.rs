//! `rcbs-sim`: the recording cloud in a box, for people to run.
//!
//! `serve` runs it until it is interrupted; `export` writes its objects as files, for another S3 server to serve.
//! **Invariant**: the same options give the same world, so an export belongs to a later `serve`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{NaiveDate, TimeDelta, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rcbs_sim::envelope::{self, Cipher};
use rcbs_sim::gws::{Links, Order};
use rcbs_sim::log::Log;
use rcbs_sim::s3::{Algorithm, ETagKind};
use rcbs_sim::world::Keys;
use rcbs_sim::{
    FaultPlan, Form, GwsBehaviour, Media, Recording, S3Behaviour, Sim, SimOptions, TlsOptions,
    World, WorldSpec,
};

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(
    about = "The recording cloud in a box: a metadata API and an S3 for rcbs to back up from"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a world until SIGINT or SIGTERM.
    Serve(Box<Serve>),
    /// Writes every object of a world to DIR/bucket/key, and their lengths and MD5s to DIR/expected.jsonl.
    Export {
        /// The folder to write to.
        dir: PathBuf,
        #[command(flatten)]
        world: WorldArgs,
    },
}

#[derive(Args)]
struct WorldArgs {
    /// Decides the world.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first day (UTC) [default: three days ago].
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// The day after the last (UTC) [default: today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<NaiveDate>,
    /// How many recordings there are.
    #[arg(long, default_value_t = 2_000)]
    recordings: usize,
    /// The size of the metadata of one recording.
    #[arg(long, default_value_t = 30_000)]
    metadata_bytes: usize,
    /// Voice bytes per second of call; 4000 is 32 kbit/s.
    #[arg(long, default_value_t = 4_000)]
    voice_bytes_per_second: u64,
    /// Screen bytes per second of call; 32000 is 256 kbit/s.
    #[arg(long, default_value_t = 32_000)]
    screen_bytes_per_second: u64,
    /// The share of recordings with a screen recording, 0 to 1.
    #[arg(long, default_value_t = 0.2)]
    screen_share: f64,
    /// The size of every voice file, whatever the call lasts.
    #[arg(long, value_name = "BYTES")]
    voice_bytes: Option<u64>,
    /// The size of every screen recording, whatever the call lasts.
    #[arg(long, value_name = "BYTES")]
    screen_bytes: Option<u64>,
    /// The share of recordings with a second voice file, 0 to 1.
    #[arg(long, default_value_t = 0.1)]
    transfer_share: f64,
    /// Gives objects the keys yyyy/MM/dd/HH/ID/NAME, as a tree by hours has them.
    #[arg(long)]
    tree_keys: bool,
    /// The metadata of each recording is an object too, yyyy/MM/dd/HH/ID/ID_metadata.json.
    #[arg(long)]
    metadata_objects: bool,
    /// What the objects look like; each takes one of several, by the seed.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "attached")]
    form: Vec<FormArg>,
    /// What encrypts the media.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "aes-128")]
    cipher: Vec<CipherArg>,
    /// How many certificates the tenant has had, 1 to 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    recipients: u8,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    world: WorldArgs,
    /// The port of the metadata API; 0: a free one.
    #[arg(long, default_value_t = 0)]
    port_gws: u16,
    /// The port of the object store; 0: a free one.
    #[arg(long, default_value_t = 0)]
    port_s3: u16,
    /// The order of a page.
    #[arg(long, value_enum, default_value_t = OrderArg::NewestFirst)]
    order: OrderArg,
    /// The most records of a page.
    #[arg(long, default_value_t = 10_000)]
    cap: usize,
    /// The property that pages carry a link in: nextUri, next or paging.next.
    #[arg(long)]
    links: Option<String>,
    /// Answers with ETags that are no MD5, which is cheaper to serve.
    #[arg(long)]
    kms: bool,
    /// Sends this checksum of an object to those who ask for one.
    #[arg(long, value_enum)]
    checksum: Option<ChecksumArg>,
    /// Adds a recording with this id, whose voice file has the same one, at the beginning of the first day; may
    /// be given several times.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Renders all records and computes all sums before the first request, so that serving costs little.
    #[arg(long)]
    prerender: bool,
    /// HTTPS, with an authority made on the spot; needs --write-config, for the certificate.
    #[arg(long, requires = "write_config")]
    tls: bool,
    /// What shall go wrong, such as "s3 every=7 corrupt=10; listing nth=2 status=503"; may be given several times.
    #[arg(long, value_name = "TEXT")]
    fault: Vec<FaultPlan>,
    /// Logs every request to this file, as lines of JSON.
    #[arg(long, value_name = "FILE")]
    request_log: Option<PathBuf>,
    /// Writes config.properties, environment (exports for a shell), keys/ (private keys and certificates) and with --tls
    /// ca.pem to this folder, instead of printing.
    #[arg(long, value_name = "DIR")]
    write_config: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OrderArg {
    NewestFirst,
    OldestFirst,
    Unsorted,
}

#[derive(Clone, Copy, ValueEnum)]
enum ChecksumArg {
    Crc32,
    Crc32c,
    Crc64nvme,
    Sha256,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormArg {
    Attached,
    AttachedBer,
    Detached,
    Plain,
}

#[derive(Clone, Copy, ValueEnum)]
enum CipherArg {
    #[value(name = "aes-128")]
    Aes128,
    #[value(name = "aes-256")]
    Aes256,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(options) => serve(&options),
        Command::Export { dir, world } => export(&dir, World::new(spec(&world))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell if even this fails.
            let _ = writeln!(std::io::stderr(), "rcbs-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Serve) -> Result<(), Failure> {
    let log = match &options.request_log {
        Some(path) => Log::to_file(File::create(path)?, 10_000),
        None => Log::limited(10_000),
    };
    let order = match options.order {
        OrderArg::NewestFirst => Order::NewestFirst,
        OrderArg::OldestFirst => Order::OldestFirst,
        OrderArg::Unsorted => Order::Unsorted,
    };
    let links = options.links.as_deref().map(Links::new);
    let etag = if options.kms { ETagKind::Kms } else { S3Behaviour::default().etag };
    let checksum = options.checksum.map(|checksum| match checksum {
        ChecksumArg::Crc32 => Algorithm::Crc32,
        ChecksumArg::Crc32c => Algorithm::Crc32c,
        ChecksumArg::Crc64nvme => Algorithm::Crc64Nvme,
        ChecksumArg::Sha256 => Algorithm::Sha256,
    });
    let sim = Sim::start(SimOptions {
        world: spec(&options.world),
        gws: GwsBehaviour { order, cap: options.cap, links, ..GwsBehaviour::default() },
        s3: S3Behaviour { etag, checksum, ..S3Behaviour::default() },
        tls: options.tls.then(TlsOptions::default),
        gws_port: options.port_gws,
        s3_port: options.port_s3,
        log,
    });
    for fault in options.fault.iter().flat_map(|plan| &plan.faults) {
        // Nobody promises that it will strike while people try things out.
        sim.add_fault(fault.clone().optional());
    }
    sim.edit(|world| {
        let (from_ms, bucket) = (world.spec().from_ms, world.spec().buckets[0].name.clone());
        for (start_ms, id) in (from_ms..).zip(&options.id) {
            world.add(Recording::new(id, start_ms).with(Media::voice(id, &bucket, 4_000)));
        }
    });
    if options.prerender {
        sim.prepare();
    }
    let ca = options.write_config.as_ref().filter(|_| options.tls).map(|dir| dir.join("ca.pem"));
    let (properties, environment) = configuration(&sim, ca.as_deref())?;
    let mut stdout = std::io::stdout();
    match &options.write_config {
        None => write!(stdout, "{properties}\n{environment}")?,
        Some(dir) => {
            fs::create_dir_all(dir)?;
            fs::write(dir.join("config.properties"), properties)?;
            fs::write(dir.join("environment"), environment)?;
            envelope::write_keys(&dir.join("keys"))?;
            if let (Some(ca), Some(pem)) = (ca, sim.ca_pem()) {
                fs::write(ca, pem)?;
            }
        }
    }
    writeln!(stdout, "# {} recordings are served; stop with Ctrl-C", sim.world().len())?;
    stdout.flush()?;
    wait_for_signal()?;
    Ok(())
}

/// Gives the lines of config.properties, and the exports of the environment.
fn configuration(sim: &Sim, ca: Option<&Path>) -> Result<(String, String), Failure> {
    let spec = sim.world().spec().clone();
    let date = |ms: i64| {
        chrono::DateTime::from_timestamp_millis(ms)
            .unwrap_or_default()
            .format("%Y-%m-%d")
            .to_string()
    };
    let bucket = &spec.buckets[0];
    let mut properties = format!(
        "gwsUriPrefix={}\nawsEndpointUrl={}\nawsRegion={}\nawsForcePathStyle=true\nbucketVerify={}/{}\nmaxDate={}\nminDate={}\n",
        sim.gws_uri_prefix(),
        sim.s3_endpoint(),
        bucket.region,
        bucket.name,
        spec.key_prefix,
        date(spec.from_ms),
        date(spec.to_ms),
    );
    if let Some(ca) = ca {
        let path = std::path::absolute(ca)?;
        properties
            .push_str(&format!("caBundle={}\n", path.display().to_string().replace('\\', "/")));
    }
    let environment =
        sim.environment().map(|(name, value)| format!("export {name}='{value}'\n")).concat();
    Ok((properties, environment))
}

fn export(dir: &Path, world: World) -> Result<(), Failure> {
    let mut expected = {
        fs::create_dir_all(dir)?;
        std::io::BufWriter::new(File::create(dir.join("expected.jsonl"))?)
    };
    for recording in world.recordings() {
        for media in &recording.media {
            let Some(object) = media.object() else { continue };
            let path = dir.join(&media.bucket).join(&media.key);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = File::create(path)?;
            let mut result = Ok(());
            object.for_each(|part| {
                if result.is_ok() {
                    result = file.write_all(part);
                }
            });
            result?;
            let line = serde_json::json!({
                "recording": recording.id,
                "start_ms": recording.start_ms,
                "media_id": media.media_id,
                "bucket": media.bucket,
                "key": media.key,
                "bytes": object.len(),
                "md5": rcbs_sim::s3::md5_hex(&object),
            });
            writeln!(expected, "{line}")?;
        }
    }
    expected.flush()?;
    Ok(())
}

fn spec(args: &WorldArgs) -> WorldSpec {
    let midnight =
        |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    let today = Utc::now().date_naive();
    let to = args.to.unwrap_or(today);
    let from = args.from.unwrap_or(to - TimeDelta::days(3));
    WorldSpec {
        metadata_bytes: args.metadata_bytes,
        voice_bytes_per_second: args.voice_bytes_per_second,
        screen_bytes_per_second: args.screen_bytes_per_second,
        screen_share: args.screen_share,
        transfer_share: args.transfer_share,
        voice_bytes: args.voice_bytes,
        screen_bytes: args.screen_bytes,
        keys: if args.tree_keys { Keys::Tree } else { Keys::Tenant },
        metadata_objects: args.metadata_objects,
        forms: args.form.iter().map(|&form| form_of(form)).collect(),
        ciphers: args.cipher.iter().map(|&cipher| cipher_of(cipher)).collect(),
        recipients: usize::from(args.recipients),
        ..WorldSpec::realistic(args.seed, midnight(from), midnight(to), args.recordings)
    }
}

fn form_of(form: FormArg) -> Form {
    match form {
        FormArg::Attached => Form::Attached,
        FormArg::AttachedBer => Form::AttachedBer,
        FormArg::Detached => Form::Detached,
        FormArg::Plain => Form::Plain,
    }
}

fn cipher_of(cipher: CipherArg) -> Cipher {
    match cipher {
        CipherArg::Aes128 => Cipher::Aes128,
        CipherArg::Aes256 => Cipher::Aes256,
    }
}

fn wait_for_signal() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};

            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                result = tokio::signal::ctrl_c() => result?,
                _ = terminate.recv() => {}
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await?;
        Ok(())
    })
}
