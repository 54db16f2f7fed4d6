//! `rcbs config`: shows the effective configuration and the window that a run would cover now.
//!
//! **Invariant:** no service is asked, nothing is written, and no secret is shown.

use std::sync::Arc;

use chrono::Local;

use super::{CommonArgs, Loader, World, fleet};
use crate::checkpoint::Checkpoint;
use crate::config::{Config, Origin};
use crate::error::{Error, Exit};
use crate::instance::Instance;
use crate::tree::Tree;
use crate::watermark::{self, PlanError};
use crate::window::format_rfc3339;

/// Shows what counts, where each value came from, and the window.
pub fn run(common: &CommonArgs, world: &World<'_>) -> Result<Exit, Error> {
    let mut loader = Loader::new(world, common, None, None)?;
    let config = loader.load(&[], world.now)?;
    let file = common.config.display().to_string();
    for setting in &config.settings {
        let origin = match &setting.origin {
            Origin::Default => "default".to_owned(),
            origin => origin.place(&file),
        };
        super::print(&format!("{:<27} = {:<40} # {origin}", setting.name, setting.value))?;
    }
    super::print(&format!("# targetDir is {}", config.target_dir.display()))?;
    if config.shared_target {
        super::print(
            "# the state of this instance is in a folder of its own below .rcbs/instances",
        )?;
    } else {
        super::print(&format!("# stateDir is {}", config.state_dir.display()))?;
    }
    if let Some(timetable) = config.bandwidth.as_ref().filter(|table| table.only_rate().is_none()) {
        let here = world.now.with_timezone(&Local);
        let rate = timetable.at(here.naive_local()).0;
        let rate = rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string());
        let time = here.format("%a %H:%M, UTC%:z");
        super::print(&format!("# bandwidth is {rate} now, by this machine's clock: {time}"))?;
    }
    if let Some(told) = &config.instance_told {
        let Instance { id, total } = config.instance;
        super::print(&format!("# this is instance {id} of {total}, counted from 0, by {told}"))?;
    }
    super::print("# credentials come from the environment and are set")?;
    super::print("# the settings API, which a run asks, may give what the file leaves out")?;
    window(&config, common, world)
}

fn window(config: &Config, common: &CommonArgs, world: &World<'_>) -> Result<Exit, Error> {
    let tree = Arc::new(Tree::peek(super::tree_options(config, world)));
    tree.refuse_if_shared()?;
    let checkpoint = Checkpoint::open(&tree, &config.state_dir)?;
    let mut known = fleet::known(&tree, &checkpoint, &super::watermark_folders(common, world))?;
    if let Some(adopted) = &known.adopted {
        super::print(&format!("# the watermark comes from {}", adopted.display()))?;
    }
    let mut period = super::period(config, world.now, None);
    known.go_back(&mut period, &super::scope(config));
    let stored = known.stored;
    match stored.watermark {
        Some(watermark) => super::print(&format!("watermark   {}", format_rfc3339(watermark)))?,
        None => super::print("watermark   none yet")?,
    }
    match watermark::plan(&period, &stored, &super::scope(config), world.now) {
        Ok(plan) => {
            for note in &plan.notes {
                super::print(&format!("# {note}"))?;
            }
            super::print(&format!("window from {}", format_rfc3339(plan.window.from)))?;
            super::print(&format!("       to   {} (exclusive)", format_rfc3339(plan.window.to)))?;
            super::print(&format!("shards      {}", plan.window.shards(config.shard_by).len()))?;
        }
        Err(error @ PlanError::FutureWatermark { .. }) => {
            return Err(Error::Plan { error, reset: checkpoint.reset_command(world.now) });
        }
        Err(PlanError::NoRecordings) => {
            super::print("window from the oldest recording that GWS has, as maxAge=0")?;
            super::print(&format!("       to   {} (exclusive)", format_rfc3339(period.newer)))?;
        }
        Err(nothing @ PlanError::EmptyWindow { .. }) => super::print(&nothing.to_string())?,
    }
    Ok(Exit::Complete)
}
