//! The metadata files, and records that change between runs.

use rcbs_sim::gws::Order;
use rcbs_sim::world::metadata::api_time;
use rcbs_sim::{Media, Recording, Sim, WorldSpec};

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, REGION, Site, now_ms};

/// The middle of some hour that has passed, so that times around it share a folder.
fn mid_hour() -> i64 {
    (now_ms() / HOUR_MS - 3) * HOUR_MS + HOUR_MS / 2
}

fn site() -> Site {
    let mut site = Site::of(0);
    site.properties += REGION;
    site
}

/// Lists a record with this text, in the place of the one with its id.
fn put(site: &Site, at_ms: i64, rest: &str) {
    let json = format!(r#"{{"id":"R","startTime":"{}",{rest}}}"#, api_time(at_ms));
    site.sim.edit(|world| world.put(Recording::new("R", at_ms).with_json(json)));
}

fn file_of(site: &Site, end: &str) -> (String, String) {
    let mut found = site.tree().into_iter().filter(|(path, _)| path.ends_with(end));
    let (path, bytes) = found.next().unwrap_or_else(|| panic!("no {end}"));
    assert_eq!(found.next(), None, "one {end} only");
    (path, String::from_utf8(bytes).unwrap())
}

#[test]
fn metadata_keep_every_value_as_it_came() {
    let site = site();
    let at = mid_hour();
    put(
        &site,
        at,
        r#""z":1.0e5 ,"big":12345678901234567890,"small":-0.0,"twice":1,"twice":"2","x":null,
        "escaped":"\u00fc\/\ud83d\ude00 \"\\","a":[ 1.50, {"b":[],"a":{ }} ],"mediaFiles":[]"#,
    );
    site.rcbs(&[]).exits(0);
    let start = api_time(at);
    let expected = format!(
        r#"{{
  "id": "R",
  "startTime": "{start}",
  "z": 1.0e5,
  "big": 12345678901234567890,
  "small": -0.0,
  "twice": 1,
  "twice": "2",
  "x": null,
  "escaped": "\u00fc\/\ud83d\ude00 \"\\",
  "a": [
    1.50,
    {{
      "b": [],
      "a": {{}}
    }}
  ],
  "mediaFiles": []
}}
"#
    );
    assert_eq!(file_of(&site, "R_metadata.json").1, expected);
}

#[test]
fn metadata_hold_the_properties_that_are_wanted_and_always_what_names_the_recording() {
    let both = "metadataPropertiesInclude=b,c\nmetadataPropertiesExclude=c,id,mediaFiles\n";
    for (properties, expected) in [
        ("metadataPropertiesInclude=c,b\n", ["\"b\": 1,", "\"c\": [", "\"mediaFiles\": []"]),
        ("metadataPropertiesExclude=a,id\n", ["\"b\": 1,", "\"c\": [", "\"mediaFiles\": []"]),
        (both, ["\"b\": 1,", "\"mediaFiles\": []", "}"]),
    ] {
        let mut site = site();
        put(&site, mid_hour(), r#""a":{"b":2},"b":1,"c":[3],"mediaFiles":[]"#);
        site.properties += properties;
        site.rcbs(&[]).exits(0);
        let (_, text) = file_of(&site, "R_metadata.json");
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| *line != "3").collect();
        assert_eq!(lines[1], r#""id": "R","#);
        let kept = lines[3..].iter().filter(|line| **line != "],").take(3).copied();
        assert_eq!(kept.collect::<Vec<_>>(), expected, "{properties} {text}");
    }
}

#[test]
fn media_that_come_late_are_fetched_by_the_next_run_and_the_record_is_renewed() {
    let mut site = Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - DAY_MS,
        to_ms: now_ms() - 5_000,
        recordings: 20,
        screen_share: 0.5,
        late_share: 0.4,
        ..WorldSpec::default()
    }));
    site.properties += REGION;
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    let before = site.tree();
    let late: Vec<Media> = {
        let world = site.sim.world();
        world.recordings().flat_map(|one| one.media.clone()).filter(|media| media.late).collect()
    };
    assert!(late.len() > 3);

    site.sim.edit(|world| world.publish_late());
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    let mut expected: Vec<String> =
        late.iter().map(|media| format!("{}/{}", media.bucket, media.key)).collect();
    let mut opened = site.sim.media_opened();
    expected.sort();
    opened.sort();
    assert_eq!(opened, expected);
    site.assert_holds(|_| true);
    // The records of before are kept, byte for byte, and nothing else is.
    let changed = before.into_iter().filter(|(path, bytes)| site.tree().get(path) != Some(bytes));
    let changed: std::collections::BTreeMap<_, _> = changed.collect();
    let old = site.old();
    assert_eq!(old.keys().collect::<Vec<_>>(), changed.keys().collect::<Vec<_>>());
    assert!(old == changed);
    assert_eq!(site.old().len(), late.len());
}

#[test]
fn a_record_that_changed_is_rewritten_and_the_one_before_is_kept() {
    let site = site();
    let at = mid_hour();
    put(&site, at, r#""note":"first","mediaFiles":[]"#);
    site.rcbs(&[]).exits(0);
    let (path, before) = file_of(&site, "R_metadata.json");
    put(&site, at, r#""note":"second","more":1,"mediaFiles":[]"#);
    for _ in 0..2 {
        site.rcbs(&[]).exits(0);
        let (_, text) = file_of(&site, "R_metadata.json");
        assert!(text.contains(r#""note": "second""#), "{text}");
        assert_eq!(site.old(), [(path.clone(), before.clone().into_bytes())].into());
    }
}

#[test]
fn a_record_that_lost_something_is_put_beside_the_better_one() {
    let site = site();
    let at = mid_hour();
    site.sim.edit(|world| {
        world.add(Recording::new("R", at).with(Media::voice("m.mp3.bin", BUCKET, 50)));
    });
    site.rcbs(&[]).exits(0);
    let before = site.tree();
    put(&site, at, r#""callType":"Inbound","mediaFiles":[]"#);
    let run = site.rcbs(&[]);
    run.exits(0).says("warning: recording `R`: the metadata listed now lacks something");
    assert_eq!(site.tree(), before);
    let old = site.old();
    let [(path, bytes)] = &old.iter().collect::<Vec<_>>()[..] else { panic!("{old:?}") };
    run.says(&format!("`.rcbs/old/{path}`"));
    assert!(String::from_utf8_lossy(bytes).contains(r#""mediaFiles": []"#));
    // Once is enough.
    let again = site.rcbs(&[]);
    again.exits(0);
    assert!(!again.stderr.contains("warning"), "{again}");
    assert_eq!(site.old(), old);
}

#[test]
fn media_of_a_record_that_lost_something_are_fetched_once() {
    let site = site();
    let at = mid_hour();
    let elsewhere = Media { key: "elsewhere/m".to_owned(), ..Media::voice("m", BUCKET, 50) };
    let listed = |key: &str| {
        format!(
            r#""mediaFiles":[{{"mediaId":"m","type":"audio/mp3","mediaDescriptor":
            {{"storage":"awsS3","path":"{key}","data":{{"bucket":"{BUCKET}"}}}}}}]"#
        )
    };
    for (key, record) in [
        ("here/m", format!(r#""note":"x",{}"#, listed("here/m"))),
        ("elsewhere/m", listed("elsewhere/m")),
    ] {
        let media = Media { key: key.to_owned(), ..elsewhere.clone() };
        site.sim.edit(|world| world.put_object(media));
        put(&site, at, &record);
        for opened in [vec![format!("{BUCKET}/{key}")], vec![]] {
            site.sim.clear_requests();
            site.rcbs(&[]).exits(0);
            assert_eq!(site.sim.media_opened(), opened, "{key}");
        }
    }
}

#[test]
fn a_value_that_is_another_now_is_no_loss_and_one_that_is_missing_is() {
    let base = r#""note":"x","list":[1,2],"in":{"a":1},"mediaFiles":[]"#;
    for (now, is_loss) in [
        (r#""list":[1,2],"in":{"a":1},"mediaFiles":[]"#, true),
        (r#""note":"","list":[1,2],"in":{"a":1},"mediaFiles":[]"#, true),
        (r#""note":"x","list":[2],"in":{"a":1},"mediaFiles":[]"#, true),
        (r#""note":"x","list":[1,2],"in":{},"mediaFiles":[]"#, true),
        (r#""mediaFiles":[],"in":{"a":2},"list":[2,3],"note":"y""#, false),
    ] {
        let site = site();
        let at = mid_hour();
        put(&site, at, base);
        site.rcbs(&[]).exits(0);
        let before = site.tree();
        put(&site, at, now);
        let run = site.rcbs(&[]);
        assert_eq!(run.exits(0).stderr.contains("warning"), is_loss, "{now} {run}");
        assert_eq!(site.tree() == before, is_loss, "{now}");
        assert_eq!(site.old().len(), 1);
    }
}

#[test]
fn a_media_file_that_now_lies_elsewhere_is_fetched_again_and_the_old_one_kept() {
    let site = site();
    let at = mid_hour();
    let media = Media::voice("m.mp3.bin", BUCKET, 50);
    site.sim.edit(|world| world.add(Recording::new("R", at).with(media.clone())));
    site.rcbs(&[]).exits(0);
    let (path, _) = site.tree().into_iter().find(|(path, _)| path.ends_with(".bin")).unwrap();
    let moved = Media { key: "elsewhere/m".to_owned(), seed: 9, ..media.clone() };
    let grown = Media { plain_bytes: 70, ..moved.clone() };
    let mut versions = vec![site.tree()[&path].clone()];
    for media in [moved, grown] {
        site.sim.edit(|world| world.put(Recording::new("R", at).with(media)));
        site.sim.clear_requests();
        site.rcbs(&[]).exits(0);
        assert_eq!(site.sim.media_opened(), [format!("{BUCKET}/elsewhere/m")]);
        site.assert_holds(|_| true);
        versions.push(site.tree()[&path].clone());
        site.sim.clear_requests();
        site.rcbs(&[]).exits(0);
        assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    }
    let old = site.old();
    assert_eq!(old[&path], versions[0]);
    assert_eq!(old[&format!("{path}.2")], versions[1]);
}

#[test]
fn the_same_id_at_another_time_is_another_recording_in_a_folder_of_its_own() {
    let site = site();
    let at = mid_hour();
    for (n, offset) in [0, 60_000, 120_000].into_iter().enumerate() {
        let media = Media { seed: n as u64, ..Media::voice("m.mp3.bin", BUCKET, 50) };
        let media = Media { key: format!("k/{n}"), ..media };
        site.sim.edit(|world| world.add(Recording::new("R", at + offset).with(media)));
    }
    site.rcbs(&[]).exits(0);
    let tree = site.tree();
    assert_eq!(tree.len(), 6);
    for folder in ["/R/", "/R~2/", "/R~3/"] {
        assert_eq!(tree.keys().filter(|path| path.contains(folder)).count(), 2, "{tree:?}");
    }
    for n in 0..3 {
        let bytes = site.sim.world().expected_object(BUCKET, &format!("k/{n}"));
        assert_eq!(tree.values().filter(|held| **held == bytes).count(), 1);
    }
    site.sim.clear_requests();
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Unsorted] {
        site.sim.gws(|gws| gws.order = order);
        site.rcbs(&[]).exits(0);
        assert_eq!(site.tree(), tree);
    }
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
}

#[test]
fn a_recording_listed_twice_gives_the_media_of_both() {
    let site = site();
    let at = mid_hour();
    for name in ["a.mp3.bin", "b.mp3.bin"] {
        let recording = Recording::new("R", at).with(Media::voice(name, BUCKET, 50));
        site.sim.edit(|world| world.add(recording));
    }
    site.rcbs(&[]).exits(0);
    let tree = site.tree();
    for name in ["a.mp3.bin", "b.mp3.bin"] {
        let bytes = site.sim.world().expected_object(BUCKET, &format!("by-hand/{name}"));
        assert_eq!(tree.iter().find(|(path, _)| path.ends_with(name)).unwrap().1, &bytes);
    }
    assert_eq!(tree.len(), 3);
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    assert_eq!(site.tree(), tree);
}
