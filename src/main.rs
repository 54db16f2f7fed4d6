//! The door: the process, the clock, the signals; everything else is in the library.

use std::io::IsTerminal;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use chrono::{DateTime, Utc};
use rcbs::cli::{self, Cli, Command};
use rcbs::commands::{self, World};
use rcbs::error::{Error, Exit};
use rcbs::pipeline::Signal;
use rcbs::progress::{self, Format, ProgressOptions};
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Its settings stand in `.cargo/config.toml`.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many threads wait for the disk and for names to be resolved. What they do is short.
const WAITING_THREADS: usize = 32;

/// What to do where the program itself is at fault.
const BROKEN: &str = "report this line; the next run goes on where this one broke off";

/// How long the end waits for threads. None may be ending while OpenSSL tidies up.
const LAST_WAIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    leave_no_image();
    open_as_many_files_as_allowed();
    let cli = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let format = cli.log_format;
    std::panic::set_hook(Box::new(move |panic| {
        progress::report(format, &progress::panicked(panic), Some(BROKEN), now);
    }));
    if cli.verbose {
        log_requests(cli.log_format);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(WAITING_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            progress::report(cli.log_format, &format!("cannot start threads: {error}"), None, now);
            return Exit::Internal.into();
        }
    };
    let run = AssertUnwindSafe(|| runtime.block_on(until_second_signal(&cli)));
    let exit = match std::panic::catch_unwind(run) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            for (text, hint) in error.lines() {
                progress::report(cli.log_format, &text, hint.as_deref(), now);
            }
            error.exit().into()
        }
        Err(_) => Exit::Internal.into(),
    };
    // The threads are at rest, or, after a second signal, wait for a disk that nobody waits for.
    runtime.shutdown_timeout(LAST_WAIT);
    exit
}

/// Keeps the credentials out of core dumps, and other users' programs out of this one's memory.
fn leave_no_image() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Where that is not permitted the backup matters more.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Lets files and connections be as many as the system allows at most: what it allows at first is
/// often 1024, for the sake of programs that cannot count further.
fn open_as_many_files_as_allowed() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where it cannot be had, there are fewer requests in flight.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Runs the command; the first signal asks it to come to an end, the second drops it.
async fn until_second_signal(cli: &Cli) -> Result<Exit, Error> {
    let (tell, told) = watch::channel((0, Signal::Interrupt));
    tokio::spawn(watch_signals(tell));
    let first = signal_after(told.clone(), 1);
    tokio::select! {
        result = run(cli, first) => result,
        signal = signal_after(told, 2) => Ok(signal.into()),
    }
}

async fn run(cli: &Cli, shutdown: impl Future<Output = Signal>) -> Result<Exit, Error> {
    let env = |name: &str| std::env::var_os(name);
    let options = ProgressOptions {
        format: cli.log_format,
        quiet: cli.quiet,
        is_terminal: std::io::stderr().is_terminal() && has_bars(cli),
        // By the same rule as the colours of `--help`: NO_COLOR, CLICOLOR_FORCE, CLICOLOR, terminal.
        color: AutoStream::choice(&std::io::stderr()) != ColorChoice::Never,
        clock: now,
    };
    let world = World {
        now: now(),
        clock: now,
        env: &env,
        current_dir: std::env::current_dir().map_err(|source| Error::File {
            what: "the current folder",
            path: ".".into(),
            source,
        })?,
        host: commands::host_name(),
        monitor: Arc::from(progress::monitor(options)),
        log_format: cli.log_format,
        trust: OnceLock::new(),
        document: OnceLock::new(),
    };
    let ended = command(cli, &world, shutdown).await;
    if let Err(error) = &ended
        && cli.is_json()
    {
        commands::document::fail(&world, error)?;
    }
    ended
}

async fn command(
    cli: &Cli,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    match (&cli.command, cli.verify) {
        (Some(Command::Config(args)), _) => commands::config::run(*args, &cli.common, world),
        (Some(Command::Audit(args)), _) => {
            commands::audit::run(args, &cli.common, world, shutdown).await
        }
        (Some(Command::Estimate(args)), _) => {
            commands::estimate::run(args, &cli.common, world, shutdown).await
        }
        (Some(Command::Accept(args)), _) => commands::accept::run(args, &cli.common, world),
        (Some(Command::Decrypt(args)), _) => {
            commands::decrypt::run(args, &cli.common, world, shutdown).await
        }
        (Some(Command::Check(args)), _) => {
            commands::check::run(args, &cli.common, world, shutdown).await
        }
        (Some(Command::Rebuild(args)), _) => {
            commands::rebuild::run(*args, &cli.common, world, shutdown).await
        }
        (Some(Command::Schedule(command)), _) => {
            commands::schedule::run(command, &cli.common, world)
        }
        (Some(Command::Keys(command)), _) => {
            commands::keys::run(command, &cli.common, world, shutdown).await
        }
        (Some(Command::Help(args)), _) => commands::help::run(args, cli::command()),
        (Some(Command::Completions(args)), _) => commands::completions::run(args, cli::command()),
        (Some(Command::Man), _) => commands::man::run(cli::command()),
        (None, Some(_)) => commands::verify::run(cli.json, &cli.common, world).await,
        (None, None) => commands::backup::run(&cli.common, &cli.backup, world, shutdown).await,
    }
}

/// Tells whether bars have something to show, and nothing writes over them.
fn has_bars(cli: &Cli) -> bool {
    let has_lines_only = matches!(
        cli.command,
        Some(
            Command::Config(_)
                | Command::Keys(_)
                | Command::Schedule(_)
                | Command::Audit(_)
                | Command::Estimate(_)
                | Command::Accept(_)
        )
    );
    !cli.verbose && !has_lines_only
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

async fn signal_after(mut told: watch::Receiver<(u32, Signal)>, count: u32) -> Signal {
    match told.wait_for(|(so_far, _)| *so_far >= count).await {
        Ok(signal) => signal.1,
        Err(_) => std::future::pending().await,
    }
}

/// Listens from the start on, so that no signal is missed between two others.
#[cfg(unix)]
async fn watch_signals(tell: watch::Sender<(u32, Signal)>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let signal = tokio::select! {
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
        };
        tell.send_modify(|(count, last)| (*count, *last) = (*count + 1, signal));
    }
}

/// Whoever closes the window, logs off or shuts down gives a few seconds; then the system ends it.
#[cfg(windows)]
async fn watch_signals(tell: watch::Sender<(u32, Signal)>) -> std::io::Result<()> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
    let (mut interrupt, mut terminate) = (ctrl_c()?, ctrl_break()?);
    let (mut close, mut logoff, mut shutdown) = (ctrl_close()?, ctrl_logoff()?, ctrl_shutdown()?);
    loop {
        let signal = tokio::select! {
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
            _ = close.recv() => Signal::Terminate,
            _ = logoff.recv() => Signal::Terminate,
            _ = shutdown.recv() => Signal::Terminate,
        };
        tell.send_modify(|(count, last)| (*count, *last) = (*count + 1, signal));
    }
}

fn log_requests(format: Format) {
    // Only what this program writes: what libraries write may hold what they send.
    let ours = Targets::new().with_target("rcbs", LevelFilter::DEBUG);
    let lines =
        tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).with_writer(std::io::stderr);
    match format {
        Format::Json => lines.json().finish().with(ours).init(),
        Format::Auto | Format::Plain => lines.finish().with(ours).init(),
    }
}
