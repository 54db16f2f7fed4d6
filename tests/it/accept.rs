//! `rcbs accept`: losses that cannot be cured.

use rcbs_sim::{Media, Recording};
use rusqlite::Connection;
use serde_json::Value;

use crate::audit::{audit, document, fail, named, with_a_failure};
use crate::harness::{BUCKET, DAY_MS, HOUR_MS, Site, now_ms};

#[test]
fn a_loss_that_cannot_be_cured_is_gone_until_it_is_accepted_and_stands_in_every_audit() {
    let (site, media) = with_a_failure();
    site.sim.edit(|world| assert!(world.remove("FAILS")));
    audit(&site, 3).says("gone      FAILS ").says("Not complete: 8 held of 9; gone: 1");
    assert_eq!(named(&document(&site, &[], 3)), ["gone FAILS"]);
    // The same where nothing of it is held, so that only its failure tells of it.
    let ledger = Connection::open(site.target().join(".rcbs/ledger.sqlite")).unwrap();
    assert_eq!(ledger.execute("DELETE FROM recordings WHERE id = 'FAILS'", []).unwrap(), 1);
    drop(ledger);
    assert_eq!(named(&document(&site, &[], 3)), ["gone FAILS"]);

    let why = "deleted by the tenant";
    let accepted = site.rcbs(&["accept", "FAILS", "--why", why]);
    accepted.exits(0).says(&format!("accepted the loss of media file {media} of recording FAILS"));
    for _ in 0..2 {
        let run = audit(&site, 0);
        run.says("Complete: 8 held, 1 accepted as lost");
        run.says("accepted  FAILS ").says(&format!("; accepted: {why}"));
        let document = document(&site, &[], 0);
        assert_eq!(named(&document), ["accepted FAILS"]);
        assert_eq!(document["notHeld"][0]["losses"][0]["why"], why);
    }
    let file = site.target().join(".rcbs/accepted/FAILS.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let at = kept["at"].as_i64().unwrap();
    assert!((now_ms() - at).abs() < 60_000);
    let expected = serde_json::json!({"id": "FAILS", "startedAt": kept["startedAt"],
        "media": [media], "why": why, "at": at});
    assert_eq!(kept, expected);
    assert!(kept["startedAt"].as_i64().unwrap() < at - HOUR_MS);
}

#[test]
fn one_media_file_is_accepted_and_the_other_one_is_still_failed() {
    let site = Site::of(3);
    let media = |name: &str| Media::voice(&format!("{name}.mp3.bin"), BUCKET, 300);
    let recording = Recording::new("TWO", now_ms() - DAY_MS).with(media("ONE")).with(media("SEC"));
    site.sim.edit(|world| world.add(recording));
    fail(&site, "ONE.mp3");
    fail(&site, "SEC.mp3");
    site.rcbs(&[]).exits(3);
    let one = ["accept", "TWO", "--media", "ONE.mp3.bin", "--why", "first"];
    site.rcbs(&one).exits(0);
    let left = document(&site, &[], 3);
    assert_eq!(named(&left), ["failed TWO"]);
    let states: Vec<_> =
        left["notHeld"][0]["losses"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["accepted", "failed"]);
    site.rcbs(&["accept", "TWO", "--media", "SEC.mp3.bin", "--why", "second"]).exits(0);
    audit(&site, 0);
    let file = site.target().join(".rcbs/accepted/TWO.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let whys: Vec<_> = kept.as_array().unwrap().iter().map(|one| &one["why"]).collect();
    assert_eq!(whys, ["first", "second"]);
}

#[test]
fn only_what_has_failed_is_accepted_and_never_without_a_reason() {
    let (site, _) = with_a_failure();
    for (args, words) in [
        (&["accept", "FAILS", "--why", " "][..], "write why"),
        (&["accept", "FAILS"], "--why"),
        (&["accept", "OTHER", "--why", "x"], "recording OTHER has not failed"),
        (&["accept", "OTHER", "--why", "x"], "hint: find the ids of what is not held with `rcbs"),
        (&["accept", "FAILS", "--media", "m", "--why", "x"], "media file m of recording FAILS has"),
        (&["accept", "FAILS", "--why", "x", "--set", "targetDir=."], "has no ledger"),
    ] {
        site.rcbs(args).exits(2).says(words);
    }
    let absent = ["accept", "FAILS", "--why", "x", "--set", "targetDir=elsewhere"];
    site.rcbs(&absent).exits(6).says("is not there");
    assert!(!site.folder.path().join("elsewhere").exists());
    assert!(!site.target().join(".rcbs/accepted").exists());
    let lock = std::fs::File::open(site.target().join(".rcbs/lock")).unwrap();
    lock.lock().unwrap();
    site.rcbs(&["accept", "FAILS", "--why", "x"]).exits(5);
    // An audit needs no lock.
    audit(&site, 3);
}
