//! `rcbs estimate`: what recordings need, planned or as GWS lists them.

mod page;
mod plan;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use chrono::DateTime;
use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::{Media, Recording, Route, Sim, WorldSpec};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, Site, files_below, now_ms};

/// The document of an estimate, with more arguments.
#[track_caller]
fn document(site: &Site, args: &[&str], code: i32) -> Value {
    let run = site.rcbs(&[&["estimate", "--json"], args].concat());
    run.exits(code);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
    let days = document["days"].as_object().unwrap();
    for name in ["recordings", "mediaFiles", "mediaBytes", "milliseconds", "metadataBytes"] {
        let sum: u64 = days.values().map(|day| day[name].as_u64().unwrap()).sum();
        assert_eq!(document["totals"][name], sum, "{name}\n{run}");
    }
    document
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}

/// What a world has of one day or of all of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    recordings: u64,
    media_files: u64,
    media_bytes: u64,
    milliseconds: u64,
    listed_bytes: u64,
}

impl Expected {
    fn of(value: &Value) -> Expected {
        Expected {
            recordings: number(&value["recordings"]),
            media_files: number(&value["mediaFiles"]),
            media_bytes: number(&value["mediaBytes"]),
            milliseconds: number(&value["milliseconds"]),
            listed_bytes: number(&value["listedBytes"]),
        }
    }

    fn add(&mut self, site: &Site, recording: &Recording) {
        let world = site.sim.world();
        let at = recording.start_ms;
        let rows = world.rows_between(at, at + 1);
        let row = rows.iter().find(|row| world.recording(row).id == recording.id).unwrap();
        self.recordings += 1;
        self.listed_bytes += world.json(row).len() as u64;
        for media in world.listed_media(recording) {
            let lasted = (media.stop_ms - media.start_ms) as u64;
            self.media_files += 1;
            self.media_bytes += media.plain_bytes;
            // Screens have a clock's length, in seconds.
            self.milliseconds += if media.is_screen() { lasted / 1_000 * 1_000 } else { lasted };
        }
    }
}

#[test]
fn counts_bytes_and_minutes_are_those_of_the_world_and_nothing_is_fetched_or_written() {
    let site = Site::of(150);
    let before = files_below(site.folder.path());
    let found = document(&site, &[], 0);
    assert!(before.is_empty() && !site.target().exists());
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    assert!(site.sim.requests().iter().all(|request| request.route != Route::S3));

    let mut days: BTreeMap<String, Expected> = BTreeMap::new();
    let mut totals = Expected::default();
    for recording in site.sim.world().recordings() {
        let day = DateTime::from_timestamp_millis(recording.start_ms).unwrap();
        let day = days.entry(day.format("%Y-%m-%d").to_string()).or_default();
        day.add(&site, &recording);
        totals.add(&site, &recording);
    }
    let told = found["days"].as_object().unwrap().iter();
    let told: BTreeMap<_, _> = told.map(|(day, sum)| (day.clone(), Expected::of(sum))).collect();
    assert_eq!(told, days);
    for name in ["totals", "share", "needed"] {
        assert_eq!(Expected::of(&found[name]), totals, "{name}");
    }
    assert_eq!((number(&found["leftOut"]), &found["isComplete"]), (0, &json!(true)));
    let [voice, screen] = ["audio/mp3", "video/mp4"].map(|kind| &found["types"][kind]);
    assert_eq!(number(&voice["files"]) + number(&screen["files"]), totals.media_files);
    // The world has 20 bytes a second of voice and 80 of screen, and up to 15 more of each file.
    for (kind, bits) in [(voice, 160), (screen, 640)] {
        assert_eq!(kind["isMeasured"], true);
        let rate = number(&kind["bitsPerSecond"]);
        assert!((bits..bits + bits / 10).contains(&rate), "{kind}");
    }
    let run = site.rcbs(&["estimate"]);
    run.exits(0).says("it will fit").says("as measured").says("A day like the busiest");
}

#[test]
fn what_is_needed_is_what_a_backup_then_writes_and_nothing_once_it_is_held() {
    let site = Site::of(60);
    let before = document(&site, &[], 0);
    site.rcbs(&[]).exits(0);
    let tree = site.tree();
    let is_metadata = |path: &str| path.ends_with("_metadata.json");
    let metadata = tree.iter().filter(|(path, _)| is_metadata(path));
    let bytes: usize = metadata.map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(before["needed"]["metadataBytes"], bytes);
    assert_eq!(before["room"]["needed"]["files"], tree.len());
    // Envelopes make media longer than their records say, by less than what is reckoned for it.
    let media: usize = tree.values().map(Vec::len).sum::<usize>() - bytes;
    let said = number(&before["needed"]["mediaBytes"]);
    assert!(media as u64 > said && (media as u64) < said + 1_024 * tree.len() as u64);

    let held = document(&site, &[], 0);
    assert_eq!(Expected::of(&held["needed"]), Expected::default());
    assert_eq!(held["needed"]["metadataBytes"], 0);
    assert_eq!(held["room"]["needed"], json!({"files":0,"inodes":0,"ledgerBytes":0,"diskBytes":0}));
    assert_eq!(held["totals"], before["totals"]);

    let media = site.add("NEW", now_ms() - HOUR_MS);
    let found = document(&site, &[], 0);
    assert_eq!(
        (&found["needed"]["recordings"], &found["needed"]["mediaBytes"]),
        (&json!(1), &json!(300))
    );
    // Of one that failed its metadata are missing too, and of one that grows only what is new.
    let action = Action::s3_error(404, "NoSuchKey");
    site.sim.add_fault(Fault::on(Route::S3, action).containing(&media));
    site.rcbs(&[]).exits(3);
    assert_eq!(document(&site, &[], 0)["needed"]["mediaBytes"], 300);
    site.sim.clear_faults();
    site.rcbs(&[]).exits(0);
    site.sim.edit(|world| {
        let grown = Recording::clone(&world.find("NEW").unwrap());
        world.put(grown.with(Media::voice("LATE.mp3.bin", BUCKET, 77)));
    });
    let grown = document(&site, &[], 0);
    let needed = &grown["needed"];
    assert_eq!(
        [
            &needed["recordings"],
            &needed["mediaFiles"],
            &needed["mediaBytes"],
            &needed["metadataBytes"]
        ],
        [&json!(1), &json!(1), &json!(77), &json!(0)]
    );
}

#[test]
fn sizes_that_records_lack_are_told_apart_and_filled_in_by_the_measured_rate() {
    let site = Site::of(0);
    let at = now_ms() - DAY_MS;
    let record = |id: &str, media: &str| {
        let json = format!(r#"{{"id":"{id}","startTime":"{at}","mediaFiles":[{media}]}}"#);
        Recording::new(id, at).with_json(json)
    };
    let voice = |fields: &str| format!(r#"{{"mediaId":"m","type":"audio/mp3",{fields}}}"#);
    site.sim.edit(|world| {
        world.add(record("A", &voice(r#""size":"40000","duration":"10000""#)));
        world.add(record("B", &voice(r#""duration":"0:00:05""#)));
        world.add(record("C", &voice(r#""size":null"#)));
        world.add(record("D", r#"{"mediaId":"m","type":"video/mp4","duration":"2.0"}"#));
        world.add(record("E", r#"{"mediaId":"m","type":"text/plain","size":"5"}"#));
    });
    let found = document(&site, &[], 0);
    let totals = &found["totals"];
    // 5 s at 4,000 bytes a second, the mean of 40,000, and 2 s at the documented 32,000.
    let filled = 20_000 + 40_000 + 64_000;
    assert_eq!((&totals["unsizedFiles"], &totals["filledBytes"]), (&json!(3), &json!(filled)));
    assert_eq!(totals["mediaBytes"], 40_000 + filled);
    assert_eq!((number(&totals["milliseconds"]), number(&found["leftOut"])), (17_000, 1));
    let voice = &found["types"]["audio/mp3"];
    assert_eq!((&voice["bitsPerSecond"], &voice["sizedBytes"]), (&json!(32_000), &json!(40_000)));
    assert_eq!(found["types"]["video/mp4"]["isMeasured"], false);
    let run = site.rcbs(&["estimate"]);
    run.says("audio/mp3: 3 media files, 32.0 kbit/s as measured, 2 of them without a size, taken for 60.0 kB");
    run.says("video/mp4: 1 media files, 256 kbit/s as documented");
    run.says("left out by type or metadataOnly: 1 media files");
    let slower = document(&site, &["--screen-kbps", "8"], 0);
    assert_eq!(slower["totals"]["filledBytes"], 20_000 + 40_000 + 2_000);
}

#[test]
fn the_shares_of_all_instances_are_together_what_there_is() {
    let mut site = Site::of(90);
    site.properties += "totalRcbsInstances=3\n";
    let mut sum = [0; 3];
    for instance in 0..3_u64 {
        let id = format!("rcbsInstanceId={instance}");
        let found = document(&site, &["--set", &id], 0);
        let world = site.sim.world();
        let ours =
            world.recordings().filter(|one| xxh3_64(one.id.as_bytes()) % 3 == instance).count();
        assert_eq!(found["share"]["recordings"], ours);
        assert_eq!(found["needed"], found["share"]);
        for (sum, name) in sum.iter_mut().zip(["recordings", "mediaFiles", "mediaBytes"]) {
            *sum += number(&found["share"][name]);
        }
        if instance == 2 {
            let totals = &found["totals"];
            let totals =
                ["recordings", "mediaFiles", "mediaBytes"].map(|name| number(&totals[name]));
            assert_eq!(sum, totals);
            assert_eq!(totals[0], 90);
        }
        let words = format!("share of instance {instance} of 3: {ours} recordings with");
        site.rcbs(&["estimate", "--set", &id]).exits(0).says(&words);
    }
}

#[test]
fn what_will_not_fit_is_a_warning_and_exit_6() {
    let site = Site::of(3);
    let at = now_ms() - DAY_MS;
    let huge = format!(
        r#"{{"id":"HUGE","startTime":"{at}","mediaFiles":[{{"mediaId":"m","type":"audio/mp3","size":"9000000000000000000"}}]}}"#
    );
    site.sim.edit(|world| world.add(Recording::new("HUGE", at).with_json(huge)));
    let run = site.rcbs(&["estimate"]);
    run.exits(6).says("it will NOT fit").says("warning: it will not fit on the disk of `");
    let found = document(&site, &[], 6);
    assert_eq!((&found["room"]["fits"], &found["isComplete"]), (&json!(false), &json!(true)));
    let [needed, free, lacking] = [
        &found["room"]["needed"]["diskBytes"],
        &found["room"]["free"]["bytes"],
        &found["room"]["lackingBytes"],
    ]
    .map(number);
    assert_eq!(needed - free, lacking);
    assert_eq!(found["room"]["daysLeft"], 0);
    // Another instance's share is no concern of this one.
    let total = ["--set", "totalRcbsInstances=2"];
    let other = format!("rcbsInstanceId={}", 1 - xxh3_64(b"HUGE") % 2);
    document(&site, &[&total[..], &["--set", &other]].concat(), 0);
    // A target far below a folder that is there lies on the disk of that folder.
    let deep = document(&site, &["--set", "targetDir=a/b/c", "--set", "metadataOnly=true"], 0);
    assert_eq!((&deep["room"]["fits"], &deep["share"]["mediaFiles"]), (&json!(true), &json!(0)));
    assert!(!site.folder.path().join("a").exists());
}

#[test]
fn the_target_of_an_estimate_may_be_tmpfs_or_any_other_disk() {
    let site = Site::of(3);
    let found = document(&site, &["--set", "targetDir=/dev/shm/rcbs-estimate-is-not-there"], 0);
    assert_eq!(found["room"]["target"], "/dev/shm/rcbs-estimate-is-not-there");
    let run = std::process::Command::new("df")
        .args(["-B1", "--output=avail,iavail", "/dev/shm"])
        .output();
    let Some(run) = run.ok().filter(|run| run.status.success()) else {
        eprintln!("skipped: df or /dev/shm is not there");
        return;
    };
    let text = String::from_utf8(run.stdout).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let free = [&found["room"]["free"]["bytes"], &found["room"]["free"]["inodes"]].map(number);
    // Others use it meanwhile.
    for (ours, theirs) in free.into_iter().zip(numbers) {
        assert!(ours.abs_diff(theirs) <= theirs / 10 + (64 << 20), "{ours} {theirs}");
    }
}

#[test]
fn what_cannot_be_listed_or_understood_is_named_and_exit_3() {
    let site = Site::of(20);
    let at = now_ms() - DAY_MS;
    let broken = r#"{"startTime":"2026-01-01T00:00:00.000+0000","mediaFiles":[]}"#;
    site.sim.edit(|world| world.add(Recording::new("BROKEN", at).with_json(broken)));
    let found = document(&site, &[], 3);
    assert_eq!((&found["rejected"], &found["totals"]["recordings"]), (&json!(1), &json!(20)));
    assert_eq!(found["isComplete"], false);
    site.rcbs(&["estimate"]).exits(3).says("not counted, as they cannot be understood: 1 records");

    site.sim.edit(|world| {
        world.remove("BROKEN");
        world.add_burst(at, 130);
    });
    site.sim.gws(|gws| gws.cap = 100);
    let found = document(&site, &[], 3);
    let ranges = found["unlisted"].as_array().unwrap();
    assert_eq!(ranges.len(), 1, "{found}");
    assert!(ranges[0]["cause"].as_str().is_some_and(|cause| !cause.is_empty()));
    site.rcbs(&["estimate"]).exits(3).says("not counted, as it cannot be listed: ");
}

#[test]
fn a_refused_login_is_4_and_silence_is_7_and_an_empty_window_is_no_failure() {
    let mut site = Site::of(5);
    site.environment.insert("GWS_PASSWORD", Some("wrong".to_owned()));
    site.rcbs(&["estimate"]).exits(4);
    site.environment.clear();
    site.sim.add_fault(Fault::on(Route::Listing, Action::status(503)));
    let run = site.rcbs(&["estimate", "--json"]);
    run.exits(7);
    // No figures, but one document all the same.
    let failed: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&failed["schema"], &failed["exitCode"]), (&json!("rcbs/error/1"), &json!(7)));
    site.sim.clear_faults();
    let found = document(&site, &["--from", "2001-01-01", "--to", "2001-01-03"], 0);
    assert_eq!(found["totals"]["recordings"], 0);
    assert_eq!((&found["busiest"], &found["days"]), (&Value::Null, &json!({})));
    assert_eq!(found["room"]["daysLeft"], Value::Null);
    site.rcbs(&["estimate", "--from", "2001-01-03", "--to", "2001-01-01"]).exits(2);
}

#[test]
fn what_every_shard_is_answered_with_counts_once_and_apart_if_nobody_asked_for_it() {
    // Each shard is answered with all there is. Ten would be a number that servers cut pages at.
    let site = Site::of(12);
    site.sim.gws(|gws| gws.range_ignored = true);
    let at = now_ms() - DAY_MS;
    let broken = Recording::new("BROKEN", at).with_json(r#"{"id":"BROKEN","mediaFiles":[]}"#);
    site.sim.edit(|world| world.add(broken));
    let [from, to] = [at - 12 * HOUR_MS, at + 12 * HOUR_MS].map(|ms| ms.to_string());
    let found = document(&site, &["--from", &from, "--to", &to, "--set", "shardBy=PT6H"], 3);
    let inside = site.sim.world().rows_between(at - 12 * HOUR_MS, at + 12 * HOUR_MS).len() - 1;
    assert!(inside > 0 && inside < 12, "{inside} of 12");
    assert_eq!(found["totals"]["recordings"], inside);
    assert_eq!((&found["outside"], &found["rejected"]), (&json!(12 - inside), &json!(1)));
    assert_eq!(found["unlisted"], json!([]));
}

#[test]
fn as_many_pages_are_asked_for_as_was_said() {
    let from = (now_ms() / DAY_MS - 2) * DAY_MS;
    let site = Site::over(Sim::of(WorldSpec {
        from_ms: from,
        to_ms: from + DAY_MS,
        recordings: 2_000,
        burst_share: 0.0,
        metadata_bytes: 300,
        ..WorldSpec::default()
    }));
    let (to, from) = ((from + DAY_MS).to_string(), from.to_string());
    let args = ["--from", &from, "--to", &to, "--set", "overlap=0", "--set", "rescan=0"];
    let found = document(&site, &args, 0);
    assert_eq!(found["terms"]["overlapHours"], 0);
    let said = number(&found["busiest"]["needs"]["apiPages"]);
    let asked = site.sim.listings() as u64;
    assert!(asked <= said && said <= asked + 1, "{asked} asked, {said} said");
}

#[test]
fn an_estimate_runs_beside_a_backup_and_ends_at_a_signal() {
    let site = Site::of(10);
    site.rcbs(&[]).exits(0);
    site.sim.clear_requests();
    let held = std::fs::File::options().write(true).open(site.target().join(".rcbs/lock")).unwrap();
    held.lock().unwrap();
    document(&site, &[], 0);
    site.sim
        .add_fault(Fault::on(Route::Listing, Action::Delay(std::time::Duration::from_secs(60))));
    site.sim.clear_requests();
    let mut command = site.command(&["estimate"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    site.sim.wait_for(|request| request.route == Route::Listing);
    let killed =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(130), Vec::new()));
}

#[test]
fn an_estimate_tells_no_names_and_no_numbers() {
    let site = Site::of(30);
    let outputs = [site.rcbs(&["estimate", "--verbose"]), site.rcbs(&["estimate", "--json"])];
    let world = site.sim.world();
    for recording in world.recordings() {
        let row = world.rows_between(recording.start_ms, recording.start_ms + 1)[0].clone();
        let record: Value = serde_json::from_str(&world.json(&row)).unwrap();
        for name in ["callerPhoneNumber", "dialedPhoneNumber"] {
            let number = record[name].as_str().unwrap();
            for output in &outputs {
                let said = output.stdout.contains(number) || output.stderr.contains(number);
                assert!(!said, "{number} in\n{output}");
            }
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_an_estimate_does_not_grow_with_the_recordings() {
    let few = peak_kib(1_000);
    let many = peak_kib(15_000);
    assert!(many < few + 8 * 1024, "{few} KiB for 1,000 recordings, {many} KiB for 15,000");
}

/// The most memory that an estimate of so many recordings ever had.
#[cfg(target_os = "linux")]
fn peak_kib(recordings: usize) -> u64 {
    let from_ms = now_ms() - 2 * DAY_MS;
    let site = Site::over(Sim::of(WorldSpec {
        from_ms,
        to_ms: from_ms + DAY_MS,
        recordings,
        metadata_bytes: 1_000,
        ..WorldSpec::default()
    }));
    // A full pipe holds the program up where it prints, so that it can be looked at.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'.'; 65_536]).unwrap();
    let mut command = site.command(&["estimate"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let counted = format!("counted: {recordings} recordings");
    assert!(lines.any(|line| line.unwrap().contains(&counted)));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let printed = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(printed.join().unwrap().unwrap().contains("it will fit"));
    peak
}
