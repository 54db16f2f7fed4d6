//! Fetching again what a check has found damaged or missing.
//!
//! **Invariant**: what is damaged is set aside, never removed; the watermark is not moved.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::saving::{self, Saving};
use super::{CommonArgs, Loader, World};
use crate::check::{self, Broken, Job};
use crate::config::Config;
use crate::download::Again;
use crate::envelope::Sealing;
use crate::error::{Error, stopped};
use crate::instance::Instance;
use crate::ledger::Ledger;
use crate::monitor::{Event, Monitor, Teller};
use crate::pipeline::{self, Finished, Keeper, Run, Signal, Stop, errands};
use crate::source::gws::Gws;
use crate::tree::{Share, Tree};
use crate::watermark::{Plan, Stored};
use crate::window::BackupWindow;

/// What is needed to fetch something again.
pub(super) struct Repair<'w> {
    loader: Loader<'w>,
    share: Share,
    gws: Gws,
    sealing: Option<Sealing>,
}

impl<'w> Repair<'w> {
    /// Reads the whole configuration, before hours are spent on reading.
    pub(super) fn prepare(
        common: &'w CommonArgs,
        bandwidth: Option<&'w str>,
        world: &'w World<'w>,
    ) -> Result<Self, Error> {
        let mut loader = Loader::new(world, common, None, None)?.with_bandwidth(bandwidth);
        let config = loader.load(&[], world.now)?;
        let (gws, sealing) = (super::gws(&config, world)?, saving::sealing(&config)?);
        let share = super::tree_options(&config, world).share;
        Ok(Repair { loader, share, gws, sealing })
    }

    /// Gives how the target is used: an instance repairs what is its share.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// Sets aside what is damaged, asks for its recordings again, and tells what is held then;
    /// gives how many files it has left to other instances, and the signal that has ended it.
    pub(super) async fn run(
        mut self,
        tree: &Arc<Tree>,
        job: &Job,
        broken: &[Broken],
        teller: &mut Teller<'_>,
        shutdown: Pin<&mut impl Future<Output = Signal>>,
        world: &World<'_>,
    ) -> Result<(usize, Option<Signal>), Error> {
        let (config, now) = self.loader.ask_gws(&self.gws).await?;
        let ledger = Arc::new(Ledger::open(tree)?.ledger);
        let (broken, others): (Vec<Broken>, Vec<Broken>) =
            broken.iter().cloned().partition(|file| config.instance.owns(&file.id));
        let broken = &broken[..];
        let mut left = BTreeMap::<u32, u64>::new();
        for file in &others {
            *left.entry(Instance::owner(&file.id, config.instance.total)).or_default() += 1;
        }
        for (owner, files) in left {
            let text = format!("left to instance {owner}, whose share it is: {files} files");
            teller.tell(Event::Note { text });
        }
        for file in broken {
            if tree.held(&file.path)?.is_some() {
                let aside = tree.set_aside(&file.path)?;
                let text = format!("`{}` is kept as `{aside}`", file.path);
                teller.tell(Event::Note { text });
            }
        }
        let saving = Saving {
            again: Again::Of(broken.iter().map(|file| file.id.clone()).collect()),
            dry_run: false,
            sealing: self.sealing,
            monitor: Arc::new(Fetching(Arc::clone(&world.monitor))),
            now,
        };
        let known = Some(Arc::clone(&ledger));
        let download = saving.job(&config, Arc::clone(tree), known, world)?;
        let keeper = Keeper { checkpoint: None, stored: Stored::default() };
        let run = run(&config, broken, now, world.clock);
        let Finished { stop, .. } =
            pipeline::backup(&self.gws, Arc::new(download), run, keeper, shutdown).await;
        check::repaired(tree, &Arc::clone(&ledger).into(), job, broken, teller)?;
        let signal = match stop {
            None => None,
            Some(Stop::Signal(signal)) => Some(signal),
            // The cloud has it no more, and may never again: that is the damage that was found.
            Some(Stop::NothingReadable) => None,
            Some(stop) => return stopped(stop).map(|_| (others.len(), None)),
        };
        Ok((others.len(), signal))
    }
}

/// Tells what is fetched, but of no run with a window: there is none.
struct Fetching(Arc<dyn Monitor>);

impl Monitor for Fetching {
    fn on(&self, event: &Event) {
        if !matches!(event, Event::RunStarted { .. } | Event::RunFinished { .. }) {
            self.0.on(event);
        }
    }
}

/// A run over nothing but these recordings.
fn run(
    config: &Config,
    broken: &[Broken],
    now: DateTime<Utc>,
    clock: fn() -> DateTime<Utc>,
) -> Run {
    let keys: HashSet<_> = broken.iter().map(|file| (file.id.clone(), file.started_at)).collect();
    Run {
        plan: Plan {
            window: BackupWindow { from: now, to: now },
            moves_watermark: false,
            first_watermark: None,
            is_rescan: false,
            notes: Vec::new(),
        },
        shard_by: config.shard_by,
        errands: errands(keys.into_iter().collect(), Vec::new(), None),
        failed_before: Vec::new(),
        instance: config.instance,
        scope: super::scope(config),
        now,
        clock,
    }
}
