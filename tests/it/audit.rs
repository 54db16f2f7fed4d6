//! `rcbs audit`: what there is at the source, held against the ledgers.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::gws::Order;
use rcbs_sim::{Media, Recording, Route};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, Run, Site, files_below, now_ms};

pub(crate) const STATES: [&str; 7] =
    ["held", "hidden", "waiting", "accepted", "gone", "missing", "failed"];

/// A site whose first backup is done.
fn backed_up(recordings: usize) -> Site {
    let site = Site::of(recordings);
    site.rcbs(&[]).exits(0);
    site.sim.clear_requests();
    site
}

pub(crate) fn audit(site: &Site, code: i32) -> Run {
    let run = site.rcbs(&["audit"]);
    run.exits(code);
    run
}

/// The document of an audit, with more arguments.
#[track_caller]
pub(crate) fn document(site: &Site, args: &[&str], code: i32) -> Value {
    let run = site.rcbs(&[&["audit", "--json"], args].concat());
    run.exits(code);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
    // Each recording counts once for its day and once for its share.
    for groups in ["days", "instances"] {
        for state in STATES {
            let counts = document[groups].as_object().unwrap().values();
            let sum: u64 = counts.map(|counts| counts[state].as_u64().unwrap()).sum();
            assert_eq!(document["totals"][state], sum, "{groups} {state}\n{run}");
        }
    }
    assert_eq!(document["isComplete"], code == 0, "{run}");
    document
}

/// How many there are of each state, in the order of [`STATES`].
pub(crate) fn totals(document: &Value) -> [u64; 7] {
    STATES.map(|state| document["totals"][state].as_u64().unwrap())
}

/// What is named in a document, as `state id`.
pub(crate) fn named(document: &Value) -> Vec<String> {
    let one = |finding: &Value| {
        format!("{} {}", finding["state"].as_str().unwrap(), finding["id"].as_str().unwrap_or("-"))
    };
    document["notHeld"].as_array().unwrap().iter().map(one).collect()
}

pub(crate) fn fail(site: &Site, media_id: &str) {
    let action = Action::s3_error(404, "NoSuchKey");
    site.sim.add_fault(Fault::on(Route::S3, action).containing(media_id));
}

/// A site that holds everything but one recording, which has failed.
pub(crate) fn with_a_failure() -> (Site, String) {
    let site = Site::of(8);
    let media = site.add("FAILS", now_ms() - DAY_MS);
    fail(&site, &media);
    site.rcbs(&[]).exits(3);
    (site, media)
}

#[test]
fn all_that_is_held_is_complete_day_by_day_and_nothing_is_written_or_opened() {
    let site = backed_up(60);
    let before = files_below(site.folder.path());
    let run = audit(&site, 0);
    assert_eq!(files_below(site.folder.path()), before);
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    run.says("Complete: 60 held, 0 accepted as lost");
    let rows: Vec<Vec<&str>> =
        run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = rows.iter().position(|row| row.first() == Some(&"day")).unwrap();
    assert_eq!(rows[head], [&["day"], &STATES[..], &["total"]].concat());
    let mut expected = std::collections::BTreeMap::new();
    for recording in site.sim.world().recordings() {
        let day = chrono::DateTime::from_timestamp_millis(recording.start_ms).unwrap();
        *expected.entry(day.format("%Y-%m-%d").to_string()).or_insert(0) += 1;
    }
    expected.insert("total".to_owned(), 60);
    for (row, (day, count)) in rows[head + 1..].iter().zip(&expected) {
        let count = count.to_string();
        assert_eq!(row[..], [day, &count, "0", "0", "0", "0", "0", "0", &count], "{run}");
    }
    let all = document(&site, &[], 0);
    assert_eq!((totals(&all), named(&all)), ([60, 0, 0, 0, 0, 0, 0], Vec::new()));
    // The watermark is not read: what began after the last run is missing.
    site.add("NEW", now_ms() - 2_000);
    assert_eq!(named(&document(&site, &[], 3)), ["missing NEW"]);
}

#[test]
fn an_instance_that_was_never_run_shows_as_exactly_its_share() {
    let mut site = Site::of(100);
    let share = |id: &str| xxh3_64(id.as_bytes()) % 4;
    site.properties += "totalRcbsInstances=4\nrcbsInstanceId=0\n";
    for instance in [0, 1, 3] {
        let id = format!("rcbsInstanceId={instance}");
        let target = format!("targetDir=target-{instance}");
        site.rcbs(&["--set", &id, "--set", &target]).exits(0);
    }
    let targets = ["--targets", "target-0,target-1", "--targets", "target-3"];
    let lost: BTreeSet<String> = site
        .sim
        .world()
        .recordings()
        .filter(|one| share(&one.id) == 2)
        .map(|one| one.id.clone())
        .collect();
    assert!(lost.len() > 10, "a share of {}", lost.len());

    let document = document(&site, &targets, 3);
    let found = document["notHeld"].as_array().unwrap().iter().map(|finding| {
        assert_eq!((&finding["state"], &finding["instance"]), (&"missing".into(), &2.into()));
        finding["id"].as_str().unwrap().to_owned()
    });
    assert_eq!(found.collect::<BTreeSet<_>>(), lost);
    let count = lost.len() as u64;
    assert_eq!(totals(&document), [100 - count, 0, 0, 0, 0, count, 0]);
    for (at, instance) in [0, 1, 3].into_iter().enumerate() {
        let held = site.sim.world().recordings().filter(|one| share(&one.id) == instance).count();
        assert_eq!(document["targets"][at]["recordings"], held);
        assert_eq!(document["instances"][&instance.to_string()]["held"], held);
    }
    let run = site.rcbs(&[&["audit"], &targets[..]].concat());
    run.exits(3).says(&format!(
        "instance 2 of 4: {count} recordings, 0 held: was it ever run, and is its target among"
    ));
    assert_eq!(run.stdout.matches("was it ever run").count(), 1, "{run}");

    // Once it has run, the four targets are complete together; none of them is alone.
    site.rcbs(&["--set", "rcbsInstanceId=2", "--set", "targetDir=target-2"]).exits(0);
    let all = ["audit", "--targets", "target-0,target-1,target-2,target-3"];
    site.rcbs(&all).exits(0).says("Complete: 100 held");
    site.rcbs(&["audit", "--targets", "target-2"]).exits(3).says("missing");
}

#[test]
fn what_failed_is_named_with_its_cause_until_it_is_held() {
    let (site, media) = with_a_failure();
    let document = document(&site, &[], 3);
    assert_eq!(named(&document), ["failed FAILS"]);
    assert_eq!(totals(&document), [8, 0, 0, 0, 0, 0, 1]);
    let loss = &document["notHeld"][0]["losses"][0];
    assert_eq!((&loss["media"], &loss["attempts"]), (&media.as_str().into(), &1.into()));
    assert!(loss["cause"].as_str().unwrap().contains("no such object"), "{loss}");
    let run = audit(&site, 3);
    run.says("failed    FAILS ").says(&format!("media file {media}: ")).says("(1 attempt)");
    run.says("Not complete: 8 held of 9; failed: 1");
    site.sim.clear_faults();
    site.rcbs(&[]).exits(0);
    audit(&site, 0).says("Complete: 9 held");
}

#[test]
fn what_is_held_and_not_listed_any_more_is_hidden_and_no_loss() {
    let site = backed_up(20);
    site.sim.edit(|world| {
        let id = world.recordings().nth(7).unwrap().id.clone();
        assert!(world.remove(&id));
    });
    let hidden = document(&site, &[], 0);
    assert_eq!((totals(&hidden), named(&hidden)), ([19, 1, 0, 0, 0, 0, 0], Vec::new()));
    audit(&site, 0).says("Complete: 20 held");
}

#[test]
fn what_still_awaits_media_is_waiting_for_as_long_as_the_rescan() {
    let site = Site::of(4);
    let at = now_ms() - DAY_MS;
    let json = format!(r#"{{"id":"OPEN","startTime":"{at}","mediaFiles":[]}}"#);
    site.sim.edit(|world| world.add(Recording::new("OPEN", at).with_json(json)));
    site.rcbs(&[]).exits(0);
    let waiting = document(&site, &[], 0);
    assert_eq!((totals(&waiting), named(&waiting)), ([4, 0, 1, 0, 0, 0, 0], Vec::new()));
    for rescan in ["rescan=PT1H", "rescan=0"] {
        let held = document(&site, &["--set", rescan], 0);
        assert_eq!(totals(&held), [5, 0, 0, 0, 0, 0, 0], "{rescan}");
    }
}

#[test]
fn a_media_file_that_was_never_tried_is_missing_though_its_recording_is_held() {
    let site = Site::of(5);
    let media = |name: &str| Media::voice(&format!("{name}.mp3.bin"), BUCKET, 300);
    let recording = Recording::new("GROWS", now_ms() - DAY_MS).with(media("EARLY"));
    site.sim.edit(|world| world.add(recording.clone()));
    site.rcbs(&[]).exits(0);
    site.sim.edit(|world| world.put(recording.with(media("LATER"))));
    let document = document(&site, &[], 3);
    assert_eq!(named(&document), ["missing GROWS"]);
    assert_eq!(document["notHeld"][0]["losses"][0]["media"], "LATER.mp3.bin");
    // Media that are not wanted are no loss.
    site.rcbs(&["audit", "--set", "metadataOnly=true"]).exits(0);
}

#[test]
fn what_could_not_be_listed_is_named_with_what_is_held_of_that_time() {
    let site = backed_up(40);
    let middle = now_ms() - DAY_MS;
    let burst = site.sim.edit(|world| world.add_burst(middle, 130));
    site.rcbs(&["--set", "metadataOnly=true"]).exits(0);
    assert_eq!(
        totals(&document(&site, &["--set", "metadataOnly=true"], 0)),
        [170, 0, 0, 0, 0, 0, 0]
    );
    // A server that cuts its pages there cannot be listed any more.
    site.sim.gws(|gws| gws.cap = 100);
    let document = document(&site, &["--set", "metadataOnly=true"], 3);
    assert_eq!(document["unlisted"], 1);
    let part = document["notHeld"].as_array().unwrap().last().unwrap();
    assert_eq!((&part["state"], &part["held"]), (&"unlisted".into(), &30.into()), "{part}");
    assert_eq!(totals(&document)[0], 140, "of {} at once", burst.len());
    site.rcbs(&["audit", "--set", "metadataOnly=true"]).exits(3).says("ranges not listed: 1");
}

#[test]
fn an_audit_of_nothing_that_could_be_asked_is_no_audit() {
    let site = backed_up(5);
    for (action, code, words) in [
        (Action::status(503), 7, "GWS never gave a usable answer"),
        (Action::gws_code(403, 3), 4, "statusCode 3"),
        (Action::status(401), 4, "check GWS_USERNAME"),
    ] {
        site.sim.add_fault(Fault::on(Route::Listing, action));
        let args = ["--set", "s3MaxErrorRetry=0"];
        site.rcbs(&[&["audit"], &args[..]].concat()).exits(code).says(words);
        let run = site.rcbs(&[&["audit", "--json"], &args[..]].concat());
        run.exits(code);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(document["isComplete"], false, "{run}");
        assert!(document["error"].is_string(), "{run}");
        site.sim.clear_faults();
    }
}

#[test]
fn a_record_that_cannot_be_understood_is_rejected_once_and_makes_it_incomplete() {
    let site = backed_up(5);
    let json = r#"{"startTime":"2026-01-01T00:00:00.000+0000","mediaFiles":[]}"#;
    let at = now_ms() - DAY_MS;
    site.sim.edit(|world| world.add(Recording::new("BROKEN", at).with_json(json)));
    let document = document(&site, &["--set", "shardBy=PT6H"], 3);
    assert_eq!(named(&document), ["rejected -"]);
    assert_eq!((totals(&document)[0], &document["rejected"]), (5, &1.into()));
    audit(&site, 3).says("rejected  a record without id: no usable id");
}

#[test]
fn a_recording_that_is_listed_again_and_again_is_counted_once_as_the_worst_that_is_known() {
    let site = Site::of(6);
    let at = now_ms() - DAY_MS;
    let with = |media: &str| {
        let media = Media::voice(&format!("{media}.mp3.bin"), BUCKET, 300);
        Recording::new("TWICE", at).with(media)
    };
    site.sim.edit(|world| world.add(with("HELD")));
    site.rcbs(&[]).exits(0);
    let broken = r#"{"startTime":"2026-01-01T00:00:00.000+0000","mediaFiles":[]}"#;
    site.sim.edit(|world| {
        world.add(with("NEW"));
        world.add(Recording::new("OTHER", at + 5));
        world.add(Recording::new("BROKEN", at).with_json(broken));
    });
    // A server that ignores the range answers each shard with everything.
    for (range_ignored, order) in [
        (false, Order::NewestFirst),
        (false, Order::OldestFirst),
        (true, Order::NewestFirst),
        (true, Order::OldestFirst),
    ] {
        site.sim.gws(|gws| (gws.range_ignored, gws.order) = (range_ignored, order));
        for shard_by in ["shardBy=PT6H", "shardBy=3"] {
            let document = document(&site, &["--set", shard_by], 3);
            // Such a server may leave doubts of whether a shard was listed to its end.
            assert!(range_ignored || document["unlisted"] == 0, "{document:#}");
            let mut names = named(&document);
            names.retain(|name| !name.starts_with("unlisted"));
            names.sort();
            let case = format!("{range_ignored} {shard_by} {document:#}");
            assert_eq!(names, ["missing OTHER", "missing TWICE", "rejected -"], "{case}");
            assert_eq!(totals(&document), [6, 0, 0, 0, 0, 2, 0], "{case}");
            assert_eq!(document["rejected"], 1, "{case}");
        }
    }
}

#[test]
fn a_target_without_a_ledger_or_that_is_not_there_is_named() {
    let site = backed_up(3);
    std::fs::create_dir(site.folder.path().join("empty")).unwrap();
    site.sim.clear_requests();
    let run = site.rcbs(&["audit", "--targets", "target,empty"]);
    run.exits(2).says("empty` has no ledger").says("hint: name the folder that a backup was made");
    let run = site.rcbs(&["audit", "--targets", "absent,target"]);
    run.exits(6).says("absent` is not there").says("hint: mount its disk");
    assert_eq!(site.sim.requests().len(), 0, "GWS is not asked in vain");
    std::fs::write(site.target().join(".rcbs/ledger.sqlite"), "no database").unwrap();
    site.rcbs(&["audit"]).exits(6).says("hint: run `rcbs rebuild`");
}

#[test]
fn the_period_is_that_of_the_configuration_or_the_one_that_is_typed() {
    let site = backed_up(30);
    let day = now_ms() - DAY_MS;
    let [from, to] = [(day - HOUR_MS).to_string(), (day + HOUR_MS).to_string()];
    let within = site.sim.world().rows_between(day - HOUR_MS, day + HOUR_MS).len() as u64;
    let typed = document(&site, &["--from", &from, "--to", &to], 0);
    assert_eq!(totals(&typed)[0], within);
    site.sim.edit(|world| world.add(Recording::new("OLD", now_ms() - 400 * DAY_MS)));
    assert_eq!(totals(&document(&site, &[], 0))[0], 30);
    // Any age is found as the backup finds it.
    assert_eq!(named(&document(&site, &["--set", "maxAge=0"], 3)), ["missing OLD"]);
    audit(&site, 0);
    site.rcbs(&["audit", "--set", "maxAge=0"]).exits(3).says("days without a recording: 39");
}

#[test]
fn more_than_a_thousand_that_are_not_held_are_all_in_the_document() {
    let site = backed_up(1);
    let at = now_ms() - DAY_MS;
    site.sim.edit(|world| {
        (0..1_010).for_each(|n| {
            world.add(Recording::new(&format!("N{n}"), at + n));
        })
    });
    let run = audit(&site, 3);
    assert_eq!(run.stdout.matches("in no ledger").count(), 1_000, "{}", run.stderr);
    run.says("and 10 more: `--json` has them all");
    assert_eq!(document(&site, &[], 3)["notHeld"].as_array().unwrap().len(), 1_010);
}

#[test]
fn an_audit_tells_no_names_and_no_numbers() {
    let site = Site::of(40);
    site.rcbs(&["--set", "metadataOnly=true"]).exits(0);
    let outputs = [site.rcbs(&["audit", "--verbose"]), site.rcbs(&["audit", "--json"])];
    let world = site.sim.world();
    for recording in world.recordings() {
        let row = world.rows_between(recording.start_ms, recording.start_ms + 1)[0].clone();
        let record: Value = serde_json::from_str(&world.json(&row)).unwrap();
        for name in ["callerPhoneNumber", "dialedPhoneNumber"] {
            let number = record[name].as_str().unwrap();
            assert!(number.len() > 4);
            for output in &outputs {
                let said = output.stdout.contains(number) || output.stderr.contains(number);
                assert!(!said, "{number} in\n{output}");
            }
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_size_of_a_page() {
    let small = peak_kib(1_000);
    let huge = peak_kib(400_000);
    assert!(huge < small + 24 * 1024, "{small} KiB with small pages, {huge} KiB with huge ones");
}

/// The most memory that an audit over one page of 100 records of this size ever had.
fn peak_kib(bytes: usize) -> u64 {
    let site = backed_up(0);
    site.sim.edit(|world| {
        for n in 0..100 {
            let (id, at) = (format!("R{n:03}"), now_ms() - DAY_MS + n * 1_000);
            let filler = "x".repeat(bytes);
            let json =
                format!(r#"{{"id":"{id}","startTime":"{at}","mediaFiles":[],"x":"{filler}"}}"#);
            world.add(Recording::new(&id, at).with_json(json));
        }
    });
    // A full pipe holds the program up where it prints its table, so that it can be looked at.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'.'; 65_536]).unwrap();
    let mut command = site.command(&["audit", "--set", "shardBy=3"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("compared: 100 recordings")));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let printed = std::thread::spawn(move || std::io::read_to_string(&mut reader).unwrap());
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(printed.join().unwrap().ends_with("missing: 100\n"));
    peak
}
