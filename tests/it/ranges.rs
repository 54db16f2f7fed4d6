//! The edges of the window typed, found and cut into shards; where the watermark is kept.

use std::fs;

use rcbs_sim::{Route, Sim, WorldSpec};

use crate::harness::{DAY_MS, HOUR_MS, REGION, Site, now_ms};

/// The ranges that were listed, in order, without the edges' extra millisecond and repetitions.
fn ranges_asked(site: &Site) -> Vec<(i64, i64)> {
    let requests = site.sim.requests();
    let listings = requests.iter().filter(|request| request.route == Route::Listing);
    let mut ranges: Vec<(i64, i64)> = listings
        .filter_map(|request| {
            let (_, range) = request.target.split_once("startTimeRange=")?;
            let (from, to) = range.split_once('&')?.0.split_once(',')?;
            Some((from.parse::<i64>().ok()? + 1, to.parse::<i64>().ok()? - 1))
        })
        .collect();
    // Several are asked for at the same time, and arrive in any order.
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

#[test]
fn shards_are_exact_steps_from_the_older_edge_and_the_last_is_cut() {
    let (from, to) = (1_519_047_014_000_i64, 1_519_316_698_000_i64);
    let site = Site::over(Sim::of(WorldSpec { recordings: 0, ..WorldSpec::default() }));
    let (from_text, to_text) = (from.to_string(), to.to_string());
    let run = site.rcbs(&["--from", &from_text, "--to", &to_text, "--set", "shardBy=1"]);
    run.exits(0);
    let started: Vec<&str> =
        run.stderr.lines().filter(|line| line.starts_with("Starting download")).collect();
    assert_eq!(
        started,
        [
            "Starting download recordings <from 02/19/2018 13:30:14 to 02/20/2018 13:30:14 UTC> Overall: 25%",
            "Starting download recordings <from 02/20/2018 13:30:14 to 02/21/2018 13:30:14 UTC> Overall: 50%",
            "Starting download recordings <from 02/21/2018 13:30:14 to 02/22/2018 13:30:14 UTC> Overall: 75%",
            "Starting download recordings <from 02/22/2018 13:30:14 to 02/22/2018 16:24:58 UTC> Overall: 100%",
        ]
    );
    let day = |n: i64| from + n * DAY_MS;
    let expected = [(from, day(1)), (day(1), day(2)), (day(2), day(3)), (day(3), to)];
    assert_eq!(ranges_asked(&site), expected);

    for (step, shards) in [("PT36H", 3), ("P1DT12H30M", 3), ("PT18H", 5), ("90", 1), ("4", 1)] {
        site.sim.clear_requests();
        let step_set = format!("shardBy={step}");
        site.rcbs(&["--from", &from_text, "--to", &to_text, "--set", &step_set]).exits(0);
        let ranges = ranges_asked(&site);
        assert_eq!(ranges.len(), shards, "{step}");
        assert_eq!((ranges[0].0, ranges[shards - 1].1), (from, to));
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }
}

#[test]
fn a_one_shot_range_neither_reads_nor_writes_the_watermark() {
    let mut site = Site::of(30);
    site.properties += REGION;
    let (from, to) = (now_ms() - 2 * DAY_MS, now_ms() - DAY_MS);
    let (from_text, to_text) = (from.to_string(), to.to_string());
    let in_range = |recording: &rcbs_sim::Recording| (from..to).contains(&recording.start_ms);
    site.rcbs(&["--from", &from_text, "--to", &to_text]).exits(0);
    assert_eq!(site.watermark(), None);
    site.assert_holds(in_range);

    // A scheduled backup would refuse this one.
    site.set_watermark(now_ms() + DAY_MS);
    let before = site.watermark();
    site.rcbs(&["--from", &from_text, "--to", &to_text]).exits(0);
    site.properties += &format!("minDate={to}\n");
    let run = site.rcbs(&["--set", "maxAge=2"]);
    run.exits(0);
    assert!(!run.stderr.contains("warning"), "{run}");
    assert_eq!(site.watermark(), before);
    site.assert_holds(in_range);
}

#[test]
fn a_forgotten_min_date_is_warned_of() {
    let mut site = Site::of(0);
    let min_date = now_ms() - 8 * DAY_MS;
    site.properties += &format!("maxAge=20\nminDate={min_date}\n");
    let run = site.rcbs(&[]);
    run.exits(0).says("warning: ").says("more than 7 days back, so nothing new is saved");
    run.says("delete the line once the export is done");
}

#[test]
fn any_age_is_found_by_a_few_probes_and_empty_decades_cost_nothing() {
    let mut site = Site::of(40);
    site.properties += REGION;
    site.properties += "maxAge=0\n";
    let oldest = site.sim.world().recordings().next().unwrap().start_ms;
    let run = site.rcbs(&[]);
    run.exits(0);
    site.assert_holds(|_| true);
    let starts = run.stderr.lines().filter(|line| line.starts_with("Starting download"));
    let shards = starts.count();
    assert!(shards <= 4, "{run}");
    let requests = site.sim.requests();
    let listings = requests.iter().filter(|request| request.route == Route::Listing);
    let probes = listings.filter(|request| request.target.ends_with("limit=10")).count();
    assert!(probes <= 30, "{probes} probes");
    assert!(site.sim.listings() - probes <= 3 * shards, "{run}");
    // The run begins within the day before the oldest recording.
    let state = fs::read(site.target().join(".rcbs/state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let since = state["segments"][0]["since"].as_str().unwrap();
    let since = chrono::DateTime::parse_from_rfc3339(since).unwrap().timestamp_millis();
    assert!(since <= oldest && oldest - since <= DAY_MS, "{since} {oldest}");
    // From then on the watermark decides, without a probe.
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    assert!(site.sim.requests().iter().all(|request| !request.target.ends_with("limit=10")));
}

#[test]
fn any_age_of_nothing_is_nothing_to_do() {
    let mut site = Site::of(0);
    site.properties += "maxAge=0\n";
    let run = site.rcbs(&[]);
    run.exits(0);
    assert_eq!(run.stdout, "nothing to do: no recording of any age was found\n");
    assert_eq!((site.sim.listings(), site.watermark()), (1, None));
}

#[test]
fn the_watermark_of_the_original_tool_is_adopted_and_left_where_it_is() {
    let mut site = Site::of(20);
    site.properties += "overlap=0\nrescan=0\n";
    let java = now_ms() - DAY_MS;
    let file = site.folder.path().join("last_recording_endtime.txt");
    fs::write(&file, java.to_string()).unwrap();
    let run = site.rcbs(&[]);
    run.exits(0).says(&format!("continuing from the watermark in `{}`", file.display()));
    site.assert_holds(|recording| recording.start_ms >= java);
    assert_eq!(fs::read_to_string(&file).unwrap(), java.to_string());
    let own = site.watermark().unwrap();
    assert!(own > java);
    let run = site.rcbs(&[]);
    run.exits(0);
    assert!(!run.stderr.contains("continuing from the watermark in"), "{run}");

    // Beside the configuration counts as well as the folder that the run starts in.
    let site = Site::of(0);
    fs::create_dir(site.folder.path().join("etc")).unwrap();
    fs::write(site.folder.path().join("etc/last_recording_endtime.txt"), "2018-02-19").unwrap();
    let mut command = site.command(&[]);
    let config = site.folder.path().join("config.properties");
    fs::rename(config, site.folder.path().join("etc/config.properties")).unwrap();
    command = std::process::Command::new(command.get_program());
    command.current_dir(site.folder.path()).args(["--config", "etc/config.properties"]);
    let output = command.env_clear().envs(site.sim.environment()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let words = "etc/last_recording_endtime.txt` holds no time: `2018-02-19`";
    assert!(stderr.contains(words), "{stderr}");
}

#[test]
fn a_watermark_that_cannot_be_read_is_never_ignored() {
    for text in ["", "soon\n", "1519047014000 1519047014000", "99999999999999999999"] {
        let site = Site::of(5);
        site.set_watermark(0);
        let file = site.target().join("last_recording_endtime.txt");
        fs::write(&file, text).unwrap();
        let run = site.rcbs(&[]);
        run.exits(2).says("last_recording_endtime.txt` holds no time: `").says("hint: write");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert!(site.tree().is_empty());
    }
    let site = Site::of(2);
    site.set_watermark(0);
    let at = chrono::DateTime::from_timestamp_millis(now_ms() - HOUR_MS).unwrap();
    let file = site.target().join("last_recording_endtime.txt");
    fs::write(&file, at.to_rfc3339()).unwrap();
    site.rcbs(&[]).exits(0);
    assert!(site.watermark().unwrap() > at.timestamp_millis());
}

#[test]
fn state_kept_elsewhere_belongs_to_one_target() {
    let mut site = Site::of(10);
    site.properties += "stateDir=state\n";
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    assert_eq!(site.watermark(), None);
    let kept = fs::read(site.folder.path().join("state/last_recording_endtime.txt")).unwrap();
    // The disk is not mounted, and the folder below its mount point is empty.
    let disk = site.folder.path().join("disk");
    fs::rename(site.target(), &disk).unwrap();
    fs::create_dir(site.target()).unwrap();
    site.sim.clear_requests();
    site.rcbs(&[]).exits(6).says("is the disk mounted?").says("mount it and run again");
    assert!(site.tree().is_empty() && site.sim.requests().is_empty());
    let still = fs::read(site.folder.path().join("state/last_recording_endtime.txt")).unwrap();
    assert_eq!(still, kept);

    fs::remove_dir_all(site.target()).unwrap();
    fs::rename(&disk, site.target()).unwrap();
    site.rcbs(&[]).exits(0);
}
