//! Ids that spell paths, devices and each other.

use std::collections::{BTreeMap, BTreeSet};

use rcbs_sim::gws::Order;
use rcbs_sim::{Media, Recording};

use crate::harness::{BUCKET, HOUR_MS, REGION, Site, files_below, now_ms};

/// Ids that must become folders within the hour, each one its own.
fn ids() -> Vec<String> {
    let long = "x".repeat(4096);
    let mut ids: Vec<String> = [
        "../../x",
        "../../../../../../../../tmp/x",
        "..",
        ".",
        "/",
        "/etc/passwd",
        "a/b\\c",
        "C:\\x",
        "\\\\server\\share",
        "CON",
        "con",
        "NUL.txt",
        "COM1",
        "dots...",
        "dots",
        "dots.",
        "blank ",
        "blank",
        "%2e",
        "%2E",
        ".",
        "%2e%2e%2f",
        "a~2",
        "a",
        "~empty",
        ".rcbs",
        "last_recording_endtime.txt",
        "Case",
        "case",
        "CASE",
        "Straße",
        "STRASSE",
        "ünï",
        "ÜNÏ",
        "日本語",
        "🙂",
        "new\nline",
        "null\0byte",
        "quo\"te",
        "<a>|b?*",
        "-rf",
        "$(x)",
        "R_metadata.json",
        "  x",
    ]
    .map(str::to_owned)
    .to_vec();
    ids.push(long.clone());
    ids.push(format!("{long}y"));
    ids.push("é".repeat(2048));
    ids.sort();
    ids.dedup();
    // The same id at another time, which must not become the folder of an id above.
    ids.push("a".to_owned());
    ids
}

/// A recording with three media files whose names run into each other, each of its own content.
fn recording(number: usize, id: &str, start_ms: i64) -> Recording {
    let names = ["X", "X.mp3", "X.mp3.bin"];
    names.iter().enumerate().fold(Recording::new(id, start_ms), |recording, (n, name)| {
        let key = format!("k/{number}/{n}");
        let seed = (number * names.len() + n) as u64;
        recording.with(Media { key, seed, ..Media::voice(name, BUCKET, 40) })
    })
}

fn site() -> Site {
    let mut site = Site::of(0);
    site.properties += REGION;
    site
}

fn hour_ago() -> i64 {
    (now_ms() / HOUR_MS - 1) * HOUR_MS
}

#[test]
fn hostile_ids_stay_in_folders_of_their_own_and_lose_nothing() {
    let site = site();
    let ids = ids();
    site.sim.edit(|world| {
        for (number, id) in ids.iter().enumerate() {
            world.add(recording(number, id, hour_ago() + number as i64));
        }
    });
    let run = site.rcbs(&[]);
    run.exits(0);
    assert_eq!(run.counts(), [ids.len() as u64 * 3, 0, 0, ids.len() as u64 * 3], "{run}");

    // Nothing has left the target, and nothing in it lies where the program keeps its own.
    let outside = files_below(site.folder.path())
        .into_keys()
        .filter(|path| !path.starts_with("target/") && path != "config.properties");
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<String>::new());
    let own = files_below(&site.target().join(".rcbs")).into_keys().collect::<Vec<_>>();
    assert_eq!(own, ["id", "ledger.sqlite", "lock", "state.json"]);

    let tree = site.tree();
    let mut folders: BTreeMap<&str, Vec<(&str, &[u8])>> = BTreeMap::new();
    for (path, bytes) in &tree {
        let (folder, name) = path.rsplit_once('/').unwrap();
        assert_eq!(path.split('/').count(), 6, "{path}");
        assert!(path.split('/').all(|part| part.len() <= 255), "{path}");
        folders.entry(folder).or_default().push((name, bytes));
    }
    let folded: BTreeSet<String> = folders.keys().map(|folder| folder.to_lowercase()).collect();
    assert_eq!(folded.len(), ids.len(), "a folder each, also where case does not count");
    let world = site.sim.world();
    let mut seen = BTreeSet::new();
    for (folder, files) in &folders {
        assert_eq!(files.len(), 4, "{folder}");
        let metadata = files.iter().find(|(name, _)| name.ends_with("_metadata.json")).unwrap().1;
        let metadata: serde_json::Value = serde_json::from_slice(metadata).unwrap();
        let key = metadata["mediaFiles"][0]["mediaDescriptor"]["path"].as_str().unwrap();
        let number: usize = key.split('/').nth(1).unwrap().parse().unwrap();
        assert_eq!(metadata["id"].as_str(), Some(ids[number].as_str()));
        seen.insert(number);
        for n in 0..3 {
            let bytes = world.expected_object(BUCKET, &format!("k/{number}/{n}"));
            assert_eq!(files.iter().filter(|(_, held)| *held == bytes).count(), 1, "{folder} {n}");
        }
    }
    assert_eq!(seen.len(), ids.len());
    drop(world);

    // Whatever comes first, each finds its own again.
    site.sim.clear_requests();
    for order in [Order::OldestFirst, Order::Unsorted] {
        site.sim.gws(|gws| gws.order = order);
        site.rcbs(&[]).exits(0);
        assert!(site.tree() == tree);
    }
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
}

#[test]
fn hostile_media_ids_stay_in_the_folder_of_their_recording() {
    let site = site();
    let names = [
        "../../../escape",
        "/abs.mp3.bin",
        "a/b\\c",
        "CON",
        "dots...",
        "%2e",
        "Case",
        "case",
        "ünï",
        "R_metadata.json",
        "..",
        "X\0Y",
        &"m".repeat(4096),
    ];
    let recording =
        names.iter().enumerate().fold(Recording::new("R", hour_ago()), |recording, (n, name)| {
            recording.with(Media { key: format!("k/{n}"), ..Media::voice(name, BUCKET, 40) })
        });
    site.sim.edit(|world| world.add(recording));
    site.rcbs(&[]).exits(0);
    let tree = site.tree();
    assert_eq!(tree.len(), names.len() + 1);
    let folder = tree.keys().next().unwrap().rsplit_once('/').unwrap().0;
    for n in 0..names.len() {
        let bytes = site.sim.world().expected_object(BUCKET, &format!("k/{n}"));
        let held = tree.iter().filter(|(_, held)| **held == bytes).collect::<Vec<_>>();
        assert!(matches!(held[..], [(path, _)] if path.rsplit_once('/').unwrap().0 == folder));
    }
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    assert!(site.tree() == tree);
}

#[test]
fn a_record_without_id_is_kept_raw_and_counted_as_failed_and_the_rest_goes_on() {
    let site = site();
    site.add("good", hour_ago());
    let start = rcbs_sim::world::metadata::api_time(hour_ago());
    let records = [
        format!(r#"{{"id":"","startTime":"{start}","mediaFiles":[]}}"#),
        format!(r#"{{"startTime":"{start}","x":1.0e5}}"#),
        format!(r#"{{"id":null,"startTime":"{start}"}}"#),
        r#"{"id":"no start","startTime":"yesterday"}"#.to_owned(),
        "[]".to_owned(),
    ];
    site.sim.edit(|world| {
        for (n, json) in records.iter().enumerate() {
            world.add(Recording::new(&format!("r{n}"), hour_ago()).with_json(json));
        }
    });
    for _ in 0..2 {
        let run = site.rcbs(&[]);
        run.exits(3).says("no usable id").says("no usable startTime").says("not a JSON object");
        let good = |path: &String| path.contains("/good/");
        assert_eq!(site.tree().keys().filter(|path| good(path)).count(), 2);
        assert_eq!(site.tree().len(), 2);
        let rejected = files_below(&site.target().join(".rcbs/rejected"));
        let mut kept: Vec<_> =
            rejected.into_values().map(String::from_utf8).collect::<Result<_, _>>().unwrap();
        let mut expected = records.to_vec();
        kept.sort();
        expected.sort();
        assert_eq!(kept, expected);
    }
    // Only one of several instances keeps them.
    let args = ["--set", "totalRcbsInstances=2", "--set", "rcbsInstanceId=1"];
    site.rcbs(&[&args[..], &["--set", "targetDir=other"]].concat()).exits(0);
    assert!(!site.folder.path().join("other/.rcbs/rejected").exists());
}
