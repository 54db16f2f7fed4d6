//! Stopping in the middle.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::{Hits, Route, Sim, WorldSpec};

use crate::harness::{DAY_MS, REGION, Site, files_below, now_ms};

/// Signals a process that this test has started.
fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

fn start(site: &Site) -> Child {
    site.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a run, or puts one to it that takes too long.
fn finish(child: Child) -> Output {
    let pid = child.id().to_string();
    let (done, is_done) = channel::<()>();
    let guard = std::thread::spawn(move || {
        if is_done.recv_timeout(Duration::from_secs(90)) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    guard.join().unwrap();
    output
}

/// Starts a backup and lets it come to its tenth media file, which then takes some time.
fn start_and_reach_the_middle(site: &mut Site, time: Duration) -> Child {
    site.properties += REGION;
    site.properties += "maxConnections=2\n";
    let late = Fault::on(Route::S3, Action::Delay(time)).hits(Hits::Nth(10));
    site.sim.add_fault(late);
    let child = start(site);
    assert!(site.sim.wait_for(|request| !request.faults.is_empty()));
    child
}

fn staged(site: &Site) -> usize {
    std::fs::read_dir(site.target().join(".rcbs/staged")).map_or(0, Iterator::count)
}

/// Checks that what is held is whole, and that the next run completes it without fetching that.
fn assert_consistent_and_completed_by_the_next_run(site: &Site) {
    let world = site.sim.world();
    let objects: Vec<Vec<u8>> =
        world.all_objects().map(|media| world.expected_object(&media.bucket, &media.key)).collect();
    drop(world);
    let held = site.tree();
    let media: Vec<_> = held.iter().filter(|(path, _)| path.ends_with(".bin")).collect();
    for (path, bytes) in &media {
        assert!(objects.contains(bytes), "{path} is not whole");
    }
    assert!(media.len() < objects.len(), "it was stopped in the middle");
    site.sim.clear_faults();
    assert!(site.sim.wait_for_silence());
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    assert_eq!(site.sim.media_opened().len(), objects.len() - media.len());
    assert_eq!(staged(site), 0);
}

#[test]
fn the_first_signal_finishes_what_is_under_way_and_the_next_run_completes() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut site = Site::of(60);
        let child = start_and_reach_the_middle(&mut site, Duration::from_secs(1));
        signal(&child, name);
        let output = finish(child);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("stopping: what is under way is finished first"), "{stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.starts_with("Finished handling current batch: "), "{stdout}");
        // What was under way is held, and no more was begun than that.
        let requests = site.sim.requests();
        let last = requests.iter().find(|request| !request.faults.is_empty()).unwrap();
        let key = last.key.as_deref().unwrap().rsplit('/').next().unwrap();
        assert!(site.tree().keys().any(|path| path.contains(key)), "{key}");
        assert_eq!(staged(&site), 0);
        assert_consistent_and_completed_by_the_next_run(&site);
    }
}

#[test]
fn the_second_signal_ends_the_run_at_once() {
    let mut site = Site::of(60);
    let child = start_and_reach_the_middle(&mut site, Duration::from_secs(60));
    // Two of a kind could be taken for one.
    signal(&child, "-INT");
    signal(&child, "-TERM");
    let output = finish(child);
    assert!(matches!(output.status.code(), Some(130 | 143)), "{}", output.status);
    // A run that had waited for the slow file would have summed up.
    assert!(output.stdout.is_empty());
    assert_consistent_and_completed_by_the_next_run(&site);
}

#[test]
fn a_signal_before_the_first_listing_ends_the_run_without_a_trace() {
    let site = Site::of(5);
    let hour = Action::Delay(Duration::from_secs(60));
    site.sim.add_fault(Fault::on(Route::Settings, hour));
    let child = start(&site);
    assert!(site.sim.wait_for(|request| request.route == Route::Settings));
    signal(&child, "-TERM");
    assert_eq!(finish(child).status.code(), Some(143));
    assert_eq!(site.watermark(), None);
    site.sim.clear_faults();
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
}

#[test]
fn a_killed_run_leaves_only_staged_files_which_the_next_run_removes() {
    let mut site = Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - DAY_MS,
        to_ms: now_ms() - 5_000,
        recordings: 60,
        voice_bytes_per_second: 300,
        ..WorldSpec::default()
    }));
    site.properties += REGION;
    site.properties += "maxConnections=2\n";
    let slow = Fault::on(Route::S3, Action::Trickle(10_000)).hits(Hits::From(12));
    site.sim.add_fault(slow);
    let child = start(&site);
    // Once the quick ones have their names, a long staged file is a slow one, which stays.
    let started = Instant::now();
    let is_slow_begun = || {
        let quick = site.tree().keys().filter(|path| path.ends_with(".bin")).count();
        let staged = files_below(&site.target().join(".rcbs/staged"));
        quick == 11 && staged.values().any(|bytes| bytes.len() > 5_000)
    };
    while !is_slow_begun() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    signal(&child, "-KILL");
    assert_eq!(finish(child).status.signal(), Some(9));
    let left = staged(&site);
    assert!(left > 0);
    site.sim.clear_faults();
    let run = site.rcbs(&["--dry-run"]);
    run.exits(0);
    assert_eq!(staged(&site), left, "a dry run leaves everything alone");
    std::fs::write(site.target().join(".rcbs/staged/another"), "x").unwrap();
    assert_consistent_and_completed_by_the_next_run(&site);
}
