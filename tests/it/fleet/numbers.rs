//! `auto`, on each engine.

use super::{instance, shared};

/// What an engine says to one of its tasks, and which share that is.
type Task = (&'static [(&'static str, &'static str)], &'static str);

/// Tasks of each engine, and what the total is written as.
const ENGINES: [(&str, [Task; 2]); 5] = [
    (
        "2",
        [
            (&[("JOB_COMPLETION_INDEX", "0")], "instance 0 of 2, counted from 0, by Kubernetes: "),
            (&[("JOB_COMPLETION_INDEX", "1")], "instance 1 of 2"),
        ],
    ),
    (
        "auto",
        [
            (
                &[("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")],
                "instance 0 of 2, counted from 0, by AWS Batch: AWS_BATCH_JOB_ARRAY_INDEX=0",
            ),
            (
                &[("AWS_BATCH_JOB_ARRAY_INDEX", "1"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")],
                "instance 1 of 2",
            ),
        ],
    ),
    (
        "auto",
        [
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "7"),
                    ("SLURM_ARRAY_TASK_MIN", "7"),
                    ("SLURM_ARRAY_TASK_MAX", "10"),
                    ("SLURM_ARRAY_TASK_STEP", "3"),
                    ("SLURM_ARRAY_TASK_COUNT", "2"),
                    ("SLURM_PROCID", "0"),
                ],
                "instance 0 of 2, counted from 0, by Slurm: SLURM_ARRAY_TASK_ID=7",
            ),
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "10"),
                    ("SLURM_ARRAY_TASK_MIN", "7"),
                    ("SLURM_ARRAY_TASK_MAX", "10"),
                    ("SLURM_ARRAY_TASK_STEP", "3"),
                    ("SLURM_ARRAY_TASK_COUNT", "2"),
                    ("SLURM_PROCID", "0"),
                ],
                "instance 1 of 2",
            ),
        ],
    ),
    (
        "auto",
        [
            (
                &[("CLOUD_RUN_TASK_INDEX", "0"), ("CLOUD_RUN_TASK_COUNT", "2")],
                "instance 0 of 2, counted from 0, by Cloud Run: CLOUD_RUN_TASK_INDEX=0",
            ),
            (&[("CLOUD_RUN_TASK_INDEX", "1"), ("CLOUD_RUN_TASK_COUNT", "2")], "instance 1 of 2"),
        ],
    ),
    (
        "2",
        [
            (&[("CLOUD_RUN_TASK_INDEX", "0"), ("CLOUD_RUN_TASK_COUNT", "2")], "instance 0 of 2"),
            (&[("CLOUD_RUN_TASK_INDEX", "1")], "instance 1 of 2"),
        ],
    ),
];

#[test]
fn every_engine_tells_its_tasks_which_share_is_theirs() {
    for (total, tasks) in ENGINES {
        let mut site = shared(20);
        site.properties += &format!("rcbsInstanceId=auto\ntotalRcbsInstances={total}\n");
        let plain = site.environment.clone();
        for (variables, says) in tasks {
            site.environment = plain.clone();
            let more = variables.iter().map(|(name, value)| (*name, Some((*value).to_owned())));
            site.environment.extend(more);
            site.rcbs(&["config"]).exits(0).says(says);
            site.rcbs(&[]).exits(0);
        }
        site.assert_holds(|_| true);
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
