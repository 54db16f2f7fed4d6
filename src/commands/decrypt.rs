//! `rcbs decrypt`: opens what is held into another folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::document::{self, Open};
use super::{CommonArgs, World, keyfiles};
use crate::config::Local;
use crate::decrypt::{self, Filter, Job, Source};
use crate::error::{Error, Exit};
use crate::keyring::Keyring;
use crate::monitor::Event;
use crate::pipeline::{STOPPING, Signal};
use crate::tree::{Holder, Modes, Share, Tree, TreeOptions};

/// What opening is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DecryptArgs {
    /// Private keys in PEM, best with their certificates; a file or a folder of them; may be repeated
    #[arg(long, value_name = "FILE_OR_FOLDER", required = true)]
    pub keys: Vec<PathBuf>,
    /// Writes there, in the same layout; not within what is opened, nor around it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Opens recordings that started at this time or later
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Opens recordings that started before this time; 2018-01-04, epoch milliseconds or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Opens the recording of this id; may be repeated
    #[arg(long, value_name = "ID")]
    pub recording: Vec<String>,
    /// Leaves the metadata files behind
    #[arg(long)]
    pub media_only: bool,
    /// Writes plaintext of another size than the metadata says as well
    #[arg(long)]
    pub any_size: bool,
    /// Prints one JSON document, besides the messages
    #[arg(long)]
    pub json: bool,
    /// Trees, folders of them, or single files; without any, targetDir of the configuration
    #[arg(value_name = "FILE_OR_FOLDER")]
    pub paths: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
A passphrase of the keys comes from RCBS_KEY_PASSPHRASE, or from the file that
RCBS_KEY_PASSPHRASE_FILE names.

Examples:
  rcbs decrypt --keys keys --out opened                      open all that targetDir holds
  rcbs decrypt --keys keys --out opened --recording ID       open one recording
  rcbs decrypt --keys tenant.key --out opened call.mp3.bin   open one file, needs no configuration

What is there already is skipped, so the same line again goes on where the last one ended.";

/// Opens what was asked for, until `shutdown` is done.
pub async fn run(
    args: &DecryptArgs,
    common: &CommonArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    let local = super::local(world, common, args.from.as_deref(), args.to.as_deref())?;
    let keyring = keyfiles::private_keys(&args.keys, local.key_passphrase.as_ref(), world)?;
    let job = job(args, &local, world)?;
    let out = out(args, &job, &local, world)?;
    let stop = Arc::new(AtomicBool::new(false));
    let work = Work { job, keyring, out, stop: Arc::clone(&stop) };
    let monitor = Arc::clone(&world.monitor);
    let mut work = tokio::task::spawn_blocking(move || {
        let Work { job, keyring, out, stop } = &work;
        decrypt::decrypt(job, keyring, out, &*monitor, stop)
    });
    let (opened, signal) = tokio::select! {
        opened = &mut work => (opened, None),
        signal = shutdown => {
            world.monitor.on(&Event::Note { text: STOPPING.to_owned() });
            stop.store(true, Ordering::Relaxed);
            (work.await, Some(signal))
        }
    };
    let opened = match opened {
        Ok(opened) => opened?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let exit = match signal {
        Some(signal) => signal.into(),
        None if opened.is_complete() => Exit::Complete,
        None => Exit::Incomplete,
    };
    match args.json {
        true => document::tell(world, "decrypt", &Open::of(opened, exit))?,
        false => super::print(&opened.closing_line())?,
    }
    Ok(exit)
}

struct Work {
    job: Job,
    keyring: Keyring,
    out: Tree,
    stop: Arc<AtomicBool>,
}

fn job(args: &DecryptArgs, local: &Local, world: &World<'_>) -> Result<Job, Error> {
    let target = local.target_dir.as_deref();
    let named = args.paths.iter().map(|path| world.current_dir.join(path));
    let mut named: Vec<_> = named.collect();
    if named.is_empty() {
        named.push(target.ok_or(Error::NothingNamed)?.to_owned());
    }
    let sources = named.iter().map(|path| Source::find(path, target));
    Ok(Job {
        sources: sources.collect::<Result<_, _>>().map_err(decrypt::DecryptError::from)?,
        filter: Filter { from: local.from, to: local.to, ids: args.recording.clone() },
        media_only: args.media_only,
        any_size: args.any_size,
    })
}

fn out(args: &DecryptArgs, job: &Job, local: &Local, world: &World<'_>) -> Result<Tree, Error> {
    let out = world.current_dir.join(&args.out);
    let root = decrypt::output(&out, &job.sources, local.target_dir.as_deref())
        .map_err(decrypt::DecryptError::from)?;
    let options = TreeOptions {
        root,
        modes: Modes { file: local.file_mode, folder: local.folder_mode },
        holder: Holder { host: world.host.clone(), since: world.now },
        share: Share::Alone,
    };
    // Only backups give their trees a name.
    if Tree::peek(options.clone()).id()?.is_some() {
        let backup = decrypt::SourceError::Backup(options.root);
        return Err(decrypt::DecryptError::from(backup).into());
    }
    let tree = Tree::open(options)?;
    if tree.leftovers() > 0 {
        let text = format!("removed unfinished files of an earlier run: {}", tree.leftovers());
        world.monitor.on(&Event::Note { text });
    }
    Ok(tree)
}
