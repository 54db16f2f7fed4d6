//! People: numbers, names and attached data are seen nowhere but in the metadata files.

use rcbs_sim::{Action, Fault, Media, Recording, Route, envelope};

use crate::canary::{assert_none, traces};
use crate::harness::{BUCKET, HOUR_MS, REGION, Site, now_ms};

const PEOPLE: [&str; 4] = ["+16505550142", "Ottilie Canary7", "caseNumber-81150", "agent.canary8"];

/// A record full of people.
fn record(id: &str, at: i64, more: &str) -> String {
    let [number, name, case, agent] = PEOPLE;
    let media = format!(
        r#"{{"mediaId":"{id}_voice.mp3.bin","type":"audio/mp3","mediaDescriptor":{{"storage":"awsS3",
            "path":"by-hand/{id}_voice.mp3.bin","data":{{"bucket":"{BUCKET}"}}}},
            "parameters":{{"agentName":"{name}"}}}}"#
    );
    format!(
        r#"{{"id":"{id}","ani":"{number}","startTime":{at},"dnis":"{number}","userName":"{agent}",
            "mediaFiles":[{media}],"eventHistory":[{{"contact":{{"phoneNumber":"{number}",
            "lastName":"{name}"}}}}],"callerPhoneNumber":"{number}","UserData":{{"{case}":"{name}"}}{more}}}"#
    )
}

#[test]
fn nothing_about_people_is_shown_or_kept_beside_the_metadata() {
    let mut site = Site::of(0);
    site.properties = format!("maxAge=PT3H\ns3MaxErrorRetry=0\n{REGION}");
    site.properties += "logFile=target/rcbs.log\nmetricsFile=target/rcbs.prom\n";
    site.environment.insert("RUST_LOG", Some("trace".to_owned()));
    let at = now_ms() - HOUR_MS;
    let [number, name, case, agent] = PEOPLE;
    let add = |id: &str, json: String| {
        let media = Media::voice(&format!("{id}_voice.mp3.bin"), BUCKET, 80);
        site.sim.edit(|world| world.put(Recording::new(id, at).with(media).with_json(json)));
    };
    // What is known to be of people: the files of metadata, wherever they are put.
    let is_metadata = |path: &str| {
        let place = path.trim_start_matches("target/");
        place.ends_with("_metadata.json")
            || [".rcbs/old/", ".rcbs/rejected/"].iter().any(|of| place.starts_with(of))
    };
    let is_discreet = |codes: &[i32], args: &[&str]| {
        for format in ["plain", "json"] {
            let run = site.rcbs(&[&["--verbose", "--log-format", format], args].concat());
            assert!(codes.contains(&run.code), "{run}");
            assert_none(&PEOPLE, &run, &traces(&run, &site.target(), is_metadata));
        }
    };
    add("good", record("good", at, ""));
    is_discreet(&[0], &[]);
    let held = site.tree().into_iter().find(|(path, _)| path.ends_with("good_metadata.json"));
    let held = String::from_utf8(held.unwrap().1).unwrap();
    assert!(PEOPLE.iter().all(|one| held.contains(one)), "{held}");

    // A record that changes, then lacks something; one that cannot be read; media that fail.
    add("good", record("good", at, r#","more":1"#));
    is_discreet(&[0], &[]);
    add("good", record("good", at, "").replace(name, ""));
    is_discreet(&[0], &[]);
    assert!(!site.old().is_empty());
    add("no start", record("x", at, &format!(r#","startTime":"{name}""#)));
    add("no id", record("x", at, &format!(r#","id":["{number}"]"#)));
    add("no object", format!(r#""{agent}""#));
    add(
        "bad media",
        record(
            "bad media",
            at,
            &format!(
                r#","mediaFiles":[{{"mediaId":"m","mediaDescriptor":{{"storage":"awsS3","data":"{name}"}}}}]"#
            ),
        ),
    );
    let odd = format!(
        r#","mediaFiles":["{number}",{{"size":"{number}","duration":"{name}"}},["{number}"]]"#
    );
    add("odd media", record("odd media", at, &odd));
    add("fine", record("fine", at, ""));
    let fail = Fault::on(Route::S3, Action::s3_error(403, "AccessDenied")).containing("lost");
    add("lost", record("lost", at, ""));
    site.sim.add_fault(fail);
    is_discreet(&[3], &[]);
    is_discreet(&[3], &["--dry-run"]);
    is_discreet(&[0, 4], &["--verify", "s3"]);
    for args in [
        &["--verify", "s3", "--json"][..],
        &["config", "--json"],
        &["audit", "--json"],
        &["estimate", "--json"],
        &["check", "--json"],
        &["rebuild", "--json"],
        &["accept", "lost", "--why", "deleted", "--json"],
        &["keys", "list", "--json"],
    ] {
        is_discreet(&[0, 2, 3, 4, 6], args);
    }
    for args in [&["keys", "list"][..], &["keys", "check"], &["decrypt", "--out", "opened"]] {
        envelope::write_keys(&site.folder.path().join("keys")).unwrap();
        let keys = if args[1] == "list" { &[][..] } else { &["--keys", "keys"] };
        is_discreet(&[0, 2, 3], &[args, keys].concat());
    }

    // Pages that break off, or are none, in the middle of a person.
    let open = record("x", at, "");
    for page in [
        format!(r#"{{"statusCode":0,"recordings":[{}"#, &open[..open.len() / 2]),
        format!(r#"{{"statusCode":0,"recordings":[{open},{{"{name}":"{number}" oops"#),
        format!(r#"{{"statusCode":0,"recordings":{{"{case}":"{number}"}}}}"#),
        format!(r#"{{"statusCode":"{number}","recordings":"{name}"}}"#),
        format!(r#"{{"statusCode":["{number}"],"recordings":[]}}"#),
        format!(r#"["{number}","{name}"]"#),
        format!(r#""{number}""#),
        format!("\"{agent}"),
        open,
    ] {
        site.sim.clear_faults();
        site.sim.add_fault(Fault::on(Route::Listing, Action::json(200, &page)));
        let run = site.rcbs(&["--verbose", "--set", "s3MaxErrorRetry=0", "--set", "shardBy=30"]);
        assert!([3, 7].contains(&run.code), "{page}\n{run}");
        assert_none(&PEOPLE, &run, &traces(&run, &site.target(), is_metadata));
    }
}
