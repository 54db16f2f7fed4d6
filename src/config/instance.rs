//! Which instance this one is, and of how many.
//!
//! Given the two numbers, or `auto` and what an engine that starts arrays of jobs says, gives them
//! resolved, and where they come from.
//!
//! **Invariant:** a number that is not certain is a problem, never a guess: two instances with the
//! same share leave another share to nobody.

use super::layers::Reader;
use super::problem::{Bad, bad};
use super::value;
use crate::instance::Instance;
use crate::instance::engine::{self, Uncertain};

const MOST: u32 = 1_000_000;

const AUTO: &str = "auto";

/// A share, and what an engine has said of it.
pub(super) struct Share {
    pub(super) instance: Instance,
    /// Which variables it comes from; none where both numbers were written.
    pub(super) told: Option<String>,
    /// What the engine calls this run.
    pub(super) run: Option<String>,
}

/// Reads the share; `None` where it is bad, which has been noted then.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Share> {
    let env = reader.layers.env;
    let look_up = |name: &str| {
        let value = env(name)?.to_string_lossy().trim().to_owned();
        (!value.is_empty()).then_some(value)
    };
    let array = || engine::array(&look_up).map_err(uncertain);
    let id = reader.required("rcbsInstanceId", |text| match text {
        AUTO => array().and_then(|array| array.index().map_err(uncertain)),
        _ => value::number(text, 0..=MOST - 1, 0),
    });
    let total = reader.required("totalRcbsInstances", |text| match text {
        AUTO => array().and_then(|array| array.total().map_err(uncertain)),
        _ => value::number(text, 1..=MOST, 4),
    });
    for (name, other, such) in [
        ("rcbsInstanceId", "totalRcbsInstances", "4"),
        ("totalRcbsInstances", "rcbsInstanceId", "0"),
    ] {
        if reader.is_set(name) && !reader.is_set(other) {
            let hint = format!("write both or neither: add such as `{other}={such}`");
            reader.contradiction(name, &format!("set, but `{other}` is not"), hint);
            return None;
        }
    }
    let (id, total) = (id?, total?);
    let is_auto = |name| reader.value(name) == Some(AUTO);
    let (auto_id, auto_total) = (is_auto("rcbsInstanceId"), is_auto("totalRcbsInstances"));
    let told = (auto_id || auto_total).then(|| array().ok()).flatten();
    if let Some(Err(Uncertain { what, hint })) =
        told.as_ref().filter(|_| auto_id && !auto_total).map(|array| array.agrees(total))
    {
        reader.contradiction("rcbsInstanceId", &format!("{what}: `{AUTO}`"), hint);
        return None;
    }
    if id >= total {
        let hint = format!("of {total} the last one is {}: they count from 0", total - 1);
        let message = format!("not below `totalRcbsInstances`, which is {total}: `{id}`");
        reader.contradiction("rcbsInstanceId", &message, hint);
        return None;
    }
    let told = told.map(|array| array.told());
    Some(Share { instance: Instance { id, total }, told, run: engine::run_id(&look_up) })
}

/// Reads whether the instances share their target, where each keeps what is its own.
pub(super) fn shared_target(reader: &mut Reader<'_>) -> Option<bool> {
    let shared_target = reader.required("sharedTarget", value::boolean)?;
    if shared_target && reader.is_set("stateDir") {
        let hint = "leave it out: each instance has a folder of its own in the target".to_owned();
        let message = "set, and `sharedTarget=true` keeps the state in the target";
        reader.contradiction("stateDir", message, hint);
        return None;
    }
    Some(shared_target)
}

fn uncertain(Uncertain { what, hint }: Uncertain) -> Bad {
    bad(what, hint)
}
