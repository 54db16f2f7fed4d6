//! Limits of the media's bytes a second.
//!
//! How exactly they are kept is tested in made-up time, in `src/bandwidth/tests.rs`; here it is the
//! least time that a limited run must take, which no machine is too slow for.

use std::time::{Duration, Instant};

use rcbs_sim::{Media, Recording, Route};

use crate::harness::{BUCKET, HOUR_MS, REGION, Run, Site, now_ms};

/// So many recordings, and the bytes of all their media.
fn site(recordings: usize) -> (Site, u64) {
    let mut site = Site::of(recordings);
    site.properties += REGION;
    let world = site.sim.world();
    let media: Vec<_> = world.all_objects().collect();
    let bytes = media.iter().map(|media| world.expected_object(&media.bucket, &media.key).len());
    let bytes = bytes.sum::<usize>() as u64;
    drop(world);
    (site, bytes)
}

/// A limit by which so many bytes take two seconds, or a bit more.
fn two_seconds(bytes: u64) -> String {
    format!("{:.2}K", (bytes as f64 / 2.0 / 1024.0 * 100.0).floor() / 100.0)
}

fn timed(site: &Site, args: &[&str]) -> (Run, Duration) {
    let began = Instant::now();
    let run = site.rcbs(args);
    (run, began.elapsed())
}

const TWO_SECONDS: Duration = Duration::from_secs(2);

#[test]
fn a_limited_backup_holds_everything_and_takes_the_time_that_this_takes() {
    let (mut site, bytes) = site(40);
    let limit = two_seconds(bytes);
    site.properties += "bandwidth=1000G\nmaxConnections=7\n";
    let (run, took) = timed(&site, &["--bandwidth", &limit]);
    run.exits(0);
    assert!(took >= TWO_SECONDS, "{took:?}\n{run}");
    site.assert_holds(|_| true);
    // The listing has no limit, and there is nothing to be fetched.
    let (run, _) = timed(&site, &["--bandwidth", "1K"]);
    run.exits(0);
}

#[test]
fn a_timetable_limits_at_any_time_of_the_day() {
    let (mut site, bytes) = site(40);
    // Wherever the hands of the clock stand, it is one of the two.
    let (limit, lower) = (two_seconds(bytes), two_seconds(bytes - 100));
    assert_ne!(limit, lower);
    site.properties += &format!("bandwidth=00:00,{limit} 12:00,{lower}\n");
    let (run, took) = timed(&site, &[]);
    run.exits(0);
    assert!(took >= TWO_SECONDS, "{took:?}\n{run}");
    site.assert_holds(|_| true);
}

#[test]
fn media_of_other_servers_have_the_same_limit() {
    let (site, _) = site(0);
    let mut bytes = 0;
    for id in ["A", "B", "C", "D"] {
        let mut media = Media::voice(&format!("{id}.mp3.bin"), BUCKET, 50_000);
        media.uri = Some(format!("/api/v2/media/{BUCKET}/{}", media.key));
        let recording = Recording::new(id, now_ms() - HOUR_MS).with(media.clone());
        site.sim.edit(|world| world.add(recording));
        bytes += site.sim.world().expected_object(BUCKET, &media.key).len() as u64;
    }
    let (run, took) = timed(&site, &["--bandwidth", &two_seconds(bytes)]);
    run.exits(0);
    assert!(took >= TWO_SECONDS, "{took:?}\n{run}");
    site.assert_holds(|_| true);
    let requests = site.sim.requests();
    let behind_addresses = requests.iter().filter(|request| request.route == Route::Media).count();
    assert_eq!(behind_addresses, 4);
}

#[test]
fn whoever_waits_for_its_turn_is_not_out_of_time() {
    let (mut site, _) = site(0);
    let mut bytes = 0;
    for n in 0..10 {
        let media = Media::voice(&format!("{n}.mp3.bin"), BUCKET, 40_000);
        let recording = Recording::new(&n.to_string(), now_ms() - HOUR_MS).with(media.clone());
        site.sim.edit(|world| world.add(recording));
        bytes += site.sim.world().expected_object(BUCKET, &media.key).len() as u64;
    }
    // Each of ten waits for nine others, longer than a sender may be silent.
    site.properties += "s3SocketTimeout=1000\ns3MaxErrorRetry=3\nmaxConnections=10\n";
    let limit = two_seconds(bytes / 3);
    site.rcbs(&["--bandwidth", &limit]).exits(0);
    site.assert_holds(|_| true);
}

#[test]
fn a_repair_has_a_limit_too() {
    let (site, bytes) = site(20);
    site.rcbs(&[]).exits(0);
    for path in site.tree().keys().filter(|path| path.ends_with(".bin")) {
        std::fs::remove_file(site.target().join(path)).unwrap();
    }
    let limit = two_seconds(bytes);
    let (run, took) = timed(&site, &["check", "--repair", "--bandwidth", &limit]);
    run.exits(0);
    assert!(took >= TWO_SECONDS, "{took:?}\n{run}");
    site.assert_holds(|_| true);
}

#[test]
fn a_limit_that_cannot_be_understood_is_named_with_its_place() {
    let (mut site, _) = site(0);
    for (args, words) in [
        (
            &["--bandwidth", "20"][..],
            "error: --bandwidth: a number without a unit: `20`\nhint: write `20K`, `20M` or `20G`",
        ),
        (&["--bandwidth", ""], "error: --bandwidth: no rate: ``"),
        (&["--bandwidth=-1M"], "error: --bandwidth: no rate: `-1M`"),
        (&["--set", "bandwidth=0"], "error: --set: `bandwidth`: not above 0: `0`"),
        (
            &["check", "--repair", "--bandwidth", "1Mbit"],
            "error: --bandwidth: bits, and it is bytes",
        ),
        (&["check", "--bandwidth", "1M"], "--repair"),
        (&["--verify", "s3", "--bandwidth", "1M"], "cannot be used with"),
    ] {
        // A check looks for its target first.
        std::fs::create_dir_all(site.target()).unwrap();
        site.rcbs(args).exits(2).says(words);
    }
    site.properties += "bandwidth=08:00,5M 8pm,off\n";
    site.rcbs(&[])
        .exits(2)
        .says("`bandwidth`: no time of the day from 00:00 to 23:59 in `8pm,off`");
    assert!(site.sim.requests().is_empty());
}

#[test]
fn config_shows_what_the_timetable_has_for_the_time_on_the_wall() {
    let (mut site, _) = site(0);
    site.properties += "bandwidth=00:00,5M 12:00,6M\n";
    for (zone, shown) in [("<+05>-5", "UTC+05:00"), ("UTC0", "UTC+00:00")] {
        site.environment.insert("TZ", Some(zone.to_owned()));
        let run = site.rcbs(&["config"]);
        run.exits(0).says("bandwidth").says(shown);
        let line = run.stdout.lines().find(|line| line.starts_with("# bandwidth is "));
        let line = line.unwrap_or_else(|| panic!("{run}"));
        let hour = line.split(' ').find_map(|word| word.split_once(':')?.0.parse::<u32>().ok());
        let expected = if hour.unwrap() < 12 { "5M" } else { "6M" };
        assert!(line.starts_with(&format!("# bandwidth is {expected} now")), "{line}");
    }
}

#[cfg(unix)]
#[test]
fn whoever_waits_for_the_limit_ends_at_once_with_the_second_signal() {
    use std::process::{Command, Stdio};

    // Each of them would take a quarter of an hour alone.
    let (site, _) = site(0);
    for id in ["A", "B", "C"] {
        let media = Media::voice(&format!("{id}.mp3.bin"), BUCKET, 1_000_000);
        let recording = Recording::new(id, now_ms() - HOUR_MS).with(media);
        site.sim.edit(|world| world.add(recording));
    }
    let mut command = site.command(&["--bandwidth", "1K"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(site.sim.wait_for(|request| request.route == Route::S3));
    for name in ["-INT", "-TERM"] {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(130 | 143)), "{}", output.status);
    // A run that had waited for what was under way would have summed up.
    assert!(output.stdout.is_empty());
}
