//! What an engine that starts arrays of jobs says of one of them: which it is, of how many, of
//! which run.
//!
//! Given a look-up of variables, gives the numbers counted from 0, or what was looked for, what was
//! found, and what to write.
//!
//! **Invariant:** pure, and a number that is not certain is an error, never a guess: two instances
//! with the same share leave another share to nobody.

use std::fmt::Write;

/// Looks up a variable; an empty one is none.
pub type LookUp<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The variables of an engine.
#[derive(Debug, PartialEq, Eq)]
struct Engine {
    name: &'static str,
    index: &'static str,
    total: Option<&'static str>,
    /// A range of ids: the first, the last, and the step from one to the next.
    range: Option<[&'static str; 3]>,
    /// What the whole run is called.
    run: Option<&'static str>,
    /// What is set where it starts a job that is no array.
    sign: &'static str,
    /// How an array is asked for.
    array: &'static str,
}

const ENGINES: [Engine; 4] = [
    Engine {
        name: "Kubernetes",
        index: "JOB_COMPLETION_INDEX",
        total: None,
        range: None,
        run: None,
        sign: "KUBERNETES_SERVICE_HOST",
        array: "`completionMode: Indexed`",
    },
    Engine {
        name: "AWS Batch",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        total: Some("AWS_BATCH_JOB_ARRAY_SIZE"),
        range: None,
        run: Some("AWS_BATCH_JOB_ID"),
        sign: "AWS_BATCH_JOB_ID",
        array: "an array size",
    },
    Engine {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        total: Some("SLURM_ARRAY_TASK_COUNT"),
        range: Some(["SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"]),
        run: Some("SLURM_ARRAY_JOB_ID"),
        sign: "SLURM_JOB_ID",
        array: "`sbatch --array=0-3`",
    },
    Engine {
        name: "Cloud Run",
        index: "CLOUD_RUN_TASK_INDEX",
        total: Some("CLOUD_RUN_TASK_COUNT"),
        range: None,
        run: Some("CLOUD_RUN_EXECUTION"),
        sign: "CLOUD_RUN_JOB",
        array: "tasks",
    },
];

/// What names a run whatever engine started it; it comes before the engine's own word.
pub const RUN_ID: &str = "RCBS_RUN_ID";

/// Why a number cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncertain {
    /// What was looked for and what was found.
    pub what: String,
    /// What to write.
    pub hint: String,
}

/// What an engine has said.
pub struct Array<'a> {
    engine: &'static Engine,
    look_up: &'a LookUp<'a>,
}

/// Finds the engine that has started this process as one of an array.
pub fn array<'a>(look_up: &'a LookUp<'a>) -> Result<Array<'a>, Uncertain> {
    let is_there = |engine: &&Engine| look_up(engine.index).is_some();
    let present: Vec<&'static Engine> = ENGINES.iter().filter(is_there).collect();
    match present[..] {
        [engine] => Ok(Array { engine, look_up }),
        [] => Err(no_engine(look_up)),
        [..] => {
            let said = |engine: &&Engine| {
                format!("{}={}", engine.index, look_up(engine.index).unwrap_or_default())
            };
            let all: Vec<_> = present.iter().map(said).collect();
            Err(Uncertain {
                what: format!("several engines speak: {}", all.join(", ")),
                hint: "unset what does not count, or write the number itself".to_owned(),
            })
        }
    }
}

fn no_engine(look_up: &LookUp<'_>) -> Uncertain {
    let names: Vec<_> = ENGINES.iter().map(|engine| engine.index).collect();
    let mut what = format!("none of {} is set", names.join(", "));
    let mut hint = "write the number itself, or start it as a job array".to_owned();
    if let Some(engine) = ENGINES.iter().find(|engine| look_up(engine.sign).is_some()) {
        let Engine { name, sign, array, .. } = engine;
        let _ = write!(what, ", and {sign} says that {name} has started this, but not as an array");
        hint = format!("start it with {array}, or write the number itself");
    }
    Uncertain { what, hint }
}

impl Array<'_> {
    /// Gives which of the array this is, from 0.
    pub fn index(&self) -> Result<u32, Uncertain> {
        let Engine { index: name, range, .. } = self.engine;
        let index = self.whole(name)?;
        let Some([min, max, step]) = range else { return Ok(index) };
        let first = self.whole_or(min, 0)?;
        let step_by = self.whole_or(step, 1)?.max(1);
        let uncertain = |what: String| Uncertain {
            what,
            hint: "count from 0 in equal steps, such as `--array=0-3`".to_owned(),
        };
        let behind = index
            .checked_sub(first)
            .ok_or_else(|| uncertain(format!("{name}={index} is below {min}={first}")))?;
        if behind % step_by != 0 {
            let range = format!("{min}={first} and {step}={step_by}");
            return Err(uncertain(format!("{name}={index} does not fit {range}")));
        }
        // A list such as 1,3,7 has a least and a greatest too, and says nothing of those between.
        if let (Ok(last), Ok(count)) = (self.whole(max), self.total())
            && last.checked_sub(first).map(|length| length / step_by + 1) != Some(count)
        {
            let range = format!("{min}={first}, {max}={last} and {step}={step_by}");
            let count = format!("{}={count}", self.engine.total.unwrap_or_default());
            return Err(uncertain(format!("{range} are not the ids of {count}")));
        }
        Ok(behind / step_by)
    }

    /// Gives how many there are.
    pub fn total(&self) -> Result<u32, Uncertain> {
        let Engine { name, index, total, .. } = self.engine;
        let Some(variable) = total else {
            let what = format!("{name} gives an index, {index}, but no total");
            let hint = "write the number of completions, such as `totalRcbsInstances=4`".to_owned();
            return Err(Uncertain { what, hint });
        };
        match self.whole(variable)? {
            0 => Err(self.itself(format!("{variable}=0 is no number of instances"))),
            total => Ok(total),
        }
    }

    /// Says whether a total that was written agrees with what the engine says, if it says one.
    ///
    /// One task of a Slurm array that was submitted alone counts as the first of one, so which
    /// share it would be is anybody's guess.
    pub fn agrees(&self, written: u32) -> Result<(), Uncertain> {
        let Some(variable) = self.engine.total else { return Ok(()) };
        match self.total() {
            Ok(total) if total != written => Err(Uncertain {
                what: format!(
                    "{variable}={total}, but `totalRcbsInstances` is {written}, so which share \
                     {}={} is meant to be is not certain",
                    self.engine.index,
                    (self.look_up)(self.engine.index).unwrap_or_default()
                ),
                hint: "start as many as there are shares, or write both numbers".to_owned(),
            }),
            // Who wrote the total needs none from the engine.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Says which variables the numbers come from: `Slurm: SLURM_ARRAY_TASK_ID=13, …`.
    pub fn told(&self) -> String {
        let Engine { name, index, total, range, .. } = self.engine;
        let names = [*index].into_iter().chain(range.iter().flatten().copied()).chain(*total);
        let said = |name: &str| (self.look_up)(name).map(|value| format!("{name}={value}"));
        let all: Vec<_> = names.filter_map(said).collect();
        format!("{name}: {}", all.join(", "))
    }

    fn whole(&self, name: &str) -> Result<u32, Uncertain> {
        let value = (self.look_up)(name);
        let digits = value.as_deref().filter(|text| text.bytes().all(|one| one.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
            self.itself(match &value {
                Some(_) => format!("{name} is no whole number"),
                None => {
                    format!("{} is set, but {name} is not", self.engine.index)
                }
            })
        })
    }

    fn whole_or(&self, name: &str, absent: u32) -> Result<u32, Uncertain> {
        if (self.look_up)(name).is_some() { self.whole(name) } else { Ok(absent) }
    }

    fn itself(&self, what: String) -> Uncertain {
        Uncertain { what, hint: "write the number itself".to_owned() }
    }
}

/// Gives what all instances of one run have in common and no other run has, if anything says it.
pub fn run_id(look_up: &LookUp<'_>) -> Option<String> {
    let of_engine = |engine: &Engine| {
        look_up(engine.index)?;
        let id = look_up(engine.run?)?;
        // A child of an array on AWS Batch is `<parent>:<index>`.
        Some(id.split(':').next().unwrap_or(&id).to_owned())
    };
    look_up(RUN_ID).or_else(|| ENGINES.iter().find_map(of_engine))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables = [(&'static str, &'static str)];

    fn with<T>(variables: &Variables, ask: impl FnOnce(&LookUp<'_>) -> T) -> T {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned()).filter(|value| !value.is_empty())
        };
        ask(&find)
    }

    fn slurm(values: [&'static str; 5]) -> Vec<(&'static str, &'static str)> {
        let names = [
            "SLURM_ARRAY_TASK_ID",
            "SLURM_ARRAY_TASK_MIN",
            "SLURM_ARRAY_TASK_MAX",
            "SLURM_ARRAY_TASK_STEP",
            "SLURM_ARRAY_TASK_COUNT",
        ];
        names.into_iter().zip(values).collect()
    }

    #[test]
    fn ids_that_start_elsewhere_and_step_are_counted_from_0() {
        for (values, index, total) in [
            (["2", "0", "3", "1", "4"], Ok(2), Ok(4)),
            (["13", "10", "13", "1", "4"], Ok(3), Ok(4)),
            (["14", "10", "16", "2", "4"], Ok(2), Ok(4)),
            (["10", "10", "17", "2", "4"], Ok(0), Ok(4)),
            (["7", "7", "7", "1", "1"], Ok(0), Ok(1)),
            (["3", "", "", "", "4"], Ok(3), Ok(4)),
            (["13", "10", "", "", "4"], Ok(3), Ok(4)),
            (
                ["3", "1", "7", "1", "3"],
                Err("SLURM_ARRAY_TASK_MIN=1, SLURM_ARRAY_TASK_MAX=7 and SLURM_ARRAY_TASK_STEP=1 \
                     are not the ids of SLURM_ARRAY_TASK_COUNT=3"),
                Ok(3),
            ),
            (
                ["11", "10", "16", "2", "4"],
                Err("SLURM_ARRAY_TASK_ID=11 does not fit SLURM_ARRAY_TASK_MIN=10 and \
                     SLURM_ARRAY_TASK_STEP=2"),
                Ok(4),
            ),
            (
                ["1", "2", "5", "1", "4"],
                Err("SLURM_ARRAY_TASK_ID=1 is below SLURM_ARRAY_TASK_MIN=2"),
                Ok(4),
            ),
            (["x", "0", "3", "1", "4"], Err("SLURM_ARRAY_TASK_ID is no whole number"), Ok(4)),
            (["1", "x", "3", "1", "4"], Err("SLURM_ARRAY_TASK_MIN is no whole number"), Ok(4)),
            (["+1", "0", "3", "1", "4"], Err("SLURM_ARRAY_TASK_ID is no whole number"), Ok(4)),
            (
                ["1", "0", "3", "1", ""],
                Ok(1),
                Err("SLURM_ARRAY_TASK_ID is set, but SLURM_ARRAY_TASK_COUNT is not"),
            ),
            (
                ["0", "0", "0", "1", "0"],
                Ok(0),
                Err("SLURM_ARRAY_TASK_COUNT=0 is no number of instances"),
            ),
            (
                ["99999999999", "0", "3", "1", "4"],
                Err("SLURM_ARRAY_TASK_ID is no whole number"),
                Ok(4),
            ),
        ] {
            with(&slurm(values), |look_up| {
                let array = array(look_up).unwrap_or_else(|error| panic!("{error:?}"));
                let what = |result: Result<u32, Uncertain>| result.map_err(|error| error.what);
                let expected = |of: Result<u32, &str>| of.map_err(str::to_owned);
                assert_eq!(what(array.index()), expected(index), "{values:?}");
                assert_eq!(what(array.total()), expected(total), "{values:?}");
            });
        }
    }

    #[test]
    fn every_engine_is_known_by_its_index_and_none_by_another_number() {
        for (variables, expected) in [
            (&[("JOB_COMPLETION_INDEX", "3")][..], Ok("Kubernetes: JOB_COMPLETION_INDEX=3")),
            (
                &[("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")],
                Ok("AWS Batch: AWS_BATCH_JOB_ARRAY_INDEX=0, AWS_BATCH_JOB_ARRAY_SIZE=2"),
            ),
            (
                &[("CLOUD_RUN_TASK_INDEX", "1"), ("CLOUD_RUN_TASK_COUNT", "2")],
                Ok("Cloud Run: CLOUD_RUN_TASK_INDEX=1, CLOUD_RUN_TASK_COUNT=2"),
            ),
            (
                &[("SLURM_ARRAY_TASK_ID", "4"), ("SLURM_PROCID", "0")],
                Ok("Slurm: SLURM_ARRAY_TASK_ID=4"),
            ),
            (
                &[("SLURM_PROCID", "2"), ("SLURM_JOB_ID", "71")],
                Err("none of JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, \
                     SLURM_ARRAY_TASK_ID, CLOUD_RUN_TASK_INDEX is set, and SLURM_JOB_ID says that \
                     Slurm has started this, but not as an array"),
            ),
            (
                &[("JOB_COMPLETION_INDEX", "1"), ("CLOUD_RUN_TASK_INDEX", "2")],
                Err("several engines speak: JOB_COMPLETION_INDEX=1, CLOUD_RUN_TASK_INDEX=2"),
            ),
            (
                &[("JOB_COMPLETION_INDEX", "")],
                Err("none of JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, \
                     SLURM_ARRAY_TASK_ID, CLOUD_RUN_TASK_INDEX is set"),
            ),
        ] {
            with(variables, |look_up| {
                let told = array(look_up).map(|array| array.told()).map_err(|error| error.what);
                let expected = expected.map(str::to_owned).map_err(str::to_owned);
                assert_eq!(told, expected, "{variables:?}");
            });
        }
    }

    #[test]
    fn a_total_that_was_written_must_be_the_engines_if_that_has_one() {
        for (variables, written, agrees) in [
            (&[("JOB_COMPLETION_INDEX", "3")][..], 4, true),
            (&slurm(["2", "0", "3", "1", "4"]), 4, true),
            (&slurm(["2", "2", "2", "1", "1"]), 4, false),
            (&slurm(["2", "0", "3", "1", ""]), 4, true),
            (&[("CLOUD_RUN_TASK_INDEX", "1"), ("CLOUD_RUN_TASK_COUNT", "2")], 3, false),
        ] {
            with(variables, |look_up| {
                let array = array(look_up).unwrap_or_else(|error| panic!("{error:?}"));
                assert_eq!(array.agrees(written).is_ok(), agrees, "{variables:?}");
            });
        }
    }

    #[test]
    fn a_run_has_one_id_in_all_its_instances() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("JOB_COMPLETION_INDEX", "3")], None),
            (&[("JOB_COMPLETION_INDEX", "3"), ("RCBS_RUN_ID", "night")], Some("night")),
            (&[("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_JOB_ID", "71")], Some("71")),
            (&[("SLURM_JOB_ID", "71")], None),
            (
                &[("AWS_BATCH_JOB_ARRAY_INDEX", "3"), ("AWS_BATCH_JOB_ID", "6c7b-91:3")],
                Some("6c7b-91"),
            ),
            (
                &[("CLOUD_RUN_TASK_INDEX", "0"), ("CLOUD_RUN_EXECUTION", "rcbs-x7k")],
                Some("rcbs-x7k"),
            ),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(with(variables, run_id), expected, "{variables:?}");
        }
    }
}
