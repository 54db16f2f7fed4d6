//! `rcbs config`: shows the effective configuration and the window that a run would cover now.
//!
//! **Invariant:** no service is asked, nothing is written, and no secret is shown.

use std::sync::Arc;

use chrono::Local;
use serde::Serialize;

use super::document::{self, JsonArgs};
use super::{CommonArgs, Loader, World, fleet};
use crate::checkpoint::Checkpoint;
use crate::config::{Config, Origin};
use crate::error::{Error, Exit};
use crate::instance::Instance;
use crate::tree::Tree;
use crate::watermark::{self, PlanError};
use crate::window::format_rfc3339;

/// What is shown.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(skip)]
    is_json: bool,
    properties: Vec<Property>,
    target_dir: String,
    /// None where each instance has a place of its own in the target.
    state_dir: Option<String>,
    instance: Share,
    /// What counts of a timetable now.
    bandwidth_now: Option<String>,
    watermark: Option<String>,
    /// Where the watermark was found, if that is not its place.
    watermark_from: Option<String>,
    /// None where it is empty, which a note says.
    window: Option<Window>,
    notes: Vec<String>,
}

/// Which share is saved, counted from 0.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    id: u32,
    total: u32,
    /// The variables of an engine; none where both numbers were written.
    told_by: Option<String>,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    /// Empty where it has none.
    value: String,
    origin: String,
}

#[derive(Serialize)]
struct Window {
    /// None is the oldest recording that GWS has.
    from: Option<String>,
    to: String,
    shards: Option<usize>,
}

/// Shows what counts, where each value came from, and the window.
pub fn run(args: JsonArgs, common: &CommonArgs, world: &World<'_>) -> Result<Exit, Error> {
    let mut loader = Loader::new(world, common, None, None)?;
    let config = loader.load(&[], world.now)?;
    let file = common.config.display().to_string();
    let mut shown = Shown { is_json: args.json, ..Shown::default() };
    for setting in &config.settings {
        let origin = match &setting.origin {
            Origin::Default => "default".to_owned(),
            origin => origin.place(&file),
        };
        shown.line(&format!("{:<27} = {:<40} # {origin}", setting.name, setting.value))?;
        let value = setting.value.clone();
        shown.properties.push(Property { name: setting.name, value, origin });
    }
    shown.target_dir = config.target_dir.display().to_string();
    shown.line(&format!("# targetDir is {}", shown.target_dir))?;
    if config.shared_target {
        shown
            .line("# the state of this instance is in a folder of its own below .rcbs/instances")?;
    } else {
        let state_dir = config.state_dir.display().to_string();
        shown.line(&format!("# stateDir is {state_dir}"))?;
        shown.state_dir = Some(state_dir);
    }
    if let Some(timetable) = config.bandwidth.as_ref().filter(|table| table.only_rate().is_none()) {
        let here = world.now.with_timezone(&Local);
        let rate = timetable.at(here.naive_local()).0;
        let rate = rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string());
        let time = here.format("%a %H:%M, UTC%:z");
        shown.line(&format!("# bandwidth is {rate} now, by this machine's clock: {time}"))?;
        shown.bandwidth_now = Some(rate);
    }
    let Instance { id, total } = config.instance;
    shown.instance = Share { id, total, told_by: config.instance_told.clone() };
    if let Some(told) = &config.instance_told {
        shown.line(&format!("# this is instance {id} of {total}, counted from 0, by {told}"))?;
    }
    shown.line("# credentials come from the environment and are set")?;
    shown.line("# the settings API, which a run asks, may give what the file leaves out")?;
    window(&mut shown, &config, common, world)?;
    if args.json {
        document::tell(world, "config", &shown)?;
    }
    Ok(Exit::Complete)
}

impl Shown {
    fn line(&self, line: &str) -> Result<(), Error> {
        if self.is_json { Ok(()) } else { super::print(line) }
    }
}

fn window(
    shown: &mut Shown,
    config: &Config,
    common: &CommonArgs,
    world: &World<'_>,
) -> Result<(), Error> {
    let tree = Arc::new(Tree::peek(super::tree_options(config, world)));
    tree.refuse_if_shared()?;
    let checkpoint = Checkpoint::open(&tree, &config.state_dir)?;
    let mut known = fleet::known(&tree, &checkpoint, &super::watermark_folders(common, world))?;
    if let Some(adopted) = &known.adopted {
        let adopted = adopted.display().to_string();
        shown.line(&format!("# the watermark comes from {adopted}"))?;
        shown.watermark_from = Some(adopted);
    }
    let mut period = super::period(config, world.now, None);
    known.go_back(&mut period, &super::scope(config));
    let stored = known.stored;
    shown.watermark = stored.watermark.map(format_rfc3339);
    let watermark = shown.watermark.as_deref().unwrap_or("none yet");
    shown.line(&format!("watermark   {watermark}"))?;
    match watermark::plan(&period, &stored, &super::scope(config), world.now) {
        Ok(plan) => {
            for note in &plan.notes {
                shown.line(&format!("# {note}"))?;
                shown.notes.push(note.to_string());
            }
            let [from, to] = [plan.window.from, plan.window.to].map(format_rfc3339);
            let shards = plan.window.shards(config.shard_by).len();
            shown.line(&format!("window from {from}"))?;
            shown.line(&format!("       to   {to} (exclusive)"))?;
            shown.line(&format!("shards      {shards}"))?;
            shown.window = Some(Window { from: Some(from), to, shards: Some(shards) });
        }
        Err(error @ PlanError::FutureWatermark { .. }) => {
            return Err(Error::Plan { error, reset: checkpoint.reset_command(world.now) });
        }
        Err(PlanError::NoRecordings) => {
            let to = format_rfc3339(period.newer);
            shown.line("window from the oldest recording that GWS has, as maxAge=0")?;
            shown.line(&format!("       to   {to} (exclusive)"))?;
            shown.window = Some(Window { from: None, to, shards: None });
        }
        Err(nothing @ PlanError::EmptyWindow { .. }) => {
            shown.line(&nothing.to_string())?;
            shown.notes.push(nothing.to_string());
        }
    }
    Ok(())
}
