//! Which instance this one is, and of how many.
//!
//! Given the two numbers, or `auto` and the variables of an engine that starts arrays of jobs,
//! gives them resolved.
//!
//! **Invariant:** a number that is not certain is a problem, never a guess: two instances with the
//! same share leave another share to nobody.

use super::layers::Reader;
use super::problem::{Bad, bad};
use super::value;
use crate::instance::Instance;

/// The variables of an engine: the index, the first index where it is not 0, the total.
struct Engine {
    index: &'static str,
    first: Option<&'static str>,
    total: Option<&'static str>,
}

const ENGINES: [Engine; 4] = [
    Engine { index: "JOB_COMPLETION_INDEX", first: None, total: None },
    Engine {
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        first: None,
        total: Some("AWS_BATCH_JOB_ARRAY_SIZE"),
    },
    Engine {
        index: "SLURM_ARRAY_TASK_ID",
        first: Some("SLURM_ARRAY_TASK_MIN"),
        total: Some("SLURM_ARRAY_TASK_COUNT"),
    },
    Engine { index: "CLOUD_RUN_TASK_INDEX", first: None, total: Some("CLOUD_RUN_TASK_COUNT") },
];

const MOST: u32 = 1_000_000;

/// Reads the share; `None` where it is bad, which has been noted then.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Instance> {
    let env = reader.layers.env;
    let look_up = |name: &str| {
        let value = env(name)?.to_string_lossy().trim().to_owned();
        (!value.is_empty()).then_some(value)
    };
    let id = reader.required("rcbsInstanceId", |text| match text {
        "auto" => engine(&look_up).and_then(|engine| index(engine, &look_up)),
        _ => value::number(text, 0..=MOST - 1, 0),
    });
    let total = reader.required("totalRcbsInstances", |text| match text {
        "auto" => engine(&look_up).and_then(|engine| total(engine, &look_up)),
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
    if id >= total {
        let hint = format!("of {total} the last one is {}: they count from 0", total - 1);
        let message = format!("not below `totalRcbsInstances`, which is {total}: `{id}`");
        reader.contradiction("rcbsInstanceId", &message, hint);
        return None;
    }
    Some(Instance { id, total })
}

type LookUp<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn engine(look_up: &LookUp<'_>) -> Result<&'static Engine, Bad> {
    let present: Vec<_> = ENGINES.iter().filter(|engine| look_up(engine.index).is_some()).collect();
    match present[..] {
        [engine] => Ok(engine),
        [] => {
            let names: Vec<_> = ENGINES.iter().map(|engine| engine.index).collect();
            let what = format!("none of {} is set", names.join(", "));
            Err(bad(what, "write the number itself, or start it as a job array"))
        }
        [one, another, ..] => {
            let what = format!("both {} and {} are set", one.index, another.index);
            Err(bad(what, "unset the one that does not count, or write the number itself"))
        }
    }
}

fn index(engine: &Engine, look_up: &LookUp<'_>) -> Result<u32, Bad> {
    let index = whole(engine.index, look_up)?;
    let first = match engine.first {
        Some(name) if look_up(name).is_some() => whole(name, look_up)?,
        _ => 0,
    };
    index.checked_sub(first).ok_or_else(|| {
        let what = format!("{} is below its minimum {first}", engine.index);
        bad(what, "write the number itself")
    })
}

fn total(engine: &Engine, look_up: &LookUp<'_>) -> Result<u32, Bad> {
    let hint = "write the number of completions, such as `totalRcbsInstances=4`";
    let name =
        engine.total.ok_or_else(|| bad(format!("{} comes without a total", engine.index), hint))?;
    match whole(name, look_up)? {
        0 => Err(bad(format!("{name} is 0"), "write the number itself")),
        total => Ok(total),
    }
}

fn whole(name: &str, look_up: &LookUp<'_>) -> Result<u32, Bad> {
    let value = look_up(name).unwrap_or_default();
    value::number(&value, 0..=MOST, 0)
        .map_err(|_| bad(format!("{name} is no whole number"), "write the number itself"))
}
