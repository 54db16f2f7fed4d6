//! `auto`, on each engine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{instance, shared};

const ENGINES: [&str; 4] = ["Kubernetes", "AWS Batch", "Slurm", "Cloud Run"];

/// The variables that an engine sets for the task of this index, counted from 0, in an array of so many.
pub(super) fn simulated(engine: &str, index: usize, total: usize) -> BTreeMap<String, String> {
    let number = |number: usize| number.to_string();
    let text = str::to_owned;
    let variables = match engine {
        "Kubernetes" => vec![
            ("JOB_COMPLETION_INDEX", number(index)),
            ("KUBERNETES_SERVICE_HOST", text("10.96.0.1")),
        ],
        "AWS Batch" => vec![
            ("AWS_BATCH_JOB_ARRAY_INDEX", number(index)),
            ("AWS_BATCH_JOB_ARRAY_SIZE", number(total)),
            ("AWS_BATCH_JOB_ID", format!("6c7b-91:{index}")),
            ("AWS_BATCH_JOB_ATTEMPT", text("1")),
        ],
        "Slurm" => vec![
            ("SLURM_ARRAY_TASK_ID", number(index)),
            ("SLURM_ARRAY_TASK_MIN", text("0")),
            ("SLURM_ARRAY_TASK_MAX", number(total - 1)),
            ("SLURM_ARRAY_TASK_STEP", text("1")),
            ("SLURM_ARRAY_TASK_COUNT", number(total)),
            ("SLURM_ARRAY_JOB_ID", text("71")),
            ("SLURM_JOB_ID", number(7100 + index)),
            ("SLURM_PROCID", text("0")),
        ],
        "Cloud Run" => vec![
            ("CLOUD_RUN_TASK_INDEX", number(index)),
            ("CLOUD_RUN_TASK_COUNT", number(total)),
            ("CLOUD_RUN_EXECUTION", text("rcbs-x7k")),
            ("CLOUD_RUN_JOB", text("rcbs")),
        ],
        other => panic!("{other}"),
    };
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn every_engine_tells_its_tasks_which_share_is_theirs() {
    for (engine, total, other) in [
        ("Kubernetes", "2", &[][..]),
        ("AWS Batch", "auto", &[]),
        ("Slurm", "auto", &[]),
        // Ids that start elsewhere and have gaps between them.
        (
            "Slurm",
            "auto",
            &[
                ("SLURM_ARRAY_TASK_ID", ["7", "10"]),
                ("SLURM_ARRAY_TASK_MIN", ["7", "7"]),
                ("SLURM_ARRAY_TASK_MAX", ["10", "10"]),
                ("SLURM_ARRAY_TASK_STEP", ["3", "3"]),
            ],
        ),
        ("Cloud Run", "auto", &[]),
        // The total is written, and the engine says none.
        ("Cloud Run", "2", &[("CLOUD_RUN_TASK_COUNT", ["", ""])]),
    ] {
        let mut site = shared(20);
        site.properties += &format!("rcbsInstanceId=auto\ntotalRcbsInstances={total}\n");
        let plain = site.environment.clone();
        for index in 0..2 {
            let mut variables = simulated(engine, index, 2);
            let other = other.iter().map(|(name, values)| (*name, values[index]));
            variables.extend(other.map(|(name, value)| (name.to_owned(), value.to_owned())));
            site.environment = plain.clone();
            for (name, value) in variables {
                site.environment.insert(Box::leak(name.into_boxed_str()), Some(value));
            }
            let says = format!("instance {index} of 2, counted from 0, by {engine}: ");
            site.rcbs(&["config"]).exits(0).says(&says);
            site.rcbs(&[]).exits(0);
        }
        site.assert_holds(|_| true);
    }
}

#[test]
fn what_is_asked_of_engines_is_what_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(root.join("src/instance/engine.rs")).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let is_variable = |word: &&str| {
        word.contains('_') && word.bytes().all(|one| one.is_ascii_uppercase() || one == b'_')
    };
    let asked: BTreeSet<&str> = source.split('"').filter(is_variable).collect();
    let mut said: BTreeSet<String> =
        ENGINES.iter().flat_map(|engine| simulated(engine, 0, 2).into_keys()).collect();
    // It is the operator who sets this one.
    said.insert("RCBS_RUN_ID".to_owned());
    let unknown: Vec<_> = asked.iter().filter(|name| !said.contains(**name)).collect();
    assert!(asked.len() > 10 && unknown.is_empty(), "no engine says {unknown:?}");
    let page = std::fs::read_to_string(root.join("docs/fleet.md")).unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).collect();
    for engine in ENGINES {
        let row = rows.iter().find(|line| line.starts_with(&format!("| {engine}"))).unwrap();
        let documented = row.split(|one: char| !one.is_ascii_uppercase() && one != '_');
        let unsaid: Vec<_> = documented
            .filter(|word| is_variable(word) && word.len() > 3)
            .filter(|name| !simulated(engine, 0, 2).contains_key(*name) && *name != "RCBS_RUN_ID")
            .collect();
        assert!(unsaid.is_empty(), "{engine} does not say {unsaid:?}");
    }
}

#[test]
fn a_share_that_is_not_certain_is_refused_with_what_was_found() {
    for (variables, total, says) in [
        (&[][..], "4", "none of JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, "),
        (&[("JOB_COMPLETION_INDEX", "1")], "auto", "Kubernetes gives an index"),
        (&[("JOB_COMPLETION_INDEX", "4")], "4", "of 4 the last one is 3"),
        (&[("JOB_COMPLETION_INDEX", "one")], "4", "JOB_COMPLETION_INDEX is no whole number"),
        (
            &[("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "1")],
            "4",
            "start it with `sbatch --array=0-3`",
        ),
        (
            &[("SLURM_ARRAY_TASK_ID", "2"), ("SLURM_ARRAY_TASK_COUNT", "1")],
            "4",
            "so which share SLURM_ARRAY_TASK_ID=2 is meant to be is not certain",
        ),
        (
            &[("JOB_COMPLETION_INDEX", "1"), ("SLURM_ARRAY_TASK_ID", "2")],
            "4",
            "several engines speak: JOB_COMPLETION_INDEX=1, SLURM_ARRAY_TASK_ID=2",
        ),
    ] {
        let mut site = shared(0);
        site.properties += &format!("rcbsInstanceId=auto\ntotalRcbsInstances={total}\n");
        let more = variables.iter().map(|(name, value)| (*name, Some((*value).to_owned())));
        site.environment.extend(more);
        site.rcbs(&[]).exits(2).says(says);
        assert!(!site.target().exists());
    }
}

#[test]
fn numbers_that_are_written_need_no_engine() {
    let site = shared(0);
    let run = instance(&site, 1, 3, &["config"]);
    run.exits(0).says("the state of this instance is in a folder of its own");
    assert!(!run.stdout.contains("counted from 0, by"), "{run}");
}
