//! One window for all instances of a run.

use std::fs;
use std::process::Stdio;

use super::{args, ask, instance, numbers, shared, watermark};
use crate::harness::{DAY_MS, HOUR_MS, Site, now_ms};

const FROM: [&str; 2] = ["--window-from", "window.json"];

/// Where the last run of an instance began and ended, in epoch milliseconds.
fn covered(site: &Site, id: u64) -> (i64, i64) {
    let last =
        |column| ask(site, id, &format!("SELECT {column} FROM runs ORDER BY key DESC LIMIT 1"));
    (last("window_from"), last("window_to"))
}

fn manifest(site: &Site) -> serde_json::Value {
    let text = fs::read_to_string(site.folder.path().join("window.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn instances_that_start_together_agree_on_one_window() {
    let site = shared(20);
    let start = |id| {
        let numbers = numbers(id, 4);
        let mut command = site.command(&args(&numbers, &FROM));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(start).collect();
    let mut first = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        first += usize::from(said.contains("the first of this run: its window, "));
    }
    assert_eq!(first, 1);
    for id in 1..4 {
        assert_eq!(covered(&site, id), covered(&site, 0));
        assert_eq!(watermark(&site, id), watermark(&site, 0));
    }
    let manifest = manifest(&site);
    assert_eq!((&manifest["instances"], &manifest["run"]), (&4.into(), &serde_json::Value::Null));
    site.assert_holds(|_| true);
}

#[test]
fn clocks_and_start_times_that_differ_make_no_difference() {
    let site = shared(0);
    // GWS's clock is an hour behind for the first, and right for the others.
    site.sim.clock_offset(-HOUR_MS);
    instance(&site, 0, 3, &FROM).exits(0);
    let first = covered(&site, 0);
    assert!(first.1 < now_ms() - HOUR_MS + 5_000);
    site.sim.clock_offset(0);
    site.add("LATE", now_ms() - HOUR_MS / 2);
    instance(&site, 1, 3, &FROM).exits(0).says("the window of this run, by `");
    assert_eq!(covered(&site, 1), first);
    // One for which that time has not come yet ends where its own clock stands.
    site.sim.clock_offset(-3 * HOUR_MS);
    instance(&site, 2, 3, &FROM).exits(0).says("this instance ends there");
    assert!(watermark(&site, 2) < now_ms() - 3 * HOUR_MS + 5_000);
    site.assert_holds(|_| false);
    // The next run is not held up: whoever has covered the window begins another.
    site.sim.clock_offset(0);
    instance(&site, 0, 3, &FROM).exits(0).says("the first of this run");
    assert!(covered(&site, 0).1 > first.1 + HOUR_MS / 2);
    for id in 1..3 {
        instance(&site, id, 3, &FROM).exits(0);
        assert_eq!(covered(&site, id).1, covered(&site, 0).1);
    }
    site.assert_holds(|_| true);
}

#[test]
fn an_instance_whose_watermark_is_older_goes_back_further_and_none_goes_forward() {
    let mut site = shared(0);
    site.properties += "overlap=PT1M\nrescan=0\n";
    for id in 0..2 {
        instance(&site, id, 2, &[]).exits(0);
    }
    let put_back = now_ms() - 2 * DAY_MS;
    let file = site.target().join(".rcbs/instances/1/last_recording_endtime.txt");
    fs::write(&file, put_back.to_string()).unwrap();
    instance(&site, 0, 2, &FROM).exits(0);
    instance(&site, 1, 2, &FROM).exits(0);
    assert_eq!(covered(&site, 1), (put_back - 60_000, covered(&site, 0).1));
    assert!(covered(&site, 0).0 > now_ms() - HOUR_MS);
    // The other way round, the second goes along with the first.
    fs::remove_file(site.folder.path().join("window.json")).unwrap();
    fs::write(&file, put_back.to_string()).unwrap();
    let other = site.target().join(".rcbs/instances/0/last_recording_endtime.txt");
    fs::write(other, (now_ms() - HOUR_MS).to_string()).unwrap();
    instance(&site, 1, 2, &FROM).exits(0);
    instance(&site, 0, 2, &FROM).exits(0).says("as the instances of this run have agreed");
    assert_eq!(covered(&site, 0), covered(&site, 1));
}

#[test]
fn the_id_of_a_run_tells_its_window_from_that_of_another() {
    let mut site = shared(0);
    let night = |site: &mut Site, id: &str| {
        site.environment.insert("RCBS_RUN_ID", Some(id.to_owned()));
    };
    night(&mut site, "monday");
    let from = ["--window-from", "window-{run}.json"];
    instance(&site, 0, 2, &from).exits(0);
    let monday = covered(&site, 0);
    // Slurm's and AWS Batch's ids count where nobody has set one.
    site.environment.remove("RCBS_RUN_ID");
    site.environment.insert("SLURM_ARRAY_TASK_ID", Some("0".to_owned()));
    site.environment.insert("SLURM_ARRAY_JOB_ID", Some("71".to_owned()));
    instance(&site, 0, 2, &from).exits(0).says("the first of this run");
    night(&mut site, "monday");
    // A task that was put back into the queue finds the window of its own run, not the newest.
    instance(&site, 1, 2, &from).exits(0);
    assert_eq!(covered(&site, 1), monday);
    let mut names: Vec<_> = fs::read_dir(site.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    assert_eq!(names, ["window-71.json", "window-monday.json"]);
    site.environment.remove("RCBS_RUN_ID");
    site.environment.remove("SLURM_ARRAY_TASK_ID");
    instance(&site, 1, 2, &from).exits(2).says("asks for the id of the run").says("RCBS_RUN_ID");
}

#[test]
fn a_file_that_is_no_window_and_a_window_that_cannot_be_are_refused() {
    let site = shared(0);
    let file = site.folder.path().join("window.json");
    for text in ["", "{", "maxAge=3\n", "{\"instances\":2}"] {
        fs::write(&file, text).unwrap();
        let run = instance(&site, 0, 2, &FROM);
        run.exits(2).says("is no window that instances could share").says("remove this one");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::remove_file(&file).unwrap();
    // A dry run writes nothing.
    instance(&site, 0, 2, &[&FROM[..], &["--dry-run"]].concat()).exits(0);
    assert!(!file.exists());
    instance(&site, 0, 2, &FROM).exits(0);
    fs::remove_dir_all(site.target()).unwrap();
    instance(&site, 0, 3, &FROM).exits(2).says("is of a run of 2 instances, and this one is of 3");
    let other_end = [&FROM[..], &["--to", "2026-01-01", "--from", "2025-12-01"]].concat();
    instance(&site, 0, 2, &other_end).exits(2).says("name a file for this export alone");
}
