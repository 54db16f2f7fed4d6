//! `rcbs rebuild`: makes the ledger know what the target holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::document::{self, JsonArgs, Read};
use super::{CommonArgs, World, fleet};
use crate::error::{Error, Exit};
use crate::instance::Instance;
use crate::ledger::{Ledger, LedgerError};
use crate::monitor::{Checked, Event, Monitor};
use crate::pipeline::{STOPPING, Signal};
use crate::rebuild::{Job, Sums, rebuild};
use crate::tree::{Fleet, Tree};

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
        let mut all = Vec::new();
        for share in shares(&tree)? {
            let part = share.map(|instance| tree.part(instance)).transpose()?;
            let tree = part.as_ref().unwrap_or(&tree);
            let ledger = sound(tree, &*monitor)?;
            if let Some(instance) = share {
                fleet::inherit(tree, &ledger, instance, now, &*monitor)?;
            }
            let job = Job { sums: Sums::Read, threads, now, share };
            let checked = rebuild(tree, &ledger, &job, &*monitor, &is_stopped)?;
            all.push((share, checked));
        }
        Ok::<_, Error>(all)
    });
    let (done, signal) = tokio::select! {
        done = &mut work => (done, None),
        signal = shutdown => {
            world.monitor.on(&Event::Note { text: STOPPING.to_owned() });
            stop.store(true, Ordering::Relaxed);
            (work.await, Some(signal))
        }
    };
    let all = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let exit = match signal {
        Some(signal) => signal.into(),
        None if all.iter().all(|(_, checked)| checked.is_sound()) => Exit::Complete,
        None => Exit::Incomplete,
    };
    if args.json {
        let sum = all.into_iter().map(|(_, checked)| checked).reduce(Checked::with);
        document::tell(world, "rebuild", &Read::of(sum.unwrap_or_default(), None, exit))?;
        return Ok(exit);
    }
    for (share, checked) in &all {
        let line = checked.rebuilt_line();
        super::print(&match share {
            Some(Instance { id, total }) => format!("instance {id} of {total}: {line}"),
            None => line,
        })?;
    }
    Ok(exit)
}

/// The instances that have a ledger each; none stands for the only run there is.
fn shares(tree: &Tree) -> Result<Vec<Option<Instance>>, Error> {
    let Some(Fleet { instances: total, .. }) = tree.fleet()? else { return Ok(vec![None]) };
    Ok((0..total).map(|id| Some(Instance { id, total })).collect())
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
