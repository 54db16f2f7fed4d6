//! `rcbs rebuild`: makes the ledger know what the target holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::document::{self, JsonArgs, Read};
use super::{CommonArgs, World};
use crate::error::{Error, Exit};
use crate::ledger::{Ledger, LedgerError};
use crate::monitor::{Event, Monitor};
use crate::pipeline::{STOPPING, Signal};
use crate::rebuild::{Sums, rebuild};
use crate::tree::Tree;

/// Rebuilds until all is known or `shutdown` is done.
pub async fn run(
    args: JsonArgs,
    common: &CommonArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    let local = super::local(world, common, None, None)?;
    let tree = Tree::open(super::local_tree(&local, world)?)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (monitor, now, threads) = (Arc::clone(&world.monitor), world.now, local.num_threads);
    let is_stopped = Arc::clone(&stop);
    let mut work = tokio::task::spawn_blocking(move || {
        let ledger = sound(&tree, &*monitor)?;
        rebuild(&tree, &ledger, Sums::Read, threads, now, &*monitor, &is_stopped)
    });
    let (done, signal) = tokio::select! {
        done = &mut work => (done, None),
        signal = shutdown => {
            world.monitor.on(&Event::Note { text: STOPPING.to_owned() });
            stop.store(true, Ordering::Relaxed);
            (work.await, Some(signal))
        }
    };
    let checked = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let exit = match signal {
        Some(signal) => signal.into(),
        None if checked.is_sound() => Exit::Complete,
        None => Exit::Incomplete,
    };
    match args.json {
        true => document::tell(world, "rebuild", &Read::of(checked, None, exit))?,
        false => super::print(&checked.rebuilt_line())?,
    }
    Ok(exit)
}

/// Opens the ledger; one that is damaged is set aside, and a new one made.
fn sound(tree: &Tree, monitor: &dyn Monitor) -> Result<Ledger, LedgerError> {
    let opened = Ledger::open(tree)?;
    if opened.ledger.is_sound()? {
        if let Some(path) = opened.set_aside {
            warn(&path, monitor);
        }
        return Ok(opened.ledger);
    }
    drop(opened.ledger);
    let opened = Ledger::open_anew(tree)?;
    opened.set_aside.iter().for_each(|path| warn(path, monitor));
    Ok(opened.ledger)
}

fn warn(path: &str, monitor: &dyn Monitor) {
    let text = format!(
        "the ledger was damaged, and is kept as `{path}`; what only it knew, such as what had \
         failed, is not in the new one"
    );
    monitor.on(&Event::Warning { text });
}
