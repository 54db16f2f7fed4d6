//! What a run covers, and where the watermark goes.

use std::fs;
use std::time::{Duration, Instant};

use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::{Hits, Media, Recording, Route};

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, REGION, Site, now_ms, oldest_asked};

/// A world over two and a half days, and a watermark at its start.
fn site_with_watermark(recordings: usize) -> (Site, i64) {
    let mut site = Site::of(recordings);
    let watermark = now_ms() - 5 * DAY_MS / 2;
    site.set_watermark(watermark);
    site.properties += REGION;
    (site, watermark)
}

#[test]
fn a_clock_that_is_years_ahead_leaves_no_hole() {
    let mut site = Site::of(0);
    // Ours is ahead of the services' by four years.
    let offset = -4 * 365 * DAY_MS;
    site.properties += REGION;
    site.sim.clock_offset(offset);
    site.add("before", now_ms() + offset - HOUR_MS);
    site.rcbs(&["--set", "metadataOnly=true"]).exits(0).says("the earlier one counts");
    let watermark = site.watermark().unwrap();
    assert!(watermark <= now_ms() + offset, "{watermark}");

    site.add("between", now_ms() + offset + HOUR_MS);
    // S3 takes no signature that is years from its time.
    site.rcbs(&[]).exits(4).says("clock");
    assert!(site.watermark().unwrap() <= now_ms() + offset);
    site.sim.clock_offset(offset + 2 * HOUR_MS);
    site.rcbs(&[]).exits(4);
    site.sim.clock_offset(0);
    site.rcbs(&["--set", "shardBy=500"]).exits(0);
    site.assert_holds(|_| true);
}

#[test]
fn a_watermark_in_the_future_is_refused_with_both_times_and_the_command_that_mends_it() {
    let site = Site::of(5);
    let ahead = now_ms() + HOUR_MS;
    site.set_watermark(ahead);
    let run = site.rcbs(&[]);
    let at = chrono::DateTime::from_timestamp_millis(ahead).unwrap();
    let text = at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    run.exits(2).says(&format!("the watermark {text} is later than now, 2"));
    assert_eq!(site.watermark(), Some(ahead));
    assert!(site.tree().is_empty());
    // The command does what it says.
    let hint = run.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
    let command = hint.split_once("the watermark: ").unwrap().1;
    let status = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success());
    site.rcbs(&[]).exits(0);
    // Ten minutes are no more than two clocks may differ by.
    site.set_watermark(now_ms() + 5 * 60_000);
    site.rcbs(&[]).exits(0);
}

#[test]
fn a_watermark_that_was_removed_leaves_no_hole_and_nothing_is_fetched_twice() {
    let mut site = Site::of(20);
    site.properties += REGION;
    site.rcbs(&[]).exits(0).says("there is no watermark: beginning at ");
    fs::remove_file(site.target().join("last_recording_endtime.txt")).unwrap();
    site.add("new", now_ms() - HOUR_MS);
    let run = site.rcbs(&[]);
    run.exits(0).says("there is no watermark: beginning at ").says("as far back as maxAge says");
    assert_eq!(run.counts()[0], 1, "{run}");
    site.assert_holds(|_| true);
    assert!(site.watermark().is_some());
}

#[test]
fn media_left_out_for_a_while_are_fetched_once_they_are_wanted() {
    let (mut site, _) = site_with_watermark(20);
    site.properties += "overlap=PT1M\nrescan=0\n";
    site.rcbs(&["--set", "metadataOnly=true"]).exits(0);
    assert_eq!(site.tree().len(), 20);
    site.rcbs(&["--set", "metadataOnly=true"]).exits(0);
    let run = site.rcbs(&[]);
    run.exits(0).says("the settings ask for more than when the recordings since");
    site.assert_holds(|_| true);
    site.sim.clear_requests();
    let run = site.rcbs(&[]);
    assert!(!run.stderr.contains("the settings ask for more"), "{run}");
    assert!(oldest_asked(&site) > now_ms() - HOUR_MS);
}

#[test]
fn another_share_or_wider_types_go_back_to_where_they_were_not_saved() {
    let (mut site, watermark) = site_with_watermark(30);
    site.properties += "overlap=PT1M\nrescan=0\n";
    site.sim.edit(|world| {
        let text = Media { mime: Some("text/plain".into()), ..Media::voice("t", BUCKET, 9) };
        world.add(Recording::new("text", now_ms() - HOUR_MS).with(text));
    });
    let says = "or for another share: going back to then";
    let third = ["--set", "totalRcbsInstances=3", "--set", "rcbsInstanceId=2"];
    site.rcbs(&third).exits(0);
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0).says(says);
    assert_eq!(oldest_asked(&site), watermark - 2 * 60_000);
    site.assert_holds_but(&["t"], |_| true);
    // A share of what is held entirely needs no way back.
    let run = site.rcbs(&third);
    assert!(run.code == 0 && !run.stderr.contains(says), "{run}");
    site.rcbs(&["--set", "mediaTypePattern=.*"]).exits(0).says(says);
    site.assert_holds(|_| true);
}

#[test]
fn a_run_that_starts_behind_the_watermark_says_that_there_is_a_gap_and_leaves_it() {
    let mut site = Site::of(0);
    site.properties += REGION;
    // After an outage of ten days somebody sets maxDate, and takes it away again.
    let watermark = now_ms() - 10 * DAY_MS;
    site.set_watermark(watermark);
    site.add("during", watermark + DAY_MS);
    site.add("after", now_ms() - DAY_MS);
    let max_date = format!("maxDate={}", now_ms() - 3 * DAY_MS);
    for edge in [max_date.as_str(), "skipLastRecordingCheck=true"] {
        site.rcbs(&["--set", edge]).exits(0).says("warning: there is a gap: recordings from");
        assert_eq!(site.watermark(), Some(watermark));
        site.assert_holds(|recording| recording.id == "after");
    }
    let run = site.rcbs(&[]);
    run.exits(0).says("maxAge is not used: continuing at ").says("to go back use --from");
    site.assert_holds(|_| true);
    assert!(site.watermark().unwrap() > now_ms() - HOUR_MS);
}

#[test]
fn the_first_listing_writes_the_watermark_before_anything_is_downloaded() {
    let site = Site::of(20);
    site.add("first", now_ms() - 3 * DAY_MS + HOUR_MS);
    let (before, wait) = (now_ms(), Action::Delay(Duration::from_secs(1)));
    site.sim.add_fault(Fault::on(Route::S3, Action::s3_error(503, "SlowDown")));
    site.sim.add_fault(Fault::on(Route::S3, wait.clone()).hits(Hits::First(3)));
    // The first page is enough, though the shard is not listed to the end.
    site.sim.add_fault(Fault::on(Route::Listing, wait).hits(Hits::Nth(2)));
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| site.rcbs(&["--set", "s3MaxErrorRetry=0"]));
        assert!(site.sim.wait_for(|request| request.route == Route::S3));
        assert!(site.watermark().is_some());
        run.join().unwrap()
    });
    run.exits(3);
    // The API's clock, which counts too, shows whole seconds.
    let first = site.watermark().unwrap();
    assert!((before - 1000..=now_ms()).contains(&(first + 3 * DAY_MS)));
    // Days of failure do not let the start slide: the next run begins there.
    site.sim.clear_faults();
    site.sim.clear_requests();
    site.rcbs(&["--set", "maxAge=1", "--set", "overlap=0", "--set", "rescan=0"]).exits(0);
    assert_eq!(oldest_asked(&site), first);
    site.assert_holds(|_| true);
}

#[test]
fn no_watermark_is_written_while_nothing_was_listed() {
    let site = Site::of(5);
    site.sim.add_fault(Fault::on(Route::Listing, Action::status(500)));
    site.rcbs(&["--set", "s3MaxErrorRetry=0"]).exits(7);
    assert_eq!(site.watermark(), None);
}

#[test]
fn the_watermark_moves_shard_by_shard() {
    let (mut site, watermark) = site_with_watermark(40);
    site.properties += "overlap=0\nrescan=0\nshardBy=PT12H\ndownloadMode=single\n";
    let third = {
        let world = site.sim.world();
        let in_third = world.rows_between(watermark + DAY_MS, watermark + 3 * DAY_MS / 2);
        let recording = world.recording(&in_third[0]);
        recording.media[0].key.clone()
    };
    let wait = Action::Delay(Duration::from_secs(5));
    site.sim.add_fault(Fault::on(Route::S3, wait).containing(&third));
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| site.rcbs(&[]));
        let is_third =
            |key: &Option<String>| key.as_deref().is_some_and(|key| key.ends_with(&third));
        assert!(site.sim.wait_for(|request| is_third(&request.key)));
        // What came last may still be on its way to the disk.
        let until = Instant::now() + Duration::from_secs(4);
        while site.watermark() != Some(watermark + DAY_MS) {
            assert!(Instant::now() < until, "{:?}", site.watermark());
            std::thread::yield_now();
        }
        run.join().unwrap()
    });
    run.exits(0);
    assert!(site.watermark().unwrap() > watermark + 2 * DAY_MS);
}

#[test]
fn every_run_goes_back_by_the_overlap_and_once_a_day_by_the_rescan() {
    let (site, watermark) = site_with_watermark(5);
    let rescanned = "once a day the listing goes back further";
    let run = site.rcbs(&["--set", "overlap=3", "--set", "rescan=P5D"]);
    run.exits(0).says(rescanned);
    assert_eq!(oldest_asked(&site), watermark - 5 * DAY_MS);

    let watermark = site.watermark().unwrap();
    site.sim.clear_requests();
    let run = site.rcbs(&["--set", "overlap=3", "--set", "rescan=P5D"]);
    assert!(run.code == 0 && !run.stderr.contains(rescanned), "{run}");
    assert_eq!(oldest_asked(&site), watermark - 3 * HOUR_MS);

    // A day later, by what is remembered of the last one.
    let file = site.target().join(".rcbs/state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let yesterday = chrono::DateTime::from_timestamp_millis(now_ms() - DAY_MS - 5_000).unwrap();
    state["rescannedAt"] = yesterday.to_rfc3339().into();
    fs::write(&file, state.to_string()).unwrap();
    site.rcbs(&["--set", "overlap=3", "--set", "rescan=0"]).exits(0);
    site.rcbs(&["--set", "overlap=3", "--set", "rescan=P5D"]).exits(0).says(rescanned);
}

#[test]
fn an_empty_window_is_one_line_and_no_failure() {
    let site = Site::of(5);
    let watermark = now_ms() - HOUR_MS;
    site.set_watermark(watermark);
    let run = site.rcbs(&["--set", "minAge=1", "--set", "overlap=0", "--set", "rescan=0"]);
    run.exits(0);
    assert!(run.stdout.starts_with("nothing to do: the window would start at "), "{run}");
    assert_eq!((run.stdout.lines().count(), run.stderr.as_str()), (1, ""), "{run}");
    assert_eq!(site.watermark(), Some(watermark));
    assert_eq!(site.sim.listings(), 0);
}
